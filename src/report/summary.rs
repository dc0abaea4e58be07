//! The end of a run in at most eight lines, for people who come back in the morning: what was done, what it cost,
//! what stands in the way and what to type next. The numbers come folded; the exit code is decided by the command.

use std::time::Duration;

use crate::task::{Answers, Cause, HaltReason, HaltScope, Timestamp};

use super::format::{audio, clean, clock, count, plural, span, times, to_ascii};
use super::ledger::Ledger;
use super::stats::{RunStats, most_first};

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Everything was done.
    QueueEmpty,
    /// There was nothing to do.
    NothingToDo,
    /// `--limit` was reached.
    TaskLimit,
    /// `--fail-fast` was reached.
    FailFast,
    /// `--until` or `--max-duration` came.
    Deadline,
    /// The user stopped it.
    Signal,
    /// Nothing could be sent any more, for this reason.
    Halted(HaltReason),
    /// The API or the network could not be used for too long.
    Unusable,
    /// Disk, database or an output file.
    LocalState,
    /// A bug.
    Bug,
}

impl StopReason {
    /// The stable word in lines and JSON; a halt's own word when one stopped the run.
    pub fn word(self) -> &'static str {
        match self {
            StopReason::QueueEmpty => "queue_empty",
            StopReason::NothingToDo => "nothing_to_do",
            StopReason::TaskLimit => "task_limit",
            StopReason::FailFast => "fail_fast",
            StopReason::Deadline => "deadline",
            StopReason::Signal => "signal",
            StopReason::Halted(reason) => reason.word(),
            StopReason::Unusable => "api_unusable",
            StopReason::LocalState => "local_state",
            StopReason::Bug => "bug",
        }
    }

    fn says(self) -> &'static str {
        match self {
            StopReason::QueueEmpty => "done",
            StopReason::NothingToDo => "nothing to do",
            StopReason::TaskLimit => "stopped at --limit",
            StopReason::FailFast => "stopped at --fail-fast",
            StopReason::Deadline => "stopped at the deadline",
            StopReason::Signal => "stopped by a signal",
            StopReason::Halted(_) => "halted",
            StopReason::Unusable => "stopped: the API could not be used",
            StopReason::LocalState => "stopped: a problem on this machine",
            StopReason::Bug => "stopped by a bug",
        }
    }
}

/// A file made from results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Where it lies, as the user would type it.
    pub path: String,
    /// Records in it.
    pub records: u64,
}

/// Everything that the end of a run is told from.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The numbers.
    pub stats: RunStats,
    /// The moment of telling.
    pub now: Timestamp,
    /// Why it ended.
    pub stop: StopReason,
    /// What the process will exit with.
    pub exit_code: u8,
    /// Where results lie.
    pub outputs: Vec<OutputFile>,
    /// Tasks still in the queue, by the queue's own count; without it the run's.
    pub left: Option<u64>,
    /// How often a halt that the API may lift is tried with one request.
    pub probe_every: Option<Duration>,
}

impl Summary {
    /// The text, with a line end behind each of its one to eight lines.
    pub fn text(&self, ascii: bool) -> String {
        let lines = [
            Some(self.headline()),
            Ledger::of(&self.stats, self.now).text(),
            self.losses(),
            self.repeats(),
            self.halts(),
            self.results(),
            self.next(),
            Some(format!("exit {}", self.exit_code)),
        ];
        let mut text = String::new();
        for line in lines.into_iter().flatten() {
            let line = clean(&line).into_owned();
            text.push_str(&if ascii { to_ascii(&line) } else { line });
            text.push('\n');
        }
        text
    }

    fn left(&self) -> u64 {
        self.left.unwrap_or_else(|| self.stats.left())
    }

