//! Messages as the documents, older clients and bad days have them, and the answers that they make.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ROOM: usize = 1 << 20;

fn folded(endpoint: Endpoint, messages: &[Value]) -> Value {
    let mut fold = Fold::new(endpoint, false, ROOM);
    for message in messages {
        fold.hear(&message.to_string()).unwrap();
    }
    assert!(fold.is_whole(), "{messages:?}");
    serde_json::from_str(&fold.json()).unwrap()
}

fn said(id: &str, text: &str, start_ms: u64) -> Value {
    json!({ "utterance_uuid": id, "text": text, "start_ms": start_ms, "duration_ms": 900, "speaker": 1,
        "language": "en", "emotion": null, "accent": null, "deepfake_score": null })
}

fn utterance(of: Value) -> Value {
    json!({ "type": "utterance", "utterance": of })
}

fn done(ms: u64) -> Value {
    json!({ "type": "done", "duration_ms": ms })
}

#[test]
fn utterances_stand_in_the_order_of_their_times_and_make_the_text() {
    let (a, b) = (said("a", " Line two is down. ", 120), said("b", "I will open a ticket.", 2600));
    let answer = folded(Endpoint::SttStreaming, &[utterance(b.clone()), utterance(a.clone()), done(6400)]);
    assert_eq!(
        answer,
        json!({ "text": "Line two is down. I will open a ticket.", "duration_ms": 6400, "utterances": [a, b] })
    );
    assert_eq!(
        folded(Endpoint::SttStreaming, &[done(0)]),
        json!({ "text": "", "duration_ms": 0, "utterances": [] }),
        "nobody spoke"
    );
}

#[test]
fn previews_are_not_kept_whatever_they_hold() {
    let messages = [
        json!({ "type": "partial_utterance", "partial_utterance": { "text": "Li" } }),
        json!({ "type": "partial_utterance", "text": "" }),
        utterance(said("a", "Line", 0)),
        json!({ "type": "partial_clip", "clip_uuid": "x" }),
        done(1000),
    ];
    assert_eq!(folded(Endpoint::SttStreaming, &messages)["text"], "Line");
}

#[test]
fn the_oldest_messages_have_their_fields_beside_the_type() {
    let flat =
        json!({ "type": "utterance", "text": "hello", "start_ms": 5, "duration_ms": 10, "speaker": 2 });
    let answer = folded(Endpoint::SttStreaming, &[flat, done(20)]);
    assert_eq!(answer["text"], "hello");
    assert_eq!(
        answer["utterances"][0],
        json!({ "text": "hello", "start_ms": 5, "duration_ms": 10, "speaker": 2 })
    );
}

#[test]
fn one_that_is_told_again_replaces_itself() {
    let messages = [
        utterance(said("a", "helo", 0)),
        utterance(said("a", "hello", 0)),
        utterance(said("b", "you", 9)),
        done(9),
    ];
    assert_eq!(folded(Endpoint::SttStreaming, &messages)["text"], "hello you");
}

