//! Stores that break one promise each. The property is worth something only if it finds every one of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Backend;
use crate::queue::*;
use crate::task::*;

/// Which promise is broken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A settlement counts whoever holds the task by now.
    FenceIgnored,
    CapIgnored,
    LoneIgnored,
    HaltsIgnored,
    /// What runs cannot be cancelled.
    CancelForgets,
    /// A retry takes what succeeded as well.
    RetryGrabs,
    PauseForgotten,
    /// A slot that was to be handed over is let go.
    HandOverForgotten,
    /// A purge of audio takes the answers as well.
    PurgeGrabs,
    /// What a service has accepted is not remembered.
    JobForgotten,
    /// What was answered of a recording in pieces is not kept.
    PieceForgotten,
    /// Written tomorrow.
    SettledUnwritten,
}

pub(super) struct Broken {
    pub(super) whole: Box<dyn Backend>,
    pub(super) fault: Fault,
}

#[async_trait(?Send)]
impl Backend for Broken {
    async fn open(&self) -> Arc<dyn TaskStore> {
        Arc::new(BrokenStore { whole: self.whole.open().await, fault: self.fault })
    }

    async fn audit(&self) -> Result<(), String> {
        self.whole.audit().await
    }
}

struct BrokenStore {
    whole: Arc<dyn TaskStore>,
    fault: Fault,
}

/// The trait for [`BrokenStore`]: methods of its own, and those that it leaves to the whole store.
macro_rules! store {
    ({ $($own:tt)* } $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl TaskStore for BrokenStore {
            $($own)*
            $(async fn $name(&self, $($arg: $type),*) -> $out { self.whole.$name($($arg),*).await })*
        }
    };
}

type Told<T> = Result<T, QueueError>;

