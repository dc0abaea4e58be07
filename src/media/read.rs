//! Bounded reading: nobody who looks at a file may be made to read all of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Up to `n` bytes at a position; fewer where the file ends. The cursor stays where it is.
pub(super) fn read_at(file: &File, position: u64, n: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; n];
    let mut filled = 0;
    while filled < n {
        match file.read_at(&mut bytes[filled..], position.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Four bytes as a big-endian number.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Four bytes as a little-endian number.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    be32(bytes, at).map(u32::swap_bytes)
}

/// Two bytes as a big-endian number.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Two bytes as a little-endian number.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    be16(bytes, at).map(u16::swap_bytes)
}

/// Eight bytes as a big-endian number.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Eight bytes as a little-endian number.
pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    be64(bytes, at).map(u64::swap_bytes)
}

/// One chunk of a RIFF or IFF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) name: [u8; 4],
    /// Where its content begins.
    pub(super) body: u64,
    /// As it says.
    pub(super) size: u64,
}

/// The chunks of a file, one behind the other, until they lead out of it. A bounded number of them.
pub(super) struct Chunks<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    left: u32,
    number: fn([u8; 4]) -> u32,
}

/// Broadcast files have a dozen; more is no reason to go on.
const MOST_CHUNKS: u32 = 1024;

impl<'a> Chunks<'a> {
    /// RIFF: sizes have their small end first.
    pub(super) fn little(file: &'a File, at: u64, end: u64) -> Self {
        Chunks { file, at, end, left: MOST_CHUNKS, number: u32::from_le_bytes }
    }

    /// IFF: sizes have their big end first.
    pub(super) fn big(file: &'a File, at: u64, end: u64) -> Self {
        Chunks { file, at, end, left: MOST_CHUNKS, number: u32::from_be_bytes }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.at.checked_add(8)? > self.end || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let head: [u8; 8] = read_at(self.file, self.at, 8).ok()?.try_into().ok()?;
        let [a, b, c, d, e, f, g, h] = head;
        let size = u64::from((self.number)([e, f, g, h]));
        let body = self.at + 8;
        self.at = body + size + size % 2; // padded to even lengths
        Some(Chunk { name: [a, b, c, d], body, size })
    }
}

/// A file that stops giving bytes once its budget is spent, for libraries that read as they like.
pub(super) struct Budgeted<'a> {
    file: &'a File,
    left: u64,
}

impl<'a> Budgeted<'a> {
    pub(super) fn new(file: &'a File, budget_bytes: u64) -> Self {
        Budgeted { file, left: budget_bytes }
    }
}

impl Read for Budgeted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buf.is_empty() {
            return Err(io::Error::other("looked at enough of the file"));
        }
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.file.read(&mut buf[..most])?;
        self.left -= got as u64;
        Ok(got)
    }
}

impl Seek for Budgeted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;

    #[test]
    fn a_budget_ends_the_reading_with_an_error_not_with_an_end_of_file() {
        let file = file_of(&[7; 100]);
        let mut budgeted = Budgeted::new(&file, 60);
        let mut bytes = Vec::new();
        assert!(budgeted.read_to_end(&mut bytes).is_err());
        assert_eq!(bytes.len(), 60);
    }

    #[test]
    fn reading_past_the_end_gives_what_is_there() {
        let file = file_of(b"abcdef");
        assert_eq!(read_at(&file, 4, 10).unwrap(), b"ef");
        assert_eq!(read_at(&file, u64::MAX / 4, 10).unwrap(), b"");
    }
}
