//! Answers of every age, and what is kept of them.

use bytes::Bytes;

use super::*;

fn answer(body: &str) -> Answer {
    Answer {
        status: 200,
        retry_after: None,
        content_type: Some("application/json".to_owned()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        audio: None,
        is_complete: true,
    }
}

fn transcript(endpoint: Endpoint, json: &str) -> Transcript {
    Transcript::from_json(endpoint, json).unwrap()
}

#[test]
fn the_answer_is_kept_on_one_line_with_every_field_and_digit() {
    let body = "\u{feff}{\r\n  \"text\": \"a \\\" \\\\\",\t\"duration_ms\": 6400,\n \"new\": [1.10, 1e2, 12345678901234567890123]}\n";
    let response = read(Endpoint::SttBatch, &answer(body)).unwrap();
    let kept = r#"{"text":"a \" \\","duration_ms":6400,"new":[1.10,1e2,12345678901234567890123]}"#;
    assert_eq!((response.json.as_str(), response.duration_ms), (kept, Some(6400)));
}

#[test]
fn a_transcription_is_read_in_full() {
    let json = r#"{"text":"Line two is down.","duration_ms":6400,"utterances":[
        {"utterance_uuid":"0f6a","text":"Line two is down.","start_ms":120,"duration_ms":1900,"speaker":1,
         "language":"en","emotion":"Concerned","accent":"Irish","deepfake_score":0.25,"words":[]}]}"#;
    let expected = Utterance {
        id: Some("0f6a".into()),
        start_ms: 120,
        end_ms: 2020,
        speaker: Some("1".into()),
        language: Some("en".into()),
        text: Some("Line two is down.".into()),
        emotion: Some("Concerned".into()),
        accent: Some("Irish".into()),
        deepfake_score: Some(0.25),
        ..Utterance::default()
    };
    let read = transcript(Endpoint::SttBatch, json);
    assert_eq!((read.duration_ms, read.utterances), (Some(6400), vec![expected]));
}

#[test]
fn older_and_thinner_utterances_are_understood() {
    let json = r#"{"utterances":[{"start_ms":10.0,"end_ms":30,"speaker":null,"text":" a "},{"text":"b"},
        {"start_ms":50,"end_ms":40,"speaker":"Speaker_2"},7,{"text":""}],"duration_ms":null}"#;
    let read = transcript(Endpoint::SttBatch, json);
    assert_eq!(read.text.as_deref(), Some("a b"), "joined where the whole text is missing");
    let spans: Vec<_> =
        read.utterances.iter().map(|u| (u.start_ms, u.end_ms, u.speaker.as_deref())).collect();
    assert_eq!(spans, [(10, 30, None), (0, 0, None), (50, 50, Some("Speaker_2")), (0, 0, None)]);
    assert_eq!(read.duration_ms, None);
    assert_eq!(transcript(Endpoint::SttBatch, r#"{"text":"","utterances":[]}"#).text.as_deref(), Some(""));
}

#[test]
fn an_utterance_without_an_end_ends_with_its_last_word() {
    let json = r#"{"text":"a b","utterances":[{"start_ms":10,"text":"a b","words":[
        {"text":"b","start_ms":40,"duration_ms":30},{"text":"a","start_ms":10,"end_ms":30},{"text":"c"},7]}]}"#;
    assert_eq!(transcript(Endpoint::SttBatch, json).utterances[0].end_ms, 70);
}

#[test]
fn numbers_beyond_measure_do_no_harm() {
    let json = r#"{"text":"x","duration_ms":1e300,"utterances":[
        {"start_ms":18446744073709551615,"duration_ms":5},{"start_ms":-4,"duration_ms":"7"}]}"#;
    let read = transcript(Endpoint::SttBatch, json);
    assert_eq!(read.duration_ms, None, "nonsense gets into no sum");
    assert_eq!((read.utterances[0].end_ms, read.utterances[1].end_ms), (5, 0));
}

#[test]
fn frames_of_a_detection_are_utterances_with_a_verdict() {
    let json = r#"{"filename":null,"duration_ms":9300,"frames":[
        {"start_time_ms":0,"end_time_ms":4000,"verdict":"non-synthetic","confidence":0.91},
        {"start_time_ms":4000,"end_time_ms":9300,"verdict":"fake","confidence":1}]}"#;
    let read = transcript(Endpoint::SyntheticVoiceDetectionBatch, json);
    let frames: Vec<_> =
        read.utterances.iter().map(|f| (f.start_ms, f.end_ms, f.verdict.as_deref(), f.confidence)).collect();
    assert_eq!(frames, [(0, 4000, Some("non-synthetic"), Some(0.91)), (4000, 9300, Some("fake"), Some(1.0))]);
    assert_eq!(read.text, None);
    let old = transcript(Endpoint::SyntheticVoiceDetectionBatch, r#"{"synthetic_voice":true}"#);
    assert_eq!(old.utterances, []);
}

