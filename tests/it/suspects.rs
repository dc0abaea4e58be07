//! Results that are implausible: each kind provoked, flagged with its evidence everywhere, and told apart from healthy ones.

use serde_json::Value;
use voxbatch::emulator::{Change, Settings};
use voxbatch::task::Suspect;

use crate::support::{Jobs, STT, World, json_lines, roomy, tone};

const REDACTION: &str = "velma-2-pii-phi-redaction-batch";

fn scripted(of_each_job: &'static str, jobs: Vec<(&'static str, &'static str, &'static str)>) -> World {
    let world = World::new(Settings { script: true, time_limit: None, ..roomy() });
    world.configure(&Jobs { jobs, of_each_job, ..Jobs::default() });
    world
}

fn kinds(line: &Value) -> Vec<&str> {
    line["suspect"]
        .as_array()
        .map_or(vec![], |odd| odd.iter().map(|one| one["kind"].as_str().unwrap()).collect())
}

#[test]
fn every_kind_is_flagged_with_its_evidence_in_every_output_and_nothing_else_is() {
    let world = scripted(
        "options = { language = \"en\" }",
        vec![("archive", STT, "calls"), ("clean", REDACTION, "long")],
    );
    for name in ["ok", "ok-2", "heard_half", "stuck", "babble", "foreign", "empty_text"] {
        world.write(&format!("calls/{name}.wav"), &tone(name, 5000));
    }
    world.write("long/meeting.wav", &tone("meeting", 601_000));
    let run = world.run().expect(0);
    for part in [
        "1 of another length than heard",
        "1 empty but loud",
        "1 with too many words",
        "1 with repeated text",
        "1 in another language",
        "1 long with nothing redacted",
        "1 recording was empty but loud, sent once more",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let lines = [world.results(), world.lines("out/clean/results.jsonl")].concat();
    for (path, expected) in [
        ("ok.wav", vec![]),
        ("ok-2.wav", vec![]),
        ("heard_half.wav", vec![Suspect::DurationMismatch]),
        ("stuck.wav", vec![Suspect::RepeatedText]),
        ("babble.wav", vec![Suspect::TooManyWords]),
        ("foreign.wav", vec![Suspect::OtherLanguage]),
        ("empty_text.wav", vec![Suspect::EmptyButLoud]),
        ("meeting.wav", vec![Suspect::NothingRedacted]),
    ] {
        let line = lines.iter().find(|line| line["path"] == path).unwrap();
        let expected: Vec<&str> = expected.into_iter().map(Suspect::word).collect();
        assert_eq!(kinds(line), expected, "{path}");
        for kind in expected {
            let found = world.tasks(&format!("suspect:{kind}"));
            assert_eq!(found.iter().map(|t| t["path"].as_str().unwrap()).collect::<Vec<_>>(), [path]);
        }
    }
    assert_eq!(world.tasks("suspect:*").len(), 6);
    let csv = String::from_utf8(world.read("out/archive/results.csv")).unwrap();
    assert!(csv.contains("the API heard 2.5 s, the recording has 5.0 s"), "{csv}");
    let exported = json_lines(&world.voxbatch(&["export", "--where", "suspect:*"]).expect(0).stdout);
    assert_eq!(exported.len(), 6);
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn what_is_empty_but_loud_is_sent_once_more_decoded_and_billed_for_it() {
    let world = scripted("", vec![("archive", STT, "calls")]);
    world.write("calls/empty_text.wav", &tone("loud", 5000));
    world.write("calls/empty_text_once.wav", &tone("once", 5000));
    world.write("calls/ok.wav", &tone("ok", 5000));
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.stt().billed_ms), (5, 25_000));
    let usage = world.voxbatch(&["status", "--json"]).expect(0).json();
    assert_eq!(usage["endpoints"][0]["billed_ms"], 25_000, "the bill shows both");
    let once = world.results().into_iter().find(|line| line["path"] == "empty_text_once.wav").unwrap();
    assert!(kinds(&once).is_empty() && !once["text"].as_str().unwrap().is_empty(), "{once}");
    let line = world.results().into_iter().find(|line| line["path"] == "empty_text.wav").unwrap();
    assert_eq!((kinds(&line), &line["attempts"]), (vec!["empty_but_loud"], &2.into()));
    assert_eq!(world.results().len(), 3, "each once");
    world.voxbatch(&["verify"]).expect(0);
    world.voxbatch(&["retry", "--again", "--where", "suspect:empty_but_loud"]).expect(0);
    world.run().expect(0);
    assert_eq!(world.stt().bodies, 6, "by itself it is done once for a recording");
    world.voxbatch(&["verify"]).expect(0);
}

#[test]
fn what_goes_out_once_more_is_decoded_also_when_a_run_is_to_do_no_others() {
    for args in [&["run"][..], &["run", "--limit", "1"]] {
        let world = scripted("", vec![("archive", STT, "calls")]);
        world.write("calls/empty_text_once.wav", &tone("once", 5000));
        world.voxbatch(args).expect(0);
        assert_eq!((world.stt().bodies, &world.results()[0]["audio"]["mime"]), (2, &"audio/flac".into()));
    }
}

#[test]
fn it_is_not_sent_once_more_when_that_is_switched_off_or_it_is_silent() {
    let world = scripted("", vec![("archive", STT, "calls")]);
    world.edit("[run]\n", "[suspect]\nresend = false\n\n[run]\n");
    let mut silence = tone("silence", 5000);
    silence[44..].fill(0);
    world.write("calls/empty_text-silent.wav", &silence);
    world.write("calls/empty_text.wav", &tone("loud", 5000));
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.tasks("suspect:*").len()), (2, 1));
    world.control(Change::NewMonth);
    world.edit("resend = false", "enabled = false");
    world.voxbatch(&["retry", "--again", "--where", ""]).expect(0);
    world.run().expect(0);
    assert_eq!((world.stt().bodies, world.tasks("suspect:*").len()), (4, 0));
}
