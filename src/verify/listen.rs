//! Decodes a file and notes how loud it is inside given stretches of time.
//!
//! An MP3 cannot be silent to the sample: it is made of granules of 576 samples, so that many are left out at both
//! edges of a stretch (13 ms at 44.1 kHz, 36 ms at 16 kHz). One that does not state how far its encoder delayed it
//! may lag by up to 1105 samples, so at the beginning these are left out as well. Stretches shorter than that are
//! not looked at.

use std::fs::File;
use std::io::Seek;
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// −60 dB below full scale: what is quieter is silence.
const SILENCE: f32 = 0.001;

/// What an MP3 can silence by itself at the least.
const GRANULE: u64 = 576;

/// An encoder's delay of 576 samples and a decoder's of 529.
const DELAY: u64 = 1105;

/// What an encoder appends at most: the last frame is filled, and one more flushes it.
const PADDING: u64 = 2 * 1152;

/// What was heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) duration_ms: f64,
    /// How much longer than its recording it may be, because it does not state its padding.
    pub(super) padding_ms: f64,
    stretches: Vec<Stretch>,
}

/// A stretch of time that should be silent.
#[derive(Debug)]
struct Stretch {
    told_ms: (u64, u64),
    /// In samples, without the edges.
    from: u64,
    to: u64,
    peak: f32,
    /// Some of it could not be decoded.
    is_dark: bool,
}

impl Heard {
    /// The stretches that are not silent, or cannot be shown to be, and why.
    pub(super) fn audible(&self) -> impl Iterator<Item = ((u64, u64), String)> {
        self.stretches.iter().filter(|s| s.peak > SILENCE || s.is_dark).map(|s| {
            let why = match s.peak > SILENCE {
                true => format!("it reaches {:.0} dBFS", 20.0 * s.peak.log10()),
                false => "part of it cannot be decoded".to_owned(),
            };
            (s.told_ms, why)
        })
    }
}

/// Decodes a whole file, a packet at a time. `None`: it cannot be decoded.
pub(super) fn listen(mut file: File, silent_ms: &[(u64, u64)]) -> Option<Heard> {
    file.rewind().ok()?;
    // One strange file must not end it all: a decoder that panics has merely not understood.
    catch_unwind(AssertUnwindSafe(|| decode(file, silent_ms))).ok().flatten()
}

fn decode(file: File, silent_ms: &[(u64, u64)]) -> Option<Heard> {
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .ok()?;
    let track = reader.default_track(TrackType::Audio)?;
    let (id, states_its_delay) = (track.id, track.delay.is_some());
    let parameters = track.codec_params.as_ref()?.audio()?;
    let decoder =
        symphonia::default::get_codecs().make_audio_decoder(parameters, &Default::default()).ok()?;
    let mut ear =
        Ear { decoder, states_its_delay, samples: Vec::new(), at: 0, rate: None, stretches: Vec::new() };
    let (mut good, mut bad) = (0u64, 0u64);
    while let Ok(Some(packet)) = reader.next_packet() {
        if packet.track_id != id {
            continue;
        }
        match ear.hear(&packet, silent_ms) {
            true => good += 1,
            false => bad += 1,
        }
    }
    let rate = ear.rate.filter(|_| good > bad)?;
    let ms = |samples: u64| samples as f64 * 1000.0 / rate as f64;
    let padding_ms = if states_its_delay { 0.0 } else { ms(DELAY + PADDING) };
    Some(Heard { duration_ms: ms(ear.at), padding_ms, stretches: ear.stretches })
}

struct Ear {
    decoder: Box<dyn AudioDecoder>,
    states_its_delay: bool,
    samples: Vec<f32>,
    /// Samples of each channel so far.
    at: u64,
    rate: Option<u64>,
    stretches: Vec<Stretch>,
}

