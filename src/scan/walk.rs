//! The walk itself: one entry at a time, every entry told once, nothing stops it but the listener.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use walkdir::{DirEntry, WalkDir};

use super::glob::Globs;
use super::list::{self, Row};
use super::{Found, FoundFile, Listed, PassedOver, ScanError, ScanSettings, is_list, name, root_of};
use crate::task::{Description, RecordingPath};

/// Walks a source and tells `each` entry, sorted by name within a folder, until it breaks. Blocks.
///
/// `skip` are paths that are not scanned although they may lie inside: outputs and state. A source that is a file
/// is told whatever its name and the globs say; settling still counts. With links followed, a file that can be
/// reached by two paths is told twice.
///
/// # Errors
/// Only when the walk cannot start; see [`ScanError`].
pub fn walk(
    source: &Path,
    settings: &ScanSettings,
    skip: &[PathBuf],
    now: SystemTime,
    mut each: impl FnMut(Found) -> ControlFlow<()>,
) -> Result<(), ScanError> {
    let globs = Globs::new(settings)?;
    let root = root_of(source, settings)?;
    let walk = Walk { root: &root.folder, settings, globs, skip: identities(skip), now_ns: nanos(now) };
    if root.only.is_some() && is_list(source) {
        return walk.list(source, each);
    }
    if let Some(name) = root.only {
        let path = Path::new(&name);
        let looked = std::fs::metadata(root.folder.join(path));
        // The listener's wish to stop has no meaning after the only entry.
        let _ = each(match looked {
            Ok(meta) => walk.settled(path, &meta),
            Err(e) => trouble(path, &e),
        });
        return Ok(());
    }
    let mut entries = WalkDir::new(&root.folder)
        .min_depth(1)
        .follow_links(settings.follow_links)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = entries.next() {
        let found = match entry {
            Ok(entry) => match walk.judge(&entry) {
                Judged::Enter => continue,
                Judged::Tell(found) => {
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                    found
                }
            },
            // The root itself cannot be listed: nothing was scanned, and that is not a finding.
            Err(e) if e.depth() == 0 => {
                return Err(ScanError::SourceUnreadable {
                    path: source.to_owned(),
                    why: io::Error::from(e).to_string(),
                });
            }
            Err(e) => walk.failed(&e),
        };
        if each(found).is_break() {
            break;
        }
    }
    Ok(())
}

struct Walk<'a> {
    root: &'a Path,
    settings: &'a ScanSettings,
    globs: Globs,
    /// Device and inode: the same folder under any name.
    skip: HashSet<(u64, u64)>,
    now_ns: i128,
}

enum Judged {
    /// A folder to go into.
    Enter,
    Tell(Found),
}

