//! stub
/// Where the queue lies.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// x
    pub path: std::path::PathBuf,
}
/// x
#[derive(Debug)]
pub struct SqliteStore;
