//! Walks a source and says what lies there and what was passed over. Leaves content to `media`.

use std::time::Duration;

/// What a walk looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSettings {
    /// Globs of paths to take, relative to the source; empty: all.
    pub include: Vec<String>,
    /// Globs of paths to leave out, relative to the source.
    pub exclude: Vec<String>,
    /// Whether names that begin with a dot are looked at.
    pub hidden: bool,
    /// Whether symbolic links are followed. Loops are noticed.
    pub follow_links: bool,
    /// A file that changed within this time may still be growing: it is held back.
    pub settle: Duration,
}

impl Default for ScanSettings {
    fn default() -> Self {
        ScanSettings {
            include: Vec::new(),
            exclude: Vec::new(),
            hidden: false,
            follow_links: false,
            settle: Duration::from_secs(10),
        }
    }
}
