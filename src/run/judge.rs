//! What one endpoint's answers mean together: the pace, the outage, the doubt under examination, and from these
//! whether the next request may start. Holds no task and does no IO; the pool asks, workers report.

use std::time::Duration;

use super::outage::Outage;
use super::pace::{Begun, Pace, Refused};
use crate::task::{Cause, Doubt, Evidence, Failure, Probe, Ruling, TaskId, Timestamp, Verdict, examine};

/// What the pool may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Start whatever has a slot.
    Open,
    /// Start one task, when nothing else is in flight, not before the moment given.
    Alone(Timestamp),
    /// Make the free call, and tell what it answered.
    AskFree,
    /// Start nothing: a halt has been ordered.
    Closed,
}

/// One request as the judge needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) task: TaskId,
    /// Nothing else was in flight beside it.
    pub(super) alone: bool,
    /// Slots that other processes held when it was claimed.
    pub(super) elsewhere: u32,
    /// What [`Judge::begin`] said of it.
    pub(super) begun: Begun,
    /// How often the task has been refused for "too many at once" before.
    pub(super) throttles: u32,
    pub(super) sent_at: Timestamp,
    pub(super) now: Timestamp,
    /// The dice, 0..=1.
    pub(super) jitter: f64,
}

/// What hearing a verdict changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// The verdict to decide by: a settled doubt has become something else.
    pub(super) verdict: Verdict,
    /// The adaptive limit moved to this.
    pub(super) pace: Option<u32>,
    /// Everything fails.
    pub(super) outage: bool,
    /// Rounds of throttling in a row.
    pub(super) throttle_rounds: u32,
    /// Worth telling.
    pub(super) news: Vec<News>,
}

/// A change that the user may want to hear of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    Examining(Doubt),
    OutageBegan(Failure),
    OutageEnded,
}

/// A refusal whose meaning is being found out.
#[derive(Debug, Clone)]
struct Inquiry {
    doubt: Doubt,
    failure: Failure,
    opened_at: Timestamp,
    probe: Option<Probe>,
    ruling: Ruling,
    ruled_at: Timestamp,
}

/// Refusals of one kind in a row.
#[derive(Debug, Clone, Copy)]
struct Streak {
    doubt: Doubt,
    repeats: u32,
    /// Of those, while nothing else was in flight.
    lone_repeats: u32,
    first_lone_at: Option<Timestamp>,
}

/// So often may one task's upload be broken off before the fault is sought in the task.
const BROKEN_UPLOADS: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    pace: Pace,
    outage: Outage,
    lone_not_before: Timestamp,
    inquiry: Option<Inquiry>,
    streak: Option<Streak>,
    throttle_rounds: u32,
    last_throttle: Option<Timestamp>,
    succeeded: bool,
    closed: bool,
    /// Requests that began and were not heard of since.
    in_flight: u32,
}

impl Judge {
    /// `succeeded`: the endpoint has answered with a success before, this month.
    pub(super) fn new(pace: Pace, succeeded: bool) -> Self {
        Judge {
            pace,
            outage: Outage::default(),
            lone_not_before: Timestamp(0),
            inquiry: None,
            streak: None,
            throttle_rounds: 0,
            last_throttle: None,
            succeeded,
            closed: false,
            in_flight: 0,
        }
    }

    /// A request begins; it has to be heard of.
    pub(super) fn begin(&mut self, now: Timestamp) -> Begun {
        self.in_flight += 1;
        self.pace.began(self.in_flight, now)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.closed {
            return Mode::Closed;
        }
        match &self.inquiry {
            Some(Inquiry { ruling: Ruling::AskFree, .. }) => Mode::AskFree,
            Some(Inquiry { ruling: Ruling::TryAlone(wait), ruled_at, .. }) => {
                let not_before = ruled_at.after(*wait);
                // Finding out waits as long as anything else while nothing gets through.
                Mode::Alone(if self.outage.is_open() {
                    not_before.max(self.lone_not_before)
                } else {
                    not_before
                })
            }
            _ if self.outage.is_open() => Mode::Alone(self.lone_not_before),
            _ => Mode::Open,
        }
    }

    /// Whether the pace allows one more than is in flight here.
    pub(super) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many more the pace allows. The queue hears of a lower pace some milliseconds late.
    pub(super) fn room(&self) -> u32 {
        self.pace.effective().saturating_sub(self.in_flight)
    }

    pub(super) fn ceiling(&self) -> u32 {
        self.pace.ceiling()
    }

    pub(super) fn effective(&self) -> u32 {
        self.pace.effective()
    }

    /// How soon to ask [`Judge::look_at_pace`], even if nothing is heard until then.
    pub(super) fn shows_in(&self, now: Timestamp) -> Option<Duration> {
        self.pace.shows_at().filter(|_| self.mode() == Mode::Open).map(|at| at.since(now))
    }

