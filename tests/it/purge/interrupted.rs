//! A purge that is killed, or stopped by others, at any step: the same purge again, or its end, leaves nothing.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::Connection;
use tempfile::TempDir;
use voxbatch::outputs::{OutputSettings, Projector, end_purge};
use voxbatch::queue::*;
use voxbatch::task::{
    Amount, BudgetLimit, Endpoint, Filter, Job, Money, Order, RecordingPath, Settlement, TaskId, Timestamp,
    WorkerId,
};

use super::{
    REDACTION, SPOKEN, assert_each_once, audio_files, done, findings, has, holding, number, verified, when,
};
use crate::support::{Fault, FaultyStore, When, files_below, json_lines};

/// Takes a job's files, as another process has them.
fn take_files(path: PathBuf) -> File {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_purge_that_is_killed_before_the_outputs_is_ended_by_the_same_purge_again() {
    let world = done();
    let lock = take_files(world.path("out/words/.results.lock"));
    let args = ["purge", "--older-than", "0s", "--yes", "6"];
    let purge = world.start(&args);
    when("the audio is gone", || audio_files(&world) == 0);
    purge.kill();
    assert_eq!(number(&world, "SELECT count(*) FROM result WHERE purged_at IS NULL"), 0);
    assert!(holding(&world, SPOKEN).contains(&"results.jsonl".to_owned()), "the files still say it");
    assert_eq!(findings(&world), ["file_unpurged", "purge_open", "rendered_extra"]);
    drop(lock);
    world.voxbatch(&["purge", "--older-than", "1d", "-n"]).expect(0).said("voxbatch purge --finish");
    world.voxbatch(&args).expect(0).said("what an earlier purge left is purged");
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_each_once(&world);
    verified(&world);
    world.voxbatch(&args).expect(0).said("nothing to purge");
}

#[test]
fn a_run_after_a_killed_purge_does_not_bring_it_back_and_does_not_end_it() {
    let world = done();
    let lock = take_files(world.path("out/words/.results.lock"));
    let purge = world.start(&["purge", "--older-than", "0s", "--yes", "6"]);
    when("the audio is gone", || audio_files(&world) == 0);
    purge.kill();
    drop(lock);
    world.run().expect(0);
    assert_eq!(audio_files(&world), 0);
    assert!(
        holding(&world, SPOKEN).iter().all(|file| file.starts_with("queue.db")),
        "{:?}",
        holding(&world, SPOKEN)
    );
    assert_eq!(findings(&world), ["purge_open"]);
    world.voxbatch(&["purge", "--finish"]).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_each_once(&world);
    verified(&world);
}

#[test]
fn somebody_who_reads_the_queue_is_named_and_the_purge_can_be_ended_when_he_is_gone() {
    let world = done();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut reader = runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path(".voxbatch/queue.db"));
        let mut reader = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for statement in ["BEGIN", "SELECT count(*) FROM result"] {
            sqlx::query(statement).fetch_all(&mut reader).await.unwrap();
        }
        reader
    });
    let stopped = world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]).expect(7);
    stopped.told("E-STATE-PURGE").told("another process reads the queue").told("voxbatch purge --finish");
    runtime.block_on(async {
        sqlx::query("COMMIT").execute(&mut reader).await.unwrap();
        reader.close().await.unwrap();
    });
    assert_eq!(findings(&world), ["purge_open"]);
    world.voxbatch(&["purge", "--finish"]).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    verified(&world);
}

const RECORDINGS: i64 = 5;
/// Younger than the rest.
const KEPT: i64 = 4;
const WORD: &str = "rhubarb";
const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A queue of redactions with their files, in this process.
struct Place {
    home: TempDir,
    job: Job,
}

impl Place {
    async fn open(home: &TempDir) -> Arc<dyn TaskStore> {
        let settings = QueueSettings { state_dir: home.path().join("state") };
        Arc::new(SqliteStore::open(&settings).await.unwrap())
    }

