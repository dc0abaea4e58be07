//! What a success says: the whole answer as one line of JSON, and a lenient view of it for the outputs. Fields
//! come and go with the API's age, so only what makes an answer an answer is demanded.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::Answer;
use crate::task::{Answers, Endpoint};

#[cfg(test)]
mod tests;

/// A success, readable and whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The API's whole answer as one JSON value on one line: every field and every digit as it came.
    pub json: String,
    /// Length of the audio by the API's count, on which billing rests. Absent when the answer has none.
    pub duration_ms: Option<u64>,
    /// What it says, as outputs read it.
    pub transcript: Transcript,
}

/// Why a success cannot be used. Never holds any of its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or cut off.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// JSON without the fields that make it an answer.
    #[error("it lacks `{0}`")]
    Lacks(&'static str),
    /// A redaction without its audio, or with only the beginning of it.
    #[error("its audio is {0}")]
    Audio(&'static str),
    /// Less came than was announced.
    #[error("it is cut off")]
    Cut,
}

/// A stretch of a recording and what was found there: an utterance, a clip of an analysis, a frame of a detection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Utterance {
    /// The API's id of it.
    pub id: Option<String>,
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends; where it begins, if the answer does not tell.
    pub end_ms: u64,
    /// Who speaks: a number or a label, as text.
    pub speaker: Option<String>,
    /// The language code.
    pub language: Option<String>,
    /// What is said.
    pub text: Option<String>,
    /// An open set of words.
    pub emotion: Option<String>,
    /// An open set of words.
    pub accent: Option<String>,
    /// 0 natural, 1 synthetic.
    pub deepfake_score: Option<f64>,
    /// Of a frame: `synthetic`, `non-synthetic`, `no-content`, or whatever word the API has for it.
    pub verdict: Option<String>,
    /// Of a frame: 0..1, confidence in that verdict.
    pub confidence: Option<f64>,
    /// Of a window of a music model.
    pub music: Music,
}

/// What a music model says of a recording or of a window of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Music {
    /// Of a window 0..1, of a recording in percent.
    pub music: Option<f64>,
    /// Of a window 0..1, of a recording in percent.
    pub speech: Option<f64>,
    /// 0..1: a machine made the singing.
    pub ai_vocal: Option<f64>,
    /// 0..1: a machine made the instruments.
    pub ai_instrumental: Option<f64>,
}

/// What an analysis picked from candidates: a type of conversation, or a participant's role.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pick {
    /// Whose role.
    pub speaker: Option<String>,
    /// The API's id of the candidate.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// 0..1.
    pub confidence: Option<f64>,
    /// How it was chosen; older answers do not say.
    pub source: Option<String>,
    /// The API's words on it.
    pub detail: Option<String>,
    /// The API's words on it.
    pub reasoning: Option<String>,
}

/// A behavior that an analysis reports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behavior {
    /// The API's id of it.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Whose.
    pub speaker: Option<String>,
    /// Whether it occurred. Answers list what did, and older ones also what was passed over.
    pub detected: bool,
    /// 0..1.
    pub confidence: Option<f64>,
    /// Clips that show it, by their id.
    pub evidence: Vec<String>,
    /// The clip that shows it best.
    pub definitive: Option<String>,
    /// The API's words on it, or why it was skipped.
    pub reasoning: Option<String>,
}

/// How a speaker stands to a topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sentiment {
    /// The topic.
    pub topic: Option<String>,
    /// Whose.
    pub speaker: Option<String>,
    /// -1..1.
    pub score: Option<f64>,
    /// In a word.
    pub label: Option<String>,
}

