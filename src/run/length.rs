//! How much audio a request of an endpoint may hold: what somebody says, and what the endpoint shows by giving up.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::media::Terms;
use crate::queue::Longest;

/// Giving up on less than twice this says nothing of its length. No piece is made shorter.
const LEAST_MS: u64 = 2 * 60_000;

/// Nothing was learned.
const NOTHING: u64 = u64::MAX;

/// What a request may be, by the settings and by what a queue knows of its endpoint.
pub fn terms(said_ms: Option<u64>, known: Option<Longest>) -> Terms {
    Lengths::new(said_ms, known).terms(false)
}

/// See the module. Shared by the workers of an endpoint.
pub(super) struct Lengths {
    said_ms: Option<u64>,
    learned_ms: AtomicU64,
    /// The longest that was answered in this run: what is no longer than that was given up for another reason.
    proven_ms: AtomicU64,
}

impl Lengths {
    /// By the settings, and by what the queue knows from before. That counts for as long as the settings say the same.
    pub(super) fn new(said_ms: Option<u64>, known: Option<Longest>) -> Self {
        let known = known.filter(|known| known.under_ms == said_ms);
        Lengths {
            said_ms,
            learned_ms: AtomicU64::new(known.map_or(NOTHING, |known| known.ms)),
            proven_ms: AtomicU64::new(0),
        }
    }

    /// As they are now.
    pub(super) fn terms(&self, anew: bool) -> Terms {
        let learned_ms = Some(self.learned_ms.load(Ordering::Relaxed)).filter(|ms| *ms != NOTHING);
        Terms { longest_ms: self.said_ms, learned_ms, anew, ..Terms::default() }
    }

    /// So much was answered.
    pub(super) fn prove(&self, sent_ms: u64) {
        self.proven_ms.fetch_max(sent_ms, Ordering::Relaxed);
    }

    /// The service ran out of time over so much: half of it may do. `None`: that was not for its length.
    pub(super) fn gave_up(&self, sent_ms: u64) -> Option<Longest> {
        if sent_ms < 2 * LEAST_MS || sent_ms <= self.proven_ms.load(Ordering::Relaxed) {
            return None;
        }
        let half = sent_ms / 2;
        let before = self.learned_ms.fetch_min(half, Ordering::Relaxed);
        Some(Longest { ms: before.min(half), under_ms: self.said_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn each_time_the_service_gives_up_half_of_that_is_tried() {
        let lengths = Lengths::new(None, None);
        assert_eq!(lengths.terms(false).learned_ms, None);
        assert_eq!(lengths.gave_up(180 * MINUTE), Some(Longest { ms: 90 * MINUTE, under_ms: None }));
        assert_eq!(lengths.gave_up(90 * MINUTE).map(|l| l.ms), Some(45 * MINUTE));
        assert_eq!(lengths.gave_up(120 * MINUTE).map(|l| l.ms), Some(45 * MINUTE), "one that was under way");
        assert_eq!(lengths.terms(false).learned_ms, Some(45 * MINUTE));
    }

    #[test]
    fn what_is_short_or_was_answered_before_was_given_up_for_another_reason() {
        let lengths = Lengths::new(None, None);
        assert_eq!(lengths.gave_up(2 * LEAST_MS - 1), None);
        lengths.prove(10 * MINUTE);
        lengths.prove(MINUTE);
        assert_eq!(lengths.gave_up(10 * MINUTE), None);
        assert!(lengths.gave_up(10 * MINUTE + 1).is_some());
    }

    #[test]
    fn what_was_learned_is_forgotten_when_the_settings_say_something_else() {
        let known = Some(Longest { ms: 5, under_ms: Some(9) });
        assert_eq!(Lengths::new(Some(9), known).terms(false).learned_ms, Some(5));
        assert_eq!(Lengths::new(None, known).terms(false).learned_ms, None);
        assert_eq!(
            Lengths::new(Some(10), known).terms(true),
            Terms { longest_ms: Some(10), anew: true, ..Terms::default() }
        );
    }
}
