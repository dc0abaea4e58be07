//! `verify` passes on what nobody touched, and names what somebody did.

mod audit;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sqlx::Connection;
use voxbatch::emulator::Change;

use crate::support::{Jobs, STT, World, files_below, json_lines, roomy, tone};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const DETECTION: &str = "velma-2-synthetic-voice-detection-batch";
const RESULTS: &str = "out/archive/results.jsonl";

/// What `verify --json` said.
struct Verified {
    findings: Vec<Value>,
    report: Value,
}

impl Verified {
    /// Kinds, once each.
    fn kinds(&self) -> Vec<&str> {
        let kinds: BTreeSet<&str> = self.findings.iter().map(|f| f["kind"].as_str().unwrap()).collect();
        kinds.into_iter().collect()
    }

    fn of(&self, kind: &str) -> &Value {
        let found = self.findings.iter().find(|f| f["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} among {:?}", self.findings))
    }
}

/// Verifies, and expects 0 without findings and 8 with some.
#[track_caller]
fn verify_with(world: &World, args: &[&str]) -> Verified {
    let args = [&["verify", "--json"], args].concat();
    let mut command = world.command(&args);
    command.env_remove("VOXBATCH_API_KEY");
    let ended = command.output().unwrap();
    let mut lines = json_lines(&String::from_utf8(ended.stdout).unwrap());
    let report = lines.pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&ended.stderr)));
    let code = if lines.is_empty() { 0 } else { 8 };
    assert_eq!(ended.status.code(), Some(code), "{lines:#?}");
    assert_eq!((&report["type"], &report["exit_code"]), (&"verify".into(), &code.into()));
    assert_eq!((&report["ok"], &report["wrong"]), (&lines.is_empty().into(), &lines.len().into()));
    assert!(lines.iter().all(|l| l["type"] == "finding" && l["mend"].is_string()), "{lines:#?}");
    Verified { findings: lines, report }
}

#[track_caller]
fn verify(world: &World) -> Verified {
    verify_with(world, &[])
}

/// Changes the database behind the program's back.
fn sql(world: &World, statement: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.path(".voxbatch/queue.db"));
        let options = options.foreign_keys(false);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let sql = sqlx::AssertSqlSafe(statement.to_owned());
        let done = sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected();
        connection.close().await.unwrap();
        done
    })
}

fn lines_of(world: &World, file: &str) -> Vec<String> {
    String::from_utf8(world.read(file)).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

/// Six recordings that succeeded.
fn done() -> World {
    let world = World::with_recordings(6);
    world.run().expect(0);
    world
}

/// The samples through recognition, redaction and detection.
fn samples_done() -> World {
    let world = World::new(roomy());
    for file in files_below(samples()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if ![".txt", ".md", ".sh", ".json"].iter().any(|end| name.ends_with(end)) {
            fs::copy(&file, world.path(&format!("calls/{name}"))).unwrap();
        }
    }
    let jobs = vec![("words", STT, "calls"), ("clean", REDACTION, "calls"), ("voice", DETECTION, "calls")];
    world.configure(&Jobs { jobs, ..Jobs::default() });
    world.run().expect(0);
    world
}

fn samples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/samples"))
}

/// A redacted file with ranges, and its line.
fn redacted(world: &World) -> Value {
    let ranges = |line: &Value| line["response"]["redaction_ranges"].as_array().map_or(0, Vec::len);
    let lines = world.lines("out/clean/results.jsonl");
    lines.into_iter().find(|line| ranges(line) > 0).expect("a sample with something to redact")
}

