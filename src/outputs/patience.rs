//! Waiting for another process that has the files.

use std::time::Duration;

/// How long to wait for a process that holds the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between two looks.
    pub(super) poll: Duration,
    /// Without any progress of the other.
    pub(super) limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { poll: Duration::from_millis(100), limit: Duration::from_secs(60) }
    }
}
