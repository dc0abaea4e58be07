//! The end that was set beforehand: when it comes, nothing more begins, and what is in flight may end.

use std::time::Duration;

use tokio::time::Instant;

use super::clock::now;
use super::stop::Stop;
use crate::task::Timestamp;

/// When nothing more begins. Of two, the earlier one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline {
    /// At this moment of the wall clock, wherever that is set meanwhile: it is what people mean by six o'clock.
    pub until: Option<Timestamp>,
    /// At this moment of the clock that only moves forward: so long after the start.
    pub at: Option<Instant>,
}

/// How soon it is noticed that the wall clock was set.
const LOOK: Duration = Duration::from_secs(1);

impl Deadline {
    /// How long it is until then, by what is known now; `None`: there is no deadline.
    fn left(self, wall: Timestamp, steady: Instant) -> Option<Duration> {
        let until = self.until.map(|until| until.since(wall));
        let at = self.at.map(|at| at.saturating_duration_since(steady));
        until.into_iter().chain(at).min()
    }

    /// When it will be, for those who are told.
    pub fn moment(self, wall: Timestamp) -> Option<Timestamp> {
        let at = self.at.map(|at| wall.after(at.saturating_duration_since(Instant::now())));
        self.until.into_iter().chain(at).min()
    }

    /// Whether it has come, which it may have before anything began.
    pub(super) fn has_come(self) -> bool {
        self.left(now(), Instant::now()).is_some_and(|left| left.is_zero())
    }

    /// Stops a run when it comes.
    pub(super) async fn keep(self, stop: Stop) {
        while let Some(left) = self.left(now(), Instant::now()) {
            if left.is_zero() {
                return stop.expire();
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn of_two_ends_the_earlier_one_counts_and_each_goes_by_its_own_clock() {
        let (wall, steady) = (Timestamp(1_000_000), Instant::now());
        let until = Deadline { until: Some(wall.after(2 * HOUR)), at: None };
        let both = Deadline { at: Some(steady + HOUR), ..until };
        assert_eq!(Deadline::default().left(wall, steady), None);
        assert_eq!(until.left(wall, steady + 5 * HOUR), Some(2 * HOUR), "only the wall clock counts");
        assert_eq!(both.left(wall, steady), Some(HOUR));
        // The wall clock is set forward, then back.
        assert_eq!(both.left(wall.after(2 * HOUR), steady), Some(Duration::ZERO));
        assert_eq!(both.left(Timestamp(0), steady + HOUR), Some(Duration::ZERO), "so long after the start");
        assert_eq!(until.left(wall.after(3 * HOUR), steady), Some(Duration::ZERO), "it lies behind us");
    }

    #[test]
    fn the_moment_that_is_told_of_the_wall_clock_is_the_one_that_was_given() {
        let wall = Timestamp(1_000_000);
        let given = Deadline { until: Some(Timestamp(900_000)), at: None };
        assert_eq!(given.moment(wall), given.until);
        assert_eq!(Deadline::default().moment(wall), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stops_nothing_before_it_comes_and_drops_nothing_when_it_does() {
        let (stop, deadline) = (Stop::default(), Deadline { until: None, at: Some(Instant::now() + HOUR) });
        let keeping = tokio::spawn(deadline.keep(stop.clone()));
        tokio::time::advance(HOUR - Duration::from_millis(1)).await;
        assert!(!stop.drain.is_cancelled());
        keeping.await.unwrap();
        assert!(stop.is_expired() && stop.drain.is_cancelled() && !stop.abort.is_cancelled());
    }
}
