//! The rounds: start the real binary, do it harm, look at what it left, and go on. What is promised is held against
//! what the emulator saw and what stands in the files, never against what a run says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::child::{Child, Ended, Nursery};
use super::figures::Figures;
use super::plan::{JUMPS, Limit, Moment, Plan, When};
use super::search::Needles;
use super::workspace::{MODEL, OUTPUTS, SECRET_NAME, SLOTS, Workspace, doubles};
use crate::command::console::Console;
use crate::command::exit::Exit;
use crate::emulator::{Change, Emulator, Faults, Latency, ModelLimits, Report, Settings};

/// No wait of a round is longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a run may take that works a whole batch off.
const BATCH_PATIENCE: Duration = Duration::from_secs(120);
/// Rounds between two full looks.
const ROUNDS_OF_A_LEG: u64 = 10;
/// Runs that may be needed until nothing is left.
const RUNS_TO_SETTLE: u32 = 20;
/// The clock of this machine.
const RIGHT: &str = "+0d";
/// More than any run may use: whoever exceeds the limit is seen, not refused.
const EMULATOR_SLOTS: u32 = 64;

/// See the module.
pub(super) struct Chaos<'a> {
    pub(super) console: &'a Console,
    pub(super) emulator: Emulator,
    pub(super) workspace: Workspace,
    pub(super) nursery: Nursery,
    pub(super) needles: Needles,
    pub(super) dice: Rng,
    pub(super) batch: u64,
    pub(super) figures: Figures,
    pub(super) runs: u64,
}

/// A service with bad moments, 60 to 150 ms for each request.
pub(super) fn emulated(key: &str, seed: u64) -> Settings {
    let faults = Faults {
        seed,
        rate_429: 0.02,
        reset_before_body: 0.01,
        rate_503: 0.02,
        reset_after_body: 0.01,
        truncated_json: 0.01,
        ..Faults::default()
    };
    let latency = Latency { fixed: Duration::from_millis(50), scale: 1.0, ..Latency::default() };
    Settings {
        keys: vec![key.to_owned()],
        models: [(MODEL.to_owned(), limits(None))].into(),
        latency,
        faults,
        ..Settings::default()
    }
}

fn limits(monthly_hours: Option<f64>) -> ModelLimits {
    ModelLimits { concurrent: EMULATOR_SLOTS, monthly_hours, ..ModelLimits::default() }
}

