//! The pool of one endpoint: keeps its slots full from the queue, and stops when a halt, the user or an empty queue
//! says so. One loop owns the choosing; workers run beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::away::Away;
use super::crew::Ended;
use super::judge::Mode;
use super::probe::Probing;
use super::quota::Quota;
use super::ready::{Looked, Preparing};
use super::slots::SlotsSeen;
use super::stall::Stall;
use super::worker::Bench;
use super::{Feed, LimitSettings, Work, now, steady};
use crate::event::{About, RunEvent};
use crate::queue::{Candidate, QueueError, Settled, TaskRow};
use crate::task::{
    BudgetLimit, HaltReason, HaltScope, Hold, Identity, JobId, Settlement, TaskId, TaskState, Timestamp,
    WorkerId,
};

/// How often the queue is asked again when another process could have changed it.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// The same while paused by hand.
pub(super) const POLL_PAUSED: Duration = Duration::from_secs(1);
/// How often a file that is being written, or cannot be read just now, is looked at in one run.
const LOOKS: u32 = 4;
/// So many wait for others that are the same before no more are looked for.
const WAITING: usize = 1000;
/// So many are encoded anew, or wait for that, before no more are looked for: each of them is read whole before. Those that
/// need nothing of the kind get their slots meanwhile.
const ENCODING: usize = 16;

/// Why a pool stopped.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing is left that it could do.
    Done,
    /// The user said so.
    Stopped,
    /// These halts stand.
    Halted(Vec<(HaltScope, HaltReason)>),
    /// Everything has been failing for too long.
    Outage,
    /// The queue cannot be used.
    Local(QueueError),
}

/// See the module.
pub(super) struct Pool {
    pub(super) bench: Arc<Bench>,
    telling: JoinHandle<Result<(), QueueError>>,
    ended: mpsc::UnboundedReceiver<(TaskId, Ended)>,
    pub(super) worker: WorkerId,
    works: HashMap<JobId, Arc<Work>>,
    pub(super) limit: LimitSettings,
    pub(super) budget: BudgetLimit,
    give_up_after: Duration,
    pub(super) probe_interval: Duration,
    pub(super) quota: Arc<Quota>,
    /// Sources may come and go.
    pub(super) watching: bool,
    /// Jobs whose source is not there at present.
    pub(super) away: Away,
    feed: watch::Receiver<Feed>,
    /// The feed as it was when the queue was last thought worth asking.
    fed: Feed,
    pub(super) slots: Arc<Semaphore>,
    /// A slot was let go.
    pub(super) freed: Arc<Notify>,
    pub(super) preparing: Preparing,
    /// Started or about to be, and not done with: they may go on when the quota is used up.
    pub(super) chosen: HashSet<TaskId>,
    /// Whether what is the same is sent once.
    pub(super) reuse: bool,
    /// The same as others that are being sent: these are to end first.
    pub(super) waiting: HashMap<TaskId, TaskId>,
    /// Claimed here, and not heard the end of.
    pub(super) claimed: HashSet<TaskId>,
    /// Who is, or was, encoded anew for all that are the same.
    pub(super) encoded: HashMap<Identity, TaskId>,
    /// Taking over the answer of another one.
    pub(super) taking_over: HashSet<TaskId>,
    /// Could not: sent for themselves.
    pub(super) unshared: HashSet<TaskId>,
    /// How often each file was not fit to be sent yet.
    looks: HashMap<TaskId, u32>,
    /// Halts that the next request probes.
    pub(super) probing: Probing,
    /// By the steady clock.
    pub(super) probe_not_before: Timestamp,
    pub(super) started_at: Timestamp,
    /// When to ask the queue or the limiter again, at the latest.
    wake_at: Instant,
    /// When the queue last said that nothing stands against those on deck.
    pub(super) cleared_at: Instant,
    /// The queue had nothing more when it was last asked.
    pub(super) dry: bool,
    pub(super) next_due: Option<Timestamp>,
    pub(super) slots_seen: SlotsSeen,
    pub(super) stall: Stall,
    pub(super) end: Option<End>,
}

/// What a pool needs besides its bench.
pub(super) struct Setup {
    /// Ends with the bench's events.
    pub(super) telling: JoinHandle<Result<(), QueueError>>,
    /// How its workers end.
    pub(super) ended: mpsc::UnboundedReceiver<(TaskId, Ended)>,
    pub(super) worker: WorkerId,
    pub(super) works: Vec<Arc<Work>>,
    pub(super) limit: LimitSettings,
    pub(super) budget: BudgetLimit,
    pub(super) give_up_after: Duration,
    pub(super) probe_interval: Duration,
    pub(super) quota: Arc<Quota>,
    pub(super) watching: bool,
    pub(super) feed: watch::Receiver<Feed>,
}

