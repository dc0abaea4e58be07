//! SubRip. It has no way to escape anything: an arrow in the text becomes a shorter one, and no line is empty. Speakers
//! stand in the text where there are several.

use std::fmt::Write;

use super::speech::{Show, Speech, cues};

/// The whole file; empty when nothing was said.
pub(super) fn render(speech: &Speech) -> String {
    let mut out = String::new();
    for (number, cue) in (1..).zip(cues(speech, Show::SpeakersInText)) {
        let (start, end) = (clock(cue.start_ms), clock(cue.end_ms));
        let lines = cue.parts.iter().flat_map(|part| &part.lines).map(|line| harmless(line));
        let text = lines.collect::<Vec<_>>().join("\n");
        let apart = if number > 1 { "\n" } else { "" };
        let _ = write!(out, "{apart}{number}\n{start} --> {end}\n{text}\n");
    }
    out
}

fn harmless(line: &str) -> String {
    let mut line = line.to_owned();
    while line.contains("-->") {
        line = line.replace("-->", "->");
    }
    line
}

/// `01:02:03,004`
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02},{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_in_the_text_is_none_that_a_reader_could_take_for_times() {
        assert_eq!(harmless("a --> b ----> c"), "a -> b -> c");
    }

    #[test]
    fn hours_go_on_behind_ninety_nine() {
        assert_eq!(clock(3_723_004), "01:02:03,004");
        assert_eq!(clock(360_000_000), "100:00:00,000");
    }
}
