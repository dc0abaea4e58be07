//! A queue that fails at one chosen call, before or after its commit, and does everything else as the real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use voxbatch::queue::*;
use voxbatch::task::*;

/// When the chosen call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing was done.
    Before,
    /// It was done, and nobody hears of it.
    After,
}

/// The call that fails: of which method, the how-manieth (from 1), and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) method: &'static str,
    pub(crate) call: u32,
    pub(crate) when: When,
}

/// See the module.
pub(crate) struct FaultyStore {
    inner: Arc<dyn TaskStore>,
    fault: Option<Fault>,
    calls: Mutex<BTreeMap<&'static str, u32>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn TaskStore>, fault: Option<Fault>) -> FaultyStore {
        FaultyStore { inner, fault, calls: Mutex::default() }
    }

    /// The same for a process that follows on others which made these calls.
    pub(crate) fn counting_from(
        inner: Arc<dyn TaskStore>,
        fault: Option<Fault>,
        calls: BTreeMap<&'static str, u32>,
    ) -> FaultyStore {
        FaultyStore { inner, fault, calls: Mutex::new(calls) }
    }

    /// How often each method was called so far.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u32> {
        self.calls.lock().unwrap().clone()
    }

    /// Whether the chosen call has come.
    pub(crate) fn has_struck(&self) -> bool {
        let calls = self.calls.lock().unwrap();
        self.fault.is_some_and(|f| calls.get(f.method).is_some_and(|&count| count >= f.call))
    }

    async fn meet<T>(
        &self,
        method: &'static str,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            let count = calls.entry(method).or_default();
            *count += 1;
            *count
        };
        let fault = self.fault.filter(|f| f.method == method && f.call == call);
        let broken = || {
            Err(QueueError::CommitFailed { message: format!("a fault at {method} {call}"), disk_full: false })
        };
        match fault.map(|f| f.when) {
            None => work.await,
            Some(When::Before) => broken(),
            Some(When::After) => {
                work.await?;
                broken()
            }
        }
    }
}

macro_rules! every_method {
    ($( fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty; )*) => {
        #[async_trait]
        impl TaskStore for FaultyStore {
            $(async fn $name(&self, $($arg: $kind),*) -> Result<$answer, QueueError> {
                self.meet(stringify!($name), self.inner.$name($($arg),*)).await
            })*

            async fn close(&self) {
                self.inner.close().await;
            }
        }
    };
}

every_method! {
    fn upsert_jobs(jobs: Vec<JobSpec>, now: Timestamp) -> Vec<Job>;
    fn jobs() -> Vec<Job>;
    fn recognise(job: JobId, files: Vec<Sighting>) -> Recognised;
    fn enqueue_batch(job: JobId, tasks: Vec<NewTask>, now: Timestamp) -> Enqueued;
    fn compare(job: JobId, tasks: Vec<NewTask>) -> Enqueued;
    fn learn_fields(job: JobId, names: Vec<String>) -> Vec<String>;
    fn unmeasured(job: JobId, after: Option<TaskId>, limit: u32) -> Vec<Unmeasured>;
    fn set_budget(limit: BudgetLimit, anew: bool, now: Timestamp) -> ();
    fn budget() -> Option<Budget>;
    fn speeds(job: JobId, limit: u32) -> Vec<(u64, u64)>;
    fn keep_measured(measured: Vec<(Unmeasured, Measured)>) -> ();
    fn register(worker: WorkerRow) -> ();
    fn heartbeat(worker: WorkerId, now: Timestamp) -> ();
    fn retire(worker: WorkerId, exit_code: i32, now: Timestamp) -> ();
    fn sweep(now: Timestamp) -> Recovered;
    fn workers(limit: u32) -> Vec<WorkerRow>;
    fn set_ceiling(endpoint: Endpoint, ceiling: u32) -> LimiterState;
    fn save_pace(endpoint: Endpoint, effective: Option<u32>, paused_until: Option<Timestamp>) -> ();
    fn end_pauses() -> ();
    fn limiter(endpoint: Endpoint) -> LimiterState;
    fn candidates(endpoint: Endpoint, jobs: Vec<JobId>, skip: Vec<TaskId>, limit: u32, now: Timestamp) -> Vec<Candidate>;
    fn next_due(endpoint: Endpoint, jobs: Vec<JobId>) -> Option<Timestamp>;
    fn claim(request: ClaimRequest) -> Claim;
    fn set_aside(task: TaskId, fence: Fence, settlement: Settlement, now: Timestamp) -> Settled;
    fn reuse(reuse: Reuse, now: Timestamp) -> Settled;
    fn settle(settle: Arc<Settle>) -> Settled;
    fn double(task: TaskId, identity: Identity, now: Timestamp) -> Option<Double>;
    fn remember_job(task: TaskId, fence: Fence, job: RemoteJob) -> Settled;
    fn remote_job(task: TaskId) -> Option<RemoteJob>;
    fn pieces(task: TaskId) -> Vec<PieceRow>;
    fn learn_longest(endpoint: Endpoint, longest: Longest) -> ();
    fn sync() -> ();
    fn raise_halt(order: HaltOrder, until: Option<Timestamp>, by: String, now: Timestamp) -> bool;
    fn lift_halt(halt: i64, by: String, now: Timestamp) -> bool;
    fn halts(open_only: bool, now: Timestamp) -> Vec<Halt>;
    fn take_probe(halt: i64, interval: Duration, now: Timestamp) -> bool;
    fn retry(filter: Filter, again: bool, now: Timestamp) -> u64;
    fn cancel(filter: Filter, now: Timestamp) -> u64;
    fn tallies() -> Vec<Tally>;
    fn tallies_where(filter: Filter, now: Timestamp) -> Vec<Tally>;
    fn tasks(filter: Filter, after: Option<TaskId>, limit: u32, now: Timestamp) -> Vec<TaskRow>;
    fn task(id: TaskId) -> Option<TaskRow>;
    fn attempts(id: TaskId) -> Vec<AttemptRow>;
    fn result(id: TaskId) -> Option<ResultRow>;
    fn purgeable(purge: Purge) -> Vec<Purgeable>;
    fn purge(purge: Purge, now: Timestamp) -> Vec<Purgeable>;
    fn open_purge() -> Option<i64>;
    fn purged_audio(job: JobId, after: i64, limit: u32) -> Vec<(i64, RecordingPath)>;
    fn end_purge(up_to: i64, now: Timestamp) -> bool;
    fn usage(endpoint: Endpoint, month: Month) -> Usage;
    fn results(job: JobId, after: i64, limit: u32) -> Vec<ResultRow>;
    fn output(job: JobId, name: &'static str) -> OutputState;
    fn commit_output(job: JobId, name: &'static str, state: OutputState) -> ();
    fn outputs_stale(job: JobId) -> bool;
    fn outputs_renewed(job: JobId) -> ();
}
