//! What a file really is, whether an endpoint takes it, and under which name and type it goes out.
//!
//! Everything here blocks on the disk: callers use `spawn_blocking`. Content decides, names only explain:
//!
//! ```text
//! open (read-only, regular files only) → sniff (format by content) → upload_as (the API's table) → size → length
//! ```
//!
//! [`inspect`] asks this for a scan, [`prepare`] asks it again right before the upload. Where files lie is
//! left to `scan`, sending to `velma`.

mod boxes;
mod carriage;
#[cfg(test)]
mod corpus;
mod cut;
mod cutting;
mod ebml;
mod fate;
mod format;
mod frames;
mod inspect;
mod join;
mod listen;
mod lossy;
mod mime;
mod name;
mod ogg;
mod pcm;
mod prepare;
mod probe;
mod quiet;
mod read;
#[cfg(test)]
mod sample;
mod silence;
mod sniff;
mod sound;

pub use cut::{Bounds, CutError, Piece};
pub use cutting::Cutting;
use cutting::Lossy;
pub use fate::{Fate, Looks, Terms, can_be_split, channels_refusal, fate, is_split};
pub use format::Format;
pub use inspect::{Inspection, inspect};
pub use join::{Excerpt, join};
pub use listen::loud_ms;
pub use mime::{UploadAs, taken_by, upload_as};
pub use name::upload_name;
pub use pcm::Pcm;
pub use prepare::{Prepared, Unfit, prepare};
use probe::channels;
pub use probe::{channels_of, glance, guess, measure, measure_file};
pub use silence::silence;
pub use sniff::{Sniffed, sniff};
pub use sound::{
    DecodeError, Ffmpeg, FlacWriter, OpusWriter, Shape, Sound, channel, decode, mono, resampled_to,
};

use crate::task::Endpoint;

/// What is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSettings {
    /// What is larger is encoded anew or split, or else refused. The API's limit is 100 MB; decimal is the safe reading.
    /// A stream has no such limit.
    pub max_bytes: u64,
    /// Whether another program may decode what this one does not.
    pub ffmpeg: Ffmpeg,
    /// Whether what is too large as FLAC may go out whole as Opus, where that does no harm.
    pub opus: bool,
}

impl MediaSettings {
    /// How large a request's file may be.
    pub fn largest(&self, endpoint: Endpoint) -> u64 {
        match endpoint.is_streaming() {
            true => u64::MAX,
            false => self.max_bytes.min(endpoint.facts().max_bytes),
        }
    }
}

impl Default for MediaSettings {
    fn default() -> Self {
        MediaSettings { max_bytes: 100_000_000, ffmpeg: Ffmpeg::Off, opus: true }
    }
}
