//! Says why slots are free that could be in use: what the pool and its last claim know, told when it changes.
//! What it adds up to is left to those who hear it.

use super::judge::Mode;
use super::now;
use super::pool::{End, Pool};
use crate::event::{Idle, RunEvent, SlotState};
use crate::queue::Claim;
use crate::task::{HaltReason, Timestamp};

/// What the last claim showed, and what was told last.
#[derive(Debug, Default)]
pub(super) struct SlotsSeen {
    halted: Option<HaltReason>,
    paused_until: Option<Timestamp>,
    /// Slots that other processes held.
    pub(super) elsewhere: u32,
    told: Option<SlotState>,
}

impl SlotsSeen {
    /// A claim was answered.
    pub(super) fn note(&mut self, claim: &Claim) {
        let capped = claim.cap_reached.is_some() && claim.tasks.is_empty();
        self.halted = claim.halts.iter().map(|h| h.reason).min().or(capped.then_some(HaltReason::Budget));
        self.paused_until = claim.limiter.paused_until;
        // By the queue's word: it knows who holds what, and what this process has let go of by now does not.
        self.elsewhere = claim.elsewhere;
    }
}

/// What a pool knows of itself.
#[derive(Debug, Clone, Copy)]
struct Known {
    mode: Mode,
    /// A halt is being probed.
    probing: bool,
    /// The queue had no more when it was last asked.
    dry: bool,
    /// Tasks wait for their next try.
    due: bool,
    /// No scan will add any.
    fed: bool,
}

fn idle(known: Known, seen: &SlotsSeen, now: Timestamp) -> Idle {
    if let Some(reason) = seen.halted {
        return Idle::Halted(reason);
    }
    if known.probing || known.mode != Mode::Open {
        return Idle::Alone;
    }
    if seen.paused_until.is_some_and(|until| until > now) {
        return Idle::Throttled;
    }
    match known {
        Known { dry: false, .. } => Idle::Filling,
        Known { fed: false, .. } => Idle::NoWork,
        Known { due: true, .. } => Idle::Backoff,
        _ => Idle::Tail,
    }
}

impl Pool {
    /// Tells why slots are free, if that has changed.
    pub(super) async fn tell_slots(&mut self) {
        if let Some(End::Halted(halts)) = &self.end {
            self.slots_seen.halted = halts.iter().map(|(_, reason)| *reason).min();
        }
        let (mode, effective) = {
            let judge = self.bench.judge();
            (judge.mode(), judge.effective())
        };
        let known = Known {
            mode,
            probing: self.probing.is_on(),
            dry: self.dry,
            due: self.next_due.is_some(),
            fed: self.is_fed(),
        };
        // Where there is more than enough, how much changes with every look.
        let ready = if self.dry { self.preparing.len() + self.preparing.going_on() } else { 0 };
        let ready = u32::try_from(ready).unwrap_or(u32::MAX);
        let elsewhere = self.slots_seen.elsewhere;
        let state = SlotState { idle: idle(known, &self.slots_seen, now()), ready, elsewhere, effective };
        if self.slots_seen.told != Some(state) {
            self.slots_seen.told = Some(state);
            self.bench.tell(RunEvent::SlotsChanged { endpoint: self.bench.endpoint, state }).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::LimiterState;
    use crate::task::TaskId;

    const NOW: Timestamp = Timestamp(1000);
    const OPEN: Known = Known { mode: Mode::Open, probing: false, dry: false, due: false, fed: false };

    #[test]
    fn free_slots_have_the_heaviest_reason_that_holds() {
        let seen = SlotsSeen::default();
        assert_eq!(idle(OPEN, &seen, NOW), Idle::Filling);
        let dry = Known { dry: true, ..OPEN };
        assert_eq!(idle(Known { due: true, ..dry }, &seen, NOW), Idle::NoWork, "the scan may bring more");
        assert_eq!(idle(Known { due: true, fed: true, ..dry }, &seen, NOW), Idle::Backoff);
        let last = Known { fed: true, ..dry };
        assert_eq!(idle(last, &seen, NOW), Idle::Tail);
        let paused = SlotsSeen { paused_until: Some(Timestamp(1001)), ..seen };
        assert_eq!(idle(last, &paused, NOW), Idle::Throttled);
        assert_eq!(idle(last, &paused, Timestamp(1001)), Idle::Tail, "a pause that is over");
        assert_eq!(idle(Known { mode: Mode::Alone(NOW), ..OPEN }, &paused, NOW), Idle::Alone);
        assert_eq!(idle(Known { probing: true, ..OPEN }, &paused, NOW), Idle::Alone);
        let halted = SlotsSeen { halted: Some(HaltReason::Paused), ..paused };
        assert_eq!(
            idle(Known { mode: Mode::Closed, ..OPEN }, &halted, NOW),
            Idle::Halted(HaltReason::Paused)
        );
    }

    #[test]
    fn slots_that_others_hold_are_theirs_and_all_else_is_ours() {
        let mut seen = SlotsSeen::default();
        // Of ours some may have changed hands, and some may be over here and not in the queue yet.
        let limiter = LimiterState { busy: 5, ..LimiterState::default() };
        seen.note(&Claim { limiter, seated: vec![TaskId(1)], ..Claim::default() });
        assert_eq!((seen.elsewhere, seen.halted), (0, None));
        let cap_reached = Some(crate::queue::Reached { cap: crate::queue::Cap::Month, in_flight: 5 });
        seen.note(&Claim { limiter, elsewhere: 2, cap_reached, ..Claim::default() });
        assert_eq!((seen.elsewhere, seen.halted), (2, Some(HaltReason::Budget)));
    }
}
