//! What a plan comes to, from what is known: plain sums and comparisons. Reads no file and no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::command::feed::Scanned;
use crate::media::{Fate, Format, Looks, MediaSettings, Terms, fate};
use crate::queue::Usage;
use crate::run::LimitSettings;
use crate::task::{
    Amount, BudgetLimit, DurationMethod, Endpoint, Measured, Money, Month, Rate, RecordingPath,
};

/// Results of a job that are looked at for how quickly an endpoint answers.
pub(super) const PAST: u32 = 1000;
/// Fewer tell nothing.
const PAST_MIN: usize = 20;

/// One recording that would be sent.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) path: RecordingPath,
    pub(super) size_bytes: u64,
    pub(super) modified_ns: i64,
    /// Among those of its rank.
    pub(super) turn: i64,
    pub(super) format: Option<Format>,
    pub(super) measured: Measured,
    /// Of what is large, where its headers tell.
    pub(super) channels: Option<u16>,
    /// It has the content of one before it.
    pub(super) repeats: bool,
}

/// So many recordings, and how much they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) recordings: u64,
    pub(super) audio_ms: u64,
    pub(super) bytes: u64,
}

impl Sum {
    pub(super) fn add(&mut self, recording: &Recording) {
        self.recordings += 1;
        self.audio_ms = self.audio_ms.saturating_add(recording.measured.duration_ms);
        self.bytes = self.bytes.saturating_add(recording.size_bytes);
    }

    fn of<'a>(recordings: impl IntoIterator<Item = &'a Recording>) -> Sum {
        let mut sum = Sum::default();
        recordings.into_iter().for_each(|r| sum.add(r));
        sum
    }
}

/// A job's part of a plan.
pub(super) struct JobPlan {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    pub(super) rate: Rate,
    pub(super) scanned: Scanned,
    pub(super) fates: Fates,
    /// In the order in which they would be sent.
    pub(super) recordings: Vec<Recording>,
    /// Who repeats another takes over its answer, at no cost.
    pub(super) pays_once: bool,
}

impl JobPlan {
    /// All that want an answer.
    pub(super) fn to_send(&self) -> Sum {
        Sum::of(&self.recordings)
    }

    /// Those of them that repeat another.
    pub(super) fn twins(&self) -> Sum {
        Sum::of(self.recordings.iter().filter(|r| r.repeats))
    }

    /// What a recording is billed for: its audio, neither rounded nor by the channel, as far as anybody says.
    fn billed_for(&self, recording: &Recording) -> u64 {
        if self.pays_once && recording.repeats { 0 } else { recording.measured.duration_ms }
    }

    /// The same of all.
    pub(super) fn billed_ms(&self) -> u64 {
        self.recordings.iter().map(|r| self.billed_for(r)).fold(0, u64::saturating_add)
    }

    pub(super) fn cost(&self) -> Option<Money> {
        self.rate.per_hour.map(|price| price.of_audio(self.billed_ms()))
    }

    /// How many lengths were found out in which way.
    pub(super) fn lengths(&self) -> BTreeMap<DurationMethod, u64> {
        let mut by = BTreeMap::new();
        self.recordings.iter().for_each(|r| *by.entry(r.measured.method).or_default() += 1);
        by
    }
}

/// What has to happen to recordings before they can go out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fates {
    pub(super) as_is: u64,
    /// By reason.
    pub(super) reencoded: BTreeMap<String, u64>,
    pub(super) split: BTreeMap<String, u64>,
    pub(super) refused: BTreeMap<String, u64>,
}

pub(super) fn fates(
    recordings: &[Recording],
    endpoint: Endpoint,
    media: &MediaSettings,
    terms: Terms,
) -> Fates {
    let mut fates = Fates::default();
    for &Recording { measured, format, size_bytes, channels, .. } in recordings {
        let Some(format) = format else {
            fates.as_is += 1; // of a queue that did not keep it
            continue;
        };
        let looks = Looks { format, size_bytes, measured: Some(measured), channels };
        match fate(looks, endpoint, media, terms) {
            Fate::AsIs => fates.as_is += 1,
            Fate::Reencode(why) | Fate::Compress(why) => {
                *fates.reencoded.entry(why.to_owned()).or_default() += 1
            }
            Fate::Split(why) => *fates.split.entry(why.to_owned()).or_default() += 1,
            Fate::Refused(failure) => *fates.refused.entry(failure.cause.says().to_owned()).or_default() += 1,
        }
    }
    fates
}

/// What is known of an endpoint.
pub(super) struct EndpointPlan {
    pub(super) endpoint: Endpoint,
    pub(super) limit: LimitSettings,
    pub(super) usage: Usage,
    pub(super) speed: Speed,
}

