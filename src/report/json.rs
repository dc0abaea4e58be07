//! `--json`: one object a line, each with `v`, `type`, `time` and `run`. Within a version fields and types are only
//! added; lists of words may grow. What the API said of a task stays in the queue; its cause is enough here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::event::{About, RunEvent};
use crate::task::{Doubt, Failure, RecordingPath, Timestamp};

use super::ledger::{self, Ledger};
use super::stats::{self, RunStats};
use super::summary::StopReason;

/// The version of every object.
pub(super) const VERSION: u32 = 1;

/// The head that every object has, and what is its own.
fn object(kind: &str, now: Timestamp, run: Option<&str>, body: Value) -> Value {
    let mut object = json!({ "v": VERSION, "type": kind, "time": now.to_string(), "run": run });
    merge(&mut object, body);
    object
}

fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// The object for an event; nothing for those that other objects stand for (`status`, `run_finished`).
pub(super) fn event(
    event: &RunEvent,
    now: Timestamp,
    run: Option<&str>,
    name: &dyn Fn(&RecordingPath) -> String,
) -> Option<Value> {
    let about = |about: &About, more: Value| {
        let mut body = task(about, name);
        merge(&mut body, more);
        body
    };
    let (kind, body) = match event {
        RunEvent::RunStarted { base_url, endpoints, queued, queued_bytes, .. } => {
            let slots: u64 = endpoints.iter().map(|&(_, slots)| u64::from(slots)).sum();
            let list: Vec<Value> = endpoints
                .iter()
                .map(|(endpoint, slots)| json!({ "endpoint": endpoint.name(), "slots": slots }))
                .collect();
            let body = json!({
                "slots": slots, "endpoints": list, "queued": queued, "queued_bytes": queued_bytes,
                "api_host": host(base_url),
            });
            ("run_started", body)
        }
        RunEvent::Scanned { job, new, new_bytes, refused, known, done } => {
            let body = json!({
                "job": job, "new": new, "new_bytes": new_bytes, "refused": refused, "known": known, "done": done,
            });
            ("scan", body)
        }
        RunEvent::TaskStarted(task) => ("task_started", about(task, json!({}))),
        RunEvent::TaskSucceeded { about: task, http_status, duration_ms, billed_ms, bytes, wall } => {
            let body = json!({
                "state": "succeeded", "audio_ms": duration_ms, "billed_ms": billed_ms, "bytes": bytes,
                "wall_ms": ms(*wall), "http_status": http_status, "billed": "yes",
            });
            ("task_finished", about(task, body))
        }
        RunEvent::TaskSuspect { about: task, kinds } => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            ("task_suspect", about(task, json!({ "suspect": kinds })))
        }
        RunEvent::TaskResent { about: task, billed_ms, wall } => {
            let body = json!({ "billed_ms": billed_ms, "billed": "yes", "wall_ms": ms(*wall) });
            ("task_resent", about(task, body))
        }
        RunEvent::PieceAnswered { about: task, piece, of_about, billed_ms, wall } => {
            let body = json!({
                "piece": piece, "of_about": of_about, "billed_ms": billed_ms, "billed": "yes", "wall_ms": ms(*wall),
            });
            ("piece_answered", about(task, body))
        }
        RunEvent::TaskReused { about: task, from, duration_ms, bytes } => {
            let body = json!({
                "state": "succeeded", "audio_ms": duration_ms, "billed_ms": 0, "bytes": bytes, "billed": "no",
                "reused_from": from.0,
            });
            ("task_finished", about(task, body))
        }
        RunEvent::TaskRetried { about: task, failure: f, wait } => {
            ("task_retry", about(task, failure(f, json!({ "wait_ms": ms(*wait) }))))
        }
        RunEvent::TaskSnoozed { about: task, failure: f, wait } => {
            ("task_snoozed", about(task, failure(f, json!({ "wait_ms": ms(*wait) }))))
        }
        RunEvent::TaskReleased { about: task, failure: f } => {
            ("task_released", about(task, failure(f, json!({}))))
        }
        RunEvent::TaskFailed { about: task, failure: f, sent } => {
            let refused = !sent && f.cause.is_refusal();
            let body = failure(f, json!({ "state": "failed", "refused": refused, "sent": sent }));
            ("task_finished", about(task, body))
        }
        RunEvent::AnswerFenced(task) => ("answer_fenced", about(task, json!({ "billed": "unknown" }))),
        RunEvent::TasksRecovered { tasks, failed } => {
            ("tasks_recovered", json!({ "tasks": tasks, "failed": failed }))
        }
        RunEvent::LimiterPaused { endpoint, until } => {
            ("limiter_paused", json!({ "endpoint": endpoint.name(), "until": until.to_string() }))
        }
        RunEvent::PaceChanged { endpoint, effective, ceiling } => {
            let body = json!({ "endpoint": endpoint.name(), "effective": effective, "ceiling": ceiling });
            ("pace_changed", body)
        }
        RunEvent::Examining { endpoint, doubt } => {
            ("examining", json!({ "endpoint": endpoint.name(), "doubt": doubt_word(*doubt) }))
        }
        RunEvent::OutageBegan { endpoint, failure: f } => {
            ("outage_began", failure(f, json!({ "endpoint": endpoint.name() })))
        }
        RunEvent::OutageEnded { endpoint } => ("outage_ended", json!({ "endpoint": endpoint.name() })),
        RunEvent::HaltRaised { scope, reason, evidence, until } => {
            let until = until.map(|until| until.to_string());
            let body = json!({
                "scope": scope.to_string(), "reason": reason.word(), "evidence": evidence, "until": until,
            });
            ("halt_raised", body)
        }
        RunEvent::HaltLifted { scope, reason } => {
            ("halt_lifted", json!({ "scope": scope.to_string(), "reason": reason.word() }))
        }
        RunEvent::DeadlineSet { until } => ("deadline", json!({ "until": until.to_string() })),
        RunEvent::Watching { interval } => ("watching", json!({ "interval_ms": ms(*interval) })),
        RunEvent::SourceAway { job, away } => ("source", json!({ "job": job, "away": away })),
        RunEvent::Draining { in_flight, grace, why } => {
            ("draining", json!({ "in_flight": in_flight, "grace_ms": ms(*grace), "why": why.word() }))
        }
        RunEvent::Aborting { in_flight } => ("aborting", json!({ "in_flight": in_flight })),
        RunEvent::SlotsChanged { .. } | RunEvent::StatusAsked | RunEvent::RunEnded => return None,
    };
    Some(object(kind, now, run, body))
}

