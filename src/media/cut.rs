//! A piece of a recording that is too large or too long for a request, as a FLAC that is not, cut where it is quiet. Nothing
//! is kept of a piece but the file that it is written to.

use std::fs::File;
use std::ops::Range;

use super::Format;
use super::quiet::{places, quietest};
use super::sound::{DecodeError, FlacWriter, Shape, Sound};
use crate::task::Stretch;

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
    /// In this format.
    pub file: File,
    /// FLAC, or Opus of the whole.
    pub format: Format,
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
pub(super) fn cut(
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
        let stretch = stretch(shape, heard, own, true);
        return Ok(Piece { file, format: Format::Flac, bytes, stretch, ends: true });
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
    let stretch = stretch(shape, heard, own, false);
    Ok(Piece { file, format: Format::Flac, bytes, stretch, ends: false })
}

pub(super) fn stretch(shape: Shape, heard: Range<u64>, own: Range<u64>, is_last: bool) -> Stretch {
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
