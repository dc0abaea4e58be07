//! How many slots to use at once, below the configured ceiling. Another program may share the organisation's limit:
//! a refusal tells where it lies, and tries of one slot more, ever rarer while they are refused, tell when it has
//! moved. Latency says nothing here: it is the audio's length. Knows numbers and moments; the judge knows meanings.

use std::time::Duration;

use crate::task::Timestamp;

/// Answers before one slot more is tried, after a first refusal; doubled by each try that is refused,
const GAP_FIRST: u32 = 2;
/// so often: once in 64 requests at most is refused for having been one too many.
const FAILED_MAX: u32 = 5;
/// Nor is it tried more often than this, by then: where requests are short, 64 of them are over in no time.
const REST: Duration = Duration::from_millis(1300);
/// Where requests take minutes, a slot that may be free is worth more than a refusal now and then.
const REST_MAX: Duration = Duration::from_secs(75);
/// When refusals ask everybody to wait, tries are so much rarer that about a thirtieth of the time is lost.
const COST: u32 = 32;
/// So many answers without a refusal end a series of cuts: fewer, where fewer slots are.
const CALM: u32 = 8;

/// The adaptive limit of one endpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pace {
    ceiling: u32,
    effective: u32,
    /// Moves of ours that the queue may not have heard of yet.
    unsaved: u32,
    /// There were some: what the queue says next can be from before.
    stale: bool,
    /// Requests of ours in flight at once that are known to be let in.
    known: u32,
    /// The request that may show more: with so many in flight it was sent, and when.
    shows: Option<(u32, Timestamp)>,
    /// The limit was raised by this, and whether that is let in is not known yet; 0: nothing is being tried.
    trial: u32,
    /// What was known to be let in before.
    known_before: u32,
    /// Answers since the limit moved,
    calm: u32,
    /// and since when.
    since: Timestamp,
    /// Tries in a row that were refused.
    failed: u32,
    /// Cuts in a row without a calm stretch between: the limit has moved far.
    cuts: u32,
    /// Refusals of requests older than this say what is known already.
    cut_at: Option<Timestamp>,
    /// The last cut ended a trial, and this was the limit before: no cut for others of that trial goes below.
    floor: Option<u32>,
    /// How long refusals take to arrive, at most, of late. Nothing is known of a request before.
    refusal_takes: Duration,
    /// How long the last refusal asked everybody to wait.
    asked: Duration,
}

/// A request as it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Begun {
    /// Requests of this process in flight, with it.
    pub(super) own: u32,
    /// Its fate shows whether so many are let in, which was not known.
    pub(super) shows: bool,
}

/// A request that was refused for being one too many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) begun: Begun,
    pub(super) sent_at: Timestamp,
    /// Slots in use when it was sent, with it.
    pub(super) busy: u32,
    /// Slots in use beside it, now.
    pub(super) beside: u32,
    /// How long it asks everybody to wait.
    pub(super) asked: Option<Duration>,
}

impl Pace {
    pub(super) fn new(ceiling: u32, effective: u32) -> Self {
        Pace {
            ceiling,
            effective: effective.clamp(1, ceiling),
            unsaved: 0,
            stale: false,
            known: 0,
            shows: None,
            trial: 0,
            known_before: 0,
            calm: 0,
            since: Timestamp(0),
            failed: 0,
            cuts: 0,
            cut_at: None,
            floor: None,
            refusal_takes: Duration::ZERO,
            asked: Duration::ZERO,
        }
    }

    pub(super) fn effective(&self) -> u32 {
        self.effective
    }

    pub(super) fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// What the queue says that the limit is: another process may have moved it. Until it has heard of our own moves
    /// that is no news, nor is its first word afterwards: the pool asks one question after the other, and that one may
    /// have been asked before.
    pub(super) fn adopt(&mut self, effective: u32) {
        if self.unsaved > 0 || std::mem::take(&mut self.stale) || effective == self.effective {
            return;
        }
        self.effective = effective.clamp(1, self.ceiling);
        self.trial = 0;
    }

    /// The queue was told of a move, well or in vain. To be said once for each.
    pub(super) fn saved(&mut self) {
        self.unsaved = self.unsaved.saturating_sub(1);
    }

    /// A request begins, and so many of this process are in flight with it.
    pub(super) fn began(&mut self, own: u32, now: Timestamp) -> Begun {
        let shows = own > self.known && self.shows.is_none_or(|(most, _)| own > most);
        if shows {
            self.shows = Some((own, now));
        }
        Begun { own, shows }
    }

