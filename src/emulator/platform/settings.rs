//! What the emulator can be told about the Platform API. Its documents leave much open, so much can be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::millis;

/// Ways of the Platform API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Platform {
    /// Accounts that are let in, each with any of the keys. Default `emulator-account`.
    pub accounts: Vec<String>,
    /// Largest file in a submission. Default 5,000,000 bytes.
    pub max_file_bytes: u64,
    /// Whether a job may be begun under an id that the client chose. Default true.
    pub foreign_job_ids: bool,
    /// The words a finalised job goes through before its last one. Default `processing`.
    pub states: Vec<String>,
    /// How long each of them lasts. 0 (default): until the job has been looked at once more.
    #[serde(rename = "state_for_ms", with = "millis")]
    pub state_for: Duration,
    /// The word for a job that is done. Default `completed`.
    pub completed: String,
    /// The word for a job none of whose files could be used. Default `failed`.
    pub failed: String,
}

impl Default for Platform {
    fn default() -> Self {
        Platform {
            accounts: vec!["emulator-account".to_owned()],
            max_file_bytes: 5_000_000,
            foreign_job_ids: true,
            states: vec!["processing".to_owned()],
            state_for: Duration::ZERO,
            completed: "completed".to_owned(),
            failed: "failed".to_owned(),
        }
    }
}
