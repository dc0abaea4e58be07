//! Scanning into the queue: walk → look → enqueue, in batches, while a run may be working beside it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use tokio::sync::mpsc;

use super::context::now;
use crate::config::JobConfig;
use crate::media::{self, Inspection, MediaSettings};
use crate::queue::{Enqueued, NewTask, QueueError, TaskStore};
use crate::scan::{self, Found, FoundFile, ScanError};
use crate::task::{Cause, Job, JobId};

/// A batch is written when it is this large, or this old: the first upload should not wait for a whole folder.
const BATCH: usize = 500;
const BATCH_AGE: Duration = Duration::from_millis(200);

/// What a scan of one job came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanned {
    pub(super) enqueued: Enqueued,
    /// Files that were looked at as possible recordings.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// True formats of what can be sent.
    pub(super) formats: BTreeMap<&'static str, u64>,
    /// Names that claimed another format than the content has.
    pub(super) misnamed: u64,
    /// Refused by looks, by cause.
    pub(super) refused: BTreeMap<Cause, u64>,
    /// Left out, by reason in plain words.
    pub(super) passed_over: BTreeMap<String, u64>,
    /// What could not be looked at; the first few, and how many in all.
    pub(super) troubles: Vec<String>,
    pub(super) trouble_count: u64,
}

/// How many troubles are kept word by word.
const TROUBLES_KEPT: usize = 5;

/// What the walking thread sends over.
#[derive(Default)]
struct Batch {
    tasks: Vec<NewTask>,
    seen: Scanned,
}

/// Where found recordings go.
pub(super) enum Into<'a> {
    /// Into the queue, for this job.
    Queue(&'a dyn TaskStore, JobId),
    /// Nowhere: it is only compared with what the queue has, if it knows the job.
    Nowhere(&'a dyn TaskStore, Option<JobId>),
}

/// Scans a job's source. `told` hears of the sum after each batch; when it says break, the scan ends early.
pub(super) async fn scan(
    job: &JobConfig,
    media: &MediaSettings,
    skip: Vec<PathBuf>,
    into: Into<'_>,
    mut told: impl AsyncFnMut(&Scanned) -> ControlFlow<()>,
) -> Result<Scanned> {
    let (batches, mut coming) = mpsc::channel::<Batch>(4);
    let (job, media) = (job.clone(), media.clone());
    let walk = tokio::task::spawn_blocking(move || walk(&job, &media, &skip, &batches));
    let mut sum = Scanned::default();
    while let Some(batch) = coming.recv().await {
        let enqueued = match &into {
            Into::Queue(store, job) => store.enqueue_batch(*job, batch.tasks, now()).await?,
            Into::Nowhere(store, Some(job)) => store.compare(*job, batch.tasks).await?,
            Into::Nowhere(_, None) => all_new(&batch.tasks),
        };
        sum.add(batch.seen, enqueued);
        if told(&sum).await.is_break() {
            break;
        }
    }
    drop(coming); // a scan that was stopped early finds nobody listening, and ends
    walk.await.map_err(|e| QueueError::Bug(format!("the scan ended by a bug: {e}")))??;
    Ok(sum)
}

fn all_new(tasks: &[NewTask]) -> Enqueued {
    Enqueued {
        new: tasks.len() as u64,
        new_bytes: tasks.iter().map(|t| t.size_bytes).sum(),
        refused: tasks.iter().filter(|t| t.refusal.is_some()).count() as u64,
        ..Enqueued::default()
    }
}

fn walk(
    job: &JobConfig,
    media: &MediaSettings,
    skip: &[PathBuf],
    batches: &mpsc::Sender<Batch>,
) -> Result<(), ScanError> {
    let mut batch = Batch::default();
    let mut since = Instant::now();
    let root = scan::root_of(&job.source)?.folder;
    scan::walk(&job.source, &job.scan, skip, SystemTime::now(), |found| {
        match found {
            Found::File(file) => batch.look_at(file, &root, job, media),
            Found::PassedOver { reason, .. } => batch.seen.pass_over(reason.says()),
            Found::Trouble { path, error } => batch.seen.note_trouble(format!("{path}: {error}")),
        }
        if batch.tasks.len() >= BATCH || since.elapsed() >= BATCH_AGE {
            since = Instant::now();
            if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    let _ = batches.blocking_send(batch);
    Ok(())
}

impl Batch {
    fn look_at(&mut self, file: FoundFile, root: &std::path::Path, job: &JobConfig, media: &MediaSettings) {
        let FoundFile { path, size_bytes, modified_ns } = file;
        let (format, refusal) = match media::inspect(&root.join(path.as_path()), job.spec.endpoint, media) {
            Inspection::Recording { format, extension_disagrees } => {
                *self.seen.formats.entry(format.word()).or_default() += 1;
                self.seen.misnamed += u64::from(extension_disagrees);
                (Some(format.word()), None)
            }
            Inspection::Refused(failure) => {
                *self.seen.refused.entry(failure.cause).or_default() += 1;
                (None, Some(failure))
            }
            Inspection::NotNow(why) => return self.seen.note_trouble(format!("{path}: {why}")),
            Inspection::NotARecording(what) => {
                return self.seen.pass_over(&format!("no recording by name and content ({what})"));
            }
        };
        self.seen.files += 1;
        self.seen.bytes += size_bytes;
        self.tasks.push(NewTask { path, size_bytes, modified_ns, format, refusal });
    }
}

impl Scanned {
    fn pass_over(&mut self, reason: &str) {
        *self.passed_over.entry(reason.to_owned()).or_default() += 1;
    }

    fn note_trouble(&mut self, text: String) {
        self.trouble_count += 1;
        if self.troubles.len() < TROUBLES_KEPT {
            self.troubles.push(text);
        }
    }

    fn add(&mut self, seen: Scanned, enqueued: Enqueued) {
        let sum = &mut self.enqueued;
        sum.new += enqueued.new;
        sum.new_bytes += enqueued.new_bytes;
        sum.refused += enqueued.refused;
        sum.known += enqueued.known;
        sum.reopened += enqueued.reopened;
        sum.changed += enqueued.changed;
        self.merge(seen);
    }

    /// Adds up what was seen, for one job after another.
    pub(super) fn merge(&mut self, seen: Scanned) {
        self.files += seen.files;
        self.bytes += seen.bytes;
        self.misnamed += seen.misnamed;
        self.trouble_count += seen.trouble_count;
        let room = TROUBLES_KEPT.saturating_sub(self.troubles.len());
        self.troubles.extend(seen.troubles.into_iter().take(room));
        add_up(&mut self.formats, seen.formats);
        add_up(&mut self.refused, seen.refused);
        add_up(&mut self.passed_over, seen.passed_over);
    }
}

fn add_up<K: Ord>(sum: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sum.entry(key).or_default() += count;
    }
}

/// What no scan looks at although it may lie inside a source: outputs and the queue.
pub(super) fn skipped(
    outputs: impl Iterator<Item = PathBuf>,
    known: &[Job],
    state_dir: &std::path::Path,
) -> Vec<PathBuf> {
    outputs.chain(known.iter().map(|j| j.output.clone())).chain([state_dir.to_owned()]).collect()
}
