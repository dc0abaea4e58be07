//! Appending: one process at a time under a lock of the operating system, each entry synced before it counts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::{Author, Facts, Kind, Line, Link};
use super::{AuditError, BEGINNING, FILE, LONGEST, sha256};
use crate::task::{Timestamp, WorkerId};

/// The log of one queue, for one author.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
    author: Author,
}

impl AuditLog {
    /// The log in this folder; nothing is opened yet.
    pub fn new(state_dir: &Path, author: Author) -> Self {
        AuditLog { path: state_dir.join(FILE), author }
    }

    /// Appends an entry and returns its number. Blocks: on the lock, then on the disk. What a crash tore is left
    /// as it lies, and the entry says that it follows it.
    ///
    /// # Errors
    /// The file cannot be opened, locked, read or written; then nothing of the entry is left in it.
    pub fn append(
        &self,
        kind: Kind,
        run: Option<&WorkerId>,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<u64, AuditError> {
        self.try_append(Line::new(&self.author, kind, run, facts, now)).map_err(|source| AuditError {
            doing: "append to",
            path: self.path.clone(),
            source,
        })
    }

    fn try_append(&self, mut line: Line<'_>) -> io::Result<u64> {
        let new = !self.path.exists();
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        file.lock()?;
        let length = file.metadata()?.len();
        let tail = Tail::of(&file, length)?;
        line.seq = tail.lines + 1;
        line.after_torn = tail.torn;
        line.prev = tail.last_sha256;
        let mut bytes = if tail.ends_open { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // Half an entry on a full disk would look like a crash.
            let _ = file.set_len(length);
            return Err(error);
        }
        if new && let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(line.seq)
    }
}

/// What an entry is tied to.
struct Tail {
    /// Lines so far, torn ones included.
    lines: u64,
    last_sha256: String,
    /// Torn lines at the end.
    torn: u64,
    /// The last line has no end of line.
    ends_open: bool,
}

impl Tail {
    /// Reads from the end, as far as the last whole entry.
    fn of(file: &File, length: u64) -> io::Result<Tail> {
        let mut window = LONGEST;
        loop {
            let from = length.saturating_sub(window);
            let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, from)?;
            if let Some(tail) = Tail::read(&bytes, from == 0) {
                return Ok(tail);
            }
            window = window.saturating_mul(4);
        }
    }

    /// `None` when more has to be read to tell.
    fn read(bytes: &[u8], is_whole: bool) -> Option<Tail> {
        let ends_open = bytes.last().is_some_and(|last| *last != b'\n');
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if bytes.is_empty() {
            return Some(Tail { lines: 0, last_sha256: BEGINNING.to_owned(), torn: 0, ends_open });
        }
        let mut lines = body.split(|byte| *byte == b'\n').rev().peekable();
        let last_sha256 = sha256(lines.peek()?);
        let mut torn = 0;
        while let Some(line) = lines.next() {
            // The first one of a window may be the end of a longer line.
            if lines.peek().is_none() && !is_whole {
                return None;
            }
            if let Some(link) = Link::read(line) {
                return Some(Tail { lines: link.seq.saturating_add(torn), last_sha256, torn, ends_open });
            }
            torn += 1;
        }
        Some(Tail { lines: torn, last_sha256, torn, ends_open })
    }
}
