//! The tables of Parquet, made whole: against crashes, other hands, and for nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::tables::{Behind, MARK, TABLES, tables_behind};
use super::super::{Output, OutputError};
use super::store::{FakeStore, Fault, failed};
use super::{job, open_with};
use crate::queue::{OutputState, TaskRow};
use crate::task::{Cause, TaskState};

/// The numbers in a column of a table.
fn numbers(path: &Path, column: &str) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let of = |batch: arrow_array::RecordBatch| {
        let column = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec();
        column.into_iter()
    };
    reader.build().unwrap().map(Result::unwrap).flat_map(of).collect()
}

/// What stands in the queue: a result for each of the first, a failure for each of the others.
fn stand(store: &FakeStore, succeeded: &[i64], failures: &[i64]) {
    let had = store.standing();
    succeeded.iter().filter(|task| !had.contains(task)).for_each(|task| store.succeed(*task));
    let done = |task: &i64| TaskRow {
        state: TaskState::Succeeded,
        cause: None,
        ..failed(*task, &format!("{task}.wav"), Cause::Empty)
    };
    let failure = |task: &i64| failed(*task, &format!("{task}.wav"), Cause::UnreadableAudio);
    let mut tasks: Vec<TaskRow> = succeeded.iter().map(done).chain(failures.iter().map(failure)).collect();
    tasks.sort_by_key(|task| task.id);
    store.set_tasks(tasks);
}

/// An end of a run. The error of whatever went wrong.
async fn end(store: &Arc<FakeStore>, output: &Path) -> Result<(), OutputError> {
    let summary = open_with(store, output, &[Output::Jsonl, Output::Parquet]).await?.finish().await?;
    assert!(summary.complete);
    Ok(())
}

/// That both tables hold these recordings, of which the first have two utterances each, and nothing lies beside them.
async fn assert_tables(store: &FakeStore, output: &Path, succeeded: &[i64], failures: &[i64]) {
    let mut all = [succeeded, failures].concat();
    all.sort_unstable();
    assert_eq!(numbers(&output.join(TABLES[0]), "task"), all);
    let twice: Vec<i64> = succeeded.iter().flat_map(|task| [*task; 2]).collect();
    assert_eq!(numbers(&output.join(TABLES[1]), "task"), twice);
    assert_eq!(tables_behind(store, &job(output)).await.unwrap(), None);
    let names = fs::read_dir(output).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.ends_with(".new")));
}

/// Which file a table is. It stays open: a file system gives the number of one that is gone to the next.
#[derive(Debug)]
struct Held(fs::File);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        let place = |held: &Self| held.0.metadata().map(|meta| (meta.dev(), meta.ino())).unwrap();
        place(self) == place(other)
    }
}

fn held(output: &Path) -> [Held; 2] {
    TABLES.map(|name| Held(fs::File::open(output.join(name)).unwrap()))
}

#[tokio::test]
async fn every_recording_is_in_them_once_and_they_are_made_anew_only_when_something_changed() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    stand(&store, &[1, 3], &[2]);
    end(&store, temp.path()).await.unwrap();
    assert_tables(&store, temp.path(), &[1, 3], &[2]).await;
    let before = held(temp.path());
    end(&store, temp.path()).await.unwrap();
    assert_eq!(held(temp.path()), before, "nothing changed");
    for (succeeded, failures) in [(&[1, 3, 4][..], &[2][..]), (&[1, 3, 4], &[2, 5]), (&[1, 2, 3, 4], &[5])] {
        stand(&store, succeeded, failures);
        assert_ne!(tables_behind(&*store, &job(temp.path())).await.unwrap(), None);
        end(&store, temp.path()).await.unwrap();
        assert_tables(&store, temp.path(), succeeded, failures).await;
    }
}

#[tokio::test]
async fn a_crash_at_any_commit_is_mended_by_the_next_end() {
    // Three commits begin them, two or one are of results.jsonl, three say that nothing counts, and three that all does.
    for (begun, all) in [(false, 8), (true, 7)] {
        for commits in 0..all {
            for fault in [Fault::Before, Fault::After] {
                let temp = tempfile::tempdir().unwrap();
                let store = Arc::new(FakeStore::default());
                stand(&store, &[1], &[2]);
                if begun {
                    end(&store, temp.path()).await.unwrap();
                    stand(&store, &[1, 3], &[2]);
                }
                store.fail_commit(commits, fault);
                assert!(end(&store, temp.path()).await.is_err(), "commit {commits}");
                stand(&store, &[1, 3, 4], &[2]);
                end(&store, temp.path()).await.unwrap();
                assert_tables(&store, temp.path(), &[1, 3, 4], &[2]).await;
            }
        }
    }
}

