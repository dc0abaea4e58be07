//! The pace against refusals in all orders.

use proptest::prelude::*;

use super::*;

/// A pace with its requests: as many in flight as it allows, one answered a millisecond.
struct Game {
    pace: Pace,
    flying: Vec<Begun>,
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
            let begun = self.pace.began(self.flying.len() as u32 + 1, self.now());
            self.flying.push(begun);
        }
    }

    /// The oldest request is let in.
    fn succeed(&mut self) -> Option<u32> {
        self.clock += 1;
        let begun = self.flying.remove(0);
        let moved = self.pace.succeeded(begun, self.flying.len() as u32, self.now());
        self.fill();
        moved
    }

    /// The youngest is refused, a millisecond after it was sent.
    fn refuse(&mut self) -> Option<u32> {
        let sent_at = self.now();
        self.clock += 1;
        let begun = self.flying.pop().unwrap();
        let beside = self.flying.len() as u32;
        let refused = Refused { begun, sent_at, elsewhere: 0, beside, asked: None };
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
        let one = Refused { begun: *begun, sent_at, elsewhere: 0, beside, asked: None };
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
    assert_eq!(gaps[..4], [6, 6, 8, 16]);
    // In time, too: at an answer a millisecond.
    assert!(gaps[6] >= 690, "{gaps:?}");
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
fn what_is_tried_is_let_in_when_its_refusal_would_have_come_though_no_answer_has() {
    let mut game = Game::settled(64);
    assert_eq!([game.refuse(), game.refuse()], [None, Some(63)]);
    assert_eq!(game.pace.shows_at(), None, "nothing is tried");
    (game.pace.effective, game.pace.known) = (32, 32);
    game.flying.truncate(32);
    while game.succeed().is_none() {}
    for step in [34, 35, 36] {
        let own = game.flying.len() as u32;
        assert_eq!(game.pace.passed(own, game.now()), None, "its refusal takes a millisecond");
        let at = game.pace.shows_at().unwrap();
        assert_eq!(at, game.now().after(Duration::from_millis(5)));
        assert_eq!(game.pace.passed(own, at), Some(step));
        game.clock = at.0;
        game.fill();
    }
    assert_eq!(game.succeed(), None, "what was let in just now is not known yet");
    game.clock = game.pace.shows_at().unwrap().0;
    assert_eq!(game.succeed(), Some(39), "an answer makes larger steps of it");
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
                    let moved = pace.refused(Refused { begun, sent_at, elsewhere: beside / 2, beside, asked }, now);
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
