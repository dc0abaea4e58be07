//! Answers to pieces of a recording, joined into one on the recording's own time. Nothing is made up: a speaker is one of
//! its piece, for nobody knows whether it is the same one in the next, and what cannot be joined stands with its piece.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::Response;
use super::response::{Transcript, Unreadable, millis, not_json, ranges};
use crate::task::{Endpoint, Stretch};

/// An answer, and to what.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Which piece.
    pub stretch: &'a Stretch,
    /// The API's whole answer.
    pub json: &'a str,
}

/// Where times stand, wherever there are any.
const TIMES: [&str; 4] = ["start_ms", "end_ms", "start_time_ms", "end_time_ms"];
/// Lists of what was found at some time.
const FOUND: [&str; 2] = ["utterances", "frames"];
const RANGES: &str = "redaction_ranges";

/// Joins answers to all pieces of a recording, in the order of the recording.
///
/// # Errors
/// When one of them cannot be read.
pub fn join(endpoint: Endpoint, parts: &[Part<'_>]) -> Result<Response, Unreadable> {
    let mut answers = Vec::with_capacity(parts.len());
    for part in parts {
        let answer: Map<String, Value> = serde_json::from_str(part.json).map_err(not_json)?;
        answers.push(answer);
    }
    let stretches: Vec<&Stretch> = parts.iter().map(|part| part.stretch).collect();
    let rereads = stretches.iter().any(|stretch| stretch.heard != stretch.own || stretch.channel > 0);
    let mut joined = Map::new();
    let mut keys: Vec<String> = Vec::new();
    for key in answers.iter().flat_map(Map::keys) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let mut apart = Vec::new();
    for key in keys {
        let value = match key.as_str() {
            "text" => Some(texts(&answers)),
            "duration_ms" => duration(&answers, &stretches).map(Value::from),
            found if FOUND.contains(&found) => Some(all_found(found, &answers, &stretches)),
            RANGES => Some(json!(union(&answers, &stretches))),
            // What is the same everywhere is so of the whole.
            same => answers
                .first()
                .and_then(|first| first.get(same))
                .cloned()
                .filter(|value| answers.iter().all(|answer| answer.get(same) == Some(value))),
        };
        match value {
            Some(value) => drop(joined.insert(key, value)),
            None => apart.push(key),
        }
    }
    if rereads && answers.iter().all(is_in_utterances) {
        // What was heard twice must not be read twice, and who speaks on another channel answers in between.
        let said = joined.get("utterances").and_then(Value::as_array).into_iter().flatten();
        let said: Vec<&str> = said.filter_map(|said| said.get("text")?.as_str()).collect();
        let text = Value::from(said.join(" "));
        joined.entry("text").and_modify(|joined| *joined = text);
    }
    if rereads {
        // The whole text does not show who spoke on which channel, nor what was heard twice.
        apart.push("text".to_owned());
    }
    joined.insert("speaker_scope".to_owned(), json!(if scopes(&stretches).1 { "piece" } else { "channel" }));
    let pieces: Vec<Value> =
        answers.iter().zip(&stretches).map(|(answer, s)| piece(answer, s, &apart)).collect();
    joined.insert("pieces".to_owned(), pieces.into());
    let json = Value::Object(joined).to_string();
    let transcript = Transcript::from_json(endpoint, &json)?;
    Ok(Response { json, duration_ms: transcript.duration_ms, transcript })
}

/// What is said of a piece: where it lies, and what of its answer is not in the whole.
fn piece(answer: &Map<String, Value>, stretch: &Stretch, apart: &[String]) -> Value {
    let (own, heard) = (stretch.own_ms(), stretch.heard_ms());
    let mut piece = Map::new();
    if stretch.channel > 0 {
        piece.insert("channel".to_owned(), stretch.channel.into());
    }
    for (key, ms) in [("start_ms", own.start), ("end_ms", own.end)] {
        piece.insert(key.to_owned(), ms.into());
    }
    if own != heard {
        piece.insert("heard_ms".to_owned(), json!([heard.start, heard.end]));
    }
    piece.extend(answer.get("duration_ms").map(|ms| ("duration_ms".to_owned(), ms.clone())));
    for key in apart {
        piece.extend(answer.get(key).map(|value| (key.clone(), value.clone())));
    }
    Value::Object(piece)
}

/// Whether utterances say all that the text of an answer says.
fn is_in_utterances(answer: &Map<String, Value>) -> bool {
    let text = answer.get("text").and_then(Value::as_str).unwrap_or_default();
    let said = answer.get("utterances").and_then(Value::as_array);
    text.trim().is_empty() || said.is_some_and(|said| !said.is_empty())
}

fn texts(answers: &[Map<String, Value>]) -> Value {
    let texts = answers.iter().filter_map(|answer| answer.get("text")?.as_str()).map(str::trim);
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ").into()
}

/// The lengths that the API counted, without what it heard twice.
fn duration(answers: &[Map<String, Value>], stretches: &[&Stretch]) -> Option<u64> {
    let first = stretches.first()?.channel;
    let mut sum = 0u64;
    for (answer, stretch) in answers.iter().zip(stretches).filter(|(_, stretch)| stretch.channel == first) {
        let (own, heard) = (stretch.own_ms(), stretch.heard_ms());
        let twice = (heard.end - heard.start) - (own.end - own.start);
        sum = sum.saturating_add(millis(answer, "duration_ms")?.saturating_sub(twice));
    }
    Some(sum)
}

/// Everything found, each once and where it is in the recording.
fn all_found(key: &str, answers: &[Map<String, Value>], stretches: &[&Stretch]) -> Value {
    let (scopes, _) = scopes(stretches);
    let mut all: Vec<(u64, Value)> = Vec::new();
    let (mut before, mut found) = (None::<&Stretch>, Vec::<Found>::new());
    for (n, (answer, &stretch)) in answers.iter().zip(stretches).enumerate() {
        let before = before.replace(stretch).filter(|before| before.channel == stretch.channel);
        let found_before = std::mem::take(&mut found);
        for item in answer.get(key).and_then(Value::as_array).into_iter().flatten() {
            let Value::Object(mut item) = item.clone() else { continue };
            shift(&mut item, stretch.heard_ms().start);
            let span = span(&item);
            // What has no time cannot be told apart from what others say.
            let start = span.as_ref().map_or(stretch.heard_ms().start, |span| span.start);
            if let Some(span) = span {
                let is_told = before.is_some_and(|before| is_told(&span, before, &found_before));
                let is_left = !is_told && is_left(&span, stretch);
                found.push(Found { span, is_left });
                if is_told || is_left {
                    continue;
                }
            }
            for key in ["speaker", "speaker_label"] {
                if let Some(speaker) = item.get_mut(key) {
                    scope(speaker, scopes.get(n).map_or("", String::as_str));
                }
            }
            all.push((start, Value::Object(item)));
        }
    }
    if stretches.iter().any(|stretch| stretch.channel > 0) {
        all.sort_by_key(|(start, _)| *start);
    }
    all.into_iter().map(|(_, item)| item).collect()
}

/// What a piece found, and when.
struct Found {
    span: Range<u64>,
    /// The next one is to tell of it, and not this one or the one before.
    is_left: bool,
}

/// From when to when something was heard, if that is said.
fn span(item: &Map<String, Value>) -> Option<Range<u64>> {
    let start = TIMES.iter().find_map(|key| millis(item, key))?;
    let length = || millis(item, "duration_ms").unwrap_or(0);
    let end = ["end_ms", "end_time_ms"].iter().find_map(|key| millis(item, key));
    Some(start..end.unwrap_or_else(|| start.saturating_add(length())))
}

/// Whether something begins where the next piece answers, and has heard it as well. What no other has heard is kept,
/// wherever it says that it begins.
fn is_left(span: &Range<u64>, stretch: &Stretch) -> bool {
    stretch.heard.end > stretch.own.end && span.start >= stretch.own_ms().end
}

/// Whether the piece before tells of something. Two hearings of it differ by some milliseconds, which may lie on either
/// side of the cut: what counts is what became of that which the one before heard at the same time, most of all. What
/// it has not heard to its end is kept: something may be told twice so, and nothing is lost.
fn is_told(span: &Range<u64>, before: &Stretch, found: &[Found]) -> bool {
    if span.is_empty() {
        return span.start < before.own_ms().end;
    }
    let common = |other: &Range<u64>| span.end.min(other.end).saturating_sub(span.start.max(other.start));
    let most = |left| found.iter().filter(|f| f.is_left == left).map(|f| common(&f.span)).max().unwrap_or(0);
    span.end <= before.heard_ms().end && most(false) > most(true)
}

/// What stands in front of each piece's speakers, and whether that names pieces.
fn scopes(stretches: &[&Stretch]) -> (Vec<String>, bool) {
    let of_channel = |channel| stretches.iter().filter(|s| s.channel == channel).count();
    let mut names_pieces = false;
    let mut scopes = Vec::with_capacity(stretches.len());
    for (n, stretch) in stretches.iter().enumerate() {
        let mut scope = String::new();
        if stretch.channel > 0 {
            scope += &format!("C{}:", stretch.channel);
        }
        if of_channel(stretch.channel) > 1 {
            let earlier = stretches.iter().take(n).filter(|s| s.channel == stretch.channel).count();
            scope += &format!("P{}:", earlier + 1);
            names_pieces = true;
        }
        scopes.push(scope);
    }
    (scopes, names_pieces)
}

/// `1` becomes `P2:S1`; a label keeps its words.
fn scope(speaker: &mut Value, scope: &str) {
    let label = match &*speaker {
        Value::Number(number) => format!("S{number}"),
        Value::String(label) => label.clone(),
        _ => return,
    };
    *speaker = format!("{scope}{label}").into();
}

/// Moves what was found, and its words with it.
fn shift(item: &mut Map<String, Value>, by: u64) {
    for key in TIMES {
        let Some(time) = item.get_mut(key) else { continue };
        match (time.as_u64(), time.as_f64()) {
            (Some(ms), _) => *time = ms.saturating_add(by).into(),
            (None, Some(ms)) => *time = (ms + by as f64).into(),
            (None, None) => {}
        }
    }
    for word in item.get_mut("words").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(word) = word {
            shift(word, by);
        }
    }
}

