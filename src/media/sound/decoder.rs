//! Decodes without any other program: packets in, samples out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::codec::Codec;
use super::{DecodeError, Shape, Sound};

/// Decoded and thrown away in front of where decoding begins anew: codecs build on what came before.
const RUN_UP_S: u64 = 1;

/// See the module.
pub(super) struct Decoder {
    reader: Box<dyn FormatReader>,
    codec: Codec,
    track: u32,
    shape: Shape,
    /// Decoded to learn the shape, and not given yet.
    first: Option<Vec<i16>>,
    /// Frames still to be left out.
    skipping: u64,
    good: u64,
    bad: u64,
    trouble: Trouble,
}

impl Decoder {
    pub(super) fn open(file: File) -> Result<Self, DecodeError> {
        let trouble = Trouble::default();
        let watched = Watched { len: file.metadata()?.len(), file, trouble: trouble.clone() };
        let opened = safely(move || opened(watched));
        let (reader, codec, track) = match (trouble.take(), opened) {
            (Some(error), _) => return Err(error.into()),
            (None, opened) => opened?,
        };
        let shape = Shape { rate: 0, channels: 0 };
        let mut this =
            Decoder { reader, codec, track, shape, first: None, skipping: 0, good: 0, bad: 0, trouble };
        let mut first = Vec::new();
        if !this.advance(&mut first)? {
            return Err(undecodable("no sound in it"));
        }
        this.first = Some(first);
        Ok(this)
    }

    fn advance(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        // One strange file must not end the run of all the others.
        let advanced = safely(|| self.decode_next(block));
        match self.trouble.take() {
            Some(error) => Err(error.into()),
            None => advanced,
        }
    }

    fn decode_next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        loop {
            block.clear();
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => packet,
                Ok(Some(_)) => continue,
                // A stream that is another one from here on.
                Err(Error::ResetRequired) => {
                    let track = self.reader.default_track(TrackType::Audio);
                    (self.codec, self.track) = codec_of(track)?;
                    continue;
                }
                // An end that comes too early, or nonsense between packets, ends the recording.
                Ok(None) | Err(_) if self.bad > self.good => {
                    return Err(undecodable("more of it is damaged than not"));
                }
                Ok(None) | Err(_) => return Ok(false),
            };
            let told = self.codec.told(&packet);
            let run_up = RUN_UP_S * u64::from(self.shape.rate);
            if let Some(told) = told.filter(|told| self.skipping >= told + run_up && run_up > 0) {
                self.skipping -= told;
                self.codec.pass(&packet);
                continue;
            }
            let frames = self.samples_of(&packet, told.unwrap_or(0), block)?;
            // A decoder that begins anew gives less than the packet holds.
            let counted = told.filter(|told| self.skipping >= *told).unwrap_or(frames);
            let left_out = self.skipping.min(counted);
            self.skipping -= left_out;
            if left_out >= frames {
                continue;
            }
            block.drain(..left_out as usize * usize::from(self.shape.channels));
            return Ok(true);
        }
    }

    /// Decodes one packet. What is damaged becomes as much silence as it was `told` to be, so that what follows keeps its
    /// place.
    fn samples_of(&mut self, packet: &Packet, told: u64, block: &mut Vec<i16>) -> Result<u64, DecodeError> {
        match self.codec.decode(packet, block) {
            Ok(_) if block.is_empty() => Ok(0),
            Ok(shape) => {
                if self.shape.rate == 0 && shape.rate > 0 && shape.channels > 0 {
                    self.shape = shape;
                }
                if self.shape != shape {
                    return Err(undecodable("its rate or its channels change on the way"));
                }
                self.good += 1;
                Ok((block.len() / usize::from(shape.channels)) as u64)
            }
            Err(Error::DecodeError(_)) if self.shape.rate > 0 => {
                self.bad += 1;
                // No packet is longer than this; one that says so is part of the damage.
                let frames = told.min(1 << 17);
                block.resize(frames as usize * usize::from(self.shape.channels), 0);
                Ok(frames)
            }
            Err(Error::DecodeError(_) | Error::ResetRequired) => {
                self.bad += 1;
                match self.bad {
                    ..1000 => Ok(0),
                    _ => Err(undecodable("it cannot be decoded")),
                }
            }
            Err(error) => Err(undecodable(&error.to_string())),
        }
    }
}

impl Sound for Decoder {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn next(&mut self, block: &mut Vec<i16>) -> Result<bool, DecodeError> {
        if let Some(mut first) = self.first.take() {
            let channels = usize::from(self.shape.channels);
            let left_out = self.skipping.min((first.len() / channels) as u64);
            self.skipping -= left_out;
            first.drain(..left_out as usize * channels);
            if !first.is_empty() {
                *block = first;
                return Ok(true);
            }
        }
        let more = self.advance(block)?;
        if !more {
            block.clear();
        }
        Ok(more)
    }

    fn skip(&mut self, frames: u64) -> Result<(), DecodeError> {
        self.skipping = self.skipping.saturating_add(frames);
        Ok(())
    }
}

type Opened = (Box<dyn FormatReader>, Codec, u32);

