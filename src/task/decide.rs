//! From what an answer means to what is written down: the verdict table of the design, as one function.
//!
//! | verdict | settlement | attempt used | stops |
//! |---|---|---|---|
//! | success | succeed | yes | – |
//! | success, of a piece that is not the last | advance | no | – |
//! | transient | retry until tries or age run out, then fail | yes | – |
//! | transient during an outage, unless the work was probably done | snooze | no | – |
//! | too long | snooze: what goes next is shorter | no | – |
//! | throttled | snooze; pause of the limiter when asked for or when it goes on | no | – |
//! | halted | release | no | endpoint or everything |
//! | the file's fault | fail | yes | – |
//! | unclear | snooze until the experiment is over | no | – |
//! | stopped by the user | release | no | the run |

use std::time::Duration;

use super::{Cause, Endpoint, Failure, HaltOrder, Hold, RetryPolicy, Timestamp, Verdict};

/// What is written for a task that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Finished well; the result is stored with it.
    Succeed,
    /// A piece of it was answered; the answer is stored with it. Back to the queue for the next one, with all its tries.
    Advance,
    /// Back to the queue until `run_at`; costs an attempt.
    Retry {
        /// Not before.
        run_at: Timestamp,
        /// What went wrong.
        failure: Failure,
    },
    /// Back to the queue until `run_at`, at no cost.
    Snooze {
        /// Why it waits.
        hold: Hold,
        /// Not before.
        run_at: Timestamp,
        /// What the API said.
        failure: Failure,
    },
    /// Failed for good; costs an attempt.
    Fail(Failure),
    /// Back to the queue as if it had not been claimed.
    Release(Failure),
}

impl Settlement {
    /// Whether this try counts against the task's attempts.
    pub fn uses_attempt(&self) -> bool {
        matches!(self, Settlement::Succeed | Settlement::Retry { .. } | Settlement::Fail(_))
    }

    /// What went wrong, if anything.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Settlement::Succeed | Settlement::Advance => None,
            Settlement::Retry { failure, .. } | Settlement::Snooze { failure, .. } => Some(failure),
            Settlement::Fail(failure) | Settlement::Release(failure) => Some(failure),
        }
    }

    /// The word under which the attempt is recorded.
    pub fn outcome(&self) -> &'static str {
        match self {
            Settlement::Succeed | Settlement::Advance => "succeeded",
            Settlement::Retry { .. } => "retried",
            Settlement::Snooze { .. } => "snoozed",
            Settlement::Fail(_) => "failed",
            Settlement::Release(_) => "released",
        }
    }
}

/// Where a task stands when its verdict arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The endpoint it was sent to.
    pub endpoint: Endpoint,
    /// Attempts that counted before this one.
    pub attempts: u32,
    /// Attempts in a row, before this one, that ended in the cause that this one ended in.
    pub repeats: u32,
    /// When its first counted attempt failed.
    pub first_failed_at: Option<Timestamp>,
    /// More of the recording is to be sent after this.
    pub unfinished: bool,
    /// Everything on this endpoint is failing: the fault is not the file's.
    pub outage: bool,
    /// Rounds of "too many at once" in a row, this one included, without a success between.
    pub throttle_rounds: u32,
    /// The moment of deciding.
    pub now: Timestamp,
    /// The dice, 0..=1.
    pub jitter: f64,
}

/// What follows from a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// For the task.
    pub settlement: Settlement,
    /// For the endpoint or everything.
    pub halt: Option<HaltOrder>,
    /// For the limiter: nothing is started for this long.
    pub pause: Option<Duration>,
}