#[test]
fn an_untouched_run_of_the_samples_passes_every_check() {
    let world = samples_done();
    let verified = verify(&world);
    assert_eq!(verified.report["notes"], Value::Array(vec![]));
    let checks = &verified.report["checks"];
    let checked = |name: &str| checks[name]["checked"].as_u64().unwrap_or_default();
    assert_eq!((checked("recordings"), checked("lines"), checked("sources")), (30, 30, 30), "{checks}");
    assert_eq!((checked("audio"), checked("files")), (10, 9), "{checks}");
    assert!(checked("counts") >= 3 && checked("audit") >= 5, "{checks}");
    assert!(checks.as_object().unwrap().values().all(|check| check["wrong"] == 0));
    let jobs = verified.report["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), &jobs[1]["succeeded"], &jobs[1]["endpoint"]), (3, &10.into(), &REDACTION.into()));
    redacted(&world);

    let told = world.voxbatch(&["verify"]).expect(0).stdout;
    assert!(told.ends_with("everything is there, as it was stored\n"), "{told}");
    assert!(told.contains("clean: 10 recordings: 10 succeeded"), "{told}");
}

#[test]
fn one_job_can_be_looked_at_by_itself_and_sources_left_out() {
    let world = samples_done();
    fs::remove_file(world.path("calls/workshop.mp3")).unwrap();
    let verified = verify_with(&world, &["--job", "voice", "--no-sources"]);
    assert_eq!(verified.report["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(verify_with(&world, &["--job", "voice"]).kinds(), ["source_missing"]);
    world.voxbatch(&["verify", "--job", "nobody"]).expect(2).told("there is no job `nobody`");
}

#[test]
fn a_deleted_line_is_named_by_its_recording() {
    let world = done();
    let mut lines = lines_of(&world, RESULTS);
    let gone: Value = serde_json::from_str(&lines.remove(2)).unwrap();
    world.write(RESULTS, lines.concat().as_bytes());
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["file_cut", "line_missing"]);
    let missing = verified.of("line_missing");
    assert_eq!((&missing["task"], &missing["path"]), (&gone["task"], &gone["path"]));
    assert_eq!(verified.findings.len(), 2, "and no other recording: {:?}", verified.findings);
}

#[test]
fn lines_in_another_order_are_told_with_the_file_and_none_of_them_as_missing() {
    let world = World::with_recordings(40);
    world.run().expect(0);
    let mut lines = lines_of(&world, RESULTS);
    lines.reverse();
    world.write(RESULTS, lines.concat().as_bytes());
    assert_eq!(verify(&world).kinds(), ["file_altered"]);
    let swapped = lines.remove(7);
    lines[30] = swapped;
    world.write(RESULTS, lines.concat().as_bytes());
    assert_eq!(verify(&world).kinds().last(), Some(&"line_missing"));
    assert_eq!(verify(&world).findings.iter().filter(|f| f["kind"] == "line_missing").count(), 1);
}

#[test]
fn an_edited_transcript_is_named_by_its_recording_and_line() {
    let world = done();
    let mut lines = lines_of(&world, RESULTS);
    let edited: Value = serde_json::from_str(&lines[3]).unwrap();
    lines[3] = lines[3].replacen("mulat", "tampe", 1);
    world.write(RESULTS, lines.concat().as_bytes());
    assert_ne!(lines_of(&world, RESULTS)[3], edited.to_string(), "the edit took place");
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["file_altered", "line_altered"]);
    let altered = verified.of("line_altered");
    assert_eq!(
        (&altered["task"], &altered["path"], &altered["line"]),
        (&edited["task"], &edited["path"], &4.into())
    );

    let told = world.voxbatch(&["verify"]).expect(8).stdout;
    assert!(
        told.contains("out/archive/results.jsonl line 4 does not say what the stored result says"),
        "{told}"
    );
    assert!(told.contains("mend line_altered: ") || told.contains("mend file_altered: "), "{told}");
}

#[test]
fn a_line_put_in_is_named_whether_it_is_a_copy_or_made_up() {
    let world = done();
    let whole = lines_of(&world, RESULTS);
    let mut copied = whole.clone();
    copied.insert(1, whole[4].clone());
    world.write(RESULTS, copied.concat().as_bytes());
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["file_altered", "file_tail", "line_repeated"]);
    assert_eq!(verified.of("line_repeated")["line"], 6);

    let made_up = whole[0].replacen("\"task\":", "\"task\":99", 1);
    world.write(RESULTS, [whole.concat(), made_up].concat().as_bytes());
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["file_tail", "line_extra"]);
    assert_eq!(verified.of("line_extra")["line"], 7);

    world.write(RESULTS, format!("{}no record\n", whole.concat()).as_bytes());
    assert_eq!(verify(&world).kinds(), ["file_tail", "line_unreadable"]);
}

#[test]
fn a_table_that_was_edited_is_told_with_its_first_wrong_row_and_a_deleted_one_is_missed() {
    let world = done();
    let mut rows = lines_of(&world, "out/archive/results.csv");
    rows[4] = rows[4].replacen("succeeded", "SUCCEEDED", 1);
    world.write("out/archive/results.csv", rows.concat().as_bytes());
    fs::remove_file(world.path("out/archive/utterances.csv")).unwrap();
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["file_altered", "file_missing", "row_altered"]);
    assert_eq!(verified.of("row_altered")["path"], world.results()[3]["path"]);
    // The mend that is shown mends.
    fs::remove_file(world.path("out/archive/results.csv")).unwrap();
    world.voxbatch(&["run", "--no-scan", "--limit", "0"]).expect(0);
    verify(&world);
}

