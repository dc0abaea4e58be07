//! Scanning into the queue, in batches, while a run may be working beside it:
//!
//! ```text
//! walk (one thread) → describe (where metadata is asked for) → recognise (what the queue has as it is)
//!     → look into the others (several threads) → enqueue
//! ```
//!
//! All four are at work at once, each on a batch of its own; batches keep their order. Files that the queue knows and
//! that have not changed are not opened, so a second scan costs little more than listing the folders.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use tokio::sync::mpsc;

use super::context::now;
use crate::config::JobConfig;
use crate::media::{self, Inspection, MediaSettings};
use crate::queue::{Enqueued, KnownFiles, NewTask, QueueError, Sighting, TaskStore};
use crate::scan::{self, Describe, Described, Found, FoundFile, Listed, ScanError};
use crate::task::{
    Cause, Channels, Description, Endpoint, Failure, Job, JobId, Metadata, RecordingPath, options_over,
};
use crate::velma::Options;

/// The first batch is small and each next one twice as large, up to this: the first upload waits for a few files, and
/// a million of them take a few hundred commits. Larger ones would keep others from the queue for too long at a time.
const BATCH: usize = 2000;
const FIRST_BATCH: usize = 64;
/// A batch that is this old goes on as it is.
const BATCH_AGE: Duration = Duration::from_millis(200);
/// How many files are looked into at once. More than there are cores: on a network share it is waiting, not work.
const EYES: usize = 8;

/// What a scan of one job came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanned {
    pub(super) enqueued: Enqueued,
    /// Files that were looked at as possible recordings.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// True formats of what can be sent.
    pub(super) formats: BTreeMap<&'static str, u64>,
    /// Names that claimed another format than the content has, of the files that were opened.
    pub(super) misnamed: u64,
    /// Refused by looks, by cause.
    pub(super) refused: BTreeMap<Cause, u64>,
    /// Left out, by reason in plain words.
    pub(super) passed_over: BTreeMap<String, u64>,
    /// Names that `metadata_pattern` does not match, and one of them.
    pub(super) unmatched: u64,
    pub(super) unmatched_name: Option<RecordingPath>,
    /// Recordings without a file beside them that says what they come with, where such files are looked for.
    pub(super) without_sidecar: u64,
    /// What could not be looked at; the first few, and how many in all.
    pub(super) troubles: Vec<String>,
    pub(super) trouble_count: u64,
}

/// How many troubles are kept word by word.
const TROUBLES_KEPT: usize = 5;

/// A file by its looks from outside, with what it comes with.
struct Spotted {
    file: Sighting,
    listed: Option<Box<Listed>>,
    /// What it comes with cannot be taken, or a list names it and it is not there.
    refusal: Option<Failure>,
}

/// What the walk sends over: files by their looks from outside.
#[derive(Default)]
struct Walked {
    files: Vec<Spotted>,
    seen: Scanned,
}

/// What is to be told to the queue.
#[derive(Default)]
struct Batch {
    tasks: Vec<NewTask>,
    known: u64,
    seen: Scanned,
}

/// Where found recordings go.
pub(super) enum Into<'a> {
    /// Into the queue, for this job.
    Queue(&'a dyn TaskStore, JobId),
    /// Nowhere: it is only compared with what the queue has, if it knows the job.
    Nowhere(&'a dyn TaskStore, Option<JobId>),
    /// The same, and what would be sent is kept.
    Plan(&'a dyn TaskStore, Option<JobId>, &'a Mutex<Kept>),
}

/// What a scan found that a run would send.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// New to the queue, or changed since it met them.
    pub(super) new: Vec<NewTask>,
    /// Of these, the ones that the queue has waiting as they were.
    pub(super) overtaken: HashSet<RecordingPath>,
}

