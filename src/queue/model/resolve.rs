//! From an operation, which names things by position, to a write with the numbers of what exists.

use std::time::Duration;

use super::call::{Call, Ended, Hold};
use super::op::{ABSURD, Blame, Ending, Find, Op, Pick, Which, Wish};
use super::reference::{Model, Task, is_open};
use crate::queue::*;
use crate::task::{self, *};

pub(super) const STT: Endpoint = Endpoint::SttBatch;
pub(super) const ENGLISH: Endpoint = Endpoint::SttBatchEnglishVfast;

/// The jobs of a case and their endpoints: two share a limiter.
const JOBS: [(&str, Endpoint); 3] = [("calls", STT), ("talks", STT), ("notes", ENGLISH)];
const CAUSES: [Cause; 5] =
    [Cause::Overloaded, Cause::Timeout, Cause::UnreadableAudio, Cause::Throttled, Cause::Connection];
const BILLED: [Billed; 3] = [Billed::No, Billed::Unknown, Billed::Yes];
const REASONS: [HaltReason; 3] = [HaltReason::MonthlyHours, HaltReason::Credits, HaltReason::Paused];
const SCOPES: [HaltScope; 3] =
    [HaltScope::Endpoint(STT), HaltScope::Everything, HaltScope::Endpoint(ENGLISH)];
pub(super) const FILES: [&str; 2] = ["results.jsonl", "results.csv"];
/// Workers that live at once, at most.
const WORKERS: usize = 4;

fn pick<T>(all: &[T], at: Pick) -> Option<&T> {
    all.get(usize::from(at) % all.len().max(1))
}

/// What every case begins with, so that most operations mean something from the first on.
pub(super) fn beginning() -> Vec<Call> {
    vec![
        Call::Jobs(JOBS.iter().enumerate().map(|(n, _)| spec(n, 0, 0, false)).collect()),
        Call::SetCeiling(STT, 3),
        Call::Register(worker(0, START)),
    ]
}

pub(super) const START: Timestamp = Timestamp(1_790_000_000_000);

fn spec(job: usize, order: Pick, output: Pick, other_endpoint: bool) -> JobSpec {
    let (name, endpoint) = JOBS[job];
    JobSpec {
        name: name.to_owned(),
        endpoint: if other_endpoint { Endpoint::Batch } else { endpoint },
        options: serde_json::json!({}),
        root: "/in".into(),
        output: format!("/out/{}", output % 2).into(),
        order: *pick(&Order::ALL, order).unwrap(),
    }
}

pub(super) fn worker(number: usize, now: Timestamp) -> WorkerRow {
    WorkerRow {
        id: WorkerId(format!("w{number:04}")),
        host: "here".into(),
        pid: 1,
        version: "0".into(),
        started_at: now,
        beat_at: now,
        ended_at: None,
        exit_code: None,
        alive: true,
    }
}

impl Model {
    /// Workers of a process that lives, and the process that has each.
    fn alive(&self) -> Vec<(WorkerId, usize)> {
        self.workers.iter().filter_map(|w| Some((w.row.id.clone(), w.process?))).collect()
    }

