//! Ends of runs as people read them.

use super::*;
use crate::event::RunEvent;
use crate::report::testing::{
    MIDWAY, START, about, any_run, at, failed, midway, started, succeeded, throttled,
};
use crate::task::{Billed, Endpoint, Failure};
use proptest::prelude::*;

fn summary(stats: RunStats, stop: StopReason, exit_code: u8) -> Summary {
    let now = stats.ended_at.unwrap_or(at(MIDWAY));
    let outputs = vec![
        OutputFile { path: "out/archive/results.jsonl".to_owned(), records: stats.succeeded },
        OutputFile { path: "out/archive/results.csv".to_owned(), records: stats.succeeded },
    ];
    Summary { stats, now, stop, exit_code, outputs, left: Some(0), probe_every: None }
}

fn ran(events: &[RunEvent]) -> RunStats {
    let mut stats = RunStats::default();
    stats.apply(&started(events.len() as u64, 5), START);
    for (n, event) in events.iter().enumerate() {
        stats.apply(event, at(60 * (n as u64 + 1)));
    }
    stats.apply(&RunEvent::RunEnded, at(60 * (events.len() as u64 + 1)));
    stats
}

#[test]
fn a_run_with_problems_says_what_and_what_next() {
    let mut stats = midway();
    let unknown = Failure { billed: Billed::Unknown, ..throttled() };
    stats.apply(&RunEvent::TaskReleased { about: about(611), failure: unknown }, at(MIDWAY));
    stats.apply(&failed(612, Cause::Timeout), at(MIDWAY));
    insta::assert_snapshot!(summary(stats, StopReason::QueueEmpty, 3).text(false));
}

#[test]
fn a_clean_run_of_one_file_is_told_in_the_singular() {
    insta::assert_snapshot!(summary(ran(&[succeeded(1)]), StopReason::QueueEmpty, 0).text(false));
}

#[test]
fn a_halted_run_says_when_it_goes_on() {
    let (scope, reason) = (HaltScope::Endpoint(Endpoint::SttBatch), HaltReason::MonthlyHours);
    let until = Some(crate::task::Timestamp(1_796_083_200_000));
    let halt = RunEvent::HaltRaised { scope, reason, evidence: "HTTP 403".to_owned(), until };
    let broke = RunEvent::HaltRaised {
        scope: HaltScope::Everything,
        reason: HaltReason::Credits,
        evidence: String::new(),
        until: None,
    };
    let mut month = summary(ran(&[succeeded(1), halt.clone()]), StopReason::Halted(reason), 5);
    month.left = Some(591);
    let mut credits = summary(ran(&[halt, broke]), StopReason::Halted(HaltReason::Credits), 5);
    (credits.left, credits.probe_every) = (Some(591), Some(Duration::from_secs(3600)));
    insta::assert_snapshot!(format!("{}\n{}", month.text(false), credits.text(false)));
}

#[test]
fn nothing_to_do_is_said_in_two_lines() {
    let mut summary = summary(RunStats::default(), StopReason::NothingToDo, 0);
    summary.outputs.clear();
    assert_eq!(summary.text(false), "nothing to do\nexit 0\n");
}

#[test]
fn a_deed_is_named_after_the_model_and_mixed_deeds_are_successes() {
    let mut redacted = succeeded(2);
    if let RunEvent::TaskSucceeded { about, .. } = &mut redacted {
        about.endpoint = Endpoint::PiiPhiRedactionBatch;
    }
    let one = summary(ran(std::slice::from_ref(&redacted)), StopReason::QueueEmpty, 0).text(true);
    assert!(one.starts_with("done: 1 redacted | 15 m audio"), "{one}");
    let both = summary(ran(&[succeeded(1), redacted]), StopReason::QueueEmpty, 0).text(true);
    assert!(both.starts_with("done: 2 succeeded"), "{both}");
}

#[test]
fn what_would_only_cost_again_is_not_offered_for_retry() {
    let text = summary(ran(&[failed(1, Cause::UnreadableAudio)]), StopReason::QueueEmpty, 3).text(false);
    assert!(text.contains("next: voxbatch status"), "{text}");
    let text = summary(ran(&[failed(1, Cause::Timeout)]), StopReason::QueueEmpty, 3).text(false);
    assert!(text.contains("next: voxbatch retry --where cause:timeout   (1 file)"), "{text}");
}

#[test]
fn a_filter_that_is_offered_can_be_read_back() {
    let stats = ran(&[failed(1, Cause::Timeout), failed(2, Cause::AnswerLost), failed(3, Cause::Empty)]);
    for line in summary(stats, StopReason::QueueEmpty, 3).text(false).lines() {
        if let Some((_, filter)) = line.split_once("--where ") {
            let filter = filter.split("   ").next().unwrap();
            assert!(crate::task::Filter::parse(filter).is_ok(), "{filter}");
        }
    }
}

proptest! {
    #[test]
    fn never_more_than_eight_lines_and_always_the_exit_code(run in any_run(), ascii: bool, code: u8) {
        let mut stats = RunStats::default();
        for (event, now) in &run {
            stats.apply(event, *now);
        }
        for stop in [StopReason::QueueEmpty, StopReason::Signal, StopReason::Halted(HaltReason::Credits)] {
            let mut summary = summary(stats.clone(), stop, code);
            summary.left = None;
            let text = summary.text(ascii);
            prop_assert!(text.lines().count() <= 8);
            let exit = format!("exit {code}\n");
            prop_assert!(text.ends_with(&exit));
            prop_assert!(!ascii || text.is_ascii());
        }
    }
}
