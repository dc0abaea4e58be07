//! From what is ready to what runs: a pool's claims, and what it does with what they give.

use tokio::time::Instant;

use super::crew::Slot;
use super::judge::Mode;
use super::pool::{POLL, POLL_PAUSED, Pool};
use super::ready::Ready;
use super::{now, steady};
use crate::queue::{Claim, ClaimRequest, ClaimedTask, Double, QueueError};

impl Pool {
    /// Claims as many ready tasks as may start, and starts them.
    pub(super) async fn start(&mut self, mode: Mode) -> Result<(), QueueError> {
        let lone = self.probing.is_on() || matches!(mode, Mode::Alone(_));
        let not_before = match mode {
            Mode::Alone(at) => at.max(self.probe_not_before),
            _ => self.probe_not_before,
        };
        if not_before > steady() {
            self.wake_in(not_before.since(steady()));
            return Ok(());
        }
        if lone && self.is_working() {
            return Ok(());
        }
        let free = self.slots.available_permits();
        let want = if lone { 1 } else { free.min(self.bench.judge().room() as usize) };
        let (waiting, lacking) = {
            let deck = self.bench.deck();
            (!deck.is_empty(), deck.lacking())
        };
        let ahead = if lone || !self.preparing.has_ready() { 0 } else { lacking };
        // Now and then also where only the pace forbids more: others may have raised it.
        let is_slowed = want == 0 && free > 0;
        let is_cleared = !(waiting || is_slowed) || self.cleared_at.elapsed() < POLL;
        let has_some = self.preparing.has_ready() || (waiting && want > 0);
        if !has_some && is_cleared {
            return Ok(());
        }
        if want == 0 && ahead == 0 && is_cleared {
            // Slots of ours that nobody holds should be free.
            return self.note_stall(!self.is_working(), "no free slot");
        }
        // Some may be gone to another process. What one of them is must be known of all, or doubles would be sent.
        let (tasks, mut identities) = self.preparing.wish(want + ahead as usize + 8);
        identities.retain(|id, _| !self.unshared.contains(id));
        let request = ClaimRequest {
            worker: self.worker.clone(),
            endpoint: self.bench.endpoint,
            tasks,
            want: want as u32,
            ahead,
            alone: lone,
            probing: self.probing.halts().to_vec(),
            cap_ms: self.limit.own_monthly_ms(now().month()),
            budget: self.budget,
            identities: self.reuse.then_some(identities),
            now: now(),
        };
        let claim = self.bench.store.claim(request).await?;
        self.slots_seen.note(&claim);
        self.bench.judge().adopt(claim.limiter.effective);
        self.begin(claim).await
    }

    async fn begin(&mut self, claim: Claim) -> Result<(), QueueError> {
        for id in &claim.gone {
            self.preparing.take(*id);
            if self.chosen.remove(id) {
                self.quota.give_back();
            }
            self.dry = false;
        }
        for double in &claim.doubles {
            if let Some(ready) = self.preparing.take(double.task) {
                self.meet_double(ready, *double);
            }
        }
        let nothing_began = claim.tasks.is_empty() && claim.ahead.is_empty() && claim.seated.is_empty();
        for id in claim.seated {
            // Unless one that left its slot was quicker: then the queue lets that one go.
            let next = self.bench.deck().take_this(id);
            if let Some((task, ready)) = next {
                self.spawn(task, ready);
            }
        }
        self.claimed.extend(claim.tasks.iter().chain(&claim.ahead).map(|task| task.id));
        for task in claim.tasks {
            if let Some(ready) = self.ready(&task) {
                self.spawn(task, ready);
            }
        }
        for task in claim.ahead {
            if let Some(ready) = self.ready(&task) {
                self.bench.deck().put(task, ready);
            }
        }
        self.cleared_at = Instant::now();
        let paused = claim.limiter.paused_until.is_some_and(|until| until > now());
        if paused || !claim.halts.is_empty() {
            self.bench.clear_deck();
        }
        if !claim.halts.is_empty() {
            return self.meet(claim.halts).await;
        }
        if let Some(reached) = claim.cap_reached.filter(|r| nothing_began && r.in_flight == 0) {
            return self.cap_reached(reached.cap).await;
        }
        let could = claim.limiter.busy == 0
            && claim.gone.is_empty()
            && claim.doubles.is_empty()
            && claim.cap_reached.is_none()
            && !paused;
        self.note_stall(nothing_began && could, &format!("{:?}", claim.limiter))?;
        if nothing_began && claim.gone.is_empty() && claim.doubles.is_empty() {
            // Asked again on the way: a pause can be ended, and the clock it goes by can be set.
            let left = claim.limiter.paused_until.map_or(POLL, |until| until.since(now()));
            let pause = left.clamp(POLL / 5, POLL_PAUSED);
            self.wake_in(pause);
        }
        Ok(())
    }

    /// It need not be sent, or not yet.
    pub(super) fn meet_double(&mut self, ready: Ready, double: Double) {
        self.dry = false;
        if !double.answered {
            self.waiting.insert(double.task, double.of);
            return;
        }
        self.taking_over.insert(double.task);
        self.bench.spawn(double.task, |bench| async move { bench.reuse(ready, double).await });
    }

    /// Tasks are ready, nobody holds a slot, nothing forbids it, and still none began. Others at work, pauses, halts
    /// and caps are no such case, so a wait for them can be as long as it likes.
    fn note_stall(&mut self, stands: bool, limiter: &str) -> Result<(), QueueError> {
        if !self.stall.note(stands, Instant::now()) {
            return Ok(());
        }
        Err(QueueError::Bug(format!(
            "{} has ready tasks and free slots, and starts nothing: {limiter}, {} of {} slots free here, {} prepared, \
             {} chosen, mode {:?}, probing {:?}",
            self.bench.endpoint,
            self.slots.available_permits(),
            self.limit.concurrent,
            self.preparing.len(),
            self.chosen.len(),
            self.bench.judge().mode(),
            self.probing,
        )))
    }

    fn ready(&mut self, task: &ClaimedTask) -> Option<Ready> {
        let ready = self.preparing.take(task.id);
        if ready.is_none() {
            self.stop_for(QueueError::Bug(format!("task {} was claimed and is not ready", task.id.0)));
        }
        ready
    }

    fn spawn(&self, task: ClaimedTask, ready: Ready) {
        self.bench.begin(task, ready, Slot::take(&self.slots, &self.freed));
    }
}
