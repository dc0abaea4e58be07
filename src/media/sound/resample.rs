//! Another rate, block by block, without a delay: what was heard at a time is heard at that time.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};

use super::{DecodeError, Shape, Sound};

/// Frames that go in at once.
const CHUNK: usize = 4096;

/// See the module.
pub(super) struct Resampled {
    of: Box<dyn Sound>,
    shape: Shape,
    resampler: Fft<f32>,
    /// Frames that wait to go in.
    waiting: Vec<f32>,
    out: Vec<f32>,
    taken: u64,
    given: u64,
    /// Frames of the resampler's own beginning, still to be left out.
    delay: usize,
    ended: bool,
    block: Vec<i16>,
}

impl Resampled {
    pub(super) fn new(of: Box<dyn Sound>, rate: u32) -> Result<Self, DecodeError> {
        let from = of.shape();
        let channels = usize::from(from.channels);
        let resampler = Fft::new(from.rate as usize, rate as usize, CHUNK, channels, FixedSync::Input)
            .map_err(|error| DecodeError::Undecodable(format!("{} Hz to {rate} Hz: {error}", from.rate)))?;
        Ok(Resampled {
            shape: Shape { rate, ..from },
            waiting: Vec::new(),
            out: vec![0.0; resampler.output_frames_max() * channels],
            delay: resampler.output_delay(),
            resampler,
            taken: 0,
            given: 0,
            ended: false,
            block: Vec::new(),
            of,
        })
    }

    /// Frames that there are in all, as far as is known.
    fn length(&self) -> u64 {
        let (from, to) = (u128::from(self.of.shape().rate), u128::from(self.shape.rate));
        u64::try_from(u128::from(self.taken) * to / from).unwrap_or(u64::MAX)
    }

    fn push(&mut self, block: &mut Vec<i16>) -> Result<(), DecodeError> {
        let channels = usize::from(self.shape.channels);
        let broken = |error: &dyn std::fmt::Display| DecodeError::Undecodable(format!("resampling: {error}"));
        let wanted = self.resampler.input_frames_next();
        let there = (self.waiting.len() / channels).min(wanted);
        self.waiting.resize(self.waiting.len().max(wanted * channels), 0.0);
        let input = InterleavedSlice::new(&self.waiting, channels, wanted).map_err(|e| broken(&e))?;
        let room = self.out.len() / channels;
        let mut output = InterleavedSlice::new_mut(&mut self.out, channels, room).map_err(|e| broken(&e))?;
        let indexing = Indexing { partial_len: Some(there), ..Indexing::default() };
        let (_, came) = self
            .resampler
            .process_into_buffer(&input, &mut output, Some(&indexing))
            .map_err(|e| broken(&e))?;
        self.waiting.drain(..wanted * channels);
        let late = self.delay.min(came);
        self.delay -= late;
        let left = if self.ended { self.length().saturating_sub(self.given) } else { u64::MAX };
        let good = (came - late).min(usize::try_from(left).unwrap_or(usize::MAX));
        let sample = |value: &f32| (value * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
        block.extend(self.out[late * channels..(late + good) * channels].iter().map(sample));
        self.given += good as u64;
        Ok(())
    }
}

impl Sound for Resampled {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        block.clear();
        let channels = usize::from(self.shape.channels);
        while block.is_empty() {
            let enough = self.waiting.len() / channels >= self.resampler.input_frames_next();
            if !enough && !self.ended {
                self.ended = !self.of.next(&mut self.block)?;
                self.taken += (self.block.len() / channels) as u64;
                self.waiting.extend(self.block.iter().map(|&sample| f32::from(sample) / 32768.0));
                continue;
            }
            if self.ended && self.given >= self.length() {
                return Ok(false);
            }
            self.push(block)?;
        }
        Ok(true)
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        // In front of the resampler time is told in other frames: decode, and leave out.
        let (mut left, mut block) = (frames, Vec::new());
        let channels = u64::from(self.shape.channels);
        while left > 0 && self.next(&mut block)? {
            let came = block.len() as u64 / channels;
            if came > left {
                return Err(DecodeError::Undecodable("skip before resampling, not after".to_owned()));
            }
            left -= came;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::testing::{Held, heard};

    /// A click of 10 ms in each second.
    fn clicks(rate: u32, seconds: u32) -> Vec<i16> {
        let is_loud = |n: u32| n % rate < rate / 100;
        (0..rate * seconds)
            .map(|n| if is_loud(n) { if n % 20 < 10 { 16_000 } else { -16_000 } } else { 0 })
            .collect()
    }

    #[test]
    fn what_was_heard_at_a_time_is_heard_at_that_time() {
        for (from, to) in [
            (44_100u32, 16_000u32),
            (8000, 16_000),
            (48_000, 8000),
            (22_050, 24_000),
            (44_100, 24_000),
            (22_050, 16_000),
            (11_025, 8000),
        ] {
            let sound = Held::new(from, 1, clicks(from, 3));
            let there = heard(Box::new(Resampled::new(Box::new(sound), to).unwrap()));
            assert_eq!(there.len(), 3 * to as usize, "{from} to {to}");
            for second in 1..3 {
                let around = second * to as usize - to as usize / 4..second * to as usize + to as usize / 4;
                let loud = there[around.clone()].iter().position(|s| s.abs() > 2000).unwrap() + around.start;
                let off_ms = (loud as f64 / f64::from(to) - second as f64) * 1000.0;
                assert!(off_ms.abs() < 3.0, "{from} to {to}: {off_ms} ms off");
            }
        }
    }

    #[test]
    fn both_channels_stay_apart() {
        let samples = clicks(44_100, 1).into_iter().flat_map(|sample| [sample, 0]).collect();
        let there = heard(Box::new(Resampled::new(Box::new(Held::new(44_100, 2, samples)), 16_000).unwrap()));
        assert_eq!(there.len(), 32_000);
        assert!(there.iter().step_by(2).any(|s| s.abs() > 2000));
        assert!(there.iter().skip(1).step_by(2).all(|s| s.abs() < 8));
    }
}
