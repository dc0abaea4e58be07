//! Presets that a job names, held against the API's own list before a run spends money.

use std::io::Write;

use voxbatch::emulator::{Change, Contract};

use crate::support::{Conduct, Jobs, Process, Proxy, STT, World, json_lines};

const TALK: &str = "velma-2-batch";

fn config(behaviors: &str) -> String {
    format!("options.config = {{ behaviors = {behaviors} }}")
}

/// A world of so many recordings and one job that analyses them for this.
fn world(count: usize, behaviors: &str) -> World {
    let world = World::with_recordings(count);
    world.configure(&Jobs {
        jobs: vec![("archive", TALK, "calls")],
        of_each_job: Box::leak(config(behaviors).into_boxed_str()),
        ..Jobs::default()
    });
    world
}

#[test]
fn a_bad_preset_among_ten_thousand_queued_files_is_told_before_the_first_upload() {
    let world = world(0, r#"["preset:complaints", "preset:complaint", "preset:weather"]"#);
    for n in 0..10_000 {
        // Small, and no two alike.
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\xff"
            .to_vec();
        bytes.extend(format!("{n:032}").bytes());
        world.write(&format!("calls/{n:05}.wav"), &bytes);
    }
    world.voxbatch(&["scan"]).expect(0);
    assert_eq!(world.report().requests, 0);
    let ended = world.run().expect(2);
    for words in [
        "[E-CONF-PRESET]",
        "option `config.behaviors[1]` of job \"archive\": `preset:complaint`; did you mean `preset:complaints`?",
        "option `config.behaviors[2]` of job \"archive\": `preset:weather`",
        "voxbatch presets",
        "nothing was sent or billed",
    ] {
        assert!(ended.stderr.contains(words), "{words}:\n{}", ended.stderr);
    }
    let report = world.report();
    assert_eq!((report.requests, report.bodies, report.of(TALK).billed), (1, 0, 0), "one free call");
    let queued: serde_json::Value = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert!(queued.to_string().contains("10000"), "all are still queued: {queued}");
}

#[test]
fn good_presets_are_asked_for_once_a_run_and_not_at_all_by_jobs_without_any() {
    let world = world(3, r#"["preset:complaints", "preset:service-churn"]"#);
    world.run().expect(0);
    assert_eq!((world.report().of(TALK).requests, world.report().of(TALK).bodies), (4, 3));
    world.forget();
    world.configure(&Jobs {
        jobs: vec![("archive", TALK, "calls"), ("more", STT, "calls")],
        ..Jobs::default()
    });
    world.run().expect(0);
    assert_eq!((world.report().of(TALK).requests, world.stt().requests), (0, 3));
}

#[test]
fn a_list_that_is_not_to_be_had_is_a_word_aside_and_blocks_nothing() {
    let world = world(3, r#"["preset:complaints"]"#);
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let url = text.split('"').find(|t| t.starts_with("http://")).unwrap().to_owned();
    let busy = |name: &str, _| match name {
        "" => Conduct::Alone(Box::new(|client, _| {
            client.write_all(
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            )
        })),
        _ => Conduct::Pass,
    };
    let proxy = Proxy::start(url.trim_start_matches("http://").parse().unwrap(), busy);
    world.edit(&url, &proxy.base_url());
    let ended = world.run().expect(0);
    assert!(ended.stderr.contains("presets were not checked: HTTP 503"), "{}", ended.stderr);
    world.assert_each_once();
}

/// What the free call says of the account is the halt that it is: nothing is uploaded to learn the same.
fn stops(contract: Contract, change: Change, exit: i32, reason: &str) {
    let world = world(5, r#"["preset:complaints"]"#);
    world.control(Change::Contract(contract));
    world.control(change);
    let ended = world.run();
    let halts = json_lines(&world.voxbatch(&["halts", "list", "--json"]).expect(0).stdout);
    ended.expect(exit);
    assert_eq!((halts.len(), &halts[0]["reason"]), (1, &reason.into()), "{halts:?}");
    assert_eq!((world.report().requests, world.report().bodies), (1, 0));
}

#[test]
fn missing_credits_are_known_from_the_free_call() {
    stops(Contract::B, Change::CreditsHours(Some(0.0)), 5, "credits");
    stops(Contract::C, Change::CreditsHours(Some(0.0)), 5, "credits");
}

#[test]
fn a_key_that_is_refused_by_name_is_known_from_the_free_call() {
    stops(Contract::A, Change::Keys(vec!["another".to_owned()]), 4, "key_refused");
    stops(Contract::C, Change::Keys(vec!["another".to_owned()]), 4, "key_refused");
}

#[test]
fn a_key_that_is_refused_without_a_word_is_left_to_the_experiment() {
    let world = world(5, r#"["preset:complaints"]"#);
    world.control(Change::Contract(Contract::B));
    world.control(Change::Keys(vec!["another".to_owned()]));
    let ended = world.run().expect(4);
    assert!(ended.stderr.contains("presets were not checked: HTTP 403"), "{}", ended.stderr);
    assert_eq!((world.report().bodies, world.failures().len()), (0, 0));
}

#[test]
fn presets_are_listed_and_filtered_without_touching_the_queue() {
    let world = world(0, "[]");
    let all = world.voxbatch(&["presets"]).expect(0);
    assert!(all.stdout.contains("preset:service-churn\n    A customer means to leave.\n"), "{}", all.stdout);
    assert!(all.stdout.lines().all(|line| line.chars().count() < 80));
    let some = world.voxbatch(&["presets", "CUSTOMER", "--json"]).expect(0);
    let names: Vec<_> = json_lines(&some.stdout).iter().map(|p| p["identifier"].clone()).collect();
    assert_eq!(names, ["service-churn", "refund_request"]);
    assert!(!world.path(".voxbatch/queue.db").exists());
    world.control(Change::Keys(vec!["another".to_owned()]));
    let ended = Process::start(world.command(&["presets"])).wait().expect(4);
    assert!(ended.stderr.contains("[E-API-PRESETS]"), "{}", ended.stderr);
}
