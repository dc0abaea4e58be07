//! Files made from results. The queue is the truth; any of these can be deleted and made again.
//!
//! [`Projector`] appends what succeeded to the files that a job lists (`results.jsonl`, `results.csv`, …), each recording
//! exactly once, writes a file for each recording where that is listed, and replaces `failures.*`, and at an end the tables of Parquet, whole. [`export()`]
//! renders whatever a filter picks, to anywhere. [`end_purge()`] makes files forget what the queue has forgotten.

mod analysis;
mod answer;
mod csv;
mod each;
mod error;
mod export;
mod failures;
mod file;
mod format;
mod held;
mod jsonl;
mod list;
mod nemo;
mod page;
mod patience;
mod projector;
mod proof;
mod purge;
mod record;
mod render;
mod rttm;
mod speech;
mod srt;
mod stream;
mod summary;
mod tables;
mod transcript;
mod tree;
mod tsv;
mod txt;
mod vtt;

#[cfg(test)]
mod tests;

pub use each::FileFormat;
pub use error::OutputError;
pub use export::{Exported, export, export_files, export_joined};
pub use failures::NAMES as FAILURE_FILES;
pub use format::Format as ExportFormat;
pub use list::{Output, written};
pub use page::RESULTS;
pub use projector::Projector;
pub use purge::{InTheWay, PurgeEnd, end_purge, missing_output};
pub use render::{render_failure, render_result};
pub use summary::{OutputFile, Progress, Summary, Waits};
#[cfg(feature = "parquet")]
pub use tables::export_tables;
pub use tables::{Behind, TABLES, tables_behind, tables_mark};
pub use tree::render_tree;

use crate::task::Endpoint;

/// Whether this program can write Parquet: it was built with the feature.
pub const HAS_PARQUET: bool = cfg!(feature = "parquet");

/// What builds one that can.
pub const PARQUET_MEND: &str = "cargo install --path . --features parquet";

/// Which files are written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    /// Begin CSV files with a byte-order mark, which Excel needs to read accents.
    pub csv_bom: bool,
    /// Put `'` before text cells that a spreadsheet would take for a formula.
    pub csv_safe: bool,
    /// What a job lists as its `outputs`.
    pub list: Vec<Output>,
    /// The names under which metadata comes: columns of the tables, behind the others. A job's own are looked up.
    pub fields: Vec<String>,
}

impl Default for OutputSettings {
    fn default() -> Self {
        OutputSettings { csv_bom: false, csv_safe: true, list: Output::DEFAULT.to_vec(), fields: Vec::new() }
    }
}

impl OutputSettings {
    /// The files that all results of a job for this endpoint go to.
    pub fn formats(&self, endpoint: Endpoint) -> Vec<ExportFormat> {
        list::formats(&self.list, endpoint)
    }

    /// Whether the tables of Parquet are among them.
    pub fn has_tables(&self) -> bool {
        self.list.contains(&Output::Parquet)
    }

    /// The formats of which each recording has a file.
    pub fn file_formats(&self) -> Vec<FileFormat> {
        list::file_formats(&self.list)
    }
}
