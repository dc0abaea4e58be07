//! Keeps count of what was looked at and passes findings on as they are made, so that a million of them cost no
//! memory.

use std::collections::BTreeMap;

use super::finding::{Check, Finding};

/// What is told while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// Something is missing or altered.
    Found(Finding),
    /// So many recordings of a job have been looked at on disk.
    Progress {
        /// The job.
        job: &'a str,
        /// Recordings with results so far.
        done: u64,
    },
}

/// Where it is told.
pub type Tell<'a> = dyn FnMut(News<'_>) + 'a;

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Things looked at.
    pub checked: u64,
    /// Things found wrong.
    pub wrong: u64,
}

/// See the file.
pub(super) struct Book<'a> {
    tell: &'a mut Tell<'a>,
    pub(super) counts: BTreeMap<Check, Count>,
    pub(super) notes: Vec<String>,
    /// Findings that may have to be taken back: a run was replacing the file that they are about.
    aside: Option<Vec<Finding>>,
}

impl<'a> Book<'a> {
    pub(super) fn new(tell: &'a mut Tell<'a>) -> Self {
        Book { tell, counts: BTreeMap::new(), notes: Vec::new(), aside: None }
    }

    /// So many more things were looked at.
    pub(super) fn checked(&mut self, check: Check, things: u64) {
        self.counts.entry(check).or_default().checked += things;
    }

    pub(super) fn found(&mut self, finding: Finding) {
        if let Some(aside) = &mut self.aside {
            return aside.push(finding);
        }
        self.counts.entry(finding.kind.check()).or_default().wrong += 1;
        (self.tell)(News::Found(finding));
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn progress(&mut self, job: &str, done: u64) {
        (self.tell)(News::Progress { job, done });
    }

    /// Lays findings aside from here on.
    pub(super) fn begin_aside(&mut self) {
        self.aside = Some(Vec::new());
    }

    /// Tells what was laid aside, or forgets it.
    pub(super) fn end_aside(&mut self, tell: bool) {
        for finding in self.aside.take().into_iter().flatten().filter(|_| tell) {
            self.found(finding);
        }
    }
}

/// A set of task numbers: a bit each, in blocks, so that ten million of them take little more than a megabyte and a
/// number out of the blue costs a block.
#[derive(Debug, Default)]
pub(super) struct Bits(BTreeMap<i64, Box<[u64; Bits::WORDS]>>);

impl Bits {
    const WORDS: usize = 64;

    fn place(number: i64) -> (i64, usize, u64) {
        let bits = 64 * Bits::WORDS as i64;
        let within = number.rem_euclid(bits) as usize;
        (number.div_euclid(bits), within / 64, 1 << (within % 64))
    }

    /// Adds a number; false if it was there.
    pub(super) fn add(&mut self, number: i64) -> bool {
        let (block, word, bit) = Bits::place(number);
        let word = &mut self.0.entry(block).or_insert_with(|| Box::new([0; Bits::WORDS]))[word];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(super) fn has(&self, number: i64) -> bool {
        let (block, word, bit) = Bits::place(number);
        self.0.get(&block).is_some_and(|words| words[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    #[test]
    fn a_set_of_numbers_has_what_was_added_and_nothing_else() {
        let mut bits = Bits::default();
        let numbers = [0, 1, 63, 64, 4095, 4096, -1, i64::MAX, i64::MIN];
        assert!(numbers.iter().all(|n| bits.add(*n)));
        assert!(numbers.iter().all(|n| bits.has(*n) && !bits.add(*n)));
        assert!([2, 62, 65, 4097, -2].iter().all(|n| !bits.has(*n)));
    }

    #[test]
    fn what_was_laid_aside_is_told_or_forgotten_as_a_whole() {
        let mut told = Vec::new();
        let mut tell = |news: News<'_>| {
            if let News::Found(finding) = news {
                told.push(finding.what);
            }
        };
        let mut book = Book::new(&mut tell);
        for (word, kept) in [("a", false), ("b", true)] {
            book.begin_aside();
            book.found(Finding::new(Kind::FileCut, word));
            book.end_aside(kept);
        }
        assert_eq!(book.counts[&Check::Files].wrong, 1);
        assert_eq!(told, ["b"]);
    }
}
