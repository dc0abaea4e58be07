//! Opus: what a recording becomes that is too large as FLAC, where that does no harm; and recordings that are Opus already.

use voxbatch::media::{OpusWriter, Shape};

use super::{CONVERSATION, HEARD, MINUTES, assert_heard, at_most, listening, noise, only, world};
use crate::support::{STT, World, bursts, bursts_of};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
/// Three minutes with a hiss take 0.8 MB as FLAC, and 0.5 MB as Opus at least.
const TOO_SMALL_FOR_FLAC: &str = "700 kB";

/// Noise that nobody hears, and that FLAC has to keep.
fn hissing(mut wav: Vec<u8>) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(3);
    for sample in wav[44..].chunks_exact_mut(2).filter(|sample| **sample == [0, 0]) {
        sample.copy_from_slice(&dice.i16(-12..=12).to_le_bytes());
    }
    wav
}

/// In most of it nobody says anything.
fn long() -> Vec<u8> {
    hissing(bursts("long", MINUTES * 60_000, &HEARD))
}

/// How it went out.
fn mime(world: &World) -> String {
    world.results()[0]["audio"]["mime"].as_str().unwrap().to_owned()
}

#[test]
fn what_flac_does_not_make_small_enough_goes_out_whole_on_its_own_time() {
    let world = world(STT, listening(None), None);
    at_most(&world, TOO_SMALL_FOR_FLAC, "");
    world.write("calls/long.wav", &long());
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(plan["reencoded"]["larger than a request takes, also as FLAC: as Opus"], 1, "{plan}");
    world.run().expect(0);
    let (line, begins) = only(&world);
    assert_heard(&begins, &HEARD);
    assert_eq!(mime(&world), "audio/opus");
    assert_eq!((&line["duration_ms"], &line["billed_ms"]), (&180_000.into(), &180_000.into()));
    assert!(line["response"]["pieces"].is_null(), "{line}");
    let stt = world.stt();
    assert_eq!((stt.bodies, stt.billed_ms), (1, 180_000));
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn what_flac_makes_small_enough_against_all_expectation_goes_out_as_that() {
    let world = world(STT, listening(None), None);
    at_most(&world, TOO_SMALL_FOR_FLAC, "");
    world.write("calls/long.wav", &bursts("long", MINUTES * 60_000, &HEARD));
    world.run().expect(0);
    assert_heard(&only(&world).1, &HEARD);
    assert_eq!((world.stt().bodies, mime(&world).as_str()), (1, "audio/flac"));
}

#[test]
fn that_it_is_too_large_as_flac_may_turn_out_when_it_is_encoded() {
    let world = world(STT, listening(None), None);
    at_most(&world, "600 kB", "");
    world.write("calls/noise.wav", &noise(60_000));
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(plan["reencoded"]["larger than a request takes"], 1, "{plan}");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, mime(&world).as_str()), (1, "audio/opus"));
    assert_eq!(only(&world).0["duration_ms"], 60_000);
}

#[test]
fn where_the_voice_itself_is_asked_about_or_somebody_says_no_it_goes_out_in_pieces() {
    for (options, sections) in
        [("options = { emotion_signal = true }\n", ""), ("", "[media]\nopus = false\n")]
    {
        let world = world(STT, listening(None), None);
        at_most(&world, TOO_SMALL_FOR_FLAC, sections);
        world.edit("endpoint = \"velma-2-stt-batch\"", &format!("{options}endpoint = \"velma-2-stt-batch\""));
        let loud = noise(80_000);
        let mut file = bursts("long", MINUTES * 60_000, &HEARD);
        let half = file.len() / 2;
        file[half..half + loud.len() - 44].copy_from_slice(&loud[44..]);
        world.write("calls/long.wav", &file);
        let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
        assert_eq!(plan["split"]["larger than a request takes"], 1, "{plan}");
        world.run().expect(0);
        assert!(world.stt().bodies >= 2, "{options}");
        assert_eq!(mime(&world), "audio/flac");
        assert_eq!(only(&world).0["duration_ms"], 180_000);
    }
}

#[test]
fn a_conversation_goes_out_whole_as_opus_unless_it_is_asked_how_voices_sound() {
    for (config, is_sent) in [("\"default\"", true), ("{ stt = { emotion_signal = true } }", false)] {
        let world = world(CONVERSATION, listening(None), None);
        at_most(&world, TOO_SMALL_FOR_FLAC, "");
        let endpoint = "endpoint = \"velma-2-batch\"";
        world.edit(endpoint, &format!("options = {{ config = {config} }}\n{endpoint}"));
        world.write("calls/long.wav", &long());
        world.run().expect(if is_sent { 0 } else { 3 });
        assert_eq!(world.report().of(CONVERSATION).bodies, u64::from(is_sent), "{config}");
        if is_sent {
            assert_eq!(mime(&world), "audio/opus");
        } else {
            let message = world.task("long.wav")["message"].as_str().unwrap().to_owned();
            assert!(message.contains("whole or not at all"), "{message}");
        }
    }
}

#[test]
fn what_is_redacted_whole_has_its_audio_as_it_came() {
    let world = world(REDACTION, listening(None), None);
    at_most(&world, TOO_SMALL_FOR_FLAC, "");
    let private = bursts_of("private", MINUTES * 60_000, &[(1_000, 400), (170_000, 500)]);
    world.write("calls/long.wav", &hissing(private));
    world.run().expect(0);
    let (line, begins) = only(&world);
    assert_heard(&begins, &[1_000, 170_000]);
    assert_eq!((mime(&world).as_str(), world.report().of(REDACTION).bodies), ("audio/opus", 1));
    assert!(world.path("out/archive/audio/long.wav.redacted.mp3").exists(), "{line}");
    world.voxbatch(&["verify"]).expect(0);
}

/// A WAV at 8 kHz as Opus.
fn opus_of(wav: &[u8]) -> Vec<u8> {
    let samples: Vec<i16> =
        wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let mut writer = OpusWriter::new(Vec::new(), Shape { rate: 8000, channels: 1 }, 32_000).unwrap();
    writer.write(&samples).unwrap();
    writer.finish().unwrap().0
}

#[test]
fn a_long_recording_in_opus_is_cut_and_joined_on_its_own_time() {
    let world = world(STT, listening(Some(35)), Some(0.5));
    world.write("calls/long.opus", &opus_of(&bursts("long", MINUTES * 60_000, &HEARD)));
    world.run().expect(0);
    let (line, begins) = only(&world);
    assert_heard(&begins, &HEARD);
    assert_eq!((&line["duration_ms"], &line["measured_ms"]), (&180_000.into(), &180_000.into()));
    assert_eq!(mime(&world), "audio/flac");
    let stt = world.stt();
    assert!((6..=8).contains(&stt.bodies) && stt.bodies == stt.sha256.len() as u64, "{}", stt.bodies);
    world.voxbatch(&["verify"]).expect(0);
}
