//! A run in numbers: a fold over its events and the moments at which they happened. It reads no clock.
//! How the numbers look is left to the block, the lines and the summary.
//!
//! Longer than 500 lines by intent: one fold over all events.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::{About, RunEvent, SlotState, Stopping};
use crate::task::{
    Billed, Cause, Endpoint, Failure, Fence, HaltReason, HaltScope, Suspect, TaskId, Timestamp, WorkerId,
};

use super::Histogram;
use super::estimate::{Eta, Pace};
use super::slots::{SlotTime, Stretch};

/// The month's audio hours that an endpoint may use, by `jobs.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// All of it, in milliseconds of audio.
    pub limit_ms: u64,
    /// What had been used before this run began.
    pub used_before_ms: u64,
}

/// One endpoint of the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lane {
    /// Configured slots.
    pub ceiling: u32,
    /// Slots used at once at present; lower than the ceiling after "too many at once".
    pub effective: u32,
    /// Requests whose end was not told yet. A slot can be in use again before it is: see [`Lane::busy`].
    pub in_flight: u32,
    /// Nothing is started before.
    pub paused_until: Option<Timestamp>,
    /// Since when everything fails, and how the last failure was.
    pub outage: Option<(Timestamp, Failure)>,
    /// Milliseconds of audio billed in this run.
    pub billed_ms: u64,
    /// Tasks of this run that ended well.
    pub succeeded: u64,
    /// Its share of the month, when one is set.
    pub budget: Option<Budget>,
    /// Why slots are free, by its pool's word.
    pub slots: SlotState,
    /// Where its slots' time went.
    pub slot_time: SlotTime,
}

impl Lane {
    /// Slots in use.
    pub fn busy(&self) -> u32 {
        self.in_flight.min(self.ceiling)
    }
}

/// A request that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Whose.
    pub about: About,
    /// Since when.
    pub since: Timestamp,
}

/// A stop that holds at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveHalt {
    /// What stands still.
    pub scope: HaltScope,
    /// Why.
    pub reason: HaltReason,
    /// The API's words, or our count.
    pub evidence: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// The end that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draining {
    /// Since when.
    pub since: Timestamp,
    /// How long requests in flight may take.
    pub grace: Duration,
    /// Why.
    pub why: Stopping,
    /// They are not waited for any more.
    pub aborting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scan {
    new: u64,
    new_bytes: u64,
    refused: u64,
    known: u64,
    done: bool,
}

/// Everything that is counted in a run.
#[derive(Debug, Clone, Default)]
pub struct RunStats {
    /// Who runs.
    pub worker: Option<WorkerId>,
    /// Where requests go.
    pub base_url: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Tasks that ended well.
    pub succeeded: u64,
    /// Of those, with the answer of a recording that is the same: nothing was sent, nothing billed.
    pub reused: u64,
    /// Results that are odd, by the way in which they are.
    pub suspect_by: BTreeMap<Suspect, u64>,
    /// Recordings that were sent once more because their answer was empty and they are loud.
    pub resent: u64,
    /// Tasks that failed for good after a request, by cause.
    pub failed_by: BTreeMap<Cause, u64>,
    /// Tasks refused while the run looked at them, by cause. Those the scan refused are in [`RunStats::refused`].
    pub refused_by: BTreeMap<Cause, u64>,
    /// Tries that cost an attempt and will be repeated, by cause.
    pub retried_by: BTreeMap<Cause, u64>,
    /// Tries that cost nothing and will be repeated, by cause.
    pub snoozed_by: BTreeMap<Cause, u64>,
    /// Tasks that went back untouched.
    pub released: u64,
    /// Answers that came too late to count.
    pub fenced: u64,
    /// Tasks taken back from workers that died.
    pub recovered: u64,
    /// Requests without a result that may have been billed all the same; their tasks are sent again.
    pub maybe_billed: u64,
    /// By endpoint.
    pub lanes: BTreeMap<Endpoint, Lane>,
    /// Requests without an answer yet, by task and claim; hardly more than there are slots.
    pub in_flight: BTreeMap<(TaskId, Fence), InFlight>,
    /// Stops that hold.
    pub halts: Vec<ActiveHalt>,
    /// Nothing is started after this moment.
    pub deadline: Option<Timestamp>,
    /// More may come until the run is stopped.
    pub watching: bool,
    /// The end that has begun.
    pub draining: Option<Draining>,
    /// Audio transcribed, in milliseconds.
    pub audio_ms: u64,
    /// Audio billed, in milliseconds.
    pub billed_ms: u64,
    /// Bytes of the recordings that ended well.
    pub bytes: u64,
    /// How long answers took.
    pub walls: Histogram,
    /// When the first request began.
    pub first_sent_at: Option<Timestamp>,
    /// When the last one that is over was over.
    pub last_ended_at: Option<Timestamp>,
    queued_at_start: u64,
    queued_bytes_at_start: u64,
    recovered_since: u64,
    scans: BTreeMap<String, Scan>,
    pace: Pace,
    last: Option<Timestamp>,
}

