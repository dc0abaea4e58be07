//! Fewer channels: all of them mixed, or one alone.

use super::{DecodeError, Shape, Sound};

/// The mean of all channels.
pub(super) struct Mono {
    of: Box<dyn Sound>,
    frames: Vec<i16>,
}

impl Mono {
    pub(super) fn new(of: Box<dyn Sound>) -> Self {
        Mono { of, frames: Vec::new() }
    }
}

impl Sound for Mono {
    fn shape(&self) -> Shape {
        Shape { channels: 1, ..self.of.shape() }
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        block.clear();
        let channels = usize::from(self.of.shape().channels.max(1));
        let more = self.of.next(&mut self.frames)?;
        let mean = |frame: &[i16]| {
            let sum: i64 = frame.iter().map(|&sample| i64::from(sample)).sum();
            (sum / frame.len() as i64) as i16
        };
        block.extend(self.frames.chunks_exact(channels).map(mean));
        Ok(more)
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        self.of.skip(frames)
    }
}

/// One of several channels.
pub(super) struct Channel {
    of: Box<dyn Sound>,
    number: u16,
    frames: Vec<i16>,
}

impl Channel {
    pub(super) fn new(of: Box<dyn Sound>, number: u16) -> Self {
        Channel { of, number, frames: Vec::new() }
    }
}

impl Sound for Channel {
    fn shape(&self) -> Shape {
        Shape { channels: 1, ..self.of.shape() }
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        block.clear();
        let channels = usize::from(self.of.shape().channels.max(1));
        let more = self.of.next(&mut self.frames)?;
        block.extend(self.frames.iter().skip(usize::from(self.number)).step_by(channels));
        Ok(more)
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        self.of.skip(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::testing::{Held, heard};

    #[test]
    fn channels_are_mixed_by_their_mean_without_overflow() {
        let stereo = Held::new(8000, 2, vec![i16::MAX, i16::MAX, i16::MIN, i16::MIN, 100, -300]);
        assert_eq!(heard(Box::new(Mono::new(Box::new(stereo)))), [i16::MAX, i16::MIN, -100]);
    }

    #[test]
    fn one_channel_alone_is_as_it_was() {
        let stereo = || Box::new(Held::new(8000, 2, vec![1, 10, 2, 20, 3, 30]));
        assert_eq!(heard(Box::new(Channel::new(stereo(), 0))), [1, 2, 3]);
        assert_eq!(heard(Box::new(Channel::new(stereo(), 1))), [10, 20, 30]);
    }
}
