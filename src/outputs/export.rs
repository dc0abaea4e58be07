//! Rendering whatever a filter picks, to anywhere. At a time it holds one page of tasks and one result.

use std::io::Write;

use super::format::Format;
use super::record::Record;
use super::{OutputError, OutputSettings, transcript};
use crate::queue::TaskStore;
use crate::task::{Filter, TaskState, Timestamp};

/// Tasks read at once.
const PAGE: u32 = 1000;

/// Writes a line for each recording that the filter picks, by task number; those that succeeded with their
/// result, the others with their state and cause (and no lines at all in [`Format::Utterances`]). Returns the
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
