//! `plan`: what a run would send, refuse and leave out, what that comes to in hours, money and time, and where the month or
//! a budget would end it. Looks at every file, sends nothing; the queue keeps no more of it than lengths.
//!
//! ```text
//! scan into nowhere → measure what a glance left open → the queue's own recordings → reckon (pure) → tell
//! ```
//!
//! A plan holds about a hundred bytes of each recording, unlike all else here, which does not grow with the queue.

mod channels;
mod reckon;
mod speed;
mod tell;
mod twins;

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use self::reckon::{EndpointPlan, Fates, JobPlan, Plan, Recording};
use self::speed::Speed;
use super::console::{Console, Progress};
use super::context::{Context, now};
use super::exit::Exit;
use super::feed::{self, Into, Kept, Scanned};
use super::measure;
use crate::config::{JobConfig, Overrides};
use crate::media::{self, Terms};
use crate::queue::{NewTask, Sighting, TaskRow};
use crate::report::count;
use crate::run;
use crate::scan;
use crate::task::{Channels, Endpoint, Filter, Job, Measured, TaskState};
use crate::velma::Options;

/// Say what a run would send, what that costs and how long it takes; nothing is sent
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Only this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Rows of the queue at once.
const PAGE: u32 = 2000;
/// Files that are measured between two words of progress.
const SOME: usize = 64;

/// Runs the verb.
pub(super) async fn plan(args: &PlanArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    let mut progress = console.progress();
    let mut jobs = Vec::new();
    let outputs = context.config.jobs.iter().map(|c| c.spec.output.clone());
    let skip = feed::skipped(outputs, &context.all_jobs().await?, &context.config.state_dir);
    for (config, job) in context.stated(&args.job)? {
        let kept = Mutex::new(Kept::default());
        let into = Into::Plan(&*context.store, job.map(|j| j.id), &kept);
        let told = async |sum: &Scanned| {
            progress.tell(&format!("{}: {} files", config.spec.name, count(sum.files)));
            ControlFlow::Continue(())
        };
        let scanned = feed::scan(config, &context.config.media, skip.clone(), into, told).await?;
        let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        jobs.push(look(&context, config, job, scanned, kept, &mut progress).await?);
    }
    let plan = Plan {
        endpoints: endpoints(&context, &jobs).await?,
        jobs,
        prices_as_of: context.config.prices.as_of.clone(),
        month: now().month(),
        budget: budget(&context).await?,
    };
    context.store.close().await;
    drop(progress);
    if args.json {
        console.say(&tell::as_object(&plan).to_string());
    } else {
        tell::tell(console, &plan);
    }
    Ok(Exit::Done)
}

/// All recordings of a job that would be sent, measured, in the order in which they would be.
async fn look(
    context: &Context,
    config: &JobConfig,
    job: Option<&Job>,
    scanned: Scanned,
    kept: Kept,
    progress: &mut Progress<'_>,
) -> Result<JobPlan> {
    let spec = &config.spec;
    let root = scan::root_of(&config.source, &config.scan)?.folder;
    let Kept { new, overtaken } = kept;
    let mut recordings = Vec::new();
    if let Some(job) = job {
        let told = |done| progress.tell(&format!("{}: {} counted through", spec.name, count(done)));
        measure::job(&context.store, job, told).await?;
        let rows = queued(context, job).await?;
        let waiting = rows.into_iter().filter(|row| !overtaken.contains(&row.path));
        recordings.extend(waiting.filter_map(of_row));
    }
    let (told, open): (Vec<_>, Vec<_>) = new.into_iter().partition(|task| task.measured.is_some());
    recordings.extend(told.into_iter().filter_map(|task| task.measured.map(|m| of_found(task, m))));
    let (mut open, mut done) = (open.into_iter().peekable(), 0);
    while open.peek().is_some() {
        let some: Vec<(Sighting, NewTask)> = open.by_ref().take(SOME).map(|t| (sighting(&t), t)).collect();
        done += some.len() as u64;
        let measured = measure::files(root.clone(), some, |(file, _)| file).await?;
        recordings.extend(measured.into_iter().map(|((_, task), measured)| of_found(task, measured)));
        progress.tell(&format!("{}: {} counted through", spec.name, count(done)));
    }
    recordings.sort_by_key(|r| (spec.order.rank(r.size_bytes, r.modified_ns), r.turn));
    let compared = |done| {
        progress.tell(&format!("{}: {} files of the same size compared", spec.name, count(done)));
    };
    for twin in twins::among(root.clone(), &recordings, compared).await? {
        recordings[twin].repeats = true;
    }
    let hears_voices = Options::parse(spec.endpoint, &spec.options)?.hears_voices();
    let terms = Terms { channels: config.channels, hears_voices, ..terms(context, spec.endpoint).await? };
    // What no request takes as it is goes other ways with two channels than with one.
    let (apart, large) = (config.channels == Channels::Split, context.config.media.largest(spec.endpoint));
    recordings.iter_mut().for_each(|recording| recording.apart = apart);
    let asked = recordings.iter_mut().filter(|recording| apart || recording.size_bytes > large);
    let told = |done| progress.tell(&format!("{}: channels of {} looked up", spec.name, count(done)));
    channels::look_up(root, asked.collect(), told).await?;
    let mut plan = JobPlan {
        name: spec.name.clone(),
        endpoint: spec.endpoint,
        rate: context.config.prices.rate(spec.endpoint, &spec.options),
        scanned,
        fates: Fates::default(),
        recordings,
        pays_once: context.config.run.reuse,
        longest_ms: terms.longest_ms(spec.endpoint).filter(|_| media::can_be_split(spec.endpoint)),
    };
    plan.fates = reckon::fates(plan.sent(), spec.endpoint, &context.config.media, terms);
    Ok(plan)
}

