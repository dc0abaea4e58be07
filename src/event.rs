//! Facts that have happened in a run. They travel one bounded channel to one loop, which folds them into
//! numbers, draws them and writes them out; nothing decides by them.
//!
//! To add one: a variant here, its fold in `report/stats.rs`, its line in `report/lines.rs` and its object in
//! `report/json.rs`.

use std::time::Duration;

use crate::task::{
    Doubt, Endpoint, Failure, Fence, HaltReason, HaltScope, RecordingPath, Suspect, TaskId, Timestamp,
    WorkerId,
};

/// The task that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its number.
    pub task: TaskId,
    /// Its job's name.
    pub job: String,
    /// Its path, relative to the job's source.
    pub path: RecordingPath,
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// The try this is about, from 1. Tries that cost nothing do not count on.
    pub attempt: u32,
    /// The claim it is about. Tells tries apart: the next one can begin before the end of the last is told.
    pub fence: Fence,
}

/// Why slots of an endpoint that nobody uses are not in use, as its pool knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idle {
    /// There is work, and nothing forbids it: they are being filled.
    #[default]
    Filling,
    /// Nothing is started before a pause of the limiter is over.
    Throttled,
    /// Every task that is left waits for its next try.
    Backoff,
    /// The queue has no more, and the scan goes on.
    NoWork,
    /// Fewer tasks are left than slots.
    Tail,
    /// One request at a time finds something out.
    Alone,
    /// A stored stop.
    Halted(HaltReason),
}

/// What the slots of an endpoint are doing that are not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotState {
    /// Why.
    pub idle: Idle,
    /// Tasks that could use a slot all the same; counts where there are fewer of them than slots.
    pub ready: u32,
    /// Slots that other processes on the queue use.
    pub elsewhere: u32,
    /// Slots that may be used at once for now.
    pub effective: u32,
}

/// Why nothing more is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// The user asked.
    Signal,
    /// The end that was set beforehand has come.
    Deadline,
    /// Something on this machine cannot go on.
    Trouble,
}

