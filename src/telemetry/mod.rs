//! Logs. No transcript text, response body or key at any level.
//!
//! Two readers: a message that stands alone, and fields with the same name everywhere (`task.id`, `task.attempt`,
//! `endpoint`, `duration_ms`). Where the lines go is the caller's: a terminal's live block has to step aside first.

mod log;
mod panic;
mod paths;

pub use log::{LogError, LogSettings, init};
pub use panic::install_panic_hook;
pub use paths::LogPaths;
