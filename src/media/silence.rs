//! A recording with stretches of it silenced, as FLAC: sample for sample what it was elsewhere.

use std::fs::File;
use std::path::Path;

use super::sound::{DecodeError, FlacWriter, Shape, Sound, decode};
use super::{Format, MediaSettings};

/// Writes a recording whose `ranges_ms`, ascending and apart, are silent.
///
/// # Errors
/// [`DecodeError::Undecodable`] when it gives no samples, else what the disk says.
pub fn silence(
    path: &Path,
    format: Format,
    settings: &MediaSettings,
    ranges_ms: &[(u64, u64)],
    to: &mut File,
) -> Result<(), DecodeError> {
    let mut sound = decode(path, format, settings)?;
    let unfit = |error: std::io::Error| DecodeError::Undecodable(error.to_string());
    let mut to = FlacWriter::new(to, sound.shape()).map_err(unfit)?;
    silenced(&mut *sound, ranges_ms, |samples| to.write(samples))?;
    to.finish()?;
    Ok(())
}

fn silenced(
    sound: &mut dyn Sound,
    ranges_ms: &[(u64, u64)],
    mut write: impl FnMut(&[i16]) -> std::io::Result<()>,
) -> Result<(), DecodeError> {
    let shape = sound.shape();
    let ranges: Vec<(u64, u64)> = ranges_ms.iter().map(|range| frames(*range, shape)).collect();
    let channels = usize::from(shape.channels);
    let (mut at, mut samples) = (0u64, Vec::new());
    while sound.next(&mut samples)? {
        let end = at + (samples.len() / channels) as u64;
        for (from, to) in ranges.iter().filter(|(from, to)| *from < end && at < *to) {
            let place = |frame: u64| (frame.clamp(at, end) - at) as usize * channels;
            samples[place(*from)..place(*to)].fill(0);
        }
        write(&samples)?;
        at = end;
    }
    Ok(())
}

/// All frames that a range touches: it is told in whole milliseconds.
fn frames((from, to): (u64, u64), shape: Shape) -> (u64, u64) {
    (shape.frames(from), shape.frames(to.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sound::testing::Held;

    #[test]
    fn what_ranges_say_is_silent_in_every_channel_and_nothing_else_is() {
        let samples: Vec<i16> = (1..=2 * 8000).map(|n| n as i16 | 1).collect();
        let mut sound = Held::new(8000, 2, samples.clone());
        let mut written = Vec::new();
        let keep = |some: &[i16]| {
            written.extend_from_slice(some);
            Ok(())
        };
        silenced(&mut sound, &[(0, 9), (100, 499), (990, 5000)], keep).unwrap();
        assert_eq!(written.len(), samples.len());
        for (frame, pair) in written.chunks(2).enumerate() {
            let ms = frame / 8;
            let silent = ms < 10 || (100..500).contains(&ms) || ms >= 990;
            let was = &samples[2 * frame..2 * frame + 2];
            assert_eq!(pair, if silent { &[0, 0] } else { was }, "frame {frame}");
        }
    }
}
