//! A file for each recording, in a tree like the source's. Each is written beside, synced and renamed, and only then is
//! it committed how far the tree has come; a crash in between writes some files again, with the same bytes. What has
//! not changed is not touched.
//!
//! | found | done |
//! |---|---|
//! | nothing committed of the tree | every result is looked at again, and files of recordings without one go |
//! | results overtaken by a re-processing | left as it is, nothing added; the same at the end |
//! | the folder deleted | the same at once |
//! | a file deleted or changed by others | not noticed here: `verify` tells, [`render_tree`] mends |
//! | content, and never begun by this queue | refused: perhaps the only copy of another queue's results |

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OutputError;
use super::each::FileFormat;
use super::file::{self, LOCK, Lock, Replacement};
use super::page::RESULTS;
use super::stream::begun;
use crate::queue::{OutputState, ResultRow, TaskStore};
use crate::task::{Filter, Job, RecordingPath, TaskState, Timestamp};

/// Tasks looked at together when files without a result are taken away.
const PAGE: u32 = 1000;

/// The files of one format.
pub(super) struct Tree {
    pub(super) format: FileFormat,
    /// `bytes` is not used; `last_seq` is how far it has come.
    pub(super) state: OutputState,
    /// There may be files of recordings that have no result any more.
    to_sweep: bool,
}

/// What going on came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advanced {
    /// Every result that stands has its files; so many were new.
    Done(u64),
    /// Results were overtaken: nothing goes on until the files are rendered anew.
    Overtaken,
    /// Somebody deleted the files meanwhile.
    Gone,
}

impl Tree {
    /// The folder that the files lie in.
    pub(super) fn folder(job: &Job, format: FileFormat) -> PathBuf {
        job.output.join(format.word())
    }

    /// Whether nobody deleted it whole.
    pub(super) fn is_there(&self, output: &Path) -> bool {
        self.state.records == 0 || output.join(self.format.word()).is_dir()
    }

    /// Takes the files of a format over, and whether they were lost or overtaken, so that all of them are looked at anew.
    ///
    /// # Errors
    /// Refuses a folder with content that this queue never wrote.
    pub(super) async fn open(
        store: &dyn TaskStore,
        job: &Job,
        lock: &Arc<Lock>,
        format: FileFormat,
        overtaken: bool,
    ) -> Result<(Tree, bool), OutputError> {
        let state = store.output(job.id, format.word()).await?;
        let is_ours = !state.sha256.is_empty();
        let folder = Tree::folder(job, format);
        // What a killed process left half written may hold words that are to be forgotten.
        let torn = beside(job, format);
        let there = lock.during(move || forget(&torn).and_then(|()| look_at(&folder, is_ours))).await?;
        let (lost, overtaken_lines) = (state.records > 0 && !there, overtaken && state.last_seq > 0);
        let mut tree = Tree { format, state, to_sweep: false };
        if !is_ours || overtaken || lost {
            tree.state = begun();
            store.commit_output(job.id, format.word(), tree.state.clone()).await?;
        }
        tree.to_sweep = there && tree.state.last_seq == 0;
        // Also when no recording has a file: a folder that is gone means that somebody deleted them.
        let folder = Tree::folder(job, format);
        lock.during(move || file::make_folder(&folder)).await?;
        Ok((tree, is_ours && (overtaken_lines || lost)))
    }
}

/// Where a file of this format is written before it takes its place. No recording's file or folder is called like this.
fn beside(job: &Job, format: FileFormat) -> PathBuf {
    job.output.join(format!(".{}.new", format.word()))
}

fn forget(path: &Path) -> Result<(), OutputError> {
    match std::fs::remove_file(path) {
        Ok(()) => file::sync_folder(path.parent().unwrap_or(path)),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(OutputError::io("delete", path)(error)),
    }
}

/// Whether there is a folder.
fn look_at(folder: &Path, is_ours: bool) -> Result<bool, OutputError> {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(OutputError::io("open", folder)(error)),
    };
    if !is_ours && entries.next().is_some() {
        return Err(OutputError::NotOurs { path: folder.to_owned() });
    }
    Ok(true)
}

/// Writes the files of every result that has none yet. `heed_stale`: stop when results were overtaken.
pub(super) async fn advance(
    store: &dyn TaskStore,
    job: &Job,
    lock: &Arc<Lock>,
    trees: &mut [Tree],
    heed_stale: bool,
) -> Result<Advanced, OutputError> {
    sweep(store, job, lock, trees).await?;
    let mut written = 0;
    loop {
        let Some(after) = trees.iter().map(|tree| tree.state.last_seq).min() else {
            return Ok(Advanced::Done(0));
        };
        let rows = store.results(job.id, after, RESULTS).await?;
        // Asked after the page was read, as for the other files; also when there is nothing new, for a result that was
        // taken out leaves a file behind.
        if heed_stale && store.outputs_stale(job.id).await? {
            return Ok(Advanced::Overtaken);
        }
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(Advanced::Done(written)) };
        written += rows.len() as u64;
        let news: Vec<u64> = trees
            .iter()
            .map(|tree| rows.iter().filter(|row| row.seq > tree.state.last_seq).count() as u64)
            .collect();
        let formats: Vec<(FileFormat, i64)> =
            trees.iter().map(|tree| (tree.format, tree.state.last_seq)).collect();
        if trees.iter().any(|tree| !tree.is_there(&job.output)) || !lock.holds() {
            return Ok(Advanced::Gone);
        }
        let place = job.clone();
        lock.during(move || write_page(&place, &formats, &rows)).await?;
        for (tree, new) in trees.iter_mut().zip(news) {
            let records = tree.state.records + new;
            let state = OutputState { last_seq: last.max(tree.state.last_seq), records, ..begun() };
            store.commit_output(job.id, tree.format.word(), state.clone()).await?;
            tree.state = state;
        }
    }
}

