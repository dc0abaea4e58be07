//! How a recording travels over a streaming connection: its samples alone where the file holds nothing else, the file
//! as it is where the endpoints know its container, and otherwise what we decode of it.

use std::fs::File;
use std::io;

use super::Format;
use super::read::{be32, le16, le32, le64, read_at};
use crate::task::{Carriage, Endpoint, Samples};

/// Chunks that may stand before the samples.
const CHUNKS_MAX: usize = 256;
/// What a format chunk is read of: the extended one has 40 bytes.
const FORMAT_BYTES: usize = 40;
/// Of a length that was not known when the header was written.
const OPEN_END: u64 = u32::MAX as u64;

/// `None`: such files cannot be streamed to the endpoint. Errors are the disk's.
///
/// Opus in Ogg goes as `ogg`, which every endpoint knows; `opus` is known to one, and not in every generation.
pub(super) fn carriage(
    file: &File,
    format: Format,
    len: u64,
    endpoint: Endpoint,
) -> io::Result<Option<Carriage>> {
    let voices = endpoint == Endpoint::SyntheticVoiceDetectionStreaming;
    Ok(Some(match format {
        Format::Wav | Format::Rf64 => wav(file, len)?.unwrap_or(Carriage::Container("wav")),
        Format::Au => match au(file, len)? {
            Some(samples) => samples,
            None if voices => Carriage::Container("au"),
            None => return Ok(None),
        },
        Format::Aac => Carriage::Container("aac"),
        Format::Aiff => Carriage::Container("aiff"),
        Format::Flac => Carriage::Container("flac"),
        Format::Mp3 => Carriage::Container("mp3"),
        Format::Ogg | Format::Opus => Carriage::Container("ogg"),
        Format::Webm => Carriage::Container("webm"),
        // Their index may stand at the end, where a listener to a stream does not see it; half of the generations
        // refuse them anyway.
        Format::Mp4 | Format::Mov | Format::Caf | Format::Matroska => Carriage::Decoded,
        Format::ThreeGp if voices => Carriage::Container("3gp"),
        Format::Amr if voices => Carriage::Container("amr"),
        Format::Wma if voices => Carriage::Container("wma"),
        Format::ThreeGp | Format::Amr | Format::Wma | Format::Mp2 | Format::Other => return Ok(None),
    }))
}

/// The samples of a WAV, if it holds PCM, floats, µ-law or A-law at a rate that endpoints take.
fn wav(file: &File, len: u64) -> io::Result<Option<Carriage>> {
    let head = read_at(file, 0, 12)?;
    let is_wave =
        matches!(head.get(..4), Some(b"RIFF" | b"RF64" | b"BW64")) && head.get(8..) == Some(b"WAVE");
    if !is_wave {
        return Ok(None);
    }
    let (mut at, mut kind, mut long) = (12u64, None, None);
    for _ in 0..CHUNKS_MAX {
        let chunk = read_at(file, at, 8 + FORMAT_BYTES)?;
        let (Some(name), Some(size)) = (chunk.get(..4), le32(&chunk, 4)) else { break };
        let body = at + 8;
        match name {
            b"fmt " => kind = wav_kind(chunk.get(8..).unwrap_or_default()),
            // The length of samples beyond 4 GiB.
            b"ds64" => long = le64(&chunk, 16),
            b"data" => {
                let Some(kind) = kind else { break };
                let told = match (u64::from(size), long) {
                    (OPEN_END, Some(long)) => long,
                    // Written as the sound came: its length was not known yet, and nothing stands behind it.
                    (OPEN_END | 0, _) => u64::MAX,
                    (told, _) => told,
                };
                return Ok(samples(kind, body, told, len));
            }
            _ => {}
        }
        at = body + u64::from(size) + u64::from(size & 1);
    }
    Ok(None)
}

