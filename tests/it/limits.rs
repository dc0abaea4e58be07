//! Slots: kept full, and never exceeded, by one process or by several on one queue.

use voxbatch::emulator::{Change, Latency, ModelLimits};
use voxbatch::queue::{QueueSettings, SqliteStore, TaskStore};
use voxbatch::task::Endpoint;

use crate::support::{Jobs, STT, World};

#[test]
fn as_many_requests_are_in_flight_as_are_configured_and_never_more() {
    let world = World::with_recordings(30);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    world.control(Change::Release);
    run.wait().expect(0);
    world.assert_each_once();
    assert_eq!((world.stt().peak_in_flight, world.stt().requests), (4, 30));
}

#[test]
fn slots_on_the_command_line_take_the_place_of_the_files_but_never_exceed_it() {
    let world = World::with_recordings(20);
    world.control(Change::Hold);
    let run = world.start(&["run", "--slots", "2"]);
    world.when_held(2);
    world.control(Change::Release);
    run.wait().expect(0);
    assert_eq!(world.stt().peak_in_flight, 2);
}

/// What another process tells the queue of the pace.
fn tell_pace(world: &World, effective: u32) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let settings = QueueSettings { state_dir: world.path(".voxbatch") };
        let store = SqliteStore::open(&settings).await.unwrap();
        if store.limiter(Endpoint::SttBatch).await.unwrap().ceiling == 0 {
            store.set_ceiling(Endpoint::SttBatch, 4).await.unwrap();
        }
        store.save_pace(Endpoint::SttBatch, Some(effective), None).await.unwrap();
        store.close().await;
    });
}

#[test]
fn a_pace_that_another_process_has_raised_is_taken_up_before_the_next_answer() {
    let world = World::with_recordings(20);
    world.voxbatch(&["scan"]).expect(0);
    tell_pace(&world, 1);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(1);
    run.until_told("slots");
    assert_eq!(world.stt().in_flight, 1);
    tell_pace(&world, 4);
    world.when_held(4);
    world.control(Change::Release);
    run.wait().expect(0);
    world.assert_each_once();
}

#[test]
fn two_processes_on_one_queue_share_the_slots_and_the_work() {
    let world = World::with_recordings(40);
    world.voxbatch(&["scan"]).expect(0);
    // A little work for each request, so that both have their part in it.
    world.control(Change::Latency(Latency { scale: 0.02, ..Latency::default() }));
    world.control(Change::Hold);
    let first = world.start(&["run"]);
    world.when_held(4);
    let second = world.start(&["run"]);
    second.until_told("slots");
    assert_eq!(world.stt().in_flight, 4, "the second finds no slot");
    world.control(Change::Release);
    first.wait().expect(0);
    second.wait().expect(0);
    world.assert_each_once();
    assert_eq!((world.stt().peak_in_flight, world.stt().requests), (4, 40));
}

#[test]
fn processes_that_find_no_queue_and_start_together_all_do_their_part() {
    for _ in 0..6 {
        let world = World::with_recordings(3);
        let runs: Vec<_> = (0..4).map(|_| world.start(&["run"])).collect();
        runs.into_iter().for_each(|run| drop(run.wait().expect(0)));
        world.assert_each_once();
        assert_eq!(world.stt().requests, 3);
    }
}

#[test]
fn a_smaller_limit_of_the_organisation_is_learnt_without_losing_a_recording() {
    let world = World::with_recordings(20);
    let limits = ModelLimits { concurrent: 2, ..ModelLimits::default() };
    world.control(Change::Model { name: STT.to_owned(), limits });
    world.control(Change::Latency(Latency { scale: 0.01, ..Latency::default() }));
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!((world.stt().peak_in_flight, world.stt().billed), (2, 20));
    for line in world.results() {
        assert_eq!(line["attempts"], 1, "being one too many costs no attempt: {line}");
    }
}

#[test]
fn each_endpoint_has_slots_of_its_own() {
    let world = World::with_recordings(6);
    let fast = "velma-2-stt-batch-english-vfast";
    world.configure(&Jobs {
        concurrent: 3,
        jobs: vec![("archive", STT, "calls"), ("fast", fast, "calls")],
        ..Jobs::default()
    });
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("both are full", |r| (r.of(STT).held, r.of(fast).held) == (3, 3));
    world.control(Change::Release);
    run.wait().expect(0);
    assert_eq!((world.report().of(STT).peak_in_flight, world.report().of(fast).peak_in_flight), (3, 3));
}

/// What the organisation lets through at once, from now on.
fn let_through(world: &World, concurrent: u32) {
    let limits = ModelLimits { concurrent, ..ModelLimits::default() };
    world.control(Change::Model { name: STT.to_owned(), limits });
}

#[test]
fn what_another_program_takes_of_the_limit_is_found_out_and_taken_again_when_it_is_given_back() {
    let world = World::with_recordings(400);
    world.configure(&Jobs { concurrent: 16, ..Jobs::default() });
    world.control(Change::Latency(Latency { scale: 0.2, ..Latency::default() })); // a tenth of a second
    let run = world.start(&["run"]);
    world.when("all slots are in use", |r| r.of(STT).in_flight == 16);
    let_through(&world, 8);
    world.when("half is done", |r| r.of(STT).billed >= 200);
    let refused = world.report().refused("concurrency");
    let_through(&world, 16);
    world.when("all slots are in use again", |r| r.of(STT).in_flight == 16);
    run.wait().expect(0);
    world.assert_each_once();
    assert!((1..=40).contains(&refused), "{refused} of about 200 were refused while half was gone");
    assert!(world.results().iter().all(|line| line["attempts"] == 1));
}

/// What the last run wrote down, in slot-milliseconds.
fn slot_ms(world: &World, account: &str) -> u64 {
    let kept: serde_json::Value = serde_json::from_slice(&world.read(".voxbatch/slots.json")).unwrap();
    kept["slot_ms"][account].as_u64().unwrap()
}

#[test]
fn where_the_slots_time_went_is_told_by_the_run_and_by_status_after_it() {
    let world = World::with_recordings(40);
    world.control(Change::Latency(Latency { scale: 0.4, ..Latency::default() }));
    let told = world.voxbatch(&["run", "--json"]).expect(0).stdout;
    let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    let used = last["totals"]["utilisation"].as_f64().unwrap();
    assert!(used > 0.5, "{last:#}");
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!(status["slots"]["run"], last["run"]);
    assert_eq!(status["slots"]["live"], false);
    assert_eq!(status["slots"]["of"]["slots"], 4);
    assert_eq!(status["slots"]["of"]["utilisation"].as_f64(), Some(used));
    let lines = world.voxbatch(&["status"]).expect(0);
    assert!(
        lines.stdout.contains("the last run, until ") && lines.stdout.contains("slots used "),
        "{lines:?}"
    );
}

#[test]
fn slots_that_stand_still_by_hand_are_lost_to_the_pause_and_to_nothing_else() {
    let world = World::with_recordings(12);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    world.voxbatch(&["pause"]).expect(0);
    world.control(Change::Release);
    world.when("what was in flight is over", |r| r.of(STT).billed == 4 && r.of(STT).in_flight == 0);
    world.voxbatch(&["status"]).expect(0);
    world.voxbatch(&["resume"]).expect(0);
    run.wait().expect(0);
    world.assert_each_once();
    let paused = slot_ms(&world, "paused");
    assert!(paused > 0);
    assert_eq!(["throttled", "halted", "budget", "outage", "shared"].map(|a| slot_ms(&world, a)), [0; 5]);
}
