//! Recordings that are more than a request takes: encoded anew or in pieces, one result each, on the recording's own time,
//! and no piece paid for twice.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use voxbatch::emulator::{Settings, Shape};

use crate::support::{Jobs, STT, World, bursts, json_lines, roomy, without_count};

mod channels;
mod opus;
mod redaction;
mod stopping;

const CONVERSATION: &str = "velma-2-batch";
/// When something is heard, in milliseconds.
const HEARD: [u32; 9] = [1_000, 21_300, 38_750, 61_003, 95_500, 120_125, 141_000, 170_777, 178_000];
const MINUTES: u32 = 3;

/// A service that answers wherever it is loud, and gives up on more than so many seconds.
fn listening(limit_s: Option<u64>) -> Settings {
    // Half a second, and ten times as fast as it is spoken.
    let time_limit = limit_s.map(|s| Duration::from_millis(500 + s * 100));
    Settings { shape: Shape { where_loud: true, ..Shape::default() }, time_limit, ..roomy() }
}

/// With a job on an endpoint whose requests hold so many minutes, or as many as it shows.
fn world(endpoint: &'static str, settings: Settings, max_minutes: Option<f64>) -> World {
    let world = World::new(settings);
    world.configure(&Jobs { concurrent: 2, jobs: vec![("archive", endpoint, "calls")], ..Jobs::default() });
    if let Some(minutes) = max_minutes {
        world.edit("concurrent = 2", &format!("concurrent = 2\nmax_minutes = {minutes}"));
    }
    world
}

/// The only result, and when its utterances begin.
fn only(world: &World) -> (Value, Vec<u32>) {
    let results = world.results();
    let [line] = &results[..] else { panic!("{} results", results.len()) };
    let begins =
        line["response"]["utterances"].as_array().unwrap().iter().map(|u| u["start_ms"].as_u64().unwrap());
    let begins = begins.map(|ms| u32::try_from(ms).unwrap()).collect();
    (line.clone(), begins)
}

fn assert_heard(begins: &[u32], expected: &[u32]) {
    assert_eq!(begins.len(), expected.len(), "{begins:?}");
    let off = begins.iter().zip(expected).map(|(heard, was)| heard.abs_diff(*was)).max();
    assert!(off <= Some(10), "{off:?} ms off: {begins:?}");
}

