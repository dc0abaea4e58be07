//! A source against what was sent of it: its size and its BLAKE3. Reads all of it.

use std::path::PathBuf;

use super::files;
use super::finding::{Finding, Kind};
use crate::queue::{AudioFacts, ResultRow};
use crate::task::Job;

/// A recording on disk, and what it was when it was sent.
pub(super) struct Source {
    path: PathBuf,
    sent: AudioFacts,
}

impl Source {
    pub(super) fn of(job: &Job, row: &ResultRow) -> Self {
        Source { path: job.source_of(&row.path), sent: row.audio.clone() }
    }

    /// What is wrong with it, if anything.
    pub(super) fn check(self) -> Option<Finding> {
        let found = |kind, what: String| Some(Finding::new(kind, what).file(&self.path));
        let (file, length) = match files::open(&self.path) {
            Ok(Some(open)) => open,
            Ok(None) => return found(Kind::SourceMissing, "is not there any more".to_owned()),
            Err(error) => return found(Kind::SourceMissing, format!("cannot be read: {error}")),
        };
        if length != self.sent.bytes {
            let what = format!("had {} bytes when it was sent, and has {length}", self.sent.bytes);
            return found(Kind::SourceAltered, what);
        }
        let mut hash = blake3::Hasher::new();
        match hash.update_reader(file) {
            Ok(hash) if hash.finalize().to_hex().as_str() == self.sent.blake3 => None,
            Ok(_) => found(Kind::SourceAltered, "is as long as what was sent, with other content".to_owned()),
            Err(error) => found(Kind::SourceMissing, format!("cannot be read: {error}")),
        }
    }
}
