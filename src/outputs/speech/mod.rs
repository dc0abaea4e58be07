//! What was said, when and by whom, as formats for people and their tools need it: ordered, within the recording, no
//! stretch without length, text without markup. Nothing is listened to: what the answer leaves open is reckoned here.

mod breaks;
mod cues;
mod markup;
#[cfg(test)]
mod properties;
mod words;

use std::collections::HashMap;

pub(super) use self::cues::{Part, Show, cues};
pub(super) use self::words::{column, directed, is_rtl, label};
use super::transcript::{self, Transcript};
use crate::queue::ResultRow;
use crate::task::{Answers, Endpoint};

/// Characters that are spoken in a second, at least, where an answer does not say when something ends.
const SLOWEST: u64 = 10;

/// Nothing that is said lasts less, where an answer does not tell.
const SHORTEST_MS: u64 = 1000;

/// What was said in a recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Speech {
    /// By start; those of one speaker do not overlap, and all have text and length.
    pub(super) utterances: Vec<Said>,
    /// The recording's length, if it is known.
    pub(super) duration_ms: Option<u64>,
}

/// A stretch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) start_ms: u64,
    /// More than the start, and within the recording.
    pub(super) end_ms: u64,
    /// As the API has it.
    pub(super) speaker: Option<String>,
    pub(super) language: Option<String>,
    /// On one line, its words apart by one space, not empty.
    pub(super) text: String,
}

impl Speech {
    /// Of a stored result.
    pub(super) fn of_row(row: &ResultRow) -> Self {
        Speech::of(row.endpoint, &transcript::read(row.endpoint, &row.response), row.duration_ms)
    }

    /// Of an answer. One that has text and says of no stretch when it was said counts as one stretch: the whole.
    pub(super) fn of(endpoint: Endpoint, transcript: &Transcript, duration_ms: Option<u64>) -> Self {
        let redacted = endpoint.returns_audio();
        let duration_ms = duration_ms.or(transcript.duration_ms).filter(|ms| *ms > 0);
        let plain = |text: &Option<String>| {
            text.as_deref().map(|text| markup::plain(text, redacted)).filter(|text| !text.is_empty())
        };
        let mut said: Vec<Said> = transcript
            .utterances
            .iter()
            .filter_map(|u| {
                let text = plain(&u.text)?;
                let (speaker, language) = (u.speaker.clone(), u.language.clone());
                Some(Said { start_ms: u.start_ms, end_ms: u.end_ms, speaker, language, text })
            })
            .collect();
        // What nobody tells the time of is no subtitle.
        let untimed = endpoint.answers() == Answers::Text && said.iter().all(|said| said.end_ms == 0);
        if (said.is_empty() || untimed)
            && let Some(text) = plain(&transcript.text)
        {
            let end_ms = duration_ms.unwrap_or(0);
            said = vec![Said { start_ms: 0, end_ms, speaker: None, language: None, text }];
        }
        said.sort_by_key(|said| said.start_ms);
        bound(&mut said, duration_ms);
        Speech { utterances: one_at_a_time(said), duration_ms }
    }

    /// Whether more than one speaker is told apart.
    pub(super) fn is_conversation(&self) -> bool {
        let first = self.utterances.first().map(|said| &said.speaker);
        self.utterances.iter().any(|said| Some(&said.speaker) != first)
    }
}

/// Brings every stretch within the recording, and gives an end to those without one: no later than the next begins or
/// the recording ends, and no later than the words can take.
fn bound(said: &mut [Said], duration_ms: Option<u64>) {
    if let Some(duration) = duration_ms {
        said.iter_mut().for_each(|said| said.start_ms = said.start_ms.min(duration - 1));
    }
    let starts: Vec<u64> = said.iter().map(|said| said.start_ms).collect();
    for (n, said) in said.iter_mut().enumerate() {
        if said.end_ms <= said.start_ms {
            let next = starts[n..].iter().find(|start| **start > said.start_ms).copied();
            let takes = (said.text.chars().count() as u64 * 1000 / SLOWEST).max(SHORTEST_MS);
            said.end_ms = said.start_ms.saturating_add(takes).min(next.unwrap_or(u64::MAX));
        }
        said.end_ms = said.end_ms.min(duration_ms.unwrap_or(u64::MAX)).max(said.start_ms + 1);
    }
}