    fn headline(&self) -> String {
        let stats = &self.stats;
        let troubled = stats.failed() > 0 || stats.refused() > 0;
        let verdict = match self.stop {
            StopReason::QueueEmpty if troubled => "done with problems",
            stop => stop.says(),
        };
        let mut counts = Vec::new();
        if stats.succeeded > 0 || self.stop == StopReason::QueueEmpty {
            counts.push(format!("{} {}", count(stats.succeeded), self.deed()));
        }
        for (n, word) in [(stats.failed(), "failed"), (stats.refused(), "refused"), (self.left(), "left")] {
            if n > 0 {
                counts.push(format!("{} {word}", count(n)));
            }
        }
        let mut parts = vec![if counts.is_empty() {
            verdict.to_owned()
        } else {
            format!("{verdict}{} {}", if verdict.contains(": ") { " ·" } else { ":" }, counts.join(", "))
        }];
        let elapsed = stats.elapsed(self.now);
        if stats.audio_ms > 0 {
            parts.push(format!("{} audio", audio(stats.audio_ms)));
        }
        if !elapsed.is_zero() {
            parts.push(span(elapsed));
        }
        if stats.audio_ms > 0 && elapsed.as_millis() > 0 {
            parts.push(format!("{} real time", times(stats.audio_ms as f64 / elapsed.as_millis() as f64)));
        }
        parts.join(" · ")
    }

