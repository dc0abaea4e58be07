//! Looks for recordings while a run works beside it: once, or, watching, again and again until nobody waits for more.
//!
//! A pass of a watch is the same scan: what is known is recognised and left alone. Only what is new is told, so a
//! folder that does not change costs its listing and nothing else.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::audit::{Audit, of_scan};
use super::console::{Console, scan_lines};
use super::context::Context;
use super::feed::{self, Into, Scanned};
use crate::audit::Kind;
use crate::config::JobConfig;
use crate::event::RunEvent;
use crate::run::{Feed, Stop};
use crate::scan::ScanError;
use crate::task::Job;

/// What the scans of a run came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scans {
    /// Whether every source was looked at to its end, or none was to be.
    pub(super) complete: bool,
}

/// A pass over a large source takes its time: so many times longer than the pass lasted is the pause after it, at
/// least. A watch is then never more than a few per cent of a core.
const REST: u32 = 20;

/// See the module.
pub(super) struct Scanning<'a> {
    pub(super) context: &'a Context,
    pub(super) console: &'a Console,
    pub(super) jobs: &'a [Job],
    pub(super) configs: &'a [JobConfig],
    pub(super) audit: &'a Audit,
    pub(super) events: &'a mpsc::Sender<RunEvent>,
    pub(super) stop: &'a Stop,
    pub(super) feed: watch::Sender<Feed>,
}

/// What a watch has told of a job.
#[derive(Default)]
struct Told {
    /// What all passes have added.
    new: u64,
    new_bytes: u64,
    refused: u64,
    /// The last words aside.
    lines: Vec<String>,
    /// Its source was not there.
    away: bool,
    /// How many passes there were.
    passes: u64,
}

impl Scanning<'_> {
    /// Scans one job after another, once or, with an interval, for as long as anybody waits for more.
    ///
    /// # Errors
    /// What keeps the queue from being used; without an interval, also a source that cannot be looked at.
    pub(super) async fn run(self, wanted: bool, watch: Option<Duration>) -> Result<Scans> {
        let scanned = match (wanted, watch) {
            (false, _) => Ok(Scans { complete: true }),
            (true, None) => self.pass(&mut HashMap::new(), false).await,
            (true, Some(every)) => self.watch(every).await,
        };
        self.feed.send_modify(|f| f.done = true);
        if scanned.is_err() {
            self.stop.drain.cancel();
        }
        scanned
    }

    async fn watch(&self, every: Duration) -> Result<Scans> {
        let mut told = HashMap::new();
        loop {
            let began = Instant::now();
            let scans = self.pass(&mut told, true).await?;
            let pause = every.max(began.elapsed().saturating_mul(REST));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.drain.cancelled() => {}
                () = self.feed.closed() => {}
            }
            if self.is_over() {
                return Ok(scans);
            }
        }
    }

    async fn pass(&self, told: &mut HashMap<String, Told>, watching: bool) -> Result<Scans> {
        let mut complete = true;
        for config in self.configs {
            let Some(job) = self.jobs.iter().find(|j| j.name == config.spec.name) else { continue };
            let told = told.entry(job.name.clone()).or_default();
            if self.is_over() {
                return Ok(Scans { complete: false });
            }
            match self.scan_job(config, job, told).await {
                Ok(whole) => {
                    complete &= whole;
                    self.tell_away(job, told, false).await;
                }
                // It comes back, or somebody mends it: what is queued of it waits for that.
                Err(error) if watching && error.downcast_ref::<ScanError>().is_some() => {
                    complete = false;
                    if !told.away {
                        self.console.note(&format!("watch {}: failed to {error}", job.name));
                    }
                    self.tell_away(job, told, true).await;
                }
                Err(error) => return Err(error),
            }
            told.passes += 1;
        }
        Ok(Scans { complete })
    }

    /// False if it ended early, because nobody waits for more.
    async fn scan_job(&self, config: &JobConfig, job: &Job, told: &mut Told) -> Result<bool> {
        let (before, first) = ((told.new, told.new_bytes, told.refused), told.passes == 0);
        let news = |scanned: &Scanned, done: bool| RunEvent::Scanned {
            job: job.name.clone(),
            new: before.0 + scanned.enqueued.new + scanned.enqueued.reopened,
            new_bytes: before.1 + scanned.enqueued.new_bytes,
            refused: before.2 + scanned.enqueued.refused,
            known: scanned.enqueued.known,
            done,
        };
        let mut complete = true;
        let outputs = self.context.config.jobs.iter().map(|c| c.spec.output.clone());
        let known = self.context.all_jobs().await?;
        let skip = feed::skipped(outputs, &known, &self.context.config.state_dir);
        let into = Into::Queue(&*self.context.store, job.id);
        let scanned = feed::scan(config, &self.context.config.media, skip, into, async |sum| {
            if first || is_news(sum) {
                self.feed.send_modify(|f| f.new += 1);
                let _ = self.events.send(news(sum, false)).await;
            }
            complete = !self.is_over();
            if complete { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
        if first || is_news(&scanned) {
            let _ = self.events.send(news(&scanned, true)).await;
            self.audit.note(Kind::Scan, of_scan(job.id, &scanned.enqueued)).await;
        }
        told.new += scanned.enqueued.new + scanned.enqueued.reopened;
        told.new_bytes += scanned.enqueued.new_bytes;
        told.refused += scanned.enqueued.refused;
        let lines = scan_lines(&scanned);
        if lines != told.lines {
            self.console.scan_notes(&job.name, &scanned);
            told.lines = lines;
        }
        Ok(complete)
    }

    async fn tell_away(&self, job: &Job, told: &mut Told, away: bool) {
        if told.away != away {
            told.away = away;
            let _ = self.events.send(RunEvent::SourceAway { job: job.name.clone(), away }).await;
        }
    }

    /// Whether nobody waits for more: the run was stopped, or stands before a halt.
    fn is_over(&self) -> bool {
        self.stop.drain.is_cancelled() || self.feed.is_closed()
    }
}

/// Whether a pass changed the queue.
fn is_news(scanned: &Scanned) -> bool {
    let found = &scanned.enqueued;
    found.new + found.reopened + found.refused > 0
}
