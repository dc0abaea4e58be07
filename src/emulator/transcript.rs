//! The words of a recording: true ones for the samples that come with the project, and for anything else a text
//! that says it is emulated. Nothing here recognises speech.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::script::Act;

/// An emulated transcript has an utterance for about this much audio.
const UTTERANCE_MS: u64 = 6000;

/// Opens every emulated transcript.
pub(super) const CONFESSION: &str =
    "This text comes from the voxbatch emulator, which does not recognise speech.";

/// A stretch of speech by one speaker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Utterance {
    /// From 1.
    pub(super) speaker: u32,
    pub(super) start_ms: u64,
    pub(super) duration_ms: u64,
    /// Personal data stands in `<pii:category>…</pii:category>`.
    pub(super) text: String,
    /// Where the personal data is heard, in the order of the tags: start and end.
    pub(super) private_ms: Vec<[u64; 2]>,
}

/// What is said in a recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Transcript {
    pub(super) utterances: Vec<Utterance>,
    /// One of the samples: known words, spoken by a machine.
    pub(super) sample: bool,
}

#[derive(Debug, Deserialize)]
struct Sample {
    sha256: String,
    utterances: Vec<Utterance>,
}

static SAMPLES: LazyLock<HashMap<String, Vec<Utterance>>> = LazyLock::new(|| {
    let samples: Vec<Sample> = serde_json::from_str(include_str!("../../samples/transcripts.json"))
        .expect("the samples' transcripts are part of the program and tested");
    samples.into_iter().map(|sample| (sample.sha256, sample.utterances)).collect()
});

impl Transcript {
    /// The words of a recording, by its SHA-256 in hex and its length.
    pub(super) fn of(sha256: &str, duration_ms: u64) -> Self {
        if let Some(utterances) = SAMPLES.get(sha256) {
            return Transcript { utterances: utterances.clone(), sample: true };
        }
        let parts = duration_ms.div_ceil(UTTERANCE_MS).max(1);
        let recording = sha256.get(..8).unwrap_or(sha256);
        let utterances = (0..parts).map(|part| {
            // Cut so that the parts tile the recording exactly.
            let (start, end) = (duration_ms * part / parts, duration_ms * (part + 1) / parts);
            let text = match part {
                0 => CONFESSION.to_owned(),
                _ => format!("Part {} of {parts} of recording {recording}, emulated.", part + 1),
            };
            Utterance {
                speaker: 1 + (part % 2) as u32,
                start_ms: start,
                duration_ms: end - start,
                text,
                private_ms: Vec::new(),
            }
        });
        Transcript { utterances: utterances.collect(), sample: false }
    }

    /// What could be words: wherever it is loud, and private.
    pub(super) fn where_loud(loud_ms: &[[u64; 2]]) -> Self {
        let utterance = |[start, end]: &[u64; 2]| Utterance {
            speaker: 1,
            start_ms: *start,
            duration_ms: end - start,
            text: format!("<pii:name>Loud for {} ms</pii:name>.", end - start),
            private_ms: vec![[*start, *end]],
        };
        Transcript { utterances: loud_ms.iter().map(utterance).collect(), sample: false }
    }

    /// What the script has for it.
    pub(super) fn play(&mut self, act: Act) {
        let Some(mut said) = self.utterances.first().cloned() else { return };
        match act {
            Act::NoSpeech => self.utterances.clear(),
            Act::Stuck => {
                "The emulator is stuck.".clone_into(&mut said.text);
                self.utterances = vec![said; 9];
            }
            Act::Babble => {
                said.text = CONFESSION.repeat(40).replace('.', ". ");
                self.utterances = (0..3)
                    .map(|part| Utterance { text: format!("{} {part}", said.text), ..said.clone() })
                    .collect();
            }
            Act::Foreign => self.utterances = vec![said; 3],
            _ => {}
        }
    }

    /// Ranges of personal data, widened and merged.
    pub(super) fn private_ranges(&self, before_ms: u64, after_ms: u64, duration_ms: u64) -> Vec<[u64; 2]> {
        let mut ranges: Vec<[u64; 2]> = Vec::new();
        for [start, end] in self.utterances.iter().flat_map(|utterance| &utterance.private_ms) {
            let start = start.saturating_sub(before_ms);
            let end = end.saturating_add(after_ms).min(duration_ms);
            match ranges.last_mut() {
                Some(last) if start <= last[1] => last[1] = last[1].max(end),
                _ => ranges.push([start, end]),
            }
        }
        ranges
    }
}

/// How personal data is shown in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tags {
    /// As words alone.
    Off,
    /// As words within their tags.
    Around,
    /// Tags without words.
    Emptied,
    /// `[CATEGORY]`, as the oldest pages show it.
    Bracketed,
}

impl Utterance {
    /// The text, with personal data shown as asked.
    pub(super) fn shown(&self, tags: Tags) -> String {
        let mut shown = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some((before, tagged)) = rest.split_once("<pii:") {
            shown.push_str(before);
            let Some((category, tagged)) = tagged.split_once('>') else { break };
            let Some((words, after)) = tagged.split_once("</pii:") else { break };
            let Some((_, after)) = after.split_once('>') else { break };
            match tags {
                Tags::Off => shown.push_str(words),
                Tags::Around => shown.push_str(&format!("<pii:{category}>{words}</pii:{category}>")),
                Tags::Emptied => shown.push_str(&format!("<pii:{category}></pii:{category}>")),
                Tags::Bracketed => shown.push_str(&format!("[{}]", category.to_uppercase())),
            }
            rest = after;
        }
        shown.push_str(rest);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_recording_is_tiled_and_says_that_it_is_emulated() {
        for duration_ms in [1, 5999, 6001, 3_600_123] {
            let transcript = Transcript::of("00ff00ff00", duration_ms);
            assert!(!transcript.sample);
            assert_eq!(transcript.utterances[0].text, CONFESSION);
            let end = transcript.utterances.iter().fold(0, |at, utterance| {
                assert_eq!(utterance.start_ms, at);
                at + utterance.duration_ms
            });
            assert_eq!(end, duration_ms);
        }
    }

    #[test]
    fn personal_data_is_shown_in_four_ways() {
        let text = "I am <pii:name>Alex Sample</pii:name>, hello.".to_owned();
        let utterance = Utterance { speaker: 1, start_ms: 0, duration_ms: 9, text, private_ms: vec![[2, 5]] };
        assert_eq!(utterance.shown(Tags::Off), "I am Alex Sample, hello.");
        assert_eq!(utterance.shown(Tags::Around), utterance.text);
        assert_eq!(utterance.shown(Tags::Emptied), "I am <pii:name></pii:name>, hello.");
        assert_eq!(utterance.shown(Tags::Bracketed), "I am [NAME], hello.");
    }

    #[test]
    fn ranges_that_touch_after_widening_become_one() {
        let at = |private_ms| Utterance {
            speaker: 1,
            start_ms: 0,
            duration_ms: 9000,
            text: String::new(),
            private_ms,
        };
        let utterances = vec![at(vec![[50, 400], [480, 900]]), at(vec![[5000, 8990]])];
        let transcript = Transcript { utterances, sample: true };
        assert_eq!(transcript.private_ranges(100, 0, 9000), [[0, 900], [4900, 8990]]);
        assert_eq!(transcript.private_ranges(0, 50, 9000), [[50, 450], [480, 950], [5000, 9000]]);
    }
}
