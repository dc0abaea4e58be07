//! The formats of which a job has one file with all results. To add one: a variant here, a word in `list.rs`, a file
//! beside `csv.rs`, and the projector keeps it exactly-once like the others.

use std::io;

use super::record::Record;
use super::{OutputSettings, csv, jsonl, nemo};

/// A way to write records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// One JSON object a recording, with the API's whole answer.
    Jsonl,
    /// One row a recording.
    Csv,
    /// One row an utterance, clip or frame.
    Utterances,
    /// One JSON object an utterance, as NeMo reads them.
    Nemo,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] = [Format::Jsonl, Format::Csv, Format::Utterances, Format::Nemo];

    /// The file that the projector keeps in this format, which is also the queue's name for it.
    pub fn file_name(self) -> &'static str {
        match self {
            Format::Jsonl => "results.jsonl",
            Format::Csv => "results.csv",
            Format::Utterances => "utterances.csv",
            Format::Nemo => "nemo.jsonl",
        }
    }

    /// The first bytes of a file.
    pub fn header(self, settings: &OutputSettings) -> Vec<u8> {
        match self {
            Format::Jsonl | Format::Nemo => Vec::new(),
            Format::Csv => csv::results_header(settings),
            Format::Utterances => csv::utterances_header(settings),
        }
    }

    /// Appends a record; returns how many lines that made.
    pub(super) fn render(
        self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        settings: &OutputSettings,
    ) -> io::Result<u64> {
        match self {
            Format::Jsonl => jsonl::line(out, record).map(|()| 1),
            Format::Csv => csv::result(out, record, settings).map(|()| 1),
            Format::Utterances => csv::utterances(out, record, settings),
            Format::Nemo => nemo::lines(out, record),
        }
    }
}
