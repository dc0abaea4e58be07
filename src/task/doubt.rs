//! Refusals that can mean several things, and the experiment that tells which.
//!
//! The API's generations use one status for several causes (an opaque 403, a 429 without a telling text).
//! The pool drains to nothing in flight, tries one task alone and, where it helps, makes the one free call
//! that the API has; this module says which of these comes next and what the findings mean.

use std::time::Duration;

use super::{Failure, HaltReason, Verdict};

/// What an unclear refusal may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// 401: the key, or a passing fault of whoever checks keys.
    Key,
    /// 403 "not permitted": key, model, or one of the limits.
    Opaque,
    /// 403 "quota exceeded" of voice detection: monthly hours or concurrency.
    Quota,
    /// 429 without a telling text: concurrency most likely, or a limit that will not lift.
    Throttle,
    /// 403 that is not the API's own (HTML of something in between).
    Blocked,
    /// 400 "invalid request": this file, or what we send with every file.
    Request,
}

/// What the free call answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The key is good.
    Accepted,
    /// The key, or its access to the one model that has the free call, is refused.
    Refused,
    /// No credits.
    NoCredits,
    /// No usable answer.
    Unreachable,
}

/// What is known when a refusal is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Nothing else of ours was in flight on the endpoint while this was refused.
    pub alone: bool,
    /// The endpoint has answered with a success before, this month.
    pub succeeded: bool,
    /// What the free call answered, if it was made since the doubt arose.
    pub probe: Option<Probe>,
    /// How many such refusals came in a row, this one included.
    pub repeats: u32,
    /// How long ago the first of the row came.
    pub lasting: Duration,
}

/// What to do next about a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Make the free call, then examine again.
    AskFree,
    /// Let everything in flight end, wait this long, send one task alone, then examine again.
    TryAlone(Duration),
    /// The doubt is settled.
    Settled(Verdict),
}

const LONE_WAIT: Duration = Duration::from_secs(5);
const KEY_REPEATS: u32 = 5;
const THROTTLE_REPEATS: u32 = 5;
const THROTTLE_LASTING: Duration = Duration::from_secs(120);
const BLOCKED_REPEATS: u32 = 3;
const REQUEST_REPEATS: u32 = 3;

/// The wait before the next lone try: twice as long each time, up to eight times.
fn growing(repeats: u32) -> Duration {
    LONE_WAIT * (1 << repeats.min(3))
}

