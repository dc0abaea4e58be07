//! Works the queue: slots, claims, requests, settlements. Never knows of progress bars.
//!
//! [`run()`] starts one `pool` an endpoint; a pool keeps its slots full with `worker`s and asks its `judge`,
//! which knows what the answers mean together, whether the next one may start.

mod audio;
mod away;
mod claiming;
mod clock;
mod crew;
mod deadline;
mod deck;
mod halt;
mod judge;
mod keep;
mod length;
mod outage;
mod pace;
mod pieces;
mod pool;
mod probe;
mod quota;
mod raise;
mod ready;
mod remote;
mod reuse;
mod saving;
mod slots;
mod stall;
mod stop;
mod telling;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::away::is_mount_point;
pub use self::deadline::Deadline;
pub use self::length::terms;
pub use self::stop::Stop;

use self::clock::{now, steady};
use self::deck::Deck;
use self::judge::Judge;
use self::length::Lengths;
use self::pace::Pace;
use self::pool::{End, Pool, Setup};
use self::quota::Quota;
use self::worker::Bench;
use crate::event::{RunEvent, Stopping};
use crate::media::MediaSettings;
use crate::queue::{QueueError, TaskStore};
use crate::task::{
    BudgetLimit, Channels, Endpoint, HaltReason, HaltScope, Identity, Job, Money, Month, RetryPolicy,
    SuspectSettings, WorkerId, options_over,
};
use crate::velma::{Client, Options};

/// An endpoint's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests at once: the organisation's limit for this model.
    pub concurrent: u32,
    /// Milliseconds of audio that may be billed in a calendar month; `None`: no cap of ours.
    pub monthly_ms: Option<u64>,
    /// What was used of it elsewhere.
    pub opening: Option<Opening>,
    /// Milliseconds of audio that a request may hold; `None`: whatever the endpoint gets through.
    pub longest_ms: Option<u64>,
}

/// Audio that others had billed in a month: the queue knows of its own only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// It counts in this month and no other.
    pub month: Month,
    /// Milliseconds of audio.
    pub ms: u64,
}

impl LimitSettings {
    /// What was used elsewhere in a month.
    pub fn opening_ms(&self, month: Month) -> u64 {
        self.opening.filter(|opening| opening.month == month).map_or(0, |opening| opening.ms)
    }

    /// What this queue may have billed in a month.
    pub fn own_monthly_ms(&self, month: Month) -> Option<u64> {
        self.monthly_ms.map(|cap| cap.saturating_sub(self.opening_ms(month)))
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings { concurrent: 1, monthly_ms: None, opening: None, longest_ms: None }
    }
}

/// How a run behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// By endpoint; an endpoint without an entry gets one slot.
    pub limits: BTreeMap<Endpoint, LimitSettings>,
    /// How often and how late to try again.
    pub retry: RetryPolicy,
    /// How long requests in flight may go on after the first stop signal.
    pub grace: Duration,
    /// How often one request may try whether a halt is over.
    pub probe_interval: Duration,
    /// How long everything may keep failing before the run gives up.
    pub give_up_after: Duration,
    /// How long a job that a service has accepted may take, from then on.
    pub job_deadline: Duration,
    /// At most this many tasks are started; `None`: all.
    pub limit: Option<u64>,
    /// What may be spent of the budget that is open in the queue.
    pub budget: BudgetLimit,
    /// When nothing more begins.
    pub deadline: Deadline,
    /// More may come for as long as the run goes on, and sources may come and go.
    pub watching: bool,
    /// How often it is looked for then.
    pub watch_interval: Duration,
    /// Whether a recording that is the same as another, with the same options, takes over its answer.
    pub reuse: bool,
    /// When a result is odd.
    pub suspect: SuspectSettings,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings {
            limits: BTreeMap::new(),
            retry: RetryPolicy::default(),
            grace: Duration::from_secs(75),
            probe_interval: Duration::from_secs(3600),
            give_up_after: Duration::from_secs(1800),
            job_deadline: Duration::from_secs(3600),
            limit: None,
            budget: BudgetLimit::default(),
            deadline: Deadline::default(),
            watching: false,
            watch_interval: Duration::from_secs(30),
            reuse: true,
            suspect: SuspectSettings::default(),
        }
    }
}

