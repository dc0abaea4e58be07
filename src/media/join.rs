//! Pieces of a recording, each a sound file of its own with a place in time, joined into one. What no piece covers is
//! silent; where two claim the same moment, the one that began first has it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::sound::{DecodeError, FlacWriter, Shape, Sound, decode_here, mono, resampled_to};

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
) -> Result<(), DecodeError> {
    let mut scratch = tempfile::NamedTempFile::new()?;
    let mut track: Option<Track<'_>> = None;
    let mut to = Some(to);
    for piece in pieces {
        let Excerpt { start_ms, duration_ms, bytes } = piece?;
        scratch.as_file().set_len(0)?;
        scratch.seek(SeekFrom::Start(0))?;
        scratch.write_all(&bytes)?;
        // They are MP3, which needs no other program.
        let sound = match decode_here(scratch.path()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::testing::{heard, opened};

    /// A WAV of one value.
    fn sound(rate: u32, channels: u16, frames: usize, value: i16) -> Vec<u8> {
        let samples: Vec<u8> =
            std::iter::repeat_n(value.to_le_bytes(), frames * usize::from(channels)).flatten().collect();
        let block = channels * 2;
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
        bytes.extend([1u16.to_le_bytes(), channels.to_le_bytes()].concat());
        bytes.extend([rate.to_le_bytes(), (rate * u32::from(block)).to_le_bytes()].concat());
        bytes.extend([block.to_le_bytes(), 16u16.to_le_bytes()].concat());
        bytes.extend([&b"data"[..], &(samples.len() as u32).to_le_bytes(), &samples].concat());
        bytes
    }

    fn at(start_ms: u64, duration_ms: u64, bytes: Vec<u8>) -> Excerpt {
        Excerpt { start_ms, duration_ms, bytes }
    }

    /// Milliseconds of one value after the other, of what is joined at 1000 frames a second.
    fn joined(pieces: Vec<Excerpt>, length_ms: u64) -> Result<Vec<(i16, usize)>, DecodeError> {
        let mut file = tempfile::tempfile().unwrap();
        join(pieces.into_iter().map(Ok), length_ms, &mut file)?;
        file.rewind().unwrap();
        let samples = heard(opened(file));
        Ok(samples.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect())
    }

    const RATE: u32 = 8000;

    fn frames(runs: &[(i16, usize)]) -> Vec<(i16, usize)> {
        runs.iter().map(|(value, ms)| (*value, ms * 8)).collect()
    }

    #[test]
    fn pieces_lie_at_their_times_and_what_none_covers_is_silent() {
        let pieces = vec![
            at(0, 100, sound(RATE, 1, 800, 5)),
            at(100, 50, sound(RATE, 1, 400, 6)),
            at(300, 100, sound(RATE, 1, 800, 7)),
        ];
        assert_eq!(joined(pieces, 500).unwrap(), frames(&[(5, 100), (6, 50), (0, 150), (7, 100), (0, 100)]));
    }

    #[test]
    fn a_piece_takes_as_much_as_it_was_said_to_and_nothing_of_the_one_before_it() {
        let pieces = vec![
            at(0, 100, sound(RATE, 1, 8000, 5)),
            at(50, 100, sound(RATE, 1, 800, 6)),
            at(150, 100, sound(RATE, 1, 80, 7)),
            at(900, 1 << 50, sound(RATE, 1, 8000, 8)),
        ];
        let expected = [(5, 100), (6, 50), (7, 10), (0, 740), (8, 100)];
        assert_eq!(joined(pieces, 1000).unwrap(), frames(&expected));
    }

    #[test]
    fn pieces_of_another_shape_become_like_the_first() {
        let pieces = vec![at(0, 100, sound(RATE, 2, 800, 5)), at(100, 100, sound(RATE, 1, 800, 6))];
        assert_eq!(joined(pieces, 200).unwrap(), [(5, 1600), (6, 1600)], "two samples a frame");
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error_unless_it_is_next_to_nothing() {
        let noise = || b"no sound at all".to_vec();
        assert!(matches!(joined(vec![at(0, 900, noise())], 900), Err(DecodeError::Undecodable(_))));
        assert!(matches!(joined(vec![at(0, 20, noise())], 20), Err(DecodeError::Undecodable(_))));
        let pieces = vec![at(0, 20, noise()), at(20, 100, sound(RATE, 1, 800, 5))];
        assert_eq!(joined(pieces, 120).unwrap(), frames(&[(0, 20), (5, 100)]));
    }
}
