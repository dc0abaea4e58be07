//! FLAC: the count of samples at its head, if the last frame of the file is whole and ends with that count. A stream
//! leaves the count out, a cut file keeps the old one.

use std::fs::File;

use super::samples_ms;
use crate::media::read::{be64, read_at};
use crate::media::sniff::audio_start;
use crate::task::Measured;

/// Frames are some KiB; their sizes stand at the head of most files.
const LARGEST_FRAME: usize = 64 << 10;
/// Tags behind the sound that are no reason for doubt: ID3v1.
const TAG: usize = 128;

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let start = audio_start(file).ok()?;
    let head = read_at(file, start, 42).ok()?;
    let info = head.strip_prefix(b"fLaC")?.get(4..)?;
    let largest_block = u64::from(u16::from_be_bytes([*info.get(2)?, *info.get(3)?]));
    let largest_frame = info.get(7..10)?.iter().fold(0, |size, &b| size << 8 | usize::from(b));
    let facts = be64(info, 10)?;
    let (rate, total) = (facts >> 44, facts & 0xF_FFFF_FFFF);
    if total == 0 {
        return None;
    }
    let reach = if largest_frame > 0 { largest_frame } else { LARGEST_FRAME } + TAG;
    let tail = read_at(file, len.saturating_sub(reach as u64), reach).ok()?;
    let whole = match tail.len().checked_sub(TAG) {
        Some(end) if tail[end..].starts_with(b"TAG") => &tail[..end],
        _ => &tail[..],
    };
    let ends = (0..whole.len()).rev().filter_map(|at| end_of_last(&whole[at..], largest_block)).next()?;
    (ends == total).then(|| samples_ms(total, rate).map(Measured::header))?
}

/// The number behind the last sample, if these bytes are one whole frame.
fn end_of_last(frame: &[u8], largest_block: u64) -> Option<u64> {
    let variable = match frame.get(..2)? {
        [0xFF, 0xF8] => false,
        [0xFF, 0xF9] => true,
        _ => return None,
    };
    let (codes, first) = (*frame.get(2)?, *frame.get(4)?);
    // The number of the frame, or of its first sample, as UTF-8 would write it.
    let more = match first.leading_ones() {
        0 => 0,
        1 | 8 => return None,
        ones => ones as usize - 1,
    };
    let mut number = u64::from(if more == 0 { first } else { first & (0x3F >> more) });
    for &byte in frame.get(5..5 + more)? {
        number = number << 6 | u64::from(byte & 0x3F);
    }
    let mut at = 5 + more;
    let mut take = |bytes: usize| {
        let taken = frame.get(at..at + bytes)?;
        at += bytes;
        Some(taken.iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b)))
    };
    let block = match codes >> 4 {
        0 => return None,
        1 => 192,
        code @ 2..=5 => 576 << (code - 2),
        6 => take(1)? + 1,
        7 => take(2)? + 1,
        code => 256 << (code - 8),
    };
    match codes & 15 {
        12 => drop(take(1)?),
        13 | 14 => drop(take(2)?),
        15 => return None,
        _ => {}
    }
    let check = take(1)?;
    if u64::from(crc8(&frame[..at - 1])) != check {
        return None;
    }
    let (body, footer) = frame.split_at_checked(frame.len().checked_sub(2)?)?;
    if crc16(body).to_be_bytes() != footer {
        return None;
    }
    number.checked_mul(if variable { 1 } else { largest_block })?.checked_add(block)
}

fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 != 0 { sum << 1 ^ 0x07 } else { sum << 1 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, &byte| {
        let step = |sum: u16, _| if sum & 0x8000 != 0 { sum << 1 ^ 0x8005 } else { sum << 1 };
        (0..8).fold(sum ^ u16::from(byte) << 8, step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;

    /// Frames of 4096 samples at 8 kHz; only the head says that it is mono, and nobody asks.
    fn flac(total: u64, frames: u8) -> Vec<u8> {
        let mut file = [&b"fLaC"[..], &[0x80, 0, 0, 34], &[0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]].concat();
        file.extend((8000u64 << 44 | 15 << 36 | total).to_be_bytes());
        file.extend([0; 16]);
        for number in 0..frames {
            let mut frame = vec![0xFF, 0xF8, 0xC4, 0x08, number];
            frame.push(crc8(&frame));
            frame.extend([0x5A; 300]);
            frame.extend(crc16(&frame).to_be_bytes());
            file.extend(frame);
        }
        file
    }

    fn of(bytes: &[u8]) -> Option<Measured> {
        told(&file_of(bytes), bytes.len() as u64)
    }

    #[test]
    fn a_count_is_believed_when_the_last_frame_ends_with_it() {
        let whole = flac(5 * 4096, 5);
        assert_eq!(of(&whole), Some(Measured::header(2560)));
        let tagged = [&whole[..], b"TAG", &[0; 125]].concat();
        assert_eq!(of(&tagged), Some(Measured::header(2560)));
    }

    #[test]
    fn a_cut_file_and_a_stream_are_not_taken_at_their_word() {
        let whole = flac(5 * 4096, 5);
        assert_eq!(of(&whole[..whole.len() - 1]), None, "cut inside the last frame");
        assert_eq!(of(&whole[..whole.len() - 308]), None, "cut between frames");
        assert_eq!(of(&flac(0, 5)), None, "streamed");
        assert_eq!(of(&whole[..30]), None);
    }

    #[test]
    fn the_checksums_are_those_of_the_format() {
        // The check values of CRC-8/SMBUS and CRC-16/UMTS.
        assert_eq!((crc8(b"123456789"), crc16(b"123456789")), (0xF4, 0xFEE8));
    }
}
