//! Every other verb once, and what their streams carry: data on stdout, the rest on stderr, secrets nowhere.

use std::os::unix::fs::PermissionsExt;

use voxbatch::emulator::{Change, Faults};

use crate::support::{Jobs, Process, World, files_below, json_lines, tone, without_reader};

/// With two that succeeded, one that failed, and one that waits.
fn world_with_everything() -> World {
    let world = World::with_recordings(2);
    world.run().expect(0);
    world.configure(&Jobs { max_attempts: 1, ..Jobs::default() });
    world.write("calls/bad.wav", &tone("bad", 250));
    world.control(Change::Faults(Faults { rate_500: 1.0, ..Faults::default() }));
    world.run().expect(3);
    world.control(Change::Faults(Faults::default()));
    world.write("calls/later.wav", &tone("later", 250));
    world.voxbatch(&["scan"]).expect(0);
    world
}

#[test]
fn status_counts_what_stands_where() {
    let world = world_with_everything();
    let json = world.voxbatch(&["status", "--json"]).expect(0).json();
    let job = &json["jobs"][0];
    let counts = ["queued", "succeeded", "failed"].map(|state| job[state].as_u64());
    assert_eq!(counts, [Some(1), Some(2), Some(1)], "{json}");
    let text = world.voxbatch(&["status"]).expect(0).stdout;
    assert!(text.contains("failed: 1 server error") && text.contains("no run is going on"), "{text}");
}

#[test]
fn status_sees_a_run_that_goes_on_elsewhere() {
    let world = World::with_recordings(8);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(4);
    let text = world.voxbatch(&["status"]).expect(0).stdout;
    assert!(text.contains("a run is going on: pid") && text.contains("4 of 4 slots in use"), "{text}");
    world.control(Change::Release);
    run.wait().expect(0);
}

