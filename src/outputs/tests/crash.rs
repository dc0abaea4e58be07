//! The crash table, and other people's hands on the files.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::super::OutputError;
use super::store::{FakeStore, Fault, stt};
use super::{assert_exactly, open, open_reading, tasks_in_jsonl};

/// A queue with two results that are in the files already.
async fn two_written(output: &Path) -> Arc<FakeStore> {
    let store = Arc::new(FakeStore::default());
    store.succeed(10);
    store.succeed(20);
    assert_eq!(open(&store, output).await.unwrap().advance().await.unwrap().records, 0, "open did it");
    assert_exactly(&store, output);
    store
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn results_are_appended_live_and_counted() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut projector = open(&store, temp.path()).await.unwrap();
    for task in 1..=40 {
        store.succeed(task);
    }
    assert_eq!(projector.advance().await.unwrap().records, 40);
    assert_exactly(&store, temp.path());
    assert_eq!(projector.advance().await.unwrap().records, 0);
    store.succeed(41);
    let summary = projector.finish().await.unwrap();
    assert_exactly(&store, temp.path());
    assert!(summary.complete);
    let counts: Vec<u64> = summary.files.iter().map(|f| f.records).collect();
    assert_eq!(counts, [41, 41, 82, 0, 0]);
    assert!(summary.files.iter().all(|f| f.path.is_file() && !f.rendered_anew));
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_written_again() {
    for name in ["results.jsonl", "results.csv", "utterances.csv"] {
        let temp = tempfile::tempdir().unwrap();
        let store = two_written(temp.path()).await;
        append(&temp.path().join(name), b"{\"schema\":\"voxbatch.resu");
        store.succeed(30);
        open(&store, temp.path()).await.unwrap().finish().await.unwrap();
        assert_exactly(&store, temp.path());
    }
}

#[tokio::test]
async fn a_tail_longer_than_what_comes_next_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let mut projector = open(&store, temp.path()).await.unwrap();
    append(&temp.path().join("results.csv"), &[b'x'; 100_000]);
    store.succeed(30);
    projector.advance().await.unwrap();
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn a_crash_at_any_commit_repeats_and_loses_nothing() {
    // The first commits are the three beginnings, then three of rendering, then three of each page.
    for commits in 0..9 {
        for fault in [Fault::Before, Fault::After] {
            let temp = tempfile::tempdir().unwrap();
            let store = Arc::new(FakeStore::default());
            store.succeed(10);
            store.fail_commit(commits, fault);
            let crashed = match open(&store, temp.path()).await {
                Ok(mut projector) => {
                    store.succeed(20);
                    projector.advance().await.is_err()
                }
                Err(_) => true,
            };
            assert!(crashed, "commit {commits}");
            store.succeed(30);
            open(&store, temp.path()).await.unwrap().finish().await.unwrap();
            assert_exactly(&store, temp.path());
        }
    }
}

#[tokio::test]
async fn the_same_projector_goes_on_after_a_commit_of_unknown_fate() {
    for fault in [Fault::Before, Fault::After] {
        let temp = tempfile::tempdir().unwrap();
        let store = two_written(temp.path()).await;
        let mut projector = open(&store, temp.path()).await.unwrap();
        store.succeed(30);
        store.fail_commit(1, fault);
        projector.advance().await.unwrap_err();
        projector.advance().await.unwrap();
        assert_exactly(&store, temp.path());
    }
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused_and_left_alone() {
    for name in ["results.jsonl", "results.csv", "utterances.csv"] {
        let temp = tempfile::tempdir().unwrap();
        let store = two_written(temp.path()).await;
        let path = temp.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let error = open(&store, temp.path()).await.err().unwrap();
        assert!(
            matches!(&error, OutputError::CutByOthers { expected, found, .. } if *expected == found + 1),
            "{error}"
        );
        assert!(error.to_string().contains("delete it and the next run makes it anew"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), whole[..whole.len() - 1]);
    }
}

#[tokio::test]
async fn a_file_that_was_changed_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let path = temp.path().join("results.csv");
    let changed = std::fs::read_to_string(&path).unwrap().replacen("Line two", "Line six", 1) + "tail";
    std::fs::write(&path, &changed).unwrap();
    let error = open(&store, temp.path()).await.err().unwrap();
    assert!(matches!(error, OutputError::ChangedByOthers { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
}

#[tokio::test]
async fn a_large_file_is_read_beside_the_run_and_then_added_to() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let mut projector = open_reading(&store, temp.path(), 0).await.unwrap();
    store.succeed(30);
    projector.advance().await.unwrap();
    assert_exactly(&store, temp.path());
    projector.finish().await.unwrap();
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn a_large_file_that_was_changed_is_refused_before_anything_is_added_to_it() {
    for results in [0, 1] {
        let temp = tempfile::tempdir().unwrap();
        let store = two_written(temp.path()).await;
        let path = temp.path().join("results.csv");
        let changed = std::fs::read_to_string(&path).unwrap().replacen("Line two", "Line six", 1);
        std::fs::write(&path, &changed).unwrap();
        let mut projector = open_reading(&store, temp.path(), 0).await.unwrap();
        (0..results).for_each(|n| store.succeed(30 + n));
        for _ in 0..2 {
            // Whatever came meanwhile or did not: the end of a run does not pass over it.
            let error = projector.finish().await.unwrap_err();
            assert!(matches!(error, OutputError::ChangedByOthers { .. }), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
    }
}

#[tokio::test]
async fn a_large_file_that_was_cut_is_refused_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let file = std::fs::File::options().write(true).open(temp.path().join("results.jsonl")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let error = open_reading(&store, temp.path(), 0).await.err().unwrap();
    assert!(matches!(error, OutputError::CutByOthers { .. }), "{error}");
}

#[tokio::test]
async fn a_large_file_with_another_header_is_made_anew_only_if_nobody_changed_it() {
    for hand in [false, true] {
        let temp = tempfile::tempdir().unwrap();
        let store = two_written(temp.path()).await;
        let path = temp.path().join("results.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        if hand {
            std::fs::write(&path, text.replacen("task", "mine", 1)).unwrap();
        } else {
            std::fs::write(&path, &text).unwrap();
        }
        let opened = open_reading(&store, temp.path(), 0).await;
        assert_eq!(opened.is_err(), hand);
    }
}

#[tokio::test]
async fn a_file_that_was_deleted_is_made_anew_and_that_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    std::fs::remove_file(temp.path().join("results.csv")).unwrap();
    let summary = open(&store, temp.path()).await.unwrap().finish().await.unwrap();
    assert_exactly(&store, temp.path());
    let anew: Vec<_> = summary.files.iter().filter(|f| f.rendered_anew).map(|f| &f.path).collect();
    assert_eq!(anew, [&temp.path().join("results.csv")]);
}

#[tokio::test]
async fn a_folder_that_is_deleted_under_a_run_comes_back_whole() {
    let temp = tempfile::tempdir().unwrap();
    let output = temp.path().join("out");
    let store = two_written(&output).await;
    let mut projector = open(&store, &output).await.unwrap();
    std::fs::remove_dir_all(&output).unwrap();
    store.succeed(30);
    projector.advance().await.unwrap();
    assert_exactly(&store, &output);
    std::fs::remove_dir_all(&output).unwrap();
    assert!(projector.finish().await.unwrap().complete, "also when nothing is new");
    assert_exactly(&store, &output);
}

#[tokio::test]
async fn content_that_this_queue_never_wrote_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    two_written(temp.path()).await;
    let paid = std::fs::read(temp.path().join("results.jsonl")).unwrap();
    // The state folder was lost; a new queue meets the old files.
    let new = Arc::new(FakeStore::default());
    new.succeed(1);
    let error = open(&new, temp.path()).await.err().unwrap();
    assert!(matches!(error, OutputError::NotOurs { .. }), "{error}");
    assert_eq!(std::fs::read(temp.path().join("results.jsonl")).unwrap(), paid);
}

#[tokio::test]
async fn another_header_makes_the_tables_anew_and_keeps_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let excel = crate::outputs::OutputSettings { csv_bom: true, ..Default::default() };
    let mut projector =
        crate::outputs::Projector::open(store.clone(), super::job(temp.path()), excel).await.unwrap();
    let summary = projector.finish().await.unwrap();
    let anew: Vec<bool> = summary.files.iter().map(|f| f.rendered_anew).collect();
    assert_eq!(anew, [false, true, true, false, false]);
    assert_exactly(&store, temp.path());
    assert!(std::fs::read(temp.path().join("results.csv")).unwrap().starts_with(b"\xef\xbb\xbfjob,"));
}

#[tokio::test]
async fn a_result_that_is_overtaken_is_never_in_a_file_beside_its_successor() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let mut projector = open(&store, temp.path()).await.unwrap();
    store.succeed(10);
    store.succeed(30);
    let progress = projector.advance().await.unwrap();
    assert_eq!((progress.records, progress.waits), (0, Some(crate::outputs::Waits::Reprocessing)));
    assert_eq!(tasks_in_jsonl(temp.path()), [10, 20], "held back while the run goes on");
    let summary = projector.finish().await.unwrap();
    assert!(summary.complete && summary.files[0].rendered_anew && !store.is_stale());
    assert_eq!(store.standing(), [20, 10, 30]);
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn files_with_overtaken_lines_stay_whole_until_the_run_ends() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let before = std::fs::read(temp.path().join("results.csv")).unwrap();
    store.succeed(10);
    let mut next_run = open(&store, temp.path()).await.unwrap();
    store.succeed(30);
    next_run.advance().await.unwrap();
    assert_eq!(std::fs::read(temp.path().join("results.csv")).unwrap(), before);
    next_run.finish().await.unwrap();
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn rendering_anew_survives_a_crash_at_any_commit() {
    for commits in 0..6 {
        for fault in [Fault::Before, Fault::After] {
            let temp = tempfile::tempdir().unwrap();
            let store = two_written(temp.path()).await;
            store.succeed(10);
            let mut projector = open(&store, temp.path()).await.unwrap();
            store.fail_commit(commits, fault);
            projector.finish().await.unwrap_err();
            drop(projector);
            open(&store, temp.path()).await.unwrap().finish().await.unwrap();
            assert_exactly(&store, temp.path());
        }
    }
}

#[tokio::test]
async fn a_result_overtaken_while_files_are_rendered_anew_starts_that_over() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    store.succeed(10);
    let mut projector = open(&store, temp.path()).await.unwrap();
    // The rendering reads 10's new result, and that is overtaken before the files are renamed.
    store.arrives_after(1, stt(100, 10, "10.wav"));
    assert!(projector.finish().await.unwrap().complete);
    assert_eq!(store.standing(), [20, 10]);
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn re_processing_that_never_rests_leaves_the_old_files_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let mut projector = open(&store, temp.path()).await.unwrap();
    for read in 0..20 {
        store.arrives_after(read, stt(100 + i64::from(read), 10, "10.wav"));
    }
    assert!(!projector.finish().await.unwrap().complete);
    assert_eq!(tasks_in_jsonl(temp.path()), [10, 20]);
    drop(projector);
    for _ in 0..20 {
        let _ = crate::queue::TaskStore::results(&*store, crate::task::JobId(1), 0, 1).await;
    }
    assert!(open(&store, temp.path()).await.unwrap().finish().await.unwrap().complete);
    assert_exactly(&store, temp.path());
}
