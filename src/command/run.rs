//! `run`: scan, work the queue, keep the files in step, tell about it, and end with a code. The wiring.
//!
//! Longer than 500 lines by intent: the wiring of a run is read from its beginning to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::audit::Audit;
use super::console::Console;
use super::context::{Context, now};
use super::deadline::DeadlineArgs;
use super::exit::Exit;
use super::measure;
use super::pings::Pings;
use super::presets;
use super::problem::UsageError;
use super::projecting::Projecting;
use super::scanning::{Scanning, Scans};
use super::signals::Signals;
use super::slots::LedgerFile;
use super::torn;
use crate::audit::{Facts, Kind};
use crate::config::{Config, JobConfig, Overrides};
use crate::event::RunEvent;
use crate::outputs::{OutputError, OutputSettings, Projector};
use crate::queue::{QueueError, TaskStore, WorkerRow};
use crate::report::{OutputFile, ProgressMode, Reporter, RunStats, StopReason, Summary};
use crate::run::{self, Deadline, Feed, Outcome, Run, Stop, Work};
use crate::scan;
use crate::task::{HaltReason, HaltScope, Job, Order, TaskState, WorkerId};
use crate::velma::{Client, Options};

/// Scan the sources and send what is queued, until the queue is empty
#[derive(Debug, Default, clap::Args)]
pub(super) struct RunArgs {
    /// Only this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// Do not look for new files first
    #[arg(long)]
    pub(super) no_scan: bool,
    /// Go on looking for new files until it is stopped, or its deadline comes
    #[arg(long, conflicts_with_all = ["no_scan", "error_if_empty"])]
    pub(super) watch: bool,
    /// Which recording goes first in this run, instead of the jobs' `order`
    #[arg(long, value_name = "HOW", value_parser = order())]
    pub(super) order: Option<Order>,
    /// Send the first N recordings only: try before you commit
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Count --budget-hours and --budget-cost from nothing; without it a run goes on counting where the last one was
    #[arg(long)]
    pub(super) new_budget: bool,
    #[command(flatten)]
    pub(super) deadline: DeadlineArgs,
    /// Exit with 9 when there is nothing to do
    #[arg(long)]
    pub(super) error_if_empty: bool,
    /// Events as JSON Lines on stdout
    #[arg(long)]
    pub(super) json: bool,
    /// How to show progress: auto, live, lines, json, none
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) progress: ProgressMode,
    /// Seconds between two status lines [default: 60, with --json 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) interval: Option<u64>,
}

fn order() -> impl TypedValueParser<Value = Order> {
    PossibleValuesParser::new(Order::ALL.map(Order::word)).try_map(|word| word.parse::<Order>())
}

/// Runs the verb.
pub(super) async fn run(args: &RunArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let mut config = super::context::load(overrides)?;
    if let Some(order) = args.order {
        let chosen = |job: &&mut JobConfig| args.job.is_empty() || args.job.contains(&job.spec.name);
        config.jobs.iter_mut().filter(chosen).for_each(|job| job.spec.order = order);
    }
    let pings = Pings::of(&config)?;
    let ended = async {
        let context = Context::with(config).await?;
        let ended = run_in(&context, args, console, &pings).await;
        context.store.close().await;
        ended
    }
    .await;
    pings.end(&ended).await;
    Ok(ended?.exit)
}

/// How a run ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) run: WorkerId,
    pub(super) stop: StopReason,
    pub(super) stats: RunStats,
    /// Recordings of its jobs that are still in the queue.
    pub(super) left: u64,
}