    /// The pace may have moved because nothing was refused. `elsewhere`: slots that other processes hold. The new limit,
    /// if it did.
    pub(super) fn look_at_pace(&mut self, elsewhere: u32, now: Timestamp) -> Option<u32> {
        let in_use = self.in_flight + elsewhere;
        (self.mode() == Mode::Open).then(|| self.pace.passed(in_use, now)).flatten()
    }

    /// Takes over what the queue says: other processes learn too.
    pub(super) fn adopt(&mut self, effective: u32) {
        self.pace.adopt(effective);
    }

    /// The queue was told of a finding's pace.
    pub(super) fn pace_saved(&mut self) {
        self.pace.saved();
    }

    pub(super) fn is_hopeless(&self, give_up_after: Duration, now: Timestamp) -> bool {
        self.outage.is_hopeless(give_up_after, now)
    }

    /// Takes in what came of a request.
    pub(super) fn hear(&mut self, verdict: Verdict, heard: Heard) -> Finding {
        self.in_flight = self.in_flight.saturating_sub(1);
        let mut finding = Finding {
            verdict: unmask(verdict, heard),
            pace: None,
            outage: self.outage.is_open(),
            throttle_rounds: self.throttle_rounds.max(1),
            news: Vec::new(),
        };
        match finding.verdict.clone() {
            Verdict::Success => self.hear_success(heard, &mut finding),
            Verdict::Unclear(doubt, failure) => self.hear_doubt(doubt, failure, heard, &mut finding),
            Verdict::Transient(failure) => self.hear_failure(failure, heard, &mut finding),
            _ => {}
        }
        match &finding.verdict {
            Verdict::Throttled(failure) => {
                let asked = failure.retry_after;
                self.hear_throttle(asked, heard, &mut finding);
            }
            Verdict::Halted(..) => self.closed = true,
            // Not what was found out here, before anything was sent.
            Verdict::FileFault(failure) if failure.http_status.is_some() => {
                self.hear_file_judged(heard, &mut finding);
            }
            _ => {}
        }
        finding
    }

    /// Takes in what the free call answered. A verdict, if that settled the doubt.
    pub(super) fn hear_probe(&mut self, probe: Probe, now: Timestamp) -> Option<Verdict> {
        let mut inquiry = self.inquiry.take()?;
        inquiry.probe = Some(probe);
        let evidence = self.evidence(&inquiry, false, now);
        match examine(inquiry.doubt, inquiry.failure.clone(), evidence) {
            Ruling::Settled(verdict) => {
                self.closed |= matches!(verdict, Verdict::Halted(..));
                Some(verdict)
            }
            ruling => {
                self.inquiry = Some(Inquiry { ruling, ruled_at: now, ..inquiry });
                None
            }
        }
    }

    fn hear_success(&mut self, heard: Heard, finding: &mut Finding) {
        self.succeeded = true;
        self.streak = None;
        if self.last_throttle.is_none_or(|at| heard.sent_at >= at) {
            self.throttle_rounds = 0; // one that was sent before the refusal proves nothing
        }
        if self.outage.is_open() {
            finding.news.push(News::OutageEnded);
        }
        self.outage.succeeded();
        if !self.end_inquiry(heard, finding) && self.inquiry.is_none() {
            finding.pace = self.pace.succeeded(heard.begun, self.beside(heard), heard.now);
        }
    }

    /// Whoever judges a file is well, and lets this key use this model.
    fn hear_file_judged(&mut self, heard: Heard, finding: &mut Finding) {
        if self.outage.is_open() {
            self.outage.succeeded();
            finding.news.push(News::OutageEnded);
        }
        self.end_inquiry(heard, finding);
    }

    /// A lone try got past what was in doubt: what was refused was one too many at once.
    fn end_inquiry(&mut self, heard: Heard, finding: &mut Finding) -> bool {
        let ends = self.inquiry.as_ref().is_some_and(|i| heard.sent_at >= i.opened_at);
        if ends {
            let was = self.inquiry.take().map(|i| i.doubt);
            // Whoever checks keys was ill for a while: that says nothing of how many there were.
            if was != Some(Doubt::Key) {
                finding.pace = self.pace.congested(heard.now, heard.now);
            }
        }
        ends
    }

    fn hear_failure(&mut self, failure: Failure, heard: Heard, finding: &mut Finding) {
        let slots = self.pace.effective();
        if failure.cause == Cause::Overloaded {
            finding.pace = self.pace.congested(heard.sent_at, heard.now);
        }
        if self.outage.failed(heard.task, failure.cause, slots, heard.now) {
            finding.news.push(News::OutageBegan(failure));
        }
        finding.outage = self.outage.is_open();
        self.lone_not_before = heard.now.after(self.outage.wait(heard.jitter));
    }

