//! How long a recording is. Headers first; packets wherever headers can lie:
//!
//! ```text
//! told     what the headers say, if their kind of file can be held to it by its size and its end
//! counted  packets, frames or pages from the first to the last, undecoded (reads the whole file)
//! guessed  from the size, where neither tells
//! ```
//!
//! [`measure`] climbs down all three. A scan that hurries only casts a [`glance`]; what that leaves open is counted
//! beside the run, or while the recording is being sent. Each kind of file has a reader of its own below `probe/`; what
//! needs a demuxer is counted by symphonia's.

mod aiff;
mod film;
mod flac;
mod matroska;
mod mpeg;
mod ogg;
mod others;
mod packets;
mod wav;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::inspect::{modified_ns, open};
use super::{Format, sniff};
use crate::task::Measured;

/// The length, whatever it takes: within some milliseconds for all that symphonia or this room can read. Reads the
/// whole file where headers cannot be trusted. The cursor stays where it is.
pub fn measure(file: &File, format: Format, len: u64) -> Measured {
    let by_packets =
        || safely(|| counted(file, format, len)).filter(|m| plausible(format, m.duration_ms, len));
    glance(file, format, len).or_else(by_packets).unwrap_or_else(|| guess(file, format, len))
}

/// The same for a file by its name, if it still has this size and time. Opens it for reading only.
pub fn measure_file(path: &Path, size_bytes: u64, modified: i64) -> Option<Measured> {
    let (mut file, about) = open(path).ok()?;
    if (about.len(), modified_ns(&about)) != (size_bytes, modified) {
        return None;
    }
    let format = sniff(&mut file, size_bytes).ok()?.format?;
    Some(measure(&file, format, size_bytes))
}

/// The length at first glance, where headers can be trusted: that is nearly everywhere. Reads a few blocks. The cursor
/// stays where it is.
pub fn glance(file: &File, format: Format, len: u64) -> Option<Measured> {
    safely(|| told(file, format, len)).filter(|told| plausible(format, told.duration_ms, len))
}

/// One strange file in a million must not end the run: a reader that panics has merely not answered.
fn safely<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

/// What the headers say, if they can be held to it.
fn told(file: &File, format: Format, len: u64) -> Option<Measured> {
    match format {
        Format::Wav | Format::Rf64 => wav::told(file, len),
        Format::Aiff => aiff::told(file, len),
        Format::Flac => flac::told(file, len),
        Format::Mp3 | Format::Mp2 => mpeg::told(file, len),
        Format::Ogg | Format::Opus => ogg::told(file, len),
        Format::Mp4 | Format::Mov | Format::ThreeGp => film::told(file, len),
        Format::Webm | Format::Matroska => matroska::told(file, len),
        Format::Au => others::au(file, len),
        Format::Caf => others::caf(file, len),
        Format::Wma => others::windows_media(file),
        // Neither has a header that tells: frames are counted.
        Format::Aac | Format::Amr | Format::Other => None,
    }
}

fn counted(file: &File, format: Format, len: u64) -> Option<Measured> {
    match format {
        Format::Ogg | Format::Opus => ogg::counted(file, len),
        Format::Amr => others::amr(file, len),
        Format::Wav | Format::Rf64 | Format::Au | Format::Wma | Format::Other => None,
        _ => packets::counted(file, len),
    }
}

/// By the demuxer's own guess, which goes by the bit rate at the start, else by the size. For reserving hours, when the
/// time to count is not there.
pub fn guess(file: &File, format: Format, len: u64) -> Measured {
    let by_rate = safely(|| packets::promised(file, len)).filter(|&ms| plausible(format, ms, len));
    Measured::estimated(by_rate.unwrap_or_else(|| by_size_ms(format, len)))
}

/// How many channels a recording has, where headers tell.
pub(super) fn channels(file: &File, len: u64) -> Option<usize> {
    safely(|| packets::channels(file, len))
}

/// The same of a file by its name, which is opened for reading only: what would be told apart. `None` if headers do not tell.
pub fn channels_of(path: &Path) -> Option<u16> {
    let (file, about) = open(path).ok()?;
    u16::try_from(channels(&file, about.len())?).ok()
}

/// Between 4 kbit/s, below every speech codec, and 100 Mbit/s, above every film. Opus says silence in two bytes a packet.
fn plausible(format: Format, ms: u64, len: u64) -> bool {
    let ms_a_byte = if format == Format::Opus { 60 } else { 2 };
    ms > 0 && ms <= len.saturating_mul(ms_a_byte).saturating_add(10_000) && ms >= len / 12_500
}

/// Bytes a second as archives of speech usually have them, on the low side: better to reserve too much.
fn by_size_ms(format: Format, len: u64) -> u64 {
    let bytes_per_second = match format {
        Format::Wav | Format::Aiff | Format::Rf64 | Format::Caf | Format::Flac => 16_000,
        Format::Aac | Format::Mp3 | Format::Mp2 | Format::Mp4 | Format::Ogg | Format::Wma | Format::Au => {
            8_000
        }
        Format::Mov | Format::Webm | Format::Matroska | Format::Other => 8_000,
        Format::Opus => 3_000,
        Format::Amr | Format::ThreeGp => 1_600,
    };
    (len.saturating_mul(1000) / bytes_per_second).max(1)
}

/// So many samples at a rate, in milliseconds; `None` for a rate of nothing.
fn samples_ms(samples: u64, rate: u64) -> Option<u64> {
    let ms = (u128::from(samples) * 1000 + u128::from(rate) / 2).checked_div(u128::from(rate))?;
    u64::try_from(ms).ok()
}
