//! What a selftest counted and found, and how it is told. Leaves counting to `chaos`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::{bytes, count, span};

/// Figures of a whole selftest.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) seed: u64,
    pub(super) rounds: u64,
    /// Processes that were killed before they could end.
    pub(super) kills: u64,
    /// Runs started after the first.
    pub(super) resumes: u64,
    pub(super) frozen: u64,
    pub(super) terminated: u64,
    /// Rounds with two processes.
    pub(super) pairs: u64,
    /// Rounds with a monthly limit.
    pub(super) limits: u64,
    /// Outputs torn.
    pub(super) torn: u64,
    /// Jumps of the wall clock; `None` where it cannot be made to jump.
    pub(super) jumps: Option<u64>,
    pub(super) files: u64,
    /// Tasks that failed and were queued again, by cause.
    pub(super) retried: BTreeMap<String, u64>,
    pub(super) slots: u64,
    /// What the emulator saw.
    pub(super) requests: u64,
    pub(super) bodies: u64,
    pub(super) spoiled: u64,
    pub(super) peak: u64,
    pub(super) billed_ms: u64,
    /// By the queue's ledger.
    pub(super) ledger_ms: u64,
    pub(super) doubled: u64,
    pub(super) lost: u64,
    /// Bytes that were searched, and what was found in them that must not be there.
    pub(super) searched: u64,
    pub(super) leaks: u64,
    /// What does not hold, in words.
    pub(super) broken: Vec<String>,
    pub(super) took: Duration,
}

impl Figures {
    /// Bodies that can be explained: one a recording, one for each that the emulator spoiled, and what was in flight
    /// when a process was killed.
    pub(super) fn bound(&self) -> u64 {
        self.files + self.spoiled + self.kills * self.slots
    }

    /// Requests at once beyond the limit.
    pub(super) fn over_limit(&self) -> u64 {
        self.peak.saturating_sub(self.slots)
    }

    /// Notes what does not hold; the same words once.
    pub(super) fn breaks(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.broken.contains(&what) {
            self.broken.push(what);
        }
    }

    /// Fails unless it holds.
    pub(super) fn hold(&mut self, holds: bool, otherwise: impl FnOnce(&Figures) -> String) {
        if !holds {
            let what = otherwise(self);
            self.breaks(what);
        }
    }

    /// A line on the way.
    pub(super) fn line(&self, of: u64) -> String {
        format!(
            "round {} of {of}: {} kills, {} recordings, {} bodies of {} at most, peak {} of {}, {} wrong",
            self.rounds,
            self.kills,
            self.files,
            self.bodies,
            self.bound(),
            self.peak,
            self.slots,
            self.broken.len()
        )
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, what: String| text.push_str(&format!("{label:<12}{what}\n"));
        line("rounds", format!("{} in {} with seed {}", count(self.rounds), span(self.took), self.seed));
        line(
            "processes",
            format!(
                "{} killed, {} resumed; {} frozen, {} asked to stop, {} rounds with two at once",
                count(self.kills),
                count(self.resumes),
                self.frozen,
                self.terminated,
                self.pairs
            ),
        );
        line("trouble", format!("{} monthly limits, {} torn outputs", self.limits, self.torn));
        line(
            "clock",
            match self.jumps {
                Some(jumps) => format!("{jumps} jumps of 40 days or an hour"),
                None => "SKIPPED: no jumps, which need libfaketime (Debian: faketime)".to_owned(),
            },
        );
        line("recordings", format!("{}: {} lost, {} doubled", count(self.files), self.lost, self.doubled));
        let spoiled = format!("{} answers spoiled by the emulator", count(self.spoiled));
        let at_kills = format!("{} kills x {} slots", count(self.kills), self.slots);
        line(
            "bodies",
            format!(
                "{} sent whole, at most {} = {} recordings + {spoiled} + {at_kills}",
                count(self.bodies),
                count(self.bound()),
                count(self.files)
            ),
        );
        line("at once", format!("{} at most, {} over the limit", self.peak, self.over_limit()));
        let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1000.0);
        let (ledger, billed) = (seconds(self.ledger_ms), seconds(self.billed_ms));
        line("audio", format!("{ledger} in the ledger and in the results, {billed} on the bill"));
        let retried: Vec<String> = self.retried.iter().map(|(cause, n)| format!("{n} {cause}")).collect();
        if !retried.is_empty() {
            line("by hand", format!("failed and queued again: {}", retried.join(", ")));
        }
        let searched = format!("{} of logs searched", bytes(self.searched));
        line(
            "privacy",
            format!("{searched} for the key, transcripts and hashed names: {} found", self.leaks),
        );
        for what in &self.broken {
            line("broken", what.clone());
        }
        line("verdict", if self.broken.is_empty() { "every promise held" } else { "see above" }.to_owned());
        text
    }

    /// For programs.
    pub(super) fn object(&self) -> Value {
        json!({
            "v": 1, "type": "selftest", "ok": self.broken.is_empty(), "seed": self.seed, "rounds": self.rounds,
            "kills": self.kills, "resumes": self.resumes, "frozen": self.frozen, "terminated": self.terminated,
            "pairs": self.pairs, "limits": self.limits, "torn": self.torn, "clock_jumps": self.jumps,
            "files": self.files, "lost": self.lost, "doubled": self.doubled, "requests": self.requests,
            "bodies": self.bodies, "bodies_bound": self.bound(), "spoiled": self.spoiled,
            "peak": self.peak, "limit": self.slots, "over_limit": self.over_limit(),
            "ledger_ms": self.ledger_ms, "billed_ms": self.billed_ms, "retried": self.retried,
            "searched_bytes": self.searched, "leaks": self.leaks, "broken": self.broken,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_explained_by_a_recording_a_spoiled_answer_or_a_kill() {
        let figures = Figures { files: 40, spoiled: 3, kills: 2, slots: 8, ..Figures::default() };
        assert_eq!(figures.bound(), 40 + 3 + 2 * 8);
    }

    #[test]
    fn what_is_broken_is_told_once_and_changes_the_verdict() {
        let mut figures = Figures::default();
        assert!(figures.text().contains("every promise held"));
        figures.hold(true, |_| unreachable!());
        figures.hold(false, |_| "a line is missing".to_owned());
        figures.breaks("a line is missing");
        assert_eq!(figures.broken, ["a line is missing"]);
        assert!(!figures.text().contains("every promise held"));
        assert_eq!(figures.object()["ok"], false);
    }
}