store! {
    {
        async fn settle(&self, settle: Arc<Settle>) -> Told<Settled> {
            let fence = match self.fault {
                Fault::SettledUnwritten => return Ok(Settled::Accepted),
                Fault::FenceIgnored => self.whole.task(settle.task.id).await?.map(|t| t.fence),
                _ => None,
            };
            let Settle { task, settlement, request, result, next, resend, now } = &*settle;
            let task = ClaimedTask { path: task.path.clone(), fence: fence.unwrap_or(task.fence), ..*task };
            let (settlement, request, result) = (settlement.clone(), request.clone(), result.clone());
            let next = next.filter(|_| !matches!(self.fault, Fault::HandOverForgotten));
            self.whole.settle(Arc::new(Settle { task, settlement, request, result, next, resend: *resend, now: *now })).await
        }

        async fn claim(&self, mut request: ClaimRequest) -> Told<Claim> {
            match self.fault {
                Fault::CapIgnored => request.cap_ms = None,
                Fault::LoneIgnored => request.alone = false,
                Fault::HaltsIgnored => {
                    request.probing = self.whole.halts(false, request.now).await?.iter().map(|h| h.id).collect();
                }
                _ => {}
            }
            self.whole.claim(request).await
        }

        async fn cancel(&self, mut filter: Filter, now: Timestamp) -> Told<u64> {
            if let Fault::CancelForgets = self.fault && filter.states.is_empty() {
                filter.states.push(TaskState::Queued);
            }
            self.whole.cancel(filter, now).await
        }

        async fn retry(&self, filter: Filter, again: bool, now: Timestamp) -> Told<u64> {
            self.whole.retry(filter, again || matches!(self.fault, Fault::RetryGrabs), now).await
        }

        async fn remember_job(&self, task: TaskId, fence: Fence, job: RemoteJob) -> Told<Settled> {
            if matches!(self.fault, Fault::JobForgotten) {
                let held = self.whole.task(task).await?.is_some_and(|t| t.fence == fence);
                return Ok(if held { Settled::Accepted } else { Settled::Fenced });
            }
            self.whole.remember_job(task, fence, job).await
        }

        async fn pieces(&self, task: TaskId) -> Told<Vec<PieceRow>> {
            match self.fault {
                Fault::PieceForgotten => Ok(Vec::new()),
                _ => self.whole.pieces(task).await,
            }
        }

        async fn purge(&self, mut purge: Purge, now: Timestamp) -> Told<Vec<Purgeable>> {
            purge.answers |= matches!(self.fault, Fault::PurgeGrabs);
            self.whole.purge(purge, now).await
        }

        async fn save_pace(&self, limiter: Endpoint, effective: Option<u32>, until: Option<Timestamp>) -> Told<()> {
            let until = until.filter(|_| !matches!(self.fault, Fault::PauseForgotten));
            self.whole.save_pace(limiter, effective, until).await
        }
    }
    remote_job(task: TaskId) -> Told<Option<RemoteJob>>;
    double(task: TaskId, identity: Identity, now: Timestamp) -> Told<Option<Double>>;
    learn_longest(endpoint: Endpoint, longest: Longest) -> Told<()>;
    sync() -> Told<()>;
    reuse(reuse: Reuse, now: Timestamp) -> Told<Settled>;
    upsert_jobs(jobs: Vec<JobSpec>, now: Timestamp) -> Told<Vec<Job>>;
    jobs() -> Told<Vec<Job>>;
    recognise(job: JobId, files: Vec<Sighting>) -> Told<Recognised>;
    enqueue_batch(job: JobId, tasks: Vec<NewTask>, now: Timestamp) -> Told<Enqueued>;
    compare(job: JobId, tasks: Vec<NewTask>) -> Told<Enqueued>;
    learn_fields(job: JobId, names: Vec<String>) -> Told<Vec<String>>;
    unmeasured(job: JobId, after: Option<TaskId>, limit: u32) -> Told<Vec<Unmeasured>>;
    set_budget(limit: BudgetLimit, anew: bool, now: Timestamp) -> Told<()>;
    budget() -> Told<Option<Budget>>;
    speeds(job: JobId, limit: u32) -> Told<Vec<(u64, u64)>>;
    keep_measured(measured: Vec<(Unmeasured, Measured)>) -> Told<()>;
    register(worker: WorkerRow) -> Told<()>;
    heartbeat(worker: WorkerId, now: Timestamp) -> Told<()>;
    retire(worker: WorkerId, exit_code: i32, now: Timestamp) -> Told<()>;
    sweep(now: Timestamp) -> Told<Recovered>;
    workers(limit: u32) -> Told<Vec<WorkerRow>>;
    set_ceiling(endpoint: Endpoint, ceiling: u32) -> Told<LimiterState>;
    end_pauses() -> Told<()>;
    limiter(endpoint: Endpoint) -> Told<LimiterState>;
    candidates(endpoint: Endpoint, jobs: Vec<JobId>, skip: Vec<TaskId>, limit: u32, now: Timestamp)
        -> Told<Vec<Candidate>>;
    next_due(endpoint: Endpoint, jobs: Vec<JobId>) -> Told<Option<Timestamp>>;
    set_aside(task: TaskId, fence: Fence, settlement: Settlement, now: Timestamp) -> Told<Settled>;
    raise_halt(order: HaltOrder, until: Option<Timestamp>, by: String, now: Timestamp) -> Told<bool>;
    lift_halt(halt: i64, by: String, now: Timestamp) -> Told<bool>;
    halts(open_only: bool, now: Timestamp) -> Told<Vec<Halt>>;
    take_probe(halt: i64, interval: Duration, now: Timestamp) -> Told<bool>;
    tallies() -> Told<Vec<Tally>>;
    tallies_where(filter: Filter, now: Timestamp) -> Told<Vec<Tally>>;
    tasks(filter: Filter, after: Option<TaskId>, limit: u32, now: Timestamp) -> Told<Vec<TaskRow>>;
    task(id: TaskId) -> Told<Option<TaskRow>>;
    attempts(id: TaskId) -> Told<Vec<AttemptRow>>;
    result(id: TaskId) -> Told<Option<ResultRow>>;
    purgeable(purge: Purge) -> Told<Vec<Purgeable>>;
    open_purge() -> Told<Option<i64>>;
    purged_audio(job: JobId, after: i64, limit: u32) -> Told<Vec<(i64, RecordingPath)>>;
    end_purge(up_to: i64, now: Timestamp) -> Told<bool>;
    usage(endpoint: Endpoint, month: Month) -> Told<Usage>;
    results(job: JobId, after: i64, limit: u32) -> Told<Vec<ResultRow>>;
    output(job: JobId, name: &'static str) -> Told<OutputState>;
    commit_output(job: JobId, name: &'static str, state: OutputState) -> Told<()>;
    outputs_stale(job: JobId) -> Told<bool>;
    outputs_renewed(job: JobId) -> Told<()>;
    close() -> ();
}
