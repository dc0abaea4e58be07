//! The write-ahead log's way to the disk, off the way of those who write. Commits are visible at once and survive
//! the death of the process; whoever needs more waits here, and one `fdatasync` serves everybody who waits.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::writer::CommitLost;
use crate::queue::QueueError;

/// Called with why the log could not be synced, if it could not.
pub(super) type Waiter = Box<dyn FnOnce(Option<&CommitLost>) + Send>;

/// A handle to the log. Cheap to clone.
#[derive(Clone)]
pub(super) struct Log(mpsc::UnboundedSender<Waiter>);

impl Log {
    /// The log of an open database: SQLite keeps one file as long as any connection is open.
    pub(super) fn open(path: &Path) -> Result<Self, QueueError> {
        let file = File::open(path).map_err(|source| QueueError::Io { path: path.to_owned(), source })?;
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(sync_for_all(path.to_owned(), Arc::new(file), waiting));
        Ok(Log(sender))
    }

    /// Calls the waiter once everything that is committed by now is on the disk.
    pub(super) fn when_synced(&self, waiter: Waiter) {
        if let Err(mpsc::error::SendError(waiter)) = self.0.send(waiter) {
            waiter(Some(&CommitLost::gone()));
        }
    }

    /// Waits until everything that is committed by now is on the disk.
    pub(super) async fn synced(&self) -> Result<(), QueueError> {
        let (reply, answer) = oneshot::channel();
        self.when_synced(Box::new(move |lost| {
            let _ = reply.send(lost.map_or(Ok(()), |lost| Err(lost.error())));
        }));
        answer.await.map_err(|_| QueueError::Closed)?
    }
}

/// Ends with the last handle.
async fn sync_for_all(path: PathBuf, file: Arc<File>, mut waiting: mpsc::UnboundedReceiver<Waiter>) {
    let mut waiters = Vec::new();
    // A disk that failed to keep something may call the next try a success without having it: the first failure
    // stays the answer.
    let mut broken: Option<CommitLost> = None;
    while waiting.recv_many(&mut waiters, usize::MAX).await > 0 {
        if broken.is_none() {
            let file = Arc::clone(&file);
            let done = tokio::task::spawn_blocking(move || file.sync_data()).await;
            let done = done.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
            broken = done.err().map(|error| CommitLost::unsynced(&path, error));
        }
        waiters.drain(..).for_each(|waiter| waiter(broken.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), b"frames").unwrap();
        let log = Log::open(&folder.path().join("log")).unwrap();
        log.synced().await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_failed_once_is_not_believed_again() {
        // A device without a memory refuses to sync.
        let log = Log::open(Path::new("/dev/null")).unwrap();
        for _ in 0..2 {
            assert!(matches!(log.synced().await, Err(QueueError::CommitFailed { .. })));
        }
    }
}