fn opened(source: Watched) -> Result<Opened, DecodeError> {
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|_| undecodable("no container that is read here"))?;
    let (codec, track) = codec_of(reader.default_track(TrackType::Audio))?;
    Ok((reader, codec, track))
}

fn codec_of(track: Option<&Track>) -> Result<(Codec, u32), DecodeError> {
    let track = track.ok_or_else(|| undecodable("no sound track in it"))?;
    Ok((Codec::of(track)?, track.id))
}

fn undecodable(what: &str) -> DecodeError {
    DecodeError::Undecodable(what.to_owned())
}

fn safely<T>(work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(undecodable("decoding it met a bug")))
}

/// The first thing that went wrong with the disk. Demuxers take an error for the end of the file.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<io::Error>>>);

impl Trouble {
    fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted && kind != io::ErrorKind::InvalidInput {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            kind.into()
        })
    }
}

struct Watched {
    file: File,
    len: u64,
    trouble: Trouble,
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.trouble.note(self.file.read(buf))
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.trouble.note(self.file.seek(to))
    }
}

impl MediaSource for Watched {
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
    use crate::media::sample::{file_of, wav_of};

    fn sample(name: &str) -> Decoder {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
        Decoder::open(File::open(path).unwrap()).unwrap()
    }

    fn rest(mut sound: Decoder) -> Vec<i16> {
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while sound.next(&mut block).unwrap() {
            all.append(&mut block);
        }
        all
    }

    #[test]
    fn a_wav_is_decoded_to_the_very_samples_that_it_holds() {
        let samples: Vec<i16> = (0..5000).map(|n| (n * 37 % 60_000 - 30_000) as i16).collect();
        let decoder = Decoder::open(file_of(&wav_of(8000, 2, &samples))).unwrap();
        assert_eq!(decoder.shape(), Shape { rate: 8000, channels: 2 });
        assert_eq!(rest(decoder), samples);
    }

    #[test]
    fn telephone_codecs_in_a_wav_are_decoded() {
        // 1000 bytes of µ-law and of A-law silence, and one block of each ADPCM.
        for (tag, block, bits, extra, byte) in
            [(7u16, 1u16, 8u16, vec![], 0xFFu8), (6, 1, 8, vec![], 0xD5), (0x11, 256, 4, vec![249u8, 1], 0)]
        {
            let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
            let size = 18 + extra.len() as u32;
            file.extend(size.to_le_bytes());
            file.extend(tag.to_le_bytes());
            file.extend(1u16.to_le_bytes());
            file.extend(8000u32.to_le_bytes());
            file.extend(8000u32.to_le_bytes());
            file.extend(block.to_le_bytes());
            file.extend(bits.to_le_bytes());
            file.extend((extra.len() as u16).to_le_bytes());
            file.extend(&extra);
            file.extend(b"data");
            file.extend(1024u32.to_le_bytes());
            file.resize(file.len() + 1024, byte);
            let size = file.len() as u32 - 8;
            file[4..8].copy_from_slice(&size.to_le_bytes());
            let samples = rest(Decoder::open(file_of(&file)).unwrap());
            assert!(samples.len() >= 1024, "{tag}: {}", samples.len());
            assert!(samples.iter().all(|s| s.abs() < 64), "{tag} is silence");
        }
    }

    #[test]
    fn skipping_gives_the_same_samples_as_decoding_from_the_beginning() {
        for name in [
            "account.wav",
            "ferry.aiff",
            "library.flac",
            "workshop.mp3",
            "garden.mov",
            "lecture.mp4",
            "night-shift.aac",
            "platform.ogg",
            "kitchen.opus",
            "meeting.webm",
        ] {
            let whole = rest(sample(name));
            let shape = sample(name).shape();
            let channels = usize::from(shape.channels);
            for ms in [0, 13, 700, 1501, 2503] {
                let from = shape.frames(ms);
                let mut later = sample(name);
                later.skip(from).unwrap();
                let later = rest(later);
                let wanted = &whole[(from as usize * channels).min(whole.len())..];
                assert_eq!(later.len(), wanted.len(), "{name} from {ms} ms");
                // Lossy codecs that begin anew draw other noise; what is heard is the same, at the same place.
                let power = |of: &mut dyn Iterator<Item = f64>| of.map(|sample| sample * sample).sum::<f64>();
                let off = power(&mut later.iter().zip(wanted).map(|(a, b)| f64::from(*a) - f64::from(*b)));
                let all = power(&mut wanted.iter().map(|sample| f64::from(*sample)));
                assert!(off <= all / 50.0, "{name} from {ms} ms differs: {off} of {all}");
            }
        }
    }

    #[test]
    fn what_is_not_decoded_here_says_so() {
        let Err(DecodeError::Undecodable(_)) = Decoder::open(file_of(b"no sound at all, but words")) else {
            panic!("it is text")
        };
    }

    #[test]
    fn a_recording_that_is_cut_off_ends_where_its_bytes_end() {
        let samples = vec![500i16; 16_000];
        let cut = &wav_of(8000, 1, &samples)[..44 + 8000];
        let heard = rest(Decoder::open(file_of(cut)).unwrap());
        assert!((3000..=4000).contains(&heard.len()), "{}", heard.len());
    }
}