impl Stopping {
    /// Every reason.
    pub const ALL: [Stopping; 3] = [Stopping::Signal, Stopping::Deadline, Stopping::Trouble];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Stopping::Signal => "signal",
            Stopping::Deadline => "deadline",
            Stopping::Trouble => "trouble",
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The run has begun.
    RunStarted {
        /// This process.
        worker: WorkerId,
        /// The address that requests go to.
        base_url: String,
        /// Every endpoint with work, and its configured slots.
        endpoints: Vec<(Endpoint, u32)>,
        /// Tasks that were queued when it began.
        queued: u64,
        /// Their bytes.
        queued_bytes: u64,
    },
    /// The scan of a job came further, or ended.
    Scanned {
        /// The job's name.
        job: String,
        /// Tasks added so far.
        new: u64,
        /// Their bytes.
        new_bytes: u64,
        /// Of those, refused by looking at them.
        refused: u64,
        /// Files seen that the queue had already.
        known: u64,
        /// Whether this job's scan is over.
        done: bool,
    },
    /// A request began.
    TaskStarted(About),
    /// A result is stored.
    TaskSucceeded {
        /// Which task.
        about: About,
        /// The API's status.
        http_status: u16,
        /// The audio's length by the API's word.
        duration_ms: Option<u64>,
        /// What was billed, as far as known; of a recording in pieces, for the last one.
        billed_ms: u64,
        /// Bytes of the recording.
        bytes: u64,
        /// From the request's start to its answer.
        wall: Duration,
    },
    /// The answer of a recording that is the same was taken over: nothing was sent, nothing billed.
    TaskReused {
        /// Which task.
        about: About,
        /// Whose answer it is.
        from: TaskId,
        /// The audio's length by the API's word.
        duration_ms: Option<u64>,
        /// Bytes of the recording.
        bytes: u64,
    },
    /// A result is stored that is odd.
    TaskSuspect {
        /// Which task.
        about: About,
        /// In which ways.
        kinds: Vec<Suspect>,
    },
    /// An answer is stored that is empty although its recording is loud; it is sent once more, decoded.
    TaskResent {
        /// Which task.
        about: About,
        /// What was billed for the answer.
        billed_ms: u64,
        /// From the request's start to its answer.
        wall: Duration,
    },
    /// The answer to a piece of a recording is stored; the next one may go.
    PieceAnswered {
        /// Which task.
        about: About,
        /// Which piece, from 1.
        piece: u64,
        /// How many there will be, about.
        of_about: u64,
        /// What was billed for it.
        billed_ms: u64,
        /// From the request's start to its answer.
        wall: Duration,
    },
    /// A try failed; there will be another.
    TaskRetried {
        /// Which task.
        about: About,
        /// Why.
        failure: Failure,
        /// Until the next try.
        wait: Duration,
    },
    /// A try came to nothing at no cost; there will be another.
    TaskSnoozed {
        /// Which task.
        about: About,
        /// Why.
        failure: Failure,
        /// Until the next try.
        wait: Duration,
    },
    /// The task went back to the queue as if it had not been claimed.
    TaskReleased {
        /// Which task.
        about: About,
        /// Why.
        failure: Failure,
    },
    /// The task failed for good, or was refused before anything was sent ([`crate::task::Cause::is_refusal`]).
    TaskFailed {
        /// Which task.
        about: About,
        /// Why.
        failure: Failure,
        /// Whether a request had been made.
        sent: bool,
    },
    /// An answer came for a task that somebody else holds by now; it changed nothing.
    AnswerFenced(About),
    /// Tasks of workers that died went back to the queue.
    TasksRecovered {
        /// How many.
        tasks: u64,
        /// Of those, failed for good because it happened too often.
        failed: u64,
    },
    /// Nothing is started on the endpoint until then.
    LimiterPaused {
        /// Which endpoint.
        endpoint: Endpoint,
        /// Until when.
        until: Timestamp,
    },
    /// The adaptive limit moved.
    PaceChanged {
        /// Which endpoint.
        endpoint: Endpoint,
        /// Slots used at once from now on.
        effective: u32,
        /// The configured ceiling.
        ceiling: u32,
    },
    /// What keeps slots free has changed.
    SlotsChanged {
        /// Which endpoint.
        endpoint: Endpoint,
        /// How it is from now on.
        state: SlotState,
    },
    /// A refusal can mean several things and is being examined.
    Examining {
        /// Which endpoint.
        endpoint: Endpoint,
        /// What is in doubt.
        doubt: Doubt,
    },
    /// Everything on the endpoint fails; one request at a time finds out when it is over.
    OutageBegan {
        /// Which endpoint.
        endpoint: Endpoint,
        /// The last failure.
        failure: Failure,
    },
    /// A request succeeded again.
    OutageEnded {
        /// Which endpoint.
        endpoint: Endpoint,
    },
    /// Something stands still from now on.
    HaltRaised {
        /// What.
        scope: HaltScope,
        /// Why.
        reason: HaltReason,
        /// The API's words, or our count.
        evidence: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// A halt is over.
    HaltLifted {
        /// What goes on.
        scope: HaltScope,
        /// Why it had stopped.
        reason: HaltReason,
    },
    /// Nothing will be started after this moment.
    DeadlineSet {
        /// Which.
        until: Timestamp,
    },
    /// New files are looked for until the run is stopped.
    Watching {
        /// How often.
        interval: Duration,
    },
    /// The source of a job that is watched is gone, or back.
    SourceAway {
        /// The job's name.
        job: String,
        /// Whether it is gone.
        away: bool,
    },
    /// No new requests, those in flight may end. Told anew when the user asks for what a deadline has begun.
    Draining {
        /// Requests in flight.
        in_flight: u32,
        /// How long they may take.
        grace: Duration,
        /// Why.
        why: Stopping,
    },
    /// The user insisted, or the grace is over: requests in flight are dropped.
    Aborting {
        /// Requests in flight.
        in_flight: u32,
    },
    /// Somebody asked for a status line (SIGUSR1).
    StatusAsked,
    /// The run is over.
    RunEnded,
}
