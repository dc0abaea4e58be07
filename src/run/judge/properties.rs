//! The judge under any answers: a small pool does as it says, and what must never happen is looked for.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::task::{Billed, Cause, HaltReason};

const SLOTS: u32 = 6;
const DOUBTS: [Doubt; 6] =
    [Doubt::Key, Doubt::Opaque, Doubt::Quota, Doubt::Throttle, Doubt::Blocked, Doubt::Request];
const PROBES: [Probe; 4] = [Probe::Accepted, Probe::Refused, Probe::NoCredits, Probe::Unreachable];

fn failure(cause: Cause) -> Failure {
    Failure::answered(cause, 403, "no", Billed::No)
}

fn verdicts() -> Vec<Verdict> {
    let mut all = vec![
        Verdict::Success,
        Verdict::Throttled(failure(Cause::Throttled)),
        Verdict::FileFault(failure(Cause::UnreadableAudio)),
        Verdict::Stopped(failure(Cause::Interrupted)),
        Verdict::Halted(HaltReason::Credits, failure(Cause::Credits)),
    ];
    all.extend(
        [Cause::ServerError, Cause::Connection, Cause::BadAnswer].map(|c| Verdict::Transient(failure(c))),
    );
    all.extend(DOUBTS.map(|doubt| Verdict::Unclear(doubt, failure(Cause::Unclear))));
    all
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    task: i64,
    at: i64,
    alone: bool,
    /// Sent as the one request that finds something out.
    lone: bool,
    begun: Begun,
}

/// What a pool makes of the judge's mode, without tasks, slots or a queue.
struct Game {
    judge: Judge,
    clock: i64,
    sent: Vec<Sent>,
    tasks: i64,
    free_calls: u32,
    /// A halt was found.
    halted: bool,
}

impl Game {
    fn new(effective: u32, succeeded: bool) -> Self {
        let judge = Judge::new(Pace::new(SLOTS, effective), succeeded);
        Game { judge, clock: 1000, sent: vec![], tasks: 0, free_calls: 0, halted: false }
    }

    /// Starts what may start: one request, or the free call.
    fn start(&mut self, probe: Probe) -> bool {
        let lone = match self.judge.mode() {
            Mode::Open if self.sent.len() < self.judge.effective() as usize => false,
            Mode::Alone(not_before) if self.sent.is_empty() => {
                self.clock = self.clock.max(not_before.0);
                true
            }
            Mode::AskFree => {
                self.free_calls += 1;
                let verdict = self.judge.hear_probe(probe, Timestamp(self.clock));
                self.halted |= matches!(verdict, Some(Verdict::Halted(..)));
                return true;
            }
            Mode::Open | Mode::Alone(_) | Mode::Closed => return false,
        };
        self.tasks += 1;
        let alone = self.sent.is_empty() && (lone || self.judge.effective() == 1);
        let begun = self.judge.begin(Timestamp(self.clock));
        self.sent.push(Sent { task: self.tasks, at: self.clock, alone, lone, begun });
        true
    }

    fn answer(&mut self, which: usize, verdict: Verdict) -> Finding {
        let sent = self.sent.remove(which);
        let heard = Heard {
            task: TaskId(sent.task),
            alone: sent.alone,
            elsewhere: 0,
            begun: sent.begun,
            throttles: 0,
            sent_at: Timestamp(sent.at),
            now: Timestamp(self.clock),
            jitter: 0.5,
        };
        let finding = self.judge.hear(verdict, heard);
        self.halted |= matches!(finding.verdict, Verdict::Halted(..));
        if finding.pace.is_some() {
            self.judge.pace_saved();
        }
        finding
    }
}

