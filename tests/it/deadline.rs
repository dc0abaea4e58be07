//! The end that was set beforehand: nothing begins after it, nothing that was paid for is dropped by it, and the exit
//! code says whether anything is left. Orders of one run are here too: they decide what is left.

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use voxbatch::emulator::{Change, Faults, ModelLimits};

use crate::support::{Clock, Ended, Jobs, Process, STT, World, json_lines, skip, tone};

const PAST: &str = "2020-01-01T00:00:00Z";

/// A run with requests at the closed gate, whose deadline has come.
fn held_past_its_deadline(world: &World, args: &[&str]) -> Process {
    world.control(Change::Hold);
    let run = world.start(&[&["run", "--max-duration", "3s"], args].concat());
    run.until_told("why=deadline");
    run
}

/// As many ended well as were sent; the rest is queued, and the next run does it.
fn assert_resumable(world: &World, recordings: u64) {
    let sent = world.stt().requests;
    assert_eq!(
        (world.results().len() as u64, world.stt().billed),
        (sent, sent),
        "what was in flight ended well"
    );
    assert_eq!(world.tasks("state:queued").len() as u64, recordings - sent);
    world.voxbatch(&["verify"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, recordings);
}

#[test]
fn at_the_deadline_nothing_new_begins_and_what_is_in_flight_ends() {
    let world = World::with_recordings(12);
    let run = held_past_its_deadline(&world, &[]);
    let sent = world.stt().requests;
    assert!(sent <= 4);
    world.control(Change::Release);
    let ended = run.wait().expect(10).told("deadline until=").told("stop=deadline");
    assert!(ended.stdout.contains("stopped at the deadline"), "{}", ended.stdout);
    assert!(ended.stdout.contains("next: voxbatch run   (8 files left)") || sent < 4, "{}", ended.stdout);
    assert_eq!(world.stt().requests, sent);
    assert_resumable(&world, 12);
}

#[test]
fn a_deadline_is_told_in_the_events() {
    let world = World::with_recordings(12);
    world.control(Change::Hold);
    let run = world.start(&["run", "--json", "--max-duration", "3s"]);
    run.until_said("\"draining\"");
    world.control(Change::Release);
    let events = json_lines(&run.wait().expect(10).stdout);
    let of = |kind: &str| events.iter().find(|e| e["type"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert!(of("deadline")["until"].as_str().unwrap().ends_with('Z'));
    assert_eq!(of("draining")["why"], "deadline");
    let last = of("run_finished");
    assert_eq!((&last["stop_reason"], &last["exit_code"]), (&"deadline".into(), &10.into()));
}

#[test]
fn a_deadline_that_lies_before_the_first_request_does_no_harm() {
    let world = World::with_recordings(5);
    world.voxbatch(&["run", "--until", PAST]).expect(2).told("--until 2020-01-01T00:00:00.000Z is over");
    world.voxbatch(&["run", "--max-duration", "0s"]).expect(10);
    assert_eq!(world.report().requests, 0);
    world.voxbatch(&["verify"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    world.voxbatch(&["run", "--no-scan", "--max-duration", "0s"]).expect(0);
}

#[test]
fn a_run_that_is_done_before_its_deadline_does_not_wait_for_it() {
    let world = World::with_recordings(5);
    world.voxbatch(&["run", "--max-duration", "10h", "--until", "2099-01-01T00:00:00Z"]).expect(0);
    world.assert_each_once();
    world.write("calls/empty.wav", b"");
    world.voxbatch(&["run", "--max-duration", "10h"]).expect(3);
}

#[test]
fn a_signal_after_the_deadline_drops_nothing_and_decides_the_exit_code() {
    let world = World::with_recordings(12);
    let run = held_past_its_deadline(&world, &[]);
    run.signal(Signal::TERM);
    run.until_told("why=signal");
    world.control(Change::Release);
    run.wait().expect(143);
    assert_resumable(&world, 12);
}

#[test]
fn what_is_in_flight_when_the_grace_after_a_deadline_is_over_is_dropped() {
    let world = World::with_recordings(12);
    world.configure(&Jobs { grace: "0s", ..Jobs::default() });
    world.control(Change::Hold);
    let run = world.start(&["run", "--max-duration", "3s"]);
    run.wait().expect(10).told("dropping");
    assert_eq!(world.results().len(), 0);
    world.control(Change::Release);
    world.when("they are gone", |r| r.of(STT).in_flight == 0);
    world.run().expect(0);
    world.assert_each_once();
    assert!(world.results().iter().all(|l| l["attempts"] == 1), "being dropped costs no attempt");
}

#[test]
fn a_halt_counts_for_more_than_a_deadline() {
    let world = World::with_recordings(12);
    let fast = "velma-2-stt-batch-english-vfast";
    world.configure(&Jobs {
        jobs: vec![("archive", STT, "calls"), ("fast", fast, "calls")],
        ..Jobs::default()
    });
    let limits = ModelLimits { concurrent: 1000, monthly_hours: Some(0.0), enabled: true };
    world.control(Change::Model { name: STT.to_owned(), limits });
    world.control(Change::Hold);
    let run = world.start(&["run", "--max-duration", "8s"]);
    run.until_told("halt scope=");
    run.until_told("why=deadline");
    world.control(Change::Release);
    run.wait().expect(5);
}

#[test]
fn what_waits_for_its_next_try_does_not_keep_a_run_beyond_its_deadline() {
    let world = World::with_recordings(3);
    let faults = Faults { rate_429: 1.0, retry_after_s: Some(600), ..Faults::default() };
    world.control(Change::Faults(faults));
    world.voxbatch(&["run", "--max-duration", "2s"]).expect(10);
    assert_eq!(world.tasks("state:queued").len(), 3);
}

/// The moment after so long, by this machine's clock.
fn in_hours(hours: u64) -> String {
    voxbatch::task::Timestamp::from(SystemTime::now() + Duration::from_secs(3600 * hours)).to_string()
}

fn with_clock(jump: &str, args: &[&str]) -> Option<(World, Ended)> {
    let world = World::with_recordings(12);
    let Some(clock) = Clock::find(&world.path("")).unwrap() else {
        skip("a test of a wall clock that jumps needs libfaketime (Debian: faketime)");
        return None;
    };
    world.control(Change::Hold);
    let mut command = world.command(args);
    clock.rule(&mut command);
    let run = Process::start(command);
    world.when_held(4);
    clock.set(jump).unwrap();
    if args.contains(&"--until") {
        run.until_told("why=deadline");
    } else {
        run.signal(Signal::USR1);
        run.until_told("status done=");
    }
    world.control(Change::Release);
    Some((world, run.wait()))
}

#[test]
fn until_goes_by_the_clock_on_the_wall_wherever_it_is_set() {
    let Some((world, ended)) = with_clock("+1d", &["run", "--until", &in_hours(6)]) else { return };
    ended.expect(10);
    assert_resumable(&world, 12);
}

#[test]
fn a_length_of_time_is_as_long_as_it_is_wherever_the_wall_clock_is_set() {
    for jump in ["+40d", "-40d"] {
        let Some((world, ended)) = with_clock(jump, &["run", "--max-duration", "1h"]) else { return };
        ended.expect(0);
        world.assert_each_once();
    }
}

#[test]
fn a_time_that_is_none_is_told_before_anything_begins() {
    let world = World::with_recordings(1);
    for args in [["--until", "6 am"], ["--until", "25:00"], ["--max-duration", "2"], ["--order", "longst"]] {
        world.voxbatch(&[&["run"][..], &args].concat()).expect(2).told(args[1]);
    }
    world.voxbatch(&["run", "--until", ""]).expect(2);
    assert_eq!(world.report().requests, 0);
}

#[test]
fn an_order_holds_for_one_run() {
    let world = World::with_recordings(0);
    let record = |names: [(&str, u32); 3]| {
        names.iter().for_each(|(name, ms)| world.write(&format!("calls/{name}.wav"), &tone(name, *ms)));
    };
    let sent = || world.results().iter().map(|l| l["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    world.configure(&Jobs { concurrent: 1, of_each_job: "order = \"path\"", ..Jobs::default() });
    record([("a", 500), ("b", 250), ("c", 1000)]);
    world.voxbatch(&["scan"]).expect(0); // they were queued by the job's own order
    world.voxbatch(&["run", "--order", "shortest", "--limit", "2"]).expect(0);
    assert_eq!(sent(), ["b.wav", "a.wav"]);
    record([("d", 250), ("b2", 2000), ("e", 500)]);
    world.run().expect(0);
    assert_eq!(sent()[2..], ["c.wav", "b2.wav", "d.wav", "e.wav"], "the job's own order again");
}