impl Into<'_> {
    /// The job as the queue may know recordings of it; before its first scan there is nothing to recognise.
    async fn familiar(&self) -> Result<Option<(&dyn TaskStore, JobId)>, QueueError> {
        let (Into::Queue(store, job) | Into::Nowhere(store, Some(job)) | Into::Plan(store, Some(job), _)) =
            *self
        else {
            return Ok(None);
        };
        let known = store.tallies().await?.iter().any(|t| t.job == job && t.tasks > 0);
        Ok(known.then_some((store, job)))
    }

    async fn take(&self, tasks: Vec<NewTask>) -> Result<Enqueued, QueueError> {
        match self {
            _ if tasks.is_empty() => Ok(Enqueued::default()),
            Into::Queue(store, job) => store.enqueue_batch(*job, tasks, now()).await,
            Into::Nowhere(store, Some(job)) => store.compare(*job, tasks).await,
            Into::Nowhere(_, None) => Ok(all_new(&tasks)),
            Into::Plan(store, job, kept) => plan(*store, *job, kept, tasks).await,
        }
    }
}

/// Keeps what would be sent; told apart one by one where some of a batch would not be.
async fn plan(
    store: &dyn TaskStore,
    job: Option<JobId>,
    kept: &Mutex<Kept>,
    tasks: Vec<NewTask>,
) -> Result<Enqueued, QueueError> {
    let counts = match job {
        Some(job) => store.compare(job, tasks.clone()).await?,
        None => all_new(&tasks),
    };
    let all = counts.new + counts.reopened == tasks.len() as u64;
    for task in tasks.into_iter().filter(|task| task.refusal.is_none()) {
        let one = match job {
            Some(job) if !all => store.compare(job, vec![task.clone()]).await?,
            _ => Enqueued { new: 1, ..Enqueued::default() },
        };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if one.known > 0 {
            kept.overtaken.insert(task.path.clone());
        }
        if one.changed == 0 {
            kept.new.push(task);
        }
    }
    Ok(counts)
}

/// Scans a job's source. `told` hears of the sum after each batch; when it says break, the scan ends early.
pub(super) async fn scan(
    job: &JobConfig,
    media: &MediaSettings,
    skip: Vec<PathBuf>,
    into: Into<'_>,
    mut told: impl AsyncFnMut(&Scanned) -> ControlFlow<()>,
) -> Result<Scanned> {
    let root = scan::root_of(&job.source, &job.scan)?.folder;
    let describe = Describe::new(&job.scan, &root)?;
    let (endpoint, options) = (job.spec.endpoint, job.spec.options.clone());
    let look =
        Arc::new(Look { root, endpoint, options, describe, channels: job.channels, media: media.clone() });
    let familiar = into.familiar().await?;
    // Two in each channel: nobody waits for a batch while the one before it is being worked on.
    let (walked, coming) = mpsc::channel::<Walked>(2);
    let (looked, ready) = mpsc::channel::<Batch>(2);
    let job = job.clone();
    let walk = tokio::task::spawn_blocking(move || walk(&job, &skip, &walked));
    // Each end of a channel is a local of the side that holds it: when one side ends, so do the others.
    let looking = async move {
        let (mut coming, looked) = (coming, looked);
        while let Some(walked) = coming.recv().await {
            let batch = look.into_all(walked, familiar).await?;
            if looked.send(batch).await.is_err() {
                break; // nobody listens any more: the walk finds that out, too, and ends
            }
        }
        Ok::<(), QueueError>(())
    };
    let writing = async {
        let (mut sum, mut ready) = (Scanned::default(), ready);
        while let Some(batch) = ready.recv().await {
            let mut enqueued = into.take(batch.tasks).await?;
            enqueued.known += batch.known;
            sum.add(batch.seen, enqueued);
            if told(&sum).await.is_break() {
                break;
            }
        }
        Ok::<Scanned, QueueError>(sum)
    };
    let (looked, written) = tokio::join!(looking, writing);
    let walked = walk.await.map_err(|e| bug("walk", &e))?;
    let sum = written?;
    looked?;
    walked?;
    Ok(sum)
}

fn bug(what: &str, error: &tokio::task::JoinError) -> QueueError {
    QueueError::Bug(format!("the {what} of a scan ended by a bug: {error}"))
}

fn all_new(tasks: &[NewTask]) -> Enqueued {
    Enqueued {
        new: tasks.len() as u64,
        new_bytes: tasks.iter().map(|t| t.size_bytes).sum(),
        refused: tasks.iter().filter(|t| t.refusal.is_some()).count() as u64,
        ..Enqueued::default()
    }
}

