//! What people write in `options`, and what they are told.

use serde_json::json;

use super::*;

fn sent(endpoint: Endpoint, value: Value) -> Vec<(&'static str, String)> {
    let options = Options::parse(endpoint, &value).expect("good options");
    options.fields().iter().map(|f| (f.name, f.value.clone())).collect()
}

fn error(endpoint: Endpoint, value: Value) -> OptionError {
    Options::parse(endpoint, &value).expect_err("bad options")
}

#[test]
fn switches_and_language_travel_as_form_fields() {
    let given = json!({"emotion_signal": true, "speaker_diarization": false, "language": "pt-BR"});
    let expected = [("speaker_diarization", "false"), ("emotion_signal", "true"), ("language", "pt-BR")];
    assert_eq!(sent(Endpoint::SttBatch, given), expected.map(|(k, v)| (k, v.to_owned())));
}

#[test]
fn custom_terms_travel_inside_config() {
    let given = json!({"custom_terms": ["Velma", {"term": "Añejo", "definition": null}], "config": {"language": null}});
    let config = r#"{"language":null,"custom_terms":["Velma",{"term":"Añejo","definition":null}]}"#;
    assert_eq!(sent(Endpoint::SttBatch, given), [("config", config.to_owned())]);
}

#[test]
fn no_options_send_nothing_but_a_no_to_training() {
    for endpoint in Endpoint::ALL {
        let expected = match endpoint {
            Endpoint::EmotionBatch | Endpoint::AccentBatch => {
                vec![("training_permitted", "false".to_owned())]
            }
            _ => vec![],
        };
        assert_eq!(sent(endpoint, json!({})), expected);
        assert_eq!(sent(endpoint, Value::Null), expected);
        assert_eq!(error(endpoint, json!([])).key, "");
    }
}

#[test]
fn training_is_permitted_by_nobody_but_the_user() {
    for endpoint in [Endpoint::EmotionBatch, Endpoint::AccentBatch] {
        let given = json!({"training_permitted": true, "use_ensemble": true});
        let expected = [("training_permitted", "true"), ("use_ensemble", "true")];
        assert_eq!(sent(endpoint, given), expected.map(|(k, v)| (k, v.to_owned())));
        let unsaid = [("training_permitted", "false".to_owned())];
        assert_eq!(sent(endpoint, json!({"training_permitted": null, "use_ensemble": null})), unsaid);
        assert_eq!(error(endpoint, json!({"training_permitted": "no"})).key, "training_permitted");
    }
}

#[test]
fn a_misspelt_option_is_an_error_with_a_suggestion() {
    let e = error(Endpoint::SttBatch, json!({"speaker_diarisation": true}));
    assert_eq!(
        (e.key.as_str(), e.suggestion.as_deref()),
        ("speaker_diarisation", Some("speaker_diarization"))
    );
    assert!(e.to_string().ends_with("; did you mean `speaker_diarization`?"), "{e}");
    let e = error(Endpoint::SttBatch, json!({"diarization": true}));
    assert_eq!(e.suggestion.as_deref(), Some("speaker_diarization"));
    let e = error(Endpoint::Batch, json!({"config": {"behaviours": []}}));
    assert_eq!((e.key.as_str(), e.suggestion.as_deref()), ("config.behaviours", Some("behaviors")));
    let e = error(Endpoint::PiiPhiRedactionBatch, json!({"emotion_signal": true}));
    assert_eq!(e.suggestion, None);
}

#[test]
fn endpoints_without_options_say_so() {
    for endpoint in [
        Endpoint::SttBatchEnglishVfast,
        Endpoint::SyntheticVoiceDetectionBatch,
        Endpoint::LanguageDetectionBatch,
        Endpoint::MusicDetectionBatch,
        Endpoint::AiMusicDetectionBatch,
    ] {
        let e = error(endpoint, json!({"language": "en"}));
        assert!(e.problem.contains("takes no options"), "{e}");
    }
}

#[test]
fn a_language_name_is_answered_with_its_code() {
    let e = error(Endpoint::SttBatch, json!({"language": "English"}));
    assert_eq!(e.suggestion.as_deref(), Some("en"));
    assert!(e.problem.contains("use `en`"), "{e}");
    for bad in ["auto", "", "e", "engl", "en-", "e1", "en US", "klingon"] {
        assert_eq!(error(Endpoint::PiiPhiRedactionBatch, json!({"language": bad})).key, "language", "{bad}");
    }
    for good in ["en", "EN", "eng", "zh_Hans-CN", "pt-BR"] {
        assert_eq!(sent(Endpoint::SttBatch, json!({"language": good})), [("language", good.to_owned())]);
    }
}