impl RunStats {
    /// Sets what each endpoint may use of its month.
    #[must_use]
    pub fn with_budgets(mut self, budgets: &[(Endpoint, Budget)]) -> Self {
        for &(endpoint, budget) in budgets {
            self.lanes.entry(endpoint).or_default().budget = Some(budget);
        }
        self
    }

    /// Counts what happened. Moments may repeat; one that lies before the last counts as no time.
    pub fn apply(&mut self, event: &RunEvent, now: Timestamp) {
        self.advance(now);
        match event {
            RunEvent::RunStarted { worker, base_url, endpoints, queued, queued_bytes } => {
                self.worker = Some(worker.clone());
                self.base_url.clone_from(base_url);
                self.started_at = Some(now);
                (self.queued_at_start, self.queued_bytes_at_start) = (*queued, *queued_bytes);
                for &(endpoint, slots) in endpoints {
                    let lane = self.lane(endpoint);
                    (lane.ceiling, lane.effective) = (slots, slots);
                }
            }
            RunEvent::Scanned { job, new, new_bytes, refused, known, done } => {
                let scan =
                    Scan { new: *new, new_bytes: *new_bytes, refused: *refused, known: *known, done: *done };
                self.scans.insert(job.clone(), scan);
            }
            RunEvent::TaskStarted(about) => self.start(about, now),
            RunEvent::TaskSucceeded { about, duration_ms, billed_ms, bytes, wall, .. } => {
                self.leave(about);
                let audio_ms = duration_ms.unwrap_or(0);
                self.succeeded += 1;
                add(&mut self.audio_ms, audio_ms);
                add(&mut self.billed_ms, *billed_ms);
                add(&mut self.bytes, *bytes);
                let lane = self.lane(about.endpoint);
                lane.succeeded += 1;
                add(&mut lane.billed_ms, *billed_ms);
                self.walls.add(*wall);
                self.pace.complete(*bytes, audio_ms);
            }
            RunEvent::TaskSuspect { kinds, .. } => {
                kinds.iter().for_each(|kind| add(self.suspect_by.entry(*kind).or_default(), 1));
            }
            RunEvent::TaskResent { about, billed_ms, wall } => {
                self.leave(about);
                self.resent += 1;
                add(&mut self.billed_ms, *billed_ms);
                add(&mut self.lane(about.endpoint).billed_ms, *billed_ms);
                self.walls.add(*wall);
            }
            RunEvent::PieceAnswered { about, billed_ms, wall, .. } => {
                self.leave(about);
                add(&mut self.billed_ms, *billed_ms);
                add(&mut self.lane(about.endpoint).billed_ms, *billed_ms);
                self.walls.add(*wall);
            }
            RunEvent::TaskReused { about, duration_ms, bytes, .. } => {
                self.leave(about);
                self.succeeded += 1;
                self.reused += 1;
                self.lane(about.endpoint).succeeded += 1;
                add(&mut self.bytes, *bytes);
                self.pace.complete(*bytes, duration_ms.unwrap_or(0));
            }
            RunEvent::TaskRetried { about, failure, .. } => {
                self.leave(about);
                add(self.retried_by.entry(failure.cause).or_default(), 1);
                self.repeat(failure);
            }
            RunEvent::TaskSnoozed { about, failure, .. } => {
                self.leave(about);
                add(self.snoozed_by.entry(failure.cause).or_default(), 1);
                self.repeat(failure);
            }
            RunEvent::TaskReleased { about, failure } => {
                self.leave(about);
                self.released += 1;
                add(&mut self.maybe_billed, u64::from(failure.billed == Billed::Unknown));
            }
            RunEvent::TaskFailed { about, failure, sent } => {
                self.leave(about);
                let refused = !sent && failure.cause.is_refusal();
                let by = if refused { &mut self.refused_by } else { &mut self.failed_by };
                add(by.entry(failure.cause).or_default(), 1);
                add(&mut self.maybe_billed, u64::from(failure.billed == Billed::Unknown));
            }
            RunEvent::AnswerFenced(about) => {
                self.leave(about);
                self.fenced += 1;
                add(&mut self.maybe_billed, 1);
            }
            RunEvent::TasksRecovered { tasks, failed } => {
                add(&mut self.recovered, *tasks);
                // What a dead worker had sent was perhaps answered, and nobody heard it.
                add(&mut self.maybe_billed, *tasks);
                if self.started_at.is_some() {
                    add(&mut self.recovered_since, *tasks);
                }
                if *failed > 0 {
                    add(self.failed_by.entry(Cause::LeaseLost).or_default(), *failed);
                }
            }
            RunEvent::LimiterPaused { endpoint, until } => self.lane(*endpoint).paused_until = Some(*until),
            RunEvent::PaceChanged { endpoint, effective, ceiling } => {
                let lane = self.lane(*endpoint);
                (lane.effective, lane.ceiling) = (*effective, *ceiling);
            }
            RunEvent::SlotsChanged { endpoint, state } => {
                let lane = self.lane(*endpoint);
                (lane.slots, lane.effective) = (*state, state.effective);
            }
            RunEvent::OutageBegan { endpoint, failure } => {
                self.lane(*endpoint).outage = Some((now, failure.clone()));
            }
            RunEvent::OutageEnded { endpoint } => self.lane(*endpoint).outage = None,
            RunEvent::HaltRaised { scope, reason, evidence, until } => {
                self.halts.retain(|halt| (halt.scope, halt.reason) != (*scope, *reason));
                let (scope, reason, until) = (*scope, *reason, *until);
                self.halts.push(ActiveHalt { scope, reason, evidence: evidence.clone(), since: now, until });
            }
            RunEvent::HaltLifted { scope, reason } => {
                self.halts.retain(|halt| (halt.scope, halt.reason) != (*scope, *reason));
            }
            RunEvent::Watching { .. } => self.watching = true,
            RunEvent::DeadlineSet { until } => self.deadline = Some(*until),
            RunEvent::Draining { grace, why, .. } => {
                self.draining = Some(Draining { since: now, grace: *grace, why: *why, aborting: false });
            }
            RunEvent::Aborting { .. } => {
                let why = Stopping::Signal;
                let drain = Draining { since: now, grace: Duration::ZERO, why, aborting: true };
                self.draining = Some(Draining { aborting: true, ..self.draining.unwrap_or(drain) });
            }
            RunEvent::RunEnded => self.ended_at = Some(now),
            RunEvent::Examining { .. } | RunEvent::SourceAway { .. } | RunEvent::StatusAsked => {}
        }
    }

