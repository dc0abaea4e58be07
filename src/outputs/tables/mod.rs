//! `recordings.parquet` and `utterances.parquet` of a job. A file of this kind cannot be appended to, so both are made whole at
//! the end of a run: written beside, synced, and renamed when both are there; and only if anything has changed since.
//!
//! The queue keeps what lies in each, and under a third name what both were made of: how every recording stood. While that
//! says nothing, they are made anew: so a crash between the two renames is mended by the next run.
//!
//! | found | done |
//! |---|---|
//! | as they were written, and nothing changed since | left as they are |
//! | changed, cut, deleted, or of another layout | made anew, as `failures.*` are |
//! | half written beside them, by a process that was killed | removed |
//! | content, and never begun by this queue | refused: perhaps the only copy of another queue's results |

#[cfg(feature = "parquet")]
mod cells;
mod standing;
#[cfg(feature = "parquet")]
mod table;
#[cfg(not(feature = "parquet"))]
mod without;
#[cfg(feature = "parquet")]
mod write;

use futures_util::future::try_join_all;

use super::OutputError;
use super::file;
use super::stream::begun;
use crate::queue::{OutputState, QueueError, TaskStore};
use crate::task::{Job, Timestamp};

#[cfg(not(feature = "parquet"))]
pub(super) use without::keep;
#[cfg(feature = "parquet")]
pub use write::export_tables;
#[cfg(feature = "parquet")]
pub(super) use write::keep;

/// The files.
pub const TABLES: [&str; 2] = ["recordings.parquet", "utterances.parquet"];

/// The queue's name for what both were made of.
pub(super) const MARK: &str = "parquet";

/// Its own lock, as that of the failures: whoever ends makes the tables, also beside a process that has the other files.
const LOCK: &str = ".parquet.lock";

/// What tables lack of that which stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Results are stored that are not in them, or they were never put in their places.
    Interrupted,
    /// Recordings stand otherwise; the last of them changed at this moment.
    Moved(Timestamp),
    /// They have other columns than would be written today.
    OtherLayout,
}

/// What both were made of, as the queue keeps it; nothing if they were never begun.
///
/// # Errors
/// The queue's own.
pub async fn tables_mark(store: &dyn TaskStore, job: &Job) -> Result<String, QueueError> {
    Ok(store.output(job.id, MARK).await?.sha256)
}

/// Holds both against the queue, without a look at the files. `None`: they are what would be written, or a build without
/// Parquet cannot tell.
///
/// # Errors
/// The queue's own.
pub async fn tables_behind(store: &dyn TaskStore, job: &Job) -> Result<Option<Behind>, QueueError> {
    let mark = store.output(job.id, MARK).await?;
    if is_open(&mark) || !store.results(job.id, mark.last_seq, 1).await?.is_empty() {
        return Ok(Some(Behind::Interrupted));
    }
    if !super::HAS_PARQUET {
        return Ok(None);
    }
    let fields = store.learn_fields(job.id, Vec::new()).await?;
    let standing = standing::of(store, job, &fields).await?;
    Ok(match standing.mark(LAYOUT) == mark.sha256 {
        true => None,
        false if !mark.sha256.starts_with(LAYOUT) => Some(Behind::OtherLayout),
        false => Some(Behind::Moved(standing.changed_at)),
    })
}

/// Raised whenever the columns change, or what stands in them.
const LAYOUT: &str = "1-";

/// Begun, and nothing in the files counts.
fn is_open(mark: &OutputState) -> bool {
    mark.sha256 == begun().sha256
}

/// Takes the tables of a job over, before the first of them is written.
///
/// # Errors
/// Refuses files with content that this queue never wrote.
pub(super) async fn begin(store: &dyn TaskStore, job: &Job) -> Result<(), OutputError> {
    if !store.output(job.id, MARK).await?.sha256.is_empty() {
        return Ok(());
    }
    let places = TABLES.map(|name| job.output.join(name));
    file::blocking(move || {
        for path in places {
            if let Some(there) = file::open_existing(&path)?
                && file::length(&there, &path)? > 0
            {
                return Err(OutputError::NotOurs { path });
            }
        }
        Ok(())
    })
    .await?;
    commit(store, job, [begun(), begun(), begun()]).await
}

/// Says that nothing in them counts any more, so that they are made anew. Not of those that were never begun.
pub(super) async fn forget(store: &dyn TaskStore, job: &Job) -> Result<(), OutputError> {
    let mark = store.output(job.id, MARK).await?;
    if mark.sha256.is_empty() || is_open(&mark) {
        return Ok(());
    }
    commit(store, job, [begun(), begun(), begun()]).await
}

/// All at once: they can ride on one transaction. The last is the mark.
async fn commit(store: &dyn TaskStore, job: &Job, states: [OutputState; 3]) -> Result<(), OutputError> {
    let names = [TABLES[0], TABLES[1], MARK];
    try_join_all(names.into_iter().zip(states).map(|(name, state)| store.commit_output(job.id, name, state)))
        .await?;
    Ok(())
}
