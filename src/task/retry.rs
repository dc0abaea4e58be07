//! How often to try and how long to wait. Dice and Retry-After come in as arguments.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::{Cause, Failure};

/// When and how often a task is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first included.
    pub max_attempts: u32,
    /// The longest first wait; each further one may be twice as long.
    pub base: Duration,
    /// No wait drawn is longer. A Retry-After may be.
    pub max: Duration,
    /// No new try once the first failure is older than this.
    pub max_age: Duration,
    /// The shortest wait after "too many at once"; up to twice as long is drawn, and more as it goes on.
    pub throttle_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 5,
            base: Duration::from_secs(2),
            max: Duration::from_secs(120),
            max_age: Duration::from_secs(24 * 3600),
            throttle_wait: Duration::from_secs(2),
        }
    }
}

impl RetryPolicy {
    /// Tries in a row that may end in the same `cause`. What may have been billed each time gets fewer.
    pub fn tries(&self, cause: Cause) -> u32 {
        match cause {
            Cause::Timeout
            | Cause::AnswerLost
            | Cause::ServerTimeout
            | Cause::BadAnswer
            | Cause::SourceChanged => self.max_attempts.min(3),
            _ => self.max_attempts,
        }
    }

    /// Full jitter: anything from nothing to the exponential ceiling, never less than what the API asked for.
    ///
    /// `attempts` is how many have failed (from 1), `jitter` lies in 0..=1. The library's own jitter is added
    /// past the maximum, so only its curve is used. An overloaded server is left in peace for five times the base.
    pub fn delay(&self, attempts: u32, jitter: f64, failure: &Failure) -> Duration {
        let rest = if failure.cause == Cause::Overloaded { self.base * 5 } else { Duration::ZERO };
        let ceiling = ExponentialBuilder::default()
            .with_min_delay(self.base)
            .with_max_delay(self.max)
            .with_factor(2.0)
            .without_max_times()
            .build()
            .nth(attempts.saturating_sub(1).min(64) as usize)
            .unwrap_or(self.max);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0)).max(rest).max(failure.retry_after.unwrap_or_default())
    }

    /// The wait after "too many at once": longer with each round (from 1) that nothing got through, up to four times,
    /// for slots that others give back should not lie idle.
    pub fn throttle_delay(&self, rounds: u32, jitter: f64, retry_after: Option<Duration>) -> Duration {
        let grown = self.throttle_wait.saturating_mul(1 << rounds.saturating_sub(1).min(2)).min(self.max);
        grown.mul_f64(1.0 + jitter.clamp(0.0, 1.0)).max(retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure(cause: Cause, asked: Option<Duration>) -> Failure {
        Failure { retry_after: asked, ..Failure::local(cause, "x") }
    }

    #[test]
    fn the_ceiling_doubles_until_the_maximum() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<u64> =
            (1..=8).map(|n| policy.delay(n, 1.0, &failure(Cause::ServerError, None)).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 64, 120, 120]);
    }

    #[test]
    fn retry_after_is_a_floor_even_above_the_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(
            policy.delay(1, 0.0, &failure(Cause::ServerError, Some(Duration::from_secs(600)))),
            Duration::from_secs(600)
        );
        assert_eq!(policy.throttle_delay(1, 0.0, Some(Duration::from_secs(60))), Duration::from_secs(60));
    }

    #[test]
    fn an_overloaded_server_is_left_in_peace_for_a_while() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, 0.0, &failure(Cause::Overloaded, None)), Duration::from_secs(10));
        assert_eq!(policy.delay(1, 0.0, &failure(Cause::ServerError, None)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_maximum_or_what_was_asked(
            attempts in 0u32..10_000, jitter in 0.0f64..=1.0, asked in proptest::option::of(0u64..10_000),
        ) {
            let policy = RetryPolicy::default();
            let asked = asked.map(Duration::from_secs);
            let wait = policy.delay(attempts, jitter, &failure(Cause::ServerError, asked));
            prop_assert!(wait <= policy.max.max(asked.unwrap_or_default()));
            prop_assert!(wait >= asked.unwrap_or_default());
        }
    }
}
