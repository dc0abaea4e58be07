//! What the queue tells about itself: rows as other rooms read them.

use crate::task::{
    Amount, Billed, BudgetLimit, Cause, Endpoint, Fence, HaltReason, HaltScope, Hold, Identity, JobId,
    Measured, Metadata, Money, RecordingPath, Stretch, Suspicion, TaskId, TaskState, Timestamp, WorkerId,
};

/// A task as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its number.
    pub id: TaskId,
    /// Its job.
    pub job: JobId,
    /// Its job's name.
    pub job_name: String,
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// Relative to the job's root.
    pub path: RecordingPath,
    /// Size at the scan.
    pub size_bytes: u64,
    /// Modification time at the scan, nanoseconds since 1970.
    pub modified_ns: i64,
    /// True format by content.
    pub format: Option<String>,
    /// How long it is, once somebody has measured it.
    pub measured: Option<Measured>,
    /// Where it stands.
    pub state: TaskState,
    /// Why it waits, when queued and waiting.
    pub hold: Option<Hold>,
    /// Not before.
    pub run_at: Timestamp,
    /// Claims so far.
    pub fence: Fence,
    /// Attempts that counted.
    pub attempts: u32,
    /// Refusals for "too many at once".
    pub throttles: u32,
    /// Workers that died with it.
    pub lease_losses: u32,
    /// Who holds it.
    pub owner: Option<WorkerId>,
    /// Why the last try came to nothing.
    pub cause: Option<Cause>,
    /// The API's status then.
    pub http_status: Option<u16>,
    /// Its words, or ours.
    pub message: Option<String>,
    /// Whether that try costs money.
    pub billed: Option<Billed>,
    /// When the scan found it.
    pub created_at: Timestamp,
    /// When it last moved.
    pub changed_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it comes with.
    pub metadata: Metadata,
    /// Its answer was empty although it is loud: it goes out once more, decoded.
    pub decoded: bool,
}

/// One claim of a task and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// The claim.
    pub fence: Fence,
    /// Who made it.
    pub worker: WorkerId,
    /// When.
    pub started_at: Timestamp,
    /// When it ended; open while running.
    pub ended_at: Option<Timestamp>,
    /// `succeeded`, `retried`, `snoozed`, `failed`, `released`, `lost`, `fenced`, `cancelled`.
    pub outcome: Option<String>,
    /// Why.
    pub cause: Option<Cause>,
    /// The API's status.
    pub http_status: Option<u16>,
    /// The API's name for the request.
    pub request_id: Option<String>,
    /// What it asked us to wait.
    pub retry_after_ms: Option<u64>,
    /// Bytes of the body handed to the connection.
    pub bytes_sent: u64,
    /// Whether it costs money.
    pub billed: Option<Billed>,
    /// The API's words, or ours.
    pub message: Option<String>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioFacts {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of the bytes that went out, in hex.
    pub blake3: String,
    /// True format by content.
    pub format: String,
    /// The MIME type it was sent with.
    pub mime: String,
}

/// Audio that came with an answer and lies beside the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedAudio {
    /// Relative to the job's output folder.
    pub path: RecordingPath,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// A result with everything that outputs say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// Commit order; only grows.
    pub seq: i64,
    /// Whose.
    pub task: TaskId,
    /// Its path.
    pub path: RecordingPath,
    /// The model that answered.
    pub endpoint: Endpoint,
    /// Attempts that counted, the successful one included.
    pub attempts: u32,
    /// The API's status.
    pub http_status: u16,
    /// What was sent.
    pub audio: AudioFacts,
    /// The audio's length by the API's word.
    pub duration_ms: Option<u64>,
    /// Its length by our own measure of what was sent.
    pub measured: Option<Measured>,
    /// What the ledger counted.
    pub billed_ms: u64,
    /// The API's whole answer, as JSON text.
    pub response: String,
    /// Audio that came with it.
    pub redacted_audio: Option<RedactedAudio>,
    /// When the request began.
    pub started_at: Timestamp,
    /// When the result was stored.
    pub finished_at: Timestamp,
    /// When the answer was deleted by hand: `response` is `null` since.
    pub purged_at: Option<Timestamp>,
    /// When the redacted audio was deleted by hand: what is said of it is what it was.
    pub audio_purged_at: Option<Timestamp>,
    /// What its recording comes with now.
    pub metadata: Metadata,
    /// Whose answer it is, if it was not sent itself.
    pub reused_from: Option<TaskId>,
    /// What is odd about it.
    pub suspicions: Vec<Suspicion>,
}

