//! The judge against a modelled service, event by event on a virtual clock: others use a share of the limit and give
//! it back, and what is counted is how many requests are refused and how much of what is free gets used.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::task::{Billed, Endpoint, RetryPolicy, Standing, decide};

const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;
/// The fineness in which what happened is kept, in µs.
const BUCKET: u64 = 50 * MS;

/// How long good answers take, in µs.
#[derive(Debug, Clone, Copy)]
enum Latency {
    Fixed(u64),
    /// Mostly short, sometimes long: this on average.
    Mixed(u64),
}

impl Latency {
    fn mean(self) -> u64 {
        match self {
            Latency::Fixed(mean) | Latency::Mixed(mean) => mean,
        }
    }

    fn draw(self, dice: &mut fastrand::Rng) -> u64 {
        match self {
            Latency::Fixed(time) => time,
            // Exponential on top of a fifth that everything takes.
            Latency::Mixed(mean) => {
                let mean = mean as f64;
                (mean * (0.2 - 0.8 * (1.0 - dice.f64()).ln())) as u64
            }
        }
    }
}

/// A world to run in.
#[derive(Clone)]
struct World {
    /// Slots of each of our processes; they know nothing of each other.
    ceilings: Vec<u32>,
    /// What the organisation may use, by time in µs: from then on, this many.
    limit: Vec<(u64, u32)>,
    latency: Latency,
    /// How long a refusal takes, as a share of the latency.
    refusal: f64,
    /// How long a slot stays taken around a request, to settle and to claim.
    overhead: u64,
    /// Refusals that have nothing to do with how many there are.
    stray: f64,
    retry_after: Option<Duration>,
    seconds: u64,
}

impl World {
    fn new(ceiling: u32, latency: Latency) -> Self {
        World {
            ceilings: vec![ceiling],
            limit: vec![(0, ceiling)],
            latency,
            refusal: 0.02,
            overhead: MS / 2,
            stray: 0.0,
            retry_after: None,
            seconds: 120,
        }
    }

    fn limit_at(&self, time: u64) -> u32 {
        self.limit.iter().rev().find(|(from, _)| *from <= time).map_or(0, |(_, limit)| *limit)
    }

    fn play(self, seed: u64) -> Played {
        let runners = self.ceilings.iter().map(|&ceiling| Runner::new(ceiling)).collect();
        let played = Played { world: self, used: vec![], sent: vec![], refused: vec![], by: vec![] };
        let mut game = Game {
            runners,
            played,
            dice: fastrand::Rng::with_seed(seed),
            coming: BinaryHeap::new(),
            clock: 0,
            flying: 0,
            next: 0,
        };
        game.played.by = vec![0; game.runners.len()];
        game.play();
        game.played
    }
}

/// What came of it, by bucket of time.
struct Played {
    world: World,
    /// Slot-µs in which admitted requests were in flight.
    used: Vec<u64>,
    sent: Vec<u64>,
    refused: Vec<u64>,
    /// Slot-µs by process.
    by: Vec<u64>,
}

fn note(list: &mut Vec<u64>, bucket: usize, amount: u64) {
    if list.len() <= bucket {
        list.resize(bucket + 1, 0);
    }
    list[bucket] += amount;
}

impl Played {
    fn sum(list: &[u64], from: u64, to: u64) -> u64 {
        let at = |time: u64| ((time / BUCKET) as usize).min(list.len());
        list[at(from)..at(to)].iter().sum()
    }

    /// Refusals among the requests sent in this span of seconds.
    fn refusals(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (from * SECOND, to * SECOND);
        Self::sum(&self.refused, from, to) as f64 / Self::sum(&self.sent, from, to).max(1) as f64
    }

    /// How much of what was free for us was in use. A slot's own overhead is no fault of the pace.
    fn utilisation(&self, from: u64, to: u64) -> f64 {
        let (from, to) = (from * SECOND, to * SECOND);
        let mut free = 0;
        let mut at = from;
        while at < to {
            free += u64::from(self.world.limit_at(at)) * BUCKET;
            at += BUCKET;
        }
        let mean = self.world.latency.mean() as f64;
        let best = mean / (mean + self.world.overhead as f64);
        Self::sum(&self.used, from, to) as f64 / (free as f64 * best)
    }

    /// Seconds after this moment until nearly all of the limit is in use.
    fn full_again(&self, from: u64) -> f64 {
        let start = from * SECOND;
        let limit = u64::from(self.world.limit_at(start));
        let mean = self.world.latency.mean() as f64;
        let best = mean / (mean + self.world.overhead as f64);
        let full = (limit * BUCKET) as f64 * best * 0.9;
        let later = self.used.iter().skip((start / BUCKET) as usize);
        let waited = later.take_while(|used| (**used as f64) < full).count();
        waited as f64 * BUCKET as f64 / SECOND as f64
    }
}

struct Runner {
    judge: Judge,
    busy: u32,
    paused_until: u64,
}