/// How much audio a request may hold, as a run would find it.
async fn terms(context: &Context, endpoint: Endpoint) -> Result<Terms> {
    let longest_ms = context.config.run.limit_of(endpoint).longest_ms;
    let known = context.store.limiter(endpoint).await?.longest;
    Ok(run::terms(longest_ms, known))
}

/// What the queue has to send of a job, and what is being sent.
async fn queued(context: &Context, job: &Job) -> Result<Vec<TaskRow>> {
    let filter = Filter {
        states: vec![TaskState::Queued, TaskState::Running],
        jobs: vec![job.name.clone()],
        ..Filter::default()
    };
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = context.store.tasks(filter.clone(), after, PAGE, now()).await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|row| row.id);
        rows.extend(page);
        if !full {
            return Ok(rows);
        }
    }
}

fn of_row(row: TaskRow) -> Option<Recording> {
    Some(Recording {
        format: row.format.as_deref().and_then(|word| word.parse().ok()),
        size_bytes: row.size_bytes,
        modified_ns: row.modified_ns,
        turn: row.id.0,
        measured: row.measured?,
        channels: None,
        apart: false,
        own: row.metadata.options,
        path: row.path,
        repeats: false,
    })
}

/// Whoever is new comes behind all that are known.
fn of_found(task: NewTask, measured: Measured) -> Recording {
    Recording {
        format: task.format.and_then(|word| word.parse().ok()),
        size_bytes: task.size_bytes,
        modified_ns: task.modified_ns,
        turn: i64::MAX,
        measured,
        channels: None,
        apart: false,
        own: task.metadata.options,
        path: task.path,
        repeats: false,
    }
}

fn sighting(task: &NewTask) -> Sighting {
    let NewTask { path, size_bytes, modified_ns, .. } = task;
    let (path, metadata) = (path.clone(), Default::default()); // of no account where only the length is asked for
    Sighting { path, size_bytes: *size_bytes, modified_ns: *modified_ns, metadata }
}

async fn endpoints(context: &Context, jobs: &[JobPlan]) -> Result<Vec<EndpointPlan>> {
    let mut names: Vec<Endpoint> = jobs.iter().map(|job| job.endpoint).collect();
    names.sort_unstable();
    names.dedup();
    let known = context.all_jobs().await?;
    let mut endpoints = Vec::new();
    for endpoint in names {
        let mut past = Vec::new();
        for job in known.iter().filter(|job| job.endpoint == endpoint) {
            past.extend(context.store.speeds(job.id, reckon::PAST).await?);
        }
        let usage = context.store.usage(endpoint, now().month()).await?;
        let limit = context.config.run.limit_of(endpoint);
        endpoints.push(EndpointPlan { endpoint, limit, usage, speed: Speed::of(endpoint, &past) });
    }
    Ok(endpoints)
}

/// What is left of a budget, if one is set.
async fn budget(context: &Context) -> Result<Option<reckon::Left>> {
    let limit = context.config.run.budget;
    if limit.is_none() {
        return Ok(None);
    }
    let spent = context.store.budget().await?.map(|b| b.spent).unwrap_or_default();
    Ok(Some(reckon::Left::of(limit, spent)))
}
