//! A folder such as archives really hold, made in code and always the same, with a table of what must become of each
//! entry. What it holds is in the files beside this one; running it is left to the tests.

mod contents;
mod kinds;
mod links;
mod locked;
mod names;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What must become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Sent as this format, and answered.
    Sent(&'static str),
    /// Sent as this format; it is damaged, and whether it can be decoded is the API's to say.
    Judged(&'static str),
    /// Never sent, for this cause.
    Refused(&'static str),
    /// Not even noted.
    PassedOver,
}

/// One entry: its path relative to the root, byte by byte.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) expect: Expect,
}

/// The folder under construction, and its table.
pub(crate) struct Hostile {
    pub(super) root: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// What cannot be made here, and why.
    pub(crate) skipped: Vec<String>,
}

impl Hostile {
    /// Fills a folder.
    pub(crate) fn fill(root: &Path) -> Hostile {
        let mut folder = Hostile { root: root.to_owned(), entries: Vec::new(), skipped: Vec::new() };
        names::add(&mut folder);
        contents::add(&mut folder);
        kinds::add(&mut folder);
        folder
    }

    /// The same, where whoever reads it is no root: with files and folders that he may not read.
    pub(crate) fn fill_with_locks(root: &Path) -> Hostile {
        let mut folder = Hostile::fill(root);
        locked::add(&mut folder);
        folder
    }

    /// The same, where links are followed: the table says what becomes of each.
    pub(crate) fn fill_for_following(root: &Path, elsewhere: &Path) -> Hostile {
        let mut folder = Hostile::fill(root);
        links::follow(&mut folder, elsewhere);
        folder
    }

    /// A file, its folders included.
    fn file(&mut self, path: impl AsRef<[u8]>, bytes: &[u8], expect: Expect) {
        let place = self.place(&path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        assert!(!place.exists(), "twice: {place:?}");
        fs::write(place, bytes).unwrap();
        self.note(path, expect);
    }

    /// A file with a hole at its end.
    fn sparse(&mut self, path: &str, head: &[u8], len: u64, expect: Expect) {
        self.file(path, head, expect);
        fs::OpenOptions::new().write(true).open(self.place(path)).unwrap().set_len(len).unwrap();
    }

    fn expect(&mut self, path: &str, expect: Expect) {
        let entry = self.entries.iter_mut().find(|e| e.path == path.as_bytes()).unwrap();
        entry.expect = expect;
    }

    fn note(&mut self, path: impl AsRef<[u8]>, expect: Expect) {
        self.entries.push(Entry { path: path.as_ref().to_owned(), expect });
    }

    fn place(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(OsStr::from_bytes(path.as_ref()))
    }
}
