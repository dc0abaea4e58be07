//! The queue on SQLite: one file, several processes, no server.
//!
//! All writes go through one writer that commits in groups ([`writer`]); reads have a small pool of their own.
//! Who lives is proven by file locks ([`liveness`]), so there are no leases to wait for. SQL lies in the files
//! of this folder and nowhere else; `migrations/sqlite` has the schema.

#[cfg(test)]
pub(super) mod audit;
mod budget;
mod claim;
mod clock;
mod files;
mod filter;
mod found;
mod halts;
mod jobs;
mod limits;
mod liveness;
mod log;
mod open;
mod pages;
mod pieces;
#[cfg(test)]
mod plans;
mod purge;
mod remote;
mod rows;
mod settle;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use self::liveness::Liveness;
use self::rows::array;
use self::writer::Writer;
use super::{
    AttemptRow, Budget, Candidate, Claim, ClaimRequest, Double, Enqueued, Halt, JobSpec, LimiterState,
    Longest, NewTask, OutputState, PieceRow, Purge, Purgeable, QueueError, Recognised, Recovered, RemoteJob,
    ResultRow, Reuse, Settle, Settled, Sighting, Tally, TaskRow, TaskStore, Unmeasured, Usage, WorkerRow,
};
use crate::task::{
    BudgetLimit, Endpoint, Fence, Filter, HaltOrder, Identity, Job, JobId, Measured, Month, RecordingPath,
    Settlement, TaskId, Timestamp, WorkerId,
};

/// Where the queue lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// The folder of `queue.db` and of the workers' lock files; made when missing, readable by its owner only.
    pub state_dir: PathBuf,
}