/// What outputs need of an answer, whatever its endpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcript {
    /// All that is said; joined from the utterances when the answer has none. `None` for a detection.
    pub text: Option<String>,
    /// In the order of the answer.
    pub utterances: Vec<Utterance>,
    /// Length of the audio.
    pub duration_ms: Option<u64>,
    /// Of a redaction: the silenced stretches, start and end in milliseconds.
    pub redaction_ranges: Vec<(u64, u64)>,
    /// Of an analysis: what the conversation is about.
    pub summary: Option<String>,
    /// Of an analysis.
    pub topics: Vec<String>,
    /// Of an analysis: the kind of conversation that was picked.
    pub conversation_type: Option<Pick>,
    /// Of an analysis: who is what.
    pub roles: Vec<Pick>,
    /// Of an analysis.
    pub behaviors: Vec<Behavior>,
    /// Of an analysis.
    pub sentiments: Vec<Sentiment>,
    /// Of a model that labels: the word for the whole.
    pub label: Option<String>,
    /// Of a detected language: its code.
    pub language: Option<String>,
    /// 0..1, in the label.
    pub confidence: Option<f64>,
    /// Of a music model.
    pub music: Music,
}

/// Reads a success. The status is not looked at: `classify` has done so.
pub fn read(endpoint: Endpoint, answer: &Answer) -> Result<Response, Unreadable> {
    if endpoint.returns_audio() {
        match &answer.audio {
            None => return Err(Unreadable::Audio("missing")),
            Some(audio) if audio.bytes == 0 => return Err(Unreadable::Audio("empty")),
            Some(_) if !answer.is_complete => return Err(Unreadable::Audio("cut off")),
            Some(_) => {}
        }
    }
    if !answer.is_complete {
        return Err(Unreadable::Cut);
    }
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotJson("it is not UTF-8".to_owned()))?;
    let transcript = Transcript::from_json(endpoint, text)?;
    Ok(Response { json: one_line(text), duration_ms: transcript.duration_ms, transcript })
}

impl Transcript {
    /// Reads a stored answer.
    pub fn from_json(endpoint: Endpoint, json: &str) -> Result<Transcript, Unreadable> {
        let value: Value = serde_json::from_str(json).map_err(not_json)?;
        let Value::Object(mut answer) = value else { return Err(Unreadable::Lacks(must_have(endpoint))) };
        if endpoint.works_by_jobs() {
            answer = of_job(answer);
        }
        let has = |key: &str| answer.get(key).is_some_and(|v| !v.is_null());
        if !marks(endpoint).iter().any(|key| has(key)) {
            return Err(Unreadable::Lacks(must_have(endpoint)));
        }
        let stretches = match endpoint.answers() {
            Answers::Utterances | Answers::Text => "utterances",
            Answers::Frames => "frames",
            Answers::Conversation => "clips",
            Answers::Label => {
                ["time_series", "windows", "frames"].into_iter().find(|key| has(key)).unwrap_or("time_series")
            }
        };
        let labels = endpoint.answers() == Answers::Label;
        let mut utterances: Vec<Utterance> = objects(&answer, stretches).map(utterance).collect();
        if labels {
            let windows = objects(&answer, stretches).map(music);
            utterances.iter_mut().zip(windows).for_each(|(window, music)| window.music = music);
        }
        let text = match (text(&answer, "text"), endpoint.answers()) {
            (_, Answers::Label) => None,
            (Some(text), _) => Some(text),
            (None, Answers::Frames) => None,
            (None, _) => Some(joined(&utterances)),
        };
        let label = self::text(&answer, must_have(endpoint)).filter(|_| labels);
        Ok(Transcript {
            text,
            duration_ms: millis(&answer, "duration_ms").or_else(|| whole_seconds(&answer)),
            redaction_ranges: ranges(&answer),
            summary: self::text(&answer, "summary"),
            topics: items(&answer, "topics").filter_map(scalar).collect(),
            conversation_type: answer.get("conversation_type_pick").and_then(Value::as_object).map(pick),
            roles: objects(&answer, "participant_role_picks").map(pick).collect(),
            behaviors: objects(&answer, "behaviors").map(behavior).collect(),
            sentiments: objects(&answer, "topic_sentiments").map(sentiment).collect(),
            confidence: label.as_ref().and_then(|_| number(&answer, "confidence")),
            label,
            language: self::text(&answer, "predicted_language_code"),
            music: if labels { music(&answer) } else { Music::default() },
            utterances,
        })
    }
}

