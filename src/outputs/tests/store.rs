//! A queue in memory that answers what outputs ask, can fail at a commit, and refuses everything else.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::queue::*;
use crate::task::*;

/// What happens at a commit of an output's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::outputs) enum Fault {
    /// It is not taken: a crash after the sync and before the commit.
    Before,
    /// It is taken, and nobody hears of it: a crash right after the commit.
    After,
}

#[derive(Default)]
pub(in crate::outputs) struct FakeStore(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    results: Vec<ResultRow>,
    tasks: Vec<TaskRow>,
    outputs: HashMap<&'static str, OutputState>,
    stale: bool,
    fields: Vec<String>,
    fault: Option<(u32, Fault)>,
    /// Results that come while a page is being read.
    arriving: Vec<(u32, ResultRow)>,
}

impl FakeStore {
    fn with<T>(&self, what: impl FnOnce(&mut Inner) -> T) -> T {
        what(&mut self.0.lock().unwrap())
    }

    /// Keeps a result; one that takes the place of another marks the files stale in the same breath.
    pub(in crate::outputs) fn add(&self, row: ResultRow) {
        self.with(|inner| inner.add(row));
    }

    /// A result of `stt` for a task, with the next sequence number.
    pub(in crate::outputs) fn succeed(&self, task: i64) {
        self.add(stt(0, task, &format!("{task}.wav")));
    }

    pub(in crate::outputs) fn set_tasks(&self, tasks: Vec<TaskRow>) {
        self.with(|inner| inner.tasks = tasks);
    }

    /// The commit after `commits` more goes wrong, once.
    pub(in crate::outputs) fn fail_commit(&self, commits: u32, fault: Fault) {
        self.with(|inner| inner.fault = Some((commits, fault)));
    }

    /// A result arrives right after `reads` more pages have been read. Its number, if 0, is the next one then.
    pub(in crate::outputs) fn arrives_after(&self, reads: u32, row: ResultRow) {
        self.with(|inner| inner.arriving.push((reads, row)));
    }

    /// What has not come by now does not come.
    pub(in crate::outputs) fn nothing_arrives(&self) {
        self.with(|inner| inner.arriving.clear());
    }

    /// Tasks whose results stand, in commit order.
    pub(in crate::outputs) fn standing(&self) -> Vec<i64> {
        self.with(|inner| inner.results.iter().map(|r| r.task.0).collect())
    }

    /// Results that stand, in commit order.
    pub(in crate::outputs) fn rows(&self) -> Vec<ResultRow> {
        self.with(|inner| inner.results.clone())
    }

    /// Takes a result out, as queueing its recording again does.
    pub(in crate::outputs) fn requeue(&self, task: i64) {
        self.with(|inner| {
            let at = inner.results.iter().position(|row| row.task.0 == task).unwrap();
            let row = inner.results.remove(at);
            let path = String::from_utf8(row.path.as_bytes().to_vec()).unwrap();
            let queued =
                TaskRow { state: TaskState::Queued, cause: None, ..failed(task, &path, Cause::Empty) };
            inner.tasks.push(queued);
            inner.stale = true;
        });
    }

    /// Marks the files stale and changes nothing that a row of the queue says, as a purge does.
    #[cfg(feature = "parquet")]
    pub(in crate::outputs) fn forget_answers(&self) {
        self.with(|inner| inner.stale = true);
    }

    pub(in crate::outputs) fn state(&self, name: &'static str) -> OutputState {
        self.with(|inner| inner.outputs.get(name).cloned().unwrap_or_default())
    }

    pub(in crate::outputs) fn is_stale(&self) -> bool {
        self.with(|inner| inner.stale)
    }
}

impl Inner {
    fn add(&mut self, mut row: ResultRow) {
        if row.seq == 0 {
            row.seq = self.results.iter().map(|r| r.seq).max().unwrap_or(0) + 1;
        }
        if let Some(old) = self.results.iter().position(|r| r.task == row.task) {
            self.results.remove(old);
            self.stale = true;
        }
        self.results.push(row);
    }
}

/// A transcript of two utterances.
pub(in crate::outputs) fn stt(seq: i64, task: i64, path: &str) -> ResultRow {
    ResultRow {
        seq,
        task: TaskId(task),
        path: RecordingPath::from_bytes(path),
        endpoint: Endpoint::SttBatch,
        attempts: 1,
        http_status: 200,
        audio: AudioFacts {
            bytes: 64_044,
            blake3: "af1349b9f5f9a1a6a0404dea36dcc949".into(),
            format: "wav".into(),
            mime: "audio/wav".into(),
        },
        duration_ms: Some(6400),
        measured: Some(Measured::header(6398)),
        billed_ms: 6400,
        response: concat!(
            r#"{"text":"Line two is down. I will open a ticket.","duration_ms":6400,"utterances":["#,
            r#"{"utterance_uuid":"u1","text":"Line two is down.","start_ms":120,"duration_ms":1900,"#,
            r#""speaker":1,"language":"en","emotion":"Concerned","accent":"Irish","deepfake_score":0.05},"#,
            r#"{"utterance_uuid":"u2","text":"I will open a ticket.","start_ms":2600,"duration_ms":2100,"#,
            r#""speaker":2,"language":"en","emotion":null,"accent":null,"deepfake_score":null}]}"#,
        )
        .into(),
        redacted_audio: None,
        started_at: Timestamp(1_798_761_590_000),
        finished_at: Timestamp(1_798_761_599_009),
        purged_at: None,
        audio_purged_at: None,
        metadata: Metadata::default(),
        reused_from: None,
        suspicions: Vec::new(),
    }
}