#[test]
fn no_digit_is_rounded() {
    let mut fold = Fold::new(Endpoint::SttStreaming, false, ROOM);
    let score = "0.12345678901234567890";
    fold.hear(&format!(r#"{{"type":"utterance","utterance":{{"text":"x","deepfake_score":{score}}}}}"#))
        .unwrap();
    fold.hear(r#"{"type":"done","duration_ms":1500.0}"#).unwrap();
    let json = fold.json();
    assert!(json.contains(score) && json.contains("1500.0"), "{json}");
}

#[test]
fn english_is_one_text_or_one_for_each_pause() {
    let last = |text: &str| json!({ "type": "utterance", "utterance": { "text": text, "is_final": true } });
    let draft = json!({ "type": "utterance", "text": "Hel", "is_final": false });
    let english = Endpoint::SttStreamingEnglishV2;
    assert_eq!(
        folded(english, &[draft.clone(), last("Hello there."), done(900)]),
        json!({ "text": "Hello there.", "duration_ms": 900 })
    );
    let mut fold = Fold::new(english, true, ROOM);
    for message in [draft, last("Hello."), last("There."), last("Hello."), done(900)] {
        fold.hear(&message.to_string()).unwrap();
    }
    let answer: Value = serde_json::from_str(&fold.json()).unwrap();
    assert_eq!(answer["text"], "Hello. There. Hello.");
    assert_eq!(answer["utterances"].as_array().unwrap().len(), 3);
}

#[test]
fn frames_are_a_detection_and_a_window_told_anew_replaces_itself() {
    let frame = |start: u64, end: u64, verdict: &str| json!({ "start_time_ms": start, "end_time_ms": end, "verdict": verdict, "confidence": 0.9 });
    let tell = |frame: &Value| json!({ "type": "frame", "frame": frame });
    let (a, b, c) =
        (frame(0, 4000, "synthetic"), frame(4000, 8000, "no-content"), frame(0, 4000, "non-synthetic"));
    let end = json!({ "type": "done", "duration_ms": 8000, "frame_count": 2 });
    let answer = folded(Endpoint::SyntheticVoiceDetectionStreaming, &[tell(&a), tell(&b), tell(&c), end]);
    assert_eq!(answer, json!({ "filename": null, "frames": [c, b], "duration_ms": 8000 }));
}

#[test]
fn a_redaction_says_which_audio_follows() {
    let mut fold = Fold::new(Endpoint::PiiPhiRedactionStreaming, false, ROOM);
    let mut hear = |message: Value| fold.hear(&message.to_string()).unwrap();
    let range = json!({ "start_ms": 0, "duration_ms": 1020 });
    let with =
        json!({ "type": "utterance", "utterance": said("a", "I am [NAME].", 120), "redacted_audio": range });
    assert_eq!(hear(with), Heard::Audio(ClipAt { start_ms: 0, duration_ms: 1020 }));
    let without = json!({ "type": "utterance", "utterance": said("b", "Hm.", 50), "redacted_audio": null });
    assert_eq!(hear(without), Heard::More);
    let end = json!({ "type": "done", "duration_ms": 2000,
        "trailing_redacted_audio": { "start_ms": 1020, "duration_ms": 980 } });
    assert_eq!(hear(end), Heard::Done(Some(ClipAt { start_ms: 1020, duration_ms: 980 })));
    let answer: Value = serde_json::from_str(&fold.json()).unwrap();
    assert_eq!(answer["text"], "Hm. I am [NAME].");
    assert_eq!((&answer["redaction_ranges"], &answer["duration_ms"]), (&Value::Null, &json!(2000)));
}

#[test]
fn a_conversation_is_put_together_from_its_events() {
    let clip = |id: &str, start: u64| {
        json!({ "clip_uuid": id, "text": id, "start_ms": start, "duration_ms": 5, "speaker_label": "1",
            "emotion": null, "accent": null })
    };
    let tell = |of: Value| json!({ "type": "clip", "clip": of });
    let event = |kind: &str, key: &str, of: Value| json!({ "type": kind, key: of });
    let messages = [
        // Sooner than its clip.
        json!({ "type": "clip_update", "clip_uuid": "b", "emotion": "Calm", "accent": "Irish" }),
        tell(clip("b", 50)),
        tell(clip("a", 10)),
        event("clip_update", "clip_update", json!({ "clip_uuid": "a", "emotion": "Sad" })),
        event("clip_update", "clip_update", json!({ "clip_uuid": "a", "emotion": "Happy" })),
        event("conversation_type", "pick", json!({ "name": "Call" })),
        event("conversation_type", "pick", json!({ "name": "Billing call" })),
        event("participant_role", "pick", json!({ "speaker_label": "1", "name": "Agent" })),
        event("participant_role", "pick", json!({ "speaker_label": "2", "name": "Agent" })),
        event("participant_role", "pick", json!({ "speaker_label": "1", "name": "Customer" })),
        event("behavior_detection", "detection", json!({ "behavior_uuid": "r", "behavior_name": "Refund" })),
        event("topics", "topics", json!(["charge"])),
        event(
            "topic_sentiment",
            "topic_sentiment",
            json!({ "topic": "charge", "speaker_label": "1", "sentiment_score": 0 }),
        ),
        event(
            "topic_sentiment",
            "topic_sentiment",
            json!({ "topic": "charge", "speaker_label": "1", "sentiment_score": 1 }),
        ),
        event("topics", "topics", json!(["double charge", "refund"])),
        event("summary", "text", json!("draft")),
        event("summary", "text", json!("They met.")),
        event("a_later_invention", "x", json!(1)),
        done(58200),
    ];
    let mut expected = [clip("a", 10), clip("b", 50)];
    expected[0]["emotion"] = json!("Happy");
    expected[1]["emotion"] = json!("Calm");
    expected[1]["accent"] = json!("Irish");
    assert_eq!(
        folded(Endpoint::Streaming, &messages),
        json!({
            "duration_ms": 58200,
            "clips": expected,
            "conversation_type_pick": { "name": "Billing call" },
            "participant_role_picks": [
                { "speaker_label": "1", "name": "Customer" }, { "speaker_label": "2", "name": "Agent" }
            ],
            "behaviors": [{ "behavior_uuid": "r", "behavior_name": "Refund" }],
            "topics": ["double charge", "refund"],
            "topic_sentiments": [{ "topic": "charge", "speaker_label": "1", "sentiment_score": 1 }],
            "summary": "They met.",
        })
    );
}

#[test]
fn an_error_ends_it_in_the_apis_words() {
    let mut fold = Fold::new(Endpoint::SttStreaming, false, ROOM);
    let mut hear = |message: Value| fold.hear(&message.to_string()).unwrap();
    let refused = |words: &str| Heard::Refused(words.to_owned());
    assert_eq!(
        hear(json!({ "type": "error", "error": "Insufficient credits." })),
        refused("Insufficient credits.")
    );
    assert_eq!(hear(json!({ "type": "error", "detail": "no" })), refused("no"));
    assert_eq!(hear(json!({ "type": "error", "error": { "code": 7 } })), refused(r#"{"code":7}"#));
    assert_eq!(hear(json!({ "type": "error" })), refused(""));
    assert!(!fold.is_whole());
}

#[test]
fn a_message_that_cannot_be_read_spoils_the_answer_and_an_unknown_one_does_not() {
    for (message, whole) in [
        (r#"{"type":"utterance","utterance":{"text":"He"#, false),
        ("hello", false),
        ("[]", false),
        (r#"{"type":"utterance","utterance":7}"#, false),
        (r#"{"type":"utterance","utterance":null}"#, true),
        (r#"{"type":"keepalive"}"#, true),
        (r#"{"type":7}"#, true),
        ("{}", true),
        (r#"{"type":"frame","frame":{}}"#, true),
    ] {
        let mut fold = Fold::new(Endpoint::SttStreaming, false, ROOM);
        fold.hear(message).unwrap();
        fold.hear(&done(1).to_string()).unwrap();
        assert_eq!(fold.is_whole(), whole, "{message}");
        let answer: Value = serde_json::from_str(&fold.json()).unwrap();
        assert_eq!(answer["utterances"], json!([]));
    }
}

#[test]
fn what_is_kept_is_bounded_and_what_is_not_kept_does_not_count() {
    let mut fold = Fold::new(Endpoint::SttStreaming, false, 1000);
    let preview = json!({ "type": "partial_utterance", "text": "x".repeat(900) }).to_string();
    for _ in 0..100 {
        assert_eq!(fold.hear(&preview), Ok(Heard::More));
    }
    let one = utterance(said("a", &"x".repeat(500), 0)).to_string();
    assert_eq!(fold.hear(&one), Ok(Heard::More));
    assert_eq!(fold.hear(&one), Err(TooMuch));
}

/// Utterances of a recording with previews between them, and some order to tell them in.
fn interleaved() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    let starts = prop::collection::btree_map(0u64..1000, "[a-z ]{0,8}", 0..12);
    starts.prop_flat_map(|starts| {
        let told: Vec<Value> =
            starts.iter().map(|(start, text)| utterance(said(&format!("u{start}"), text, *start))).collect();
        let previews = (0..told.len()).map(
            |n| json!({ "type": "partial_utterance", "partial_utterance": { "text": n.to_string(), "start_ms": n } }),
        );
        let all: Vec<Value> = told.iter().cloned().chain(previews).collect();
        (Just(told), Just(all).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn any_order_of_telling_makes_the_same_answer((in_order, shuffled) in interleaved()) {
        let with_end = |mut messages: Vec<Value>| { messages.push(done(1900)); messages };
        prop_assert_eq!(
            folded(Endpoint::SttStreaming, &with_end(in_order)),
            folded(Endpoint::SttStreaming, &with_end(shuffled))
        );
    }

    #[test]
    fn any_messages_make_json_that_has_the_shape(
        endpoint in prop::sample::select(Endpoint::ALL.into_iter().filter(|e| e.is_streaming()).collect::<Vec<_>>()),
        messages in prop::collection::vec((
            prop::sample::select(vec!["utterance", "clip", "frame", "clip_update", "topics", "summary", "done",
                "conversation_type", "participant_role", "behavior_detection", "topic_sentiment", "other"]),
            prop::sample::select(vec![json!(null), json!(7), json!("x"), json!([]), json!({}),
                json!({ "clip_uuid": "a", "start_ms": -5, "text": "t" }), json!({ "start_ms": 1e300 })]),
        ), 0..20),
    ) {
        let mut fold = Fold::new(endpoint, false, ROOM);
        for (kind, inner) in &messages {
            let key = match *kind {
                "conversation_type" | "participant_role" => "pick",
                "behavior_detection" => "detection",
                "summary" => "text",
                kind => kind,
            };
            fold.hear(&json!({ "type": kind, key: inner }).to_string()).unwrap();
        }
        let answer: Value = serde_json::from_str(&fold.json()).unwrap();
        prop_assert!(answer.is_object());
    }
}