#[test]
fn tasks_show_and_explain_tell_of_single_recordings() {
    let world = world_with_everything();
    assert_eq!(world.tasks("").len(), 4);
    assert_eq!(world.tasks("state:failed cause:server_error job:archive").len(), 1);
    assert!(world.voxbatch(&["tasks"]).expect(0).stdout.contains("call-001.wav"));
    let first = json_lines(&world.voxbatch(&["tasks", "--json", "--limit", "1"]).expect(0).stdout);
    assert_eq!(first.len(), 1);

    let id = |path: &str| world.task(path)["task"].to_string();
    let (good, bad, later) = (id("call-000.wav"), id("bad.wav"), id("later.wav"));
    let shown = world.voxbatch(&["show", &good, "--json"]).expect(0).json();
    assert_eq!(shown["tries"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        shown["result"]["response"],
        world.results().iter().find(|l| l["path"] == "call-000.wav").unwrap()["response"]
    );
    assert!(world.voxbatch(&["show", &bad]).expect(0).stdout.contains("Internal server error"));

    let says = |id: &str| world.voxbatch(&["explain", id]).expect(0).stdout;
    assert!(says(&good).contains("it is done"));
    assert!(says(&bad).contains("failed for good") && says(&bad).contains("voxbatch retry"));
    assert!(says(&later).contains("no run is going on"));
}

#[test]
fn retry_and_cancel_say_what_they_would_do_before_they_do_it() {
    let world = world_with_everything();
    let would = world.voxbatch(&["retry", "--where", "state:failed", "-n", "--json"]).expect(0).json();
    assert_eq!((&would["tasks"], &would["dry_run"]), (&1.into(), &true.into()));
    assert_eq!(world.tasks("state:failed").len(), 1);
    let done = world.voxbatch(&["retry", "--where", "state:failed", "--json"]).expect(0).json();
    assert_eq!((&done["tasks"], &done["dry_run"]), (&1.into(), &false.into()));

    let cancelled = world.voxbatch(&["cancel", "--where", "path:later.wav", "--json"]).expect(0).json();
    assert_eq!(cancelled["tasks"], 1);
    world.run().expect(0);
    assert_eq!((world.results().len(), world.tasks("state:cancelled").len()), (3, 1));
    assert!(
        world
            .voxbatch(&["retry", "--where", "state:cancelled"])
            .expect(0)
            .stdout
            .contains("next: voxbatch run")
    );
    world.run().expect(0);
    world.assert_each_once();
}

#[test]
fn a_recording_that_is_cancelled_while_it_is_sent_ends_cancelled() {
    let world = World::with_recordings(1);
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when_held(1);
    world.voxbatch(&["cancel", "--where", ""]).expect(0);
    world.control(Change::Release);
    run.wait().expect(0);
    // It was paid for: a result that came is kept.
    assert_eq!(world.results().len() + world.tasks("state:cancelled").len(), 1);
}

#[test]
fn plan_changes_nothing_and_scan_adds() {
    let world = World::with_recordings(3);
    let planned = world.voxbatch(&["plan", "--json"]).expect(0).json();
    assert_eq!((&planned["dry_run"], &planned["jobs"][0]["new"]), (&true.into(), &3.into()));
    assert_eq!(world.tasks("").len(), 0);
    assert!(world.voxbatch(&["plan"]).expect(0).stdout.contains("3 wav"));
    let scanned = world.voxbatch(&["scan", "--json"]).expect(0).json();
    assert_eq!((&scanned["dry_run"], &scanned["jobs"][0]["new"]), (&false.into(), &3.into()));
    assert_eq!(world.tasks("state:queued").len(), 3);
    let again = world.voxbatch(&["scan", "--json"]).expect(0).json();
    assert_eq!((&again["jobs"][0]["new"], &again["jobs"][0]["known"]), (&0.into(), &3.into()));
    assert_eq!(world.report().requests, 0);
}

#[test]
fn export_writes_what_a_filter_picks() {
    let world = world_with_everything();
    let all = json_lines(&world.voxbatch(&["export"]).expect(0).stdout);
    assert_eq!(all.len(), 4);
    let good = json_lines(&world.voxbatch(&["export", "--where", "state:succeeded"]).expect(0).stdout);
    assert_eq!(good.len(), 2);
    let mut lines = world.results();
    lines.sort_by_key(|l| l["task"].as_i64());
    assert_eq!(good, lines, "the same lines as in the results");

    world.voxbatch(&["export", "--format", "csv", "-o", "all.csv"]).expect(0).told("4 lines");
    assert_eq!(csv::Reader::from_reader(&world.read("all.csv")[..]).records().count(), 4);
    world.voxbatch(&["export", "--format", "csv", "-o", "all.csv"]).expect(2).told("--force");
    world.voxbatch(&["export", "--format", "utterances", "--force", "-o", "all.csv"]).expect(0);
}

#[test]
fn halts_pause_and_resume_tell_what_they_did() {
    let world = World::with_recordings(1);
    assert_eq!(world.voxbatch(&["halts"]).expect(0).stdout, "nothing stands still\n");
    assert!(world.voxbatch(&["pause"]).expect(0).stdout.contains("voxbatch resume"));
    assert!(world.voxbatch(&["pause"]).expect(0).stdout.contains("paused already"));
    let listed = json_lines(&world.voxbatch(&["halts", "list", "--json"]).expect(0).stdout);
    assert_eq!((listed.len(), &listed[0]["reason"]), (1, &"paused".into()));
    assert_eq!(world.voxbatch(&["resume"]).expect(0).stdout, "resumed\n");
    assert!(world.voxbatch(&["resume"]).expect(0).stdout.contains("not paused"));
    let all = json_lines(&world.voxbatch(&["halts", "list", "--all", "--json"]).expect(0).stdout);
    assert_eq!((all.len(), &all[0]["lifted_by"]), (1, &"tester".into()));
}

#[test]
fn config_init_and_completions_print_what_can_be_used() {
    let world = World::with_recordings(1);
    assert!(world.voxbatch(&["config", "check"]).expect(0).stdout.starts_with("ok: 1 job"));
    assert_eq!(world.voxbatch(&["config", "check", "--json"]).expect(0).json()["ok"], true);
    let shown = world.voxbatch(&["config", "show", "--json"]).expect(0);
    assert!(shown.json().is_object() && !shown.stdout.contains("emulator-key"));
    let text = world.voxbatch(&["config", "show", "--origin"]).expect(0).stdout;
    assert!(text.contains("max_attempts = 5") && text.contains("jobs.toml:"), "{text}");

    world.voxbatch(&["init", "--source", "calls"]).expect(2).told("E-CONF-EXISTS");
    world.voxbatch(&["init", "--source", "calls", "--full", "-o", "new.toml"]).expect(0);
    world.voxbatch(&["--config", "new.toml", "config", "check"]).expect(0);
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.voxbatch(&["completions", shell]).expect(0).stdout.contains("voxbatch"));
    }
}

#[test]
fn the_emulator_of_the_command_line_says_where_it_listens_and_stops_when_asked() {
    let world = World::with_recordings(3);
    let emulator = world.start(&["emulator", "--listen", "127.0.0.1:0"]);
    let url = emulator.until_address();
    world.voxbatch(&["run", "--base-url", &url]).expect(0);
    emulator.signal(rustix::process::Signal::TERM);
    emulator.wait().expect(0);
    assert_eq!(world.report().requests, 0);
    world.assert_each_once();
}

