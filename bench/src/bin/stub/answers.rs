//! What is said, as whole messages: a success for each endpoint, and the two refusals in the words of the API.

/// The endpoints that are served.
const PATHS: [&str; 5] = [
    "/api/velma-2-stt-batch",
    "/api/velma-2-stt-batch-english-vfast",
    "/api/velma-2-synthetic-voice-detection-batch",
    "/api/velma-2-pii-phi-redaction-batch",
    "/api/velma-2-batch",
];

/// Where the recording's length stands, `LENGTH`, in milliseconds: one that is wrong would have clients look twice.
const BODIES: [&str; 5] = [
    r#"{"text":"Line two is down.","duration_ms":LENGTH,"utterances":[{"utterance_uuid":"0f6a4a57-6d6e-4c0e-9b67-0d1b5a3a9c11","text":"Line two is down.","start_ms":120,"duration_ms":1900,"speaker":1,"language":"en","emotion":null,"accent":null,"deepfake_score":null}]}"#,
    r#"{"text":"Line two is down.","duration_ms":LENGTH}"#,
    r#"{"filename":null,"duration_ms":LENGTH,"frames":[{"start_time_ms":0,"end_time_ms":LENGTH,"verdict":"non-synthetic","confidence":0.91}]}"#,
    concat!(
        "--stub\r\nContent-Disposition: form-data; name=\"metadata\"\r\nContent-Type: application/json\r\n\r\n",
        r#"{"text":"Line two is down.","duration_ms":LENGTH,"utterances":[],"redaction_ranges":[]}"#,
        "\r\n--stub\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"redacted.mp3\"\r\n",
        "Content-Type: audio/mpeg\r\n\r\nID3\r\n--stub--\r\n"
    ),
    r#"{"duration_ms":LENGTH,"clips":[],"behaviors":[]}"#,
];

const JSON: &str = "application/json";

/// Bytes of a millisecond of the recordings that are sent here, and what else a body holds, about.
const BYTES_A_MS: u64 = 32;
const AROUND: u64 = 350;

/// What can be said.
pub(crate) struct Answers {
    /// Too many at once.
    pub(crate) busy: Vec<u8>,
    /// The month's hours are used up.
    pub(crate) monthly: Vec<u8>,
}

impl Answers {
    pub(crate) fn new() -> Answers {
        let refusal =
            |detail: &str| message("429 Too Many Requests", JSON, &format!(r#"{{"detail":"{detail}"}}"#));
        Answers {
            busy: refusal("Too many concurrent requests for this model. Please try again shortly."),
            monthly: refusal("Monthly usage limit exceeded for this model."),
        }
    }
}

/// The success of the endpoint at `path` for a body of so many bytes, if there is one.
pub(crate) fn success(path: &str, len: u64) -> Option<Vec<u8>> {
    let at = PATHS.iter().position(|&known| known == path)?;
    let typed = match path.contains("redaction") {
        true => "multipart/form-data; boundary=stub",
        false => JSON,
    };
    let length = (len.saturating_sub(AROUND) / BYTES_A_MS).to_string();
    Some(message("200 OK", typed, &BODIES[at].replace("LENGTH", &length)))
}

/// A whole message.
pub(crate) fn message(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n{body}")
        .into_bytes()
}
