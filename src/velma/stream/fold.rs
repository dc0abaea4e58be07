//! The messages of a connection, folded into the one answer that the batch sibling would have given. Pure: what comes
//! in is text, what goes out is JSON, and in which order stretches of speech were told makes no difference to it.
//!
//! | message | kept |
//! |---|---|
//! | `utterance` `clip` `frame` | by their start; one that is told again replaces itself |
//! | `partial_…`, an utterance that is not final | not |
//! | `clip_update` | over its clip, whichever came first |
//! | `topics` `summary` `conversation_type` | the latest |
//! | `participant_role` `behavior_detection` `topic_sentiment` | the latest of each speaker, behavior, topic |
//! | `done` `error` | the end |

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::task::{Answers, Endpoint};

#[cfg(test)]
mod tests;

/// A message as it came: values are kept as they were written, so that no digit is rounded.
type Message = BTreeMap<String, Box<RawValue>>;

/// A stretch of the recording whose redacted audio follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipAt {
    /// Where it begins.
    pub start_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
}

/// What a message says to whoever listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that concerns the connection.
    More,
    /// The next message is this stretch's audio.
    Audio(ClipAt),
    /// All has been told, but for this audio.
    Done(Option<ClipAt>),
    /// The connection ends without an answer: the API's words.
    Refused(String),
}

/// More was told than can be an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

/// See the module.
#[derive(Debug)]
pub struct Fold {
    endpoint: Endpoint,
    /// Whether each pause ends an utterance of its own, for an endpoint that otherwise tells one.
    endpointing: bool,
    room: usize,
    said: Vec<Stretch>,
    /// Where those stand that have a name.
    places: HashMap<String, usize>,
    updates: BTreeMap<String, Vec<(String, Box<RawValue>)>>,
    roles: Latest,
    behaviors: Latest,
    sentiments: Latest,
    conversation_type: Option<Box<RawValue>>,
    topics: Option<Box<RawValue>>,
    summary: Option<Box<RawValue>>,
    duration: Option<Box<RawValue>>,
    /// Something was told that could not be read: there may have been more in it.
    garbled: bool,
    done: bool,
}

/// Something with a place in time.
#[derive(Debug)]
struct Stretch {
    order: (u64, u64, String),
    /// The clip's, so that updates find it.
    id: Option<String>,
    text: String,
    raw: Box<RawValue>,
}

/// The latest of each, in the order of who came first.
#[derive(Debug, Default)]
struct Latest {
    all: Vec<Box<RawValue>>,
    places: HashMap<String, usize>,
}

impl Latest {
    fn put(&mut self, key: String, raw: Box<RawValue>) {
        match self.places.get(&key) {
            Some(place) => self.all[*place] = raw,
            None => {
                self.places.insert(key, self.all.len());
                self.all.push(raw);
            }
        }
    }

    fn list(&self) -> String {
        list(self.all.iter().map(|raw| raw.get()))
    }
}

impl Fold {
    /// For a connection to an endpoint; `room` is how many bytes of messages can be an answer.
    pub fn new(endpoint: Endpoint, endpointing: bool, room: usize) -> Fold {
        Fold {
            endpoint,
            endpointing,
            room,
            said: Vec::new(),
            places: HashMap::new(),
            updates: BTreeMap::new(),
            roles: Latest::default(),
            behaviors: Latest::default(),
            sentiments: Latest::default(),
            conversation_type: None,
            topics: None,
            summary: None,
            duration: None,
            garbled: false,
            done: false,
        }
    }

