//! Files made from results. The queue is the truth; any of these can be deleted and made again.
//!
//! [`Projector`] appends what succeeded to `results.jsonl`, `results.csv` and `utterances.csv`, each recording
//! exactly once, and replaces `failures.*` whole. [`export()`] renders whatever a filter picks, to anywhere.
//! [`end_purge()`] makes files forget what the queue has forgotten.

mod csv;
mod error;
mod export;
mod failures;
mod file;
mod format;
mod jsonl;
mod page;
mod patience;
mod projector;
mod proof;
mod purge;
mod record;
mod render;
mod stream;
mod summary;
mod transcript;

#[cfg(test)]
mod tests;

pub use error::OutputError;
pub use export::export;
pub use failures::NAMES as FAILURE_FILES;
pub use format::Format as ExportFormat;
pub use page::PageSize;
pub use projector::Projector;
pub use purge::{InTheWay, PurgeEnd, end_purge, missing_output};
pub use render::{render_failure, render_result};
pub use summary::{OutputFile, Progress, Summary, Waits};

/// How files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    /// Begin CSV files with a byte-order mark, which Excel needs to read accents.
    pub csv_bom: bool,
    /// Put `'` before text cells that a spreadsheet would take for a formula.
    pub csv_safe: bool,
}

impl Default for OutputSettings {
    fn default() -> Self {
        OutputSettings { csv_bom: false, csv_safe: true }
    }
}
