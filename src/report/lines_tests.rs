//! The lines as a journal holds them.

use super::*;
use crate::event::Stopping;
use crate::report::testing::{
    MIDWAY, START, about, any_run, at, failed, midway, started, succeeded, throttled,
};
use crate::task::{Cause, Doubt, Endpoint, HaltReason, HaltScope};
use proptest::prelude::*;
use std::time::Duration;

fn said(event: &RunEvent) -> String {
    line(event, at(98), &|path| path.to_string()).unwrap_or_else(|| "-".to_owned())
}

#[test]
fn what_happens_in_a_run_line_by_line() {
    let endpoint = Endpoint::SttBatch;
    let (scope, reason) = (HaltScope::Endpoint(endpoint), HaltReason::MonthlyHours);
    let wait = Duration::from_millis(7400);
    let scanned = |done| RunEvent::Scanned {
        job: "night shift".to_owned(),
        new: 4,
        new_bytes: 9,
        refused: 1,
        known: 7,
        done,
    };
    let lines: Vec<String> = [
        started(1204, 5),
        scanned(false),
        scanned(true),
        RunEvent::TaskStarted(about(1)),
        succeeded(1),
        RunEvent::TaskRetried { about: about(2), failure: throttled(), wait },
        RunEvent::TaskSnoozed { about: about(2), failure: throttled(), wait },
        RunEvent::TaskReleased { about: about(2), failure: throttled() },
        failed(3, Cause::UnreadableAudio),
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
            evidence: "HTTP 403: \"quota\"".to_owned(),
            until: Some(at(9999)),
        },
        RunEvent::HaltLifted { scope, reason },
        RunEvent::DeadlineSet { until: at(9999) },
        RunEvent::Watching { interval: Duration::from_secs(30) },
        RunEvent::SourceAway { job: "archive".to_owned(), away: true },
        RunEvent::SourceAway { job: "archive".to_owned(), away: false },
        RunEvent::Draining { in_flight: 4, grace: Duration::from_secs(75), why: Stopping::Deadline },
        RunEvent::Aborting { in_flight: 2 },
        RunEvent::StatusAsked,
        RunEvent::RunEnded,
    ]
    .iter()
    .map(said)
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_status_names_sums_range_and_the_request_that_hangs() {
    let stats = midway();
    let now = at(MIDWAY + 95);
    let asked = [vec![status(&stats, now)], in_flight(&stats, now, &|_| "-".to_owned())].concat();
    let first = Group { cause: Cause::Empty, files: 312, first: about(9).path };
    let refused = refused(&first, now, &|path| path.to_string());
    let end = end(&stats, now, StopReason::QueueEmpty, 3);
    insta::assert_snapshot!([asked, vec![refused, end]].concat().join("\n"));
}

#[test]
fn names_are_written_as_the_namer_says_everywhere() {
    let events = [
        RunEvent::TaskRetried { about: about(2), failure: throttled(), wait: Duration::ZERO },
        RunEvent::TaskSnoozed { about: about(2), failure: throttled(), wait: Duration::ZERO },
        failed(3, Cause::UnreadableAudio),
        RunEvent::AnswerFenced(about(4)),
    ];
    for event in events {
        let text = line(&event, START, &|_| "HIDDEN".to_owned()).unwrap();
        assert!(text.contains("path=HIDDEN") && !text.contains("calls/"), "{text}");
    }
}

#[test]
fn credentials_in_an_address_are_not_repeated() {
    assert!(said(&started(1, 1)).ends_with("api=api.example.com"));
}

proptest! {
    #[test]
    fn whatever_happens_is_said_in_one_harmless_line(run in any_run()) {
        let mut stats = RunStats::default();
        for (event, now) in &run {
            stats.apply(event, *now);
            let name = |path: &RecordingPath| path.to_string();
            let mut lines = in_flight(&stats, *now, &name);
            lines.push(status(&stats, *now));
            lines.push(end(&stats, *now, StopReason::Signal, 130));
            lines.extend(line(event, *now, &name));
            for text in lines {
                prop_assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }
}