    fn hear_throttle(&mut self, asked: Option<Duration>, heard: Heard, finding: &mut Finding) {
        if self.last_throttle.is_none_or(|at| heard.sent_at >= at) {
            // Fewer slots answer a refusal. Where one is too many already, there is only waiting.
            // Twice in a row can be chance.
            self.throttle_rounds = if self.pace.effective() == 1 { self.throttle_rounds + 1 } else { 0 };
            self.last_throttle = Some(heard.now);
        }
        finding.throttle_rounds = self.throttle_rounds.saturating_sub(1).max(1);
        let Heard { begun, elsewhere, sent_at, now, .. } = heard;
        let moved =
            self.pace.refused(Refused { begun, sent_at, elsewhere, beside: self.beside(heard), asked }, now);
        finding.pace = moved.or(finding.pace);
    }

    /// Slots in use beside a request that was just heard of: ours now, those of other processes as it was claimed.
    fn beside(&self, heard: Heard) -> u32 {
        self.in_flight + heard.elsewhere
    }

    fn hear_doubt(&mut self, doubt: Doubt, failure: Failure, heard: Heard, finding: &mut Finding) {
        // Requests that were under way when the examination began are part of what is examined.
        if self.inquiry.as_ref().is_some_and(|i| heard.sent_at < i.opened_at || !heard.alone) {
            return;
        }
        let opened_at = heard.now;
        let before = self.streak.filter(|streak| streak.doubt == doubt);
        let mut streak = before.unwrap_or(Streak { doubt, repeats: 0, lone_repeats: 0, first_lone_at: None });
        streak.repeats += 1;
        if heard.alone {
            streak.lone_repeats += 1;
            streak.first_lone_at.get_or_insert(heard.now);
        }
        self.streak = Some(streak);
        let probe = self.inquiry.take().filter(|i| i.doubt == doubt).and_then(|i| i.probe);
        let inquiry = Inquiry {
            doubt,
            failure: failure.clone(),
            opened_at,
            probe,
            ruling: Ruling::AskFree,
            ruled_at: heard.now,
        };
        let evidence = self.evidence(&inquiry, heard.alone, heard.now);
        match examine(doubt, failure, evidence) {
            Ruling::Settled(verdict) => finding.verdict = verdict,
            ruling => {
                self.inquiry = Some(Inquiry { ruling, ..inquiry });
                finding.news.push(News::Examining(doubt));
            }
        }
    }

    fn evidence(&self, inquiry: &Inquiry, alone: bool, now: Timestamp) -> Evidence {
        let repeats = self.streak.map_or(1, |s| s.repeats);
        let lone_repeats = self.streak.map_or(0, |s| s.lone_repeats);
        let lasting = self.streak.and_then(|s| s.first_lone_at).map_or(Duration::ZERO, |at| now.since(at));
        let succeeded = self.succeeded;
        Evidence { alone, succeeded, probe: inquiry.probe, repeats, lone_repeats, lasting }
    }
}

