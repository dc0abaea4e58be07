//! `purge` deletes what was said, to the last byte and through every interruption, and every recording still adds up.

mod interrupted;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use serde_json::Value;
use sqlx::Connection;
use voxbatch::emulator::Change;

use crate::support::{Jobs, PATIENCE, STT, World, files_below, json_lines, roomy};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
/// Words that stand in every answer of the emulator, and nowhere else.
const SPOKEN: &str = "does not recognise";

/// Files of all recordings, and files of each.
const LISTED: &str = "outputs = [\"jsonl\", \"csv\", \"nemo\", \"txt\", \"srt\", \"json\"]";

/// Three recordings, each transcribed and redacted.
fn done() -> World {
    let world = World::new(roomy());
    world.record("calls/2024", 3);
    let jobs = vec![("words", STT, "calls"), ("clean", REDACTION, "calls")];
    world.configure(&Jobs { jobs, of_each_job: LISTED, ..Jobs::default() });
    world.run().expect(0);
    world
}

/// Files of the queue and of the outputs that hold these words.
fn holding(world: &World, words: &str) -> Vec<String> {
    let files = [".voxbatch", "out"].into_iter().flat_map(|top| files_below(&world.path(top)));
    let holds = |file: &PathBuf| has(file, words);
    files.filter(holds).map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// Whether these words stand among the bytes of a file.
fn has(file: &Path, words: &str) -> bool {
    String::from_utf8_lossy(&fs::read(file).unwrap()).contains(words)
}

fn audio_files(world: &World) -> usize {
    files_below(&world.path("out/clean/audio")).len()
}

/// Every recording stands exactly once in a job's files of results.
#[track_caller]
fn assert_each_once(world: &World) {
    for job in ["words", "clean"] {
        world.assert_each_once_in("calls", &format!("out/{job}/results.jsonl"));
        let table = csv::Reader::from_path(world.path(&format!("out/{job}/results.csv"))).unwrap();
        assert_eq!(table.into_records().count(), 3, "{job}");
    }
}

#[track_caller]
fn verified(world: &World) -> Value {
    let ended = world.voxbatch(&["verify", "--json"]).expect(0);
    serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap()
}

/// What `verify` finds, kind by kind.
#[track_caller]
fn findings(world: &World) -> Vec<String> {
    let ended = world.voxbatch(&["verify", "--json"]).expect(8);
    let mut kinds: Vec<String> = json_lines(&ended.stdout)
        .iter()
        .filter_map(|line| line["kind"].as_str().map(str::to_owned))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn nothing_that_was_said_is_left_and_every_recording_still_adds_up() {
    let world = done();
    let before = world.lines("out/clean/results.jsonl");
    let usage = world.voxbatch(&["status", "--json"]).expect(0).json()["jobs"].clone();
    // What killed runs leave lying about.
    world.write("out/words/.results.jsonl.new", SPOKEN.as_bytes());
    world.write("out/words/.srt.new", SPOKEN.as_bytes());
    world.write("out/clean/audio/2024/.voxbatch-abc123.part", SPOKEN.as_bytes());
    assert!(holding(&world, SPOKEN).len() >= 26, "{:?}", holding(&world, SPOKEN));
    let subtitle = world.read("out/words/srt/2024/call-000.wav.srt");

    let would = world.voxbatch(&["purge", "--older-than", "0s", "-n", "--json"]).expect(0).json();
    assert_eq!((&would["recordings"], &would["answers"], &would["audio"]), (&6.into(), &6.into(), &3.into()));
    assert_eq!((&would["dry_run"], &would["jobs"][1]["job"]), (&true.into(), &"clean".into()));
    assert_eq!(audio_files(&world), 4, "and it changed nothing");

    let purged = world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6", "--json"]).expect(0).json();
    assert_eq!((&purged["recordings"], &purged["files_deleted"]), (&6.into(), &3.into()), "{purged}");
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_eq!(audio_files(&world), 0);

    assert_each_once(&world);
    for (line, was) in world.lines("out/clean/results.jsonl").iter().zip(&before) {
        assert!(line["purged_at"].is_string() && line["text"].is_null() && line["response"].is_null());
        assert!(line["redacted_audio"]["purged_at"].is_string(), "{line}");
        for kept in ["task", "path", "audio", "duration_ms", "billed_ms", "started_at", "finished_at"] {
            assert_eq!(line[kept], was[kept]);
        }
        assert_eq!(line["redacted_audio"]["sha256"], was["redacted_audio"]["sha256"]);
    }
    let rows = String::from_utf8(world.read("out/words/utterances.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1, "{rows}");

    let report = verified(&world);
    assert_eq!((&report["jobs"][0]["succeeded"], &report["jobs"][0]["purged"]), (&3.into(), &3.into()));
    assert_eq!(world.voxbatch(&["status", "--json"]).expect(0).json()["jobs"], usage);
    world.write("out/words/srt/2024/call-000.wav.srt", &subtitle);
    assert_eq!(findings(&world), ["rendered_extra"], "what was purged came back from a backup");
    fs::remove_file(world.path("out/words/srt/2024/call-000.wav.srt")).unwrap();
    let shown = world.voxbatch(&["show", "1", "--json"]).expect(0).json();
    assert!(shown["result"]["purged_at"].is_string() && shown["result"]["response"].is_null(), "{shown}");
    assert!(world.voxbatch(&["show", "1"]).expect(0).stdout.contains("its answer was purged at"));
    let exported = world.voxbatch(&["export"]).expect(0).stdout;
    assert_eq!((exported.lines().count(), exported.matches("\"purged_at\"").count()), (6, 9));

    world.voxbatch(&["purge", "--older-than", "0s"]).expect(0).said("nothing to purge");
    let requests = world.report().requests;
    world.run().expect(0);
    assert_eq!(world.report().requests, requests, "nothing is sent, and paid for, again");
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    verified(&world);
}

#[test]
fn a_manifest_of_a_purged_job_is_accepted_by_sha256sum() {
    let world = done();
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]).expect(0);
    world.voxbatch(&["verify", "--manifest", "out/manifest.sha256"]).expect(0).told("12 hashes in");
    let mut command = Command::new("sha256sum");
    command.args(["--check", "--strict", "--quiet", "manifest.sha256"]).current_dir(world.path("out"));
    match command.output() {
        Ok(ended) => assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr)),
        Err(_) => eprintln!("SKIPPED: there is no sha256sum here"),
    }
}