impl Pool {
    pub(super) fn new(bench: Bench, setup: Setup) -> Self {
        let Setup {
            telling,
            ended,
            worker,
            works,
            limit,
            budget,
            give_up_after,
            probe_interval,
            quota,
            watching,
            feed,
        } = setup;
        Pool {
            bench: Arc::new(bench),
            telling,
            ended,
            worker,
            reuse: works.iter().any(|work| work.reuse),
            waiting: HashMap::new(),
            claimed: HashSet::new(),
            encoded: HashMap::new(),
            taking_over: HashSet::new(),
            unshared: HashSet::new(),
            works: works.into_iter().map(|w| (w.job.id, w)).collect(),
            limit,
            budget,
            give_up_after,
            probe_interval,
            quota,
            watching,
            away: Away::default(),
            feed,
            fed: Feed::default(),
            slots: Arc::new(Semaphore::new(limit.concurrent as usize)),
            freed: Arc::default(),
            preparing: Preparing::default(),
            chosen: HashSet::new(),
            looks: HashMap::new(),
            started_at: now(),
            probing: Probing::default(),
            probe_not_before: Timestamp(0),
            wake_at: Instant::now(),
            cleared_at: Instant::now(),
            dry: false,
            next_due: None,
            slots_seen: SlotsSeen::default(),
            stall: Stall::default(),
            end: None,
        }
    }

    /// Works until there is a reason to stop, and never leaves a request behind.
    pub(super) async fn run(mut self) -> End {
        let end = self.work().await;
        let Pool { bench, telling, preparing, .. } = self;
        drop(preparing); // nobody waits for what is still being encoded
        drop(bench); // the last one who tells
        match telling.await {
            Ok(Ok(())) => end,
            Ok(Err(error)) => End::Local(error),
            Err(panic) => End::Local(bug("telling", &panic)),
        }
    }

