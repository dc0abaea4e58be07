//! Channels that are sent apart, or mixed: who speaks where, and what is billed.

use serde_json::Value;

use super::{assert_heard, listening, only, world};
use crate::support::{STT, World, bursts, two_channels};

const LEFT: [u32; 3] = [1_000, 21_000, 45_000];
const RIGHT: [u32; 2] = [11_000, 33_000];

fn of(channels: &str, max_minutes: Option<f64>) -> World {
    let world = world(STT, listening(None), max_minutes);
    world.edit("name = \"archive\"", &format!("name = \"archive\"\nchannels = \"{channels}\""));
    let (left, right) = (bursts("left", 50_000, &LEFT), bursts("right", 50_000, &RIGHT));
    world.write("calls/stereo.wav", &two_channels(&left, &right));
    world
}

fn speakers(line: &Value) -> Vec<String> {
    let said = line["response"]["utterances"].as_array().unwrap().iter();
    said.map(|u| u["speaker"].as_str().map_or_else(|| u["speaker"].to_string(), str::to_owned)).collect()
}

fn both() -> Vec<u32> {
    let mut both = [&LEFT[..], &RIGHT[..]].concat();
    both.sort_unstable();
    both
}

#[test]
fn channels_that_are_sent_apart_are_one_result_that_knows_who_spoke_on_which() {
    for (max_minutes, bodies, first) in [(None, 2, "C1:S1"), (Some(0.5), 4, "C1:P1:S1")] {
        let world = of("split", max_minutes);
        world.run().expect(0);
        let (line, begins) = only(&world);
        assert_heard(&begins, &both());
        let speakers = speakers(&line);
        assert_eq!(speakers[0], first);
        let on: Vec<&str> = speakers.iter().map(|speaker| &speaker[..2]).collect();
        assert_eq!(on, ["C1", "C2", "C1", "C2", "C1"]);
        assert_eq!((world.stt().bodies, world.stt().billed_ms), (bodies, 100_000));
        assert_eq!((&line["duration_ms"], &line["billed_ms"]), (&50_000.into(), &100_000.into()));
        assert!(line["suspect"].as_array().is_none_or(Vec::is_empty), "{}", line["suspect"]);
        world.voxbatch(&["verify"]).expect(0);
    }
}

#[test]
fn channels_that_are_mixed_are_one_request_in_which_all_is_heard() {
    let world = of("mix", None);
    world.write("calls/mono.wav", &bursts("mono", 20_000, &LEFT[..1]));
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(plan["reencoded"]["its channels are mixed, if it has several"], 2, "{plan}");
    world.run().expect(0);
    let lines = world.results();
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(of("mono.wav")["audio"]["mime"], "audio/wav", "there was nothing to mix");
    let stereo = of("stereo.wav");
    let begins = stereo["response"]["utterances"].as_array().unwrap().iter();
    let begins: Vec<u32> = begins.map(|u| u["start_ms"].as_u64().unwrap() as u32).collect();
    assert_heard(&begins, &both());
    assert_eq!((world.stt().bodies, &stereo["billed_ms"]), (2, &50_000.into()));
    world.voxbatch(&["verify"]).expect(0);
}
