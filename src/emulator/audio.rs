//! Listens to an upload as far as an emulator can: what it is, how long it really is, where it is silent.
//! The same bytes are judged once. Leaves refusing to the desk.

use std::collections::HashMap;
use std::io::{Cursor, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use file_format::FileFormat;
use opus_pure::{MAX_PACKET_SAMPLES, OpusDecoder};
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;
use tempfile::{SpooledData, SpooledTempFile};
use tokio::sync::OnceCell;

/// Length of the windows in which silence is looked for and voice detection answers.
pub(super) const WINDOW_MS: u64 = 4000;

/// Only so much is decoded; the rest is measured by its packets. Decoding runs some hundred times real time.
const DECODED_MS: u64 = 10 * 60 * 1000;

/// Quieter than this, in full scale, is silence: about −60 dB.
pub(super) const SILENCE: f32 = 0.001;

/// Silence that parts two loud stretches: words have pauses in them.
const GAP_MS: f64 = 250.0;

/// Verdicts kept. When full, the memory starts anew.
const REMEMBERED: usize = 100_000;

/// What is known of an upload.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Audio {
    pub(super) content: FileFormat,
    /// None: it cannot be decoded.
    pub(super) sound: Option<Sound>,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sound {
    pub(super) duration_ms: u64,
    /// Windows of [`WINDOW_MS`] that were decoded and hold nothing but silence.
    pub(super) silent_windows: Vec<bool>,
    /// Where it is loud, as far as it was decoded: beginnings and ends in milliseconds.
    pub(super) loud_ms: Vec<[u64; 2]>,
}

/// Remembers every upload by its SHA-256.
#[derive(Debug, Default)]
pub(super) struct Ear {
    known: Mutex<HashMap<[u8; 32], Arc<OnceCell<Audio>>>>,
}

impl Ear {
    /// Judges an upload; a second one with the same bytes waits for, or finds, the first one's verdict.
    pub(super) async fn judge(&self, sha256: [u8; 32], content: SpooledTempFile) -> Audio {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.entry(sha256).or_default().clone()
        };
        let judge = || async {
            tokio::task::spawn_blocking(move || listen(content))
                .await
                .unwrap_or(Audio { content: FileFormat::ArbitraryBinaryData, sound: None })
        };
        cell.get_or_init(judge).await.clone()
    }
}

/// Sniffs, then demuxes and decodes.
fn listen(mut upload: SpooledTempFile) -> Audio {
    let bytes = upload.seek(SeekFrom::End(0)).unwrap_or_default();
    let _ = upload.rewind();
    let content = FileFormat::from_reader(&mut upload).unwrap_or(FileFormat::ArbitraryBinaryData);
    let told_ms = super::length::by_container(&mut upload);
    let _ = upload.rewind();
    let source: Box<dyn MediaSource> = match upload.into_inner() {
        SpooledData::InMemory(memory) => Box::new(Cursor::new(memory.into_inner())),
        SpooledData::OnDisk(file) => Box::new(file),
    };
    let foreign = matches!(
        content,
        FileFormat::AdaptiveMultiRate
            | FileFormat::Au
            | FileFormat::WindowsMediaAudio
            | FileFormat::ThirdGenerationPartnershipProject
    );
    match measure(source) {
        Some((sound, named)) => Audio { content: refine(content, named), sound: Some(sound) },
        // Formats that only voice detection takes and nothing here can read: 16 kbit/s is assumed.
        None if foreign => {
            Audio { content, sound: Some(Sound { duration_ms: bytes / 2, ..Sound::default() }) }
        }
        None => {
            let by_container = |duration_ms| Sound { duration_ms, ..Sound::default() };
            Audio { content, sound: told_ms.map(by_container) }
        }
    }
}

/// The sniffer sees the tag of an ID3-tagged file and not what follows; the demuxer looks behind it.
fn refine(content: FileFormat, named: &str) -> FileFormat {
    match (content, named) {
        (FileFormat::Id3v2 | FileFormat::ArbitraryBinaryData, "aac") => FileFormat::AdvancedAudioCoding,
        (FileFormat::Id3v2 | FileFormat::ArbitraryBinaryData, "mp3") => FileFormat::Mpeg12AudioLayer3,
        _ => content,
    }
}

/// The true length by reading every packet, and the demuxer's name for the format.
fn measure(source: Box<dyn MediaSource>) -> Option<(Sound, &'static str)> {
    let stream = MediaSourceStream::new(source, Default::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .ok()?;
    let named = reader.format_info().short_name;
    let track = reader.default_track(TrackType::Audio)?;
    let (id, base) = (track.id, track.time_base?);
    let parameters = track.codec_params.as_ref()?.audio()?;
    // An Opus file begins with what its encoder was late by; Ogg counts it, nobody plays it.
    let is_late = parameters.codec == CODEC_ID_OPUS && named == "ogg";
    let late_ms = track.delay.filter(|_| is_late).map_or(0.0, |frames| f64::from(frames) / 48.0);
    let decoder = Decoder::of(parameters);
    let ms = |ticks: Timestamp| base.calc_time(ticks).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let mut listener =
        Listener { decoder, loud: Vec::new(), stretches: Vec::new(), samples: Vec::new(), good: 0, bad: 0 };
    let mut span: Option<(Timestamp, Timestamp)> = None;
    // An end that comes too early, or nonsense between packets, ends the recording.
    while let Ok(Some(packet)) = reader.next_packet() {
        if packet.track_id != id {
            continue;
        }
        let start = packet.pts.saturating_add(packet.trim_start);
        let end = start.saturating_add(packet.dur);
        let (first, last) = span.unwrap_or((start, end));
        span = Some((first.min(start), last.max(end)));
        listener.hear(&packet, ms(start) - ms(first) - late_ms);
    }
    let (first, last) = span?;
    let duration_ms = (ms(last) - ms(first) - late_ms).round() as u64;
    if duration_ms == 0 || listener.bad > listener.good {
        return None;
    }
    let silent_windows = listener.loud.iter().map(|loud| !loud).collect();
    let loud_ms =
        listener.stretches.iter().map(|[from, to]| [*from as u64, (to.ceil() as u64).min(duration_ms)]);
    let loud_ms = loud_ms.collect();
    Some((Sound { duration_ms, silent_windows, loud_ms }, named))
}

/// Whatever makes sound of packets. Without one they still tell the length.
enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<OpusDecoder>, usize),
}

