//! What a plan comes to, from what is known: plain sums and comparisons. Reads no file and no clock.

use std::collections::BTreeMap;

use super::speed::{Span, Speed};
use crate::command::feed::Scanned;
use crate::media::{Fate, Format, Looks, MediaSettings, Terms, fate};
use crate::queue::Usage;
use crate::run::LimitSettings;
use crate::task::{
    Amount, BudgetLimit, DurationMethod, Endpoint, Measured, Money, Month, Rate, RecordingPath,
};

/// Results of a job that are looked at for how quickly an endpoint answers.
pub(super) const PAST: u32 = 1000;

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
    /// How many channels it has, where somebody asked and its headers tell.
    pub(super) channels: Option<u16>,
    /// Each of them goes out by itself.
    pub(super) apart: bool,
    /// Its own options, if it has any.
    pub(super) own: Option<String>,
    /// It has the content of one before it.
    pub(super) repeats: bool,
}

impl Recording {
    /// How often its length goes out: at least.
    pub(super) fn times(&self) -> u64 {
        self.channels.filter(|_| self.apart).map_or(1, |channels| u64::from(channels.max(1)))
    }

    /// What goes out of it, in milliseconds: at least.
    fn audio_ms(&self) -> u64 {
        self.measured.duration_ms.saturating_mul(self.times())
    }
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
        self.audio_ms = self.audio_ms.saturating_add(recording.audio_ms());
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
    /// What a request holds at most, where longer ones go out in pieces.
    pub(super) longest_ms: Option<u64>,
}

impl JobPlan {
    /// Those that go out.
    pub(super) fn sent(&self) -> impl Iterator<Item = &Recording> + Clone {
        self.recordings.iter().filter(|r| !(self.pays_once && r.repeats))
    }

    /// What they are.
    pub(super) fn to_send(&self) -> Sum {
        Sum::of(self.sent())
    }

    /// Recordings that repeat another. They go out like the rest unless that is paid for once.
    pub(super) fn twins(&self) -> Sum {
        Sum::of(self.recordings.iter().filter(|r| r.repeats))
    }

    /// What a recording costs: its audio, neither rounded nor twice, as far as anybody says, of each channel that goes out by
    /// itself. Nothing where no price is known.
    fn cost_of(&self, recording: &Recording) -> Money {
        let request = Amount::of(recording.measured.duration_ms, self.rate.per_hour);
        Money(request.cost.0.saturating_mul(recording.times()))
    }

    pub(super) fn billed_ms(&self) -> u64 {
        self.to_send().audio_ms
    }

    pub(super) fn cost(&self) -> Option<Money> {
        self.rate.per_hour.map(|_| self.sent().map(|r| self.cost_of(r)).sum())
    }

    /// Requests for those that go out, about: one for each piece of each channel.
    pub(super) fn requests(&self) -> u64 {
        let pieces = |r: &Recording| match self.longest_ms {
            Some(longest) => r.measured.duration_ms.div_ceil(longest.max(1)).max(1),
            None => 1,
        };
        self.sent().map(|r| pieces(r).saturating_mul(r.times())).fold(0, u64::saturating_add)
    }

    /// Of how many that go out nobody knows the channels, which would go out by themselves.
    pub(super) fn unknown_channels(&self) -> u64 {
        self.sent().filter(|r| r.apart && r.channels.is_none()).count() as u64
    }

    /// How many lengths were found out in which way.
    pub(super) fn lengths(&self) -> BTreeMap<DurationMethod, u64> {
        let mut by = BTreeMap::new();
        self.sent().for_each(|r| *by.entry(r.measured.method).or_default() += 1);
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

pub(super) fn fates<'a>(
    recordings: impl Iterator<Item = &'a Recording>,
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
        self.endpoint(job).map_or(Span::default(), |e| e.speed.time(job.sent(), e.limit.concurrent))
    }

    /// All of them: endpoints work beside each other, jobs of one endpoint share its slots.
    pub(super) fn time(&self) -> Span {
        let spans = self.endpoints.iter().map(|e| {
            let of = self.jobs.iter().filter(|job| job.endpoint == e.endpoint);
            e.speed.time(of.flat_map(|job| job.sent()), e.limit.concurrent)
        });
        spans.fold(Span::default(), |sum, s| Span { low: sum.low.max(s.low), high: sum.high.max(s.high) })
    }

    pub(super) fn to_send(&self) -> Sum {
        Sum::of(self.jobs.iter().flat_map(|job| job.sent()))
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
                let audio = |_: &JobPlan, r: &Recording| r.audio_ms();
                ends.extend(crossing(Cap::Month(e.endpoint), jobs, left, audio));
            }
        }
        let all = || self.jobs.iter().collect::<Vec<_>>();
        if let Some(left) = self.budget.and_then(|b| b.audio_ms) {
            ends.extend(crossing(Cap::Hours, all(), left, |_, r| r.audio_ms()));
        }
        if let Some(left) = self.budget.and_then(|b| b.cost) {
            ends.extend(crossing(Cap::Cost, all(), left.0, |job, r| job.cost_of(r).0));
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
    let of = jobs.iter().map(|job| job.sent().count() as u64).sum();
    let (mut before, mut used) = (Sum::default(), 0u64);
    let mut turns: Vec<_> = jobs.iter().map(|job| (job, job.sent().peekable())).collect();
    while turns.iter_mut().any(|(_, sent)| sent.peek().is_some()) {
        for (job, sent) in &mut turns {
            let Some(recording) = sent.next() else { continue };
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
    use std::time::Duration;

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
            apart: false,
            own: None,
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
            longest_ms: None,
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
    fn each_channel_that_goes_out_by_itself_is_billed_and_takes_its_time_and_its_request() {
        let mut job = job("a", STT, &[100, 30, 20]);
        for (recording, channels) in job.recordings.iter_mut().zip([Some(2), None, Some(1)]) {
            (recording.apart, recording.channels) = (true, channels);
        }
        job.longest_ms = Some(60_000);
        assert_eq!((job.billed_ms(), job.cost()), (250_000, Some(Money(250_000))));
        assert_eq!((job.requests(), job.unknown_channels()), (2 * 2 + 1 + 1, 1));
        assert_eq!(job.to_send(), Sum { recordings: 3, audio_ms: 250_000, bytes: 3 });
        let plan = plan(vec![job], Some(15 + 199));
        assert_eq!(plan.time().low, Duration::from_secs(100), "one channel after the other");
        assert_eq!(plan.ends()[0].before.recordings, 0, "the first alone is 200 s");
    }

    #[test]
    fn who_repeats_another_is_not_sent_unless_that_is_paid_for_again() {
        let mut job = job("a", STT, &[10, 10, 5]);
        job.recordings[1].repeats = true;
        assert_eq!((job.to_send().recordings, job.billed_ms(), job.requests()), (2, 15_000, 2));
        assert_eq!((job.twins().recordings, job.twins().audio_ms), (1, 10_000));
        job.pays_once = false;
        assert_eq!((job.to_send().recordings, job.billed_ms(), job.requests()), (3, 25_000, 3));
    }

    #[test]
    fn a_cost_is_rounded_request_by_request_as_the_ledger_does() {
        let mut job = job("a", STT, &[1; 1000]);
        job.rate.per_hour = Some(Money(30_000));
        let ledger: Money = (0..1000).map(|_| Amount::of(1000, Some(Money(30_000))).cost).sum();
        assert_eq!(job.cost(), Some(ledger));
        assert_eq!(ledger, Money(9000), "8.33 millionths are nine");
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
