//! In a build without Parquet no job can list it. What another build wrote cannot be made anew here, so when it has to forget
//! something it goes: a build with Parquet makes it again from the queue, at no cost.

use super::super::OutputError;
use super::super::file::{self, Lock};
use super::super::patience::Patience;
use super::{LOCK, TABLES};
use crate::queue::{OutputState, TaskStore};
use crate::task::Job;

/// Deletes the tables of a job, and has the queue forget that they were ever there. `None` when another process was at them
/// for too long.
///
/// # Errors
/// Trouble with files; the queue's own.
pub(in super::super) async fn keep(
    store: &dyn TaskStore,
    job: &Job,
    _: &[String],
    patience: Patience,
) -> Result<Option<[u64; 2]>, OutputError> {
    let Some(lock) = Lock::wait(&job.output, LOCK, patience).await? else { return Ok(None) };
    let folder = job.output.clone();
    lock.during(move || {
        for path in TABLES.map(|name| folder.join(name)) {
            file::remove(&path)?;
            file::remove(&file::beside(&path))?;
        }
        file::sync_folder(&folder)
    })
    .await?;
    super::commit(store, job, std::array::from_fn(|_| OutputState::default())).await?;
    Ok(Some([0, 0]))
}