impl Ear {
    /// False if the packet cannot be decoded.
    fn hear(&mut self, packet: &symphonia::core::packet::Packet, silent_ms: &[(u64, u64)]) -> bool {
        let Ok(heard) = self.decoder.decode(packet) else {
            // MP3 and PCM count time in samples; for others this is near enough for a length.
            let to = self.at + packet.dur.get();
            self.stretches
                .iter_mut()
                .filter(|s| s.from < to && s.to > self.at)
                .for_each(|s| s.is_dark = true);
            self.at = to;
            return false;
        };
        let channels = heard.spec().channels().count().max(1);
        let rate = u64::from(heard.spec().rate().max(1));
        heard.copy_to_vec_interleaved(&mut self.samples);
        if self.rate.is_none() {
            self.rate = Some(rate);
            self.stretches = stretches(silent_ms, rate, self.states_its_delay);
        }
        let to = self.at + (self.samples.len() / channels) as u64;
        for stretch in self.stretches.iter_mut().filter(|s| s.from < to && s.to > self.at) {
            let first = (stretch.from.max(self.at) - self.at) as usize * channels;
            let last = (stretch.to.min(to) - self.at) as usize * channels;
            let peak = self.samples[first..last].iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
            stretch.peak = stretch.peak.max(peak);
        }
        self.at = to;
        true
    }
}

fn stretches(silent_ms: &[(u64, u64)], rate: u64, states_its_delay: bool) -> Vec<Stretch> {
    let lag = if states_its_delay { 0 } else { DELAY };
    let samples = |ms: u64| ms.saturating_mul(rate) / 1000;
    silent_ms
        .iter()
        .map(|&(start, end)| Stretch {
            told_ms: (start, end),
            from: samples(start).saturating_add(GRANULE + lag),
            to: samples(end).saturating_sub(GRANULE),
            peak: 0.0,
            is_dark: false,
        })
        .filter(|stretch| stretch.from < stretch.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// 16-bit mono at 16 kHz; a tone but for these stretches of milliseconds.
    fn wav(ms: usize, silent: &[(usize, usize)]) -> File {
        let samples = ms * 16;
        let mut bytes = Vec::new();
        bytes.extend(b"RIFF");
        bytes.extend((36 + samples as u32 * 2).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        for word in [16u32, 0x0001_0001, 16_000, 32_000, 0x0010_0002] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"data");
        bytes.extend((samples as u32 * 2).to_le_bytes());
        for n in 0..samples {
            let is_silent = silent.iter().any(|(from, to)| (from * 16..to * 16).contains(&n));
            let loud: i16 = if n % 16 < 8 { 8192 } else { -8192 };
            bytes.extend(if is_silent { 20 } else { loud }.to_le_bytes());
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    fn audible(file: File, told: &[(u64, u64)]) -> Vec<(u64, u64)> {
        listen(file, told).unwrap().audible().map(|(range, _)| range).collect()
    }

    #[test]
    fn a_stretch_is_silent_when_all_of_it_but_its_edges_is() {
        let told = [(1000, 1500), (3000, 3400)];
        assert!(audible(wav(5000, &[(1000, 1500), (3000, 3400)]), &told).is_empty());
        assert_eq!(audible(wav(5000, &[(1000, 1500)]), &told), [(3000, 3400)]);
        assert_eq!(audible(wav(5000, &[(1000, 1400), (3000, 3400)]), &told), [(1000, 1500)]);
        assert_eq!(audible(wav(5000, &[(1000, 1499), (3001, 3400)]), &told), [], "only an edge");
    }

    #[test]
    fn the_loudness_and_the_length_are_told() {
        let heard = listen(wav(2500, &[]), &[(500, 1000)]).unwrap();
        assert!((heard.duration_ms - 2500.0).abs() < 1.0, "{heard:?}");
        assert_eq!(heard.audible().next().unwrap().1, "it reaches -12 dBFS");
    }

    #[test]
    fn a_stretch_too_short_or_behind_the_end_is_not_held_against_a_file() {
        assert!(audible(wav(1000, &[]), &[(500, 540), (2000, 9000), (u64::MAX - 5, u64::MAX)]).is_empty());
    }

    #[test]
    fn what_is_no_audio_cannot_be_decoded() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"<html>not found</html>").unwrap();
        assert!(listen(file, &[]).is_none());
    }
}