/// A limiter as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimiterState {
    /// The configured limit.
    pub ceiling: u32,
    /// What the pace allows at present.
    pub effective: u32,
    /// Slots taken, by anyone.
    pub busy: u32,
    /// Nothing is started before.
    pub paused_until: Option<Timestamp>,
    /// How much audio a request may hold, as far as that was learned.
    pub longest: Option<Longest>,
}

/// How much audio a request of an endpoint may hold, as it has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longest {
    /// Milliseconds.
    pub ms: u64,
    /// What the settings allowed when that was learned, in milliseconds.
    pub under_ms: Option<u64>,
}

/// An answer to a piece of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceRow {
    /// Of which recording, as it was then.
    pub identity: Identity,
    /// Which piece.
    pub stretch: Stretch,
    /// Its length by the API's word.
    pub duration_ms: Option<u64>,
    /// What the ledger counted for it.
    pub billed: Amount,
    /// Its length by our own measure.
    pub measured_ms: u64,
    /// When it was stored.
    pub answered_at: Timestamp,
    /// The API's whole answer, as JSON text.
    pub response: String,
}

/// A stored stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Its number.
    pub id: i64,
    /// What stops.
    pub scope: HaltScope,
    /// Why.
    pub reason: HaltReason,
    /// The API's words, or our count.
    pub evidence: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// By whom.
    pub raised_by: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When one request last tried whether it is over.
    pub probed_at: Option<Timestamp>,
    /// When it ended.
    pub lifted_at: Option<Timestamp>,
    /// Who ended it.
    pub lifted_by: Option<String>,
}

/// A count of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Their job.
    pub job: JobId,
    /// Their state.
    pub state: TaskState,
    /// The cause of the last failure, for failed and waiting tasks.
    pub cause: Option<Cause>,
    /// How many.
    pub tasks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an endpoint was used for in a month, by our own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Milliseconds of audio billed.
    pub billed_ms: u64,
    /// Results.
    pub succeeded: u64,
    /// Attempts that may have been billed without a result.
    pub unknown: u64,
    /// Milliseconds of audio that these may have been billed for.
    pub unknown_ms: u64,
    /// What was billed, by our own measure, in milliseconds: where nothing was measured, what was billed.
    pub measured_ms: u64,
    /// What it costs, by the prices of the day.
    pub cost: Money,
    /// What the others may cost.
    pub unknown_cost: Money,
}

/// What may be spent and what is, since a moment, by all runs on the queue together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Since when it is counted.
    pub begun_at: Timestamp,
    /// As it was last named.
    pub limit: BudgetLimit,
    /// Billed since, surely or perhaps.
    pub spent: Amount,
}

/// A process that works, or worked, on the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its id.
    pub id: WorkerId,
    /// Its machine.
    pub host: String,
    /// Its process number there.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last said that it lives.
    pub beat_at: Timestamp,
    /// When it ended in order.
    pub ended_at: Option<Timestamp>,
    /// With which exit code.
    pub exit_code: Option<i32>,
    /// Whether it still runs, as far as can be proven from here. Ignored when registering.
    pub alive: bool,
}

/// What a file made from results holds for certain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputState {
    /// Bytes that are committed; anything behind them is torn and goes.
    pub bytes: u64,
    /// The sequence number of the last result in it; 0 when empty.
    pub last_seq: i64,
    /// Records in it.
    pub records: u64,
    /// SHA-256 of the committed bytes, in hex; empty when nothing is committed.
    pub sha256: String,
}
