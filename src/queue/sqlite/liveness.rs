//! Proof of life by file locks: each process holds a lock on a file of its own for as long as it lives. The
//! operating system lets go of it whatever the end was, so a crash is known at once and a stopped process is
//! not mistaken for a dead one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
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
        let file = lock_file(&path).map_err(|source| QueueError::Io { path, source })?;
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

    /// Removes the files of those who died while they held no task: nobody else comes across them.
    pub(super) fn bury_the_idle(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
            let id = WorkerId(id.to_owned());
            if self.ours().contains_key(&id) {
                continue;
            }
            // Our lock is held until the file is gone: see `lock_file` for who may be opening it meanwhile.
            if let Some(Some(_lock)) = self.try_take(&id) {
                let _ = std::fs::remove_file(self.file_of(&id));
            }
        }
    }

    /// `None`: alive, or not to be told. `Some(None)`: no file. `Some(file)`: locked by us now.
    fn try_take(&self, id: &WorkerId) -> Option<Option<File>> {
        match OpenOptions::new().write(true).open(self.file_of(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Some(None),
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

/// Creates and locks. Between the two, somebody may take the file for one of a dead process and remove it; a lock on
/// a file without a name proves nothing, so it is made anew then.
fn lock_file(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        match std::fs::metadata(path) {
            Ok(named) if named.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn files_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) =
            (Liveness::new(folder.path().to_owned()), Liveness::new(folder.path().to_owned()));
        ours.hold(&WorkerId("ours".to_owned())).unwrap();
        theirs.hold(&WorkerId("theirs".to_owned())).unwrap();
        std::fs::write(folder.path().join("dead.lock"), "").unwrap();
        ours.bury_the_idle();
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, ["ours.lock", "theirs.lock"]);
        drop(theirs);
        ours.bury_the_idle();
        assert_eq!(names(folder.path()), ["ours.lock"]);
    }

    #[test]
    fn who_holds_a_lock_holds_it_on_the_file_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        // Somebody has it, takes it for a dead one's, and removes it while we wait for it.
        let undertaker = lock_file(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || lock_file(&path).unwrap()
        });
        std::fs::remove_file(&path).unwrap();
        drop(undertaker);
        let ours = waiting.join().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), ours.metadata().unwrap().ino());
    }
}
