//! Jobs of the Platform API: sent once, remembered before anything else, and asked for until they have ended.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use voxbatch::emulator::{Change, Platform, Report};

use crate::support::{Ended, Jobs, Process, STT, World, roomy, tone};

/// The endpoint, and the name under which the emulator counts it.
const PLATFORM: &str = "platform-batch";
const COUNTED: &str = "platform";

const ACCOUNT: &str = "emulator-account";

/// A world whose one job sends so many recordings there, with short waits.
fn world(recordings: usize) -> World {
    let world = World::new(roomy());
    world.record("calls", recordings);
    configure(&world, Jobs { jobs: vec![("archive", PLATFORM, "calls")], ..Jobs::default() });
    world
}

fn configure(world: &World, jobs: Jobs) {
    world.configure(&jobs);
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let url = text.split('"').find(|t| t.starts_with("http://")).unwrap().to_owned();
    let section =
        format!("[platform]\nbase_url = \"{url}\"\npoll_first = \"5ms\"\npoll_longest = \"20ms\"\n\n[retry]");
    world.edit("[retry]", &section);
}

/// With both secrets of the Platform API, and no key of the models.
fn command(world: &World, account: &str, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env_remove("VOXBATCH_API_KEY");
    command.env("VOXBATCH_PLATFORM_ACCOUNT", account).env("VOXBATCH_PLATFORM_API_KEY", "emulator-key");
    command
}

fn start(world: &World) -> Process {
    Process::start(command(world, ACCOUNT, &["run"]))
}

fn run(world: &World) -> Ended {
    start(world).wait()
}

/// Jobs stay under way until this is taken back.
fn hold(world: &World) {
    let states = vec!["processing".to_owned(); 1_000_000];
    world.control(Change::Platform(Platform { states, ..Platform::default() }));
}

fn let_go(world: &World) {
    world.control(Change::Platform(Platform::default()));
}

/// So many were accepted, and each has been asked for again and again: whoever asks has written down for what.
fn when_polled(world: &World, bodies: u64) {
    let asked = |r: &Report| r.of(COUNTED).bodies == bodies && r.of(COUNTED).requests >= bodies + 400;
    world.when("jobs are asked for", asked);
}

fn bodies(world: &World) -> u64 {
    world.report().of(COUNTED).bodies
}

fn word<'v>(of: &'v Value, key: &str) -> &'v str {
    of[key].as_str().unwrap_or("-")
}

