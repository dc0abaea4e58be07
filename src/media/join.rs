//! Pieces of a recording, each a sound file of its own with a place in time, joined into one. What no piece covers is
//! silent; where two claim the same moment, the one that began first has it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::sound::{DecodeError, FlacWriter, Shape, Sound, decode, mono, resampled_to};
use super::{Format, MediaSettings};

/// A piece that cannot be decoded and is no longer than this holds no word, and becomes silence.
const NOTHING_MS: u64 = 150;
/// Written at once where there is nothing.
const SILENT_FRAMES: usize = 1 << 14;

/// A piece, and where it belongs.
#[derive(Debug)]
pub struct Excerpt {
    /// Where it begins.
    pub start_ms: u64,
    /// How long it is; of what is in it no more is taken.
    pub duration_ms: u64,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Writes one FLAC of `length_ms` from pieces in the order of their beginnings. It has the rate and the channels of the
/// first one.
///
/// # Errors
/// [`DecodeError::Undecodable`] when a piece is no sound, else what the disk says.
pub fn join(
    pieces: impl Iterator<Item = io::Result<Excerpt>>,
    length_ms: u64,
    to: &mut File,
    settings: &MediaSettings,
) -> Result<(), DecodeError> {
    let mut scratch = tempfile::NamedTempFile::new()?;
    let mut track: Option<Track<'_>> = None;
    let mut to = Some(to);
    // Pieces that are nothing, in front of any whose shape could be asked for.
    for piece in pieces {
        let Excerpt { start_ms, duration_ms, bytes } = piece?;
        scratch.as_file().set_len(0)?;
        scratch.seek(SeekFrom::Start(0))?;
        scratch.write_all(&bytes)?;
        let sound = match decode(scratch.path(), Format::Mp3, settings) {
            Ok(sound) => sound,
            Err(DecodeError::Undecodable(_)) if duration_ms <= NOTHING_MS => continue,
            Err(error) => return Err(error),
        };
        if track.is_none()
            && let Some(to) = to.take()
        {
            track = Some(Track { flac: FlacWriter::new(to, sound.shape())?, at: 0, length_ms });
        }
        if let Some(track) = &mut track {
            track.put(sound, start_ms, duration_ms)?;
        }
    }
    let Some(mut track) = track else {
        return Err(DecodeError::Undecodable("no piece of it is sound".to_owned()));
    };
    track.silence_to(track.shape().frames(length_ms))?;
    track.flac.finish()?;
    Ok(())
}

struct Track<'a> {
    flac: FlacWriter<&'a mut File>,
    /// Frames so far.
    at: u64,
    length_ms: u64,
}

impl Track<'_> {
    fn shape(&self) -> Shape {
        self.flac.shape()
    }

    fn put(&mut self, sound: Box<dyn Sound>, start_ms: u64, duration_ms: u64) -> Result<(), DecodeError> {
        let shape = self.shape();
        let mut sound = match sound.shape() {
            same if same == shape => sound,
            _ => resampled_to(mono(sound), shape.rate)?,
        };
        let channels = usize::from(sound.shape().channels);
        let frames = |ms: u64| shape.frames(ms.min(self.length_ms));
        let (start, end) = (frames(start_ms), frames(start_ms.saturating_add(duration_ms)));
        self.silence_to(start)?;
        sound.skip(self.at - start)?;
        let mut block = Vec::new();
        while self.at < end && sound.next(&mut block)? {
            let whole = (block.len() / channels).min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
            let block = &block[..whole * channels];
            match usize::from(shape.channels) {
                same if same == channels => self.flac.write(block)?,
                more => {
                    let spread: Vec<i16> = block.iter().flat_map(|&s| std::iter::repeat_n(s, more)).collect();
                    self.flac.write(&spread)?;
                }
            }
            self.at += whole as u64;
        }
        self.silence_to(end)
    }

    fn silence_to(&mut self, end: u64) -> Result<(), DecodeError> {
        let channels = usize::from(self.shape().channels);
        while self.at < end {
            let frames = usize::try_from(end - self.at).unwrap_or(SILENT_FRAMES).min(SILENT_FRAMES);
            self.flac.write(&vec![0; frames * channels])?;
            self.at += frames as u64;
        }
        Ok(())
    }
}