/// Where things stand, once an interval or when asked.
pub(super) fn status(stats: &RunStats, now: Timestamp) -> Value {
    let eta = stats.eta().map(|eta| {
        let high = (!eta.at_least).then_some(eta.high.as_secs());
        json!({ "low": eta.low.as_secs(), "high": high })
    });
    let endpoints: Vec<Value> = stats
        .lanes
        .iter()
        .map(|(endpoint, lane)| {
            let paused = lane.paused_until.filter(|&until| until > now).map(|until| until.to_string());
            json!({
                "endpoint": endpoint.name(), "in_flight": lane.busy(), "effective": lane.effective,
                "ceiling": lane.ceiling, "paused_until": paused, "outage": lane.outage.is_some(),
                "slot_seconds": ledger::seconds(lane.slot_time),
            })
        })
        .collect();
    let rate = stats.audio_rate().map(|rate| (rate * 10.0).round() / 10.0);
    let mut body = json!({
        "in_flight": stats.busy(), "rate": rate, "eta_seconds": eta,
        "deadline": stats.deadline.map(|until| until.to_string()),
    });
    merge(&mut body, totals(stats));
    merge(&mut body, json!({ "endpoints": endpoints }));
    object("status", now, run_of(stats), body)
}

/// The last object.
pub(super) fn run_finished(stats: &RunStats, now: Timestamp, stop: StopReason, exit: u8) -> Value {
    let body = json!({
        "exit_code": exit, "stop_reason": stop.word(), "elapsed_ms": ms(stats.elapsed(now)),
        "totals": totals(stats),
    });
    object("run_finished", now, run_of(stats), body)
}

/// The run's name, once it has one.
pub(super) fn run_of(stats: &RunStats) -> Option<&str> {
    stats.worker.as_ref().map(|worker| worker.0.as_str())
}

fn totals(stats: &RunStats) -> Value {
    let by = |counts: &[(crate::task::Cause, u64)]| -> Value {
        counts.iter().map(|(cause, n)| (cause.word().to_owned(), Value::from(*n))).collect()
    };
    let mut totals = json!({
        "total": stats.total(), "scanning": stats.scanning(), "done": stats.done(),
        "succeeded": stats.succeeded, "failed": stats.failed(), "refused": stats.refused(), "queued": stats.left(),
        "bytes_done": stats.bytes, "bytes_total": stats.total_bytes(),
        "audio_seconds_done": stats.audio_ms / 1000, "billed_seconds": stats.billed_ms / 1000,
        "maybe_billed": stats.maybe_billed,
        "failed_by": by(&stats::most_first(&stats.failed_by)), "retried_by": by(&stats.repeated_by()),
    });
    merge(&mut totals, Ledger::of(stats, Timestamp(0)).to_json());
    totals
}

/// What a task's objects say of it. A name that is not UTF-8 travels as base64 beside its display form, unless
/// names are hidden.
fn task(about: &About, name: &dyn Fn(&RecordingPath) -> String) -> Value {
    let shown = name(&about.path);
    let hidden = shown != about.path.to_string();
    let path = about.path.as_utf8().filter(|_| !hidden).map_or(shown, str::to_owned);
    let mut body = json!({
        "task": about.task.0, "job": about.job, "path": path, "endpoint": about.endpoint.name(),
        "attempt": about.attempt,
    });
    if !hidden && about.path.as_utf8().is_none() {
        merge(&mut body, json!({ "path_base64": STANDARD.encode(about.path.as_bytes()) }));
    }
    body
}

fn failure(failure: &Failure, mut more: Value) -> Value {
    let body = json!({
        "cause": failure.cause.word(), "http_status": failure.http_status, "billed": failure.billed.word(),
    });
    merge(&mut more, body);
    more
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The machine an address names; an address can carry a password in front of it.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// The stable word for a doubt.
pub(super) fn doubt_word(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Key => "key",
        Doubt::Opaque => "opaque",
        Doubt::Quota => "quota",
        Doubt::Throttle => "throttle",
        Doubt::Blocked => "blocked",
        Doubt::Request => "request",
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
