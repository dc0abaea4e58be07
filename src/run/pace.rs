//! How many slots to use at once, below the configured ceiling: more after successes, fewer after refusals.
//!
//! Additive increase, multiplicative decrease. Latency says nothing here: it is the audio's length. Another
//! program may share the organisation's limit; refusals are how that shows.

use crate::task::Timestamp;

/// The adaptive limit of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pace {
    ceiling: u32,
    effective: u32,
    /// Refusals of requests older than this say what is known already.
    cut_at: Option<Timestamp>,
    /// Successes since the limit last moved.
    successes: u32,
}

impl Pace {
    pub(super) fn new(ceiling: u32, effective: u32) -> Self {
        Pace { ceiling, effective: effective.clamp(1, ceiling), cut_at: None, successes: 0 }
    }

    pub(super) fn effective(&self) -> u32 {
        self.effective
    }

    pub(super) fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// Another process has moved the limit that all share.
    pub(super) fn adopt(&mut self, effective: u32) {
        if effective != self.effective {
            self.effective = effective.clamp(1, self.ceiling);
            self.successes = 0;
        }
    }

    /// A request sent at `sent_at` was refused for being one too many. The new limit, if it moved.
    pub(super) fn throttled(&mut self, sent_at: Timestamp, now: Timestamp) -> Option<u32> {
        if self.cut_at.is_some_and(|cut| sent_at <= cut) {
            return None; // one cut for all that were in flight together
        }
        self.cut_at = Some(now);
        self.successes = 0;
        let cut = (self.effective * 7 / 10).max(1);
        (cut < self.effective).then(|| {
            self.effective = cut;
            cut
        })
    }

    /// A request succeeded while `busy` slots were taken. The new limit, if it moved: one more after as many
    /// successes as there are slots, and only when the slots were in use, else it would grow unproven.
    pub(super) fn succeeded(&mut self, busy: u32) -> Option<u32> {
        if self.effective >= self.ceiling || busy * 2 < self.effective {
            return None;
        }
        self.successes += 1;
        (self.successes >= self.effective).then(|| {
            self.successes = 0;
            self.effective += 1;
            self.effective
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals_that_were_in_flight_together_cut_once() {
        let mut pace = Pace::new(16, 16);
        assert_eq!(pace.throttled(Timestamp(1), Timestamp(10)), Some(11));
        assert_eq!(pace.throttled(Timestamp(2), Timestamp(11)), None);
        assert_eq!(pace.throttled(Timestamp(10), Timestamp(12)), None);
        assert_eq!(pace.throttled(Timestamp(11), Timestamp(13)), Some(7));
    }

    #[test]
    fn a_full_round_of_successes_wins_one_slot_back() {
        let mut pace = Pace::new(4, 2);
        assert_eq!(pace.succeeded(2), None);
        assert_eq!(pace.succeeded(2), Some(3));
        assert_eq!([pace.succeeded(3), pace.succeeded(3), pace.succeeded(3)], [None, None, Some(4)]);
        assert_eq!(pace.succeeded(4), None, "never above the ceiling");
    }

    #[test]
    fn successes_with_idle_slots_prove_nothing() {
        let mut pace = Pace::new(8, 4);
        assert!((0..100).all(|_| pace.succeeded(1).is_none()));
    }

    proptest! {
        #[test]
        fn the_limit_stays_between_one_and_the_ceiling(
            ceiling in 1u32..64, start in 0u32..100, steps in proptest::collection::vec(any::<(bool, u8)>(), 0..300),
        ) {
            let mut pace = Pace::new(ceiling, start);
            for (at, (good, busy)) in steps.into_iter().enumerate() {
                let at = Timestamp(at as i64);
                if good { pace.succeeded(u32::from(busy)); } else { pace.throttled(at, at); }
                prop_assert!((1..=ceiling).contains(&pace.effective()));
            }
        }
    }
}
