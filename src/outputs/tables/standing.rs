//! How the recordings of a job stand, as one hash: the same hash, the same tables. It takes a look at every row of the queue,
//! which is several times cheaper than reading every answer.

use sha2::{Digest, Sha256};

use super::super::record::Record;
use super::super::{file, jsonl};
use crate::queue::{QueueError, TaskRow, TaskStore};
use crate::task::{Filter, Job, Timestamp};

/// Tasks read at once.
pub(super) const PAGE: u32 = 1000;

/// A hash on its way.
pub(super) struct Standing {
    hash: Sha256,
    line: Vec<u8>,
    /// When the last of them changed.
    pub(super) changed_at: Timestamp,
}

impl Standing {
    /// Of no recording yet. The names of metadata are columns.
    pub(super) fn new(fields: &[String]) -> Self {
        let mut hash = Sha256::new();
        for name in fields {
            hash.update(name.as_bytes());
            hash.update([0]);
        }
        Standing { hash, line: Vec::new(), changed_at: Timestamp(i64::MIN) }
    }

    /// All that a table says of a recording, but for its answer: another answer has another number, or says that the tables
    /// are to be made anew.
    pub(super) fn add(&mut self, task: &TaskRow) {
        self.line.clear();
        // Into memory, and of words and numbers: it cannot fail.
        let _ = jsonl::line(&mut self.line, &Record::of_task(task));
        self.hash.update(&self.line);
        self.changed_at = self.changed_at.max(task.changed_at);
    }

    /// What the queue keeps of it.
    pub(super) fn mark(&self, layout: &str) -> String {
        format!("{layout}{}", file::hex(&self.hash))
    }
}

/// Of all recordings of a job.
pub(super) async fn of(store: &dyn TaskStore, job: &Job, fields: &[String]) -> Result<Standing, QueueError> {
    let filter = all_of(job);
    let mut standing = Standing::new(fields);
    let mut after = None;
    loop {
        // `now` matters to filters by age only.
        let rows = store.tasks(filter.clone(), after, PAGE, Timestamp(0)).await?;
        let Some(last) = rows.last() else { return Ok(standing) };
        after = Some(last.id);
        rows.iter().for_each(|row| standing.add(row));
    }
}

/// Every recording of a job.
pub(super) fn all_of(job: &Job) -> Filter {
    Filter { jobs: vec![job.name.clone()], ..Filter::default() }
}
