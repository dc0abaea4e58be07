//! Walks a source and says what lies there and what was passed over. Leaves content to `media`.
//!
//! [`walk`] blocks and streams: entries come one at a time, in the order of their names, and nothing is kept but the
//! names of the folders that are open. Sources are only listed, never opened for writing nor touched.

mod describe;
mod error;
mod found;
mod glob;
mod list;
mod name;
mod root;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use describe::{Describe, Described, name_pattern};
pub use error::ScanError;
pub use found::{Found, FoundFile, Listed, PassedOver};
pub use glob::check_globs;
pub use list::is_list;
pub use root::{Root, root_of};
pub use walk::walk;

/// What a walk looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanSettings {
    /// Globs of paths to take, relative to the source; empty: all. `*.wav` is meant at any depth, `calls/*.wav` in
    /// one folder, `calls/` for all below it.
    pub include: Vec<String>,
    /// Globs of paths to leave out, relative to the source. A folder that matches is not entered.
    pub exclude: Vec<String>,
    /// Whether names that begin with a dot are looked at.
    pub hidden: bool,
    /// Whether symbolic links are followed. Loops are noticed.
    pub follow_links: bool,
    /// A file that changed within this time may still be growing: it is held back.
    pub settle: Duration,
    /// Count that time since anything about the file last changed, its name and its times included, and not since its
    /// modification time alone: copying can set that one back while the file still grows. For who comes again.
    pub settle_by_change: bool,
    /// The folder that holds what a list names, and that its paths are relative to; by default the list's own.
    pub root: Option<PathBuf>,
    /// Named parts of a recording's path, as a regular expression: `(?<agent>[A-Z]+)_(?<date>\d+)`.
    pub metadata_pattern: Option<String>,
    /// Whether `call.wav.json`, or else `call.json`, says what `call.wav` comes with.
    pub sidecars: bool,
}

/// The names of fields that recordings of a source will come with, as far as they are known before a scan.
///
/// # Errors
/// [`ScanError::Pattern`], a source that is not there, a list that is none.
pub fn known_fields(source: &Path, settings: &ScanSettings) -> Result<Vec<String>, ScanError> {
    let root = root_of(source, settings)?;
    let mut names = Describe::new(settings, &root.folder)?.map(|d| d.fields()).unwrap_or_default();
    if root.only.is_some() && is_list(source) {
        let more = list::fields(source, &root.folder)?;
        names.extend(more.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    Ok(names)
}

impl Default for ScanSettings {
    fn default() -> Self {
        ScanSettings {
            include: Vec::new(),
            exclude: Vec::new(),
            hidden: false,
            follow_links: false,
            settle: Duration::from_secs(10),
            settle_by_change: false,
            root: None,
            metadata_pattern: None,
            sidecars: false,
        }
    }
}
