//! Keeps a job's files in step with its results: render → write → fdatasync → commit. A crash between any two of
//! these leaves bytes that are cut off next time, so every result is in every file exactly once.
//!
//! One process at a time projects, whoever holds `.results.lock`; it projects the results of all. Rules:
//!
//! | found | done |
//! |---|---|
//! | longer than committed | cut to it: a torn write |
//! | shorter | refused |
//! | other content | refused: a file of megabytes before anything is sent, a larger one before anything is added to it |
//! | content, and never begun by this queue | refused: perhaps the only copy of another queue's results |
//! | deleted, or another header | rendered anew beside, renamed |
//! | results overtaken by a re-processing (`outputs_stale`) | left as it is, nothing appended; rendered anew at the end |
//! | the same, and no result in any of them | begun again at once: it has other columns by now |

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::each::FileFormat;
use super::file::{self, LOCK, Lock, blocking};
use super::format::Format;
use super::held::Held;
use super::list::{Output, file_formats, formats};
use super::page::RESULTS;
use super::patience::Patience;
use super::stream::{self, Ahead, Anew, Found, Stream};
use super::summary::{OutputFile, Progress, Summary, Waits};
use super::tables::{self, TABLES};
use super::tree::{self, Advanced, Tree};
use super::{OutputError, OutputSettings, failures};
use crate::queue::{OutputState, RESULTS_BYTES, ResultRow, TaskStore};
use crate::task::Job;

/// How often a finish renders anew when re-processing by somebody else keeps overtaking it.
const RENEWALS: u32 = 3;

/// How often files may vanish under one step before it gives up.
const LOSSES: u32 = 3;

/// Keeps the files of one job.
pub struct Projector {
    store: Arc<dyn TaskStore>,
    job: Job,
    settings: OutputSettings,
    pub(super) patience: Patience,
    /// The lock and the open files. Taken out while they are at work on another thread: should that be
    /// abandoned half way, the lock goes with it when the work ends, and the next step opens everything anew.
    held: Option<Held>,
    /// By the queue's names for them.
    renewed: Vec<&'static str>,
}

/// What to do about files with lines that have been overtaken. Rendering them costs a look at every result, so
/// it is done once, at the end of a run; until then they are yesterday's files, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stale {
    HoldBack,
    Renew,
}

impl Projector {
    /// Takes the files over if no other process has them, and begins those that are not there. Each file is read
    /// once, to hold it against the hash of what was committed; a large one is still being read when this returns,
    /// and is found out by the step after that.
    ///
    /// # Errors
    /// A file that was cut or changed, or never belonged to this queue; a full disk; the queue's own.
    pub async fn open(
        store: Arc<dyn TaskStore>,
        job: Job,
        settings: OutputSettings,
    ) -> Result<Projector, OutputError> {
        Projector::open_with(store, job, settings, Patience::default()).await
    }

    pub(super) async fn open_with(
        store: Arc<dyn TaskStore>,
        job: Job,
        settings: OutputSettings,
        patience: Patience,
    ) -> Result<Projector, OutputError> {
        let (held, renewed) = (None, Vec::new());
        let mut projector = Projector { store, job, settings, patience, held, renewed };
        if projector.settings.has_tables() {
            tables::begin(&*projector.store, &projector.job).await?;
        }
        projector.acquire(Stale::HoldBack).await?;
        Ok(projector)
    }

    /// Appends all that is new. Cheap when nothing is: one look at the queue. While re-processed results wait, or
    /// another process has the files, nothing is written and that is said.
    ///
    /// # Errors
    /// As [`Projector::open`]. After an error nothing is lost, and it may be called again.
    pub async fn advance(&mut self) -> Result<Progress, OutputError> {
        self.advance_with(Stale::HoldBack).await
    }