    /// What happened to the recordings that ended well: it depends on the model.
    fn deed(&self) -> &'static str {
        let mut deeds =
            self.stats.lanes.iter().filter(|(_, lane)| lane.succeeded > 0).map(|(e, _)| match e {
                e if e.returns_audio() => "redacted",
                e => match e.answers() {
                    Answers::Utterances | Answers::Text => "transcribed",
                    Answers::Frames | Answers::Conversation | Answers::Label => "analysed",
                },
            });
        let first = deeds.next().unwrap_or("succeeded");
        if deeds.all(|deed| deed == first) { first } else { "succeeded" }
    }

    fn losses(&self) -> Option<String> {
        let stats = &self.stats;
        let mut parts = Vec::new();
        if stats.failed() > 0 {
            parts.push(format!("failed: {}", causes(&most_first(&stats.failed_by), Cause::says)));
        }
        if stats.refused() > 0 {
            let mut refused = most_first(&stats.refused_by);
            let by_scan = stats.refused() - refused.iter().map(|(_, n)| n).sum::<u64>();
            refused.truncate(3);
            let mut words = causes(&refused, Cause::says);
            if by_scan > 0 {
                let and = if words.is_empty() { "" } else { ", " };
                words = format!("{words}{and}{} by the scan", count(by_scan));
            }
            parts.push(format!("refused: {words}"));
        }
        let (failed, refused) = (stats.failed() > 0, stats.refused() > 0);
        let filter = if refused && !failed { "cause:refused" } else { "state:failed" };
        (failed || refused).then(|| format!("{}   voxbatch tasks --where {filter}", parts.join(" · ")))
    }

    fn repeats(&self) -> Option<String> {
        let by = self.stats.repeated_by();
        let all: u64 = by.iter().map(|(_, n)| n).sum();
        let mut parts = self.oddities();
        if all > 0 {
            parts.push(format!("tried again: {} ({})", count(all), causes(&by, Cause::word)));
        }
        let maybe = self.stats.maybe_billed;
        if maybe > 0 {
            parts.push(format!(
                "{} may have been billed without a result",
                plural(maybe, "request", "requests")
            ));
        }
        (!parts.is_empty()).then(|| parts.join(" · "))
    }

    /// What did not cost anything, what cost twice, and what somebody should look at.
    fn oddities(&self) -> Vec<String> {
        let stats = &self.stats;
        let mut parts = Vec::new();
        if !stats.suspect_by.is_empty() {
            let by: Vec<String> =
                stats.suspect_by.iter().map(|(kind, n)| format!("{} {}", count(*n), kind.says())).collect();
            parts.push(format!("suspect: {} (voxbatch tasks --where 'suspect:*')", by.join(", ")));
        }
        if stats.resent > 0 {
            let files = plural(stats.resent, "recording was", "recordings were");
            parts.push(format!("{files} empty but loud, sent once more and billed for it"));
        }
        if stats.reused > 0 {
            let files = plural(stats.reused, "recording has", "recordings have");
            parts.push(format!("reused: {files} the content of another, and its answer; nothing billed"));
        }
        parts
    }

    /// The widest halt; more of them are a command away.
    fn halts(&self) -> Option<String> {
        let halt = self.stats.halts.iter().min_by_key(|halt| (halt.scope, halt.reason))?;
        let what = match halt.scope {
            HaltScope::Everything => "everything".to_owned(),
            HaltScope::Endpoint(endpoint) => endpoint.to_string(),
        };
        let ends = match (halt.until, self.probe_every) {
            (Some(until), _) => format!(" · ends by itself {}", clock(until)),
            (None, Some(every)) if halt.reason.can_be_probed() => {
                format!(" · a run tries one request every {}", span(every))
            }
            _ => String::new(),
        };
        let command = match self.stats.halts.len() - 1 {
            0 if halt.reason == HaltReason::Paused => "voxbatch resume".to_owned(),
            0 => "voxbatch halts clear".to_owned(),
            more => format!("voxbatch halts   ({more} more)"),
        };
        Some(format!("halted: {what}, {}{ends}   {command}", halt.reason.says()))
    }

    fn results(&self) -> Option<String> {
        let files: Vec<String> = (self.outputs.iter().take(3))
            .map(|file| format!("{} ({})", file.path, plural(file.records, "record", "records")))
            .collect();
        let more = match self.outputs.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {}", plural(more as u64, "file more", "files more")),
        };
        (!files.is_empty()).then(|| format!("results: {}{more}", files.join(", ")))
    }

    fn next(&self) -> Option<String> {
        let left = self.left();
        let files = |n| plural(n, "file", "files");
        let again = |cause: Cause| {
            let once_more = !cause.is_refusal() && !matches!(cause, Cause::UnreadableAudio | Cause::TooShort);
            once_more && cause != Cause::RequestRefused
        };
        let retryable: Vec<(Cause, u64)> =
            most_first(&self.stats.failed_by).into_iter().filter(|&(cause, _)| again(cause)).collect();
        let (command, note) = match self.stop {
            StopReason::Bug => {
                ("voxbatch run".to_owned(), "goes on where this stopped; please report the bug".to_owned())
            }
            StopReason::LocalState => {
                ("voxbatch run".to_owned(), "goes on where this stopped, once that is mended".to_owned())
            }
            StopReason::Halted(HaltReason::KeyRefused | HaltReason::ModelNotEnabled) => (
                "voxbatch config show --origin".to_owned(),
                "shows which key is used, and where it came from".to_owned(),
            ),
            StopReason::Halted(HaltReason::ConfigRefused) => {
                ("voxbatch config check".to_owned(), "then voxbatch run".to_owned())
            }
            StopReason::Halted(_) if left > 0 => {
                ("voxbatch run".to_owned(), format!("{} left, once the halt is over", files(left)))
            }
            _ if left > 0 => ("voxbatch run".to_owned(), format!("{} left", files(left))),
            _ if !retryable.is_empty() => {
                let words: Vec<&str> = retryable.iter().map(|(cause, _)| cause.word()).collect();
                let n = retryable.iter().fold(0, |all: u64, (_, n)| all.saturating_add(*n));
                (format!("voxbatch retry --where cause:{}", words.join(",")), files(n))
            }
            StopReason::NothingToDo => return None,
            _ => ("voxbatch status".to_owned(), "says where everything stands".to_owned()),
        };
        Some(format!("next: {command}   ({note})"))
    }
}

/// `2 unreadable audio, 1 timed out`; beyond four causes, the rest together.
fn causes(by: &[(Cause, u64)], word: fn(Cause) -> &'static str) -> String {
    let mut parts: Vec<String> =
        by.iter().take(4).map(|&(cause, n)| format!("{} {}", count(n), word(cause))).collect();
    let rest = by.iter().skip(4).fold(0, |all: u64, (_, n)| all.saturating_add(*n));
    if rest > 0 {
        parts.push(format!("{} other", count(rest)));
    }
    parts.join(", ")
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
