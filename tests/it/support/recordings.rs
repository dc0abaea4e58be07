//! Recordings made in code: a tone each, and no two alike.

use std::f64::consts::TAU;

const RATE: u32 = 8000;

/// A WAV of so many milliseconds, 8 kHz, 16 bit, mono. Another name is another sound.
pub(crate) fn tone(name: &str, ms: u32) -> Vec<u8> {
    let hash = blake3::hash(name.as_bytes());
    let samples = RATE / 1000 * ms;
    let mut bytes = head(samples);
    // The first samples are a little noise from the name: two pitches may sound the same to 16 bits.
    bytes.extend_from_slice(hash.as_bytes());
    for n in 16..samples {
        bytes.extend(wave(pitch(hash), n).to_le_bytes());
    }
    bytes
}

/// The same, silent but for four tenths of a second from each of these milliseconds on.
pub(crate) fn bursts(name: &str, ms: u32, at_ms: &[u32]) -> Vec<u8> {
    bursts_of(name, ms, &at_ms.iter().map(|at| (*at, 400)).collect::<Vec<_>>())
}

/// The same, each with its length.
pub(crate) fn bursts_of(name: &str, ms: u32, at_ms: &[(u32, u32)]) -> Vec<u8> {
    let pitch = pitch(blake3::hash(name.as_bytes()));
    let mut bytes = head(RATE / 1000 * ms);
    let begin = bytes.len();
    bytes.resize(begin + (RATE / 1000 * ms * 2) as usize, 0);
    for (at, length) in at_ms {
        for n in RATE / 1000 * at..RATE / 1000 * (at + length) {
            let place = begin + n as usize * 2;
            bytes[place..place + 2].copy_from_slice(&wave(pitch, n).to_le_bytes());
        }
    }
    bytes
}

/// A WAV of two channels, from two of one.
pub(crate) fn two_channels(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut bytes = left[..44].to_vec();
    bytes[22..24].copy_from_slice(&2u16.to_le_bytes());
    bytes[28..32].copy_from_slice(&(RATE * 4).to_le_bytes());
    bytes[32..34].copy_from_slice(&4u16.to_le_bytes());
    let samples = left[44..].chunks(2).zip(right[44..].chunks(2));
    bytes.extend(samples.flat_map(|(left, right)| [left, right].concat()));
    let data = u32::try_from(bytes.len() - 44).unwrap();
    bytes[4..8].copy_from_slice(&(data + 36).to_le_bytes());
    bytes[40..44].copy_from_slice(&data.to_le_bytes());
    bytes
}

fn pitch(hash: blake3::Hash) -> f64 {
    200.0 + f64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) / 65.536
}

fn wave(pitch: f64, n: u32) -> i16 {
    ((f64::from(n) / f64::from(RATE) * pitch * TAU).sin() * 8000.0) as i16
}

fn head(samples: u32) -> Vec<u8> {
    let mut bytes =
        [&b"RIFF"[..], &(36 + samples * 2).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((RATE * 2).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend([&b"data"[..], &(samples * 2).to_le_bytes()].concat());
    bytes
}

/// Without the first frame, which counts the others: what is left tells nothing of its length.
pub(crate) fn without_count(mp3: &[u8]) -> Vec<u8> {
    let tag = mp3.windows(4).position(|w| w == b"Xing" || w == b"Info").unwrap();
    let first = (0..tag).rev().find(|&at| mp3[at] == 0xFF && mp3[at + 1] & 0xE0 == 0xE0).unwrap();
    let next = (tag..mp3.len()).find(|&at| mp3[at..at + 2] == mp3[first..first + 2]).unwrap();
    mp3[next..].to_vec()
}
