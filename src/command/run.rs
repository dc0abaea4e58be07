//! `run`: scan, work the queue, keep the files in step, tell about it, and end with a code. The wiring.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::audit::{Audit, of_scan};
use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::feed::{self, Into};
use super::measure;
use super::presets;
use super::signals::Signals;
use super::slots::LedgerFile;
use super::torn;
use crate::audit::{Facts, Kind};
use crate::config::{JobConfig, Overrides};
use crate::event::RunEvent;
use crate::outputs::{OutputError, OutputSettings, Projector};
use crate::queue::{QueueError, TaskStore, WorkerRow};
use crate::report::{OutputFile, ProgressMode, Reporter, RunStats, StopReason, Summary};
use crate::run::{self, Feed, Outcome, Run, Stop, Work};
use crate::scan;
use crate::task::{HaltReason, HaltScope, Job, TaskState, WorkerId};
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
    /// Send the first N recordings only: try before you commit
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
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

/// Runs the verb.
pub(super) async fn run(args: &RunArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::with(super::context::load(overrides)?).await?;
    let exit = run_in(&context, args, console).await;
    context.store.close().await;
    exit
}

/// Runs in a context that is open already.
pub(super) async fn run_in(context: &Context, args: &RunArgs, console: &Console) -> Result<Exit> {
    let (configs, jobs): (Vec<JobConfig>, Vec<Job>) = context
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
    for config in &configs {
        scan::check_globs(&config.scan)?;
        scan::root_of(&config.source, &config.scan)?;
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
    };
    let exit = session.run(projectors).await;
    if let Some(clearing) = clearing {
        let _ = clearing.await;
    }
    let code = exit.as_ref().map_or(Exit::Bug, |e| *e).code();
    audit.run_ended(&*context.store, code).await;
    if let Err(error) = context.store.retire(worker, i32::from(code), now()).await {
        tracing::warn!(%error, "the end of the run was not written down");
    }
    exit
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

/// Whether nobody waits for more: the run was stopped, or stands before a halt.
fn is_over(feed: &watch::Sender<Feed>, stop: &Stop) -> bool {
    stop.drain.is_cancelled() || feed.is_closed()
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
}

impl Session<'_> {
    async fn run(self, projectors: Vec<Projector>) -> Result<Exit> {
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

        let projecting = Projecting::start(projectors, Arc::clone(&failures), stop.clone());
        let works = self.works()?;
        let measuring = measure::beside(Arc::clone(&self.context.store), self.jobs.clone(), fed.clone());
        let measuring = tokio::spawn(measuring);
        let running = run::run(Run {
            store: Arc::clone(&self.context.store),
            client: Arc::clone(&self.client),
            settings: run::RunSettings { limit: self.args.limit, ..self.context.config.run.clone() },
            media: self.context.config.media.clone(),
            works,
            worker: self.worker.clone(),
            events: events.clone(),
            stop: stop.clone(),
            feed: fed,
        });
        let scanning = self.scan(feed, &events, &stop);
        let (outcome, scanned) = tokio::join!(running, scanning);
        measuring.abort(); // nobody waits for it
        let finished = projecting.finish().await;
        let outcome = outcome?;
        drop(events);
        let signal = signals.exit();
        drop(signals); // the last senders go, so that the loop of events ends
        let reporter = telling.await.context("the loop of events ended by a bug")?;
        self.close(outcome, scanned, finished, signal, reporter).await
    }

    fn reporter(&self) -> Reporter {
        let mode = if self.args.json { ProgressMode::Json } else { self.args.progress };
        let interval = self.args.interval.map(Duration::from_secs);
        self.console.reporter(mode, interval, self.context.config.log.paths)
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
                Ok(Work { job: job.clone(), options, settle, reuse, suspect })
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
        Ok(())
    }

    /// Scans one job after another while the run works beside it, and no longer than that.
    async fn scan(
        &self,
        feed: watch::Sender<Feed>,
        events: &mpsc::Sender<RunEvent>,
        stop: &Stop,
    ) -> Result<feed::Scanned> {
        let mut sum = feed::Scanned::default();
        let result = async {
            for config in &self.configs {
                if self.args.no_scan || is_over(&feed, stop) {
                    break;
                }
                let scanned = self.scan_job(config, &feed, events, stop).await?;
                sum.merge(scanned);
            }
            anyhow::Ok(())
        }
        .await;
        feed.send_modify(|f| f.done = true);
        if result.is_err() {
            stop.drain.cancel();
        }
        result.map(|()| sum)
    }

    async fn scan_job(
        &self,
        config: &JobConfig,
        feed: &watch::Sender<Feed>,
        events: &mpsc::Sender<RunEvent>,
        stop: &Stop,
    ) -> Result<feed::Scanned> {
        let Some(job) = self.jobs.iter().find(|j| j.name == config.spec.name) else {
            return Ok(feed::Scanned::default());
        };
        let told = |scanned: &feed::Scanned, done: bool| RunEvent::Scanned {
            job: job.name.clone(),
            new: scanned.enqueued.new + scanned.enqueued.reopened,
            new_bytes: scanned.enqueued.new_bytes,
            refused: scanned.enqueued.refused,
            known: scanned.enqueued.known,
            done,
        };
        let outputs = self.context.config.jobs.iter().map(|c| c.spec.output.clone());
        let known = self.context.all_jobs().await?;
        let skip = feed::skipped(outputs, &known, &self.context.config.state_dir);
        let into = Into::Queue(&*self.context.store, job.id);
        let scanned = feed::scan(config, &self.context.config.media, skip, into, async |sum| {
            feed.send_modify(|f| f.new += 1);
            let _ = events.send(told(sum, false)).await;
            if is_over(feed, stop) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        let _ = events.send(told(&scanned, true)).await;
        self.audit.note(Kind::Scan, of_scan(job.id, &scanned.enqueued)).await;
        self.console.scan_notes(&job.name, &scanned);
        Ok(scanned)
    }

    /// Says how it ended and finds the code for it.
    async fn close(
        &self,
        outcome: Outcome,
        scanned: Result<feed::Scanned>,
        finished: Result<Vec<OutputFile>, OutputError>,
        signal: Option<Exit>,
        reporter: Reporter,
    ) -> Result<Exit> {
        let stats = reporter.stats().clone();
        let failed = stats.failed() + stats.refused();
        let mut exits = vec![Exit::Done];
        exits.extend(signal);
        exits.extend(outcome.halts.iter().filter_map(|(_, reason)| Exit::of_halt(*reason)));
        exits.extend((!outcome.outages.is_empty()).then_some(Exit::Unusable));
        exits.extend((failed > 0).then_some(Exit::SomeFailed));
        let left = self.left().await?;
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
            self.tell_summary(stats, stop, exit, outputs, left);
        }
        Ok(exit)
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

/// Keeps the files of all jobs in step with the queue while a run goes on.
struct Projecting {
    done: watch::Sender<bool>,
    task: JoinHandle<Result<Vec<OutputFile>, OutputError>>,
}

/// How soon a result is in its files, about.
const PROJECT_EVERY: Duration = Duration::from_millis(500);
/// How soon a failure is, about: these files are replaced whole.
const FAILURES_EVERY: u32 = 10;

impl Projecting {
    fn start(projectors: Vec<Projector>, failures: Arc<AtomicU64>, stop: Stop) -> Self {
        let (done, over) = watch::channel(false);
        let task = tokio::spawn(async move {
            let result = project(projectors, failures, over).await;
            if result.is_err() {
                stop.drain.cancel(); // what cannot be written out should not go on to be paid for
            }
            result
        });
        Projecting { done, task }
    }

    async fn finish(self) -> Result<Vec<OutputFile>, OutputError> {
        let _ = self.done.send(true);
        match self.task.await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

async fn project(
    mut projectors: Vec<Projector>,
    failures: Arc<AtomicU64>,
    mut over: watch::Receiver<bool>,
) -> Result<Vec<OutputFile>, OutputError> {
    let mut told = 0;
    let mut round = 0u32;
    while !*over.borrow() {
        let _ = tokio::time::timeout(PROJECT_EVERY, over.changed()).await;
        round = round.wrapping_add(1);
        let seen = failures.load(Ordering::Relaxed);
        for projector in &mut projectors {
            projector.advance().await?;
            if seen != told && round.is_multiple_of(FAILURES_EVERY) {
                projector.write_failures().await?;
            }
        }
        if round.is_multiple_of(FAILURES_EVERY) {
            told = seen;
        }
    }
    let mut files = Vec::new();
    for projector in &mut projectors {
        let summary = projector.finish().await?;
        if !summary.complete {
            tracing::warn!("another process has the output files; it completes them, or the next run does");
        }
        for file in summary.files.iter().filter(|f| f.rendered_anew) {
            tracing::warn!(output = %file.path.display(), "rendered anew from the queue");
        }
        files.extend(
            summary
                .files
                .into_iter()
                .filter(|f| f.records > 0)
                .map(|f| OutputFile { path: shorten(f.path).display().to_string(), records: f.records }),
        );
    }
    Ok(files)
}

/// A path as the user would type it from here.
pub(super) fn shorten(path: PathBuf) -> PathBuf {
    match std::env::current_dir() {
        Ok(here) => path.strip_prefix(&here).map(PathBuf::from).unwrap_or(path),
        Err(_) => path,
    }
}
