//! What the emulator can be told about its streaming endpoints.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::millis;

/// Limits and ways of the streaming endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sockets {
    /// A connection lasts no longer, nor does the audio in it; then the results come as if the audio had ended.
    /// Default 30 minutes.
    #[serde(rename = "longest_ms", with = "millis")]
    pub longest: Duration,
    /// After so long without audio it counts as ended. Default 60 s.
    #[serde(rename = "idle_ms", with = "millis")]
    pub idle: Duration,
    /// Key, access, credits, hours and concurrency are refused as plain HTTP, before there is a connection.
    /// Default false.
    pub refuse_at_handshake: bool,
    /// Refusals are a close code alone: no error message before it, no reason in it. Default false.
    pub silent_closes: bool,
    /// Fields of an utterance stand beside `type`, as in the oldest messages. Default false.
    pub flat_messages: bool,
    /// A streaming endpoint and its batch endpoint draw on the same slots and hours. Default false: each model has
    /// its own.
    pub share_with_batch: bool,
}

impl Default for Sockets {
    fn default() -> Self {
        Sockets {
            longest: Duration::from_secs(30 * 60),
            idle: Duration::from_secs(60),
            refuse_at_handshake: false,
            silent_closes: false,
            flat_messages: false,
            share_with_batch: false,
        }
    }
}