#[test]
fn a_purge_takes_the_job_and_the_part_that_were_named() {
    let world = done();
    let run = |args: &[&str]| world.voxbatch(&[&["purge", "--older-than", "0s"], args].concat());
    run(&["--audio", "--yes", "3"]).expect(0).said("redacted audio of 3");
    assert_eq!((audio_files(&world), holding(&world, SPOKEN).contains(&"queue.db".to_owned())), (0, true));
    let lines = world.lines("out/clean/results.jsonl");
    assert!(lines.iter().all(|l| l["text"].is_string() && l.get("purged_at").is_none()), "{lines:?}");
    verified(&world);

    run(&["--job", "words", "--yes", "3"]).expect(0).said("purged 3 recordings: 3 answers");
    assert!(world.lines("out/words/results.jsonl").iter().all(|l| l["text"].is_null()));
    assert!(world.lines("out/clean/results.jsonl").iter().all(|l| l["text"].is_string()));
    verified(&world);

    run(&["--results", "--yes", "3"]).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_each_once(&world);
    verified(&world);
}

#[test]
fn nothing_goes_without_the_right_count_age_and_name() {
    let world = done();
    let before = holding(&world, SPOKEN);
    world.voxbatch(&["purge"]).expect(2).told("--older-than");
    world.voxbatch(&["purge", "--older-than", "a year"]).expect(2).told("such as 90s, 2h or 3d");
    let refused = world.voxbatch(&["purge", "--older-than", "0s"]).expect(2);
    refused.told("6 recordings: 6 answers").told("voxbatch purge --older-than 0s --yes 6");
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "5"]).expect(2).told("--yes says 5");
    let unknown = world.voxbatch(&["purge", "--older-than", "0s", "--job", "word", "--yes", "3"]);
    unknown.expect(2).told("there is no job `word`; known: words, clean");
    world.voxbatch(&["purge", "--older-than", "35d", "--yes", "6"]).expect(0).said("nothing to purge");
    world.voxbatch(&["purge", "--older-than", "35d", "-n"]).expect(0).said("nothing to purge");
    let would = world.voxbatch(&["purge", "--older-than", "0s", "-n"]).expect(0);
    would.said("to do it: voxbatch purge --older-than 0s --yes 6");
    assert_eq!(holding(&world, SPOKEN), before);
    let log = String::from_utf8(world.read(".voxbatch/audit.jsonl")).unwrap();
    assert!(!log.contains("purge"), "{log}");
    world
        .voxbatch(&["purge", "--older-than", "0s", "--state-dir", "nowhere"])
        .expect(7)
        .told("E-STATE-QUEUE");
    assert!(!world.path("nowhere").exists());
}