impl Decoder {
    fn of(parameters: &AudioCodecParameters) -> Option<Decoder> {
        if parameters.codec == CODEC_ID_OPUS {
            let channels = parameters.channels.as_ref()?.count();
            return Some(Decoder::Opus(Box::new(OpusDecoder::new(48_000, channels).ok()?), channels));
        }
        let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &Default::default());
        decoder.ok().map(Decoder::Symphonia)
    }

    /// Its samples, interleaved; how many channels, and the rate.
    fn decode(&mut self, packet: &Packet, samples: &mut Vec<f32>) -> Option<(usize, u32)> {
        match self {
            Decoder::Symphonia(decoder) => {
                let heard = decoder.decode(packet).ok()?;
                heard.copy_to_vec_interleaved(samples);
                Some((heard.spec().channels().count().max(1), heard.spec().rate().max(1)))
            }
            Decoder::Opus(decoder, channels) => {
                samples.resize(MAX_PACKET_SAMPLES * *channels, 0.0);
                let frames = decoder.decode(&packet.data, MAX_PACKET_SAMPLES, samples).ok()?;
                samples.truncate(frames * *channels);
                Some((*channels, 48_000))
            }
        }
    }
}

/// Decodes packets and notes which windows hold anything.
struct Listener {
    decoder: Option<Decoder>,
    loud: Vec<bool>,
    /// Beginnings and ends in milliseconds.
    stretches: Vec<[f64; 2]>,
    samples: Vec<f32>,
    good: u64,
    bad: u64,
}

impl Listener {
    fn hear(&mut self, packet: &Packet, at_ms: f64) {
        let Some(decoder) = &mut self.decoder else { return };
        if at_ms >= DECODED_MS as f64 {
            return;
        }
        let Some((channels, rate)) = decoder.decode(packet, &mut self.samples) else {
            self.bad += 1;
            return;
        };
        self.good += 1;
        let rate = f64::from(rate);
        for (index, frame) in self.samples.chunks(channels).enumerate() {
            let window = ((at_ms + index as f64 * 1000.0 / rate) as u64 / WINDOW_MS) as usize;
            if self.loud.len() <= window {
                self.loud.resize(window + 1, false);
            }
            if !frame.iter().any(|sample| sample.abs() > SILENCE) {
                continue;
            }
            self.loud[window] = true;
            let (from, to) =
                (at_ms + index as f64 * 1000.0 / rate, at_ms + (index + 1) as f64 * 1000.0 / rate);
            match self.stretches.last_mut() {
                Some(last) if from - last[1] < GAP_MS => last[1] = to,
                _ => self.stretches.push([from, to]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// 16-bit mono at 8 kHz: so many milliseconds of silence, then of a square wave.
    fn wav(silent_ms: usize, loud_ms: usize) -> Vec<u8> {
        let bytes = (silent_ms + loud_ms) * 16;
        let mut file = Vec::new();
        file.extend(b"RIFF");
        file.extend((36 + bytes as u32).to_le_bytes());
        file.extend(b"WAVEfmt ");
        for word in [16u32, 0x0001_0001, 8000, 16000, 0x0010_0002] {
            file.extend(word.to_le_bytes());
        }
        file.extend(b"data");
        file.extend((bytes as u32).to_le_bytes());
        file.resize(44 + silent_ms * 16, 0);
        (0..loud_ms * 8).for_each(|n| file.extend(if n % 8 < 4 { [0, 0x20] } else { [0, 0xe0] }));
        file
    }

    fn heard(bytes: &[u8]) -> Audio {
        let mut spool = SpooledTempFile::new(1024);
        spool.write_all(bytes).unwrap();
        listen(spool)
    }

    #[test]
    fn silence_is_found_window_by_window() {
        let audio = heard(&wav(8000, 1500));
        assert_eq!(audio.content, FileFormat::WaveformAudio);
        let sound = audio.sound.unwrap();
        assert_eq!(sound.duration_ms, 9500);
        assert_eq!(sound.silent_windows, [true, true, false]);
    }

    #[test]
    fn what_is_no_audio_cannot_be_decoded() {
        assert_eq!(heard(b"<html><body>not found</body></html>").sound, None);
        assert_eq!(heard(&[]).sound, None);
        assert_eq!(heard(&wav(0, 0)).sound, None);
        let noise: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(heard(&noise).sound, None);
    }

    #[tokio::test]
    async fn the_same_bytes_are_decoded_once() {
        let ear = Ear::default();
        let bytes = wav(0, 1000);
        let mut spool = SpooledTempFile::new(1 << 20);
        spool.write_all(&bytes).unwrap();
        let first = ear.judge([1; 32], spool).await;
        // Nothing is in this one, so an equal verdict can come from memory alone.
        let second = ear.judge([1; 32], SpooledTempFile::new(0)).await;
        assert_eq!(first, second);
        assert!(second.sound.is_some());
    }
}