    /// The write that an operation means, or nothing when what it needs does not exist.
    pub(super) fn resolve(&self, op: &Op) -> Option<Call> {
        Some(match op.clone() {
            Op::Wait { .. } | Op::Die { .. } => return None,
            Op::Jobs { job, order, output, other_endpoint } => {
                Call::Jobs(vec![spec(usize::from(job) % JOBS.len(), order, output, other_endpoint)])
            }
            Op::Scan { job, found } => {
                let mut found: Vec<NewTask> = found.into_iter().map(new_task).collect();
                found.sort_by(|a, b| a.path.cmp(&b.path));
                found.dedup_by(|a, b| a.path == b.path); // a folder has a name once
                Call::Scan(self.some_job(job)?, found)
            }
            Op::ScanBroken { job } => {
                let nameless = NewTask { path: RecordingPath::from_bytes(*b""), ..new_task(FIND) };
                Call::Scan(self.some_job(job)?, vec![new_task(Find { name: 9, ..FIND }), nameless])
            }
            Op::Register if self.alive().len() < WORKERS => {
                Call::Register(worker(self.workers.len(), self.now))
            }
            Op::Register => return None,
            Op::Retire { worker } => Call::Retire(pick(&self.alive(), worker)?.0.clone(), 3),
            Op::Beat { worker } => Call::Beat(pick(&self.workers, worker)?.row.id.clone()),
            Op::Sweep => Call::Sweep,
            Op::Claim { worker, wish } => {
                Call::Claim(self.wish(pick(&self.alive(), worker)?.0.clone(), wish))
            }
            Op::Settle { hold, ending, blame, next } => self.settlement(false, hold, ending, blame, next)?,
            Op::SettleAgain { hold, ending, blame } => self.settlement(true, hold, ending, blame, None)?,
            Op::Remember { hold, job } => {
                let hold = self.holds.iter().rev().nth(usize::from(hold) % self.holds.len().clamp(1, 12))?;
                let job = RemoteJob {
                    id: format!("job-{job}"),
                    blake3: "b3".into(),
                    bytes: job.into(),
                    accepted_at: self.now,
                };
                Call::Remember(hold.id, hold.fence, job)
            }
            Op::Reuse { task, of, stale, audio } => {
                let known: Vec<_> = self.tasks.iter().filter(|t| t.row.id.0 > 0).collect();
                let queued: Vec<_> =
                    known.iter().filter(|t| t.row.state == TaskState::Queued).copied().collect();
                let row = &pick(if queued.is_empty() { &known } else { &queued }, task)?.row;
                let same: Vec<_> =
                    known.iter().filter(|t| t.identity == Some(identity(row.id))).copied().collect();
                let path = RecordingPath::from_bytes(*b"audio/b.redacted.mp3");
                Call::Reuse(Reuse {
                    task: row.id,
                    fence: Fence(row.fence.0 - i64::from(stale)),
                    of: pick(if same.is_empty() { &known } else { &same }, of)?.row.id,
                    identity: identity(row.id),
                    redacted_audio: audio.then(|| RedactedAudio { path, bytes: 9, sha256: "00".into() }),
                })
            }
            Op::SetAside { task, stale, ending, blame } => {
                let queued: Vec<_> = self.tasks.iter().filter(|t| t.row.id.0 > 0).collect();
                let row = &pick(&queued, task)?.row;
                let fence = Fence(row.fence.0 - i64::from(stale));
                Call::SetAside(row.id, fence, settlement(ending, blame, self.now))
            }
            Op::SetCeiling { english, ceiling } => Call::SetCeiling(endpoint(english), u32::from(ceiling)),
            Op::SavePace { english, effective, pause_s } => {
                let until = pause_s.map(|s| self.now.after(seconds(s)));
                Call::SavePace(endpoint(english), effective.map(u32::from), until)
            }
            Op::EndPauses => Call::EndPauses,
            Op::Learn { english, minutes, under } => {
                let longest =
                    Longest { ms: u64::from(minutes) * 60_000, under_ms: under.then_some(1_000_000) };
                Call::Learn(endpoint(english), longest)
            }
            Op::RaiseHalt { scope, reason, until_s } => {
                let (scope, reason) = (*pick(&SCOPES, scope)?, *pick(&REASONS, reason)?);
                let order = HaltOrder { scope, reason, evidence: "HTTP 429: enough".into() };
                Call::RaiseHalt(order, until_s.map(|s| self.now.after(seconds(s))))
            }
            Op::LiftHalt { halt } => Call::LiftHalt(self.some_halt(halt)?),
            Op::TakeProbe { halt, interval_s } => Call::TakeProbe(self.some_halt(halt)?, seconds(interval_s)),
            Op::Retry { which, again } => Call::Retry(self.filter(which), again),
            Op::Cancel { which } => Call::Cancel(self.filter(which)),
            Op::Purge { job, age_s, answers, audio } => {
                let all: Vec<JobId> = self.jobs.iter().map(|j| j.job.id).filter(|id| id.0 > 0).collect();
                let jobs = match job {
                    Some(at) => vec![*pick(&all, at)?],
                    None => all,
                };
                let finished_by = Timestamp(self.now.0 - i64::from(age_s) * 1000);
                Call::Purge(Purge { jobs, finished_by, answers, audio })
            }
            Op::EndPurge => Call::EndPurge,
            Op::CommitOutput { job, name, bytes } => {
                let bytes = u64::from(bytes);
                let state =
                    OutputState { bytes, last_seq: self.last_seq, records: bytes, sha256: "ab".into() };
                Call::CommitOutput(self.some_job(job)?, pick(&FILES, name)?, state)
            }
            Op::Renewed { job } => Call::Renewed(self.some_job(job)?),
        })
    }

