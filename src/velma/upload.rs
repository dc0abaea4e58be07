//! A recording on its way: hashed, watched; a file is read in large pieces, one in flight. Keeps the promise that what
//! is sent is the file as it was when it was opened, or else that the request is broken off before its end.

use std::fs::{File, Metadata};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::watch;
use tokio::time::Instant;

use super::TransportError;

/// Large enough that reading costs little, small enough for many uploads at once.
const CHUNK: usize = 256 * 1024;
/// So many of them go out one after the other before others have their turn.
const IN_A_ROW: u32 = 4;

/// How long each phase may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the start to the first byte.
    pub(super) start: Duration,
    /// Without a byte moving.
    pub(super) stall: Duration,
    /// From the last byte, or the beginning of an early answer, to the end of the answer.
    pub(super) answer: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Starting(Instant),
    Sending(Instant),
    Waiting(Instant),
}

/// What is known of an upload, shared by the connection that takes its bytes and the watch that times it.
#[derive(Debug)]
pub(super) struct Progress {
    phase: watch::Sender<Phase>,
    bytes: AtomicU64,
    body_sent: AtomicBool,
    stopped: AtomicBool,
    blake3: OnceLock<String>,
    fault: OnceLock<TransportError>,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Progress {
            phase: watch::Sender::new(Phase::Starting(Instant::now())),
            bytes: AtomicU64::new(0),
            body_sent: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            blake3: OnceLock::new(),
            fault: OnceLock::new(),
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn body_sent(&self) -> bool {
        self.body_sent.load(Ordering::Acquire)
    }

    pub(super) fn blake3(&self) -> Option<String> {
        self.blake3.get().cloned()
    }

    /// What went wrong with the file, if that is what broke the upload.
    pub(super) fn fault(&self) -> Option<TransportError> {
        self.fault.get().cloned()
    }

    /// Nobody wants the upload any more. Without this, a connection would go on sending after an early refusal.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// An answer has begun, perhaps before everything was sent.
    pub(super) fn answer_began(&self) {
        if !self.body_sent() {
            self.phase.send_replace(Phase::Waiting(Instant::now()));
        }
    }

    /// What was waited for has come; what follows has a time of its own.
    pub(super) fn answered(&self) {
        self.phase.send_replace(Phase::Waiting(Instant::now()));
    }

    /// Ends when a phase has lasted too long.
    pub(super) async fn overdue(&self, patience: Patience) -> TransportError {
        let mut phase = self.phase.subscribe();
        loop {
            let now = *phase.borrow_and_update();
            let (since, limit) = match now {
                Phase::Starting(since) => (since, patience.start),
                Phase::Sending(since) => (since, patience.stall),
                Phase::Waiting(since) => (since, patience.answer),
            };
            tokio::select! {
                biased;
                // The sender lives as long as `self`, so this only ends when the phase changes.
                _ = phase.changed() => {}
                () = tokio::time::sleep_until(since + limit) => {
                    return match now {
                        Phase::Waiting(_) => TransportError::Timeout { body_sent: self.body_sent() },
                        Phase::Starting(_) | Phase::Sending(_) => TransportError::Stalled,
                    };
                }
            }
        }
    }

    pub(super) fn advance(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.phase.send_if_modified(|phase| {
            let sending = !matches!(phase, Phase::Waiting(_));
            if sending {
                *phase = Phase::Sending(Instant::now());
            }
            sending
        });
    }

    pub(super) fn all_sent(&self) {
        self.body_sent.store(true, Ordering::Release);
        self.phase.send_replace(Phase::Waiting(Instant::now()));
    }

    fn blame(&self, fault: TransportError) -> io::Error {
        let text = fault.to_string();
        // The first fault is the cause of any other.
        let _ = self.fault.set(fault);
        io::Error::other(text)
    }
}

/// What a file looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Where the bytes of a recording come from.
#[derive(Debug)]
pub enum Source {
    /// Open for reading; sent from its beginning.
    File(File),
    /// All of it, read before; with its BLAKE3 in hex, if that was taken then.
    Whole(Bytes, Option<String>),
}

/// A recording that is ready to be sent.
#[derive(Debug)]
pub(super) struct Upload {
    bytes: Pieces,
    len: u64,
    left: u64,
    hash: blake3::Hasher,
    /// What the hash will come to, where that is known before.
    blake3: Option<String>,
    progress: Arc<Progress>,
    buffers: Buffers,
    in_a_row: u32,
}

#[derive(Debug)]
enum Pieces {
    Read { file: File, stamp: Stamp, nowait: bool },
    Whole(Bytes),
}

impl Upload {
    /// Takes the first `len` bytes of an open file, or those that were read. Another length is refused at once.
    pub(super) async fn open(
        source: Source,
        len: u64,
        progress: Arc<Progress>,
    ) -> Result<Self, TransportError> {
        let mut blake3 = None;
        let (bytes, found) = match source {
            Source::Whole(bytes, known) => {
                blake3 = known;
                (Pieces::Whole(bytes.clone()), bytes.len() as u64)
            }
            Source::File(file) => {
                let opened = tokio::task::spawn_blocking(move || {
                    let stamp = Stamp::of(&file.metadata()?);
                    Ok((file, stamp))
                });
                let (file, stamp) = opened
                    .await
                    .unwrap_or_else(|e| Err(io::Error::other(e)))
                    .map_err(|e: io::Error| TransportError::SourceRead(e.to_string()))?;
                (Pieces::Read { file, stamp, nowait: true }, stamp.len)
            }
        };
        if found != len {
            return Err(TransportError::SourceChanged(format!("it had {len} bytes, now {found}")));
        }
        let (hash, buffers) = (blake3::Hasher::new(), Buffers::default());
        Ok(Upload { bytes, len, left: len, hash, blake3, progress, buffers, in_a_row: 0 })
    }