#[test]
fn a_recording_that_is_too_long_becomes_one_result_on_its_own_time() {
    let world = world(STT, listening(Some(35)), Some(0.5));
    world.write("calls/long.wav", &bursts("long", MINUTES * 60_000, &HEARD));
    let run = world.voxbatch(&["run", "--json"]).expect(0);
    let events = json_lines(&run.stdout);
    let of_pieces: Vec<&Value> = events.iter().filter(|e| e["type"] == "piece_answered").collect();
    assert_eq!((&of_pieces[0]["piece"], &of_pieces[0]["of_about"]), (&1.into(), &6.into()));
    assert_eq!(events.last().unwrap()["totals"]["billed_seconds"], 180, "{}", events.last().unwrap());
    let (line, begins) = only(&world);
    assert_heard(&begins, &HEARD);
    assert_eq!((&line["path"], &line["audio"]["mime"]), (&"long.wav".into(), &"audio/flac".into()));
    let stt = world.stt();
    assert_eq!((stt.bodies, stt.billed_ms), (stt.sha256.len() as u64, u64::from(MINUTES) * 60_000));
    assert!((6..=8).contains(&stt.bodies), "{} pieces", stt.bodies);
    assert_eq!((&line["duration_ms"], &line["billed_ms"]), (&180_000.into(), &180_000.into()));
    let speakers: Vec<&str> = line["response"]["utterances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["speaker"].as_str().unwrap())
        .collect();
    assert!(speakers.is_sorted() && speakers[0] == "P1:S1" && speakers[8] != "P1:S1", "{speakers:?}");
    let pieces = line["response"]["pieces"].as_array().unwrap();
    assert_eq!(pieces.len() as u64, stt.bodies);
    assert_eq!(pieces.last().unwrap()["end_ms"], 180_000);
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!(status["endpoints"][0]["billed_ms"], 180_000);
    world.assert_each_once();
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn what_the_service_gives_up_on_is_never_sent_again_as_it_was_and_teaches_for_the_next_run() {
    let world = world(STT, listening(Some(170)), None);
    let heard = [2_000, 240_000, 333_333, 599_000];
    world.write("calls/long.wav", &bursts("long", 600_000, &heard));
    world.run().expect(0);
    assert_heard(&only(&world).1, &heard);
    let stt = world.stt();
    // Ten minutes, five, and then four pieces of at most two and a half, or one more.
    assert_eq!(stt.statuses[&504], 2);
    assert_eq!(stt.bodies, stt.sha256.len() as u64, "each was sent once");
    assert_eq!(stt.billed_ms, 600_000);
    let tries = world.attempts();
    assert_eq!(tries.iter().filter(|t| t["outcome"] == "snoozed").count(), 2, "{tries:#?}");
    let plan =
        |world: &World| world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0]["split"].clone();
    world.write("calls/next.wav", &bursts("next", 300_000, &heard[..2]));
    assert_eq!(plan(&world)["longer than a request takes"], 1, "{}", plan(&world));
    world.run().expect(0);
    assert_eq!(world.stt().statuses[&504], 2, "the next run knows it");
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    let learned = status["endpoints"][0]["learned_max_ms"].as_u64().unwrap();
    assert!((140_000..=150_000).contains(&learned), "{learned}");
    assert_eq!(world.results().len(), 2);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_kill_between_pieces_pays_for_none_of_them_twice_but_the_one_in_flight() {
    let world = world(STT, listening(None), Some(0.5));
    world.write("calls/long.wav", &bursts("long", MINUTES * 60_000, &HEARD));
    for answered in [1, 3, 5] {
        let run = world.start(&["run"]);
        world.when("some are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= answered));
        run.kill();
        world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    }
    world.run().expect(0);
    assert_heard(&only(&world).1, &HEARD);
    let stt = world.stt();
    assert!(stt.bodies <= stt.sha256.len() as u64 + 3, "{} of {}", stt.bodies, stt.sha256.len());
    assert_eq!(stt.unique_ms, 180_000, "the same pieces as without a kill");
    assert_eq!(only(&world).0["billed_ms"], 180_000);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn twins_in_pieces_are_paid_for_once_also_by_two_processes() {
    let world = world(STT, listening(None), Some(0.5));
    let long = bursts("long", MINUTES * 60_000, &HEARD);
    for name in ["a.wav", "b.wav", "c.wav"] {
        world.write(&format!("calls/{name}"), &long);
    }
    let (first, second) = (world.start(&["run"]), world.start(&["run"]));
    first.wait().expect(0);
    second.wait().expect(0);
    assert_eq!(world.results().len(), 3);
    assert_eq!(world.stt().billed_ms, u64::from(MINUTES) * 60_000);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_recording_that_changes_between_pieces_begins_anew_and_what_was_paid_stays_counted() {
    let world = world(STT, listening(None), Some(0.5));
    world.write("calls/long.wav", &bursts("long", MINUTES * 60_000, &HEARD));
    let run = world.start(&["run"]);
    world.when("some are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= 2));
    run.kill();
    world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    let before = world.stt().billed_ms;
    world.write("calls/long.wav", &bursts("another", 60_000, &HEARD[..3]));
    world.run().expect(0);
    let (line, begins) = only(&world);
    assert_heard(&begins, &HEARD[..3]);
    assert_eq!((&line["billed_ms"], world.stt().billed_ms), (&60_000.into(), before + 60_000));
}

#[test]
fn lossy_recordings_are_decoded_and_cut_where_they_were_heard() {
    let world = world(STT, listening(None), Some(0.5));
    let sample =
        without_count(&fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/workshop.mp3")).unwrap());
    world.write("calls/long.mp3", &sample.repeat(12));
    world.run().expect(0);
    let (line, _) = only(&world);
    let (told, measured) = (line["duration_ms"].as_u64().unwrap(), line["measured_ms"].as_u64().unwrap());
    assert!(told > 90_000 && told.abs_diff(measured) < 500, "{told} and {measured}");
    assert!(line["suspect"].as_array().is_none_or(Vec::is_empty), "{}", line["suspect"]);
    world.voxbatch(&["verify"]).expect(0);
}

/// What no encoder makes smaller.
fn noise(ms: u32) -> Vec<u8> {
    let mut noise = bursts("noise", ms, &[]);
    let mut dice = fastrand::Rng::with_seed(1);
    noise[44..].iter_mut().for_each(|byte| *byte = dice.u8(..));
    noise
}

/// A request takes no more than so much; with other sections of the configuration.
fn at_most(world: &World, size: &str, sections: &str) {
    world.edit("[scan]\n", &format!("{sections}[scan]\nmax_file_size = \"{size}\"\n"));
}

#[test]
fn pieces_that_are_paid_for_are_not_held_against_a_cap_once_more() {
    let world = World::new(listening(None));
    world.configure(&Jobs { concurrent: 2, monthly_hours: Some(65.0 / 3600.0), ..Jobs::default() });
    at_most(&world, "400 kB", "[media]\nopus = false\n");
    world.write("calls/noise.wav", &noise(60_000));
    world.run().expect(0);
    assert!(world.stt().bodies >= 3);
    assert_eq!(only(&world).0["billed_ms"], 60_000);
}

#[test]
fn what_is_too_large_goes_out_as_flac_and_in_pieces_only_if_that_is_not_enough() {
    let world = world(STT, listening(None), None);
    at_most(&world, "400 kB", "[media]\nopus = false\n");
    world.write("calls/quiet.wav", &bursts("quiet", 40_000, &[1000]));
    world.write("calls/noise.wav", &noise(60_000));
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(plan["reencoded"]["larger than a request takes"], 1, "{plan}");
    assert_eq!(plan["split"]["larger than a request takes"], 1, "{plan}");
    let text = world.voxbatch(&["plan"]).expect(0).stdout;
    assert!(text.contains("1 encoded anew (larger than a request takes)"), "{text}");
    world.run().expect(0);
    let lines = world.results();
    let pieces = |path: &str| {
        let line = lines.iter().find(|line| line["path"] == path).unwrap();
        line["response"]["pieces"].as_array().map_or(1, Vec::len)
    };
    assert_eq!(pieces("quiet.wav"), 1);
    assert!((3..=4).contains(&pieces("noise.wav")), "{}", pieces("noise.wav"));
    world.assert_each_once();
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_conversation_is_never_split_and_the_refusal_says_what_to_do() {
    let world = world(CONVERSATION, listening(None), Some(0.5));
    world.edit(
        "endpoint = \"velma-2-batch\"",
        "options = { config = \"default\" }\nendpoint = \"velma-2-batch\"",
    );
    world.write("calls/long.wav", &bursts("long", 60_000, &HEARD[..3]));
    world.write("calls/short.wav", &bursts("short", 20_000, &HEARD[..1]));
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0].clone();
    assert_eq!(
        (&plan["as_is"], &plan["refused_by_preparing"]["file too big"]),
        (&1.into(), &1.into()),
        "{plan}"
    );
    world.run().expect(3);
    assert_eq!(world.failures()["long.wav"], "too_big");
    let message = world.task("long.wav")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("whole or not at all") && message.contains("ffmpeg -i IN"), "{message}");
    assert_eq!((world.results().len(), world.report().of(CONVERSATION).bodies), (1, 1));
}

#[test]
fn a_stream_takes_long_recordings_in_pieces_by_the_same_rule() {
    let world = world("velma-2-stt-streaming", listening(None), Some(0.5));
    world.write("calls/long.wav", &bursts("long", 80_000, &HEARD[..4]));
    world.run().expect(0);
    let (line, begins) = only(&world);
    let pieces = line["response"]["pieces"].as_array().unwrap().len();
    assert!((3..=4).contains(&pieces) && begins.is_sorted(), "{line}");
    assert!(line["duration_ms"].as_u64().unwrap().abs_diff(80_000) < 50, "{}", line["duration_ms"]);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn show_and_explain_tell_how_far_a_recording_in_pieces_has_come() {
    let world = world(STT, listening(None), Some(0.5));
    world.write("calls/long.wav", &bursts("long", MINUTES * 60_000, &HEARD));
    let run = world.start(&["run"]);
    world.when("some are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= 3));
    run.kill();
    let id = world.task("long.wav")["task"].to_string();
    let shown = world.voxbatch(&["show", &id]).expect(0).stdout;
    assert!(shown.contains("pieces are answered, up to"), "{shown}");
    let json = world.voxbatch(&["show", &id, "--json"]).expect(0).json();
    let pieces = json["pieces"].as_array().unwrap();
    assert!(pieces.len() >= 2 && pieces[0]["billed_ms"].is_u64(), "{json}");
    let why = world.voxbatch(&["explain", &id]).expect(0).stdout;
    assert!(why.contains("the next one is piece"), "{why}");
}
