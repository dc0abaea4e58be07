//! The fold, told as runs.

use super::*;
use crate::event::Idle;
use crate::report::testing::{
    MIDWAY, START, about, any_run, at, failed, midway, started, succeeded, throttled,
};
use proptest::prelude::*;

fn after(events: &[RunEvent]) -> RunStats {
    let mut stats = RunStats::default();
    for (second, event) in events.iter().enumerate() {
        stats.apply(event, at(second as u64));
    }
    stats
}

#[test]
fn every_task_is_counted_once_however_it_ended() {
    let stats = midway();
    assert_eq!((stats.total(), stats.done(), stats.left()), (1204, 612, 592));
    assert_eq!((stats.succeeded, stats.failed(), stats.refused()), (607, 3, 2));
    assert_eq!(stats.repeated_by(), [(Cause::Timeout, 22), (Cause::Throttled, 15), (Cause::Overloaded, 4)]);
    assert_eq!((stats.busy(), stats.ceiling()), (4, 5));
}

#[test]
fn what_was_sent_and_failed_is_no_refusal_even_when_its_cause_could_be_one() {
    let RunEvent::TaskFailed { about, failure, .. } = failed(1, Cause::TooBig) else { unreachable!() };
    let answered = RunEvent::TaskFailed { about, failure, sent: true };
    let stats = after(&[started(2, 1), answered, failed(2, Cause::TooBig)]);
    assert_eq!((stats.failed(), stats.refused()), (1, 1));
}

#[test]
fn a_request_is_in_flight_until_it_ends_in_any_way() {
    let wait = Duration::from_secs(9);
    let local = Failure::local(Cause::Interrupted, "stopped");
    for end in [
        succeeded(1),
        failed(1, Cause::UnreadableAudio),
        RunEvent::TaskRetried { about: about(1), failure: throttled(), wait },
        RunEvent::TaskSnoozed { about: about(1), failure: throttled(), wait },
        RunEvent::TaskReleased { about: about(1), failure: local },
        RunEvent::AnswerFenced(about(1)),
    ] {
        let start = RunEvent::TaskStarted(about(1));
        assert_eq!(after(&[started(1, 1), start.clone()]).busy(), 1);
        let stats = after(&[started(1, 1), start.clone(), start, end.clone()]);
        assert_eq!((stats.busy(), stats.lanes[&Endpoint::SttBatch].in_flight), (0, 0), "{end:?}");
    }
}

/// A slot is let go before what came of its request is told, for that may have to be certain first.
#[test]
fn a_slot_that_is_taken_again_before_its_last_end_is_told_is_one_slot() {
    let mut stats = after(&[started(3, 2)]);
    (1..=3).for_each(|task| stats.apply(&RunEvent::TaskStarted(about(task)), START));
    assert_eq!((stats.busy(), stats.ceiling()), (2, 2));
    stats.apply(&succeeded(1), at(5));
    assert_eq!(stats.slot_time(), SlotTime { busy: 10_000, ..SlotTime::default() });
    assert_eq!(stats.busy(), 2);
    stats.apply(&succeeded(2), at(6));
    assert_eq!(stats.busy(), 1);
}

#[test]
fn a_late_end_of_the_last_try_does_not_end_the_next_one() {
    let wait = Duration::ZERO;
    let of = |fence| About { fence: Fence(fence), ..about(1) };
    let mut stats = after(&[started(1, 1), RunEvent::TaskStarted(of(1)), RunEvent::TaskStarted(of(2))]);
    assert_eq!((stats.busy(), stats.total()), (1, 1), "one slot, one task");
    stats.apply(&RunEvent::TaskRetried { about: of(1), failure: throttled(), wait }, at(3));
    assert_eq!(stats.busy(), 1, "the next try is under way");
    assert_eq!(stats.oldest().map(|request| request.since), Some(at(2)));
    let snoozed = RunEvent::TaskSnoozed { about: of(2), failure: throttled(), wait };
    stats.apply(&snoozed, at(4));
    assert_eq!((stats.busy(), stats.in_flight.len()), (0, 0));
}