    fn some_job(&self, at: Pick) -> Option<JobId> {
        pick(&self.jobs, at).map(|j| j.job.id).filter(|id| id.0 > 0)
    }

    /// Open ones first: they are what most operations are about.
    fn some_halt(&self, at: Pick) -> Option<i64> {
        let known = |h: &&Halt| h.id > 0;
        let open: Vec<_> = self.halts.iter().filter(known).filter(|h| is_open(h, self.now)).collect();
        let all: Vec<_> = self.halts.iter().filter(known).collect();
        let from = if open.is_empty() || at % 4 == 3 { &all } else { &open };
        pick(from, at / 4).map(|h| h.id)
    }

    fn wish(&self, worker: WorkerId, wish: Wish) -> ClaimRequest {
        let endpoint = endpoint(wish.english);
        let estimate_ms = u64::from(wish.estimate_s) * 1000;
        let mine: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|t| t.row.endpoint == endpoint && t.row.id.0 > 0)
            .map(|t| t.row.id)
            .collect();
        let due: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|t| t.is_due(self.now))
            .map(|t| t.row.id)
            .filter(|id| mine.contains(id))
            .collect();
        let from = if wish.offered { &due } else { &mine };
        let mut tasks: Vec<_> = wish.tasks.iter().filter_map(|at| pick(from, *at)).copied().collect();
        if !wish.offered {
            tasks.push(TaskId(1_000_000)); // one that never was
        }
        let identities = wish.shares.then(|| tasks.iter().map(|id| (*id, identity(*id))).collect());
        ClaimRequest {
            worker,
            identities,
            endpoint,
            tasks: tasks
                .into_iter()
                .map(|id| (id, Amount { audio_ms: estimate_ms, cost: Money(id.0.unsigned_abs() % 7) }))
                .collect(),
            want: u32::from(wish.want),
            ahead: u32::from(wish.ahead),
            alone: wish.alone,
            probing: if wish.probing {
                self.halts.iter().map(|h| h.id).filter(|id| *id > 0).collect()
            } else {
                vec![]
            },
            cap_ms: wish.cap_s.map(|s| self.billed_ms(endpoint) + u64::from(s) * 1000),
            budget: BudgetLimit::default(),
            now: self.now,
        }
    }

    fn settlement(
        &self,
        again: bool,
        hold: Pick,
        ending: Ending,
        blame: Blame,
        next: Option<Pick>,
    ) -> Option<Call> {
        let holds: Vec<&Hold> = self.holds.iter().filter(|h| h.settled == again).collect();
        // The latest are the likeliest to matter.
        let hold = holds.iter().rev().nth(usize::from(hold) % holds.len().clamp(1, 12))?;
        let settlement = settlement(ending, blame, self.now);
        let status = settlement.failure().map_or(Some(200), |f| f.http_status);
        let request = Request {
            started_at: Some(Timestamp(self.now.0 - 5)),
            bytes_sent: 7,
            request_id: Some("r".into()),
            http_status: status,
            job_over: blame.answered,
        };
        let result = match ending {
            Ending::Succeed { billed_s, sounds, .. } => {
                let mut result = new_result(billed_s, sounds);
                result.made.identity = (billed_s != 1).then(|| identity(hold.id));
                Some(result)
            }
            Ending::Advance { billed_s, other } => {
                let mut result = new_result(billed_s, true);
                result.made.identity = Some(if other { Identity("other".into()) } else { identity(hold.id) });
                let own = 0..u64::from(billed_s) + 1;
                result.piece = Some(Stretch { rate: 1, channel: 0, heard: own.clone(), own, is_last: false });
                result.redacted_audio = None;
                Some(result)
            }
            _ => None,
        };
        let mine = |t: &&Task| t.on_deck && t.row.endpoint == hold.endpoint && t.row.id != hold.id;
        let on_deck: Vec<TaskId> = self.tasks.iter().filter(mine).map(|t| t.row.id).collect();
        let next = next.and_then(|at| pick(&on_deck, at).copied());
        let resend = matches!(ending, Ending::Succeed { resend: true, .. });
        Some(Call::Settle(Ended { hold: (*hold).clone(), settlement, request, result, next, resend }))
    }

    fn filter(&self, which: Which) -> Filter {
        let mut filter = Filter::default();
        match which {
            Which::All => {}
            Which::Ids(ids) => {
                let known: Vec<i64> = self.tasks.iter().map(|t| t.row.id.0).filter(|id| *id > 0).collect();
                filter.ids = ids.iter().filter_map(|at| pick(&known, *at)).copied().chain([0]).collect();
            }
            Which::State(at) => filter.states.extend(pick(&TaskState::ALL, at)),
            Which::Job(at) => filter.jobs.extend(pick(&JOBS, at).map(|(name, _)| (*name).to_owned())),
            Which::Path(at) => {
                filter.paths.push(["f1.wav", "*", "f*3.wav", "f?.wav"][usize::from(at % 4)].into())
            }
            Which::Cause(at) => filter.causes.extend(pick(&CAUSES, at)),
            Which::Endpoint(english) => filter.endpoints.push(endpoint(english)),
            Which::Since(s) => filter.since = Some(seconds(s)),
            Which::Before(s) => filter.before = Some(seconds(s)),
        }
        filter
    }
}

