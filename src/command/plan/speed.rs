//! How long a plan takes: a range, by an endpoint's own results or by what is published.

use std::time::Duration;

use super::reckon::Recording;
use crate::task::Endpoint;

/// Fewer results tell nothing.
const PAST_MIN: usize = 20;

/// How long an endpoint takes for a recording: a time for each, and a time for each second of audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    low: Line,
    high: Line,
    /// By its own results, and not by what was published.
    pub(super) is_learned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    each_ms: f64,
    /// Time for a second of audio.
    factor: f64,
}

impl Line {
    fn ms(self, audio_ms: u64) -> f64 {
        self.each_ms + self.factor * audio_ms as f64
    }
}

impl Speed {
    /// By what was measured: pairs of audio and time. A quarter of the audio was answered quicker than the low end says, and
    /// a quarter slower than the high end.
    pub(super) fn of(endpoint: Endpoint, past: &[(u64, u64)]) -> Speed {
        let mut factors: Vec<(f64, u64)> = past
            .iter()
            .filter(|(audio, _)| *audio > 0)
            .map(|&(audio, wall)| (wall as f64 / audio as f64, audio))
            .collect();
        if factors.len() < PAST_MIN {
            return Speed::published(endpoint);
        }
        factors.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: u64 = factors.iter().map(|(_, audio)| audio).sum();
        let quantile = |share: f64| {
            let mut sum = 0.0;
            let mut reached = |audio: u64| {
                sum += audio as f64;
                sum >= share * all as f64
            };
            factors.iter().find(|(_, audio)| reached(*audio)).map_or(0.0, |(factor, _)| *factor)
        };
        let line = |share| Line { each_ms: 0.0, factor: quantile(share) };
        Speed { low: line(0.25), high: line(0.75), is_learned: true }
    }

    /// By what its makers and users tell, which is wide apart.
    fn published(endpoint: Endpoint) -> Speed {
        let line = |each_s: f64, times: f64| Line { each_ms: each_s * 1000.0, factor: 1.0 / times };
        let (low, high) = match endpoint {
            Endpoint::SttBatchEnglishVfast => (line(1.0, 250.0), line(5.0, 200.0)),
            Endpoint::SyntheticVoiceDetectionBatch => (line(1.0, 160.0), line(5.0, 40.0)),
            Endpoint::PiiPhiRedactionBatch => (line(1.0, 16.0), line(16.0, 4.0)),
            Endpoint::Batch => (line(5.0, 20.0), line(120.0, 4.0)),
            _ => (line(1.0, 29.0), line(16.0, 10.0)),
        };
        Speed { low, high, is_learned: false }
    }

    /// For all of these at so many slots: no less than the longest takes alone.
    pub(super) fn time<'a>(
        &self,
        recordings: impl Iterator<Item = &'a Recording> + Clone,
        slots: u32,
    ) -> Span {
        let wall = |line: Line| {
            let each = recordings.clone().map(|r| line.ms(r.measured.duration_ms) * r.times() as f64);
            let (sum, longest) = each.fold((0.0, 0.0f64), |(sum, longest), ms| (sum + ms, longest.max(ms)));
            Duration::try_from_secs_f64((sum / f64::from(slots.max(1))).max(longest) / 1000.0)
                .unwrap_or(Duration::MAX)
        };
        Span { low: wall(self.low), high: wall(self.high) }
    }
}

/// From, to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub(super) low: Duration,
    pub(super) high: Duration,
}
