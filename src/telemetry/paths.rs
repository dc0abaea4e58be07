//! What recordings are called in logs, lines and events: their names can carry names of people.

use std::fmt;
use std::str::FromStr;

use crate::task::RecordingPath;

/// Hex digits of a hashed name: enough to tell ten million files apart.
const HASH_DIGITS: usize = 16;

/// How names of recordings appear in logs: they can carry names of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogPaths {
    /// As they are.
    #[default]
    Full,
    /// As the first 16 hex digits of their BLAKE3.
    Hash,
    /// Not at all.
    None,
}

impl LogPaths {
    /// Every way.
    pub const ALL: [LogPaths; 3] = [LogPaths::Full, LogPaths::Hash, LogPaths::None];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            LogPaths::Full => "full",
            LogPaths::Hash => "hash",
            LogPaths::None => "none",
        }
    }

    /// What the recording is called: its name with control characters escaped, a hash of its bytes, or `-`.
    pub fn name(self, path: &RecordingPath) -> String {
        match self {
            LogPaths::Full => path.to_string(),
            LogPaths::Hash => {
                let hash = blake3::hash(path.as_bytes()).to_hex();
                hash.as_str().chars().take(HASH_DIGITS).collect()
            }
            LogPaths::None => "-".to_owned(),
        }
    }
}

impl fmt::Display for LogPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for LogPaths {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        LogPaths::ALL.into_iter().find(|way| way.word() == word).ok_or_else(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_hashed_or_left_out() {
        let path = RecordingPath::from_bytes("calls/anna\n.mp3");
        assert_eq!(LogPaths::Full.name(&path), "calls/anna\\n.mp3");
        let whole = blake3::hash(b"calls/anna\n.mp3").to_string();
        let hash = LogPaths::Hash.name(&path);
        assert_eq!(hash.len(), 16);
        assert!(whole.starts_with(&hash));
        assert_eq!(LogPaths::None.name(&path), "-");
    }

    #[test]
    fn every_way_is_found_by_its_word() {
        for way in LogPaths::ALL {
            assert_eq!(way.word().parse(), Ok(way));
        }
        assert!("some".parse::<LogPaths>().is_err());
    }
}