#[tokio::test]
async fn a_crash_between_the_two_renames_is_told_and_mended() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    stand(&store, &[1], &[]);
    end(&store, temp.path()).await.unwrap();
    let old = fs::read(temp.path().join(TABLES[1])).unwrap();
    stand(&store, &[1, 2], &[]);
    // All three say that nothing counts, both files are renamed, and then nobody is told.
    store.fail_commit(4, Fault::Before);
    end(&store, temp.path()).await.unwrap_err();
    fs::write(temp.path().join(TABLES[1]), old).unwrap();
    assert_eq!(numbers(&temp.path().join(TABLES[0]), "task"), [1, 2], "one is new");
    assert_eq!(tables_behind(&*store, &job(temp.path())).await.unwrap(), Some(Behind::Interrupted));
    end(&store, temp.path()).await.unwrap();
    assert_tables(&store, temp.path(), &[1, 2], &[]).await;
}

#[tokio::test]
async fn what_others_did_to_them_is_undone_and_what_a_killed_process_left_goes() {
    type Harm = fn(&Path);
    let harms: [Harm; 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "something else").unwrap(),
        |path| fs::write(path, [&fs::read(path).unwrap()[..], b"x"].concat()).unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[7] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ];
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    stand(&store, &[1], &[2]);
    end(&store, temp.path()).await.unwrap();
    for name in TABLES {
        for harm in harms {
            harm(&temp.path().join(name));
            fs::write(temp.path().join(format!(".{name}.new")), "half").unwrap();
            end(&store, temp.path()).await.unwrap();
            assert_tables(&store, temp.path(), &[1], &[2]).await;
        }
        let before = held(temp.path());
        fs::write(temp.path().join(format!(".{name}.new")), "half").unwrap();
        end(&store, temp.path()).await.unwrap();
        assert_tables(&store, temp.path(), &[1], &[2]).await;
        assert_eq!(held(temp.path()), before, "they were whole");
    }
}

#[tokio::test]
async fn a_table_that_this_queue_never_wrote_is_refused_before_anything_is_sent() {
    for name in TABLES {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(name), "of somebody").unwrap();
        let store = Arc::new(FakeStore::default());
        let refused = open_with(&store, temp.path(), &[Output::Parquet]).await.err().unwrap();
        assert!(matches!(&refused, OutputError::NotOurs { path } if path.ends_with(name)), "{refused}");
        assert_eq!(fs::read(temp.path().join(name)).unwrap(), b"of somebody");
        assert_eq!(store.state(MARK), OutputState::default());
    }
}

#[tokio::test]
async fn what_was_overtaken_is_made_anew_though_no_recording_stands_otherwise() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    stand(&store, &[1, 2], &[]);
    end(&store, temp.path()).await.unwrap();
    for commits in [None, Some(0), Some(2), Some(3), Some(6)] {
        let before = held(temp.path());
        store.forget_answers();
        if let Some(commits) = commits {
            store.fail_commit(commits, Fault::After);
            end(&store, temp.path()).await.unwrap_err();
        }
        end(&store, temp.path()).await.unwrap();
        assert_tables(&store, temp.path(), &[1, 2], &[]).await;
        assert_ne!(held(temp.path())[0], before[0], "{commits:?}");
    }
}

#[tokio::test]
async fn in_the_middle_of_a_run_they_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let store = Arc::new(FakeStore::default());
    stand(&store, &[1], &[]);
    let mut projector = open_with(&store, temp.path(), &[Output::Jsonl, Output::Parquet]).await.unwrap();
    projector.advance().await.unwrap();
    projector.renew_overtaken().await.unwrap();
    assert!(!temp.path().join(TABLES[0]).exists());
    projector.finish().await.unwrap();
    assert_tables(&store, temp.path(), &[1], &[]).await;
}