/// The fields of which one at least makes an answer an answer.
fn marks(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint.answers() {
        Answers::Utterances => &["text", "utterances"],
        Answers::Text => &["text"],
        Answers::Frames => &["frames", "synthetic_voice", "synthetic_voice_prob"],
        Answers::Conversation => &["clips", "behaviors"],
        Answers::Label => match endpoint {
            Endpoint::AccentBatch => &["accent"],
            Endpoint::LanguageDetectionBatch => &["predicted_language", "predicted_language_code"],
            Endpoint::MusicDetectionBatch => &["primary_label"],
            Endpoint::AiMusicDetectionBatch => &["verdict"],
            _ => &["emotion"],
        },
    }
}

/// What is said to be missing, and of a model that labels, where its label stands.
fn must_have(endpoint: Endpoint) -> &'static str {
    marks(endpoint).first().copied().unwrap_or("text")
}

pub(super) fn not_json(error: serde_json::Error) -> Unreadable {
    // Its own words can hold a piece of the answer: where it stumbled must do.
    Unreadable::NotJson(match error.is_eof() {
        true => "it ends in the middle".to_owned(),
        false => format!("line {} column {}", error.line(), error.column()),
    })
}

fn utterance(of: &Map<String, Value>) -> Utterance {
    let start_ms = millis(of, "start_ms").or_else(|| millis(of, "start_time_ms")).unwrap_or(0);
    let end_ms = millis(of, "end_ms")
        .or_else(|| millis(of, "end_time_ms"))
        .or_else(|| millis(of, "duration_ms").map(|duration| start_ms.saturating_add(duration)))
        .or_else(|| end_of_words(of))
        .unwrap_or(start_ms)
        .max(start_ms);
    Utterance {
        id: text(of, "utterance_uuid").or_else(|| text(of, "clip_uuid")),
        start_ms,
        end_ms,
        speaker: text(of, "speaker").or_else(|| text(of, "speaker_label")),
        language: text(of, "language"),
        text: text(of, "text"),
        emotion: text(of, "emotion"),
        accent: text(of, "accent"),
        deepfake_score: number(of, "deepfake_score"),
        verdict: text(of, "verdict"),
        confidence: number(of, "confidence"),
        music: Music::default(),
    }
}

/// A job of one recording, as an answer about that: its results stand beside its state, or in a list of one.
fn of_job(mut job: Map<String, Value>) -> Map<String, Value> {
    let mut answer = match job.get_mut("results").map(Value::take) {
        Some(Value::Array(mut results)) if results.len() == 1 => match results.pop() {
            Some(Value::Object(only)) => only,
            _ => Map::new(),
        },
        Some(Value::Object(only)) => only,
        _ => Map::new(),
    };
    for (key, value) in job {
        answer.entry(key).or_insert(value);
    }
    if let Some(transcript) = answer.remove("transcript") {
        let key = if transcript.is_array() { "utterances" } else { "text" };
        answer.entry(key).or_insert(transcript);
    }
    answer
}

fn pick(of: &Map<String, Value>) -> Pick {
    Pick {
        speaker: text(of, "speaker_label"),
        id: text(of, "conversation_type_uuid").or_else(|| text(of, "participant_role_uuid")),
        name: text(of, "name"),
        confidence: number(of, "confidence"),
        source: text(of, "selection_source"),
        detail: text(of, "detail"),
        reasoning: text(of, "reasoning"),
    }
}

/// One that was skipped did not occur, whatever else is said of it.
fn behavior(of: &Map<String, Value>) -> Behavior {
    let says = |key: &str| of.get(key).and_then(Value::as_bool);
    Behavior {
        id: text(of, "behavior_uuid"),
        name: text(of, "behavior_name"),
        speaker: text(of, "speaker_label"),
        detected: says("detected").unwrap_or(true) && says("skipped") != Some(true),
        confidence: number(of, "confidence"),
        evidence: items(of, "evidence_clip_uuids").filter_map(scalar).collect(),
        definitive: text(of, "definitive_clip_uuid"),
        reasoning: ["reasoning", "skip_reason", "error_reason"].iter().find_map(|key| text(of, key)),
    }
}

