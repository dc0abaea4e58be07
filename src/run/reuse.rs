//! A recording that is the same as one that has its answer: that answer becomes its own. No slot, no request, no cost.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::crew::Ended;
use super::ready::Ready;
use super::worker::Bench;
use super::{audio, now};
use crate::event::{About, RunEvent};
use crate::queue::{Double, QueueError, RedactedAudio, ResultRow, Reuse, Settled};
use crate::task::{Job, RecordingPath};

impl Bench {
    /// [`Bench::take_over`], as the pool hears of it.
    pub(super) async fn reuse(&self, ready: Ready, double: Double) -> Ended {
        match self.take_over(&ready, double).await {
            Ok(done) => Ended::Reused(done),
            Err(error) => Ended::Unstored(error),
        }
    }

    /// Takes over the answer, and the redacted audio that came with it. False if that is not to be had: then the
    /// recording is sent like any other.
    async fn take_over(&self, ready: &Ready, double: Double) -> Result<bool, QueueError> {
        let Some(identity) = ready.identity.clone() else { return Ok(false) };
        let Some(result) = self.store.result(double.of).await? else { return Ok(false) };
        if result.purged_at.is_some() || result.audio_purged_at.is_some() {
            return Ok(false);
        }
        let redacted_audio = match &result.redacted_audio {
            None => None,
            Some(audio) => match self.copy_audio(ready, double, audio.clone()).await? {
                Some(copied) => Some(copied),
                None => return Ok(false),
            },
        };
        let candidate = &ready.candidate;
        let kept = redacted_audio.as_ref().map(|audio| audio.path.clone());
        let reuse =
            Reuse { task: candidate.id, fence: candidate.fence, of: double.of, identity, redacted_audio };
        if self.store.reuse(reuse, now()).await? == Settled::Fenced {
            return Ok(false);
        }
        if let Some(kept) = kept {
            audio::remove_overtaken(&ready.work.job, &candidate.path, &kept);
        }
        self.tell_reused(ready, &result).await;
        Ok(true)
    }

    async fn tell_reused(&self, ready: &Ready, result: &ResultRow) {
        let candidate = &ready.candidate;
        let about = About {
            task: candidate.id,
            job: ready.work.job.name.clone(),
            path: candidate.path.clone(),
            endpoint: self.endpoint,
            attempt: candidate.attempts,
            fence: candidate.fence,
        };
        let from = result.reused_from.unwrap_or(result.task);
        if !result.suspicions.is_empty() {
            let kinds = result.suspicions.iter().map(|one| one.kind).collect();
            self.tell(RunEvent::TaskSuspect { about: about.clone(), kinds }).await;
        }
        self.tell(RunEvent::TaskReused {
            about,
            from,
            duration_ms: result.duration_ms,
            bytes: result.audio.bytes,
        })
        .await;
    }

    /// The file of the other one, if it still is what it was, once more under this one's name.
    async fn copy_audio(
        &self,
        ready: &Ready,
        double: Double,
        audio: RedactedAudio,
    ) -> Result<Option<RedactedAudio>, QueueError> {
        let Some(other) = self.store.task(double.of).await? else { return Ok(None) };
        let jobs = self.store.jobs().await?;
        let Some(folder) = jobs.iter().find(|job| job.id == other.job).map(|job: &Job| job.output.clone())
        else {
            return Ok(None);
        };
        let from = folder.join(audio.path.as_path());
        let job = &ready.work.job;
        let to = match from.extension().and_then(std::ffi::OsStr::to_str) {
            Some(extension) => job.redacted_audio_as(&ready.candidate.path, extension),
            None => job.redacted_audio_of(&ready.candidate.path),
        };
        let relative = to.strip_prefix(&ready.work.job.output).map(Path::to_owned).unwrap_or(to.clone());
        let wanted = audio.sha256.clone();
        let copying = tokio::task::spawn_blocking(move || copy(&from, &to, &wanted));
        match copying.await {
            Ok(Ok(true)) => {
                Ok(Some(RedactedAudio { path: RecordingPath::from(relative.as_path()), ..audio }))
            }
            Ok(Ok(false)) => Ok(None),
            Ok(Err((path, source))) => Err(QueueError::Io { path, source }),
            Err(panic) => Err(QueueError::Bug(format!("copying redacted audio ended by a bug: {panic}"))),
        }
    }
}

/// Beside its place, synced and renamed. False if the original is gone or is not what it was.
fn copy(from: &Path, to: &Path, sha256: &str) -> Result<bool, (PathBuf, io::Error)> {
    let Ok(mut original) = File::open(from) else { return Ok(false) };
    let failed = |error: io::Error| (to.to_owned(), error);
    let folder = to.parent().unwrap_or(to);
    let mut beside =
        tempfile::Builder::new().prefix(".voxbatch-").suffix(".part").tempfile_in(folder).map_err(failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let Ok(length) = original.read(&mut buffer) else { return Ok(false) };
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        beside.write_all(&buffer[..length]).map_err(failed)?;
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != sha256 {
        return Ok(false);
    }
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(to).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(true)
}
