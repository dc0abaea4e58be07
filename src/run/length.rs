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
    /// Half of what was given up on, until an answer shows that the service is well: then that is learned.
    tried_ms: AtomicU64,
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
            tried_ms: AtomicU64::new(NOTHING),
            proven_ms: AtomicU64::new(0),
        }
    }

    /// As they are now.
    pub(super) fn terms(&self, anew: bool) -> Terms {
        let least = self.learned_ms.load(Ordering::Relaxed).min(self.tried_ms.load(Ordering::Relaxed));
        let learned_ms = Some(least).filter(|ms| *ms != NOTHING);
        Terms { longest_ms: self.said_ms, learned_ms, anew, ..Terms::default() }
    }

    /// So much was answered. What is learned with it, if there was something to find out.
    pub(super) fn prove(&self, sent_ms: u64) -> Option<Longest> {
        self.proven_ms.fetch_max(sent_ms, Ordering::Relaxed);
        let tried = self.tried_ms.swap(NOTHING, Ordering::Relaxed);
        if sent_ms > tried {
            return None; // so it was not the length
        }
        let learned = tried < self.learned_ms.fetch_min(tried, Ordering::Relaxed);
        learned.then_some(Longest { ms: tried, under_ms: self.said_ms })
    }

    /// The service ran out of time over so much: half of it may do. False: that was not for its length.
    pub(super) fn gave_up(&self, sent_ms: u64) -> bool {
        let for_its_length = sent_ms >= 2 * LEAST_MS && sent_ms > self.proven_ms.load(Ordering::Relaxed);
        if for_its_length {
            self.tried_ms.fetch_min(sent_ms / 2, Ordering::Relaxed);
        }
        for_its_length
    }

    /// Everything fails, whatever its length: what it was given up on says nothing.
    pub(super) fn forget_tried(&self) {
        self.tried_ms.store(NOTHING, Ordering::Relaxed);
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
        let tried = |minutes| (lengths.gave_up(minutes * MINUTE), lengths.terms(false).learned_ms);
        assert_eq!(tried(180), (true, Some(90 * MINUTE)));
        assert_eq!(tried(90), (true, Some(45 * MINUTE)));
        assert_eq!(tried(120), (true, Some(45 * MINUTE)), "one that was under way");
    }

    #[test]
    fn an_answer_shows_that_it_was_the_length() {
        let lengths = Lengths::new(Some(9), None);
        lengths.gave_up(180 * MINUTE);
        lengths.gave_up(90 * MINUTE);
        assert_eq!(lengths.prove(MINUTE), Some(Longest { ms: 45 * MINUTE, under_ms: Some(9) }));
        assert_eq!(lengths.prove(45 * MINUTE), None, "nothing new");
        assert_eq!(lengths.terms(false).learned_ms, Some(45 * MINUTE));
        lengths.gave_up(120 * MINUTE);
        assert_eq!(lengths.prove(MINUTE), None, "less is known already");
        lengths.gave_up(50 * MINUTE);
        assert_eq!(lengths.prove(40 * MINUTE), None, "more than what was to be tried was answered");
        assert_eq!(lengths.prove(MINUTE), None);
    }

    #[test]
    fn an_outage_teaches_nothing() {
        let lengths = Lengths::new(None, Some(Longest { ms: 100 * MINUTE, under_ms: None }));
        lengths.gave_up(60 * MINUTE);
        lengths.forget_tried();
        assert_eq!(lengths.terms(false).learned_ms, Some(100 * MINUTE));
        assert_eq!(lengths.prove(MINUTE), None);
    }

    #[test]
    fn what_is_short_or_was_answered_before_was_given_up_for_another_reason() {
        let lengths = Lengths::new(None, None);
        assert!(!lengths.gave_up(2 * LEAST_MS - 1));
        lengths.prove(10 * MINUTE);
        lengths.prove(MINUTE);
        assert!(!lengths.gave_up(10 * MINUTE));
        assert!(lengths.gave_up(10 * MINUTE + 1));
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
