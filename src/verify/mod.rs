//! Proves from the queue, the files and the sources that every recording is accounted for. Needs no key and no
//! network, changes nothing, and reads in pages and lines, so that its memory does not grow with the queue (but for a
//! bit or two a recording).
//!
//! One job after another: its results (and with each, redacted audio, source and files of its own), its files, its
//! recordings. A run may go on meanwhile: only what is committed is looked at then. Files are read in place, on the thread that asks
//! the queue: nothing else waits for it. Hashing sources and decoding audio have threads of their own.
//!
//! It stands above `outputs`, because it holds files against what that room would write today.

mod audio;
mod audit;
mod book;
mod failures;
mod files;
mod finding;
mod held;
mod lines;
mod listen;
mod manifest;
mod pages;
mod recordings;
mod rendered;
mod results;
mod sources;
mod tables;
mod written;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use book::{Count, News, Tell};
pub use finding::{Check, Finding, Kind, Mend};
pub use manifest::manifest;

use self::book::Book;
use crate::outputs::{Output, OutputSettings};
use crate::queue::{QueueError, TaskStore};
use crate::task::{Endpoint, Job};

/// What to look at.
#[derive(Debug, Clone)]
pub struct VerifySettings {
    /// The folder of the queue and the audit log.
    pub state_dir: PathBuf,
    /// How files are written.
    pub outputs: OutputSettings,
    /// What the jobs of the configuration list as their outputs, by name.
    pub lists: BTreeMap<String, Vec<Output>>,
    /// Whether to read every source that has a result.
    pub sources: bool,
}

/// How it came out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// A run was going on.
    pub running: bool,
    /// The jobs that were looked at.
    pub jobs: Vec<JobReport>,
    /// Every check that was made.
    pub checks: BTreeMap<Check, Count>,
    /// What is no damage and should be known.
    pub notes: Vec<String>,
}

impl Report {
    /// Things that are missing or altered.
    pub fn wrong(&self) -> u64 {
        self.checks.values().map(|count| count.wrong).sum()
    }
}

/// Where the recordings of a job stand; each is in exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Its name.
    pub job: String,
    /// Its model.
    pub endpoint: Endpoint,
    /// With a result.
    pub succeeded: u64,
    /// Of those, with an answer or audio that was purged.
    pub purged: u64,
    /// Without one, with the reason.
    pub failed: u64,
    /// Never sent, with the reason.
    pub refused: u64,
    /// Taken out by hand.
    pub cancelled: u64,
    /// Still to be sent.
    pub queued: u64,
    /// Being sent, or held by a run that died.
    pub running: u64,
}

/// Why it could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The queue cannot be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The list of hashes cannot be written.
    #[error("write the manifest: {0}")]
    Manifest(#[source] io::Error),
}

/// A purge that was killed half way has done what its rows say, and not what they stand for.
async fn purge(session: &mut Session<'_>) -> Result<(), VerifyError> {
    if session.store.open_purge().await?.is_some() {
        let what = "may hold answers that were purged: a purge was begun and not ended";
        let file = session.settings.state_dir.join("queue.db");
        session.book.found(Finding::new(Kind::PurgeOpen, what).file(&file));
    }
    Ok(())
}

/// What every check has at hand.
struct Session<'a> {
    store: &'a dyn TaskStore,
    settings: &'a VerifySettings,
    running: bool,
    book: Book<'a>,
}

/// Looks at these jobs and everything that belongs to them. Findings are told as they are made.
///
/// # Errors
/// The queue's own. Whatever is wrong with files is a finding, not an error.
pub async fn verify<'a>(
    store: &'a dyn TaskStore,
    jobs: &[Job],
    settings: &'a VerifySettings,
    tell: &'a mut Tell<'a>,
) -> Result<Report, VerifyError> {
    let workers = store.workers(u32::MAX).await?;
    let running = workers.iter().any(|worker| worker.alive);
    let mut session = Session { store, settings, running, book: Book::new(tell) };
    audit::check(&mut session, workers).await;
    recordings::counts(&mut session, jobs).await?;
    let mut reports = Vec::new();
    for job in jobs {
        let written = written::of(&mut session, job).await?;
        let results = results::check(&mut session, job, &written.trees).await?;
        let lines = files::check(&mut session, job, &written.formats).await?;
        reports.push(recordings::check(&mut session, job, &results, lines.as_ref()).await?);
        if written.has_tables {
            tables::check(&mut session, job).await?;
        }
        failures::check(&mut session, job, written.is_begun).await?;
    }
    if running {
        session.book.note(
            "a run is going on: what it has not committed yet, failures.jsonl among it, was not looked at",
        );
    }
    purge(&mut session).await?;
    let held: u64 = reports.iter().map(|report: &JobReport| report.running).sum();
    if held > 0 && !running {
        session
            .book
            .note(format!("{held} recordings are held by a run that died; the next run takes them back"));
    }
    let Book { counts: checks, notes, .. } = session.book;
    Ok(Report { running, jobs: reports, checks, notes })
}