#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Answer(usize, usize),
    Pass(i64),
    /// Another process has moved the limit.
    Adopt(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..PROBES.len()).prop_map(Event::Start),
        6 => (any::<usize>(), any::<usize>()).prop_map(|(which, verdict)| Event::Answer(which, verdict)),
        2 => (0..20_000i64).prop_map(Event::Pass),
        1 => (0..2 * SLOTS).prop_map(Event::Adopt),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_halt_nothing_starts_and_a_lone_try_stays_alone_whatever_is_answered(
        effective in 0..2 * SLOTS, succeeded in any::<bool>(), events in vec(event(), 0..200),
    ) {
        let mut game = Game::new(effective, succeeded);
        let verdicts = verdicts();
        for event in events {
            match event {
                Event::Start(probe) => {
                    let started = game.start(PROBES[probe]);
                    // Whoever may not start waits for something: an answer, or the end.
                    prop_assert!(started || !game.sent.is_empty() || game.judge.mode() == Mode::Closed);
                }
                Event::Answer(..) if game.sent.is_empty() => {}
                Event::Answer(which, verdict) => {
                    let verdict = verdicts[verdict % verdicts.len()].clone();
                    let finding = game.answer(which % game.sent.len(), verdict.clone());
                    prop_assert!(finding.pace.is_none_or(|pace| pace == game.judge.effective()));
                    prop_assert!(finding.throttle_rounds >= 1);
                    let clear = !matches!(verdict, Verdict::Unclear(..));
                    prop_assert!(!clear || finding.verdict == verdict, "what is clear is not reinterpreted");
                }
                Event::Pass(ms) => game.clock += ms,
                Event::Adopt(effective) => {
                    // Every move has been saved: of two words the second is from after it.
                    (0..2).for_each(|_| game.judge.adopt(effective));
                    prop_assert_eq!(game.judge.effective(), effective.clamp(1, SLOTS));
                }
            }
            prop_assert!((1..=SLOTS).contains(&game.judge.effective()));
            prop_assert_eq!(game.halted, game.judge.mode() == Mode::Closed);
            prop_assert!(game.sent.len() <= 1 || !game.sent.iter().any(|s| s.lone));
        }
    }

    #[test]
    fn any_success_of_a_lone_try_opens_again(
        effective in 1..=SLOTS, succeeded in any::<bool>(), probe in 0..PROBES.len(), events in vec(event(), 0..100),
    ) {
        let mut game = Game::new(effective, succeeded);
        let verdicts = verdicts();
        for event in events {
            match event {
                Event::Start(_) => { game.start(PROBES[probe]); }
                Event::Answer(which, verdict) if !game.sent.is_empty() => {
                    game.answer(which % game.sent.len(), verdicts[verdict % verdicts.len()].clone());
                }
                Event::Answer(..) | Event::Adopt(_) => {}
                Event::Pass(ms) => game.clock += ms,
            }
        }
        // From here on everything goes well.
        for _ in 0..2 * SLOTS {
            game.clock += 1;
            while game.start(Probe::Accepted) && game.sent.len() < SLOTS as usize {}
            while !game.sent.is_empty() { game.answer(0, Verdict::Success); }
        }
        prop_assert!(matches!(game.judge.mode(), Mode::Open | Mode::Closed), "{:?}", game.judge.mode());
    }
}

/// Requests that come to nothing, cost their task no attempt and order no pause could go on for ever.
#[test]
fn every_examination_ends_if_the_answer_never_changes() {
    for doubt in DOUBTS {
        for retry_after in [None, Some(Duration::ZERO), Some(Duration::from_secs(7))] {
            for (probe, succeeded, effective) in PROBES
                .iter()
                .flat_map(|p| [(*p, true, SLOTS), (*p, true, 1), (*p, false, SLOTS), (*p, false, 1)])
            {
                let mut game = Game::new(effective, succeeded);
                let (mut for_nothing, mut rounds) = (0, 0);
                while game.judge.mode() != Mode::Closed && rounds < 500 {
                    rounds += 1;
                    while game.start(probe) {}
                    game.clock += 100;
                    while !game.sent.is_empty() {
                        let refusal = Failure { retry_after, ..failure(Cause::Unclear) };
                        let finding = game.answer(0, Verdict::Unclear(doubt, refusal));
                        for_nothing += u32::from(matches!(finding.verdict, Verdict::Unclear(..)));
                    }
                }
                let case = format!(
                    "{doubt:?}, {probe:?}, succeeded {succeeded}, {effective} slots, {retry_after:?}"
                );
                assert!(for_nothing <= SLOTS + 8, "{for_nothing} requests for nothing: {case}");
                assert!(game.free_calls <= 2, "{} free calls: {case}", game.free_calls);
            }
        }
    }
}

#[test]
fn whatever_else_is_answered_to_a_lone_try_it_is_paid_for_paced_or_the_end() {
    for doubt in DOUBTS {
        for verdict in
            verdicts().into_iter().filter(|v| !matches!(v, Verdict::Unclear(..) | Verdict::Stopped(_)))
        {
            let mut game = Game::new(SLOTS, true);
            while game.start(Probe::Accepted) && game.sent.len() < SLOTS as usize {}
            while !game.sent.is_empty() {
                game.answer(0, Verdict::Unclear(doubt, failure(Cause::Unclear)));
            }
            for _ in 0..100 {
                while game.sent.is_empty() && game.start(Probe::Accepted) {}
                game.clock += 100;
                while !game.sent.is_empty() {
                    let finding = game.answer(0, verdict.clone());
                    assert_eq!(finding.verdict, verdict, "decided by what it says");
                }
            }
            let hopeless = game.judge.is_hopeless(Duration::from_secs(60), Timestamp(game.clock));
            let ends = match &verdict {
                Verdict::Success | Verdict::FileFault(_) => game.judge.mode() == Mode::Open,
                Verdict::Halted(..) => game.judge.mode() == Mode::Closed,
                // The task's attempts are spent, or the limiter pauses: `decide` sees to both.
                Verdict::Transient(f) if f.cause == Cause::BadAnswer => true,
                Verdict::Transient(_) => hopeless,
                _ => true,
            };
            assert!(ends, "{doubt:?}, then {verdict:?}: {:?}", game.judge.mode());
        }
    }
}
