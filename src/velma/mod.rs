//! The API as a client sees it: what to send, ONE try, what came back, what it means.

use std::time::Duration;

use secrecy::SecretString;

/// How to reach the API.
#[derive(Debug, Clone)]
pub struct VelmaSettings {
    /// Scheme and host, without a path: `https://modulate-developer-apis.com`.
    pub base_url: String,
    /// The organisation's key. Never printed.
    pub api_key: SecretString,
    /// To get a connection.
    pub connect_timeout: Duration,
    /// While uploading, without a byte moving.
    pub stall_timeout: Duration,
    /// From the last byte sent to the whole answer, for the smallest file.
    pub answer_timeout: Duration,
    /// Added to it for each megabyte of the recording.
    pub answer_timeout_per_mb: Duration,
}
