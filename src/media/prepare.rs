//! Opens a recording for one upload and keeps what was true of it, so that a change under way is noticed.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::carriage::carriage;
use super::inspect::{Examined, examine, modified_ns as modified_at};
use super::name::disagrees;
use super::read::read_at;
use super::{DecodeError, Format, MediaSettings, Pcm, glance, guess, measure, upload_name};
use crate::task::{Carriage, Cause, Endpoint, Failure, Measured, RecordingPath};

/// Recordings up to this size are read when they are looked at.
pub(super) const WHOLE_MAX: u64 = 128 << 10;

/// A recording that is open and may be sent: exactly `len` bytes of it, from the beginning.
#[derive(Debug)]
pub struct Prepared {
    /// Open for reading only.
    pub file: File,
    /// All of it, if it is small: then nothing is left to be read when its turn comes.
    pub whole: Option<Vec<u8>>,
    /// Bytes to send; a file that grows must not send more.
    pub len: u64,
    /// Modification time in nanoseconds since 1970; compare it with what the scan saw.
    pub modified_ns: i64,
    /// By content.
    pub format: Format,
    /// The part's `Content-Type`.
    pub mime: &'static str,
    /// The part's file name; its extension agrees with the content.
    pub upload_name: String,
    /// The name on disk claims something else.
    pub extension_disagrees: bool,
    /// How it travels, where the endpoint is streamed to.
    pub carriage: Option<Carriage>,
    /// Its sound, where it travels decoded.
    pub pcm: Option<Pcm>,
}

impl Prepared {
    /// How long it is: as it is known, as a glance tells, or as counting shows where that costs little (all of it is in
    /// memory) or is asked for. Otherwise a guess.
    pub fn measured(&self, known: Option<Measured>, exactly: bool) -> Measured {
        known.or_else(|| glance(&self.file, self.format, self.len)).unwrap_or_else(|| {
            if exactly || self.whole.is_some() {
                measure(&self.file, self.format, self.len)
            } else {
                guess(&self.file, self.format, self.len)
            }
        })
    }

    /// Whether what was read before is still what the file holds, as far as its size and time tell.
    pub fn is_fresh(&self) -> bool {
        let meta = self.file.metadata();
        meta.is_ok_and(|meta| meta.len() == self.len && modified_at(&meta) == self.modified_ns)
    }
}

/// Why a file cannot be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// What it is, or is not, will not change by itself.
    Refused(Failure),
    /// It could not be looked at, for a reason that may pass.
    NotNow(Failure),
}

/// Opens and checks a file right before its upload. The failure says what the file is and how to mend it.
pub fn prepare(
    path: &Path,
    recording: &RecordingPath,
    endpoint: Endpoint,
    settings: &MediaSettings,
) -> Result<Prepared, Unfit> {
    let Examined { file, head, len, modified_ns, format, upload } = examine(path, endpoint, settings)
        .map_err(|turned| match turned.passing {
            true => Unfit::NotNow(turned.failure),
            false => Unfit::Refused(turned.failure),
        })?;
    let carriage = match endpoint.is_streaming() {
        true => Some(carried(&file, format, len, endpoint)?),
        false => None,
    };
    if let Some(longest) = endpoint.longest() {
        // Worth counting where headers do not tell: the end of a recording that is too long would go unheard.
        let measured = glance(&file, format, len).unwrap_or_else(|| measure(&file, format, len));
        fits_one_connection(measured.duration_ms, longest, endpoint)?;
    }
    let pcm = match carriage {
        Some(Carriage::Decoded) => Some(decodable(path, format, settings)?),
        _ => None,
    };
    let whole = match len {
        ..=WHOLE_MAX => Some(whole(&file, head, len, modified_ns)?),
        _ => None,
    };
    Ok(Prepared {
        file,
        whole,
        len,
        modified_ns,
        format,
        mime: upload.mime,
        upload_name: upload_name(recording, upload.extension),
        extension_disagrees: disagrees(path, format),
        carriage,
        pcm,
    })
}

/// Looked at before it takes a slot; decoded when it has one.
fn decodable(path: &Path, format: Format, settings: &MediaSettings) -> Result<Pcm, Unfit> {
    match Pcm::of(path, format, settings) {
        Ok(pcm) => Ok(pcm),
        Err(DecodeError::Undecodable(what)) => {
            let message = format!("{} that cannot be decoded: {what}", format.says());
            Err(Unfit::Refused(Failure::local(Cause::UnsupportedFormat, message)))
        }
        Err(DecodeError::Io(e)) => Err(Unfit::NotNow(Failure::local(Cause::SourceUnreadable, e.to_string()))),
    }
}

