//! Whoever is told of runs hears the truth, and nothing that should not leave the machine; and a week of nights by a
//! scheduler: deadlines, an outage, a month that is used up.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use voxbatch::emulator::{Change, Faults, Latency, ModelLimits};

use crate::support::{Bell, Ended, Heard, Jobs, Manner, STT, World, tone};

/// A world whose runs ring this bell.
fn told(world: &World, bell: &Bell, more: &str) {
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    world.write("jobs.toml", format!("{text}\n[notify]\nurl = \"{}\"\n{more}", bell.url()).as_bytes());
}

fn end(path: &str, code: i32, why: &str) -> (String, Value, Value) {
    (format!("POST /ping{path}"), code.into(), why.into())
}

fn start() -> (String, Value, Value) {
    ("POST /ping/start".to_owned(), Value::Null, Value::Null)
}

#[test]
fn start_and_end_of_a_run_are_told_in_counts() {
    let world = World::with_recordings(3);
    let bell = Bell::hang(Manner::Kind);
    told(&world, &bell, "");
    world.write("calls/void.wav", b"");
    world.run().expect(3);
    let heard = bell.heard();
    assert_eq!(heard.iter().map(|h| h.line.as_str()).collect::<Vec<_>>(), ["POST /ping/start", "POST /ping"]);
    let last = &heard[1].body;
    assert_eq!((&last["schema"], &last["event"]), (&"voxbatch.ping/1".into(), &"success".into()));
    assert_eq!((&last["exit_code"], &last["stop_reason"]), (&3.into(), &"queue_empty".into()));
    let billed = last["counts"]["billed_seconds"].clone();
    let expected = json!({
        "succeeded": 3, "failed": 0, "refused": 1, "left": 0, "audio_seconds": 0, "billed_seconds": billed,
        "maybe_billed": 0,
    });
    assert_eq!(last["counts"], expected);
    assert_eq!(heard[0].body["counts"].get("left"), None, "before the scan nobody knows");
    assert_eq!(heard[0].body["run"], last["run"]);
    for Heard { text, .. } in &heard {
        for secret in ["call-0", "void", "archive", "emulated", "emulator-key", "tester"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn ends_that_are_no_good_ones_are_told_as_failures() {
    let world = World::with_recordings(3);
    let bell = Bell::hang(Manner::Kind);
    told(&world, &bell, "");
    world.control(Change::Keys(Vec::new()));
    world.run().expect(4);
    assert_eq!(bell.take(), [start(), end("/fail", 4, "key_refused")]);
    // It does not even begin.
    std::fs::rename(world.path("calls"), world.path("elsewhere")).unwrap();
    world.run().expect(2);
    assert_eq!(bell.take(), [end("/fail", 2, "error")]);
    std::fs::rename(world.path("elsewhere"), world.path("calls")).unwrap();
    world.control(Change::Keys(vec!["emulator-key".to_owned()]));
    world.control(Change::Hold);
    let run = world.start(&["run"]);
    world.when("it is at work", |r| r.of(STT).held >= 1);
    run.signal(Signal::TERM);
    run.until_told("why=signal");
    world.control(Change::Release);
    run.wait().expect(143);
    assert_eq!(bell.take(), [start(), end("/fail", 143, "signal")]);
}

#[test]
fn which_ends_are_good_and_which_are_told_is_a_setting_and_a_token_travels_along() {
    let world = World::with_recordings(1);
    let bell = Bell::hang(Manner::Kind);
    world.write("token", b"t0ken\n");
    std::fs::set_permissions(world.path("token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = "suffixes = false\non = [\"failure\"]\nsuccess = [3]\ntoken_file = \"token\"\ntoken_header = \"X-Token\"\n";
    told(&world, &bell, more);
    world.run().expect(0);
    let heard = bell.heard();
    assert_eq!((heard.len(), heard[0].line.as_str()), (1, "POST /ping"));
    assert_eq!(heard[0].body["event"], "failure");
    assert!(heard[0].text.to_lowercase().contains("x-token: t0ken\r\n"), "{}", heard[0].text);
}

#[test]
fn nobody_who_does_not_answer_changes_a_run_or_keeps_it_from_ending() {
    for manner in [Manner::Broken, Manner::Silent] {
        let world = World::with_recordings(2);
        let bell = Bell::hang(manner);
        told(&world, &bell, "");
        let began = Instant::now();
        let ended = world.run().expect(0).told("nobody could be told of the run");
        assert!(began.elapsed() < Duration::from_secs(20), "bounded, whatever the machine is doing");
        assert!(!ended.stderr.contains("/ping"), "{}", ended.stderr);
        world.assert_each_once();
    }
}

#[test]
fn the_address_is_never_shown_and_a_file_that_holds_it_is_read_only_by_those_who_need_it() {
    let world = World::with_recordings(1);
    let text = String::from_utf8(world.read("jobs.toml")).unwrap();
    let with = |more: &str| world.write("jobs.toml", format!("{text}\n[notify]\n{more}\n").as_bytes());
    with("url = \"https://hc.example.org/s3cr3t\"");
    for args in [&["config", "show"][..], &["config", "show", "--json"], &["doctor"]] {
        let ended = world.voxbatch(args).expect(0).said("https://hc.example.org/…");
        assert!(!format!("{ended:?}").contains("s3cr3t"), "{ended:?}");
    }
    for wrong in
        ["url = \"http://hc.example.org/s3cr3t\"", "ulr = \"https://hc.example.org/s3cr3t\"", "url = 3"]
    {
        with(wrong);
        let ended = world.run().expect(2);
        assert!(!format!("{ended:?}").contains("s3cr3t"), "{ended:?}");
    }
    with("url_file = \"none\"");
    world.voxbatch(&["status"]).expect(0);
    world.run().expect(2).told("the address file");
    world.voxbatch(&["config", "check"]).expect(2);
    assert_eq!(world.report().requests, 0);
}

fn limits(monthly_hours: Option<f64>) -> Change {
    let limits = ModelLimits { concurrent: 1000, monthly_hours, enabled: true };
    Change::Model { name: STT.to_owned(), limits }
}

/// A week of a nightly job, begun by a scheduler that knows nothing but `run` and its deadline: the first night is too
/// short for the archive; in the second one the API is down; in the third one the month is full; in the next month the
/// rest is done. Each time exit code, ping, `verify` and the queue tell the same.
#[test]
fn nights_with_a_deadline_an_outage_and_a_month_that_is_full_all_tell_the_truth() {
    let world = World::with_recordings(0);
    for n in 0..40 {
        world.write(&format!("calls/{n:02}.wav"), &tone(&n.to_string(), 600));
    }
    let bell = Bell::hang(Manner::Kind);
    // A month of 36 recordings, 21.6 s of audio; the next one would cross it.
    let month = Some(21_900.0 / 3_600_000.0);
    let night = |deadline: &str| -> Ended { world.voxbatch(&["run", "--max-duration", deadline]) };
    let stands = |succeeded: usize| {
        world.voxbatch(&["verify"]).expect(0);
        assert_eq!((world.results().len(), world.failures().len()), (succeeded, 0));
        assert_eq!(world.tasks("state:queued").len(), 40 - succeeded);
        assert_eq!(world.stt().billed as usize, succeeded, "what was billed is there, and nothing else");
    };
    let counts = |heard: &[Heard]| heard.last().unwrap().body["counts"].clone();

    // The first night: four at once, a second each, and three seconds.
    world.configure(&Jobs { monthly_hours: month, max_attempts: 1000, ..Jobs::default() });
    told(&world, &bell, "");
    world.control(Change::Latency(Latency { scale: 1.8, ..Latency::default() }));
    night("3s").expect(10);
    let first = world.results().len();
    assert!(first < 30, "{first} in three seconds");
    stands(first);
    let told = counts(&bell.heard());
    assert_eq!((&told["succeeded"], &told["left"]), (&first.into(), &(40 - first).into()));
    assert_eq!(bell.take(), [start(), end("", 10, "deadline")]);

    // The second night: nothing but 503. Nothing fails for it, and the deadline comes before it gives up.
    world.control(Change::Latency(Latency::default()));
    world.control(Change::Faults(Faults { rate_503: 1.0, ..Faults::default() }));
    night("8s").expect(10).told("outage endpoint=");
    stands(first);
    assert_eq!(bell.take(), [start(), end("", 10, "deadline")]);
    // And one that has no deadline gives up by itself.
    world.edit("[run]\n", "[run]\ngive_up_after = \"200ms\"\n");
    world.run().expect(6);
    stands(first);
    assert_eq!(bell.take(), [start(), end("/fail", 6, "api_unusable")]);

    // The third night: the API is back, and the month is full before the deadline.
    world.control(Change::Faults(Faults::default()));
    night("10m").expect(5).told("reason=budget");
    // What the outage may have cost counts, too.
    let lost = world.attempts().iter().filter(|a| a["billed"] == "unknown").count();
    let full = 36 - lost;
    assert!(lost > 0 && full > first, "{lost} tries in the outage");
    stands(full);
    let told = counts(&bell.heard());
    assert_eq!((&told["succeeded"], &told["left"]), (&(full - first).into(), &(40 - full).into()));
    assert_eq!(bell.take(), [start(), end("/fail", 5, "budget")]);
    // The fourth one finds it so, and asks for nothing.
    let asked = world.report().requests;
    night("10m").expect(5);
    stands(full);
    assert_eq!((world.report().requests, bell.take()), (asked, vec![start(), end("/fail", 5, "budget")]));

    // More hours, and the API says the same of its own count; then the rest is done, and there is nothing more to do.
    world.configure(&Jobs { monthly_hours: Some(1.0), ..Jobs::default() });
    self::told(&world, &bell, "");
    world.control(limits(Some(0.0)));
    night("10m").expect(5).told("reason=monthly_hours");
    stands(full);
    assert_eq!(bell.take(), [start(), end("/fail", 5, "monthly_hours")]);
    world.control(limits(None));
    world.voxbatch(&["halts", "clear"]).expect(0);
    night("10m").expect(0);
    stands(40);
    night("10m").expect(0);
    assert_eq!(bell.take(), [start(), end("", 0, "queue_empty"), start(), end("", 0, "nothing_to_do")]);
    world.assert_each_once();
}
