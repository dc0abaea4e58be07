//! Decides whether a file is a recording that its endpoint takes. The one order of questions for scan and upload.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::fate::{is_decodable, not_taken};
use super::mime::upload_as;
use super::name::{Claim, claim, claims_headerless, disagrees, extension};
use super::prepare::WHOLE_MAX;
use super::sniff::{UNKNOWN, look};
use super::{Fate, Format, Looks, MediaSettings, Sniffed, Terms, channels, fate, glance};
use crate::task::{Cause, Channels, Endpoint, Failure, Measured};

/// What a scan learns of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// A recording that the endpoint takes.
    Recording {
        /// By content.
        format: Format,
        /// The name claims something else; content wins.
        extension_disagrees: bool,
        /// How long it is, if a glance at its headers tells.
        measured: Option<Measured>,
        /// A hash of its first bytes, of a large one: those that differ in it are not the same.
        head: Option<i64>,
    },
    /// It claims to be a recording, or claims nothing, and cannot be sent.
    Refused(Failure),
    /// Neither name nor content is a recording's: notes, covers, lists. Says what the content is: `text`, `PNG image`.
    NotARecording(String),
    /// It could not be looked at, for a reason that may pass: too many open files, a disk or share with a hiccup.
    NotNow(String),
}

/// Looks at one file. Content that is audio is always a recording, whatever its name. Content that is not is refused,
/// unless its name says that it only lies beside recordings.
pub fn inspect(path: &Path, endpoint: Endpoint, channels: Channels, settings: &MediaSettings) -> Inspection {
    match examine(path, endpoint, settings) {
        Ok(found) => {
            let measured = glance(&found.file, found.format, found.len);
            let looks = looks(&found.file, found.format, found.len, measured, endpoint, settings);
            // What a request may hold is looked at before each one: by then it may be known better.
            let terms = Terms { channels, ..Terms::default() };
            match fate(looks, endpoint, settings, terms) {
                Fate::Refused(failure) => Inspection::Refused(failure),
                Fate::AsIs | Fate::Reencode(_) | Fate::Compress(_) | Fate::Split(_) => {
                    Inspection::Recording {
                        format: found.format,
                        extension_disagrees: disagrees(path, found.format),
                        measured,
                        head: (found.len > WHOLE_MAX).then(|| head_of(&found.head)),
                    }
                }
            }
        }
        Err(Turned { passing: true, failure, .. }) => Inspection::NotNow(failure.message),
        Err(Turned { companion: Some(what), .. }) => Inspection::NotARecording(what),
        Err(Turned { failure, .. }) => Inspection::Refused(failure),
    }
}

/// What a file looks like. Its channels decide nothing about what is small enough.
pub(super) fn looks(
    file: &File,
    format: Format,
    len: u64,
    measured: Option<Measured>,
    endpoint: Endpoint,
    settings: &MediaSettings,
) -> Looks {
    let is_asked = len > settings.largest(endpoint);
    let channels = is_asked.then(|| channels(file, len)).flatten();
    let channels = channels.and_then(|channels| u16::try_from(channels).ok());
    Looks { format, size_bytes: len, measured, channels }
}

/// How much of a large recording is enough to tell it from nearly all others of its size.
const HEAD: usize = 4096;

