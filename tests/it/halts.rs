//! Refusals that concern more than one file: they stop an endpoint or everything, at most what is in flight reaches
//! the API after the first, and what is left goes on when the reason is gone.

use voxbatch::emulator::{Change, Contract, Faults, ModelLimits, Settings};

use crate::support::{Jobs, STT, World, json_lines, roomy, tone};

const VOICE: &str = "velma-2-synthetic-voice-detection-batch";
const FAST: &str = "velma-2-stt-batch-english-vfast";
/// Slots of every run here.
const SLOTS: u64 = 4;

fn hours(ms: u64) -> f64 {
    ms as f64 / 3_600_000.0
}

fn limits(monthly_ms: Option<u64>) -> ModelLimits {
    ModelLimits { concurrent: 1000, monthly_hours: monthly_ms.map(hours), enabled: true }
}

fn late(world: &World, kind: &str) -> u64 {
    world.report().requests_after_first.get(kind).copied().unwrap_or_default()
}

/// Stops when the month's hours are used up half way, probes once, and goes on when there are more.
fn stops_at_the_months_hours(contract: Contract, endpoint: &'static str) {
    let world = World::with_recordings(0);
    for n in 0..20 {
        world.write(&format!("calls/{n:02}.wav"), &tone(&n.to_string(), 600));
    }
    world.configure(&Jobs { jobs: vec![("archive", endpoint, "calls")], ..Jobs::default() });
    world.control(Change::Contract(contract));
    let set = |ms| world.control(Change::Model { name: endpoint.to_owned(), limits: limits(ms) });
    set(Some(6000));

    world.run().expect(5);
    assert!(late(&world, "monthly_hours") <= SLOTS - 1 + 1, "those on their way, and one lone try");
    assert!((10..10 + SLOTS).contains(&world.report().of(endpoint).billed), "half of them");
    assert_eq!(world.failures().len(), 0, "nobody's fault");

    let sent = world.report().requests;
    world.run().expect(5);
    assert!(world.report().requests <= sent + 1, "one probe at most");
    let sent = world.report().requests;
    world.run().expect(5);
    assert_eq!(world.report().requests, sent, "within the interval none");

    set(None);
    world.voxbatch(&["halts", "clear"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.report().of(endpoint).billed, 20);
    assert!(world.results().iter().all(|l| l["attempts"] == 1), "waiting cost no attempts");
}

#[test]
fn the_months_hours_stop_a_run_under_contract_a() {
    stops_at_the_months_hours(Contract::A, STT);
}

#[test]
fn the_months_hours_stop_a_run_under_contract_b() {
    stops_at_the_months_hours(Contract::B, STT);
}

#[test]
fn the_months_hours_stop_a_run_under_contract_c() {
    stops_at_the_months_hours(Contract::C, STT);
}

#[test]
fn the_months_hours_stop_voice_detection_although_it_says_403_to_everything() {
    stops_at_the_months_hours(Contract::A, VOICE);
}

#[test]
fn the_months_hours_of_one_model_leave_another_one_at_work() {
    let world = World::with_recordings(12);
    world.configure(&Jobs {
        jobs: vec![("archive", STT, "calls"), ("fast", FAST, "calls")],
        ..Jobs::default()
    });
    world.control(Change::Model { name: STT.to_owned(), limits: limits(Some(1000)) });
    world.run().expect(5);
    world.assert_each_once_in("calls", "out/fast/results.jsonl");
    assert!(world.results().len() < 12);
}

#[test]
fn when_the_month_has_turned_one_probe_finds_out_and_the_run_goes_on_by_itself() {
    let world = World::with_recordings(12);
    world.configure(&Jobs { probe_interval: "1s", ..Jobs::default() });
    world.control(Change::Model { name: STT.to_owned(), limits: limits(Some(1000)) });
    world.run().expect(5);
    world.control(Change::NewMonth);
    world.control(Change::Model { name: STT.to_owned(), limits: limits(None) });
    world.run().expect(0).told("halt_over");
    world.assert_each_once();
    assert_eq!(world.voxbatch(&["halts"]).expect(0).stdout, "nothing stands still\n");
}

#[test]
fn used_up_credits_stop_every_endpoint() {
    let world = World::with_recordings(20);
    world.configure(&Jobs {
        jobs: vec![("archive", STT, "calls"), ("fast", FAST, "calls")],
        ..Jobs::default()
    });
    world.control(Change::CreditsHours(Some(hours(2500))));
    world.run().expect(5);
    assert!(late(&world, "credits") < 2 * SLOTS, "those on their way on two endpoints");
    let halts = json_lines(&world.voxbatch(&["halts", "list", "--json"]).expect(0).stdout);
    assert_eq!(halts.len(), 1, "{halts:?}");
    assert_eq!((&halts[0]["scope"], &halts[0]["reason"]), (&"all".into(), &"credits".into()));
    assert!(halts[0]["evidence"].as_str().unwrap().contains("Insufficient credits."));

    world.control(Change::CreditsHours(None));
    world.voxbatch(&["halts", "clear"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
    world.assert_each_once_in("calls", "out/fast/results.jsonl");
}

fn stops_at_a_refused_key(contract: Contract) {
    let world = World::with_recordings(12);
    world.control(Change::Contract(contract));
    world.control(Change::Keys(vec!["another".to_owned()]));
    world.run().expect(4);
    assert!((1..=SLOTS + 1).contains(&world.report().requests), "those on their way, and a free call");
    assert_eq!((world.failures().len(), world.report().bodies), (0, 0));

    world.control(Change::Keys(vec!["emulator-key".to_owned()]));
    world.voxbatch(&["halts", "clear"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_refused_key_stops_everything_under_contract_a() {
    stops_at_a_refused_key(Contract::A);
}

#[test]
fn a_refused_key_stops_everything_under_contract_b() {
    stops_at_a_refused_key(Contract::B);
}

#[test]
fn a_refused_key_stops_everything_under_contract_c() {
    stops_at_a_refused_key(Contract::C);
}

#[test]
fn a_key_that_is_good_again_is_found_out_by_one_probe() {
    let world = World::with_recordings(6);
    world.control(Change::Keys(Vec::new()));
    world.run().expect(4);
    world.control(Change::Keys(vec!["emulator-key".to_owned()]));
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_model_that_is_not_enabled_ends_with_4_whatever_the_contract() {
    for contract in [Contract::A, Contract::B, Contract::C] {
        let world = World::with_recordings(12);
        world.control(Change::Contract(contract));
        let limits = ModelLimits { enabled: false, ..limits(None) };
        world.control(Change::Model { name: STT.to_owned(), limits });
        world.run().expect(4);
        let requests = world.report().requests;
        assert!((1..=SLOTS + 2).contains(&requests), "{requests} under {contract:?}");
        assert_eq!(world.failures().len(), 0);
    }
}

#[test]
fn the_hours_of_the_configuration_are_never_crossed() {
    let world = World::with_recordings(20);
    world.configure(&Jobs { monthly_hours: Some(hours(2600)), ..Jobs::default() });
    world.run().expect(5);
    assert_eq!((world.stt().billed_ms, world.stt().requests), (2500, 10), "the eleventh would cross them");
    world.run().expect(5);
    assert_eq!(world.stt().requests, 10);

    world.configure(&Jobs { monthly_hours: Some(hours(5000)), ..Jobs::default() });
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.stt().billed_ms, 5000);
}

#[test]
fn a_pause_lets_requests_in_flight_end_and_starts_nothing_until_resume() {
    let world = World::with_recordings(12);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(SLOTS);
    world.voxbatch(&["pause"]).expect(0);
    world.control(Change::Release);
    world.when("all has ended", |r| r.of(STT).in_flight == 0);
    assert_eq!(world.stt().requests, SLOTS);
    let status = world.voxbatch(&["status"]).expect(0);
    assert!(status.stdout.contains("paused by hand"), "{}", status.stdout);
    world.voxbatch(&["resume"]).expect(0);
    run.wait().expect(0);
    world.assert_each_once();
}

#[test]
fn a_halt_is_told_with_its_evidence_and_how_to_go_on() {
    let world = World::with_recordings(8);
    world.control(Change::Model { name: STT.to_owned(), limits: limits(Some(500)) });
    let ended = world.run().expect(5).told("Monthly usage limit exceeded for this model.");
    assert!(ended.stdout.contains("left"), "{}", ended.stdout);
    let id = world.tasks("state:queued")[0]["task"].to_string();
    let explained = world.voxbatch(&["explain", &id]).expect(0).stdout;
    assert!(explained.contains("Monthly usage limit exceeded for this model."), "{explained}");
    let status = world.voxbatch(&["status"]).expect(0).stdout;
    assert!(status.contains("voxbatch halts clear"), "{status}");
}

/// A key is refused; then it is good again.
fn halted_by_its_key(recordings: &[(&str, u32)]) -> World {
    let world = World::new(Settings { script: true, ..roomy() });
    for (name, ms) in recordings {
        world.write(&format!("calls/{name}.wav"), &tone(name, *ms));
    }
    world.control(Change::Keys(Vec::new()));
    world.run().expect(4);
    world.control(Change::Keys(vec!["emulator-key".to_owned()]));
    world.forget();
    world
}

#[test]
fn a_probe_that_meets_a_sick_or_busy_server_neither_lifts_nor_confirms_a_halt() {
    // The longest goes first, and so is the probe.
    for name in
        ["busy_once-first", "overloaded_twice-first", "bad_gateway_once-first", "answer_lost_once-first"]
    {
        let world = halted_by_its_key(&[(name, 600), ("ok-second", 250), ("ok-third", 250)]);
        world.run().expect(0).told("halt_over");
        world.assert_each_once();
    }
}

#[test]
fn probes_of_a_run_that_find_out_nothing_end() {
    let world = halted_by_its_key(&[("a", 250), ("b", 250), ("c", 250), ("d", 250), ("e", 250), ("f", 250)]);
    world.control(Change::Faults(Faults { rate_503: 1.0, ..Faults::default() }));
    world.run().expect(4);
    let sent = world.report().requests;
    assert!((2..=5).contains(&sent), "{sent} requests");
    world.control(Change::Faults(Faults::default()));
    world.run().expect(4);
    assert_eq!(world.report().requests, sent, "the interval to the next probe holds");
    world.voxbatch(&["halts", "clear"]).expect(0);
    world.run().expect(0);
    world.assert_each_once();
}
