//! The wall clock jumps, between runs and during one: nothing is lost, doubled or paid for twice, and nothing waits
//! for a moment that the clock before would have reached.

use voxbatch::emulator::{Change, Faults, ModelLimits};

use crate::support::{Clock, Ended, Jobs, Process, STT, World, skip};

/// Before and after a jump.
const JUMPS: [(&str, &str); 4] = [("+0d", "+40d"), ("+0d", "-40d"), ("+40d", "+0d"), ("+0d", "-1h")];

/// A world, and the clock that its runs go by.
fn world(recordings: usize) -> Option<(World, Clock)> {
    let world = World::with_recordings(recordings);
    let clock = Clock::find(&world.path("")).unwrap();
    if clock.is_none() {
        skip("a test of a wall clock that jumps needs libfaketime (Debian: faketime)");
    }
    Some((world, clock?))
}

fn start(world: &World, clock: &Clock) -> Process {
    let mut command = world.command(&["run"]);
    clock.rule(&mut command);
    Process::start(command)
}

fn run(world: &World, clock: &Clock) -> Ended {
    start(world, clock).wait()
}

fn held(world: &World, clock: &Clock) -> Process {
    world.control(Change::Hold);
    let run = start(world, clock);
    world.when_held(4);
    run
}

/// Too many at once, and come back in ten minutes.
fn refusing() -> Change {
    Change::Faults(Faults { rate_429: 1.0, retry_after_s: Some(600), ..Faults::default() })
}

/// Until a pause stands in the queue, and with it the waits of what was refused.
fn when_paused(world: &World) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let paused = || {
        let status = world.voxbatch(&["status", "--json"]).expect(0).json();
        status["jobs"][0]["running"] == 0 && !status["endpoints"][0]["paused_until"].is_null()
    };
    while !paused() {
        assert!(std::time::Instant::now() < until, "no pause");
    }
}

fn assert_whole(world: &World, bodies: u64) {
    world.assert_each_once();
    assert_eq!(world.stt().bodies, bodies);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn a_killed_run_is_taken_up_whatever_the_clock_says_then() {
    for (before, after) in JUMPS {
        let Some((world, clock)) = world(12) else { return };
        clock.set(before).unwrap();
        held(&world, &clock).kill();
        world.control(Change::Release);
        world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
        clock.set(after).unwrap();
        run(&world, &clock).expect(0).told("recovered tasks=4");
        assert_whole(&world, 12 + 4);
    }
}

#[test]
fn a_clock_that_jumps_while_requests_are_in_flight_costs_nothing() {
    for (before, after) in JUMPS {
        let Some((world, clock)) = world(12) else { return };
        clock.set(before).unwrap();
        let held = held(&world, &clock);
        clock.set(after).unwrap();
        world.control(Change::Release);
        held.wait().expect(0);
        assert_whole(&world, 12);
        run(&world, &clock).expect(0);
        assert_whole(&world, 12);
    }
}

#[test]
fn what_a_clock_that_was_ahead_made_wait_does_not_wait_for_it() {
    for (before, after) in JUMPS {
        let Some((world, clock)) = world(8) else { return };
        clock.set(before).unwrap();
        world.control(refusing());
        let refused = start(&world, &clock);
        when_paused(&world);
        refused.kill();
        world.control(Change::Faults(Faults::default()));
        clock.set(after).unwrap();
        run(&world, &clock).expect(0);
        assert_whole(&world, 8);
    }
}

#[test]
fn a_run_whose_clock_is_set_back_does_not_wait_for_it() {
    let Some((world, clock)) = world(8) else { return };
    world.control(refusing());
    let run = start(&world, &clock);
    when_paused(&world);
    world.control(Change::Faults(Faults::default()));
    clock.set("-40d").unwrap();
    // The next look of a run at its fellows, every fifteen seconds, ends the waits.
    run.wait().expect(0);
    assert_whole(&world, 8);
}

#[test]
fn an_outage_ends_also_when_the_clock_was_set_back_in_it() {
    let Some((world, clock)) = world(12) else { return };
    world.configure(&Jobs { max_attempts: 1000, ..Jobs::default() });
    world.control(Change::Faults(Faults { rate_503: 1.0, ..Faults::default() }));
    let run = start(&world, &clock);
    run.until_told("outage");
    clock.set("-40d").unwrap();
    world.control(Change::Faults(Faults::default()));
    run.wait().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().billed, 12);
}

#[test]
fn a_halt_that_a_clock_ahead_has_probed_is_probed_by_the_clock_that_holds() {
    let Some((world, clock)) = world(8) else { return };
    let hours = |hours| ModelLimits { concurrent: 1000, monthly_hours: hours, enabled: true };
    let set = |limit| world.control(Change::Model { name: STT.to_owned(), limits: hours(limit) });
    clock.set("+40d").unwrap();
    set(Some(0.0));
    run(&world, &clock).expect(5);
    run(&world, &clock).expect(5);
    set(None);
    clock.set("+0d").unwrap();
    run(&world, &clock).expect(0).told("halt_over");
    assert_whole(&world, 8);
}
