//! A manifest as NeMo reads it: a line of JSON for each stretch of speech, with the audio that it is in. Paths are
//! relative: of a redaction, whose text goes with no other audio, to the manifest; else to the source.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use super::record::Record;
use super::speech::{Speech, label};
use crate::task::Endpoint;

/// A stretch of speech. The order of the fields is the order of the keys.
#[derive(Serialize)]
struct Entry<'a> {
    audio_filepath: &'a str,
    /// The bytes of a name that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<&'a str>,
    /// Seconds.
    offset: f64,
    /// Seconds.
    duration: f64,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<&'a str>,
    /// Of this recording alone: numbers mean nothing outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
    /// What the recording comes with.
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
}

/// Appends the lines of a recording; returns how many.
pub(super) fn lines(out: &mut Vec<u8>, record: &Record<'_>) -> io::Result<u64> {
    let (Some(transcript), Ok(endpoint)) = (record.transcript, record.endpoint.parse::<Endpoint>()) else {
        return Ok(0);
    };
    let speech = Speech::of(endpoint, transcript, record.duration_ms);
    let name = record.redacted_audio.as_ref().map_or(&record.path, |audio| &audio.path);
    for said in &speech.utterances {
        let entry = Entry {
            audio_filepath: &name.path,
            path_b64: name.path_b64.as_deref(),
            offset: seconds(said.start_ms),
            duration: seconds(said.end_ms - said.start_ms),
            text: &said.text,
            lang: said.language.as_deref(),
            speaker: said
                .speaker
                .as_deref()
                .map(|speaker| format!("{}-{}", record.path.path, label(speaker))),
            metadata: &record.metadata,
        };
        serde_json::to_writer(&mut *out, &entry)?;
        out.push(b'\n');
    }
    Ok(speech.utterances.len() as u64)
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
