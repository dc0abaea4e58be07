//! WAV and RF64: bytes of sound by bytes a second. Recorders that stream write a size of 0 or of all ones, and cut files
//! promise more than they hold: then the bytes that are there count.

use std::fs::File;

use super::samples_ms;
use crate::media::read::{Chunks, le16, le32, le64, read_at};
use crate::task::Measured;

/// Codecs whose every block is as long as the next: PCM, float, A-law, µ-law, and the extended form of these.
const EVEN: [u16; 5] = [1, 3, 6, 7, 0xFFFE];

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let mut sound = Sound::default();
    // In RF64 the true sizes stand in a chunk of their own.
    let mut long = None;
    for chunk in Chunks::little(file, 12, len) {
        match &chunk.name {
            b"ds64" => long = le64(&read_at(file, chunk.body, 16).ok()?, 8),
            b"fmt " => sound.format(&read_at(file, chunk.body, 16).ok()?)?,
            b"fact" => sound.samples = le32(&read_at(file, chunk.body, 4).ok()?, 0).map(u64::from),
            b"data" => {
                let there = len.saturating_sub(chunk.body);
                let promised = match (chunk.size, long) {
                    (0xFFFF_FFFF, Some(long)) => long,
                    (0, _) if there > 0 => u64::MAX,
                    (size, _) => size,
                };
                return match promised <= there {
                    true => sound.ms(promised).map(Measured::header),
                    false => Sound { samples: None, ..sound }.ms(there).map(Measured::packets),
                };
            }
            _ => {}
        }
    }
    None
}

#[derive(Default)]
struct Sound {
    codec: u16,
    rate: u64,
    bytes_a_second: u64,
    block: u64,
    /// As the file counts them; only worth something where blocks are compressed.
    samples: Option<u64>,
}

impl Sound {
    fn format(&mut self, chunk: &[u8]) -> Option<()> {
        self.codec = le16(chunk, 0)?;
        self.rate = u64::from(le32(chunk, 4)?);
        self.bytes_a_second = u64::from(le32(chunk, 8)?);
        self.block = u64::from(le16(chunk, 12)?);
        Some(())
    }

    fn ms(&self, bytes: u64) -> Option<u64> {
        if EVEN.contains(&self.codec) && self.block > 0 {
            return samples_ms(bytes / self.block, self.rate);
        }
        let by_bytes = samples_ms(bytes, self.bytes_a_second);
        let by_samples = self.samples.and_then(|samples| samples_ms(samples, self.rate));
        // Bytes a second are rounded for compressed sound, and some writers count samples wrongly.
        match (by_bytes, by_samples) {
            (Some(bytes), Some(samples)) if samples.abs_diff(bytes) <= bytes / 20 + 100 => Some(samples),
            (Some(bytes), _) => Some(bytes),
            (None, samples) => samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::{file_of, wav};

    fn of(bytes: &[u8]) -> Option<Measured> {
        told(&file_of(bytes), bytes.len() as u64)
    }

    #[test]
    fn a_whole_file_is_taken_at_its_word() {
        assert_eq!(of(&wav(8000, 16_000)), Some(Measured::header(2000)));
    }

    #[test]
    fn a_streamed_or_cut_file_is_as_long_as_its_bytes() {
        for size in [[0xFF; 4], [0; 4], 0x7FFF_FFFFu32.to_le_bytes()] {
            let mut streamed = wav(8000, 16_000);
            streamed[40..44].copy_from_slice(&size);
            assert_eq!(of(&streamed), Some(Measured::packets(2000)), "{size:?}");
        }
        assert_eq!(of(&wav(8000, 16_000)[..44 + 16_000]), Some(Measured::packets(1000)));
    }

    #[test]
    fn what_follows_the_sound_is_no_sound() {
        let mut tagged = wav(8000, 8000);
        tagged.extend(b"LIST\x10\x27\0\0");
        tagged.resize(tagged.len() + 10_000, 7);
        assert_eq!(of(&tagged), Some(Measured::header(1000)));
    }

    #[test]
    fn compressed_sound_goes_by_its_count_unless_that_is_absurd() {
        let gsm = |samples: u32| {
            let mut file = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0\x31\0\x01\0".to_vec();
            file.extend(8000u32.to_le_bytes());
            file.extend(1625u32.to_le_bytes());
            file.extend([65, 0, 0, 0, 2, 0, 64, 1]);
            file.extend([&b"fact\x04\0\0\0"[..], &samples.to_le_bytes()].concat());
            file.extend([&b"data"[..], &3250u32.to_le_bytes(), &[0; 3250]].concat());
            of(&file)
        };
        assert_eq!(gsm(15_900), Some(Measured::header(1988)));
        assert_eq!(gsm(160_000), Some(Measured::header(2000)));
    }

    #[test]
    fn a_file_beyond_four_gigabytes_tells_its_size_elsewhere() {
        let mut file = b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec();
        file.extend([0; 8]);
        file.extend(32_000u64.to_le_bytes());
        file.extend([0; 12]);
        file.extend(&wav(8000, 16_000)[12..]);
        let size = file.len() - 32_000 - 4;
        file[size..size + 4].copy_from_slice(&[0xFF; 4]);
        assert_eq!(of(&file), Some(Measured::header(2000)));
    }

    #[test]
    fn a_format_without_a_rate_tells_nothing() {
        let mut silent = wav(8000, 100);
        silent[24..36].fill(0);
        assert_eq!(of(&silent), None);
        assert_eq!(of(&wav(8000, 100)[..20]), None);
    }
}
