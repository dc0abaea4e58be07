//! Stopping a run: first let what is in flight end, then drop it. Who asked is kept, because the exit code depends on it.

use tokio_util::sync::CancellationToken;

use crate::event::Stopping;

/// The two steps of stopping. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Start nothing more. Whoever meets trouble may cancel it.
    pub drain: CancellationToken,
    /// Drop what is in flight.
    pub abort: CancellationToken,
    /// The user has asked.
    pub(super) asked: CancellationToken,
    expired: CancellationToken,
}

impl Stop {
    /// The user asks for the next step: first to drain, then to abort. That something else has stopped the run before
    /// is no reason to drop what was paid for at the first asking.
    pub fn ask(&self) {
        if self.asked.is_cancelled() {
            self.abort.cancel();
        } else {
            self.asked.cancel();
            self.drain.cancel();
        }
    }

    /// The deadline has come.
    pub(super) fn expire(&self) {
        if !self.drain.is_cancelled() {
            self.expired.cancel();
            self.drain.cancel();
        }
    }

    /// Whether the deadline came, before anything else had stopped the run.
    pub fn is_expired(&self) -> bool {
        self.expired.is_cancelled()
    }

    /// Why nothing more begins.
    pub(super) fn why(&self) -> Stopping {
        if self.asked.is_cancelled() {
            Stopping::Signal
        } else if self.is_expired() {
            Stopping::Deadline
        } else {
            Stopping::Trouble
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_asking_drops_nothing_also_after_a_deadline() {
        let stop = Stop::default();
        stop.expire();
        assert_eq!((stop.why(), stop.drain.is_cancelled()), (Stopping::Deadline, true));
        stop.ask();
        assert_eq!((stop.why(), stop.abort.is_cancelled()), (Stopping::Signal, false));
        stop.ask();
        assert!(stop.abort.is_cancelled());
    }

    #[test]
    fn a_deadline_that_comes_while_the_run_is_being_stopped_changes_nothing() {
        let stop = Stop::default();
        stop.ask();
        stop.expire();
        assert!(!stop.is_expired());
    }
}
