//! Redacted audio: the bytes that came with the answer, as long as the recording, and silent where the API says that
//! it redacted. What a redaction missed cannot be heard here. Audio that was purged must be gone.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::files;
use super::finding::{Finding, Kind};
use super::listen::{self, Heard};
use crate::queue::{RedactedAudio, ResultRow};
use crate::task::Job;
use crate::velma::Transcript;

/// Two lengths that differ by no more are the same: a decoder works in frames.
const LENGTH_TOLERANCE_MS: f64 = 50.0;

/// Audio on disk, and what it should be.
pub(super) struct Redacted {
    path: PathBuf,
    /// It was purged: it must not be there.
    is_purged: bool,
    stored: RedactedAudio,
    /// The recording's length by the API's word.
    duration_ms: Option<u64>,
    /// Silenced, start and end in milliseconds.
    ranges: Vec<(u64, u64)>,
}

impl Redacted {
    /// `None` for a result without audio.
    pub(super) fn of(job: &Job, row: &ResultRow) -> Option<Self> {
        let stored = row.redacted_audio.clone()?;
        // An answer that cannot be read gives no ranges; its line is held against it elsewhere.
        let transcript = Transcript::from_json(row.endpoint, &row.response).unwrap_or_default();
        Some(Redacted {
            path: job.output.join(stored.path.as_path()),
            is_purged: row.audio_purged_at.is_some(),
            stored,
            duration_ms: row.duration_ms,
            ranges: transcript.redaction_ranges,
        })
    }

    /// What is wrong with it.
    pub(super) fn check(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut found = |kind, what: String| findings.push(Finding::new(kind, what).file(&self.path));
        if self.is_purged {
            match self.path.symlink_metadata() {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => found(Kind::AudioLeft, format!("cannot be looked for: {error}")),
                Ok(_) => found(Kind::AudioLeft, "was purged, and is there".to_owned()),
            }
            return findings;
        }
        let (file, length) = match files::open(&self.path) {
            Ok(Some(open)) => open,
            Ok(None) => {
                found(Kind::AudioMissing, "is not there".to_owned());
                return findings;
            }
            Err(error) => {
                found(Kind::AudioMissing, format!("cannot be read: {error}"));
                return findings;
            }
        };
        if length != self.stored.bytes {
            found(Kind::AudioAltered, format!("has {length} bytes; {} were stored", self.stored.bytes));
        } else {
            match files::sha256(&file, length) {
                Ok(hash) if hash == self.stored.sha256 => {}
                Ok(_) => found(Kind::AudioAltered, "does not hold the bytes that were stored".to_owned()),
                Err(error) => found(Kind::AudioMissing, format!("cannot be read: {error}")),
            }
        }
        // Whatever bytes they are: what can be heard in them matters most when they are others.
        match listen::listen(file, &self.ranges) {
            None => found(Kind::AudioUndecodable, "cannot be decoded".to_owned()),
            Some(heard) => {
                if let Some(what) = self.wrong_length(&heard) {
                    found(Kind::AudioLength, what);
                }
                for ((start, end), what) in heard.audible() {
                    found(Kind::AudioNotSilent, format!("is not silent from {start} to {end} ms: {what}"));
                }
            }
        }
        findings
    }

    fn wrong_length(&self, heard: &Heard) -> Option<String> {
        let told = self.duration_ms? as f64;
        let differs = heard.duration_ms - told;
        // An MP3 that does not state its padding is longer by it.
        let is_same = differs >= -LENGTH_TOLERANCE_MS && differs <= LENGTH_TOLERANCE_MS + heard.padding_ms;
        (!is_same).then(|| format!("lasts {:.0} ms, the recording {told:.0} ms", heard.duration_ms))
    }
}