/// Runs in a context that is open already.
pub(super) async fn run_in(
    context: &Context,
    args: &RunArgs,
    console: &Console,
    pings: &Pings,
) -> Result<Ended> {
    let deadline = args.deadline.beginning(now())?;
    let (mut configs, jobs): (Vec<JobConfig>, Vec<Job>) = context
        .stated(&args.job)?
        .into_iter()
        .filter_map(|(config, job)| Some((config.clone(), job?.clone())))
        .unzip();
    for notice in &context.config.notices {
        console.note(notice);
    }
    // Whatever can be wrong is found out before anything is sent.
    let endpoints: Vec<_> = jobs.iter().map(|job| job.endpoint).collect();
    let client = Arc::new(Client::new(context.config.velma_for(&endpoints)?)?);
    for config in &mut configs {
        config.scan.settle_by_change = args.watch;
        scan::check_globs(&config.scan)?;
        scan::root_of(&config.source, &config.scan)?;
    }
    let budget = context.config.run.budget;
    check_prices(&context.config, &configs)?;
    if args.new_budget && budget.is_none() {
        let what = "--new-budget counts a budget from nothing, and there is none";
        let mend = "voxbatch run --budget-hours 10 --new-budget";
        return Err(UsageError::new(what).mend(mend, "for example").into());
    }
    let stopped = match args.limit {
        Some(0) => None, // nothing is going to be sent
        _ => presets::check(&jobs, &client, console).await?,
    };
    let began = SystemTime::now();
    let alone = !context.store.workers(50).await?.iter().any(|w| w.alive);
    // Beside the run: there can be as many files as there are recordings.
    let clearing = alone.then(|| {
        let jobs = jobs.clone();
        tokio::task::spawn_blocking(move || jobs.iter().for_each(|job| torn::remove(job, began)))
    });
    let mut projectors = Vec::new();
    for (job, config) in jobs.iter().zip(&configs) {
        // Before its tables get their header.
        context.store.learn_fields(job.id, scan::known_fields(&config.source, &config.scan)?).await?;
        let settings = OutputSettings { list: config.outputs.clone(), ..context.config.outputs.clone() };
        projectors.push(Projector::open(Arc::clone(&context.store), job.clone(), settings).await?);
    }

    let worker = WorkerId(Uuid::now_v7().to_string());
    let audit = Audit::of_run(&context.config, worker.clone());
    // Before the queue knows of the run: no run that it knows is missing from the log.
    audit.write(Kind::RunStarted, Facts::default().count("jobs", jobs.len() as u64)).await?;
    register(&*context.store, worker.clone()).await?;
    if !budget.is_none() {
        context.store.set_budget(budget, args.new_budget, now()).await?;
    }
    if let Some(order) = stopped {
        presets::stop(order, &*context.store, &worker, &audit).await?;
    }
    let session = Session {
        context,
        args,
        console,
        jobs,
        configs,
        client,
        worker: worker.clone(),
        audit: audit.clone(),
        deadline,
    };
    // Before a scan nobody knows.
    let left = if args.no_scan { session.left().await.ok() } else { None };
    pings.start(&worker, left);
    let ended = session.run(projectors).await;
    if let Some(clearing) = clearing {
        let _ = clearing.await;
    }
    let code = ended.as_ref().map_or(Exit::Bug, |ended| ended.exit).code();
    audit.run_ended(&*context.store, code).await;
    if let Err(error) = context.store.retire(worker, i32::from(code), now()).await {
        tracing::warn!(%error, "the end of the run was not written down");
    }
    ended
}

/// A budget in money that cannot be counted would be none.
fn check_prices(config: &Config, jobs: &[JobConfig]) -> Result<()> {
    for job in jobs.iter().filter(|_| config.run.budget.cost.is_some()) {
        let rate = config.prices.rate(job.spec.endpoint, &job.spec.options);
        let model = rate.per_hour.is_none().then(|| job.spec.endpoint.name());
        if let Some(name) = model.or(rate.unpriced.first().copied()) {
            let what = format!(
                "a budget in money needs a price for {name} (job {}), and none is known",
                job.spec.name
            );
            let mend = format!("{name} = 0.05");
            return Err(UsageError::new(what).mend(mend, "under [prices] in jobs.toml, for example").into());
        }
    }
    Ok(())
}

async fn register(store: &dyn TaskStore, id: WorkerId) -> Result<(), QueueError> {
    store
        .register(WorkerRow {
            id,
            host: super::audit::host(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now(),
            beat_at: now(),
            ended_at: None,
            exit_code: None,
            alive: true,
        })
        .await
}

struct Session<'a> {
    context: &'a Context,
    args: &'a RunArgs,
    console: &'a Console,
    jobs: Vec<Job>,
    configs: Vec<JobConfig>,
    client: Arc<Client>,
    worker: WorkerId,
    audit: Audit,
    deadline: Deadline,
}

