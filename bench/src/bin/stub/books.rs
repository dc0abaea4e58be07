//! What the stub saw: counts, and the time that its slots were busy and could have been.
//!
//! A request is busy from the moment its head is read until its answer is about to be written: upload and thinking
//! both hold a slot, as they do at the API. Only requests that were let in count.

use serde_json::{Value, json};

/// What is refused. 0: nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Requests at once.
    pub(crate) concurrent: u64,
    /// Requests in a "month": once so many were let in, all others are refused.
    pub(crate) monthly: u64,
}

/// Why one is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Busy,
    Monthly,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) limits: Limits,
    connections: u64,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    admitted: u64,
    answered: u64,
    broken: u64,
    refused_busy: u64,
    refused_monthly: u64,
    in_flight: u64,
    peak: u64,
    bytes: u64,
    busy_us: u64,
    thinking_us: u64,
    longest_us: u64,
    first_us: u64,
    last_us: u64,
    last_refusal_us: u64,
    /// Slots × time up to `open_until_us`, in so far as there is a limit.
    open_us: u64,
    open_until_us: u64,
}

impl Books {
    pub(crate) fn new(limits: Limits) -> Books {
        Books { limits, ..Books::default() }
    }

    pub(crate) fn connected(&mut self) {
        self.connections += 1;
    }

    /// A head has been read.
    pub(crate) fn admit(&mut self, now_us: u64) -> Result<(), Refusal> {
        let Limits { concurrent, monthly } = self.limits;
        let seen = &mut self.seen;
        if seen.first_us == 0 {
            seen.first_us = now_us;
            seen.open_until_us = now_us;
        }
        if monthly > 0 && seen.admitted >= monthly {
            seen.refused_monthly += 1;
            seen.last_refusal_us = now_us;
            return Err(Refusal::Monthly);
        }
        if concurrent > 0 && seen.in_flight >= concurrent {
            seen.refused_busy += 1;
            seen.last_refusal_us = now_us;
            return Err(Refusal::Busy);
        }
        seen.admitted += 1;
        seen.in_flight += 1;
        seen.peak = seen.peak.max(seen.in_flight);
        Ok(())
    }

    /// A request that was let in at `since_us` has `bytes` of body and is about to be answered.
    pub(crate) fn answered(&mut self, since_us: u64, now_us: u64, bytes: u64, thinking_us: u64) {
        self.left(since_us, now_us);
        let seen = &mut self.seen;
        seen.answered += 1;
        seen.bytes += bytes;
        seen.thinking_us += thinking_us;
        seen.longest_us = seen.longest_us.max(thinking_us);
    }

    /// A request that was let in has lost its peer.
    pub(crate) fn broken(&mut self, since_us: u64, now_us: u64) {
        self.left(since_us, now_us);
        self.seen.broken += 1;
    }

    fn left(&mut self, since_us: u64, now_us: u64) {
        self.account(now_us);
        let seen = &mut self.seen;
        seen.in_flight -= 1;
        seen.busy_us += now_us.saturating_sub(since_us);
        seen.last_us = now_us;
    }

    /// Limits change from now on.
    pub(crate) fn limit(&mut self, limits: Limits, now_us: u64) {
        self.account(now_us);
        self.limits = limits;
    }

    fn account(&mut self, now_us: u64) {
        let seen = &mut self.seen;
        if seen.first_us > 0 {
            seen.open_us += self.limits.concurrent * now_us.saturating_sub(seen.open_until_us);
            seen.open_until_us = now_us;
        }
    }

    /// Begins anew; what is in flight stays in flight.
    pub(crate) fn reset(&mut self) {
        let in_flight = self.seen.in_flight;
        self.seen = Seen { in_flight, peak: in_flight, admitted: in_flight, ..Seen::default() };
        self.connections = 0;
    }

    pub(crate) fn to_json(&self) -> Value {
        let s = &self.seen;
        json!({
            "connections": self.connections,
            "requests": s.answered + s.broken + s.in_flight + s.refused_busy + s.refused_monthly,
            "answered": s.answered, "broken": s.broken, "in_flight": s.in_flight, "peak": s.peak,
            "refused_busy": s.refused_busy, "refused_monthly": s.refused_monthly,
            "bytes": s.bytes, "busy_us": s.busy_us, "open_us": s.open_us,
            "thinking_us": s.thinking_us, "longest_us": s.longest_us,
            "first_us": s.first_us, "last_us": s.last_us, "last_refusal_us": s.last_refusal_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_is_refused_until_one_leaves() {
        let mut books = Books::new(Limits { concurrent: 1, monthly: 0 });
        assert_eq!(books.admit(10), Ok(()));
        assert_eq!(books.admit(11), Err(Refusal::Busy));
        books.answered(10, 20, 5, 3);
        assert_eq!(books.admit(21), Ok(()));
        let told = books.to_json();
        assert_eq!((told["busy_us"].as_u64(), told["refused_busy"].as_u64()), (Some(10), Some(1)));
    }

    #[test]
    fn a_month_ends_after_so_many_and_stays_over() {
        let mut books = Books::new(Limits { concurrent: 0, monthly: 1 });
        assert_eq!(books.admit(1), Ok(()));
        books.answered(1, 2, 0, 0);
        assert_eq!(books.admit(3), Err(Refusal::Monthly));
        assert_eq!(books.admit(4), Err(Refusal::Monthly));
    }

    #[test]
    fn what_could_have_been_used_follows_a_limit_that_changes() {
        let mut books = Books::new(Limits { concurrent: 4, monthly: 0 });
        assert_eq!(books.admit(100), Ok(()));
        books.limit(Limits { concurrent: 2, monthly: 0 }, 200);
        books.answered(100, 300, 0, 0);
        assert_eq!(books.to_json()["open_us"].as_u64(), Some(4 * 100 + 2 * 100));
    }
}
