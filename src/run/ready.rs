//! The next recordings, made ready before a slot frees: opened, looked at, measured. What looks alone can refuse
//! never takes a slot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::DirBuilder;
use std::io::{self, Read, Seek};
use std::os::unix::fs::DirBuilderExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::{JoinError, JoinSet};

use super::Work;
use super::away::is_away;
use super::pieces::Next;
use crate::media::{self, MediaSettings, Prepared, Terms, Unfit};
use crate::queue::{Candidate, Double, QueueError};
use crate::task::{Amount, Cause, Failure, Identity, Measured, TaskId, options_over};
use crate::velma::Options;

/// A recording that could be sent this moment.
pub(super) struct Ready {
    pub(super) candidate: Candidate,
    pub(super) work: Arc<Work>,
    /// Its own, if it has any; else the job's.
    pub(super) options: Option<Options>,
    /// What it is, as far as that was found out before it is sent.
    pub(super) identity: Option<Identity>,
    /// BLAKE3 of it in hex, as far as it was read before it is sent.
    pub(super) blake3: Option<String>,
    pub(super) prepared: Prepared,
    /// How long it is.
    pub(super) measured: Measured,
    /// By what it was looked at.
    pub(super) terms: Terms,
    /// How much of it one request holds at most, in milliseconds.
    pub(super) most_ms: u64,
    /// What goes out in its place, where it is encoded anew.
    pub(super) next: Option<Next>,
}

/// What looking at a candidate showed.
pub(super) enum Looked {
    /// It can be sent.
    Fit(Box<Ready>),
    /// It need not, or not yet: one that is the same has its answer, or is being sent.
    Double(Box<Ready>, Double),
    /// It cannot, and will not.
    Refused(Candidate, Failure),
    /// It is still being written, or cannot be looked at for a reason that may pass.
    NotNow(Candidate, Failure),
    /// Its job's source is gone: nothing can be said of the file.
    Away(Candidate, Arc<Work>),
    /// The queue, or a place that is needed, cannot be used.
    Unusable(QueueError),
}

/// Looked at one after the other on one thread: at least so many, to make a thread worth its while; and no more than a
/// few, so that a slow disk is asked for several at once, unless they are needed in such numbers that it is a quick one.
const BATCH: usize = 8;

/// Candidates on their way to being sent.
#[derive(Default)]
pub(super) struct Preparing {
    /// By turn: the order in which the queue offered them, whatever order looking at them ended in.
    ready: BTreeMap<u64, Ready>,
    looking: JoinSet<Vec<Looked>>,
    turns: HashMap<TaskId, u64>,
    next_turn: u64,
    /// Of these, the ones that something more is done to.
    going_on: HashSet<TaskId>,
}

impl Preparing {
    /// How many are ready or being looked at, without those that something more is done to.
    pub(super) fn len(&self) -> usize {
        self.turns.len() - self.going_on.len()
    }

    /// How many something more is done to.
    pub(super) fn going_on(&self) -> usize {
        self.going_on.len()
    }

    /// Whether it is one of these, of any kind.
    pub(super) fn has(&self, id: TaskId) -> bool {
        self.turns.contains_key(&id)
    }

    /// Whether there is none of any kind.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether any is ready.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Their numbers, so that they are not asked for again.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.turns.keys().copied().collect()
    }

    /// The ready ones as a claim wants them: best first, with what they will be billed for; and what they are, as far
    /// as it is known.
    pub(super) fn wish(&self, most: usize) -> (Vec<(TaskId, Amount)>, HashMap<TaskId, Identity>) {
        let wished = || self.ready.values().take(most);
        let amount = |r: &Ready| Amount::of(r.most_ms, r.work.price);
        let known = |ready: &Ready| Some((ready.candidate.id, ready.identity.clone()?));
        (wished().map(|r| (r.candidate.id, amount(r))).collect(), wished().filter_map(known).collect())
    }

    /// Begins to look at candidates, a few on each thread; those that are `needed` at once come together. `exactly`:
    /// their hours are counted before they are sent.
    pub(super) fn look(
        &mut self,
        candidates: Vec<(Candidate, Arc<Work>)>,
        needed: usize,
        media: &MediaSettings,
        exactly: bool,
        terms: impl Fn(bool) -> Terms,
    ) {
        for (candidate, _) in &candidates {
            self.turns.insert(candidate.id, self.next_turn);
            self.next_turn += 1;
        }
        let mut candidates = candidates.into_iter();
        loop {
            let batch: Vec<_> = candidates.by_ref().take(needed.max(BATCH)).collect();
            if batch.is_empty() {
                return;
            }
            let media = media.clone();
            let batch: Vec<_> = batch
                .into_iter()
                .map(|(c, work)| (Terms { channels: work.channels, ..terms(c.decoded) }, c, work))
                .collect();
            self.looking.spawn_blocking(move || {
                let look = |(terms, candidate, work)| look_safely(candidate, work, &media, exactly, terms);
                batch.into_iter().map(look).collect()
            });
        }
    }

    /// The next ones that have been looked at; pending while none is being looked at.
    pub(super) async fn looked(&mut self) -> Result<Vec<Looked>, JoinError> {
        match self.looking.join_next().await {
            Some(looked) => looked,
            None => std::future::pending().await,
        }
    }

    /// What has been looked at is not ready yet: something more is to be done first, which ends in another look.
    pub(super) fn go_on(&mut self, id: TaskId, more: impl Future<Output = Looked> + Send + 'static) {
        self.going_on.insert(id);
        self.looking.spawn(async move { vec![more.await] });
    }

    /// Keeps a fit one.
    pub(super) fn keep(&mut self, ready: Ready) {
        self.going_on.remove(&ready.candidate.id);
        if let Some(turn) = self.turns.get(&ready.candidate.id) {
            self.ready.insert(*turn, ready);
        }
    }

    /// Takes out a claimed one, or one that is not to be had.
    pub(super) fn take(&mut self, id: TaskId) -> Option<Ready> {
        self.going_on.remove(&id);
        let turn = self.turns.remove(&id)?;
        self.ready.remove(&turn)
    }
}

