//! What becomes of a recording's channels on their way to the API.

use std::fmt;

/// See the module. What has one channel goes out with it, whatever was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// They go out as they are.
    #[default]
    Keep,
    /// Their mean goes out.
    Mix,
    /// Each goes out by itself, and is billed for itself: who speaks on which is certain then.
    Split,
}

impl Channels {
    /// Every way.
    pub const ALL: [Channels; 3] = [Channels::Keep, Channels::Mix, Channels::Split];

    /// The word in `jobs.toml`.
    pub fn word(self) -> &'static str {
        match self {
            Channels::Keep => "keep",
            Channels::Mix => "mix",
            Channels::Split => "split",
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