fn carried(file: &File, format: Format, len: u64, endpoint: Endpoint) -> Result<Carriage, Unfit> {
    match carriage(file, format, len, endpoint) {
        Ok(Some(carriage)) => Ok(carriage),
        Ok(None) => Err(Unfit::Refused(Failure::local(
            Cause::UnsupportedFormat,
            format!(
                "{} in a coding that cannot be streamed to {endpoint}: convert it, for example \
                 `ffmpeg -i IN -vn OUT.flac`",
                format.says()
            ),
        ))),
        Err(e) => Err(Unfit::NotNow(Failure::local(Cause::SourceUnreadable, e.to_string()))),
    }
}

/// Some endpoints end a connection after so much audio, whatever is still to come.
fn fits_one_connection(duration_ms: u64, longest: Duration, endpoint: Endpoint) -> Result<(), Unfit> {
    if u128::from(duration_ms) <= longest.as_millis() {
        return Ok(());
    }
    let minutes = |ms: u64| ms.div_ceil(60_000);
    let message = format!(
        "about {} minutes long, above the {} that one connection to {endpoint} takes: split it, for example \
         `ffmpeg -i IN -f segment -segment_time {} -c copy OUT-%03d.wav`, or choose a batch endpoint",
        minutes(duration_ms),
        longest.as_secs() / 60,
        longest.as_secs() - 60,
    );
    Err(Unfit::Refused(Failure::local(Cause::TooBig, message)))
}

/// The bytes as they were at one moment, those that were read already and the rest: nobody wrote while they were read.
fn whole(file: &File, head: Vec<u8>, len: u64, modified_ns: i64) -> Result<Vec<u8>, Unfit> {
    let not_now = |cause, message: String| Unfit::NotNow(Failure::local(cause, message));
    let unreadable = |e: std::io::Error| not_now(Cause::SourceUnreadable, e.to_string());
    let mut bytes = head;
    if (bytes.len() as u64) < len {
        bytes.extend(read_at(file, bytes.len() as u64, len as usize - bytes.len()).map_err(unreadable)?);
    }
    let after = file.metadata().map_err(unreadable)?;
    if bytes.len() as u64 != len || after.len() != len || modified_at(&after) != modified_ns {
        return Err(not_now(Cause::SourceChanged, "it is still being written".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::media::sample::wav;

    fn prepared(path: &Path) -> Result<Prepared, Unfit> {
        let recording = RecordingPath::from(Path::new(path.file_name().unwrap()));
        prepare(path, &recording, Endpoint::SttBatch, &MediaSettings::default())
    }

    #[test]
    fn a_prepared_file_is_open_at_its_beginning_and_named_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call 7.mp3");
        std::fs::write(&path, wav(8000, 8000)).unwrap();
        let mut found = prepared(&path).unwrap();
        assert_eq!((found.mime, found.upload_name.as_str()), ("audio/wav", "call 7.wav"));
        assert!(found.extension_disagrees);
        assert_eq!((found.len, found.measured(None, false)), (16_044, Measured::header(1000)));
        assert_eq!(found.whole, Some(wav(8000, 8000)));
        assert!(found.file.write(b"x").is_err(), "sources are opened for reading only");
    }

    #[test]
    fn a_small_file_that_is_written_to_after_it_was_read_is_not_fresh_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        std::fs::write(&path, wav(8000, 800)).unwrap();
        let found = prepared(&path).unwrap();
        assert!(found.is_fresh());
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert!(!found.is_fresh());
    }

    #[test]
    fn a_large_file_is_not_read_before_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.wav");
        std::fs::write(&path, wav(8000, 8000 * 9)).unwrap();
        assert!(prepared(&path).unwrap().whole.is_none());
    }

    #[test]
    fn what_no_connection_takes_in_one_piece_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.wav");
        let minute = 8000 * 60;
        std::fs::write(&path, wav(8000, minute * 31)).unwrap();
        let on = |endpoint| {
            prepare(&path, &RecordingPath::from(Path::new("long.wav")), endpoint, &MediaSettings::default())
        };
        let Err(Unfit::Refused(failure)) = on(Endpoint::SttStreamingEnglishV2) else { panic!("too long") };
        assert_eq!(failure.cause, Cause::TooBig);
        assert!(
            failure.message.starts_with("about 31 minutes long, above the 30 that"),
            "{}",
            failure.message
        );
        let fits = on(Endpoint::SttStreaming).unwrap();
        assert_eq!(fits.measured(None, false).duration_ms, 31 * 60_000);
        assert!(matches!(fits.carriage, Some(Carriage::Samples { at: 44, .. })));
        assert_eq!(on(Endpoint::SttBatch).unwrap().carriage, None);
    }

    #[test]
    fn a_companion_that_was_queued_by_hand_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, b"who spoke").unwrap();
        let Err(Unfit::Refused(failure)) = prepared(&path) else { panic!("it is no recording") };
        assert_eq!(failure.cause, Cause::NotAudio);
        assert!(failure.message.starts_with("text, not audio:"), "{}", failure.message);
        let Err(Unfit::Refused(gone)) = prepared(&folder.path().join("gone.wav")) else {
            panic!("it is gone")
        };
        assert_eq!(gone.cause, Cause::SourceMissing);
    }
}
