//! Where the slots' time went: busy, or idle for one reason. It is what the organisation's limit was worth.
//! A slot goes to exactly one account at any moment, so the accounts add up to slots × time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Idle, SlotState};
use crate::task::HaltReason;

/// Slot-time in milliseconds (slots × time) by what the slots were doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotTime {
    /// A request was in flight, from its claim until its answer was stored.
    pub busy: u64,
    /// The endpoint was paused, or held fewer slots, after "too many at once".
    pub throttled: u64,
    /// Another process on the queue used it.
    pub shared: u64,
    /// There was work and nothing forbade it: looking at files, encoding them anew, asking the queue. Our own doing.
    pub claiming: u64,
    /// All that was left was waiting for its next try.
    pub backoff: u64,
    /// The queue was empty, and the scan went on.
    pub no_work: u64,
    /// Fewer tasks were left than slots, or the run was ending.
    pub tail: u64,
    /// Everything failed, or a refusal was examined; one request at a time.
    pub outage: u64,
    /// Paused by hand.
    pub paused: u64,
    /// The month's hours of `jobs.toml` were used up.
    pub budget: u64,
    /// Any other stored stop.
    pub halted: u64,
}

/// What is true of an endpoint over a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stretch {
    pub(super) ceiling: u32,
    /// Requests under way; more than slots while the end of one is told after the next one's start.
    pub(super) busy: u32,
    /// What the pool said last.
    pub(super) state: SlotState,
    /// The limiter is paused, by what workers said.
    pub(super) paused: bool,
    pub(super) outage: bool,
    /// A halt covers it, by what workers said.
    pub(super) halted: Option<HaltReason>,
    pub(super) ending: bool,
}

