//! The reference's single task: what each transition does to it, and which filters it matches.

use super::call::Hold as Held;
use super::reference::{Kept, Resent, Task};
use crate::queue::*;
use crate::task::*;

/// What a success did besides.
pub(super) struct Used {
    /// An older result went.
    pub(super) replaced: bool,
}

impl Task {
    pub(super) fn new(
        id: TaskId,
        job: JobId,
        job_name: String,
        endpoint: Endpoint,
        file: &NewTask,
        now: Timestamp,
    ) -> Self {
        let row = TaskRow {
            id,
            job,
            job_name,
            endpoint,
            path: file.path.clone(),
            size_bytes: 0,
            modified_ns: 0,
            format: None,
            measured: None,
            state: TaskState::Queued,
            hold: None,
            run_at: now,
            fence: Fence(0),
            attempts: 0,
            throttles: 0,
            lease_losses: 0,
            owner: None,
            cause: None,
            http_status: None,
            message: None,
            billed: None,
            created_at: now,
            changed_at: now,
            finished_at: None,
            metadata: Metadata::default(),
            decoded: false,
        };
        Task {
            row,
            last_cause: None,
            first_failed_at: None,
            cancel_requested: false,
            reserved: Amount::default(),
            lone: false,
            on_deck: false,
            tries: vec![],
            result: None,
            remote: None,
            identity: None,
            reuse_after: Timestamp(0),
            resent: Resent::Never,
            pieces: vec![],
        }
    }

    /// What it comes with; a result that it has is told with it.
    pub(super) fn describe(&mut self, metadata: Metadata, now: Timestamp) {
        if let Some(kept) = &mut self.result {
            kept.row.metadata = metadata.clone();
        }
        self.row.metadata = metadata;
        self.row.changed_at = now;
    }

    /// What is known of the file is replaced by what it looks like now.
    pub(super) fn look_at(&mut self, file: NewTask, now: Timestamp) {
        self.describe(file.metadata.clone(), now);
        let row = &mut self.row;
        row.size_bytes = file.size_bytes;
        row.modified_ns = file.modified_ns;
        row.format = file.format.map(str::to_owned);
        row.measured = file.measured;
        row.hold = None;
        row.run_at = now;
        row.changed_at = now;
        self.blame(file.refusal.as_ref());
        let refused = self.end(TaskState::Failed);
        let row = &mut self.row;
        (row.state, row.finished_at) = match file.refusal {
            Some(_) => (refused, Some(now)),
            None => (TaskState::Queued, None),
        };
    }

    fn blame(&mut self, failure: Option<&Failure>) {
        self.row.cause = failure.map(|f| f.cause);
        self.row.http_status = failure.and_then(|f| f.http_status);
        self.row.message = failure.map(|f| f.message.clone());
        self.row.billed = failure.map(|f| f.billed);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.row.state == TaskState::Queued && (self.row.hold.is_none() || self.row.run_at <= now)
    }

    pub(super) fn start(&mut self, wish: &ClaimRequest, amount: Amount, on_deck: bool) {
        let (worker, now) = (&wish.worker, wish.now);
        self.row.state = TaskState::Running;
        self.row.hold = None;
        self.row.owner = Some(worker.clone());
        self.row.fence.0 += 1;
        self.reserved = amount;
        self.lone = wish.alone;
        self.on_deck = on_deck;
        self.tries.push(AttemptRow {
            fence: self.row.fence,
            worker: worker.clone(),
            started_at: now,
            ended_at: None,
            outcome: None,
            cause: None,
            http_status: None,
            request_id: None,
            retry_after_ms: None,
            bytes_sent: 0,
            billed: None,
            message: None,
        });
    }

    pub(super) fn hold(&self, alone: bool, elsewhere: u32) -> Held {
        Held {
            id: self.row.id,
            job: self.row.job,
            path: self.row.path.clone(),
            endpoint: self.row.endpoint,
            fence: self.row.fence,
            attempts: self.row.attempts,
            throttles: self.row.throttles,
            last_cause: self.last_cause,
            first_failed_at: self.first_failed_at,
            alone,
            elsewhere,
            reserved: self.reserved,
            settled: false,
        }
    }