fn sentiment(of: &Map<String, Value>) -> Sentiment {
    Sentiment {
        topic: text(of, "topic"),
        speaker: text(of, "speaker_label"),
        score: number(of, "sentiment_score"),
        label: text(of, "sentiment_label"),
    }
}

/// Of a recording in percent and of a window 0..1, as the API has it. What a machine made was in percent once, under
/// other names.
fn music(of: &Map<String, Value>) -> Music {
    let made = |what: &str| {
        number(of, &format!("{what}_ai_probability"))
            .or_else(|| number(of, &format!("{what}_ai_percentage")).map(|percent| percent / 100.0))
    };
    Music {
        music: number(of, "music_pct").or_else(|| number(of, "music_prob")),
        speech: number(of, "speech_pct").or_else(|| number(of, "speech_prob")),
        ai_vocal: made("vocal"),
        ai_instrumental: made("instrumental"),
    }
}

/// The length, of answers that tell it in seconds.
fn whole_seconds(answer: &Map<String, Value>) -> Option<u64> {
    let ms = number(answer, "duration_s").filter(|s| *s >= 0.0).map(|s| (s * 1000.0).round() as u64);
    ms.filter(|ms| *ms <= LONGEST_MS)
}

/// Where the last of its words ends, for an utterance that does not say where it ends itself.
fn end_of_words(of: &Map<String, Value>) -> Option<u64> {
    let end = |word: &Map<String, Value>| {
        millis(word, "end_ms")
            .or_else(|| Some(millis(word, "start_ms")?.saturating_add(millis(word, "duration_ms")?)))
    };
    objects(of, "words").filter_map(end).max()
}

fn joined(utterances: &[Utterance]) -> String {
    let texts = utterances.iter().filter_map(|u| u.text.as_deref()).map(str::trim).filter(|t| !t.is_empty());
    texts.collect::<Vec<_>>().join(" ")
}

/// Pairs, or objects with start and end.
pub(super) fn ranges(answer: &Map<String, Value>) -> Vec<(u64, u64)> {
    let pair = |range: &Value| match range {
        Value::Array(pair) => Some((whole_ms(pair.first()?)?, whole_ms(pair.get(1)?)?)),
        Value::Object(range) => {
            let start = millis(range, "start_ms")?;
            let end = millis(range, "end_ms")
                .or_else(|| millis(range, "duration_ms").map(|length| start.saturating_add(length)));
            Some((start, end?))
        }
        _ => None,
    };
    items(answer, "redaction_ranges").filter_map(pair).collect()
}

fn items<'a>(of: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn objects<'a>(of: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    items(of, key).filter_map(Value::as_object)
}

fn text(of: &Map<String, Value>, key: &str) -> Option<String> {
    of.get(key).and_then(scalar)
}

/// Strings and numbers as text: a speaker is `1`, `"1"` or `"Speaker_1"`.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(of: &Map<String, Value>, key: &str) -> Option<f64> {
    of.get(key).and_then(Value::as_f64)
}

pub(super) fn millis(of: &Map<String, Value>, key: &str) -> Option<u64> {
    of.get(key).and_then(whole_ms)
}

/// Milliseconds, also when they come as `1500.0`.
fn whole_ms(value: &Value) -> Option<u64> {
    let ms = value.as_u64().or_else(|| value.as_f64().filter(|ms| *ms >= 0.0).map(|ms| ms.round() as u64));
    ms.filter(|ms| *ms <= LONGEST_MS)
}

/// Longer than any recording (35 years): a number above it is nonsense, and must not get into any sum.
const LONGEST_MS: u64 = 1 << 40;

/// The same JSON value on one line. Blanks between tokens go; tokens stay as they are, so that no number is rounded
/// and no escape rewritten.
fn one_line(json: &str) -> String {
    debug_assert!(serde_json::from_str::<IgnoredAny>(json).is_ok());
    let mut line = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\r' | '\n' if !in_string => continue,
            _ => {}
        }
        line.push(c);
    }
    line
}
