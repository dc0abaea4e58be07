//! Writes Opus in Ogg as the samples come: where FLAC is still too much, a tenth of it or less, at a loss that speech models
//! hardly hear. What is decoded of it is as long as what went in, and as late.

use std::io::{self, Write};

use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead};

use super::Shape;
use super::opus::RATE;

/// Packets a second.
const PACKETS: u32 = 50;

/// See the module. Without [`OpusWriter::finish`] the file has no end.
pub struct OpusWriter<W: Write> {
    ogg: OggOpusWriter<Counted<W>>,
    encoder: OpusEncoder,
    packet: Vec<u8>,
    /// Samples that do not fill a packet yet.
    waiting: Vec<i16>,
    /// Samples in a packet.
    size: usize,
    shape: Shape,
    /// How far what is decoded runs behind, in frames of [`RATE`].
    lead: u64,
    /// Frames that went in.
    frames: u64,
}

impl<W: Write> OpusWriter<W> {
    /// Begins a file at the writer's place, of so many bits a second at most, on average.
    ///
    /// # Errors
    /// When Opus has no such shape (rates of 8, 12, 16, 24 and 48 kHz, one or two channels), or nothing can be written.
    pub fn new(to: W, shape: Shape, bits: u32) -> io::Result<Self> {
        let Shape { rate, channels } = shape;
        let rate = i32::try_from(rate).unwrap_or(i32::MAX);
        let mut encoder = OpusEncoder::new(rate, usize::from(channels), Application::Audio).map_err(unfit)?;
        encoder.bitrate_bps = i32::try_from(bits).unwrap_or(i32::MAX);
        let head = OpusHead::for_encoder(&encoder, shape.rate);
        let lead = u64::from(head.pre_skip);
        Ok(OpusWriter {
            ogg: OggOpusWriter::new(Counted { to, bytes: 0 }, head).map_err(unwritten)?,
            encoder,
            packet: vec![0; MAX_PACKET_BYTES],
            waiting: Vec::new(),
            size: (shape.rate / PACKETS) as usize * usize::from(channels),
            shape,
            lead,
            frames: 0,
        })
    }

    /// Bytes so far, but for the last page.
    pub fn bytes(&self) -> u64 {
        self.ogg.get_ref().map_or(0, |counted| counted.bytes)
    }

