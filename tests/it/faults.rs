//! A queue that fails at any one call, before or after its commit: the run ends and says so or gets over it, the
//! next one without faults accounts for every recording, and nothing is paid for twice.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use voxbatch::emulator::{Change, Emulator, Settings};
use voxbatch::media::MediaSettings;
use voxbatch::outputs::{OutputSettings, Projector};
use voxbatch::queue::{JobSpec, NewTask, QueueError, QueueSettings, SqliteStore, TaskStore, WorkerRow};
use voxbatch::run::{self, Feed, LimitSettings, Run, RunSettings, Stop, Work};
use voxbatch::task::{Endpoint, Filter, Order, RecordingPath, RetryPolicy, TaskState, Timestamp, WorkerId};
use voxbatch::velma::{Client, Options, VelmaSettings};

use crate::support::{Fault, FaultyStore, STT, When, json_lines, roomy, tone};

/// Name and, if it fails for good, why. They meet a throttle, retries, a refusal by the API and one by looks; one is more
/// than a request takes.
const RECORDINGS: [(&str, Option<&str>); 8] = [
    (LONG, None),
    ("a.wav", None),
    ("b.wav", None),
    ("c.wav", None),
    ("busy_once-d.wav", None),
    ("overloaded_twice-e.wav", None),
    ("corrupt-f.wav", Some("unreadable_audio")),
    ("void.wav", Some("empty")),
];
const LONG: &str = "long.wav";
/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a method that is called often, the first few calls stand for all.
const CALLS: u32 = 3;
const AT_ONCE: usize = 8;

#[test]
fn a_queue_that_fails_at_any_one_call_loses_nothing_and_pays_for_nothing_twice() {
    let calls = in_time(None);
    for needed in [
        "claim",
        "settle",
        "sync",
        "set_aside",
        "pieces",
        "raise_halt",
        "take_probe",
        "lift_halt",
        "save_pace",
    ] {
        assert!(calls.contains_key(needed), "{needed} is never called: {calls:?}");
    }
    let faults = calls
        .iter()
        .flat_map(|(&method, &count)| (1..=count.min(CALLS)).map(move |call| (method, call)))
        .flat_map(|(method, call)| [When::Before, When::After].map(|when| Fault { method, call, when }));
    let left = Mutex::new(faults.collect::<Vec<_>>());
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let Some(fault) = left.lock().unwrap().pop() else { break };
                    in_time(Some(fault));
                }
            });
        }
    });
}

fn in_time(fault: Option<Fault>) -> BTreeMap<&'static str, u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, case(fault)).await });
    ended.unwrap_or_else(|_| panic!("{fault:?}: it hangs"))
}

/// One world from nothing to everything done: a first run whose key is refused and a second one whose key is good,
/// both on a queue with this fault, then one without. Returns the calls of the first two.
async fn case(fault: Option<Fault>) -> BTreeMap<&'static str, u32> {
    let emulator = Emulator::start(Settings { script: true, ..roomy() }).await.unwrap();
    let home = TempDir::new().unwrap();
    let place = Place { home: home.path().to_owned(), base_url: emulator.base_url() };
    for (name, _) in RECORDINGS {
        let bytes = match name {
            LONG => tone(name, 2500),
            name if name.starts_with("void") => Vec::new(),
            _ => tone(name, 200),
        };
        std::fs::write(home.path().join(name), bytes).unwrap();
    }
    emulator.control(Change::Keys(Vec::new()));
    let faulty = Arc::new(FaultyStore::new(place.open().await, fault));
    let _ = note(fault, place.session(faulty.clone()).await);
    faulty.close().await;

    emulator.control(Change::Keys(vec!["emulator-key".to_owned()]));
    let calls = faulty.calls();
    // The calls are counted on: a fault comes once, in whichever of the two runs makes that call.
    let faulty = Arc::new(FaultyStore::counting_from(place.open().await, fault, calls));
    let second = note(fault, place.session(faulty.clone()).await);
    faulty.close().await;
    if fault.is_none() {
        second.unwrap();
    }

    let store = place.open().await;
    // Its probe may meet the throttle or an overload, and then asks again.
    let ended = place.session(store.clone()).await;
    ended.unwrap_or_else(|e| panic!("{fault:?}: {e:#}"));
    place.assert_done(&*store, &emulator, fault).await;
    store.close().await;
    let calls = faulty.calls();
    emulator.stop().await;
    calls
}

/// A fault of the disk must never look like a bug of ours.
fn note(fault: Option<Fault>, ended: anyhow::Result<()>) -> anyhow::Result<()> {
    if let Err(error) = &ended {
        assert!(!matches!(error.downcast_ref(), Some(QueueError::Bug(_))), "{fault:?}: {error}");
    }
    ended
}

struct Place {
    home: PathBuf,
    base_url: String,
}

impl Place {
    async fn open(&self) -> Arc<dyn TaskStore> {
        let settings = QueueSettings { state_dir: self.home.join("state") };
        Arc::new(SqliteStore::open(&settings).await.unwrap())
    }

