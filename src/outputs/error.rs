//! What can go wrong with output files. Results are safe in the queue whenever one of these is met.

use std::io;
use std::path::{Path, PathBuf};

use crate::queue::QueueError;

/// Why a file could not be written. Nothing is lost: the next run goes on from what is committed.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Shorter than what was written and synced.
    #[error(
        "go on with {path}: {expected} bytes of it were written, only {found} are left, so something cut it; put it back, or delete it and the next run makes it anew from the queue, at no cost"
    )]
    CutByOthers {
        /// The file.
        path: PathBuf,
        /// Bytes that were committed.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// As long as it should be, with other content.
    #[error(
        "go on with {path}: its first {expected} bytes are no longer those that were written; move it away or delete it, and the next run makes it anew from the queue, at no cost"
    )]
    ChangedByOthers {
        /// The file.
        path: PathBuf,
        /// Bytes that were committed.
        expected: u64,
    },
    /// There before this queue wrote anything there. It may be the only copy of results that were paid for.
    #[error(
        "begin {path}: a file with content is there that this queue did not write; move it away, or give the job another `output`"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Another file is in the place of one that was asked for.
    #[error("write {path}: another file is there")]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder.
    #[error("{doing} {path}: {source}")]
    Io {
        /// The verb: `write`, `create`, …
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Whatever takes an export.
    #[error("write the export: {0}")]
    Export(io::Error),
    /// The queue that results come from.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl OutputError {
    /// Whether the disk is full (or a quota), so that freeing space is the mend.
    pub fn is_disk_full(&self) -> bool {
        match self {
            OutputError::Io { source, .. } | OutputError::Export(source) => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            OutputError::Queue(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// For `map_err`: says what was being done to which path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutputError {
        let path = path.to_owned();
        move |source| OutputError::Io { doing, path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let full = Path::new("/dev/full");
        let mut file = std::fs::File::options().write(true).open(full).unwrap();
        let error = file.write_all(b"x").map_err(OutputError::io("write", full)).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        assert!(error.to_string().starts_with("write /dev/full: "), "{error}");

        let denied = OutputError::Export(io::ErrorKind::PermissionDenied.into());
        assert!(!denied.is_disk_full());
        let cut = OutputError::CutByOthers { path: full.into(), expected: 5, found: 3 };
        assert!(!cut.is_disk_full());
    }
}
