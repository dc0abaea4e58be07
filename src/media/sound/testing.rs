//! Sound that is held in memory, for the tests of this room.

use super::{DecodeError, Shape, Sound};

/// A few frames at a time.
pub(in crate::media) struct Held {
    shape: Shape,
    samples: std::vec::IntoIter<i16>,
}

impl Held {
    pub(in crate::media) fn new(rate: u32, channels: u16, samples: Vec<i16>) -> Self {
        Held { shape: Shape { rate, channels }, samples: samples.into_iter() }
    }
}

impl Sound for Held {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        block.clear();
        block.extend(self.samples.by_ref().take(usize::from(self.shape.channels) * 333));
        Ok(!block.is_empty())
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        self.samples.by_ref().take(frames as usize * usize::from(self.shape.channels)).for_each(drop);
        Ok(())
    }
}

/// All of it.
pub(in crate::media) fn heard(mut sound: Box<dyn Sound>) -> Vec<i16> {
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while sound.next(&mut block).unwrap() {
        all.append(&mut block);
    }
    all
}

/// A file's.
pub(in crate::media) fn opened(file: std::fs::File) -> Box<dyn Sound> {
    Box::new(super::decoder::Decoder::open(file).unwrap())
}