impl Walk<'_> {
    /// The questions in the order of their cost: names first, the file system last.
    fn judge(&self, entry: &DirEntry) -> Judged {
        let path = self.relative(entry.path());
        let kind = entry.file_type();
        let left_out = name::passed_over(entry.file_name(), kind.is_dir())
            .or_else(|| {
                (!self.settings.hidden && name::is_hidden(entry.file_name())).then_some(PassedOver::Hidden)
            })
            .or_else(|| self.globs.passed_over(path, kind.is_dir()))
            .or_else(|| kind.is_symlink().then_some(PassedOver::Symlink))
            .or_else(|| (!kind.is_dir() && !kind.is_file()).then_some(PassedOver::NotAFile))
            .or_else(|| {
                let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
                (self.settings.sidecars && is_json && !kind.is_dir()).then_some(PassedOver::Sidecar)
            });
        if let Some(reason) = left_out {
            return Judged::Tell(passed_over(path, reason));
        }
        if kind.is_dir() && self.skip.is_empty() {
            return Judged::Enter;
        }
        match entry.metadata() {
            Ok(meta) if self.skip.contains(&(meta.dev(), meta.ino())) => {
                Judged::Tell(passed_over(path, PassedOver::OwnOutput))
            }
            Ok(_) if kind.is_dir() => Judged::Enter,
            Ok(meta) => Judged::Tell(self.settled(path, &meta)),
            Err(e) => Judged::Tell(trouble(path, &e.into())),
        }
    }

    /// A file is taken unless it changed just now. A time in the far future is a wrong clock, not a growing file.
    fn settled(&self, path: &Path, meta: &Metadata) -> Found {
        let modified_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        let changed_ns = match self.settings.settle_by_change {
            // Nobody can set it: every write and every change of size or times moves it.
            true => {
                modified_ns.max(meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec()))
            }
            false => modified_ns,
        };
        let apart = (self.now_ns - i128::from(changed_ns)).unsigned_abs();
        if apart < self.settings.settle.as_nanos() {
            return passed_over(path, PassedOver::Unsettled);
        }
        let path = RecordingPath::from(path);
        Found::File(FoundFile { path, size_bytes: meta.len(), modified_ns, listed: None })
    }

    /// What a list names, in its order. Its rows are people's words: names and links are taken as they are.
    fn list(&self, source: &Path, mut each: impl FnMut(Found) -> ControlFlow<()>) -> Result<(), ScanError> {
        let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
        list::read(source, self.root, |row| {
            each(match row {
                Row::Names { path, line, said } => self.listed(path, format!("{name} line {line}"), said),
                Row::Trouble { line, error } => {
                    let error = format!("line {line} {error}");
                    Found::Trouble { path: RecordingPath::from_bytes(name.as_bytes()), error }
                }
            })
        })
    }

    /// One that is not there is told all the same: somebody counts on it.
    fn listed(&self, path: RecordingPath, place: String, said: Result<Description, String>) -> Found {
        if let Some(reason) = self.globs.passed_over(path.as_path(), false) {
            return Found::PassedOver { path, reason };
        }
        let missing = match std::fs::metadata(self.root.join(path.as_path())) {
            Ok(meta) if meta.is_dir() => Some("it is a folder".to_owned()),
            Ok(meta) => match self.settled(path.as_path(), &meta) {
                Found::File(file) => {
                    return Found::File(FoundFile {
                        listed: Some(Box::new(Listed { place, said, missing: None })),
                        ..file
                    });
                }
                held_back => return held_back,
            },
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Some("there is no such file".to_owned())
            }
            Err(error) => return trouble(path.as_path(), &error),
        };
        let listed = Some(Box::new(Listed { place, said, missing }));
        Found::File(FoundFile { path, size_bytes: 0, modified_ns: 0, listed })
    }

    /// What the walk could not do, told at the entry it happened at.
    fn failed(&self, error: &walkdir::Error) -> Found {
        let path = self.relative(error.path().unwrap_or(self.root));
        let circle = rustix::io::Errno::LOOP.raw_os_error();
        match error.io_error() {
            None => passed_over(path, PassedOver::SymlinkLoop),
            Some(e) if e.raw_os_error() == Some(circle) => passed_over(path, PassedOver::SymlinkLoop),
            Some(e) => trouble(path, e),
        }
    }

    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(self.root).unwrap_or(path)
    }
}

fn passed_over(path: &Path, reason: PassedOver) -> Found {
    Found::PassedOver { path: RecordingPath::from(path), reason }
}

fn trouble(path: &Path, error: &io::Error) -> Found {
    let error = match error.kind() {
        io::ErrorKind::NotFound => "not there any more, or a link that leads nowhere".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("cannot be read ({error}): allow the user of this run to read it")
        }
        _ => format!("cannot be read ({error}): check its disk"),
    };
    Found::Trouble { path: RecordingPath::from(path), error }
}

/// Paths that do not exist yet cannot be met on the way.
fn identities(paths: &[PathBuf]) -> HashSet<(u64, u64)> {
    paths.iter().filter_map(|p| std::fs::metadata(p).ok()).map(|meta| (meta.dev(), meta.ino())).collect()
}

/// Nanoseconds since 1970, negative before.
fn nanos(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}
