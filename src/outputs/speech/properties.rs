//! What holds of any answer: texts of many scripts, times that contradict each other, recordings too short for them.

use proptest::prelude::*;

use super::cues::{Show, cues};
use super::{Said, Speech, breaks};
use crate::outputs::transcript::{Transcript, Utterance};
use crate::outputs::{srt, tsv, vtt};
use crate::task::Endpoint;

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-zA-Z]{1,9}",
        2 => "[a-z]{1,9}[.!?,;:]",
        1 => "[a-z]{40,130}",
        1 => "(今日は|雨が降っています。|「はい」、|東京){1,30}",
        1 => "(שלום|مرحبا|שלום, )[a-z]{0,2}",
        1 => "(-->|<b>|&amp;|&|<v x>|00:00:01,000 --> 00:00:02,000|\\{[a-z]\\}|[0-9]{1,3})",
        1 => "(\n\n|\r\n|\t|\u{2028}|\u{0}|\u{1b}\\[31m|\u{feff}|e\u{301}|👩\u{200d}🚀)",
        1 => "<(pii:name|phi)></(pii:name|phi)>",
        1 => "\\PC{1,12}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    (prop::collection::vec(word(), 0..40), prop::sample::select(vec![" ", " ", " ", ""]))
        .prop_map(|(words, between)| words.join(between))
}

fn utterance() -> impl Strategy<Value = Utterance> {
    let ms = || prop_oneof![4 => 0..60_000u64, 1 => 0..5u64, 1 => Just(1 << 40)];
    let speaker = prop::option::of(prop::sample::select(vec!["1", "2", "Speaker_3", "a>b\nc"]));
    (ms(), prop_oneof![3 => 0..20_000u64, 1 => Just(0)], speaker, prop::option::weighted(0.9, text()))
        .prop_map(|(start_ms, takes, speaker, text)| Utterance {
            start_ms,
            end_ms: start_ms + takes,
            speaker: speaker.map(str::to_owned),
            text,
            ..Utterance::default()
        })
}

fn speech() -> impl Strategy<Value = Speech> {
    let duration = prop::option::weighted(0.8, prop_oneof![4 => 0..90_000u64, 1 => 0..20u64]);
    let endpoint = prop::sample::select(vec![Endpoint::SttBatch, Endpoint::PiiPhiRedactionBatch]);
    (prop::collection::vec(utterance(), 0..12), prop::option::of(text()), duration, endpoint).prop_map(
        |(utterances, text, duration_ms, endpoint)| {
            let transcript = Transcript { text, utterances, ..Transcript::default() };
            Speech::of(endpoint, &transcript, duration_ms)
        },
    )
}

/// Without what wrapping, splitting and directing may add or take: every kind of space, and marks of direction.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '\u{200F}').collect()
}

/// Everything said, in any order of overlapping pieces: the characters, sorted.
fn characters(texts: impl IntoIterator<Item = String>) -> Vec<char> {
    let mut all: Vec<char> =
        texts.into_iter().flat_map(|text| bare(&text).chars().collect::<Vec<_>>()).collect();
    all.sort_unstable();
    all
}

fn said(speech: &Speech) -> Vec<char> {
    characters(speech.utterances.iter().map(|said| said.text.clone()))
}

/// A cue as anybody reads it: start, end, text.
type Read = (u64, u64, String);

/// `01:02:03,004` or with a point.
fn ms(clock: &str) -> u64 {
    let (whole, thousandths) = clock.split_once([',', '.']).expect("a decimal mark");
    let seconds = whole.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().expect("a number"));
    assert_eq!(thousandths.len(), 3);
    seconds * 1000 + thousandths.parse::<u64>().expect("a number")
}

/// By the rules of the format alone: blocks are apart by an empty line, the first line with an arrow has the times.
fn read_blocks(text: &str) -> Vec<Read> {
    let blocks = text.split("\n\n").filter(|block| block.contains(" --> "));
    let read = |block: &str| {
        let mut lines = block.trim_end_matches('\n').split('\n').skip_while(|line| !line.contains(" --> "));
        let (start, end) = lines.next().and_then(|times| times.split_once(" --> ")).expect("times");
        (ms(start), ms(end), lines.collect::<Vec<_>>().join("\n"))
    };
    blocks.map(read).collect()
}