/// Every third task is the same.
fn identity(id: TaskId) -> Identity {
    Identity(format!("same{}", id.0 % 3))
}

fn endpoint(english: bool) -> Endpoint {
    if english { ENGLISH } else { STT }
}

fn seconds(count: u8) -> Duration {
    Duration::from_secs(count.into())
}

const FIND: Find = Find { name: 0, size: 0, modified: 0, refused: false, said: 0 };

fn new_task(find: Find) -> NewTask {
    NewTask {
        path: RecordingPath::from_bytes(format!("f{}.wav", find.name)),
        size_bytes: u64::from(find.size) * 100,
        modified_ns: i64::from(find.modified),
        format: (find.size != 3).then_some("wav"),
        head: None,
        measured: (find.size != 2).then(|| Measured::header(u64::from(find.size) * 10)),
        refusal: find.refused.then(|| match find.said {
            4.. => Failure::local(Cause::ConfigRefused, "no such language"),
            _ => Failure::local(Cause::NotAudio, "no audio in it"),
        }),
        metadata: match find.said {
            0 | 1 | 4 => Metadata::default(),
            said => Metadata {
                fields: Some(format!(r#"{{"agent":{said},"f{said}":"x"}}"#)),
                options: (said == 3).then(|| r#"{"language":"de"}"#.to_owned()),
            },
        },
    }
}

fn new_result(billed_s: u8, sounds: bool) -> NewResult {
    let billed_ms = if billed_s == ABSURD { 3 << 51 } else { u64::from(billed_s) * 1000 };
    let path = RecordingPath::from_bytes(*b"audio/a.redacted.mp3");
    NewResult {
        response: format!(r#"{{"text":"x","duration_ms":{billed_ms}}}"#),
        audio: AudioFacts { bytes: 5, blake3: "b3".into(), format: "mp3".into(), mime: "audio/mpeg".into() },
        duration_ms: sounds.then_some(billed_ms),
        measured: sounds.then(|| Measured::packets(u64::from(billed_s))),
        billed_ms,
        cost: Money(u64::from(billed_s)),
        redacted_audio: sounds.then(|| RedactedAudio { path, bytes: 9, sha256: "00".into() }),
        made: Made::default(),
        suspicions: vec![],
        piece: None,
        counted: Counted::default(),
    }
}

fn settlement(ending: Ending, blame: Blame, now: Timestamp) -> Settlement {
    let cause = CAUSES[usize::from(blame.cause) % CAUSES.len()];
    let billed = BILLED[usize::from(blame.billed) % BILLED.len()];
    let failure = Failure {
        billed,
        http_status: blame.answered.then_some(503),
        retry_after: blame.answered.then_some(Duration::from_secs(2)),
        ..Failure::local(cause, "no")
    };
    match ending {
        Ending::Succeed { .. } => Settlement::Succeed,
        Ending::Advance { .. } => Settlement::Advance,
        Ending::Retry { wait_s } => Settlement::Retry { run_at: now.after(seconds(wait_s)), failure },
        Ending::Snooze { wait_s, hold } => Settlement::Snooze {
            hold: task::Hold::ALL[usize::from(hold) % task::Hold::ALL.len()],
            run_at: now.after(seconds(wait_s)),
            failure,
        },
        Ending::Fail => Settlement::Fail(failure),
        Ending::Release => Settlement::Release(failure),
    }
}
