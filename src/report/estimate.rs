//! How fast it goes and how long it will take: a slow average, and a range instead of a promise.
//!
//! Counts of files and short averages swing with the lengths of recordings; bytes are the best known measure of
//! what is left, and the average looks back over five minutes or twenty completions, whichever is longer.

use std::time::Duration;

const WINDOW_MS: f64 = 300_000.0;
const WINDOW_TASKS: f64 = 20.0;
/// Nothing is guessed before this many completions or this much time.
const ENOUGH_TASKS: u64 = 20;
const ENOUGH_MS: f64 = 60_000.0;
/// No estimate is longer than this; beyond it a number says nothing.
const LONGEST_SECS: f64 = 10.0 * 365.0 * 86_400.0;

/// When it may be over: between `low` and `high` from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eta {
    /// If it goes well.
    pub low: Duration,
    /// If it does not.
    pub high: Duration,
    /// The scan is not over: it will be at least `low`.
    pub at_least: bool,
}

/// Sums that fade, so that their ratio is a moving average without keeping any completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pace {
    recent: Sums,
    all: Sums,
    completions: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    ms: f64,
    bytes: f64,
    audio_ms: f64,
    tasks: f64,
}

impl Pace {
    /// Working time that went by; time in which nothing could be sent does not belong here.
    pub(super) fn elapse(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        self.all.ms += ms;
        // Before anything ended there is nothing that could fade.
        if self.recent.tasks == 0.0 {
            self.recent.ms += ms;
            return;
        }
        let window = WINDOW_MS.max(WINDOW_TASKS * self.recent.ms / self.recent.tasks);
        let keep = (-ms / window).exp();
        self.recent.ms = self.recent.ms * keep + window * (1.0 - keep);
        self.recent.bytes *= keep;
        self.recent.audio_ms *= keep;
        self.recent.tasks *= keep;
    }

    /// A task that ended well.
    pub(super) fn complete(&mut self, bytes: u64, audio_ms: u64) {
        for sums in [&mut self.recent, &mut self.all] {
            sums.bytes += bytes as f64;
            sums.audio_ms += audio_ms as f64;
            sums.tasks += 1.0;
        }
        self.completions += 1;
    }

    /// Hours of audio in an hour, of late.
    pub(super) fn audio_rate(&self) -> Option<f64> {
        (self.recent.ms >= 1000.0 && self.recent.audio_ms > 0.0)
            .then(|| self.recent.audio_ms / self.recent.ms)
    }

    /// Working milliseconds so far.
    pub(super) fn working_ms(&self) -> f64 {
        self.all.ms
    }

    /// The range for what is left, once there is enough to judge by.
    pub(super) fn eta(&self, tasks_left: u64, bytes_left: u64, scanning: bool) -> Option<Eta> {
        let known = self.completions >= ENOUGH_TASKS || (self.all.ms >= ENOUGH_MS && self.completions > 0);
        if !known || self.all.ms <= 0.0 {
            return None;
        }
        let by_bytes = self.all.bytes > 0.0 && bytes_left > 0;
        let secs = |sums: &Sums| {
            let (left, done) =
                if by_bytes { (bytes_left as f64, sums.bytes) } else { (tasks_left as f64, sums.tasks) };
            let secs = left * sums.ms / done / 1000.0;
            if secs.is_finite() { secs.clamp(0.0, LONGEST_SECS) } else { LONGEST_SECS }
        };
        let (late, whole) = (secs(&self.recent), secs(&self.all));
        let spread = (1.0 / (self.completions as f64).sqrt()).clamp(0.05, 0.5);
        let low = late.min(whole) * (1.0 - spread);
        let high = (late.max(whole) * (1.0 + spread)).min(LONGEST_SECS);
        let whole_secs = |s: f64| Duration::from_secs(s.round() as u64);
        Some(Eta { low: whole_secs(low), high: whole_secs(high), at_least: scanning })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steady(tasks: u64, gap_ms: u64) -> Pace {
        let mut pace = Pace::default();
        for _ in 0..tasks {
            pace.elapse(Duration::from_millis(gap_ms));
            pace.complete(1_000_000, 60_000);
        }
        pace
    }

    #[test]
    fn nothing_is_guessed_before_twenty_completions_or_a_minute() {
        assert_eq!(steady(19, 100).eta(100, 100_000_000, false), None);
        assert!(steady(20, 100).eta(100, 100_000_000, false).is_some());
        assert!(steady(1, 60_000).eta(100, 100_000_000, false).is_some());
        let mut silent = Pace::default();
        silent.elapse(Duration::from_secs(3600));
        assert_eq!(silent.eta(100, 100_000_000, false), None, "nothing has ended, so nothing is known");
    }

    #[test]
    fn a_steady_pace_is_estimated_around_the_truth() {
        let pace = steady(400, 1000);
        let eta = pace.eta(600, 600_000_000, false).unwrap();
        assert!(eta.low.as_secs() < 600 && 600 < eta.high.as_secs(), "{eta:?} holds ten minutes");
        assert!(eta.high.as_secs() < 700);
        assert!((pace.audio_rate().unwrap() - 60.0).abs() < 1.0);
    }

    #[test]
    fn the_average_follows_a_change_of_pace_within_its_window() {
        let mut pace = steady(1000, 1000);
        for _ in 0..100 {
            pace.elapse(Duration::from_secs(10));
            pace.complete(1_000_000, 60_000);
        }
        let rate = pace.audio_rate().unwrap();
        assert!((5.9..8.5).contains(&rate), "{rate} is near 6 audio hours an hour, far from 60");
    }

    proptest! {
        #[test]
        fn an_estimate_is_a_range_for_any_history(
            steps in proptest::collection::vec((0u64..10_000_000, 0u64..u64::MAX, 0u64..1_000_000_000), 0..60),
            tasks_left: u64, bytes_left: u64,
        ) {
            let mut pace = Pace::default();
            for (ms, bytes, audio) in steps {
                pace.elapse(Duration::from_millis(ms));
                pace.complete(bytes, audio);
            }
            if let Some(eta) = pace.eta(tasks_left, bytes_left, false) {
                prop_assert!(eta.low <= eta.high);
            }
        }
    }
}
