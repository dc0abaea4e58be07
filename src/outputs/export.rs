//! Rendering whatever a filter picks, to anywhere. At a time it holds one page of tasks and one result.

use std::io::Write;
use std::path::Path;

use super::each::FileFormat;
use super::format::Format;
use super::record::Record;
use super::{OutputError, OutputSettings, transcript, tree};
use crate::queue::{ResultRow, TaskRow, TaskStore};
use crate::task::{Filter, TaskId, TaskState, Timestamp};

/// Tasks read at once.
const PAGE: u32 = 1000;

/// Writes a line for each recording that the filter picks, by task number; those that succeeded with their
/// result, the others with their state and cause (and no lines at all in [`Format::Utterances`] and [`Format::Nemo`]). Returns the
/// number of lines without a header. `now` is what `since:` and `before:` count from.
///
/// # Errors
/// [`OutputError::Export`] when `to` takes no more; the queue's own.
pub async fn export(
    store: &dyn TaskStore,
    format: Format,
    filter: Filter,
    settings: &OutputSettings,
    now: Timestamp,
    to: &mut (dyn Write + Send),
) -> Result<u64, OutputError> {
    to.write_all(&format.header(settings)).map_err(OutputError::Export)?;
    let (mut after, mut lines, mut line) = (None, 0, Vec::new());
    loop {
        let tasks = store.tasks(filter.clone(), after, PAGE, now).await?;
        let Some(last) = tasks.last() else { break };
        after = Some(last.id);
        for task in &tasks {
            line.clear();
            let result = match task.state {
                TaskState::Succeeded => store.result(task.id).await?,
                _ => None,
            };
            let rendered = match &result {
                Some(row) => {
                    let transcript = transcript::read(row.endpoint, &row.response);
                    let record = Record::of_result(&task.job_name, row, &transcript);
                    format.render(&mut line, &record, settings)
                }
                // Without a result, or it was queued again since the page was read.
                None => format.render(&mut line, &Record::of_task(task), settings),
            };
            lines += rendered.map_err(OutputError::Export)?;
            to.write_all(&line).map_err(OutputError::Export)?;
        }
    }
    to.flush().map_err(OutputError::Export)?;
    Ok(lines)
}

/// What an export of files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Files that were written.
    pub written: u64,
    /// Files that were there already, with these bytes.
    pub unchanged: u64,
    /// Recordings that were picked and have no result.
    pub without: u64,
}

/// Writes a file for each recording that the filter picks and that has a result, below `folder`, in a tree like the
/// source's. The filter should pick recordings of one job: those of others could claim the same places.
///
/// # Errors
/// [`OutputError::InTheWay`] for another file that is there already, unless `replace`; trouble with files; the queue's.
pub async fn export_files(
    store: &dyn TaskStore,
    format: FileFormat,
    filter: Filter,
    now: Timestamp,
    folder: &Path,
    replace: bool,
) -> Result<Exported, OutputError> {
    let mut done = Exported::default();
    let beside = folder.join(format!(".{}.new", format.word()));
    let (mut after, mut page) = (None, None);
    while let Some(result) = next(store, &filter, &mut after, &mut page, now).await? {
        let Some((result, bytes)) = result.and_then(|row| format.render(&row).map(|file| (row, file))) else {
            done.without += 1;
            continue;
        };
        let place = tree::place_in(folder, &result.path, format);
        if !replace && std::fs::symlink_metadata(&place).is_ok() && !tree::holds(&place, &bytes)? {
            return Err(OutputError::InTheWay { path: place });
        }
        if tree::put(&beside, &place, &bytes)? {
            done.written += 1;
        } else {
            done.unchanged += 1;
        }
    }
    Ok(done)
}

/// Writes what would be files behind each other, at most `most`; returns how many recordings had a result. More than
/// `most` are counted and not written.
///
/// # Errors
/// [`OutputError::Export`] when `to` takes no more; the queue's own.
pub async fn export_joined(
    store: &dyn TaskStore,
    format: FileFormat,
    filter: Filter,
    now: Timestamp,
    most: u64,
    to: &mut (dyn Write + Send),
) -> Result<u64, OutputError> {
    let mut count = 0;
    let (mut after, mut page) = (None, None);
    while let Some(result) = next(store, &filter, &mut after, &mut page, now).await? {
        let Some(file) = result.and_then(|row| format.render(&row)) else { continue };
        count += 1;
        if count > most {
            break;
        }
        to.write_all(&file).map_err(OutputError::Export)?;
    }
    to.flush().map_err(OutputError::Export)?;
    Ok(count)
}

type Page = std::vec::IntoIter<TaskRow>;

/// The next task that a filter picks, with its result if it stands.
async fn next(
    store: &dyn TaskStore,
    filter: &Filter,
    after: &mut Option<TaskId>,
    page: &mut Option<Page>,
    now: Timestamp,
) -> Result<Option<Option<ResultRow>>, OutputError> {
    loop {
        if let Some(task) = page.as_mut().and_then(Iterator::next) {
            return Ok(Some(match task.state {
                TaskState::Succeeded => store.result(task.id).await?,
                _ => None,
            }));
        }
        let tasks = store.tasks(filter.clone(), *after, PAGE, now).await?;
        let Some(last) = tasks.last() else { return Ok(None) };
        *after = Some(last.id);
        *page = Some(tasks.into_iter());
    }
}
