//! Knowing before paying: lengths, the plan against what is then billed, and budgets that nothing crosses.

use std::fs;
use std::path::Path;

use serde_json::Value;
use voxbatch::emulator::{Change, Latency};

use crate::support::{Jobs, STT, World, roomy, tone, two_channels, without_count};

fn hours(ms: u64) -> f64 {
    ms as f64 / 3_600_000.0
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)).unwrap()
}

/// As a recorder writes it that streams.
fn streamed(mut wav: Vec<u8>) -> Vec<u8> {
    let data = wav.windows(4).position(|w| w == b"data").unwrap();
    for at in [4, data + 4] {
        wav[at..at + 4].fill(0xFF);
    }
    wav
}

#[test]
fn lengths_of_files_that_lie_are_counted_and_stand_in_the_results() {
    let world = World::new(roomy());
    let wav = tone("cut", 4000);
    for (name, bytes, method) in [
        ("whole.wav", sample("account.wav"), "header"),
        ("whole.flac", sample("library.flac"), "header"),
        ("whole.mp4", sample("lecture.mp4"), "header"),
        ("whole.opus", sample("kitchen.opus"), "header"),
        ("raw.aac", sample("night-shift.aac"), "packets"),
        ("uncounted.mp3", without_count(&sample("workshop.mp3")), "packets"),
        ("streamed.wav", streamed(tone("streamed", 3000)), "packets"),
        ("cut.wav", wav[..wav.len() / 2].to_vec(), "packets"),
    ] {
        world.write(&format!("calls/{method}/{name}"), &bytes);
    }
    world.run().expect(0);
    let results = world.results();
    assert_eq!(results.len(), 8);
    for line in &results {
        let path = line["path"].as_str().unwrap();
        assert!(path.starts_with(line["duration_method"].as_str().unwrap()), "{line}");
        let (ours, theirs) = (line["measured_ms"].as_i64().unwrap(), line["duration_ms"].as_i64().unwrap());
        // The emulator counts what encoders put in front and behind, as some services do.
        assert!((ours - theirs).abs() <= 150, "{path}: {ours} ms, and {theirs} ms by the API");
    }
    let queued = world.tasks("");
    assert!(queued.iter().all(|task| task["measured_ms"].is_u64()), "{queued:#?}");
}

#[test]
fn a_plan_foretells_what_is_billed_what_it_costs_and_what_repeats() {
    let world = World::new(roomy());
    for n in 0..40u32 {
        world.write(&format!("calls/{n:02}.wav"), &tone(&n.to_string(), 300 + 70 * n));
    }
    world.write("calls/again/07.wav", &tone("7", 300 + 70 * 7));
    world.write("calls/uncounted.mp3", &without_count(&sample("workshop.mp3")));
    world.write("calls/empty.wav", b"");
    let plan = world.voxbatch(&["plan", "--json"]).expect(0).json();
    let job = &plan["jobs"][0];
    assert_eq!((&job["to_send"], &job["refused"]), (&41.into(), &1.into()));
    assert_eq!(job["duplicates"]["recordings"], 1);
    assert_eq!(job["duplicates"]["audio_ms"], 300 + 70 * 7);
    assert_eq!(world.tasks("").len(), 0, "nothing was added");
    let (ms, price) = (plan["billed_ms"].as_u64().unwrap(), plan["price_usd"].as_f64().unwrap());
    // Each of the 41 requests is rounded up to a millionth.
    assert!((-1e-9..41e-6).contains(&(price - hours(ms) * 0.03)), "{price}");
    let again = || world.voxbatch(&["plan", "--json"]).expect(0).json()["billed_ms"].as_u64();
    world.voxbatch(&["scan"]).expect(0);
    assert_eq!(again(), Some(ms), "the queue knows as much");
    let text = world.voxbatch(&["plan"]).expect(0).stdout;
    assert!(text.contains("as of 2026-10-07") && text.contains("1 recording repeats"), "{text}");
    world.run().expect(0).told("refused=0"); // what is empty was refused by the scan
    let billed = world.stt().billed_ms;
    assert!(ms.abs_diff(billed) * 1000 <= billed * 5, "{ms} ms were foretold, {billed} ms billed");
    assert_eq!(again(), Some(0));
    assert_eq!(world.stt().bodies, 41, "as many as were to be sent");
}

#[test]
fn a_plan_and_the_ledger_come_to_the_same_of_channels_that_go_out_apart_too() {
    let world = World::new(roomy());
    world.configure(&Jobs { of_each_job: "channels = \"split\"", ..Jobs::default() });
    for n in 0..9u32 {
        world.write(&format!("calls/{n}.wav"), &tone(&n.to_string(), 301 + 7 * n));
    }
    for name in ["a", "b"] {
        world.write(&format!("calls/{name}.wav"), &two_channels(&tone("left", 1000), &tone("right", 1000)));
    }
    let job = &world.voxbatch(&["plan", "--json"]).expect(0).json()["jobs"][0];
    assert_eq!(
        (&job["to_send"], &job["requests"], &job["unknown_channels"]),
        (&10.into(), &11.into(), &0.into())
    );
    assert_eq!(job["duplicates"]["recordings"], 1);
    let text = world.voxbatch(&["plan"]).expect(0).stdout;
    assert!(text.contains("10 recordings go out in 11 requests"), "{text}");
    world.run().expect(0);
    assert_eq!((world.stt().bodies, &job["audio_ms"]), (11, &world.stt().billed_ms.into()));
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    let spent = status["endpoints"].as_array().unwrap().iter().find(|e| e["endpoint"] == STT).unwrap();
    assert_eq!(spent["cost_usd"], job["price_usd"], "{spent}");
    assert!(!world.voxbatch(&["status"]).expect(0).stdout.contains("-0.00"));
}