fn write_page(job: &Job, formats: &[(FileFormat, i64)], rows: &[ResultRow]) -> Result<(), OutputError> {
    for row in rows {
        for (format, _) in formats.iter().filter(|(_, last_seq)| row.seq > *last_seq) {
            let place = job.file_of(&row.path, format.word());
            match format.render(row) {
                Some(file) => put(&beside(job, *format), &place, &file).map(drop)?,
                None => remove(&place)?,
            }
        }
    }
    Ok(())
}

/// Puts a file in its place, by way of another one, unless it is there with these bytes.
pub(super) fn put(beside: &Path, place: &Path, bytes: &[u8]) -> Result<bool, OutputError> {
    if holds(place, bytes)? {
        return Ok(false);
    }
    if let Some(folder) = place.parent() {
        file::make_folder(folder)?;
    }
    let (replacement, mut file) = Replacement::by_way_of(beside.to_owned(), place)?;
    file.write_all(bytes).map_err(OutputError::io("write", beside))?;
    replacement.put_in_place(&file)?;
    Ok(true)
}

/// Whether a file is there with exactly these bytes. One that cannot be read is replaced like any other.
pub(super) fn holds(place: &Path, bytes: &[u8]) -> Result<bool, OutputError> {
    match std::fs::metadata(place) {
        // Its length first: most files that differ differ in that.
        Ok(facts) if facts.is_file() && facts.len() == bytes.len() as u64 => {
            Ok(std::fs::read(place).is_ok_and(|found| found == bytes))
        }
        Ok(_) => Ok(false),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(OutputError::io("read", place)(error)),
    }
}

/// Nothing of that name, or something else where its folder would be.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Takes away the files of recordings that have no result now: those that wait to be processed again, above all.
async fn sweep(
    store: &dyn TaskStore,
    job: &Job,
    lock: &Arc<Lock>,
    trees: &mut [Tree],
) -> Result<(), OutputError> {
    let formats: Vec<FileFormat> =
        trees.iter().filter(|tree| tree.to_sweep).map(|tree| tree.format).collect();
    if formats.is_empty() {
        return Ok(());
    }
    let without = TaskState::ALL.into_iter().filter(|state| *state != TaskState::Succeeded).collect();
    let filter = Filter { states: without, jobs: vec![job.name.clone()], ..Filter::default() };
    let mut after = None;
    loop {
        // `now` matters to filters by age only.
        let tasks = store.tasks(filter.clone(), after, PAGE, Timestamp(0)).await?;
        let Some(last) = tasks.last() else { break };
        after = Some(last.id);
        let (job, formats) = (job.clone(), formats.clone());
        lock.during(move || {
            let places =
                tasks.iter().flat_map(|task| formats.iter().map(|f| job.file_of(&task.path, f.word())));
            places.into_iter().try_for_each(|place| remove(&place))
        })
        .await?;
    }
    trees.iter_mut().for_each(|tree| tree.to_sweep = false);
    Ok(())
}

fn remove(place: &Path) -> Result<(), OutputError> {
    match std::fs::remove_file(place) {
        Err(error) if !is_absent(&error) => Err(OutputError::io("remove", place)(error)),
        _ => Ok(()),
    }
}

/// Makes the tree of one format right, whatever happened to it: every file of a result that stands, with the bytes that
/// it should have, and none of a recording without one. Returns how many results there are, or `None` when another
/// process has the files of the job.
///
/// # Errors
/// A folder with content that this queue never wrote; a full disk; the queue's own.
pub async fn render_tree(
    store: &dyn TaskStore,
    job: &Job,
    format: FileFormat,
) -> Result<Option<u64>, OutputError> {
    let folder = job.output.clone();
    let lock = file::blocking(move || {
        file::make_folder(&folder)?;
        Lock::try_take(folder.join(LOCK))
    });
    let Some(lock) = lock.await? else { return Ok(None) };
    let (tree, _) = Tree::open(store, job, &lock, format, true).await?;
    let mut trees = [tree];
    match advance(store, job, &lock, &mut trees, false).await? {
        Advanced::Done(_) => Ok(Some(trees[0].state.records)),
        Advanced::Overtaken | Advanced::Gone => {
            let source = io::Error::other("its files were deleted meanwhile");
            Err(OutputError::Io { doing: "keep", path: Tree::folder(job, format), source })
        }
    }
}

/// Where a recording's file belongs in a folder that is no job's.
pub(super) fn place_in(folder: &Path, recording: &RecordingPath, format: FileFormat) -> PathBuf {
    recording.mirrored(folder, &format!(".{}", format.word()))
}
