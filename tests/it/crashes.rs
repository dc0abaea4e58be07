//! A kill at any moment, and outputs that somebody touched: nothing is lost, nothing stands twice.

use rustix::process::Signal;
use voxbatch::emulator::Change;

use crate::support::{STT, World, tone};

const RESULTS: &str = "out/archive/results.jsonl";

/// Starts a run, waits until all four slots are held in the middle, and kills it.
fn kill_in_the_middle(world: &World) {
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    run.kill();
    world.control(Change::Release);
    world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
}

#[test]
fn a_killed_run_is_taken_up_at_once_and_only_what_was_in_flight_is_sent_again() {
    let world = World::with_recordings(20);
    kill_in_the_middle(&world);
    kill_in_the_middle(&world);
    world.run().expect(0).told("recovered tasks=4");
    world.assert_each_once();
    assert_eq!(world.stt().bodies, 20 + 2 * 4);
    let losses: u64 = world.tasks("").iter().map(|t| t["lease_losses"].as_u64().unwrap()).sum();
    assert_eq!(losses, 8);
    let lost: Vec<_> = world.attempts().into_iter().filter(|a| a["outcome"] == "lost").collect();
    assert_eq!(lost.len(), 8);
    assert!(lost.iter().all(|a| a["billed"] == "unknown"), "{lost:?}");
}

#[test]
fn a_recording_that_three_runs_died_with_fails_and_can_be_tried_by_hand() {
    let world = World::with_recordings(4);
    (0..3).for_each(|_| kill_in_the_middle(&world));
    world.run().expect(3);
    let failures = world.failures();
    assert_eq!((failures.len(), world.results().len()), (4, 0));
    assert!(failures.values().all(|cause| cause == "lease_lost"), "{failures:?}");
    world.voxbatch(&["retry", "--where", "cause:lease_lost"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.failures().len(), 0);
}

#[test]
fn a_run_that_is_killed_while_answers_come_in_leaves_every_line_once() {
    let world = World::with_recordings(40);
    for answered in [3, 9, 17, 26] {
        let run = world.start(&["run"]);
        world.when("some are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= answered));
        run.signal(Signal::KILL);
        drop(run);
        world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    }
    world.run().expect(0);
    world.assert_each_once();
    assert!(world.stt().bodies <= 40 + 4 * 4, "{} bodies", world.stt().bodies);
}

#[test]
fn a_torn_line_at_the_end_is_cut_off() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let whole = world.read(RESULTS);
    let torn = [&whole[..], b"{\"schema\":\"voxbatch.result/1\",\"job\":\"arch"].concat();
    world.write(RESULTS, &torn);
    world.run().expect(0);
    assert_eq!(world.read(RESULTS), whole);

    world.write(RESULTS, &torn);
    world.write("calls/more.wav", &tone("more", 250));
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn results_that_somebody_cut_are_not_written_over() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let whole = world.read(RESULTS);
    world.write(RESULTS, &whole[..whole.len() / 2]);
    world.write("calls/more.wav", &tone("more", 250));
    world.forget();
    let ended = world.run().expect(7).told("something cut it").told("E-OUT-CHANGED");
    assert!(!ended.stderr.contains("E-BUG"));
    assert_eq!(world.read(RESULTS), &whole[..whole.len() / 2]);
    assert_eq!(world.report().requests, 0, "what cannot be written out is not paid for");

    std::fs::remove_file(world.path(RESULTS)).unwrap();
    world.run().expect(0);
    world.assert_each_once();
    assert!(world.read(RESULTS).starts_with(&whole), "the same lines, made anew from the queue");
    assert_eq!(world.report().requests, 1);
}

#[test]
fn results_that_somebody_edited_are_not_written_over() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let mut edited = world.read(RESULTS);
    edited[20] ^= 1;
    world.write(RESULTS, &edited);
    world.run().expect(7).told("no longer those that were written");
    assert_eq!(world.read(RESULTS), edited);
}

#[test]
fn deleted_outputs_are_made_anew_at_no_cost() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let whole = world.read(RESULTS);
    std::fs::remove_dir_all(world.path("out")).unwrap();
    world.forget();
    world.run().expect(0);
    assert_eq!((world.read(RESULTS), world.report().requests), (whole, 0));
}

#[test]
fn a_file_of_somebody_else_where_results_should_go_is_left_alone() {
    let world = World::with_recordings(3);
    world.write(RESULTS, b"{\"not\":\"ours\"}\n");
    world.run().expect(7).told("this queue did not write");
    assert_eq!((world.read(RESULTS), world.report().requests), (b"{\"not\":\"ours\"}\n".to_vec(), 0));
}