    async fn new() -> Place {
        // In memory where the system has such a place: every write is synced, and the disk is not what is tested.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let home = TempDir::new_in(place).unwrap();
        let store = Place::open(&home).await;
        let spec = JobSpec {
            name: "clean".to_owned(),
            endpoint: endpoint(),
            options: json!({}),
            root: home.path().join("calls"),
            output: home.path().join("out"),
            order: Order::Path,
        };
        let job = store.upsert_jobs(vec![spec], NOW).await.unwrap().remove(0);
        store.set_ceiling(endpoint(), 9).await.unwrap();
        let found = (0..RECORDINGS).map(|n| NewTask {
            path: RecordingPath::from_bytes(format!("{n}.wav")),
            size_bytes: 9,
            modified_ns: 0,
            format: Some("wav"),
            head: None,
            measured: None,
            refusal: None,
            metadata: Default::default(),
        });
        store.enqueue_batch(job.id, found.collect(), NOW).await.unwrap();
        let worker = WorkerId("w".to_owned());
        store.register(worker_row(&worker)).await.unwrap();
        let request = ClaimRequest {
            worker: worker.clone(),
            endpoint: endpoint(),
            tasks: (1..=RECORDINGS).map(|id| (TaskId(id), Amount::default())).collect(),
            ahead: 0,
            want: 9,
            alone: false,
            probing: vec![],
            cap_ms: None,
            budget: BudgetLimit::default(),
            identities: None,
            now: NOW,
        };
        fs::create_dir_all(home.path().join("out/audio")).unwrap();
        for (n, task) in store.claim(request).await.unwrap().tasks.into_iter().enumerate() {
            fs::write(home.path().join(format!("out/audio/{n}.mp3")), WORD).unwrap();
            let audio = RedactedAudio {
                path: RecordingPath::from_bytes(format!("audio/{n}.mp3")),
                bytes: 7,
                sha256: String::new(),
            };
            let result = NewResult {
                response: json!({ "text": format!("{WORD} {n}. ").repeat(99), "duration_ms": 9 }).to_string(),
                audio: AudioFacts {
                    bytes: 9,
                    blake3: "b3".to_owned(),
                    format: "wav".to_owned(),
                    mime: "audio/wav".to_owned(),
                },
                duration_ms: Some(9),
                measured: None,
                billed_ms: 9,
                cost: Money(0),
                redacted_audio: Some(audio),
                made: Default::default(),
                suspicions: vec![],
                piece: None,
                counted: Default::default(),
            };
            let now = Timestamp(NOW.0 + n as i64);
            let settle = Settle {
                task,
                settlement: Settlement::Succeed,
                request: Request::default(),
                result: Some(result),
                next: None,
                resend: false,
                now,
            };
            store.settle(Arc::new(settle)).await.unwrap();
        }
        store.retire(worker, 0, NOW).await.unwrap();
        let settings = OutputSettings::default();
        Projector::open(Arc::clone(&store), job.clone(), settings).await.unwrap().finish().await.unwrap();
        store.close().await;
        Place { home, job }
    }

    /// What the verb does with a queue.
    async fn purge(&self, store: &Arc<dyn TaskStore>) -> anyhow::Result<()> {
        let finished_by = Timestamp(NOW.0 + KEPT - 1);
        let purge = Purge { jobs: vec![self.job.id], finished_by, answers: true, audio: true };
        store.purge(purge, NOW).await?;
        let end = end_purge(store, &store.jobs().await?, &OutputSettings::default(), NOW).await?;
        anyhow::ensure!(end.in_the_way.is_none(), "{end:?}");
        Ok(())
    }

    async fn assert_purged(&self, fault: Fault) {
        let store = Place::open(&self.home).await;
        assert_eq!(store.open_purge().await.unwrap(), None, "{fault:?}");
        assert!(!store.outputs_stale(self.job.id).await.unwrap(), "{fault:?}");
        let rows = store.results(self.job.id, 0, 99).await.unwrap();
        let purged = rows.iter().filter(|row| row.purged_at.is_some() && row.response == "null").count();
        assert_eq!((rows.len() as i64, purged as i64), (RECORDINGS, KEPT), "{fault:?}");
        let tasks = store.tasks(Filter::default(), None, 99, NOW).await.unwrap();
        assert_eq!(tasks.len() as i64, RECORDINGS);
        store.close().await;
        for file in files_below(self.home.path()) {
            for n in 0..KEPT {
                let words = format!("{WORD} {n}");
                assert!(!has(&file, &words), "{fault:?}: {words} in {}", file.display());
            }
        }
        let text = fs::read_to_string(self.home.path().join("out/results.jsonl")).unwrap();
        let lines = json_lines(&text);
        let mut paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav"], "{fault:?}");
        assert_eq!(lines.iter().filter(|line| line["text"].is_string()).count(), 1, "{fault:?}");
        let audio = files_below(&self.home.path().join("out/audio"));
        assert_eq!(audio, [self.home.path().join("out/audio/4.mp3")], "{fault:?}");
    }
}

