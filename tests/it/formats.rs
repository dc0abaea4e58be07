//! Every output that a job can list: written once, kept right, proven, exported, and read by others.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use voxbatch::outputs::FileFormat;
use voxbatch::queue::{AudioFacts, ResultRow};
use voxbatch::task::{Endpoint, Metadata, RecordingPath, TaskId, Timestamp};

use crate::support::{Jobs, STT, World, files_below, json_lines, roomy, skip};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const FAST: &str = "velma-2-stt-batch-english-vfast";
const DETECTION: &str = "velma-2-synthetic-voice-detection-batch";
const ANALYSIS: &str = "velma-2-batch";

const EVERYTHING: &str =
    "outputs = [\"jsonl\", \"csv\", \"txt\", \"srt\", \"vtt\", \"rttm\", \"tsv\", \"nemo\", \"json\"]";
const SUBTITLES: &str = "outputs = [\"jsonl\", \"srt\"]";

fn with_outputs(world: &World, of_each_job: &'static str) {
    world.configure(&Jobs { of_each_job, ..Jobs::default() });
}

/// The samples through three models, with everything that those can be written as.
fn samples_done() -> World {
    let world = World::new(roomy());
    for file in files_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/samples"))) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ![".txt", ".md", ".sh", ".json"].iter().any(|end| name.ends_with(end)) {
            fs::copy(&file, world.path(&format!("calls/{name}"))).unwrap();
        }
    }
    let jobs = vec![("words", STT, "calls"), ("clean", REDACTION, "calls"), ("talk", ANALYSIS, "calls")];
    world.configure(&Jobs { jobs, of_each_job: EVERYTHING, ..Jobs::default() });
    world.run().expect(0);
    world
}

/// What `verify --json` finds, by kind, and how many files of single recordings it looked at.
#[track_caller]
fn verify(world: &World, code: i32) -> (Vec<String>, u64) {
    let mut lines = json_lines(&world.voxbatch(&["verify", "--json"]).expect(code).stdout);
    let report = lines.pop().unwrap();
    let kinds = lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
    (kinds, report["checks"]["rendered"]["checked"].as_u64().unwrap_or_default())
}

#[test]
fn everything_that_is_listed_is_written_proven_and_in_the_list_of_hashes() {
    let world = samples_done();
    for job in ["words", "clean", "talk"] {
        for format in FileFormat::ALL.map(FileFormat::word) {
            let files = files_below(&world.path(&format!("out/{job}/{format}")));
            assert_eq!(files.len(), 10, "{job} {format}");
            assert!(files.iter().all(|file| file.extension().is_some_and(|end| end == format)));
        }
        assert!(!world.lines(&format!("out/{job}/nemo.jsonl")).is_empty());
    }
    assert_eq!(verify(&world, 0), (vec![], 180));
    world.voxbatch(&["verify", "--manifest", "hashes.txt"]).expect(0);
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "hashes.txt"])
        .current_dir(world.path(""))
        .status();
    assert!(checked.unwrap().success());
    let redacted = fs::read_to_string(world.path("out/clean/txt/account.wav.txt")).unwrap();
    assert!(redacted.contains('[') && !redacted.contains('<'), "{redacted}");
}

#[test]
fn a_run_that_is_killed_while_files_are_written_leaves_each_as_it_should_be() {
    let world = World::with_recordings(40);
    with_outputs(&world, EVERYTHING);
    for answered in [3, 9, 17, 26] {
        let run = world.start(&["run"]);
        world.when("some are answered", |r| r.of(STT).statuses.get(&200).is_some_and(|n| *n >= answered));
        run.signal(Signal::KILL);
        drop(run);
        world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    }
    world.run().expect(0);
    world.assert_each_once();
    assert_eq!(verify(&world, 0), (vec![], 240));
    assert_eq!(files_below(&world.path("out/archive/vtt")).len(), 40);
}

