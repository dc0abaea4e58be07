//! How long answers took, in a fixed number of buckets: memory does not grow with the run.

use std::time::Duration;

/// Buckets grow by a twentieth each, so a percentile is right to about three per cent. They reach past two days.
const BUCKETS: usize = 400;
const GROWTH: f64 = 1.05;

/// Counts of durations by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let ms = (time.as_secs_f64() * 1000.0).max(1.0);
        let bucket = (ms.ln() / GROWTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// The duration that `share` (0..=1) of all stayed under; nothing when none was counted.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&n| {
            seen += n;
            seen >= wanted
        })?;
        Some(Duration::from_secs_f64(GROWTH.powf(bucket as f64 + 0.5) / 1000.0))
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_per_cent() {
        let mut walls = Histogram::default();
        assert_eq!(walls.percentile(0.5), None);
        (1..=1000).for_each(|n| walls.add(Duration::from_millis(n * 20)));
        for (share, ms) in [(0.5, 10_000.0), (0.95, 19_000.0)] {
            let found = walls.percentile(share).unwrap().as_secs_f64() * 1000.0;
            assert!((found / ms - 1.0).abs() < 0.03, "{share}: {found} is not about {ms}");
        }
        assert_eq!(walls.total(), 1000);
    }

    #[test]
    fn nothing_and_forever_are_counted_too() {
        let mut walls = Histogram::default();
        walls.add(Duration::ZERO);
        walls.add(Duration::MAX);
        assert!(walls.percentile(0.5).unwrap() < Duration::from_millis(2));
        assert!(walls.percentile(1.0).unwrap() > Duration::from_secs(86_400));
    }
}