#[test]
fn requests_that_may_have_been_billed_for_nothing_are_counted() {
    let unknown = Failure { billed: Billed::Unknown, ..throttled() };
    let retried = RunEvent::TaskRetried { about: about(1), failure: unknown.clone(), wait: Duration::ZERO };
    let released = RunEvent::TaskReleased { about: about(2), failure: unknown };
    let stats = after(&[started(3, 1), retried, released, RunEvent::AnswerFenced(about(3))]);
    assert_eq!(stats.maybe_billed, 3);
}

#[test]
fn a_scan_reports_sums_and_the_latest_counts() {
    let scanned = |new, done| RunEvent::Scanned {
        job: "archive".to_owned(),
        new,
        new_bytes: new * 10,
        refused: 1,
        known: 5,
        done,
    };
    let stats = after(&[started(10, 1), scanned(3, false)]);
    assert!(stats.scanning());
    let stats = after(&[started(10, 1), scanned(3, false), scanned(7, true)]);
    assert!(!stats.scanning());
    assert_eq!((stats.total(), stats.refused(), stats.known()), (17, 1, 5));
    assert_eq!(stats.total_bytes(), 40_000_070);
}

#[test]
fn a_halt_raised_twice_is_one_halt_and_is_gone_when_lifted() {
    let scope = HaltScope::Endpoint(Endpoint::SttBatch);
    let reason = HaltReason::MonthlyHours;
    let raised = RunEvent::HaltRaised { scope, reason, evidence: "HTTP 403".to_owned(), until: None };
    assert_eq!(after(&[raised.clone(), raised.clone()]).halts.len(), 1);
    assert!(after(&[raised, RunEvent::HaltLifted { scope, reason }]).halts.is_empty());
}

#[test]
fn time_in_which_everything_stands_still_does_not_slow_the_average() {
    let mut stats = midway();
    let rate = stats.audio_rate().unwrap();
    for task in 611..=614 {
        let failure = Failure::local(Cause::Credits, "none left");
        stats.apply(&RunEvent::TaskReleased { about: about(task), failure }, at(MIDWAY));
    }
    let (scope, reason) = (HaltScope::Everything, HaltReason::Credits);
    let halt = RunEvent::HaltRaised { scope, reason, evidence: String::new(), until: None };
    stats.apply(&halt, at(MIDWAY));
    assert_eq!(stats.eta(), None);
    stats.advance(at(MIDWAY + 86_400));
    assert_eq!(stats.audio_rate(), Some(rate));
    assert_eq!(stats.slot_time().halted, 5 * 86_400_000);
    stats.apply(&RunEvent::HaltLifted { scope, reason }, at(MIDWAY + 86_400));
    assert!(stats.eta().is_some());
}

#[test]
fn a_range_is_given_for_what_is_left_and_says_at_least_while_scanning() {
    let stats = midway();
    let eta = stats.eta().unwrap();
    // 592 files at ten seconds each: 5,920 s.
    assert!(eta.low.as_secs() < 5920 && 5920 < eta.high.as_secs(), "{eta:?}");
    assert!(!eta.at_least);
    let mut scanning = stats;
    let job = "more".to_owned();
    let more = RunEvent::Scanned { job, new: 0, new_bytes: 0, refused: 0, known: 0, done: false };
    scanning.apply(&more, at(MIDWAY));
    assert!(scanning.eta().unwrap().at_least);
}

