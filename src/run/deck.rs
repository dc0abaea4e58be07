//! Who is up next: claimed, ready, and begun the moment a slot of this process is left, so that no slot waits for the
//! queue. As many as begin while the queue is asked for more. Where answers take long that is nobody: a claim then takes
//! no time that counts, and what is told of pauses, kills and attempts is exact.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ready::Ready;
use crate::queue::ClaimedTask;
use crate::task::TaskId;

/// How long the deck should last: the queue gathers writes for some milliseconds, and needs some to write them.
const LASTS: Duration = Duration::from_millis(60);
/// Fewer are not worth it.
const LEAST: u32 = 16;
/// What is on deck when a process dies counts as perhaps sent, so there is never more.
const MOST: u32 = 128;
/// How long ends are counted before the rate is worked out anew.
const WINDOW: Duration = Duration::from_millis(50);
/// The same while nobody waits: where answers come at once it should soon be known.
const WINDOW_FIRST: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Deck {
    waiting: VecDeque<(ClaimedTask, Ready)>,
    /// Ends of requests since then. Not their starts: of those, the first fill the slots, however long answers take.
    ended: u32,
    since: Instant,
    aim: u32,
    /// Requests at once, at most.
    slots: u32,
}

impl Deck {
    pub(super) fn new(now: Instant, slots: u32) -> Self {
        Deck { waiting: VecDeque::new(), ended: 0, since: now, aim: 0, slots }
    }

    /// A request ended: another one may begin.
    pub(super) fn count_end(&mut self, now: Instant) {
        self.ended += 1;
        let passed = now.duration_since(self.since);
        // What began together may end together: that many say nothing of how long answers take.
        let is_quick = self.aim == 0 && self.ended > self.slots;
        if passed >= if is_quick { WINDOW_FIRST } else { WINDOW } {
            let lasts = f64::from(self.ended) * LASTS.div_duration_f64(passed);
            let lasts = lasts as u32; // casts of floats saturate
            self.aim = if lasts < LEAST { 0 } else { lasts.min(MOST) };
            (self.ended, self.since) = (0, now);
        }
    }

    /// How many should wait.
    pub(super) fn aim(&self) -> u32 {
        self.aim
    }

    /// How many are lacking, once that is worth asking for.
    pub(super) fn lacking(&self) -> u32 {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        if waiting > self.aim / 2 { 0 } else { self.aim - waiting }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn put(&mut self, task: ClaimedTask, ready: Ready) {
        self.waiting.push_back((task, ready));
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<(ClaimedTask, Ready)> {
        self.waiting.pop_front()
    }

    /// This one, if nobody was quicker.
    pub(super) fn take_this(&mut self, id: TaskId) -> Option<(ClaimedTask, Ready)> {
        let at = self.waiting.iter().position(|(task, _)| task.id == id)?;
        self.waiting.remove(at)
    }

    /// All of them: they are not to begin after all.
    pub(super) fn clear(&mut self) -> VecDeque<(ClaimedTask, Ready)> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ends: u32, passed: Duration) -> u32 {
        let begin = Instant::now();
        let mut deck = Deck::new(begin, 8);
        (0..ends).for_each(|n| deck.count_end(begin + passed * (n + 1) / ends));
        deck.aim()
    }

    #[test]
    fn nobody_waits_where_requests_take_long_and_many_where_they_are_over_at_once() {
        assert_eq!(after(1, Duration::from_secs(60)), 0);
        assert_eq!(after(100, Duration::from_secs(1)), 0, "25 slots of a quarter of a second");
        assert_eq!(after(14, Duration::from_millis(50)), LEAST);
        assert_eq!(after(100, Duration::from_millis(50)), 120);
        assert_eq!(after(9000, Duration::from_millis(50)), MOST);
    }

    #[test]
    fn that_answers_come_at_once_is_soon_known_and_a_burst_of_slow_ones_is_no_sign_of_it() {
        assert_eq!(after(16, Duration::from_millis(25)), 38);
        let begin = Instant::now();
        let mut deck = Deck::new(begin, 8);
        for (second, n) in (1..4u64).flat_map(|second| (0..8u64).map(move |n| (second, n))) {
            deck.count_end(begin + Duration::from_secs(second) + Duration::from_millis(n * 3));
            assert_eq!(deck.aim(), 0);
        }
    }

    #[test]
    fn more_is_asked_for_when_half_is_gone() {
        let deck = Deck { aim: 8, ..Deck::new(Instant::now(), 8) };
        assert_eq!(deck.lacking(), 8);
        assert_eq!(Deck::new(Instant::now(), 8).lacking(), 0, "nobody is wanted");
    }
}
