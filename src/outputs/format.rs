//! The formats of which a job has one file with all results. To add one: a variant here, a word in `list.rs`, a file
//! beside `csv.rs` (a further table: in `analysis.rs`), and the projector keeps it exactly-once like the others.

use std::io;

use super::record::Record;
use super::{OutputSettings, analysis, csv, jsonl, nemo};
use crate::task::{Answers, Endpoint};

/// A way to write records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// One JSON object a recording, with the API's whole answer.
    Jsonl,
    /// One row a recording.
    Csv,
    /// One row an utterance, clip or frame.
    Utterances,
    /// One row a behavior that an analysis reports.
    Behaviors,
    /// One row a topic, or a speaker's sentiment on it.
    Topics,
    /// One row a speaker, with the role that was picked.
    Roles,
    /// One row a window of a music model.
    Music,
    /// One JSON object an utterance, as NeMo reads them.
    Nemo,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 8] = [
        Format::Jsonl,
        Format::Csv,
        Format::Utterances,
        Format::Behaviors,
        Format::Topics,
        Format::Roles,
        Format::Music,
        Format::Nemo,
    ];

    /// Whether an endpoint's answers have anything to fill it with.
    pub fn is_of(self, endpoint: Endpoint) -> bool {
        let music = matches!(endpoint, Endpoint::MusicDetectionBatch | Endpoint::AiMusicDetectionBatch);
        match self {
            Format::Jsonl | Format::Csv | Format::Nemo => true,
            Format::Utterances => !music && endpoint != Endpoint::LanguageDetectionBatch,
            Format::Behaviors | Format::Topics | Format::Roles => endpoint.answers() == Answers::Conversation,
            Format::Music => music,
        }
    }

    /// The file that the projector keeps in this format, which is also the queue's name for it.
    pub fn file_name(self) -> &'static str {
        match self {
            Format::Jsonl => "results.jsonl",
            Format::Csv => "results.csv",
            Format::Utterances => "utterances.csv",
            Format::Behaviors => "behaviors.csv",
            Format::Topics => "topics.csv",
            Format::Roles => "roles.csv",
            Format::Music => "music.csv",
            Format::Nemo => "nemo.jsonl",
        }
    }

    /// The first bytes of a file.
    pub fn header(self, settings: &OutputSettings) -> Vec<u8> {
        match self {
            Format::Jsonl | Format::Nemo => Vec::new(),
            Format::Csv => csv::results_header(settings),
            Format::Utterances => csv::utterances_header(settings),
            Format::Behaviors => analysis::BEHAVIORS.header(settings),
            Format::Topics => analysis::TOPICS.header(settings),
            Format::Roles => analysis::ROLES.header(settings),
            Format::Music => analysis::MUSIC.header(settings),
        }
    }

    /// Appends a record; returns how many lines that made.
    pub(super) fn render(
        self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        settings: &OutputSettings,
    ) -> io::Result<u64> {
        if !self.is_of(record.model) {
            return Ok(0);
        }
        match self {
            Format::Jsonl => jsonl::line(out, record).map(|()| 1),
            Format::Csv => csv::result(out, record, settings).map(|()| 1),
            Format::Utterances => csv::utterances(out, record, settings),
            Format::Behaviors => analysis::BEHAVIORS.rows(out, record, analysis::behaviors(record), settings),
            Format::Topics => analysis::TOPICS.rows(out, record, &analysis::topics(record), settings),
            Format::Roles => analysis::ROLES.rows(out, record, analysis::roles(record), settings),
            Format::Music => analysis::MUSIC.rows(out, record, analysis::music(record), settings),
            Format::Nemo => nemo::lines(out, record),
        }
    }
}
