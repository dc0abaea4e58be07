//! Runs for the tests of this room: one told by hand, and any that could happen.

use std::time::Duration;

use proptest::prelude::*;

use crate::event::{About, Idle, RunEvent, SlotState, Stopping};
use crate::task::{
    Billed, Cause, Doubt, Endpoint, Failure, Fence, HaltReason, HaltScope, RecordingPath, Suspect, TaskId,
    Timestamp, WorkerId,
};

use super::RunStats;

/// 2026-11-20T01:00:02Z.
pub(super) const START: Timestamp = Timestamp(1_795_136_402_000);

pub(super) fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

pub(super) fn about(task: i64) -> About {
    About {
        task: TaskId(task),
        job: "archive".to_owned(),
        path: RecordingPath::from_bytes(format!("calls/{task:04}.mp3")),
        endpoint: Endpoint::SttBatch,
        attempt: 1,
        fence: Fence(1),
    }
}

pub(super) fn started(queued: u64, slots: u32) -> RunEvent {
    RunEvent::RunStarted {
        worker: WorkerId("r17".to_owned()),
        base_url: "https://user:secret@api.example.com/v1".to_owned(),
        endpoints: vec![(Endpoint::SttBatch, slots)],
        queued,
        queued_bytes: queued * 4_000_000,
    }
}

pub(super) fn succeeded(task: i64) -> RunEvent {
    RunEvent::TaskSucceeded {
        about: about(task),
        http_status: 200,
        duration_ms: Some(900_000),
        billed_ms: 900_000,
        bytes: 4_000_000,
        wall: Duration::from_millis(18_211),
    }
}

pub(super) fn throttled() -> Failure {
    Failure::answered(Cause::Throttled, 429, "too many", Billed::No)
}

pub(super) fn failed(task: i64, cause: Cause) -> RunEvent {
    let failure = Failure::answered(cause, 400, "cannot \u{1b}[2J decode", Billed::No);
    RunEvent::TaskFailed { about: about(task), failure, sent: !cause.is_refusal() }
}

/// Half of 1,204 files done in under two hours: three failures, some retries, four of five slots in use.
pub(super) fn midway() -> RunStats {
    let mut stats = RunStats::default();
    stats.apply(&started(1202, 5), START);
    stats.apply(
        &RunEvent::Scanned {
            job: "archive".to_owned(),
            new: 2,
            new_bytes: 0,
            refused: 2,
            known: 0,
            done: true,
        },
        START,
    );
    let mut clock = 0;
    for task in 1..=607 {
        stats.apply(&RunEvent::TaskStarted(about(task)), at(clock));
        clock += 10;
        stats.apply(&succeeded(task), at(clock));
    }
    for task in 608..=610 {
        stats.apply(&RunEvent::TaskStarted(about(task)), at(clock));
        stats.apply(&failed(task, Cause::UnreadableAudio), at(clock));
    }
    for (n, cause) in [(22, Cause::Timeout), (15, Cause::Throttled), (4, Cause::Overloaded)] {
        for task in 700..700 + n {
            let failure = Failure { cause, ..throttled() };
            let wait = Duration::from_secs(6);
            stats.apply(&RunEvent::TaskRetried { about: about(task), failure, wait }, at(clock));
        }
    }
    for task in 611..=614 {
        stats.apply(&RunEvent::TaskStarted(about(task)), at(clock));
    }
    let until = at(clock + 6);
    stats.apply(&RunEvent::LimiterPaused { endpoint: Endpoint::SttBatch, until }, at(clock));
    stats
}

/// The moment at which [`midway`] stands.
pub(super) const MIDWAY: u64 = 6070;

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    proptest::sample::select(Endpoint::ALL.to_vec())
}

fn any_scope() -> impl Strategy<Value = HaltScope> {
    prop_oneof![Just(HaltScope::Everything), any_endpoint().prop_map(HaltScope::Endpoint)]
}

fn any_about() -> impl Strategy<Value = About> {
    let path = proptest::collection::vec(any::<u8>(), 0..40);
    (0i64..40, path, any_endpoint(), any::<u32>(), 0i64..3).prop_map(
        |(task, path, endpoint, attempt, fence)| About {
            task: TaskId(task),
            job: "a job".to_owned(),
            path: RecordingPath::from_bytes(path),
            endpoint,
            attempt,
            fence: Fence(fence),
        },
    )
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let cause = proptest::sample::select(Cause::ALL.to_vec());
    let billed = proptest::sample::select(vec![Billed::Yes, Billed::No, Billed::Unknown]);
    (cause, billed, proptest::option::of(any::<u16>()), "(?s).{0,30}").prop_map(
        |(cause, billed, http_status, message)| Failure {
            cause,
            http_status,
            message,
            retry_after: None,
            billed,
        },
    )
}

pub(super) fn any_idle() -> impl Strategy<Value = Idle> {
    let plain = [Idle::Filling, Idle::Throttled, Idle::Backoff, Idle::NoWork, Idle::Tail, Idle::Alone];
    let halted = proptest::sample::select(HaltReason::ALL.to_vec()).prop_map(Idle::Halted);
    prop_oneof![2 => proptest::sample::select(plain.to_vec()), 1 => halted]
}

fn any_wait() -> impl Strategy<Value = Duration> {
    prop_oneof![(0u64..100_000).prop_map(Duration::from_millis), Just(Duration::MAX)]
}