/// One strange file must not end the run of all the others.
fn look_safely(
    candidate: Candidate,
    work: Arc<Work>,
    media: &MediaSettings,
    exactly: bool,
    terms: Terms,
) -> Looked {
    let (twin, looking) =
        (candidate.clone(), AssertUnwindSafe(|| look(candidate, work, media, exactly, terms)));
    std::panic::catch_unwind(looking).unwrap_or_else(|_| {
        let message = "looking at it met a bug of ours; please report it";
        Looked::Refused(twin, Failure::local(Cause::SourceUnreadable, message))
    })
}

fn look(candidate: Candidate, work: Arc<Work>, media: &MediaSettings, exactly: bool, terms: Terms) -> Looked {
    let path = work.job.source_of(&candidate.path);
    if work.job.endpoint.returns_audio()
        && let Err((folder, error)) = make_place(&work.job.redacted_audio_of(&candidate.path))
    {
        return Looked::Unusable(QueueError::Io { path: folder, source: error });
    }
    let own = candidate.options.as_deref().map(|own| {
        let all = options_over(&work.job.options, Some(own));
        Options::parse(work.job.endpoint, &all)
            .map_err(|error| Failure::local(Cause::ConfigRefused, error.to_string()))
    });
    let options = match own.transpose() {
        Ok(options) => options,
        Err(failure) => return Looked::Refused(candidate, failure),
    };
    let hears_voices = options.as_ref().unwrap_or(&work.options).hears_voices();
    let terms = Terms { hears_voices, ..terms };
    match media::prepare(&path, &candidate.path, work.job.endpoint, media, terms) {
        Ok(mut prepared) => {
            let blake3 = hash(&candidate, &work, &mut prepared);
            let identity = blake3.as_deref().map(|hash| work.identity(hash, candidate.options.as_deref()));
            if prepared.cutting.is_some() && identity.is_none() {
                let failure = Failure::local(Cause::SourceUnreadable, "it could not be read to its end");
                return Looked::NotNow(candidate, failure);
            }
            let as_scanned =
                (prepared.len, prepared.modified_ns) == (candidate.size_bytes, candidate.modified_ns);
            // As it was found, it had settled then. Otherwise it has to settle anew.
            if as_scanned || has_settled(prepared.modified_ns, &work) {
                let known = candidate.measured.filter(|_| as_scanned);
                let measured = prepared.measured(known, exactly);
                Looked::Fit(Box::new(Ready {
                    candidate,
                    work,
                    options,
                    identity,
                    blake3,
                    prepared,
                    measured,
                    terms,
                    most_ms: measured.duration_ms,
                    next: None,
                }))
            } else {
                Looked::NotNow(candidate, Failure::local(Cause::SourceChanged, "it is still being written"))
            }
        }
        Err(Unfit::NotNow(failure)) => Looked::NotNow(candidate, failure),
        // A disk that is not mounted must not fail every recording on it.
        Err(Unfit::Refused(failure)) if failure.cause == Cause::SourceMissing && is_away(&work) => {
            Looked::Away(candidate, work)
        }
        Err(Unfit::Refused(failure)) => Looked::Refused(candidate, failure),
    }
}

/// BLAKE3 in hex: of a small file, whose bytes are here, of a large one that may be the same as another, and of one that
/// goes out as something else. The others are hashed on their way out. A file that cannot be read here cannot be sent
/// either, which is told then.
fn hash(candidate: &Candidate, work: &Work, prepared: &mut Prepared) -> Option<String> {
    let hash = match &prepared.whole {
        Some(bytes) => blake3::hash(bytes),
        None if (candidate.has_double && work.reuse) || prepared.cutting.is_some() => {
            let mut hash = blake3::Hasher::new();
            let read = hash.update_reader((&prepared.file).take(prepared.len)).is_ok();
            prepared.file.rewind().ok()?;
            (read && prepared.is_fresh()).then(|| hash.finalize())?
        }
        None => return None,
    };
    Some(hash.to_hex().to_string())
}

/// What is paid for must have a place to go before it is asked for.
fn make_place(audio: &Path) -> Result<(), (PathBuf, io::Error)> {
    let folder = audio.parent().unwrap_or(audio);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    let usable = made.and_then(|()| Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?));
    usable.map_err(|error| (folder.to_owned(), error))
}

fn has_settled(modified_ns: i64, work: &Work) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let age = i128::try_from(now).unwrap_or(i128::MAX) - i128::from(modified_ns);
    age < 0 || age >= i128::try_from(work.settle.as_nanos()).unwrap_or(i128::MAX)
}
