//! What can go wrong with the queue.

use std::path::PathBuf;

/// Why the queue could not do what was asked. Nothing accepted is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database said no.
    #[error("use the queue database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database cannot be used from the start: damaged, no database at all, locked for too long.
    #[error("open the queue {path}: {source}")]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Migrating failed.
    #[error("bring the queue database up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Written by a newer program.
    #[error(
        "open the queue {path}: it was written by a newer voxbatch (schema {found}, this one knows {known}); use that version"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A SQLite that can corrupt a write-ahead log.
    #[error(
        "use SQLite {found}: versions before 3.51.3 can corrupt a write-ahead log; build voxbatch with its bundled SQLite"
    )]
    SqliteTooOld {
        /// What is linked.
        found: String,
    },
    /// On a file system without shared memory.
    #[error(
        "open the queue {path}: it lies on a network file system ({kind}), where SQLite's write-ahead log is not safe; put `state_dir` on a local disk"
    )]
    NetworkFileSystem {
        /// The database.
        path: PathBuf,
        /// NFS, SMB, …
        kind: &'static str,
    },
    /// A file or folder of the queue.
    #[error("use {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Audio that came with an answer found no place. It belongs to the queue's answer, which is not kept without it.
    #[error("store the redacted audio {path}: {message}")]
    Audio {
        /// Where it belongs.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A job that has tasks wants another endpoint.
    #[error(
        "change the endpoint of job `{job}` from {from} to {to}: it has recordings queued or done; give the job a new name"
    )]
    EndpointChanged {
        /// The job.
        job: String,
        /// What its tasks are for.
        from: String,
        /// What the file says now.
        to: String,
    },
    /// A row that no version of ours writes.
    #[error("read the queue: {0}; the database was changed by something else")]
    Corrupt(String),
    /// A group of writes did not reach the disk: none of them happened, or, where the message says that they are
    /// written, a power cut may undo them.
    #[error("commit to the queue {message}")]
    CommitFailed {
        /// The database and its words.
        message: String,
        /// Whether the disk was full.
        disk_full: bool,
    },
    /// Something of ours did what it must not.
    #[error("go on: {0}")]
    Bug(String),
    /// The writer has ended.
    #[error("use the queue: it is closed")]
    Closed,
}

impl QueueError {
    /// Whether the disk is full, so that freeing space is the mend.
    pub fn is_disk_full(&self) -> bool {
        match self {
            QueueError::Database(source) | QueueError::Open { source, .. } => match source {
                // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: no room for the index of the write-ahead log.
                sqlx::Error::Database(e) => {
                    e.code().is_some_and(|c| c == "13" || c == "4874") || e.message().contains("disk is full")
                }
                sqlx::Error::Io(e) => e.kind() == std::io::ErrorKind::StorageFull,
                _ => false,
            },
            QueueError::CommitFailed { disk_full, .. } => *disk_full,
            QueueError::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}