impl RunSettings {
    /// The limits of an endpoint.
    pub fn limit_of(&self, endpoint: Endpoint) -> LimitSettings {
        self.limits.get(&endpoint).copied().unwrap_or_default()
    }
}

/// A job and what its requests say.
#[derive(Debug)]
pub struct Work {
    /// The job.
    pub job: Job,
    /// Its options, checked.
    pub options: Options,
    /// What an hour of its audio costs, if that is known.
    pub price: Option<Money>,
    /// A file of it that changed within this time is looked at again later.
    pub settle: Duration,
    /// Its source was the root of a disk when the run began. When it is none any more, the disk is gone.
    pub mounted: bool,
    /// Whether answers of recordings that are the same serve for each other.
    pub reuse: bool,
    /// When a result is odd.
    pub suspect: SuspectSettings,
    /// What becomes of its recordings' channels.
    pub channels: Channels,
}

impl Work {
    /// What a recording of it is, by the BLAKE3 of its content in hex and options of its own.
    fn identity(&self, blake3: &str, own: Option<&str>) -> Identity {
        // Other channels are another sound.
        let heard = match self.channels {
            Channels::Keep => blake3,
            other => &format!("{blake3} {other}"),
        };
        match own {
            None => Identity::of(heard, self.job.endpoint, &self.job.options),
            Some(_) => Identity::of(heard, self.job.endpoint, &options_over(&self.job.options, own)),
        }
    }
}

/// What a scan that goes on beside the run has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feed {
    /// Tasks so far.
    pub new: u64,
    /// Nothing more will come.
    pub done: bool,
}

/// Everything a run needs.
pub struct Run {
    /// The queue.
    pub store: Arc<dyn TaskStore>,
    /// The API.
    pub client: Arc<Client>,
    /// How it behaves.
    pub settings: RunSettings,
    /// What is accepted.
    pub media: MediaSettings,
    /// A folder for passing files, which have no name in it.
    pub scratch: PathBuf,
    /// Its jobs.
    pub works: Vec<Work>,
    /// This process, registered already.
    pub worker: WorkerId,
    /// Where facts go.
    pub events: mpsc::Sender<RunEvent>,
    /// How it is stopped.
    pub stop: Stop,
    /// What a scan beside it adds.
    pub feed: watch::Receiver<Feed>,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Halts that stand and kept tasks from being sent.
    pub halts: Vec<(HaltScope, HaltReason)>,
    /// Everything kept failing on these.
    pub outages: Vec<Endpoint>,
    /// The queue could not be used.
    pub local: Option<QueueError>,
}

/// How often the process says that it lives, and looks for others that died.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How soon an endpoint whose halt was lifted goes on.
const RECHECK: Duration = Duration::from_secs(1);

/// Works until nothing is left to do, a halt stands, or somebody says stop.
///
/// # Errors
/// When the queue cannot be used from the start; later such errors are part of the outcome.
pub async fn run(run: Run) -> Result<Outcome, QueueError> {
    let recovered = run.store.sweep(now()).await?;
    if recovered.tasks > 0 {
        let told = RunEvent::TasksRecovered { tasks: recovered.tasks, failed: recovered.failed };
        let _ = run.events.send(told).await;
    }
    let alive = tokio::spawn(stay_alive(Arc::clone(&run.store), run.worker.clone(), run.events.clone()));
    let in_flight = Arc::new(AtomicU32::new(0));
    let stopping =
        stop_in_steps(run.stop.clone(), run.settings.grace, run.events.clone(), Arc::clone(&in_flight));
    let grace = tokio::spawn(stopping);
    let deadline = run.settings.deadline;
    if deadline.has_come() {
        run.stop.expire(); // before the first pool could begin anything
    }
    let keeping = tokio::spawn(deadline.keep(run.stop.clone()));
    let outcome = work_all(&run, &in_flight).await;
    alive.abort();
    grace.abort();
    keeping.abort();
    outcome
}

