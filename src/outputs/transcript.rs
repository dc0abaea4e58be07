//! What outputs need of an answer. Stand-in for `velma::response::Transcript` until that lands: the same names
//! and types, read leniently; only [`read`] is called from outside.

use serde_json::Value;

use crate::task::Endpoint;

/// What was said in a recording, whichever model heard it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Transcript {
    /// The whole text; `None` for a model that gives none.
    pub(super) text: Option<String>,
    /// Utterances, clips or frames, in the answer's order.
    pub(super) utterances: Vec<Utterance>,
}

/// One stretch of a recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Utterance {
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    pub(super) speaker: Option<String>,
    pub(super) language: Option<String>,
    pub(super) text: Option<String>,
    pub(super) emotion: Option<String>,
    pub(super) accent: Option<String>,
    pub(super) deepfake_score: Option<f64>,
    pub(super) verdict: Option<String>,
    pub(super) confidence: Option<f64>,
}

/// Reads a stored answer. What is missing or of another type stays empty: the record holds the whole answer
/// beside it, so nothing is hidden.
pub(super) fn read(endpoint: Endpoint, response: &str) -> Transcript {
    let answer: Value = serde_json::from_str(response).unwrap_or_default();
    let utterances: Vec<Utterance> = ["utterances", "clips", "frames"]
        .iter()
        .find_map(|key| answer[*key].as_array())
        .map(|list| list.iter().map(utterance).collect())
        .unwrap_or_default();
    let text = match endpoint {
        Endpoint::SyntheticVoiceDetectionBatch => None,
        Endpoint::Batch => {
            Some(utterances.iter().filter_map(|u| u.text.as_deref()).collect::<Vec<_>>().join("\n"))
        }
        _ => word(&answer["text"]),
    };
    Transcript { text, utterances }
}

fn utterance(value: &Value) -> Utterance {
    let number = |keys: [&str; 2]| keys.iter().find_map(|key| value[*key].as_u64());
    let start_ms = number(["start_ms", "start_time_ms"]).unwrap_or_default();
    let end_ms = number(["end_ms", "end_time_ms"]);
    Utterance {
        start_ms,
        end_ms: end_ms
            .unwrap_or_else(|| start_ms.saturating_add(value["duration_ms"].as_u64().unwrap_or_default())),
        speaker: word(&value["speaker"]).or_else(|| word(&value["speaker_label"])),
        language: word(&value["language"]),
        text: word(&value["text"]),
        emotion: word(&value["emotion"]),
        accent: word(&value["accent"]),
        deepfake_score: value["deepfake_score"].as_f64(),
        verdict: word(&value["verdict"]),
        confidence: value["confidence"].as_f64(),
    }
}

/// A string, or a number written as one: speakers are numbers in one model and labels in another.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