    /// Takes the next message in. What is not understood is passed over; what is cut or no JSON spoils the answer.
    pub fn hear(&mut self, text: &str) -> Result<Heard, TooMuch> {
        let Ok(mut message) = serde_json::from_str::<Message>(text) else {
            self.garbled = true;
            return Ok(Heard::More);
        };
        let kind = string(message.remove("type").as_deref()).unwrap_or_default();
        // What is not kept needs no room.
        if kind.starts_with("partial_") {
            return Ok(Heard::More);
        }
        self.room = self.room.checked_sub(text.len()).ok_or(TooMuch)?;
        let answers = self.endpoint.answers();
        match (kind.as_str(), answers) {
            ("done", _) => {
                self.done = true;
                self.duration = message.remove("duration_ms");
                return Ok(Heard::Done(message.get("trailing_redacted_audio").and_then(|raw| clip_at(raw))));
            }
            ("error", _) => {
                let words = ["error", "detail", "message"].iter().find_map(|key| message.get(*key));
                return Ok(Heard::Refused(words.map_or_else(String::new, |raw| sentence(raw))));
            }
            ("utterance", Answers::Utterances | Answers::Text) => {
                let audio = message.remove("redacted_audio");
                self.say(unwrapped(message, "utterance"));
                if let Some(at) = audio.and_then(|raw| clip_at(&raw)) {
                    return Ok(Heard::Audio(at));
                }
            }
            ("frame", Answers::Frames) => self.say(unwrapped(message, "frame")),
            ("clip", Answers::Conversation) => self.say(unwrapped(message, "clip")),
            ("clip_update", Answers::Conversation) => self.update(unwrapped(message, "clip_update")),
            ("conversation_type", Answers::Conversation) => {
                self.conversation_type = unwrapped(message, "pick");
            }
            ("participant_role", Answers::Conversation) => {
                if let Some(pick) = unwrapped(message, "pick") {
                    self.roles.put(fields(&pick, &["speaker_label"]), pick);
                }
            }
            ("behavior_detection", Answers::Conversation) => {
                if let Some(found) = unwrapped(message, "detection") {
                    let key = fields(&found, &["behavior_uuid", "behavior_name", "speaker_label"]);
                    self.behaviors.put(key, found);
                }
            }
            ("topics", Answers::Conversation) => self.topics = message.remove("topics"),
            ("topic_sentiment", Answers::Conversation) => {
                if let Some(one) = unwrapped(message, "topic_sentiment") {
                    self.sentiments.put(fields(&one, &["topic", "speaker_label"]), one);
                }
            }
            ("summary", Answers::Conversation) => {
                self.summary = message.remove("text").or_else(|| message.remove("summary"));
            }
            _ => {}
        }
        Ok(Heard::More)
    }

    /// Whether everything came, and could be read.
    pub fn is_whole(&self) -> bool {
        self.done && !self.garbled
    }

