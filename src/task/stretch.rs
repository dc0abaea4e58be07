//! A stretch of a recording that was sent by itself.

use std::ops::Range;

/// Which one. Counted in frames, of which each has one sample of every channel: exact, whatever the rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Frames a second.
    pub rate: u32,
    /// Which channel, from 1, of a recording whose channels are sent apart; 0: all of them.
    pub channel: u16,
    /// What was sent. It may reach into its neighbours.
    pub heard: Range<u64>,
    /// What it answers for. One begins where the one before it ends.
    pub own: Range<u64>,
    /// Nothing of the recording is left after it.
    pub is_last: bool,
}

impl Stretch {
    /// Where what was sent begins and ends, in milliseconds.
    pub fn heard_ms(&self) -> Range<u64> {
        self.ms(self.heard.start)..self.ms(self.heard.end)
    }

    /// Where what it answers for begins and ends, in milliseconds.
    pub fn own_ms(&self) -> Range<u64> {
        self.ms(self.own.start)..self.ms(self.own.end)
    }

    /// How much audio was sent, in milliseconds.
    pub fn sent_ms(&self) -> u64 {
        self.ms(self.heard.end - self.heard.start)
    }

    fn ms(&self, frames: u64) -> u64 {
        let rate = u128::from(self.rate.max(1));
        u64::try_from((u128::from(frames) * 1000 + rate / 2) / rate).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_in_milliseconds_to_the_nearest() {
        let stretch = Stretch { rate: 44_100, channel: 0, heard: 22..88_223, own: 0..44_099, is_last: false };
        assert_eq!((stretch.heard_ms(), stretch.own_ms(), stretch.sent_ms()), (0..2001, 0..1000, 2000));
    }
}