    /// Adds whole frames.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, frames: &[i16]) -> io::Result<()> {
        self.frames += (frames.len() / usize::from(self.shape.channels)) as u64;
        let mut left = frames;
        while !left.is_empty() {
            let (now, later) = left.split_at(left.len().min(self.size - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            left = later;
            if self.waiting.len() == self.size {
                self.write_packet(None)?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and gives the writer back behind the end, with the size of the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let end = self.lead + self.frames * u64::from(RATE / self.shape.rate);
        // The encoder runs late: silence drives the last samples out of it, and the file says where they end.
        loop {
            self.waiting.resize(self.size, 0);
            let left = end.saturating_sub(self.ogg.granule().cast_unsigned());
            if left <= u64::from(RATE / PACKETS) {
                self.write_packet(u32::try_from(left).ok())?;
                break;
            }
            self.write_packet(None)?;
        }
        let Counted { to, bytes } = self.ogg.finish().map_err(unwritten)?;
        Ok((to, bytes))
    }

    /// Encodes what waits, of which so many frames of [`RATE`] count, or all.
    fn write_packet(&mut self, counting: Option<u32>) -> io::Result<()> {
        let frames = (self.shape.rate / PACKETS) as usize;
        let size = self.encoder.encode_s16(&self.waiting, frames, &mut self.packet).map_err(unfit)?;
        let packet = &self.packet[..size];
        self.waiting.clear();
        match counting {
            None => self.ogg.write_packet(packet),
            Some(frames) => self.ogg.write_packet_with_duration(packet, frames),
        }
        .map_err(unwritten)
    }
}

/// Counts what goes through.
struct Counted<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn unwritten(error: opus_pure::Error) -> io::Error {
    match error {
        opus_pure::Error::Io(error) => error,
        other => unfit(other),
    }
}

fn unfit(error: opus_pure::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("Opus: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::sample::file_of;
    use crate::media::sound::testing::{heard, opened};

    fn encoded(shape: Shape, samples: &[i16], bits: u32) -> Vec<u8> {
        let mut writer = OpusWriter::new(Vec::new(), shape, bits).unwrap();
        for some in samples.chunks(usize::from(shape.channels) * 777) {
            writer.write(some).unwrap();
        }
        let (file, bytes) = writer.finish().unwrap();
        assert_eq!(bytes, file.len() as u64);
        file
    }

    /// A second of quiet, then a tone of so many seconds, whose period is 320 frames of [`RATE`].
    fn tone(rate: u32, seconds: u32) -> Vec<i16> {
        let of = |n: u32| (f64::from(n) / f64::from(rate) * 150.0 * std::f64::consts::TAU).sin() * 9000.0;
        (0..rate * (1 + seconds)).map(|n| if n < rate { 0 } else { of(n) as i16 }).collect()
    }

    #[test]
    fn what_was_heard_at_a_time_is_heard_at_that_time() {
        for rate in [8000, 12_000, 16_000, 24_000, 48_000] {
            for bits in [24_000, 64_000] {
                let sound = opened(file_of(&encoded(Shape { rate, channels: 1 }, &tone(rate, 1), bits)));
                assert_eq!(sound.shape(), Shape { rate: RATE, channels: 1 });
                let (there, wanted) = (heard(sound), tone(RATE, 1));
                assert_eq!(there.len(), 96_000, "{rate}");
                // Where it begins is softened by the codec, by less than a period; where in its period it is, is not.
                let begins = there.iter().position(|sample| sample.abs() > 3000).unwrap();
                assert!(begins.abs_diff(48_000) < 200, "{rate} Hz, {bits} bits: begins at {begins}");
                let off = |late: i32| {
                    let at = |n: usize| f64::from(there[n.saturating_add_signed(late as isize)]);
                    (50_000..90_000).map(|n| (at(n) - f64::from(wanted[n])).powi(2)).sum::<f64>()
                };
                let late = (-159..160).min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap();
                assert!(late.abs() < 24, "{rate} Hz, {bits} bits: {late} frames late");
            }
        }
    }

    #[test]
    fn it_has_no_more_bits_than_it_was_given() {
        let mut dice = fastrand::Rng::with_seed(5);
        for (rate, channels, bits) in [(8000, 1, 24_000), (24_000, 2, 48_000), (48_000, 2, 192_000)] {
            let noise: Vec<i16> =
                (0..rate * 20 * u32::from(channels)).map(|_| dice.i16(-9000..9000)).collect();
            let bytes = encoded(Shape { rate, channels }, &noise, bits).len() as u64;
            let most = u64::from(bits) * 20 / 8;
            assert!(bytes * 100 < most * 106 && bytes * 2 > most, "{bytes} for {most}");
        }
    }

    #[test]
    fn both_channels_stay_apart() {
        let samples: Vec<i16> = tone(24_000, 1).into_iter().flat_map(|sample| [sample, 0]).collect();
        let there = heard(opened(file_of(&encoded(Shape { rate: 24_000, channels: 2 }, &samples, 128_000))));
        let power = |number| there.iter().skip(number).step_by(2).map(|s| f64::from(*s).powi(2)).sum::<f64>();
        assert!(power(1) < power(0) / 1000.0, "{} and {}", power(0), power(1));
    }

    #[test]
    fn a_shape_that_opus_does_not_have_is_refused_at_once() {
        for (rate, channels) in [(44_100, 1), (16_000, 3), (0, 1)] {
            assert!(OpusWriter::new(Vec::new(), Shape { rate, channels }, 64_000).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn what_is_decoded_is_as_long_as_what_went_in(
            rate in prop_oneof![Just(8000u32), Just(12_000), Just(16_000), Just(24_000), Just(48_000)],
            channels in 1u16..=2, frames in 1usize..5000, bits in 12_000u32..200_000,
        ) {
            let samples: Vec<i16> = (0..frames * usize::from(channels)).map(|n| (n * 37 % 9000) as i16).collect();
            let sound = opened(file_of(&encoded(Shape { rate, channels }, &samples, bits)));
            prop_assert_eq!(sound.shape(), Shape { rate: RATE, channels });
            prop_assert_eq!(heard(sound).len(), samples.len() * (RATE / rate) as usize);
        }
    }
}