fn head_of(bytes: &[u8]) -> i64 {
    let hash = blake3::hash(&bytes[..bytes.len().min(HEAD)]);
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A file that may be sent.
pub(super) struct Examined {
    pub(super) file: File,
    /// What it begins with; all of it, if it is small.
    pub(super) head: Vec<u8>,
    pub(super) len: u64,
    pub(super) modified_ns: i64,
    pub(super) format: Format,
}

/// A file that may not.
pub(super) struct Turned {
    pub(super) failure: Failure,
    /// What the content is, when the name claims nothing else than to lie beside recordings.
    companion: Option<String>,
    /// It says nothing about the file: another look may go well.
    pub(super) passing: bool,
}

impl Turned {
    fn refused(cause: Cause, message: impl Into<String>) -> Self {
        Turned { failure: Failure::local(cause, message), companion: None, passing: false }
    }

    fn not_a_recording(path: &Path, cause: Cause, what: &str, message: impl Into<String>) -> Self {
        let companion = (claim(path) == Claim::Companion).then(|| what.to_owned());
        Turned { failure: Failure::local(cause, message), companion, passing: false }
    }
}

/// Opens, looks, and checks. Messages do not name the path: whoever shows them does, as far as it may be shown.
pub(super) fn examine(path: &Path, endpoint: Endpoint, settings: &MediaSettings) -> Result<Examined, Turned> {
    let (mut file, meta) = open(path)?;
    let len = meta.len();
    if len == 0 {
        let message = "empty file (0 bytes): its copy or its recorder failed; fetch it again, or exclude it";
        return Err(Turned::not_a_recording(path, Cause::Empty, "empty file", message));
    }
    let (sniffed, head) = look(&mut file, len).map_err(unreadable)?;
    let Some(format) = sniffed.format else {
        if claims_headerless(path) && sniffed.what == UNKNOWN {
            let message = "sound without a header, if its name is right: nothing tells its rate and codec; wrap it, \
                           for example `ffmpeg -f CODEC -ar RATE -i IN OUT.wav`";
            return Err(Turned::refused(Cause::UnsupportedFormat, message));
        }
        return Err(Turned::not_a_recording(path, Cause::NotAudio, &sniffed.what, not_audio(path, &sniffed)));
    };
    if upload_as(format, endpoint).is_none() && !is_decodable(format, endpoint, settings) {
        // With what it is by content, which says more than its format.
        let failure = not_taken(&sniffed.what, endpoint);
        return Err(Turned { failure, companion: None, passing: false });
    }
    Ok(Examined { file, head, len, modified_ns: modified_ns(&meta), format })
}

/// Opens for reading only, and says what it opened. Without blocking: a named pipe must not hold a worker until somebody
/// writes into it.
pub(super) fn open(path: &Path) -> Result<(File, Metadata), Turned> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    // Looked at before opening: opening a device can already do something to it.
    let is_file = |meta: Metadata| match meta.file_type() {
        t if t.is_file() => Ok(meta),
        t => Err(Turned::refused(Cause::SourceUnreadable, format!("{}, not a file: exclude it", kind_of(t)))),
    };
    std::fs::metadata(path).map_err(unreadable).and_then(is_file)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    // And again: the name may have changed hands in between.
    let meta = file.metadata().map_err(unreadable).and_then(is_file)?;
    Ok((file, meta))
}

fn kind_of(kind: std::fs::FileType) -> &'static str {
    match kind {
        t if t.is_dir() => "a folder",
        t if t.is_fifo() => "a named pipe",
        t if t.is_socket() => "a socket",
        _ => "a device",
    }
}

fn unreadable(error: io::Error) -> Turned {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Turned::refused(
            Cause::SourceMissing,
            "no longer there: it was moved or deleted after the scan; bring it back, or scan again",
        ),
        kind => Turned {
            passing: kind != io::ErrorKind::PermissionDenied,
            ..Turned::refused(
                Cause::SourceUnreadable,
                format!("cannot be read ({error}): check its permissions and its disk, then retry"),
            )
        },
    }
}

fn not_audio(path: &Path, sniffed: &Sniffed) -> String {
    let named = match (claim(path), extension(path)) {
        (Claim::Media, Some(extension)) => format!(", though its name ends in .{extension}"),
        _ => String::new(),
    };
    format!("{}, not audio{named}: fetch the recording again, or exclude the file", sniffed.what)
}