    async fn advance_with(&mut self, stale: Stale) -> Result<Progress, OutputError> {
        let mut lost = 0;
        loop {
            let mut progress = self.advance_streams(stale).await?;
            // Nothing is held when another process has the files.
            let goes_on = |held: &mut Held| progress.waits.is_none() && !held.overtaken;
            let Some(mut held) = self.held.take_if(goes_on) else { return Ok(progress) };
            let advanced = tree::advance(&*self.store, &self.job, &held.lock, &mut held.trees, true).await;
            held.overtaken = matches!(advanced, Ok(Advanced::Overtaken));
            if !matches!(advanced, Ok(Advanced::Gone)) {
                self.held = Some(held);
            }
            match advanced? {
                Advanced::Done(new) => {
                    progress.records = progress.records.max(new);
                    return Ok(progress);
                }
                Advanced::Overtaken if self.let_go_of_nothing() => {}
                Advanced::Overtaken => return Ok(Progress { waits: Some(Waits::Reprocessing), ..progress }),
                Advanced::Gone => lost = self.lost_again(lost)?,
            }
        }
    }

    async fn advance_streams(&mut self, stale: Stale) -> Result<Progress, OutputError> {
        let mut progress = Progress::default();
        let mut lost = 0;
        loop {
            if self.held.is_none() && !self.acquire(stale).await? {
                return Ok(Progress { waits: Some(Waits::OtherProcess), ..progress });
            }
            let Some(held) = &mut self.held else { continue };
            if held.overtaken {
                return Ok(Progress { waits: Some(Waits::Reprocessing), ..progress });
            }
            if held.has_news() && !self.still_whole().await? {
                lost = self.lost_again(lost)?;
                continue;
            }
            let Some(held) = &mut self.held else { continue };
            let rows = self.store.results(self.job.id, held.last_seq(), RESULTS).await?;
            if rows.is_empty() {
                return Ok(progress);
            }
            // Asked after the page was read: a result that overtakes another one came with the mark, so
            // without the mark none is on the page.
            if self.store.outputs_stale(self.job.id).await? {
                held.overtaken = true;
                self.let_go_of_nothing();
                continue;
            }
            // Little came: more is coming, and is worth a sync when it has gathered. Only an end goes to the end.
            let enough = stale == Stale::HoldBack && is_little(&rows);
            let count = rows.len() as u64;
            if self.append(rows).await? {
                progress.records += count;
                if enough {
                    return Ok(progress);
                }
            } else {
                lost = self.lost_again(lost)?;
            }
        }
    }

    /// Completes the files and lets go of them: waits for another process that has them, as long as that one
    /// moves; renders anew what re-processing overtook; replaces the failures, and the tables that are made whole.
    ///
    /// # Errors
    /// As [`Projector::open`].
    pub async fn finish(&mut self) -> Result<Summary, OutputError> {
        let mut complete = self.complete().await?;
        let failures = self.write_failures().await?;
        let mut files = Vec::new();
        let listed = self.settings.formats(self.job.endpoint).into_iter().map(Format::file_name);
        for name in listed.chain(self.settings.file_formats().into_iter().map(FileFormat::word)) {
            let state = self.store.output(self.job.id, name).await?;
            let (path, rendered_anew) = (self.job.output.join(name), self.renewed.contains(&name));
            files.push(OutputFile { path, records: state.records, rendered_anew });
        }
        let whole = |(name, records)| OutputFile::whole(self.job.output.join(name), records);
        files.extend(failures::NAMES.map(|name| whole((name, failures.unwrap_or_default()))));
        if self.settings.has_tables() {
            let fields = &self.settings.fields;
            let rows = tables::keep(&*self.store, &self.job, fields, self.patience).await?;
            complete &= rows.is_some();
            files.extend(TABLES.into_iter().zip(rows.unwrap_or_default()).map(whole));
        }
        self.held = None;
        Ok(Summary { files, complete: complete && failures.is_some() })
    }

    /// The same in the middle of a run, but for the tables: these are for its end.
    ///
    /// # Errors
    /// As [`Projector::open`].
    pub async fn renew_overtaken(&mut self) -> Result<(), OutputError> {
        self.complete().await?;
        self.write_failures().await?;
        self.held = None;
        Ok(())
    }

