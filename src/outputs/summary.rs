//! What the projector tells about its work.

use std::path::PathBuf;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Results that were new to the files, or to one of them.
    pub records: u64,
    /// Why what is left was not written, if anything may be left.
    pub waits: Option<Waits>,
}

/// What new results wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Another process has the files, and writes everybody's results.
    OtherProcess,
    /// Recordings in the files were processed again: they are rendered anew when the run ends.
    Reprocessing,
}

/// The files of a job when a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `results.jsonl`, `results.csv`, its tables, `failures.jsonl`, `failures.csv`.
    pub files: Vec<OutputFile>,
    /// Everything that stood in the queue is in them. If not, another process has them and completes them, or
    /// the next run does.
    pub complete: bool,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Lines in it, without the header.
    pub records: u64,
    /// It had been written before and was rendered from the first result: it was deleted, its layout changed,
    /// or results in it were overtaken.
    pub rendered_anew: bool,
}

impl OutputFile {
    /// One that is only ever written whole.
    pub(super) fn whole(path: PathBuf, records: u64) -> OutputFile {
        OutputFile { path, records, rendered_anew: false }
    }
}