#[test]
fn a_format_that_is_listed_later_is_made_of_what_was_paid_for() {
    let world = World::with_recordings(6);
    world.run().expect(0);
    with_outputs(&world, SUBTITLES);
    let report = world.voxbatch(&["verify"]).expect(0).stdout;
    assert!(report.contains("the next run begins to write srt"), "{report}");
    world.voxbatch(&["run", "--no-scan", "--limit", "0"]).expect(0);
    assert_eq!(world.stt().bodies, 6);
    assert_eq!(verify(&world, 0), (vec![], 6));
}

#[test]
fn verify_finds_a_file_that_is_missing_or_altered_and_export_mends_it() {
    let world = World::with_recordings(6);
    with_outputs(&world, SUBTITLES);
    world.run().expect(0);
    fs::remove_file(world.path("out/archive/srt/call-001.wav.srt")).unwrap();
    world.write("out/archive/srt/call-004.wav.srt", b"1\n00:00:00,000 --> 00:00:01,000\nNo.\n");
    assert_eq!(verify(&world, 8), (vec!["rendered_missing".to_owned(), "rendered_altered".to_owned()], 6));
    let told = world.voxbatch(&["verify"]).expect(8).stdout;
    assert!(told.contains("voxbatch export --format FORMAT --job NAME"), "{told}");
    let mended = world.voxbatch(&["export", "--format", "srt", "--job", "archive"]).expect(0);
    mended.told("6 files in out/archive/srt");
    assert_eq!(verify(&world, 0), (vec![], 6));
}

#[test]
fn recordings_that_are_processed_again_have_their_files_replaced() {
    let world = World::with_recordings(3);
    with_outputs(&world, SUBTITLES);
    world.run().expect(0);
    world.voxbatch(&["retry", "--again", "--where", "path:call-001.wav"]).expect(0);
    world.voxbatch(&["run", "--no-scan", "--limit", "0"]).expect(0);
    assert_eq!(files_below(&world.path("out/archive/srt")).len(), 2, "it has no result now");
    assert_eq!(verify(&world, 0), (vec![], 2));
    world.run().expect(0);
    assert_eq!(verify(&world, 0), (vec![], 3));
}

#[test]
fn an_export_goes_to_a_folder_or_to_stdout_and_replaces_nothing_unasked() {
    let world = World::with_recordings(4);
    world.run().expect(0);
    let export = |args: &[&str]| world.voxbatch(&[&["export", "--job", "archive"], args].concat());
    export(&["--format", "vtt", "--to", "elsewhere"]).expect(0).told("4 files written");
    assert_eq!(files_below(&world.path("elsewhere")).len(), 4);
    export(&["--format", "vtt", "--to", "elsewhere"]).expect(0).told("4 as they should be already");
    world.write("elsewhere/call-002.wav.vtt", b"mine");
    export(&["--format", "vtt", "--to", "elsewhere"]).expect(2).told("--force");
    assert_eq!(world.read("elsewhere/call-002.wav.vtt"), b"mine");
    export(&["--format", "vtt", "--to", "elsewhere", "--force"]).expect(0).told("1 file written");
    let one = export(&["--format", "vtt", "--where", "path:call-002.wav", "--to", "-"]).expect(0).stdout;
    assert_eq!(one.as_bytes(), world.read("elsewhere/call-002.wav.vtt"));

    assert_eq!(json_lines(&export(&["--format", "json", "--to", "-"]).expect(0).stdout).len(), 4);
    let manifest = json_lines(&export(&["--format", "nemo"]).expect(0).stdout);
    assert!(manifest.iter().any(|line| line["audio_filepath"] == "call-000.wav"));
    export(&["--format", "nemo", "--to", "elsewhere"]).expect(0);
    assert_eq!(world.lines("elsewhere/nemo.jsonl"), manifest);
    assert_eq!(world.stt().bodies, 4, "nothing was sent for any of it");
}

