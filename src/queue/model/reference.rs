//! The reference: the queue as plain structs and obvious code, written from the design and the trait's promises and
//! not from the SQL. Numbers that a store gives out are unknown here (negative) until they are seen in it.
//!
//! Longer than 500 lines by intent: all that a queue does, in one place.

use std::collections::BTreeMap;

use super::call::{Answer, BY, Call, Ended, Hold};
use super::life::matches;
use crate::queue::*;
use crate::task::*;

/// A task with what the store keeps of it in secret.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) row: TaskRow,
    pub(super) last_cause: Option<(Cause, u32)>,
    pub(super) first_failed_at: Option<Timestamp>,
    pub(super) cancel_requested: bool,
    pub(super) reserved: Amount,
    /// Claimed to be alone.
    pub(super) lone: bool,
    /// Claimed ahead, and not handed a slot yet.
    pub(super) on_deck: bool,
    /// Oldest first.
    pub(super) tries: Vec<AttemptRow>,
    pub(super) result: Option<Kept>,
    /// Accepted by a service, and not over.
    pub(super) remote: Option<RemoteJob>,
    pub(super) identity: Option<Identity>,
    pub(super) reuse_after: Timestamp,
    pub(super) resent: Resent,
    /// Answered so far, of one that goes out in pieces.
    pub(super) pieces: Vec<PieceRow>,
}

/// Whether an answer that is empty made it go out once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Resent {
    #[default]
    Never,
    /// Its first answer is kept and never stood.
    Now,
    Once,
}

/// A result and its place in the order of commits.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) order: u64,
    pub(super) row: ResultRow,
}

#[derive(Debug, Clone)]
pub(super) struct JobEntry {
    pub(super) job: Job,
    pub(super) stale: bool,
    pub(super) fields: Vec<String>,
    pub(super) outputs: BTreeMap<&'static str, OutputState>,
}

#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) row: WorkerRow,
    /// The process that holds its lock, if one does.
    pub(super) process: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) jobs: Vec<JobEntry>,
    pub(super) tasks: Vec<Task>,
    pub(super) workers: Vec<Worker>,
    /// Without `busy`, which is counted.
    pub(super) limiters: BTreeMap<Endpoint, LimiterState>,
    pub(super) halts: Vec<Halt>,
    pub(super) ledger: BTreeMap<(Endpoint, Month), Usage>,
    /// Every claim that was ever given.
    pub(super) holds: Vec<Hold>,
    pub(super) last_seq: i64,
    pub(super) looks: u64,
    /// A purge was begun and not ended.
    pub(super) purge_open: bool,
    counter: u64,
}

/// What a month can be billed for at most, as far as it is counted.
const LEDGER_MAX_MS: u64 = 1 << 53;

impl Model {
    pub(super) fn new(now: Timestamp) -> Self {
        Model {
            now,
            jobs: vec![],
            tasks: vec![],
            workers: vec![],
            limiters: BTreeMap::new(),
            halts: vec![],
            ledger: BTreeMap::new(),
            holds: vec![],
            last_seq: 0,
            looks: 0,
            purge_open: false,
            counter: 0,
        }
    }

    /// What a write does, asked of process `process`.
    pub(super) fn apply(&mut self, call: &Call, process: usize) -> Answer {
        let waits = |t: &&Task| t.result.is_some() && t.row.state != TaskState::Succeeded;
        let again: Vec<(TaskId, Resent)> =
            self.tasks.iter().filter(waits).map(|t| (t.row.id, t.resent)).collect();
        let answer = self.answer(call, process);
        // Files that were rendered meanwhile lack what stands again.
        for (id, resent) in again {
            let answered_again = resent == Resent::Now
                && !matches!(call, Call::Settle(ended) if ended.settlement == Settlement::Advance)
                && matches!(&answer, Answer::Settled(Settled::Accepted))
                && self.task(id).is_some_and(|t| t.row.cause.is_none());
            if let Some(row) = self.task(id).map(|t| t.row.clone())
                && row.state == TaskState::Succeeded
            {
                self.job(row.job).stale |= !answered_again;
            }
        }
        for task in &mut self.tasks {
            if task.resent == Resent::Now && !matches!(task.row.state, TaskState::Queued | TaskState::Running)
            {
                task.resent = Resent::Once;
            }
            if task.row.state == TaskState::Succeeded {
                task.pieces.clear(); // they have become one answer, or are of no more use
            }
        }
        answer
    }

