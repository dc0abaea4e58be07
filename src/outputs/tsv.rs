//! Whisper's table: start and end in whole milliseconds, and the text, set apart by tabs. Whole numbers, because a
//! decimal point is a comma elsewhere.

use std::fmt::Write;

use super::speech::Speech;

/// The whole file; a header without rows when nothing was said. Text holds neither tabs nor line ends by now.
pub(super) fn render(speech: &Speech) -> String {
    let mut out = "start\tend\ttext\n".to_owned();
    for said in &speech.utterances {
        let _ = writeln!(out, "{}\t{}\t{}", said.start_ms, said.end_ms, said.text);
    }
    out
}
