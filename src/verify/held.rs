//! A file of results that is open, and what reading its lines showed.

use std::fs::File;
use std::path::PathBuf;

use super::book::Bits;
use crate::queue::OutputState;

/// A file that is open.
pub(super) struct Held {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) state: OutputState,
    /// Its committed bytes are what was committed.
    pub(super) is_whole: bool,
    /// Bytes in it when it was opened.
    pub(super) length: u64,
}

/// What the lines of `results.jsonl` showed.
pub(super) struct LinesSeen {
    /// Tasks that have a line.
    pub(super) tasks: Bits,
    /// Results up to here had to have one.
    pub(super) last_seq: i64,
}
