//! A recording on its way: hashed, watched; a file is read in large pieces, one in flight. Keeps the promise that what
//! is sent is the file as it was when it was opened, or else that the request is broken off before its end.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use tokio::sync::watch;
use tokio::time::Instant;

use super::TransportError;

/// Large enough that reading costs little, small enough for many uploads at once.
const CHUNK: usize = 256 * 1024;

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
    left: u64,
    hash: blake3::Hasher,
    /// What the hash will come to, where that is known before.
    blake3: Option<String>,
    progress: Arc<Progress>,
}

#[derive(Debug)]
enum Pieces {
    Read { file: File, stamp: Stamp },
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
                    let mut file = file;
                    file.rewind()?;
                    let stamp = Stamp::of(&file.metadata()?);
                    Ok((file, stamp))
                });
                let (file, stamp) = opened
                    .await
                    .unwrap_or_else(|e| Err(io::Error::other(e)))
                    .map_err(|e: io::Error| TransportError::SourceRead(e.to_string()))?;
                (Pieces::Read { file, stamp }, stamp.len)
            }
        };
        if found != len {
            return Err(TransportError::SourceChanged(format!("it had {len} bytes, now {found}")));
        }
        Ok(Upload { bytes, left: len, hash: blake3::Hasher::new(), blake3, progress })
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
        let reading = tokio::task::spawn_blocking(move || (self.read(), self));
        let (chunk, upload) = reading.await.map_err(|e| TransportError::SourceRead(e.to_string()))?;
        Ok((Some(chunk?), upload))
    }

    /// The next piece of a file.
    fn read(&mut self) -> Result<Bytes, TransportError> {
        let Pieces::Read { file, stamp: before } = &self.bytes else { return Ok(Bytes::new()) };
        let unreadable = |e: io::Error| TransportError::SourceRead(e.to_string());
        let wanted = self.left.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(wanted as usize);
        file.take(wanted).read_to_end(&mut chunk).map_err(unreadable)?;
        if (chunk.len() as u64) < wanted {
            let short = self.left - chunk.len() as u64;
            return Err(TransportError::SourceChanged(format!("it ended {short} bytes early")));
        }
        self.hash.update(&chunk);
        self.left -= wanted;
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
        Ok(Bytes::from(chunk))
    }
}