#[test]
fn a_purge_is_in_the_audit_log_with_counts_and_without_names() {
    let world = done();
    world.voxbatch(&["purge", "--older-than", "0s", "--job", "clean", "--yes", "3"]).expect(0);
    let log = world.lines(".voxbatch/audit.jsonl");
    let of = |kind: &str| log.iter().find(|entry| entry["kind"] == kind).unwrap()["facts"].clone();
    let (started, ended) = (of("purge_started"), of("purge_ended"));
    for (key, count) in [("recordings", 3), ("answers", 3), ("audio", 3), ("jobs", 1), ("older_than_s", 0)] {
        assert_eq!((&started[key], &ended[key]), (&count.into(), &count.into()), "{key}");
    }
    assert_eq!(ended["files"], 3);
    assert!(!started.to_string().contains("clean") && !ended.to_string().contains("call-"), "{ended}");
    verified(&world);
}

#[test]
fn a_purge_refuses_beside_a_run() {
    let world = done();
    world.record("calls/more", 1);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("one is held", |report| report.of(STT).held == 1);
    let refused = world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]).expect(7);
    refused.told("E-STATE-RUNNING").told("nothing was deleted").told("kill -TERM");
    assert_eq!(audio_files(&world), 3);
    world.voxbatch(&["purge", "--older-than", "0s", "-n"]).expect(0).said("6 recordings: 6 answers");
    world.control(Change::Release);
    run.wait().expect(0);
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "8"]).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
}

#[test]
fn a_purged_recording_is_sent_again_on_demand_and_purged_anew() {
    let world = done();
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]).expect(0);
    world.voxbatch(&["retry", "--again", "--where", "path:2024/call-001.wav"]).expect(0);
    world.run().expect(0);
    assert_eq!((world.report().of(STT).billed, world.report().of(REDACTION).billed), (4, 4));
    let texts = |job: &str| {
        let lines = world.lines(&format!("out/{job}/results.jsonl"));
        lines.iter().filter(|line| line["text"].is_string()).count()
    };
    assert_eq!((texts("words"), texts("clean"), audio_files(&world)), (1, 1, 1));
    assert_each_once(&world);
    let report = verified(&world);
    assert_eq!(report["jobs"][0]["purged"], 2);
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "2"]).expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_each_once(&world);
    verified(&world);
}

#[test]
fn audio_that_comes_back_is_found_by_verify_and_deleted_by_what_that_says() {
    let world = done();
    let file = files_below(&world.path("out/clean/audio")).remove(0);
    let audio = fs::read(&file).unwrap();
    world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]).expect(0);
    fs::write(&file, audio).unwrap();
    assert_eq!(findings(&world), ["audio_left"]);
    world.voxbatch(&["verify"]).expect(8).said("voxbatch purge --finish");
    world.voxbatch(&["purge", "--finish"]).expect(0).said("1 audio file deleted");
    verified(&world);
    world.voxbatch(&["purge", "--finish"]).expect(0).said("nothing to purge");
}

#[test]
fn a_disk_that_is_not_mounted_is_not_taken_for_an_empty_one() {
    let world = done();
    fs::rename(world.path("out"), world.path("elsewhere")).unwrap();
    let purge = || world.voxbatch(&["purge", "--older-than", "0s", "--yes", "6"]);
    purge()
        .expect(7)
        .told("E-OUT-GONE")
        .told("out/words/results.jsonl is not there")
        .told("nothing was deleted");
    fs::rename(world.path("elsewhere"), world.path("out")).unwrap();
    verified(&world);
    // Deleted on purpose: what is said about that works.
    fs::remove_file(world.path("out/words/results.jsonl")).unwrap();
    purge().expect(7).told("touch '");
    world.write("out/words/results.jsonl", b"");
    purge().expect(0);
    assert_eq!(holding(&world, SPOKEN), [""; 0]);
    assert_each_once(&world);
    verified(&world);
}

/// Waits for what another process does to files.
fn when(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// The first column of the first row.
fn number(world: &World, query: &'static str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path(".voxbatch/queue.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let number = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    })
}