#[test]
fn a_plan_says_where_the_month_and_a_budget_would_end_it() {
    let world = World::with_recordings(20);
    world.configure(&Jobs { monthly_hours: Some(hours(2600)), ..Jobs::default() });
    let plan = |args: &[&str]| world.voxbatch(&[&["plan", "--json"][..], args].concat()).expect(0).json();
    let by = |plan: &Value| {
        let ends = plan["ends"].as_array().unwrap();
        ends.iter()
            .map(|e| (e["by"].as_str().unwrap().to_owned(), e["after_recordings"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(by(&plan(&[])), [("month".to_owned(), 10)]);
    let budget = hours(1300).to_string();
    assert_eq!(
        by(&plan(&["--budget-hours", &budget])),
        [("budget_hours".to_owned(), 5), ("month".to_owned(), 10)]
    );
    let end = &plan(&["--budget-hours", &budget])["ends"][0];
    world.voxbatch(&["run", "--budget-hours", &budget]).expect(5);
    assert_eq!(world.stt().requests, 5);
    let left: Vec<_> = world.tasks("state:queued").iter().map(|t| t["path"].clone()).collect();
    assert_eq!(left[0], end["first_left"], "the first that is left");
}

#[test]
fn a_budget_is_kept_across_kills_and_by_two_processes_and_begins_anew_when_told() {
    let world = World::with_recordings(40);
    let budget = hours(5000).to_string(); // of 10 s
    let run = ["run", "--budget-hours", budget.as_str()];
    for _ in 0..2 {
        world.control(Change::Hold);
        let run = world.start(&run);
        world.when_held(4);
        run.kill();
        world.control(Change::Release);
        world.when("the abandoned are over", |r| r.of(STT).in_flight == 0);
    }
    world.voxbatch(&[&run[..], &["--limit", "4"]].concat()).expect(0);
    world.control(Change::Latency(Latency { scale: 0.02, ..Latency::default() }));
    let (first, second) = (world.start(&run), world.start(&run));
    first.wait().expect(5).told("budget");
    second.wait().expect(5);
    let billed = world.stt().billed_ms;
    assert!(billed <= 5000, "{billed} ms");
    // Eight requests may have been billed without a result: they count as if they were.
    assert_eq!(world.results().len(), 12);
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["budget"]["spent_ms"], &status["budget"]["limit_ms"]), (&5000.into(), &5000.into()));
    world.voxbatch(&run).expect(5);
    assert_eq!(world.results().len(), 12, "used up is used up");

    world.voxbatch(&[&run[..], &["--new-budget"]].concat()).expect(5);
    assert_eq!(world.results().len(), 32);
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_budget_in_money_counts_by_the_prices_and_needs_one_for_every_job() {
    let world = World::with_recordings(20);
    // 250 ms at 36 dollars an hour: 2500 millionths.
    world.edit("[scan]", "[prices]\nvelma-2-stt-batch = 30\npii_phi_tagging = 6\n\n[scan]");
    world.edit("source = \"calls\"", "source = \"calls\"\noptions = { pii_phi_tagging = true }");
    world.voxbatch(&["run", "--budget-cost", "0.0151"]).expect(5).told("$0.0150 of $0.0151 of the budget");
    assert_eq!(world.stt().requests, 6, "the seventh would cross it");
    world.edit("pii_phi_tagging = true", "emotion_signal = true");
    world.voxbatch(&["run", "--budget-cost", "1"]).expect(2).told("a price for emotion_signal");
    assert_eq!(world.stt().requests, 6);
    world.voxbatch(&["run", "--new-budget"]).expect(2).told("there is none");
    world.run().expect(0);
}

#[test]
fn hours_that_others_used_count_in_their_month_and_in_no_other() {
    let world = World::with_recordings(20);
    world.configure(&Jobs { monthly_hours: Some(hours(2600)), ..Jobs::default() });
    let status = world.voxbatch(&["status", "--json"]).expect(0).json();
    let month = status["time"].as_str().unwrap()[..7].to_owned();
    let of = |month: &str| format!("[limits.{STT}]\nopening_hours = {{ {month} = {} }}\n", hours(1000));
    world.edit(&format!("[limits.{STT}]\n"), &of(&month));
    world.run().expect(5);
    assert_eq!(world.stt().requests, 6, "1000 ms elsewhere and 1500 ms here");
    world.edit(&month, "2001-01");
    world.run().expect(5);
    assert_eq!(world.stt().requests, 10);
}

#[test]
fn status_holds_what_was_measured_against_what_was_billed() {
    let world = World::with_recordings(4);
    world.run().expect(0);
    let e = &world.voxbatch(&["status", "--json"]).expect(0).json()["endpoints"][0];
    assert_eq!((&e["billed_ms"], &e["measured_ms"]), (&1000.into(), &1000.into()));
    assert!(e["cost_usd"].as_f64().unwrap() > 0.0, "{e}");
}
