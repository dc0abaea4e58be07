//! The exit codes, and which one wins when several things happened.

use crate::task::HaltReason;

/// How a command ended. The numbers are documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for is done, or there was nothing to do.
    Done = 0,
    /// Unexpected: a bug.
    Bug = 1,
    /// Usage or configuration; nothing was sent.
    Usage = 2,
    /// Finished, and some tasks failed for good.
    SomeFailed = 3,
    /// The API refuses the key, the model, or the job's options.
    NoAccess = 4,
    /// Stopped at a limit: monthly hours, credits, budget.
    Limit = 5,
    /// The API or the network was unusable for long.
    Unusable = 6,
    /// The queue, the disk, or an output that somebody changed.
    LocalState = 7,
    /// `verify` found something missing or altered, or `selftest` a promise that does not hold.
    Verify = 8,
    /// Nothing to do, with `--error-if-empty`.
    Empty = 9,
    /// The deadline came with work left (`--until`, `--max-duration`).
    Deadline = 10,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// All of them, the one that the user has to know first in front: signal > 4 > 2 > 5 > 7 > 8 > 6 > 10 > 3.
    pub const ALL: [Exit; 13] = [
        Exit::Interrupted,
        Exit::Terminated,
        Exit::Bug,
        Exit::NoAccess,
        Exit::Usage,
        Exit::Limit,
        Exit::LocalState,
        Exit::Verify,
        Exit::Unusable,
        Exit::Deadline,
        Exit::SomeFailed,
        Exit::Empty,
        Exit::Done,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a standing halt makes of it. A pause by hand is nobody's failure.
    pub(super) fn of_halt(reason: HaltReason) -> Option<Exit> {
        match reason {
            HaltReason::KeyRefused | HaltReason::ModelNotEnabled | HaltReason::ConfigRefused => {
                Some(Exit::NoAccess)
            }
            HaltReason::MonthlyHours | HaltReason::Budget | HaltReason::Credits => Some(Exit::Limit),
            HaltReason::Paused => None,
        }
    }

    /// Of several, the one that the user has to know first.
    pub fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
        let exits: Vec<Exit> = exits.into_iter().collect();
        Exit::ALL.into_iter().find(|e| exits.contains(e)).unwrap_or(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_beats_a_refused_key_beats_a_limit_beats_local_trouble() {
        assert_eq!(Exit::worst([Exit::SomeFailed, Exit::Limit, Exit::NoAccess]), Exit::NoAccess);
        assert_eq!(Exit::worst([Exit::Unusable, Exit::LocalState, Exit::Limit]), Exit::Limit);
        assert_eq!(Exit::worst([Exit::LocalState, Exit::Unusable]), Exit::LocalState);
        assert_eq!(Exit::worst([Exit::NoAccess, Exit::Terminated]), Exit::Terminated);
        assert_eq!(Exit::worst([Exit::SomeFailed, Exit::Deadline]), Exit::Deadline);
        assert_eq!(Exit::worst([Exit::Deadline, Exit::Unusable]), Exit::Unusable);
        assert_eq!(Exit::worst([]), Exit::Done);
    }
}
