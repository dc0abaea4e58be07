//! Sources that are not there at present: a network share, a disk that was taken off. A run that watches waits for them.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::Work;
use super::pool::{POLL_PAUSED, Pool};
use crate::queue::{Candidate, QueueError};
use crate::task::JobId;

/// Jobs whose source is not there, and when it is looked for again.
#[derive(Debug, Default)]
pub(super) struct Away(HashMap<JobId, Instant>);

impl Away {
    pub(super) fn note(&mut self, job: JobId) {
        self.0.insert(job, Instant::now() + POLL_PAUSED);
    }

    pub(super) fn has(&self, job: JobId) -> bool {
        self.0.contains_key(&job)
    }

    /// Looks for those whose time has come; true if one is back.
    pub(super) async fn have_come_back(&mut self, works: &HashMap<JobId, Arc<Work>>) -> bool {
        let due: Vec<JobId> =
            self.0.iter().filter(|(_, at)| **at <= Instant::now()).map(|(job, _)| *job).collect();
        let mut back = false;
        for job in due {
            let Some(work) = works.get(&job).cloned() else { continue };
            // A share that hangs must not hold up a thread that feeds uploads.
            if tokio::task::spawn_blocking(move || is_away(&work)).await.unwrap_or(true) {
                self.note(job);
            } else {
                self.0.remove(&job);
                back = true;
            }
        }
        back
    }
}

impl Pool {
    /// What is queued of a source that is gone stays as it is until that is back; if nobody waits for it, the run ends.
    pub(super) fn put_off(&mut self, candidate: &Candidate, work: &Work) {
        if !self.watching {
            let source = io::Error::new(io::ErrorKind::NotFound, "the source folder is gone");
            return self.stop_for(QueueError::Io { path: work.job.root.clone(), source });
        }
        self.preparing.take(candidate.id);
        if self.chosen.remove(&candidate.id) {
            self.quota.give_back();
        }
        self.away.note(candidate.job);
    }
}

/// Whether a source is not there at present. Of a disk that was taken off, its empty folder stays.
pub(super) fn is_away(work: &Work) -> bool {
    !work.job.root.exists() || (work.mounted && !is_mount_point(&work.job.root))
}

/// Whether a folder is the root of a disk.
pub fn is_mount_point(folder: &Path) -> bool {
    let device = |folder: &Path| std::fs::metadata(folder).ok().map(|meta| meta.dev());
    device(folder).zip(device(&folder.join(".."))).is_some_and(|(here, above)| here != above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_root_of_a_disk_if_the_one_above_it_lies_on_another() {
        assert!(is_mount_point(Path::new("/proc")));
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(folder.path()) && !is_mount_point(&folder.path().join("none")));
    }
}
