//! What goes out in the place of a recording: all of it as FLAC, if that is enough; else, where it may be, all of it as
//! Opus; else one piece after the other.

use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::cut::{cut, stretch};
use super::sound::{DecodeError, FlacWriter, OpusWriter, Shape, Sound, channel, decode, mono, resampled_to};
use super::{Bounds, CutError, Format, MediaSettings, Piece, lossy};
use crate::task::{Channels, Measured, Stretch};

/// A recording that is encoded anew. Nothing is open.
#[derive(Debug, Clone)]
pub struct Cutting {
    path: PathBuf,
    format: Format,
    settings: MediaSettings,
    shape: Shape,
    channels: Channels,
    measured: Measured,
    /// Whether it may go out whole as Opus.
    lossy: Lossy,
}

/// When a recording goes out whole as Opus, if there is room for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lossy {
    /// Never.
    No,
    /// If it turns out that FLAC is too large.
    IfNeeded,
    /// FLAC is not tried.
    AtOnce,
}

impl Cutting {
    /// Of a recording, if there is any sound to be had of it that FLAC has room for.
    pub(super) fn of(
        path: &Path,
        format: Format,
        measured: Measured,
        channels: Channels,
        settings: &MediaSettings,
    ) -> Result<Cutting, DecodeError> {
        let shape = decode(path, format, settings)?.shape();
        let channels = if shape.channels == 1 { Channels::Keep } else { channels };
        let (path, settings) = (path.to_owned(), settings.clone());
        let cutting = Cutting { path, format, settings, shape, channels, measured, lossy: Lossy::No };
        let alone = Shape { channels: 1, ..shape };
        let written = if channels == Channels::Keep { shape } else { alone };
        FlacWriter::new(std::io::Cursor::new(Vec::new()), written).map_err(|_| {
            DecodeError::Undecodable(format!(
                "FLAC has no room for {} channels at {} Hz",
                shape.channels, shape.rate
            ))
        })?;
        Ok(cutting)
    }

    /// The same, which may go out as Opus.
    pub(super) fn allowing(self, lossy: Lossy) -> Cutting {
        Cutting { lossy, ..self }
    }

    /// Whether it has several channels, of which something is asked.
    pub(super) fn changes_channels(&self) -> bool {
        self.channels != Channels::Keep
    }

    /// How many pieces there will be, about.
    pub fn about(&self, bounds: Bounds) -> u64 {
        let times = if self.channels == Channels::Split { u64::from(self.shape.channels) } else { 1 };
        let longest_ms = bounds.longest_ms.unwrap_or(u64::MAX).max(1);
        self.measured.duration_ms.div_ceil(longest_ms).max(1) * times
    }

    /// Writes the piece that comes after another one, or the first one.
    ///
    /// # Errors
    /// See [`CutError`].
    pub fn piece(&self, after: Option<&Stretch>, bounds: Bounds, to: File) -> Result<Piece, CutError> {
        // What is in pieces already goes on in pieces.
        let bits = self.bits(bounds).filter(|_| after.is_none());
        let Some(bits) = bits.filter(|_| self.lossy != Lossy::No) else {
            return self.flac(after, bounds, to);
        };
        if self.lossy == Lossy::IfNeeded {
            match self.flac(after, Bounds { may_split: false, ..bounds }, to.try_clone()?) {
                Err(CutError::TooLarge(_)) => {}
                done => return done,
            }
        }
        match self.opus(bits, bounds, emptied(&to)?)? {
            Some(whole) => Ok(whole),
            None => self.flac(after, bounds, emptied(&to)?),
        }
    }

    fn flac(&self, after: Option<&Stretch>, bounds: Bounds, to: File) -> Result<Piece, CutError> {
        let about = self.shape.frames(self.measured.duration_ms);
        let (number, begin) = self.next(after);
        let mut piece = cut(self.sound(number)?, begin, about, bounds, to)?;
        piece.stretch.channel = number;
        piece.ends =
            piece.stretch.is_last && (self.channels != Channels::Split || number == self.shape.channels);
        Ok(piece)
    }