    /// Replaces `failures.jsonl` and `failures.csv` by the recordings that stand failed or refused now, if they
    /// changed. Returns how many, or `None` when another process was at it for too long.
    ///
    /// # Errors
    /// A full disk or another trouble with files; the queue's own.
    pub async fn write_failures(&mut self) -> Result<Option<u64>, OutputError> {
        self.settings.fields = self.store.learn_fields(self.job.id, Vec::new()).await?;
        failures::write(&*self.store, &self.job, &self.settings, self.patience).await
    }

    /// Brings the results' files to the end of the results. False if that is left to another process.
    async fn complete(&mut self) -> Result<bool, OutputError> {
        let (mut renewals, mut lost) = (0, 0);
        let mut seen = (i64::MIN, Instant::now());
        loop {
            let held_back = match self.advance_with(Stale::Renew).await?.waits {
                None if self.still_whole().await? => self.store.outputs_stale(self.job.id).await?,
                None => {
                    lost = self.lost_again(lost)?;
                    continue;
                }
                Some(Waits::Reprocessing) => true,
                Some(Waits::OtherProcess) => {
                    let (last_seq, done) = self.others_progress().await?;
                    if done {
                        return Ok(true);
                    }
                    if last_seq != seen.0 {
                        seen = (last_seq, Instant::now());
                    } else if seen.1.elapsed() >= self.patience.limit {
                        return Ok(false);
                    }
                    tokio::time::sleep(self.patience.poll).await;
                    continue;
                }
            };
            if !held_back {
                return Ok(true);
            }
            if renewals == RENEWALS {
                return Ok(false);
            }
            renewals += 1;
            self.held = None;
        }
    }

    /// How far the process that has the files has come, and whether that is the end.
    async fn others_progress(&self) -> Result<(i64, bool), OutputError> {
        let mut last_seq = i64::MAX;
        let mut begun = true;
        for format in self.settings.formats(self.job.endpoint) {
            let state = self.store.output(self.job.id, format.file_name()).await?;
            last_seq = last_seq.min(state.last_seq);
            // A file that is being rendered anew is in the old state on disk, and has no bytes in the queue.
            begun &=
                state.bytes > 0 || (format.header(&self.settings).is_empty() && !state.sha256.is_empty());
        }
        for format in self.settings.file_formats() {
            let state = self.store.output(self.job.id, format.word()).await?;
            last_seq = last_seq.min(state.last_seq);
            begun &= !state.sha256.is_empty();
        }
        let done = begun
            && self.store.results(self.job.id, last_seq, 1).await?.is_empty()
            && !self.store.outputs_stale(self.job.id).await?;
        Ok((last_seq, done))
    }

    /// Whether what is open is still what lies in the folder; if not, it is let go.
    async fn still_whole(&mut self) -> Result<bool, OutputError> {
        let Some(mut held) = self.held.take() else { return Ok(false) };
        let output = self.job.output.clone();
        let (held, whole) = blocking(move || held.is_whole(&output).map(|whole| (held, whole))).await?;
        self.held = whole.then_some(held);
        Ok(whole)
    }

    /// Lets go of files that nothing was written to yet, and says if it did: opened again, they begin with what is known by now.
    fn let_go_of_nothing(&mut self) -> bool {
        self.held.take_if(|held| held.holds_nothing()).is_some()
    }

