//! What a file really is, whether an endpoint takes it, and under which name and type it goes out.

/// What is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSettings {
    /// Larger files are refused before anything is sent. The API's limit is 100 MB; decimal is the safe reading.
    pub max_bytes: u64,
}

impl Default for MediaSettings {
    fn default() -> Self {
        MediaSettings { max_bytes: 100_000_000 }
    }
}
