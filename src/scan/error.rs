//! Why a scan could not start. What goes wrong within a walk is told as [`super::Found::Trouble`] and does not stop it.

use std::path::PathBuf;

/// A source or a setting that no walk can use. Messages fit after "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A glob that cannot be read.
    #[error("read the glob `{glob}`: {why}; globs look like `*.wav`, `calls/**/*.mp3` or `old/`")]
    Glob {
        /// As it was written.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// A pattern for names that cannot be read.
    #[error("read `metadata_pattern` `{pattern}`: {why}")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A source that is called like a list of recordings, and is none.
    #[error("read the list `{}`: {why}", path.display())]
    NoList {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A root was given for something else than a list.
    #[error("take `root` for the source `{}`: a folder is its own root, and only a list (.csv, .tsv, .jsonl, .json) has another", path.display())]
    RootOfNoList {
        /// The source.
        path: PathBuf,
    },
    /// Nothing lies at the source.
    #[error("find the source `{}`: there is no such file or folder; check `source` and whether its disk is mounted", path.display())]
    SourceMissing {
        /// As it was given.
        path: PathBuf,
    },
    /// The source cannot be listed, or is neither file nor folder.
    #[error("read the source `{}`: {why}; check its permissions and its disk", path.display())]
    SourceUnreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}