impl EndpointPlan {
    /// Of the month, what may still be billed here; `None`: no cap.
    pub(super) fn left_ms(&self, month: Month) -> Option<u64> {
        let own = self.limit.own_monthly_ms(month)?;
        Some(own.saturating_sub(self.usage.billed_ms.saturating_add(self.usage.unknown_ms)))
    }

    /// Of the month, what is used, elsewhere too.
    pub(super) fn used_ms(&self, month: Month) -> u64 {
        self.usage
            .billed_ms
            .saturating_add(self.usage.unknown_ms)
            .saturating_add(self.limit.opening_ms(month))
    }
}

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
            let each = recordings.clone().map(|r| line.ms(r.measured.duration_ms));
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

/// What is left of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) limit: BudgetLimit,
    pub(super) audio_ms: Option<u64>,
    pub(super) cost: Option<Money>,
}

impl Left {
    pub(super) fn of(limit: BudgetLimit, spent: Amount) -> Left {
        Left {
            limit,
            audio_ms: limit.audio_ms.map(|all| all.saturating_sub(spent.audio_ms)),
            cost: limit.cost.map(|all| Money(all.0.saturating_sub(spent.cost.0))),
        }
    }
}

/// What ends a run before all is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cap {
    Month(Endpoint),
    Hours,
    Cost,
}

/// Where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) cap: Cap,
    /// So much goes out before.
    pub(super) before: Sum,
    /// Of so many.
    pub(super) of: u64,
    /// The first that does not.
    pub(super) at: RecordingPath,
}

/// All of it.
pub(super) struct Plan {
    pub(super) jobs: Vec<JobPlan>,
    pub(super) endpoints: Vec<EndpointPlan>,
    pub(super) prices_as_of: String,
    pub(super) month: Month,
    pub(super) budget: Option<Left>,
}

impl Plan {
    pub(super) fn endpoint(&self, job: &JobPlan) -> Option<&EndpointPlan> {
        self.endpoints.iter().find(|e| e.endpoint == job.endpoint)
    }

    /// A job alone.
    pub(super) fn time_of(&self, job: &JobPlan) -> Span {
        self.endpoint(job)
            .map_or(Span::default(), |e| e.speed.time(job.recordings.iter(), e.limit.concurrent))
    }

    /// All of them: endpoints work beside each other, jobs of one endpoint share its slots.
    pub(super) fn time(&self) -> Span {
        let spans = self.endpoints.iter().map(|e| {
            let of = self.jobs.iter().filter(|job| job.endpoint == e.endpoint);
            e.speed.time(of.flat_map(|job| &job.recordings), e.limit.concurrent)
        });
        spans.fold(Span::default(), |sum, s| Span { low: sum.low.max(s.low), high: sum.high.max(s.high) })
    }

    pub(super) fn to_send(&self) -> Sum {
        Sum::of(self.jobs.iter().flat_map(|job| &job.recordings))
    }

    pub(super) fn billed_ms(&self) -> u64 {
        self.jobs.iter().map(JobPlan::billed_ms).fold(0, u64::saturating_add)
    }

    /// `None` if a job's price is not known.
    pub(super) fn cost(&self) -> Option<Money> {
        self.jobs.iter().map(JobPlan::cost).sum()
    }

    /// What ends it early, the first to do so first.
    pub(super) fn ends(&self) -> Vec<End> {
        let mut ends = Vec::new();
        for e in &self.endpoints {
            if let Some(left) = e.left_ms(self.month) {
                let jobs = self.jobs.iter().filter(|job| job.endpoint == e.endpoint).collect();
                let audio = |job: &JobPlan, r: &Recording| job.billed_for(r);
                ends.extend(crossing(Cap::Month(e.endpoint), jobs, left, audio));
            }
        }
        let all = || self.jobs.iter().collect::<Vec<_>>();
        if let Some(left) = self.budget.and_then(|b| b.audio_ms) {
            ends.extend(crossing(Cap::Hours, all(), left, JobPlan::billed_for));
        }
        if let Some(left) = self.budget.and_then(|b| b.cost) {
            let cost = |job: &JobPlan, r: &Recording| {
                job.rate.per_hour.unwrap_or_default().of_audio(job.billed_for(r)).0
            };
            ends.extend(crossing(Cap::Cost, all(), left.0, cost));
        }
        ends.sort_by_key(|end| (end.before.recordings, end.before.audio_ms));
        ends
    }
}