    /// Lets time go by without anything happening.
    pub fn advance(&mut self, now: Timestamp) {
        let time = self.last.map_or(Duration::ZERO, |last| now.since(last));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        if self.started_at.is_none() || self.ended_at.is_some() || time.is_zero() {
            return;
        }
        let none_left = !self.scanning() && !self.watching && self.left() <= self.tasks_in_flight();
        let ending = self.draining.is_some() || none_left;
        let mut working = false;
        for (endpoint, lane) in &mut self.lanes {
            let stretch = Stretch {
                ceiling: lane.ceiling,
                busy: lane.in_flight,
                state: SlotState { effective: lane.effective, ..lane.slots },
                paused: lane.paused_until.is_some_and(|until| until > now),
                outage: lane.outage.is_some(),
                halted: self.halts.iter().find(|h| h.scope.covers(*endpoint)).map(|h| h.reason),
                ending,
            };
            lane.slot_time.book(time, stretch);
            working |= lane.in_flight > 0 || !(stretch.halted.is_some() || stretch.outage);
        }
        // Standing still says nothing about how fast it goes.
        if working {
            self.pace.elapse(time);
        }
    }

    fn start(&mut self, about: &About, now: Timestamp) {
        let request = InFlight { about: about.clone(), since: now };
        if let Some(stale) = self.in_flight.insert((about.task, about.fence), request) {
            let lane = self.lane(stale.about.endpoint);
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
        self.lane(about.endpoint).in_flight += 1;
        self.first_sent_at.get_or_insert(now);
    }

    fn leave(&mut self, about: &About) {
        if let Some(request) = self.in_flight.remove(&(about.task, about.fence)) {
            let lane = self.lane(request.about.endpoint);
            lane.in_flight = lane.in_flight.saturating_sub(1);
            self.last_ended_at = self.last;
        }
    }

    fn repeat(&mut self, failure: &Failure) {
        add(&mut self.maybe_billed, u64::from(failure.billed == Billed::Unknown));
    }

    fn lane(&mut self, endpoint: Endpoint) -> &mut Lane {
        self.lanes.entry(endpoint).or_default()
    }

    fn scanned(&self, part: impl Fn(&Scan) -> u64) -> u64 {
        self.scans.values().map(part).fold(0, u64::saturating_add)
    }

    /// Tasks of this run: queued when it began, found since, taken back from the dead. More while [`RunStats::scanning`].
    pub fn total(&self) -> u64 {
        let known = self.queued_at_start.saturating_add(self.scanned(|scan| scan.new));
        // Other processes on the queue may hand over what was not counted here.
        known.saturating_add(self.recovered_since).max(self.done().saturating_add(self.tasks_in_flight()))
    }

    /// A task that began anew before the end of its last try was told is still one task.
    fn tasks_in_flight(&self) -> u64 {
        let mut last = None;
        self.in_flight.keys().filter(|(task, _)| last.replace(*task) != Some(*task)).count() as u64
    }

    /// Tasks that ended, whichever way.
    pub fn done(&self) -> u64 {
        self.succeeded.saturating_add(self.failed()).saturating_add(self.refused())
    }

    /// Tasks that have not ended, those in flight included.
    pub fn left(&self) -> u64 {
        self.total() - self.done()
    }

    /// Tasks that failed for good after a request.
    pub fn failed(&self) -> u64 {
        sum(&self.failed_by)
    }

    /// Tasks that were never sent, by the scan or by the run.
    pub fn refused(&self) -> u64 {
        self.scanned(|scan| scan.refused).saturating_add(sum(&self.refused_by))
    }

    /// Files that the scans saw and the queue had already.
    pub fn known(&self) -> u64 {
        self.scanned(|scan| scan.known)
    }

    /// Tries that were or will be repeated, at a cost or not, by cause; the most frequent first.
    pub fn repeated_by(&self) -> Vec<(Cause, u64)> {
        let mut by = self.retried_by.clone();
        for (&cause, &n) in &self.snoozed_by {
            add(by.entry(cause).or_default(), n);
        }
        most_first(&by)
    }

    /// Whether a scan is not over, so that totals can only grow.
    pub fn scanning(&self) -> bool {
        self.scans.values().any(|scan| !scan.done)
    }

    /// Bytes of all tasks of this run, as the scan saw them.
    pub fn total_bytes(&self) -> u64 {
        self.queued_bytes_at_start.saturating_add(self.scanned(|scan| scan.new_bytes)).max(self.bytes)
    }

    /// Bytes still to be sent. What failed is taken to be of average size: its events carry none.
    pub fn bytes_left(&self) -> u64 {
        let (total, bytes) = (self.total(), u128::from(self.total_bytes()));
        if total == 0 || self.left() == 0 {
            return 0;
        }
        let lost = bytes * u128::from(self.done() - self.succeeded) / u128::from(total);
        bytes.saturating_sub(u128::from(self.bytes)).saturating_sub(lost).try_into().unwrap_or(u64::MAX)
    }

    /// Slots of all endpoints.
    pub fn ceiling(&self) -> u32 {
        self.lanes.values().map(|lane| lane.ceiling).fold(0, u32::saturating_add)
    }

    /// Slots in use.
    pub fn busy(&self) -> u32 {
        self.lanes.values().map(Lane::busy).fold(0, u32::saturating_add)
    }

    /// Hours of audio that an hour gets done, of late.
    pub fn audio_rate(&self) -> Option<f64> {
        self.pace.audio_rate()
    }

    /// When it may be over; nothing while too little is known, or nothing moves.
    pub fn eta(&self) -> Option<Eta> {
        let stopped = !self.lanes.is_empty()
            && self.lanes.keys().all(|&endpoint| self.halts.iter().any(|halt| halt.scope.covers(endpoint)));
        if stopped || self.draining.is_some() || self.left() == 0 {
            return None;
        }
        self.pace.eta(self.left(), self.bytes_left(), self.scanning())
    }

    /// The request that has waited longest for its answer.
    pub fn oldest(&self) -> Option<&InFlight> {
        self.in_flight.values().min_by_key(|request| request.since)
    }

    /// Where the time of all slots went.
    pub fn slot_time(&self) -> SlotTime {
        self.lanes.values().fold(SlotTime::default(), |sum, lane| sum.plus(lane.slot_time))
    }

    /// From the first request to the last answer, or until now while requests are in flight.
    pub fn sending(&self) -> Duration {
        let until = if self.in_flight.is_empty() { self.last_ended_at } else { self.last };
        self.first_sent_at.zip(until).map_or(Duration::ZERO, |(first, until)| until.since(first))
    }

    /// From start to end, or to `now`.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        self.started_at.map_or(Duration::ZERO, |start| self.ended_at.unwrap_or(now).since(start))
    }

