//! What a purge leaves to files: redacted audio that has to go, outputs that say too much. Every step may be done
//! again, so whoever was killed half way does them all once more. What goes, and when, is the queue's to say.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::file::{blocking, sync_folder};
use super::format::Format;
use super::tables::{MARK, TABLES};
use super::{FileFormat, OutputError, OutputSettings, Projector, written};
use crate::queue::TaskStore;
use crate::task::{Job, RecordingPath, Timestamp};

/// Audio files looked at between two looks at whether a run has begun.
const PAGE: u32 = 1000;

/// How far a purge came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PurgeEnd {
    /// Audio files that were there and are deleted.
    pub files: u64,
    /// Why something of what was purged may still be there. The next purge goes on from here.
    pub in_the_way: Option<InTheWay>,
}

/// What a purge cannot end beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTheWay {
    /// A run has begun: it may be putting audio in the place of what has to go.
    Run,
    /// Another process has the files of a job.
    Files,
    /// Another process reads the queue.
    Reader,
}

/// Makes true what the queue says of its purges, of whichever process and however long ago: deletes audio, renders
/// outputs anew, and has the queue let go of the bytes. `jobs` are all that the queue knows.
///
/// # Errors
/// Audio that cannot be deleted, outputs that cannot be written; the queue's own.
pub async fn end_purge(
    store: &Arc<dyn TaskStore>,
    jobs: &[Job],
    settings: &OutputSettings,
    now: Timestamp,
) -> Result<PurgeEnd, OutputError> {
    let open = store.open_purge().await?;
    let mut end = PurgeEnd::default();
    for job in jobs {
        let mut after = 0;
        loop {
            let names = store.purged_audio(job.id, after, PAGE).await?;
            let Some((last, _)) = names.last() else { break };
            after = *last;
            if a_run_goes_on(&**store).await? {
                return Ok(PurgeEnd { in_the_way: Some(InTheWay::Run), ..end });
            }
            let (folder, is_open) = (job.output.clone(), open.is_some());
            let names = names.into_iter().map(|(_, name)| name).collect();
            end.files += blocking(move || delete(&folder, names, is_open)).await?;
        }
    }
    let Some(open) = open else { return Ok(end) };
    for job in jobs {
        if !says_too_much(&**store, job).await? {
            continue;
        }
        // Whatever is listed now: all that was ever written has to forget.
        let settings = OutputSettings { list: written(&**store, job).await?, ..settings.clone() };
        let mut projector = Projector::open(Arc::clone(store), job.clone(), settings).await?;
        if !projector.finish().await?.complete {
            return Ok(PurgeEnd { in_the_way: Some(InTheWay::Files), ..end });
        }
    }
    // The queue is written anew now, which can take longer than a run waits to store an answer that was paid for. One
    // that begins later cannot even register before this is over.
    if a_run_goes_on(&**store).await? {
        return Ok(PurgeEnd { in_the_way: Some(InTheWay::Run), ..end });
    }
    let ended = store.end_purge(open, now).await?;
    Ok(PurgeEnd { in_the_way: (!ended).then_some(InTheWay::Reader), ..end })
}

async fn a_run_goes_on(store: &dyn TaskStore) -> Result<bool, OutputError> {
    Ok(store.workers(u32::MAX).await?.iter().any(|worker| worker.alive))
}