impl Session<'_> {
    async fn run(self, projectors: Vec<Projector>) -> Result<Ended> {
        let (events, heard) = mpsc::channel(4096);
        let (feed, fed) = watch::channel(Feed::default());
        let stop = Stop::default();
        let signals = Signals::listen(stop.clone(), events.clone()).context("listen for signals")?;
        let failures = Arc::new(AtomicU64::new(0));
        let reporter = self.reporter();
        let ledger = LedgerFile::in_folder(&self.context.config.state_dir);
        let telling = tell(reporter, heard, Arc::clone(&failures), self.audit.clone(), ledger);
        let telling = tokio::spawn(telling);
        self.announce(&events).await?;

        let projecting = Projecting::start(projectors, Arc::clone(&failures), self.args.watch, stop.clone());
        let works = self.works()?;
        let measuring = measure::beside(Arc::clone(&self.context.store), self.jobs.clone(), fed.clone());
        let measuring = tokio::spawn(measuring).abort_handle();
        let run = Run {
            store: Arc::clone(&self.context.store),
            client: Arc::clone(&self.client),
            settings: run::RunSettings {
                limit: self.args.limit,
                deadline: self.deadline,
                watching: self.args.watch,
                ..self.context.config.run.clone()
            },
            media: self.context.config.media.clone(),
            scratch: self.context.config.state_dir.clone(),
            works,
            worker: self.worker.clone(),
            events: events.clone(),
            stop: stop.clone(),
            feed: fed,
        };
        let running = async {
            let outcome = run::run(run).await;
            measuring.abort(); // it listens to the scan, which ends when nobody does
            outcome
        };
        let scanning = Scanning {
            context: self.context,
            console: self.console,
            jobs: &self.jobs,
            configs: &self.configs,
            audit: &self.audit,
            events: &events,
            stop: &stop,
            feed,
        };
        let scanning = scanning.run(!self.args.no_scan, self.watch_interval());
        let (outcome, scanned) = tokio::join!(running, scanning);
        let finished = projecting.finish().await;
        let outcome = outcome?;
        drop(events);
        let signal = signals.exit();
        drop(signals); // the last senders go, so that the loop of events ends
        let reporter = telling.await.context("the loop of events ended by a bug")?;
        self.close(outcome, scanned, finished, signal, stop.is_expired(), reporter).await
    }

    fn reporter(&self) -> Reporter {
        let mode = if self.args.json { ProgressMode::Json } else { self.args.progress };
        let interval = self.args.interval.map(Duration::from_secs);
        self.console.reporter(mode, interval, self.context.config.log.paths)
    }

    fn watch_interval(&self) -> Option<Duration> {
        self.args.watch.then_some(self.context.config.run.watch_interval)
    }

    fn works(&self) -> Result<Vec<Work>> {
        self.jobs
            .iter()
            .map(|job| {
                let options = Options::parse(job.endpoint, &job.options)?;
                let config = self.configs.iter().find(|c| c.spec.name == job.name);
                let settle = config.map(|c| c.scan.settle).unwrap_or_default();
                let reuse = self.context.config.run.reuse;
                let suspect = self.context.config.run.suspect.clone();
                let price = self.context.config.prices.rate(job.endpoint, &job.options).per_hour;
                let channels = config.map(|c| c.channels).unwrap_or_default();
                let mounted = run::is_mount_point(&job.root);
                Ok(Work { job: job.clone(), options, price, settle, mounted, reuse, suspect, channels })
            })
            .collect()
    }

    async fn announce(&self, events: &mpsc::Sender<RunEvent>) -> Result<()> {
        let tallies = self.context.store.tallies().await?;
        let queued = tallies
            .iter()
            .filter(|t| t.state == TaskState::Queued) // what others hold is theirs, until they are found dead
            .filter(|t| self.jobs.iter().any(|j| j.id == t.job));
        let (tasks, bytes) = queued.fold((0, 0), |sum, t| (sum.0 + t.tasks, sum.1 + t.bytes));
        let mut endpoints: Vec<_> = self
            .jobs
            .iter()
            .map(|j| (j.endpoint, self.context.config.run.limit_of(j.endpoint).concurrent))
            .collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let started = RunEvent::RunStarted {
            worker: self.worker.clone(),
            base_url: self.context.config.api.base_url.clone(),
            endpoints,
            queued: tasks,
            queued_bytes: bytes,
        };
        let _ = events.send(started).await;
        if let Some(until) = self.deadline.moment(now()) {
            let _ = events.send(RunEvent::DeadlineSet { until }).await;
        }
        if let Some(interval) = self.watch_interval() {
            let _ = events.send(RunEvent::Watching { interval }).await;
        }
        Ok(())
    }

    /// Says how it ended and finds the code for it.
    async fn close(
        &self,
        outcome: Outcome,
        scanned: Result<Scans>,
        finished: Result<Vec<OutputFile>, OutputError>,
        signal: Option<Exit>,
        expired: bool,
        reporter: Reporter,
    ) -> Result<Ended> {
        let stats = reporter.stats().clone();
        let failed = stats.failed() + stats.refused();
        let mut exits = vec![Exit::Done];
        exits.extend(signal);
        exits.extend(outcome.halts.iter().filter_map(|(_, reason)| Exit::of_halt(*reason)));
        exits.extend((!outcome.outages.is_empty()).then_some(Exit::Unusable));
        exits.extend((failed > 0).then_some(Exit::SomeFailed));
        let left = self.left().await?;
        // A source that was not looked at to its end may hold more.
        let rest = left > 0 || scanned.as_ref().is_ok_and(|scans| !scans.complete);
        exits.extend((expired && rest).then_some(Exit::Deadline));
        let empty = stats.total() == 0 && left == 0 && outcome.halts.is_empty();
        exits.extend((empty && self.args.error_if_empty).then_some(Exit::Empty));
        let mut exit = Exit::worst(exits);

        let (outputs, unwritten) = match finished {
            Ok(outputs) => (outputs, None),
            Err(error) => (Vec::new(), Some(anyhow::Error::from(error))),
        };
        let trouble = outcome.local.map(anyhow::Error::from).or(unwritten).or_else(|| scanned.err());
        if let Some(error) = &trouble {
            let told = super::problem::of(error);
            // Something was sent by now: trouble with a source is trouble on this machine.
            let found = if told.exit == Exit::Usage { Exit::LocalState } else { told.exit };
            exit = Exit::worst([exit, found]);
            self.console.problem(&told.problem);
        }
        let limited = self.args.limit.is_some() && left > 0;
        let stop = stop_reason(exit, &outcome.halts, empty, limited);
        let stats = reporter.finish(now(), stop, exit.code());
        if !self.args.json {
            self.tell_summary(stats.clone(), stop, exit, outputs, left);
        }
        Ok(Ended { exit, run: self.worker.clone(), stop, stats, left })
    }

    fn tell_summary(
        &self,
        stats: RunStats,
        stop: StopReason,
        exit: Exit,
        outputs: Vec<OutputFile>,
        left: u64,
    ) {
        let summary = Summary {
            stats,
            now: now(),
            stop,
            exit_code: exit.code(),
            outputs,
            left: Some(left),
            probe_every: Some(self.context.config.run.probe_interval),
        };
        self.console.say(&summary.text(self.console.ascii()));
    }

    async fn left(&self) -> Result<u64, QueueError> {
        let tallies = self.context.store.tallies().await?;
        let open = |t: &&crate::queue::Tally| {
            matches!(t.state, TaskState::Queued | TaskState::Running)
                && self.jobs.iter().any(|j| j.id == t.job)
        };
        Ok(tallies.iter().filter(open).map(|t| t.tasks).sum())
    }
}

