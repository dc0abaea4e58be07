//! The trait that a backend promises to keep, and what goes in and out of it.
//!
//! Longer than 500 lines by intent: one trait, and the words that it is told in.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::QueueError;
use super::row::{
    AttemptRow, AudioFacts, Budget, Halt, LimiterState, Longest, OutputState, PieceRow, RedactedAudio,
    ResultRow, Tally, TaskRow, Usage, WorkerRow,
};
use crate::task::{
    Amount, BudgetLimit, Cause, Endpoint, Failure, Fence, Filter, HaltOrder, Identity, Job, JobId, Measured,
    Metadata, Money, Month, Order, RecordingPath, Settlement, Stretch, Suspicion, TaskId, Timestamp,
    WorkerId,
};

/// A job as `jobs.toml` states it, before the queue knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// The model.
    pub endpoint: Endpoint,
    /// Checked options, a JSON object.
    pub options: serde_json::Value,
    /// The folder that paths are relative to.
    pub root: std::path::PathBuf,
    /// The folder of its results.
    pub output: std::path::PathBuf,
    /// Which recording goes first.
    pub order: Order,
}

/// A recording that a scan found.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Relative to the job's root.
    pub path: RecordingPath,
    /// Size when it was found.
    pub size_bytes: u64,
    /// Modification time when it was found, nanoseconds since 1970.
    pub modified_ns: i64,
    /// True format by content (`wav`, `mp3`, …), if it is one.
    pub format: Option<&'static str>,
    /// A hash of its first bytes, of a large one; `None`: it may be the same as any other of its size.
    pub head: Option<i64>,
    /// How long it is, if a glance told.
    pub measured: Option<Measured>,
    /// Set when looking at it was enough to refuse it: it enters the queue as failed.
    pub refusal: Option<Failure>,
    /// What it comes with.
    pub metadata: Metadata,
}

/// A file that a scan came upon, before anybody looked into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Relative to the job's root.
    pub path: RecordingPath,
    /// Its size.
    pub size_bytes: u64,
    /// Its modification time, nanoseconds since 1970.
    pub modified_ns: i64,
    /// What it comes with.
    pub metadata: Metadata,
}

/// Which of a batch of files have to be looked into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recognised {
    /// The places in the batch, ascending, of those that are new to the queue or have changed since it met them.
    pub strangers: Vec<usize>,
    /// The others, counted.
    pub known: Vec<KnownFiles>,
}

/// Files that the queue has exactly as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFiles {
    /// Their format.
    pub format: Option<String>,
    /// Why they were refused by their looks, if they were.
    pub refused: Option<Cause>,
    /// How many.
    pub files: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

/// A queued recording that nobody has measured yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmeasured {
    /// Its number.
    pub id: TaskId,
    /// Its file as the queue knows it.
    pub file: Sighting,
    /// True format by content.
    pub format: Option<String>,
}

/// What became of a batch of found recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enqueued {
    /// Rows added, refused ones included.
    pub new: u64,
    /// Bytes of those.
    pub new_bytes: u64,
    /// Of the new and reopened, how many were refused by looking at them.
    pub refused: u64,
    /// Already there and unchanged.
    pub known: u64,
    /// Refused before, and the file has changed since: looked at anew.
    pub reopened: u64,
    /// Sent before, and the file has changed since: left as they are.
    pub changed: u64,
    /// Of the known, those of which only the metadata has changed: it was written down anew.
    pub redescribed: u64,
}

/// A queued task that could be claimed now.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its number.
    pub id: TaskId,
    /// Its job.
    pub job: JobId,
    /// Its path.
    pub path: RecordingPath,
    /// Size at the scan.
    pub size_bytes: u64,
    /// Modification time at the scan.
    pub modified_ns: i64,
    /// How long it was at the scan or since, once somebody has measured it.
    pub measured: Option<Measured>,
    /// Its fence now; a refusal without a claim is guarded by it.
    pub fence: Fence,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// Options of its own, over those of its job: a JSON object as text.
    pub options: Option<String>,
    /// It is large, and the endpoint has another recording of its size: their contents are worth a comparison.
    pub has_double: bool,
    /// Its answer was empty although it is loud: it goes out once more, decoded.
    pub decoded: bool,
}