#[test]
fn idle_slots_are_put_down_to_what_the_pool_says_and_to_the_tail() {
    let mut stats = after(&[started(2, 2)]);
    stats.apply(&RunEvent::TaskStarted(about(1)), START);
    let wait = Duration::from_secs(10);
    stats.apply(&RunEvent::TaskRetried { about: about(2), failure: throttled(), wait }, START);
    let says = |idle| {
        let state = SlotState { idle, effective: 2, ..SlotState::default() };
        RunEvent::SlotsChanged { endpoint: Endpoint::SttBatch, state }
    };
    stats.advance(at(1));
    assert_eq!((stats.slot_time().busy, stats.slot_time().claiming), (1000, 1000), "until it says anything");
    stats.apply(&says(Idle::Backoff), at(1));
    stats.advance(at(5));
    assert_eq!((stats.slot_time().busy, stats.slot_time().backoff), (5000, 4000));
    stats.apply(&says(Idle::Filling), at(5));
    stats.apply(&RunEvent::TaskStarted(about(2)), at(5));
    stats.apply(&succeeded(1), at(6));
    stats.advance(at(8));
    assert_eq!((stats.slot_time().tail, stats.slot_time().claiming), (2000, 1000), "nothing is left");
}

#[test]
fn sending_lasts_from_the_first_request_to_the_last_answer_and_goes_on_while_any_is_in_flight() {
    let mut stats = after(&[started(2, 2)]);
    stats.advance(at(7));
    assert_eq!(stats.sending(), Duration::ZERO);
    stats.apply(&RunEvent::TaskStarted(about(1)), at(10));
    stats.advance(at(14));
    assert_eq!(stats.sending(), Duration::from_secs(4));
    stats.apply(&succeeded(1), at(15));
    stats.advance(at(60));
    assert_eq!(stats.sending(), Duration::from_secs(5));
}

#[test]
fn the_budget_that_will_be_gone_first_is_the_one_to_show() {
    let hour = 3_600_000;
    let roomy = Budget { limit_ms: 1000 * hour, used_before_ms: 0 };
    let tight = Budget { limit_ms: 200 * hour, used_before_ms: 10 * hour };
    let mut stats =
        RunStats::default().with_budgets(&[(Endpoint::Batch, roomy), (Endpoint::SttBatch, tight)]);
    stats.apply(&started(100, 1), START);
    (1..=40).for_each(|task| stats.apply(&succeeded(task), at(task as u64 * 10)));
    let (endpoint, budget, used, gone_in) = stats.tightest_budget().unwrap();
    assert_eq!((endpoint, budget), (Endpoint::SttBatch, tight));
    assert_eq!(used, 20 * hour);
    // 10 h in 400 s, 180 h left: two hours.
    assert_eq!(gone_in, Some(Duration::from_secs(7200)));
}

proptest! {
    #[test]
    fn every_moment_of_every_slot_is_in_one_account(run in any_run()) {
        let mut stats = RunStats::default();
        let (mut owed, mut last) = (0u128, None::<Timestamp>);
        for (event, now) in &run {
            let ms = last.map_or(0, |last| now.since(last).as_millis());
            if stats.started_at.is_some() && stats.ended_at.is_none() {
                let slots = stats.lanes.values().map(|l| u128::from(l.ceiling));
                owed += slots.sum::<u128>() * ms;
            }
            last = last.max(Some(*now));
            stats.apply(event, *now);
            let booked: u128 = stats.slot_time().accounts().iter().map(|(_, ms)| u128::from(*ms)).sum();
            // Nobody runs for half a million years: then an account is full.
            prop_assert!(booked == owed || owed > u128::from(u64::MAX / 2), "{booked} of {owed} after {event:?}");
        }
    }

    #[test]
    fn no_sequence_of_events_can_upset_the_numbers(run in any_run()) {
        let mut stats = RunStats::default();
        for (event, now) in &run {
            stats.apply(event, *now);
            prop_assert!(stats.done() <= stats.total());
            prop_assert!(stats.bytes_left() <= stats.total_bytes());
            let flying: usize = stats.lanes.values().map(|lane| lane.in_flight as usize).sum();
            prop_assert_eq!(flying, stats.in_flight.len());
            prop_assert!(stats.busy() <= stats.ceiling());
            if let Some(eta) = stats.eta() {
                prop_assert!(eta.low <= eta.high);
            }
            let _ = (stats.tightest_budget(), stats.audio_rate(), stats.oldest(), stats.elapsed(*now));
        }
    }
}
