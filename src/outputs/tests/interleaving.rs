//! The promise as a property: whatever two processes do in whatever order, every file ends with every result once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::file::{LOCK, Lock};
use super::super::{FileFormat, Output, OutputError, Projector};
use super::sharing::{When, abandon};
use super::store::{FakeStore, Fault, stt};
use super::{assert_exactly, assert_tree, open_with, tasks_in_jsonl};

#[derive(Debug, Clone)]
enum Event {
    Succeed(i64),
    Advance,
    /// The commit after so many goes wrong, then the process is gone.
    CommitFails(u32, bool),
    /// Torn bytes at the end of a file while nobody has it, then a new process.
    Torn(usize, u8),
    Delete(usize),
    DeleteTree,
    /// A process is gone.
    Crash,
    Finish,
    /// A step is given up after so many looks, as a `select!` does; its work may go on elsewhere.
    Abandoned(u32, bool),
    /// A result comes while a page is being read.
    Arrives(u32, i64),
}

const FILES: [&str; 3] = ["results.jsonl", "results.csv", "utterances.csv"];

const LIST: [Output; 3] = [Output::Jsonl, Output::Csv, Output::File(FileFormat::Srt)];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..12i64).prop_map(Event::Succeed),
        4 => Just(Event::Advance),
        2 => (0..7u32, any::<bool>()).prop_map(|(n, kept)| Event::CommitFails(n, kept)),
        1 => (0..3usize, any::<u8>()).prop_map(|(file, byte)| Event::Torn(file, byte)),
        1 => (0..3usize).prop_map(Event::Delete),
        1 => Just(Event::DeleteTree),
        1 => Just(Event::Crash),
        1 => Just(Event::Finish),
        1 => (1..12u32, any::<bool>()).prop_map(|(looks, finish)| Event::Abandoned(looks, finish)),
        1 => (0..3u32, 1..12i64).prop_map(|(reads, task)| Event::Arrives(reads, task)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_result_is_in_every_file_exactly_once_and_in_order(
        events in prop::collection::vec((prop::bool::weighted(0.3), event()), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(events));
    }
}

/// Each event with whether it is the second process's.
async fn live(events: Vec<(bool, Event)>) {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let file = |n: usize| -> PathBuf { temp.path().join(FILES[n]) };
    let mut processes: [Option<Projector>; 2] = [None, None];
    for (second, event) in events {
        let process = usize::from(second);
        match event {
            Event::Succeed(task) => store.succeed(task),
            Event::Arrives(reads, task) => {
                store.arrives_after(reads, stt(0, task, &format!("{task}.wav")));
            }
            Event::CommitFails(commits, kept) => {
                store.fail_commit(commits, if kept { Fault::After } else { Fault::Before });
            }
            Event::Crash => processes[process] = None,
            Event::Torn(n, byte) => {
                processes = [None, None];
                if let Ok(mut bytes) = std::fs::read(file(n)) {
                    bytes.extend([byte; 40]);
                    // Behind committed bytes, or behind a beginning that is ours.
                    if store.state(FILES[n]) != Default::default() {
                        std::fs::write(file(n), bytes).unwrap();
                    }
                }
            }
            Event::Delete(n) => {
                let _ = std::fs::remove_file(file(n));
            }
            // Never while files are written: what comes after the deletion would be all there is, and nobody notices.
            Event::DeleteTree => {
                processes = [None, None];
                let lock = loop {
                    match Lock::try_take(temp.path().join(LOCK)).unwrap() {
                        Some(lock) => break lock,
                        // Work that was given up goes on to its end.
                        None => tokio::task::yield_now().await,
                    }
                };
                let _ = std::fs::remove_dir_all(temp.path().join("srt"));
                drop(lock);
            }
            Event::Advance | Event::Finish | Event::Abandoned(..) => {
                let running = match processes[process].take() {
                    Some(running) => Some(running),
                    None => goes_on(begin(&store, temp.path()).await),
                };
                if let Some(mut running) = running {
                    let done = match event {
                        Event::Finish => running.finish().await.map(drop),
                        Event::Abandoned(looks, true) => {
                            abandon(running.finish(), looks, When::AtWork).await;
                            Ok(())
                        }
                        Event::Abandoned(looks, false) => {
                            abandon(running.advance(), looks, When::AtWork).await;
                            Ok(())
                        }
                        _ => running.advance().await.map(drop),
                    };
                    processes[process] = goes_on(done.map(|()| running));
                }
                if file(0).exists() {
                    let mut seen = tasks_in_jsonl_committed(&store, temp.path());
                    seen.sort_unstable();
                    let all = seen.len();
                    seen.dedup();
                    assert_eq!(seen.len(), all, "no recording is ever committed twice");
                }
            }
        }
    }
    drop(processes);
    store.fail_commit(u32::MAX, Fault::Before);
    store.nothing_arrives();
    let mut last = begin(&store, temp.path()).await.unwrap();
    // Work that was given up may still have the files.
    last.patience.limit = Duration::from_secs(30);
    assert!(last.finish().await.unwrap().complete);
    assert_exactly(&store, temp.path());
    assert_tree(&store, temp.path(), FileFormat::Srt);
}

async fn begin(store: &Arc<FakeStore>, output: &Path) -> Result<Projector, OutputError> {
    let mut projector = open_with(store, output, &LIST).await?;
    projector.patience.limit = Duration::from_millis(4);
    Ok(projector)
}

/// A failed commit ends a process; nothing else may.
fn goes_on(done: Result<Projector, OutputError>) -> Option<Projector> {
    match done {
        Ok(running) => Some(running),
        Err(OutputError::Queue(_)) => None,
        Err(refusal) => panic!("nobody cut or changed anything, yet: failed to {refusal}"),
    }
}

/// What a reader may rely on at any time: the committed bytes.
fn tasks_in_jsonl_committed(store: &FakeStore, output: &Path) -> Vec<i64> {
    let bytes = std::fs::read(output.join(FILES[0])).unwrap();
    let committed = usize::try_from(store.state(FILES[0]).bytes).unwrap().min(bytes.len());
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join(FILES[0]), &bytes[..committed]).unwrap();
    tasks_in_jsonl(copy.path())
}
