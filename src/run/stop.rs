//! Stopping by the user's wish: first let what is in flight end, then drop it.

use tokio_util::sync::CancellationToken;

/// The two steps of stopping. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Start nothing more.
    pub drain: CancellationToken,
    /// Drop what is in flight.
    pub abort: CancellationToken,
}

impl Stop {
    /// Asks for the next step: first to drain, then to abort.
    pub fn ask(&self) {
        if self.drain.is_cancelled() {
            self.abort.cancel();
        } else {
            self.drain.cancel();
        }
    }
}