/// Why a run ended, in the summary's words.
fn stop_reason(exit: Exit, halts: &[(HaltScope, HaltReason)], empty: bool, limited: bool) -> StopReason {
    match exit {
        Exit::Interrupted | Exit::Terminated => StopReason::Signal,
        Exit::NoAccess | Exit::Limit => {
            let met = halts.iter().map(|(_, reason)| *reason).find(|r| Exit::of_halt(*r) == Some(exit));
            met.map_or(StopReason::Bug, StopReason::Halted)
        }
        Exit::Unusable => StopReason::Unusable,
        Exit::Deadline => StopReason::Deadline,
        Exit::LocalState | Exit::Usage => StopReason::LocalState,
        Exit::Bug => StopReason::Bug,
        _ if empty => StopReason::NothingToDo,
        _ if limited => StopReason::TaskLimit,
        _ => StopReason::QueueEmpty,
    }
}

/// The one loop that owns the live numbers.
async fn tell(
    mut reporter: Reporter,
    mut heard: mpsc::Receiver<RunEvent>,
    failures: Arc<AtomicU64>,
    audit: Audit,
    mut ledger: LedgerFile,
) -> Reporter {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            event = heard.recv() => match event {
                Some(event) => {
                    if matches!(event, RunEvent::TaskFailed { .. } | RunEvent::Scanned { .. } | RunEvent::TasksRecovered { .. }) {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                    reporter.event(&event, now());
                    audit.hear(&event).await;
                }
                None => break,
            },
            _ = tick.tick() => {
                reporter.tick(now());
                ledger.keep_now_and_then(reporter.stats(), now()).await;
            }
        }
    }
    ledger.keep(reporter.stats(), now()).await;
    reporter
}

/// A path as the user would type it from here.
pub(super) fn shorten(path: PathBuf) -> PathBuf {
    match std::env::current_dir() {
        Ok(here) => path.strip_prefix(&here).map(PathBuf::from).unwrap_or(path),
        Err(_) => path,
    }
}
