//! Identifiers. Newtypes, so that two numbers cannot be swapped by accident.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One recording in one job: a row of the queue.
    TaskId
}
number! {
    /// A job of `jobs.toml`, as the queue knows it.
    JobId
}
number! {
    /// How often a task has been claimed. Only grows; a settlement with an older fence changes nothing.
    Fence
}

/// One process that works on a queue; a UUID v7, never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
