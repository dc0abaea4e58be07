//! Opens a recording for one upload and keeps what was true of it, so that a change under way is noticed.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::carriage::carriage;
use super::fate::{is_plain, not_taken};
use super::inspect::{Examined, examine, looks, modified_ns as modified_at};
use super::lossy::may_be_lossy;
use super::mime::upload_as;
use super::name::disagrees;
use super::read::read_at;
use super::{
    Cutting, DecodeError, Fate, Format, Lossy, MediaSettings, Pcm, Terms, channels, fate, glance, guess,
    measure, upload_name,
};
use crate::task::{Carriage, Cause, Channels, Endpoint, Failure, Measured, RecordingPath};

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
    /// What goes out in its place, where it is encoded anew: all that is said here of a name, a type and a carriage is
    /// said of that.
    pub cutting: Option<Cutting>,
    /// It goes out as it is because it cannot be decoded here: there is no other way to send it.
    pub is_indivisible: bool,
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

    /// The same, and whether this name still leads to it: what was opened again by its name was this file.
    pub fn is_fresh_at(&self, path: &Path) -> bool {
        let place = |meta: Metadata| (meta.dev(), meta.ino());
        let named = std::fs::metadata(path).map(place).ok();
        named.is_some() && named == self.file.metadata().map(place).ok() && self.is_fresh()
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
    terms: Terms,
) -> Result<Prepared, Unfit> {
    let Examined { file, head, len, modified_ns, format } =
        examine(path, endpoint, settings).map_err(|turned| match turned.passing {
            true => Unfit::NotNow(turned.failure),
            false => Unfit::Refused(turned.failure),
        })?;
    // Worth counting where headers do not tell: a request that is too long comes to nothing. Else nobody asks.
    let is_limited = terms.longest_ms(endpoint).is_some() || len > settings.largest(endpoint);
    let measured = is_limited.then(|| measure(&file, format, len));
    let looks = looks(&file, format, len, measured, endpoint, settings);
    let fate = |terms| fate(looks, endpoint, settings, terms);
    let anew = |lossy| {
        let length = measured.or_else(|| glance(&file, format, len));
        let measured = length.unwrap_or_else(|| guess(&file, format, len));
        let cutting = Cutting::of(path, format, measured, terms.channels, settings);
        decodable(format, cutting.map(|cutting| Some(cutting.allowing(lossy))))
    };
    let opened = match fate(terms) {
        Fate::Refused(failure) => Err(Unfit::Refused(failure)),
        Fate::AsIs => Ok(None),
        Fate::Reencode(_) if may_be_lossy(endpoint, settings, terms) => anew(Lossy::IfNeeded),
        Fate::Reencode(_) | Fate::Split(_) => anew(Lossy::No),
        // How small FLAC makes plain samples is only guessed: what is compressed already it makes larger.
        Fate::Compress(_) if is_plain(format) => anew(Lossy::IfNeeded),
        Fate::Compress(_) => anew(Lossy::AtOnce),
    };
    let (cutting, is_indivisible) = match opened {
        // With one channel there is nothing to be done about channels.
        Ok(Some(anew)) if !anew.changes_channels() => {
            (Some(anew).filter(|_| fate(Terms { channels: Channels::Keep, ..terms }) != Fate::AsIs), false)
        }
        Ok(cutting) => (cutting, false),
        Err(Unfit::Refused(failure)) => {
            // What nobody asks for is no reason to refuse what could not be done: it went out as it is before.
            let is_mono = terms.channels != Channels::Keep && channels(&file, len) == Some(1);
            let channels = if is_mono { Channels::Keep } else { terms.channels };
            if fate(Terms { learned_ms: None, anew: false, channels, ..terms }) != Fate::AsIs {
                return Err(Unfit::Refused(failure));
            }
            (None, true)
        }
        Err(not_now) => return Err(not_now),
    };
    let goes_out_as = if cutting.is_some() { Format::Flac } else { format };
    let upload = upload_as(goes_out_as, endpoint)
        .ok_or_else(|| Unfit::Refused(not_taken(goes_out_as.says(), endpoint)))?;
    let carriage = match (endpoint.is_streaming(), &cutting) {
        (false, _) => None,
        (true, Some(_)) => Some(Carriage::Container("flac")),
        (true, None) => Some(carried(&file, format, len, endpoint)?),
    };
    let pcm = match carriage {
        Some(Carriage::Decoded) => Some(decodable(format, Pcm::of(path, format, settings))?),
        _ => None,
    };
    let whole = match len {
        ..=WHOLE_MAX if cutting.is_none() => Some(whole(&file, head, len, modified_ns)?),
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
        cutting,
        is_indivisible,
    })
}

