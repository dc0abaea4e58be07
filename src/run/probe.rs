//! One request at a time that finds out whether halts are over: what its end says about them, and whether to ask again.
//! Holds no store; `halt` acts on it.

use std::time::Duration;

use crate::task::{Settlement, Timestamp, Verdict};

/// So many requests of a run may find out nothing; then the halts are left to the next probe.
const TRIES: u32 = 5;
/// Nor does a run that can do nothing else wait longer for the next one.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two of them, when nobody says how long.
const WAIT: Duration = Duration::from_millis(250);

/// What the end of a request says about the halts that it probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The API let it through: it got its answer, or a word about the file itself. They are over.
    Over,
    /// It was refused for good, or for a reason that has to be found out: they stand.
    Stands,
    /// It met what comes and goes with or without them, or was never sent. It may be tried again after this wait.
    Nothing(Duration),
}

impl Word {
    pub(super) fn of(verdict: &Verdict, settlement: &Settlement, now: Timestamp) -> Word {
        match verdict {
            Verdict::Success => Word::Over,
            Verdict::FileFault(failure) if failure.http_status.is_some() => Word::Over,
            Verdict::Halted(..) | Verdict::Unclear(..) => Word::Stands,
            // What was found out here, before anything was sent, says nothing; nor does a service that is too slow.
            Verdict::FileFault(_)
            | Verdict::TooLong(_)
            | Verdict::Throttled(_)
            | Verdict::Transient(_)
            | Verdict::Stopped(_) => Word::Nothing(match settlement {
                Settlement::Retry { run_at, .. } | Settlement::Snooze { run_at, .. } => run_at.since(now),
                Settlement::Succeed | Settlement::Advance | Settlement::Fail(_) | Settlement::Release(_) => {
                    WAIT
                }
            }),
        }
    }

    /// Of a request that was not made.
    pub(super) fn of_none() -> Word {
        Word::Nothing(WAIT)
    }
}

/// What is done about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Lift(Vec<i64>),
    Leave(Vec<i64>),
    /// Probe again after this wait.
    Again(Duration),
}

/// The halts that the next request probes.
#[derive(Debug, Default)]
pub(super) struct Probing {
    halts: Vec<i64>,
    in_vain: u32,
}

impl Probing {
    pub(super) fn begin(&mut self, halts: Vec<i64>) {
        *self = Probing { halts, in_vain: 0 };
    }

    pub(super) fn is_on(&self) -> bool {
        !self.halts.is_empty()
    }

    pub(super) fn halts(&self) -> &[i64] {
        &self.halts
    }

    /// `None` when nothing was probed.
    pub(super) fn hear(&mut self, word: Word) -> Option<Step> {
        if !self.is_on() {
            return None;
        }
        if let Word::Nothing(wait) = word {
            self.in_vain += 1;
            if self.in_vain < TRIES && wait <= PATIENCE {
                return Some(Step::Again(wait));
            }
        }
        let halts = std::mem::take(&mut self.halts);
        Some(if word == Word::Over { Step::Lift(halts) } else { Step::Leave(halts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Billed, Cause, Doubt, Failure, HaltReason, Hold};

    const NOW: Timestamp = Timestamp(1_000_000);
    const SOON: Duration = Duration::from_secs(3);

    fn failure() -> Failure {
        Failure::answered(Cause::Overloaded, 503, "busy", Billed::No)
    }

    fn probing() -> Probing {
        Probing { halts: vec![7, 9], in_vain: 0 }
    }

    #[test]
    fn only_what_the_api_says_about_this_request_speaks_of_halts() {
        let retry = Settlement::Retry { run_at: NOW.after(SOON), failure: failure() };
        let snooze = Settlement::Snooze { hold: Hold::Throttle, run_at: NOW.after(SOON), failure: failure() };
        let (fail, release) = (Settlement::Fail(failure()), Settlement::Release(failure()));
        let halted = Verdict::Halted(HaltReason::MonthlyHours, failure());
        let cases = [
            (Verdict::Success, &Settlement::Succeed, Word::Over),
            (Verdict::FileFault(failure()), &fail, Word::Over),
            (Verdict::FileFault(Failure::local(Cause::TooBig, "here")), &fail, Word::Nothing(WAIT)),
            (Verdict::TooLong(failure()), &snooze, Word::Nothing(SOON)),
            (halted, &release, Word::Stands),
            (Verdict::Unclear(Doubt::Opaque, failure()), &snooze, Word::Stands),
            (Verdict::Throttled(failure()), &snooze, Word::Nothing(SOON)),
            (Verdict::Transient(failure()), &retry, Word::Nothing(SOON)),
            (Verdict::Transient(failure()), &snooze, Word::Nothing(SOON)),
            (Verdict::Transient(failure()), &fail, Word::Nothing(WAIT)),
            (Verdict::Stopped(failure()), &release, Word::Nothing(WAIT)),
        ];
        for (verdict, settlement, expected) in cases {
            assert_eq!(Word::of(&verdict, settlement, NOW), expected, "{verdict:?}");
        }
    }

    #[test]
    fn a_probe_that_is_let_through_lifts_and_one_that_is_refused_leaves() {
        let mut probing = probing();
        assert_eq!(probing.hear(Word::Over), Some(Step::Lift(vec![7, 9])));
        assert_eq!(probing.hear(Word::Over), None, "what follows is no probe");
        probing.begin(vec![3]);
        assert_eq!(probing.hear(Word::Stands), Some(Step::Leave(vec![3])));
        assert!(!probing.is_on());
    }

    #[test]
    fn a_probe_that_finds_out_nothing_is_made_again_some_times() {
        let mut probing = probing();
        for _ in 1..TRIES {
            assert_eq!(probing.hear(Word::Nothing(SOON)), Some(Step::Again(SOON)));
            assert_eq!(probing.halts(), [7, 9], "the next request passes the same halts");
        }
        assert_eq!(probing.hear(Word::Nothing(SOON)), Some(Step::Leave(vec![7, 9])));
        probing.begin(vec![7]);
        assert_eq!(probing.hear(Word::Nothing(SOON)), Some(Step::Again(SOON)), "another one begins anew");
    }

    #[test]
    fn a_run_that_can_do_nothing_else_does_not_wait_for_a_day() {
        assert_eq!(probing().hear(Word::Nothing(PATIENCE)), Some(Step::Again(PATIENCE)));
        let long = Word::Nothing(PATIENCE + Duration::from_millis(1));
        assert_eq!(probing().hear(long), Some(Step::Leave(vec![7, 9])));
    }
}
