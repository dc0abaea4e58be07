//! Which files a job should have: what it lists, as far as a run has begun to write it. Of a job that is in no
//! configuration any more, whatever was written.

use super::finding::{Finding, Kind};
use super::{Session, VerifyError};
use crate::outputs::{self, ExportFormat, FileFormat, OutputSettings};
use crate::task::Job;

/// The files of a job.
pub(super) struct Written {
    /// Those that all results go to.
    pub(super) formats: Vec<ExportFormat>,
    /// Those of which each recording has one, and the result up to which they are written.
    pub(super) trees: Vec<(FileFormat, i64)>,
    /// Whether a run has begun the tables of Parquet.
    pub(super) has_tables: bool,
    /// Whether a run has written anything for the job.
    pub(super) is_begun: bool,
}

/// Finds out, and tells of trees that were left behind.
pub(super) async fn of(session: &mut Session<'_>, job: &Job) -> Result<Written, VerifyError> {
    let listed = session.settings.lists.get(&job.name);
    let list = match listed {
        Some(list) => list.clone(),
        None => outputs::written(session.store, job).await?,
    };
    let settings = OutputSettings { list, ..session.settings.outputs.clone() };
    let is_listed = listed.is_some();
    let (mut begun, mut not_begun, mut trees) = (Vec::new(), Vec::new(), Vec::new());
    for format in settings.formats(job.endpoint) {
        let state = session.store.output(job.id, format.file_name()).await?;
        if state.sha256.is_empty() { not_begun.push(format) } else { begun.push(format) }
    }
    let mut waiting: Vec<&str> = not_begun.iter().map(|format| format.file_name()).collect();
    for format in settings.file_formats() {
        let state = session.store.output(job.id, format.word()).await?;
        match state.sha256.is_empty() {
            true => waiting.push(format.word()),
            false => trees.push((format, state.last_seq)),
        }
    }
    let has_tables = settings.has_tables() && !outputs::tables_mark(session.store, job).await?.is_empty();
    if settings.has_tables() && !has_tables {
        waiting.extend(outputs::TABLES);
    }
    let is_begun = !begun.is_empty() || !trees.is_empty() || has_tables;
    if is_begun && is_listed && !waiting.is_empty() {
        let what = format!("job {}: the next run begins to write {}", job.name, waiting.join(", "));
        session.book.note(what);
    }
    for (format, last_seq) in &trees {
        if !session.running && !session.store.results(job.id, *last_seq, 1).await?.is_empty() {
            let what = "lacks files of results that are stored in the queue: the last run was interrupted";
            let folder = job.output.join(format.word());
            session.book.found(Finding::new(Kind::FileBehind, what).job(&job.name).file(&folder));
        }
    }
    // Where nothing was begun at all, everything that is listed is looked for.
    let formats = if is_begun || !is_listed { begun } else { not_begun };
    Ok(Written { formats, trees, has_tables, is_begun })
}
