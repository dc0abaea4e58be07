//! Mistakes of the user and empty hands: the exit code, what is said, and that nothing is sent.

use crate::support::{Process, World, tone};

#[test]
fn an_unknown_setting_is_told_with_its_line_and_what_may_be_meant() {
    let world = World::with_recordings(1);
    world.edit("max_attempts", "max_attemps");
    let line = String::from_utf8(world.read("jobs.toml")).unwrap();
    let line = line.lines().position(|l| l.starts_with("max_attemps")).unwrap() + 1;
    world
        .run()
        .expect(2)
        .told("E-CONF-UNKNOWN")
        .told(&format!("in jobs.toml, line {line} "))
        .told("max_attemps")
        .told("max_attempts");
    assert_eq!(world.report().requests, 0);
}

#[test]
fn every_mistake_is_told_at_once() {
    let world = World::with_recordings(1);
    world.edit("concurrent = 4", "concurrent = 0");
    world.edit("velma-2-stt-batch\"", "velma-2-stt-bach\"");
    world.run().expect(2).told("E-CONF-VALUE").told("E-CONF-ENDPOINT").told("velma-2-stt-batch");
}

#[test]
fn without_a_jobs_toml_init_is_named() {
    let world = World::with_recordings(1);
    std::fs::remove_file(world.path("jobs.toml")).unwrap();
    for verb in ["run", "status", "plan"] {
        world.voxbatch(&[verb]).expect(2).told("E-CONF-MISSING").told("voxbatch init");
    }
}

#[test]
fn without_a_key_nothing_is_sent_and_the_ways_to_give_one_are_told() {
    let world = World::with_recordings(1);
    let mut command = world.command(&["run"]);
    command.env_remove("VOXBATCH_API_KEY");
    Process::start(command).wait().expect(2).told("E-CONF-KEY").told("VOXBATCH_API_KEY");
    assert_eq!(world.report().requests, 0);
}

#[test]
fn verbs_that_send_nothing_need_no_key() {
    let world = World::with_recordings(1);
    for verb in [&["scan"][..], &["plan"], &["status"], &["tasks"], &["config", "show"], &["export"]] {
        let mut command = world.command(verb);
        command.env_remove("VOXBATCH_API_KEY");
        Process::start(command).wait().expect(0);
    }
}

#[test]
fn a_source_that_is_not_there_is_told_before_anything_is_sent() {
    let world = World::with_recordings(3);
    std::fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    for verb in ["run", "scan", "plan"] {
        world.voxbatch(&[verb]).expect(2).told("E-SCAN-SOURCE").told("calls");
    }
    assert_eq!(world.report().requests, 0);
}

#[test]
fn a_job_that_is_not_in_the_file_is_told_with_those_that_are() {
    let world = World::with_recordings(1);
    world.voxbatch(&["run", "--job", "archiv"]).expect(2).told("no job `archiv`").told("archive");
}

#[test]
fn an_empty_folder_is_done_with_and_on_wish_an_error() {
    let world = World::with_recordings(0);
    world.run().expect(0);
    world.voxbatch(&["run", "--error-if-empty"]).expect(9);
    world.write("calls/one.wav", &tone("one", 250));
    world.voxbatch(&["run", "--error-if-empty"]).expect(0);
    world.voxbatch(&["run", "--error-if-empty"]).expect(9);
}

#[test]
fn junk_is_refused_by_reason_and_never_sent() {
    let world = World::with_recordings(0);
    let beginning = tone("big", 250);
    world.write("calls/big.wav", &beginning);
    let big = std::fs::OpenOptions::new().write(true).open(world.path("calls/big.wav")).unwrap();
    big.set_len(10_000_000_001).unwrap(); // the rest is a hole
    world.write("calls/empty.wav", b"");
    world.write("calls/letter.mp3", b"Dear Sir or Madam,\nthis is not a recording.\n");
    world.write("calls/picture.wav", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0");
    world.write("calls/voice.amr", &[&b"#!AMR\n\x3C\x08\x49\x1E"[..], &[0x80; 400]].concat());
    world.write("calls/notes.txt", b"lies beside recordings\n");
    world.write("calls/cover.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0");

    let planned = world.voxbatch(&["plan", "--json"]).expect(0).json();
    assert_eq!((&planned["jobs"][0]["refused"], &planned["jobs"][0]["new"]), (&5.into(), &5.into()));
    world.run().expect(3).told("passed over 2 entries");
    assert_eq!(world.report().requests, 0);
    let failures = world.failures();
    let causes: Vec<(&str, &str)> = failures.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    assert_eq!(
        causes,
        [
            ("big.wav", "too_big"),
            ("empty.wav", "empty"),
            ("letter.mp3", "not_audio"),
            ("picture.wav", "not_audio"),
            ("voice.amr", "unsupported_format"),
        ]
    );
    world.run().expect(0);
    assert_eq!(world.tasks("cause:refused").len(), 5, "they stay told, and are not found anew");
}

#[test]
fn a_filter_that_cannot_be_read_is_told_with_an_example() {
    let world = World::with_recordings(1);
    world.voxbatch(&["tasks", "--where", "colour:red"]).expect(2).told("E-USAGE-WHERE").told("state:failed");
    world.voxbatch(&["retry", "--where", "state:succeeded"]).expect(2).told("--again");
    world.voxbatch(&["show", "77"]).expect(2).told("no task 77");
    world.voxbatch(&["halts", "clear", "77"]).expect(2).told("no halt 77");
    world.voxbatch(&["frobnicate"]).expect(2);
}

#[test]
fn a_log_filter_that_cannot_be_read_is_a_mistake_and_no_bug() {
    let world = World::with_recordings(1);
    world
        .voxbatch(&["status", "--log-level", "voxbatch=loud"])
        .expect(2)
        .told("--log-level is no log filter");
}

#[test]
fn a_file_that_cannot_be_created_is_a_mistake_and_no_bug() {
    let world = World::with_recordings(1);
    world.voxbatch(&["export", "-o", "no/such/folder.csv"]).expect(2).told("no/such/folder.csv");
}