/// What the pools of a run have in common.
#[derive(Clone)]
struct Common {
    quota: Arc<Quota>,
    /// Requests under way on all endpoints.
    in_flight: Arc<AtomicU32>,
    /// One of them has stopped all endpoints.
    all_stopped: Arc<AtomicBool>,
}

async fn work_all(run: &Run, in_flight: &Arc<AtomicU32>) -> Result<Outcome, QueueError> {
    let mut works: BTreeMap<Endpoint, Vec<Arc<Work>>> = BTreeMap::new();
    for work in &run.works {
        let shared = Work {
            job: work.job.clone(),
            options: work.options.clone(),
            suspect: work.suspect.clone(),
            ..*work
        };
        works.entry(work.job.endpoint).or_default().push(Arc::new(shared));
    }
    let common = Common {
        quota: Arc::new(Quota::new(run.settings.limit)),
        in_flight: Arc::clone(in_flight),
        all_stopped: Arc::default(),
    };
    let mut ready = Vec::new();
    for (&endpoint, works) in &works {
        ready.push((endpoint, pool(run, endpoint, works.clone(), common.clone()).await?));
    }
    let mut pools = JoinSet::new();
    for (endpoint, pool) in ready {
        pools.spawn(async move { (endpoint, pool.run().await) });
    }
    let mut outcome = Outcome::default();
    let mut halted: BTreeMap<Endpoint, Vec<(HaltScope, HaltReason)>> = BTreeMap::new();
    loop {
        tokio::select! {
            ended = pools.join_next() => match ended {
                Some(Ok((endpoint, End::Halted(halts)))) => { halted.insert(endpoint, halts); }
                Some(Ok((endpoint, End::Outage))) => {
                    outcome.outages.push(endpoint);
                    if run.settings.watching {
                        run.stop.drain.cancel(); // the others have no end of their own
                    }
                }
                Some(Ok((_, End::Local(error)))) => outcome.local = Some(error),
                Some(Ok((_, End::Done | End::Stopped))) => {}
                Some(Err(panic)) => {
                    outcome.local = Some(QueueError::Bug(format!("a pool ended by a bug: {panic}")));
                    run.stop.drain.cancel();
                }
                None if halted.is_empty() => break,
                None => {}
            },
            () = tokio::time::sleep(RECHECK), if !halted.is_empty() && !pools.is_empty() => {}
        }
        if !run.stop.drain.is_cancelled() && outcome.local.is_none() && !halted.is_empty() {
            match lifted(run, &halted, &works, &common).await {
                Ok(again) => {
                    for (endpoint, pool) in again {
                        halted.remove(&endpoint);
                        pools.spawn(async move { (endpoint, pool.run().await) });
                    }
                }
                // Others have requests in flight, which are paid for: they end in order.
                Err(error) => {
                    outcome.local = Some(error);
                    run.stop.drain.cancel();
                }
            }
        }
        if pools.is_empty() {
            break;
        }
    }
    outcome.halts = halted.into_values().flatten().collect();
    outcome.halts.sort_unstable();
    outcome.halts.dedup();
    Ok(outcome)
}

/// How a budget ends a run.
const SPENT: (HaltScope, HaltReason) = (HaltScope::Everything, HaltReason::Budget);

/// New pools for endpoints whose halts are gone: another pool's probe may have lifted them, or the user has.
async fn lifted(
    run: &Run,
    halted: &BTreeMap<Endpoint, Vec<(HaltScope, HaltReason)>>,
    works: &BTreeMap<Endpoint, Vec<Arc<Work>>>,
    common: &Common,
) -> Result<Vec<(Endpoint, Pool)>, QueueError> {
    let open = run.store.halts(true, now()).await?;
    let stands =
        |endpoint: Endpoint| open.iter().any(|h| h.scope.covers(endpoint) && h.reason != HaltReason::Paused);
    // A budget that is used up stays so: nothing that happens in this run brings any of it back.
    let is_spent = |halts: &[(HaltScope, HaltReason)]| halts.contains(&SPENT);
    let halted = halted.iter().filter(|(_, halts)| !is_spent(halts)).map(|(endpoint, _)| *endpoint);
    let mut again = Vec::new();
    for endpoint in halted.filter(|e| !stands(*e)) {
        let pool = pool(run, endpoint, works[&endpoint].clone(), common.clone()).await?;
        again.push((endpoint, pool));
    }
    Ok(again)
}

