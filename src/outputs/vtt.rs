//! WebVTT: speakers are voice spans, and whatever could be taken for markup is escaped.

use std::fmt::Write;

use super::speech::{Part, Show, Speech, cues};

/// The whole file; a header without cues when nothing was said.
pub(super) fn render(speech: &Speech) -> String {
    let mut out = "WEBVTT\n".to_owned();
    for cue in cues(speech, Show::TextOnly) {
        let text = cue.parts.iter().map(voice).collect::<Vec<_>>().join("\n");
        let _ = write!(out, "\n{} --> {}\n{text}\n", clock(cue.start_ms), clock(cue.end_ms));
    }
    out
}

fn voice(part: &Part) -> String {
    let text = escaped(&part.lines.join("\n"));
    match &part.speaker {
        Some(speaker) => format!("<v {}>{text}</v>", escaped(speaker)),
        None => text,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `01:02:03.004`
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_text_is_markup() {
        assert_eq!(escaped("a --> <b> & c"), "a --&gt; &lt;b&gt; &amp; c");
    }
}