fn walk(job: &JobConfig, skip: &[PathBuf], batches: &mpsc::Sender<Walked>) -> Result<(), ScanError> {
    let mut batch = Walked::default();
    let (mut since, mut room) = (Instant::now(), FIRST_BATCH);
    scan::walk(&job.source, &job.scan, skip, SystemTime::now(), |found| {
        match found {
            Found::File(FoundFile { path, size_bytes, modified_ns, listed }) => {
                let file = Sighting { path, size_bytes, modified_ns, metadata: Metadata::default() };
                batch.files.push(Spotted { file, listed, refusal: None });
            }
            Found::PassedOver { reason, .. } => batch.seen.pass_over(reason.says()),
            Found::Trouble { path, error } => batch.seen.note_trouble(format!("{path}: {error}")),
        }
        if batch.files.len() >= room || since.elapsed() >= BATCH_AGE {
            (since, room) = (Instant::now(), (2 * room).min(BATCH));
            if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    let _ = batches.blocking_send(batch);
    Ok(())
}

/// How files are looked into.
struct Look {
    root: PathBuf,
    endpoint: Endpoint,
    /// The job's, that those of a recording go over.
    options: serde_json::Value,
    /// Where metadata is looked for, apart from lists.
    describe: Option<Describe>,
    channels: Channels,
    media: MediaSettings,
}

impl Look {
    async fn into_all(
        self: &Arc<Self>,
        walked: Walked,
        familiar: Option<(&dyn TaskStore, JobId)>,
    ) -> Result<Batch, QueueError> {
        let Walked { mut files, seen } = walked;
        let mut batch = Batch { seen, ..Batch::default() };
        if self.describe.is_some() || files.iter().any(|f| f.listed.is_some()) {
            files = self.describe_all(files, &mut batch.seen).await?;
        }
        if let Some((store, job)) = familiar
            && !files.is_empty()
        {
            // What cannot be taken is told to the queue whatever it knows.
            let (refused, mut others): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|spotted| spotted.refusal.is_some());
            let sightings = others.iter().map(|spotted| spotted.file.clone()).collect();
            let recognised = store.recognise(job, sightings).await?;
            recognised.known.iter().for_each(|known| batch.recognise(known));
            let mut strangers = recognised.strangers.iter().copied().peekable();
            let mut place = 0..;
            others.retain(|_| strangers.next_if_eq(&place.next().unwrap_or_default()).is_some());
            files = refused;
            files.extend(others);
        }
        let looked = self.with_many_eyes(files, |look, spotted| {
            let inspection = match spotted.refusal.take() {
                Some(failure) => Inspection::Refused(failure),
                None => {
                    let path = look.root.join(spotted.file.path.as_path());
                    media::inspect(&path, look.endpoint, look.channels, &look.media)
                }
            };
            // Somebody counts on what a list names.
            match inspection {
                Inspection::NotARecording(what) if spotted.listed.is_some() => {
                    let message = format!("{what}, not audio: take it off the list, or mend the path");
                    Inspection::Refused(Failure::local(Cause::NotAudio, message))
                }
                inspection => inspection,
            }
        });
        for (spotted, inspection) in looked.await? {
            batch.add(spotted.file, inspection);
        }
        Ok(batch)
    }

    /// Says of each file what it comes with.
    async fn describe_all(
        self: &Arc<Self>,
        files: Vec<Spotted>,
        seen: &mut Scanned,
    ) -> Result<Vec<Spotted>, QueueError> {
        let described = self.with_many_eyes(files, |look, spotted| look.describe(spotted)).await?;
        let mut files = Vec::with_capacity(described.len());
        for (spotted, Described { unmatched, alone, .. }) in described {
            seen.without_sidecar += u64::from(alone);
            if unmatched {
                seen.unmatched += 1;
                seen.unmatched_name.get_or_insert_with(|| spotted.file.path.clone());
            }
            files.push(spotted);
        }
        Ok(files)
    }

    fn describe(&self, spotted: &mut Spotted) -> Described {
        let path = &spotted.file.path;
        let nothing = || Described { said: Ok(Description::default()), unmatched: false, alone: false };
        let mut described = self.describe.as_ref().map_or_else(nothing, |describe| describe.of(path));
        if let Some(listed) = &spotted.listed {
            // A list says more than a name or a file beside it.
            let of_list = listed.said.clone().map_err(|why| format!("{} {why}", listed.place));
            described.said =
                std::mem::replace(&mut described.said, Ok(Description::default())).and_then(|mut said| {
                    said.extend(of_list?);
                    Ok(said)
                });
            let missing = listed.missing.as_ref();
            let missing = missing
                .map(|why| format!("{} names it, and {why}: mend the list, or bring it back", listed.place));
            spotted.refusal = missing.map(|message| Failure::local(Cause::SourceMissing, message));
        }
        let said = described.said.clone().and_then(|said| {
            said.check()?;
            let metadata = said.metadata();
            if metadata.options.is_some() {
                let all = options_over(&self.options, metadata.options.as_deref());
                Options::parse(self.endpoint, &all).map_err(|error| format!("of its own: {error}"))?;
            }
            Ok(metadata)
        });
        match said {
            Ok(metadata) => spotted.file.metadata = metadata,
            Err(why) => {
                let failure = || {
                    Failure::local(Cause::ConfigRefused, format!("what it comes with cannot be taken: {why}"))
                };
                spotted.refusal.get_or_insert_with(failure);
            }
        }
        described
    }

    /// Looks at files on several threads; they keep their order.
    async fn with_many_eyes<T: Send + 'static>(
        self: &Arc<Self>,
        mut files: Vec<Spotted>,
        look_at: impl Fn(&Look, &mut Spotted) -> T + Copy + Send + 'static,
    ) -> Result<Vec<(Spotted, T)>, QueueError> {
        let share = files.len().div_ceil(EYES).max(1);
        let mut shares = Vec::with_capacity(EYES);
        while !files.is_empty() {
            let rest = files.split_off(share.min(files.len()));
            let (part, look) = (std::mem::replace(&mut files, rest), Arc::clone(self));
            let looking = move |mut spotted| {
                let seen = look_at(&look, &mut spotted);
                (spotted, seen)
            };
            shares
                .push(tokio::task::spawn_blocking(move || part.into_iter().map(looking).collect::<Vec<_>>()));
        }
        let mut all = Vec::new();
        for share in shares {
            all.extend(share.await.map_err(|e| bug("look", &e))?);
        }
        Ok(all)
    }
}

impl Batch {
    fn add(&mut self, file: Sighting, inspection: Inspection) {
        let Sighting { path, size_bytes, modified_ns, metadata } = file;
        let (format, head, measured, refusal) = match inspection {
            Inspection::Recording { format, extension_disagrees, measured, head } => {
                *self.seen.formats.entry(format.word()).or_default() += 1;
                self.seen.misnamed += u64::from(extension_disagrees);
                (Some(format.word()), head, measured, None)
            }
            Inspection::Refused(failure) => {
                *self.seen.refused.entry(failure.cause).or_default() += 1;
                (None, None, None, Some(failure))
            }
            Inspection::NotNow(why) => return self.seen.note_trouble(format!("{path}: {why}")),
            Inspection::NotARecording(what) => {
                return self.seen.pass_over(&format!("no recording by name and content ({what})"));
            }
        };
        self.seen.files += 1;
        self.seen.bytes += size_bytes;
        self.tasks.push(NewTask { path, size_bytes, modified_ns, format, head, measured, refusal, metadata });
    }

    /// What was learned of them when they were looked into still holds.
    fn recognise(&mut self, known: &KnownFiles) {
        self.known += known.files;
        self.seen.files += known.files;
        self.seen.bytes += known.bytes;
        if let Some(cause) = known.refused {
            *self.seen.refused.entry(cause).or_default() += known.files;
        } else if let Some(Ok(format)) = known.format.as_deref().map(str::parse::<media::Format>) {
            *self.seen.formats.entry(format.word()).or_default() += known.files;
        }
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
        sum.redescribed += enqueued.redescribed;
        self.merge(seen);
    }

    /// Adds up what was seen, for one job after another.
    pub(super) fn merge(&mut self, seen: Scanned) {
        self.files += seen.files;
        self.bytes += seen.bytes;
        self.misnamed += seen.misnamed;
        self.unmatched += seen.unmatched;
        self.unmatched_name = self.unmatched_name.take().or(seen.unmatched_name);
        self.without_sidecar += seen.without_sidecar;
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
