//! Listens to a whole recording: how long it is loud, and its samples as a plain WAV. Costs as much as decoding does, so
//! it is for the few that are odd.

use std::fs::File;
use std::io::Seek;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// A window of time that is loud or is not.
const WINDOW_MS: u64 = 100;

/// How many milliseconds of a recording are louder than so many decibels below full scale. `None`: it cannot be decoded
/// here.
pub fn loud_ms(path: &Path, silence_db: u32) -> Option<u64> {
    let limit = 10f64.powf(-f64::from(silence_db) / 20.0);
    let (mut loud, mut sum, mut samples, mut window) = (0u64, 0f64, 0u64, 0u64);
    decode(File::open(path).ok()?, |block, channels, rate| {
        window = (u64::from(rate) * u64::from(channels) * WINDOW_MS / 1000).max(1);
        for sample in block {
            sum += f64::from(*sample) * f64::from(*sample);
            samples += 1;
            if samples == window {
                loud += u64::from((sum / window as f64).sqrt() > limit);
                (sum, samples) = (0.0, 0);
            }
        }
        true
    })?;
    Some(loud * WINDOW_MS)
}

/// The whole recording as a WAV of 16 bits, as it is but for its container and codec. `None`: it cannot be decoded here,
/// or would be larger than `most` bytes.
pub fn as_wav(mut file: &File, most: u64) -> Option<Vec<u8>> {
    file.rewind().ok()?;
    let twin = file.try_clone().ok()?;
    let mut wav = vec![0; 44];
    let (mut channels, mut rate) = (0u16, 0u32);
    let whole = decode(twin, |block, its_channels, its_rate| {
        (channels, rate) = (its_channels, its_rate);
        let as_bits = |sample: &f32| ((sample.clamp(-1.0, 1.0) * 32767.0).round() as i16).to_le_bytes();
        wav.extend(block.iter().flat_map(as_bits));
        wav.len() as u64 <= most
    });
    file.rewind().ok()?;
    whole?;
    let bytes = u32::try_from(wav.len()).ok().filter(|_| wav.len() as u64 <= most && channels > 0)?;
    let head = [
        b"RIFF".as_slice(),
        &(bytes - 8).to_le_bytes(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(channels) * 2).to_le_bytes(),
        &(channels * 2).to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &(bytes - 44).to_le_bytes(),
    ]
    .concat();
    wav.get_mut(..44)?.copy_from_slice(&head);
    Some(wav)
}

/// Hands over the samples of a file, interleaved, until `each` has enough. `None`: most of it cannot be decoded.
fn decode(file: File, each: impl FnMut(&[f32], u16, u32) -> bool) -> Option<()> {
    // A decoder that panics has merely not understood.
    catch_unwind(AssertUnwindSafe(|| decode_blocks(file, each))).ok().flatten()
}

fn decode_blocks(file: File, mut each: impl FnMut(&[f32], u16, u32) -> bool) -> Option<()> {
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .ok()?;
    let track = reader.default_track(TrackType::Audio)?;
    let id = track.id;
    let parameters = track.codec_params.as_ref()?.audio()?;
    let mut decoder =
        symphonia::default::get_codecs().make_audio_decoder(parameters, &Default::default()).ok()?;
    let (mut good, mut bad, mut samples) = (0u64, 0u64, Vec::new());
    while let Ok(Some(packet)) = reader.next_packet() {
        if packet.track_id != id {
            continue;
        }
        let Ok(heard) = decoder.decode(&packet) else {
            bad += 1;
            continue;
        };
        good += 1;
        let channels = u16::try_from(heard.spec().channels().count()).ok()?.max(1);
        let rate = heard.spec().rate().max(1);
        heard.copy_to_vec_interleaved(&mut samples);
        if !each(&samples, channels, rate) {
            return None;
        }
    }
    (good > bad).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::wav;

    /// A tone of so many milliseconds in the middle of a second of silence.
    fn tone(ms: usize, level: f64) -> Vec<u8> {
        let mut bytes = wav(8000, 8000);
        for n in 0..ms * 8 {
            let sample = ((n as f64 / 8000.0 * 440.0 * std::f64::consts::TAU).sin() * level * 32767.0) as i16;
            bytes[44 + 2 * n..46 + 2 * n].copy_from_slice(&sample.to_le_bytes());
        }
        bytes
    }

    fn loud(bytes: &[u8]) -> Option<u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        loud_ms(file.path(), 45)
    }

    #[test]
    fn what_is_loud_is_counted_and_silence_is_not() {
        assert_eq!(loud(&tone(500, 0.3)), Some(500));
        assert_eq!(loud(&tone(500, 0.003)), Some(0), "below the limit");
        assert_eq!(loud(&tone(0, 0.0)), Some(0));
        assert_eq!(loud(b"<html>not found</html>"), None);
    }

    #[test]
    fn a_recording_becomes_a_wav_with_the_same_samples_unless_that_is_too_large() {
        let bytes = tone(500, 0.3);
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &bytes).unwrap();
        let file = File::open(path.path()).unwrap();
        let made = as_wav(&file, 1 << 20).unwrap();
        assert_eq!(made.len(), bytes.len());
        let apart = |at: usize| {
            let sample = |of: &[u8]| i16::from_le_bytes([of[at], of[at + 1]]);
            sample(&made).abs_diff(sample(&bytes))
        };
        assert!((44..made.len()).step_by(2).all(|at| apart(at) <= 1));
        assert_eq!(&made[..44], &bytes[..44]);
        assert!(as_wav(&file, 1000).is_none());
    }
}