/// Anything that can happen, in any order, with any numbers.
pub(super) fn any_event() -> impl Strategy<Value = RunEvent> {
    let reason = || proptest::sample::select(HaltReason::ALL.to_vec());
    let doubt = proptest::sample::select(vec![Doubt::Key, Doubt::Opaque, Doubt::Throttle, Doubt::Request]);
    let until = || any::<i64>().prop_map(Timestamp);
    prop_oneof![
        (
            proptest::collection::vec((any_endpoint(), any::<u32>()), 0..4),
            any::<u64>(),
            any::<u64>(),
            "\\PC{0,20}"
        )
            .prop_map(|(endpoints, queued, queued_bytes, base_url)| RunEvent::RunStarted {
                worker: WorkerId("r1".to_owned()),
                base_url,
                endpoints,
                queued,
                queued_bytes,
            }),
        ("[ab]", any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
            |(job, new, new_bytes, refused, known, done)| RunEvent::Scanned {
                job,
                new,
                new_bytes,
                refused,
                known,
                done,
            }
        ),
        any_about().prop_map(RunEvent::TaskStarted),
        (any_about(), proptest::option::of(any::<u64>()), any::<u64>(), any::<u64>(), any_wait()).prop_map(
            |(about, duration_ms, billed_ms, bytes, wall)| RunEvent::TaskSucceeded {
                about,
                http_status: 200,
                duration_ms,
                billed_ms,
                bytes,
                wall,
            }
        ),
        (any_about(), proptest::sample::select(Suspect::ALL.to_vec()))
            .prop_map(|(about, kind)| RunEvent::TaskSuspect { about, kinds: vec![kind] }),
        (any_about(), any::<u64>(), any_wait()).prop_map(|(about, billed_ms, wall)| RunEvent::TaskResent {
            about,
            billed_ms,
            wall
        }),
        (any_about(), 1..99u64, any::<u64>(), any_wait()).prop_map(|(about, piece, billed_ms, wall)| {
            RunEvent::PieceAnswered { about, piece, of_about: 99, billed_ms, wall }
        }),
        (any_about(), any::<i64>(), any::<u64>()).prop_map(|(about, from, bytes)| RunEvent::TaskReused {
            about,
            from: TaskId(from),
            duration_ms: None,
            bytes,
        }),
        (any_about(), any_failure(), any_wait()).prop_map(|(about, failure, wait)| RunEvent::TaskRetried {
            about,
            failure,
            wait
        }),
        (any_about(), any_failure(), any_wait()).prop_map(|(about, failure, wait)| RunEvent::TaskSnoozed {
            about,
            failure,
            wait
        }),
        (any_about(), any_failure()).prop_map(|(about, failure)| RunEvent::TaskReleased { about, failure }),
        (any_about(), any_failure(), any::<bool>()).prop_map(|(about, failure, sent)| RunEvent::TaskFailed {
            about,
            failure,
            sent
        }),
        any_about().prop_map(RunEvent::AnswerFenced),
        (any::<u64>(), any::<u64>()).prop_map(|(tasks, failed)| RunEvent::TasksRecovered { tasks, failed }),
        (any_endpoint(), until()).prop_map(|(endpoint, until)| RunEvent::LimiterPaused { endpoint, until }),
        (any_endpoint(), any::<u32>(), any::<u32>()).prop_map(|(endpoint, effective, ceiling)| {
            RunEvent::PaceChanged { endpoint, effective, ceiling }
        }),
        (any_endpoint(), any_idle(), any::<[u32; 3]>()).prop_map(
            |(endpoint, idle, [ready, elsewhere, effective])| {
                let state = SlotState { idle, ready, elsewhere, effective };
                RunEvent::SlotsChanged { endpoint, state }
            }
        ),
        (any_endpoint(), doubt).prop_map(|(endpoint, doubt)| RunEvent::Examining { endpoint, doubt }),
        (any_endpoint(), any_failure())
            .prop_map(|(endpoint, failure)| RunEvent::OutageBegan { endpoint, failure }),
        any_endpoint().prop_map(|endpoint| RunEvent::OutageEnded { endpoint }),
        (any_scope(), reason(), "(?s).{0,30}", proptest::option::of(until())).prop_map(
            |(scope, reason, evidence, until)| RunEvent::HaltRaised { scope, reason, evidence, until }
        ),
        (any_scope(), reason()).prop_map(|(scope, reason)| RunEvent::HaltLifted { scope, reason }),
        until().prop_map(|until| RunEvent::DeadlineSet { until }),
        any_wait().prop_map(|interval| RunEvent::Watching { interval }),
        any::<bool>().prop_map(|away| RunEvent::SourceAway { job: "a".to_owned(), away }),
        (any::<u32>(), any_wait(), proptest::sample::select(Stopping::ALL.to_vec()))
            .prop_map(|(in_flight, grace, why)| RunEvent::Draining { in_flight, grace, why }),
        any::<u32>().prop_map(|in_flight| RunEvent::Aborting { in_flight }),
        Just(RunEvent::StatusAsked),
        Just(RunEvent::RunEnded),
    ]
}

/// A run of anything: events and the moments they happened at, sometimes backwards.
pub(super) fn any_run() -> impl Strategy<Value = Vec<(RunEvent, Timestamp)>> {
    let moment = prop_oneof![8 => (0i64..100_000_000).prop_map(|ms| Timestamp(START.0 + ms)), 1 => any::<i64>().prop_map(Timestamp)];
    proptest::collection::vec((any_event(), moment), 0..40)
}