/// Decides what is done about a verdict.
pub fn decide(verdict: Verdict, policy: &RetryPolicy, at: Standing) -> Decision {
    let only = |settlement| Decision { settlement, halt: None, pause: None };
    match verdict {
        Verdict::Success if at.unfinished => only(Settlement::Advance),
        Verdict::Success => only(Settlement::Succeed),
        Verdict::TooLong(failure) => {
            let run_at = at.now.after(policy.delay(1, at.jitter, &failure));
            only(Settlement::Snooze { hold: Hold::Backoff, run_at, failure })
        }
        Verdict::FileFault(failure) => only(Settlement::Fail(failure)),
        Verdict::Stopped(failure) => only(Settlement::Release(failure)),
        Verdict::Unclear(_, failure) => {
            only(Settlement::Snooze { hold: Hold::Throttle, run_at: at.now, failure })
        }
        Verdict::Throttled(failure) => {
            let wait = policy.throttle_delay(at.throttle_rounds, at.jitter, failure.retry_after);
            // Using fewer slots answers a first refusal. What the API asks for, and refusals that go on, hold
            // everybody: else the next task would only be refused in this one's place.
            let pause = if at.throttle_rounds > 1 { Some(wait) } else { failure.retry_after };
            let run_at = at.now.after(wait);
            let settlement = Settlement::Snooze { hold: Hold::Throttle, run_at, failure };
            Decision { settlement, halt: None, pause }
        }
        Verdict::Halted(reason, failure) => {
            let halt = HaltOrder { scope: reason.scope(at.endpoint), reason, evidence: failure.evidence() };
            Decision { settlement: Settlement::Release(failure), halt: Some(halt), pause: None }
        }
        Verdict::Transient(failure) if at.outage && !may_be_done(failure.cause) => {
            let run_at = at.now.after(policy.delay(at.attempts + 1, at.jitter, &failure));
            only(Settlement::Snooze { hold: Hold::Backoff, run_at, failure })
        }
        Verdict::Transient(failure) => {
            let spent = at.attempts + 1 >= policy.max_attempts
                || at.repeats + 1 >= policy.tries(failure.cause)
                || at.first_failed_at.is_some_and(|first| at.now.since(first) >= policy.max_age);
            if spent {
                return only(Settlement::Fail(failure));
            }
            let run_at = at.now.after(policy.delay(at.attempts + 1, at.jitter, &failure));
            only(Settlement::Retry { run_at, failure })
        }
    }
}