/// Looked at here; decoded when it is its turn.
fn decodable<T>(format: Format, opened: Result<T, DecodeError>) -> Result<T, Unfit> {
    match opened {
        Ok(sound) => Ok(sound),
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
    use crate::media::sample::{ogg_page, timed_mp4, wav};

    fn prepared(path: &Path) -> Result<Prepared, Unfit> {
        let recording = RecordingPath::from(Path::new(path.file_name().unwrap()));
        prepare(path, &recording, Endpoint::SttBatch, &MediaSettings::default(), Terms::default())
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

    /// A second of little-endian samples.
    fn caf() -> Vec<u8> {
        let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
        file.extend(8000f64.to_be_bytes());
        file.extend(b"lpcm");
        [2u32, 2, 1, 1, 16].iter().for_each(|number| file.extend(number.to_be_bytes()));
        file.extend(b"data");
        file.extend((4 + 16_000u64).to_be_bytes());
        file.extend([0; 4]);
        file.extend(wav(8000, 8000).split_off(44));
        file
    }

    #[test]
    fn what_is_of_a_format_that_is_not_taken_goes_out_as_flac_if_it_can_be_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("call.caf");
        std::fs::write(&path, caf()).unwrap();
        let found = prepared(&path).unwrap();
        assert!(found.cutting.is_some());
        assert_eq!((found.mime, found.upload_name.as_str()), ("audio/flac", "call.flac"));
        assert_eq!((found.format, found.measured(None, true)), (Format::Caf, Measured::header(1000)));
        std::fs::write(&path, &caf()[..60]).unwrap();
        let Err(Unfit::Refused(failure)) = prepared(&path) else { panic!("there is no sound in it") };
        assert_eq!(failure.cause, Cause::UnsupportedFormat);
    }

    #[test]
    fn what_no_request_takes_in_one_piece_goes_out_as_flac() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.wav");
        let minute = 8000 * 60;
        std::fs::write(&path, wav(8000, minute * 31)).unwrap();
        let on = |endpoint, terms| {
            let recording = RecordingPath::from(Path::new("long.wav"));
            prepare(&path, &recording, endpoint, &MediaSettings::default(), terms)
        };
        let split = on(Endpoint::SttStreamingEnglishV2, Terms::default()).unwrap();
        assert_eq!((split.mime, split.upload_name.as_str()), ("audio/flac", "long.flac"));
        assert_eq!(split.carriage, Some(Carriage::Container("flac")));
        assert!(split.cutting.is_some());
        let fits = on(Endpoint::SttStreaming, Terms::default()).unwrap();
        assert_eq!(fits.measured(None, false).duration_ms, 31 * 60_000);
        assert!(matches!(fits.carriage, Some(Carriage::Samples { at: 44, .. })));
        assert!(fits.cutting.is_none());
        let at_most = Terms { longest_ms: Some(60_000), ..Terms::default() };
        assert!(on(Endpoint::SttBatch, at_most).unwrap().cutting.is_some());
        let Err(Unfit::Refused(failure)) = on(Endpoint::Batch, at_most) else { panic!("never split") };
        assert_eq!(failure.cause, Cause::TooBig);
    }

    #[test]
    fn what_cannot_be_decoded_goes_out_as_it_is_unless_somebody_asks_for_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let film = folder.path().join("film.m4a");
        std::fs::write(&film, timed_mp4(10_000, 80_000)).unwrap();
        let opus = |channels: u8| {
            let head = [&b"OpusHead\x01"[..], &[channels, 0, 0], &48_000u32.to_le_bytes(), &[0; 3]].concat();
            let path = folder.path().join(format!("{channels}.opus"));
            let tags = [&b"OpusTags"[..], &[0; 8]].concat();
            // A packet of no frames.
            let pages = [ogg_page(2, &head), ogg_page(0, &tags), ogg_page(0, &[0xFF, 0])];
            std::fs::write(&path, pages.concat()).unwrap();
            path
        };
        let on = |path: &Path, terms| {
            let recording = RecordingPath::from(Path::new("call"));
            prepare(path, &recording, Endpoint::SttBatch, &MediaSettings::default(), terms)
        };
        let learned = Terms { learned_ms: Some(5000), ..Terms::default() };
        let anew = Terms { anew: true, ..Terms::default() };
        for terms in [learned, anew, Terms { learned_ms: Some(5000), ..anew }] {
            let found = on(&film, terms).unwrap();
            assert!(found.cutting.is_none() && found.is_indivisible, "{terms:?}: {found:?}");
        }
        let said = Terms { longest_ms: Some(5000), ..Terms::default() };
        let split = Terms { channels: Channels::Split, ..Terms::default() };
        let mix = Terms { channels: Channels::Mix, ..Terms::default() };
        let stereo = opus(2);
        for (path, terms) in [(&film, said), (&film, split), (&stereo, split), (&stereo, mix)] {
            let Err(Unfit::Refused(failure)) = on(path, terms) else { panic!("{terms:?}") };
            assert!(failure.message.contains("convert it"), "{}", failure.message);
        }
        let mono = opus(1);
        assert!([split, mix].into_iter().all(|terms| on(&mono, terms).unwrap().cutting.is_none()));
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