/// A wish to hold tasks.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// On which limiter.
    pub endpoint: Endpoint,
    /// Tasks that are ready to be sent, best first, each with what it will be billed for, by our own measure.
    pub tasks: Vec<(TaskId, Amount)>,
    /// How many of them at most, each with a slot of its own.
    pub want: u32,
    /// How many more, to wait on deck until a slot of this worker is handed over ([`Settle::next`]).
    pub ahead: u32,
    /// Refuse unless no slot of the limiter is taken by anyone.
    pub alone: bool,
    /// Pass these halts: the request is their probe.
    pub probing: Vec<i64>,
    /// Milliseconds of audio that may be billed on this endpoint in the current month.
    pub cap_ms: Option<u64>,
    /// What may be spent on all endpoints together since the open budget began.
    pub budget: BudgetLimit,
    /// What the tasks are, as far as that is known; a task that is the same as one that runs or has an answer is not
    /// held, but told in [`Claim::doubles`]. `None`: every task is sent for itself.
    pub identities: Option<HashMap<TaskId, Identity>>,
    /// Now.
    pub now: Timestamp,
}

/// A task that need not be sent: another one is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Double {
    /// Which.
    pub task: TaskId,
    /// The other one.
    pub of: TaskId,
    /// The other one has its answer; else it is being sent, and how that ends is worth waiting for.
    pub answered: bool,
}

/// What a claim gave.
#[derive(Debug, Default)]
pub struct Claim {
    /// Held from now on, with a slot.
    pub tasks: Vec<ClaimedTask>,
    /// Held from now on, without one. Empty when other processes want slots, too.
    pub ahead: Vec<ClaimedTask>,
    /// Held before, and no longer on deck: they got slots first, and count among those wanted.
    pub seated: Vec<TaskId>,
    /// Wished for, but no longer to be had (another worker, or cancelled).
    pub gone: Vec<TaskId>,
    /// Wished for, and the same as others.
    pub doubles: Vec<Double>,
    /// The limiter as the claim left it.
    pub limiter: LimiterState,
    /// Slots that other workers hold.
    pub elsewhere: u32,
    /// Open halts that stop this endpoint, except those being probed.
    pub halts: Vec<Halt>,
    /// The next task would have crossed a cap.
    pub cap_reached: Option<Reached>,
}

/// A cap that the next task would cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub cap: Cap,
    /// Requests under way that count for it: they may turn out to be less, and leave room.
    pub in_flight: u32,
}

/// What is held against a cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// The endpoint's hours of the month.
    Month,
    /// The budget of all endpoints.
    Budget,
}

/// Proof of holding a task. Not `Clone`: settling consumes it.
#[derive(Debug, PartialEq)]
pub struct ClaimedTask {
    /// Its number.
    pub id: TaskId,
    /// Its job.
    pub job: JobId,
    /// Its path.
    pub path: RecordingPath,
    /// On which limiter.
    pub endpoint: Endpoint,
    /// The claim's number; guards the settlement.
    pub fence: Fence,
    /// Attempts that counted before this one.
    pub attempts: u32,
    /// Refusals for "too many at once" so far.
    pub throttles: u32,
    /// The cause of the last counted attempts, and how many in a row had it.
    pub last_cause: Option<(Cause, u32)>,
    /// When its first counted attempt failed.
    pub first_failed_at: Option<Timestamp>,
    /// Whether nothing else is in flight beside it, and will not be: no other slot was taken, and none is given
    /// while it is.
    pub alone: bool,
    /// Slots of the limiter that other workers held when it was claimed.
    pub elsewhere: u32,
    /// What is kept back for it while it is under way.
    pub reserved: Amount,
}

