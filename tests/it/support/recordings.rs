//! Recordings made in code: a tone each, and no two alike.

use std::f64::consts::TAU;

const RATE: u32 = 8000;

/// A WAV of so many milliseconds, 8 kHz, 16 bit, mono. Another name is another sound.
pub(crate) fn tone(name: &str, ms: u32) -> Vec<u8> {
    let samples = RATE / 1000 * ms;
    let hash = blake3::hash(name.as_bytes());
    let pitch = 200.0 + f64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) / 65.536;
    let mut bytes =
        [&b"RIFF"[..], &(36 + samples * 2).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((RATE * 2).to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend([&b"data"[..], &(samples * 2).to_le_bytes()].concat());
    // The first samples are a little noise from the name: two pitches may sound the same to 16 bits.
    bytes.extend_from_slice(hash.as_bytes());
    for n in 16..samples {
        let wave = (f64::from(n) / f64::from(RATE) * pitch * TAU).sin();
        bytes.extend(((wave * 8000.0) as i16).to_le_bytes());
    }
    bytes
}