/// Where these jobs, one recording of each in turn, would cross what is left.
fn crossing(
    cap: Cap,
    jobs: Vec<&JobPlan>,
    left: u64,
    amount: impl Fn(&JobPlan, &Recording) -> u64,
) -> Option<End> {
    let of = jobs.iter().map(|job| job.recordings.len() as u64).sum();
    let rounds = jobs.iter().map(|job| job.recordings.len()).max()?;
    let (mut before, mut used) = (Sum::default(), 0u64);
    for round in 0..rounds {
        for job in &jobs {
            let Some(recording) = job.recordings.get(round) else { continue };
            used = used.saturating_add(amount(job, recording));
            if used > left {
                return Some(End { cap, before, of, at: recording.path.clone() });
            }
            before.add(recording);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, endpoint: Endpoint, seconds: &[u64]) -> JobPlan {
        let recordings = seconds.iter().enumerate().map(|(n, s)| Recording {
            path: RecordingPath::from_bytes(format!("{name}{n}.wav")),
            size_bytes: 1,
            modified_ns: 0,
            turn: n as i64,
            format: Some(Format::Wav),
            measured: Measured::header(s * 1000),
            channels: None,
            repeats: false,
        });
        JobPlan {
            name: name.into(),
            endpoint,
            rate: Rate { per_hour: Some(Money(3_600_000)), unpriced: vec![] }, // a dollar for 1000 s
            scanned: Scanned::default(),
            fates: Fates::default(),
            recordings: recordings.collect(),
            pays_once: true,
        }
    }

    fn plan(jobs: Vec<JobPlan>, monthly_s: Option<u64>) -> Plan {
        let month = crate::task::Timestamp(1_790_000_000_000).month();
        let limit = LimitSettings {
            concurrent: 2,
            monthly_ms: monthly_s.map(|s| s * 1000),
            ..LimitSettings::default()
        };
        let mut names: Vec<Endpoint> = jobs.iter().map(|j| j.endpoint).collect();
        names.dedup();
        let of = |endpoint| EndpointPlan {
            endpoint,
            limit,
            usage: Usage { billed_ms: 10_000, unknown_ms: 5000, ..Usage::default() },
            speed: Speed::of(endpoint, &[(1000, 500); 30]),
        };
        let endpoints = names.into_iter().map(of).collect();
        Plan { jobs, endpoints, prices_as_of: String::new(), month, budget: None }
    }

    const STT: Endpoint = Endpoint::SttBatch;

    #[test]
    fn a_month_ends_a_plan_before_the_recording_that_would_cross_it() {
        let jobs = || vec![job("a", STT, &[30, 20, 10]), job("b", STT, &[5, 5])];
        // 15 s are used; in turn: 30, 5, 20, 5, 10.
        let end = |monthly| {
            plan(jobs(), Some(monthly)).ends().pop().map(|e| (e.before.recordings, e.at.to_string()))
        };
        assert_eq!(end(85), None);
        assert_eq!(end(84), Some((4, "a2.wav".into())));
        assert_eq!(end(69), Some((2, "a1.wav".into())));
        assert_eq!(end(1), Some((0, "a0.wav".into())));
    }

    #[test]
    fn whatever_ends_first_is_told_first() {
        let limit = BudgetLimit { audio_ms: Some(40_000), cost: Some(Money(60_000)) };
        let spent = Amount { audio_ms: 4000, cost: Money(0) };
        let budget = Some(Left::of(limit, spent));
        let caps = |monthly| {
            let plan = Plan { budget, ..plan(vec![job("a", STT, &[30, 20, 10, 5])], monthly) };
            plan.ends().into_iter().map(|e| (e.cap, e.before.recordings)).collect::<Vec<_>>()
        };
        assert_eq!(caps(None), [(Cap::Hours, 1), (Cap::Cost, 3)]);
        assert_eq!(caps(Some(40)), [(Cap::Month(STT), 0), (Cap::Hours, 1), (Cap::Cost, 3)]);
    }

    #[test]
    fn time_is_shared_by_the_slots_and_never_below_the_longest() {
        let twice = plan(vec![job("a", STT, &[30, 30, 30, 30])], None).time();
        assert_eq!(twice.low, Duration::from_secs(30), "half as long as the audio, at two slots");
        assert_eq!(plan(vec![job("a", STT, &[100, 1])], None).time().low, Duration::from_secs(50));
        // Endpoints do not wait for each other.
        let both = vec![job("a", STT, &[40, 40]), job("b", Endpoint::Batch, &[40, 40])];
        assert_eq!(plan(both, None).time().low, Duration::from_secs(20));
    }

    #[test]
    fn few_results_teach_nothing() {
        assert!(!Speed::of(STT, &[(1000, 500); 19]).is_learned);
        let mixed: Vec<(u64, u64)> = (1..=100).map(|n| (1000, n * 10)).collect();
        let span = Speed::of(STT, &mixed).time(job("a", STT, &[100]).recordings.iter(), 1);
        assert_eq!((span.low, span.high), (Duration::from_secs(25), Duration::from_secs(75)));
    }

    #[test]
    fn a_plan_with_a_job_without_a_price_has_none() {
        let jobs = || vec![job("a", STT, &[1000]), job("b", STT, &[500])];
        assert_eq!(plan(jobs(), None).cost(), Some(Money(1_500_000)));
        let mut plan = plan(jobs(), None);
        plan.jobs[1].rate.per_hour = None;
        assert_eq!(plan.cost(), None);
    }
}