/// What is known of the request that an attempt made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// When it began; `None` if none was made.
    pub started_at: Option<Timestamp>,
    /// Bytes of the body handed to the connection.
    pub bytes_sent: u64,
    /// The API's name for it.
    pub request_id: Option<String>,
    /// The API's status, also of a success.
    pub http_status: Option<u16>,
    /// The end of the job that the service had accepted for the task is known: it is forgotten with the settlement.
    pub job_over: bool,
}

/// A job that a service has accepted for a task, and works on by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    /// The service's id of it.
    pub id: String,
    /// BLAKE3 of what was sent, in hex.
    pub blake3: String,
    /// How many bytes that were.
    pub bytes: u64,
    /// When the service said so.
    pub accepted_at: Timestamp,
}

/// A result to be kept, in the same transaction as the success.
#[derive(Debug, Clone, PartialEq)]
pub struct NewResult {
    /// The API's whole answer, as JSON text.
    pub response: String,
    /// What was sent.
    pub audio: AudioFacts,
    /// The audio's length by the API's word.
    pub duration_ms: Option<u64>,
    /// Its length by our own measure of what was sent.
    pub measured: Option<Measured>,
    /// What the ledger counts.
    pub billed_ms: u64,
    /// What that costs.
    pub cost: Money,
    /// Audio that came with the answer, already in its place.
    pub redacted_audio: Option<RedactedAudio>,
    /// With what it was made.
    pub made: Made,
    /// What is odd about it.
    pub suspicions: Vec<Suspicion>,
    /// Which piece of its recording it is of; with [`Settlement::Advance`], always, otherwise never.
    pub piece: Option<Stretch>,
    /// How much of it the ledger has counted with earlier pieces.
    pub counted: Counted,
}

/// What was counted of a result before it was one: its pieces but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// What was billed.
    pub billed: Amount,
    /// The same audio by our own measure, in milliseconds.
    pub measured_ms: u64,
}

/// With what a result was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// What was sent: it serves for others that are the same.
    pub identity: Option<Identity>,
    /// [`options_key`](crate::task::options_key) of the job's options.
    pub options_key: String,
    /// Options of the recording's own.
    pub options: Option<String>,
}

/// An answer of one recording for another that is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// Who needs one.
    pub task: TaskId,
    /// Its fence as it was looked at.
    pub fence: Fence,
    /// Who has one.
    pub of: TaskId,
    /// What both are.
    pub identity: Identity,
    /// Redacted audio of its own, already in its place.
    pub redacted_audio: Option<RedactedAudio>,
}

/// One settlement.
#[derive(Debug)]
pub struct Settle {
    /// What was held.
    pub task: ClaimedTask,
    /// What becomes of it.
    pub settlement: Settlement,
    /// The request behind it.
    pub request: Request,
    /// With [`Settlement::Succeed`] and [`Settlement::Advance`], always; otherwise never.
    pub result: Option<NewResult>,
    /// A task that was claimed ahead, and takes over the slot.
    pub next: Option<TaskId>,
    /// Keep the result, and send the recording once more, decoded; unless that was done before.
    pub resend: bool,
    /// Now.
    pub now: Timestamp,
}

/// Whether a settlement was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Written.
    Accepted,
    /// The task was claimed anew or taken back meanwhile, or this claim was settled already: nothing changed.
    Fenced,
}

/// Tasks taken back from workers that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Back in the queue, or failed.
    pub tasks: u64,
    /// Of those, failed because their workers died too often.
    pub failed: u64,
}

/// What is to be deleted for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Of these jobs.
    pub jobs: Vec<JobId>,
    /// Results that were stored at this moment or before.
    pub finished_by: Timestamp,
    /// The answers.
    pub answers: bool,
    /// The redacted audio.
    pub audio: bool,
}

