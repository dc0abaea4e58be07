//! Where a source begins: the folder that recordings' paths are relative to.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{ScanError, ScanSettings, is_list};

/// A source, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder that paths are relative to, absolute. Links and `..` in it stay as they were written.
    pub folder: PathBuf,
    /// The one file that is meant, when the source is a file: the folder is its parent then.
    pub only: Option<OsString>,
}

/// Resolves a source.
///
/// # Errors
/// [`ScanError::SourceMissing`], or [`ScanError::SourceUnreadable`] when it cannot be looked at or is a pipe, a
/// socket or a device.
pub fn root_of(source: &Path, settings: &ScanSettings) -> Result<Root, ScanError> {
    let unreadable = |why: String| ScanError::SourceUnreadable { path: source.to_owned(), why };
    let meta = std::fs::metadata(source).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ScanError::SourceMissing { path: source.to_owned() }
        }
        _ => unreadable(e.to_string()),
    })?;
    if settings.root.is_some() && !(meta.is_file() && is_list(source)) {
        return Err(ScanError::RootOfNoList { path: source.to_owned() });
    }
    let absolute = std::path::absolute(source).map_err(|e| unreadable(e.to_string()))?;
    if meta.is_dir() {
        return Ok(Root { folder: absolute, only: None });
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) if meta.is_file() => {
            let folder = settings.root.as_deref().filter(|_| is_list(source)).unwrap_or(folder);
            Ok(Root { folder: folder.to_owned(), only: Some(name.to_owned()) })
        }
        _ => Err(unreadable("it is neither a file nor a folder".into())),
    }
}