#[test]
fn a_result_altered_in_the_database_is_told_from_an_altered_file() {
    let world = done();
    let task = world.results()[1]["task"].clone();
    let altered = "json_set(response, '$.text', 'something else')";
    assert_eq!(sql(&world, &format!("UPDATE result SET response = {altered} WHERE task_id = {task}")), 1);
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["result_altered"]);
    assert_eq!(verified.of("result_altered")["task"], task);

    sql(&world, &format!("DELETE FROM result WHERE task_id = {task}"));
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["line_extra", "result_missing"]);
    assert_eq!(verified.of("result_missing")["task"], task);
}

#[test]
fn a_count_that_is_off_and_a_slot_that_leaked_are_told() {
    let world = done();
    sql(&world, "UPDATE tally SET tasks = tasks + 1 WHERE state = 'succeeded'");
    assert_eq!(verify(&world).kinds(), ["count_wrong"]);
    sql(&world, "UPDATE tally SET tasks = tasks - 1 WHERE state = 'succeeded'");
    verify(&world);
    sql(&world, "UPDATE slot SET task_id = 1, fence = 1, owner = (SELECT id FROM worker) WHERE no = 1");
    assert_eq!(verify(&world).kinds(), ["slot_leaked"]);
}

#[test]
fn redacted_audio_that_was_swapped_or_lost_is_told() {
    let world = samples_done();
    let audio: Vec<_> = files_below(&world.path("out/clean/audio"));
    let bytes = fs::read(&audio[0]).unwrap();
    fs::write(&audio[0], fs::read(&audio[1]).unwrap()).unwrap();
    fs::write(&audio[1], &bytes).unwrap();
    fs::remove_file(&audio[2]).unwrap();
    fs::write(&audio[3], vec![b'x'; fs::read(&audio[3]).unwrap().len()]).unwrap();
    let verified = verify(&world);
    let count = |kind| verified.findings.iter().filter(|f| f["kind"] == kind).count();
    assert_eq!((count("audio_altered"), count("audio_missing"), count("audio_undecodable")), (3, 1, 1));
    assert_eq!(verified.report["checks"]["audio"]["checked"], 10);
}

#[test]
fn audio_that_is_not_silent_where_it_was_redacted_is_told_even_when_its_hash_is_right() {
    let world = samples_done();
    let line = redacted(&world);
    let place = format!("out/clean/{}", line["redacted_audio"]["path"].as_str().unwrap());
    // The recording itself stands in the place of its redaction.
    let loud = world.read(&format!("calls/{}", line["path"].as_str().unwrap()));
    world.write(&place, &loud);
    let hash = {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(&loud))
    };
    let set = format!("audio_bytes = {}, audio_sha256 = '{hash}'", loud.len());
    assert_eq!(sql(&world, &format!("UPDATE result SET {set} WHERE task_id = {}", line["task"])), 1);
    let verified = verify(&world);
    assert_eq!(verified.kinds(), ["audio_not_silent", "result_altered"]);
    assert_eq!(verified.of("audio_not_silent")["task"], line["task"]);

    // Another recording is of another length as well.
    fs::copy(samples().join("workshop.mp3"), world.path(&place)).unwrap();
    let kinds = verify(&world).kinds().join(" ");
    assert!(kinds.contains("audio_altered") && kinds.contains("audio_length"), "{kinds}");
}

