//! How streamed audio is written: the twenty raw encodings with rate and channels, or a container.
//! Says how long raw bytes last and how loud a sample is.

/// Sample rates that raw audio may have.
pub(super) const RATES: [u32; 8] = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000];

/// Channels that raw audio may have, at most.
pub(super) const MOST_CHANNELS: u32 = 8;

/// What a sample of raw audio is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Signed,
    Unsigned,
    Float,
    MuLaw,
    ALaw,
}

/// An encoding by its name: what a sample is, its bytes, whether the first is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) name: &'static str,
    coding: Coding,
    bytes: usize,
    big_endian: bool,
}

const fn encoding(name: &'static str, coding: Coding, bytes: usize, big_endian: bool) -> Encoding {
    Encoding { name, coding, bytes, big_endian }
}

/// All of them, in the order in which a refusal lists them.
pub(super) const ENCODINGS: [Encoding; 20] = [
    encoding("s8", Coding::Signed, 1, false),
    encoding("s16le", Coding::Signed, 2, false),
    encoding("s16be", Coding::Signed, 2, true),
    encoding("s24le", Coding::Signed, 3, false),
    encoding("s24be", Coding::Signed, 3, true),
    encoding("s32le", Coding::Signed, 4, false),
    encoding("s32be", Coding::Signed, 4, true),
    encoding("u8", Coding::Unsigned, 1, false),
    encoding("u16le", Coding::Unsigned, 2, false),
    encoding("u16be", Coding::Unsigned, 2, true),
    encoding("u24le", Coding::Unsigned, 3, false),
    encoding("u24be", Coding::Unsigned, 3, true),
    encoding("u32le", Coding::Unsigned, 4, false),
    encoding("u32be", Coding::Unsigned, 4, true),
    encoding("f32le", Coding::Float, 4, false),
    encoding("f32be", Coding::Float, 4, true),
    encoding("f64le", Coding::Float, 8, false),
    encoding("f64be", Coding::Float, 8, true),
    encoding("mulaw", Coding::MuLaw, 1, false),
    encoding("alaw", Coding::ALaw, 1, false),
];

/// What was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Raw(Raw),
    Container(&'static str),
}

/// Raw audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) encoding: Encoding,
    pub(super) rate: u32,
    pub(super) channels: u32,
}

impl Raw {
    pub(super) fn sample_bytes(self) -> usize {
        self.encoding.bytes
    }

    /// The length of so many bytes; a sample that is not whole does not count.
    pub(super) fn ms(self, bytes: u64) -> u64 {
        let frames = bytes / (self.encoding.bytes as u64 * u64::from(self.channels));
        (frames * 1000 + u64::from(self.rate) / 2) / u64::from(self.rate)
    }
}

impl Encoding {
    /// How far a sample is from silence, 1.0 being full scale.
    pub(super) fn loudness(self, sample: &[u8]) -> f64 {
        let bytes = || -> Box<dyn Iterator<Item = &u8>> {
            if self.big_endian { Box::new(sample.iter()) } else { Box::new(sample.iter().rev()) }
        };
        let number = bytes().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let half = (1u64 << (self.bytes * 8 - 1)) as f64;
        match self.coding {
            Coding::Unsigned => (number as f64 - half).abs() / half,
            Coding::Signed => {
                let shift = 64 - self.bytes * 8;
                ((number << shift) as i64 >> shift).unsigned_abs() as f64 / half
            }
            Coding::Float if self.bytes == 4 => f64::from(f32::from_bits(number as u32)).abs(),
            Coding::Float => f64::from_bits(number).abs(),
            // The low bits, inverted, are segment and step of a curve that begins at nothing.
            Coding::MuLaw => f64::from(!sample[0] & 0x7f) / 127.0,
            Coding::ALaw => f64::from((sample[0] ^ 0x55) & 0x7f) / 127.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Encoding {
        *ENCODINGS.iter().find(|encoding| encoding.name == name).unwrap()
    }

    #[test]
    fn raw_bytes_last_as_long_as_their_samples() {
        let raw = |name, rate, channels| Raw { encoding: named(name), rate, channels };
        assert_eq!(raw("s16le", 16_000, 1).ms(32_000), 1000);
        assert_eq!(raw("mulaw", 8000, 1).ms(8001), 1000);
        assert_eq!(raw("f64be", 48_000, 2).ms(48_000 * 16 + 15), 1000);
        assert_eq!(raw("s24le", 11_025, 1).ms(11_025 * 3), 1000);
        assert_eq!(raw("s16le", 96_000, 8).ms(0), 0);
    }

    #[test]
    fn silence_is_silent_and_full_scale_is_loud_in_every_encoding() {
        let rows: [(&str, &[u8], &[u8]); 11] = [
            ("s8", &[0], &[0x80]),
            ("s16le", &[0, 0], &[0xff, 0x7f]),
            ("s16be", &[0, 0], &[0x7f, 0xff]),
            ("s24be", &[0, 0, 0], &[0x80, 0, 0]),
            ("s32le", &[0; 4], &[0, 0, 0, 0x80]),
            ("u8", &[0x80], &[0]),
            ("u16le", &[0, 0x80], &[0, 0]),
            ("f32le", &0f32.to_le_bytes(), &1f32.to_le_bytes()),
            ("f64be", &0f64.to_be_bytes(), &(-1f64).to_be_bytes()),
            ("mulaw", &[0xff], &[0x00]),
            ("alaw", &[0xd5], &[0xaa]),
        ];
        for (name, silent, loud) in rows {
            assert!(named(name).loudness(silent) < 0.001, "{name}");
            assert!(named(name).loudness(loud) > 0.99, "{name}");
        }
    }
}
