//! Good answers: the samples, their lengths, and what options do to them.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::emulator::form::hex;
use crate::emulator::transcript::CONFESSION;
use crate::emulator::{Contract, Shape};

/// What the samples' list says.
fn listed() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../samples/transcripts.json")).unwrap()
}

#[test]
fn the_samples_are_the_files_that_were_listed() {
    let listed = listed();
    assert_eq!(listed.len(), SAMPLES.len());
    let mut total = 0;
    for entry in &listed {
        let name = entry["file"].as_str().unwrap();
        let (bytes, _) = sample(name);
        total += bytes.len();
        assert_eq!(entry["sha256"], hex(&Sha256::digest(&bytes)), "{name}");
        let words = String::from_utf8(sample_text(name)).unwrap();
        for utterance in entry["utterances"].as_array().unwrap() {
            let text = utterance["text"].as_str().unwrap();
            let plain: String =
                text.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect();
            assert!(words.contains(&plain), "{name}: {plain}");
        }
    }
    assert!(total <= 1_000_000, "{total} bytes");
}

fn sample_text(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(format!("{name}.txt"));
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn every_format_is_measured_within_fifty_milliseconds() {
    let call = Call::to(Settings::default()).await;
    for entry in listed() {
        let name = entry["file"].as_str().unwrap();
        for model in [STT, FAST, VOICE, REDACTION, VELMA, MULTILINGUAL] {
            let answer = call.sample(model, name, &[]).await;
            assert_eq!(answer.status(), 200, "{model} {name}");
            if model == REDACTION {
                continue;
            }
            let answer = json(answer).await;
            let (got, true_ms) =
                (answer["duration_ms"].as_u64().unwrap(), entry["duration_ms"].as_u64().unwrap());
            assert!(got.abs_diff(true_ms) <= 50, "{model} {name}: {got} for {true_ms}");
        }
    }
    let report = call.emulator.report();
    assert_eq!((report.mime_mismatches, report.octet_stream_uploads, report.missing_user_agent), (0, 0, 0));
    let stt = report.of(STT);
    assert_eq!((stt.bodies, stt.sha256.len(), stt.billed_ms), (10, 10, stt.unique_ms));
}

#[tokio::test]
async fn options_are_obeyed() {
    let call = Call::to(Settings { contract: Contract::B, ..Settings::default() }).await;
    let plain = json(call.sample(STT, "workshop.mp3", &[]).await).await;
    let speakers: Vec<_> =
        plain["utterances"].as_array().unwrap().iter().map(|u| u["speaker"].clone()).collect();
    assert_eq!(speakers, [1, 2, 1]);
    let first = &plain["utterances"][0];
    assert_eq!(first["text"], "Good morning. Is the workshop open today?");
    assert_eq!(
        (&first["emotion"], &first["accent"], &first["deepfake_score"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(first["language"], "en");

    let config = r#"{"speaker_diarization":false,"deepfake_signal":true,"language":"de"}"#;
    let fields = [
        ("speaker_diarization", "true"),
        ("emotion_signal", "true"),
        ("accent_signal", "true"),
        ("config", config),
    ];
    let full = json(call.sample(STT, "workshop.mp3", &fields).await).await;
    let second = &full["utterances"][1];
    assert_eq!((&second["speaker"], &second["language"]), (&json!(1), &json!("de")));
    assert_eq!((&second["emotion"], &second["accent"]), (&json!("Neutral"), &json!("Unknown")));
    assert!(second["deepfake_score"].as_f64().unwrap() > 0.9, "a sample is a machine's voice");

    let hidden = json(call.sample(STT, "account.wav", &[]).await).await;
    assert!(hidden["text"].as_str().unwrap().contains("my name is Alex Sample."));
    let tagged = json(call.sample(STT, "account.wav", &[("pii_phi_tagging", "true")]).await).await;
    assert!(tagged["text"].as_str().unwrap().contains("my name is <pii:name>Alex Sample</pii:name>."));
}

#[tokio::test]
async fn the_oldest_contract_has_no_deepfake_score_unless_asked() {
    let call = Call::to(Settings::default()).await;
    let keys = |answer: Value| answer["utterances"][0].as_object().unwrap().contains_key("deepfake_score");
    assert!(!keys(json(call.sample(STT, "account.wav", &[]).await).await));
    assert!(keys(json(call.sample(STT, "account.wav", &[("deepfake_signal", "true")]).await).await));
}

#[tokio::test]
async fn an_unknown_recording_gets_a_text_that_says_so_and_the_same_one_again() {
    let call = Call::to(Settings::default()).await;
    let first = json(call.good(STT).await).await;
    assert_eq!(first["text"], CONFESSION);
    assert_eq!(first["utterances"][0]["duration_ms"], 1000);
    assert_eq!(first, json(call.good(STT).await).await);
    let other = call.upload(STT, "other.wav", wav(1), "audio/wav").send().await.unwrap();
    assert_ne!(
        first["utterances"][0]["utterance_uuid"],
        json(other).await["utterances"][0]["utterance_uuid"]
    );
    let fast = json(call.good(FAST).await).await;
    assert_eq!(fast, json!({ "text": CONFESSION, "duration_ms": 1000 }));
}

#[tokio::test]
async fn voices_are_judged_in_tiles_of_four_seconds() {
    let call = Call::to(Settings::default()).await;
    let answer = json(call.sample(VOICE, "account.wav", &[]).await).await;
    assert_eq!(answer["filename"], "account.wav");
    let frames = answer["frames"].as_array().unwrap();
    let ends: Vec<_> = frames.iter().map(|frame| frame["end_time_ms"].as_u64().unwrap()).collect();
    assert_eq!(ends, [4000, 8000, answer["duration_ms"].as_u64().unwrap()]);
    assert!(frames.iter().all(|frame| frame["verdict"] == "synthetic"));

    let silent = call.upload(VOICE, "silent.wav", wav_ms(4500, 0), "audio/wav").send().await.unwrap();
    let quiet =
        json!({"start_time_ms": 4000, "end_time_ms": 4500, "verdict": "no-content", "confidence": 1.0});
    assert_eq!(json(silent).await["frames"][1], quiet);
}

#[tokio::test]
async fn conversations_follow_their_configuration() {
    let call = Call::to(Settings { contract: Contract::C, ..Settings::default() }).await;
    let default = json(call.sample(VELMA, "workshop.mp3", &[("config", "default")]).await).await;
    assert_eq!(default["clips"][1]["speaker_label"], "2");
    assert_eq!(default["participant_role_picks"].as_array().unwrap().len(), 2);
    assert_eq!(default["conversation_type_pick"]["selection_source"], "default");
    let bare = r#"{"conversation_types":[],"default_conversation_type":null,"produce_summary":false,
        "stt":{"speaker_diarization":false}}"#;
    let bare = json(call.sample(VELMA, "workshop.mp3", &[("config", bare)]).await).await;
    assert_eq!(bare["clips"][1]["speaker_label"], "1");
    assert_eq!((&bare["conversation_type_pick"], &bare["summary"]), (&Value::Null, &Value::Null));
    assert_eq!(bare["behaviors"], json!([]), "none are evaluated unless asked for");
}

#[tokio::test]
async fn types_and_roles_are_chosen_from_what_was_given() {
    let call = Call::to(Settings { contract: Contract::B, ..Settings::default() }).await;
    let asked = async |config: Value| {
        json(call.sample(VELMA, "workshop.mp3", &[("config", &config.to_string())]).await).await
    };
    let item = |id: &str, n: u8, name: &str| {
        let uuid = format!("00000000-0000-4000-8000-0000000000{n:02}");
        json!({ id: uuid, "name": name, "short_description": "", "detailed_description": "" })
    };
    let typed = |n, name| item("conversation_type_uuid", n, name);
    let role = |n, name, only: &Value| {
        let mut role = item("participant_role_uuid", n, name);
        role["applies_to_conversation_type_uuids"] = json!([only["conversation_type_uuid"]]);
        role
    };
    let (call_type, mail_type) = (typed(1, "Call"), typed(2, "Mail"));
    let roles = json!([role(3, "Writer", &mail_type), role(4, "Caller", &call_type)]);
    let one = asked(json!({ "conversation_types": [call_type], "participant_roles": roles })).await;
    let pick = &one["conversation_type_pick"];
    assert_eq!(
        (&pick["name"], &pick["selection_source"]),
        (&json!("Call"), &json!("auto_selected_single_option"))
    );
    assert_eq!(one["participant_role_picks"][0]["name"], "Caller", "the other is for another type");
    let two =
        asked(json!({ "conversation_types": [mail_type, call_type], "participant_roles": roles })).await;
    assert_eq!(two["conversation_type_pick"]["selection_source"], "inferred");
    assert_eq!(two["participant_role_picks"][1]["name"], "Writer");
    let none =
        asked(json!({ "conversation_types": [], "default_conversation_type": typed(5, "Other") })).await;
    assert_eq!(none["conversation_type_pick"]["name"], "Other");
    assert_eq!(none["conversation_type_pick"]["selection_source"], "default");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_a_sentence_or_with_its_place() {
    let config = json!({ "participant_roles": [{ "participant_uuid": "x" }] }).to_string();
    for (located_flaws, expected) in [
        (false, json!("Invalid configuration.")),
        (
            true,
            json!([{
                "loc": ["body", "config", "participant_roles", 0, "participant_role_uuid"],
                "msg": "Field required",
                "type": "missing",
            }]),
        ),
    ] {
        let shape = crate::emulator::Shape { located_flaws, ..Default::default() };
        let call = Call::to(Settings { shape, ..Settings::default() }).await;
        let answer = refused(call.sample(VELMA, "workshop.mp3", &[("config", &config)]).await).await;
        assert_eq!(answer, (422, expected));
    }
}

#[tokio::test]
async fn presets_are_listed_without_quota() {
    let call = Call::to(Settings::default()).await;
    for model in ["velma-2-batch", "velma-2-streaming"] {
        let url = format!("{}/api/{model}/list-presets", call.emulator.base_url());
        let answer = call.client.get(&url).header("x-api-key", "emulator-key").send().await.unwrap();
        let presets = json(answer).await;
        assert!(
            presets["presets"].as_array().unwrap().iter().any(|preset| preset["identifier"] == "vishing")
        );
        assert_eq!(call.client.get(&url).send().await.unwrap().status(), 401);
        assert_eq!(call.emulator.report().of(model).billed_ms, 0);
    }
}

#[tokio::test]
async fn odd_shapes_are_still_lawful_json() {
    let shape =
        Shape { end_ms: true, null_speaker: true, words: true, extra_fields: true, ..Shape::default() };
    let call = Call::to(Settings { shape, ..Settings::default() }).await;
    let answer = json(call.sample(STT, "ferry.aiff", &[]).await).await;
    let first = &answer["utterances"][0];
    assert_eq!((&first["start_ms"], &first["end_ms"]), (&json!(120), &json!(1793)));
    assert_eq!((first.get("duration_ms"), first.get("utterance_uuid")), (None, None));
    assert_eq!(first["speaker"], Value::Null);
    assert_eq!(first["words"].as_array().unwrap().len(), 5);
    assert_eq!(answer["emulated"]["undocumented"], true);
}

/// The parts of a redaction answer, by name, in order.
fn parts(content_type: &str, body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let boundary = content_type.split("boundary=").nth(1).unwrap().trim_matches('"');
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    let mut pieces: Vec<_> = text.split(&format!("--{boundary}")).skip(1).collect();
    assert!(pieces.pop().unwrap().starts_with("--"), "a closing boundary");
    let part = |piece: &str| {
        let (head, content) = piece.split_once("\r\n\r\n").unwrap();
        let name = head.split("name=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (name, content.strip_suffix("\r\n").unwrap().chars().map(|c| c as u8).collect())
    };
    pieces.into_iter().map(part).collect()
}

async fn redacted(shape: Shape, fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    let call = Call::to(Settings { shape, contract: Contract::B, ..Settings::default() }).await;
    let answer = call.sample(REDACTION, "account.wav", fields).await;
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn redaction_answers_in_two_parts() {
    let fields = [("start_redaction_padding_ms", "0"), ("end_redaction_padding_ms", "10")];
    let (kind, body) = redacted(Shape::default(), &fields).await;
    assert!(!kind.contains('"') && body.ends_with(b"--\r\n"));
    let parts = parts(&kind, &body);
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["metadata", "audio"]);
    let metadata: Value = serde_json::from_slice(&parts[0].1).unwrap();
    assert_eq!(metadata["redaction_ranges"], json!([[1738, 2979], [4796, 6978]]));
    let text = metadata["text"].as_str().unwrap();
    assert!(text.contains("<pii:name></pii:name>") && !text.contains("Alex"));
    let frames = parts[1].1.len() as u64 / 36;
    assert!((frames * 36).abs_diff(metadata["duration_ms"].as_u64().unwrap()) <= 50);
}

#[tokio::test]
async fn redaction_can_be_as_odd_as_the_pages_differ() {
    let swapped =
        Shape { parts_swapped: true, quoted_boundary: true, last_crlf_missing: true, ..Shape::default() };
    let (kind, body) = redacted(swapped, &[]).await;
    assert!(kind.ends_with('"') && body.ends_with(b"--"));
    assert_eq!(parts(&kind, &body)[0].0, "audio");

    let lone = Shape { audio_missing: true, ranges_as_objects: true, ..Shape::default() };
    let (kind, body) = redacted(lone, &[]).await;
    let parts = parts(&kind, &body);
    assert_eq!(parts.len(), 1);
    let metadata: Value = serde_json::from_slice(&parts[0].1).unwrap();
    assert_eq!(metadata["redaction_ranges"][0], json!({ "start_ms": 1638, "end_ms": 2969 }));

    let (kind, body) = redacted(Shape { redaction_as_json: true, ..Shape::default() }, &[]).await;
    assert_eq!(kind, "application/json");
    assert!(serde_json::from_slice::<Value>(&body).unwrap()["redaction_ranges"].is_array());
}

#[tokio::test]
async fn the_oldest_contract_puts_categories_in_brackets() {
    let call = Call::to(Settings::default()).await;
    let answer = call.sample(REDACTION, "account.wav", &[]).await;
    let body = answer.bytes().await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("my name is [NAME]."));
}
