//! Reading the queue and files piece by piece: results in commit order from anywhere, lines up to a bound.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use crate::outputs::RESULTS;
use crate::queue::{QueueError, ResultRow, TaskStore};
use crate::task::JobId;

/// The results of a job that stand, in commit order, up to a sequence number.
pub(super) struct Results<'a> {
    store: &'a dyn TaskStore,
    job: JobId,
    up_to: i64,
    ahead: VecDeque<ResultRow>,
    /// Everything up to here was read from the queue.
    read_to: i64,
    /// Everything up to here was taken or passed.
    at: i64,
    ended: bool,
}

impl<'a> Results<'a> {
    pub(super) fn new(store: &'a dyn TaskStore, job: JobId, up_to: i64) -> Self {
        Results { store, job, up_to, ahead: VecDeque::new(), read_to: 0, at: 0, ended: false }
    }

    /// The next one, which stays the next one.
    pub(super) async fn peek(&mut self) -> Result<Option<&ResultRow>, QueueError> {
        if self.ahead.is_empty() && !self.ended {
            let rows = self.store.results(self.job, self.read_to, RESULTS).await?;
            self.ended = rows.last().is_none_or(|row| row.seq >= self.up_to);
            self.read_to = rows.last().map_or(self.read_to, |row| row.seq);
            self.ahead.extend(rows.into_iter().filter(|row| row.seq <= self.up_to));
        }
        Ok(self.ahead.front())
    }

    /// Takes all that has been read, at least one unless there is none.
    pub(super) async fn take_page(&mut self) -> Result<Vec<ResultRow>, QueueError> {
        self.peek().await?;
        self.at = self.read_to;
        Ok(std::mem::take(&mut self.ahead).into())
    }

    /// Goes on behind this sequence number, backwards too.
    pub(super) fn go_behind(&mut self, seq: i64) {
        if seq < self.at || seq > self.read_to {
            self.ahead.clear();
            self.read_to = seq;
            self.ended = seq >= self.up_to;
        }
        while self.ahead.front().is_some_and(|row| row.seq <= seq) {
            self.ahead.pop_front();
        }
        self.at = seq;
    }
}

/// What reading a line gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read1 {
    /// A line, with its end.
    Line,
    /// The rest of the file, without one.
    Open,
    /// Longer than anything of ours; skipped.
    TooLong,
    /// The file is over.
    End,
}

/// Reads a line into `line`, of at most `longest` bytes.
pub(super) fn read_line(
    from: &mut impl BufRead,
    line: &mut Vec<u8>,
    longest: u64,
) -> io::Result<(Read1, u64)> {
    line.clear();
    let mut bytes = from.by_ref().take(longest).read_until(b'\n', line)? as u64;
    if bytes == 0 {
        return Ok((Read1::End, 0));
    }
    if line.ends_with(b"\n") {
        return Ok((Read1::Line, bytes));
    }
    if bytes < longest {
        return Ok((Read1::Open, bytes));
    }
    loop {
        let some = from.fill_buf()?;
        if some.is_empty() {
            return Ok((Read1::TooLong, bytes));
        }
        let end = some.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(some.len(), |at| at + 1);
        from.consume(taken);
        bytes += taken as u64;
        if end.is_some() {
            return Ok((Read1::TooLong, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_up_to_a_bound_and_longer_ones_skipped() {
        let mut from = &b"ab\n12345678\ncd\nlast"[..];
        let mut line = Vec::new();
        let mut all = Vec::new();
        loop {
            let (read, bytes) = read_line(&mut from, &mut line, 5).unwrap();
            if read == Read1::End {
                break;
            }
            all.push((read, bytes));
        }
        assert_eq!(all, [(Read1::Line, 3), (Read1::TooLong, 9), (Read1::Line, 3), (Read1::Open, 4)]);
    }
}
