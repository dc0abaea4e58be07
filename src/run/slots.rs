//! Says why slots are free that could be in use: what the pool and its last claim know, told when it changes.
//! What it adds up to is left to those who hear it.

use tokio::sync::Semaphore;

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
    elsewhere: u32,
    told: Option<SlotState>,
}

impl SlotsSeen {
    /// A claim was answered. As it was made, so many slots were [`taken`] by this process.
    pub(super) fn note(&mut self, claim: &Claim, own: usize) {
        let own = u32::try_from(own + claim.tasks.len()).unwrap_or(u32::MAX);
        let capped = claim.cap_reached.is_some() && claim.tasks.is_empty();
        self.halted = claim.halts.iter().map(|h| h.reason).min().or(capped.then_some(HaltReason::Budget));
        self.paused_until = claim.limiter.paused_until;
        self.elsewhere = claim.limiter.busy.saturating_sub(own);
    }
}

/// Slots of this process that are in use. A worker that only waits until its answer is stored has let its own go, and
/// the queue has been told: what holds it by now is somebody else's.
pub(super) fn taken(concurrent: u32, slots: &Semaphore) -> usize {
    (concurrent as usize).saturating_sub(slots.available_permits())
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
        let ready = if self.dry { u32::try_from(self.preparing.len()).unwrap_or(u32::MAX) } else { 0 };
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
    use std::sync::Arc;

    use super::*;
    use crate::queue::LimiterState;
    use crate::run::crew::Slot;

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
    fn a_worker_that_has_let_its_slot_go_hides_nobody_elses() {
        let (slots, freed) = (Arc::new(Semaphore::new(5)), Arc::default());
        let mut workers: Vec<_> = (0..3).map(|_| Some(Slot::take(&slots, &freed))).collect();
        workers[0] = None; // it waits until its answer is stored
        let limiter = LimiterState { busy: 5, ..LimiterState::default() };
        let mut seen = SlotsSeen::default();
        seen.note(&Claim { limiter, ..Claim::default() }, taken(5, &slots));
        assert_eq!((workers.len(), seen.elsewhere), (3, 3));
        drop(workers);
        assert_eq!(taken(5, &slots), 0);
    }

    #[test]
    fn slots_that_are_taken_and_not_ours_are_those_of_others() {
        let mut seen = SlotsSeen::default();
        let limiter = LimiterState { busy: 5, ..LimiterState::default() };
        seen.note(&Claim { limiter, ..Claim::default() }, 3);
        assert_eq!((seen.elsewhere, seen.halted), (2, None));
        // Ours that are over in the queue and not here yet make no others.
        let cap_reached = Some(crate::queue::Reached { cap: crate::queue::Cap::Month, in_flight: 5 });
        seen.note(&Claim { limiter, cap_reached, ..Claim::default() }, 7);
        assert_eq!((seen.elsewhere, seen.halted), (0, Some(HaltReason::Budget)));
    }
}
