//! The next recordings, made ready before a slot frees: opened, looked at, measured. What looks alone can refuse
//! never takes a slot.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinSet;

use super::Work;
use crate::media::{self, MediaSettings, Prepared};
use crate::queue::Candidate;
use crate::task::{Cause, Failure, TaskId};

/// A recording that could be sent this moment.
pub(super) struct Ready {
    pub(super) candidate: Candidate,
    pub(super) work: Arc<Work>,
    pub(super) prepared: Prepared,
}

/// What looking at a candidate showed.
pub(super) enum Looked {
    /// It can be sent.
    Fit(Box<Ready>),
    /// It cannot, and will not.
    Refused(Candidate, Failure),
    /// It is still being written.
    Unsettled(Candidate),
    /// The folder of its whole job is gone: nothing can be said of the file.
    NoSource(std::path::PathBuf),
}

/// Candidates on their way to being sent.
#[derive(Default)]
pub(super) struct Preparing {
    ready: VecDeque<Ready>,
    looking: JoinSet<Looked>,
    known: HashMap<TaskId, ()>,
}

impl Preparing {
    /// How many are ready or being looked at.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether any is ready.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Their numbers, so that they are not asked for again.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.known.keys().copied().collect()
    }

    /// The ready ones as a claim wants them: best first, with the audio they will be billed for.
    pub(super) fn wish(&self, most: usize) -> Vec<(TaskId, u64)> {
        self.ready.iter().take(most).map(|r| (r.candidate.id, r.prepared.estimated_ms)).collect()
    }

    /// Begins to look at a candidate.
    pub(super) fn look(&mut self, candidate: Candidate, work: Arc<Work>, media: MediaSettings) {
        self.known.insert(candidate.id, ());
        self.looking.spawn_blocking(move || look(candidate, work, &media));
    }

    /// The next one that has been looked at; pending while none is being looked at.
    pub(super) async fn looked(&mut self) -> Looked {
        loop {
            match self.looking.join_next().await {
                Some(Ok(looked)) => return looked,
                // A look that panicked loses its candidate from memory only; the queue offers it again.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Keeps a fit one.
    pub(super) fn keep(&mut self, ready: Ready) {
        self.ready.push_back(ready);
    }

    /// Takes a claimed one out.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Ready> {
        self.known.remove(&id);
        let at = self.ready.iter().position(|r| r.candidate.id == id)?;
        self.ready.remove(at)
    }

    /// Forgets one that is not to be had, or was refused.
    pub(super) fn forget(&mut self, id: TaskId) {
        self.known.remove(&id);
        self.ready.retain(|r| r.candidate.id != id);
    }
}

fn look(candidate: Candidate, work: Arc<Work>, media: &MediaSettings) -> Looked {
    let path = work.job.source_of(&candidate.path);
    match media::prepare(&path, &candidate.path, work.job.endpoint, media) {
        Ok(prepared) => {
            let as_scanned =
                (prepared.len, prepared.modified_ns) == (candidate.size_bytes, candidate.modified_ns);
            // As it was found, it had settled then. Otherwise it has to settle anew.
            if as_scanned || has_settled(prepared.modified_ns, &work) {
                Looked::Fit(Box::new(Ready { candidate, work, prepared }))
            } else {
                Looked::Unsettled(candidate)
            }
        }
        Err(failure) if failure.cause == Cause::SourceChanged => Looked::Unsettled(candidate),
        // A disk that is not mounted must not fail every recording on it.
        Err(failure) if failure.cause == Cause::SourceMissing && !work.job.root.exists() => {
            Looked::NoSource(work.job.root.clone())
        }
        Err(failure) => Looked::Refused(candidate, failure),
    }
}

fn has_settled(modified_ns: i64, work: &Work) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let age = i128::try_from(now).unwrap_or(i128::MAX) - i128::from(modified_ns);
    age < 0 || age >= i128::try_from(work.settle.as_nanos()).unwrap_or(i128::MAX)
}