/// A file of a job that was written and is not there. On a disk that is not mounted a purge would find nothing to
/// delete, and call that done.
///
/// # Errors
/// The queue's own.
pub async fn missing_output(store: &dyn TaskStore, job: &Job) -> Result<Option<PathBuf>, OutputError> {
    for format in Format::ALL {
        let path = job.output.join(format.file_name());
        if store.output(job.id, format.file_name()).await?.bytes > 0 && !path.exists() {
            return Ok(Some(path));
        }
    }
    for format in FileFormat::ALL {
        let path = job.output.join(format.word());
        if store.output(job.id, format.word()).await?.records > 0 && !path.exists() {
            return Ok(Some(path));
        }
    }
    for name in TABLES {
        let path = job.output.join(name);
        if store.output(job.id, name).await?.bytes > 0 && !path.exists() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether files of a job are to be rendered anew, or somebody died while they were.
async fn says_too_much(store: &dyn TaskStore, job: &Job) -> Result<bool, OutputError> {
    if store.outputs_stale(job.id).await? {
        return Ok(true);
    }
    let names = Format::ALL.map(Format::file_name).into_iter();
    for name in names.chain(FileFormat::ALL.map(FileFormat::word)).chain([MARK]) {
        let state = store.output(job.id, name).await?;
        // Begun, and not come to the end: what lies behind may be as it was before.
        if !state.sha256.is_empty() && !store.results(job.id, state.last_seq, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Deletes what is there of these files, and what a run that was killed left under passing names beside them.
/// Returns how many of the former there were. What was deleted stays so when the power fails.
fn delete(folder: &Path, names: Vec<RecordingPath>, sync_all: bool) -> Result<u64, OutputError> {
    let (mut deleted, mut folders, mut changed) = (0, BTreeSet::new(), BTreeSet::new());
    for name in names {
        let path = folder.join(name.as_path());
        let failed = |source| OutputError::Io { doing: "delete", path: path.clone(), source };
        // The queue never names anything else; a queue that somebody wrote to must not reach other folders.
        if !name.as_path().components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(failed(io::Error::other("it does not lie below the job's output folder")));
        }
        if let Some(parent) = path.parent() {
            folders.insert(parent.to_owned());
        }
        match path.symlink_metadata() {
            Ok(facts) if facts.is_file() => {
                std::fs::remove_file(&path).map_err(failed)?;
                changed.extend(path.parent().map(Path::to_owned));
                deleted += 1;
            }
            Ok(_) => return Err(failed(io::Error::other("it is no regular file: delete what it leads to"))),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for folder in &folders {
        if delete_passing(folder)? {
            changed.insert(folder.clone());
        }
    }
    let to_sync = if sync_all { folders } else { changed };
    to_sync.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| sync_folder(folder))?;
    Ok(deleted)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Audio that a killed run never gave its name. True if there was any.
fn delete_passing(folder: &Path) -> Result<bool, OutputError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(false),
        Err(error) => return Err(OutputError::io("read", folder)(error)),
    };
    let mut deleted = false;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".voxbatch-") && name.ends_with(".part") {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(OutputError::io("delete", &path))?;
            deleted = true;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<RecordingPath> {
        all.iter().map(|name| RecordingPath::from_bytes(name.as_bytes())).collect()
    }

    #[test]
    fn what_is_there_is_deleted_and_what_is_gone_is_no_trouble() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("audio")).unwrap();
        for name in ["a.mp3", "kept.mp3", ".voxbatch-x1.part", ".voxbatch-note"] {
            std::fs::write(temp.path().join("audio").join(name), "x").unwrap();
        }
        let all = || names(&["audio/a.mp3", "audio/b.mp3", "nowhere/c.mp3", "audio/kept.mp3/d.mp3"]);
        assert_eq!(delete(temp.path(), all(), true).unwrap(), 1);
        assert_eq!(delete(temp.path(), all(), false).unwrap(), 0);
        let left = std::fs::read_dir(temp.path().join("audio")).unwrap();
        let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".voxbatch-note", "kept.mp3"]);
    }

    #[test]
    fn nothing_outside_the_folder_and_nothing_but_files_is_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let out = temp.path().join("out");
        std::fs::create_dir_all(out.join("folder")).unwrap();
        let outside = temp.path().join("a.wav");
        std::fs::write(&outside, "x").unwrap();
        std::os::unix::fs::symlink(&outside, out.join("link.mp3")).unwrap();
        for name in ["../a.wav", outside.to_str().unwrap(), "folder", "link.mp3"] {
            let refused = delete(&out, names(&[name]), false).unwrap_err().to_string();
            assert!(refused.starts_with("delete "), "{refused}");
        }
        assert!(outside.exists() && out.join("link.mp3").is_symlink() && out.join("folder").is_dir());
    }
}
