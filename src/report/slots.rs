//! Where the slots' time went: busy, or idle for a reason. It is what the organisation's limit was worth.

use std::time::Duration;

/// Slot-time in milliseconds (slots × time) by what the slots were doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotTime {
    /// A request was in flight.
    pub busy: u64,
    /// The endpoint was paused, or held fewer slots, after "too many at once".
    pub throttled: u64,
    /// All that was left was waiting for its next try.
    pub backoff: u64,
    /// A stored stop.
    pub halted: u64,
    /// Everything failed; one request at a time.
    pub outage: u64,
    /// Fewer tasks were left than slots, or the run was ending.
    pub tail: u64,
    /// Anything else: preparing files, scanning, claiming.
    pub other: u64,
}

/// What is true of an endpoint over a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stretch {
    pub(super) ceiling: u32,
    pub(super) effective: u32,
    pub(super) busy: u32,
    pub(super) paused: bool,
    pub(super) halted: bool,
    pub(super) outage: bool,
    pub(super) ending: bool,
    pub(super) waiting: bool,
}

impl SlotTime {
    /// Books a stretch of time: every slot of the ceiling goes to exactly one account.
    pub(super) fn book(&mut self, time: Duration, at: Stretch) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let ceiling = at.ceiling.max(at.busy);
        let book = |account: &mut u64, slots: u32| {
            *account = account.saturating_add(ms.saturating_mul(u64::from(slots)));
        };
        book(&mut self.busy, at.busy);
        let idle = ceiling - at.busy;
        if at.halted {
            return book(&mut self.halted, idle);
        }
        if at.outage {
            return book(&mut self.outage, idle);
        }
        let withheld = if at.paused { idle } else { ceiling.saturating_sub(at.effective).min(idle) };
        book(&mut self.throttled, withheld);
        let rest = idle - withheld;
        if at.ending {
            book(&mut self.tail, rest);
        } else if at.waiting {
            book(&mut self.backoff, rest);
        } else {
            book(&mut self.other, rest);
        }
    }

    /// The accounts with their names, the busy one first.
    pub fn accounts(&self) -> [(&'static str, u64); 7] {
        [
            ("busy", self.busy),
            ("throttled", self.throttled),
            ("backoff", self.backoff),
            ("halted", self.halted),
            ("outage", self.outage),
            ("tail", self.tail),
            ("other", self.other),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FREE: Stretch = Stretch {
        ceiling: 5,
        effective: 5,
        busy: 2,
        paused: false,
        halted: false,
        outage: false,
        ending: false,
        waiting: false,
    };

    fn booked(at: Stretch) -> SlotTime {
        let mut time = SlotTime::default();
        time.book(SECOND, at);
        time
    }

    #[test]
    fn every_slot_goes_to_exactly_one_account() {
        for bits in 0u32..32 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let at = Stretch {
                paused: on(0),
                halted: on(1),
                outage: on(2),
                ending: on(3),
                waiting: on(4),
                effective: 3,
                ..FREE
            };
            let sum: u64 = booked(at).accounts().iter().map(|(_, ms)| ms).sum();
            assert_eq!(sum, 5000, "{at:?}");
        }
    }

    #[test]
    fn an_idle_slot_has_one_reason_and_the_heaviest_counts() {
        assert_eq!(booked(FREE), SlotTime { busy: 2000, other: 3000, ..SlotTime::default() });
        let cut = Stretch { effective: 4, waiting: true, ..FREE };
        assert_eq!(
            booked(cut),
            SlotTime { busy: 2000, throttled: 1000, backoff: 2000, ..SlotTime::default() }
        );
        let halted = Stretch { halted: true, paused: true, ..cut };
        assert_eq!(booked(halted), SlotTime { busy: 2000, halted: 3000, ..SlotTime::default() });
        let over = Stretch { busy: 7, ..FREE };
        assert_eq!(booked(over), SlotTime { busy: 7000, ..SlotTime::default() });
    }
}