#[test]
fn an_export_that_makes_no_sense_is_refused_with_what_would() {
    let world = World::with_recordings(1);
    let jobs = vec![("words", STT, "calls"), ("voice", DETECTION, "calls"), ("fast", FAST, "calls")];
    world.configure(&Jobs { jobs, ..Jobs::default() });
    // Too short for the detection, which matters nothing here.
    world.run().expect(3);
    for (args, told) in [
        (&["--format", "srt", "--job", "voice", "--to", "x"][..], "--format jsonl|csv|json"),
        (&["--format", "nemo", "--job", "voice"], "no words"),
        (&["--format", "rttm", "--job", "fast", "--to", "x"], "no speakers and no times"),
        (&["--format", "srt", "--to", "x"], "--job NAME"),
        (&["--format", "srt", "--job", "nobody"], "there is no job `nobody`"),
        (&["--format", "srt", "--job", "words"], "does not list `srt`"),
        (&["--format", "srt", "--job", "words", "-o", "x"], "--to FOLDER"),
        (&["--job", "words", "--where", "job:fast"], "one of them"),
    ] {
        world.voxbatch(&[&["export"], args].concat()).expect(2).told(told);
    }
    assert!(!world.path("x").exists());
    world.edit("source = \"calls\"\n", "source = \"calls\"\noutputs = [\"srt\"]\n");
    world.voxbatch(&["config", "check"]).expect(2);
    world.run().expect(2).told("what works: jsonl, csv, json");
}

/// Answers that try to break what reads them.
fn hostile() -> Vec<ResultRow> {
    let words = "Wait, <b>who</b> said --> that & why? {\\an8} ";
    let long = words.repeat(12);
    let japanese = "昨日からずっと雨が降っています。それで、電車が止まってしまいました。".repeat(3);
    let said = |start: u64, length: u64, speaker: u64, text: &str| json!({"start_ms": start, "duration_ms": length, "speaker": speaker, "text": text});
    let answers = [
        json!([said(0, 30_000, 1, &long), said(2000, 500, 2, "1\n\n2\n00:00:01,000 --> 00:00:02,000\nx")]),
        json!([said(0, 1000, 1, "a\tb"), said(0, 1000, 2, "c"), said(0, 0, 3, "d"), said(90_000, 1, 1, "e")]),
        json!([said(100, 20_000, 1, &japanese), said(25_000, 3000, 1, "שלום 12 GPS, מה שלומך?")]),
        json!([]),
    ];
    let rows = (1..).zip(answers).map(|(n, utterances)| ResultRow {
        seq: n,
        task: TaskId(n),
        path: RecordingPath::from_bytes(format!("2024/call {n}.wav")),
        endpoint: Endpoint::SttBatch,
        attempts: 1,
        http_status: 200,
        audio: AudioFacts { bytes: 1, blake3: "0".into(), format: "wav".into(), mime: "audio/wav".into() },
        duration_ms: Some(40_000),
        measured: None,
        billed_ms: 40_000,
        response: json!({"text": "", "duration_ms": 40_000, "utterances": utterances}).to_string(),
        redacted_audio: None,
        started_at: Timestamp(0),
        finished_at: Timestamp(1),
        purged_at: None,
        audio_purged_at: None,
        metadata: Metadata::default(),
        reused_from: None,
        suspicions: Vec::new(),
    });
    rows.collect()
}

/// Writes them as a job's output would be.
fn lay_out(rows: &[ResultRow], folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut lines = String::new();
    for row in rows {
        let path = row.path.as_utf8().unwrap();
        let response: Value = serde_json::from_str(&row.response).unwrap();
        lines += &json!({"path": path, "duration_ms": row.duration_ms, "response": response}).to_string();
        lines.push('\n');
        for format in FileFormat::ALL {
            let place = row.path.mirrored(&folder.join(format.word()), &format!(".{}", format.word()));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, format.render(row).unwrap()).unwrap();
        }
    }
    fs::write(folder.join("results.jsonl"), lines).unwrap();
}

#[test]
fn other_peoples_parsers_read_back_what_was_said() {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let has_parsers = Command::new(&python).args(["-c", "import srt, webvtt"]).output();
    if !has_parsers.is_ok_and(|done| done.status.success()) {
        skip("python3 with srt and webvtt-py is not installed (PYTHON names another one)");
        return;
    }
    let world = samples_done();
    lay_out(&hostile(), &world.path("hostile"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/formats/read_back.py");
    let read = Command::new(&python)
        .arg(script)
        .args(["out/words", "out/clean", "out/talk", "hostile"])
        .current_dir(world.path(""))
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "34");
}
