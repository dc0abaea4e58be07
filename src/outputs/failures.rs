//! `failures.jsonl` and `failures.csv`: the recordings that stand failed or refused. They change in the middle
//! (a retry takes one out), so they are not appended but written beside and renamed, and only when they differ.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::file::{self, Lock, Replacement};
use super::patience::Patience;
use super::record::Record;
use super::{OutputError, OutputSettings, csv, jsonl, proof};
use crate::queue::{TaskRow, TaskStore};
use crate::task::{Filter, Job, TaskState, Timestamp};

/// The files: lines of JSON, and a table.
pub const NAMES: [&str; 2] = ["failures.jsonl", "failures.csv"];

/// Its own lock and held for a moment: a process that ends can write its failures while another one has the
/// results' files for hours.
const LOCK: &str = ".failures.lock";

/// Rows read and rendered at once; a message has 2 KiB at most.
const PAGE: u32 = 1000;

/// Writes both files. Returns how many recordings are in them, or `None` if the lock was not to be had.
pub(super) async fn write(
    store: &dyn TaskStore,
    job: &Job,
    settings: &OutputSettings,
    patience: Patience,
) -> Result<Option<u64>, OutputError> {
    let Some(lock) = Lock::wait(&job.output, LOCK, patience).await? else { return Ok(None) };
    let folder = job.output.clone();
    let header = csv::failures_header(settings);
    let mut drafts = lock.during(move || Draft::both(&folder, &header)).await?;
    let filter =
        Filter { states: vec![TaskState::Failed], jobs: vec![job.name.clone()], ..Filter::default() };
    let (mut after, mut count) = (None, 0);
    loop {
        // `now` matters to filters by age only.
        let rows = store.tasks(filter.clone(), after, PAGE, Timestamp(0)).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        count += rows.len() as u64;
        let settings = settings.clone();
        drafts = lock
            .during(move || {
                let [jsonl, csv] = render(&rows, &settings)?;
                drafts[0].write(&jsonl)?;
                drafts[1].write(&csv)?;
                Ok(drafts)
            })
            .await?;
    }
    lock.during(move || drafts.into_iter().try_for_each(Draft::put_in_place_if_changed)).await?;
    Ok(Some(count))
}

fn render(rows: &[TaskRow], settings: &OutputSettings) -> Result<[Vec<u8>; 2], OutputError> {
    let [mut lines, mut table] = [Vec::new(), Vec::new()];
    for row in rows {
        let record = Record::of_task(row);
        jsonl::line(&mut lines, &record).map_err(OutputError::io("render", Path::new(NAMES[0])))?;
        csv::failure(&mut table, &record, settings)
            .map_err(OutputError::io("render", Path::new(NAMES[1])))?;
    }
    Ok([lines, table])
}

/// A file on its way to replace another.
struct Draft {
    file: File,
    replacement: Replacement,
    target: std::path::PathBuf,
    bytes: u64,
    hash: Sha256,
}

impl Draft {
    fn both(folder: &Path, csv_header: &[u8]) -> Result<[Draft; 2], OutputError> {
        let [lines, table] = NAMES.map(|name| folder.join(name));
        let (lines, mut table) = (Draft::begin(lines)?, Draft::begin(table)?);
        table.write(csv_header)?;
        Ok([lines, table])
    }

    fn begin(target: std::path::PathBuf) -> Result<Draft, OutputError> {
        let (replacement, file) = Replacement::begin(&target)?;
        Ok(Draft { file, replacement, target, bytes: 0, hash: Sha256::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(OutputError::io("write", &self.target))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// An unchanged file keeps its modification time, so that whatever watches it is not woken for nothing.
    fn put_in_place_if_changed(self) -> Result<(), OutputError> {
        if let Some(there) = file::open_existing(&self.target)?
            && file::length(&there, &self.target)? == self.bytes
            && file::hex(&proof::read(&there, &self.target, self.bytes)?) == file::hex(&self.hash)
        {
            return Ok(());
        }
        self.replacement.put_in_place(&self.file)
    }
}
