//! A recording as a stream takes it that does not take the file: 16-bit samples at 16 kHz, one channel.

use std::path::{Path, PathBuf};

use super::sound::{DecodeError, Sound, decode, mono, resampled_to};
use super::{Format, MediaSettings};
use crate::task::Samples;

/// Bytes that are handed on at once.
const PIECE: usize = 64 << 10;

/// A recording that is to be decoded. Nothing is open yet.
#[derive(Debug, Clone)]
pub struct Pcm {
    path: PathBuf,
    format: Format,
    settings: MediaSettings,
}

impl Pcm {
    /// Of a file, if there is any sound to be had of it.
    pub(super) fn of(path: &Path, format: Format, settings: &MediaSettings) -> Result<Pcm, DecodeError> {
        let pcm = Pcm { path: path.to_owned(), format, settings: settings.clone() };
        pcm.open().map(|_| pcm)
    }

    fn open(&self) -> Result<Box<dyn Sound>, DecodeError> {
        let sound = decode(&self.path, self.format, &self.settings)?;
        resampled_to(mono(sound), Samples::DECODED.rate)
    }
}

impl IntoIterator for Pcm {
    type Item = Result<Vec<u8>, String>;
    type IntoIter = Blocks;

    fn into_iter(self) -> Blocks {
        Blocks(State::Closed(self))
    }
}

/// Samples as [`Samples::DECODED`] has them, a block at a time. Reading them blocks on the disk.
pub struct Blocks(State);

enum State {
    Closed(Pcm),
    Open(Box<dyn Sound>, Vec<i16>),
    Ended,
}

impl Iterator for Blocks {
    type Item = Result<Vec<u8>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if let State::Closed(pcm) = &self.0 {
            match pcm.open() {
                Ok(sound) => self.0 = State::Open(sound, Vec::new()),
                Err(e) => {
                    self.0 = State::Ended;
                    return Some(Err(e.to_string()));
                }
            }
        }
        let State::Open(sound, block) = &mut self.0 else { return None };
        let mut piece = Vec::with_capacity(PIECE);
        // Some containers give a single sample at a time.
        let ended = loop {
            match sound.next(block) {
                Ok(true) => piece.extend(block.iter().flat_map(|sample| sample.to_le_bytes())),
                Ok(false) => break None,
                Err(e) => break Some(Err(e.to_string())),
            }
            if piece.len() >= PIECE {
                return Some(Ok(piece));
            }
        };
        // What was decoded before it went wrong is no recording.
        self.0 = State::Ended;
        ended.or((!piece.is_empty()).then_some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::wav;

    #[test]
    fn whatever_it_was_it_is_16_khz_and_mono_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        std::fs::write(&path, wav(8000, 8000)).unwrap();
        let pcm = Pcm::of(&path, Format::Wav, &MediaSettings::default()).unwrap();
        let bytes: usize = pcm.into_iter().map(|block| block.unwrap().len()).sum();
        assert!((31_900..=32_100).contains(&bytes), "{bytes} of a second");
    }

    #[test]
    fn what_holds_no_sound_is_found_out_before_and_what_has_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom").unwrap();
        let settings = MediaSettings { ffmpeg: crate::media::Ffmpeg::Off, ..MediaSettings::default() };
        assert!(matches!(Pcm::of(&path, Format::Mp4, &settings), Err(DecodeError::Undecodable(_))));
        std::fs::write(&path, wav(8000, 800)).unwrap();
        let pcm = Pcm::of(&path, Format::Mp4, &settings).unwrap();
        std::fs::remove_file(&path).unwrap();
        let told: Vec<_> = pcm.into_iter().collect();
        assert!(told.len() == 1 && told[0].is_err());
    }
}
