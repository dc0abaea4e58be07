//! What is tried again, how often, and at what cost: the emulator's outcome table, and faults at random.

use std::collections::BTreeMap;

use voxbatch::emulator::{Change, Ending, Faults, OUTCOMES, Outcome, Settings};

use crate::support::{Jobs, World, roomy, tone};

/// With a recording for each line of the outcome table.
fn rehearsed() -> World {
    let faults = Faults { stall_for: std::time::Duration::from_millis(50), ..Faults::default() };
    let world = World::new(Settings { script: true, faults, ..roomy() });
    for outcome in OUTCOMES {
        world.write(&format!("calls/{}.wav", outcome.name), &tone(outcome.name, 250));
    }
    world
}

#[test]
fn every_line_of_the_outcome_table_ends_as_it_says_with_the_attempts_it_says() {
    let world = rehearsed();
    // With few slots, so many lines that fail look like an outage, which costs no attempts.
    world.configure(&Jobs { concurrent: 16, ..Jobs::default() });
    world.run().expect(3);
    let failures = world.failures();
    let attempts: BTreeMap<String, u64> = (world.results().iter())
        .chain(&world.lines("out/archive/failures.jsonl"))
        .map(|l| (l["path"].as_str().unwrap().to_owned(), l["attempts"].as_u64().unwrap()))
        .collect();
    let mut wrong = Vec::new();
    for Outcome { name, ends, attempts: expected, about, .. } in OUTCOMES {
        let path = format!("{name}.wav");
        let ended = failures.get(&path).map_or(Ending::Succeeded, |_| Ending::Failed(""));
        let as_it_says = match ends {
            Ending::Succeeded => ended == Ending::Succeeded,
            Ending::Failed(cause) => failures.get(&path).map(String::as_str) == Some(*cause),
        };
        let tried = attempts.get(&path).copied().unwrap_or_default();
        let expected = u64::from(expected.unwrap_or(5));
        // A reset that meets the client while it still writes looks like an early refusal, and then costs nothing.
        let free = *name == "reset_once" && tried == expected - 1;
        if !as_it_says || (tried != expected && !free) {
            wrong.push(format!("{path} ({about}): {:?} after {tried} attempts", failures.get(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(attempts.len(), OUTCOMES.len(), "each has one line in one of the files");
}

#[test]
fn fewer_attempts_are_made_when_the_configuration_says_so() {
    let world = World::new(Settings { script: true, ..roomy() });
    world.write("calls/always_500.wav", &tone("a", 250));
    world.configure(&Jobs { max_attempts: 2, ..Jobs::default() });
    world.run().expect(3);
    assert_eq!(world.stt().requests, 2);
}

#[test]
fn too_many_at_once_costs_no_attempt_however_often_it_is_said() {
    let world = World::with_recordings(25);
    world.control(Change::Faults(Faults { seed: 7, rate_429: 0.3, ..Faults::default() }));
    world.run().expect(0);
    world.assert_each_once();
    let refused = world.report().refused("concurrency");
    assert!(refused >= 3, "the dice were thrown: {refused}");
    assert!(world.results().iter().all(|l| l["attempts"] == 1));
    let throttles: u64 = world.tasks("").iter().map(|t| t["throttles"].as_u64().unwrap()).sum();
    assert_eq!(throttles, refused);
}

#[test]
fn refusals_and_cuts_in_the_middle_of_an_upload_cost_no_attempt_either() {
    let world = World::with_recordings(0);
    // More than the buffers between the two hold: nothing of it can have been taken as a whole.
    for n in 0..5 {
        world.write(&format!("calls/{n}.wav"), &tone(&n.to_string(), 500_000));
    }
    world.control(Change::DrainBeforeRefusing(false));
    let faults = Faults { seed: 5, rate_429: 0.25, reset_before_body: 0.25, ..Faults::default() };
    world.control(Change::Faults(faults));
    world.run().expect(0);
    world.assert_each_once();
    let report = world.report();
    assert!(report.refused("concurrency") > 0 && report.connections_cut > 0, "{report:#?}");
    assert_eq!(world.stt().billed, 5);
    let paid: Vec<_> = world.attempts().into_iter().filter(|a| a["outcome"] == "retried").collect();
    assert!(paid.is_empty(), "{paid:#?}");
}

#[test]
fn a_refusal_in_words_that_no_list_knows_is_waited_out_and_costs_no_attempt() {
    let world = World::with_recordings(20);
    world.configure(&Jobs { concurrent: 8, ..Jobs::default() });
    // So few that none of them meets a request that is alone: then it would take seconds to find out more.
    let faults = Faults { seed: 8, rate_429: 0.05, unknown_429_text: true, ..Faults::default() };
    world.control(Change::Faults(faults));
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(world.report().refused("unknown_throttle"), 1);
    assert!(world.results().iter().all(|l| l["attempts"] == 1));
}

#[test]
fn seeded_faults_of_every_kind_delay_recordings_and_lose_none() {
    let world = World::with_recordings(40);
    world.configure(&Jobs { max_attempts: 12, ..Jobs::default() });
    world.control(Change::Faults(Faults {
        seed: 11,
        rate_429: 0.08,
        rate_503: 0.12,
        html_error: 0.05,
        reset_after_body: 0.04,
        truncated_json: 0.04,
        ..Faults::default()
    }));
    world.run().expect(0);
    world.assert_each_once();
    let report = world.report();
    assert!(report.connections_cut > 0 && report.refused("overloaded") > 0, "{report:#?}");
    assert!(world.stt().billed >= 40);
}

#[test]
fn what_the_api_asks_us_to_wait_is_waited_by_everybody() {
    let world = World::new(Settings { script: true, ..roomy() });
    world.control(Change::Faults(Faults { retry_after_s: Some(1), ..Faults::default() }));
    for name in ["busy_once", "ok-1", "ok-2", "ok-3"] {
        world.write(&format!("calls/{name}.wav"), &tone(name, 250));
    }
    let started = std::time::Instant::now();
    world.run().expect(0);
    assert!(started.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(world.stt().requests, 5);
}

#[test]
fn what_failed_is_sent_again_by_hand_and_leaves_the_failures() {
    let world = World::with_recordings(2);
    world.configure(&Jobs { max_attempts: 2, ..Jobs::default() });
    world.control(Change::Faults(Faults { rate_500: 1.0, ..Faults::default() }));
    world.run().expect(3);
    assert_eq!(world.failures().len(), 2);
    world.control(Change::Faults(Faults::default()));
    world.run().expect(0);
    assert_eq!(world.stt().requests, 4, "by itself nothing is tried again");
    world.voxbatch(&["retry", "--where", "state:failed cause:server_error path:call-000*"]).expect(0);
    world.run().expect(0);
    assert_eq!(world.stt().requests, 5);
    assert_eq!(world.failures().into_keys().collect::<Vec<_>>(), ["call-001.wav"]);
    world.voxbatch(&["retry", "--where", "state:failed"]).expect(0);
    world.run().expect(0);
    assert_eq!(world.failures().len(), 0);
    world.assert_each_once();
}

#[test]
fn an_api_that_cuts_every_upload_ends_the_run() {
    let world = World::with_recordings(0);
    for n in 0..3 {
        world.write(&format!("calls/{n}.wav"), &tone(&n.to_string(), 500_000));
    }
    world.edit("[run]\n", "[run]\ngive_up_after = \"1s\"\n");
    world.control(Change::Faults(Faults { reset_before_body: 1.0, ..Faults::default() }));
    world.run().expect(6).told("outage");
    assert_eq!((world.failures().len(), world.tasks("state:queued").len()), (0, 3), "no file is to blame");
    world.control(Change::Faults(Faults::default()));
    world.run().expect(0);
    world.assert_each_once();
}