/// A recording that failed.
pub(in crate::outputs) fn failed(id: i64, path: &str, cause: Cause) -> TaskRow {
    TaskRow {
        id: TaskId(id),
        job: JobId(1),
        job_name: "archive".into(),
        endpoint: Endpoint::SttBatch,
        path: RecordingPath::from_bytes(path),
        size_bytes: 512,
        modified_ns: 0,
        format: Some("wav".into()),
        measured: None,
        state: TaskState::Failed,
        hold: None,
        run_at: Timestamp(0),
        fence: Fence(1),
        attempts: 1,
        throttles: 0,
        lease_losses: 0,
        owner: None,
        cause: Some(cause),
        http_status: Some(400),
        message: Some("=\"could not\" be processed,\nsays the API".into()),
        billed: Some(Billed::No),
        created_at: Timestamp(0),
        changed_at: Timestamp(0),
        finished_at: Some(Timestamp(1_798_761_599_009)),
        metadata: Metadata::default(),
        decoded: false,
    }
}

type Answer<T> = Result<T, QueueError>;

/// What outputs never ask.
fn refused<T>() -> Answer<T> {
    Err(QueueError::Closed)
}

#[async_trait]
impl TaskStore for FakeStore {
    async fn results(&self, _: JobId, after: i64, limit: u32) -> Answer<Vec<ResultRow>> {
        self.with(|inner| {
            // Shorter than wished for: a page that is not full does not mean the end.
            let some = limit.div_ceil(2) as usize;
            let page = inner.results.iter().filter(|r| r.seq > after).take(some).cloned().collect();
            for (reads, row) in std::mem::take(&mut inner.arriving) {
                match reads {
                    0 => inner.add(row),
                    _ => inner.arriving.push((reads - 1, row)),
                }
            }
            Ok(page)
        })
    }

    async fn output(&self, _: JobId, name: &'static str) -> Answer<OutputState> {
        Ok(self.state(name))
    }

    async fn commit_output(&self, _: JobId, name: &'static str, state: OutputState) -> Answer<()> {
        self.with(|inner| {
            let fault = match &mut inner.fault {
                Some((0, fault)) => Some(*fault),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            };
            if fault.is_some() {
                inner.fault = None;
            }
            if fault != Some(Fault::Before) {
                inner.outputs.insert(name, state);
            }
            if fault.is_some() { Err(QueueError::Closed) } else { Ok(()) }
        })
    }

    async fn outputs_stale(&self, _: JobId) -> Answer<bool> {
        Ok(self.is_stale())
    }

    async fn outputs_renewed(&self, _: JobId) -> Answer<()> {
        self.with(|inner| inner.stale = false);
        Ok(())
    }

    async fn tasks(
        &self,
        filter: Filter,
        after: Option<TaskId>,
        limit: u32,
        _: Timestamp,
    ) -> Answer<Vec<TaskRow>> {
        let picked = |t: &&TaskRow| {
            after.is_none_or(|a| t.id > a) && (filter.states.is_empty() || filter.states.contains(&t.state))
        };
        self.with(|inner| Ok(inner.tasks.iter().filter(picked).take(limit as usize).cloned().collect()))
    }

    async fn result(&self, id: TaskId) -> Answer<Option<ResultRow>> {
        self.with(|inner| Ok(inner.results.iter().find(|r| r.task == id).cloned()))
    }

    async fn learn_fields(&self, _: JobId, names: Vec<String>) -> Answer<Vec<String>> {
        self.with(|inner| {
            for name in names {
                if !inner.fields.contains(&name) {
                    inner.fields.push(name);
                    inner.stale |= !inner.outputs.is_empty();
                }
            }
            Ok(inner.fields.clone())
        })
    }

