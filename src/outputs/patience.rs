//! How long to wait: for another process that has the files, and for the reading of large ones.

use std::time::Duration;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between two looks.
    pub(super) poll: Duration,
    /// Without any progress of the other.
    pub(super) limit: Duration,
    /// Files up to this many bytes are held against their hash before anything is sent; larger ones beside the run,
    /// before anything is added to them.
    pub(super) read_at_once: u64,
}

impl Default for Patience {
    fn default() -> Self {
        // What a slow core reads and hashes within a tenth of a second.
        let read_at_once = 16 << 20;
        Patience { poll: Duration::from_millis(100), limit: Duration::from_secs(60), read_at_once }
    }
}