/// The work was probably done and only its answer lost: also an outage lets this be paid for a few times only.
fn may_be_done(cause: Cause) -> bool {
    matches!(cause, Cause::AnswerLost | Cause::Timeout | Cause::ServerTimeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Billed, Doubt, HaltReason, HaltScope};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn standing(attempts: u32) -> Standing {
        Standing {
            endpoint: Endpoint::SttBatch,
            attempts,
            repeats: 0,
            first_failed_at: None,
            unfinished: false,
            outage: false,
            throttle_rounds: 1,
            now: NOW,
            jitter: 0.5,
        }
    }

    fn failure(cause: Cause) -> Failure {
        Failure::answered(cause, 503, "busy", Billed::Unknown)
    }

    fn settle(verdict: Verdict, at: Standing) -> Settlement {
        decide(verdict, &RetryPolicy::default(), at).settlement
    }

    #[test]
    fn the_last_try_fails_with_the_last_error() {
        let verdict = Verdict::Transient(failure(Cause::Overloaded));
        assert!(matches!(settle(verdict.clone(), standing(3)), Settlement::Retry { .. }));
        assert_eq!(settle(verdict, standing(4)), Settlement::Fail(failure(Cause::Overloaded)));
    }

    #[test]
    fn a_piece_is_followed_by_the_next_one_and_the_last_one_ends_it() {
        let at = standing(0);
        assert_eq!(settle(Verdict::Success, Standing { unfinished: true, ..at }), Settlement::Advance);
        assert_eq!(settle(Verdict::Success, at), Settlement::Succeed);
    }

    #[test]
    fn what_is_too_long_goes_again_soon_and_without_end() {
        let settlement = settle(Verdict::TooLong(failure(Cause::ServerTimeout)), standing(4));
        let Settlement::Snooze { hold: Hold::Backoff, run_at, .. } = settlement else {
            panic!("{settlement:?}")
        };
        assert_eq!(
            run_at,
            NOW.after(RetryPolicy::default().delay(1, standing(4).jitter, &failure(Cause::ServerTimeout)))
        );
        assert!(!settlement.uses_attempt());
    }

    #[test]
    fn what_may_have_been_billed_is_tried_three_times_in_a_row_at_most() {
        let verdict = Verdict::Transient(failure(Cause::AnswerLost));
        let second = Standing { repeats: 1, ..standing(1) };
        assert!(matches!(settle(verdict.clone(), second), Settlement::Retry { .. }));
        let third = Standing { repeats: 2, ..standing(2) };
        assert!(matches!(settle(verdict, third), Settlement::Fail(_)));
    }

    #[test]
    fn a_task_that_has_failed_for_a_day_is_given_up() {
        let day = RetryPolicy::default().max_age;
        let old = Standing { first_failed_at: Some(NOW), now: NOW.after(day), ..standing(1) };
        assert!(matches!(settle(Verdict::Transient(failure(Cause::Overloaded)), old), Settlement::Fail(_)));
    }

    #[test]
    fn an_outage_uses_up_no_attempts() {
        let last = Standing { outage: true, ..standing(4) };
        let settlement = settle(Verdict::Transient(failure(Cause::Connection)), last);
        assert!(matches!(settlement, Settlement::Snooze { .. }));
        assert!(!settlement.uses_attempt());
    }

    #[test]
    fn an_outage_that_swallows_answers_is_not_paid_for_without_end() {
        let last = Standing { outage: true, ..standing(4) };
        for cause in [Cause::AnswerLost, Cause::Timeout, Cause::ServerTimeout] {
            assert!(
                matches!(settle(Verdict::Transient(failure(cause)), last), Settlement::Fail(_)),
                "{cause}"
            );
        }
    }

    #[test]
    fn the_next_try_comes_after_the_wait_of_its_number_in_an_outage_too() {
        let verdict = || Verdict::Transient(failure(Cause::ServerError));
        for (attempts, seconds) in [(0, 2), (1, 4), (2, 8)] {
            let run_at = NOW.after(Duration::from_secs(seconds));
            let at = Standing { jitter: 1.0, ..standing(attempts) };
            let failure = failure(Cause::ServerError);
            let retry = Settlement::Retry { run_at, failure: failure.clone() };
            assert_eq!(settle(verdict(), at), retry);
            let snooze = Settlement::Snooze { hold: Hold::Backoff, run_at, failure };
            assert_eq!(settle(verdict(), Standing { outage: true, ..at }), snooze);
        }
    }

    #[test]
    fn a_first_refusal_holds_the_task_and_the_second_round_everybody() {
        let verdict = Verdict::Throttled(failure(Cause::Throttled));
        assert_eq!(decide(verdict.clone(), &RetryPolicy::default(), standing(0)).pause, None);
        let second = Standing { throttle_rounds: 2, ..standing(0) };
        let pause = decide(verdict, &RetryPolicy::default(), second).pause.expect("a pause");
        assert!(pause > RetryPolicy::default().throttle_wait);
    }

    #[test]
    fn what_the_api_asks_for_holds_everybody_at_once() {
        let asked = Failure { retry_after: Some(Duration::from_secs(30)), ..failure(Cause::Throttled) };
        let decision = decide(Verdict::Throttled(asked.clone()), &RetryPolicy::default(), standing(4));
        assert_eq!(decision.pause, Some(Duration::from_secs(30)));
        let run_at = NOW.after(Duration::from_secs(30));
        let settlement = Settlement::Snooze { hold: Hold::Throttle, run_at, failure: asked };
        assert_eq!(decision.settlement, settlement);
    }

    #[test]
    fn monthly_hours_stop_one_endpoint_and_credits_stop_all() {
        for (reason, scope) in [
            (HaltReason::MonthlyHours, HaltScope::Endpoint(Endpoint::SttBatch)),
            (HaltReason::ModelNotEnabled, HaltScope::Endpoint(Endpoint::SttBatch)),
            (HaltReason::ConfigRefused, HaltScope::Endpoint(Endpoint::SttBatch)),
            (HaltReason::Credits, HaltScope::Everything),
            (HaltReason::KeyRefused, HaltScope::Everything),
        ] {
            let verdict = Verdict::Halted(reason, failure(reason.cause()));
            let decision = decide(verdict, &RetryPolicy::default(), standing(0));
            let halt = decision.halt.expect("a halt");
            assert_eq!((halt.scope, halt.evidence.as_str()), (scope, "HTTP 503: busy"));
            assert!(!decision.settlement.uses_attempt());
        }
    }

    proptest! {
        #[test]
        fn only_verdicts_about_the_file_or_the_servers_health_use_up_attempts(
            attempts in 0u32..100, repeats in 0u32..100, outage: bool, jitter in 0.0f64..=1.0,
        ) {
            let at = Standing { repeats, outage, jitter, ..standing(attempts) };
            let f = failure(Cause::Throttled);
            for free in [
                Verdict::Throttled(f.clone()),
                Verdict::Unclear(Doubt::Opaque, f.clone()),
                Verdict::Stopped(f.clone()),
                Verdict::Halted(HaltReason::Credits, f.clone()),
            ] {
                let settlement = settle(free, at);
                prop_assert!(!settlement.uses_attempt());
                prop_assert!(!matches!(settlement, Settlement::Fail(_)), "none of these ends a task");
            }
            prop_assert!(settle(Verdict::FileFault(f.clone()), at).uses_attempt());
            if let Settlement::Retry { run_at, .. } = settle(Verdict::Transient(f), at) {
                prop_assert!(run_at >= NOW);
            }
        }
    }
}
