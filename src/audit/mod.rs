//! The audit log: who did what to a queue and when, in an append-only file whose every line holds the hash of the
//! line before. Numbers, ids and fixed words only, by type: no path, no spoken word, no key can be put into it.
//!
//! [`AuditLog`] appends, [`check`] holds the chain. What is worth an entry is for whoever does it to say.

mod chain;
mod entry;
mod log;

use std::io;
use std::path::PathBuf;

pub use chain::{Break, Chain, Why, check};
pub use entry::{Author, Facts, Kind};
pub use log::AuditLog;

/// The file in the state folder.
pub const FILE: &str = "audit.jsonl";

/// What the first line has for a line before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Lines of ours are far shorter; a longer one is nothing that we wrote.
const LONGEST: u64 = 64 << 10;

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{doing} the audit log {path}: {source}")]
pub struct AuditError {
    /// The verb: `append to` or `read`.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// SHA-256 in hex, as `sha256sum` prints it.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    format!("{:x}", sha2::Sha256::digest(bytes))
}
