//! Notices a pool that could work and does not: a bug that would otherwise look like a long wait. Leaves to the pool
//! what "could work" means.

use std::time::Duration;

use tokio::time::Instant;

/// It has to last so long,
const LASTS: Duration = Duration::from_secs(10);
/// and be seen so often in a row: a process that was frozen sees a long time pass at once.
const TIMES: u32 = 10;

/// Since when, and how often in a row, nothing began that could.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Option<Instant>,
    times: u32,
}

impl Stall {
    /// Takes down a look; true when it is no coincidence any more.
    pub(super) fn note(&mut self, stands: bool, at: Instant) -> bool {
        if !stands {
            *self = Stall::default();
            return false;
        }
        let since = *self.since.get_or_insert(at);
        self.times = self.times.saturating_add(1);
        self.times >= TIMES && at.duration_since(since) >= LASTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_many_looks_over_a_long_time_without_one_that_went_well() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut stall = Stall::default();
        assert!((0..10).all(|n| !stall.note(true, start + second * n)));
        assert!(stall.note(true, start + second * 10));
        assert!(!stall.note(false, start + second * 11));
        assert!(!stall.note(true, start + second * 12));
    }

    #[test]
    fn a_process_that_was_frozen_has_not_stalled() {
        let start = Instant::now();
        let mut stall = Stall::default();
        assert!(!stall.note(true, start));
        assert!(!stall.note(true, start + Duration::from_secs(3600)));
    }

    #[test]
    fn a_queue_that_is_asked_often_has_not_stalled_at_once() {
        let start = Instant::now();
        let mut stall = Stall::default();
        assert!((0..100).all(|_| !stall.note(true, start)));
    }
}
