//! Opens a recording for one upload and keeps what was true of it, so that a change under way is noticed.

use std::fs::File;
use std::path::Path;

use super::inspect::{Examined, examine, modified_ns};
use super::name::disagrees;
use super::{Format, MediaSettings, estimated_ms, upload_name};
use crate::task::{Cause, Endpoint, Failure, RecordingPath};

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

/// Opens and checks a file right before its upload. The failure says what the file is and how to mend it.
pub fn prepare(
    path: &Path,
    recording: &RecordingPath,
    endpoint: Endpoint,
    settings: &MediaSettings,
) -> Result<Prepared, Failure> {
    let Examined { mut file, len, modified_ns, format, upload } =
        examine(path, endpoint, settings).map_err(|turned| turned.failure)?;
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

impl Prepared {
    /// Whether the open file is still what was prepared: to be asked after the last byte was read. Hand a clone of
    /// the handle to whoever reads, and keep this.
    pub fn check_unchanged(&self) -> Result<(), Failure> {
        let changed = |what: String| Failure::local(Cause::SourceChanged, what);
        let meta = self.file.metadata().map_err(|e| changed(format!("can no longer be looked at ({e})")))?;
        if meta.len() != self.len {
            return Err(changed(format!(
                "was {} bytes, is now {}: something is writing to it",
                self.len,
                meta.len()
            )));
        }
        if modified_ns(&meta) != self.modified_ns {
            return Err(changed(
                "was written to while it was sent: it is sent again once it has settled".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::media::sample::{mp3, wav};

    fn prepared(path: &Path) -> Result<Prepared, Failure> {
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
        found.check_unchanged().unwrap();
    }

    #[test]
    fn growth_and_rewriting_in_place_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp3");
        std::fs::write(&path, mp3(9)).unwrap();
        let found = prepared(&path).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(found.check_unchanged().unwrap_err().cause, Cause::SourceChanged);

        let found = prepared(&path).unwrap();
        let touched = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(touched).unwrap();
        assert_eq!(found.check_unchanged().unwrap_err().cause, Cause::SourceChanged);
    }

    #[test]
    fn a_companion_that_was_queued_by_hand_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, b"who spoke").unwrap();
        let failure = prepared(&path).unwrap_err();
        assert_eq!(failure.cause, Cause::NotAudio);
        assert!(failure.message.starts_with("text, not audio:"), "{}", failure.message);
        assert_eq!(prepared(&folder.path().join("gone.wav")).unwrap_err().cause, Cause::SourceMissing);
    }
}