fn wav_kind(format: &[u8]) -> Option<Samples> {
    let code = match le16(format, 0)? {
        // The extended header has the code further behind, as the beginning of a longer name.
        0xFFFE => le16(format, 24)?,
        code => code,
    };
    let bits = le16(format, 14)?;
    let (encoding, bytes) = match (code, bits) {
        (1, 8) => ("u8", 1),
        (1, 16) => ("s16le", 2),
        (1, 24) => ("s24le", 3),
        (1, 32) => ("s32le", 4),
        (3, 32) => ("f32le", 4),
        (3, 64) => ("f64le", 8),
        (6, 8) => ("alaw", 1),
        (7, 8) => ("mulaw", 1),
        _ => return None,
    };
    let (channels, rate) = (le16(format, 2)?, le32(format, 4)?);
    let kind = Samples { encoding, bytes, rate, channels };
    // Samples may stand in wider containers than they need; the API has no name for that.
    (u64::from(le16(format, 12)?) == kind.block()).then_some(kind)
}

/// The samples of a Sun audio file.
fn au(file: &File, len: u64) -> io::Result<Option<Carriage>> {
    let head = read_at(file, 0, 24)?;
    let number = |at| be32(&head, at);
    let (Some(b".snd"), Some(at), Some(told), Some(code), Some(rate), Some(channels)) =
        (head.get(..4), number(4), number(8), number(12), number(16), number(20))
    else {
        return Ok(None);
    };
    let (encoding, bytes) = match code {
        1 => ("mulaw", 1),
        2 => ("s8", 1),
        3 => ("s16be", 2),
        4 => ("s24be", 3),
        5 => ("s32be", 4),
        6 => ("f32be", 4),
        7 => ("f64be", 8),
        27 => ("alaw", 1),
        _ => return Ok(None),
    };
    let Ok(channels) = u16::try_from(channels) else { return Ok(None) };
    let told = if u64::from(told) == OPEN_END { u64::MAX } else { u64::from(told) };
    Ok(samples(Samples { encoding, bytes, rate, channels }, u64::from(at), told, len))
}

