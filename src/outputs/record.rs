//! The record: everything there is to say about one recording, in one fixed order. JSONL writes it whole, CSV
//! picks columns from it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::transcript::Transcript;
use crate::queue::{ResultRow, TaskRow};
use crate::task::{Endpoint, RecordingPath, Suspicion, TaskState};

/// What a reader may rely on: keys are only ever added under this name, never changed or reordered.
const SCHEMA: &str = "voxbatch.result/1";

/// One recording. The order of the fields is the order of the keys.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    schema: &'static str,
    pub(super) job: &'a str,
    pub(super) task: i64,
    #[serde(flatten)]
    pub(super) path: Name<'a>,
    pub(super) endpoint: &'static str,
    pub(super) status: &'static str,
    /// What is odd about it, with the evidence; nothing where nothing is.
    pub(super) suspect: Option<&'a [Suspicion]>,
    pub(super) attempts: u32,
    pub(super) http_status: Option<u16>,
    pub(super) audio: Audio<'a>,
    pub(super) duration_ms: Option<u64>,
    /// Its length by our own measure of what was sent, and how that was found out.
    pub(super) measured_ms: Option<u64>,
    pub(super) duration_method: Option<&'static str>,
    pub(super) billed_ms: Option<u64>,
    pub(super) text: Option<&'a str>,
    response: Option<Response<'a>>,
    /// Whose answer it is: the recordings are the same, and only the other one was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reused_from: Option<i64>,
    /// The answer was deleted by hand: there is no text, and no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purged_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redacted_audio: Option<Redacted<'a>>,
    pub(super) error: Option<Trouble<'a>>,
    pub(super) started_at: Option<String>,
    pub(super) finished_at: Option<String>,
    /// What the recording comes with.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    #[serde(skip)]
    pub(super) model: Endpoint,
    #[serde(skip)]
    pub(super) transcript: Option<&'a Transcript>,
}

/// A path relative to its folder. A name that is not UTF-8 keeps its bytes in base64 beside the readable form.
#[derive(Serialize)]
pub(super) struct Name<'a> {
    pub(super) path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path_b64: Option<String>,
}

impl<'a> From<&'a RecordingPath> for Name<'a> {
    fn from(path: &'a RecordingPath) -> Self {
        Name {
            path: String::from_utf8_lossy(path.as_bytes()),
            path_b64: path.as_utf8().is_none().then(|| STANDARD.encode(path.as_bytes())),
        }
    }
}

/// What was sent, or what is known of what was not.
#[derive(Serialize)]
pub(super) struct Audio<'a> {
    pub(super) bytes: u64,
    pub(super) blake3: Option<&'a str>,
    pub(super) format: Option<&'a str>,
    pub(super) mime: Option<&'a str>,
}

/// Audio that came with the answer, relative to the job's output folder.
#[derive(Serialize)]
pub(super) struct Redacted<'a> {
    #[serde(flatten)]
    pub(super) path: Name<'a>,
    bytes: u64,
    sha256: &'a str,
    /// It was deleted by hand; the rest says what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) purged_at: Option<String>,
}

/// Why it did not succeed.
#[derive(Serialize)]
pub(super) struct Trouble<'a> {
    pub(super) cause: &'static str,
    pub(super) http_status: Option<u16>,
    pub(super) message: &'a str,
    pub(super) billed: &'static str,
}

/// The API's whole answer, character by character.
#[derive(Serialize)]
#[serde(untagged)]
enum Response<'a> {
    Whole(&'a RawValue),
    OnOneLine(Box<RawValue>),
    NotJson(&'a str),
}

impl<'a> Response<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.trim();
        match serde_json::from_str(text) {
            Ok(raw) if !text.contains(['\n', '\r']) => Response::Whole(raw),
            // In JSON, line breaks can only stand between values, so spaces in their place change nothing:
            // no number is read and written again on the way.
            Ok(_) => match RawValue::from_string(text.replace(['\n', '\r'], " ")) {
                Ok(raw) => Response::OnOneLine(raw),
                Err(_) => Response::NotJson(text),
            },
            // The queue keeps JSON only. Should it ever not, the line must still be one value.
            Err(_) => Response::NotJson(text),
        }
    }
}

impl<'a> Record<'a> {
    /// Of a recording that succeeded.
    pub(super) fn of_result(job: &'a str, row: &'a ResultRow, transcript: &'a Transcript) -> Self {
        Record {
            schema: SCHEMA,
            job,
            task: row.task.0,
            path: (&row.path).into(),
            endpoint: row.endpoint.name(),
            status: TaskState::Succeeded.word(),
            suspect: (!row.suspicions.is_empty()).then_some(&*row.suspicions),
            attempts: row.attempts,
            http_status: Some(row.http_status),
            audio: Audio {
                bytes: row.audio.bytes,
                blake3: Some(&row.audio.blake3),
                format: Some(&row.audio.format),
                mime: Some(&row.audio.mime),
            },
            duration_ms: row.duration_ms,
            measured_ms: row.measured.map(|m| m.duration_ms),
            duration_method: row.measured.map(|m| m.method.word()),
            billed_ms: Some(row.billed_ms),
            text: transcript.text.as_deref(),
            response: Some(Response::new(&row.response)),
            reused_from: row.reused_from.map(|task| task.0),
            purged_at: row.purged_at.map(|at| at.to_string()),
            redacted_audio: row.redacted_audio.as_ref().map(|audio| Redacted {
                path: (&audio.path).into(),
                bytes: audio.bytes,
                sha256: &audio.sha256,
                purged_at: row.audio_purged_at.map(|at| at.to_string()),
            }),
            error: None,
            started_at: Some(row.started_at.to_string()),
            finished_at: Some(row.finished_at.to_string()),
            model: row.endpoint,
            metadata: row.metadata.fields(),
            // Nothing was counted in what is gone: no utterances is not the same as none any more.
            transcript: row.purged_at.is_none().then_some(transcript),
        }
    }

    /// Of a recording without a result: failed, refused, or on its way.
    pub(super) fn of_task(row: &'a TaskRow) -> Self {
        Record {
            schema: SCHEMA,
            job: &row.job_name,
            task: row.id.0,
            path: (&row.path).into(),
            endpoint: row.endpoint.name(),
            status: row.state.word(),
            suspect: None,
            attempts: row.attempts,
            http_status: row.http_status,
            audio: Audio { bytes: row.size_bytes, blake3: None, format: row.format.as_deref(), mime: None },
            duration_ms: None,
            measured_ms: row.measured.map(|m| m.duration_ms),
            duration_method: row.measured.map(|m| m.method.word()),
            billed_ms: None,
            text: None,
            response: None,
            reused_from: None,
            purged_at: None,
            redacted_audio: None,
            error: row.cause.map(|cause| Trouble {
                cause: cause.word(),
                http_status: row.http_status,
                message: row.message.as_deref().unwrap_or_default(),
                billed: row.billed.map_or("unknown", |billed| billed.word()),
            }),
            started_at: None,
            finished_at: row.finished_at.map(|at| at.to_string()),
            model: row.endpoint,
            metadata: row.metadata.fields(),
            transcript: None,
        }
    }
}