impl Runner {
    fn new(ceiling: u32) -> Self {
        Runner { judge: Judge::new(Pace::new(ceiling, ceiling), true), busy: 0, paused_until: 0 }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Look,
    Answer { runner: usize, sent_at: u64, own: u32, shows: bool, refused: bool },
    Free { runner: usize },
    Shows { runner: usize },
}

struct Game {
    runners: Vec<Runner>,
    played: Played,
    dice: fastrand::Rng,
    coming: BinaryHeap<Reverse<(u64, u64, What)>>,
    clock: u64,
    flying: u32,
    next: u64,
}

impl Game {
    fn later(&mut self, wait: u64, what: What) {
        self.next += 1;
        self.coming.push(Reverse((self.clock + wait, self.next, what)));
    }

    fn play(&mut self) {
        let end = self.played.world.seconds * SECOND;
        self.fill();
        self.watch();
        while let Some(Reverse((at, _, what))) = self.coming.pop() {
            self.pass(at.min(end));
            if at >= end {
                return;
            }
            match what {
                What::Look => self.watch(),
                What::Answer { runner, sent_at, own, shows, refused } => {
                    self.hear(runner, sent_at, Begun { own, shows }, refused);
                    let overhead = self.played.world.overhead;
                    self.later(overhead, What::Free { runner });
                }
                What::Free { runner } => self.runners[runner].busy -= 1,
                What::Shows { runner } => {
                    let now = Timestamp((self.clock / MS) as i64);
                    let judge = &mut self.runners[runner].judge;
                    if judge.shows_in(now) == Some(Duration::ZERO) {
                        judge.look_at_pace(0, now);
                    }
                }
            }
            self.fill();
        }
    }

    /// A pool looks again four times a second, whatever happens.
    fn watch(&mut self) {
        self.later(250 * MS, What::Look);
    }

    fn pass(&mut self, to: u64) {
        while self.clock < to {
            let bucket = self.clock / BUCKET;
            let until = to.min((bucket + 1) * BUCKET);
            note(&mut self.played.used, bucket as usize, (until - self.clock) * u64::from(self.flying));
            self.clock = until;
        }
    }

    fn fill(&mut self) {
        for runner in 0..self.runners.len() {
            while self.may_start(runner) {
                self.start(runner);
            }
        }
    }

    fn may_start(&self, runner: usize) -> bool {
        let it = &self.runners[runner];
        it.busy < it.judge.effective() && it.paused_until <= self.clock
    }

    fn start(&mut self, runner: usize) {
        let (limit, world) = (self.played.world.limit_at(self.clock), &self.played.world);
        let refused = self.flying >= limit || self.dice.f64() < world.stray;
        let time = world.latency.draw(&mut self.dice);
        let wait = if refused { (time as f64 * world.refusal) as u64 + MS / 5 } else { time };
        let bucket = (self.clock / BUCKET) as usize;
        note(&mut self.played.sent, bucket, 1);
        note(&mut self.played.refused, bucket, u64::from(refused));
        self.flying += u32::from(!refused);
        let it = &mut self.runners[runner];
        it.busy += 1;
        let begun = it.judge.begin(Timestamp((self.clock / MS) as i64));
        let (own, shows) = (begun.own, begun.shows);
        let sent_at = self.clock;
        if let Some(wait) = it.judge.shows_in(Timestamp((sent_at / MS) as i64)) {
            self.later(wait.as_micros() as u64, What::Shows { runner });
        }
        self.later(wait, What::Answer { runner, sent_at, own, shows, refused });
    }