    /// All of it, unless that is more than a request takes after all.
    fn opus(&self, bits: u32, bounds: Bounds, to: File) -> Result<Option<Piece>, CutError> {
        let sound = self.sound(0)?;
        let mut sound = match lossy::rate(sound.shape().rate) {
            Some(rate) => resampled_to(sound, rate)?,
            None => return Ok(None),
        };
        let shape = sound.shape();
        let most = bounds.longest_ms.map_or(u64::MAX, |ms| shape.frames(ms));
        let mut to = OpusWriter::new(to, shape, bits)?;
        let (mut frames, mut samples) = (0, Vec::new());
        while sound.next(&mut samples)? {
            to.write(&samples)?;
            frames += (samples.len() / usize::from(shape.channels)) as u64;
            if to.bytes() > bounds.max_bytes || frames > most {
                return Ok(None);
            }
        }
        let (file, bytes) = to.finish()?;
        let stretch = stretch(shape, 0..frames, 0..frames, true);
        let whole = Piece { file, format: Format::Opus, bytes, stretch, ends: true };
        Ok(Some(whole).filter(|whole| whole.bytes <= bounds.max_bytes))
    }

    /// What goes in, of one channel by its number or of all.
    fn sound(&self, number: u16) -> Result<Box<dyn Sound>, DecodeError> {
        let sound = decode(&self.path, self.format, &self.settings)?;
        Ok(match self.channels {
            Channels::Keep => sound,
            Channels::Mix => mono(sound),
            Channels::Split => channel(sound, number - 1),
        })
    }

    /// How many bits a second of Opus there is room for, if it goes out whole.
    fn bits(&self, bounds: Bounds) -> Option<u32> {
        let duration_ms = self.measured.duration_ms;
        let channels = match self.channels {
            Channels::Keep => self.shape.channels,
            Channels::Mix => 1,
            Channels::Split => return None,
        };
        let is_short = bounds.longest_ms.is_none_or(|longest| duration_ms <= longest);
        let bits = lossy::bits(Shape { channels, ..self.shape }, duration_ms, bounds.max_bytes);
        bits.filter(|_| is_short)
    }

    /// Which channel comes next, and from which frame on: one after the other, from 1; 0 for all of them.
    fn next(&self, after: Option<&Stretch>) -> (u16, u64) {
        match after {
            None => (u16::from(self.channels == Channels::Split), 0),
            Some(before) if before.is_last => (before.channel + 1, 0),
            Some(before) => (before.channel, before.own.end),
        }
    }
}

