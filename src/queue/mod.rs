//! The durable queue: every transition of a task, the slots, halts and the ledger, behind one trait.
//!
//! Methods are whole transitions, never setters. SQL lives in the backends only. A [`ClaimedTask`] is the proof
//! of holding a task and is consumed by settling it; a settlement with an older fence changes nothing.

#[cfg(test)]
mod conformance;
mod error;
#[cfg(test)]
mod model;
mod row;
mod sqlite;
mod store;

pub use error::QueueError;
pub use row::{
    AttemptRow, AudioFacts, Budget, Halt, LimiterState, Longest, OutputState, PieceRow, RedactedAudio,
    ResultRow, Tally, TaskRow, Usage, WorkerRow,
};
pub use sqlite::{QueueSettings, SqliteStore};
pub use store::{
    Candidate, Cap, Claim, ClaimRequest, ClaimedTask, Counted, Double, Enqueued, JobSpec, KnownFiles, Made,
    NewResult, NewTask, Purge, Purgeable, RESULTS_BYTES, Reached, Recognised, Recovered, RemoteJob, Request,
    Reuse, Settle, Settled, Sighting, TaskStore, Unmeasured,
};
