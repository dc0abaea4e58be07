//! Files of single recordings: each with its result, whatever happens in between.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::super::file::{LOCK, Lock};
use super::super::{FileFormat, Output, OutputError, Waits, render_tree, written};
use super::store::{FakeStore, Fault, stt};
use super::{assert_exactly, assert_tree, job, open_with, tasks_in_jsonl};
use crate::queue::ResultRow;

const SRT: Output = Output::File(FileFormat::Srt);
const TXT: Output = Output::File(FileFormat::Txt);
const ALL: [Output; 4] = [Output::Jsonl, Output::Csv, TXT, SRT];

fn assert_all(store: &FakeStore, output: &Path) {
    assert_exactly(store, output);
    assert_tree(store, output, FileFormat::Srt);
    assert_tree(store, output, FileFormat::Txt);
}

/// A queue with two results that are in the files already.
async fn two_written(output: &Path) -> Arc<FakeStore> {
    let store = Arc::new(FakeStore::default());
    store.succeed(10);
    store.succeed(20);
    open_with(&store, output, &ALL).await.unwrap().advance().await.unwrap();
    assert_all(&store, output);
    store
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn every_recording_gets_its_files_while_results_come() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut projector = open_with(&store, temp.path(), &ALL).await.unwrap();
    for task in 1..=40 {
        store.add(stt(0, task, &format!("2024/{}/a b.wav", task)));
    }
    assert_eq!(projector.advance().await.unwrap().records, 40);
    assert_all(&store, temp.path());
    store.succeed(41);
    let summary = projector.finish().await.unwrap();
    assert!(summary.complete);
    let told: Vec<_> = summary.files.iter().map(|f| (f.records, f.rendered_anew)).collect();
    let trees = (temp.path().join("txt"), temp.path().join("srt"));
    assert_eq!((&summary.files[3].path, &summary.files[4].path), (&trees.0, &trees.1));
    assert_eq!(told[3..5], [(41, false), (41, false)]);
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn a_crash_at_any_commit_leaves_every_file_as_it_should_be() {
    for commits in 0..14 {
        for fault in [Fault::Before, Fault::After] {
            let temp = tempfile::tempdir().unwrap();
            let store = Arc::new(FakeStore::default());
            store.succeed(10);
            store.fail_commit(commits, fault);
            let crashed = match open_with(&store, temp.path(), &ALL).await {
                Ok(mut projector) => {
                    let first = projector.advance().await.is_err();
                    store.succeed(20);
                    first || projector.advance().await.is_err()
                }
                Err(_) => true,
            };
            assert!(crashed, "commit {commits}");
            std::fs::write(temp.path().join(".srt.new"), "torn").unwrap();
            store.succeed(30);
            open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
            assert_all(&store, temp.path());
        }
    }
}

#[tokio::test]
async fn a_result_that_is_overtaken_is_held_back_and_replaced_at_the_end() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    let mut projector = open_with(&store, temp.path(), &ALL).await.unwrap();
    let other = stt(0, 10, "10.wav").response.replace("Line two", "Line six");
    store.add(ResultRow { response: other, ..stt(0, 10, "10.wav") });
    let kept = temp.path().join("srt/20.wav.srt");
    let before = inode(&kept);
    let progress = projector.advance().await.unwrap();
    assert_eq!(progress.waits, Some(Waits::Reprocessing));
    let text = || std::fs::read_to_string(temp.path().join("srt/10.wav.srt")).unwrap();
    assert!(text().contains("Line two"));
    let summary = projector.finish().await.unwrap();
    assert!(summary.complete && summary.files[3].rendered_anew && !store.is_stale());
    assert!(text().contains("Line six"));
    assert_eq!(inode(&kept), before, "what has not changed is not touched");
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn a_recording_that_is_queued_again_loses_its_files_until_it_has_a_result() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    store.requeue(10);
    open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
    assert!(!temp.path().join("srt/10.wav.srt").exists());
    assert_all(&store, temp.path());
    store.succeed(10);
    open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn an_answer_that_was_deleted_on_purpose_takes_its_files_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    store.add(ResultRow { response: "null".into(), ..stt(0, 10, "10.wav") });
    open_with(&store, temp.path(), &[SRT, TXT]).await.unwrap().finish().await.unwrap();
    assert!(!temp.path().join("txt/10.wav.txt").exists());
    assert_tree(&store, temp.path(), FileFormat::Srt);
    assert_tree(&store, temp.path(), FileFormat::Txt);
}

#[tokio::test]
async fn rendering_anew_survives_a_crash_at_any_commit() {
    for commits in 0..10 {
        for fault in [Fault::Before, Fault::After] {
            let temp = tempfile::tempdir().unwrap();
            let store = two_written(temp.path()).await;
            store.requeue(20);
            store.succeed(10);
            let mut projector = open_with(&store, temp.path(), &ALL).await.unwrap();
            store.fail_commit(commits, fault);
            projector.finish().await.unwrap_err();
            drop(projector);
            open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
            assert_all(&store, temp.path());
        }
    }
}

