//! Streaming connections that go well: what each endpoint is told, and tells.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::wire::*;
use super::*;
use crate::emulator::{Contract, Sockets, models};

async fn call() -> Call {
    Call::to(Settings { contract: Contract::C, ..Settings::default() }).await
}

#[tokio::test]
async fn english_has_previews_that_grow_one_utterance_and_the_length() {
    let call = call().await;
    let audio = pcm(5000, 1);
    let read = call.streamed(S_ENGLISH, RAW, &audio).await;
    let kinds = ["partial_utterance", "partial_utterance", "partial_utterance", "utterance", "done"];
    assert_eq!(read.kinds(), kinds);
    let texts: Vec<_> = read.messages[..3]
        .iter()
        .map(|message| message["partial_utterance"]["text"].as_str().unwrap())
        .collect();
    assert!(texts[1].starts_with(texts[0]) && texts[2].len() > texts[1].len(), "{texts:?}");
    assert_eq!(read.messages[2]["partial_utterance"]["is_final"], false);
    let last = &read.messages[3]["utterance"];
    assert!(last["text"].as_str().unwrap().starts_with(texts[2]) && last["is_final"] == true, "{last}");
    assert_eq!(read.messages[4], json!({"type": "done", "duration_ms": 5000}));
    assert_eq!(read.close, Some((1000, String::new())));

    let report = call.emulator.report();
    let seen = &report.sockets[0];
    let sha256 = crate::emulator::form::hex(&Sha256::digest(&audio));
    assert_eq!((seen.model.as_str(), seen.sha256.as_str(), seen.bytes), (S_ENGLISH, &*sha256, 160_000));
    assert_eq!((seen.audio_ms, seen.messages, seen.code, &*seen.cause), (5000, 20, Some(1000), "done"));
    let model = report.of(S_ENGLISH);
    assert_eq!(
        (model.statuses.get(&101), model.billed_ms, model.sha256.get(&sha256)),
        (Some(&1), 5000, Some(&1))
    );
    assert_eq!((report.peak_sockets, model.peak_in_flight, model.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn endpointing_gives_an_utterance_for_each_pause() {
    let call = call().await;
    let query = format!("{RAW}&endpointing=true&diarize=false");
    let read = call.streamed(S_ENGLISH, &query, &pcm(13_000, 0)).await;
    assert_eq!(read.of("utterance").len(), 3);
    assert!(read.of("utterance").iter().all(|message| message["utterance"]["is_final"] == true));
}

#[tokio::test]
async fn transcription_previews_only_if_asked_and_answers_like_batch() {
    let call = call().await;
    let read = call.streamed(S_STT, RAW, &pcm(9000, 0)).await;
    assert_eq!(read.kinds(), ["utterance", "utterance", "done"]);
    let first = &read.messages[0]["utterance"];
    let keys: Vec<_> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "utterance_uuid",
        "text",
        "start_ms",
        "duration_ms",
        "speaker",
        "language",
        "emotion",
        "accent",
        "deepfake_score",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&first["emotion"], &first["deepfake_score"]), (&Value::Null, &Value::Null));
    let query = format!("{RAW}&partial_results=true&emotion_signal=true&speaker_diarization=false");
    let read = call.streamed(S_STT, &query, &pcm(9000, 0)).await;
    assert_eq!(read.of("partial_utterance").len(), 6);
    assert_eq!(read.of("partial_utterance")[0]["partial_utterance"]["start_ms"], 0);
    let utterances = read.of("utterance");
    assert!(utterances.iter().all(|message| message["utterance"]["emotion"] == "Neutral"));
    assert!(utterances.iter().all(|message| message["utterance"]["speaker"] == 1));
}

#[tokio::test]
async fn the_first_text_may_configure_a_transcription_and_beats_the_address() {
    let call = call().await;
    let mut wire = call.stream(S_STT, &format!("{RAW}&accent_signal=true")).await;
    wire.text(
        r#"{"accent_signal":false,"partial_results":true,"language":"pt-BR","custom_terms":["Velma"]}"#,
    )
    .await;
    wire.audio(&pcm(2000, 0)).await;
    wire.text("").await;
    let read = wire.read().await;
    assert_eq!(read.kinds(), ["partial_utterance", "utterance", "done"]);
    let utterance = &read.messages[1]["utterance"];
    assert_eq!((&utterance["language"], &utterance["accent"]), (&json!("pt"), &Value::Null));

    for (first, late) in [(r#"{"colour":1}"#, false), ("hello", false), (r#"{"emotion_signal":true}"#, true)]
    {
        let mut wire = call.stream(S_STT, RAW).await;
        if late {
            wire.audio(&pcm(100, 0)).await;
        }
        wire.text(first).await;
        let read = wire.read().await;
        assert_eq!((read.error(), read.code()), ("Invalid configuration.", 1003), "{first}");
    }
}

#[tokio::test]
async fn flat_messages_carry_their_fields_beside_the_type() {
    let sockets = Sockets { flat_messages: true, ..Sockets::default() };
    let call = Call::to(Settings { sockets, ..Settings::default() }).await;
    let read = call.second(S_STT).await;
    assert_eq!((read.messages[0]["speaker"].clone(), read.messages[0].get("utterance")), (json!(1), None));
}

#[tokio::test]
async fn verdicts_come_while_the_audio_is_still_on_its_way() {
    let call = call().await;
    let mut wire = call.stream(S_VOICE, RAW).await;
    wire.audio(&pcm(4000, 0)).await;
    // The rest is sent only after the first window's verdict was read.
    let first = wire.next().await;
    assert_eq!((&first["frame"]["start_time_ms"], &first["frame"]["end_time_ms"]), (&json!(0), &json!(4000)));
    wire.audio(&vec![0; 5500 * 32]).await;
    wire.text("").await;
    let read = wire.read().await;
    assert_eq!(read.kinds(), ["frame", "frame", "done"]);
    let last = &read.messages[1]["frame"];
    assert_eq!(
        *last,
        json!({"start_time_ms": 8000, "end_time_ms": 9500, "verdict": "no-content", "confidence": 1.0})
    );
    assert_eq!(read.messages[2], json!({"type": "done", "duration_ms": 9500, "frame_count": 3}));
}

#[tokio::test]
async fn too_short_a_voice_has_no_frames() {
    let call = call().await;
    let read = call.streamed(S_VOICE, RAW, &pcm(400, 0)).await;
    assert_eq!(read.messages, [json!({"type": "done", "duration_ms": 400, "frame_count": 0})]);
}

#[tokio::test]
async fn redacted_audio_follows_its_utterance_and_covers_the_whole_recording() {
    let call = call().await;
    let (wav, _) = sample("account.wav");
    let read = call.streamed(S_REDACTION, "audio_format=wav", &wav).await;
    let mut covered = 0;
    let mut clips = read.audio.iter();
    let mut cover = |range: &Value, at: usize| {
        if range.is_null() {
            return;
        }
        assert_eq!(range["start_ms"], covered);
        covered += range["duration_ms"].as_u64().unwrap();
        let (after, bytes) = clips.next().unwrap();
        assert_eq!(*after, at + 1, "the clip comes right after its message");
        assert!(bytes.starts_with(&[0xff, 0xf3]), "an MP3");
    };
    for (at, message) in read.messages.iter().enumerate() {
        match message["type"].as_str().unwrap() {
            "utterance" => cover(&message["redacted_audio"], at),
            "done" => cover(&message["trailing_redacted_audio"], at),
            other => panic!("{other}"),
        }
    }
    assert_eq!(json!(covered), read.of("done")[0]["duration_ms"]);
    assert!(clips.next().is_none());
    let texts: Vec<_> =
        read.of("utterance").iter().map(|message| message["utterance"]["text"].to_string()).collect();
    assert!(texts.concat().contains("></pii:"), "tags without words: {texts:?}");
    assert_eq!(read.code(), 1000);
}

#[tokio::test]
async fn an_analysis_begins_with_its_configuration() {
    let call = call().await;
    let read = call.second(S_VELMA).await;
    let kinds = read.kinds();
    assert_eq!(kinds[..2], ["clip", "conversation_type"]);
    assert_eq!(kinds[kinds.len() - 2..], ["summary", "done"]);
    assert!(
        kinds.contains(&"topics")
            && kinds.contains(&"topic_sentiment")
            && kinds.contains(&"participant_role")
    );

    let mut wire = call.stream(S_VELMA, RAW).await;
    wire.text(r#"{"produce_summary":false,"produce_topics":false,"stt":{"emotion_signal":true}}"#).await;
    wire.audio(&pcm(2000, 0)).await;
    wire.text("").await;
    let read = wire.read().await;
    assert!(read.of("summary").is_empty() && read.of("topics").is_empty());
    assert_eq!(read.of("partial_clip").len(), 1);
    assert_eq!(read.of("clip")[0]["clip"]["emotion"], Value::Null);
    assert_eq!(read.of("clip_update")[0]["clip_update"]["emotion"], "Neutral");

    for (first, words) in [
        (None, "Invalid configuration."),
        (Some(""), "Invalid configuration."),
        (Some("{}}"), "Invalid configuration."),
        (Some(r#"{"behaviors":["preset:none"]}"#), "invalid behavior preset"),
    ] {
        let mut wire = call.stream(S_VELMA, RAW).await;
        match first {
            Some(text) => wire.text(text).await,
            None => wire.audio(&pcm(10, 0)).await,
        }
        let read = wire.read().await;
        assert_eq!((read.error(), read.code()), (words, 1003), "{first:?}");
    }
}

#[tokio::test]
async fn containers_are_measured_like_uploads() {
    let call = call().await;
    let rows = [
        ("account.wav", "wav"),
        ("workshop.mp3", "mp3"),
        ("platform.ogg", "ogg"),
        ("kitchen.opus", "ogg"),
        ("library.flac", "flac"),
        ("meeting.webm", "webm"),
        ("night-shift.aac", "aac"),
        ("ferry.aiff", "aiff"),
    ];
    for (name, format) in rows {
        let (bytes, _) = sample(name);
        let uploaded = json(call.sample(FAST, name, &[]).await).await;
        for query in [format!("audio_format={format}"), String::new()] {
            let model = if query.is_empty() { S_STT } else { S_ENGLISH };
            let read = call.streamed(model, &query, &bytes).await;
            assert_eq!(read.of("done")[0]["duration_ms"], uploaded["duration_ms"], "{name} {query}");
        }
    }
    let (opus, _) = sample("kitchen.opus");
    assert!(
        call.streamed(S_ENGLISH, "audio_format=opus", &opus)
            .await
            .error()
            .starts_with("Invalid audio_format")
    );
    assert_eq!(call.streamed(S_VOICE, "audio_format=opus", &opus).await.code(), 1000);
}

#[tokio::test]
async fn audio_that_is_not_what_was_declared_is_refused() {
    let call = call().await;
    let (mp3, _) = sample("workshop.mp3");
    let short = &mp3[..3000];
    let mismatch = "Audio data does not match the declared audio_format.";
    for (model, query, audio, code, words) in [
        (S_ENGLISH, "audio_format=wav", &mp3[..], 4002, mismatch),
        (S_VOICE, "audio_format=flac", short, 4002, mismatch),
        (S_REDACTION, "audio_format=wav", &mp3[..], 1003, "Invalid input audio"),
        (S_STT, "", &b"no audio at all"[..], 1003, "Invalid input audio"),
    ] {
        let read = call.streamed(model, query, audio).await;
        assert_eq!((read.code(), read.error()), (code, words), "{model}");
        assert_eq!(call.emulator.report().of(model).billed, 0);
    }
}

#[tokio::test]
async fn what_the_address_asks_is_refused_after_the_handshake() {
    let call = call().await;
    for (model, query, words) in [
        (
            S_ENGLISH,
            "audio_format=s16le",
            "Raw audio formats require sample_rate and num_channels query parameters",
        ),
        (S_STT, "colour=red", "Invalid request."),
        (
            S_STT,
            "language=english",
            "Invalid language='english'. Expected an ISO 639-1 language code (e.g. 'en', 'fr').",
        ),
    ] {
        let read = call.stream(model, query).await.read().await;
        assert_eq!((read.error(), read.code()), (words, 1003));
        assert_eq!(call.emulator.report().of(model).in_flight, 0, "the slot is free again");
    }
}

#[tokio::test]
async fn no_audio_is_no_error_and_costs_nothing() {
    let call = call().await;
    for model in STREAMS {
        let read = call.streamed(model, RAW, &[]).await;
        assert_eq!((read.messages.len(), &read.messages[0]["duration_ms"]), (1, &json!(0)), "{model}");
        assert_eq!(call.emulator.report().of(model).billed_ms, 0);
    }
}

#[tokio::test]
async fn the_same_audio_is_told_alike() {
    let call = call().await;
    for model in STREAMS {
        let first = call.streamed(model, RAW, &pcm(9000, 7)).await;
        let again = call.streamed(model, RAW, &pcm(9000, 7)).await;
        assert_eq!(first.messages, again.messages, "{model}");
        assert!(first.code() == 1000 && first.of("done").len() == 1, "{model}");
    }
}

#[tokio::test]
async fn every_model_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = models().into_iter().collect();
    assert_eq!(names.len(), 16);
    assert!(STREAMS.iter().all(|name| names.contains(name)));
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_turned_away() {
    let call = call().await;
    let url = format!("{}/api/{S_STT}?api_key=emulator-key", call.emulator.base_url());
    assert_eq!(call.client.get(&url).send().await.unwrap().status(), 400);
    assert_eq!(call.client.post(&url).send().await.unwrap().status(), 405);
    assert_eq!(call.emulator.report().of(S_STT).in_flight, 0);
}