#[test]
fn silenced_stretches_come_as_pairs_or_as_objects() {
    let json = r#"{"text":"","redaction_ranges":[[1850,3300],{"start_ms":5,"end_ms":9},{"start_ms":20,"duration_ms":2},[7],"x"]}"#;
    let read = transcript(Endpoint::PiiPhiRedactionBatch, json);
    assert_eq!(read.redaction_ranges, [(1850, 3300), (5, 9), (20, 22)]);
}

#[test]
fn clips_of_an_analysis_are_utterances_and_its_findings_are_named() {
    let json = r#"{"duration_ms":58200,"clips":[{"clip_uuid":"b2","text":"Charged twice.","start_ms":3100,"duration_ms":1500,"speaker_label":"1"}],
        "conversation_type_pick":{"name":"Billing call"},"topics":["double charge"],"summary":null,
        "behaviors":[{"behavior_name":"Refund requested","detected":true},{"behavior_name":"Threat","detected":false},{"behavior_name":"Thanks"}]}"#;
    let read = transcript(Endpoint::Batch, json);
    assert_eq!(read.text.as_deref(), Some("Charged twice."));
    assert_eq!(
        (read.utterances[0].id.as_deref(), read.utterances[0].speaker.as_deref()),
        (Some("b2"), Some("1"))
    );
    assert_eq!(read.conversation_type.unwrap().name.as_deref(), Some("Billing call"));
    assert_eq!((read.topics, read.summary), (vec!["double charge".to_owned()], None));
    let behaviors: Vec<_> = read.behaviors.iter().map(|b| (b.name.as_deref().unwrap(), b.detected)).collect();
    assert_eq!(behaviors, [("Refund requested", true), ("Threat", false), ("Thanks", true)]);
}

#[test]
fn roles_behaviors_and_sentiments_of_an_analysis_are_read_whole() {
    let json = r#"{"clips":[],"participant_role_picks":[{"speaker_label":"Speaker_1","participant_role_uuid":"c5",
        "name":"Customer","confidence":0.9,"detail":"d","reasoning":null}],
        "behaviors":[{"behavior_uuid":"7f","behavior_name":"Refund","speaker_label":null,"detected":true,"confidence":0.77,
          "evidence_clip_uuids":["b2",7],"definitive_clip_uuid":"b2","reasoning":"asked for it"},
          {"behavior_name":"Threat","detected":true,"skipped":true,"skip_reason":"no such type"}],
        "topic_sentiments":[{"topic":"charge","speaker_label":1,"sentiment_score":-0.6,"sentiment_label":"negative"},"x"]}"#;
    let read = transcript(Endpoint::Batch, json);
    let owned = |text: &str| Some(text.to_owned());
    assert_eq!(read.roles[0].source, None, "older answers do not say how a role was chosen");
    assert_eq!((read.roles[0].id.clone(), read.roles[0].name.clone()), (owned("c5"), owned("Customer")));
    let refund = Behavior {
        id: owned("7f"),
        name: owned("Refund"),
        speaker: None,
        detected: true,
        confidence: Some(0.77),
        evidence: vec!["b2".to_owned(), "7".to_owned()],
        definitive: owned("b2"),
        reasoning: owned("asked for it"),
    };
    assert_eq!(read.behaviors[0], refund);
    assert!(!read.behaviors[1].detected && read.behaviors[1].reasoning == owned("no such type"));
    let sentiment = Sentiment {
        topic: owned("charge"),
        speaker: owned("1"),
        score: Some(-0.6),
        label: owned("negative"),
    };
    assert_eq!(read.sentiments, [sentiment]);
}

