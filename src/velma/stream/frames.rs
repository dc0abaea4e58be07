//! The binary messages of a connection: of the file what is to be heard, cut into pieces. All of the file is read, for
//! its hash, also where only a stretch of it is sent.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::super::TransportError;
use super::super::upload::Upload;
use super::{Decoded, Streamed};
use crate::task::{Carriage, Samples};

/// In real time a message holds no more sound than this, but is not smaller than [`SMALLEST`].
const REALTIME_MS: u64 = 250;
const SMALLEST: usize = 4 << 10;

/// See the module.
pub(super) struct Frames {
    /// `None` at the end of the file.
    upload: Option<Box<Upload>>,
    decoded: Option<Decoded>,
    /// Where the next byte that is read stands in the file.
    at: u64,
    /// The stretch of the file that is sent.
    from: u64,
    to: u64,
    pending: BytesMut,
    frame: usize,
    sent: u64,
    /// Milliseconds of sound in so many bytes.
    ms: u64,
    in_bytes: u64,
}

impl Frames {
    /// Of a file of `len` bytes, in pieces of about `frame` bytes.
    pub(super) fn new(upload: Upload, len: u64, streamed: Streamed, frame: usize, realtime: bool) -> Frames {
        let Streamed { carriage, decoded, estimated_ms } = streamed;
        let ((from, to), (ms, in_bytes), block) = match carriage {
            Carriage::Container(_) => ((0, len), (estimated_ms, len.max(1)), 1),
            Carriage::Samples { kind, at, bytes } => {
                ((at, at + bytes), (1000, kind.bytes_per_second()), kind.block())
            }
            Carriage::Decoded => {
                let kind = Samples::DECODED;
                ((0, 0), (1000, kind.bytes_per_second()), kind.block())
            }
        };
        let spoken = usize::try_from(REALTIME_MS * in_bytes / ms.max(1)).unwrap_or(usize::MAX);
        let frame = if realtime { frame.min(spoken.max(SMALLEST)) } else { frame };
        let frame = frame - frame % usize::try_from(block).unwrap_or(1).max(1);
        Frames {
            upload: Some(Box::new(upload)),
            decoded,
            at: 0,
            from,
            to,
            pending: BytesMut::new(),
            frame: frame.max(1),
            sent: 0,
            ms,
            in_bytes,
        }
    }

    /// The next message, and when it is due if time matters: as long after the beginning as what went before it lasts.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, Duration)>, TransportError> {
        while self.pending.len() < self.frame && self.read().await? {}
        if self.pending.is_empty() {
            return Ok(None);
        }
        let due = self.sent.saturating_mul(self.ms) / self.in_bytes;
        let frame = self.pending.split_to(self.frame.min(self.pending.len())).freeze();
        self.sent += frame.len() as u64;
        Ok(Some((frame, Duration::from_millis(due))))
    }

    /// Takes in more; false at the end. What is decoded comes after the file has been read once: both use its cursor.
    async fn read(&mut self) -> Result<bool, TransportError> {
        if let Some(upload) = self.upload.take() {
            let (chunk, upload) = upload.next().await?;
            if let Some(chunk) = chunk {
                self.upload = Some(upload);
                self.keep(chunk);
            }
            return Ok(true);
        }
        let Some(mut decoded) = self.decoded.take() else { return Ok(false) };
        let decoding = tokio::task::spawn_blocking(move || (decoded.0.next(), decoded));
        let (piece, decoded) = decoding.await.map_err(|e| TransportError::Undecodable(e.to_string()))?;
        match piece {
            None => return Ok(false),
            Some(piece) => self.pending.extend_from_slice(&piece.map_err(TransportError::Undecodable)?),
        }
        self.decoded = Some(decoded);
        Ok(true)
    }

    /// Of the bytes that were read those that are sent.
    fn keep(&mut self, mut chunk: Bytes) {
        let (start, end) = (self.at, self.at + chunk.len() as u64);
        self.at = end;
        let (from, to) = (self.from.max(start), self.to.min(end));
        if from < to {
            chunk.advance((from - start) as usize);
            chunk.truncate((to - from) as usize);
            self.pending.extend_from_slice(&chunk);
        }
    }
}
