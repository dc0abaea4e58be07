//! Measuring what a glance left open: files whose headers cannot be trusted are counted through, several at once, and the
//! queue keeps what came of it. A file that has not changed is measured once.
//!
//! `scan` and `plan` wait for it; a run does not: there it goes on beside, in the order of the queue, and ends with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;

use crate::media;
use crate::queue::{QueueError, Sighting, TaskStore};
use crate::run::Feed;
use crate::task::{Job, JobId, Measured, TaskId};

/// Files measured at once while somebody waits: more than there are cores, for a share that is waited for.
const HANDS: usize = 8;
/// Beside a run, whose uploads read the same disk.
const HANDS_BESIDE: usize = 2;
/// Handed to one thread.
const BATCH: usize = 4;
/// How soon what a scan has added is looked for.
const AGAIN: Duration = Duration::from_secs(1);

/// Measures what is queued of a job and has not been. `told` hears how many are done.
pub(super) async fn job(
    store: &Arc<dyn TaskStore>,
    job: &Job,
    mut told: impl FnMut(u64),
) -> Result<u64, QueueError> {
    let (mut after, mut done) = (None, 0);
    while let Some(last) = page(store, job.id, &job.root, after, HANDS).await? {
        (after, done) = (Some(last.0), done + last.1);
        told(done);
    }
    Ok(done)
}

/// Measures beside a run until it is dropped. What it does not come to is measured when it is sent.
pub(super) async fn beside(store: Arc<dyn TaskStore>, jobs: Vec<Job>, feed: watch::Receiver<Feed>) {
    loop {
        let is_fed = feed.borrow().done;
        for job in &jobs {
            let mut after = None;
            loop {
                match page(&store, job.id, &job.root, after, HANDS_BESIDE).await {
                    Ok(Some((last, _))) => after = Some(last),
                    Ok(None) => break,
                    Err(error) => {
                        // The run has its own trouble with the queue; a length is nothing to end it for.
                        tracing::debug!(%error, "lengths were not kept");
                        return;
                    }
                }
            }
        }
        if is_fed {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One page: the last of it, and how many.
async fn page(
    store: &Arc<dyn TaskStore>,
    job: JobId,
    root: &std::path::Path,
    after: Option<TaskId>,
    hands: usize,
) -> Result<Option<(TaskId, u64)>, QueueError> {
    let page = store.unmeasured(job, after, (hands * BATCH) as u32).await?;
    let Some(last) = page.last().map(|task| task.id) else { return Ok(None) };
    let count = page.len() as u64;
    let measured = files(root.to_owned(), page, |task| &task.file).await?;
    store.keep_measured(measured).await?;
    Ok(Some((last, count)))
}

/// Measures these files, a few on each thread; those that are gone or have changed are left out.
pub(super) async fn files<T: Send + 'static>(
    root: PathBuf,
    mut files: Vec<T>,
    file_of: fn(&T) -> &Sighting,
) -> Result<Vec<(T, Measured)>, QueueError> {
    let root = Arc::new(root);
    let mut working = Vec::new();
    while !files.is_empty() {
        let rest = files.split_off(BATCH.min(files.len()));
        let (some, root) = (std::mem::replace(&mut files, rest), Arc::clone(&root));
        working.push(tokio::task::spawn_blocking(move || {
            some.into_iter()
                .filter_map(|file| {
                    let Sighting { path, size_bytes, modified_ns, .. } = file_of(&file);
                    let measured =
                        media::measure_file(&root.join(path.as_path()), *size_bytes, *modified_ns)?;
                    Some((file, measured))
                })
                .collect::<Vec<_>>()
        }));
    }
    let mut measured = Vec::new();
    for some in working {
        let some = some.await.map_err(|e| QueueError::Bug(format!("measuring ended by a bug: {e}")))?;
        measured.extend(some);
    }
    Ok(measured)
}