    /// A request was let in; `beside` it, so many slots are in use now. The new limit, if it moved.
    pub(super) fn succeeded(&mut self, begun: Begun, beside: u32, now: Timestamp) -> Option<u32> {
        if begun.shows && self.shows.is_some_and(|(own, _)| own == begun.own) {
            self.has_shown();
        }
        if self.shows.is_some_and(|(_, at)| now.since(at) > self.refusal_takes * 2) {
            self.has_shown();
        }
        if beside >= self.effective {
            return None; // sent before the last cut: nothing may begin in its place
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm >= CALM.min(self.effective) {
            self.cuts = 0;
        }
        // With idle slots it would grow unproven, and what is tried is to be heard of first.
        if (beside + 1) * 2 < self.effective || self.shows.is_some() {
            return None;
        }
        let shown = self.trial > 0 && self.known >= self.known_before + self.trial.div_ceil(4);
        if shown {
            self.failed = self.failed.saturating_sub(3);
        }
        let room = self.ceiling - self.effective;
        let more = match shown {
            true => self.trial.saturating_mul(3).min(room),
            false if self.is_time(now) => room.min(1),
            false => return None,
        };
        self.trial = more;
        if more == 0 {
            return None;
        }
        (self.known_before, self.calm, self.cuts, self.since) = (self.known, 0, 0, now);
        self.move_to(self.effective + more)
    }

    /// The request that may show more was let in: its refusal would have come by now.
    fn has_shown(&mut self) {
        if let Some((own, _)) = self.shows.take() {
            self.known = self.known.max(own);
        }
    }

    /// Whether one slot more may be tried.
    fn is_time(&self, now: Timestamp) -> bool {
        let waited = now.since(self.since);
        let gap = GAP_FIRST << self.failed;
        // After a refusal by chance it may be at once; what is refused again and again gets rare in time, too.
        let lately = self.failed.saturating_sub(FAILED_MAX - 2);
        let rest = (REST * lately * lately / 4).max(self.asked * COST);
        (self.calm >= gap && waited >= rest) || waited >= REST_MAX.max(rest)
    }

    /// A request was refused for being one too many. The new limit, if it moved.
    pub(super) fn refused(&mut self, refused: Refused, now: Timestamp) -> Option<u32> {
        let Refused { begun, sent_at, busy, beside, asked } = refused;
        self.refusal_takes = now.since(sent_at).max(self.refusal_takes * 7 / 8);
        self.asked = asked.unwrap_or_default();
        self.known = self.known.min(begun.own.saturating_sub(1));
        self.shows = self.shows.filter(|(own, _)| *own < begun.own);
        let mut to = self.effective.min(beside).max(1);
        if !self.is_known(sent_at) {
            if !begun.shows {
                return None; // so many were let in before: this can be chance, and the next one shows it
            }
            if self.trial > 0 {
                self.failed = (self.failed + 1).min(FAILED_MAX);
                self.floor = Some(self.effective - self.trial);
            } else {
                // What had been let in is refused. Going on, it is more than a slot that is gone.
                let further = (1u32 << self.cuts.min(16) >> 1).min(self.effective * 3 / 10);
                to = to.min(self.effective - further).max(1);
                self.cuts += 1;
                self.floor = None;
            }
            self.rest(now);
        }
        if let Some(floor) = self.floor {
            // Of those that were sent on trial some more may be refused: the first of them tells.
            to = to.min(busy.saturating_sub(1).max(floor));
        }
        self.known = self.known.min(to.saturating_sub(1));
        self.move_to(to)
    }

    /// The service is overloaded, or something was one too many without saying so: seven tenths are tried, once for
    /// all that were in flight together. The new limit, if it moved.
    pub(super) fn congested(&mut self, sent_at: Timestamp, now: Timestamp) -> Option<u32> {
        if self.is_known(sent_at) {
            return None;
        }
        self.rest(now);
        self.floor = None;
        self.move_to((self.effective * 7 / 10).max(1))
    }

    fn is_known(&self, sent_at: Timestamp) -> bool {
        self.cut_at.is_some_and(|cut| sent_at <= cut)
    }

    fn rest(&mut self, now: Timestamp) {
        (self.cut_at, self.since) = (Some(now), now);
        (self.trial, self.calm) = (0, 0);
    }

    fn move_to(&mut self, effective: u32) -> Option<u32> {
        (effective != self.effective).then(|| {
            self.unsaved += 1;
            self.stale = true;
            self.effective = effective;
            effective
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pace with its requests: as many in flight as it allows, one answered a millisecond.
    struct Game {
        pace: Pace,
        flying: Vec<(Begun, u32)>,
        clock: i64,
    }

    impl Game {
        fn new(ceiling: u32) -> Self {
            let mut game = Game { pace: Pace::new(ceiling, ceiling), flying: vec![], clock: 1_000_000 };
            game.fill();
            game
        }

        fn now(&self) -> Timestamp {
            Timestamp(self.clock)
        }

        fn fill(&mut self) {
            while self.flying.len() < self.pace.effective() as usize {
                let busy = self.flying.len() as u32 + 1;
                let begun = self.pace.began(busy, self.now());
                self.flying.push((begun, busy));
            }
        }

        /// The oldest request is let in.
        fn succeed(&mut self) -> Option<u32> {
            self.clock += 1;
            let (begun, _) = self.flying.remove(0);
            let moved = self.pace.succeeded(begun, self.flying.len() as u32, self.now());
            self.fill();
            moved
        }

        /// The youngest is refused, a millisecond after it was sent.
        fn refuse(&mut self) -> Option<u32> {
            let sent_at = self.now();
            self.clock += 1;
            let (begun, busy) = self.flying.pop().unwrap();
            let beside = self.flying.len() as u32;
            let refused = Refused { begun, sent_at, busy, beside, asked: None };
            let moved = self.pace.refused(refused, self.now());
            self.clock += 1;
            self.fill();
            moved
        }

        /// Requests end until another may begin, and that is refused.
        fn refuse_next(&mut self) -> Option<u32> {
            while self.flying.len() > self.pace.effective() as usize {
                self.succeed();
            }
            self.succeed();
            self.refuse()
        }

        /// All of it is known to be let in.
        fn settled(ceiling: u32) -> Self {
            let mut game = Game::new(ceiling);
            for _ in 0..100 {
                game.succeed();
            }
            game
        }

        fn pass(&mut self, seconds: i64) {
            self.clock += seconds * 1000;
        }
    }

    #[test]
    fn one_refusal_of_what_was_let_in_before_can_be_chance() {
        let mut game = Game::settled(16);
        assert_eq!(game.refuse(), None);
        // The next one in its place shows that it was.
        (0..20).for_each(|_| assert_eq!(game.succeed(), None));
        assert_eq!(game.refuse(), None);
    }

    #[test]
    fn the_second_refusal_in_its_place_cuts_to_what_is_in_flight() {
        let mut game = Game::settled(16);
        assert_eq!([game.refuse(), game.refuse()], [None, Some(15)]);
    }

    #[test]
    fn refusals_that_go_on_cut_ever_more() {
        let mut game = Game::settled(64);
        game.refuse();
        assert_eq!(game.refuse(), Some(63));
        let cuts: Vec<_> = (0..5).map(|_| game.refuse_next().unwrap()).collect();
        assert_eq!(cuts, [62, 60, 56, 48, 34]);
    }

    #[test]
    fn of_a_burst_that_begins_together_as_many_stay_as_were_let_in() {
        let mut pace = Pace::new(16, 16);
        let sent: Vec<_> = (1..=16).map(|own| pace.began(own, Timestamp(5))).collect();
        for (beside, begun) in (8..16).zip(&sent[8..]).rev() {
            let sent_at = Timestamp(5);
            let one = Refused { begun: *begun, sent_at, busy: begun.own, beside, asked: None };
            pace.refused(one, Timestamp(9));
        }
        assert_eq!(pace.effective(), 8);
    }

    #[test]
    fn a_slot_more_is_tried_soon_after_a_refusal_and_ever_later_while_it_is_refused() {
        let mut game = Game::settled(16);
        game.refuse();
        game.refuse();
        let mut gaps = Vec::new();
        for _ in 0..7 {
            let mut gap = 1;
            while game.succeed().is_none() {
                gap += 1;
            }
            gaps.push(gap);
            assert_eq!(game.refuse(), Some(15), "what was let in before stays");
        }
        assert_eq!(gaps[..4], [4, 4, 8, 16]);
        // In time, too: at an answer a millisecond.
        assert!(gaps[6] >= 1290, "{gaps:?}");
    }

    #[test]
    fn what_is_given_back_is_taken_in_steps_that_grow_threefold() {
        let mut game = Game::settled(64);
        game.pace.effective = 32;
        game.flying.truncate(32);
        game.pace.known = 32;
        game.pass(100);
        let steps: Vec<u32> = (0..100).filter_map(|_| game.succeed()).collect();
        assert_eq!(steps, [33, 36, 45, 64]);
    }

    #[test]
    fn where_answers_take_minutes_a_slot_more_is_tried_all_the_same() {
        let mut game = Game::settled(4);
        game.refuse();
        game.refuse();
        game.pace.failed = FAILED_MAX;
        game.succeed();
        game.pass(70);
        assert_eq!(game.succeed(), None);
        game.pass(5);
        assert_eq!(game.succeed(), Some(4));
    }

    #[test]
    fn tries_are_rare_where_a_refusal_makes_everybody_wait() {
        let mut game = Game::settled(4);
        game.refuse();
        game.refuse();
        game.pace.asked = Duration::from_secs(30);
        game.pass(900);
        (0..200).for_each(|_| assert_eq!(game.succeed(), None));
        game.pass(60);
        assert_eq!(game.succeed(), Some(4));
    }

    #[test]
    fn successes_with_idle_slots_prove_nothing() {
        let mut pace = Pace::new(8, 4);
        let begun = pace.began(1, Timestamp(1));
        assert!((0..100).all(|n| pace.succeeded(begun, 0, Timestamp(n * 1000)).is_none()));
    }

    #[test]
    fn an_overloaded_service_is_asked_for_seven_tenths_once_for_all_in_flight() {
        let mut pace = Pace::new(16, 16);
        assert_eq!(pace.congested(Timestamp(1), Timestamp(10)), Some(11));
        assert_eq!(pace.congested(Timestamp(10), Timestamp(12)), None);
        assert_eq!(pace.congested(Timestamp(11), Timestamp(13)), Some(7));
    }

    #[test]
    fn what_the_queue_said_before_it_heard_of_all_our_moves_is_no_news() {
        let mut game = Game::settled(16);
        game.refuse();
        assert_eq!([game.refuse(), game.refuse_next()], [Some(15), Some(14)]);
        let mut hears = |word| {
            game.pace.adopt(word);
            game.pace.effective()
        };
        assert_eq!([hears(16), hears(15), hears(14)], [14; 3], "it has heard of none, of one, and of both");
        game.pace.saved();
        game.pace.adopt(16);
        assert_eq!(game.pace.effective(), 14, "one is still on its way");
        game.pace.saved();
        game.pace.adopt(16);
        assert_eq!(game.pace.effective(), 14, "asked before the last was saved, and heard after it");
        game.pace.adopt(15);
        assert_eq!(game.pace.effective(), 15, "now another process has moved it");
        game.pace.adopt(16);
        assert_eq!(game.pace.effective(), 16);
    }

    proptest! {
        #[test]
        fn the_limit_stays_between_one_and_the_ceiling(
            ceiling in 1u32..64, start in 0u32..100,
            steps in proptest::collection::vec((0u8..5, any::<u8>(), 0i64..10_000), 0..300),
        ) {
            let mut pace = Pace::new(ceiling, start);
            let mut clock = 0;
            let mut sent = vec![];
            for (what, number, wait) in steps {
                clock += wait;
                let (now, beside) = (Timestamp(clock), u32::from(number) % 70);
                let before = pace.effective();
                let moved = match (what, sent.pop()) {
                    (0, _) => {
                        sent.push((pace.began(beside + 1, now), now));
                        None
                    }
                    (1, Some((begun, _))) => pace.succeeded(begun, beside, now),
                    (2, Some((begun, sent_at))) => {
                        let asked = (number % 2 == 0).then_some(Duration::from_secs(3));
                        let moved = pace.refused(Refused { begun, sent_at, busy: beside, beside, asked }, now);
                        prop_assert!(moved.is_none_or(|to| to < before), "a refusal is no reason for more");
                        moved
                    }
                    (3, _) => pace.congested(now, now),
                    _ => {
                        pace.adopt(beside);
                        continue;
                    }
                };
                prop_assert!((1..=ceiling).contains(&pace.effective()));
                prop_assert_eq!(moved.unwrap_or(before), pace.effective());
            }
        }
    }
}