    /// The file's bytes: exactly as many as were promised, or an error.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        try_unfold(Box::new(self), |upload| async move {
            let progress = Arc::clone(&upload.progress);
            if progress.stopped.load(Ordering::Acquire) {
                return Err(io::Error::other("no longer wanted"));
            }
            let (chunk, upload) = upload.next().await.map_err(|fault| progress.blame(fault))?;
            match &chunk {
                Some(chunk) => progress.advance(chunk.len()),
                None => progress.all_sent(),
            }
            Ok(chunk.map(|chunk| (chunk, upload)))
        })
    }

    /// The next bytes of the file, and what is left; `None` at its end, with which its hash is known.
    pub(super) async fn next(mut self: Box<Self>) -> Result<(Option<Bytes>, Box<Self>), TransportError> {
        if self.left == 0 {
            let hash = self.blake3.take().unwrap_or_else(|| self.hash.finalize().to_hex().to_string());
            let _ = self.progress.blake3.set(hash);
            return Ok((None, self));
        }
        if let Pieces::Whole(bytes) = &mut self.bytes {
            let chunk = bytes.split_off(0);
            if self.blake3.is_none() {
                self.hash.update(&chunk);
            }
            self.left = 0;
            return Ok((Some(chunk), self));
        }
        // An answer may have begun meanwhile, and others want to go on.
        self.in_a_row += 1;
        if self.in_a_row.is_multiple_of(IN_A_ROW) {
            tokio::task::yield_now().await;
        }
        if let Some(chunk) = self.read_without_waiting()? {
            return Ok((Some(chunk), self));
        }
        let reading = tokio::task::spawn_blocking(move || (self.read(), self));
        let (chunk, upload) = reading.await.map_err(|e| TransportError::SourceRead(e.to_string()))?;
        Ok((Some(chunk?), upload))
    }

    /// What comes next of a file, as far as it is in memory: then nobody has to wait for it on another thread.
    fn read_without_waiting(&mut self) -> Result<Option<Bytes>, TransportError> {
        let Pieces::Read { file, nowait, .. } = &mut self.bytes else { return Ok(None) };
        if !*nowait {
            return Ok(None);
        }
        let mut buffer = self.buffers.take(self.left);
        let at = self.len - self.left;
        let bytes = &mut [IoSliceMut::new(&mut buffer.bytes)];
        match rustix::io::preadv2(&*file, bytes, at, ReadWriteFlags::NOWAIT) {
            Ok(got) if got > 0 => {
                buffer.bytes.truncate(got);
                self.goes_out(buffer).map(Some)
            }
            // It ended, is not there yet, or asked in vain: whoever can wait finds out.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(_) => {
                *nowait = false;
                Ok(None)
            }
        }
    }

    /// The next piece of a file.
    fn read(&mut self) -> Result<Bytes, TransportError> {
        let Pieces::Read { file, .. } = &self.bytes else { return Ok(Bytes::new()) };
        let mut buffer = self.buffers.take(self.left);
        file.read_exact_at(&mut buffer.bytes, self.len - self.left).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                TransportError::SourceChanged(format!("it ended before its {} bytes", self.len))
            }
            _ => unreadable(e),
        })?;
        self.goes_out(buffer)
    }

    /// Counts a piece that was read.
    fn goes_out(&mut self, piece: Lent) -> Result<Bytes, TransportError> {
        let Pieces::Read { file, stamp: before, .. } = &self.bytes else { return Ok(Bytes::new()) };
        self.hash.update(&piece.bytes);
        self.left -= piece.bytes.len() as u64;
        // Looked at before the last piece goes out: a request without its end is refused and costs nothing.
        if self.left == 0 {
            let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
            if stamp.len != before.len {
                let (before, now) = (before.len, stamp.len);
                return Err(TransportError::SourceChanged(format!("it had {before} bytes, now {now}")));
            }
            if stamp != *before {
                return Err(TransportError::SourceChanged("it was written to".to_owned()));
            }
        }
        Ok(Bytes::from_owner(piece))
    }
}

fn unreadable(error: io::Error) -> TransportError {
    TransportError::SourceRead(error.to_string())
}

/// Buffers of one upload: what the connection is done with is read into again, and memory stays in use that is at hand.
#[derive(Debug, Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// One of them, on its way.
#[derive(Debug)]
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// One for so many bytes, or the first of them.
    fn take(&self, bytes: u64) -> Lent {
        let mut buffer = self.waiting().pop().unwrap_or_default();
        buffer.resize(bytes.min(CHUNK as u64) as usize, 0);
        Lent { bytes: buffer, home: self.clone() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.waiting().push(bytes);
    }
}
