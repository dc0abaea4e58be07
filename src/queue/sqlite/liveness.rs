//! Proof of life by file locks: each process holds a lock on a file of its own for as long as it lives. The
//! operating system lets go of it whatever the end was, so a crash is known at once and a stopped process is
//! not mistaken for a dead one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::queue::QueueError;
use crate::task::WorkerId;

/// The lock files of one queue.
pub(super) struct Liveness {
    folder: PathBuf,
    ours: Mutex<HashMap<WorkerId, File>>,
}

/// A process that is proven dead. Its lock is ours until it is buried, so that only one process buries it.
pub(super) struct Dead {
    pub(super) id: WorkerId,
    file: PathBuf,
    _lock: Option<File>,
}

impl Dead {
    /// Removes what is left of it.
    pub(super) fn bury(self) {
        let _ = std::fs::remove_file(self.file);
    }
}

impl Liveness {
    /// Lock files lie in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Liveness { folder, ours: Mutex::default() }
    }

    /// Begins the proof for a process of ours.
    pub(super) fn hold(&self, id: &WorkerId) -> Result<(), QueueError> {
        let path = self.file_of(id);
        let io = |source| QueueError::Io { path: path.clone(), source };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        file.lock().map_err(io)?;
        self.ours().insert(id.clone(), file);
        Ok(())
    }

    /// Ends it in order.
    pub(super) fn release(&self, id: &WorkerId) {
        if self.ours().remove(id).is_some() {
            let _ = std::fs::remove_file(self.file_of(id));
        }
    }

    /// Ends all of ours.
    pub(super) fn release_all(&self) {
        let ids: Vec<WorkerId> = self.ours().keys().cloned().collect();
        for id in ids {
            self.release(&id);
        }
    }

    /// Whether somebody holds its lock.
    pub(super) fn is_alive(&self, id: &WorkerId) -> bool {
        self.ours().contains_key(id) || self.try_take(id).is_none()
    }

    /// Those whose lock nobody holds. A file that is gone was buried, or never was: dead as well.
    pub(super) fn dead_among(&self, ids: Vec<WorkerId>) -> Vec<Dead> {
        ids.into_iter()
            .filter(|id| !self.ours().contains_key(id))
            .filter_map(|id| {
                let lock = self.try_take(&id)?;
                Some(Dead { file: self.file_of(&id), id, _lock: lock })
            })
            .collect()
    }

    /// `None`: alive, or not to be told. `Some(None)`: no file. `Some(file)`: locked by us now.
    fn try_take(&self, id: &WorkerId) -> Option<Option<File>> {
        match OpenOptions::new().write(true).open(self.file_of(id)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Some(None),
            Err(_) => None,
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(Some(file)),
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
            },
        }
    }

    fn file_of(&self, id: &WorkerId) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }

    fn ours(&self) -> MutexGuard<'_, HashMap<WorkerId, File>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