    /// Out of a worker's hands, or out of the queue.
    pub(super) fn leave(&mut self, state: TaskState, hold: Option<Hold>, failure: &Failure, now: Timestamp) {
        self.blame(Some(failure));
        self.row.state = state;
        self.row.hold = hold;
        self.row.owner = None;
        self.row.changed_at = now;
        self.row.finished_at = (state != TaskState::Queued).then_some(now);
        self.cancel_requested = false;
        self.reserved = Amount::default();
        self.on_deck = false;
    }

    /// Where it goes that is not to be tried any more: to its result, if it has one from before.
    pub(super) fn end(&self, without: TaskState) -> TaskState {
        if self.result.is_some() { TaskState::Succeeded } else { without }
    }

    /// A request came to nothing.
    pub(super) fn come_back(&mut self, settlement: &Settlement, failure: &Failure, now: Timestamp) {
        if settlement.uses_attempt() {
            self.row.attempts += 1;
            self.first_failed_at.get_or_insert(now);
            let before = self.last_cause.filter(|(cause, _)| *cause == failure.cause).map_or(0, |(_, n)| n);
            self.last_cause = Some((failure.cause, before + 1));
        }
        let (hold, run_at) = match settlement {
            Settlement::Retry { run_at, .. } => (Some(Hold::Backoff), *run_at),
            Settlement::Snooze { hold, run_at, .. } => (Some(*hold), *run_at),
            Settlement::Release(_) => (None, now),
            Settlement::Fail(_) => return self.leave(self.end(TaskState::Failed), None, failure, now),
            Settlement::Succeed | Settlement::Advance => unreachable!("a success is no failure"),
        };
        self.row.run_at = run_at;
        self.row.throttles += u32::from(matches!(failure.cause, Cause::Throttled | Cause::Connection));
        if self.cancel_requested {
            self.leave(self.end(TaskState::Cancelled), None, failure, now);
        } else {
            self.leave(TaskState::Queued, hold, failure, now);
        }
    }

    /// A piece of it is answered. Where it has been taken to meanwhile, it stays.
    pub(super) fn advance(&mut self, request: &Request, new: &NewResult, now: Timestamp) {
        let identity = new.made.identity.clone().unwrap();
        let row = &mut self.row;
        if row.state != TaskState::Failed {
            (row.cause, row.message) = (None, None);
        }
        row.attempts = 0;
        row.lease_losses = 0;
        row.http_status = request.http_status;
        row.billed = Some(Billed::Yes);
        row.changed_at = now;
        (self.last_cause, self.first_failed_at) = (None, None);
        if row.state == TaskState::Running {
            let state =
                if self.cancel_requested { self.end(TaskState::Cancelled) } else { TaskState::Queued };
            self.row.state = state;
            self.row.hold = None;
            self.row.run_at = now;
            self.row.finished_at = (state != TaskState::Queued).then_some(now);
        }
        self.row.owner = None;
        self.cancel_requested = false;
        self.reserved = Amount::default();
        self.on_deck = false;
        self.pieces.retain(|piece| piece.identity == identity);
        self.pieces.push(PieceRow {
            identity,
            stretch: new.piece.clone().unwrap(),
            duration_ms: new.duration_ms,
            billed: Amount { audio_ms: new.billed_ms, cost: new.cost },
            measured_ms: new.measured.map_or(new.billed_ms, |m| m.duration_ms),
            answered_at: now,
            response: new.response.clone(),
        });
    }

    pub(super) fn succeed(
        &mut self,
        request: &Request,
        new: &NewResult,
        resend: bool,
        order: u64,
        now: Timestamp,
    ) -> Used {
        let goes_again = resend && self.resent == Resent::Never && !self.cancel_requested;
        let never_stood = self.resent == Resent::Now;
        let row = &mut self.row;
        row.state = if goes_again { TaskState::Queued } else { TaskState::Succeeded };
        if goes_again {
            self.resent = Resent::Now;
        }
        row.hold = None;
        row.owner = None;
        row.attempts += 1;
        row.format = Some(new.audio.format.clone());
        row.measured = new.measured.or(row.measured);
        row.cause = None;
        row.message = None;
        row.http_status = request.http_status;
        row.billed = Some(Billed::Yes);
        row.changed_at = now;
        row.finished_at = (!goes_again).then_some(now);
        self.cancel_requested = false;
        self.reserved = Amount::default();
        self.on_deck = false;
        self.identity = new.made.identity.clone();
        let result = ResultRow {
            seq: 0,
            task: row.id,
            path: row.path.clone(),
            endpoint: row.endpoint,
            attempts: row.attempts,
            http_status: request.http_status.unwrap_or(200),
            audio: new.audio.clone(),
            duration_ms: new.duration_ms,
            measured: new.measured,
            billed_ms: new.billed_ms,
            response: new.response.clone(),
            redacted_audio: new.redacted_audio.clone(),
            started_at: request.started_at.unwrap_or(now),
            finished_at: now,
            purged_at: None,
            audio_purged_at: None,
            metadata: row.metadata.clone(),
            reused_from: None,
            suspicions: new.suspicions.clone(),
        };
        Used { replaced: self.result.replace(Kept { order, row: result }).is_some() && !never_stood }
    }