    fn answer(&mut self, call: &Call, process: usize) -> Answer {
        match call.clone() {
            Call::Jobs(specs) => self.upsert(specs),
            Call::Scan(job, found) => self.scan(job, found),
            Call::Register(row) => {
                self.workers.push(Worker { row, process: Some(process) });
                Answer::Done
            }
            Call::Beat(id) => {
                let now = self.now;
                self.workers.iter_mut().filter(|w| w.row.id == id).for_each(|w| w.row.beat_at = now);
                Answer::Done
            }
            Call::Retire(id, code) => self.retire(&id, code, process),
            Call::Sweep => {
                let dead = self.dead_owners();
                Answer::Recovered(self.recover(&dead))
            }
            Call::Claim(wish) => self.claim(wish),
            Call::Settle(ended) => Answer::Settled(self.settle(ended)),
            Call::Remember(id, fence, job) => {
                // Nobody has claimed it anew: the job is this task's, wherever it stands.
                let task = self.task(id).filter(|t| t.row.fence == fence);
                let kept = task.map(|t| t.remote = Some(job));
                Answer::Settled(if kept.is_some() { Settled::Accepted } else { Settled::Fenced })
            }
            Call::Reuse(reuse) => Answer::Settled(self.reuse(reuse)),
            Call::SetAside(id, fence, settlement) => Answer::Settled(self.set_aside(id, fence, settlement)),
            Call::SetCeiling(endpoint, ceiling) => self.set_ceiling(endpoint, ceiling),
            Call::SavePace(endpoint, effective, until) => {
                if let Some(limiter) = self.limiters.get_mut(&endpoint) {
                    limiter.effective = effective.unwrap_or(limiter.effective).clamp(1, limiter.ceiling);
                    limiter.paused_until = limiter.paused_until.max(until);
                }
                Answer::Done
            }
            Call::EndPauses => {
                self.limiters.values_mut().for_each(|limiter| limiter.paused_until = None);
                Answer::Done
            }
            Call::Learn(endpoint, longest) => {
                if let Some(limiter) = self.limiters.get_mut(&endpoint) {
                    let same = limiter.longest.filter(|known| known.under_ms == longest.under_ms);
                    let ms = same.map_or(longest.ms, |known| known.ms.min(longest.ms));
                    limiter.longest = Some(Longest { ms, ..longest });
                }
                Answer::Done
            }
            Call::RaiseHalt(order, until) => Answer::Bool(self.raise(order, until)),
            Call::LiftHalt(id) => {
                let now = self.now;
                let open = self.halts.iter_mut().find(|h| h.id == id && is_open(h, now));
                let lifted = open.map(|h| (h.lifted_at, h.lifted_by) = (Some(now), Some(BY.to_owned())));
                Answer::Bool(lifted.is_some())
            }
            Call::TakeProbe(id, interval) => {
                let now = self.now;
                let free = |h: &Halt| h.probed_at.is_none_or(|at| now.since(at) >= interval);
                let open = self.halts.iter_mut().find(|h| h.id == id && is_open(h, now) && free(h));
                Answer::Bool(open.map(|h| h.probed_at = Some(now)).is_some())
            }
            Call::Retry(filter, again) => self.retry(&filter, again),
            Call::Cancel(filter) => self.cancel(&filter),
            Call::Purge(purge) => self.purge(&purge),
            Call::EndPurge => self.end_purge(),
            Call::CommitOutput(job, name, state) => {
                self.job(job).outputs.insert(name, state);
                Answer::Done
            }
            Call::Renewed(job) => {
                self.job(job).stale = false;
                Answer::Done
            }
        }
    }