#[test]
fn every_recording_is_sent_once_and_comes_back_as_a_transcript() {
    let world = world(0);
    for name in ["account.wav", "kitchen.opus", "workshop.mp3"] {
        let sample = voxbatch::emulator::SAMPLES.iter().find(|s| s.name == name).unwrap();
        world.write(&format!("calls/{name}"), sample.bytes);
    }
    world.edit("source = \"calls\"", "source = \"calls\"\noptions = { emotion_annotation = true }");
    run(&world).expect(0);
    world.assert_each_once();
    assert_eq!((bodies(&world), world.report().of(COUNTED).billed), (3, 3));
    for line in world.results() {
        let said = voxbatch::emulator::SAMPLES.iter().any(|s| s.name == word(&line, "path"));
        assert!(said && !word(&line, "text").is_empty(), "{line}");
        assert_eq!(line["response"]["status"], "completed");
        assert_eq!(line["response"]["results"][0]["utterances"][0]["emotion"], "Neutral");
        assert_eq!(line["duration_ms"], line["response"]["results"][0]["duration_ms"]);
    }
    let table = String::from_utf8(world.read("out/archive/utterances.csv")).unwrap();
    assert!(table.lines().count() > 3 && table.contains(",Neutral,"), "{table}");
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn after_a_kill_in_the_middle_of_polls_what_was_accepted_is_polled_and_not_sent_again() {
    let world = world(10);
    hold(&world);
    let first = start(&world);
    when_polled(&world, 4);
    first.kill();
    // The next one takes up the same four, and dies as well.
    let second = start(&world);
    when_polled(&world, 4);
    let asked = world.report().of(COUNTED).requests;
    world.when("the second one asks", |r| r.of(COUNTED).requests >= asked + 100);
    second.kill();
    assert_eq!(bodies(&world), 4, "nothing was sent again");
    let_go(&world);
    run(&world).expect(0).told("recovered tasks=4");
    world.assert_each_once();
    let seen = world.report().of(COUNTED);
    assert_eq!(
        (seen.bodies, seen.billed, seen.billed_ms),
        (10, 10, seen.unique_ms),
        "each was paid for once"
    );
    assert!(seen.sha256.values().all(|n| *n == 1));

    let tries = world.attempts();
    let lost: Vec<&Value> = tries.iter().filter(|a| a["outcome"] == "lost").collect();
    assert_eq!(lost.len(), 8);
    assert!(lost.iter().all(|a| a["billed"] == "no"), "nothing is perhaps paid twice: {lost:?}");
    let status = world.voxbatch(&["status", "--json"]).expect(0).stdout;
    assert!(!status.contains("\"unknown\":1"), "{status}");
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_run_that_is_stopped_leaves_its_jobs_to_the_next_one() {
    let world = world(4);
    configure(&world, Jobs { jobs: vec![("archive", PLATFORM, "calls")], grace: "0s", ..Jobs::default() });
    hold(&world);
    let stopped = start(&world);
    when_polled(&world, 4);
    stopped.signal(Signal::TERM);
    stopped.wait().expect(143);
    let_go(&world);
    run(&world).expect(0);
    world.assert_each_once();
    assert_eq!(bodies(&world), 4);
    let released: Vec<Value> = world.attempts().into_iter().filter(|a| a["outcome"] == "released").collect();
    assert!(released.len() == 4 && released.iter().all(|a| a["billed"] == "no"), "{released:?}");
}

#[test]
fn never_more_jobs_are_under_way_than_there_are_slots() {
    let world = world(9);
    hold(&world);
    let held = start(&world);
    when_polled(&world, 4);
    assert_eq!(bodies(&world), 4, "four slots, four jobs");
    let_go(&world);
    held.wait().expect(0);
    world.assert_each_once();
}

#[test]
fn a_job_that_fails_fails_its_recording_with_the_services_words_and_a_retry_sends_it_anew() {
    let world = world(2);
    // It ends in the bad word, whatever the file is.
    let bad = Platform { completed: "cancelled".into(), ..Platform::default() };
    world.control(Change::Platform(bad));
    run(&world).expect(3);
    assert_eq!(bodies(&world), 2);
    let failed = world.lines("out/archive/failures.jsonl");
    for line in &failed {
        let error = &line["error"];
        assert_eq!((word(error, "message"), word(error, "billed")), ("the job ended as cancelled", "yes"));
    }
    let_go(&world);
    world.voxbatch(&["retry", "--where", "state:failed"]).expect(0);
    run(&world).expect(0);
    assert_eq!(bodies(&world), 4, "by the user's own hand");
    world.assert_each_once();
}

#[test]
fn a_job_that_does_not_end_in_time_fails_its_recording_and_holds_nobody_up() {
    let world = world(2);
    world.edit("poll_longest", "deadline = \"300ms\"\npoll_longest");
    hold(&world);
    run(&world).expect(3);
    assert_eq!((bodies(&world), world.failures().len()), (2, 2));
    assert!(world.failures().values().all(|cause| cause == "timeout"), "{:?}", world.failures());
}

#[test]
fn a_job_that_nobody_knows_any_more_is_sent_again_and_counted_as_perhaps_billed() {
    let world = world(1);
    let other = Platform { accounts: vec![ACCOUNT.into(), "another".into()], ..Platform::default() };
    let states = vec!["processing".to_owned(); 1_000_000];
    world.control(Change::Platform(Platform { states, ..other.clone() }));
    let killed = start(&world);
    when_polled(&world, 1);
    killed.kill();
    world.control(Change::Platform(other));
    // Another account does not see it.
    Process::start(command(&world, "another", &["run"])).wait().expect(0);
    world.assert_each_once();
    assert_eq!(bodies(&world), 2);
    let tries = world.attempts();
    let gone: Vec<&Value> = tries.iter().filter(|a| a["cause"] == "answer_lost").collect();
    assert!(gone.len() == 1 && gone[0]["billed"] == "unknown", "{tries:?}");
}

#[test]
fn a_refused_account_stops_the_platform_and_nothing_else() {
    let world = world(3);
    configure(
        &world,
        Jobs { jobs: vec![("archive", PLATFORM, "calls"), ("words", STT, "calls")], ..Jobs::default() },
    );
    let mut refused = command(&world, "nobody", &["run"]);
    refused.env("VOXBATCH_API_KEY", "emulator-key");
    let ended = Process::start(refused).wait().expect(4);
    assert_eq!(bodies(&world), 0);
    world.assert_each_once_in("calls", "out/words/results.jsonl");
    let halts = world.voxbatch(&["halts", "list", "--json"]).expect(0).json();
    assert_eq!(
        (word(&halts, "scope"), word(&halts, "reason")),
        (PLATFORM, "key_refused"),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_it_does_not_take_is_refused_by_looks_and_without_credentials_nothing_begins() {
    let world = world(1);
    world.write("calls/long.wav", &tone("long", 320_000)); // above 5 MB
    let flac = voxbatch::emulator::SAMPLES.iter().find(|s| s.name == "library.flac").unwrap();
    world.write("calls/library.flac", flac.bytes);
    let missing = world.run().expect(2);
    assert!(missing.stderr.contains("VOXBATCH_PLATFORM_ACCOUNT"), "{}", missing.stderr);
    run(&world).expect(3);
    let failures = world.failures();
    assert_eq!(
        (failures["long.wav"].as_str(), failures["library.flac"].as_str()),
        ("too_big", "unsupported_format")
    );
    assert_eq!(bodies(&world), 1);
}

#[test]
fn neither_account_nor_key_is_in_any_log_or_file_of_the_run() {
    let world = world(3);
    let (account, key) = ("account-7f0d2d64", "platform-key-9a3b4d7a");
    let known = Platform { accounts: vec![account.into()], ..Platform::default() };
    world.control(Change::Platform(known));
    let args = ["run", "--log-level", "trace", "--log-format", "json"];
    for (key, exit) in [(key, 4), ("emulator-key-of-nobody", 4)] {
        let mut run = command(&world, account, &args);
        run.env("VOXBATCH_PLATFORM_API_KEY", key);
        let ended = Process::start(run).wait().expect(exit);
        assert!(!ended.stderr.contains(account) && !ended.stderr.contains(key), "{}", ended.stderr);
        world.voxbatch(&["halts", "clear"]).expect(0);
    }
    world.control(Change::Keys(vec![key.to_owned()]));
    let mut run = command(&world, account, &args);
    run.env("VOXBATCH_PLATFORM_API_KEY", key);
    let ended = Process::start(run).wait().expect(0);
    let show = command(&world, account, &["config", "show"]);
    let shown = Process::start(show).wait().expect(0);
    for said in [ended.stderr, ended.stdout, shown.stdout] {
        assert!(!said.contains(account) && !said.contains(key), "{said}");
    }
    for file in crate::support::files_below(&world.path("")) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |secret: &str| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!holds(account) && !holds(key), "{}", file.display());
    }
    assert_eq!(world.results().len(), 3);
}
