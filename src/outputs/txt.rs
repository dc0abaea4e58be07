//! Text for reading: a paragraph whenever somebody else speaks, with the speaker's label where speakers are told apart.

use super::speech::{Speech, directed, is_rtl, label};

/// The whole file; empty when nothing was said.
pub(super) fn render(speech: &Speech) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    for turn in speech.utterances.chunk_by(|a, b| a.speaker == b.speaker) {
        let text = turn.iter().map(|said| said.text.as_str()).collect::<Vec<_>>().join(" ");
        let rtl = is_rtl(&text);
        let paragraph = match turn.first().and_then(|said| said.speaker.as_deref()) {
            Some(speaker) => format!("{}: {text}", label(speaker)),
            None => text,
        };
        paragraphs.push(directed(paragraph, rtl) + "\n");
    }
    paragraphs.join("\n")
}