#[test]
fn a_source_that_changed_or_went_after_it_was_sent_is_named() {
    let world = done();
    let mut bytes = world.read("calls/call-002.wav");
    *bytes.last_mut().unwrap() ^= 1;
    world.write("calls/call-002.wav", &bytes);
    world.write("calls/call-003.wav", &tone("another", 300));
    fs::remove_file(world.path("calls/call-004.wav")).unwrap();
    let verified = verify(&world);
    let told: Vec<(&str, &str)> = verified
        .findings
        .iter()
        .map(|f| (f["path"].as_str().unwrap(), f["kind"].as_str().unwrap()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let altered = "source_altered";
    assert_eq!(
        told,
        [("call-002.wav", altered), ("call-003.wav", altered), ("call-004.wav", "source_missing")]
    );
    fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    assert_eq!(verify(&world).kinds(), ["sources_gone"]);
}

#[test]
fn failures_are_held_against_how_recordings_stand_and_moves_by_hand_are_no_damage() {
    let world = World::with_recordings(3);
    world.write("calls/a.wav", b"");
    world.write("calls/b.wav", b"");
    world.run().expect(3);
    let verified = verify(&world);
    assert_eq!(verified.report["checks"]["failures"]["checked"], 2);
    assert_eq!(verified.report["jobs"][0]["refused"], 2);

    let file = "out/archive/failures.jsonl";
    let lines = lines_of(&world, file);
    world.write(file, lines[0].as_bytes());
    let verified = verify(&world);
    assert_eq!(
        (verified.kinds(), &verified.of("failure_missing")["path"]),
        (vec!["failure_missing"], &"b.wav".into())
    );
    world.write(file, format!("{}{}", lines[0].replace("empty", "EMPTY"), lines[1]).as_bytes());
    assert_eq!(verify(&world).kinds(), ["failure_altered"]);
    world.write(file, format!("{}{}", lines.concat(), lines[1]).as_bytes());
    assert_eq!(verify(&world).kinds(), ["failure_extra"]);

    world.write(file, lines.concat().as_bytes());
    world.voxbatch(&["retry", "--where", "path:a.wav"]).expect(0);
    let verified = verify(&world);
    assert_eq!(
        (&verified.report["jobs"][0]["queued"], &verified.report["jobs"][0]["refused"]),
        (&1.into(), &1.into())
    );
    assert!(verified.report["notes"][0].as_str().unwrap().contains("moved by hand"), "{}", verified.report);
}

#[test]
fn while_a_run_goes_on_only_what_is_committed_is_looked_at() {
    let world = World::with_recordings(8);
    world.voxbatch(&["run", "--limit", "3"]).expect(0);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    // As if it were in the middle of a write.
    let torn = [&world.read(RESULTS)[..], b"{\"schema\":\"voxb"].concat();
    world.write(RESULTS, &torn);
    let verified = verify(&world);
    assert_eq!(
        (&verified.report["running"], &verified.report["jobs"][0]["running"]),
        (&true.into(), &4.into())
    );
    assert!(
        verified.report["notes"][0].as_str().unwrap().contains("a run is going on"),
        "{}",
        verified.report
    );
    let ended = world.voxbatch(&["verify", "--manifest", "m"]).expect(2);
    assert!(ended.stderr.contains("while a run goes on") && !world.path("m").exists(), "{}", ended.stderr);
    // What is committed is looked at all the same.
    let whole = world.read(RESULTS);
    let mut altered = whole.clone();
    altered[20] ^= 1;
    world.write(RESULTS, &altered);
    assert!(verify(&world).kinds().contains(&"file_altered"));
    world.write(RESULTS, &whole);
    world.control(Change::Release);
    run.wait().expect(0);
    assert_eq!(verify(&world).report["running"], false);
}

#[test]
fn a_killed_run_leaves_recordings_that_are_accounted_for() {
    let world = World::with_recordings(8);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    run.kill();
    world.control(Change::Release);
    world.when("its requests are gone", |r| r.of(STT).in_flight == 0);
    let verified = verify(&world);
    assert_eq!(verified.report["running"], false);
    assert!(
        verified.report["notes"][0].as_str().unwrap().contains("4 recordings are held"),
        "{}",
        verified.report
    );
    world.run().expect(0);
    verify(&world);
}

#[test]
fn recordings_that_are_sent_again_pass_before_and_after() {
    let world = done();
    world.voxbatch(&["retry", "--again", "--where", "path:call-00[12]*"]).expect(0);
    world.voxbatch(&["retry", "--again", "--where", "path:call-002*"]).expect(0);
    verify(&world);
    world.run().expect(0);
    verify(&world);
}

#[test]
fn a_manifest_is_accepted_by_sha256sum_and_convicts_a_changed_file() {
    let world = samples_done();
    world.write("calls/odd \\name\nwith\rends.wav", &tone("odd", 1500));
    world.run().expect(0);
    world.voxbatch(&["verify", "--manifest", "out/manifest.sha256"]).expect(0).told("26 hashes in");
    let text = world.read("out/manifest.sha256");
    assert_eq!(text.split(|byte| *byte == b'\n').count() - 1, 3 * 5 + 11);
    // A second one takes its place; anything else stays.
    world.voxbatch(&["verify", "--manifest", "out/manifest.sha256"]).expect(0);
    world.voxbatch(&["verify", "--manifest", "jobs.toml"]).expect(2).told("is no manifest");

    let check = || {
        let mut command = Command::new("sha256sum");
        command
            .args(["--check", "--strict", "--quiet", "manifest.sha256"])
            .current_dir(world.path("out"))
            .output()
    };
    let Ok(ended) = check() else {
        eprintln!("SKIPPED: there is no sha256sum here");
        return;
    };
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let audio = files_below(&world.path("out/clean/audio")).remove(0);
    fs::write(audio, b"other").unwrap();
    assert!(!check().unwrap().status.success());
}

#[test]
fn a_queue_that_is_gone_proves_nothing() {
    let world = done();
    fs::rename(world.path(".voxbatch"), world.path("elsewhere")).unwrap();
    let ended = world.voxbatch(&["verify"]).expect(8).told("there is no queue in");
    assert!(ended.stderr.contains("E-VERIFY-QUEUE") && !world.path(".voxbatch").exists());
    world.voxbatch(&["verify", "--state-dir", "elsewhere"]).expect(0);
}
