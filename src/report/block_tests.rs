//! The block as people see it.

use super::*;
use crate::event::RunEvent;
use crate::report::stats::Budget;
use crate::report::testing::{MIDWAY, START, about, any_run, at, midway, started, throttled};
use crate::task::{HaltReason, HaltScope};
use proptest::prelude::*;

fn look(width: usize) -> Look {
    Look { width, ascii: false, color: false }
}

fn drawn(stats: &RunStats, second: u64, look: Look) -> String {
    block(stats, at(second), look, &|path| path.to_string())
}

#[test]
fn a_run_midway_at_80_columns() {
    insta::assert_snapshot!(drawn(&midway(), MIDWAY, look(80)));
}

#[test]
fn a_run_midway_at_60_columns() {
    insta::assert_snapshot!(drawn(&midway(), MIDWAY, look(60)));
}

#[test]
fn a_run_midway_in_ascii() {
    let text = drawn(&midway(), MIDWAY, Look { ascii: true, ..look(80) });
    assert!(text.is_ascii());
    insta::assert_snapshot!(text);
}

#[test]
fn a_run_that_has_just_begun_and_still_scans() {
    let mut stats = RunStats::default();
    stats.apply(&started(0, 5), START);
    let job = "archive".to_owned();
    let scan = RunEvent::Scanned { job, new: 1, new_bytes: 900, refused: 0, known: 0, done: false };
    stats.apply(&scan, START);
    insta::assert_snapshot!(drawn(&stats, 1, look(80)));
}

#[test]
fn a_halt_and_a_tight_budget_at_100_columns() {
    let hour = 3_600_000;
    let budget = Budget { limit_ms: 200 * hour, used_before_ms: 10 * hour };
    let mut stats = midway().with_budgets(&[(Endpoint::SttBatch, budget)]);
    let before = drawn(&stats, MIDWAY, look(100));
    let (scope, reason) = (HaltScope::Endpoint(Endpoint::SttBatch), HaltReason::MonthlyHours);
    stats.apply(&RunEvent::HaltRaised { scope, reason, evidence: String::new(), until: None }, at(MIDWAY));
    insta::assert_snapshot!(format!("{before}\n\n{}", drawn(&stats, MIDWAY, look(100))));
}

#[test]
fn stopping_says_how_long_and_what_a_second_signal_costs() {
    let mut stats = midway();
    let drain = |why| RunEvent::Draining { in_flight: 4, grace: Duration::from_secs(75), why };
    stats.apply(&drain(Stopping::Deadline), at(MIDWAY));
    let text = drawn(&stats, MIDWAY + 5, look(100));
    assert!(text.contains("the deadline has come: 4 requests in flight, up to 1 m 10 s more"), "{text}");
    assert!(drawn(&stats, MIDWAY + 5, look(130)).contains("Ctrl-C twice drops them"));
    stats.apply(&drain(Stopping::Signal), at(MIDWAY));
    let text = drawn(&stats, MIDWAY + 5, look(120));
    assert_eq!(
        text.lines().last(),
        Some(
            "stopping   4 requests in flight, up to 1 m 10 s more · Ctrl-C again drops them (they may still be billed)"
        )
    );
    stats.apply(&RunEvent::Aborting { in_flight: 4 }, at(MIDWAY + 9));
    assert!(drawn(&stats, MIDWAY + 9, look(100)).ends_with("stopping   dropping 4 requests in flight"));
}

#[test]
fn a_deadline_is_counted_down_to_while_there_is_anything_left() {
    let mut stats = midway();
    stats.apply(&RunEvent::DeadlineSet { until: at(MIDWAY + 90) }, at(MIDWAY));
    assert!(
        drawn(&stats, MIDWAY, look(80)).contains("deadline in 1 m 30 s"),
        "{}",
        drawn(&stats, MIDWAY, look(80))
    );
    let painted = drawn(&stats, MIDWAY, Look { color: true, ..look(80) });
    assert!(painted.contains("\u{1b}[31mdeadline"), "it will not be enough: {painted:?}");
}

#[test]
fn a_request_without_an_answer_is_named_with_its_middle_taken_out() {
    let mut stats = RunStats::default();
    stats.apply(&started(1, 5), START);
    let mut long = about(312);
    long.path = RecordingPath::from_bytes("calls/2024/march/customer-service/0031.wav");
    stats.apply(&RunEvent::TaskStarted(long), START);
    let text = drawn(&stats, 93, look(80));
    assert!(text.contains("●○○○○  1 of 5 in use · no answer for 1 m 33 s: calls/202…e/0031.wav"), "{text}");
    assert!(!drawn(&stats, 89, look(80)).contains("no answer for"));
}

#[test]
fn an_outage_is_told_apart_from_a_pause_and_a_cut() {
    let mut stats = RunStats::default();
    stats.apply(&started(1, 5), START);
    let endpoint = Endpoint::SttBatch;
    stats.apply(&RunEvent::PaceChanged { endpoint, effective: 1, ceiling: 5 }, START);
    assert!(drawn(&stats, 0, look(80)).contains("0 of 5 in use · 1 slot allowed for now"));
    stats.apply(&RunEvent::LimiterPaused { endpoint, until: at(6) }, START);
    assert!(drawn(&stats, 0, look(80)).contains("throttled, goes on in 6 s"));
    assert!(!drawn(&stats, 6, look(80)).contains("goes on in"));
    stats.apply(&RunEvent::OutageBegan { endpoint, failure: throttled() }, START);
    assert!(drawn(&stats, 20, look(80)).contains("throttled for 20 s, one at a time"));
}

#[test]
fn colours_are_added_only_when_asked_for() {
    let plain = drawn(&midway(), MIDWAY, look(80));
    let painted = drawn(&midway(), MIDWAY, Look { color: true, ..look(80) });
    assert!(!plain.contains('\u{1b}'));
    assert!(painted.contains("\u{1b}[31m3 failed\u{1b}[0m"), "{painted:?}");
    assert_eq!(console::strip_ansi_codes(&painted), plain);
}

proptest! {
    #[test]
    fn six_lines_and_none_wider_than_the_terminal_whatever_happened(
        run in any_run(), width in 0usize..200, ascii: bool, color: bool,
    ) {
        let mut stats = RunStats::default();
        for (event, now) in &run {
            stats.apply(event, *now);
        }
        let now = run.last().map_or(START, |(_, now)| *now);
        let text = block(&stats, now, Look { width, ascii, color }, &|path| path.to_string());
        let plain = console::strip_ansi_codes(&text);
        prop_assert_eq!(plain.split('\n').count(), 6);
        for line in plain.split('\n') {
            prop_assert!(format::columns(line) <= width, "{} > {width}: {line:?}", format::columns(line));
            prop_assert!(!ascii || line.is_ascii());
        }
    }
}