impl SlotTime {
    /// Books a stretch of time: every slot of the ceiling goes to exactly one account, and no account gets more.
    pub(super) fn book(&mut self, time: Duration, at: Stretch) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let book = |account: &mut u64, slots: u32| {
            *account = account.saturating_add(ms.saturating_mul(u64::from(slots)));
        };
        let busy = at.busy.min(at.ceiling);
        book(&mut self.busy, busy);
        let free = at.ceiling - busy;
        let idle = match at.halted {
            Some(reason) => Idle::Halted(reason),
            None if at.outage => Idle::Alone,
            None => at.state.idle,
        };
        // What work there is could have used a slot, and for these it is a matter of what held it up.
        let (short, wanted) = match idle {
            Idle::Halted(HaltReason::Paused) => return book(&mut self.paused, free),
            Idle::Halted(HaltReason::Budget) => return book(&mut self.budget, free),
            Idle::Halted(_) => return book(&mut self.halted, free),
            _ if at.ending => return book(&mut self.tail, free),
            Idle::Alone => return book(&mut self.outage, free),
            Idle::Throttled => return book(&mut self.throttled, free),
            Idle::Filling => (None, free),
            Idle::Backoff => (Some(&mut self.backoff), free.min(at.state.ready)),
            Idle::NoWork => (Some(&mut self.no_work), free.min(at.state.ready)),
            Idle::Tail => (Some(&mut self.tail), free.min(at.state.ready)),
        };
        if let Some(account) = short {
            book(account, free - wanted);
        }
        let withheld = at.ceiling.saturating_sub(at.state.effective);
        let throttled = if at.paused { wanted } else { withheld.min(wanted) };
        book(&mut self.throttled, throttled);
        let shared = at.state.elsewhere.min(wanted - throttled);
        book(&mut self.shared, shared);
        book(&mut self.claiming, wanted - throttled - shared);
    }

    /// The accounts with their names, the busy one first.
    pub fn accounts(&self) -> [(&'static str, u64); 11] {
        [
            ("busy", self.busy),
            ("throttled", self.throttled),
            ("shared", self.shared),
            ("claiming", self.claiming),
            ("backoff", self.backoff),
            ("no_work", self.no_work),
            ("tail", self.tail),
            ("outage", self.outage),
            ("paused", self.paused),
            ("budget", self.budget),
            ("halted", self.halted),
        ]
    }

    /// The accounts of both together.
    #[must_use]
    pub fn plus(self, other: SlotTime) -> SlotTime {
        SlotTime {
            busy: self.busy.saturating_add(other.busy),
            throttled: self.throttled.saturating_add(other.throttled),
            shared: self.shared.saturating_add(other.shared),
            claiming: self.claiming.saturating_add(other.claiming),
            backoff: self.backoff.saturating_add(other.backoff),
            no_work: self.no_work.saturating_add(other.no_work),
            tail: self.tail.saturating_add(other.tail),
            outage: self.outage.saturating_add(other.outage),
            paused: self.paused.saturating_add(other.paused),
            budget: self.budget.saturating_add(other.budget),
            halted: self.halted.saturating_add(other.halted),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::testing::any_idle;

    const SECOND: Duration = Duration::from_secs(1);
    const STATE: SlotState = SlotState { idle: Idle::Filling, ready: 0, elsewhere: 0, effective: 5 };
    const FREE: Stretch = Stretch {
        ceiling: 5,
        busy: 2,
        state: STATE,
        paused: false,
        outage: false,
        halted: None,
        ending: false,
    };

    fn booked(at: Stretch) -> SlotTime {
        let mut time = SlotTime::default();
        time.book(SECOND, at);
        time
    }

    proptest! {
        #[test]
        fn every_slot_goes_to_exactly_one_account(
            ceiling in 0u32..20, busy in 0u32..25, idle in any_idle(), ready in 0u32..25, elsewhere in 0u32..25,
            effective in 0u32..25, bits in any::<[bool; 4]>(),
        ) {
            let [paused, outage, halted, ending] = bits;
            let state = SlotState { idle, ready, elsewhere, effective };
            let halted = halted.then_some(HaltReason::MonthlyHours);
            let time = booked(Stretch { ceiling, busy, state, paused, outage, halted, ending });
            let sum: u64 = time.accounts().iter().map(|(_, ms)| ms).sum();
            prop_assert_eq!(sum, 1000 * u64::from(ceiling));
            prop_assert_eq!(time.busy, 1000 * u64::from(busy.min(ceiling)));
            let all: u64 = time.plus(time).accounts().iter().map(|(_, ms)| ms).sum();
            prop_assert_eq!(all, 2 * sum);
        }
    }

    #[test]
    fn an_idle_slot_has_one_reason_and_the_heaviest_counts() {
        assert_eq!(booked(FREE), SlotTime { busy: 2000, claiming: 3000, ..SlotTime::default() });
        let held = SlotState { effective: 4, elsewhere: 1, ..STATE };
        let cut = Stretch { state: held, ..FREE };
        assert_eq!(
            booked(cut),
            SlotTime { busy: 2000, throttled: 1000, shared: 1000, claiming: 1000, ..SlotTime::default() }
        );
        assert_eq!(
            booked(Stretch { paused: true, ..cut }),
            SlotTime { busy: 2000, throttled: 3000, ..SlotTime::default() }
        );
        let halted = Stretch { halted: Some(HaltReason::Credits), paused: true, ending: true, ..cut };
        assert_eq!(booked(halted), SlotTime { busy: 2000, halted: 3000, ..SlotTime::default() });
        let by_hand = SlotState { idle: Idle::Halted(HaltReason::Paused), ..STATE };
        assert_eq!(
            booked(Stretch { state: by_hand, ..FREE }),
            SlotTime { busy: 2000, paused: 3000, ..SlotTime::default() }
        );
        let over = Stretch { busy: 7, ..FREE };
        assert_eq!(booked(over), SlotTime { busy: 5000, ..SlotTime::default() }, "five slots are five");
    }

    #[test]
    fn a_slot_that_no_task_could_use_is_not_lost_to_the_pace() {
        let last = SlotState { idle: Idle::Tail, ready: 1, effective: 1, ..STATE };
        assert_eq!(
            booked(Stretch { state: last, ..FREE }),
            SlotTime { busy: 2000, throttled: 1000, tail: 2000, ..SlotTime::default() }
        );
    }
}
