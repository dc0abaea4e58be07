//! The objects as scripts read them.

use super::*;
use crate::event::Stopping;
use crate::report::testing::{MIDWAY, about, any_run, at, failed, midway, started, succeeded, throttled};
use crate::task::{Cause, Endpoint, HaltReason, HaltScope};
use proptest::prelude::*;
use std::time::Duration;

fn full(path: &RecordingPath) -> String {
    path.to_string()
}

#[test]
fn what_happens_in_a_run_object_by_object() {
    let endpoint = Endpoint::SttBatch;
    let (scope, reason) = (HaltScope::Everything, HaltReason::Credits);
    let wait = Duration::from_millis(7400);
    let scan =
        |done| RunEvent::Scanned { job: "a".to_owned(), new: 4, new_bytes: 9, refused: 1, known: 7, done };
    let lines: Vec<String> = [
        started(1204, 5),
        scan(false),
        RunEvent::TaskStarted(about(1)),
        succeeded(1),
        RunEvent::TaskRetried { about: about(2), failure: throttled(), wait },
        RunEvent::TaskSnoozed { about: about(2), failure: throttled(), wait },
        RunEvent::TaskReleased { about: about(2), failure: throttled() },
        failed(3, Cause::UnreadableAudio),
        failed(3, Cause::Empty),
        RunEvent::AnswerFenced(about(4)),
        RunEvent::TasksRecovered { tasks: 5, failed: 1 },
        RunEvent::LimiterPaused { endpoint, until: at(104) },
        RunEvent::PaceChanged { endpoint, effective: 3, ceiling: 5 },
        RunEvent::Examining { endpoint, doubt: Doubt::Opaque },
        RunEvent::OutageBegan { endpoint, failure: throttled() },
        RunEvent::OutageEnded { endpoint },
        RunEvent::HaltRaised {
            scope,
            reason,
            evidence: "HTTP 429: no credits".to_owned(),
            until: Some(at(9999)),
        },
        RunEvent::HaltLifted { scope, reason },
        RunEvent::DeadlineSet { until: at(9999) },
        RunEvent::Watching { interval: Duration::from_secs(30) },
        RunEvent::SourceAway { job: "archive".to_owned(), away: true },
        RunEvent::SourceAway { job: "archive".to_owned(), away: false },
        RunEvent::Draining { in_flight: 4, grace: Duration::from_secs(75), why: Stopping::Deadline },
        RunEvent::Aborting { in_flight: 2 },
    ]
    .iter()
    .map(|e| event(e, at(98), Some("r17"), &full).unwrap().to_string())
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_status_and_the_end_carry_the_same_totals() {
    let stats = midway();
    let (status, end) =
        (status(&stats, at(MIDWAY)), run_finished(&stats, at(MIDWAY), StopReason::QueueEmpty, 3));
    assert_eq!(status["done"], end["totals"]["done"]);
    insta::assert_snapshot!(format!("{status:#}\n{end:#}"));
}

#[test]
fn a_name_that_is_no_text_travels_whole_unless_names_are_hidden() {
    let mut about = about(1);
    about.path = RecordingPath::from_bytes(b"caf\xe9.wav".to_vec());
    let shown = task(&about, &full);
    assert_eq!(
        (shown["path"].as_str(), shown["path_base64"].as_str()),
        (Some("caf\u{fffd}.wav"), Some("Y2Fm6S53YXY="))
    );
    let hidden = task(&about, &|_| "-".to_owned());
    assert_eq!((hidden["path"].as_str(), hidden.get("path_base64")), (Some("-"), None));
    about.path = RecordingPath::from_bytes("two\nlines.wav");
    assert_eq!(task(&about, &|_| "-".to_owned())["path"], "-", "a hidden name stays hidden when it is text");
    assert_eq!(task(&about, &full)["path"], "two\nlines.wav", "JSON escapes it; the name stays itself");
}

#[test]
fn only_the_machine_is_said_of_an_address() {
    for (url, said) in [
        ("https://api.example.com", "api.example.com"),
        ("https://me:pass@api.example.com:8443/v1?key=1", "api.example.com:8443"),
        ("http://[::1]:41733/", "[::1]:41733"),
        ("nonsense", "nonsense"),
        ("", ""),
    ] {
        assert_eq!(host(url), said);
    }
}

proptest! {
    #[test]
    fn every_object_is_one_line_with_the_same_head(run in any_run()) {
        let mut stats = RunStats::default();
        for (happened, now) in &run {
            stats.apply(happened, *now);
            let mut objects = vec![status(&stats, *now), run_finished(&stats, *now, StopReason::Signal, 130)];
            objects.extend(event(happened, *now, run_of(&stats), &full));
            for object in objects {
                let keys: Vec<&String> = object.as_object().unwrap().keys().take(4).collect();
                prop_assert_eq!(keys, ["v", "type", "time", "run"]);
                let line = object.to_string();
                prop_assert!(!line.contains('\n'));
                prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
            }
        }
    }
}
