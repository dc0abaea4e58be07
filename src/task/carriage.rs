//! How a recording travels over a streaming connection: the words that `media`, which finds out, and `velma`, which
//! says so to the API, have in common.

/// What goes over the connection of a recording's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// The file as it is, under the API's name for its container: `mp3`.
    Container(&'static str),
    /// A stretch of the file that holds nothing but samples.
    Samples {
        /// What they are.
        kind: Samples,
        /// Where the first one lies.
        at: u64,
        /// How many bytes they take; whole samples of all channels.
        bytes: u64,
    },
    /// What it sounds like, decoded by us: [`Samples::DECODED`].
    Decoded,
}

/// Samples without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// The API's name for how one is written: `s16le`, `mulaw`.
    pub encoding: &'static str,
    /// Of one sample of one channel.
    pub bytes: u16,
    /// A second.
    pub rate: u32,
    /// Interleaved.
    pub channels: u16,
}

impl Samples {
    /// What recordings are decoded to: what speech models hear in the end.
    pub const DECODED: Samples = Samples { encoding: "s16le", bytes: 2, rate: 16_000, channels: 1 };

    /// Sample rates that the API takes.
    pub const RATES: [u32; 8] = [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000];

    /// Channels that the API takes at most.
    pub const CHANNELS_MAX: u16 = 8;

    /// Bytes of one sample of all channels.
    pub fn block(&self) -> u64 {
        u64::from(self.bytes) * u64::from(self.channels)
    }

    /// Bytes a second.
    pub fn bytes_per_second(&self) -> u64 {
        self.block() * u64::from(self.rate)
    }

    /// How long so many bytes last, in milliseconds.
    pub fn ms(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1000) / self.bytes_per_second().max(1)
    }
}