    /// The endpoint that will use up its month first: its budget, what is used of it, and in how long it will
    /// be gone at this run's pace.
    pub fn tightest_budget(&self) -> Option<(Endpoint, Budget, u64, Option<Duration>)> {
        let budgets = self.lanes.iter().filter_map(|(&endpoint, lane)| {
            let budget = lane.budget?;
            let used = budget.used_before_ms.saturating_add(lane.billed_ms);
            let left = budget.limit_ms.saturating_sub(used) as f64;
            let secs = left * self.pace.working_ms() / lane.billed_ms as f64 / 1000.0;
            let gone_in = (secs.is_finite() && secs < 1e9).then(|| Duration::from_secs_f64(secs));
            Some((endpoint, budget, used, gone_in))
        });
        budgets.min_by_key(|&(_, budget, used, gone_in)| {
            (gone_in.unwrap_or(Duration::MAX), budget.limit_ms.saturating_sub(used))
        })
    }
}

/// Counts by cause, the most frequent first.
pub(super) fn most_first(by: &BTreeMap<Cause, u64>) -> Vec<(Cause, u64)> {
    let mut list: Vec<(Cause, u64)> = by.iter().map(|(&cause, &n)| (cause, n)).collect();
    list.sort_by_key(|&(cause, n)| (Reverse(n), cause));
    list
}

pub(super) fn sum(by: &BTreeMap<Cause, u64>) -> u64 {
    by.values().copied().fold(0, u64::saturating_add)
}

fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
