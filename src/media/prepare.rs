//! Opens a recording for one upload and keeps what was true of it, so that a change under way is noticed.

use std::fs::File;
use std::path::Path;

use super::inspect::{Examined, examine};
use super::name::disagrees;
use super::{Format, MediaSettings, estimated_ms, upload_name};
use crate::task::{Endpoint, Failure, RecordingPath};

/// A recording that is open and may be sent: exactly `len` bytes of it, from the beginning.
#[derive(Debug)]
pub struct Prepared {
    /// Open for reading only, at its beginning.
    pub file: File,
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
    /// About how long it is, for reserving hours; not what will be billed.
    pub estimated_ms: u64,
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
    let Examined { mut file, len, modified_ns, format, upload } =
        examine(path, endpoint, settings).map_err(|turned| match turned.passing {
            true => Unfit::NotNow(turned.failure),
            false => Unfit::Refused(turned.failure),
        })?;
    let estimated_ms = estimated_ms(&mut file, format, len);
    Ok(Prepared {
        file,
        len,
        modified_ns,
        format,
        mime: upload.mime,
        upload_name: upload_name(recording, upload.extension),
        extension_disagrees: disagrees(path, format),
        estimated_ms,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::media::sample::wav;
    use crate::task::Cause;

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
        assert_eq!((found.len, found.estimated_ms), (16_044, 1000));
        let mut bytes = Vec::new();
        found.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, wav(8000, 8000));
        assert!(found.file.write(b"x").is_err(), "sources are opened for reading only");
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
