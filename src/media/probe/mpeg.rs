//! MP3: the count of frames that encoders leave in the first one (Xing, Info, VBRI), if the bytes it counts are the bytes
//! that are there, and frames of here and there are as large as it says. Without a count only counting tells: a bit rate at the start says nothing of the rest.

use std::fs::File;

use super::samples_ms;
use crate::media::frames::{self, Frame};
use crate::media::read::{be32, read_at};
use crate::media::sniff::audio_start;
use crate::task::Measured;

/// The first frame of the highest bit rate, and some.
const FIRST: usize = 2048;
/// Tags behind the sound that are no reason for doubt: ID3v1.
const TAG: u64 = 128;
/// A look at some frames.
const LOOK: usize = 8 << 10;

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let start = audio_start(file).ok()?;
    let head = read_at(file, start, FIRST).ok()?;
    let first = frames::frame(&head)?;
    let count = xing(&head, &first).or_else(|| vbri(&head))?;
    let (end, there) = (start.checked_add(count.bytes)?, len);
    // A cut file has less; one that others were appended to has more. Some writers leave their own frame out.
    if end > there || there - end > TAG + first.bytes as u64 {
        return None;
    }
    if !agrees(file, &first, start, &count) {
        return None;
    }
    let samples = u64::from(count.frames) * u64::from(first.samples);
    samples_ms(samples.saturating_sub(count.padding), u64::from(first.rate)).map(Measured::header)
}

/// Whether frames at three places are about as large as those that were counted. Where all are of one size, they must be;
/// elsewhere talk and silence differ.
fn agrees(file: &File, first: &Frame, start: u64, count: &Count) -> bool {
    let places = [0, count.bytes / 2, count.bytes / 4 * 3].map(|at| start + at);
    let look = |at| frames::sizes(&read_at(file, at, LOOK).unwrap_or_default(), first);
    let sizes: Vec<usize> = places.into_iter().flat_map(look).collect();
    let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) else {
        return count.bytes < LOOK as u64; // too short for a look
    };
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    let ratio = mean * f64::from(count.frames) / count.bytes as f64;
    let allowed = if most - least <= 1 { 1.05 } else { 2.0 };
    // The frame that counts is not always counted.
    let slack = 1.0 + 2.0 / f64::from(count.frames.max(1));
    (1.0 / allowed / slack..=allowed * slack).contains(&ratio)
}

struct Count {
    frames: u32,
    bytes: u64,
    /// Samples that an encoder put in front and behind, and decoders take away again.
    padding: u64,
}

fn xing(head: &[u8], first: &Frame) -> Option<Count> {
    let tag = head.get(first.side..)?;
    if !tag.starts_with(b"Xing") && !tag.starts_with(b"Info") {
        return None;
    }
    let flags = be32(tag, 4)?;
    // Frames and bytes, both; then what is optional, in this order.
    let (frames, bytes) = (flags & 3 == 3).then_some((be32(tag, 8)?, be32(tag, 12)?))?;
    let extension = 16 + if flags & 4 != 0 { 100 } else { 0 } + if flags & 8 != 0 { 4 } else { 0 };
    let padding = tag.get(extension + 21..extension + 24).map_or(0, |b| {
        let both = u32::from(b[0]) << 16 | u32::from(b[1]) << 8 | u32::from(b[2]);
        match (u64::from(both >> 12), u64::from(both & 0xFFF)) {
            (0, 0) => 0,
            // A decoder delays by 529 samples of its own, which it leaves out at the start and adds at the end.
            (delay, padding) => delay + 529 + padding.saturating_sub(529),
        }
    });
    Some(Count { frames, bytes: u64::from(bytes), padding })
}

/// Always behind 32 bytes, whatever the side information takes.
fn vbri(head: &[u8]) -> Option<Count> {
    let tag = head.get(36..)?.strip_prefix(b"VBRI")?;
    Some(Count { bytes: u64::from(be32(tag, 6)?), frames: be32(tag, 10)?, padding: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, id3, mp3};

    /// 100 frames behind one that counts them.
    fn counted(frames: u32, bytes: u32) -> Vec<u8> {
        let mut file = mp3(101);
        let tag = [&b"Info"[..], &3u32.to_be_bytes(), &frames.to_be_bytes(), &bytes.to_be_bytes()].concat();
        file[36..36 + tag.len()].copy_from_slice(&tag);
        file
    }

    fn of(bytes: &[u8]) -> Option<Measured> {
        told(&file_of(bytes), bytes.len() as u64)
    }

    #[test]
    fn a_count_that_fits_the_file_is_believed_behind_tags_too() {
        let file = counted(100, 101 * 417);
        assert_eq!(of(&file), Some(Measured::header(2612)));
        assert_eq!(of(&[id3(100), file.clone()].concat()), Some(Measured::header(2612)));
        assert_eq!(of(&[file, vec![b'T'; 128]].concat()), Some(Measured::header(2612)));
    }

    #[test]
    fn a_count_of_more_or_fewer_bytes_than_there_are_is_not() {
        let file = counted(100, 101 * 417);
        assert_eq!(of(&file[..50 * 417]), None, "cut");
        assert_eq!(of(&[file, mp3(100)].concat()), None, "another file behind it");
        assert_eq!(of(&mp3(100)), None, "no count");
    }

    #[test]
    fn a_count_of_other_frames_than_there_are_is_not() {
        for frames in [33, 60, 130, 1000] {
            assert_eq!(of(&counted(frames, 101 * 417)), None, "{frames} frames");
        }
    }

    #[test]
    fn what_encoders_pad_is_no_sound() {
        let mut file = counted(100, 101 * 417);
        file[36 + 16 + 21..36 + 16 + 24].copy_from_slice(&[0x24, 0x03, 0xE8]); // 576 in front, 1000 behind
        assert_eq!(of(&file), Some(Measured::header(2577)));
    }

    #[test]
    fn the_other_kind_of_count_is_read() {
        let mut file = mp3(101);
        let tag = [&b"VBRI\0\x01\0\0\0\0"[..], &(101 * 417u32).to_be_bytes(), &100u32.to_be_bytes()].concat();
        file[36..36 + tag.len()].copy_from_slice(&tag);
        assert_eq!(of(&file), Some(Measured::header(2612)));
    }
}
