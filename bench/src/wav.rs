//! Recordings that are cheap to make: a true WAV header (16 kHz, 16 bit, mono), noise that no other file has, and
//! beyond that a hole, which the disk need not hold.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Noise after the header; the rest of a larger file is a hole.
const NOISE: usize = 64 << 10;

/// The header of a file of `bytes` bytes altogether.
pub fn header(bytes: u64) -> [u8; 44] {
    const RATE: u32 = 16_000;
    let mut header = [0; 44];
    let mut at = 0;
    let mut put = |piece: &[u8]| {
        header[at..at + piece.len()].copy_from_slice(piece);
        at += piece.len();
    };
    put(b"RIFF");
    put(&(bytes as u32 - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16u32.to_le_bytes());
    put(&1u16.to_le_bytes());
    put(&1u16.to_le_bytes());
    put(&RATE.to_le_bytes());
    put(&(RATE * 2).to_le_bytes());
    put(&2u16.to_le_bytes());
    put(&16u16.to_le_bytes());
    put(b"data");
    put(&(bytes as u32 - 44).to_le_bytes());
    header
}

/// Writes a recording of `bytes` bytes (at least 46, even); its noise is drawn from `seed`.
///
/// # Errors
/// When the disk does not take it.
pub fn write(path: &Path, bytes: u64, seed: u64) -> io::Result<()> {
    let noise = (bytes as usize - 44).min(NOISE);
    let mut content = Vec::with_capacity(44 + noise + 8);
    content.extend_from_slice(&header(bytes));
    let mut dice = Dice(seed);
    while content.len() < 44 + noise {
        content.extend_from_slice(&dice.next().to_le_bytes());
    }
    content.truncate(44 + noise);
    let mut file = File::create(path)?;
    file.write_all(&content)?;
    if bytes > content.len() as u64 {
        file.set_len(bytes)?;
    }
    Ok(())
}

/// Numbers that are the same everywhere for the same seed (SplitMix64).
#[derive(Debug, Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    /// Any 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// From the normal distribution (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_the_length_of_its_file() {
        let header = header(16_044);
        assert_eq!(&header[4..8], &16_036u32.to_le_bytes());
        assert_eq!(&header[40..44], &16_000u32.to_le_bytes());
    }

    #[test]
    fn no_two_seeds_make_the_same_noise() {
        assert_ne!(Dice(1).next(), Dice(2).next());
    }

    #[test]
    fn normal_numbers_are_about_as_often_above_as_below_zero() {
        let mut dice = Dice(7);
        let above = (0..10_000).filter(|_| dice.normal() > 0.0).count();
        assert!((4_800..5_200).contains(&above), "{above}");
    }
}