    /// The answer, in the shape of the batch sibling's.
    pub fn json(mut self) -> String {
        self.said.sort_by(|a, b| a.order.cmp(&b.order));
        let said = || list(self.said.iter().map(|one| one.raw.get()));
        let or_null = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or("null", |raw| raw.get()).to_owned();
        let duration = or_null(&self.duration);
        let members: Vec<(&str, String)> = match self.endpoint.answers() {
            Answers::Utterances => {
                let mut members =
                    vec![("text", self.text()), ("duration_ms", duration), ("utterances", said())];
                if self.endpoint.returns_audio() {
                    // A stream does not tell where it silenced.
                    members.push(("redaction_ranges", "null".to_owned()));
                }
                members
            }
            Answers::Text if self.endpointing => {
                vec![("text", self.text()), ("duration_ms", duration), ("utterances", said())]
            }
            Answers::Text => vec![("text", self.text()), ("duration_ms", duration)],
            Answers::Frames => {
                vec![("filename", "null".to_owned()), ("frames", said()), ("duration_ms", duration)]
            }
            // Nobody streams to those.
            Answers::Label => vec![("duration_ms", duration)],
            Answers::Conversation => vec![
                ("duration_ms", duration),
                ("clips", list(self.said.iter().map(|clip| self.updated(clip)))),
                ("conversation_type_pick", or_null(&self.conversation_type)),
                ("participant_role_picks", self.roles.list()),
                ("behaviors", self.behaviors.list()),
                ("topics", self.topics.as_ref().map_or("[]", |raw| raw.get()).to_owned()),
                ("topic_sentiments", self.sentiments.list()),
                ("summary", or_null(&self.summary)),
            ],
        };
        let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    /// Keeps a stretch, in place of what it was before. Of one without any time or name the order of coming counts.
    fn say(&mut self, raw: Option<Box<RawValue>>) {
        let Some(raw) = raw else { return };
        let Ok(Value::Object(one)) = serde_json::from_str(raw.get()) else {
            self.garbled = true;
            return;
        };
        if one.get("is_final").and_then(Value::as_bool) == Some(false) {
            return;
        }
        let number = |keys: [&str; 2]| keys.iter().find_map(|key| one.get(*key)).and_then(Value::as_f64);
        let text = |key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text("utterance_uuid").or_else(|| text("clip_uuid"));
        let start = number(["start_ms", "start_time_ms"]);
        let end = number(["end_ms", "end_time_ms"]).or_else(|| Some(start? + number(["duration_ms", "-"])?));
        // `as` brings what is below nothing to nothing.
        let order = match start {
            Some(start) => (
                start as u64,
                end.unwrap_or(start) as u64,
                id.clone().unwrap_or_else(|| raw.get().to_owned()),
            ),
            None => (0, self.said.len() as u64, String::new()),
        };
        // Frames have no name: a window is known by its time.
        let is_window = start.is_some() && self.endpoint.answers() == Answers::Frames;
        let name = id.clone().or_else(|| is_window.then(|| format!("{} {}", order.0, order.1)));
        let stretch = Stretch { order, text: text("text").unwrap_or_default(), id, raw };
        match name.as_ref().and_then(|name| self.places.get(name)) {
            Some(place) => self.said[*place] = stretch,
            None => {
                self.places.extend(name.map(|name| (name, self.said.len())));
                self.said.push(stretch);
            }
        }
    }

    fn update(&mut self, raw: Option<Box<RawValue>>) {
        let Some(raw) = raw else { return };
        let Ok(mut change) = serde_json::from_str::<Message>(raw.get()) else {
            self.garbled = true;
            return;
        };
        let Some(id) = string(change.remove("clip_uuid").as_deref()) else { return };
        let known = self.updates.entry(id).or_default();
        for (key, value) in change {
            match known.iter_mut().find(|(name, _)| *name == key) {
                Some((_, old)) => *old = value,
                None => known.push((key, value)),
            }
        }
    }

    /// A clip with what was found out about it later.
    fn updated(&self, clip: &Stretch) -> String {
        let Some(changes) = clip.id.as_ref().and_then(|id| self.updates.get(id)) else {
            return clip.raw.get().to_owned();
        };
        let Ok(mut members) = serde_json::from_str::<Members>(clip.raw.get()) else {
            return clip.raw.get().to_owned();
        };
        for (key, value) in changes {
            match members.0.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => *old = value.clone(),
                None => members.0.push((key.clone(), value.clone())),
            }
        }
        members.json()
    }

    fn text(&self) -> String {
        let texts = self.said.iter().map(|one| one.text.trim()).filter(|text| !text.is_empty());
        Value::from(texts.collect::<Vec<_>>().join(" ")).to_string()
    }
}

/// An object whose members keep their order and their digits.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn json(&self) -> String {
        let one =
            |(key, raw): &(String, Box<RawValue>)| format!("{}:{}", Value::from(key.as_str()), raw.get());
        format!("{{{}}}", self.0.iter().map(one).collect::<Vec<_>>().join(","))
    }
}

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What stands under a name, unless that is nothing; in the oldest messages its members stand beside `type`.
fn unwrapped(mut message: Message, name: &str) -> Option<Box<RawValue>> {
    match message.remove(name) {
        Some(inner) => (inner.get() != "null").then_some(inner),
        None => RawValue::from_string(Members(message.into_iter().collect()).json()).ok(),
    }
}

fn list(items: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut list = String::from("[");
    for item in items {
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(item.as_ref());
    }
    list.push(']');
    list
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// Words, or whatever stands in their place.
fn sentence(raw: &RawValue) -> String {
    string(Some(raw)).unwrap_or_else(|| raw.get().to_owned())
}

fn fields(raw: &RawValue, keys: &[&str]) -> String {
    let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    keys.iter()
        .map(|key| value.get(key).map(Value::to_string).unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `None` for `null`, and for what is no stretch of time.
fn clip_at(raw: &RawValue) -> Option<ClipAt> {
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    let number = |key: &str| value.get(key).and_then(Value::as_f64).map(|ms| ms as u64);
    let start_ms = number("start_ms")?;
    let duration_ms =
        number("duration_ms").or_else(|| number("end_ms").map(|end| end.saturating_sub(start_ms)))?;
    Some(ClipAt { start_ms, duration_ms })
}
