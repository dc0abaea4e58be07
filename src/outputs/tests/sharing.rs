//! Several processes on one job: one has the files, all of them may leave.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::super::file::Lock;
use super::super::{FileFormat, Output, OutputFile, Progress, Waits};
use super::store::{FakeStore, failed};
use super::{assert_exactly, assert_tree, open, open_with, tasks_in_csv};
use crate::queue::TaskStore as _;
use crate::task::{Cause, JobId};

#[tokio::test]
async fn only_one_projects_and_it_projects_everybodys_results() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut first = open(&store, temp.path()).await.unwrap();
    let mut second = open(&store, temp.path()).await.unwrap();
    store.succeed(1);
    let progress = second.advance().await.unwrap();
    assert_eq!((progress.records, progress.waits), (0, Some(Waits::OtherProcess)));
    first.advance().await.unwrap();
    assert_exactly(&store, temp.path());
    assert!(second.finish().await.unwrap().complete, "nothing is left to do for the one that leaves");
}

#[tokio::test]
async fn who_finishes_lets_the_other_go_on() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut first = open(&store, temp.path()).await.unwrap();
    let mut second = open(&store, temp.path()).await.unwrap();
    store.succeed(1);
    first.finish().await.unwrap();
    store.succeed(2);
    assert_eq!(second.advance().await.unwrap().records, 1);
    store.succeed(3);
    assert!(second.finish().await.unwrap().complete);
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn a_finish_waits_for_the_one_that_has_the_files() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut first = open(&store, temp.path()).await.unwrap();
    let mut second = open(&store, temp.path()).await.unwrap();
    second.patience.limit = Duration::from_secs(30);
    store.succeed(1);
    let (waits, ends) = tokio::join!(second.finish(), async {
        tokio::task::yield_now().await;
        first.advance().await
    });
    assert_eq!(ends.unwrap().records, 1);
    assert!(waits.unwrap().complete);
    assert_exactly(&store, temp.path());
}

#[tokio::test]
async fn a_holder_that_does_not_move_is_left_with_the_files_after_a_while() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut stuck = open(&store, temp.path()).await.unwrap();
    let mut second = open(&store, temp.path()).await.unwrap();
    store.succeed(1);
    assert!(!second.finish().await.unwrap().complete);
    assert!(stuck.finish().await.unwrap().complete);
    assert_exactly(&store, temp.path());
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum When {
    AtWork,
    WorkEnded,
}

