//! Sound as samples: decoded block by block, so that memory does not grow with the recording. 16 bits a sample: more
//! than any speech model hears, and half of what wider samples take.
//!
//! [`decode`] opens a recording, [`mono`], [`channel`] and [`resampled_to`] change it on its way, [`FlacWriter`] and
//! [`OpusWriter`] write it down. What is decoded here needs no other program; `ffmpeg` reads more, where it is allowed.

mod codec;
mod decoder;
mod ffmpeg;
mod flac;
mod mix;
mod ogg_opus;
mod opus;
mod resample;
#[cfg(test)]
pub(in crate::media) mod testing;

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Format, MediaSettings};

pub use self::ffmpeg::Ffmpeg;
pub use self::flac::FlacWriter;
pub use self::ogg_opus::OpusWriter;

/// How samples are to be read: frames of one sample for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Frames a second.
    pub rate: u32,
    /// Samples in a frame.
    pub channels: u16,
}

impl Shape {
    /// So many milliseconds as frames.
    pub fn frames(self, ms: u64) -> u64 {
        u64::try_from(u128::from(ms) * u128::from(self.rate) / 1000).unwrap_or(u64::MAX)
    }
}

/// Why there are no samples.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Nothing here reads it; says what it is or lacks.
    #[error("{0}")]
    Undecodable(String),
    /// The disk, or another program, did not do its part: another look may go well.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Something that gives samples, in order and once.
pub trait Sound: Send {
    /// How they are to be read; never changes.
    fn shape(&self) -> Shape;

    /// Puts the next frames in the place of what is in `block`. False at the end: then `block` is empty.
    ///
    /// # Errors
    /// When what follows cannot be decoded or read.
    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError>;

    /// Leaves out so many frames from here on, or all if there are fewer.
    ///
    /// # Errors
    /// As [`Sound::next`].
    fn skip(&mut self, frames: u64) -> Result<(), DecodeError>;
}

/// All channels mixed into one; what has one channel stays as it is.
pub fn mono(sound: Box<dyn Sound>) -> Box<dyn Sound> {
    match sound.shape().channels {
        1 => sound,
        _ => Box::new(mix::Mono::new(sound)),
    }
}

/// One channel alone, from 0.
pub fn channel(sound: Box<dyn Sound>, number: u16) -> Box<dyn Sound> {
    Box::new(mix::Channel::new(sound, number))
}

/// At another rate; what has it stays as it is.
///
/// # Errors
/// When there is no way from the one rate to the other.
pub fn resampled_to(sound: Box<dyn Sound>, rate: u32) -> Result<Box<dyn Sound>, DecodeError> {
    match sound.shape().rate {
        same if same == rate => Ok(sound),
        _ => Ok(Box::new(resample::Resampled::new(sound, rate)?)),
    }
}

/// Opens a recording for decoding. What this program does not decode itself goes through `ffmpeg`, where there is one
/// and it may be used.
///
/// # Errors
/// [`DecodeError::Undecodable`] says what the content is and what would help.
pub fn decode(path: &Path, format: Format, settings: &MediaSettings) -> Result<Box<dyn Sound>, DecodeError> {
    let error = match decode_here(path) {
        Ok(sound) => return Ok(sound),
        Err(error @ DecodeError::Io(_)) => return Err(error),
        Err(error) => error,
    };
    match settings.ffmpeg.program() {
        Some(program) => Ok(Box::new(ffmpeg::Decoder::start(&program, path, format)?)),
        None => Err(DecodeError::Undecodable(format!(
            "{error}: allow ffmpeg under [media] in jobs.toml, or convert it, for example `ffmpeg -i IN -vn OUT.flac`"
        ))),
    }
}

/// The same without any other program.
///
/// # Errors
/// [`DecodeError::Undecodable`] says what the content is.
pub(in crate::media) fn decode_here(path: &Path) -> Result<Box<dyn Sound>, DecodeError> {
    Ok(Box::new(decoder::Decoder::open(File::open(path)?)?))
}
