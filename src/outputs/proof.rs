//! Holding a file's committed bytes against the hash of what was committed. A small file is read at once; a large one
//! beside the run, on a thread of its own, so that nobody waits for gigabytes before the first request.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::OutputError;
use super::file;

/// What is known of the committed bytes.
pub(super) enum Proof {
    /// They are what was committed; this is their running hash, so that no commit reads the file again.
    Held(Sha256),
    /// They are being read.
    Reading(Reading),
    /// They were read, and are not what was committed; or reading them failed.
    Owed,
}

impl Proof {
    /// Whether the answer can be had without waiting, and has not been asked for.
    pub(super) fn has_news(&self) -> bool {
        matches!(self, Proof::Reading(Reading { thread: Some(thread), .. }) if thread.is_finished())
    }
}

/// A thread that reads. Dropped, it ends by itself, soon.
pub(super) struct Reading {
    /// There until its end is waited for.
    thread: Option<JoinHandle<std::io::Result<Sha256>>>,
    given_up: Arc<AtomicBool>,
}

impl Reading {
    /// Begins to read the first `bytes` of a file that is open. The name is for errors.
    pub(super) fn begin(file: &File, path: &Path, bytes: u64) -> Result<Reading, OutputError> {
        let file = file.try_clone().map_err(OutputError::io("read", path))?;
        let given_up = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&given_up);
        let work = move || digest(&file, bytes, &stop);
        let thread = std::thread::Builder::new()
            .name("voxbatch-proof".to_owned())
            .spawn(work)
            .map_err(OutputError::io("read", path))?;
        Ok(Reading { thread: Some(thread), given_up })
    }

    /// Waits for the end of it.
    pub(super) fn end(mut self, path: &Path) -> Result<Sha256, OutputError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(read)) => read.map_err(OutputError::io("read", path)),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Sha256::new()), // taken only here, where `self` ends
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The SHA-256 of the first `bytes` of a file, ready to go on with what comes next.
pub(super) fn read(file: &File, path: &Path, bytes: u64) -> Result<Sha256, OutputError> {
    digest(file, bytes, &AtomicBool::new(false)).map_err(OutputError::io("read", path))
}

/// Reads by position: the cursor is shared with whoever has the file open.
fn digest(file: &File, bytes: u64, given_up: &AtomicBool) -> std::io::Result<Sha256> {
    let (mut hash, mut at, mut chunk) = (Sha256::new(), 0, vec![0; 1 << 20]);
    while at < bytes && !given_up.load(Ordering::Relaxed) {
        let most = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(chunk.len());
        match file.read_at(&mut chunk[..most], at) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&chunk[..n]);
                at += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash)
}

/// Whether a hash is the one that was committed.
pub(super) fn is(hash: &Sha256, committed: &str) -> bool {
    file::hex(hash) == committed
}
