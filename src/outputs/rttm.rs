//! RTTM: who speaks when, for tools that measure and train the telling apart of speakers. Fields are set apart by spaces
//! and hold none. Numbers of speakers mean nothing outside of their recording, so a speaker bears its name.

use std::fmt::Write;

use super::speech::{Speech, column};
use crate::task::RecordingPath;

/// The whole file; empty when nothing was said.
pub(super) fn render(path: &RecordingPath, speech: &Speech) -> String {
    let file = column(path.as_bytes());
    let mut out = String::new();
    for said in &speech.utterances {
        let (start, length) = (seconds(said.start_ms), seconds(said.end_ms - said.start_ms));
        let speaker = match said.speaker.as_deref().map(str::trim) {
            Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{file}-S{number}")
            }
            Some(label) => format!("{file}-{}", column(label.as_bytes())),
            None => "<NA>".to_owned(),
        };
        let _ = writeln!(out, "SPEAKER {file} 1 {start} {length} <NA> <NA> {speaker} <NA> <NA>");
    }
    out
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