/// What a purge takes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purgeable {
    /// Its number.
    pub job: JobId,
    /// Recordings concerned; at least one.
    pub recordings: u64,
    /// Of those, with an answer that goes.
    pub answers: u64,
    /// Bytes of these answers in the queue.
    pub answer_bytes: u64,
    /// With redacted audio that goes.
    pub audio: u64,
    /// Bytes of it.
    pub audio_bytes: u64,
    /// When the oldest of these results was stored.
    pub oldest: Timestamp,
    /// And the newest.
    pub newest: Timestamp,
}

/// Answers that [`TaskStore::results`] hands out at once, in bytes.
pub const RESULTS_BYTES: u64 = 8 << 20;

/// The durable queue. Every method is atomic and answers after its commit.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Makes the queue know these jobs; others stay. A known job takes over all but its endpoint.
    ///
    /// # Errors
    /// [`QueueError::EndpointChanged`] when a job that has tasks names another endpoint now.
    async fn upsert_jobs(&self, jobs: Vec<JobSpec>, now: Timestamp) -> Result<Vec<Job>, QueueError>;
    /// Every job that the queue knows, also those that left the file.
    async fn jobs(&self) -> Result<Vec<Job>, QueueError>;

    /// Tells which files of a batch have to be looked into. Reads only, and little: a second scan of millions of
    /// files opens none of them.
    async fn recognise(&self, job: JobId, files: Vec<Sighting>) -> Result<Recognised, QueueError>;

    /// Adds what is new; counts what is known. May be lost in a power cut: the next scan finds the same.
    async fn enqueue_batch(
        &self,
        job: JobId,
        tasks: Vec<NewTask>,
        now: Timestamp,
    ) -> Result<Enqueued, QueueError>;

    /// Queued recordings of a job that nobody has measured yet, by number, after one.
    async fn unmeasured(
        &self,
        job: JobId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<Unmeasured>, QueueError>;
    /// Keeps how long recordings are, as long as their files are the ones that were measured. May be lost in a power
    /// cut: then they are measured again.
    async fn keep_measured(&self, measured: Vec<(Unmeasured, Measured)>) -> Result<(), QueueError>;

    /// What [`TaskStore::enqueue_batch`] would come to; changes nothing.
    async fn compare(&self, job: JobId, tasks: Vec<NewTask>) -> Result<Enqueued, QueueError>;

    /// Makes names known under which metadata of a job comes, and tells all of them, first come first. Files whose
    /// tables lack one of them are to be rendered anew.
    async fn learn_fields(&self, job: JobId, names: Vec<String>) -> Result<Vec<String>, QueueError>;

    /// Announces this process; its liveness is proven from here on until it ends.
    async fn register(&self, worker: WorkerRow) -> Result<(), QueueError>;
    /// Says that the process is alive.
    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<(), QueueError>;
    /// Takes leave, with the exit code.
    async fn retire(&self, worker: WorkerId, exit_code: i32, now: Timestamp) -> Result<(), QueueError>;
    /// Returns the tasks of workers that died; three deaths fail a task. Ends waits, pauses and intervals between
    /// probes that were begun by a clock that has been set back since: they would last for as much longer.
    async fn sweep(&self, now: Timestamp) -> Result<Recovered, QueueError>;
    /// The latest processes, newest first.
    async fn workers(&self, limit: u32) -> Result<Vec<WorkerRow>, QueueError>;

    /// Sets the ceiling of a limiter, creating it and its slots.
    async fn set_ceiling(&self, endpoint: Endpoint, ceiling: u32) -> Result<LimiterState, QueueError>;
    /// Keeps what the pace has learned, for every process and the next start. A pause never gets shorter.
    async fn save_pace(
        &self,
        endpoint: Endpoint,
        effective: Option<u32>,
        paused_until: Option<Timestamp>,
    ) -> Result<(), QueueError>;
    /// Ends every pause that the API asked for; for users who know better.
    async fn end_pauses(&self) -> Result<(), QueueError>;
    /// A limiter as it stands.
    async fn limiter(&self, endpoint: Endpoint) -> Result<LimiterState, QueueError>;

    /// Queued tasks of these jobs that could start now, best first, at most `limit`, without those in `skip`.
    async fn candidates(
        &self,
        endpoint: Endpoint,
        jobs: Vec<JobId>,
        skip: Vec<TaskId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, QueueError>;
    /// When the next waiting task of these jobs becomes due, if any waits.
    async fn next_due(&self, endpoint: Endpoint, jobs: Vec<JobId>) -> Result<Option<Timestamp>, QueueError>;
    /// Holds tasks, as many as slots, pace, pauses, halts and the cap allow; and some ahead, if all that is asked for
    /// got a slot and nobody else is at work on the queue.
    async fn claim(&self, request: ClaimRequest) -> Result<Claim, QueueError>;
    /// Fails a task that was never sent, or lets it wait, if nobody claimed it meanwhile.
    async fn set_aside(
        &self,
        task: TaskId,
        fence: Fence,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Settled, QueueError>;
    /// Ends a queued task with the answer of another one that is the same, at no cost: no slot, no attempt, nothing
    /// billed. Fenced if it is not as it was, or the answer does not stand any more.
    async fn reuse(&self, reuse: Reuse, now: Timestamp) -> Result<Settled, QueueError>;
    /// Ends a held task: everybody sees it, its slot is free or handed over, and the death of the process changes
    /// nothing any more; a power cut can until [`TaskStore::sync`] has answered. Not in a hurry: what is settled within
    /// a few milliseconds is written together. On an error nothing is written and the same settlement may be offered
    /// again: a result that was received is not given up while the program lives.
    async fn settle(&self, settle: Arc<Settle>) -> Result<Settled, QueueError>;
    /// Whether a task need not be sent, or not yet, since one that is the same has its answer or runs: as a claim would find.
    /// Reads only, and is no promise.
    async fn double(
        &self,
        task: TaskId,
        identity: Identity,
        now: Timestamp,
    ) -> Result<Option<Double>, QueueError>;
    /// Remembers that a service has accepted a task as a job, until a settlement says that it is over. On the disk when
    /// answered; one that was known before is overtaken. Fenced if the task was claimed anew: nothing changed.
    async fn remember_job(&self, task: TaskId, fence: Fence, job: RemoteJob) -> Result<Settled, QueueError>;
    /// The job that was accepted for a task and is not over.
    async fn remote_job(&self, task: TaskId) -> Result<Option<RemoteJob>, QueueError>;
    /// The answered pieces of a recording that goes out in pieces, in their order; none once it has succeeded.
    async fn pieces(&self, task: TaskId) -> Result<Vec<PieceRow>, QueueError>;
    /// Keeps how much audio a request may hold, for every process and the next start; what is known under the same
    /// settings never grows.
    async fn learn_longest(&self, endpoint: Endpoint, longest: Longest) -> Result<(), QueueError>;
    /// Answers once everything that was answered before is on the disk for certain.
    async fn sync(&self) -> Result<(), QueueError>;

    /// Stops an endpoint or everything; an open halt of the same scope and reason is kept. True if it is new.
    async fn raise_halt(
        &self,
        order: HaltOrder,
        until: Option<Timestamp>,
        by: String,
        now: Timestamp,
    ) -> Result<bool, QueueError>;
    /// Ends a halt. False if it was not open.
    async fn lift_halt(&self, halt: i64, by: String, now: Timestamp) -> Result<bool, QueueError>;
    /// Halts that are open at `now` (`open_only`), or all that ever were, newest first.
    async fn halts(&self, open_only: bool, now: Timestamp) -> Result<Vec<Halt>, QueueError>;
    /// Takes the right to probe a halt, once per interval across all processes.
    async fn take_probe(
        &self,
        halt: i64,
        interval: std::time::Duration,
        now: Timestamp,
    ) -> Result<bool, QueueError>;

    /// Queues failed and cancelled tasks again, and succeeded ones when `again`. Returns how many.
    async fn retry(&self, filter: Filter, again: bool, now: Timestamp) -> Result<u64, QueueError>;
    /// Takes queued and running tasks out. Returns how many.
    async fn cancel(&self, filter: Filter, now: Timestamp) -> Result<u64, QueueError>;

    /// Counts and bytes by job, state and cause; cheap at any size.
    async fn tallies(&self) -> Result<Vec<Tally>, QueueError>;
    /// Counts and bytes by job, state and cause of the tasks that match.
    async fn tallies_where(&self, filter: Filter, now: Timestamp) -> Result<Vec<Tally>, QueueError>;
    /// A page of tasks after the given one, by number.
    async fn tasks(
        &self,
        filter: Filter,
        after: Option<TaskId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<TaskRow>, QueueError>;
    /// One task.
    async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, QueueError>;
    /// Its attempts, newest first.
    async fn attempts(&self, id: TaskId) -> Result<Vec<AttemptRow>, QueueError>;
    /// Its result.
    async fn result(&self, id: TaskId) -> Result<Option<ResultRow>, QueueError>;

    /// What a purge would take, by job; jobs of which it takes nothing are left out. It goes by when a result was
    /// stored, wherever its task stands.
    async fn purgeable(&self, purge: Purge) -> Result<Vec<Purgeable>, QueueError>;
    /// Takes it: of each result a tombstone stays that can be counted and says nothing, and the files of its job are
    /// to be rendered anew. Open until [`TaskStore::end_purge`]. Returns what was taken.
    async fn purge(&self, purge: Purge, now: Timestamp) -> Result<Vec<Purgeable>, QueueError>;
    /// The latest purge that was not ended: what it took may still lie in files, and in the queue's own.
    async fn open_purge(&self) -> Result<Option<i64>, QueueError>;
    /// Redacted audio of a job that was purged and should not be there, each with its result's sequence number.
    async fn purged_audio(
        &self,
        job: JobId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RecordingPath)>, QueueError>;
    /// Ends the open purges up to this one, after their audio is deleted and the files are rendered anew: from here
    /// on no byte of what they took is in the queue's own files. Needs as much space again as the queue has. False
    /// if a reader of the queue was in the way: then nothing is ended.
    async fn end_purge(&self, up_to: i64, now: Timestamp) -> Result<bool, QueueError>;

    /// Goes on with the open budget at this limit, or begins one at nothing; `anew` ends the open one first. It stays
    /// open, whatever run names it, until another begins.
    async fn set_budget(&self, limit: BudgetLimit, anew: bool, now: Timestamp) -> Result<(), QueueError>;
    /// The budget that is open, if one is, and what is spent of it.
    async fn budget(&self) -> Result<Option<Budget>, QueueError>;
    /// The latest results of a job that came with one request: milliseconds of audio, and of time from the request to the
    /// answer.
    async fn speeds(&self, job: JobId, limit: u32) -> Result<Vec<(u64, u64)>, QueueError>;

    /// What was billed on an endpoint in a month.
    async fn usage(&self, endpoint: Endpoint, month: Month) -> Result<Usage, QueueError>;

    /// Results of a job that stand, in commit order, after a sequence number: at most so many, and no more than hold
    /// [`RESULTS_BYTES`] of answers together, but one at least. Empty only at the end.
    async fn results(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<ResultRow>, QueueError>;
    /// What a file made from results holds for certain.
    async fn output(&self, job: JobId, name: &'static str) -> Result<OutputState, QueueError>;
    /// Says so.
    async fn commit_output(
        &self,
        job: JobId,
        name: &'static str,
        state: OutputState,
    ) -> Result<(), QueueError>;
    /// Whether written lines have been overtaken (deliberate re-processing): the files must be rendered anew.
    async fn outputs_stale(&self, job: JobId) -> Result<bool, QueueError>;
    /// They have been.
    async fn outputs_renewed(&self, job: JobId) -> Result<(), QueueError>;

    /// Ends the writer after everything accepted is committed.
    async fn close(&self);
}
