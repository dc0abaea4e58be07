//! What a job can list as its outputs, and which of it an endpoint's answers have nothing for.

use super::each::FileFormat;
use super::format::Format;
use super::tables;
use crate::queue::{QueueError, TaskStore};
use crate::task::{Answers, Endpoint, Job};

/// A word in a job's `outputs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// `results.jsonl`.
    Jsonl,
    /// `results.csv`, and tables of what a recording has several of: `utterances.csv`, `behaviors.csv`, …
    Csv,
    /// `nemo.jsonl`.
    Nemo,
    /// A file for each recording.
    File(FileFormat),
    /// `recordings.parquet` and `utterances.parquet`, made whole at the end of a run.
    Parquet,
}

impl Output {
    /// Everything that can be listed, in the order in which it is told.
    pub const ALL: [Output; 10] = [
        Output::Jsonl,
        Output::Csv,
        Output::File(FileFormat::Txt),
        Output::File(FileFormat::Srt),
        Output::File(FileFormat::Vtt),
        Output::File(FileFormat::Rttm),
        Output::File(FileFormat::Tsv),
        Output::Nemo,
        Output::File(FileFormat::Json),
        Output::Parquet,
    ];

    /// What a job writes that lists nothing.
    pub const DEFAULT: [Output; 2] = [Output::Jsonl, Output::Csv];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Output::Jsonl => "jsonl",
            Output::Csv => "csv",
            Output::Nemo => "nemo",
            Output::File(format) => format.word(),
            Output::Parquet => "parquet",
        }
    }

    /// Whether this program was built with what it takes to write it.
    pub fn is_built(self) -> bool {
        super::HAS_PARQUET || self != Output::Parquet
    }

    /// Why an endpoint's answers cannot be written so, as a fragment that fits after "because"; `None` if they can.
    pub fn refusal(self, endpoint: Endpoint) -> Option<&'static str> {
        let needs_words =
            !matches!(self, Output::Jsonl | Output::Csv | Output::File(FileFormat::Json) | Output::Parquet);
        match endpoint.answers() {
            Answers::Frames if needs_words => Some("it judges voices and writes down no words"),
            Answers::Label if needs_words => Some("it labels recordings and writes down no words"),
            Answers::Text if self == Output::File(FileFormat::Rttm) => {
                Some("its answers tell no speakers and no times")
            }
            _ => None,
        }
    }

    /// What an endpoint's answers can be written as, by this program.
    pub fn of(endpoint: Endpoint) -> impl Iterator<Item = Output> {
        Output::ALL.into_iter().filter(move |output| output.is_built() && output.refusal(endpoint).is_none())
    }
}

/// What this queue has ever begun to write for a job, whatever is listed now.
///
/// # Errors
/// The queue's own.
pub async fn written(store: &dyn TaskStore, job: &Job) -> Result<Vec<Output>, QueueError> {
    let mut written = Vec::new();
    for output in Output::ALL {
        let name = match output {
            Output::Jsonl => Format::Jsonl.file_name(),
            Output::Csv => Format::Csv.file_name(),
            Output::Nemo => Format::Nemo.file_name(),
            Output::File(format) => format.word(),
            Output::Parquet => tables::MARK,
        };
        if !store.output(job.id, name).await?.sha256.is_empty() {
            written.push(output);
        }
    }
    Ok(written)
}

/// The files of a job that all results go to, among what it lists and its endpoint can fill, in the order in which
/// they are told.
pub(super) fn formats(list: &[Output], endpoint: Endpoint) -> Vec<Format> {
    let listed = |format: &Format| {
        list.contains(&match format {
            Format::Jsonl => Output::Jsonl,
            Format::Nemo => Output::Nemo,
            Format::Csv
            | Format::Utterances
            | Format::Behaviors
            | Format::Topics
            | Format::Roles
            | Format::Music => Output::Csv,
        })
    };
    Format::ALL.into_iter().filter(listed).filter(|format| format.is_of(endpoint)).collect()
}

/// The formats that each recording has a file in, among what a job lists.
pub(super) fn file_formats(list: &[Output]) -> Vec<FileFormat> {
    FileFormat::ALL.into_iter().filter(|format| list.contains(&Output::File(*format))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_output_has_a_word_of_its_own_and_every_format_is_an_output() {
        let words: BTreeSet<&str> = Output::ALL.iter().map(|output| output.word()).collect();
        assert_eq!(words.len(), Output::ALL.len());
        let all: BTreeSet<Format> =
            Endpoint::ALL.into_iter().flat_map(|endpoint| formats(&Output::ALL, endpoint)).collect();
        assert_eq!(all, BTreeSet::from(Format::ALL));
        assert_eq!(file_formats(&Output::ALL), FileFormat::ALL);
        let default = |endpoint| {
            let names: Vec<_> = formats(&Output::DEFAULT, endpoint).iter().map(|f| f.file_name()).collect();
            names.join(" ")
        };
        assert_eq!(default(Endpoint::SttBatch), "results.jsonl results.csv utterances.csv");
        assert_eq!(
            default(Endpoint::Batch),
            "results.jsonl results.csv utterances.csv behaviors.csv topics.csv roles.csv"
        );
        assert_eq!(default(Endpoint::EmotionBatch), "results.jsonl results.csv utterances.csv");
        assert_eq!(default(Endpoint::LanguageDetectionBatch), "results.jsonl results.csv");
        assert_eq!(default(Endpoint::MusicDetectionBatch), "results.jsonl results.csv music.csv");
    }

    #[test]
    fn an_endpoint_takes_what_its_answers_have_something_for() {
        let words = |endpoint| Output::of(endpoint).map(Output::word).collect::<Vec<_>>().join(" ");
        let parquet = if crate::outputs::HAS_PARQUET { " parquet" } else { "" };
        assert_eq!(words(Endpoint::SyntheticVoiceDetectionBatch), format!("jsonl csv json{parquet}"));
        assert_eq!(words(Endpoint::AccentBatch), format!("jsonl csv json{parquet}"));
        for endpoint in [Endpoint::SttBatchEnglishVfast, Endpoint::SttBatchMultilingualVfast] {
            assert_eq!(words(endpoint), format!("jsonl csv txt srt vtt tsv nemo json{parquet}"));
        }
        for endpoint in [Endpoint::SttBatch, Endpoint::PiiPhiRedactionBatch, Endpoint::Batch] {
            assert!(Output::of(endpoint).eq(Output::ALL.into_iter().filter(|output| output.is_built())));
        }
        assert!(Endpoint::ALL.iter().all(|e| Output::DEFAULT.iter().all(|o| o.refusal(*e).is_none())));
    }
}
