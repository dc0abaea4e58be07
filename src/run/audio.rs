//! Redacted audio that came in pieces, joined into the one file that stands beside its answer.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::pieces::Pieces;
use crate::media::{self, DecodeError, Excerpt};
use crate::task::{Job, RecordingPath};
use crate::velma::{Clip, StagedAudio};

/// Why an answer cannot be kept.
pub(super) enum Unkept {
    /// It is the disk's fault.
    Storage(String),
    /// It is the answer's.
    Audio(String),
}

impl From<io::Error> for Unkept {
    fn from(error: io::Error) -> Self {
        Unkept::Storage(error.to_string())
    }
}

/// Takes away redacted audio of the other kind, from before: a result of which it is a part stands no more. Once the new one
/// stands, and not before.
pub(super) fn remove_overtaken(job: &Job, recording: &RecordingPath, kept: &RecordingPath) {
    let kept = job.output.join(kept.as_path());
    for other in [job.redacted_audio_of(recording), job.redacted_audio_as(recording, Pieces::AUDIO)] {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if other != kept
            && let Err(error) = std::fs::remove_file(&other)
            && !gone(&error)
        {
            tracing::warn!(%error, "redacted audio that is overtaken could not be deleted");
        }
    }
}

/// Audio as it is stored: what came in one piece as it came, pieces joined. `length_ms` is how long the recording is by
/// the API's count, `most_ms` what is certainly longer.
pub(super) fn whole(audio: StagedAudio, length_ms: Option<u64>, most_ms: u64) -> Result<StagedAudio, Unkept> {
    if audio.clips.is_empty() {
        return Ok(audio);
    }
    let mut places = Vec::with_capacity(audio.clips.len());
    let mut at = 0;
    for clip in &audio.clips {
        places.push((at, *clip));
        at += clip.bytes;
    }
    places.sort_by_key(|(_, clip)| (clip.start_ms, clip.duration_ms));
    let end = |(_, clip): &(u64, Clip)| clip.start_ms.saturating_add(clip.duration_ms);
    // Nonsense of a length must neither fill the disk nor lose what is paid for.
    let length_ms = length_ms.unwrap_or_else(|| places.iter().map(end).max().unwrap_or(0)).min(most_ms);
    remade(audio, |from, to| media::join(places.into_iter().map(|place| piece(&from, place)), length_ms, to))
}

/// In the place of audio what is made of it.
pub(super) fn remade(
    audio: StagedAudio,
    make: impl FnOnce(File, &mut File) -> Result<(), DecodeError>,
) -> Result<StagedAudio, Unkept> {
    let mut undecodable = None;
    let made = audio.remade(|from, to| match make(from, to) {
        Ok(()) => Ok(()),
        Err(DecodeError::Io(error)) => Err(error),
        Err(DecodeError::Undecodable(what)) => {
            undecodable = Some(what);
            Err(io::Error::other("undecodable"))
        }
    });
    match (made, undecodable) {
        (Err(_), Some(what)) => Err(Unkept::Audio(format!("its audio cannot be decoded: {what}"))),
        (made, _) => Ok(made?),
    }
}

fn piece(mut from: &File, (at, clip): (u64, Clip)) -> io::Result<Excerpt> {
    let Clip { start_ms, duration_ms, bytes } = clip;
    let mut read = Vec::new();
    from.seek(SeekFrom::Start(at))?;
    from.take(bytes).read_to_end(&mut read)?;
    Ok(Excerpt { start_ms, duration_ms, bytes: read })
}