/// The process is gone at any one call to the queue, before it or right after it.
#[test]
fn a_purge_that_dies_at_any_call_to_the_queue_is_ended_by_the_same_purge_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let calls = runtime.block_on(async {
        let place = Place::new().await;
        let counting = Arc::new(FaultyStore::new(Place::open(&place.home).await, None));
        let store: Arc<dyn TaskStore> = counting.clone();
        place.purge(&store).await.unwrap();
        store.close().await;
        place.assert_purged(Fault { method: "none", call: 0, when: When::Before }).await;
        counting.calls()
    });
    for needed in ["purge", "purged_audio", "outputs_renewed", "commit_output", "end_purge"] {
        assert!(calls.contains_key(needed), "{needed} is never called: {calls:?}");
    }
    let all = calls.iter().flat_map(|(&method, &count)| (1..=count).map(move |call| (method, call)));
    // Reading changes nothing: to die after it is to die before what comes next.
    let faults: Vec<Fault> = all
        .flat_map(|(method, call)| [When::Before, When::After].map(|when| Fault { method, call, when }))
        .filter(|fault| writes(fault) || (fault.when == When::Before && fault.call <= 4))
        .collect();
    println!("{} faults", faults.len());
    let left = Mutex::new(faults);
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let Some(fault) = left.lock().unwrap().pop() else { break };
                    runtime.block_on(dies(fault));
                }
            });
        }
    });
}

const AT_ONCE: usize = 4;

fn writes(fault: &Fault) -> bool {
    ["purge", "outputs_renewed", "commit_output", "end_purge"].contains(&fault.method)
}

async fn dies(fault: Fault) {
    let place = Place::new().await;
    let faulty = Arc::new(FaultyStore::new(Place::open(&place.home).await, Some(fault)));
    let store: Arc<dyn TaskStore> = faulty.clone();
    let purged = place.purge(&store).await;
    // How often it looks depends on what it sees; how often it writes does not.
    assert!(faulty.has_struck() || !writes(&fault), "{fault:?}");
    assert_eq!(purged.is_err(), faulty.has_struck(), "{fault:?}: {purged:?}");
    drop(faulty);
    store.close().await;
    drop(store);
    let store = Place::open(&place.home).await;
    place.purge(&store).await.unwrap_or_else(|error| panic!("{fault:?}: {error:#}"));
    store.close().await;
    place.assert_purged(fault).await;
}

/// Whatever it was doing, also while the database is written anew.
#[test]
fn a_purge_that_is_killed_again_and_again_is_ended_at_last() {
    let world = done();
    let args = ["purge", "--older-than", "0s", "--yes", "6"];
    for delay in 1..=KILLS {
        let purge = world.start(&args);
        let began = Instant::now();
        when("its time has come", || began.elapsed() >= delay * KILLED_AFTER);
        purge.end_at_once();
        assert_each_once(&world);
    }
    world.voxbatch(&args).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_eq!(audio_files(&world), 0);
    assert_each_once(&world);
    verified(&world);
}

const KILLS: u32 = 16;
const KILLED_AFTER: Duration = Duration::from_millis(4);

fn endpoint() -> Endpoint {
    REDACTION.parse().unwrap()
}

fn worker_row(id: &WorkerId) -> WorkerRow {
    WorkerRow {
        id: id.clone(),
        host: "here".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        started_at: NOW,
        beat_at: NOW,
        ended_at: None,
        exit_code: None,
        alive: true,
    }
}
