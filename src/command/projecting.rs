//! Keeps the files of all jobs in step with the queue while a run goes on beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::run::shorten;
use crate::outputs::{OutputError, Projector, Waits};
use crate::report::OutputFile;
use crate::run::Stop;

/// See the module.
pub(super) struct Projecting {
    done: watch::Sender<bool>,
    task: JoinHandle<Result<Vec<OutputFile>, OutputError>>,
}

/// How soon a result is in its files, about.
const PROJECT_EVERY: Duration = Duration::from_millis(500);
/// How soon the first ones are; each later step takes twice as long, up to that.
const PROJECT_FIRST: Duration = Duration::from_millis(50);
/// How soon a failure is, about: these files are replaced whole.
const FAILURES_EVERY: u32 = 10;
/// A run that watches has no end at which lines that were overtaken could be rendered anew: so often then, at most,
/// and no more than a twentieth of the time.
const RENEW_EVERY: Duration = Duration::from_secs(30);

impl Projecting {
    pub(super) fn start(
        projectors: Vec<Projector>,
        failures: Arc<AtomicU64>,
        watching: bool,
        stop: Stop,
    ) -> Self {
        let (done, over) = watch::channel(false);
        let task = tokio::spawn(async move {
            let result = project(projectors, failures, watching, over).await;
            if result.is_err() {
                stop.drain.cancel(); // what cannot be written out should not go on to be paid for
            }
            result
        });
        Projecting { done, task }
    }

    pub(super) async fn finish(self) -> Result<Vec<OutputFile>, OutputError> {
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
    watching: bool,
    mut over: watch::Receiver<bool>,
) -> Result<Vec<OutputFile>, OutputError> {
    let mut told = 0;
    let mut round = 0u32;
    let mut renew_at = Instant::now();
    let mut pause = PROJECT_FIRST;
    while !*over.borrow() {
        let _ = tokio::time::timeout(pause, over.changed()).await;
        pause = PROJECT_EVERY.min(pause * 2);
        round = round.wrapping_add(1);
        let seen = failures.load(Ordering::Relaxed);
        for projector in &mut projectors {
            let progress = projector.advance().await?;
            if watching && progress.waits == Some(Waits::Reprocessing) && Instant::now() >= renew_at {
                let began = Instant::now();
                projector.renew_overtaken().await?;
                renew_at = Instant::now() + RENEW_EVERY.max(began.elapsed().saturating_mul(20));
            }
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
