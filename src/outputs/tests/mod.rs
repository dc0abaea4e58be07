//! How the files behave as a whole: against crashes, other hands, other processes; and how they look.

mod crash;
mod formats;
mod interleaving;
mod look;
mod sharing;
pub(super) mod store;
#[cfg(feature = "parquet")]
mod tables;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use store::FakeStore;

use super::patience::Patience;
use super::{FileFormat, Output, OutputSettings, Projector};
use crate::task::{Endpoint, Job, JobId, Order};

/// A job whose files go to `output`.
fn job(output: &Path) -> Job {
    Job {
        id: JobId(1),
        name: "archive".to_owned(),
        endpoint: Endpoint::SttBatch,
        options: serde_json::json!({}),
        root: "/recordings".into(),
        output: output.to_owned(),
        order: Order::default(),
    }
}

async fn open(store: &Arc<FakeStore>, output: &Path) -> Result<Projector, super::OutputError> {
    open_as(store, output, &Output::DEFAULT, u64::MAX).await
}

/// The same, with files above so many bytes being read on the side.
async fn open_reading(
    store: &Arc<FakeStore>,
    output: &Path,
    read_at_once: u64,
) -> Result<Projector, super::OutputError> {
    open_as(store, output, &Output::DEFAULT, read_at_once).await
}

/// For a job that lists these.
async fn open_with(
    store: &Arc<FakeStore>,
    output: &Path,
    list: &[Output],
) -> Result<Projector, super::OutputError> {
    open_as(store, output, list, u64::MAX).await
}

async fn open_as(
    store: &Arc<FakeStore>,
    output: &Path,
    list: &[Output],
    read_at_once: u64,
) -> Result<Projector, super::OutputError> {
    let settings = OutputSettings { list: list.to_vec(), ..OutputSettings::default() };
    // Tests do not wait long for a process that never ends.
    let (poll, limit) = (Duration::from_millis(1), Duration::from_millis(50));
    let patience = Patience { poll, limit, read_at_once };
    Projector::open_with(store.clone(), job(output), settings, patience).await
}

/// The tasks in `results.jsonl`, line by line.
fn tasks_in_jsonl(output: &Path) -> Vec<i64> {
    let text = std::fs::read_to_string(output.join("results.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["task"].as_i64().unwrap()).collect()
}

/// The tasks in a CSV file, row by row.
fn tasks_in_csv(output: &Path, name: &str) -> Vec<i64> {
    let mut reader = csv::Reader::from_path(output.join(name)).unwrap();
    let column = reader.headers().unwrap().iter().position(|h| h == "task").unwrap();
    reader.records().map(|row| row.unwrap()[column].parse().unwrap()).collect()
}

/// Asserts that every file holds exactly what stands in the queue, in commit order. Each recording of
/// [`store::stt`] has two utterances.
fn assert_exactly(store: &FakeStore, output: &Path) {
    let wanted = store.standing();
    assert_eq!(tasks_in_jsonl(output), wanted);
    assert_eq!(tasks_in_csv(output, "results.csv"), wanted);
    let twice: Vec<i64> = wanted.iter().flat_map(|task| [*task, *task]).collect();
    assert_eq!(tasks_in_csv(output, "utterances.csv"), twice);
}

/// Asserts that a tree holds a file for every result that stands, as it should be, and nothing else.
fn assert_tree(store: &FakeStore, output: &Path, format: FileFormat) {
    let job = job(output);
    let rows = store.rows();
    let mut wanted: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((job.file_of(&row.path, format.word()), format.render(row)?)))
        .collect();
    wanted.sort();
    let mut found: Vec<_> = walkdir::WalkDir::new(output.join(format.word()))
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().to_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    found.sort();
    assert_eq!(found, wanted);
    assert!(!output.join(format!(".{}.new", format.word())).exists());
}
