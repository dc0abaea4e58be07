//! A recording as a stream takes it that does not take the file: 16-bit samples at 16 kHz, one channel.

use std::path::{Path, PathBuf};

use super::sound::{DecodeError, Sound, decode, mono, resampled_to};
use super::{Format, MediaSettings};
use crate::task::Samples;

/// Samples as [`Samples::DECODED`] has them, a block at a time. Nothing is opened before the first is asked for; reading
/// blocks on the disk.
pub struct Pcm {
    path: PathBuf,
    format: Format,
    settings: MediaSettings,
    sound: Option<Box<dyn Sound>>,
    block: Vec<i16>,
    ended: bool,
}

impl Pcm {
    /// Of a file.
    pub(super) fn of(path: &Path, format: Format, settings: &MediaSettings) -> Pcm {
        Pcm {
            path: path.to_owned(),
            format,
            settings: settings.clone(),
            sound: None,
            block: Vec::new(),
            ended: false,
        }
    }

    /// Finds out whether there is any sound to be had.
    pub(super) fn open(&mut self) -> Result<(), DecodeError> {
        if self.sound.is_none() {
            let sound = decode(&self.path, self.format, &self.settings)?;
            self.sound = Some(resampled_to(mono(sound), Samples::DECODED.rate)?);
        }
        Ok(())
    }

    /// Lets go of what [`Pcm::open`] holds; it begins anew when it is asked.
    pub(super) fn close(&mut self) {
        self.sound = None;
    }

    fn advance(&mut self) -> Result<bool, DecodeError> {
        self.open()?;
        match &mut self.sound {
            Some(sound) => sound.next(&mut self.block),
            None => Ok(false),
        }
    }
}

impl Iterator for Pcm {
    type Item = Result<Vec<u8>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(true) => Some(Ok(self.block.iter().flat_map(|sample| sample.to_le_bytes()).collect())),
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(e) => {
                self.ended = true;
                Some(Err(e.to_string()))
            }
        }
    }
}

impl std::fmt::Debug for Pcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pcm")
    }
}