#[tokio::test]
async fn a_tree_that_is_deleted_comes_back_also_under_a_run() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    std::fs::remove_dir_all(temp.path().join("srt")).unwrap();
    let mut projector = open_with(&store, temp.path(), &ALL).await.unwrap();
    projector.advance().await.unwrap();
    assert_all(&store, temp.path());
    std::fs::remove_dir_all(temp.path().join("txt")).unwrap();
    store.succeed(30);
    projector.advance().await.unwrap();
    assert_all(&store, temp.path());
    std::fs::remove_dir_all(temp.path().join("srt")).unwrap();
    let summary = projector.finish().await.unwrap();
    assert!(summary.files[3].rendered_anew && summary.files[4].rendered_anew);
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn files_that_this_queue_never_wrote_are_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let theirs = temp.path().join("srt/10.wav.srt");
    std::fs::create_dir(temp.path().join("srt")).unwrap();
    std::fs::write(&theirs, "paid for").unwrap();
    let store = Arc::new(FakeStore::default());
    store.succeed(10);
    let error = open_with(&store, temp.path(), &[SRT]).await.err().unwrap();
    assert!(matches!(error, OutputError::NotOurs { .. }), "{error}");
    assert!(matches!(
        render_tree(&*store, &job(temp.path()), FileFormat::Srt).await,
        Err(OutputError::NotOurs { .. })
    ));
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "paid for");
}

#[tokio::test]
async fn a_list_without_lines_makes_none_and_other_lists_what_they_say() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    store.succeed(10);
    let summary = open_with(&store, temp.path(), &[SRT]).await.unwrap().finish().await.unwrap();
    assert!(summary.complete && !temp.path().join("results.jsonl").exists());
    assert_tree(&store, temp.path(), FileFormat::Srt);
    store.succeed(10);
    let mut projector = open_with(&store, temp.path(), &[SRT, Output::Nemo]).await.unwrap();
    assert!(projector.finish().await.unwrap().complete && !store.is_stale());
    assert_tree(&store, temp.path(), FileFormat::Srt);
    let manifest = std::fs::read_to_string(temp.path().join("nemo.jsonl")).unwrap();
    assert_eq!(manifest.lines().count(), 2);
}

#[tokio::test]
async fn what_was_not_listed_while_results_were_overtaken_says_each_once_when_it_is_listed_again() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    store.succeed(10);
    open_with(&store, temp.path(), &[SRT]).await.unwrap().finish().await.unwrap();
    assert_eq!(tasks_in_jsonl(temp.path()), [10, 20], "left as it is");
    let written = written(&*store, &job(temp.path())).await.unwrap();
    assert_eq!(written, ALL, "and still known");
    assert_tree(&store, temp.path(), FileFormat::Srt);
    open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn a_process_that_leaves_waits_until_the_other_has_written_the_files() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut first = open_with(&store, temp.path(), &ALL).await.unwrap();
    let mut second = open_with(&store, temp.path(), &ALL).await.unwrap();
    store.succeed(1);
    assert_eq!(second.advance().await.unwrap().waits, Some(Waits::OtherProcess));
    assert!(!second.finish().await.unwrap().complete);
    first.advance().await.unwrap();
    assert!(second.finish().await.unwrap().complete);
    assert_all(&store, temp.path());
}

#[tokio::test]
async fn rendering_a_tree_mends_whatever_was_done_to_it() {
    let temp = tempfile::tempdir().unwrap();
    let store = two_written(temp.path()).await;
    std::fs::write(temp.path().join("srt/10.wav.srt"), "altered").unwrap();
    std::fs::remove_file(temp.path().join("srt/20.wav.srt")).unwrap();
    let job = job(temp.path());
    assert_eq!(render_tree(&*store, &job, FileFormat::Srt).await.unwrap(), Some(2));
    assert_all(&store, temp.path());

    let lock = Lock::try_take(temp.path().join(LOCK)).unwrap().unwrap();
    assert_eq!(render_tree(&*store, &job, FileFormat::Srt).await.unwrap(), None, "a run has the files");
    drop(lock);
    store.requeue(20);
    assert_eq!(render_tree(&*store, &job, FileFormat::Srt).await.unwrap(), Some(1));
    assert_tree(&store, temp.path(), FileFormat::Srt);
    assert!(store.is_stale(), "the other files still have to be rendered anew");
    open_with(&store, temp.path(), &ALL).await.unwrap().finish().await.unwrap();
    assert_all(&store, temp.path());
}
