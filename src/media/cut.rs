//! What is too large or too long for a request, as FLACs that are not: the whole recording if that is enough, else one
//! piece after the other, cut where it is quiet. Nothing is kept of a piece but the file that it is written to.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::quiet::{places, quietest};
use super::sound::{DecodeError, FlacWriter, Shape, Sound, channel, decode, mono};
use super::{Format, MediaSettings};
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
}

/// What one piece may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// No file is larger.
    pub max_bytes: u64,
    /// Nor holds more audio, in milliseconds.
    pub longest_ms: Option<u64>,
    /// Whether there may be several pieces.
    pub may_split: bool,
    /// How far a piece reaches into its neighbours, in milliseconds.
    pub overlap_ms: u64,
}

/// A piece in its file, which stands at its beginning.
#[derive(Debug)]
pub struct Piece {
    /// FLAC.
    pub file: File,
    /// Its size.
    pub bytes: u64,
    /// What of the recording it is.
    pub stretch: Stretch,
    /// Nothing of the recording comes after it.
    pub ends: bool,
}

/// Why there is no piece.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The recording gives no samples.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// It does not fit, and must not be split.
    #[error("encoded anew it is still more than a request takes ({0} bytes)")]
    TooLarge(u64),
    /// The file of the piece cannot be written.
    #[error("{0}")]
    Write(#[from] std::io::Error),
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
        let cutting =
            Cutting { path: path.to_owned(), format, settings: settings.clone(), shape, channels, measured };
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
        let sound = decode(&self.path, self.format, &self.settings)?;
        let about = self.shape.frames(self.measured.duration_ms);
        let (number, begin) = self.next(after);
        let sound = match self.channels {
            Channels::Keep => sound,
            Channels::Mix => mono(sound),
            Channels::Split => channel(sound, number - 1),
        };
        let mut piece = cut(sound, begin, about, bounds, to)?;
        piece.stretch.channel = number;
        piece.ends =
            piece.stretch.is_last && (self.channels != Channels::Split || number == self.shape.channels);
        Ok(piece)
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

/// How much fits into a piece.
#[derive(Debug, Clone, Copy)]
struct Room {
    frames: u64,
    /// A file that has no more takes one more block for certain.
    bytes: u64,
}

/// A block that was written.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Bytes of the file from then on.
    bytes: u64,
    /// The mean of its samples' squares.
    level: f64,
}

/// Writes what begins at a frame. `about` is where the recording ends, as far as that is known.
fn cut(
    mut sound: Box<dyn Sound>,
    begin: u64,
    about: u64,
    bounds: Bounds,
    to: File,
) -> Result<Piece, CutError> {
    let shape = sound.shape();
    let overlap = shape.frames(bounds.overlap_ms);
    let from = begin.saturating_sub(overlap);
    sound.skip(from)?;
    let mut to = FlacWriter::new(to, shape)?;
    let size = to.block() as u64;
    // The head of a block is small, and samples that cannot be made smaller go in as they are.
    let largest = size * u64::from(shape.channels) * 2 + 256;
    let room = Room {
        frames: bounds.longest_ms.map_or(u64::MAX, |ms| shape.frames(ms)),
        bytes: bounds.max_bytes.saturating_sub(largest),
    };
    let (blocks, end) = encode(&mut *sound, &mut to, room)?;
    if let Some(frames) = end.filter(|frames| *frames <= room.frames) {
        let (file, bytes) = to.finish()?;
        let heard = from..from + frames;
        let own = begin.min(heard.end)..heard.end;
        return Ok(Piece { file, bytes, stretch: stretch(shape, heard, own, true), ends: true });
    }
    let fitting =
        blocks.iter().zip(1u64..).take_while(|(b, n)| n * size <= room.frames && b.bytes <= room.bytes);
    let most = fitting.count();
    let too_large = CutError::TooLarge(blocks.last().map_or(0, |block| block.bytes));
    if !bounds.may_split {
        return Err(too_large);
    }
    let (lead, trail) = ((begin - from).div_ceil(size), overlap.div_ceil(size));
    let most = (most as u64).saturating_sub(trail);
    // Where two pieces are enough for what is left, they share it: a short last one helps nobody.
    let left = about.saturating_sub(from);
    let two = left > room.frames && left.saturating_add(2 * overlap) <= room.frames.saturating_mul(2);
    let shared =
        two.then(|| ((left + overlap - room.frames).div_ceil(size).max(lead), most.min(left * 5 / 8 / size)));
    let (least, most) = shared.filter(|(least, most)| most > least).unwrap_or((lead, most));
    let places = places(least as usize, most as usize).ok_or(too_large)?;
    let levels: Vec<f64> = blocks.iter().map(|block| block.level).collect();
    let place = quietest(&levels, places) as u64;
    let end = place + trail;
    let bytes = blocks.get(end as usize - 1).map_or(0, |block| block.bytes);
    let file = to.finish_after(end as usize, bytes)?;
    file.set_len(bytes)?;
    let (heard, own) = (from..from + end * size, begin..from + place * size);
    Ok(Piece { file, bytes, stretch: stretch(shape, heard, own, false), ends: false })
}