    /// What `voxbatch run` does, without its console.
    async fn session(&self, store: Arc<dyn TaskStore>) -> anyhow::Result<()> {
        let spec = JobSpec {
            name: "archive".to_owned(),
            endpoint: endpoint(),
            options: json!({}),
            root: self.home.clone(),
            output: self.home.join("out"),
            order: Order::Path,
        };
        let job = store.upsert_jobs(vec![spec], now()).await?.remove(0);
        store.enqueue_batch(job.id, self.found(), now()).await?;
        let mut projector =
            Projector::open(Arc::clone(&store), job.clone(), OutputSettings::default()).await?;
        let worker = WorkerId(uuid::Uuid::now_v7().to_string());
        store.register(row(&worker)).await?;
        let (events, mut heard) = mpsc::channel(256);
        let listening = tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let (_, feed) = watch::channel(Feed { new: 0, done: true });
        let options = Options::parse(endpoint(), &job.options)?;
        let run = Run {
            store: Arc::clone(&store),
            client: Arc::new(self.client()),
            settings: settings(),
            media: MediaSettings::default(),
            scratch: std::env::temp_dir(),
            works: vec![Work {
                job,
                options,
                price: None,
                settle: Duration::ZERO,
                mounted: false,
                reuse: true,
                suspect: Default::default(),
                channels: Default::default(),
            }],
            worker: worker.clone(),
            events,
            stop: Stop::default(),
            feed,
        };
        let outcome = run::run(run).await;
        listening.abort();
        let finished = projector.finish().await;
        store.retire(worker, 0, now()).await?;
        let outcome = outcome?;
        finished?;
        if let Some(error) = outcome.local {
            return Err(error.into());
        }
        anyhow::ensure!(outcome.halts.is_empty(), "halted: {:?}", outcome.halts);
        anyhow::ensure!(outcome.outages.is_empty(), "gave up");
        Ok(())
    }

    fn found(&self) -> Vec<NewTask> {
        let found = |(name, _): &(&str, _)| {
            let about = std::fs::metadata(self.home.join(name)).unwrap();
            NewTask {
                path: RecordingPath::from(Path::new(name)),
                size_bytes: about.len(),
                modified_ns: about.mtime() * 1_000_000_000 + about.mtime_nsec(),
                format: Some("wav"),
                head: None,
                measured: None,
                refusal: None,
                metadata: Default::default(),
            }
        };
        RECORDINGS.iter().map(found).collect()
    }

    fn client(&self) -> Client {
        Client::new(VelmaSettings {
            base_url: self.base_url.clone(),
            api_key: "emulator-key".to_owned().into(),
            connect_timeout: PATIENCE,
            stall_timeout: PATIENCE,
            answer_timeout: PATIENCE,
            answer_timeout_per_mb: PATIENCE,
            stream_frame_bytes: 32_000,
            platform: None,
        })
        .unwrap()
    }

    /// Every recording stands as it must, once in the queue, once in the files, and was billed once.
    async fn assert_done(&self, store: &dyn TaskStore, emulator: &Emulator, fault: Option<Fault>) {
        let tasks = store.tasks(Filter::default(), None, 100, now()).await.unwrap();
        let stands: BTreeMap<String, Option<String>> = tasks
            .iter()
            .map(|t| {
                let done = matches!(t.state, TaskState::Succeeded | TaskState::Failed);
                assert!(done, "{fault:?}: {t:?}");
                (t.path.to_string(), t.cause.map(|c| c.to_string()))
            })
            .collect();
        let expected: BTreeMap<String, Option<String>> =
            RECORDINGS.iter().map(|(name, cause)| ((*name).to_owned(), cause.map(str::to_owned))).collect();
        assert_eq!(stands, expected, "{fault:?}");

        let names = |failed: bool| -> Vec<&str> {
            let mut names: Vec<_> =
                RECORDINGS.iter().filter(|(_, c)| c.is_some() == failed).map(|(name, _)| *name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(self.lines("results.jsonl"), names(false), "{fault:?}");
        assert_eq!(self.lines("failures.jsonl"), names(true), "{fault:?}");
        let long = self.records("results.jsonl").into_iter().find(|line| line["path"] == LONG).unwrap();
        let pieces = long["response"]["pieces"].as_array().unwrap().len();
        assert!(pieces >= 3, "{long}");
        let billed = emulator.report().of(STT).billed;
        assert_eq!(billed, (names(false).len() - 1 + pieces) as u64, "{fault:?}: paid for twice");
    }

    fn records(&self, file: &str) -> Vec<Value> {
        json_lines(&std::fs::read_to_string(self.home.join("out").join(file)).unwrap())
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let path = |line: &Value| line["path"].as_str().unwrap().to_owned();
        let mut paths: Vec<String> = self.records(file).iter().map(path).collect();
        paths.sort();
        paths
    }
}

fn settings() -> RunSettings {
    let wait = Duration::from_millis(5);
    let limits = LimitSettings { concurrent: 2, longest_ms: Some(1000), ..LimitSettings::default() };
    RunSettings {
        limits: BTreeMap::from([(endpoint(), limits)]),
        retry: RetryPolicy { base: wait, max: 10 * wait, throttle_wait: wait, ..RetryPolicy::default() },
        probe_interval: Duration::ZERO,
        ..RunSettings::default()
    }
}

fn row(worker: &WorkerId) -> WorkerRow {
    WorkerRow {
        id: worker.clone(),
        host: "here".to_owned(),
        pid: std::process::id(),
        version: "0".to_owned(),
        started_at: now(),
        beat_at: now(),
        ended_at: None,
        exit_code: None,
        alive: true,
    }
}

fn endpoint() -> Endpoint {
    STT.parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
