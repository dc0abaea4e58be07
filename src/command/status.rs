//! `status`: where things stand, read from the queue; works while a run goes on elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::console::Console;
use super::context::{Context, now};
use super::exit::Exit;
use super::slots::LedgerFile;
use crate::config::Overrides;
use crate::queue::{Budget, Halt, Tally, Usage, WorkerRow};
use crate::report::{Column, Ledger, Table, apart, audio, bytes, count, plural, span};
use crate::run;
use crate::task::{Cause, Endpoint, Filter, Job, Money, TaskState, Timestamp};

/// Say where things stand
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Again every two seconds, until it is stopped
    #[arg(long)]
    pub(super) watch: bool,
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Runs the verb.
pub(super) async fn status(args: &StatusArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let context = Context::open(overrides).await?;
    loop {
        let standing = Standing::read(&context).await?;
        if args.json {
            console.say(&standing.to_json().to_string());
        } else {
            standing.tell(console);
        }
        if !args.watch {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    context.store.close().await;
    Ok(Exit::Done)
}

struct Standing {
    jobs: Vec<Job>,
    tallies: Vec<Tally>,
    endpoints: Vec<EndpointStanding>,
    /// Made with other options than hold now, by job.
    stale: Vec<Tally>,
    halts: Vec<Halt>,
    budget: Option<Budget>,
    workers: Vec<WorkerRow>,
    /// Of the run that wrote it down last, which may be going on.
    ledger: Option<Ledger>,
}

struct EndpointStanding {
    endpoint: Endpoint,
    limiter: crate::queue::LimiterState,
    usage: crate::queue::Usage,
    /// How much audio a request holds, as the endpoint has shown.
    learned_ms: Option<u64>,
}

impl Standing {
    async fn read(context: &Context) -> Result<Self> {
        let store = &context.store;
        let jobs = context.all_jobs().await?;
        let mut used: Vec<Endpoint> = jobs.iter().map(|j| j.endpoint).collect();
        used.sort_unstable();
        used.dedup();
        let mut endpoints = Vec::new();
        for endpoint in used {
            let limiter = store.limiter(endpoint).await?;
            let usage = store.usage(endpoint, now().month()).await?;
            let said_ms = context.config.run.limit_of(endpoint).longest_ms;
            let learned_ms = run::terms(said_ms, limiter.longest).learned_ms;
            endpoints.push(EndpointStanding { endpoint, limiter, usage, learned_ms });
        }
        Ok(Standing {
            jobs,
            tallies: store.tallies().await?,
            stale: store.tallies_where(Filter { stale: true, ..Filter::default() }, now()).await?,
            endpoints,
            halts: store.halts(true, now()).await?,
            budget: store.budget().await?,
            workers: store.workers(5).await?,
            ledger: LedgerFile::in_folder(&context.config.state_dir).read(),
        })
    }

    fn sum(&self, job: &Job, state: TaskState, refused: Option<bool>) -> (u64, u64) {
        self.tallies
            .iter()
            .filter(|t| t.job == job.id && t.state == state)
            .filter(|t| refused.is_none_or(|r| t.cause.is_some_and(Cause::is_refusal) == r))
            .fold((0, 0), |sum, t| (sum.0 + t.tasks, sum.1 + t.bytes))
    }

    fn stale_of(&self, job: &Job) -> u64 {
        self.stale.iter().filter(|tally| tally.job == job.id).map(|tally| tally.tasks).sum()
    }

    fn tell(&self, console: &Console) {
        let mut table = Table::new([
            Column::name("job"),
            Column::left("endpoint"),
            Column::right("queued"),
            Column::right("size"),
            Column::right("running"),
            Column::right("succeeded"),
            Column::right("failed"),
            Column::right("refused"),
            Column::right("cancelled"),
        ]);
        for job in &self.jobs {
            let queued = self.sum(job, TaskState::Queued, None);
            table.row([
                job.name.clone(),
                job.endpoint.to_string(),
                count(queued.0),
                bytes(queued.1),
                count(self.sum(job, TaskState::Running, None).0),
                count(self.sum(job, TaskState::Succeeded, None).0),
                count(self.sum(job, TaskState::Failed, Some(false)).0),
                count(self.sum(job, TaskState::Failed, Some(true)).0),
                count(self.sum(job, TaskState::Cancelled, None).0),
            ]);
        }
        console.say_table(&table);
        for line in self.lines() {
            console.say(&line);
        }
    }

    fn lines(&self) -> Vec<String> {
        let at = now();
        let mut lines = Vec::new();
        for e in &self.endpoints {
            let mut line = format!("{}: ", e.endpoint);
            line += &match e.limiter.ceiling {
                0 => "never run".to_owned(),
                ceiling => format!("{} of {ceiling} slots in use", e.limiter.busy),
            };
            if e.limiter.ceiling > 0 && e.limiter.effective < e.limiter.ceiling {
                line += &format!(", {} at most for now", e.limiter.effective);
            }
            if let Some(until) = e.limiter.paused_until.filter(|until| *until > at) {
                line += &format!(", paused for {}", span(until.since(at)));
            }
            if let Some(ms) = e.learned_ms {
                line += &format!(", a request holds {} since it ran out of time over more", audio(ms));
            }
            line += &format!(", {} billed in {}", audio(e.usage.billed_ms), at.month());
            line += &reconciled(&e.usage);
            if e.usage.unknown > 0 {
                let tries = plural(e.usage.unknown, "try", "tries");
                line += &format!(", {tries} perhaps billed without a result ({})", audio(e.usage.unknown_ms));
            }
            lines.push(line);
        }
        if let Some(budget) = &self.budget {
            lines.push(of_budget(budget));
        }
        for halt in &self.halts {
            let until = halt.until.map_or(String::new(), |until| format!(", until {until}"));
            lines.push(format!(
                "halted: {}: {}{until} ({}); voxbatch halts clear {}",
                halt.scope,
                halt.reason.says(),
                halt.evidence,
                halt.id
            ));
        }
        for job in &self.jobs {
            let tasks = self.stale_of(job);
            if tasks > 0 {
                let results = plural(tasks, "result was", "results were");
                lines.push(format!(
                    "{}: {results} made with other options than hold now; to send them again: voxbatch retry --where 'job:{} stale'",
                    job.name, job.name
                ));
            }
        }
        for (cause, tasks) in self.failures() {
            lines.push(format!("failed: {} {}", count(tasks), cause.says()));
        }
        lines.push(match self.workers.iter().find(|w| w.alive) {
            Some(w) => {
                let seen = span(at.since(w.beat_at));
                format!("a run is going on: pid {} on {}, last heard of {seen} ago", w.pid, w.host)
            }
            None => "no run is going on; start one with: voxbatch run".to_owned(),
        });
        if let Some((ledger, used)) = self.ledger.as_ref().and_then(|ledger| Some((ledger, ledger.text()?))) {
            let ago = span(at.since(Timestamp(ledger.at_ms)));
            lines.push(match self.is_live(ledger) {
                true => format!("that run, {ago} ago: {used}"),
                false => format!("the last run, until {ago} ago: {used}"),
            });
        }
        lines
    }

    fn is_live(&self, ledger: &Ledger) -> bool {
        self.workers.iter().any(|w| w.alive && w.id.0 == ledger.run)
    }

    fn failures(&self) -> BTreeMap<Cause, u64> {
        let mut by = BTreeMap::new();
        for tally in self.tallies.iter().filter(|t| t.state == TaskState::Failed) {
            if let Some(cause) = tally.cause {
                *by.entry(cause).or_default() += tally.tasks;
            }
        }
        by
    }

    fn to_json(&self) -> Value {
        let jobs: Vec<Value> = self
            .jobs
            .iter()
            .map(|job| {
                let one = |state, refused| self.sum(job, state, refused).0;
                json!({
                    "job": job.name, "endpoint": job.endpoint.name(),
                    "queued": one(TaskState::Queued, None),
                    "queued_bytes": self.sum(job, TaskState::Queued, None).1,
                    "running": one(TaskState::Running, None),
                    "succeeded": one(TaskState::Succeeded, None),
                    "failed": one(TaskState::Failed, Some(false)),
                    "refused": one(TaskState::Failed, Some(true)),
                    "cancelled": one(TaskState::Cancelled, None),
                    "stale": self.stale_of(job),
                })
            })
            .collect();
        let endpoints: Vec<Value> = self
            .endpoints
            .iter()
            .map(|e| {
                json!({
                    "endpoint": e.endpoint.name(), "limit": e.limiter.ceiling, "effective": e.limiter.effective,
                    "in_use": e.limiter.busy, "learned_max_ms": e.learned_ms, "paused_until": e.limiter.paused_until.map(|t| t.to_string()),
                    "month": now().month().to_string(), "billed_ms": e.usage.billed_ms,
                    "maybe_billed": e.usage.unknown, "maybe_billed_ms": e.usage.unknown_ms,
                    "measured_ms": e.usage.measured_ms, "cost_usd": e.usage.cost.dollars(),
                })
            })
            .collect();
        let failures: serde_json::Map<_, _> =
            self.failures().into_iter().map(|(c, n)| (c.word().to_owned(), n.into())).collect();
        json!({
            "v": 1, "time": now().to_string(), "jobs": jobs, "endpoints": endpoints, "failures": failures,
            "halts": self.halts.iter().map(super::halts::as_object).collect::<Vec<_>>(),
            "budget": self.budget.map(|b| json!({
                "since": b.begun_at.to_string(), "spent_ms": b.spent.audio_ms, "limit_ms": b.limit.audio_ms,
                "spent_usd": b.spent.cost.dollars(), "limit_usd": b.limit.cost.map(Money::dollars),
            })),
            "running": self.workers.iter().any(|w| w.alive),
            "slots": self.ledger.as_ref().map(|ledger| json!({
                "run": ledger.run, "time": Timestamp(ledger.at_ms).to_string(), "live": self.is_live(ledger),
                "of": ledger.to_json(),
            })),
        })
    }
}

/// What it costs, and how far what was billed is from what was measured.
fn reconciled(usage: &Usage) -> String {
    let mut text = String::new();
    if usage.cost > Money(0) {
        text += &format!(" ({})", usage.cost);
    }
    if usage.measured_ms > 0 && usage.billed_ms != usage.measured_ms {
        let off = apart(usage.billed_ms, usage.measured_ms);
        text += &format!(", {off} against {} measured", audio(usage.measured_ms));
    }
    text
}

fn of_budget(budget: &Budget) -> String {
    let Budget { begun_at, limit, spent } = budget;
    let mut parts = Vec::new();
    if let Some(all) = limit.audio_ms {
        parts.push(format!("{} of {}", audio(spent.audio_ms), audio(all)));
    }
    if let Some(all) = limit.cost {
        parts.push(format!("{} of {all}", spent.cost));
    }
    format!(
        "budget: {} used since {begun_at}; from nothing with: voxbatch run --new-budget",
        parts.join(" and ")
    )
}