    async fn unmeasured(&self, _: JobId, _: Option<TaskId>, _: u32) -> Answer<Vec<Unmeasured>> {
        refused()
    }
    async fn set_budget(&self, _: BudgetLimit, _: bool, _: Timestamp) -> Answer<()> {
        refused()
    }
    async fn budget(&self) -> Answer<Option<Budget>> {
        refused()
    }
    async fn speeds(&self, _: JobId, _: u32) -> Answer<Vec<(u64, u64)>> {
        refused()
    }
    async fn keep_measured(&self, _: Vec<(Unmeasured, Measured)>) -> Answer<()> {
        refused()
    }
    async fn upsert_jobs(&self, _: Vec<JobSpec>, _: Timestamp) -> Answer<Vec<Job>> {
        refused()
    }
    async fn jobs(&self) -> Answer<Vec<Job>> {
        refused()
    }
    async fn recognise(&self, _: JobId, _: Vec<Sighting>) -> Answer<Recognised> {
        refused()
    }
    async fn enqueue_batch(&self, _: JobId, _: Vec<NewTask>, _: Timestamp) -> Answer<Enqueued> {
        refused()
    }
    async fn end_pauses(&self) -> Answer<()> {
        refused()
    }
    async fn compare(&self, _: JobId, _: Vec<NewTask>) -> Answer<Enqueued> {
        refused()
    }
    async fn register(&self, _: WorkerRow) -> Answer<()> {
        refused()
    }
    async fn heartbeat(&self, _: WorkerId, _: Timestamp) -> Answer<()> {
        refused()
    }
    async fn retire(&self, _: WorkerId, _: i32, _: Timestamp) -> Answer<()> {
        refused()
    }
    async fn sweep(&self, _: Timestamp) -> Answer<Recovered> {
        refused()
    }
    async fn workers(&self, _: u32) -> Answer<Vec<WorkerRow>> {
        refused()
    }
    async fn set_ceiling(&self, _: Endpoint, _: u32) -> Answer<LimiterState> {
        refused()
    }
    async fn save_pace(&self, _: Endpoint, _: Option<u32>, _: Option<Timestamp>) -> Answer<()> {
        refused()
    }
    async fn limiter(&self, _: Endpoint) -> Answer<LimiterState> {
        refused()
    }
    async fn candidates(
        &self,
        _: Endpoint,
        _: Vec<JobId>,
        _: Vec<TaskId>,
        _: u32,
        _: Timestamp,
    ) -> Answer<Vec<Candidate>> {
        refused()
    }
    async fn next_due(&self, _: Endpoint, _: Vec<JobId>) -> Answer<Option<Timestamp>> {
        refused()
    }
    async fn claim(&self, _: ClaimRequest) -> Answer<Claim> {
        refused()
    }
    async fn set_aside(&self, _: TaskId, _: Fence, _: Settlement, _: Timestamp) -> Answer<Settled> {
        refused()
    }
    async fn reuse(&self, _: Reuse, _: Timestamp) -> Answer<Settled> {
        refused()
    }
    async fn settle(&self, _: std::sync::Arc<Settle>) -> Answer<Settled> {
        refused()
    }
    async fn double(&self, _: TaskId, _: Identity, _: Timestamp) -> Answer<Option<Double>> {
        refused()
    }
    async fn remember_job(&self, _: TaskId, _: Fence, _: RemoteJob) -> Answer<Settled> {
        refused()
    }
    async fn pieces(&self, _: TaskId) -> Answer<Vec<PieceRow>> {
        refused()
    }
    async fn learn_longest(&self, _: Endpoint, _: Longest) -> Answer<()> {
        refused()
    }
    async fn remote_job(&self, _: TaskId) -> Answer<Option<RemoteJob>> {
        refused()
    }
    async fn sync(&self) -> Answer<()> {
        refused()
    }
    async fn raise_halt(&self, _: HaltOrder, _: Option<Timestamp>, _: String, _: Timestamp) -> Answer<bool> {
        refused()
    }
    async fn lift_halt(&self, _: i64, _: String, _: Timestamp) -> Answer<bool> {
        refused()
    }
    async fn halts(&self, _: bool, _: Timestamp) -> Answer<Vec<Halt>> {
        refused()
    }
    async fn take_probe(&self, _: i64, _: Duration, _: Timestamp) -> Answer<bool> {
        refused()
    }
    async fn retry(&self, _: Filter, _: bool, _: Timestamp) -> Answer<u64> {
        refused()
    }
    async fn cancel(&self, _: Filter, _: Timestamp) -> Answer<u64> {
        refused()
    }
    async fn tallies(&self) -> Answer<Vec<Tally>> {
        refused()
    }
    async fn tallies_where(&self, _: Filter, _: Timestamp) -> Answer<Vec<Tally>> {
        refused()
    }
    async fn task(&self, _: TaskId) -> Answer<Option<TaskRow>> {
        refused()
    }
    async fn attempts(&self, _: TaskId) -> Answer<Vec<AttemptRow>> {
        refused()
    }
    async fn purgeable(&self, _: Purge) -> Answer<Vec<Purgeable>> {
        refused()
    }
    async fn purge(&self, _: Purge, _: Timestamp) -> Answer<Vec<Purgeable>> {
        refused()
    }
    async fn open_purge(&self) -> Answer<Option<i64>> {
        refused()
    }
    async fn purged_audio(&self, _: JobId, _: i64, _: u32) -> Answer<Vec<(i64, RecordingPath)>> {
        refused()
    }
    async fn end_purge(&self, _: i64, _: Timestamp) -> Answer<bool> {
        refused()
    }
    async fn usage(&self, _: Endpoint, _: Month) -> Answer<Usage> {
        refused()
    }
    async fn close(&self) {}
}