fn stretch(shape: Shape, heard: Range<u64>, own: Range<u64>, is_last: bool) -> Stretch {
    Stretch { rate: shape.rate, channel: 0, heard, own, is_last }
}

/// Writes until the recording ends, then with how many frames it had; or until one block more was written than fits.
fn encode(
    sound: &mut dyn Sound,
    to: &mut FlacWriter<File>,
    room: Room,
) -> Result<(Vec<Block>, Option<u64>), CutError> {
    let channels = usize::from(sound.shape().channels);
    let size = to.block() * channels;
    let (mut blocks, mut samples) = (Vec::<Block>::new(), Vec::new());
    let (mut filled, mut squares) = (0, 0.0);
    while sound.next(&mut samples)? {
        let mut left = &samples[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(size - filled));
            to.write(now)?;
            squares += now.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum::<f64>();
            filled += now.len();
            left = later;
            if filled < size {
                continue;
            }
            blocks.push(Block { bytes: to.bytes(), level: squares / size as f64 });
            (filled, squares) = (0, 0.0);
            if (blocks.len() * to.block()) as u64 > room.frames || to.bytes() > room.bytes {
                return Ok((blocks, None));
            }
        }
    }
    let frames = (blocks.len() * size + filled) / channels;
    Ok((blocks, Some(frames as u64)))
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use proptest::prelude::*;

    use super::*;
    use crate::media::sample::wav_of;
    use crate::media::sound::testing::{Held, heard, opened};

    const RATE: u32 = 8000;
    const SECOND: usize = RATE as usize;

    /// Noise, with silence in these seconds.
    fn recording(seconds: usize, silent: &[usize]) -> Vec<i16> {
        let mut dice = fastrand::Rng::with_seed(7);
        let sample = |n: usize| if silent.contains(&(n / SECOND)) { 0 } else { dice.i16(-3000..3000) };
        (0..seconds * SECOND).map(sample).collect()
    }

    fn bounds(longest_s: Option<u64>) -> Bounds {
        Bounds { max_bytes: 1 << 30, longest_ms: longest_s.map(|s| s * 1000), may_split: true, overlap_ms: 0 }
    }

    /// All pieces, each with its samples.
    fn pieces(samples: &[i16], bounds: Bounds) -> Result<Vec<(Stretch, Vec<i16>)>, CutError> {
        let (mut all, mut begin) = (Vec::new(), 0);
        loop {
            let sound = Box::new(Held::new(RATE, 1, samples.to_vec()));
            let piece = cut(sound, begin, samples.len() as u64, bounds, tempfile::tempfile().unwrap())?;
            assert_eq!(piece.file.metadata().unwrap().len(), piece.bytes);
            assert!(piece.bytes <= bounds.max_bytes, "{} bytes", piece.bytes);
            assert_eq!(piece.stretch.own.start, begin, "without a gap");
            let mut file = piece.file;
            file.rewind().unwrap();
            (begin, _) = (piece.stretch.own.end, all.push((piece.stretch.clone(), heard(opened(file)))));
            if piece.stretch.is_last {
                return Ok(all);
            }
        }
    }

    #[test]
    fn pieces_hold_every_sample_once_and_are_cut_where_it_is_quiet() {
        let samples = recording(47, &[9, 18, 19, 30, 40]);
        let pieces = pieces(&samples, bounds(Some(11))).unwrap();
        let joined: Vec<i16> = pieces.iter().flat_map(|(_, samples)| samples.clone()).collect();
        assert_eq!(joined, samples);
        for (stretch, heard) in &pieces {
            assert_eq!(stretch.heard, stretch.own);
            assert_eq!(heard.len() as u64, stretch.heard.end - stretch.heard.start);
            assert!(heard.len() <= 11 * SECOND);
        }
        let cuts: Vec<usize> = pieces.iter().map(|(s, _)| s.own.end as usize / SECOND).collect();
        assert_eq!(cuts, [9, 19, 30, 40, 47], "in a silent second each");
    }

    #[test]
    fn what_fits_is_one_piece_and_what_two_can_hold_is_shared_by_them() {
        let samples = recording(20, &[]);
        assert_eq!(pieces(&samples, bounds(None)).unwrap().len(), 1);
        assert_eq!(pieces(&samples, bounds(Some(20))).unwrap().len(), 1, "to the very end");
        let two = pieces(&samples, bounds(Some(19))).unwrap();
        assert_eq!(two.len(), 2);
        assert!(two.iter().all(|(s, _)| s.sent_ms() > 7000), "{two:?}");
    }

    #[test]
    fn a_piece_is_no_larger_than_it_may_be() {
        let samples = recording(20, &[]);
        let whole = pieces(&samples, bounds(None)).unwrap();
        let max_bytes = u64::try_from(whole[0].1.len()).unwrap() / 2;
        let small = Bounds { max_bytes, ..bounds(None) };
        let several = pieces(&samples, small).unwrap();
        assert!(several.len() > 2);
        assert_eq!(several.into_iter().flat_map(|(_, samples)| samples).collect::<Vec<_>>(), samples);
        let only = Bounds { may_split: false, ..small };
        assert!(matches!(pieces(&samples, only), Err(CutError::TooLarge(_))));
        let nothing = Bounds { max_bytes: 900, ..small };
        assert!(matches!(pieces(&samples, nothing), Err(CutError::TooLarge(_))));
    }

    #[test]
    fn pieces_that_overlap_answer_for_what_no_other_does() {
        let samples = recording(47, &[9, 19, 30, 40]);
        let pieces = pieces(&samples, Bounds { overlap_ms: 2000, ..bounds(Some(13)) }).unwrap();
        assert!(pieces.len() >= 4);
        for pair in pieces.windows(2) {
            let (before, after) = (&pair[0].0, &pair[1].0);
            assert_eq!(before.own.end, after.own.start);
            assert!(before.heard.end >= before.own.end + 2 * u64::from(RATE));
            assert_eq!(after.heard.start, after.own.start - 2 * u64::from(RATE));
        }
        for (stretch, heard) in &pieces {
            assert_eq!(heard, &samples[stretch.heard.start as usize..stretch.heard.end as usize]);
            assert!(stretch.sent_ms() <= 13_000);
        }
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

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn whatever_the_bounds_pieces_follow_one_another_and_hold_what_they_say(
            seconds in 1usize..40, silent in proptest::collection::vec(0usize..40, 0..6), longest_s in 3u64..30,
            overlap_ms in prop_oneof![Just(0u64), 100..900u64], kilobytes in 40u64..400,
        ) {
            let samples = recording(seconds, &silent);
            let bounds = Bounds { max_bytes: kilobytes * 1000, overlap_ms, ..bounds(Some(longest_s)) };
            let pieces = pieces(&samples, bounds).unwrap();
            let mut at = 0;
            for (stretch, heard) in &pieces {
                prop_assert_eq!(stretch.own.start, at);
                prop_assert!(stretch.own.end > at, "each brings it on");
                prop_assert!(stretch.sent_ms() <= longest_s * 1000);
                prop_assert!(stretch.heard.start <= stretch.own.start && stretch.own.end <= stretch.heard.end);
                prop_assert_eq!(heard, &samples[stretch.heard.start as usize..stretch.heard.end as usize]);
                at = stretch.own.end;
            }
            prop_assert_eq!(at as usize, samples.len());
        }
    }
}