/// Two people can talk at once; one cannot: what a speaker says ends where the same one's next begins, and what one is
/// to have said twice at one moment is one.
fn one_at_a_time(all: Vec<Said>) -> Vec<Said> {
    let mut kept: Vec<Said> = Vec::with_capacity(all.len());
    let mut last: HashMap<Option<String>, usize> = HashMap::new();
    for said in all {
        if let Some(before) = last.get(&said.speaker).map(|at| &mut kept[*at]) {
            if before.start_ms == said.start_ms {
                before.text = format!("{} {}", before.text, said.text);
                before.end_ms = before.end_ms.max(said.end_ms);
                continue;
            }
            before.end_ms = before.end_ms.min(said.start_ms);
        }
        last.insert(said.speaker.clone(), kept.len());
        kept.push(said);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(json: &str) -> Speech {
        let transcript = Transcript::from_json(Endpoint::SttBatch, json).unwrap();
        Speech::of(Endpoint::SttBatch, &transcript, transcript.duration_ms)
    }

    fn spans(json: &str) -> Vec<(u64, u64)> {
        speech(json).utterances.iter().map(|said| (said.start_ms, said.end_ms)).collect()
    }

    #[test]
    fn an_end_that_is_missing_is_the_next_start_what_the_words_take_or_the_end_of_the_recording() {
        let json = r#"{"duration_ms":9000,"utterances":[{"start_ms":0,"text":"Twenty-five characters!"},
            {"start_ms":2000,"text":"Yes."},{"start_ms":5000,"text":"A sentence of fifty characters that goes on and on."}]}"#;
        assert_eq!(spans(json), [(0, 2000), (2000, 3000), (5000, 9000)]);
    }

    #[test]
    fn nothing_goes_beyond_the_recording_or_lasts_no_time() {
        let json = r#"{"duration_ms":1000,"utterances":[{"start_ms":900,"end_ms":5000,"text":"a"},
            {"start_ms":7000,"end_ms":8000,"speaker":2,"text":"b"}]}"#;
        assert_eq!(spans(json), [(900, 1000), (999, 1000)]);
        assert_eq!(spans(r#"{"duration_ms":0,"utterances":[{"text":"a"}]}"#), [(0, 1000)]);
    }

    #[test]
    fn two_can_talk_at_once_and_one_cannot() {
        let json = r#"{"duration_ms":9000,"utterances":[{"start_ms":0,"end_ms":4000,"speaker":1,"text":"a"},
            {"start_ms":1000,"end_ms":2000,"speaker":2,"text":"b"},{"start_ms":3000,"end_ms":5000,"speaker":1,"text":"c"},
            {"start_ms":3000,"end_ms":3500,"speaker":1,"text":"d"}]}"#;
        assert_eq!(spans(json), [(0, 3000), (1000, 2000), (3000, 5000)]);
        assert_eq!(speech(json).utterances[2].text, "c d");
    }

    #[test]
    fn text_without_times_is_one_stretch_and_silence_is_none() {
        assert_eq!(spans(r#"{"text":"Hello there.","duration_ms":3000}"#), [(0, 3000)]);
        assert_eq!(spans(r#"{"text":"Hello there."}"#), [(0, 1200)]);
        assert_eq!(spans(r#"{"text":" \n","duration_ms":3000,"utterances":[]}"#), []);
    }

    #[test]
    fn stretches_come_by_their_start_and_those_that_begin_together_as_they_came() {
        let json = r#"{"utterances":[{"start_ms":5,"end_ms":9,"speaker":3,"text":"c"},
            {"start_ms":1,"end_ms":3,"speaker":2,"text":"b"},{"start_ms":1,"end_ms":2,"speaker":1,"text":"a"}]}"#;
        let texts: Vec<String> = speech(json).utterances.into_iter().map(|said| said.text).collect();
        assert_eq!(texts, ["b", "a", "c"]);
    }
}
