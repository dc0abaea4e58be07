//! The states of a task and why a queued one may be waiting.

use std::fmt;
use std::str::FromStr;

/// Where a task stands. Waiting for another try is `Queued` with a [`Hold`] and a time in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// To be sent, now or at `run_at`.
    Queued,
    /// A worker holds it, and a slot with it.
    Running,
    /// The answer is stored.
    Succeeded,
    /// It will not be tried again by itself: refused, or failed for good.
    Failed,
    /// Taken out by hand.
    Cancelled,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [TaskState; 5] = [
        TaskState::Queued,
        TaskState::Running,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Cancelled,
    ];

    /// The word that the database, the outputs and the command line use.
    pub fn word(self) -> &'static str {
        match self {
            TaskState::Queued => "queued",
            TaskState::Running => "running",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for TaskState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        TaskState::ALL.into_iter().find(|s| s.word() == word).ok_or_else(|| word.to_owned())
    }
}

/// Why a queued task is not being sent right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// A try failed; the next one comes after its delay.
    Backoff,
    /// The API said that too much was under way.
    Throttle,
    /// The file was changing; it is looked at again once it has settled.
    Settle,
}

impl Hold {
    /// Every reason to wait.
    pub const ALL: [Hold; 3] = [Hold::Backoff, Hold::Throttle, Hold::Settle];

    /// The word that the database and the command line use.
    pub fn word(self) -> &'static str {
        match self {
            Hold::Backoff => "backoff",
            Hold::Throttle => "throttle",
            Hold::Settle => "settle",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Hold::ALL.into_iter().find(|h| h.word() == word).ok_or_else(|| word.to_owned())
    }
}
