//! AIFF and AIFF-C: sample frames by their rate, if the sound is all there.

use std::fs::File;

use super::samples_ms;
use crate::media::read::{Chunks, be32, be64, read_at};
use crate::task::Measured;

pub(super) fn told(file: &File, len: u64) -> Option<Measured> {
    let (mut common, mut sound) = (None, None);
    for chunk in Chunks::big(file, 12, len) {
        match &chunk.name {
            // The codec stands in AIFF-C alone: without it, what follows is the next chunk.
            b"COMM" => {
                let length = chunk.size.min(22) as usize;
                common = Some(Common::read(&read_at(file, chunk.body, length).ok()?)?);
            }
            b"SSND" => sound = Some((chunk.body, chunk.size.checked_sub(8)?)),
            _ => {}
        }
    }
    let (common, (body, size)) = (common?, sound?);
    let there = len.saturating_sub(body).saturating_sub(8); // an offset and a block size stand in front
    let ms = samples_ms(common.samples(size.min(there), size)?, common.rate)?;
    Some(if size <= there { Measured::header(ms) } else { Measured::packets(ms) })
}

struct Common {
    channels: u64,
    frames: u64,
    /// Bits of a sample, where each has its own.
    bits: u64,
    rate: u64,
    codec: [u8; 4],
}

impl Common {
    fn read(chunk: &[u8]) -> Option<Common> {
        // An 80-bit number; rates are whole.
        let exponent = i32::from(u16::from_be_bytes([*chunk.get(8)?, *chunk.get(9)?]) & 0x7FFF);
        let rate = (be64(chunk, 10)? as f64 * 2f64.powi(exponent - 16383 - 63)).round();
        Some(Common {
            channels: u64::from(u16::from_be_bytes([chunk[0], chunk[1]])).max(1),
            frames: u64::from(be32(chunk, 2)?),
            bits: u64::from(u16::from_be_bytes([*chunk.get(6)?, *chunk.get(7)?])),
            rate: (1.0..=1e9).contains(&rate).then_some(rate as u64)?,
            codec: chunk.get(18..22).and_then(|codec| codec.try_into().ok()).unwrap_or(*b"NONE"),
        })
    }

    /// In so many bytes of sound, of so many that were promised. Writers count samples of compressed sound in their own
    /// ways; its packets are all alike.
    fn samples(&self, bytes: u64, promised: u64) -> Option<u64> {
        Some(match &self.codec {
            b"ima4" => bytes / 34 / self.channels * 64,
            b"GSM " | b"agsm" => bytes / 33 / self.channels * 160,
            // What is not compressed is as long as it is large, however it was counted.
            b"NONE" | b"twos" | b"sowt" | b"raw " | b"fl32" | b"FL32" | b"fl64" | b"FL64"
                if self.bits > 0 =>
            {
                bytes / self.channels / self.bits.div_ceil(8)
            }
            _ => u64::try_from(u128::from(self.frames) * u128::from(bytes) / u128::from(promised.max(1)))
                .ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::file_of;

    fn aiff(codec: &[u8], frames: u32, sound: usize) -> Vec<u8> {
        let mut common = [&[0, 1][..], &frames.to_be_bytes(), &[0, 16]].concat();
        common.extend([0x40, 0x0B, 0xFA, 0, 0, 0, 0, 0, 0, 0]); // 8000
        common.extend(codec);
        let chunk = |name: &[u8], body: &[u8]| [name, &(body.len() as u32).to_be_bytes(), body].concat();
        let body = [&b"AIFC"[..], &chunk(b"COMM", &common), &chunk(b"SSND", &vec![0; 8 + sound])].concat();
        chunk(b"FORM", &body)
    }

    fn of(bytes: &[u8]) -> Option<Measured> {
        told(&file_of(bytes), bytes.len() as u64)
    }

    #[test]
    fn sound_goes_by_its_packets_and_samples_however_they_were_counted() {
        assert_eq!(of(&aiff(b"NONE\0\0", 16_000, 32_000)), Some(Measured::header(2000)));
        assert_eq!(of(&aiff(b"NONE\0\0", 48_000, 32_000)), Some(Measured::header(2000)), "counted wrongly");
        assert_eq!(of(&aiff(b"", 48_000, 32_000)), Some(Measured::header(2000)), "the old form, too");
        for counted in [250, 16_000] {
            assert_eq!(of(&aiff(b"ima4\0\0", counted, 8500)), Some(Measured::header(2000)));
        }
        assert_eq!(of(&aiff(b"GSM \0\0", 16_000, 3300)), Some(Measured::header(2000)));
    }

    #[test]
    fn a_cut_file_is_as_long_as_what_is_there() {
        let whole = aiff(b"NONE\0\0", 16_000, 32_000);
        assert_eq!(of(&whole[..whole.len() - 16_000]), Some(Measured::packets(1000)));
        assert_eq!(of(&whole[..30]), None);
    }
}
