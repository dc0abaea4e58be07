//! Listens to a whole recording: how long it is loud. Costs as much as decoding does, so it is for the few that are odd.

use std::path::Path;

use super::sound::decode_here;

/// A window of time that is loud or is not.
const WINDOW_MS: u64 = 100;

/// How many milliseconds of a recording are louder than so many decibels below full scale. `None`: it cannot be decoded
/// here.
pub fn loud_ms(path: &Path, silence_db: u32) -> Option<u64> {
    let limit = 10f64.powf(-f64::from(silence_db) / 20.0) * 32_768.0;
    let mut sound = decode_here(path).ok()?;
    let shape = sound.shape();
    let window = (shape.frames(WINDOW_MS) * u64::from(shape.channels)).max(1);
    let (mut loud, mut sum, mut samples, mut block) = (0u64, 0f64, 0u64, Vec::new());
    while sound.next(&mut block).ok()? {
        for sample in &block {
            sum += f64::from(*sample) * f64::from(*sample);
            samples += 1;
            if samples == window {
                loud += u64::from((sum / window as f64).sqrt() > limit);
                (sum, samples) = (0.0, 0);
            }
        }
    }
    Some(loud * WINDOW_MS)
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
}
