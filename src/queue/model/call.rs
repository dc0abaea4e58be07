//! A write of the store as a value: made from an operation and what exists, performed on a store, and applied to
//! the reference; both must give the same answer.

use std::sync::Arc;
use std::time::Duration;

use crate::queue::*;
use crate::task::*;

/// A write with everything that it needs.
#[expect(clippy::large_enum_variant, reason = "a handful of them at a time")]
#[derive(Debug, Clone)]
pub(super) enum Call {
    Jobs(Vec<JobSpec>),
    Scan(JobId, Vec<NewTask>),
    Register(WorkerRow),
    Beat(WorkerId),
    Retire(WorkerId, i32),
    Sweep,
    Claim(ClaimRequest),
    Settle(Ended),
    Remember(TaskId, Fence, RemoteJob),
    Reuse(Reuse),
    SetAside(TaskId, Fence, Settlement),
    SetCeiling(Endpoint, u32),
    SavePace(Endpoint, Option<u32>, Option<Timestamp>),
    EndPauses,
    Learn(Endpoint, Longest),
    RaiseHalt(HaltOrder, Option<Timestamp>),
    LiftHalt(i64),
    TakeProbe(i64, Duration),
    Retry(Filter, bool),
    Cancel(Filter),
    Purge(Purge),
    /// The one that is open, if one is.
    EndPurge,
    CommitOutput(JobId, &'static str, OutputState),
    Renewed(JobId),
}

/// A settlement with the holder's note of what it held.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) hold: Hold,
    pub(super) settlement: Settlement,
    pub(super) request: Request,
    pub(super) result: Option<NewResult>,
    pub(super) next: Option<TaskId>,
    pub(super) resend: bool,
}

/// A claimed task, written down: a holder that is late has one too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hold {
    pub(super) id: TaskId,
    pub(super) job: JobId,
    pub(super) path: RecordingPath,
    pub(super) endpoint: Endpoint,
    pub(super) fence: Fence,
    pub(super) attempts: u32,
    pub(super) throttles: u32,
    pub(super) last_cause: Option<(Cause, u32)>,
    pub(super) first_failed_at: Option<Timestamp>,
    pub(super) alone: bool,
    pub(super) elsewhere: u32,
    pub(super) reserved: Amount,
    /// Whether its holder has settled it.
    pub(super) settled: bool,
}

impl Hold {
    pub(super) fn proof(&self) -> ClaimedTask {
        ClaimedTask {
            id: self.id,
            job: self.job,
            path: self.path.clone(),
            endpoint: self.endpoint,
            fence: self.fence,
            attempts: self.attempts,
            throttles: self.throttles,
            last_cause: self.last_cause,
            first_failed_at: self.first_failed_at,
            alone: self.alone,
            elsewhere: self.elsewhere,
            reserved: self.reserved,
        }
    }
}

/// What a write answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    /// An error; nothing was written.
    Refused,
    Bool(bool),
    Count(u64),
    Scanned(Enqueued),
    Recovered(Recovered),
    Purged(Vec<Purgeable>),
    Settled(Settled),
    Limiter(LimiterState),
    Claimed {
        tasks: Vec<ClaimedTask>,
        ahead: Vec<ClaimedTask>,
        seated: Vec<TaskId>,
        gone: Vec<TaskId>,
        doubles: Vec<Double>,
        limiter: LimiterState,
        elsewhere: u32,
        halts: Vec<(HaltScope, HaltReason)>,
        cap_reached: Option<Reached>,
    },
}

pub(super) const BY: &str = "somebody";

/// Hands a write over.
pub(super) async fn perform(store: Arc<dyn TaskStore>, call: Call, now: Timestamp) -> Answer {
    answer(&*store, call, now).await.unwrap_or_else(|error| match error {
        QueueError::EndpointChanged { .. } => Answer::Refused,
        // The batch with a nameless file; nothing else in a case may be refused by the database.
        QueueError::Database(sqlx::Error::Database(e)) if e.is_check_violation() => Answer::Refused,
        other => panic!("failed to {other}"),
    })
}

async fn answer(store: &dyn TaskStore, call: Call, now: Timestamp) -> Result<Answer, QueueError> {
    Ok(match call {
        Call::Jobs(specs) => {
            let names: Vec<String> = specs.iter().map(|s| s.name.clone()).collect();
            let jobs = store.upsert_jobs(specs, now).await?;
            assert_eq!(jobs.into_iter().map(|j| j.name).collect::<Vec<_>>(), names, "answered in order");
            Answer::Done
        }
        Call::Scan(job, found) => Answer::Scanned(store.enqueue_batch(job, found, now).await?),
        Call::Register(row) => store.register(row).await.map(|()| Answer::Done)?,
        Call::Beat(worker) => store.heartbeat(worker, now).await.map(|()| Answer::Done)?,
        Call::Retire(worker, code) => store.retire(worker, code, now).await.map(|()| Answer::Done)?,
        Call::Sweep => Answer::Recovered(store.sweep(now).await?),
        Call::Claim(wish) => {
            let claim = store.claim(wish).await?;
            Answer::Claimed {
                tasks: claim.tasks,
                ahead: claim.ahead,
                seated: claim.seated,
                gone: claim.gone,
                doubles: claim.doubles,
                limiter: claim.limiter,
                elsewhere: claim.elsewhere,
                halts: claim.halts.iter().map(|h| (h.scope, h.reason)).collect(),
                cap_reached: claim.cap_reached,
            }
        }
        Call::Settle(Ended { hold, settlement, request, result, next, resend }) => {
            let settle = Settle { task: hold.proof(), settlement, request, result, next, resend, now };
            Answer::Settled(store.settle(Arc::new(settle)).await?)
        }
        Call::Remember(task, fence, job) => Answer::Settled(store.remember_job(task, fence, job).await?),
        Call::Reuse(reuse) => Answer::Settled(store.reuse(reuse, now).await?),
        Call::SetAside(task, fence, settlement) => {
            Answer::Settled(store.set_aside(task, fence, settlement, now).await?)
        }
        Call::SetCeiling(endpoint, ceiling) => Answer::Limiter(store.set_ceiling(endpoint, ceiling).await?),
        Call::SavePace(endpoint, effective, until) => {
            store.save_pace(endpoint, effective, until).await.map(|()| Answer::Done)?
        }
        Call::EndPauses => store.end_pauses().await.map(|()| Answer::Done)?,
        Call::Learn(endpoint, longest) => {
            store.learn_longest(endpoint, longest).await.map(|()| Answer::Done)?
        }
        Call::RaiseHalt(order, until) => {
            Answer::Bool(store.raise_halt(order, until, BY.to_owned(), now).await?)
        }
        Call::LiftHalt(halt) => Answer::Bool(store.lift_halt(halt, BY.to_owned(), now).await?),
        Call::TakeProbe(halt, interval) => Answer::Bool(store.take_probe(halt, interval, now).await?),
        Call::Retry(filter, again) => Answer::Count(store.retry(filter, again, now).await?),
        Call::Cancel(filter) => Answer::Count(store.cancel(filter, now).await?),
        Call::Purge(purge) => Answer::Purged(store.purge(purge, now).await?),
        Call::EndPurge => match store.open_purge().await? {
            Some(id) => Answer::Bool(store.end_purge(id, now).await?),
            None => Answer::Done,
        },
        Call::CommitOutput(job, name, state) => {
            store.commit_output(job, name, state).await.map(|()| Answer::Done)?
        }
        Call::Renewed(job) => store.outputs_renewed(job).await.map(|()| Answer::Done)?,
    })
}
