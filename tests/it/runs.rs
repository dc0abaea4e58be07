//! What every run promises: each recording once, with its bytes' hash, sent as what it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{ENDPOINTS, Jobs, STT, World, files_below, tone};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";

#[test]
fn every_recording_stands_once_in_the_results_and_was_sent_once() {
    let world = World::with_recordings(30);
    world.run().expect(0);
    world.assert_each_once();
    let seen = world.stt();
    assert_eq!((seen.requests, seen.bodies, seen.billed), (30, 30, 30));
    assert!(seen.sha256.len() == 30 && seen.sha256.values().all(|n| *n == 1));
    assert_eq!(world.failures().len(), 0);
}

#[test]
fn a_second_run_sends_nothing_and_a_third_only_what_is_new() {
    let world = World::with_recordings(12);
    world.run().expect(0);
    let before = world.read("out/archive/results.jsonl");
    world.forget();
    world.run().expect(0);
    assert_eq!(world.report().requests, 0);
    assert_eq!(world.read("out/archive/results.jsonl"), before);

    world.write("calls/later/one.wav", &tone("one", 300));
    world.run().expect(0);
    assert_eq!(world.report().requests, 1);
    world.assert_each_once();
    assert!(world.read("out/archive/results.jsonl").starts_with(&before), "lines are only ever added");
}

#[test]
fn the_samples_of_all_ten_formats_pass_through_all_five_endpoints_as_what_they_are() {
    let world = World::new(crate::support::roomy());
    world.copy_samples("calls");
    let names = ["stt", "fast", "voice", "redact", "talk"];
    let jobs = names.into_iter().zip(ENDPOINTS).map(|(name, endpoint)| (name, endpoint, "calls")).collect();
    world.configure(&Jobs { jobs, ..Jobs::default() });
    world.run().expect(0);
    let report = world.report();
    assert_eq!((report.mime_mismatches, report.octet_stream_uploads, report.missing_user_agent), (0, 0, 0));
    assert_eq!(report.statuses, BTreeMap::from([(200, 50)]));
    for (name, endpoint) in names.into_iter().zip(ENDPOINTS) {
        world.assert_each_once_in("calls", &format!("out/{name}/results.jsonl"));
        assert_eq!(report.of(endpoint).billed, 10, "{endpoint}");
        for line in world.lines(&format!("out/{name}/results.jsonl")) {
            assert_eq!((&line["endpoint"], &line["status"]), (&endpoint.into(), &"succeeded".into()));
            assert!(line["response"].is_object() && line["error"].is_null(), "{line}");
        }
    }
}

#[test]
fn redacted_audio_lies_in_a_mirrored_tree_with_the_hash_that_its_line_reports() {
    let world = World::new(crate::support::roomy());
    world.write("calls/2024/a.wav", &tone("a", 400));
    world.write("calls/2024/b.wav", &tone("b", 400));
    world.configure(&Jobs { jobs: vec![("archive", REDACTION, "calls")], ..Jobs::default() });
    world.run().expect(0);
    world.assert_each_once();
    let lines = world.results();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let audio = &line["redacted_audio"];
        let place = audio["path"].as_str().unwrap();
        assert_eq!(place, format!("audio/{}.redacted.mp3", line["path"].as_str().unwrap()));
        let bytes = world.read(&format!("out/archive/{place}"));
        assert_eq!(audio["bytes"], bytes.len());
        assert_eq!(audio["sha256"], hex(&Sha256::digest(&bytes)));
    }
    assert_eq!(files_below(&world.path("out/archive/audio")).len(), 2, "and nothing unfinished beside them");
}

#[test]
fn formats_under_wrong_names_are_sent_as_what_their_content_is() {
    let world = World::new(crate::support::roomy());
    for (sample, name) in [
        ("workshop.mp3", "a.wav"),
        ("kitchen.opus", "b.ogg"),
        ("account.wav", "c.mp3"),
        ("library.flac", "noname"),
    ] {
        fs::copy(samples().join(sample), world.path(&format!("calls/{name}"))).unwrap();
    }
    world.run().expect(0);
    let report = world.report();
    assert_eq!((report.mime_mismatches, report.octet_stream_uploads), (0, 0));
    world.assert_each_once();
    let formats: BTreeMap<String, Value> = world
        .results()
        .iter()
        .map(|l| (l["path"].as_str().unwrap().to_owned(), l["audio"]["format"].clone()))
        .collect();
    let word = |name: &str| formats[name].as_str().unwrap().to_owned();
    assert_eq!([word("a.wav"), word("b.ogg"), word("c.mp3"), word("noname")], ["mp3", "opus", "wav", "flac"]);
}

#[test]
fn two_jobs_with_one_source_each_have_their_own_results() {
    let world = World::with_recordings(5);
    world.configure(&Jobs { jobs: vec![("one", STT, "calls"), ("two", STT, "calls")], ..Jobs::default() });
    world.run().expect(0);
    world.assert_each_once_in("calls", "out/one/results.jsonl");
    world.assert_each_once_in("calls", "out/two/results.jsonl");
    assert_eq!(world.stt().requests, 5, "both ask for the same");
}

#[test]
fn a_limit_of_recordings_sends_so_many_and_the_next_run_sends_the_rest() {
    let world = World::with_recordings(12);
    world.voxbatch(&["run", "--limit", "5"]).expect(0);
    assert_eq!((world.stt().requests, world.results().len()), (5, 5));
    world.voxbatch(&["run", "--limit", "0"]).expect(0);
    assert_eq!(world.stt().requests, 5);
    world.run().expect(0);
    assert_eq!(world.stt().requests, 12);
    world.assert_each_once();
}

#[test]
fn the_csv_has_a_row_for_every_line_of_the_jsonl() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    let table = world.read("out/archive/results.csv");
    let rows: Vec<String> =
        csv::Reader::from_reader(&table[..]).records().map(|row| row.unwrap()[2].to_owned()).collect();
    let lines: Vec<String> = world.results().iter().map(|l| l["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(rows, lines);
}

fn samples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/samples"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