/// Polls a future so many times and drops it there, as a `select!` does: while its work goes on elsewhere, or
/// when that has just ended. False if the future ended before.
pub(super) async fn abandon<T>(step: impl Future<Output = T>, polls: u32, when: When) -> bool {
    let (mut step, mut left) = (Box::pin(step), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(true);
        }
        left -= 1;
        match step.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if left == 0 && when == When::AtWork => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_step_that_is_abandoned_anywhere_does_no_harm() {
    let mut abandoned = 0;
    let points = (1..12).flat_map(|polls| [(polls, When::AtWork), (polls, When::WorkEnded)]);
    for (polls, when) in points {
        let temp = tempfile::tempdir().unwrap();
        let store = Arc::new(FakeStore::default());
        store.succeed(1);
        abandoned += u32::from(abandon(open(&store, temp.path()), polls, when).await);
        let mut projector = open(&store, temp.path()).await.unwrap();
        projector.patience.limit = Duration::from_secs(30);
        store.succeed(2);
        abandoned += u32::from(abandon(projector.advance(), polls, when).await);
        store.succeed(1);
        abandoned += u32::from(abandon(projector.finish(), polls, when).await);
        assert!(projector.finish().await.unwrap().complete);
        assert_exactly(&store, temp.path());
    }
    assert!(abandoned > 4, "most steps were not let end: {abandoned}");
}

/// Files of single recordings take their places one after another by way of the same one beside.
#[tokio::test]
async fn a_step_that_goes_on_after_an_abandoned_one_waits_for_what_that_one_still_writes() {
    let list = [Output::File(FileFormat::Srt)];
    for polls in 1..12 {
        let temp = tempfile::tempdir().unwrap();
        let store = Arc::new(FakeStore::default());
        let mut projector = open_with(&store, temp.path(), &list).await.unwrap();
        projector.patience.limit = Duration::from_secs(30);
        (1..30).for_each(|task| store.succeed(task));
        abandon(projector.advance(), polls, When::AtWork).await;
        assert!(projector.finish().await.unwrap().complete);
        assert_tree(&store, temp.path(), FileFormat::Srt);
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_keeps_its_right_until_it_ends() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(".results.lock");
    let lock = Lock::try_take(path.clone()).unwrap().unwrap();
    let (let_go, waits) = std::sync::mpsc::channel::<()>();
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    struct Tell(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.take().map(|ended| ended.send(()));
        }
    }
    let tell = Tell(Some(ended));
    let work = lock.during(move || {
        let _ = waits.recv();
        Ok(tell)
    });
    assert!(abandon(work, 1, When::AtWork).await);
    drop(lock);
    assert!(Lock::try_take(path.clone()).unwrap().is_none());
    let_go.send(()).unwrap();
    end.await.unwrap();
    // What the work returned is dropped just before the right is.
    while Lock::try_take(path.clone()).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn failures_are_replaced_only_when_they_changed() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    store.set_tasks(vec![failed(1, "a.wav", Cause::UnreadableAudio), failed(2, "b.wav", Cause::Empty)]);
    let mut projector = open(&store, temp.path()).await.unwrap();
    assert_eq!(projector.write_failures().await.unwrap(), Some(2));
    let inode =
        |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(temp.path().join(name)).unwrap());
    let before = (inode("failures.jsonl"), inode("failures.csv"));
    projector.write_failures().await.unwrap();
    assert_eq!((inode("failures.jsonl"), inode("failures.csv")), before);

    store.set_tasks(vec![failed(2, "b.wav", Cause::Empty)]);
    assert_eq!(projector.finish().await.unwrap().files[4].records, 1);
    assert_ne!(inode("failures.csv"), before.1);
    assert_eq!(super::tasks_in_csv(temp.path(), "failures.csv"), [2]);
    let left: Vec<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn columns_that_are_learned_before_the_first_result_hold_nothing_up_and_are_no_rendering_anew() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let list = [Output::Csv, Output::File(FileFormat::Srt)];
    let mut projector = open_with(&store, temp.path(), &list).await.unwrap();
    store.learn_fields(JobId(1), vec!["agent".into()]).await.unwrap();
    assert!(store.is_stale());
    store.succeed(1);
    assert_eq!(projector.advance().await.unwrap(), Progress { records: 1, waits: None });
    assert_eq!(tasks_in_csv(temp.path(), "results.csv"), [1]);
    let header = || std::fs::read_to_string(temp.path().join("results.csv")).unwrap();
    assert!(header().lines().next().unwrap().contains("meta_agent"));
    // From here on there is something to render anew, once and at the end.
    for name in ["team", "shift"] {
        store.learn_fields(JobId(1), vec![name.into()]).await.unwrap();
        store.succeed(2);
        assert_eq!(projector.advance().await.unwrap().waits, Some(Waits::Reprocessing));
    }
    let summary = projector.finish().await.unwrap();
    assert_eq!(tasks_in_csv(temp.path(), "results.csv"), [1, 2]);
    let anew = |file: &&OutputFile| file.rendered_anew;
    assert_eq!(summary.files.iter().filter(anew).count(), 3, "two tables and a tree");

    let other = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    let mut projector = open_with(&store, other.path(), &list).await.unwrap();
    store.learn_fields(JobId(1), vec!["agent".into()]).await.unwrap();
    store.succeed(1);
    let summary = projector.finish().await.unwrap();
    assert!(summary.files.iter().all(|file| !file.rendered_anew) && summary.complete);
}
