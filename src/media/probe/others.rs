//! The rest: Sun audio, Apple's CAF, Windows Media, AMR. Telephone formats that voice detection takes, and what may be
//! converted for the others.

use std::fs::File;
use std::io::{BufReader, Read};

use super::samples_ms;
use crate::media::read::{be32, be64, le64, read_at};
use crate::task::Measured;

/// Sun audio: bytes of sound by the size of a sample.
pub(super) fn au(file: &File, len: u64) -> Option<Measured> {
    let head = read_at(file, 0, 24).ok()?;
    let (start, size) = (u64::from(be32(&head, 4)?), be32(&head, 8)?);
    let sample = match be32(&head, 12)? {
        1 | 2 | 27 => 1,
        3 => 2,
        4 => 3,
        5 | 6 => 4,
        7 => 8,
        _ => return None,
    };
    let frame = sample * u64::from(be32(&head, 20)?);
    let there = len.saturating_sub(start);
    let of = |bytes: u64| samples_ms(bytes.checked_div(frame)?, u64::from(be32(&head, 16)?));
    match u64::from(size) {
        size if size > 0 && size <= there => of(size).map(Measured::header),
        _ => of(there).map(Measured::packets),
    }
}

/// CAF: frames as its table of packets counts them, or bytes of packets that are all alike.
pub(super) fn caf(file: &File, len: u64) -> Option<Measured> {
    let (mut at, mut rate, mut even, mut table) = (8u64, 0.0, None, None);
    let mut sound = None;
    for _ in 0..64 {
        let head = read_at(file, at, 12).ok()?;
        let (Some(name), Some(size)) = (head.get(..4), be64(&head, 4)) else { break };
        let body = at.checked_add(12)?;
        match name {
            b"desc" => {
                let desc = read_at(file, body, 32).ok()?;
                rate = f64::from_bits(be64(&desc, 0)?);
                even = Some((u64::from(be32(&desc, 16)?), u64::from(be32(&desc, 20)?)));
            }
            b"pakt" => table = be64(&read_at(file, body, 16).ok()?, 8),
            b"data" => sound = Some((body, size)),
            _ => {}
        }
        match body.checked_add(size) {
            Some(next) if next < len => at = next,
            _ => break,
        }
    }
    let ((body, size), (bytes, frames)) = (sound?, even?);
    let there = len.saturating_sub(body).saturating_sub(4);
    let promised = size.saturating_sub(4); // an edit count stands in front
    let samples = match table {
        Some(frames) if promised <= there => frames,
        Some(_) => return None,
        None => promised.min(there).checked_div(bytes)?.checked_mul(frames)?,
    };
    let ms = (1.0..=1e9).contains(&rate).then(|| samples_ms(samples, rate.round() as u64))??;
    Some(if promised <= there { Measured::header(ms) } else { Measured::packets(ms) })
}

/// Windows Media: the time of playing without what a player fills its buffer with first.
pub(super) fn windows_media(file: &File) -> Option<Measured> {
    const FILE_PROPERTIES: [u8; 16] =
        [0xA1, 0xDC, 0xAB, 0x8C, 0x47, 0xA9, 0xCF, 0x11, 0x8E, 0xE4, 0, 0xC0, 0x0C, 0x20, 0x53, 0x65];
    let head = read_at(file, 0, 8192).ok()?;
    let mut at = 30usize;
    loop {
        let object = head.get(at..)?;
        if object.starts_with(&FILE_PROPERTIES) {
            let (played, filled) = (le64(object, 64)? / 10_000, le64(object, 80)?);
            return Some(Measured::header(played.saturating_sub(filled)));
        }
        at = at.checked_add(usize::try_from(le64(object, 16)?.max(24)).ok()?)?;
    }
}

/// AMR: 20 ms a frame, whatever its size.
pub(super) fn amr(file: &File, len: u64) -> Option<Measured> {
    const NARROW: [u64; 16] = [12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0];
    const WIDE: [u64; 16] = [17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0];
    let head = read_at(file, 0, 9).ok()?;
    let (sizes, start) = match &head[..] {
        h if h.starts_with(b"#!AMR-WB\n") => (WIDE, 9),
        h if h.starts_with(b"#!AMR\n") => (NARROW, 6),
        _ => return None,
    };
    let mut bytes = BufReader::with_capacity(64 << 10, super::packets::Source::new(file, len)).bytes();
    let (mut frames, mut skip) = (0u64, start);
    loop {
        if skip > 0 && bytes.nth(skip - 1)?.is_err() {
            return None;
        }
        match bytes.next() {
            Some(Ok(mode)) => skip = sizes[usize::from(mode >> 3 & 15)] as usize,
            Some(Err(_)) => return None,
            None => return Some(Measured::packets(frames * 20)),
        }
        frames += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;

    #[test]
    fn sun_audio_is_measured_by_its_bytes() {
        let head = |size: u32| {
            [24, size, 1, 8000, 1].iter().flat_map(|n: &u32| n.to_be_bytes()).collect::<Vec<u8>>()
        };
        let file = |size| [&b".snd"[..], &head(size), &[0; 16_000]].concat();
        assert_eq!(au(&file_of(&file(16_000)), 16_024), Some(Measured::header(2000)));
        assert_eq!(au(&file_of(&file(u32::MAX)), 16_024), Some(Measured::packets(2000)));
    }

    #[test]
    fn frames_of_amr_are_counted() {
        let frame = [&[0x3C][..], &[7; 31]].concat();
        let file = [&b"#!AMR\n"[..], &frame.repeat(100)].concat();
        assert_eq!(amr(&file_of(&file), file.len() as u64), Some(Measured::packets(2000)));
        assert_eq!(amr(&file_of(b"#!AMX\n"), 6), None);
    }
}
