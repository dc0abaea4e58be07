//! Logs. No transcript text, response body or key at any level.

/// How names of recordings appear in logs: they can carry names of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogPaths {
    /// As they are.
    #[default]
    Full,
    /// As the first 16 hex digits of their BLAKE3.
    Hash,
    /// Not at all.
    None,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `voxbatch=debug`.
    pub level: String,
    /// One JSON object a line instead of text.
    pub json: bool,
    /// How names of recordings appear.
    pub paths: LogPaths,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { level: "warn".to_owned(), json: false, paths: LogPaths::Full }
    }
}
