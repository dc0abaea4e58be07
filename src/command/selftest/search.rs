//! What must never stand in a log, and the search for it.

use std::collections::BTreeSet;

/// The key and what was said.
#[derive(Debug)]
pub(super) struct Needles {
    key: String,
    texts: BTreeSet<String>,
}

impl Needles {
    pub(super) fn new(key: &str) -> Needles {
        Needles { key: key.to_owned(), texts: BTreeSet::new() }
    }

    /// More texts that were said in recordings.
    pub(super) fn learn(&mut self, texts: BTreeSet<String>) {
        self.texts.extend(texts);
    }

    /// What was found, by what it is, and how often.
    pub(super) fn search(&self, text: &[u8], name: Option<&str>) -> Vec<(&'static str, u64)> {
        let spoken = self.texts.iter().map(|spoken| times(text, spoken)).sum();
        let named = name.map_or(0, |name| times(text, name));
        let found = [("the key", times(text, &self.key)), ("a transcript", spoken), ("a file name", named)];
        found.into_iter().filter(|(_, times)| *times > 0).collect()
    }
}

fn times(text: &[u8], needle: &str) -> u64 {
    // Letters of these texts are ASCII, and so is what they are searched for.
    String::from_utf8_lossy(text).matches(needle).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_what_was_said_and_hashed_names_are_found() {
        let mut needles = Needles::new("k-123");
        needles.learn(["Hello there.".to_owned()].into());
        let text = b"key=k-123 said=\"Hello there.\" k-123 file=secret-1.wav \xff";
        assert_eq!(needles.search(text, None), [("the key", 2), ("a transcript", 1)]);
        assert_eq!(needles.search(b"file=secret-1", Some("secret-")), [("a file name", 1)]);
        assert_eq!(needles.search(b"nothing of it", Some("secret-")), []);
    }
}
