//! Recordings that change, vanish, or are called something hostile. Sources are never written to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use voxbatch::emulator::{Change, Faults, Settings};

use crate::support::{STT, World, roomy, tone};

fn append(world: &World, relative: &str, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(world.path(relative)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_grows_while_it_is_uploaded_is_noticed_and_sent_as_it_is_then() {
    let world = World::new(Settings { time_limit: None, ..roomy() });
    // More than the buffers between the two hold, so that it cannot be under way as a whole.
    world.write("calls/long.wav", &tone("long", 1_200_000));
    let stall_for = Duration::from_secs(1);
    world.control(Change::Faults(Faults { stall_upload: 1.0, stall_for, ..Faults::default() }));
    let run = world.start(&["run"]);
    world.when("it is being uploaded", |r| r.of(STT).in_flight == 1);
    append(&world, "calls/long.wav", &[0; 32]);
    world.control(Change::Faults(Faults::default()));
    run.wait().expect(0).told("source_changed");
    world.assert_each_once();
    assert_eq!((world.results()[0]["attempts"].as_u64(), world.stt().bodies), (Some(2), 1));
}

#[test]
fn a_file_that_grows_after_it_was_sent_keeps_its_result_and_is_told_of() {
    let world = World::with_recordings(1);
    let sent = blake3::hash(&world.read("calls/call-000.wav")).to_string();
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(1);
    append(&world, "calls/call-000.wav", &[0; 32]);
    world.control(Change::Release);
    run.wait().expect(0);
    assert_eq!(world.results()[0]["audio"]["blake3"], sent, "what was sent is what is told");
    world.run().expect(0).told("1 recording has changed since it was sent");
    assert_eq!(world.stt().requests, 1);
    world.voxbatch(&["retry", "--again", "--where", "path:call-000.wav"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_file_that_vanished_after_the_scan_fails_alone() {
    let world = World::with_recordings(5);
    world.voxbatch(&["scan"]).expect(0);
    fs::remove_file(world.path("calls/call-002.wav")).unwrap();
    world.run().expect(3);
    assert_eq!(world.failures(), BTreeMap::from([("call-002.wav".into(), "source_missing".into())]));
    world.assert_each_once();
    assert_eq!(world.stt().requests, 4);
}

#[test]
fn a_folder_that_is_gone_in_the_middle_fails_nothing() {
    let world = World::with_recordings(40);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    fs::rename(world.path("calls"), world.path("unmounted")).unwrap();
    world.control(Change::Release);
    run.wait().expect(7).told("the source folder is gone");
    assert_eq!(world.failures().len(), 0);
    let queued = world.tasks("state:queued").len();
    assert_eq!(queued + world.results().len(), 40);
    assert!(queued > 0);
    fs::rename(world.path("unmounted"), world.path("calls")).unwrap();
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_name_that_is_not_utf8_keeps_its_bytes() {
    let world = World::with_recordings(0);
    let name = OsStr::from_bytes(b"caf\xe9.wav");
    fs::write(world.path("calls").join(name), tone("cafe", 250)).unwrap();
    world.run().expect(0);
    let line = &world.results()[0];
    assert_eq!(line["path"], "caf\u{fffd}.wav");
    assert_eq!(STANDARD.decode(line["path_b64"].as_str().unwrap()).unwrap(), name.as_bytes());
    let task = &world.tasks("")[0];
    assert_eq!(task["path_b64"], line["path_b64"]);
    assert_eq!((world.report().mime_mismatches, world.stt().billed), (0, 1));
}

#[test]
fn hostile_names_are_data() {
    let world = World::with_recordings(0);
    let names = [
        "=cmd|'/c calc'!A1.wav",
        "+1.wav",
        "-rf.wav",
        "@here.wav",
        "quo\"te,comma;.wav",
        "two\nlines\r.wav",
        "esc\u{1b}[31m.wav",
        "$(touch owned).wav",
        "name=x; filename=y.wav",
    ];
    for name in names {
        world.write(&format!("calls/{name}"), &tone(name, 250));
    }
    let ended = world.voxbatch(&["run", "--log-level", "trace"]).expect(0);
    world.assert_each_once();
    assert!(!ended.stderr.contains('\u{1b}'), "no name speaks to the terminal: {}", ended.stderr);
    assert!(!world.voxbatch(&["tasks"]).expect(0).stdout.contains('\u{1b}'));
    assert_eq!(world.report().mime_mismatches, 0);

    let table = world.read("out/archive/results.csv");
    let rows: Vec<String> =
        csv::Reader::from_reader(&table[..]).records().map(|row| row.unwrap()[2].to_owned()).collect();
    assert_eq!(rows.len(), names.len());
    for row in &rows {
        assert!(!row.starts_with(['=', '+', '-', '@']), "a spreadsheet would run {row:?}");
    }
    assert!(rows.contains(&"'=cmd|'/c calc'!A1.wav".to_owned()), "{rows:?}");
}

#[test]
fn sources_stay_as_they_were() {
    let world = World::with_recordings(4);
    let before: Vec<_> = listing(&world);
    world.run().expect(0);
    assert_eq!(listing(&world), before);
}

/// Names, bytes and times of the sources.
fn listing(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
    crate::support::files_below(&world.path("calls"))
        .into_iter()
        .map(|f| (f.clone(), fs::read(&f).unwrap(), f.metadata().unwrap().modified().unwrap()))
        .collect()
}
