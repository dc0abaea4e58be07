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
    /// How many of them came while nothing else was in flight.
    pub lone_repeats: u32,
    /// How long ago the first of the lone ones came.
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
/// A refusal that no words explain halts only after it has lasted: something in between may pass.
const LASTING: Duration = Duration::from_secs(120);
const THROTTLE_REPEATS: u32 = 5;
const BLOCKED_REPEATS: u32 = 3;
/// So many different files in a row are refused for a reason of their own only by an unlikely chance.
const REQUEST_REPEATS: u32 = 3;
/// The same, when others have passed before.
const REQUEST_REPEATS_LATER: u32 = 20;

/// Says what a refusal means, or how to find out.
pub fn examine(doubt: Doubt, failure: Failure, seen: Evidence) -> Ruling {
    let halted = |reason: HaltReason, failure: Failure| {
        Ruling::Settled(Verdict::Halted(reason, Failure { cause: reason.cause(), ..failure }))
    };
    match doubt {
        Doubt::Key => match seen.probe {
            None => Ruling::AskFree,
            Some(Probe::NoCredits) => halted(HaltReason::Credits, failure),
            Some(Probe::Refused) => halted(HaltReason::KeyRefused, failure),
            Some(_) if !seen.alone => Ruling::TryAlone(LONE_WAIT),
            // The free call takes the key and this endpoint does not, twice.
            Some(Probe::Accepted) => halted(HaltReason::ModelNotEnabled, failure),
            Some(Probe::Unreachable) => halted(HaltReason::KeyRefused, failure),
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
            Some(Probe::Unreachable) if !seen.alone => Ruling::TryAlone(LONE_WAIT),
            Some(_) => halted(HaltReason::ModelNotEnabled, failure),
        },
        Doubt::Quota if seen.alone => halted(HaltReason::MonthlyHours, failure),
        Doubt::Quota => Ruling::TryAlone(Duration::ZERO),
        Doubt::Throttle if !seen.alone && seen.repeats < THROTTLE_REPEATS => {
            Ruling::Settled(Verdict::Throttled(failure))
        }
        Doubt::Throttle if seen.lone_repeats >= THROTTLE_REPEATS && seen.lasting >= LASTING => {
            halted(HaltReason::MonthlyHours, failure)
        }
        Doubt::Blocked if seen.lone_repeats >= BLOCKED_REPEATS && seen.lasting >= LASTING => {
            halted(HaltReason::ConfigRefused, failure)
        }
        Doubt::Throttle | Doubt::Blocked => {
            // What the API asks for is a floor: with `Retry-After: 0` the tries would follow one another at once.
            let patience = LONE_WAIT * (1 << seen.lone_repeats.min(3));
            Ruling::TryAlone(patience.max(failure.retry_after.unwrap_or_default()))
        }
        Doubt::Request => {
            let many = if seen.succeeded { REQUEST_REPEATS_LATER } else { REQUEST_REPEATS };
            if seen.repeats >= many {
                halted(HaltReason::ConfigRefused, failure)
            } else {
                Ruling::Settled(Verdict::FileFault(failure))
            }
        }
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
    fn a_401_is_confirmed_before_everything_stands_still() {
        assert_eq!(examine(Doubt::Key, refusal(), Evidence::default()), Ruling::AskFree);
        let refused = Evidence { probe: Some(Probe::Refused), ..Evidence::default() };
        assert_eq!(halt_of(examine(Doubt::Key, refusal(), refused)), HaltReason::KeyRefused);
    }

    #[test]
    fn a_401_beside_a_good_key_is_tried_once_more_alone_and_then_believed() {
        let fine = Evidence { probe: Some(Probe::Accepted), ..Evidence::default() };
        assert_eq!(examine(Doubt::Key, refusal(), fine), Ruling::TryAlone(LONE_WAIT));
        let again = Evidence { alone: true, ..fine };
        assert_eq!(halt_of(examine(Doubt::Key, refusal(), again)), HaltReason::ModelNotEnabled);
    }

    #[test]
    fn a_network_that_hides_the_free_call_halts_nothing_by_itself() {
        let hidden = Evidence { probe: Some(Probe::Unreachable), ..Evidence::default() };
        for doubt in [Doubt::Key, Doubt::Opaque] {
            assert_eq!(examine(doubt, refusal(), hidden), Ruling::TryAlone(LONE_WAIT));
        }
    }

    #[test]
    fn an_unknown_429_becomes_a_halt_only_alone_five_times_and_after_two_minutes() {
        let few = Evidence { repeats: 4, ..Evidence::default() };
        assert_eq!(examine(Doubt::Throttle, refusal(), few), Ruling::Settled(Verdict::Throttled(refusal())));
        let crowd = Evidence { repeats: 90, lasting: LASTING, ..Evidence::default() };
        assert!(
            matches!(examine(Doubt::Throttle, refusal(), crowd), Ruling::TryAlone(_)),
            "a crowd proves nothing"
        );
        let lone =
            Evidence { alone: true, repeats: 9, lone_repeats: 5, lasting: LASTING, ..Evidence::default() };
        let early = Evidence { lasting: LASTING - Duration::from_secs(1), ..lone };
        assert!(matches!(examine(Doubt::Throttle, refusal(), early), Ruling::TryAlone(_)));
        let rare = Evidence { lone_repeats: 4, ..lone };
        let hurried = Failure { retry_after: Some(Duration::ZERO), ..refusal() };
        assert_eq!(examine(Doubt::Throttle, hurried, rare), Ruling::TryAlone(8 * LONE_WAIT));
        let patient = Failure { retry_after: Some(Duration::from_secs(300)), ..refusal() };
        assert_eq!(examine(Doubt::Throttle, patient, rare), Ruling::TryAlone(Duration::from_secs(300)));
        assert_eq!(halt_of(examine(Doubt::Throttle, refusal(), lone)), HaltReason::MonthlyHours);
    }

    #[test]
    fn a_page_that_is_not_the_apis_halts_only_when_it_lasts() {
        let lone = Evidence { alone: true, repeats: 3, lone_repeats: 3, ..Evidence::default() };
        assert!(matches!(examine(Doubt::Blocked, refusal(), lone), Ruling::TryAlone(_)));
        let lasting = Evidence { lasting: LASTING, ..lone };
        assert_eq!(halt_of(examine(Doubt::Blocked, refusal(), lasting)), HaltReason::ConfigRefused);
    }

    #[test]
    fn an_invalid_request_is_the_files_fault_until_three_in_a_row_or_twenty_after_a_success() {
        let fault = || Ruling::Settled(Verdict::FileFault(refusal()));
        let seen = |repeats, succeeded| Evidence { repeats, succeeded, ..Evidence::default() };
        assert_eq!(examine(Doubt::Request, refusal(), seen(2, false)), fault());
        assert_eq!(halt_of(examine(Doubt::Request, refusal(), seen(3, false))), HaltReason::ConfigRefused);
        assert_eq!(examine(Doubt::Request, refusal(), seen(19, true)), fault());
        assert_eq!(halt_of(examine(Doubt::Request, refusal(), seen(20, true))), HaltReason::ConfigRefused);
    }
}