impl Chaos<'_> {
    /// All rounds. What does not hold is in the figures; an error is trouble with the test itself.
    pub(super) async fn rounds(&mut self, rounds: u64) -> Result<()> {
        let started = Instant::now();
        let mut tries = 0;
        while self.figures.rounds < rounds && self.figures.broken.is_empty() {
            tries += 1;
            if tries > rounds * 4 + 20 {
                self.figures.breaks("runs ended before they could be killed, too often to go on");
                break;
            }
            let plan = Plan::draw(&mut self.dice, OUTPUTS);
            if !self.round(&plan).await.with_context(|| format!("do {plan:?}"))? {
                continue;
            }
            self.figures.rounds += 1;
            self.look()?;
            if self.figures.rounds.is_multiple_of(ROUNDS_OF_A_LEG) && self.figures.rounds < rounds {
                self.settle().await?;
                self.console.note(&self.figures.line(rounds));
            }
        }
        self.settle().await?;
        self.console.note(&self.figures.line(rounds));
        self.figures.took = started.elapsed();
        Ok(())
    }

    /// Whether a process was killed in it.
    async fn round(&mut self, plan: &Plan) -> Result<bool> {
        let done = self.workspace.results()?.times.len() as u64;
        if self.workspace.count().saturating_sub(done) < self.batch / 2 + u64::from(SLOTS) {
            self.workspace.add(self.batch)?;
        }
        if let Some(output) = plan.tear {
            self.figures.torn += u64::from(self.workspace.tear(output)?);
        }
        match plan.jump {
            Some((offset, When::Between)) => self.jump(offset)?,
            _ => self.set_clock(RIGHT)?,
        }
        let left = self.workspace.count() - done;
        let before = self.emulator.report();
        let mut runs = vec![self.run(plan.traced)?];
        if plan.pair {
            runs.push(self.run(plan.traced)?);
            self.figures.pairs += 1;
        }
        self.wait_for(plan.moment, &before, left, &mut runs).await?;
        if let Some((offset, When::Within)) = plan.jump {
            self.jump(offset)?;
        }
        if let Some(limit) = plan.limit {
            self.reach_limit(limit, &mut runs).await?;
        }
        if let Some(pause) = plan.freeze {
            self.figures.frozen += 1;
            runs[0].signal(Signal::STOP)?;
            tokio::time::sleep(pause).await;
            runs[0].signal(Signal::CONT)?;
        }
        if let Some(pause) = plan.terminate {
            self.figures.terminated += 1;
            runs[0].signal(Signal::TERM)?;
            tokio::time::sleep(pause).await;
        }
        let mut ends = Vec::new();
        for run in runs {
            ends.push(run.kill()?);
            if ends.len() == 1 && plan.pair {
                tokio::time::sleep(plan.apart).await;
            }
        }
        let killed = ends.iter().filter(|end| end.killed).count() as u64;
        self.figures.kills += killed;
        self.quiet().await?;
        for end in &ends {
            let mut fair = vec![Exit::Done, Exit::SomeFailed];
            fair.extend(plan.terminate.map(|_| Exit::Terminated));
            fair.extend(plan.limit.map(|_| Exit::Limit));
            self.look_at(end, &fair, plan.traced)?;
        }
        if plan.limit.is_some() {
            self.lift_limit(ends.iter().any(|end| end.code == Some(Exit::Limit.code().into()))).await?;
        }
        Ok(killed > 0)
    }

    fn jump(&mut self, offset: &str) -> Result<()> {
        self.figures.jumps = self.figures.jumps.map(|jumps| jumps + 1);
        self.set_clock(offset)
    }

    fn set_clock(&self, offset: &str) -> Result<()> {
        self.nursery.clock.as_ref().map_or(Ok(()), |clock| clock.set(offset)).context("set the clock")
    }

    fn run(&mut self, traced: bool) -> Result<Child> {
        self.figures.resumes = self.runs;
        self.runs += 1;
        let mut args = vec!["run", "--interval", "1", "--progress", "lines"];
        if traced {
            args.extend(["--log-level", "trace", "--log-paths", "hash"]);
            args.extend(self.runs.is_multiple_of(2).then_some("--json"));
        }
        self.nursery.start(&args).context("start a run")
    }

    async fn wait_for(&self, moment: Moment, before: &Report, left: u64, runs: &mut [Child]) -> Result<()> {
        let good = |report: &Report| report.statuses.get(&200).copied().unwrap_or_default();
        let (seen, answered) = (before.requests, good(before));
        let pause = match moment {
            Moment::Early(pause) => pause,
            Moment::Middle(pause) => {
                self.until(runs, |report| report.requests > seen).await?;
                pause
            }
            Moment::Late(pause) => {
                let nearly = answered + left.saturating_sub(u64::from(SLOTS));
                self.until(runs, |report| good(report) >= nearly).await?;
                pause
            }
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Waits for what the emulator has to see, or until nobody is left who could show it.
    async fn until(&self, runs: &mut [Child], condition: impl Fn(&Report) -> bool) -> Result<()> {
        let seen = self.emulator.when(condition);
        let over = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let mut over = true;
                for run in runs.iter_mut() {
                    over &= run.is_over()?;
                }
                if over {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::select! {
            () = seen => Ok(()),
            over = over => over,
            () = tokio::time::sleep(PATIENCE) => Ok(()),
        }
    }

    /// Requests of the dead are gone.
    async fn quiet(&mut self) -> Result<()> {
        let quiet = timeout(PATIENCE, self.emulator.when(|report| report.of(MODEL).in_flight == 0)).await;
        self.figures.hold(quiet.is_ok(), |_| "requests go on although nothing runs".to_owned());
        Ok(())
    }

    async fn reach_limit(&mut self, limit: Limit, runs: &mut [Child]) -> Result<()> {
        self.figures.limits += 1;
        self.emulator.control(Change::Model { name: MODEL.to_owned(), limits: limits(Some(0.0)) });
        match limit {
            Limit::KilledAt(pause) => tokio::time::sleep(pause).await,
            Limit::Met => {
                let until = Instant::now() + PATIENCE;
                for run in runs.iter_mut() {
                    while !run.is_over()? && Instant::now() < until {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    let ends = run.is_over()?;
                    self.figures.hold(ends, |_| "a run did not end at the monthly limit".to_owned());
                }
            }
        }
        Ok(())
    }

    /// A halt that was noted stands for the next run too; then it is lifted.
    async fn lift_limit(&mut self, met: bool) -> Result<()> {
        let standing = self.ask(&["status", "--json"]).await?["halts"].as_array().map_or(0, Vec::len);
        self.figures.hold(!met || standing > 0, |_| "a halt was forgotten".to_owned());
        if standing > 0 {
            // One run may probe; the next one finds that the time for another probe has not come.
            for probes in [1, 0] {
                let before = self.emulator.report().requests;
                let run = self.run(false)?;
                let end = self.end_of(run, PATIENCE).await?;
                self.look_at(&end, &[Exit::Limit], false)?;
                let sent = self.emulator.report().requests - before;
                self.figures.hold(sent <= probes, |_| format!("{sent} requests were made past a halt"));
            }
        }
        self.emulator.control(Change::Model { name: MODEL.to_owned(), limits: limits(None) });
        let end = self.call(&["halts", "clear"]).await?;
        self.look_at(&end, &[Exit::Done], false)
    }

    /// The cheap look after each round.
    fn look(&mut self) -> Result<()> {
        let lines = self.workspace.results()?;
        self.needles.learn(lines.texts);
        let (doubled, broken) = (doubles(&lines.times), lines.broken);
        let figures = &mut self.figures;
        figures.hold(doubled == 0, |_| format!("{doubled} lines stand twice in results.jsonl"));
        figures.hold(broken == 0, |_| format!("{broken} lines of results.jsonl are no JSON"));
        self.count_up();
        Ok(())
    }

    /// What the emulator saw, and whether it may have seen that.
    fn count_up(&mut self) {
        let report = self.emulator.report();
        let seen = report.of(MODEL);
        let figures = &mut self.figures;
        (figures.requests, figures.bodies, figures.spoiled) =
            (report.requests, report.bodies, report.spoiled);
        (figures.peak, figures.billed_ms) = (seen.peak_in_flight, seen.billed_ms);
        figures.files = self.workspace.count();
        figures
            .hold(figures.over_limit() == 0, |f| format!("{} requests at once, {} allowed", f.peak, f.slots));
        figures.hold(figures.bodies <= figures.bound(), |f| {
            format!("{} bodies were sent, {} can be explained", f.bodies, f.bound())
        });
    }

    /// Runs until nothing is left, then looks at everything.
    async fn settle(&mut self) -> Result<()> {
        self.set_clock(RIGHT)?;
        for _ in 0..RUNS_TO_SETTLE {
            let run = self.run(false)?;
            let end = self.end_of(run, BATCH_PATIENCE).await?;
            self.look_at(&end, &[Exit::Done, Exit::SomeFailed], false)?;
            let failures = self.ask(&["status", "--json"]).await?["failures"].clone();
            let failures: BTreeMap<String, u64> = serde_json::from_value(failures).unwrap_or_default();
            if failures.is_empty() {
                return self.look_closely().await;
            }
            // Three deaths, or a string of spoiled answers: no loss, as long as it is said and can be mended.
            for (cause, tasks) in failures {
                self.ask(&["retry", "--json", "--where", &format!("cause:{cause}")]).await?;
                *self.figures.retried.entry(cause).or_default() += tasks;
            }
        }
        self.figures.breaks("tasks still fail after so many runs");
        self.look_closely().await
    }

    async fn look_closely(&mut self) -> Result<()> {
        self.quiet().await?;
        self.look()?;
        let lines = self.workspace.results()?;
        let rows = self.workspace.rows().context("read results.csv")?;
        let locks = self.workspace.locks()?;
        for (name, times) in [("results.jsonl", &lines.times), ("results.csv", &rows)] {
            let (lost, doubled) = self.workspace.compare(times);
            self.figures.lost = self.figures.lost.max(lost);
            self.figures.doubled = self.figures.doubled.max(doubled);
            self.figures.hold(lost + doubled == 0, |_| format!("{name}: {lost} lost, {doubled} doubled"));
        }
        let status = self.ask(&["status", "--json"]).await?;
        let job = &status["jobs"][0];
        let open = job["queued"].as_u64().unwrap_or(1) + job["running"].as_u64().unwrap_or(1);
        let alive = status["running"] != false;
        let halts = status["halts"].as_array().map_or(1, Vec::len);
        let ledger = self.ledger().await?;
        self.figures.ledger_ms = ledger;
        let figures = &mut self.figures;
        figures.hold(open == 0, |_| format!("{open} tasks are left although all runs ended well"));
        figures.hold(!alive && locks == 0, |_| format!("{locks} locks of runs are left"));
        figures.hold(halts == 0, |_| format!("{halts} halts stand that were lifted"));
        figures.hold(ledger == lines.duration_ms, |_| {
            format!("the ledger has {ledger} ms, the results {} ms", lines.duration_ms)
        });
        figures.hold(ledger <= figures.billed_ms, |f| {
            format!("the ledger has {ledger} ms, the bill {} ms", f.billed_ms)
        });
        let end = self.call(&["verify", "--json"]).await?;
        self.look_at(&end, &[Exit::Done], false)
    }

    /// Audio of all months that the clock has been in: a month's sum is told in that month.
    async fn ledger(&mut self) -> Result<u64> {
        let mut months = BTreeMap::new();
        for offset in JUMPS.into_iter().chain([RIGHT]) {
            self.set_clock(offset)?;
            let endpoint = self.ask(&["status", "--json"]).await?["endpoints"][0].clone();
            months.insert(endpoint["month"].to_string(), endpoint["billed_ms"].as_u64().unwrap_or_default());
        }
        Ok(months.into_values().sum())
    }

    /// How it ended and what it said.
    fn look_at(&mut self, end: &Ended, fair: &[Exit], hashed: bool) -> Result<()> {
        let asked = end.terminated && fair.contains(&Exit::Terminated);
        let fairly = end.killed || asked || fair.iter().any(|exit| end.code == Some(exit.code().into()));
        self.figures.hold(fairly, |_| format!("a process {}", end.words()));
        let mut leaked = false;
        for stream in end.streams() {
            let text = fs::read(stream)?;
            self.figures.searched += text.len() as u64;
            let name = hashed.then_some(SECRET_NAME);
            for (what, times) in self.needles.search(&text, name) {
                leaked = true;
                self.figures.leaks += times;
                self.figures.breaks(format!("{what} stands in {}", stream.display()));
            }
        }
        if fairly && !leaked {
            end.streams().into_iter().try_for_each(remove)?;
        }
        Ok(())
    }

    /// A verb that answers in JSON.
    async fn ask(&mut self, args: &[&str]) -> Result<Value> {
        let end = self.call(args).await?;
        let said = end.said()?;
        let answer = said.lines().last().and_then(|line| serde_json::from_str(line).ok());
        self.look_at(&end, &[Exit::Done], false)?;
        answer.with_context(|| format!("{} did not answer in JSON", args[0]))
    }

    async fn call(&mut self, args: &[&str]) -> Result<Ended> {
        let child = self.nursery.start(args)?;
        self.end_of(child, BATCH_PATIENCE).await
    }

    async fn end_of(&mut self, child: Child, patience: Duration) -> Result<Ended> {
        match child.end_within(patience).await? {
            Ok(end) => Ok(end),
            Err(child) => {
                let end = child.kill()?;
                self.figures.breaks(format!("a process did not end within {} s", patience.as_secs()));
                bail!("a process hung, {}", end.words());
            }
        }
    }
}

fn remove(file: &Path) -> Result<()> {
    fs::remove_file(file).with_context(|| format!("remove {}", file.display()))
}
