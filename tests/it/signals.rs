//! Stopping by hand: first drain, then drop, and nothing is lost by either.

use rustix::process::Signal;
use serde_json::Value;
use voxbatch::emulator::Change;

use crate::support::{Jobs, Process, STT, World, json_lines};

/// A run with four requests at the emulator's gate.
fn held(world: &World) -> Process {
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    run
}

fn drains(signal: Signal, exit: i32) {
    let world = World::with_recordings(12);
    let run = held(&world);
    run.signal(signal);
    run.until_told("stopping");
    world.control(Change::Release);
    run.wait().expect(exit);
    assert_eq!((world.stt().requests, world.results().len()), (4, 4), "what was in flight ended well");
    assert_eq!(world.tasks("state:queued").len(), 8);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 12);
}

#[test]
fn the_first_ctrl_c_lets_what_is_in_flight_end() {
    drains(Signal::INT, 130);
}

#[test]
fn the_first_sigterm_does_too() {
    drains(Signal::TERM, 143);
}

#[test]
fn a_terminal_that_closes_counts_as_sigterm() {
    drains(Signal::HUP, 143);
}

fn assert_dropped(world: &World) {
    let dropped: Vec<Value> = world.attempts().into_iter().filter(|a| a["outcome"] == "released").collect();
    assert_eq!(dropped.len(), 4);
    for attempt in dropped {
        let what = (&attempt["cause"], &attempt["billed"]);
        assert_eq!(what, (&"interrupted".into(), &"unknown".into()), "{attempt}");
    }
    world.control(Change::Release);
    world.when("they are gone", |r| r.of(STT).in_flight == 0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 12 + 4);
    assert!(world.results().iter().all(|l| l["attempts"] == 1), "being dropped costs no attempt");
}

#[test]
fn the_second_ctrl_c_drops_what_is_in_flight_and_says_that_it_may_be_billed() {
    let world = World::with_recordings(12);
    let run = held(&world);
    run.signal(Signal::INT);
    run.until_told("stopping");
    run.signal(Signal::INT);
    run.wait().expect(130).told("dropping").told("billed=unknown");
    assert_eq!(world.results().len(), 0);
    assert_dropped(&world);
}

#[test]
fn when_the_grace_is_over_the_rest_is_dropped() {
    let world = World::with_recordings(12);
    world.configure(&Jobs { grace: "0s", ..Jobs::default() });
    let run = held(&world);
    run.signal(Signal::TERM);
    run.wait().expect(143).told("dropping");
    assert_dropped(&world);
}

#[test]
fn sigusr1_asks_for_a_status_line_and_what_is_in_flight() {
    let world = World::with_recordings(8);
    let run = held(&world);
    run.signal(Signal::USR1);
    run.until_told("status done=0/8");
    run.until_told("in_flight task=");
    world.control(Change::Release);
    run.wait().expect(0);
    world.assert_each_once();
}

#[test]
fn a_stopped_run_says_so_in_its_events() {
    let world = World::with_recordings(8);
    world.control(Change::Hold);
    let run = world.start(&["run", "--json"]);
    world.when_held(4);
    run.signal(Signal::INT);
    run.until_said("\"draining\"");
    world.control(Change::Release);
    let events = json_lines(&run.wait().expect(130).stdout);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["stop_reason"]), (&"run_finished".into(), &"signal".into()));
    assert_eq!((&last["exit_code"], &last["totals"]["queued"]), (&130.into(), &4.into()));
}
