//! Telling "this file fails" from "everything fails": during an outage one request at a time finds out when it is
//! over, and no task loses attempts to it.

use std::time::Duration;

use crate::task::{Cause, TaskId, Timestamp};

/// Failures in a row before the fault is sought outside, at least.
const FAILURES_MIN: u32 = 5;
/// How many different files they must have hit: one or two may be to blame themselves.
const FILES_MIN: usize = 3;
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What is known of an endpoint's health.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    failures: u32,
    files: Vec<TaskId>,
    began: Option<Timestamp>,
    open: bool,
    rounds: u32,
}

impl Outage {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Something got through.
    pub(super) fn succeeded(&mut self) {
        *self = Outage::default();
    }

    /// A failure that a sick server or network could explain. True if the outage begins with it.
    pub(super) fn failed(&mut self, task: TaskId, cause: Cause, slots: u32, now: Timestamp) -> bool {
        let sick = matches!(
            cause,
            Cause::Connection
                | Cause::ServerError
                | Cause::Overloaded
                | Cause::ServerTimeout
                | Cause::Timeout
                | Cause::Stalled
                | Cause::AnswerLost
        );
        if !sick {
            return false;
        }
        self.failures += 1;
        self.began.get_or_insert(now);
        if !self.files.contains(&task) && self.files.len() < FILES_MIN {
            self.files.push(task);
        }
        if self.open {
            self.rounds += 1;
            return false;
        }
        // No file is to blame for a connection that does not come about.
        let many = self.files.len() >= FILES_MIN || cause == Cause::Connection;
        self.open = many && self.failures >= FAILURES_MIN.max(2 * slots);
        self.open
    }

    /// How long to wait before the next lone request.
    pub(super) fn wait(&self, jitter: f64) -> Duration {
        let longest = WAIT_FIRST.saturating_mul(1 << self.rounds.min(6)).min(WAIT_MAX);
        longest.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Whether it has lasted so long that the run should end.
    pub(super) fn is_hopeless(&self, give_up_after: Duration, now: Timestamp) -> bool {
        self.open && self.began.is_some_and(|began| now.since(began) >= give_up_after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn one_bad_file_is_no_outage_however_often_it_fails() {
        let mut health = Outage::default();
        assert!((0..50).all(|i| !health.failed(TaskId(1), Cause::ServerError, 1, at(i))));
    }

    #[test]
    fn failures_of_many_files_without_a_success_between_are_one() {
        let mut health = Outage::default();
        let began: Vec<bool> =
            (0..6).map(|i| health.failed(TaskId(i), Cause::Overloaded, 2, at(i))).collect();
        assert_eq!(began, [false, false, false, false, true, false]);
        health.succeeded();
        assert!(!health.is_open());
    }

    #[test]
    fn a_success_between_starts_the_counting_anew() {
        let mut health = Outage::default();
        for i in 0..40 {
            assert!(!health.failed(TaskId(i), Cause::ServerError, 2, at(i)));
            if i % 4 == 3 {
                health.succeeded();
            }
        }
    }

    #[test]
    fn no_connection_is_nobodys_fault_even_with_one_file_left() {
        let mut health = Outage::default();
        assert!((0..5).any(|i| health.failed(TaskId(1), Cause::Connection, 1, at(i))));
    }

    #[test]
    fn a_broken_answer_says_nothing_about_the_servers_health() {
        let mut health = Outage::default();
        assert!((0..50).all(|i| !health.failed(TaskId(i), Cause::BadAnswer, 1, at(i))));
    }

    #[test]
    fn lone_requests_come_ever_later_and_hope_ends() {
        let mut health = Outage::default();
        for i in 0..20 {
            health.failed(TaskId(i), Cause::Connection, 1, at(i));
        }
        assert_eq!(health.wait(1.0), WAIT_MAX);
        assert!(!health.is_hopeless(Duration::from_secs(20), at(19)));
        assert!(health.is_hopeless(Duration::from_secs(20), at(20)));
    }

    proptest! {
        #[test]
        fn an_outage_is_many_failures_of_several_files_and_ends_with_any_success(
            slots in 1u32..20, jitter in 0.0f64..=1.0,
            answers in proptest::collection::vec((0..12i64, 0..6usize), 0..200),
        ) {
            let causes =
                [Cause::Connection, Cause::ServerError, Cause::Timeout, Cause::BadAnswer, Cause::SourceChanged];
            let mut health = Outage::default();
            // Since the last success: failures that a sick server explains, and whose.
            let mut sick: Vec<(i64, Cause)> = Vec::new();
            for (second, (file, answer)) in answers.into_iter().enumerate() {
                let was_open = health.is_open();
                match causes.get(answer) {
                    None => {
                        health.succeeded();
                        sick.clear();
                    }
                    Some(&cause) => {
                        if !matches!(cause, Cause::BadAnswer | Cause::SourceChanged) {
                            sick.push((file, cause));
                        }
                        let began = health.failed(TaskId(file), cause, slots, at(second as i64));
                        prop_assert_eq!(began, !was_open && health.is_open(), "told once");
                    }
                }
                let files: std::collections::HashSet<i64> = sick.iter().map(|(file, _)| *file).collect();
                let blameless = files.len() >= FILES_MIN || sick.iter().any(|(_, c)| *c == Cause::Connection);
                let many = sick.len() as u32 >= FAILURES_MIN.max(2 * slots);
                prop_assert!(!health.is_open() || (many && blameless));
                prop_assert!(health.is_open() || !many || files.len() < FILES_MIN);
                let wait = health.wait(jitter);
                prop_assert!(wait >= WAIT_FIRST / 2 && wait <= WAIT_MAX);
                prop_assert!(!health.is_hopeless(Duration::ZERO, at(1000)) || health.is_open());
            }
        }
    }
}
