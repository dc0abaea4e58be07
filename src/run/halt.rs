//! A pool before a halt: waiting out a pause, probing what may be over, reaching the month's cap, asking the free call.

use std::time::Duration;

use super::pool::{End, POLL, POLL_PAUSED, Pool};
use super::probe::{Step, Word};
use super::{SPENT, now, steady};
use crate::event::RunEvent;
use crate::queue::{Cap, Halt, QueueError};
use crate::task::{Amount, HaltOrder, HaltReason, HaltScope, Timestamp, Verdict};

impl Pool {
    /// Halts stand: each that was there before this run may be tried once, by one request, when nothing is in flight.
    pub(super) async fn meet(&mut self, halts: Vec<Halt>) -> Result<(), QueueError> {
        if halts.iter().any(|h| h.reason == HaltReason::Paused) {
            self.wake_in(POLL_PAUSED);
            return Ok(());
        }
        if self.is_working() {
            // What is under way was sent before: it proves nothing.
            self.wake_in(POLL);
            return Ok(());
        }
        // Our own count is no hindrance here: the claim checks it, and it is raised again if it is still so.
        let (budgets, others): (Vec<_>, Vec<_>) =
            halts.iter().partition(|h| h.reason == HaltReason::Budget && self.end.is_none());
        let mut probing = Vec::new();
        for halt in &others {
            let may = !self.probing.is_on()
                && halt.reason.can_be_probed()
                && stood_before(halt.raised_at, self.started_at, now());
            if !may || !self.bench.store.take_probe(halt.id, self.probe_interval, now()).await? {
                self.end = Some(End::Halted(halts.iter().map(|h| (h.scope, h.reason)).collect()));
                return Ok(());
            }
            probing.push(halt.id);
        }
        for halt in budgets {
            self.bench.store.lift_halt(halt.id, "count".to_owned(), now()).await?;
            self.tell_lifted(halt).await;
        }
        self.probing.begin(probing);
        self.wake_in(Duration::ZERO);
        Ok(())
    }

    /// A request has ended that may have been a probe.
    pub(super) async fn end_probe(&mut self, word: Word) -> Result<(), QueueError> {
        let (halts, over) = match self.probing.hear(word) {
            None => return Ok(()),
            Some(Step::Again(wait)) => {
                self.probe_not_before = steady().after(wait);
                return Ok(());
            }
            Some(Step::Lift(halts)) => (halts, true),
            Some(Step::Leave(halts)) => (halts, false),
        };
        let open = self.bench.store.halts(true, now()).await?;
        let probed = open.into_iter().filter(|h| halts.contains(&h.id)).collect::<Vec<_>>();
        if !over {
            self.end = Some(End::Halted(probed.iter().map(|h| (h.scope, h.reason)).collect()));
            return Ok(());
        }
        for halt in &probed {
            self.bench.store.lift_halt(halt.id, "probe".to_owned(), now()).await?;
            self.tell_lifted(halt).await;
        }
        Ok(())
    }

    async fn tell_lifted(&self, halt: &Halt) {
        self.bench.tell(RunEvent::HaltLifted { scope: halt.scope, reason: halt.reason }).await;
    }

    /// The month's hours of `jobs.toml`, or the budget, would be crossed by the next task, and nothing in flight can change
    /// that.
    pub(super) async fn cap_reached(&mut self, cap: Cap) -> Result<(), QueueError> {
        let (scope, evidence) = match cap {
            Cap::Month => (HaltScope::Endpoint(self.bench.endpoint), self.month_used().await?),
            Cap::Budget => (SPENT.0, self.budget_used().await?),
        };
        self.bench.raise(HaltOrder { scope, reason: HaltReason::Budget, evidence }).await;
        self.end = Some(End::Halted(vec![(scope, HaltReason::Budget)]));
        Ok(())
    }

    async fn budget_used(&self) -> Result<String, QueueError> {
        let budget = self.bench.store.budget().await?;
        let (since, spent) = budget.map_or((now(), Amount::default()), |b| (b.begun_at, b.spent));
        let hours = |ms: u64| ms as f64 / 3_600_000.0;
        let mut used = Vec::new();
        if let Some(all) = self.budget.audio_ms {
            used.push(format!("{:.3} h of {:.3} h", hours(spent.audio_ms), hours(all)));
        }
        if let Some(all) = self.budget.cost {
            used.push(format!("{} of {all}", spent.cost));
        }
        let used = used.join(" and ");
        Ok(format!("{used} of the budget are used since {since}, and the next recording would cross that"))
    }

    async fn month_used(&self) -> Result<String, QueueError> {
        let at = now();
        let usage = self.bench.store.usage(self.bench.endpoint, at.month()).await?;
        let hours = |ms: u64| ms as f64 / 3_600_000.0;
        let used = usage.billed_ms + usage.unknown_ms + self.limit.opening_ms(at.month());
        Ok(format!(
            "{:.3} h of {:.3} h are used in {}, and the next recording would cross that",
            hours(used),
            hours(self.limit.monthly_ms.unwrap_or_default()),
            at.month(),
        ))
    }

    /// The judge has closed the endpoint: says which halts stand.
    pub(super) async fn halt_here(&mut self) -> Result<(), QueueError> {
        let open = self.bench.store.halts(true, now()).await?;
        let here = open.iter().filter(|h| h.scope.covers(self.bench.endpoint));
        self.end = Some(End::Halted(here.map(|h| (h.scope, h.reason)).collect()));
        Ok(())
    }

    pub(super) async fn ask_free(&mut self) {
        let probe = tokio::select! {
            probe = self.bench.client.probe(self.bench.endpoint) => probe,
            () = self.bench.stop.abort.cancelled() => return,
        };
        let verdict = self.bench.judge().hear_probe(probe, steady());
        if let Some(Verdict::Halted(reason, failure)) = verdict {
            self.bench.raise_for(reason, failure).await;
        }
    }
}

/// Whether a halt was there before this run. One of a moment to come was raised by a clock that has been set back.
fn stood_before(raised_at: Timestamp, started_at: Timestamp, now: Timestamp) -> bool {
    raised_at < started_at || raised_at > now.latest_stamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_stood_before_a_run_if_it_is_older_or_of_a_clock_that_was_set_back() {
        let (started, now) = (Timestamp(10_000_000), Timestamp(20_000_000));
        let day = Duration::from_secs(24 * 3600);
        let cases = [
            (Timestamp(9_999_999), true),
            (started, false),
            (now, false),
            (now.latest_stamp(), false),
            (now.after(day), true),
        ];
        for (raised, expected) in cases {
            assert_eq!(stood_before(raised, started, now), expected, "{raised}");
        }
    }
}