/// The modification time in nanoseconds since 1970, negative before; clamped at the ends of time.
pub(super) fn modified_ns(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{mp3, wav};

    const STT: Endpoint = Endpoint::SttBatch;

    fn look(name: &str, bytes: &[u8], endpoint: Endpoint) -> Inspection {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        inspect(
            &path,
            endpoint,
            Channels::Keep,
            &MediaSettings { max_bytes: 20_000, ..MediaSettings::default() },
        )
    }

    fn refusal(name: &str, bytes: &[u8], endpoint: Endpoint) -> Failure {
        match look(name, bytes, endpoint) {
            Inspection::Refused(failure) => failure,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn audio_is_a_recording_whatever_its_name() {
        for (name, disagrees) in
            [("a.wav", false), ("a", false), ("a.0001", false), ("a.mp3", true), ("a.txt", true)]
        {
            let measured = Some(Measured::header(1));
            let expected = Inspection::Recording {
                format: Format::Wav,
                extension_disagrees: disagrees,
                measured,
                head: None,
            };
            assert_eq!(look(name, &wav(8000, 10), STT), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_audio_is_refused_where_the_name_promises_audio_or_nothing() {
        for name in ["a.mp3", "a", "a.raw"] {
            assert_eq!(refusal(name, b"<html></html>", STT).cause, Cause::NotAudio, "{name}");
            assert_eq!(refusal(name, b"", STT).cause, Cause::Empty, "{name}");
        }
        let message = refusal("a.mp3", b"<html></html>", STT).message;
        assert!(message.starts_with("HTML document, not audio, though its name ends in .mp3:"), "{message}");
    }

    #[test]
    fn headerless_sound_is_refused_for_its_format_not_as_noise() {
        let failure = refusal("a.gsm", &[0xD2; 330], STT);
        assert_eq!(failure.cause, Cause::UnsupportedFormat);
        assert!(failure.message.contains("ffmpeg -f CODEC"), "{}", failure.message);
        assert_eq!(refusal("a.gsm", b"<html>", STT).cause, Cause::NotAudio);
    }

    #[test]
    fn companions_of_recordings_are_passed_over() {
        assert_eq!(look("notes.txt", b"who spoke", STT), Inspection::NotARecording("text".into()));
        assert_eq!(
            look("cover.jpg", b"\xFF\xD8\xFF\xE0\0\x10JFIF\0", STT),
            Inspection::NotARecording("JPEG image".into())
        );
        assert_eq!(look("index.csv", b"", STT), Inspection::NotARecording("empty file".into()));
    }

    #[test]
    fn a_known_format_that_the_endpoint_does_not_take_is_refused_with_what_it_takes() {
        let amr = b"#!AMR\n\x3C\x08\x49\x1E";
        let failure = refusal("a.amr", amr, STT);
        assert_eq!(failure.cause, Cause::UnsupportedFormat);
        assert!(
            failure.message.contains("aac, aiff, flac, mp3, mp4, mov, ogg, opus, wav, webm"),
            "{}",
            failure.message
        );
        let (format, measured, head) = (Format::Amr, None, None);
        let taken = Inspection::Recording { format, extension_disagrees: false, measured, head };
        assert_eq!(look("a.amr", amr, Endpoint::SyntheticVoiceDetectionBatch), taken);
    }

    #[test]
    fn what_is_too_large_is_refused_only_where_nothing_helps() {
        let mut bytes = mp3(48);
        bytes.resize(20_001, 0);
        assert!(matches!(look("a.mp3", &bytes, STT), Inspection::Recording { .. }));
        let failure = refusal("a.mp3", &bytes, Endpoint::EmotionBatch);
        assert_eq!(failure.cause, Cause::TooBig);
        assert!(failure.message.starts_with("20001 bytes, above the limit of 20000:"), "{}", failure.message);
    }

    #[test]
    fn a_missing_file_a_folder_and_a_pipe_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let causes = |path: &Path| match inspect(path, STT, Channels::Keep, &MediaSettings::default()) {
            Inspection::Refused(failure) => failure.cause,
            other => panic!("{other:?}"),
        };
        assert_eq!(causes(&folder.path().join("gone.wav")), Cause::SourceMissing);
        assert_eq!(causes(folder.path()), Cause::SourceUnreadable);
        let pipe = folder.path().join("pipe.wav");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert_eq!(causes(&pipe), Cause::SourceUnreadable);
    }

    #[test]
    fn looking_does_not_touch_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, wav(8000, 10)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        assert!(matches!(
            inspect(&path, STT, Channels::Keep, &MediaSettings::default()),
            Inspection::Recording { .. }
        ));
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    }
}