/// The silenced stretches of all pieces: what one of them silences is silent.
fn union(answers: &[Map<String, Value>], stretches: &[&Stretch]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (answer, stretch) in answers.iter().zip(stretches) {
        let heard = stretch.heard_ms();
        // Nothing that a piece says reaches beyond what it has heard.
        let place = |ms: u64| ms.saturating_add(heard.start).min(heard.end);
        let told = ranges(answer).into_iter().map(|(from, to)| (from.min(to), from.max(to)));
        all.extend(told.map(|(from, to)| (place(from), place(to))));
    }
    all.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in all {
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// At a thousand frames a second.
    fn stretch(heard: Range<u64>, own: Range<u64>, is_last: bool) -> Stretch {
        Stretch { rate: 1000, channel: 0, heard, own, is_last }
    }

    fn joined(endpoint: Endpoint, parts: &[(Stretch, Value)]) -> (Value, Response) {
        let texts: Vec<String> = parts.iter().map(|(_, answer)| answer.to_string()).collect();
        let parts: Vec<Part<'_>> =
            parts.iter().zip(&texts).map(|((stretch, _), json)| Part { stretch, json }).collect();
        let response = join(endpoint, &parts).unwrap();
        (serde_json::from_str(&response.json).unwrap(), response)
    }

    fn said(start_ms: u64, duration_ms: u64, text: &str) -> Value {
        json!({ "start_ms": start_ms, "duration_ms": duration_ms, "text": text, "speaker": 1 })
    }

    #[test]
    fn what_was_said_stands_at_its_time_and_speakers_are_those_of_their_piece() {
        let words = json!([{ "text": "b", "start_ms": 500, "duration_ms": 100 }]);
        let mut second = said(500, 1000, "b");
        second["words"] = words;
        let (answer, response) = joined(
            Endpoint::SttBatch,
            &[
                (
                    stretch(0..10_000, 0..10_000, false),
                    json!({ "text": "a", "duration_ms": 10_000, "utterances": [said(0, 900, "a")] }),
                ),
                (
                    stretch(10_000..13_000, 10_000..13_000, true),
                    json!({ "text": " b ", "duration_ms": 3001, "utterances": [second] }),
                ),
            ],
        );
        assert_eq!((answer["text"].as_str(), response.duration_ms), (Some("a b"), Some(13_001)));
        let times: Vec<_> = response.transcript.utterances.iter().map(|u| (u.start_ms, u.end_ms)).collect();
        assert_eq!(times, [(0, 900), (10_500, 11_500)]);
        assert_eq!(answer["utterances"][1]["words"][0]["start_ms"], 10_500);
        let speakers: Vec<_> =
            response.transcript.utterances.iter().map(|u| u.speaker.clone().unwrap()).collect();
        assert_eq!(speakers, ["P1:S1", "P2:S1"]);
        assert_eq!(answer["speaker_scope"], "piece");
        assert_eq!(answer["pieces"][1], json!({ "start_ms": 10_000, "end_ms": 13_000, "duration_ms": 3001 }));
    }

    #[test]
    fn fields_that_nobody_knows_stay_with_their_piece_unless_all_say_the_same() {
        let answer = |n: u64| json!({ "text": "x", "duration_ms": 1000, "model": "m", "score": n });
        let (answer, _) = joined(
            Endpoint::SttBatchEnglishVfast,
            &[
                (stretch(0..1000, 0..1000, false), answer(1)),
                (stretch(1000..2000, 1000..2000, true), answer(2)),
            ],
        );
        assert_eq!((&answer["model"], &answer["score"]), (&json!("m"), &Value::Null));
        assert_eq!((&answer["pieces"][0]["score"], &answer["pieces"][1]["score"]), (&json!(1), &json!(2)));
    }

    #[test]
    fn what_was_heard_twice_is_told_once_and_silenced_if_either_says_so() {
        let first = json!({
            "text": "one two", "duration_ms": 12_000, "redaction_ranges": [[9000, 12_000]],
            "utterances": [said(1000, 900, "one"), said(9000, 2500, "two"), said(11_000, 1000, "three")],
        });
        let second = json!({
            "text": "two three", "duration_ms": 12_000, "redaction_ranges": [{ "start_ms": 0, "end_ms": 3500 }],
            "utterances": [said(1000, 2500, "two"), said(3000, 1000, "three"), said(9000, 500, "four")],
        });
        let (answer, response) = joined(
            Endpoint::PiiPhiRedactionBatch,
            &[
                (stretch(0..12_000, 0..10_000, false), first),
                (stretch(8000..20_000, 10_000..20_000, true), second),
            ],
        );
        assert_eq!(response.transcript.redaction_ranges, [(8000, 12_000)]);
        assert_eq!(answer["text"], "one two three four");
        assert_eq!(response.duration_ms, Some(20_000), "without what was heard twice");
        assert_eq!(answer["pieces"][1]["heard_ms"], json!([8000, 20_000]));
    }

    #[test]
    fn what_begins_before_a_cut_and_is_not_heard_out_by_the_piece_before_is_not_lost() {
        let first = json!({ "text": "", "utterances": [said(9000, 3000, "begins")] });
        let second = json!({ "text": "", "utterances": [said(0, 9000, "goes on")] });
        let (answer, _) = joined(
            Endpoint::PiiPhiRedactionBatch,
            &[
                (stretch(0..12_000, 0..10_000, false), first),
                (stretch(8000..20_000, 10_000..20_000, true), second),
            ],
        );
        assert_eq!(answer["text"], "begins goes on");
        assert_eq!(answer["duration_ms"], Value::Null, "a length that one of them does not tell is not told");
    }

    #[test]
    fn channels_that_were_sent_apart_tell_their_speakers_apart_and_are_told_in_the_order_of_time() {
        let of = |channel, answer| (Stretch { channel, ..stretch(0..5000, 0..5000, true) }, answer);
        let (answer, response) = joined(
            Endpoint::SttBatch,
            &[
                of(
                    1,
                    json!({ "text": "a c", "duration_ms": 5000, "utterances": [said(0, 10, "a"), said(4000, 10, "c")] }),
                ),
                of(2, json!({ "text": "b", "duration_ms": 5000, "utterances": [said(2000, 10, "b")] })),
            ],
        );
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let told = answer["utterances"].as_array().unwrap().iter();
        let told: Vec<_> = told.map(|said| word(&said["text"]) + " " + &word(&said["speaker"])).collect();
        assert_eq!(told, ["a C1:S1", "b C2:S1", "c C1:S1"]);
        assert_eq!(answer["text"], "a b c");
        assert_eq!((response.duration_ms, &answer["speaker_scope"]), (Some(5000), &json!("channel")));
    }

    #[test]
    fn what_is_told_as_text_alone_stays_with_its_channel_and_its_piece() {
        let of = |channel, text: &str| {
            let answer = json!({ "text": text, "duration_ms": 5000 });
            (Stretch { channel, ..stretch(0..5000, 0..5000, true) }, answer)
        };
        let (answer, _) =
            joined(Endpoint::SttBatchEnglishVfast, &[of(1, "how are you"), of(2, "well, thanks")]);
        let pieces = &answer["pieces"];
        assert_eq!((&pieces[0]["channel"], &pieces[0]["text"]), (&json!(1), &json!("how are you")));
        assert_eq!((&pieces[1]["channel"], &pieces[1]["text"]), (&json!(2), &json!("well, thanks")));
        assert_eq!(answer["text"], "how are you well, thanks");
        let with = |text: &str, utterances| json!({ "text": text, "utterances": utterances });
        for utterances in [json!([]), json!([said(0, 900, "three")])] {
            let (answer, _) = joined(
                Endpoint::PiiPhiRedactionBatch,
                &[
                    (stretch(0..12_000, 0..10_000, false), with("one two", json!([]))),
                    (stretch(8000..20_000, 10_000..20_000, true), with("two three", utterances)),
                ],
            );
            assert_eq!(answer["text"], "one two two three", "nothing is lost");
            assert_eq!(answer["pieces"][1]["text"], "two three");
        }
    }

    #[test]
    fn frames_of_a_detection_follow_one_another() {
        let frame =
            |from: u64, to: u64| json!({ "start_time_ms": from, "end_time_ms": to, "verdict": "synthetic" });
        let (_, response) = joined(
            Endpoint::SyntheticVoiceDetectionBatch,
            &[
                (
                    stretch(0..6000, 0..6000, false),
                    json!({ "duration_ms": 6000, "frames": [frame(0, 4000), frame(4000, 6000)] }),
                ),
                (
                    stretch(6000..8000, 6000..8000, true),
                    json!({ "duration_ms": 2000, "frames": [frame(0, 2000)] }),
                ),
            ],
        );
        let times: Vec<_> = response.transcript.utterances.iter().map(|u| (u.start_ms, u.end_ms)).collect();
        assert_eq!(times, [(0, 4000), (4000, 6000), (6000, 8000)]);
    }

    #[test]
    fn what_a_piece_hears_beyond_its_end_is_told_where_no_other_has_heard_it() {
        let first =
            json!({ "text": "one late", "utterances": [said(0, 900, "one"), said(10_040, 200, "late")] });
        let second = json!({ "text": "two", "utterances": [said(500, 900, "two")] });
        let parts = [
            (stretch(0..10_000, 0..10_000, false), first),
            (stretch(10_000..20_000, 10_000..20_000, true), second),
        ];
        let (_, response) = joined(Endpoint::SttBatch, &parts);
        let texts: Vec<_> = response.transcript.utterances.iter().filter_map(|u| u.text.as_deref()).collect();
        assert_eq!(texts, ["one", "late", "two"]);
    }

    #[test]
    fn two_hearings_on_either_side_of_a_cut_are_one_utterance() {
        for (in_first, in_second) in [(10_010, 9_980), (9_990, 10_020), (10_010, 10_020), (9_990, 9_980)] {
            let answer = |start| json!({ "text": "x", "utterances": [said(start, 900, "x")] });
            let parts = [
                (stretch(0..15_000, 0..10_000, false), answer(in_first)),
                (stretch(5000..20_000, 10_000..20_000, true), answer(in_second - 5000)),
            ];
            let (answer, _) = joined(Endpoint::PiiPhiRedactionBatch, &parts);
            assert_eq!(answer["text"], "x", "{in_first} and {in_second}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_overlaps_a_cut_is_lost_or_doubled(
            spoken in proptest::collection::vec((0u64..800, 200u64..4000), 1..40),
            lengths in proptest::collection::vec(11_000u64..30_000, 1..5),
            overlap in prop_oneof![Just(0u64), Just(5000)], seed in any::<u64>(),
        ) {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut at = 0;
            let truth: Vec<Range<u64>> = spoken
                .into_iter()
                .map(|(pause, length)| {
                    at += pause + length;
                    at - length..at
                })
                .collect();
            let (mut begin, mut heard_in_all, mut parts) = (0, Vec::new(), Vec::new());
            let count = lengths.len();
            for (n, length) in lengths.into_iter().enumerate() {
                let is_last = n + 1 == count;
                let own = begin..if is_last { at.max(begin + length) } else { begin + length };
                let heard =
                    own.start.saturating_sub(overlap)..if is_last { own.end } else { own.end + overlap };
                let mut said_here = Vec::new();
                for (n, spoken) in truth.iter().enumerate() {
                    let (from, to) = (spoken.start.max(heard.start), spoken.end.min(heard.end));
                    if from + 50 > to {
                        continue;
                    }
                    // No two hearings agree to the millisecond.
                    let start = (from - heard.start + dice.u64(0..50)).saturating_sub(25);
                    let end = (to - heard.start + dice.u64(0..50)).saturating_sub(25);
                    said_here.push(said(start, end - start, &n.to_string()));
                    heard_in_all.push(n);
                }
                parts.push((stretch(heard, own.clone(), is_last), json!({ "utterances": said_here })));
                begin = own.end;
            }
            let (_, response) = joined(Endpoint::PiiPhiRedactionBatch, &parts);
            let told = response.transcript.utterances.iter();
            let told: Vec<usize> = told.map(|u| u.text.as_deref().unwrap().parse().unwrap()).collect();
            // Without an overlap each half of what a cut divides is heard by one piece alone.
            let expected = if overlap == 0 { heard_in_all } else { (0..truth.len()).collect() };
            prop_assert_eq!(told, expected);
        }
    }
}
