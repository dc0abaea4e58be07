//! Plain lines for pipes, cron and journals: a moment, a word, `key=value`; one line for one fact, no carriage
//! returns and no colours. When they are written is left to the reporter.

use std::fmt::Write as _;

use crate::event::{About, RunEvent};
use crate::task::{Failure, RecordingPath, Timestamp};

use super::refusals::Group;
use super::stats::{self, RunStats};
use super::summary::StopReason;
use super::{Ledger, format, json};

/// Columns of the API's words on a line; all of them are in the queue. A failed task's stay there (`voxbatch show`).
const EVIDENCE: usize = 160;

/// A line under way.
struct Line(String);

impl Line {
    fn new(at: Timestamp, word: &str) -> Self {
        Line(format!("{} {word}", format::stamp(at)))
    }

    /// A value with spaces, quotes or nothing in it is quoted; foreign control characters are escaped.
    fn put(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string();
        let value = format::clean(&value);
        let quoted = value.is_empty() || value.contains([' ', '"', '=', '\u{a0}']);
        let _ = if quoted {
            write!(self.0, " {key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            write!(self.0, " {key}={value}")
        };
        self
    }

    fn put_some(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    fn put_about(self, about: &About, name: &dyn Fn(&RecordingPath) -> String) -> Self {
        self.put("task", about.task).put("path", name(&about.path)).put("attempt", about.attempt)
    }

    fn put_failure(self, failure: &Failure) -> Self {
        self.put("cause", failure.cause).put_some("http", failure.http_status).put("billed", failure.billed)
    }
}

/// The line for an event, if it is worth one. Successes and starts are not: the status counts them.
pub(super) fn line(
    event: &RunEvent,
    now: Timestamp,
    name: &dyn Fn(&RecordingPath) -> String,
) -> Option<String> {
    let new = |word| Line::new(now, word);
    let line = match event {
        RunEvent::RunStarted { worker, base_url, endpoints, queued, queued_bytes } => {
            let slots: Vec<String> = endpoints.iter().map(|(e, slots)| format!("{e}:{slots}")).collect();
            new("start")
                .put("run", worker)
                .put("queue", queued)
                .put("bytes", queued_bytes)
                .put("slots", slots.join(","))
                .put("api", json::host(base_url))
        }
        RunEvent::Scanned { done: false, .. } => return None,
        RunEvent::Scanned { job, new: found, new_bytes, refused, known, done: true } => new("scanned")
            .put("job", job)
            .put("new", found)
            .put("bytes", new_bytes)
            .put("refused", refused)
            .put("known", known),
        RunEvent::TaskRetried { about, failure, wait } => new("retry")
            .put_about(about, name)
            .put_failure(failure)
            .put("wait_s", format_args!("{:.1}", wait.as_secs_f64())),
        RunEvent::TaskSnoozed { about, failure, wait } => new("retry")
            .put_about(about, name)
            .put_failure(failure)
            .put("wait_s", format_args!("{:.1}", wait.as_secs_f64()))
            .put("counts", "no"),
        RunEvent::TaskFailed { about, failure, sent } => new("failed")
            .put_about(about, name)
            .put_failure(failure)
            .put("sent", if *sent { "yes" } else { "no" }),
        RunEvent::TaskSuspect { about, kinds } => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
            new("suspect").put_about(about, name).put("kinds", kinds.join(","))
        }
        RunEvent::TaskResent { about, .. } => {
            new("sent_again").put_about(about, name).put("cause", "empty_but_loud")
        }
        RunEvent::PieceAnswered { about, piece, of_about, .. } => {
            new("piece").put_about(about, name).put("piece", piece).put("of_about", of_about)
        }
        RunEvent::AnswerFenced(about) => new("fenced").put_about(about, name),
        RunEvent::TasksRecovered { tasks, failed } => {
            new("recovered").put("tasks", tasks).put("failed", failed)
        }
        RunEvent::LimiterPaused { endpoint, until } => {
            new("pause").put("endpoint", endpoint).put("until", format::stamp(*until))
        }
        RunEvent::PaceChanged { endpoint, effective, ceiling } => {
            new("pace").put("endpoint", endpoint).put("slots", format_args!("{effective}/{ceiling}"))
        }
        RunEvent::Examining { endpoint, doubt } => {
            new("examine").put("endpoint", endpoint).put("doubt", json::doubt_word(*doubt))
        }
        RunEvent::OutageBegan { endpoint, failure } => {
            let said = format::elide(&failure.message, EVIDENCE);
            new("outage").put("endpoint", endpoint).put_failure(failure).put("said", said)
        }
        RunEvent::OutageEnded { endpoint } => new("outage_over").put("endpoint", endpoint),
        RunEvent::HaltRaised { scope, reason, evidence, until } => new("halt")
            .put("scope", scope)
            .put("reason", reason)
            .put_some("until", until.map(format::stamp))
            .put("said", format::elide(evidence, EVIDENCE))
            .put("mend", "voxbatch halts"),
        RunEvent::HaltLifted { scope, reason } => new("halt_over").put("scope", scope).put("reason", reason),
        RunEvent::DeadlineSet { until } => new("deadline").put("until", format::stamp(*until)),
        RunEvent::Watching { interval } => new("watching").put("interval_s", interval.as_secs_f64()),
        RunEvent::SourceAway { job, away } => {
            new(if *away { "source_away" } else { "source_back" }).put("job", job)
        }
        RunEvent::Draining { in_flight, grace, why } => {
            new("stopping").put("in_flight", in_flight).put("grace_s", grace.as_secs()).put("why", why.word())
        }
        RunEvent::Aborting { in_flight } => {
            new("dropping").put("in_flight", in_flight).put("billed", "unknown")
        }
        RunEvent::TaskStarted(_)
        | RunEvent::TaskSucceeded { .. }
        | RunEvent::TaskReused { .. }
        | RunEvent::TaskReleased { .. }
        | RunEvent::SlotsChanged { .. }
        | RunEvent::StatusAsked
        | RunEvent::RunEnded => return None,
    };
    Some(line.0)
}

/// Where things stand, once an interval or when asked.
pub(super) fn status(stats: &RunStats, now: Timestamp) -> String {
    let repeated = stats::sum(&stats.retried_by).saturating_add(stats::sum(&stats.snoozed_by));
    let eta = stats.eta().map(|eta| match eta.at_least {
        true => format!("{}..", eta.low.as_secs()),
        false => format!("{}..{}", eta.low.as_secs(), eta.high.as_secs()),
    });
    let effective = stats.lanes.values().map(|lane| lane.effective).fold(0, u32::saturating_add);
    let halts: Vec<String> = stats.halts.iter().map(|h| format!("{}:{}", h.scope, h.reason)).collect();
    let waits = stats.oldest().filter(|oldest| now.since(oldest.since).as_secs() >= 90);
    Line::new(now, "status")
        .put("done", format_args!("{}/{}", stats.done(), stats.total()))
        .put_some("scanning", stats.scanning().then_some("yes"))
        .put("audio_h", format_args!("{:.1}", stats.audio_ms as f64 / 3_600_000.0))
        .put("bytes", format_args!("{}/{}", stats.bytes, stats.total_bytes()))
        .put("in_flight", format_args!("{}/{}", stats.busy(), stats.ceiling()))
        .put_some("allowed", (effective < stats.ceiling()).then_some(effective))
        .put_some("rate_h_per_h", stats.audio_rate().map(|rate| format!("{rate:.1}")))
        .put("failed", stats.failed())
        .put("refused", stats.refused())
        .put("retried", repeated)
        .put_some("eta_s", eta)
        .put_some("deadline_s", stats.deadline.map(|until| until.since(now).as_secs()))
        .put_some("halted", (!halts.is_empty()).then(|| halts.join(",")))
        .put_some("oldest_task", waits.map(|oldest| oldest.about.task))
        .put_some("oldest_s", waits.map(|oldest| now.since(oldest.since).as_secs()))
        .0
}

/// One line for each request in flight, for whoever asks by signal.
pub(super) fn in_flight(
    stats: &RunStats,
    now: Timestamp,
    name: &dyn Fn(&RecordingPath) -> String,
) -> Vec<String> {
    let line = |request: &stats::InFlight| {
        Line::new(now, "in_flight")
            .put_about(&request.about, name)
            .put("endpoint", request.about.endpoint)
            .put("since_s", now.since(request.since).as_secs())
            .0
    };
    stats.in_flight.values().map(line).collect()
}

/// One line for refusals of a cause.
pub(super) fn refused(group: &Group, now: Timestamp, name: &dyn Fn(&RecordingPath) -> String) -> String {
    Line::new(now, "refused")
        .put("files", group.files)
        .put("cause", group.cause)
        .put("first", name(&group.first))
        .0
}

/// The last line.
pub(super) fn end(stats: &RunStats, now: Timestamp, stop: StopReason, exit: u8) -> String {
    Line::new(now, "end")
        .put_some("run", stats.worker.as_ref())
        .put("succeeded", stats.succeeded)
        .put("failed", stats.failed())
        .put("refused", stats.refused())
        .put("left", stats.left())
        .put("audio_h", format_args!("{:.1}", stats.audio_ms as f64 / 3_600_000.0))
        .put("maybe_billed", stats.maybe_billed)
        .put_some("slots_used", Ledger::of(stats, now).use_permille().map(|share| share as f64 / 1000.0))
        .put("exit", exit)
        .put("stop", stop.word())
        .0
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