#[test]
fn a_model_that_labels_gives_a_word_and_how_sure_it_is() {
    let emotion =
        r#"{"emotion":"Calm","time_series":[{"start_ms":0,"duration_ms":15000,"emotion":"Sad"}],"new":1}"#;
    let read = transcript(Endpoint::EmotionBatch, emotion);
    assert_eq!((read.label.as_deref(), read.text, read.duration_ms), (Some("Calm"), None, None));
    assert_eq!((read.utterances[0].end_ms, read.utterances[0].emotion.as_deref()), (15_000, Some("Sad")));
    let accent = transcript(Endpoint::AccentBatch, r#"{"accent":"Irish","time_series":[]}"#);
    assert_eq!((accent.label.as_deref(), accent.utterances.len()), (Some("Irish"), 0));
    let language = r#"{"predicted_language":"German","predicted_language_code":"de","confidence":0.98,"duration_ms":31000}"#;
    let read = transcript(Endpoint::LanguageDetectionBatch, language);
    assert_eq!((read.label.as_deref(), read.language.as_deref()), (Some("German"), Some("de")));
    assert_eq!((read.confidence, read.duration_ms), (Some(0.98), Some(31_000)));
}

#[test]
fn music_is_told_in_percent_and_its_length_in_seconds() {
    let json = r#"{"filename":"a.wav","duration_s":12.3456,"primary_label":"music","music_pct":61.5,"speech_pct":3,
        "latency_ms":1.5,"frames":[{"start_time_ms":0,"end_time_ms":192,"music_prob":0.9,"speech_prob":0.01}]}"#;
    let read = transcript(Endpoint::MusicDetectionBatch, json);
    assert_eq!((read.label.as_deref(), read.duration_ms), (Some("music"), Some(12_346)));
    assert_eq!((read.music.music, read.music.speech), (Some(61.5), Some(3.0)));
    assert_eq!((read.utterances[0].end_ms, read.utterances[0].music.music), (192, Some(0.9)));
    for nonsense in ["-1", "1e300", "\"x\""] {
        let json = format!(r#"{{"primary_label":"unknown","duration_s":{nonsense}}}"#);
        assert_eq!(transcript(Endpoint::MusicDetectionBatch, &json).duration_ms, None, "{nonsense}");
    }
}

#[test]
fn both_ages_of_what_a_machine_made_read_alike() {
    let old = r#"{"verdict":"not-ai-music","vocal_ai_percentage":25.0,"instrumental_ai_percentage":50,
        "windows":[{"start_time_ms":0,"end_time_ms":4000,"vocal_ai_percentage":75}]}"#;
    let new = r#"{"verdict":"not-ai-music","vocal_ai_probability":0.25,"instrumental_ai_probability":0.5,
        "windows":[{"start_time_ms":0,"end_time_ms":4000,"vocal_ai_probability":0.75,"instrumental_ai_probability":null}]}"#;
    let [old, new] = [old, new].map(|json| transcript(Endpoint::AiMusicDetectionBatch, json));
    assert_eq!(old, new);
    assert_eq!((old.music.ai_vocal, old.utterances[0].music.ai_vocal), (Some(0.25), Some(0.75)));
    assert_eq!((old.label.as_deref(), old.utterances[0].music.ai_instrumental), (Some("not-ai-music"), None));
}

#[test]
fn what_is_no_answer_is_refused_without_repeating_it() {
    let secret = "my number is 12345";
    for (endpoint, body) in [
        (Endpoint::SttBatch, format!("{{\"text\":\"{secret}")),
        (Endpoint::SttBatch, format!("{{\"text\":{secret}}}")),
        (Endpoint::SttBatch, format!("{{\"words\":\"{secret}\"}}")),
        (Endpoint::SttBatch, format!("{{\"text\":\"\"}} {secret}")),
        (Endpoint::SttBatch, format!("\"{secret}\"")),
        (Endpoint::SttBatch, String::new()),
        (Endpoint::SttBatchEnglishVfast, "{\"utterances\":[]}".to_owned()),
        (Endpoint::SttBatchEnglishVfast, "{\"text\":null}".to_owned()),
        (Endpoint::SyntheticVoiceDetectionBatch, "{\"text\":\"\"}".to_owned()),
        (Endpoint::Batch, "{\"text\":\"\"}".to_owned()),
        (Endpoint::PiiPhiRedactionBatch, "{\"text\":\"\"}".to_owned()),
        (Endpoint::SttBatchMultilingualVfast, "{\"utterances\":[]}".to_owned()),
        (Endpoint::EmotionBatch, "{\"time_series\":[]}".to_owned()),
        (Endpoint::AccentBatch, "{\"emotion\":\"Calm\"}".to_owned()),
        (Endpoint::MusicDetectionBatch, "{\"frames\":[]}".to_owned()),
        (Endpoint::AiMusicDetectionBatch, "{\"verdict\":null}".to_owned()),
    ] {
        let error = read(endpoint, &answer(&body)).unwrap_err().to_string();
        assert!(!error.contains("number") && !error.contains("12345"), "{error}");
    }
    let cut = Answer { is_complete: false, ..answer("{\"text\":\"\"}") };
    assert_eq!(read(Endpoint::SttBatch, &cut), Err(Unreadable::Cut));
}