    /// Whether its answer may be another's that takes none from before this moment.
    pub(super) fn serves(&self, after: Timestamp) -> bool {
        self.result.as_ref().is_some_and(|kept| kept.row.finished_at >= after)
    }

    /// Ends with another's answer. True if it had one.
    pub(super) fn take_over(
        &mut self,
        of: ResultRow,
        order: u64,
        redacted_audio: Option<RedactedAudio>,
        identity: Identity,
        now: Timestamp,
    ) -> bool {
        let row = &mut self.row;
        row.state = TaskState::Succeeded;
        row.hold = None;
        row.format = Some(of.audio.format.clone());
        row.cause = None;
        row.message = None;
        row.http_status = Some(of.http_status);
        row.billed = Some(Billed::No);
        row.changed_at = now;
        row.finished_at = Some(now);
        self.identity = Some(identity);
        let result = ResultRow {
            seq: 0,
            task: row.id,
            path: row.path.clone(),
            endpoint: row.endpoint,
            attempts: row.attempts,
            billed_ms: 0,
            redacted_audio,
            started_at: now,
            finished_at: now,
            metadata: row.metadata.clone(),
            reused_from: Some(of.reused_from.unwrap_or(of.task)),
            purged_at: None,
            audio_purged_at: None,
            ..of
        };
        self.result.replace(Kept { order, row: result }).is_some()
    }

    /// By hand: as if it had never been tried, but for its history.
    pub(super) fn begin_anew(&mut self, now: Timestamp) {
        if self.row.state == TaskState::Succeeded {
            self.reuse_after = now;
        }
        self.blame(None);
        let row = &mut self.row;
        row.state = TaskState::Queued;
        row.finished_at = None;
        row.run_at = now;
        row.changed_at = now;
        (row.attempts, row.throttles, row.lease_losses) = (0, 0, 0);
        self.last_cause = None;
        self.first_failed_at = None;
    }

    /// Who goes first in its job: the smaller.
    pub(super) fn rank(&self, order: Order) -> i64 {
        let size = by_two_digits(self.row.size_bytes) as i64;
        match order {
            Order::Longest => -size,
            Order::Shortest => size,
            Order::Oldest => self.row.modified_ns,
            Order::Newest => -self.row.modified_ns,
            Order::Path => 0,
        }
    }
}

/// Recordings of about the same size go in the order in which they were found.
fn by_two_digits(size: u64) -> u64 {
    let mut unit = 1;
    while size / unit >= 100 {
        unit *= 10;
    }
    size / unit * unit
}

pub(super) fn matches(filter: &Filter, row: &TaskRow, now: Timestamp) -> bool {
    let path = row.path.as_utf8().unwrap_or_default();
    let age = now.since(row.changed_at);
    (filter.states.is_empty() || filter.states.contains(&row.state))
        && (filter.causes.is_empty() || row.cause.is_some_and(|c| filter.causes.contains(&c)))
        && (filter.jobs.is_empty() || filter.jobs.contains(&row.job_name))
        && (filter.endpoints.is_empty() || filter.endpoints.contains(&row.endpoint))
        && (filter.ids.is_empty() || filter.ids.contains(&row.id.0))
        && (filter.paths.is_empty() || filter.paths.iter().any(|p| is_like(p, path)))
        && filter.since.is_none_or(|at_most| age <= at_most)
        && filter.before.is_none_or(|more_than| age > more_than)
}

fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices().map(|(i, _)| i).chain([tail.len()]).any(|i| is_like(rest, &tail[i..]))
        }),
    }
}