/// An upload that is broken off without a word is a hidden "too many at once" when others were under way. Alone, or
/// again and again with one task, it is not: then it costs attempts, else it would go on for ever.
fn unmask(verdict: Verdict, heard: Heard) -> Verdict {
    match verdict {
        Verdict::Throttled(failure)
            if failure.cause == Cause::Connection && (heard.alone || heard.throttles >= BROKEN_UPLOADS) =>
        {
            Verdict::Transient(failure)
        }
        verdict => verdict,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Billed, HaltReason};

    fn judge(succeeded: bool) -> Judge {
        Judge::new(Pace::new(16, 16), succeeded)
    }

    fn heard(alone: bool, sent: i64, now: i64) -> Heard {
        Heard {
            task: TaskId(sent),
            alone,
            elsewhere: 0,
            begun: Begun { own: 16, shows: true },
            throttles: 0,
            sent_at: Timestamp(sent),
            now: Timestamp(now),
            jitter: 0.5,
        }
    }

    fn opaque() -> Verdict {
        Verdict::Unclear(
            Doubt::Opaque,
            Failure::answered(Cause::Unclear, 403, "This request is not permitted.", Billed::No),
        )
    }

    #[test]
    fn an_opaque_refusal_drains_then_one_lone_try_settles_it() {
        let mut judge = judge(true);
        let finding = judge.hear(opaque(), heard(false, 1, 10));
        assert_eq!(finding.news, [News::Examining(Doubt::Opaque)]);
        assert_eq!(judge.mode(), Mode::Alone(Timestamp(10)));
        // The others that were in flight come back refused too, or well: neither settles anything.
        judge.hear(opaque(), heard(false, 2, 11));
        judge.hear(Verdict::Success, heard(false, 3, 12));
        assert_eq!(judge.mode(), Mode::Alone(Timestamp(10)));
        let finding = judge.hear(opaque(), heard(true, 20, 21));
        assert!(matches!(finding.verdict, Verdict::Halted(HaltReason::MonthlyHours, _)));
        assert_eq!(judge.mode(), Mode::Closed);
    }

    #[test]
    fn a_lone_try_that_gets_through_means_one_too_many_at_once() {
        let mut judge = judge(true);
        judge.hear(opaque(), heard(false, 1, 10));
        let finding = judge.hear(Verdict::Success, heard(true, 20, 30));
        assert_eq!((judge.mode(), finding.pace), (Mode::Open, Some(11)));
    }

    #[test]
    fn without_any_success_the_free_call_is_asked_and_can_settle_it() {
        let mut judge = judge(false);
        judge.hear(opaque(), heard(false, 1, 10));
        assert_eq!(judge.mode(), Mode::AskFree);
        let verdict = judge.hear_probe(Probe::Refused, Timestamp(11));
        assert!(matches!(verdict, Some(Verdict::Halted(HaltReason::ModelNotEnabled, _))));
        assert_eq!(judge.mode(), Mode::Closed);
    }

    #[test]
    fn a_good_key_leads_on_to_the_lone_try() {
        let mut judge = judge(false);
        judge.hear(opaque(), heard(false, 1, 10));
        assert_eq!(judge.hear_probe(Probe::Accepted, Timestamp(11)), None);
        assert_eq!(judge.mode(), Mode::Alone(Timestamp(11)));
    }

    #[test]
    fn a_halting_verdict_closes_at_once() {
        let mut judge = judge(true);
        let failure = Failure::answered(Cause::MonthlyHours, 429, "Monthly…", Billed::No);
        judge.hear(Verdict::Halted(HaltReason::MonthlyHours, failure), heard(false, 1, 2));
        assert_eq!(judge.mode(), Mode::Closed);
    }

    #[test]
    fn refusals_of_the_last_slot_alone_make_rounds_and_the_first_two_can_be_chance() {
        let mut judge = Judge::new(Pace::new(16, 2), true);
        let throttled = || Verdict::Throttled(Failure::local(Cause::Throttled, "busy"));
        let rounds = |judge: &mut Judge, verdict: Verdict, sent: i64| {
            let begun = judge.begin(Timestamp(sent));
            judge.hear(verdict, Heard { begun, ..heard(false, sent, sent + 1) }).throttle_rounds
        };
        assert_eq!(rounds(&mut judge, throttled(), 10), 1, "one slot less answers that");
        assert_eq!(judge.effective(), 1);
        assert_eq!([20, 30, 40, 50].map(|at| rounds(&mut judge, throttled(), at)), [1, 1, 2, 3]);
        assert_eq!(rounds(&mut judge, throttled(), 45), 3, "it was sent before the last refusal");
        rounds(&mut judge, Verdict::Success, 44);
        assert_eq!(rounds(&mut judge, throttled(), 60), 4, "an old success");
        rounds(&mut judge, Verdict::Success, 70);
        assert_eq!(rounds(&mut judge, throttled(), 80), 1);
    }

    #[test]
    fn an_upload_that_is_always_broken_off_costs_attempts_in_the_end() {
        let broken = || Verdict::Throttled(Failure::local(Cause::Connection, "broken pipe"));
        let mut judge = judge(true);
        assert!(matches!(judge.hear(broken(), heard(false, 1, 2)).verdict, Verdict::Throttled(_)));
        assert!(matches!(judge.hear(broken(), heard(true, 3, 4)).verdict, Verdict::Transient(_)));
        let often = Heard { throttles: 3, ..heard(false, 5, 6) };
        assert!(matches!(judge.hear(broken(), often).verdict, Verdict::Transient(_)));
    }

    #[test]
    fn finding_out_waits_while_nothing_gets_through() {
        let mut judge = judge(true);
        judge.hear(opaque(), heard(false, 1, 10));
        for i in 11..60 {
            let down = Verdict::Transient(Failure::local(Cause::Connection, "refused"));
            judge.hear(down, heard(true, i, i));
        }
        assert!(matches!(judge.mode(), Mode::Alone(at) if at > Timestamp(60 + 1000)), "{:?}", judge.mode());
    }

    #[test]
    fn during_an_outage_one_request_at_a_time_goes_out() {
        let mut judge = judge(true);
        let broken = || Verdict::Transient(Failure::local(Cause::Connection, "refused"));
        let mut last = judge.hear(broken(), heard(false, 1, 1));
        for i in 2..=32 {
            last = judge.hear(broken(), heard(false, i, i));
        }
        assert!(last.outage && matches!(judge.mode(), Mode::Alone(_)));
        let finding = judge.hear(Verdict::Success, heard(true, 99, 100));
        assert_eq!((finding.news, judge.mode()), (vec![News::OutageEnded], Mode::Open));
    }
}