#[test]
fn a_switch_in_quotes_is_refused() {
    let e = error(Endpoint::SttBatch, json!({"pii_phi_tagging": "true"}));
    assert_eq!(e.to_string(), "option `pii_phi_tagging` must be true or false, not a string");
}

#[test]
fn paddings_are_whole_milliseconds() {
    let given = json!({"start_redaction_padding_ms": 250, "end_redaction_padding_ms": 0});
    let expected = [("start_redaction_padding_ms", "250"), ("end_redaction_padding_ms", "0")];
    assert_eq!(sent(Endpoint::PiiPhiRedactionBatch, given), expected.map(|(k, v)| (k, v.to_owned())));
    for bad in [json!(-1), json!(1.5), json!("100")] {
        let e = error(Endpoint::PiiPhiRedactionBatch, json!({"end_redaction_padding_ms": bad}));
        assert_eq!(e.key, "end_redaction_padding_ms");
    }
}

#[test]
fn the_limits_of_custom_terms_are_checked_where_they_are_broken() {
    let cases = [
        (json!({"custom_terms": vec!["a"; 1001]}), "custom_terms"),
        (json!({"custom_terms": vec!["a".repeat(100); 90]}), "custom_terms"),
        (json!({"custom_terms": ["ok", ""]}), "custom_terms[1]"),
        (json!({"custom_terms": [7]}), "custom_terms[0]"),
        (json!({"custom_terms": [{"definition": "x"}]}), "custom_terms[0]"),
        (json!({"config": {"custom_terms": ["a", "b", "c", {"term": ""}]}}), "config.custom_terms[3].term"),
        (
            json!({"custom_terms": [{"term": "a", "definition": "x".repeat(257)}]}),
            "custom_terms[0].definition",
        ),
        (
            json!({"custom_terms": [{"term": "a", "pronunciations": vec!["x"; 17]}]}),
            "custom_terms[0].pronunciations",
        ),
        (
            json!({"custom_terms": [{"term": "a", "pronunciations": ["ok", "ö"]}]}),
            "custom_terms[0].pronunciations[1]",
        ),
        (json!({"custom_terms": [{"term": "a", "terms": 1}]}), "custom_terms[0].terms"),
    ];
    for (given, key) in cases {
        assert_eq!(error(Endpoint::SttBatch, given).key, key);
    }
    let most = json!({"custom_terms": vec!["abc"; 1000]});
    assert_eq!(sent(Endpoint::SttBatch, most).len(), 1);
}

#[test]
fn an_option_given_twice_is_refused() {
    let e = error(Endpoint::SttBatch, json!({"language": "en", "config": {"language": "fr"}}));
    assert!(e.problem.contains("twice"), "{e}");
}

#[test]
fn an_analysis_takes_default_or_a_table_of_known_keys() {
    assert_eq!(sent(Endpoint::Batch, json!({"config": "default"})), [("config", "default".to_owned())]);
    let table = json!({"config": {"behaviors": ["preset:complaints"], "produce_summary": false, "stt": {"language": "en"}}});
    let text = r#"{"behaviors":["preset:complaints"],"produce_summary":false,"stt":{"language":"en"}}"#;
    assert_eq!(sent(Endpoint::Batch, table), [("config", text.to_owned())]);
    let cases = [
        (json!({"config": "{}"}), "config"),
        (json!({"config": {"behaviors": [{"behavior_uuid": "7"}]}}), "config.behaviors[0].behavior_uuid"),
        (json!({"config": {"stt": {"languages": "en"}}}), "config.stt.languages"),
        (json!({"config": {"behaviors": ["complaints"]}}), "config.behaviors[0]"),
        (json!({"config": {"produce_topics": 1}}), "config.produce_topics"),
        (json!({"config": {"participant_roles": {}}}), "config.participant_roles"),
    ];
    for (given, key) in cases {
        assert_eq!(error(Endpoint::Batch, given).key, key);
    }
}

#[test]
fn options_that_ask_how_a_voice_sounds_are_known_wherever_they_stand() {
    let hears = |endpoint, given| Options::parse(endpoint, &given).unwrap().hears_voices();
    for name in ["emotion_signal", "accent_signal", "deepfake_signal"] {
        assert!(hears(Endpoint::SttBatch, json!({ name: true })), "{name}");
        assert!(hears(Endpoint::SttBatch, json!({ "config": { name: true } })), "{name}");
        assert!(hears(Endpoint::Batch, json!({ "config": { "stt": { name: true } } })), "{name}");
        assert!(!hears(Endpoint::SttBatch, json!({ name: false })), "{name}");
    }
    assert!(!hears(Endpoint::SttBatch, json!({ "speaker_diarization": true, "pii_phi_tagging": true })));
    assert!(!hears(Endpoint::Batch, Value::Null));
}