/// A queue in a SQLite database.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    /// For a connection of its own, where the writer's will not do.
    options: SqliteConnectOptions,
    liveness: Liveness,
    /// Space kept back for the results in flight when the disk fills up.
    reserve: PathBuf,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl TaskStore for SqliteStore {
    async fn upsert_jobs(&self, jobs: Vec<JobSpec>, now: Timestamp) -> Result<Vec<Job>, QueueError> {
        let known = self.jobs().await?;
        if let Some(same) = jobs::all_known(&known, &jobs) {
            return Ok(same);
        }
        self.writer.write(move |c| Box::pin(jobs::upsert(c, jobs, now))).await
    }

    async fn jobs(&self) -> Result<Vec<Job>, QueueError> {
        jobs::all(&mut *self.readers.acquire().await?).await
    }

    async fn recognise(&self, job: JobId, files: Vec<Sighting>) -> Result<Recognised, QueueError> {
        found::recognise(&mut *self.readers.acquire().await?, job, files).await
    }

    async fn enqueue_batch(
        &self,
        job: JobId,
        tasks: Vec<NewTask>,
        now: Timestamp,
    ) -> Result<Enqueued, QueueError> {
        // Lightly: what a power cut takes away, the next scan finds again.
        self.writer.write_lightly(move |c| Box::pin(found::enqueue(c, job, tasks, now))).await
    }

    async fn unmeasured(
        &self,
        job: JobId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<Unmeasured>, QueueError> {
        found::unmeasured(&mut *self.readers.acquire().await?, job, after, limit).await
    }

    async fn keep_measured(&self, measured: Vec<(Unmeasured, Measured)>) -> Result<(), QueueError> {
        self.writer.write_lightly(move |c| Box::pin(found::keep_measured(c, measured))).await
    }

    async fn compare(&self, job: JobId, tasks: Vec<NewTask>) -> Result<Enqueued, QueueError> {
        found::compare(&mut *self.readers.acquire().await?, job, tasks).await
    }

    async fn learn_fields(&self, job: JobId, names: Vec<String>) -> Result<Vec<String>, QueueError> {
        let known = jobs::fields(&mut *self.readers.acquire().await?, job).await?;
        if names.iter().all(|name| known.contains(name)) {
            return Ok(known);
        }
        self.writer.write_lightly(move |c| Box::pin(jobs::learn_fields(c, job, names))).await
    }

    async fn register(&self, worker: WorkerRow) -> Result<(), QueueError> {
        open::keep_back(&self.reserve)?;
        self.liveness.hold(&worker.id)?;
        self.writer.write(move |c| Box::pin(jobs::register(c, worker))).await
    }

    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<(), QueueError> {
        // On the disk with it: whatever was claimed since the one before.
        self.writer.write(move |c| Box::pin(jobs::heartbeat(c, worker, now))).await
    }

    async fn retire(&self, worker: WorkerId, exit_code: i32, now: Timestamp) -> Result<(), QueueError> {
        let id = worker.clone();
        let done = self.writer.write(move |c| Box::pin(jobs::retire(c, worker, exit_code, now))).await;
        self.liveness.release(&id);
        done
    }

    async fn sweep(&self, now: Timestamp) -> Result<Recovered, QueueError> {
        let owners = jobs::owners(&mut *self.readers.acquire().await?).await?;
        let mut recovered = Recovered::default();
        for dead in self.liveness.dead_among(owners) {
            let id = dead.id.clone();
            let one = self.writer.write(move |c| Box::pin(settle::recover(c, id, now))).await?;
            recovered.tasks += one.tasks;
            recovered.failed += one.failed;
            dead.bury();
        }
        self.liveness.bury_the_idle();
        if clock::was_set_back(&mut *self.readers.acquire().await?, now).await? {
            self.writer.write(move |c| Box::pin(clock::end_waits(c, now))).await?;
        }
        Ok(recovered)
    }

    async fn workers(&self, limit: u32) -> Result<Vec<WorkerRow>, QueueError> {
        let mut rows = jobs::workers(&mut *self.readers.acquire().await?, limit).await?;
        for row in &mut rows {
            row.alive = row.ended_at.is_none() && self.liveness.is_alive(&row.id);
        }
        Ok(rows)
    }

    async fn set_ceiling(&self, endpoint: Endpoint, ceiling: u32) -> Result<LimiterState, QueueError> {
        self.writer.write(move |c| Box::pin(limits::set_ceiling(c, endpoint, ceiling))).await
    }

    async fn save_pace(
        &self,
        endpoint: Endpoint,
        effective: Option<u32>,
        paused_until: Option<Timestamp>,
    ) -> Result<(), QueueError> {
        self.writer
            .write_lightly(move |c| Box::pin(limits::save_pace(c, endpoint, effective, paused_until)))
            .await
    }

    async fn end_pauses(&self) -> Result<(), QueueError> {
        self.writer.write(|c| Box::pin(limits::end_pauses(c))).await
    }

    async fn limiter(&self, endpoint: Endpoint) -> Result<LimiterState, QueueError> {
        limits::state(&mut *self.readers.acquire().await?, endpoint).await
    }

    async fn candidates(
        &self,
        endpoint: Endpoint,
        jobs: Vec<JobId>,
        skip: Vec<TaskId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, QueueError> {
        claim::candidates(&mut *self.readers.acquire().await?, endpoint, jobs, skip, limit, now).await
    }

    async fn next_due(&self, endpoint: Endpoint, jobs: Vec<JobId>) -> Result<Option<Timestamp>, QueueError> {
        claim::next_due(&mut *self.readers.acquire().await?, endpoint, jobs).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claim, QueueError> {
        self.writer.claim(request).await
    }

    async fn set_aside(
        &self,
        task: TaskId,
        fence: Fence,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, QueueError> {
        // Lost in a power cut, it is found by looking again: nothing was sent.
        self.writer.write_lightly(move |c| Box::pin(settle::set_aside(c, task, fence, settlement, now))).await
    }

    async fn reuse(&self, reuse: Reuse, now: Timestamp) -> Result<Settled, QueueError> {
        // Lost in a power cut, it is found again at no cost.
        self.writer.write_lightly(move |c| Box::pin(settle::reuse(c, reuse, now))).await
    }

    async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, QueueError> {
        let settled = self.writer.settle(settle).await;
        if settled.as_ref().is_err_and(QueueError::is_disk_full) {
            // The caller tries again; what was kept back is for exactly this.
            let _ = std::fs::remove_file(&self.reserve);
        }
        settled
    }

    async fn double(
        &self,
        task: TaskId,
        identity: Identity,
        now: Timestamp,
    ) -> Result<Option<Double>, QueueError> {
        let same = array([(task.0, identity.0)]);
        let found = claim::doubles(&mut *self.readers.acquire().await?, same, now).await?;
        Ok(found.into_iter().next())
    }

    async fn remember_job(&self, task: TaskId, fence: Fence, job: RemoteJob) -> Result<Settled, QueueError> {
        self.writer.write(move |c| Box::pin(remote::remember(c, task, fence, job))).await
    }

    async fn remote_job(&self, task: TaskId) -> Result<Option<RemoteJob>, QueueError> {
        remote::find(&mut *self.readers.acquire().await?, task).await
    }

    async fn pieces(&self, task: TaskId) -> Result<Vec<PieceRow>, QueueError> {
        pieces::of(&mut *self.readers.acquire().await?, task).await
    }

    async fn learn_longest(&self, endpoint: Endpoint, longest: Longest) -> Result<(), QueueError> {
        self.writer.write_lightly(move |c| Box::pin(limits::learn_longest(c, endpoint, longest))).await
    }

    async fn sync(&self) -> Result<(), QueueError> {
        self.writer.sync().await
    }

    async fn raise_halt(
        &self,
        order: HaltOrder,
        until: Option<Timestamp>,
        by: String,
        now: Timestamp,
    ) -> Result<bool, QueueError> {
        self.writer.write(move |c| Box::pin(halts::raise(c, order, until, by, now))).await
    }

    async fn lift_halt(&self, halt: i64, by: String, now: Timestamp) -> Result<bool, QueueError> {
        self.writer.write(move |c| Box::pin(halts::lift(c, halt, by, now))).await
    }

    async fn halts(&self, open_only: bool, now: Timestamp) -> Result<Vec<Halt>, QueueError> {
        halts::list(&mut *self.readers.acquire().await?, open_only, now).await
    }

    async fn take_probe(&self, halt: i64, interval: Duration, now: Timestamp) -> Result<bool, QueueError> {
        self.writer.write_lightly(move |c| Box::pin(halts::take_probe(c, halt, interval, now))).await
    }

    async fn retry(&self, filter: Filter, again: bool, now: Timestamp) -> Result<u64, QueueError> {
        self.writer.write(move |c| Box::pin(filter::retry(c, filter, again, now))).await
    }

    async fn cancel(&self, filter: Filter, now: Timestamp) -> Result<u64, QueueError> {
        self.writer.write(move |c| Box::pin(filter::cancel(c, filter, now))).await
    }

    async fn tallies(&self) -> Result<Vec<Tally>, QueueError> {
        filter::tallies(&mut *self.readers.acquire().await?).await
    }

    async fn tallies_where(&self, filter: Filter, now: Timestamp) -> Result<Vec<Tally>, QueueError> {
        filter::tallies_where(&mut *self.readers.acquire().await?, filter, now).await
    }

    async fn tasks(
        &self,
        filter: Filter,
        after: Option<TaskId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<TaskRow>, QueueError> {
        filter::tasks(&mut *self.readers.acquire().await?, filter, after, limit, now).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, QueueError> {
        filter::task(&mut *self.readers.acquire().await?, id).await
    }

    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRow>, QueueError> {
        files::attempts(&mut *self.readers.acquire().await?, id).await
    }

    async fn result(&self, id: TaskId) -> Result<Option<ResultRow>, QueueError> {
        files::result(&mut *self.readers.acquire().await?, id).await
    }

    async fn purgeable(&self, purge: Purge) -> Result<Vec<Purgeable>, QueueError> {
        purge::purgeable(&mut *self.readers.acquire().await?, &purge).await
    }

    async fn purge(&self, purge: Purge, now: Timestamp) -> Result<Vec<Purgeable>, QueueError> {
        self.writer.write(move |c| Box::pin(purge::purge(c, purge, now))).await
    }

    async fn open_purge(&self) -> Result<Option<i64>, QueueError> {
        purge::open(&mut *self.readers.acquire().await?).await
    }

    async fn purged_audio(
        &self,
        job: JobId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RecordingPath)>, QueueError> {
        purge::audio(&mut *self.readers.acquire().await?, job, after, limit).await
    }

    async fn end_purge(&self, up_to: i64, now: Timestamp) -> Result<bool, QueueError> {
        let took_answers = purge::took_answers(&mut *self.readers.acquire().await?, up_to).await?;
        // Not in a group of writes: this is no transaction.
        if took_answers && !purge::wipe(self.options.clone()).await? {
            return Ok(false);
        }
        self.writer.write(move |c| Box::pin(purge::end(c, up_to, now))).await?;
        Ok(true)
    }

    async fn set_budget(&self, limit: BudgetLimit, anew: bool, now: Timestamp) -> Result<(), QueueError> {
        self.writer.write(move |c| Box::pin(budget::set(c, limit, anew, now))).await
    }

    async fn budget(&self) -> Result<Option<Budget>, QueueError> {
        budget::open(&mut *self.readers.acquire().await?).await
    }

    async fn speeds(&self, job: JobId, limit: u32) -> Result<Vec<(u64, u64)>, QueueError> {
        files::speeds(&mut *self.readers.acquire().await?, job, limit).await
    }

    async fn usage(&self, endpoint: Endpoint, month: Month) -> Result<Usage, QueueError> {
        limits::usage(&mut *self.readers.acquire().await?, endpoint, month).await
    }

    async fn results(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<ResultRow>, QueueError> {
        files::results(&mut *self.readers.acquire().await?, job, after, limit).await
    }

    async fn output(&self, job: JobId, name: &'static str) -> Result<OutputState, QueueError> {
        files::output(&mut *self.readers.acquire().await?, job, name).await
    }

    async fn commit_output(
        &self,
        job: JobId,
        name: &'static str,
        state: OutputState,
    ) -> Result<(), QueueError> {
        self.writer.write(move |c| Box::pin(files::commit_output(c, job, name, state))).await
    }

    async fn outputs_stale(&self, job: JobId) -> Result<bool, QueueError> {
        files::stale(&mut *self.readers.acquire().await?, job).await
    }

    async fn outputs_renewed(&self, job: JobId) -> Result<(), QueueError> {
        self.writer.write(move |c| Box::pin(files::renewed(c, job))).await
    }

    async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.liveness.release_all();
    }
}
