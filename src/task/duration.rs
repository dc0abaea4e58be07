//! How long a recording is, and how that was found out.

use std::str::FromStr;

/// How a length was found out. The words are stable: the queue and the outputs carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DurationMethod {
    /// The file's own word, held against its size and its end.
    Header,
    /// Counted: by packets, frames, pages or bytes of sound.
    Packets,
    /// Guessed from the size: nothing in the file tells, or nothing that could be read.
    Estimated,
}

impl DurationMethod {
    /// Every method.
    pub const ALL: [DurationMethod; 3] =
        [DurationMethod::Header, DurationMethod::Packets, DurationMethod::Estimated];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            DurationMethod::Header => "header",
            DurationMethod::Packets => "packets",
            DurationMethod::Estimated => "estimated",
        }
    }
}

impl FromStr for DurationMethod {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        DurationMethod::ALL.into_iter().find(|m| m.word() == word).ok_or_else(|| word.to_owned())
    }
}

/// A recording's length by our own measure, before anything is sent. What is billed is what the API answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// In milliseconds; at least one.
    pub duration_ms: u64,
    /// How it was found out.
    pub method: DurationMethod,
}

impl Measured {
    /// By the file's own word.
    pub fn header(duration_ms: u64) -> Self {
        Measured { duration_ms: duration_ms.max(1), method: DurationMethod::Header }
    }

    /// Counted.
    pub fn packets(duration_ms: u64) -> Self {
        Measured { duration_ms: duration_ms.max(1), method: DurationMethod::Packets }
    }

    /// Guessed.
    pub fn estimated(duration_ms: u64) -> Self {
        Measured { duration_ms: duration_ms.max(1), method: DurationMethod::Estimated }
    }

    /// Whether it was found out and not guessed.
    pub fn is_certain(self) -> bool {
        self.method != DurationMethod::Estimated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_own_word() {
        for method in DurationMethod::ALL {
            assert_eq!(method.word().parse(), Ok(method));
        }
        assert!("guessed".parse::<DurationMethod>().is_err());
    }

    #[test]
    fn nothing_lasts_no_time_at_all() {
        assert_eq!(Measured::header(0).duration_ms, 1);
        assert!(Measured::packets(0).is_certain() && !Measured::estimated(5).is_certain());
    }
}