    fn hear(&mut self, runner: usize, sent_at: u64, begun: Begun, refused: bool) {
        self.flying -= u32::from(!refused);
        let now = Timestamp((self.clock / MS) as i64);
        if !refused {
            self.played.by[runner] += self.clock - sent_at;
        }
        let heard = Heard {
            task: TaskId(0),
            alone: false,
            elsewhere: 0,
            begun,
            throttles: 0,
            sent_at: Timestamp((sent_at / MS) as i64),
            now,
            jitter: self.dice.f64(),
        };
        let verdict = if refused {
            let failure = Failure::answered(Cause::Throttled, 429, "busy", Billed::No);
            Verdict::Throttled(Failure { retry_after: self.played.world.retry_after, ..failure })
        } else {
            Verdict::Success
        };
        let it = &mut self.runners[runner];
        let finding = it.judge.hear(verdict, heard);
        let standing = Standing {
            endpoint: Endpoint::SttBatch,
            attempts: 0,
            repeats: 0,
            first_failed_at: None,
            unfinished: false,
            outage: false,
            throttle_rounds: finding.throttle_rounds,
            now,
            jitter: self.dice.f64(),
        };
        let pause = decide(finding.verdict, &RetryPolicy::default(), standing).pause.unwrap_or_default();
        let until = self.clock + pause.as_micros() as u64;
        it.paused_until = it.paused_until.max(until);
    }
}

const QUICK: [Latency; 2] = [Latency::Fixed(50 * MS), Latency::Mixed(50 * MS)];
const SLOW: [Latency; 2] = [Latency::Fixed(5 * SECOND), Latency::Mixed(5 * SECOND)];

/// Another program takes half for as long as `lasts`, in seconds, and gives it back.
fn shared(ceiling: u32, latency: Latency, lasts: u64) -> World {
    World {
        limit: vec![(0, ceiling), (20 * SECOND, ceiling / 2), ((20 + lasts) * SECOND, ceiling)],
        seconds: 20 + lasts + 120,
        ..World::new(ceiling, latency)
    }
}

/// Refusals take hardly any time, or as long as good answers; slots are free at once, or only after a while.
const WAYS: [(f64, u64); 3] = [(0.02, MS / 2), (0.9, MS / 2), (0.02, 8 * MS)];

#[test]
fn where_answers_are_quick_a_shared_limit_is_used_hardly_ever_exceeded_and_taken_back_at_once() {
    for latency in QUICK {
        for (ceiling, (refusal, overhead)) in [8, 16, 64].into_iter().flat_map(|c| WAYS.map(|way| (c, way))) {
            let world = World { refusal, overhead, seconds: 60, ..shared(ceiling, latency, 30) };
            let played = world.play(1);
            let case = format!("{ceiling} slots, {latency:?}, refusals {refusal}, {overhead} µs");
            let (refused, used) = (played.refusals(30, 50), played.utilisation(20, 50));
            assert!(refused <= 0.02, "{refused} refused: {case}");
            assert!(used >= 0.95, "{used} used: {case}");
            let back = played.full_again(50);
            assert!(back <= 4.0, "full again after {back} s: {case}");
        }
    }
}

#[test]
fn where_answers_take_seconds_no_more_than_one_in_fifty_is_refused_either() {
    for latency in SLOW {
        for (ceiling, (refusal, overhead)) in [8, 16, 64].into_iter().flat_map(|c| WAYS.map(|way| (c, way))) {
            let case = format!("{ceiling} slots, {latency:?}, refusals {refusal}, {overhead} µs");
            let play = |seed| World { refusal, overhead, ..shared(ceiling, latency, 600) }.play(seed);
            let plays: Vec<Played> = (0..5).map(play).collect();
            let mean = |of: &dyn Fn(&Played) -> f64| plays.iter().map(of).sum::<f64>() / 5.0;
            let (refused, used) = (mean(&|p| p.refusals(170, 620)), mean(&|p| p.utilisation(20, 620)));
            assert!(refused <= 0.02, "{refused} refused: {case}");
            assert!(used >= 0.95, "{used} used: {case}");
            // One in fifty of four slots' requests is one in a minute: so long may it take to find out.
            let back = mean(&|p| p.full_again(620));
            assert!(back <= 100.0, "full again after {back} s: {case}");
        }
    }
}

#[test]
fn refusals_by_chance_do_not_strangle_a_run() {
    for latency in [QUICK, SLOW].concat() {
        for ceiling in [1, 4, 8, 16, 64] {
            let world = World { stray: 0.05, seconds: 100, ..World::new(ceiling, latency) };
            let used = world.play(3).utilisation(0, 100);
            assert!(used >= 0.9, "{used} of {ceiling} slots used: {latency:?}");
        }
    }
}

#[test]
fn two_runs_that_know_nothing_of_each_other_use_all_and_seldom_get_in_each_others_way() {
    for latency in QUICK {
        for ceiling in [8, 16] {
            let world = World {
                ceilings: vec![ceiling, ceiling],
                limit: vec![(0, ceiling)],
                ..World::new(ceiling, latency)
            };
            let played = world.play(5);
            let (refused, used) = (played.refusals(40, 120), played.utilisation(40, 120));
            assert!(
                refused <= 0.02 && used >= 0.95,
                "{refused} refused, {used} used: {ceiling}, {latency:?}"
            );
            assert!(played.by.iter().all(|used| *used > 0));
        }
    }
}

#[test]
fn a_limit_that_is_all_gone_is_asked_for_now_and_then_and_taken_back_soon() {
    for latency in QUICK {
        let limit = vec![(0, 16), (20 * SECOND, 0), (80 * SECOND, 16)];
        let played = World { limit, ..World::new(16, latency) }.play(5);
        let refused = Played::sum(&played.refused, 30 * SECOND, 80 * SECOND);
        assert!(refused <= 8, "{refused} requests for nothing in 50 s");
        let back = played.full_again(80);
        assert!(back <= 18.0, "full again after {back} s");
    }
}

#[test]
fn where_a_refusal_makes_everybody_wait_little_time_is_lost_to_it() {
    for latency in QUICK {
        let world = World { retry_after: Some(Duration::from_secs(1)), ..shared(16, latency, 150) };
        let used = world.play(3).utilisation(50, 170);
        assert!(used >= 0.92, "{used} used: {latency:?}");
    }
}