    fn job(&mut self, id: JobId) -> &mut JobEntry {
        self.jobs.iter_mut().find(|j| j.job.id == id).unwrap()
    }

    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|t| t.row.id == id)
    }

    fn unknown(&mut self) -> i64 {
        self.counter += 1;
        -i64::try_from(self.counter).unwrap()
    }

    fn upsert(&mut self, specs: Vec<JobSpec>) -> Answer {
        let has_tasks = |id| self.tasks.iter().any(|t| t.row.job == id);
        let known = |spec: &JobSpec| self.jobs.iter().find(|j| j.job.name == spec.name);
        let moved =
            |spec| known(spec).is_some_and(|j| j.job.endpoint != spec.endpoint && has_tasks(j.job.id));
        if specs.iter().any(moved) {
            return Answer::Refused;
        }
        for JobSpec { name, endpoint, options, root, output, order } in specs {
            let id = JobId(self.unknown());
            match self.jobs.iter_mut().find(|j| j.job.name == name) {
                Some(entry) => {
                    if entry.job.output != output {
                        entry.outputs.clear();
                    }
                    entry.job = Job { id: entry.job.id, name, endpoint, options, root, output, order };
                }
                None => self.jobs.push(JobEntry {
                    job: Job { id, name, endpoint, options, root, output, order },
                    stale: false,
                    fields: vec![],
                    outputs: BTreeMap::new(),
                }),
            }
        }
        Answer::Done
    }

    fn scan(&mut self, job: JobId, found: Vec<NewTask>) -> Answer {
        if found.iter().any(|f| f.path.as_bytes().is_empty()) {
            return Answer::Refused;
        }
        let Job { name, endpoint, .. } = self.job(job).job.clone();
        let entry = self.job(job);
        for (field, _) in found.iter().flat_map(|file| file.metadata.fields()) {
            if !entry.fields.contains(&field) {
                entry.fields.push(field);
                entry.stale |= !entry.outputs.is_empty();
            }
        }
        let (now, mut counts) = (self.now, Enqueued::default());
        for file in found {
            let refused = u64::from(file.refusal.is_some());
            let id = TaskId(self.unknown());
            let Some(task) = self.tasks.iter_mut().find(|t| t.row.job == job && t.row.path == file.path)
            else {
                counts.new += 1;
                counts.new_bytes += file.size_bytes;
                counts.refused += refused;
                let mut task = Task::new(id, job, name.clone(), endpoint, &file, now);
                task.look_at(file, now);
                self.tasks.push(task);
                continue;
            };
            let same = (task.row.size_bytes, task.row.modified_ns) == (file.size_bytes, file.modified_ns);
            let refused_once = task.row.state == TaskState::Failed && task.row.fence == Fence(0);
            let mended =
                refused_once && task.row.cause == Some(Cause::ConfigRefused) && file.refusal.is_none();
            let unusable = file.refusal.as_ref().is_some_and(|f| f.cause == Cause::ConfigRefused);
            if same && unusable {
                counts.known += 1;
                if task.row.state == TaskState::Queued {
                    task.look_at(file, now);
                }
                continue;
            }
            let same = same && !mended;
            if same && task.row.metadata != file.metadata {
                counts.known += 1;
                counts.redescribed += 1;
                task.describe(file.metadata, now);
                let stands = task.row.state == TaskState::Succeeded;
                self.job(job).stale |= stands;
                continue;
            }
            match task.row.state {
                _ if same => counts.known += 1,
                TaskState::Queued => {
                    counts.known += 1;
                    task.look_at(file, now);
                }
                TaskState::Failed if task.row.fence == Fence(0) => {
                    counts.reopened += 1;
                    counts.refused += refused;
                    task.look_at(file, now);
                }
                _ => counts.changed += 1,
            }
        }
        Answer::Scanned(counts)
    }

    fn retire(&mut self, id: &WorkerId, code: i32, process: usize) -> Answer {
        let now = self.now;
        if let Some(worker) = self.workers.iter_mut().find(|w| w.row.id == *id) {
            worker.row.ended_at = Some(now);
            worker.row.beat_at = now;
            worker.row.exit_code = Some(code);
            worker.process = worker.process.filter(|holder| *holder != process);
        }
        Answer::Done
    }

    /// The operating system lets go of the locks of a process that ended.
    pub(super) fn die(&mut self, process: usize) {
        self.workers.iter_mut().filter(|w| w.process == Some(process)).for_each(|w| w.process = None);
    }

    pub(super) fn dead_owners(&self) -> Vec<WorkerId> {
        let dead = |id: &WorkerId| self.workers.iter().any(|w| w.row.id == *id && w.process.is_none());
        let mut owners: Vec<_> = self.tasks.iter().filter_map(|t| t.row.owner.clone()).filter(dead).collect();
        owners.sort_by(|a, b| a.0.cmp(&b.0));
        owners.dedup();
        owners
    }

    pub(super) fn recover(&mut self, dead: &[WorkerId]) -> Recovered {
        let (now, mut recovered) = (self.now, Recovered::default());
        for task in &mut self.tasks {
            if !task.row.owner.as_ref().is_some_and(|owner| dead.contains(owner)) {
                continue;
            }
            task.row.lease_losses += 1;
            let reserved = task.reserved;
            let state = match (task.row.lease_losses >= 3, task.cancel_requested) {
                (true, _) => task.end(TaskState::Failed),
                (false, true) => task.end(TaskState::Cancelled),
                (false, false) => TaskState::Queued,
            };
            // What a service has accepted is asked for again, and not sent.
            let billed = if task.remote.is_some() { Billed::No } else { Billed::Unknown };
            let lost = Failure { billed, ..Failure::local(Cause::LeaseLost, "") };
            task.leave(state, None, &lost, now);
            task.row.run_at = now;
            let attempt = task.tries.last_mut().unwrap();
            close(attempt, "lost", Some(&lost), now);
            attempt.message = None;
            recovered.tasks += 1;
            recovered.failed += u64::from(state == TaskState::Failed);
            if billed == Billed::Unknown {
                lose(self.ledger.entry((task.row.endpoint, now.month())).or_default(), reserved);
            }
        }
        recovered
    }

    pub(super) fn limiter(&self, endpoint: Endpoint) -> LimiterState {
        let busy = self.running(endpoint).filter(|t| !t.on_deck).count() as u32;
        LimiterState { busy, ..self.limiters.get(&endpoint).copied().unwrap_or_default() }
    }

    fn running(&self, endpoint: Endpoint) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(move |t| t.row.state == TaskState::Running && t.row.endpoint == endpoint)
    }

    pub(super) fn billed_ms(&self, endpoint: Endpoint) -> u64 {
        self.ledger.get(&(endpoint, self.now.month())).map_or(0, |u| u.billed_ms + u.unknown_ms)
    }

    fn claim(&mut self, wish: ClaimRequest) -> Answer {
        let now = self.now;
        let mut limiter = self.limiter(wish.endpoint);
        let of_others = |t: &&Task| !t.on_deck && t.row.owner.as_ref() != Some(&wish.worker);
        let elsewhere = self.running(wish.endpoint).filter(of_others).count() as u32;
        let stops =
            |h: &&Halt| is_open(h, now) && h.scope.covers(wish.endpoint) && !wish.probing.contains(&h.id);
        let halts: Vec<_> = self.halts.iter().filter(stops).map(|h| (h.scope, h.reason)).collect();
        let paused = limiter.paused_until.is_some_and(|until| now < until);
        let crowded = wish.alone && limiter.busy > 0 || self.running(wish.endpoint).any(|t| t.lone);
        let free = limiter.effective.saturating_sub(limiter.busy);
        let may = if !halts.is_empty() || paused || crowded {
            0
        } else if wish.alone {
            wish.want.min(free).min(1)
        } else {
            wish.want.min(free)
        };
        let others = self
            .workers
            .iter()
            .any(|w| w.row.id != wish.worker && w.row.ended_at.is_none() && now.0 - w.row.beat_at.0 < 60_000);
        let own = |t: &Task| !t.on_deck && t.row.owner.as_ref() == Some(&wish.worker);
        let has_slot = may > 0 || self.running(wish.endpoint).any(own);
        let stopped = !halts.is_empty() || paused || crowded || wish.alone;
        let capped = wish.cap_ms.is_some() || !wish.budget.is_none();
        let more = if stopped || others || capped || !has_slot { 0 } else { wish.ahead };
        let mut seated = vec![];
        if !stopped {
            let waits = |t: &&mut Task| {
                t.on_deck && t.row.endpoint == wish.endpoint && t.row.owner.as_ref() == Some(&wish.worker)
            };
            let mut waiting: Vec<&mut Task> = self.tasks.iter_mut().filter(waits).collect();
            waiting.sort_by_key(|t| t.row.id);
            for task in waiting.into_iter().take(may as usize) {
                task.on_deck = false;
                seated.push(task.row.id);
            }
        }
        let may = may - seated.len() as u32;
        limiter.busy += seated.len() as u32;
        let on_their_way: u64 = self.running(wish.endpoint).map(|t| t.reserved.audio_ms).sum();
        let mut spent = self.billed_ms(wish.endpoint) + on_their_way;
        let (mut tasks, mut ahead, mut gone) = (vec![], vec![], vec![]);
        let (mut doubles, mut cap_reached) = (vec![], None);
        let mut begun: BTreeMap<Identity, TaskId> = BTreeMap::new();
        for &(id, amount) in &wish.tasks {
            if tasks.len() + ahead.len() == (may + more) as usize {
                break;
            }
            if wish.cap_ms.is_some_and(|cap| spent + amount.audio_ms > cap) {
                cap_reached = Some(Reached { cap: Cap::Month, in_flight: limiter.busy });
                break;
            }
            let identity = wish.identities.as_ref().and_then(|all| all.get(&id)).cloned();
            if let Some(same) = &identity {
                if let Some(&of) = begun.get(same).filter(|of| **of != id) {
                    doubles.push(Double { task: id, of, answered: false });
                    continue;
                }
                begun.insert(same.clone(), id);
                if let Some(double) = self.double(id, same) {
                    doubles.push(double);
                    continue;
                }
            }
            let nobody_else = limiter.busy == 0 && (wish.alone || limiter.ceiling == 1);
            let Some(task) = self.task(id).filter(|t| t.is_due(now)) else {
                gone.push(id);
                continue;
            };
            let on_deck = tasks.len() == may as usize;
            task.start(&wish, amount, on_deck);
            task.identity = identity.clone();
            spent += amount.audio_ms;
            limiter.busy += u32::from(!on_deck);
            let alone = if on_deck { limiter.ceiling == 1 } else { nobody_else };
            let hold = task.hold(alone, elsewhere);
            if on_deck { &mut ahead } else { &mut tasks }.push(hold.proof());
            self.holds.push(hold);
            if let Some(same) = identity {
                self.inherit(id, &same);
            }
        }
        doubles.sort_by_key(|double| double.task);
        let known = doubles.clone();
        for double in doubles.iter_mut().filter(|double| !double.answered) {
            // The one to wait for is the same as another itself.
            if let Some(first) = known.iter().find(|first| first.task == double.of) {
                (double.of, double.answered) = (first.of, first.answered);
            }
        }
        Answer::Claimed { tasks, ahead, seated, gone, doubles, limiter, elsewhere, halts, cap_reached }
    }

    /// The task goes on with the pieces of one that is the same and does not run.
    fn inherit(&mut self, id: TaskId, same: &Identity) {
        if self.tasks.iter().any(|t| t.row.id == id && !t.pieces.is_empty()) {
            return;
        }
        let has_them = |t: &&mut Task| t.pieces.first().is_some_and(|piece| piece.identity == *same);
        let idle = self.tasks.iter_mut().filter(|t| t.row.state != TaskState::Running);
        let Some(giver) = idle.filter(has_them).min_by_key(|t| t.row.id) else { return };
        let pieces = std::mem::take(&mut giver.pieces);
        if let Some(taker) = self.tasks.iter_mut().find(|t| t.row.id == id) {
            taker.pieces = pieces;
        }
    }

    /// Another task that is the same: one that has its answer, or else one that runs.
    fn double(&self, id: TaskId, same: &Identity) -> Option<Double> {
        let task = self.tasks.iter().find(|t| t.row.id == id && t.is_due(self.now))?;
        let others = self.tasks.iter().filter(|t| t.row.id != id && t.identity.as_ref() == Some(same));
        let mut doubles: Vec<Double> = others
            .filter_map(|other| {
                let answered = match other.row.state {
                    TaskState::Running => false,
                    TaskState::Succeeded if other.serves(task.reuse_after) => true,
                    _ => return None,
                };
                Some(Double { task: id, of: other.row.id, answered })
            })
            .collect();
        doubles.sort_by_key(|double| (!double.answered, double.of));
        doubles.first().copied()
    }

    fn reuse(&mut self, reuse: Reuse) -> Settled {
        let (now, order) = (self.now, self.counter);
        self.counter += 1;
        let Reuse { task: id, fence, of, identity, redacted_audio } = reuse;
        let Some(task) = self.task(id).map(|t| &*t) else { return Settled::Fenced };
        let (is_as_it_was, after) =
            (task.row.state == TaskState::Queued && task.row.fence == fence, task.reuse_after);
        let other = self.tasks.iter().find(|t| t.row.id == of);
        let serves = |t: &&Task| {
            t.row.state == TaskState::Succeeded && t.identity.as_ref() == Some(&identity) && t.serves(after)
        };
        let Some(kept) = other.filter(serves).and_then(|t| t.result.clone()).filter(|_| is_as_it_was) else {
            return Settled::Fenced;
        };
        let task = self.task(id).unwrap();
        let replaced = task.take_over(kept.row, order, redacted_audio, identity, now);
        let job = task.row.job;
        self.job(job).stale |= replaced;
        Settled::Accepted
    }

    fn settle(&mut self, ended: Ended) -> Settled {
        let Ended { hold, settlement, request, result, next, resend } = ended;
        let (now, order) = (self.now, self.counter);
        self.counter += 1;
        if let Some(held) = self.holds.iter_mut().find(|h| (h.id, h.fence) == (hold.id, hold.fence)) {
            held.settled = true;
        }
        let task = self.task(hold.id).unwrap();
        if task.row.fence != hold.fence {
            return Settled::Fenced; // somebody claimed it anew
        }
        let leaves_slot = task.row.state == TaskState::Running && !task.on_deck;
        if leaves_slot && let Some(heir) = next.and_then(|id| self.task(id)) {
            heir.on_deck = false;
        }
        let task = self.task(hold.id).unwrap();
        let attempt = task.tries.last().unwrap();
        let open = attempt.outcome.is_none();
        let presumed_lost = attempt.outcome.as_deref() == Some("lost");
        let taken = match (&settlement, result) {
            // Paid for: kept also when its worker was taken for dead.
            (Settlement::Succeed, Some(result)) if open || presumed_lost => {
                let used = task.succeed(&request, &result, resend, order, now);
                let (job, endpoint) = (task.row.job, task.row.endpoint);
                self.job(job).stale |= used.replaced;
                let month = self.ledger.entry((endpoint, now.month())).or_default();
                month.succeeded += 1;
                month.billed_ms = (month.billed_ms + result.billed_ms).min(LEDGER_MAX_MS);
                let measured = result.measured.map_or(result.billed_ms, |m| m.duration_ms);
                month.measured_ms = (month.measured_ms + measured).min(LEDGER_MAX_MS);
                month.cost = month.cost + result.cost;
                true
            }
            (Settlement::Advance, Some(result)) if open || presumed_lost => {
                task.advance(&request, &result, now);
                let endpoint = task.row.endpoint;
                let month = self.ledger.entry((endpoint, now.month())).or_default();
                month.billed_ms = (month.billed_ms + result.billed_ms).min(LEDGER_MAX_MS);
                let measured = result.measured.map_or(result.billed_ms, |m| m.duration_ms);
                month.measured_ms = (month.measured_ms + measured).min(LEDGER_MAX_MS);
                month.cost = month.cost + result.cost;
                true
            }
            (settlement, None) if open => {
                let failure = settlement.failure().unwrap().clone();
                task.come_back(settlement, &failure, now);
                let endpoint = task.row.endpoint;
                // Paid for, surely or perhaps, without a result to show for it.
                if failure.billed != Billed::No {
                    lose(self.ledger.entry((endpoint, now.month())).or_default(), hold.reserved);
                }
                true
            }
            _ => false,
        };
        if !taken {
            return Settled::Fenced;
        }
        let task = self.task(hold.id).unwrap();
        task.remote = task.remote.take().filter(|_| !request.job_over);
        let attempt = task.tries.last_mut().unwrap();
        close(attempt, settlement.outcome(), settlement.failure(), now);
        attempt.http_status = request.http_status.or(attempt.http_status);
        attempt.request_id = request.request_id;
        attempt.bytes_sent = request.bytes_sent;
        Settled::Accepted
    }

    fn set_aside(&mut self, id: TaskId, fence: Fence, settlement: Settlement) -> Settled {
        let now = self.now;
        let mine = |t: &&mut Task| t.row.state == TaskState::Queued && t.row.fence == fence;
        let Some(task) = self.task(id).filter(mine) else { return Settled::Fenced };
        match settlement {
            Settlement::Fail(failure) => task.leave(task.end(TaskState::Failed), None, &failure, now),
            Settlement::Snooze { hold, run_at, failure } => {
                task.row.hold = Some(hold);
                task.row.run_at = run_at;
                task.row.changed_at = now;
                task.row.cause = Some(failure.cause);
                task.row.message = Some(failure.message);
            }
            Settlement::Succeed | Settlement::Advance | Settlement::Retry { .. } | Settlement::Release(_) => {
                return Settled::Fenced;
            }
        }
        Settled::Accepted
    }

    fn set_ceiling(&mut self, endpoint: Endpoint, ceiling: u32) -> Answer {
        let limiter = self.limiters.entry(endpoint).or_default();
        let learned = limiter.effective < limiter.ceiling;
        limiter.effective = if learned { limiter.effective.min(ceiling) } else { ceiling };
        limiter.ceiling = ceiling;
        Answer::Limiter(self.limiter(endpoint))
    }

    fn raise(&mut self, order: HaltOrder, until: Option<Timestamp>) -> bool {
        let now = self.now;
        let same = |h: &Halt| is_open(h, now) && (h.scope, h.reason) == (order.scope, order.reason);
        if self.halts.iter().any(same) {
            return false;
        }
        let HaltOrder { scope, reason, evidence } = order;
        let halt = Halt {
            id: self.unknown(),
            scope,
            reason,
            evidence,
            raised_at: now,
            raised_by: BY.to_owned(),
            until,
            probed_at: None,
            lifted_at: None,
            lifted_by: None,
        };
        self.halts.push(halt);
        true
    }

    fn retry(&mut self, filter: &Filter, again: bool) -> Answer {
        let (now, mut count) = (self.now, 0);
        let mut overtaken = vec![];
        for task in self.tasks.iter_mut().filter(|t| matches(filter, &t.row, now)) {
            match task.row.state {
                TaskState::Failed | TaskState::Cancelled => {}
                TaskState::Succeeded if again => overtaken.push(task.row.job),
                _ => continue,
            }
            task.begin_anew(now);
            count += 1;
        }
        overtaken.into_iter().for_each(|job| self.job(job).stale = true);
        Answer::Count(count)
    }

    fn cancel(&mut self, filter: &Filter) -> Answer {
        let (now, mut count) = (self.now, 0);
        for task in self.tasks.iter_mut().filter(|t| matches(filter, &t.row, now)) {
            match task.row.state {
                TaskState::Queued => {
                    task.row.state = task.end(TaskState::Cancelled);
                    task.row.hold = None;
                    task.row.finished_at = Some(now);
                }
                TaskState::Running if !task.cancel_requested => task.cancel_requested = true,
                _ => continue,
            }
            task.row.changed_at = now;
            count += 1;
        }
        Answer::Count(count)
    }
}

pub(super) fn is_open(halt: &Halt, now: Timestamp) -> bool {
    halt.lifted_at.is_none() && halt.until.is_none_or(|until| now < until)
}

fn lose(month: &mut Usage, reserved: Amount) {
    month.unknown += 1;
    month.unknown_ms += reserved.audio_ms;
    month.unknown_cost = month.unknown_cost + reserved.cost;
}

fn close(attempt: &mut AttemptRow, outcome: &str, failure: Option<&Failure>, now: Timestamp) {
    attempt.ended_at = Some(now);
    attempt.outcome = Some(outcome.to_owned());
    attempt.cause = failure.map(|f| f.cause);
    attempt.http_status = failure.and_then(|f| f.http_status);
    attempt.retry_after_ms = failure.and_then(|f| f.retry_after).map(|wait| wait.as_millis() as u64);
    attempt.billed = Some(failure.map_or(Billed::Yes, |f| f.billed));
    attempt.message = failure.map(|f| f.message.clone());
}