/// The same file, for another try.
fn emptied(file: &File) -> io::Result<File> {
    let mut file = file.try_clone()?;
    file.set_len(0)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::wav_of;
    use crate::media::sound::testing::{heard, opened};

    const RATE: u32 = 8000;

    /// Noise.
    fn noise(seconds: usize) -> Vec<i16> {
        let mut dice = fastrand::Rng::with_seed(7);
        (0..seconds * RATE as usize).map(|_| dice.i16(-3000..3000)).collect()
    }

    fn bounds(longest_s: Option<u64>) -> Bounds {
        Bounds { max_bytes: 1 << 30, longest_ms: longest_s.map(|s| s * 1000), may_split: true, overlap_ms: 0 }
    }

    #[test]
    fn channels_are_kept_mixed_or_come_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stereo.wav");
        let samples: Vec<i16> = (0..40_000i32).flat_map(|n| [(n / 4) as i16, (-n / 8) as i16]).collect();
        std::fs::write(&path, wav_of(RATE, 2, &samples)).unwrap();
        let told = |channels, longest_s| {
            let settings = MediaSettings::default();
            let cutting =
                Cutting::of(&path, Format::Wav, Measured::header(5000), channels, &settings).unwrap();
            assert_eq!(cutting.changes_channels(), channels != Channels::Keep);
            let (mut told, mut after) = (Vec::new(), None);
            loop {
                let to = tempfile::tempfile().unwrap();
                let mut piece = cutting.piece(after.as_ref(), bounds(longest_s), to).unwrap();
                piece.file.rewind().unwrap();
                let sound = opened(piece.file);
                let (shape, heard) = (sound.shape(), heard(sound));
                told.push((piece.stretch.channel, piece.stretch.own.start, shape.channels, heard));
                after = Some(piece.stretch);
                if piece.ends {
                    return told;
                }
            }
        };
        assert_eq!(told(Channels::Keep, None), [(0, 0, 2, samples.clone())]);
        let mix: Vec<i16> = samples.chunks(2).map(|pair| (pair[0] + pair[1]) / 2).collect();
        assert_eq!(told(Channels::Mix, None), [(0, 0, 1, mix)]);
        let one = |number: usize| samples.iter().copied().skip(number).step_by(2).collect::<Vec<i16>>();
        assert_eq!(told(Channels::Split, None), [(1, 0, 1, one(0)), (2, 0, 1, one(1))]);
        let pieces = told(Channels::Split, Some(3));
        assert_eq!(pieces.iter().map(|piece| piece.0).collect::<Vec<_>>(), [1, 1, 2, 2]);
        let second: Vec<i16> =
            pieces.into_iter().filter(|piece| piece.0 == 2).flat_map(|piece| piece.3).collect();
        assert_eq!(second, one(1));
    }

    /// What comes of a recording of noise in the first place, and what of it can be heard.
    fn first(seconds: usize, lossy: Lossy, bounds: Bounds) -> Result<(Piece, usize), CutError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise.wav");
        std::fs::write(&path, wav_of(RATE, 1, &noise(seconds))).unwrap();
        let measured = Measured::header(seconds as u64 * 1000);
        let cutting =
            Cutting::of(&path, Format::Wav, measured, Channels::Keep, &MediaSettings::default()).unwrap();
        let mut piece = cutting.allowing(lossy).piece(None, bounds, tempfile::tempfile().unwrap())?;
        assert_eq!(piece.file.metadata().unwrap().len(), piece.bytes);
        piece.file.rewind().unwrap();
        let sound = opened(piece.file.try_clone().unwrap());
        let rate = sound.shape().rate as usize;
        Ok((piece, heard(sound).len() * 1000 / rate))
    }

    #[test]
    fn what_flac_does_not_make_small_enough_goes_out_whole_as_opus_where_it_may() {
        // A minute of it is 700 kB as FLAC, 180 kB at 24 kb/s.
        let room = |max_bytes| Bounds { max_bytes, ..bounds(None) };
        for (lossy, max_bytes, format) in [
            (Lossy::IfNeeded, 1 << 30, Format::Flac),
            (Lossy::IfNeeded, 300_000, Format::Opus),
            (Lossy::AtOnce, 300_000, Format::Opus),
            (Lossy::AtOnce, 1 << 30, Format::Opus),
        ] {
            let (piece, ms) = first(60, lossy, room(max_bytes)).unwrap();
            assert_eq!((piece.format, piece.ends, ms), (format, true, 60_000), "{lossy:?} {max_bytes}");
            assert!(piece.bytes <= max_bytes);
            assert_eq!((piece.stretch.sent_ms(), piece.stretch.is_last), (60_000, true));
        }
    }

    #[test]
    fn what_may_not_or_has_no_room_or_is_too_long_goes_out_in_pieces() {
        let room = |max_bytes| Bounds { max_bytes, ..bounds(None) };
        for (lossy, bounds) in [
            (Lossy::No, room(300_000)),
            (Lossy::IfNeeded, room(150_000)),
            (Lossy::AtOnce, room(150_000)),
            (Lossy::AtOnce, bounds(Some(50))),
            (Lossy::IfNeeded, bounds(Some(50))),
        ] {
            let (piece, ms) = first(60, lossy, bounds).unwrap();
            assert_eq!((piece.format, piece.ends), (Format::Flac, false), "{lossy:?} {bounds:?}");
            assert!(ms < 60_000 && piece.stretch.sent_ms() == ms as u64);
            let whole = Bounds { may_split: false, ..bounds };
            assert!(matches!(first(60, lossy, whole), Err(CutError::TooLarge(_))), "{lossy:?} {bounds:?}");
        }
    }

    #[test]
    fn what_is_in_pieces_goes_on_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise.wav");
        std::fs::write(&path, wav_of(RATE, 1, &noise(60))).unwrap();
        let (measured, settings) = (Measured::header(60_000), MediaSettings::default());
        let cutting = Cutting::of(&path, Format::Wav, measured, Channels::Keep, &settings).unwrap();
        let bounds = Bounds { max_bytes: 300_000, ..bounds(None) };
        let piece = |lossy, after: Option<&Stretch>| {
            let cutting = cutting.clone().allowing(lossy);
            cutting.piece(after, bounds, tempfile::tempfile().unwrap()).unwrap()
        };
        let first = piece(Lossy::No, None);
        let second = piece(Lossy::AtOnce, Some(&first.stretch));
        assert_eq!((second.format, second.stretch.own.start), (Format::Flac, first.stretch.own.end));
    }

    #[test]
    fn a_length_that_was_a_lie_ends_in_pieces_and_not_in_a_file_that_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise.wav");
        std::fs::write(&path, wav_of(RATE, 1, &noise(60))).unwrap();
        let (measured, settings) = (Measured::estimated(9000), MediaSettings::default());
        let cutting = Cutting::of(&path, Format::Wav, measured, Channels::Keep, &settings).unwrap();
        let bounds = Bounds { max_bytes: 150_000, ..bounds(None) };
        let piece =
            cutting.allowing(Lossy::AtOnce).piece(None, bounds, tempfile::tempfile().unwrap()).unwrap();
        assert_eq!((piece.format, piece.ends), (Format::Flac, false));
    }

    #[test]
    fn opus_has_no_higher_rate_and_no_other_channels_than_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stereo.wav");
        let mut dice = fastrand::Rng::with_seed(7);
        let samples: Vec<i16> = (0..2 * 44_100 * 5).map(|_| dice.i16(-3000..3000)).collect();
        std::fs::write(&path, wav_of(44_100, 2, &samples)).unwrap();
        for (channels, there) in [(Channels::Keep, 2), (Channels::Mix, 1)] {
            let measured = Measured::header(5000);
            let cutting =
                Cutting::of(&path, Format::Wav, measured, channels, &MediaSettings::default()).unwrap();
            let cutting = cutting.allowing(Lossy::AtOnce);
            let mut piece = cutting.piece(None, bounds(None), tempfile::tempfile().unwrap()).unwrap();
            assert_eq!((piece.format, piece.stretch.rate), (Format::Opus, 24_000));
            piece.file.rewind().unwrap();
            let sound = opened(piece.file);
            assert_eq!(sound.shape().channels, there);
            assert_eq!(heard(sound).len(), 5 * 48_000 * usize::from(there));
        }
    }

    #[test]
    fn what_flac_has_no_room_for_is_found_out_before_and_its_channels_alone_have_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nine.wav");
        std::fs::write(&path, wav_of(RATE, 9, &[7; 9000])).unwrap();
        let of = |channels| {
            Cutting::of(&path, Format::Wav, Measured::header(125), channels, &MediaSettings::default())
        };
        let Err(DecodeError::Undecodable(what)) = of(Channels::Keep) else { panic!("nine channels") };
        assert!(what.contains("9 channels"), "{what}");
        assert!(of(Channels::Split).is_ok());
    }
}