    /// Whether no result is in any of the files: then nothing can have been overtaken.
    async fn is_empty(&self) -> Result<bool, OutputError> {
        let formats = self.settings.formats(self.job.endpoint).into_iter().map(Format::file_name);
        for name in formats.chain(self.settings.file_formats().into_iter().map(FileFormat::word)) {
            if self.store.output(self.job.id, name).await?.last_seq > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts how often files vanished under one step: one deletion is mended, a tug-of-war is not joined.
    fn lost_again(&self, lost: u32) -> Result<u32, OutputError> {
        if lost < LOSSES {
            return Ok(lost + 1);
        }
        let source = std::io::Error::other("its files keep being deleted or replaced by something else");
        Err(OutputError::Io { doing: "keep", path: self.job.output.clone(), source })
    }

    /// Takes the lock, opens the files and mends them. False if another process has the lock.
    async fn acquire(&mut self, if_stale: Stale) -> Result<bool, OutputError> {
        let folder = self.job.output.clone();
        let lock = blocking(move || {
            file::make_folder(&folder)?;
            Lock::try_take(folder.join(LOCK))
        });
        let Some(lock) = lock.await? else { return Ok(false) };
        let stale = self.store.outputs_stale(self.job.id).await?;
        self.settings.fields = self.store.learn_fields(self.job.id, Vec::new()).await?;
        let mut held = Held { lock, streams: Vec::new(), trees: Vec::new(), overtaken: false };
        let mut anew = Vec::new();
        for format in self.settings.formats(self.job.endpoint) {
            match self.look_at(&held.lock, format, stale).await? {
                Found::Whole(stream) => held.streams.push(stream),
                Found::Anew(why) => anew.push((format, why)),
            }
        }
        let renews = stale && (if_stale == Stale::Renew || self.is_empty().await?);
        if renews {
            self.forget_what_is_not_listed().await?;
            tables::forget(&*self.store, &self.job).await?;
        }
        for format in self.settings.file_formats() {
            let (tree, anew) = Tree::open(&*self.store, &self.job, &held.lock, format, renews).await?;
            held.trees.push(tree);
            if anew {
                self.renewed.push(format.word());
            }
        }
        if renews && anew.is_empty() {
            self.store.outputs_renewed(self.job.id).await?;
        }
        if stale && !renews {
            held.overtaken = true;
        } else if !anew.is_empty() {
            match self.renew(&held.lock, &anew, stale).await? {
                Some(fresh) => held.streams.extend(fresh),
                None => held.overtaken = true,
            }
        }
        self.held = Some(held);
        Ok(true)
    }

    /// Files that were written and are listed no longer stay as they are, but nothing in them counts once results were
    /// overtaken: listed again, they are rendered from the first result.
    async fn forget_what_is_not_listed(&self) -> Result<(), OutputError> {
        let others: Vec<Output> =
            Output::ALL.into_iter().filter(|output| !self.settings.list.contains(output)).collect();
        let names = formats(&others, self.job.endpoint).into_iter().map(Format::file_name);
        for name in names.chain(file_formats(&others).into_iter().map(FileFormat::word)) {
            let state = self.store.output(self.job.id, name).await?;
            if state.last_seq > 0 {
                self.store.commit_output(self.job.id, name, stream::begun()).await?;
            }
        }
        Ok(())
    }

    /// Opens one file. Whatever a stale one holds is replaced, so there is nothing to hold it against.
    async fn look_at(&self, lock: &Arc<Lock>, format: Format, stale: bool) -> Result<Found, OutputError> {
        let state = self.store.output(self.job.id, format.file_name()).await?;
        if stale && state.bytes > 0 {
            return Ok(Found::Anew(if state.last_seq > 0 { Anew::Overtaken } else { Anew::First }));
        }
        let (folder, settings) = (self.job.output.clone(), self.settings.clone());
        let at_once = self.patience.read_at_once;
        lock.during(move || Stream::open(format, &folder, state, &settings, at_once)).await
    }

    /// Renders files from the first result, beside, and renames them. `None` if re-processing overtook it: what
    /// lies there stays, and the next open begins again.
    ///
    /// The queue is told first that nothing in the files counts any more, then that it knows of the overtaken
    /// lines: from there a crash at any point leads back here, and a new overtaking raises its mark again.
    async fn renew(
        &mut self,
        lock: &Arc<Lock>,
        anew: &[(Format, Anew)],
        stale: bool,
    ) -> Result<Option<Vec<Stream>>, OutputError> {
        for &(format, why) in anew {
            self.store.commit_output(self.job.id, format.file_name(), stream::begun()).await?;
            if why != Anew::First {
                let path = self.job.output.join(format.file_name());
                tracing::info!(output = %path.display(), reason = ?why, "output is rendered anew from the queue");
                self.renewed.push(format.file_name());
            }
        }
        if stale {
            self.store.outputs_renewed(self.job.id).await?;
        }
        // What was learned before that counts from here on; what comes after raises the mark again.
        self.settings.fields = self.store.learn_fields(self.job.id, Vec::new()).await?;
        let (folder, settings) = (self.job.output.clone(), self.settings.clone());
        let formats: Vec<Format> = anew.iter().map(|(format, _)| *format).collect();
        let (mut streams, replacements): (Vec<_>, Vec<_>) = lock
            .during(move || {
                let begin = |format| Stream::begin(format, &folder, &settings);
                Ok(formats.into_iter().map(begin).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
            })
            .await?;

        loop {
            let after = streams.first().map_or(0, |s: &Stream| s.state.last_seq);
            let rows = self.store.results(self.job.id, after, RESULTS).await?;
            if self.store.outputs_stale(self.job.id).await? {
                return Ok(None);
            }
            if rows.is_empty() {
                break;
            }
            let (job, settings) = (self.job.name.clone(), self.settings.clone());
            streams = lock
                .during(move || {
                    // Not synced page by page: the rename waits for one sync of the whole.
                    let ahead = stream::append(&streams, &job, &rows, &settings, false)?;
                    streams.iter_mut().zip(ahead).for_each(|(stream, ahead)| stream.accept(ahead));
                    Ok(streams)
                })
                .await?;
        }
        let streams = lock
            .during(move || {
                for (stream, replacement) in streams.iter().zip(replacements) {
                    stream.put_in_place(replacement)?;
                }
                Ok(streams)
            })
            .await?;
        self.commit(streams.iter().map(|s| (s.format, s.state.clone())).collect()).await?;
        Ok(Some(streams))
    }

    /// Writes, syncs and commits a page. False if somebody deleted or cut a file meanwhile: it is opened anew.
    async fn append(&mut self, rows: Vec<ResultRow>) -> Result<bool, OutputError> {
        let Some(mut held) = self.held.take() else { return Ok(false) };
        let (job, settings) = (self.job.name.clone(), self.settings.clone());
        let output = self.job.output.clone();
        let (mut held, written) = blocking(move || {
            let written = held.is_whole(&output).and_then(|whole| {
                whole.then(|| stream::append(&held.streams, &job, &rows, &settings, true)).transpose()
            });
            Ok((held, written))
        })
        .await?;
        let ahead = match written {
            Ok(Some(ahead)) => ahead,
            Ok(None) => return Ok(false),
            Err(error) => {
                // Nothing is committed, and what was written is cut off before the next write.
                self.held = Some(held);
                return Err(error);
            }
        };
        // On an error here nobody knows what is committed: the files stay let go, and are opened anew.
        let states = |(s, a): (&Stream, &Ahead)| (s.format, a.state.clone());
        self.commit(held.streams.iter().zip(&ahead).map(states).collect()).await?;
        held.streams.iter_mut().zip(ahead).for_each(|(stream, ahead)| stream.accept(ahead));
        self.held = Some(held);
        Ok(true)
    }

    /// Tells the queue, all files at once: they can ride on one transaction.
    async fn commit(&self, states: Vec<(Format, OutputState)>) -> Result<(), OutputError> {
        let commits = states
            .into_iter()
            .map(|(format, state)| self.store.commit_output(self.job.id, format.file_name(), state));
        try_join_all(commits).await?;
        Ok(())
    }
}

/// Also of a page that ends before one large result: that one comes with the next step.
fn is_little(rows: &[ResultRow]) -> bool {
    let bytes: usize = rows.iter().map(|row| row.response.len()).sum();
    rows.len() * 4 < RESULTS as usize && bytes as u64 * 4 < RESULTS_BYTES
}
