//! The same recording under several names: paid for once, and done under each.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use voxbatch::emulator::{Change, Settings};

use crate::support::{Jobs, STT, World, roomy, tone};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";

fn recording(name: &str) -> Vec<u8> {
    tone(name, 250)
}

/// Above the size up to which every file is read when it is looked at: half a minute.
fn large(name: &str) -> Vec<u8> {
    tone(name, 30_000)
}

/// The paths of the lines that say whose answer they have.
fn reused(world: &World) -> BTreeSet<String> {
    let lines = world.results();
    let reused = lines.iter().filter(|line| line["reused_from"].is_i64());
    reused.map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn duplicates_are_paid_for_once_and_have_their_result_under_every_name() {
    let world = World::new(roomy());
    for n in 0..40 {
        world.write(&format!("calls/{n:02}.wav"), &recording(&format!("{}", n % 25)));
    }
    world.write("calls/large/1.wav", &large("one"));
    world.write("calls/large/2.wav", &large("one"));
    world.write("calls/large/3.wav", &large("another"));
    let run = world.run().expect(0);
    run.said("reused: 16 recordings have the content of another");
    let stt = world.stt();
    assert_eq!((stt.bodies, stt.sha256.len(), stt.billed), (27, 27, 27), "each content once");
    assert_eq!(stt.billed_ms, stt.unique_ms);
    let lines = world.results();
    assert_eq!((lines.len(), reused(&world).len()), (43, 16));
    for line in &lines {
        assert!(line["response"].is_object() && line["duration_ms"].is_u64(), "{line}");
        assert_eq!(line["billed_ms"] == 0, line["reused_from"].is_i64(), "{line}");
        if let Some(from) = line["reused_from"].as_i64() {
            let of = lines.iter().find(|l| l["task"] == from).unwrap();
            assert_eq!(
                (&of["audio"], &of["text"], &of["reused_from"]),
                (&line["audio"], &line["text"], &Value::Null)
            );
        }
    }
    world.voxbatch(&["verify"]).expect(0);
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!(status["endpoints"][0]["billed_ms"], stt.billed_ms);
}

#[test]
fn two_of_the_same_are_never_in_flight_together_also_from_two_processes() {
    let world = World::new(roomy());
    for n in 0..3 {
        world.write(&format!("calls/small-{n}.wav"), &recording("same"));
        world.write(&format!("calls/large-{n}.wav"), &large("same"));
    }
    world.voxbatch(&["scan"]).expect(0);
    world.control(Change::Hold);
    let first = world.start(&["run"]);
    world.when_held(2);
    let second = world.start(&["run"]);
    second.until_told("slots");
    assert_eq!(world.stt().in_flight, 2);
    world.control(Change::Release);
    first.wait().expect(0);
    second.wait().expect(0);
    assert_eq!((world.stt().bodies, world.results().len()), (2, 6));
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_duplicate_of_one_that_fails_is_sent_for_itself() {
    let world = World::new(Settings { script: true, ..roomy() });
    world.write("calls/corrupt.wav", &recording("same"));
    world.write("calls/fine.wav", &recording("same"));
    let jobs = Jobs { concurrent: 1, of_each_job: "order = \"path\"", ..Jobs::default() };
    world.configure(&jobs);
    world.run().expect(3);
    assert_eq!(world.failures()["corrupt.wav"], "unreadable_audio");
    assert_eq!(world.results()[0]["path"], "fine.wav");
}

#[test]
fn what_was_moved_or_renamed_has_its_result_at_no_cost() {
    let world = World::with_recordings(3);
    world.run().expect(0);
    fs::create_dir(world.path("calls/2025")).unwrap();
    fs::rename(world.path("calls/call-001.wav"), world.path("calls/2025/renamed.wav")).unwrap();
    world.run().expect(0).said("reused: 1 recording has");
    assert_eq!((world.stt().bodies, world.results().len()), (3, 4));
    assert_eq!(reused(&world), ["2025/renamed.wav".to_owned()].into());
    let id = world.task("2025/renamed.wav")["task"].to_string();
    world.voxbatch(&["show", &id]).expect(0);
    let verify = world.voxbatch(&["verify"]).expect(8);
    assert!(verify.stdout.contains("call-001.wav"), "the old name has no file any more: {}", verify.stdout);
}

#[test]
fn jobs_share_what_they_ask_for_alike_and_nothing_else() {
    let world = World::with_recordings(2);
    let jobs = vec![
        ("one", STT, "calls"),
        ("two", STT, "calls"),
        ("fast", "velma-2-stt-batch-english-vfast", "calls"),
    ];
    world.configure(&Jobs { jobs, ..Jobs::default() });
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.report().of("velma-2-stt-batch-english-vfast").bodies), (2, 2));
    assert_eq!(
        (world.lines("out/one/results.jsonl").len(), world.lines("out/two/results.jsonl").len()),
        (2, 2)
    );
    world.edit("name = \"two\"", "options = { language = \"de\" }\nname = \"two\"");
    world.voxbatch(&["status"]).expect(0);
    world.run().expect(0);
    assert_eq!(world.stt().bodies, 2, "other options send nothing by themselves");
    let status = world.voxbatch(&["status"]).expect(0).stdout;
    assert!(status.contains("two: 2 results were made with other options"), "{status}");
    assert_eq!(world.tasks("stale").len(), 2);
    world.voxbatch(&["retry", "--where", "stale", "-n"]).expect(0).said("2 recordings would be queued again");
    world.voxbatch(&["retry", "--where", "job:two stale"]).expect(0).said("2 recordings queued again");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.tasks("stale").len()), (4, 0));
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn redacted_audio_is_there_under_each_name_and_a_purged_one_serves_for_nobody() {
    let world = World::new(roomy());
    world.configure(&Jobs { jobs: vec![("archive", REDACTION, "calls")], ..Jobs::default() });
    world.write("calls/a.wav", &recording("same"));
    world.write("calls/b/b.wav", &recording("same"));
    world.run().expect(0);
    let redaction = || world.report().of(REDACTION);
    assert_eq!((redaction().bodies, world.results().len()), (1, 2));
    let audio = |name: &str| world.read(&format!("out/archive/audio/{name}.redacted.mp3"));
    assert_eq!(audio("a.wav"), audio("b/b.wav"));
    world.voxbatch(&["verify"]).expect(0);

    // An original whose audio is gone cannot serve; its duplicate, which is whole, can.
    fs::remove_file(world.path("out/archive/audio/a.wav.redacted.mp3")).unwrap();
    world.write("calls/c.wav", &recording("same"));
    world.run().expect(0);
    assert_eq!(world.results().len(), 3);
    assert!(!audio("c.wav").is_empty());
    let sent = redaction().bodies;

    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "3"]).expect(0);
    world.write("calls/d.wav", &recording("same"));
    world.run().expect(0);
    assert_eq!(redaction().bodies, sent + 1, "nothing is left that could serve");
    assert!(!audio("d.wav").is_empty());
}

#[test]
fn it_can_be_switched_off_and_asked_again_by_hand() {
    let world = World::new(roomy());
    for name in ["a", "b", "c"] {
        world.write(&format!("calls/{name}.wav"), &recording("same"));
    }
    world.edit("[run]\n", "[run]\nreuse = false\n");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, reused(&world).len()), (3, 0));
    world.edit("reuse = false\n", "");
    world.voxbatch(&["retry", "--again", "--where", ""]).expect(0);
    world.run().expect(0);
    assert_eq!((world.stt().bodies, reused(&world).len()), (4, 2), "sent again once, for all of them");
    world.voxbatch(&["verify"]).expect(0);
}
