//! What happens in a round: drawn from seeded dice, so that a round can be had again. Leaves doing it to `chaos`.

use std::time::Duration;

use fastrand::Rng;

/// When the trouble of a round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long after the start of the process: it may not have opened the queue yet.
    Early(Duration),
    /// So long after its first request.
    Middle(Duration),
    /// So long after nearly all recordings are answered: it may be writing the last lines.
    Late(Duration),
}

/// A limit on monthly hours that is reached in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The runs may end by themselves.
    Met,
    /// The runs are killed so long after it is reached.
    KilledAt(Duration),
}

/// When the clock jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before a run starts.
    Between,
    /// Right before the trouble of the round.
    Within,
}

/// Over a month, to and fro; and what a wrong time zone does.
pub(super) const JUMPS: [&str; 3] = ["+40d", "-40d", "-1h"];

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) moment: Moment,
    /// Two processes work on the same queue.
    pub(super) pair: bool,
    /// Between the two kills of a pair.
    pub(super) apart: Duration,
    /// The first process stands still (SIGSTOP) for so long.
    pub(super) freeze: Option<Duration>,
    /// SIGTERM comes first, so long before the kill.
    pub(super) terminate: Option<Duration>,
    pub(super) limit: Option<Limit>,
    /// The wall clock is this far off the machine's, from the start of the round or from its middle. Without it the
    /// clock goes right again. Never in a round with a limit: a month that turns lifts it.
    pub(super) jump: Option<(&'static str, When)>,
    /// Before the start, a torn line is appended to the output with this number.
    pub(super) tear: Option<usize>,
    /// The runs log everything they can, file names hashed.
    pub(super) traced: bool,
}

impl Plan {
    /// Throws the dice.
    pub(super) fn draw(dice: &mut Rng, outputs: usize) -> Plan {
        let moment = match dice.u8(0..20) {
            0..4 => Moment::Early(ms(dice, 0, 120)),
            4..8 => Moment::Late(ms(dice, 0, 500)),
            _ => Moment::Middle(ms(dice, 0, 700)),
        };
        let mut once_in = |n: u8| dice.u8(0..n) == 0;
        let (pair, freezes, terminates) = (once_in(4), once_in(5), once_in(6));
        let (limited, met, tears, traced) = (once_in(10), once_in(2), once_in(4), once_in(3));
        let (jumps, between) = (once_in(3), once_in(2));
        Plan {
            moment,
            pair,
            apart: ms(dice, 0, 300),
            freeze: freezes.then(|| ms(dice, 20, 700)),
            terminate: terminates.then(|| ms(dice, 0, 200)),
            limit: limited.then(|| if met { Limit::Met } else { Limit::KilledAt(ms(dice, 0, 150)) }),
            jump: (jumps && !limited).then(|| {
                let when = if between { When::Between } else { When::Within };
                (JUMPS[dice.usize(0..JUMPS.len())], when)
            }),
            tear: tears.then(|| dice.usize(0..outputs)),
            traced,
        }
    }
}

fn ms(dice: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.u64(from..to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(seed: u64) -> Vec<Plan> {
        let mut dice = Rng::with_seed(seed);
        (0..200).map(|_| Plan::draw(&mut dice, 2)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_rounds_and_another_seed_gives_others() {
        assert_eq!(plans(1), plans(1));
        assert_ne!(plans(1), plans(2));
    }

    #[test]
    fn two_hundred_rounds_hold_every_kind_of_trouble() {
        let plans = plans(7);
        let some = |what: &str, is: fn(&Plan) -> bool| assert!(plans.iter().any(is), "no round {what}");
        some("early", |p| matches!(p.moment, Moment::Early(_)));
        some("in the middle", |p| matches!(p.moment, Moment::Middle(_)));
        some("late", |p| matches!(p.moment, Moment::Late(_)));
        some("with a pair", |p| p.pair);
        some("that freezes", |p| p.freeze.is_some());
        some("that terminates", |p| p.terminate.is_some());
        some("at a limit", |p| p.limit == Some(Limit::Met));
        some("killed at a limit", |p| matches!(p.limit, Some(Limit::KilledAt(_))));
        some("that tears", |p| p.tear == Some(1));
        some("traced", |p| p.traced);
        for jump in JUMPS {
            for when in [When::Between, When::Within] {
                assert!(plans.iter().any(|p| p.jump == Some((jump, when))), "no round with {jump} {when:?}");
            }
        }
        assert!(!plans.iter().any(|p| p.jump.is_some() && p.limit.is_some()));
    }
}
