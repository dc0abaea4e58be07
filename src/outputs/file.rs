//! What output files need of the file system: private modes, syncs, replacing by rename, one writer at a time.
//! Everything here blocks and is called from threads that may.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::OutputError;
use super::patience::Patience;

/// Whoever has it writes the files that results go to.
pub(super) const LOCK: &str = ".results.lock";

/// Runs blocking work off the async threads: an fdatasync can take as long as a disk likes, and the same
/// threads keep uploads going.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OutputError> + Send + 'static,
) -> Result<T, OutputError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        // The runtime is shutting down; what was not committed is written again next time.
        Err(_) => Err(OutputError::Io {
            doing: "write",
            path: "output files".into(),
            source: io::ErrorKind::Interrupted.into(),
        }),
    }
}

/// Makes a folder and its parents, 0700 where they are new, each of those durable in the one that holds it.
pub(super) fn make_folder(path: &Path) -> Result<(), OutputError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if above != path {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(OutputError::io("create", path)(error)),
        Ok(()) => sync_folder(above),
    }
}

/// Opens a regular file for reading and writing, if there is one.
pub(super) fn open_existing(path: &Path) -> Result<Option<File>, OutputError> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OutputError::io("open", path)(error)),
    };
    match file.metadata() {
        Ok(facts) if facts.is_file() => Ok(Some(file)),
        Ok(_) => Err(OutputError::io("open", path)(io::Error::other("it is not a regular file"))),
        Err(error) => Err(OutputError::io("open", path)(error)),
    }
}

/// Bytes in a file.
pub(super) fn length(file: &File, path: &Path) -> Result<u64, OutputError> {
    file.metadata().map(|m| m.len()).map_err(OutputError::io("read", path))
}

/// Whether `path` still names the file that is open.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// A hash as people write it.
pub(super) fn hex(hash: &Sha256) -> String {
    format!("{:x}", hash.clone().finalize())
}

/// Makes a rename or a new name durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), OutputError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(OutputError::io("sync", path))
}

/// An exclusive right, kept by the operating system until it is dropped or the process dies.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the right, or returns at once when somebody else has it. The file itself stays, empty.
    pub(super) fn try_take(path: PathBuf) -> Result<Option<Arc<Lock>>, OutputError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(OutputError::io("create", &path))?;
        match file.try_lock() {
            // Somebody may have deleted the file between opening and locking: then the lock guards nothing.
            Ok(()) if is_at(&file, &path) => Ok(Some(Arc::new(Lock { file, path }))),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(OutputError::io("lock", &path)(error)),
        }
    }

    /// Takes the right to files of a folder, which is made. `None` if somebody else had it for too long.
    pub(super) async fn wait(
        folder: &Path,
        name: &str,
        patience: Patience,
    ) -> Result<Option<Arc<Lock>>, OutputError> {
        let since = Instant::now();
        loop {
            let (folder, path) = (folder.to_owned(), folder.join(name));
            let lock = blocking(move || {
                make_folder(&folder)?;
                Lock::try_take(path)
            });
            match lock.await? {
                Some(lock) => return Ok(Some(lock)),
                None if since.elapsed() >= patience.limit => return Ok(None),
                None => tokio::time::sleep(patience.poll).await,
            }
        }
    }

    /// Runs blocking work that needs the right. The right travels with it: work that nobody waits for any more
    /// goes on to its end, and only then may somebody else begin.
    pub(super) async fn during<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T, OutputError> + Send + 'static,
    ) -> Result<T, OutputError> {
        let lock = Arc::clone(self);
        // In a tuple the first goes first: whatever the work made is cleared away before the right is given up.
        let (done, _lock) = blocking(move || work().map(|done| (done, lock))).await?;
        Ok(done)
    }

    /// Whether it still guards anything: the file may have been deleted and another one locked in its place.
    pub(super) fn holds(&self) -> bool {
        is_at(&self.file, &self.path)
    }
}

/// Where a file is written before it takes its place.
pub(super) fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.new"))
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), OutputError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OutputError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A file written beside its target and renamed over it when whole. Dropped before that, it is removed; after
/// a crash it lies there as `.NAME.new` and is overwritten next time.
pub(super) struct Replacement {
    beside: PathBuf,
    target: PathBuf,
    in_place: bool,
}

impl Replacement {
    /// Begins an empty file, 0600. Whoever calls holds the lock of the target.
    pub(super) fn begin(target: &Path) -> Result<(Replacement, File), OutputError> {
        Replacement::by_way_of(beside(target), target)
    }

    /// The same under a name in the same file system that the caller picks.
    pub(super) fn by_way_of(beside: PathBuf, target: &Path) -> Result<(Replacement, File), OutputError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&beside)
            .map_err(OutputError::io("create", &beside))?;
        Ok((Replacement { beside, target: target.to_owned(), in_place: false }, file))
    }

    /// Syncs, renames, and syncs the folder. An open handle goes on naming the same file.
    pub(super) fn put_in_place(mut self, file: &File) -> Result<(), OutputError> {
        file.sync_all().map_err(OutputError::io("sync", &self.beside))?;
        std::fs::rename(&self.beside, &self.target).map_err(OutputError::io("replace", &self.target))?;
        self.in_place = true;
        sync_folder(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_0600_and_new_folders_0700() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("out/archive");
        make_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&temp.path().join("out"))), (0o700, 0o700));

        let target = folder.join("results.jsonl");
        let (replacement, file) = Replacement::begin(&target).unwrap();
        replacement.put_in_place(&file).unwrap();
        assert_eq!(mode(&target), 0o600);
        let _lock = Lock::try_take(folder.join(".results.lock")).unwrap().unwrap();
        assert_eq!(mode(&folder.join(".results.lock")), 0o600);
    }

    #[test]
    fn a_replacement_that_is_given_up_leaves_the_target_and_no_litter() {
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("failures.csv");
        std::fs::write(&target, "old").unwrap();
        let (replacement, mut file) = Replacement::begin(&target).unwrap();
        file.write_all(b"half of the ne").unwrap();
        drop(replacement);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_had_once_and_freed_by_dropping_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".results.lock");
        let first = Lock::try_take(path.clone()).unwrap().unwrap();
        assert!(Lock::try_take(path.clone()).unwrap().is_none());
        assert!(first.holds());
        drop(first);
        assert!(Lock::try_take(path).unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_was_deleted_no_longer_holds() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".results.lock");
        let lock = Lock::try_take(path.clone()).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.holds());
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        assert!(open_existing(temp.path()).is_err());
        assert!(open_existing(&temp.path().join("nothing")).unwrap().is_none());
    }
}
