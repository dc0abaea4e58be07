//! The audio of an answer: written under a passing name beside where it will lie, hashed on the way, renamed when
//! its task succeeds. What was never renamed is removed.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;

/// Audio that lies on disk, synced, under a passing name. Dropped without [`StagedAudio::persist`], it is removed.
#[derive(Debug)]
pub struct StagedAudio {
    /// How large it is.
    pub bytes: u64,
    /// SHA-256 in hex, as `sha256sum` prints it.
    pub sha256: String,
    /// Of a stream: the pieces that lie in it one behind the other, each a file of its own, still to be joined.
    pub clips: Vec<Clip>,
    path: TempPath,
}

/// A piece of redacted audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// Where it belongs in the recording.
    pub start_ms: u64,
    /// How long it is.
    pub duration_ms: u64,
    /// Its size.
    pub bytes: u64,
}

impl StagedAudio {
    /// Puts in its place what `make` makes of it: written beside, synced, hashed.
    pub fn remade(self, make: impl FnOnce(File, &mut File) -> io::Result<()>) -> io::Result<StagedAudio> {
        let (mut file, path) = temporary(parent(&self.path))?.into_parts();
        make(File::open(&self.path)?, &mut file)?;
        file.sync_all()?;
        let mut sha256 = Sha256::new();
        let bytes = io::copy(&mut File::open(&path)?, &mut sha256)?;
        Ok(StagedAudio { bytes, sha256: format!("{:x}", sha256.finalize()), clips: Vec::new(), path })
    }

    /// Renames it to `to`, over whatever lies there, and makes the rename durable. Both must lie in one file system.
    pub fn persist(self, to: &Path) -> io::Result<()> {
        self.path.persist(to).map_err(|e| e.error)?;
        sync_folder(parent(to))
    }
}

/// Audio while it arrives.
#[derive(Debug)]
pub(super) struct Stage {
    file: tokio::fs::File,
    path: TempPath,
    bytes: u64,
    sha256: Sha256,
}

impl Stage {
    /// Opens a file for us alone (0600) in the folder of `beside`, which is made (0700) if need be. Without a place
    /// it lies in the system's folder for passing files.
    pub(super) async fn open(beside: Option<&Path>) -> io::Result<Self> {
        let folder = beside.map_or_else(std::env::temp_dir, |path| parent(path).to_owned());
        let (file, path) = blocking(move || {
            make_folder(&folder)?;
            Ok(temporary(&folder)?.into_parts())
        })
        .await?;
        Ok(Stage { file: tokio::fs::File::from_std(file), path, bytes: 0, sha256: Sha256::new() })
    }

    /// How many bytes have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.sha256.update(data);
        self.bytes += data.len() as u64;
        self.file.write_all(data).await
    }

    /// Makes the bytes durable.
    pub(super) async fn finish(mut self, clips: Vec<Clip>) -> io::Result<StagedAudio> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let sha256 = format!("{:x}", self.sha256.finalize());
        Ok(StagedAudio { bytes: self.bytes, sha256, clips, path: self.path })
    }
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    Builder::new().prefix(".voxbatch-").suffix(".part").tempfile_in(folder)
}

/// Makes the folder and what is missing above it, each made durable in the one that holds it.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    make_folder(above)?;
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Another worker made it meanwhile.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder(above),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened and synced.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn audio_gets_its_name_only_when_it_is_persisted() {
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("a/b/call.wav.redacted.mp3");
        let mut stage = Stage::open(Some(&to)).await.unwrap();
        stage.write(b"ab").await.unwrap();
        stage.write(b"c").await.unwrap();
        let staged = stage.finish(Vec::new()).await.unwrap();
        assert_eq!(staged.bytes, 3);
        assert_eq!(staged.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(!to.exists());
        staged.persist(&to).unwrap();
        assert_eq!(files(to.parent().unwrap()), std::slice::from_ref(&to));
        assert_eq!(std::fs::read(&to).unwrap(), b"abc");
    }

    #[tokio::test]
    async fn audio_that_is_not_persisted_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("call.mp3");
        let mut half = Stage::open(Some(&to)).await.unwrap();
        half.write(b"half").await.unwrap();
        drop(half);
        drop(Stage::open(Some(&to)).await.unwrap().finish(Vec::new()).await.unwrap());
        assert_eq!(files(root.path()), [] as [PathBuf; 0]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("new/call.mp3");
        Stage::open(Some(&to)).await.unwrap().finish(Vec::new()).await.unwrap().persist(&to).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(to.parent().unwrap())), (0o600, 0o700));
    }
}
