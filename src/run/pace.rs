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
const REST: Duration = Duration::from_millis(700);
/// Where requests take minutes, a slot that may be free is worth more than a refusal now and then.
const REST_MAX: Duration = Duration::from_secs(75);
/// So many times as long as refusals have taken of late, and a request is no longer expected to be refused.
const PATIENCE: u32 = 4;
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
    /// Slots that other processes held.
    pub(super) elsewhere: u32,
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
        self.look_whether_it_shows(now);
        if beside >= self.effective {
            return None; // sent before the last cut: nothing may begin in its place
        }
        self.calm = self.calm.saturating_add(1);
        if self.calm >= CALM.min(self.effective) {
            self.cuts = 0;
        }
        self.grow(beside + 1, 3, now)
    }

    /// When it will be known that what is being tried was let in, though no answer has come: a refusal would have.
    /// `None` where nothing is tried, or nobody knows how long a refusal takes.
    pub(super) fn shows_at(&self) -> Option<Timestamp> {
        let (_, at) = self.shows.filter(|_| self.trial > 0 && !self.refusal_takes.is_zero())?;
        Some(at.after(self.refusal_takes * PATIENCE + Duration::from_millis(1)))
    }

    /// That moment may have come; so many slots are in use. The new limit, if it moved. Steps do not grow by this alone:
    /// where a refusal waits for the end of an upload, it takes longer for some than for others.
    pub(super) fn passed(&mut self, in_use: u32, now: Timestamp) -> Option<u32> {
        self.look_whether_it_shows(now);
        self.grow(in_use, 1, now)
    }

    /// Goes on from what was tried and let in by so many `times` as much, or tries one more in its time. With idle slots
    /// it would grow unproven, and what is tried is to be heard of first.
    fn grow(&mut self, in_use: u32, times: u32, now: Timestamp) -> Option<u32> {
        if in_use * 2 < self.effective || self.shows.is_some() {
            return None;
        }
        let shown = self.trial > 0 && self.known >= self.known_before + self.trial.div_ceil(4);
        if shown {
            self.failed = self.failed.saturating_sub(3);
        }
        let room = self.ceiling - self.effective;
        let more = match shown {
            true => self.trial.saturating_mul(times).min(room),
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

    fn look_whether_it_shows(&mut self, now: Timestamp) {
        if self.shows.is_some_and(|(_, at)| now.since(at) > self.refusal_takes * PATIENCE) {
            self.has_shown();
        }
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
        let Refused { begun, sent_at, elsewhere, beside, asked } = refused;
        self.refusal_takes = now.since(sent_at).max(self.refusal_takes * 7 / 8).max(Duration::from_millis(1));
        self.asked = asked.unwrap_or_default();
        self.known = self.known.min(begun.own.saturating_sub(1));
        self.shows = self.shows.filter(|(own, _)| *own < begun.own);
        // Those that have just ended and are not yet followed by others were let in, too.
        let let_in = beside.max(self.known + elsewhere);
        let mut to = self.effective.min(let_in).max(1);
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
            to = to.min((begun.own + elsewhere).saturating_sub(1).max(floor));
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
mod tests;