/// What the API takes as samples, and there are any. A header that promises more than there is is not believed.
fn samples(kind: Samples, at: u64, told: u64, len: u64) -> Option<Carriage> {
    let taken = Samples::RATES.contains(&kind.rate) && (1..=Samples::CHANNELS_MAX).contains(&kind.channels);
    if !taken {
        return None;
    }
    let there = told.min(len.saturating_sub(at));
    let bytes = there - there % kind.block();
    (bytes > 0).then_some(Carriage::Samples { kind, at, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample;

    fn of(bytes: &[u8], format: Format) -> Option<Carriage> {
        carriage(&sample::file_of(bytes), format, bytes.len() as u64, Endpoint::SttStreaming).unwrap()
    }

    /// A WAV with this format chunk, a list in front of the samples and a tag behind them.
    fn wav_of(format: &[u8], told: u32, samples: &[u8]) -> Vec<u8> {
        let chunk = |name: &[u8; 4], body: &[u8]| {
            let pad = &[0u8][..body.len() % 2];
            [name, &(body.len() as u32).to_le_bytes()[..], body, pad].concat()
        };
        [
            &b"RIFF\xff\xff\xff\xffWAVE"[..],
            &chunk(b"LIST", b"odd"),
            &chunk(b"fmt ", format),
            b"data",
            &told.to_le_bytes(),
            samples,
        ]
        .concat()
    }

    fn format(code: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
        let block = channels * bits.div_ceil(8);
        let mut chunk = [code.to_le_bytes(), channels.to_le_bytes()].concat();
        chunk.extend(rate.to_le_bytes());
        chunk.extend((rate * u32::from(block)).to_le_bytes());
        chunk.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
        chunk
    }

    #[test]
    fn samples_that_the_api_has_a_name_for_go_out_alone() {
        for (code, channels, rate, bits, encoding) in [
            (1, 1, 8000, 16, "s16le"),
            (1, 2, 44_100, 24, "s24le"),
            (1, 1, 11_025, 8, "u8"),
            (3, 1, 48_000, 32, "f32le"),
            (6, 1, 8000, 8, "alaw"),
            (7, 2, 8000, 8, "mulaw"),
        ] {
            let bytes = wav_of(&format(code, channels, rate, bits), 48, &[7; 60]);
            let Some(Carriage::Samples { kind, at, bytes }) = of(&bytes, Format::Wav) else {
                panic!("{encoding}")
            };
            assert_eq!((kind.encoding, kind.rate, kind.channels), (encoding, rate, channels));
            assert_eq!((at, bytes), (12 + 12 + 24 + 8, 48), "without what stands around them");
        }
    }

    #[test]
    fn an_extended_header_says_what_it_extends() {
        let mut extended = format(0xFFFE, 1, 16_000, 16);
        extended.extend([22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
        extended.extend([0; 14]);
        let bytes = wav_of(&extended, 10, &[7; 10]);
        assert!(matches!(of(&bytes, Format::Wav), Some(Carriage::Samples { bytes: 10, .. })));
    }

    #[test]
    fn the_length_in_a_header_is_believed_as_far_as_there_are_bytes() {
        let long = |told, bytes: usize| match of(
            &wav_of(&format(1, 2, 8000, 16), told, &vec![1; bytes]),
            Format::Wav,
        ) {
            Some(Carriage::Samples { bytes, .. }) => Some(bytes),
            _ => None,
        };
        assert_eq!(long(40, 100), Some(40));
        assert_eq!(long(u32::MAX, 100), Some(100), "a stream that did not know its end");
        assert_eq!(long(0, 100), Some(100));
        assert_eq!(long(4000, 99), Some(96), "cut off in the middle of a sample");
        assert_eq!(long(40, 3), None, "nothing whole");
    }

    #[test]
    fn other_wavs_go_out_as_they_are() {
        for (code, channels, rate, bits) in
            [(0x11, 1, 8000, 4), (0x31, 1, 8000, 0), (1, 1, 24_000, 16), (1, 9, 8000, 16), (1, 1, 8000, 12)]
        {
            let bytes = wav_of(&format(code, channels, rate, bits), 40, &[7; 40]);
            assert_eq!(of(&bytes, Format::Wav), Some(Carriage::Container("wav")), "{code} {rate} {bits}");
        }
        assert_eq!(of(b"RIFF\0\0\0\0WAVE", Format::Wav), Some(Carriage::Container("wav")));
    }

    #[test]
    fn a_wav_beyond_four_gigabytes_has_its_length_elsewhere() {
        let sizes = [0u64.to_le_bytes(), 24u64.to_le_bytes(), 12u64.to_le_bytes()].concat();
        let bytes = [
            &b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0"[..],
            &sizes,
            &[0; 4],
            b"fmt \x10\0\0\0",
            &format(1, 1, 16_000, 16),
            b"data\xff\xff\xff\xff",
            &[7; 40],
        ]
        .concat();
        assert!(matches!(of(&bytes, Format::Rf64), Some(Carriage::Samples { bytes: 24, .. })));
    }

    #[test]
    fn sun_audio_goes_out_as_its_samples() {
        let au = |code: u32, told: u32| {
            let head = [24, told, code, 8000, 1].map(u32::to_be_bytes).concat();
            [&b".snd"[..], &head, &[7; 20]].concat()
        };
        let kind = |bytes: &[u8]| match of(bytes, Format::Au) {
            Some(Carriage::Samples { kind, at: 24, bytes }) => Some((kind.encoding, bytes)),
            _ => None,
        };
        assert_eq!(kind(&au(1, 16)), Some(("mulaw", 16)));
        assert_eq!(kind(&au(3, u32::MAX)), Some(("s16be", 20)));
        assert_eq!(of(&au(23, 16), Format::Au), None, "ADPCM");
    }

    #[test]
    fn every_format_is_streamed_where_the_table_of_uploads_says_that_it_is_taken() {
        for endpoint in Endpoint::ALL.into_iter().filter(|e| e.is_streaming()) {
            for &format in Format::ALL.iter().filter(|f| **f != Format::Au) {
                let streamed = carriage(&sample::file_of(b"x"), format, 1, endpoint).unwrap();
                let taken = super::super::upload_as(format, endpoint);
                assert_eq!(streamed.is_some(), taken.is_some(), "{format:?} {endpoint}");
            }
        }
    }
}