fn assert_sound(cues: &[Read], duration_ms: Option<u64>) {
    assert!(cues.iter().all(|(start, end, text)| start < end && !text.is_empty()), "{cues:?}");
    assert!(cues.windows(2).all(|two| two[0].0 < two[1].0), "{cues:?}");
    if let Some(duration) = duration_ms {
        assert!(cues.iter().all(|(_, end, _)| *end <= duration), "{duration} {cues:?}");
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stretches_of_one_speaker_follow_each_other_within_the_recording(speech in speech()) {
        for said in &speech.utterances {
            prop_assert!(said.start_ms < said.end_ms && said.end_ms <= speech.duration_ms.unwrap_or(u64::MAX));
            prop_assert!(!said.text.is_empty() && !said.text.contains(char::is_control));
        }
        for speaker in speech.utterances.iter().map(|said| &said.speaker) {
            let own: Vec<&Said> = speech.utterances.iter().filter(|said| said.speaker == *speaker).collect();
            prop_assert!(own.windows(2).all(|two| two[0].end_ms <= two[1].start_ms));
        }
        prop_assert!(speech.utterances.is_sorted_by_key(|said| said.start_ms));
    }

    #[test]
    fn cues_follow_each_other_and_hold_all_that_was_said(speech in speech()) {
        let cues = cues(&speech, Show::TextOnly);
        let lines = || cues.iter().flat_map(|cue| &cue.parts).flat_map(|part| part.lines.iter());
        prop_assert_eq!(characters(lines().cloned()), said(&speech));
        prop_assert!(lines().all(|line| !bare(line).is_empty() || line.trim() == line));
    }

    #[test]
    fn lines_are_as_short_as_agreed_wherever_they_can_be(text in text(), takes in 200..60_000u64) {
        let transcript = Transcript { text: Some(text), ..Transcript::default() };
        let speech = Speech::of(Endpoint::SttBatch, &transcript, Some(takes));
        for part in cues(&speech, Show::TextOnly).iter().flat_map(|cue| &cue.parts) {
            prop_assert!(part.lines.len() <= 2, "{:?}", part.lines);
            for line in part.lines.iter().filter(|line| !line.contains('\u{200D}')) {
                let columns: u64 = line.chars().map(breaks::columns_of).sum();
                prop_assert!(columns <= 42, "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn a_subrip_file_reads_back_as_what_was_said(speech in speech()) {
        let file = srt::render(&speech);
        let cues = read_blocks(&file);
        assert_sound(&cues, speech.duration_ms);
        let blocks = file.split("\n\n").filter(|block| !block.is_empty());
        let numbers = blocks.map(|block| block.split('\n').next().and_then(|n| n.parse::<usize>().ok()));
        prop_assert!(numbers.eq((1..=cues.len()).map(Some)), "{file}");
        prop_assert!(cues.iter().all(|(_, _, text)| !text.contains("-->")));
        if !speech.is_conversation() && !file.contains("->") {
            prop_assert_eq!(characters(cues.into_iter().map(|cue| cue.2)), said(&speech));
        }
    }

    #[test]
    fn a_webvtt_file_reads_back_as_what_was_said(speech in speech()) {
        let file = vtt::render(&speech);
        prop_assert!(file.starts_with("WEBVTT\n"));
        let cues = read_blocks(&file);
        assert_sound(&cues, speech.duration_ms);
        let mut text = Vec::new();
        for (_, _, cue) in cues {
            let mut rest = cue.as_str();
            while !rest.is_empty() {
                let inner;
                (inner, rest) = match rest.strip_prefix("<v ") {
                    Some(voice) => {
                        let (name, behind) = voice.split_once('>').expect("the span is opened");
                        prop_assert!(["SPEAKER_01", "SPEAKER_02", "SPEAKER_03", "a_b_c"].contains(&name));
                        behind.split_once("</v>").expect("the span is closed")
                    }
                    None => rest.split_at(rest.find("<v ").unwrap_or(rest.len())),
                };
                prop_assert!(!inner.contains(['<', '>']), "{inner:?}");
                text.push(unescaped(inner));
            }
        }
        prop_assert_eq!(characters(text), said(&speech));
    }

    #[test]
    fn a_table_reads_back_as_what_was_said(speech in speech()) {
        let file = tsv::render(&speech);
        let mut rows = file.split_terminator('\n').map(|row| row.split('\t').collect::<Vec<_>>());
        prop_assert_eq!(rows.next(), Some(vec!["start", "end", "text"]));
        let rows: Vec<_> = rows.collect();
        let wanted: Vec<Vec<String>> = speech
            .utterances
            .iter()
            .map(|said| vec![said.start_ms.to_string(), said.end_ms.to_string(), said.text.clone()])
            .collect();
        prop_assert_eq!(rows, wanted);
    }
}