async fn pool(
    run: &Run,
    endpoint: Endpoint,
    works: Vec<Arc<Work>>,
    common: Common,
) -> Result<Pool, QueueError> {
    let limit = run.settings.limit_of(endpoint);
    let limiter = run.store.set_ceiling(endpoint, limit.concurrent).await?;
    let usage = run.store.usage(endpoint, now().month()).await?;
    let pace = Pace::new(limit.concurrent, limiter.effective);
    let (events, telling) = telling::start(Arc::clone(&run.store), run.events.clone(), run.stop.clone());
    let (ends, ended) = mpsc::unbounded_channel();
    let bench = Bench {
        endpoint,
        store: Arc::clone(&run.store),
        client: Arc::clone(&run.client),
        policy: run.settings.retry.clone(),
        events,
        stop: run.stop.clone(),
        judge: Mutex::new(Judge::new(pace, usage.succeeded > 0)),
        raised_by: run.worker.to_string(),
        in_flight: common.in_flight,
        trouble: Mutex::default(),
        deck: Mutex::new(Deck::new(tokio::time::Instant::now(), limit.concurrent)),
        all_stopped: common.all_stopped,
        at_work: AtomicUsize::new(0),
        ends,
        job_deadline: run.settings.job_deadline,
        lengths: Lengths::new(limit.longest_ms, limiter.longest),
        media: run.media.clone(),
        scratch: run.scratch.as_path().into(),
        room: Arc::new(Semaphore::new(pieces::room())),
    };
    let setup = Setup {
        telling,
        ended,
        worker: run.worker.clone(),
        works,
        limit,
        budget: run.settings.budget,
        give_up_after: run.settings.give_up_after,
        probe_interval: run.settings.probe_interval,
        quota: common.quota,
        watching: run.settings.watching,
        feed: run.feed.clone(),
    };
    Ok(Pool::new(bench, setup))
}

async fn stay_alive(store: Arc<dyn TaskStore>, worker: WorkerId, events: mpsc::Sender<RunEvent>) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // In this order: what we said last tells a sweep that the clock was set back.
        let swept = store.sweep(now()).await;
        let beat = store.heartbeat(worker.clone(), now()).await;
        match (beat, swept) {
            (Ok(()), Ok(recovered)) if recovered.tasks > 0 => {
                let told = RunEvent::TasksRecovered { tasks: recovered.tasks, failed: recovered.failed };
                let _ = events.send(told).await;
            }
            (Ok(()), Ok(_)) => {}
            // Liveness is proven by the lock; a missed beat only makes `status` look old.
            (Err(error), _) | (_, Err(error)) => tracing::warn!(%error, "the heartbeat was not written"),
        }
    }
}

/// Tells of the steps of stopping as they come, and takes the second one itself when the grace is over.
async fn stop_in_steps(
    stop: Stop,
    grace: Duration,
    events: mpsc::Sender<RunEvent>,
    in_flight: Arc<AtomicU32>,
) {
    stop.drain.cancelled().await;
    let over = Instant::now() + grace;
    let tell = |grace| {
        let in_flight = in_flight.load(Ordering::Relaxed);
        // Not waited for: a reader of events that hangs must not keep the run from ending.
        let _ = events.try_send(RunEvent::Draining { in_flight, grace, why: stop.why() });
    };
    tell(grace);
    let insisted = async {
        if stop.why() != Stopping::Signal {
            stop.asked.cancelled().await;
            tell(over.saturating_duration_since(Instant::now()));
        }
        stop.abort.cancelled().await;
    };
    let _ = tokio::time::timeout_at(over, insisted).await;
    let _ = events.try_send(RunEvent::Aborting { in_flight: in_flight.load(Ordering::Relaxed) });
    stop.abort.cancel();
}

/// The dice of a run, 0..=1.
fn dice() -> f64 {
    fastrand::f64()
}
