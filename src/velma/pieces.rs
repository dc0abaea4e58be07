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
mod tests;
