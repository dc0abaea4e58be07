//! The API as a client sees it: what to send, ONE try, what came back, what it means.

mod audio;
mod classify;
mod client;
mod exchange;
mod multipart;
mod options;
mod pieces;
mod platform;
mod presets;
mod request;
mod response;
mod stream;
mod upload;

use std::time::Duration;

use secrecy::SecretString;

pub use audio::{Clip, StagedAudio};
pub use classify::classify;
pub use client::Client;
pub use exchange::{Answer, Exchange, TransportError};
pub use options::{OptionError, Options, PresetUse};
pub use pieces::{Part, join};
pub use platform::{PlatformSettings, accepted};
pub use presets::{Preset, nearest_preset};
pub use request::Submission;
pub use response::{Behavior, Music, Pick, Response, Sentiment, Transcript, Unreadable, Utterance, read};
pub use stream::{ClipAt, Decoded, Fold, Heard, Streamed, TooMuch};
pub use upload::Source;

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
    /// How much a message of a stream holds, 4 to 64 KiB.
    pub stream_frame_bytes: usize,
    /// How to reach the Platform API, for whoever uses it.
    pub platform: Option<PlatformSettings>,
}

/// Why there can be no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VelmaError {
    /// The address is unusable.
    #[error(
        "use `{url}` as base_url: {why}; give scheme and host, such as https://modulate-developer-apis.com"
    )]
    BaseUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key is empty or cannot stand in a header.
    #[error("use the API key: it {0}; copy it again from the console")]
    Key(&'static str),
    /// The HTTP client cannot be set up.
    #[error("set up the HTTP client: {0}")]
    Http(String),
}