    async fn work(&mut self) -> End {
        loop {
            self.look_at_feed();
            if let Err(error) = self.fill().await {
                self.stop_for(error);
            }
            self.tell_slots().await;
            if let Some(end) = self.reason_to_end() {
                return end;
            }
            let stop = self.bench.stop.drain.clone();
            let shows_in = self.bench.judge().shows_in(steady());
            tokio::select! {
                Some(ended) = self.ended.recv() => self.note_ends(ended).await,
                () = self.freed.notified() => {}
                looked = self.preparing.looked() => match looked {
                    Ok(looked) => for one in looked { self.take_in(one).await },
                    Err(panic) => self.stop_for(bug("looking at a file", &panic)),
                },
                Ok(()) = self.feed.changed(), if !self.is_fed() => {}
                () = tokio::time::sleep_until(self.wake_at) => {
                    self.dry = false;
                    // Those that another process has taken over may have ended there.
                    self.waiting.retain(|_, of| self.claimed.contains(of) || self.preparing.has(*of));
                    self.wake_at = Instant::now() + POLL;
                }
                () = tokio::time::sleep(shows_in.unwrap_or_default()), if shows_in.is_some() => {
                    let moved = self.bench.judge().look_at_pace(self.slots_seen.elsewhere, steady());
                    self.bench.keep_pace(moved, None).await;
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// What the scan has added since the last look may be more than the queue was asked for.
    fn look_at_feed(&mut self) {
        let feed = *self.feed.borrow_and_update();
        self.dry &= feed == self.fed;
        self.fed = feed;
    }

    /// Whether the scan beside the run is over, or gone, and all that it added has been looked at: its last batch
    /// and its end often come together.
    pub(super) fn is_fed(&self) -> bool {
        self.fed.done || (self.feed.has_changed().is_err() && *self.feed.borrow() == self.fed)
    }

    /// Whether workers are at it, or wait for their turn: those that ended and were not heard of count.
    pub(super) fn is_working(&self) -> bool {
        self.bench.at_work.load(Ordering::Relaxed) > 0 || !self.bench.deck().is_empty()
    }

    fn reason_to_end(&mut self) -> Option<End> {
        if self.is_working() {
            return None;
        }
        if let Some(error) = self.bench.trouble().take() {
            return Some(End::Local(error));
        }
        if self.end.is_some() {
            return self.end.take();
        }
        if self.bench.stop.drain.is_cancelled() {
            return Some(End::Stopped);
        }
        if self.bench.judge().is_hopeless(self.give_up_after, steady()) {
            return Some(End::Outage);
        }
        let fed = self.is_fed();
        let waiting =
            !self.preparing.is_empty() || self.next_due.is_some() || !self.dry || !self.waiting.is_empty();
        let over_quota = self.quota.is_used_up() && self.chosen.is_empty();
        (over_quota || (fed && !waiting)).then_some(End::Done)
    }

    /// Looks ahead in the queue and starts what can start.
    async fn fill(&mut self) -> Result<(), QueueError> {
        let mode = self.bench.judge().mode();
        let stopping = self.end.is_some() || self.bench.stop.drain.is_cancelled();
        if stopping || mode != Mode::Open || self.probing.is_on() {
            self.bench.clear_deck();
        }
        if stopping {
            return Ok(());
        }
        match mode {
            Mode::Closed if !self.is_working() => self.halt_here().await?,
            Mode::Closed => {}
            Mode::AskFree => self.ask_free().await,
            Mode::Open | Mode::Alone(_) => {
                self.look_ahead().await?;
                self.start(mode).await?;
            }
        }
        Ok(())
    }

    /// Asks the queue for candidates when less than half of what could be ahead is.
    async fn look_ahead(&mut self) -> Result<(), QueueError> {
        self.dry &= !self.away.have_come_back(&self.works).await;
        let on_deck = self.bench.deck().aim() as usize;
        let ahead = (self.limit.concurrent as usize).clamp(4, 64) + on_deck;
        let aim = self.slots.available_permits() + ahead;
        let crowded = self.waiting.len() >= WAITING || self.preparing.going_on() >= ENCODING;
        if self.dry || crowded || self.preparing.len() > aim.saturating_sub(ahead.div_ceil(2)) {
            return Ok(());
        }
        if self.quota.is_used_up() {
            return self.look_at_chosen().await;
        }
        let jobs: Vec<JobId> = self.works.keys().copied().filter(|job| !self.away.has(*job)).collect();
        let room = u32::try_from(aim - self.preparing.len()).unwrap_or(u32::MAX);
        let store = &self.bench.store;
        let mut skip = self.preparing.ids();
        skip.extend(self.waiting.keys().chain(&self.taking_over));
        skip.sort_unstable();
        let found = store.candidates(self.bench.endpoint, jobs.clone(), skip, room, now()).await?;
        if (found.len() as u32) < room {
            self.dry = true;
            self.next_due = store.next_due(self.bench.endpoint, jobs).await?;
            // Who watches has time: what the scan finds wakes it at once.
            let poll = if self.watching { POLL_PAUSED } else { POLL };
            let until_due =
                self.next_due.map_or(poll, |at| at.since(now()).clamp(Duration::from_millis(5), poll));
            self.wake_at = Instant::now() + until_due;
        }
        let chosen = found.into_iter().filter(|c| self.chosen.contains(&c.id) || self.quota.take()).collect();
        self.look(chosen);
        Ok(())
    }

    /// With the quota used up only those that were chosen go on; whoever left the queue otherwise is let go.
    async fn look_at_chosen(&mut self) -> Result<(), QueueError> {
        (self.dry, self.next_due) = (true, None);
        self.wake_at = Instant::now() + POLL;
        for id in self.chosen.iter().copied().collect::<Vec<_>>() {
            match self.bench.store.task(id).await? {
                Some(row) if row.state == TaskState::Running => {}
                Some(row) if row.state == TaskState::Queued && row.run_at > now() => {
                    self.next_due = Some(self.next_due.map_or(row.run_at, |due| due.min(row.run_at)));
                }
                Some(row) if row.state == TaskState::Queued => {
                    let is_at_it = self.waiting.contains_key(&id) || self.taking_over.contains(&id);
                    if !is_at_it && !self.preparing.ids().contains(&id) {
                        self.look(vec![candidate_of(row)]);
                    }
                }
                _ => {
                    self.chosen.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, candidates: Vec<Candidate>) {
        let work_of = |c: &Candidate| self.works.get(&c.job).cloned();
        let known = candidates.into_iter().filter_map(|c| work_of(&c).map(|work| (c, work)));
        let known: Vec<_> = known.collect();
        self.chosen.extend(known.iter().map(|(c, _)| c.id));
        let needed = self.bench.deck().aim() as usize / 2;
        let exactly = self.limit.monthly_ms.is_some() || !self.budget.is_none();
        let bench = &self.bench;
        self.preparing.look(known, needed, &bench.media, exactly, |anew| bench.lengths.terms(anew));
    }

    async fn take_in(&mut self, looked: Looked) {
        let (candidate, settlement) = match looked {
            Looked::Fit(mut ready) => {
                let id = ready.candidate.id;
                if let Some(cutting) = ready.prepared.cutting.take() {
                    if self.end.is_some() || self.bench.stop.drain.is_cancelled() {
                        self.preparing.take(id);
                        return; // nobody would send it any more
                    }
                    return self.encode(*ready, cutting);
                }
                self.looks.remove(&id);
                return self.preparing.keep(*ready);
            }
            Looked::Double(ready, double) => {
                self.preparing.take(double.task);
                return self.meet_double(*ready, double);
            }
            Looked::Away(candidate, work) => return self.put_off(&candidate, &work),
            Looked::Unusable(error) => return self.stop_for(error),
            Looked::Refused(candidate, failure) => (candidate, Settlement::Fail(failure)),
            Looked::NotNow(candidate, failure) => {
                let looks = self.looks.entry(candidate.id).or_default();
                *looks += 1;
                // The next scan takes up what has changed by then; a run must not wait for a recorder.
                let settlement = if *looks >= LOOKS {
                    self.looks.remove(&candidate.id);
                    Settlement::Fail(failure)
                } else {
                    let wait = self.works.get(&candidate.job).map_or(POLL, |w| w.settle.max(POLL));
                    Settlement::Snooze { hold: Hold::Settle, run_at: now().after(wait), failure }
                };
                (candidate, settlement)
            }
        };
        self.preparing.take(candidate.id);
        self.dry = false;
        if let Err(error) = self.set_aside(candidate, settlement).await {
            self.stop_for(error);
        }
    }

    async fn set_aside(&mut self, candidate: Candidate, settlement: Settlement) -> Result<(), QueueError> {
        let Candidate { id, fence, path, job, attempts, .. } = candidate;
        let settled = self.bench.store.set_aside(id, fence, settlement.clone(), now()).await?;
        if settled == Settled::Fenced {
            self.chosen.remove(&id); // somebody else has it
            return Ok(());
        }
        if let Settlement::Fail(failure) = settlement {
            self.chosen.remove(&id);
            let job = self.works.get(&job).map(|w| w.job.name.clone()).unwrap_or_default();
            let endpoint = self.bench.endpoint;
            let about = About { task: id, job, path, endpoint, attempt: attempts, fence };
            self.bench.tell(RunEvent::TaskFailed { about, failure, sent: false }).await;
        }
        Ok(())
    }

    /// Those that ended together are followed by one claim.
    async fn note_ends(&mut self, first: (TaskId, Ended)) {
        let mut next = Some(first);
        while let Some((id, ended)) = next {
            self.bench.at_work.fetch_sub(1, Ordering::Relaxed);
            self.note_end(id, ended).await;
            next = self.ended.try_recv().ok();
        }
    }

    async fn note_end(&mut self, id: TaskId, ended: Ended) {
        self.dry = false;
        self.claimed.remove(&id);
        // Who goes on in pieces, or is tried again, is waited for until that is over.
        if !matches!(ended, Ended::Settled { terminal: false, .. }) {
            self.waiting.retain(|_, of| *of != id);
        }
        match ended {
            Ended::Settled { terminal, word } => {
                if terminal {
                    self.chosen.remove(&id);
                }
                if let Err(error) = self.end_probe(word).await {
                    self.stop_for(error);
                }
            }
            Ended::Reused(done) => {
                self.taking_over.remove(&id);
                if done {
                    self.chosen.remove(&id);
                } else {
                    self.unshared.insert(id);
                }
            }
            Ended::Unstored(error) => self.stop_for(error),
            // Its slot and task come back when this process ends; the run must not go on as if nothing were.
            Ended::Panicked => self.stop_for(QueueError::Bug("a worker ended by a bug".to_owned())),
        }
    }

    /// The queue cannot be used: what is in flight may end, and nothing more begins anywhere.
    pub(super) fn stop_for(&mut self, error: QueueError) {
        self.bench.stop.drain.cancel();
        self.end.get_or_insert(End::Local(error));
    }

    pub(super) fn wake_in(&mut self, wait: Duration) {
        let at = Instant::now() + wait.max(Duration::from_millis(1));
        self.wake_at = if self.wake_at > Instant::now() { self.wake_at.min(at) } else { at };
    }
}

/// A panic of ours: the run must not go on as if nothing were.
fn bug(who: &str, panic: &tokio::task::JoinError) -> QueueError {
    QueueError::Bug(format!("{who} ended by a bug: {panic}"))
}

fn candidate_of(row: TaskRow) -> Candidate {
    let TaskRow {
        id, job, path, size_bytes, modified_ns, measured, fence, attempts, metadata, decoded, ..
    } = row;
    // Chosen before, so it was looked at with its doubles.
    let has_double = size_bytes > 128 << 10;
    let options = metadata.options;
    Candidate {
        id,
        job,
        path,
        size_bytes,
        modified_ns,
        measured,
        fence,
        attempts,
        options,
        has_double,
        decoded,
    }
}