#[test]
fn events_are_one_object_a_line_and_nothing_else_is_on_stdout() {
    let world = World::with_recordings(6);
    world.write("calls/empty.wav", b"");
    let ended = world.voxbatch(&["run", "--json", "--log-level", "trace"]).expect(3);
    let events = json_lines(&ended.stdout);
    for event in &events {
        assert_eq!(event["v"], 1, "{event}");
        assert!(
            event["type"].is_string() && event["time"].is_string() && event["run"].is_string(),
            "{event}"
        );
    }
    let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).count();
    assert_eq!((of("run_started"), of("task_started"), of("run_finished")), (1, 6, 1));
    assert_eq!(of("task_finished"), 6);
    assert_eq!(events.last().unwrap()["exit_code"], 3);
    assert_eq!(events.last().unwrap()["totals"]["refused"], 1);
}

#[test]
fn a_reader_that_goes_away_is_no_trouble() {
    let world = world_with_everything();
    for args in [
        &["tasks"][..],
        &["tasks", "--json"],
        &["status"],
        &["status", "--json"],
        &["show", "1", "--json"],
        &["export"],
        &["export", "--format", "csv"],
        &["halts"],
        &["plan"],
        &["config", "show"],
        &["completions", "bash"],
        &["run", "--json"],
    ] {
        let ended = without_reader(world.command(args));
        assert_eq!(
            (ended.code, ended.stderr.contains("anic")),
            (Some(0), false),
            "{args:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(world.results().len(), 3, "and the run did its work");
}

#[test]
fn neither_the_key_nor_a_spoken_word_is_in_any_log() {
    let world = World::with_recordings(4);
    let key = "sk-very-secret-0123456789";
    let run = |flags: &[&str], code: i32| {
        let mut command = world.command(flags);
        command.env("VOXBATCH_API_KEY", key).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        Process::start(command).wait().expect(code)
    };
    let trace = ["run", "--log-level", "trace", "--log-format", "json"];
    world.control(Change::Keys(Vec::new()));
    let mut said = run(&trace, 4).stderr;
    world.control(Change::Keys(vec![key.to_owned()]));
    said += &run(&["halts", "clear"], 0).stdout;
    world.control(Change::Faults(Faults {
        seed: 5,
        truncated_json: 0.5,
        reset_after_body: 0.2,
        ..Faults::default()
    }));
    let ended = run(&["run", "--log-level", "trace", "--max-attempts", "9"], 0);
    said += &ended.stderr;
    said += &ended.stdout;
    said += &run(&["run", "--json", "--log-level", "voxbatch=trace,hyper=trace,reqwest=trace,sqlx=trace"], 0)
        .stderr;
    said += &run(&["config", "show", "--origin"], 0).stdout;

    assert!(said.contains("start run="), "something was said at all");
    assert!(!said.contains("sk-very-secret"), "{said}");
    let texts: Vec<String> = world.results().iter().map(|l| l["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts.len(), 4);
    for text in texts {
        assert!(text.len() > 20);
        for words in text.split_whitespace().collect::<Vec<_>>().windows(4) {
            assert!(!said.contains(&words.join(" ")), "{words:?} in {said}");
        }
    }
    for file in files_below(&world.path(".")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(14).any(|w| w == b"sk-very-secret"), "{}", file.display());
    }
}

#[test]
fn names_of_recordings_can_be_kept_out_of_what_is_told() {
    let world = World::with_recordings(0);
    world.write("calls/anna-smith.wav", &tone("a", 250));
    world.write("calls/empty-anna.wav", b"");
    world.control(Change::Faults(Faults { rate_500: 1.0, ..Faults::default() }));
    let ended = world.voxbatch(&["run", "--log-level", "trace", "--log-paths", "hash"]).expect(3);
    assert!(!ended.stderr.contains("anna"), "{}", ended.stderr);
    let ended = world.voxbatch(&["run", "--json", "--log-paths", "none"]).expect(0);
    assert!(!ended.stdout.contains("anna"), "{}", ended.stdout);
}

#[test]
fn the_queue_and_the_outputs_are_for_their_owner_alone() {
    let world = World::with_recordings(3);
    let redaction = "velma-2-pii-phi-redaction-batch";
    world.configure(&Jobs { jobs: vec![("archive", redaction, "calls")], ..Jobs::default() });
    world.write("calls/deep/er/one.wav", &tone("one", 250));
    world.write("calls/empty.wav", b"");
    world.run().expect(3);
    let mut seen = 0;
    for top in [".voxbatch", "out"] {
        for entry in walkdir::WalkDir::new(world.path(top)) {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let right = if entry.file_type().is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, right, "{:o} of {}", mode, entry.path().display());
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
}
