//! A queue with as many tasks as a benchmark needs, through voxbatch's public doors. It lies in memory where that can
//! be had: these benchmarks are about our work, the scenarios of `compare` about the disk's.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use voxbatch::queue::{
    AudioFacts, ClaimRequest, ClaimedTask, JobSpec, Made, NewResult, NewTask, QueueSettings, Request, Settle,
    SqliteStore, TaskStore, WorkerRow,
};
use voxbatch::task::{
    Amount, Billed, BudgetLimit, Cause, Endpoint, Failure, Job, Metadata, Money, Order, RecordingPath,
    Settlement, Timestamp, WorkerId,
};

/// When everything happens.
pub const NOW: Timestamp = Timestamp(1_790_000_000_000);
const ENDPOINT: Endpoint = Endpoint::SttBatch;

/// A queue of one job.
pub struct Queue {
    /// The store.
    pub store: Arc<dyn TaskStore>,
    /// The job.
    pub job: Job,
    runtime: Runtime,
    folder: tempfile::TempDir,
    added: u64,
}

impl Queue {
    /// An empty queue with so many slots.
    pub fn new(slots: u32) -> Queue {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
            .expect("a folder to write in");
        let settings = QueueSettings { state_dir: folder.path().join("state") };
        let spec = JobSpec {
            name: "bench".to_owned(),
            endpoint: ENDPOINT,
            options: serde_json::json!({}),
            root: folder.path().join("in"),
            output: folder.path().join("out"),
            order: Order::Longest,
        };
        let worker = WorkerRow {
            id: worker(),
            host: "here".to_owned(),
            pid: std::process::id(),
            version: "0".to_owned(),
            started_at: NOW,
            beat_at: NOW,
            ended_at: None,
            exit_code: None,
            alive: true,
        };
        let (store, job) = runtime.block_on(async {
            let store = SqliteStore::open(&settings).await.expect("a queue");
            let job = store.upsert_jobs(vec![spec], NOW).await.expect("a job").remove(0);
            store.set_ceiling(ENDPOINT, slots).await.expect("slots");
            store.register(worker).await.expect("a worker");
            (store, job)
        });
        Queue { store: Arc::new(store), job, runtime, folder, added: 0 }
    }

    /// Waits for work on the queue.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The folder that all of it lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds so many recordings.
    pub fn add(&mut self, count: u64) {
        let found = |i: u64| NewTask {
            path: RecordingPath::from_bytes(format!("2026/{i:08}.wav").into_bytes()),
            size_bytes: 16_000,
            modified_ns: 7,
            format: Some("wav"),
            head: None,
            measured: None,
            metadata: Metadata::default(),
            refusal: None,
        };
        for first in (self.added..self.added + count).step_by(1_000) {
            let tasks = (first..(first + 1_000).min(self.added + count)).map(found).collect();
            self.wait(self.store.enqueue_batch(self.job.id, tasks, NOW)).expect("room in the queue");
        }
        self.added += count;
    }

    /// Claims so many tasks as a run does: looks for candidates, then asks for them.
    pub fn claim(&self, want: u32) -> Vec<ClaimedTask> {
        let claimed = self.wait(async {
            let candidates = self.store.candidates(ENDPOINT, vec![self.job.id], vec![], want, NOW).await?;
            let request = ClaimRequest {
                worker: worker(),
                endpoint: ENDPOINT,
                tasks: candidates
                    .iter()
                    .map(|task| (task.id, Amount { audio_ms: 500, cost: Money(0) }))
                    .collect(),
                want,
                ahead: 0,
                alone: false,
                probing: vec![],
                cap_ms: None,
                budget: BudgetLimit::default(),
                identities: None,
                now: NOW,
            };
            self.store.claim(request).await
        });
        claimed.expect("a queue that answers").tasks
    }

    /// Settles tasks as workers do: each for itself, all at once.
    pub fn settle(&self, tasks: Vec<ClaimedTask>, settlement: fn() -> Settlement) {
        self.wait(async {
            let settling: Vec<_> = tasks
                .into_iter()
                .map(|task| {
                    let settlement = settlement();
                    let result = matches!(settlement, Settlement::Succeed).then(answer);
                    let request =
                        Request { started_at: Some(NOW), http_status: Some(200), ..Request::default() };
                    let settle = Arc::new(Settle {
                        task,
                        settlement,
                        request,
                        result,
                        next: None,
                        resend: false,
                        now: NOW,
                    });
                    let store = Arc::clone(&self.store);
                    tokio::spawn(async move { store.settle(settle).await })
                })
                .collect();
            for settled in settling {
                settled.await.expect("no panic").expect("a queue that takes it");
            }
        });
    }
}

/// Back to the queue, as if it had not been claimed.
pub fn release() -> Settlement {
    Settlement::Release(Failure::answered(Cause::Overloaded, 503, "busy", Billed::No))
}

/// An answer with this many utterances.
pub fn response(utterances: u64) -> String {
    let utterance = |i: u64| {
        serde_json::json!({
            "utterance_uuid": "0f6a4a57-6d6e-4c0e-9b67-0d1b5a3a9c11", "text": "Line two is down, \"again\".",
            "start_ms": i * 2_000, "duration_ms": 1_900, "speaker": 1 + i % 2, "language": "en",
            "emotion": "Concerned", "accent": null, "deepfake_score": null,
        })
    };
    serde_json::json!({
        "text": "Line two is down, \"again\". ".repeat(utterances as usize).trim_end(),
        "duration_ms": utterances * 2_000,
        "utterances": (0..utterances).map(utterance).collect::<Vec<_>>(),
    })
    .to_string()
}

fn answer() -> NewResult {
    NewResult {
        response: response(4),
        audio: AudioFacts {
            bytes: 16_000,
            blake3: "0e9a2ef7".repeat(8),
            format: "wav".to_owned(),
            mime: "audio/wav".to_owned(),
        },
        duration_ms: Some(8_000),
        measured: None,
        billed_ms: 8_000,
        cost: Money::default(),
        redacted_audio: None,
        piece: None,
        counted: Default::default(),
        made: Made::default(),
        suspicions: Vec::new(),
    }
}

fn worker() -> WorkerId {
    WorkerId("bench".to_owned())
}
