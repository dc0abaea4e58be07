//! Redaction in pieces: they overlap, so that what is said across a cut is silenced whole; the audio is the recording's own.

use std::path::Path;

use serde_json::Value;

use super::{listening, only, world};
use crate::support::bursts_of;

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const RATE: usize = 8000;

/// All samples of a FLAC of one channel.
fn decoded(path: &Path) -> Vec<i16> {
    let mut sound =
        voxbatch::media::decode(path, voxbatch::media::Format::Flac, &Default::default()).unwrap();
    assert_eq!((sound.shape().rate as usize, sound.shape().channels), (RATE, 1));
    let (mut all, mut some) = (Vec::new(), Vec::new());
    while sound.next(&mut some).unwrap() {
        all.extend_from_slice(&some);
    }
    all
}

#[test]
fn what_is_private_across_a_cut_is_silenced_whole_and_the_rest_is_as_it_was() {
    let world = world(REDACTION, listening(None), Some(0.75));
    // All loud for forty seconds: whatever place is cut, something private is said there.
    let said: Vec<(u32, u32)> = (0..14).map(|n| (20_000 + n * 3_000, 2_500)).collect();
    let said = [vec![(1_000, 400)], said, vec![(88_000, 400)]].concat();
    let source = bursts_of("private", 90_000, &said);
    world.write("calls/private.wav", &source);
    world.run().expect(0);
    let (line, begins) = only(&world);
    assert!(line["response"]["pieces"].as_array().unwrap().len() >= 2, "{line}");
    assert_eq!(begins.len(), said.len(), "each is told once: {begins:?}");
    let ranges: Vec<(u64, u64)> = line["response"]["redaction_ranges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range: &Value| (range[0].as_u64().unwrap(), range[1].as_u64().unwrap()))
        .collect();
    for (from, length) in &said {
        let (from, to) = (u64::from(*from), u64::from(from + length));
        assert!(ranges.iter().any(|r| r.0 <= from + 5 && to <= r.1 + 5), "{from}..{to} in {ranges:?}");
    }
    let audio = decoded(&world.path("out/archive/audio/private.wav.redacted.flac"));
    let samples: Vec<i16> =
        source[44..].chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(audio.len(), samples.len(), "to the sample");
    for (n, (now, was)) in audio.iter().zip(&samples).enumerate() {
        let ms = (n / (RATE / 1000)) as u64;
        let silent = ranges.iter().any(|(from, to)| (*from..*to).contains(&ms));
        let edge = ranges.iter().any(|(_, to)| ms == *to);
        assert!(if silent { *now == 0 } else { now == was || edge }, "at {ms} ms: {now} of {was}");
    }
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_redaction_in_one_piece_keeps_the_audio_that_came() {
    let world = world(REDACTION, listening(None), None);
    world.edit("[scan]\n", "[scan]\nmax_file_size = \"400 kB\"\n");
    world.write("calls/large.wav", &bursts_of("large", 40_000, &[(1000, 400)]));
    world.run().expect(0);
    assert!(only(&world).0["response"]["pieces"].is_null());
    assert!(world.path("out/archive/audio/large.wav.redacted.mp3").exists());
    world.voxbatch(&["verify"]).expect(0);
}
