//! How long a recording probably is. An estimate for reserving hours before sending; what is billed is what the
//! API answers.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use super::Format;
use super::read::{Budgeted, le32, read_at};

/// What the demuxers may read of one file: tables of long films are a few MiB.
const BUDGET: u64 = 16 << 20;

/// The length in milliseconds as the headers tell it, else guessed from the size. Headers lie (VBR without a count,
/// cut files), so this is an estimate: within a few percent for usual files, within bounds that the size sets for all.
/// The cursor is left at the beginning.
pub fn estimated_ms(file: &mut File, format: Format, len: u64) -> u64 {
    let told = match format {
        Format::Wav => wav_ms(file, len).or_else(|| header_ms(file, len)),
        _ => header_ms(file, len),
    };
    // Nothing else reads the cursor before it is set; a failing rewind shows at the first read.
    let _ = file.rewind();
    told.filter(|&ms| plausible(ms, len)).unwrap_or_else(|| guess_ms(format, len))
}

/// Between 4 kbit/s, below every speech codec, and 100 Mbit/s, above every film.
fn plausible(ms: u64, len: u64) -> bool {
    ms > 0 && ms <= len.saturating_mul(2).saturating_add(10_000) && ms >= len / 12_500
}

/// Bytes a second as archives of speech usually have them, on the low side: better to reserve too much.
fn guess_ms(format: Format, len: u64) -> u64 {
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

/// The byte rate in the head of a WAV holds for every codec, for streams without a length and for cut files.
fn wav_ms(file: &File, len: u64) -> Option<u64> {
    let head = read_at(file, 0, 4096).ok()?;
    let mut at = 12;
    loop {
        let (name, size) = (head.get(at..at + 4)?, le32(&head, at + 4)? as usize);
        if name == b"fmt " {
            let rate = u64::from(le32(&head, at + 16)?);
            let sound = len.saturating_sub((at + 8 + size + 8) as u64);
            return (sound * 1000).checked_div(rate).map(|ms| ms.max(1));
        }
        at = at.checked_add(8 + size + (size & 1))?;
    }
}

/// The headers' own word, by the demuxers.
fn header_ms(file: &mut File, len: u64) -> Option<u64> {
    file.rewind().ok()?;
    let file = &*file;
    // One strange file in a million must not end the run: a demuxer that panics has merely not answered.
    catch_unwind(AssertUnwindSafe(|| demuxed_ms(file, len))).ok().flatten()
}

fn demuxed_ms(file: &File, len: u64) -> Option<u64> {
    let source = Box::new(Source { bytes: Budgeted::new(file, BUDGET), len });
    let stream = MediaSourceStream::new(source, Default::default());
    let reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .ok()?;
    sound_ms(reader.as_ref()).and_then(|ms| u64::try_from(ms).ok())
}

/// The sound track's length; some containers know only the length of the whole.
fn sound_ms(reader: &dyn FormatReader) -> Option<i128> {
    let track = reader.first_track(TrackType::Audio).and_then(|t| t.time_base?.calc_duration(t.duration?));
    let whole = || {
        let info = reader.media_info();
        info.time_base?.calc_duration(info.duration?)
    };
    track.or_else(whole).map(|time| time.as_millis())
}

/// A file as the demuxers want it.
struct Source<'a> {
    bytes: Budgeted<'a>,
    len: u64,
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(buf)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl MediaSource for Source<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::*;

    fn estimate(bytes: &[u8], format: Format) -> u64 {
        estimated_ms(&mut file_of(bytes), format, bytes.len() as u64)
    }

    #[test]
    fn headers_tell_the_length() {
        assert_eq!(estimate(&wav(8000, 16_000), Format::Wav), 2000);
        let ms = estimate(&mp3(100), Format::Mp3);
        assert!((2560..=2660).contains(&ms), "{ms}");
        let ms = estimate(&adts(100), Format::Aac);
        assert!((2250..=2400).contains(&ms), "{ms}");
    }

    #[test]
    fn a_streamed_or_cut_wav_is_as_long_as_its_bytes() {
        let mut streamed = wav(8000, 16_000);
        streamed[40..44].copy_from_slice(&[0xFF; 4]);
        assert_eq!(estimate(&streamed, Format::Wav), 2000);
        assert_eq!(estimate(&wav(8000, 16_000)[..44 + 16_000], Format::Wav), 1000);
    }

    #[test]
    fn a_header_that_claims_the_impossible_is_not_believed() {
        // 200 bytes that claim two seconds pass; a claim of hours does not.
        assert!(plausible(2000, 200));
        assert!(!plausible(3_600_000, 200));
        assert!(!plausible(1, 90_000_000));
        assert!(!plausible(0, 0));
        assert_eq!(estimate(&[7; 8000], Format::Mp3), 1000, "unreadable: guessed from the size");
    }

    #[test]
    fn the_cursor_is_left_at_the_beginning() {
        let bytes = wav(8000, 100);
        let mut file = file_of(&bytes);
        estimated_ms(&mut file, Format::Flac, bytes.len() as u64);
        assert_eq!(file.stream_position().unwrap(), 0);
    }
}
