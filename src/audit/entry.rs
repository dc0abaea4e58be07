//! One line of the log: who, when, what, and the hash that ties it to the line before.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::task::{Timestamp, WorkerId};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A run is about to begin.
    RunStarted,
    /// A run ended in order.
    RunEnded,
    /// A source was scanned into the queue.
    Scan,
    /// An endpoint, or everything, was stopped.
    HaltRaised,
    /// It goes on.
    HaltLifted,
    /// Recordings were queued again by hand.
    Retry,
    /// Recordings were taken out by hand.
    Cancel,
    /// Answers or audio are about to be deleted by hand.
    PurgeStarted,
    /// Nothing of them is left.
    PurgeEnded,
    /// Everything was paused by hand.
    Pause,
    /// A pause was ended by hand.
    Resume,
}

impl Kind {
    /// The word in the log.
    pub fn word(self) -> &'static str {
        match self {
            Kind::RunStarted => "run_started",
            Kind::RunEnded => "run_ended",
            Kind::Scan => "scan",
            Kind::HaltRaised => "halt_raised",
            Kind::HaltLifted => "halt_lifted",
            Kind::Retry => "retry",
            Kind::Cancel => "cancel",
            Kind::PurgeStarted => "purge_started",
            Kind::PurgeEnded => "purge_ended",
            Kind::Pause => "pause",
            Kind::Resume => "resume",
        }
    }
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name that the environment gives; anybody can set it, so the number stands beside it.
    pub user: String,
    /// The user's number by the system's word.
    pub uid: u32,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// SHA-256 of the configuration file in hex, if there is a file.
    pub config_sha256: Option<String>,
}

/// What is known of an event. Words are fixed ones of the program, so no text of anybody's can slip in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(Map<String, Value>);

impl Facts {
    /// A number, an id among them.
    #[must_use]
    pub fn count(mut self, key: &'static str, number: impl Into<i128>) -> Self {
        let number = number.into();
        let number = i64::try_from(number).map_or_else(|_| Value::from(u64::MAX), Value::from);
        self.0.insert(key.to_owned(), number);
        self
    }

    /// A word.
    #[must_use]
    pub fn word(mut self, key: &'static str, word: &'static str) -> Self {
        self.0.insert(key.to_owned(), word.into());
        self
    }

    /// A list of words.
    #[must_use]
    pub fn words(mut self, key: &'static str, words: Vec<&'static str>) -> Self {
        self.0.insert(key.to_owned(), words.into());
        self
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(mut self, key: &'static str, flag: bool) -> Self {
        self.0.insert(key.to_owned(), flag.into());
        self
    }
}

/// A line as it is written. The order of the fields is the order of the keys.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    v: u32,
    pub(super) seq: u64,
    time: String,
    kind: &'static str,
    user: &'a str,
    uid: u32,
    host: &'a str,
    pid: u32,
    version: &'a str,
    config_sha256: Option<&'a str>,
    run: Option<&'a str>,
    facts: &'a Facts,
    /// So many torn lines stand right before this one: what a crash left of entries.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) after_torn: u64,
    pub(super) prev: String,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        author: &'a Author,
        kind: Kind,
        run: Option<&'a WorkerId>,
        facts: &'a Facts,
        now: Timestamp,
    ) -> Self {
        Line {
            v: 1,
            seq: 1,
            time: now.to_string(),
            kind: kind.word(),
            user: &author.user,
            uid: author.uid,
            host: &author.host,
            pid: author.pid,
            version: &author.version,
            config_sha256: author.config_sha256.as_deref(),
            run: run.map(|id| id.0.as_str()),
            facts,
            after_torn: 0,
            prev: String::new(),
        }
    }
}

impl Serialize for Facts {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a reader of the chain needs of a line.
#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) prev: String,
    pub(super) kind: String,
    pub(super) run: Option<String>,
    #[serde(default)]
    pub(super) after_torn: u64,
}

impl Link {
    /// Reads a line; `None` when it is none of ours, or torn.
    pub(super) fn read(line: &[u8]) -> Option<Link> {
        serde_json::from_slice(line).ok()
    }
}
