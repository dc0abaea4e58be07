//! The promise as a property: whatever happens in whatever order, every file ends with every result once.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::OutputError;
use super::store::{FakeStore, Fault};
use super::{assert_exactly, open, tasks_in_jsonl};

#[derive(Debug, Clone)]
enum Event {
    Succeed(i64),
    Advance,
    /// The commit after so many goes wrong, then the process is gone.
    CommitFails(u32, bool),
    /// Torn bytes at the end of a file while nobody has it, then a new process.
    Torn(usize, u8),
    Delete(usize),
    Crash,
    Finish,
}

const FILES: [&str; 3] = ["results.jsonl", "results.csv", "utterances.csv"];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..12i64).prop_map(Event::Succeed),
        4 => Just(Event::Advance),
        2 => (0..7u32, any::<bool>()).prop_map(|(n, kept)| Event::CommitFails(n, kept)),
        1 => (0..3usize, any::<u8>()).prop_map(|(file, byte)| Event::Torn(file, byte)),
        1 => (0..3usize).prop_map(Event::Delete),
        1 => Just(Event::Crash),
        1 => Just(Event::Finish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_result_is_in_every_file_exactly_once_and_in_order(
        events in prop::collection::vec(event(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(events));
    }
}

async fn live(events: Vec<Event>) {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let file = |n: usize| -> PathBuf { temp.path().join(FILES[n]) };
    let mut projector = None;
    for event in events {
        match event {
            Event::Succeed(task) => store.succeed(task),
            Event::CommitFails(commits, kept) => {
                store.fail_commit(commits, if kept { Fault::After } else { Fault::Before });
            }
            Event::Crash => projector = None,
            Event::Torn(n, byte) => {
                projector = None;
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
            Event::Advance | Event::Finish => {
                if projector.is_none() {
                    projector = match open(&store, temp.path()).await {
                        Ok(opened) => Some(opened),
                        Err(OutputError::Queue(_)) => None,
                        Err(refusal) => panic!("nobody cut or changed anything, yet: failed to {refusal}"),
                    };
                }
                if let Some(mut running) = projector.take() {
                    let done = match event {
                        Event::Advance => running.advance().await.map(drop),
                        _ => running.finish().await.map(drop),
                    };
                    projector = match done {
                        Ok(()) => Some(running),
                        // A failed commit ends the process.
                        Err(OutputError::Queue(_)) => None,
                        Err(refusal) => panic!("nobody cut or changed anything, yet: failed to {refusal}"),
                    };
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
    drop(projector);
    store.fail_commit(u32::MAX, Fault::Before);
    let summary = open(&store, temp.path()).await.unwrap().finish().await.unwrap();
    assert!(summary.complete);
    assert_exactly(&store, temp.path());
}

/// What a reader may rely on at any time: the committed bytes.
fn tasks_in_jsonl_committed(store: &FakeStore, output: &std::path::Path) -> Vec<i64> {
    let bytes = std::fs::read(output.join(FILES[0])).unwrap();
    let committed = usize::try_from(store.state(FILES[0]).bytes).unwrap().min(bytes.len());
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join(FILES[0]), &bytes[..committed]).unwrap();
    tasks_in_jsonl(copy.path())
}