/// Says what a refusal means, or how to find out.
pub fn examine(doubt: Doubt, failure: Failure, seen: Evidence) -> Ruling {
    let halted = |reason: HaltReason, failure: Failure| {
        Ruling::Settled(Verdict::Halted(reason, Failure { cause: reason.cause(), ..failure }))
    };
    match doubt {
        Doubt::Key => match seen.probe {
            None => Ruling::AskFree,
            // Good elsewhere and refused here, again and again: as with an opaque refusal it is the model.
            Some(Probe::Accepted) if seen.alone && seen.repeats >= KEY_REPEATS => {
                halted(HaltReason::ModelNotEnabled, failure)
            }
            Some(Probe::Accepted) => Ruling::TryAlone(growing(seen.repeats)),
            Some(Probe::NoCredits) => halted(HaltReason::Credits, failure),
            Some(Probe::Refused | Probe::Unreachable) => halted(HaltReason::KeyRefused, failure),
        },
        // Having succeeded this month, key and model are good: it is a limit, and alone it can only be the month's.
        Doubt::Opaque if seen.succeeded => {
            if seen.alone {
                halted(HaltReason::MonthlyHours, failure)
            } else {
                Ruling::TryAlone(Duration::ZERO)
            }
        }
        Doubt::Opaque => match seen.probe {
            None => Ruling::AskFree,
            Some(Probe::NoCredits) => halted(HaltReason::Credits, failure),
            Some(Probe::Accepted) if !seen.alone => Ruling::TryAlone(Duration::ZERO),
            Some(_) => halted(HaltReason::ModelNotEnabled, failure),
        },
        Doubt::Quota if seen.alone => halted(HaltReason::MonthlyHours, failure),
        Doubt::Quota => Ruling::TryAlone(Duration::ZERO),
        Doubt::Throttle if !seen.alone => Ruling::Settled(Verdict::Throttled(failure)),
        Doubt::Throttle if seen.repeats >= THROTTLE_REPEATS && seen.lasting >= THROTTLE_LASTING => {
            halted(HaltReason::MonthlyHours, failure)
        }
        // What the API asks for is a floor: with `Retry-After: 0` the tries would follow one another for two minutes.
        Doubt::Throttle => {
            Ruling::TryAlone(growing(seen.repeats).max(failure.retry_after.unwrap_or_default()))
        }
        Doubt::Blocked if seen.alone && seen.repeats >= BLOCKED_REPEATS => {
            halted(HaltReason::ConfigRefused, failure)
        }
        Doubt::Blocked => Ruling::TryAlone(LONE_WAIT),
        Doubt::Request if seen.repeats >= REQUEST_REPEATS && !seen.succeeded => {
            halted(HaltReason::ConfigRefused, failure)
        }
        Doubt::Request => Ruling::Settled(Verdict::FileFault(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Billed, Cause};

    fn refusal() -> Failure {
        Failure::answered(Cause::Unclear, 403, "This request is not permitted.", Billed::No)
    }

    fn halt_of(ruling: Ruling) -> HaltReason {
        match ruling {
            Ruling::Settled(Verdict::Halted(reason, failure)) => {
                assert_eq!(failure.cause, reason.cause(), "the attempt is recorded under what was found");
                reason
            }
            other => panic!("not a halt: {other:?}"),
        }
    }

    #[test]
    fn an_opaque_refusal_after_successes_is_a_limit_and_alone_it_is_the_months() {
        let seen = Evidence { succeeded: true, ..Evidence::default() };
        assert_eq!(examine(Doubt::Opaque, refusal(), seen), Ruling::TryAlone(Duration::ZERO));
        let alone = Evidence { alone: true, ..seen };
        assert_eq!(halt_of(examine(Doubt::Opaque, refusal(), alone)), HaltReason::MonthlyHours);
    }

    #[test]
    fn an_opaque_refusal_without_any_success_asks_the_free_call_before_anything_is_sent() {
        let seen = Evidence::default();
        assert_eq!(examine(Doubt::Opaque, refusal(), seen), Ruling::AskFree);
        let refused = Evidence { probe: Some(Probe::Refused), ..seen };
        assert_eq!(halt_of(examine(Doubt::Opaque, refusal(), refused)), HaltReason::ModelNotEnabled);
        let poor = Evidence { probe: Some(Probe::NoCredits), ..seen };
        assert_eq!(halt_of(examine(Doubt::Opaque, refusal(), poor)), HaltReason::Credits);
        let good = Evidence { probe: Some(Probe::Accepted), ..seen };
        assert_eq!(examine(Doubt::Opaque, refusal(), good), Ruling::TryAlone(Duration::ZERO));
        let good_alone = Evidence { alone: true, ..good };
        assert_eq!(halt_of(examine(Doubt::Opaque, refusal(), good_alone)), HaltReason::ModelNotEnabled);
    }

    #[test]
    fn a_401_is_confirmed_once_before_everything_stands_still() {
        assert_eq!(examine(Doubt::Key, refusal(), Evidence::default()), Ruling::AskFree);
        let refused = Evidence { probe: Some(Probe::Refused), ..Evidence::default() };
        assert_eq!(halt_of(examine(Doubt::Key, refusal(), refused)), HaltReason::KeyRefused);
        let fine = Evidence { probe: Some(Probe::Accepted), ..Evidence::default() };
        assert_eq!(examine(Doubt::Key, refusal(), fine), Ruling::TryAlone(LONE_WAIT));
    }

    #[test]
    fn a_good_key_that_is_refused_five_times_in_a_row_may_not_use_the_model() {
        let fine = Evidence { probe: Some(Probe::Accepted), repeats: 4, alone: true, ..Evidence::default() };
        assert_eq!(examine(Doubt::Key, refusal(), fine), Ruling::TryAlone(8 * LONE_WAIT));
        let crowd = Evidence { repeats: 5, alone: false, ..fine };
        assert_eq!(examine(Doubt::Key, refusal(), crowd), Ruling::TryAlone(8 * LONE_WAIT));
        let again = Evidence { repeats: 5, ..fine };
        assert_eq!(halt_of(examine(Doubt::Key, refusal(), again)), HaltReason::ModelNotEnabled);
    }

    #[test]
    fn an_unknown_429_becomes_a_halt_only_alone_five_times_and_after_two_minutes() {
        let crowd = Evidence { repeats: 9, lasting: THROTTLE_LASTING, ..Evidence::default() };
        assert_eq!(
            examine(Doubt::Throttle, refusal(), crowd),
            Ruling::Settled(Verdict::Throttled(refusal()))
        );
        let early = Evidence { alone: true, repeats: 9, lasting: Duration::from_secs(119), ..crowd };
        assert!(matches!(examine(Doubt::Throttle, refusal(), early), Ruling::TryAlone(_)));
        let few = Evidence { alone: true, repeats: 4, ..crowd };
        assert!(matches!(examine(Doubt::Throttle, refusal(), few), Ruling::TryAlone(_)));
        let hurried = Failure { retry_after: Some(Duration::ZERO), ..refusal() };
        assert_eq!(examine(Doubt::Throttle, hurried, few), Ruling::TryAlone(8 * LONE_WAIT));
        let patient = Failure { retry_after: Some(Duration::from_secs(300)), ..refusal() };
        assert_eq!(examine(Doubt::Throttle, patient, few), Ruling::TryAlone(Duration::from_secs(300)));
        let late = Evidence { alone: true, repeats: 5, ..crowd };
        assert_eq!(halt_of(examine(Doubt::Throttle, refusal(), late)), HaltReason::MonthlyHours);
    }

    #[test]
    fn an_invalid_request_is_the_files_fault_until_three_files_in_a_row_and_none_ever_passed() {
        let twice = Evidence { repeats: 2, ..Evidence::default() };
        assert_eq!(examine(Doubt::Request, refusal(), twice), Ruling::Settled(Verdict::FileFault(refusal())));
        let thrice = Evidence { repeats: 3, ..twice };
        assert_eq!(halt_of(examine(Doubt::Request, refusal(), thrice)), HaltReason::ConfigRefused);
        let passed = Evidence { succeeded: true, ..thrice };
        assert_eq!(
            examine(Doubt::Request, refusal(), passed),
            Ruling::Settled(Verdict::FileFault(refusal()))
        );
    }
}
