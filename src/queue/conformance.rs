//! What every backend promises: one list of cases, run against each. A backend is added at the foot.
//!
//! Longer than 500 lines by intent: the promises are one list, to be read from top to bottom.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::task::*;

/// What a case gets: a fresh store, and another handle on the same one as a second process would have.
struct Bench {
    store: Arc<dyn TaskStore>,
    other: Arc<dyn TaskStore>,
    _folder: tempfile::TempDir,
}

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const STT: Endpoint = Endpoint::SttBatch;

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

fn spec(name: &str, endpoint: Endpoint) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        endpoint,
        options: serde_json::json!({}),
        root: "/in".into(),
        output: format!("/out/{name}").into(),
        order: Order::Longest,
    }
}

fn found(path: impl AsRef<[u8]>, size: u64) -> NewTask {
    NewTask {
        path: RecordingPath::from_bytes(path.as_ref()),
        size_bytes: size,
        modified_ns: 7,
        format: Some("wav"),
        head: None,
        measured: None,
        refusal: None,
        metadata: Metadata::default(),
    }
}

impl Bench {
    async fn job(&self, name: &str) -> Job {
        self.store.upsert_jobs(vec![spec(name, STT)], NOW).await.unwrap().remove(0)
    }

    /// A job with `n` tasks of falling size, `ceiling` slots and a registered worker "a".
    async fn filled(&self, n: u64, ceiling: u32) -> Job {
        let job = self.job("archive").await;
        let tasks = (0..n).map(|i| found(format!("{i:05}.wav"), 1000 * (n - i))).collect();
        self.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
        self.store.set_ceiling(STT, ceiling).await.unwrap();
        self.register(&self.store, "a").await;
        job
    }

    async fn register(&self, store: &Arc<dyn TaskStore>, name: &str) {
        let row = WorkerRow {
            id: worker(name),
            host: "here".into(),
            pid: 1,
            version: "0".into(),
            started_at: NOW,
            beat_at: NOW,
            ended_at: None,
            exit_code: None,
            alive: true,
        };
        store.register(row).await.unwrap();
    }

    fn wish(&self, name: &str, tasks: &[Candidate], want: u32) -> ClaimRequest {
        ClaimRequest {
            worker: worker(name),
            endpoint: STT,
            tasks: tasks.iter().map(|t| (t.id, amount(1000))).collect(),
            want,
            ahead: 0,
            alone: false,
            probing: vec![],
            cap_ms: None,
            budget: BudgetLimit::default(),
            identities: None,
            now: NOW,
        }
    }

    async fn candidates(&self, job: &Job, limit: u32, now: Timestamp) -> Vec<Candidate> {
        self.store.candidates(STT, vec![job.id], vec![], limit, now).await.unwrap()
    }

    async fn claim(&self, job: &Job, want: u32) -> Vec<ClaimedTask> {
        let tasks = self.candidates(job, want, NOW).await;
        self.store.claim(self.wish("a", &tasks, want)).await.unwrap().tasks
    }

    async fn settle(&self, task: ClaimedTask, settlement: Settlement, now: Timestamp) -> Settled {
        let result = matches!(settlement, Settlement::Succeed).then(answer);
        let request = Request { started_at: Some(NOW), http_status: Some(200), ..Request::default() };
        self.store
            .settle(Arc::new(Settle { task, settlement, request, result, next: None, resend: false, now }))
            .await
            .unwrap()
    }

    async fn hand_over(&self, task: ClaimedTask, to: TaskId) -> Settled {
        let (settlement, result) = (Settlement::Succeed, Some(answer()));
        let settle = Settle {
            task,
            settlement,
            request: Request::default(),
            result,
            next: Some(to),
            resend: false,
            now: NOW,
        };
        self.store.settle(Arc::new(settle)).await.unwrap()
    }

    async fn state(&self, id: TaskId) -> TaskState {
        self.store.task(id).await.unwrap().unwrap().state
    }

    async fn busy(&self) -> u32 {
        self.store.limiter(STT).await.unwrap().busy
    }
}

/// So much audio, at ten millionths of a dollar for a second.
fn amount(audio_ms: u64) -> Amount {
    Amount { audio_ms, cost: Money(audio_ms / 100) }
}

fn answer() -> NewResult {
    NewResult {
        response: r#"{"text":"x","duration_ms":1000}"#.into(),
        audio: AudioFacts { bytes: 5, blake3: "b3".into(), format: "wav".into(), mime: "audio/wav".into() },
        duration_ms: Some(1000),
        measured: None,
        billed_ms: 1000,
        cost: Money(70),
        redacted_audio: None,
        made: Made::default(),
        suspicions: vec![],
        piece: None,
        counted: Counted::default(),
    }
}

fn overloaded() -> Failure {
    Failure::answered(Cause::Overloaded, 503, "busy", Billed::No)
}

fn reached(cap: Cap, in_flight: u32) -> Option<Reached> {
    Some(Reached { cap, in_flight })
}

/// A claim written down twice, as a late worker has it.
fn twin(task: &ClaimedTask) -> ClaimedTask {
    ClaimedTask { path: task.path.clone(), ..*task }
}

async fn a_second_scan_enqueues_nothing_new(b: Bench) {
    let job = b.job("archive").await;
    let tasks = || vec![found("a.wav", 1), found(b"b\xff\n.wav", 2)];
    let expected = b.store.compare(job.id, tasks()).await.unwrap();
    let first = b.store.enqueue_batch(job.id, tasks(), NOW).await.unwrap();
    assert_eq!((first.new, first.new_bytes, first.known), (2, 3, 0));
    assert_eq!(expected, first, "comparing foretells enqueueing");
    let second = b.store.enqueue_batch(job.id, tasks(), NOW).await.unwrap();
    assert_eq!((second.new, second.known), (0, 2));
    let rows = b.store.tasks(Filter::default(), None, 10, NOW).await.unwrap();
    assert_eq!(rows[1].path.as_bytes(), b"b\xff\n.wav", "names are kept byte by byte");
}

async fn a_length_is_kept_for_the_file_that_was_measured_and_no_other(b: Bench) {
    let job = b.job("archive").await;
    let known = NewTask { measured: Some(Measured::header(900)), ..found("known.wav", 1) };
    let empty = NewTask { refusal: Some(Failure::local(Cause::Empty, "empty file")), ..found("no.wav", 0) };
    let tasks = vec![known, found("a.wav", 2), empty, found("b.wav", 3)];
    b.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
    let page = |after| b.store.unmeasured(job.id, after, 1);
    let a = page(None).await.unwrap().remove(0);
    let c = page(Some(a.id)).await.unwrap().remove(0);
    assert_eq!((a.file.size_bytes, c.file.size_bytes, a.format.as_deref()), (2, 3, Some("wav")));
    assert!(page(Some(c.id)).await.unwrap().is_empty());
    // One of them changes after it was looked at.
    b.store.enqueue_batch(job.id, vec![found("a.wav", 77)], NOW).await.unwrap();
    let measured = vec![(a.clone(), Measured::packets(5)), (c, Measured::estimated(6))];
    b.store.keep_measured(measured).await.unwrap();
    let rows = b.store.tasks(Filter::default(), None, 9, NOW).await.unwrap();
    let lengths: Vec<_> = rows.iter().map(|row| row.measured).collect();
    assert_eq!(lengths, [Some(Measured::header(900)), None, None, Some(Measured::estimated(6))]);
    assert_eq!(page(None).await.unwrap()[0].id, a.id, "it is still to be measured");
    let known = b.candidates(&job, 9, NOW).await.into_iter().find(|c| c.size_bytes == 1).unwrap();
    assert_eq!(known.measured, Some(Measured::header(900)));
}

async fn the_same_recording_in_two_jobs_is_two_tasks(b: Bench) {
    let one = b.job("one").await;
    let two = b.job("two").await;
    for job in [&one, &two] {
        let added = b.store.enqueue_batch(job.id, vec![found("a.wav", 1)], NOW).await.unwrap();
        assert_eq!(added.new, 1);
    }
}

async fn a_refused_recording_enters_as_failed_and_comes_back_when_its_file_changes(b: Bench) {
    let job = b.job("archive").await;
    let empty = NewTask { refusal: Some(Failure::local(Cause::Empty, "empty file")), ..found("a.wav", 0) };
    let added = b.store.enqueue_batch(job.id, vec![empty], NOW).await.unwrap();
    assert_eq!((added.new, added.refused), (1, 1));
    assert!(b.candidates(&job, 9, NOW).await.is_empty());
    let again = b.store.enqueue_batch(job.id, vec![found("a.wav", 9)], later(1)).await.unwrap();
    assert_eq!((again.reopened, again.refused), (1, 0));
    let rows = b.candidates(&job, 9, later(1)).await;
    assert_eq!(rows[0].size_bytes, 9);
}

async fn a_recording_that_was_sent_is_not_sent_again_because_it_changed(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Succeed, NOW).await;
    let again = b.store.enqueue_batch(job.id, vec![found("00000.wav", 77)], NOW).await.unwrap();
    assert_eq!((again.changed, again.new, again.reopened), (1, 0, 0));
}

async fn a_job_with_tasks_keeps_its_endpoint(b: Bench) {
    b.filled(1, 1).await;
    let error = b.store.upsert_jobs(vec![spec("archive", Endpoint::Batch)], NOW).await.unwrap_err();
    assert!(matches!(error, QueueError::EndpointChanged { .. }), "{error}");
    assert!(error.to_string().contains("give the job a new name"));
}

async fn the_order_of_a_job_decides_who_goes_first_and_can_be_changed(b: Bench) {
    let job = b.job("archive").await;
    let tasks = vec![found("small.wav", 1), found("large.wav", 9), found("middle.wav", 5)];
    b.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
    let names = |rows: Vec<Candidate>| rows.iter().map(|t| t.path.to_string()).collect::<Vec<_>>();
    assert_eq!(names(b.candidates(&job, 9, NOW).await), ["large.wav", "middle.wav", "small.wav"]);
    let shortest = JobSpec { order: Order::Shortest, ..spec("archive", STT) };
    b.store.upsert_jobs(vec![shortest], NOW).await.unwrap();
    assert_eq!(names(b.candidates(&job, 9, NOW).await), ["small.wav", "middle.wav", "large.wav"]);
}

async fn jobs_of_one_endpoint_take_turns(b: Bench) {
    let one = b.job("one").await;
    let two = b.job("two").await;
    for (job, name) in [(&one, "a"), (&two, "b")] {
        let tasks = (0..5).map(|i| found(format!("{name}{i}.wav"), 9)).collect();
        b.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
    }
    let rows = b.store.candidates(STT, vec![one.id, two.id], vec![], 4, NOW).await.unwrap();
    assert_eq!(rows.iter().filter(|t| t.job == one.id).count(), 2);
}

async fn a_claim_takes_no_more_than_slots(b: Bench) {
    let job = b.filled(10, 3).await;
    let tasks = b.candidates(&job, 10, NOW).await;
    let first = b.store.claim(b.wish("a", &tasks, 10)).await.unwrap();
    assert_eq!(first.tasks.len(), 3);
    assert_eq!(first.limiter.busy, 3);
    let second = b.store.claim(b.wish("a", &tasks[3..], 10)).await.unwrap();
    assert!(second.tasks.is_empty() && second.gone.is_empty());
    let of_another = b.store.claim(b.wish("b", &tasks[3..], 10)).await.unwrap();
    assert_eq!((second.elsewhere, of_another.elsewhere), (0, 3), "whose they are");
}

async fn a_claim_takes_no_more_than_the_pace_allows(b: Bench) {
    let job = b.filled(9, 4).await;
    b.store.save_pace(STT, Some(2), None).await.unwrap();
    assert_eq!((b.claim(&job, 9).await.len(), b.claim(&job, 9).await.len()), (2, 0));
}

async fn what_is_gone_leaves_its_turn_and_its_share_of_the_cap_to_the_next(b: Bench) {
    let job = b.filled(6, 6).await;
    let tasks = b.candidates(&job, 6, NOW).await;
    let ids = |range: std::ops::Range<usize>| tasks[range].iter().map(|t| t.id).collect::<Vec<_>>();
    let taken = |claim: &Claim| claim.tasks.iter().map(|t| t.id).collect::<Vec<_>>();
    b.store.claim(b.wish("a", &tasks[..1], 1)).await.unwrap();
    b.register(&b.store, "b").await;
    let claim = b.store.claim(b.wish("b", &tasks, 2)).await.unwrap();
    assert_eq!((taken(&claim), &claim.gone), (ids(1..3), &ids(0..1)));
    assert_eq!(claim.tasks.iter().map(|t| t.elsewhere).collect::<Vec<_>>(), [1, 1]);
    let capped = ClaimRequest { cap_ms: Some(5500), ..b.wish("a", &tasks[2..], 4) };
    let claim = b.store.claim(capped).await.unwrap();
    assert_eq!(
        (taken(&claim), &claim.gone, claim.cap_reached),
        (ids(3..5), &ids(2..3), reached(Cap::Month, 5))
    );
}

async fn what_was_put_off_since_it_was_looked_at_is_gone(b: Bench) {
    let job = b.filled(1, 1).await;
    let tasks = b.candidates(&job, 1, NOW).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Retry { run_at: later(50), failure: overloaded() }, NOW).await;
    let claim = b.store.claim(b.wish("a", &tasks, 1)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.gone), (0, vec![tasks[0].id]));
}

async fn each_request_reserves_of_the_cap_what_it_needs_itself(b: Bench) {
    let job = b.filled(3, 3).await;
    let ids: Vec<_> = b.candidates(&job, 3, NOW).await.iter().map(|t| t.id).collect();
    let first =
        ClaimRequest { tasks: vec![(ids[0], amount(1000)), (ids[1], amount(3000))], ..b.wish("a", &[], 2) };
    assert_eq!(b.store.claim(first).await.unwrap().tasks.len(), 2);
    let next =
        ClaimRequest { tasks: vec![(ids[2], amount(1000))], cap_ms: Some(4999), ..b.wish("a", &[], 1) };
    assert_eq!(b.store.claim(next).await.unwrap().cap_reached, reached(Cap::Month, 2));
}

async fn two_processes_never_exceed_the_limit_nor_share_a_task(b: Bench) {
    let job = b.filled(200, 16).await;
    b.register(&b.other, "b").await;
    let tasks = b.candidates(&job, 200, NOW).await;
    let claims = (0..40).map(|i| {
        let (store, name) = if i % 2 == 0 { (&b.store, "a") } else { (&b.other, "b") };
        let wish = b.wish(name, &tasks, 2);
        let store = Arc::clone(store);
        tokio::spawn(async move { store.claim(wish).await.unwrap().tasks })
    });
    let mut ids = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        ids.extend(claim.await.unwrap().into_iter().map(|t| t.id));
    }
    assert_eq!(ids.len(), 16);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 16);
}

async fn a_lowered_ceiling_lets_nothing_start_until_enough_is_free(b: Bench) {
    let job = b.filled(10, 4).await;
    let mut held = b.claim(&job, 4).await;
    b.store.set_ceiling(STT, 2).await.unwrap();
    for expected in [0, 0, 1] {
        b.settle(held.remove(0), Settlement::Release(overloaded()), NOW).await;
        let tasks = b.candidates(&job, 9, NOW).await;
        let claim = b.store.claim(b.wish("a", &tasks, 1)).await.unwrap();
        assert_eq!(claim.tasks.len(), expected);
    }
}

async fn a_settled_task_frees_its_slot_and_keeps_its_result(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    assert_eq!(b.busy().await, 1);
    assert_eq!(b.settle(task, Settlement::Succeed, later(1)).await, Settled::Accepted);
    assert_eq!((b.busy().await, b.state(id).await), (0, TaskState::Succeeded));
    let results = b.store.results(job.id, 0, 10).await.unwrap();
    assert_eq!((results.len(), results[0].attempts, results[0].duration_ms), (1, 1, Some(1000)));
    let usage = b.store.usage(STT, NOW.month()).await.unwrap();
    let expected =
        Usage { billed_ms: 1000, succeeded: 1, measured_ms: 1000, cost: Money(70), ..Usage::default() };
    assert_eq!(usage, expected);
}

async fn a_slot_is_handed_to_a_task_that_was_claimed_ahead(b: Bench) {
    let job = b.filled(5, 1).await;
    let tasks = b.candidates(&job, 5, NOW).await;
    let wish = ClaimRequest { ahead: 2, ..b.wish("a", &tasks, 1) };
    let mut claim = b.store.claim(wish).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.ahead.len(), claim.limiter.busy), (1, 2, 1));
    assert_eq!(b.state(claim.ahead[1].id).await, TaskState::Running);
    // They may end before the queue has heard of it: the slot goes to the last one.
    let (one, two, three) = (claim.tasks.remove(0), claim.ahead.remove(0), claim.ahead.remove(0));
    let (second, third) = (two.id, three.id);
    let ends = [b.hand_over(one, second), b.hand_over(two, third)];
    assert_eq!(join_all(ends).await, [Settled::Accepted; 2]);
    assert_eq!((b.busy().await, b.state(second).await), (1, TaskState::Succeeded));
    assert!(b.claim(&job, 1).await.is_empty(), "it was never seen free");
    assert_eq!(b.settle(three, Settlement::Succeed, NOW).await, Settled::Accepted);
    assert_eq!((b.busy().await, b.claim(&job, 1).await.len()), (0, 1));
}

async fn nothing_is_claimed_ahead_that_nobody_of_this_process_could_hand_a_slot(b: Bench) {
    let job = b.filled(9, 2).await;
    let ask = async |want, alone| {
        let tasks = b.candidates(&job, 9, NOW).await;
        b.store.claim(ClaimRequest { ahead: 1, alone, ..b.wish("a", &tasks, want) }).await.unwrap()
    };
    let counts = |claim: &Claim| (claim.tasks.len(), claim.ahead.len());
    assert_eq!(counts(&ask(0, false).await), (0, 0), "it has no slot");
    let mut lone = ask(1, true).await;
    assert_eq!(counts(&lone), (1, 0), "it is to be alone");
    assert_eq!(counts(&ask(0, false).await), (0, 0), "and stays so");
    b.settle(lone.tasks.remove(0), Settlement::Succeed, NOW).await;
    assert_eq!(counts(&ask(1, false).await), (1, 1));
    b.register(&b.other, "b").await;
    assert_eq!(counts(&ask(0, false).await), (0, 0), "somebody else waits for slots, too");
    b.other.retire(worker("b"), 0, NOW).await.unwrap();
    assert_eq!(counts(&ask(0, false).await), (0, 1));
    b.store.save_pace(STT, None, Some(later(5))).await.unwrap();
    assert_eq!(counts(&ask(0, false).await), (0, 0), "the API asked for a pause");
}

async fn who_waits_on_deck_gets_the_first_free_slot_and_its_share_of_the_cap(b: Bench) {
    let job = b.filled(4, 3).await;
    let tasks = b.candidates(&job, 4, NOW).await;
    let wish = ClaimRequest { ahead: 1, ..b.wish("a", &tasks[..2], 1) };
    let mut claim = b.store.claim(wish).await.unwrap();
    let waiting = claim.ahead.remove(0).id;
    let capped = ClaimRequest { cap_ms: Some(2999), ..b.wish("a", &tasks[2..], 2) };
    let next = b.store.claim(capped).await.unwrap();
    assert_eq!((next.seated, next.tasks.len()), (vec![waiting], 0));
    assert_eq!(next.cap_reached, Some(Reached { cap: Cap::Month, in_flight: 2 }));
    assert_eq!(b.busy().await, 2);
    // A slot that is handed to somebody who has one is let go.
    b.hand_over(claim.tasks.remove(0), waiting).await;
    assert_eq!(b.busy().await, 1);
}

async fn who_was_on_deck_of_a_process_that_died_is_queued_again(b: Bench) {
    let job = b.filled(2, 1).await;
    b.register(&b.other, "b").await;
    b.store.retire(worker("a"), 0, NOW).await.unwrap();
    let tasks = b.candidates(&job, 2, NOW).await;
    let wish = ClaimRequest { ahead: 1, ..b.wish("b", &tasks, 1) };
    assert_eq!(b.other.claim(wish).await.unwrap().ahead.len(), 1);
    b.other.close().await;
    assert_eq!(b.store.sweep(NOW).await.unwrap(), Recovered { tasks: 2, failed: 0 });
    assert_eq!(b.claim(&job, 2).await.len(), 1);
}

async fn settling_twice_changes_nothing_the_second_time(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let late = twin(&task);
    b.settle(task, Settlement::Succeed, NOW).await;
    assert_eq!(b.settle(late, Settlement::Fail(overloaded()), later(1)).await, Settled::Fenced);
    assert_eq!(b.store.results(job.id, 0, 10).await.unwrap().len(), 1);
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().billed_ms, 1000);
}

async fn a_late_worker_cannot_overwrite_a_task_that_was_claimed_anew(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let (id, late) = (task.id, twin(&task));
    let snooze = Settlement::Snooze { hold: Hold::Throttle, run_at: NOW, failure: overloaded() };
    b.settle(task, snooze, NOW).await;
    let again = b.claim(&job, 1).await.remove(0);
    assert!(again.fence > late.fence);
    assert_eq!(again.attempts, 0, "a snooze gives the attempt back, the fence grows all the same");
    assert_eq!(b.settle(late, Settlement::Succeed, NOW).await, Settled::Fenced);
    assert_eq!((b.state(id).await, b.busy().await), (TaskState::Running, 1));
}

async fn a_retry_waits_and_counts_what_it_ended_in(b: Bench) {
    let job = b.filled(1, 1).await;
    for (round, repeats) in
        [(1u64, None), (2, Some((Cause::Overloaded, 1))), (3, Some((Cause::Overloaded, 2)))]
    {
        let now = later(round * 100);
        let tasks = b.candidates(&job, 1, now).await;
        let wish = ClaimRequest { now, ..b.wish("a", &tasks, 1) };
        let task = b.store.claim(wish).await.unwrap().tasks.remove(0);
        assert_eq!(task.last_cause, repeats);
        assert_eq!(u64::from(task.attempts), round - 1);
        let run_at = now.after(Duration::from_secs(50));
        b.settle(task, Settlement::Retry { run_at, failure: overloaded() }, now).await;
        assert!(b.candidates(&job, 1, run_at.after(Duration::ZERO)).await.len() == 1);
        assert!(b.candidates(&job, 1, Timestamp(run_at.0 - 1)).await.is_empty());
        assert_eq!(b.store.next_due(STT, vec![job.id]).await.unwrap(), Some(run_at));
    }
}

async fn what_may_have_been_billed_is_counted_apart(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let failure = Failure { billed: Billed::Unknown, ..overloaded() };
    b.settle(task, Settlement::Retry { run_at: NOW, failure }, NOW).await;
    let expected = Usage { unknown: 1, unknown_ms: 1000, unknown_cost: Money(10), ..Usage::default() };
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap(), expected);
}

async fn a_pause_holds_everybody_until_it_is_over(b: Bench) {
    let job = b.filled(1, 4).await;
    b.store.save_pace(STT, Some(2), Some(later(10))).await.unwrap();
    b.store.save_pace(STT, None, Some(later(5))).await.unwrap();
    let tasks = b.candidates(&job, 1, NOW).await;
    let early = ClaimRequest { now: later(9), ..b.wish("a", &tasks, 1) };
    assert!(b.store.claim(early).await.unwrap().tasks.is_empty(), "a later, shorter pause cannot shorten it");
    let on_time = ClaimRequest { now: later(10), ..b.wish("a", &tasks, 1) };
    let claim = b.store.claim(on_time).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.limiter.effective), (1, 2));
}

async fn a_halt_of_one_endpoint_stops_it_and_no_other(b: Bench) {
    let job = b.filled(2, 4).await;
    b.store.set_ceiling(Endpoint::Batch, 1).await.unwrap();
    let order = HaltOrder {
        scope: HaltScope::Endpoint(STT),
        reason: HaltReason::MonthlyHours,
        evidence: "HTTP 429".into(),
    };
    assert!(b.store.raise_halt(order.clone(), Some(later(60)), "a".into(), NOW).await.unwrap());
    assert!(!b.store.raise_halt(order.clone(), Some(later(60)), "b".into(), NOW).await.unwrap(), "kept");
    let tasks = b.candidates(&job, 2, NOW).await;
    let claim = b.store.claim(b.wish("a", &tasks, 2)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.halts.len()), (0, 1));
    let elsewhere = ClaimRequest { endpoint: Endpoint::Batch, ..b.wish("a", &[], 1) };
    assert!(b.store.claim(elsewhere).await.unwrap().halts.is_empty());

    let halt = claim.halts[0].id;
    let probing = ClaimRequest { probing: vec![halt], alone: true, ..b.wish("a", &tasks, 2) };
    assert_eq!(b.store.claim(probing).await.unwrap().tasks.len(), 1, "its probe may pass, alone");

    assert!(b.store.halts(true, later(60)).await.unwrap().is_empty(), "it ends by itself");
    assert!(b.store.raise_halt(order, None, "a".into(), later(61)).await.unwrap(), "and can come again");
    assert_eq!(b.store.halts(false, later(61)).await.unwrap().len(), 2);
}

async fn a_halt_of_everything_is_lifted_once(b: Bench) {
    let job = b.filled(1, 1).await;
    let order =
        HaltOrder { scope: HaltScope::Everything, reason: HaltReason::Credits, evidence: String::new() };
    b.store.raise_halt(order, None, "a".into(), NOW).await.unwrap();
    let tasks = b.candidates(&job, 1, NOW).await;
    let halts = b.store.claim(b.wish("a", &tasks, 1)).await.unwrap().halts;
    assert!(b.store.lift_halt(halts[0].id, "me".into(), NOW).await.unwrap());
    assert!(!b.store.lift_halt(halts[0].id, "me".into(), NOW).await.unwrap());
    assert_eq!(b.store.claim(b.wish("a", &tasks, 1)).await.unwrap().tasks.len(), 1);
}

async fn a_halt_is_probed_once_an_interval_by_all_processes_together(b: Bench) {
    b.filled(0, 1).await;
    let order =
        HaltOrder { scope: HaltScope::Everything, reason: HaltReason::Credits, evidence: String::new() };
    b.store.raise_halt(order, None, "a".into(), NOW).await.unwrap();
    let halt = b.store.halts(true, NOW).await.unwrap()[0].id;
    let hour = Duration::from_secs(3600);
    assert!(b.store.take_probe(halt, hour, later(1)).await.unwrap());
    assert!(!b.other.take_probe(halt, hour, later(2)).await.unwrap());
    assert!(b.other.take_probe(halt, hour, later(3601)).await.unwrap());
}

async fn the_months_cap_counts_what_is_billed_and_what_is_being_sent(b: Bench) {
    let job = b.filled(5, 5).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Succeed, NOW).await; // 1000 ms billed
    let tasks = b.candidates(&job, 5, NOW).await;
    let capped = || ClaimRequest { cap_ms: Some(3500), ..b.wish("a", &tasks, 5) };
    let claim = b.store.claim(capped()).await.unwrap();
    assert_eq!(
        (claim.tasks.len(), claim.cap_reached),
        (2, reached(Cap::Month, 2)),
        "1000 billed, 2 × 1000 on their way"
    );
    assert_eq!(
        b.store.claim(capped()).await.unwrap().cap_reached,
        reached(Cap::Month, 2),
        "also for another claim"
    );
}

async fn what_may_have_been_billed_counts_for_the_months_cap(b: Bench) {
    let job = b.filled(3, 3).await;
    let task = b.claim(&job, 1).await.remove(0);
    let failure = Failure { billed: Billed::Unknown, ..overloaded() };
    b.settle(task, Settlement::Retry { run_at: later(50), failure }, NOW).await;
    let tasks = b.candidates(&job, 3, NOW).await;
    let capped = ClaimRequest { cap_ms: Some(2000), ..b.wish("a", &tasks, 3) };
    let claim = b.store.claim(capped).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.cap_reached), (1, reached(Cap::Month, 1)));
}

async fn a_budget_counts_from_its_beginning_on_all_endpoints_and_for_all_processes(b: Bench) {
    let job = b.filled(9, 9).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Succeed, NOW).await; // before it began: of no account
    let hours = |ms| BudgetLimit { audio_ms: Some(ms), cost: None };
    b.store.set_budget(hours(4000), false, NOW).await.unwrap();
    let tasks = b.candidates(&job, 9, NOW).await;
    let wish = |limit, from: usize| ClaimRequest { budget: limit, ..b.wish("a", &tasks[from..], 9) };
    let mut claim = b.store.claim(wish(hours(3000), 0)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.cap_reached), (3, reached(Cap::Budget, 3)));
    let lost = Failure { billed: Billed::Unknown, ..overloaded() };
    b.settle(claim.tasks.remove(0), Settlement::Succeed, NOW).await;
    b.settle(claim.tasks.remove(0), Settlement::Fail(lost), NOW).await;
    b.settle(claim.tasks.remove(0), Settlement::Release(overloaded()), NOW).await;
    // Named again, also with another amount, it goes on.
    b.other.set_budget(hours(5000), false, later(9)).await.unwrap();
    let budget = b.other.budget().await.unwrap().unwrap();
    assert_eq!((budget.begun_at, budget.limit), (NOW, hours(5000)));
    assert_eq!(budget.spent, Amount { audio_ms: 2000, cost: Money(70 + 10) }, "billed, and perhaps billed");
    let claim = b.other.claim(wish(hours(2999), 3)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.cap_reached), (0, reached(Cap::Budget, 0)));
    let money = BudgetLimit { audio_ms: None, cost: Some(Money(95)) };
    let claim = b.other.claim(wish(money, 3)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.cap_reached), (1, reached(Cap::Budget, 1)));
    b.store.set_budget(money, true, later(10)).await.unwrap();
    let budget = b.store.budget().await.unwrap().unwrap();
    assert_eq!((budget.begun_at, budget.spent), (later(10), Amount::default()), "begun anew");
}

async fn a_budget_counts_what_others_have_on_deck(b: Bench) {
    let job = b.filled(4, 3).await;
    let tasks = b.candidates(&job, 4, NOW).await;
    let ahead = ClaimRequest { ahead: 1, ..b.wish("a", &tasks[..2], 1) };
    assert_eq!(b.store.claim(ahead).await.unwrap().ahead.len(), 1);
    b.register(&b.other, "b").await;
    let budget = BudgetLimit { audio_ms: Some(2999), cost: None };
    b.other.set_budget(budget, false, NOW).await.unwrap();
    let claim = b.other.claim(ClaimRequest { budget, ..b.wish("b", &tasks[2..], 1) }).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.cap_reached), (0, reached(Cap::Budget, 2)));
}

async fn a_dead_worker_leaves_what_it_had_kept_back_as_perhaps_billed(b: Bench) {
    let job = b.filled(2, 2).await;
    b.store.set_budget(BudgetLimit { audio_ms: Some(9000), cost: None }, false, NOW).await.unwrap();
    assert_eq!(b.claim(&job, 2).await.len(), 2);
    b.store.retire(worker("a"), 1, later(1)).await.unwrap(); // lets go of its lock as a death does
    b.other.sweep(later(1)).await.unwrap();
    let usage = b.other.usage(STT, NOW.month()).await.unwrap();
    assert_eq!((usage.unknown, usage.unknown_ms, usage.unknown_cost), (2, 2000, Money(20)));
    assert_eq!(b.other.budget().await.unwrap().unwrap().spent, amount(2000));
}

async fn a_dead_workers_tasks_come_back_at_once_and_the_third_death_fails_them(b: Bench) {
    let job = b.filled(1, 1).await;
    for death in 1..=3u64 {
        let name = format!("mortal-{death}");
        b.register(&b.other, &name).await;
        let now = later(death);
        let tasks = b.candidates(&job, 1, now).await;
        let claim = b.other.claim(ClaimRequest { now, ..b.wish(&name, &tasks, 1) }).await.unwrap();
        assert_eq!(claim.tasks.len(), 1);
        assert_eq!(b.store.sweep(now).await.unwrap(), Recovered::default(), "it is alive");
        let id = claim.tasks[0].id;
        b.other.retire(worker(&name), 1, now).await.unwrap(); // lets go of its lock as a death does
        let recovered = b.store.sweep(now).await.unwrap();
        assert_eq!(recovered, Recovered { tasks: 1, failed: u64::from(death == 3) });
        assert_eq!(b.busy().await, 0);
        let attempts = b.store.attempts(id).await.unwrap();
        assert_eq!(attempts[0].outcome.as_deref(), Some("lost"));
        assert_eq!(attempts[0].billed, Some(Billed::Unknown));
        let expected = if death == 3 { TaskState::Failed } else { TaskState::Queued };
        assert_eq!(b.state(id).await, expected);
    }
}

fn accepted(id: &str) -> RemoteJob {
    RemoteJob { id: id.into(), blake3: "b3".into(), bytes: 5, accepted_at: NOW }
}

async fn a_job_that_was_accepted_is_known_until_a_settlement_says_that_it_is_over(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let (id, fence) = (task.id, task.fence);
    assert_eq!(b.store.remote_job(id).await.unwrap(), None);
    assert_eq!(b.store.remember_job(id, fence, accepted("one")).await.unwrap(), Settled::Accepted);
    assert_eq!(b.other.remote_job(id).await.unwrap(), Some(accepted("one")), "every process knows");
    assert_eq!(b.store.remember_job(id, fence, accepted("two")).await.unwrap(), Settled::Accepted);
    // Put back: it goes on elsewhere, whatever becomes of us.
    b.settle(task, Settlement::Release(Failure::local(Cause::Interrupted, "stopped")), NOW).await;
    assert_eq!(b.store.remote_job(id).await.unwrap(), Some(accepted("two")));
    assert_eq!(b.store.remember_job(id, fence, accepted("late")).await.unwrap(), Settled::Accepted);

    let task = b.claim(&job, 1).await.remove(0);
    assert_eq!(b.store.remember_job(id, fence, accepted("older")).await.unwrap(), Settled::Fenced);
    assert_eq!(b.store.remote_job(id).await.unwrap(), Some(accepted("late")));
    let over = Request { job_over: true, ..Request::default() };
    let (again, settlement) =
        (twin(&task), Settlement::Fail(Failure::local(Cause::UnreadableAudio, "failed")));
    let settle =
        Settle { task, settlement, request: over.clone(), result: None, next: None, resend: false, now: NOW };
    b.store.settle(Arc::new(settle)).await.unwrap();
    assert_eq!(b.store.remote_job(id).await.unwrap(), None);

    b.store.remember_job(id, again.fence, accepted("three")).await.unwrap();
    let settle = Settle {
        task: again,
        settlement: Settlement::Succeed,
        request: over,
        result: Some(answer()),
        next: None,
        resend: false,
        now: NOW,
    };
    assert_eq!(b.store.settle(Arc::new(settle)).await.unwrap(), Settled::Fenced);
    assert!(b.store.remote_job(id).await.unwrap().is_some(), "a settlement that is not taken says nothing");
}

async fn a_job_that_was_accepted_outlives_its_worker_and_is_not_counted_as_perhaps_billed(b: Bench) {
    let job = b.filled(2, 2).await;
    b.register(&b.other, "mortal").await;
    let tasks = b.candidates(&job, 2, NOW).await;
    let held = b.other.claim(b.wish("mortal", &tasks, 2)).await.unwrap().tasks;
    b.other.remember_job(held[0].id, held[0].fence, accepted("one")).await.unwrap();
    b.other.retire(worker("mortal"), 1, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    assert_eq!(b.store.remote_job(held[0].id).await.unwrap(), Some(accepted("one")));
    for (task, billed) in held.iter().zip([Billed::No, Billed::Unknown]) {
        assert_eq!(b.store.attempts(task.id).await.unwrap()[0].billed, Some(billed));
        assert_eq!(b.store.task(task.id).await.unwrap().unwrap().billed, Some(billed));
    }
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().unknown, 1);
}

/// The answer to a piece of ten seconds, the `n`th from 0.
fn piece(n: u64, of: &str) -> NewResult {
    let own = n * 10_000..(n + 1) * 10_000;
    let stretch = Stretch { rate: 1000, channel: 0, heard: own.clone(), own, is_last: false };
    NewResult {
        response: format!(r#"{{"text":"{n}","duration_ms":10000}}"#),
        duration_ms: Some(10_000),
        measured: Some(Measured::header(10_001)),
        billed_ms: 10_000,
        made: Made { identity: Some(same(of)), ..Made::default() },
        piece: Some(stretch),
        ..answer()
    }
}

impl Bench {
    async fn advance(&self, task: ClaimedTask, result: NewResult, now: Timestamp) -> Settled {
        let request = Request { http_status: Some(200), ..Request::default() };
        let settle = Settle {
            task,
            settlement: Settlement::Advance,
            request,
            result: Some(result),
            next: None,
            resend: false,
            now,
        };
        self.store.settle(Arc::new(settle)).await.unwrap()
    }

    async fn piece_texts(&self, id: TaskId) -> Vec<String> {
        let pieces = self.store.pieces(id).await.unwrap();
        pieces.into_iter().map(|piece| piece.response[9..10].to_owned()).collect()
    }
}

async fn pieces_are_kept_counted_once_and_gone_when_they_have_become_a_result(b: Bench) {
    let job = b.filled(1, 1).await;
    for n in 0..2 {
        let task = b.claim(&job, 1).await.remove(0);
        assert_eq!(b.advance(task, piece(n, "x"), later(n)).await, Settled::Accepted);
        assert_eq!(b.busy().await, 0);
    }
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    let known = b.store.pieces(id).await.unwrap();
    assert_eq!(known.iter().map(|p| p.stretch.own.clone()).collect::<Vec<_>>(), [0..10_000, 10_000..20_000]);
    assert_eq!((known[1].measured_ms, known[1].answered_at), (10_001, later(1)));
    let usage = || b.store.usage(STT, NOW.month());
    let before = usage().await.unwrap();
    assert_eq!((before.billed_ms, before.measured_ms, before.succeeded), (20_000, 20_002, 0));
    let counted = Counted { billed: Amount { audio_ms: 20_000, cost: Money(140) }, measured_ms: 20_002 };
    let measured = Some(Measured::header(25_003));
    let result = NewResult { billed_ms: 25_000, cost: Money(175), measured, counted, ..answer() };
    let settle = Settle {
        task,
        settlement: Settlement::Succeed,
        request: Request::default(),
        result: Some(result),
        next: None,
        resend: false,
        now: later(9),
    };
    assert_eq!(b.store.settle(Arc::new(settle)).await.unwrap(), Settled::Accepted);
    let after = usage().await.unwrap();
    assert_eq!((after.billed_ms, after.measured_ms, after.succeeded), (25_000, 25_003, 1));
    assert_eq!(after.cost, Money(175));
    assert_eq!(b.store.result(id).await.unwrap().unwrap().billed_ms, 25_000);
    assert!(b.store.pieces(id).await.unwrap().is_empty());
    assert_eq!(b.store.speeds(job.id, 9).await.unwrap(), [], "nobody waited that long for one answer");
}

async fn each_piece_has_all_its_tries_and_a_dead_worker_takes_none_of_them_away(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    b.settle(task, Settlement::Retry { run_at: NOW, failure: overloaded() }, NOW).await;
    let task = b.claim(&job, 1).await.remove(0);
    assert_eq!(task.attempts, 1);
    b.advance(task, piece(0, "x"), NOW).await;
    for n in 0..2 {
        let name = format!("mortal{n}");
        b.register(&b.other, &name).await;
        let tasks = b.candidates(&job, 1, NOW).await;
        b.other.claim(b.wish(&name, &tasks, 1)).await.unwrap();
        b.other.retire(worker(&name), 0, NOW).await.unwrap();
        b.store.sweep(NOW).await.unwrap();
    }
    let task = b.claim(&job, 1).await.remove(0);
    assert_eq!((task.attempts, task.last_cause, task.first_failed_at), (0, None, None));
    b.advance(task, piece(1, "x"), NOW).await;
    let row = b.store.task(id).await.unwrap().unwrap();
    assert_eq!((row.lease_losses, row.state, row.cause), (0, TaskState::Queued, None));
    assert_eq!(b.piece_texts(id).await, ["0", "1"]);
}

async fn pieces_of_another_content_are_void_and_stay_counted(b: Bench) {
    let job = b.filled(1, 1).await;
    for (n, of) in [(0, "old"), (1, "old"), (0, "new")] {
        let task = b.claim(&job, 1).await.remove(0);
        b.advance(task, piece(n, of), NOW).await;
    }
    let id = b.candidates(&job, 1, NOW).await[0].id;
    let known = b.store.pieces(id).await.unwrap();
    assert_eq!(known.iter().map(|p| &p.identity).collect::<Vec<_>>(), [&same("new")]);
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().billed_ms, 30_000);
}

async fn a_piece_that_comes_late_is_kept_unless_somebody_claimed_its_recording_anew(b: Bench) {
    let job = b.filled(1, 1).await;
    b.register(&b.other, "mortal").await;
    let tasks = b.candidates(&job, 1, NOW).await;
    let task = b.other.claim(b.wish("mortal", &tasks, 1)).await.unwrap().tasks.remove(0);
    let (id, late, later_still) = (task.id, twin(&task), twin(&task));
    b.other.retire(worker("mortal"), 0, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    assert_eq!(b.advance(late, piece(0, "x"), NOW).await, Settled::Accepted);
    assert_eq!(b.state(id).await, TaskState::Queued);
    b.claim(&job, 1).await;
    assert_eq!(b.advance(later_still, piece(1, "x"), NOW).await, Settled::Fenced);
    assert_eq!(b.piece_texts(id).await, ["0"]);
}

async fn what_is_cancelled_between_pieces_keeps_them_for_a_retry_by_hand(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    b.store.cancel(Filter::default(), NOW).await.unwrap();
    b.advance(task, piece(0, "x"), NOW).await;
    assert_eq!(b.state(id).await, TaskState::Cancelled);
    b.store.retry(Filter::default(), false, NOW).await.unwrap();
    assert_eq!((b.state(id).await, b.piece_texts(id).await), (TaskState::Queued, vec!["0".to_owned()]));
}

async fn one_that_is_the_same_goes_on_with_the_pieces_of_one_that_does_not_run(b: Bench) {
    let job = b.filled(3, 2).await;
    b.register(&b.other, "mortal").await;
    let tasks = b.candidates(&job, 3, NOW).await;
    let of = ["x", "x", "y"];
    let wish_as = |name: &str, tasks: &[Candidate], of: &[&str]| ClaimRequest {
        worker: worker(name),
        ..b.wish_for(tasks, of)
    };
    let mut first = b.other.claim(wish_as("mortal", &tasks[..1], &of[..1])).await.unwrap().tasks;
    b.advance(first.remove(0), piece(0, "x"), NOW).await;
    let late = b.other.claim(wish_as("mortal", &tasks[..1], &of[..1])).await.unwrap().tasks.remove(0);
    b.other.retire(worker("mortal"), 0, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    let claim = b.store.claim(wish_as("a", &tasks[1..], &of[1..])).await.unwrap();
    assert_eq!(claim.tasks.len(), 2);
    let texts = async |at: usize| b.piece_texts(tasks[at].id).await;
    assert_eq!((texts(0).await.len(), texts(1).await, texts(2).await.len()), (0, vec!["0".to_owned()], 0));
    assert_eq!(b.advance(late, piece(1, "x"), NOW).await, Settled::Accepted);
    assert_eq!(texts(0).await.len(), 0, "what it would follow is the other's now");
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().billed_ms, 20_000, "and it is counted");
}

async fn a_purge_takes_the_pieces_of_what_was_given_up(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    b.advance(task, piece(0, "x"), NOW).await;
    let purge = |seconds| Purge { finished_by: later(seconds), ..all_of(&[&job]) };
    assert!(b.store.purgeable(purge(99)).await.unwrap().is_empty(), "it goes on");
    b.store.cancel(Filter::default(), later(5)).await.unwrap();
    assert!(b.store.purge(purge(4), later(9)).await.unwrap().is_empty());
    let taken = b.store.purge(purge(5), later(9)).await.unwrap();
    assert_eq!((taken[0].answers, taken[0].answer_bytes), (1, piece(0, "x").response.len() as u64));
    assert_eq!(b.piece_texts(id).await, [] as [&str; 0]);
}

async fn how_much_a_request_may_hold_only_falls_and_counts_under_the_settings_of_its_day(b: Bench) {
    b.filled(1, 1).await;
    let learn =
        |minutes: u64, under_ms| b.store.learn_longest(STT, Longest { ms: minutes * 60_000, under_ms });
    let known = async || b.other.limiter(STT).await.unwrap().longest.map(|l| (l.ms / 60_000, l.under_ms));
    assert_eq!(known().await, None);
    learn(20, None).await.unwrap();
    learn(30, None).await.unwrap();
    assert_eq!(known().await, Some((20, None)));
    learn(10, None).await.unwrap();
    b.store.set_ceiling(STT, 3).await.unwrap();
    assert_eq!(known().await, Some((10, None)));
    learn(15, Some(9)).await.unwrap();
    assert_eq!(known().await, Some((15, Some(9))), "under other settings it is found out anew");
}

async fn a_success_after_the_task_was_taken_back_is_kept_if_nobody_claimed_it_anew(b: Bench) {
    let job = b.filled(1, 1).await;
    b.register(&b.other, "slow").await;
    let tasks = b.candidates(&job, 1, NOW).await;
    let task = b.other.claim(b.wish("slow", &tasks, 1)).await.unwrap().tasks.remove(0);
    let id = task.id;
    b.other.retire(worker("slow"), 1, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    assert_eq!(b.settle(task, Settlement::Succeed, NOW).await, Settled::Accepted);
    assert_eq!(b.state(id).await, TaskState::Succeeded);
}

async fn looks_alone_can_refuse_a_task_unless_somebody_claimed_it(b: Bench) {
    let job = b.filled(2, 2).await;
    let tasks = b.candidates(&job, 2, NOW).await;
    let gone = || Settlement::Fail(Failure::local(Cause::SourceMissing, "gone"));
    let (first, second) = (&tasks[0], &tasks[1]);
    assert_eq!(b.store.set_aside(first.id, first.fence, gone(), NOW).await.unwrap(), Settled::Accepted);
    b.store.claim(b.wish("a", &tasks[1..], 1)).await.unwrap();
    assert_eq!(b.store.set_aside(second.id, second.fence, gone(), NOW).await.unwrap(), Settled::Fenced);
    let row = b.store.task(first.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.cause, row.attempts), (TaskState::Failed, Some(Cause::SourceMissing), 0));
}

async fn a_file_that_is_still_changing_waits(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.candidates(&job, 1, NOW).await.remove(0);
    let failure = Failure::local(Cause::SourceChanged, "changing");
    let wait = Settlement::Snooze { hold: Hold::Settle, run_at: later(10), failure };
    b.store.set_aside(task.id, task.fence, wait, NOW).await.unwrap();
    assert!(b.candidates(&job, 1, later(9)).await.is_empty());
    assert_eq!(b.candidates(&job, 1, later(10)).await.len(), 1);
    assert_eq!(b.store.task(task.id).await.unwrap().unwrap().hold, Some(Hold::Settle));
}

async fn cancelling_takes_queued_tasks_at_once_and_running_ones_when_they_end(b: Bench) {
    let job = b.filled(4, 3).await;
    let mut held = b.claim(&job, 3).await;
    assert_eq!(b.store.cancel(Filter::default(), NOW).await.unwrap(), 4);
    assert_eq!(b.store.cancel(Filter::default(), NOW).await.unwrap(), 0, "asked for already");
    assert_eq!(b.busy().await, 3, "their requests are still under way");
    let (one, two, three) = (held.remove(0), held.remove(0), held.remove(0));
    let ids = [one.id, two.id, three.id];
    b.settle(one, Settlement::Succeed, NOW).await;
    b.settle(two, Settlement::Retry { run_at: later(9), failure: overloaded() }, NOW).await;
    b.settle(three, Settlement::Fail(overloaded()), NOW).await;
    assert_eq!(b.state(ids[0]).await, TaskState::Succeeded, "paid for, so kept");
    assert_eq!(b.state(ids[1]).await, TaskState::Cancelled);
    assert_eq!(b.state(ids[2]).await, TaskState::Failed);
    assert_eq!(b.busy().await, 0);
}

async fn retrying_by_hand_starts_the_counting_anew_and_keeps_the_history(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    b.settle(task, Settlement::Fail(overloaded()), NOW).await;
    let filter = Filter::parse("state:failed cause:overloaded").unwrap();
    assert_eq!(b.store.retry(filter.clone(), false, NOW).await.unwrap(), 1);
    assert_eq!(b.store.retry(filter, false, NOW).await.unwrap(), 0);
    let row = b.store.task(id).await.unwrap().unwrap();
    assert_eq!((row.state, row.attempts, row.cause), (TaskState::Queued, 0, None));
    assert_eq!(b.store.attempts(id).await.unwrap().len(), 1);
}

async fn a_success_is_processed_again_only_on_demand_and_its_result_replaced(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Succeed, NOW).await;
    assert_eq!(b.store.retry(Filter::default(), false, NOW).await.unwrap(), 0);
    assert_eq!(b.store.retry(Filter::default(), true, NOW).await.unwrap(), 1);
    assert!(b.store.outputs_stale(job.id).await.unwrap());
    assert!(b.store.results(job.id, 0, 9).await.unwrap().is_empty(), "it stands no longer");
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Succeed, NOW).await;
    let results = b.store.results(job.id, 0, 9).await.unwrap();
    assert_eq!((results.len(), results[0].seq), (1, 2), "one result, with a new number");
    b.store.outputs_renewed(job.id).await.unwrap();
    assert!(!b.store.outputs_stale(job.id).await.unwrap());
}

async fn processing_again_without_success_leaves_the_result_that_was_paid_for(b: Bench) {
    let job = b.filled(2, 2).await;
    for task in b.claim(&job, 2).await {
        b.settle(task, Settlement::Succeed, NOW).await;
    }
    assert_eq!(b.store.retry(Filter::default(), true, NOW).await.unwrap(), 2);
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Fail(overloaded()), NOW).await;
    assert_eq!(b.store.cancel(Filter::default(), NOW).await.unwrap(), 1);
    assert_eq!(b.store.results(job.id, 0, 9).await.unwrap().len(), 2);
}

async fn no_death_takes_away_a_result_that_was_paid_for(b: Bench) {
    let job = b.filled(2, 2).await;
    for task in b.claim(&job, 2).await {
        b.settle(task, Settlement::Succeed, NOW).await;
    }
    b.store.retry(Filter::default(), true, NOW).await.unwrap();
    for death in 1..=3 {
        let name = format!("mortal-{death}");
        b.register(&b.other, &name).await;
        let now = later(death);
        let tasks = b.candidates(&job, 2, now).await;
        b.other.claim(ClaimRequest { now, ..b.wish(&name, &tasks, 2) }).await.unwrap();
        if death == 2 {
            b.store.cancel(Filter::parse("id:2").unwrap(), now).await.unwrap();
        }
        b.other.retire(worker(&name), 1, now).await.unwrap();
        b.store.sweep(now).await.unwrap();
    }
    assert_eq!(b.state(TaskId(1)).await, TaskState::Succeeded, "after its third death");
    assert_eq!(b.state(TaskId(2)).await, TaskState::Succeeded, "cancelled while its worker died");
    assert_eq!(b.store.results(job.id, 0, 9).await.unwrap().len(), 2);
}

async fn nothing_starts_beside_a_lone_request(b: Bench) {
    let job = b.filled(4, 4).await;
    let tasks = b.candidates(&job, 4, NOW).await;
    let lone = ClaimRequest { alone: true, ..b.wish("a", &tasks, 4) };
    let claimed = b.store.claim(lone).await.unwrap().tasks;
    assert_eq!((claimed.len(), claimed[0].alone), (1, true));
    assert!(b.other.claim(b.wish("a", &tasks[1..], 3)).await.unwrap().tasks.is_empty());
    let elsewhere = b.store.upsert_jobs(vec![spec("elsewhere", Endpoint::Batch)], NOW).await.unwrap()[0].id;
    b.store.enqueue_batch(elsewhere, vec![found("a.wav", 1)], NOW).await.unwrap();
    b.store.set_ceiling(Endpoint::Batch, 1).await.unwrap();
    let theirs = b.store.candidates(Endpoint::Batch, vec![elsewhere], vec![], 1, NOW).await.unwrap();
    let theirs = ClaimRequest { endpoint: Endpoint::Batch, ..b.wish("a", &theirs, 1) };
    assert_eq!(b.store.claim(theirs).await.unwrap().tasks.len(), 1, "another endpoint has its own slots");
    for task in claimed {
        b.settle(task, Settlement::Release(overloaded()), NOW).await;
    }
    assert_eq!(b.other.claim(b.wish("a", &tasks[1..], 3)).await.unwrap().tasks.len(), 3);
}

async fn a_user_can_end_the_pauses_that_the_api_asked_for(b: Bench) {
    let job = b.filled(1, 1).await;
    b.store.save_pace(STT, None, Some(later(86_400))).await.unwrap();
    b.store.end_pauses().await.unwrap();
    assert_eq!(b.claim(&job, 1).await.len(), 1);
}

async fn a_probe_passes_the_halts_that_it_probes_and_no_other(b: Bench) {
    let job = b.filled(1, 1).await;
    for reason in [HaltReason::MonthlyHours, HaltReason::ModelNotEnabled] {
        let order = HaltOrder { scope: HaltScope::Endpoint(STT), reason, evidence: "refused".into() };
        b.store.raise_halt(order, None, "a".into(), NOW).await.unwrap();
    }
    let halts: Vec<i64> = b.store.halts(true, NOW).await.unwrap().iter().map(|h| h.id).collect();
    let tasks = b.candidates(&job, 1, NOW).await;
    let probe = |probing| ClaimRequest { alone: true, probing, ..b.wish("a", &tasks, 1) };
    let claim = b.store.claim(probe(vec![halts[0]])).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.halts.len(), claim.halts[0].id), (0, 1, halts[1]));
    let claim = b.store.claim(probe(halts)).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.halts.len()), (1, 0));
}

async fn waits_of_a_clock_that_was_set_back_are_over_with_the_next_sweep(b: Bench) {
    let job = b.filled(3, 3).await;
    let ahead = later(40 * 86_400);
    let mut held = b.claim(&job, 2).await;
    let retry = Settlement::Retry { run_at: ahead.after(Duration::from_secs(60)), failure: overloaded() };
    b.settle(held.remove(0), retry, ahead).await;
    // One that was told to wait by today's clock waits on.
    b.settle(held.remove(0), Settlement::Retry { run_at: later(60), failure: overloaded() }, NOW).await;
    b.store.save_pace(STT, None, Some(ahead.after(Duration::from_secs(60)))).await.unwrap();
    let order = HaltOrder {
        scope: HaltScope::Endpoint(STT),
        reason: HaltReason::MonthlyHours,
        evidence: "HTTP 429".into(),
    };
    b.store.raise_halt(order, None, "a".into(), NOW).await.unwrap();
    let halt = b.store.halts(true, NOW).await.unwrap()[0].id;
    assert!(b.store.take_probe(halt, Duration::from_secs(3600), ahead).await.unwrap());
    b.store.heartbeat(worker("a"), ahead).await.unwrap();

    b.store.sweep(ahead).await.unwrap();
    assert_eq!(b.candidates(&job, 9, later(1)).await.len(), 1, "by the clock that said so, they wait");
    assert!(!b.store.take_probe(halt, Duration::from_secs(3600), later(1)).await.unwrap());
    b.other.sweep(later(1)).await.unwrap();
    assert_eq!(b.candidates(&job, 9, later(1)).await.len(), 2);
    assert_eq!(b.store.next_due(STT, vec![job.id]).await.unwrap(), Some(later(1)));
    assert_eq!(b.store.limiter(STT).await.unwrap().paused_until, None);
    assert!(b.store.take_probe(halt, Duration::from_secs(3600), later(1)).await.unwrap());

    // It has taken note: what is begun from now on is left alone.
    b.store.save_pace(STT, None, Some(later(90))).await.unwrap();
    b.store.sweep(later(2)).await.unwrap();
    assert_eq!(b.store.limiter(STT).await.unwrap().paused_until, Some(later(90)));
}

async fn clocks_a_little_apart_end_no_wait(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    b.settle(task, Settlement::Retry { run_at: later(900), failure: overloaded() }, later(100)).await;
    b.store.save_pace(STT, None, Some(later(900))).await.unwrap();
    b.store.heartbeat(worker("a"), later(100)).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    assert_eq!(b.store.limiter(STT).await.unwrap().paused_until, Some(later(900)));
    assert_eq!(b.store.next_due(STT, vec![job.id]).await.unwrap(), Some(later(900)));
}

async fn an_absurd_length_does_not_poison_the_ledger(b: Bench) {
    let job = b.filled(2, 2).await;
    for task in b.claim(&job, 2).await {
        let result = Some(NewResult { billed_ms: u64::MAX, duration_ms: Some(u64::MAX), ..answer() });
        let request = Request::default();
        let settle = Settle {
            task,
            settlement: Settlement::Succeed,
            request,
            result,
            next: None,
            resend: false,
            now: NOW,
        };
        assert_eq!(b.store.settle(Arc::new(settle)).await.unwrap(), Settled::Accepted);
    }
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().succeeded, 2);
}

async fn tallies_agree_with_counting(b: Bench) {
    let job = b.filled(6, 4).await;
    let mut held = b.claim(&job, 4).await;
    b.settle(held.remove(0), Settlement::Succeed, NOW).await;
    b.settle(held.remove(0), Settlement::Fail(overloaded()), NOW).await;
    b.settle(held.remove(0), Settlement::Retry { run_at: NOW, failure: overloaded() }, NOW).await;
    let kept = b.store.tallies().await.unwrap();
    assert_eq!(kept, b.store.tallies_where(Filter::default(), NOW).await.unwrap());
    let bytes: u64 = kept.iter().map(|t| t.bytes).sum();
    assert_eq!((kept.iter().map(|t| t.tasks).sum::<u64>(), bytes), (6, 21_000));
}

async fn filters_find_what_they_say(b: Bench) {
    let job = b.job("archive").await;
    let other = b.job("other").await;
    let names: [&[u8]; 4] = [b"2024/a.wav", b"2024/x/b.mp3", b"2025/[c]?.wav", b"caf\xe9.wav"];
    b.store.enqueue_batch(job.id, names.map(|n| found(n, 1)).to_vec(), NOW).await.unwrap();
    b.store.enqueue_batch(other.id, vec![found("2024/a.wav", 1)], later(100)).await.unwrap();
    for (filter, count) in [
        ("", 5),
        ("job:archive", 4),
        ("job:archive,other path:2024/*", 3),
        ("path:2024/a.wav", 2),
        ("path:*.mp3", 1),
        ("path:2025/[c]?.wav", 1),
        ("path:2025/c?.wav", 0),
        ("state:failed", 0),
        ("endpoint:velma-2-batch", 0),
        ("since:50s", 1),
        ("before:50s", 4),
        ("id:2,3", 2),
    ] {
        let parsed = Filter::parse(filter).unwrap();
        let rows = b.store.tasks(parsed, None, 100, later(100)).await.unwrap();
        assert_eq!(rows.len(), count, "{filter}");
    }
}

async fn pages_follow_one_another_without_gap_or_repeat(b: Bench) {
    b.filled(25, 1).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = b.store.tasks(Filter::default(), after, 10, NOW).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|t| t.id));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
}

async fn an_output_holds_what_was_committed(b: Bench) {
    let job = b.job("archive").await;
    assert_eq!(b.store.output(job.id, "results.jsonl").await.unwrap(), OutputState::default());
    let state = OutputState { bytes: 10, last_seq: 3, records: 3, sha256: "ab".into() };
    b.store.commit_output(job.id, "results.jsonl", state.clone()).await.unwrap();
    assert_eq!(b.other.output(job.id, "results.jsonl").await.unwrap(), state);
    assert_eq!(b.store.output(job.id, "results.csv").await.unwrap(), OutputState::default());
}

async fn workers_are_known_and_known_to_be_alive(b: Bench) {
    b.register(&b.store, "a").await;
    b.store.heartbeat(worker("a"), later(15)).await.unwrap();
    let seen = b.other.workers(5).await.unwrap();
    assert_eq!((seen[0].beat_at, seen[0].alive), (later(15), true));
    b.store.retire(worker("a"), 3, later(20)).await.unwrap();
    let seen = b.other.workers(5).await.unwrap();
    assert_eq!((seen[0].exit_code, seen[0].alive), (Some(3), false));
}

async fn one_writes_failure_does_not_undo_its_neighbours(b: Bench) {
    let job = b.filled(50, 50).await;
    let bad = b.store.enqueue_batch(job.id, vec![found("", 1)], NOW); // a path cannot be empty
    let tasks = b.candidates(&job, 50, NOW).await;
    let good = b.store.claim(b.wish("a", &tasks, 50));
    let (bad, good) = tokio::join!(bad, good);
    assert!(bad.is_err());
    assert_eq!(good.unwrap().tasks.len(), 50);
    assert_eq!(b.busy().await, 50);
}

async fn a_write_that_fails_leaves_nothing_behind_alone_or_among_others(b: Bench) {
    b.filled(1, 1).await;
    // The first job is written before the second one is refused.
    let half = || b.store.upsert_jobs(vec![spec("half", STT), spec("archive", Endpoint::Batch)], NOW);
    assert!(half().await.is_err());
    let (refused, _) = tokio::join!(join_all((0..20).map(|_| half())), b.job("whole"));
    assert!(refused.iter().all(Result::is_err));
    let jobs = b.store.jobs().await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<HashSet<_>>(), ["archive", "whole"].into());
}

async fn settlements_handed_over_together_keep_each_what_is_theirs_and_count_once(b: Bench) {
    let job = b.filled(31, 31).await;
    let held = b.claim(&job, 30).await;
    let next = b.candidates(&job, 1, NOW).await;
    let settles = held.into_iter().flat_map(|task| [twin(&task), task]).map(|task| {
        let result = Some(NewResult { billed_ms: task.id.0.unsigned_abs(), ..answer() });
        let (settlement, request) = (Settlement::Succeed, Request::default());
        b.store.settle(Arc::new(Settle {
            task,
            settlement,
            request,
            result,
            next: None,
            resend: false,
            now: NOW,
        }))
    });
    let (settled, claim) = tokio::join!(join_all(settles), b.store.claim(b.wish("a", &next, 1)));
    let accepted = settled.into_iter().filter(|settled| *settled.as_ref().unwrap() == Settled::Accepted);
    assert_eq!((accepted.count(), claim.unwrap().tasks.len(), b.busy().await), (30, 1, 1));
    let results = b.store.results(job.id, 0, 99).await.unwrap();
    assert_eq!(results.len(), 30);
    assert!(results.iter().all(|result| result.billed_ms == result.task.0.unsigned_abs()));
    let usage = b.store.usage(STT, NOW.month()).await.unwrap();
    let sum = results.iter().map(|r| r.billed_ms).sum();
    assert_eq!(
        usage,
        Usage { billed_ms: sum, measured_ms: sum, succeeded: 30, cost: Money(30 * 70), ..Usage::default() }
    );
}

async fn a_settlement_that_fails_leaves_those_beside_it(b: Bench) {
    let job = b.filled(20, 20).await;
    let settles = b.claim(&job, 20).await.into_iter().enumerate().map(|(n, task)| {
        let retry = Settlement::Retry { run_at: later(50), failure: overloaded() };
        // A success without a result is nobody's.
        let settlement = if n == 10 { Settlement::Succeed } else { retry };
        let request = Request::default();
        b.store.settle(Arc::new(Settle {
            task,
            settlement,
            request,
            result: None,
            next: None,
            resend: false,
            now: NOW,
        }))
    });
    for (n, settled) in join_all(settles).await.into_iter().enumerate() {
        match settled {
            Ok(settled) => assert!(n != 10 && settled == Settled::Accepted),
            Err(error) => assert!(n == 10 && matches!(error, QueueError::Bug(_)), "{n}: {error}"),
        }
    }
    assert_eq!(b.busy().await, 1, "the one that could not be settled");
}

async fn a_file_that_changed_is_not_blamed_with_the_old_ones_answer(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.claim(&job, 1).await.remove(0);
    let id = task.id;
    b.settle(task, Settlement::Retry { run_at: later(50), failure: overloaded() }, NOW).await;
    let empty =
        NewTask { refusal: Some(Failure::local(Cause::Empty, "empty file")), ..found("00000.wav", 0) };
    b.store.enqueue_batch(job.id, vec![empty], later(1)).await.unwrap();
    let row = b.store.task(id).await.unwrap().unwrap();
    assert_eq!((row.state, row.cause, row.http_status), (TaskState::Failed, Some(Cause::Empty), None));
}

async fn a_success_is_kept_once_for_each_claim_whatever_became_of_the_task(b: Bench) {
    let job = b.filled(3, 3).await;
    b.register(&b.other, "slow").await;
    let tasks = b.candidates(&job, 3, NOW).await;
    let mut held = b.other.claim(b.wish("slow", &tasks[..2], 2)).await.unwrap().tasks;
    b.other.retire(worker("slow"), 1, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    b.store.cancel(Filter::parse("id:1").unwrap(), NOW).await.unwrap();
    let gone = Settlement::Fail(Failure::local(Cause::SourceMissing, "gone"));
    b.store.set_aside(held[1].id, held[1].fence, gone, NOW).await.unwrap();
    for task in held.drain(..) {
        let (id, twin) = (task.id, twin(&task));
        assert_eq!(b.settle(task, Settlement::Succeed, NOW).await, Settled::Accepted, "paid for");
        assert_eq!(b.state(id).await, TaskState::Succeeded);
        assert_eq!(b.store.attempts(id).await.unwrap()[0].outcome.as_deref(), Some("succeeded"));
        b.store.retry(Filter::default(), true, NOW).await.unwrap();
        assert_eq!(b.settle(twin, Settlement::Succeed, NOW).await, Settled::Fenced, "once");
    }
    let task = b.claim(&job, 1).await.remove(0);
    let (id, late) = (task.id, twin(&task));
    b.settle(task, Settlement::Snooze { hold: Hold::Throttle, run_at: NOW, failure: overloaded() }, NOW)
        .await;
    assert_eq!(b.settle(late, Settlement::Succeed, NOW).await, Settled::Fenced);
    assert_eq!(b.state(id).await, TaskState::Queued);
}

async fn a_late_success_over_a_result_that_stood_again_lets_no_file_keep_both(b: Bench) {
    let job = b.filled(1, 1).await;
    let first = b.claim(&job, 1).await.remove(0);
    b.settle(first, Settlement::Succeed, NOW).await;
    b.store.retry(Filter::default(), true, NOW).await.unwrap();
    b.register(&b.other, "slow").await;
    let tasks = b.candidates(&job, 1, NOW).await;
    let late = b.other.claim(b.wish("slow", &tasks, 1)).await.unwrap().tasks.remove(0);
    b.other.retire(worker("slow"), 1, NOW).await.unwrap();
    b.store.sweep(NOW).await.unwrap();
    b.store.cancel(Filter::default(), NOW).await.unwrap();
    assert_eq!(b.store.results(job.id, 0, 9).await.unwrap().len(), 1, "the first one stands again");
    b.store.outputs_renewed(job.id).await.unwrap();
    assert_eq!(b.settle(late, Settlement::Succeed, NOW).await, Settled::Accepted);
    assert!(b.store.outputs_stale(job.id).await.unwrap());
}

async fn a_halt_that_ended_by_itself_is_neither_lifted_nor_probed(b: Bench) {
    let order =
        HaltOrder { scope: HaltScope::Everything, reason: HaltReason::Paused, evidence: String::new() };
    b.store.raise_halt(order, Some(later(60)), "a".into(), NOW).await.unwrap();
    let halt = b.store.halts(true, NOW).await.unwrap()[0].id;
    assert!(!b.store.take_probe(halt, Duration::ZERO, later(60)).await.unwrap());
    assert!(!b.store.lift_halt(halt, "me".into(), later(60)).await.unwrap());
    assert!(b.store.take_probe(halt, Duration::ZERO, later(59)).await.unwrap());
    assert!(b.store.lift_halt(halt, "me".into(), later(59)).await.unwrap());
}

async fn a_new_order_also_holds_for_what_comes_back_to_the_queue(b: Bench) {
    let job = b.filled(4, 2).await; // 00000.wav is the largest
    let mut held = b.claim(&job, 2).await;
    b.settle(held.remove(0), Settlement::Fail(overloaded()), NOW).await;
    let shortest = JobSpec { order: Order::Shortest, ..spec("archive", STT) };
    b.store.upsert_jobs(vec![shortest], NOW).await.unwrap();
    b.settle(held.remove(0), Settlement::Release(overloaded()), NOW).await;
    b.store.retry(Filter::default(), false, NOW).await.unwrap();
    let names: Vec<String> = b.candidates(&job, 9, NOW).await.iter().map(|t| t.path.to_string()).collect();
    assert_eq!(names, ["00003.wav", "00002.wav", "00001.wav", "00000.wav"]);
}

async fn a_refusal_by_looks_is_no_failed_attempt_of_the_file_that_comes_after(b: Bench) {
    let job = b.filled(1, 1).await;
    let task = b.candidates(&job, 1, NOW).await.remove(0);
    let gone = Settlement::Fail(Failure::local(Cause::SourceMissing, "gone"));
    b.store.set_aside(task.id, task.fence, gone, NOW).await.unwrap();
    let again = b.store.enqueue_batch(job.id, vec![found("00000.wav", 77)], NOW).await.unwrap();
    assert_eq!(again.reopened, 1);
    assert_eq!(b.claim(&job, 1).await[0].first_failed_at, None);
}

/// Everything that was stored up to now, of these jobs.
fn all_of(jobs: &[&Job]) -> Purge {
    Purge { jobs: jobs.iter().map(|job| job.id).collect(), finished_by: NOW, answers: true, audio: true }
}

impl Bench {
    /// A job whose recordings have all succeeded, each with this answer and redacted audio.
    async fn answered(&self, n: u64, response: &str) -> Job {
        let job = self.filled(n, n as u32).await;
        for (number, task) in self.claim(&job, n as u32).await.into_iter().enumerate() {
            let path = RecordingPath::from_bytes(format!("audio/{number}.mp3"));
            let audio = RedactedAudio { path, bytes: 9, sha256: "00".into() };
            let response = response.replace("NUMBER", &number.to_string());
            let result = Some(NewResult { response, redacted_audio: Some(audio), ..answer() });
            let request = Request { started_at: Some(NOW), http_status: Some(200), ..Request::default() };
            let settlement = Settlement::Succeed;
            let settle = Settle { task, settlement, request, result, next: None, resend: false, now: NOW };
            self.store.settle(Arc::new(settle)).await.unwrap();
        }
        job
    }

    /// How often a word stands in the bytes of the queue's files.
    fn bytes_with(&self, word: &str) -> usize {
        let files = std::fs::read_dir(self._folder.path().join("state")).unwrap();
        let files = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let bytes = files.flat_map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
        String::from_utf8_lossy(&bytes).matches(word).count()
    }
}

async fn a_purge_leaves_a_tombstone_that_can_be_counted_and_says_nothing(b: Bench) {
    let job = b.answered(2, r#"{"text":"x"}"#).await;
    let before = b.store.results(job.id, 0, 9).await.unwrap();
    let foretold = b.store.purgeable(all_of(&[&job])).await.unwrap();
    let taken = b.store.purge(all_of(&[&job]), later(9)).await.unwrap();
    assert_eq!(foretold, taken);
    let wanted = Purgeable {
        job: job.id,
        recordings: 2,
        answers: 2,
        answer_bytes: 24,
        audio: 2,
        audio_bytes: 18,
        oldest: NOW,
        newest: NOW,
    };
    assert_eq!(taken, [wanted]);
    let tombstone = |row: ResultRow| ResultRow {
        response: "null".into(),
        purged_at: Some(later(9)),
        audio_purged_at: Some(later(9)),
        ..row
    };
    let after: Vec<ResultRow> = before.into_iter().map(tombstone).collect();
    assert_eq!(b.other.results(job.id, 0, 9).await.unwrap(), after);
    assert_eq!(b.state(after[0].task).await, TaskState::Succeeded);
    assert!(b.store.outputs_stale(job.id).await.unwrap(), "the files say too much now");
    assert_eq!(b.store.usage(STT, NOW.month()).await.unwrap().billed_ms, 2000);
    assert!(b.store.purge(all_of(&[&job]), later(10)).await.unwrap().is_empty(), "nothing is taken twice");
}

async fn a_purge_takes_what_was_asked_for_and_nothing_younger(b: Bench) {
    let job = b.answered(1, r#"{"text":"x"}"#).await;
    let all = all_of(&[&job]);
    let younger = Purge { finished_by: Timestamp(NOW.0 - 1), ..all.clone() };
    assert!(b.store.purge(younger, later(1)).await.unwrap().is_empty());
    let talks = b.job("talks").await;
    assert!(b.store.purge(all_of(&[&talks]), later(1)).await.unwrap().is_empty());
    assert_eq!(b.store.open_purge().await.unwrap(), None, "what takes nothing needs no end");
    assert!(!b.store.outputs_stale(job.id).await.unwrap());

    let audio = b.store.purge(Purge { answers: false, ..all.clone() }, later(2)).await.unwrap();
    assert_eq!((audio[0].answers, audio[0].answer_bytes, audio[0].audio), (0, 0, 1));
    let row = b.store.results(job.id, 0, 1).await.unwrap().remove(0);
    assert_eq!((row.purged_at, row.audio_purged_at), (None, Some(later(2))));
    assert_eq!(row.response, r#"{"text":"x"}"#);

    let rest = b.store.purge(all, later(3)).await.unwrap();
    assert_eq!((rest[0].recordings, rest[0].answers, rest[0].audio), (1, 1, 0));
    let row = b.store.results(job.id, 0, 1).await.unwrap().remove(0);
    assert_eq!((row.purged_at, row.audio_purged_at), (Some(later(3)), Some(later(2))));
}

async fn no_byte_of_a_purged_answer_is_left_and_every_byte_of_others_is(b: Bench) {
    // Answers of every size, some overtaken by others: rows move from page to page, and pages are let go.
    let words = "zebra-NUMBER-".repeat(40);
    let job = b.answered(150, &format!(r#"{{"text":"{words}"}}"#)).await;
    b.store.retry(Filter::parse("path:0000*").unwrap(), true, NOW).await.unwrap();
    for task in b.claim(&job, 10).await {
        b.settle(task, Settlement::Succeed, later(50)).await;
    }
    let some = Filter { paths: vec!["*0.wav".into()], ..Filter::default() };
    b.store.retry(some, true, NOW).await.unwrap(); // they stand no more, and their answers go all the same
    assert!(b.bytes_with("zebra-") > 0);
    assert_eq!(b.store.purge(all_of(&[&job]), later(60)).await.unwrap()[0].recordings, 140);
    let open = b.store.open_purge().await.unwrap().unwrap();
    assert!(b.other.end_purge(open, later(61)).await.unwrap());
    assert_eq!(b.store.open_purge().await.unwrap(), None);
    assert_eq!(b.bytes_with("zebra-"), 0);
    let kept = b.store.results(job.id, 0, 999).await.unwrap();
    let kept = kept.iter().filter(|row| row.purged_at.is_none());
    assert_eq!(kept.filter(|row| row.response == answer().response).count(), 9, "the tenth is queued");
}

async fn an_end_of_a_purge_leaves_a_later_one_open(b: Bench) {
    let job = b.answered(2, r#"{"text":"x"}"#).await;
    let all = all_of(&[&job]);
    b.store.purge(Purge { answers: false, ..all.clone() }, later(1)).await.unwrap();
    let first = b.store.open_purge().await.unwrap().unwrap();
    b.store.purge(all, later(2)).await.unwrap();
    let second = b.store.open_purge().await.unwrap().unwrap();
    assert!(b.store.end_purge(first, later(3)).await.unwrap());
    assert_eq!(b.store.open_purge().await.unwrap(), Some(second));
}

async fn purged_audio_is_named_until_it_is_replaced_and_never_while_it_is_being_sent(b: Bench) {
    let job = b.answered(3, r#"{"text":"x"}"#).await;
    let named = async || b.store.purged_audio(job.id, 0, 9).await.unwrap();
    assert!(named().await.is_empty());
    b.store.purge(all_of(&[&job]), later(1)).await.unwrap();
    let all = named().await;
    assert_eq!(all.len(), 3);
    assert_eq!(b.store.purged_audio(job.id, all[0].0, 1).await.unwrap(), all[1..2]);
    b.store.retry(Filter::parse("path:00001.wav").unwrap(), true, NOW).await.unwrap();
    assert_eq!(named().await.len(), 3, "its old audio must go, too");
    let again = b.claim(&job, 1).await.remove(0);
    assert_eq!(named().await.len(), 2);
    b.settle(again, Settlement::Succeed, later(2)).await;
    assert_eq!(named().await.len(), 2, "it was replaced by an answer without audio");
    let stands = b.store.results(job.id, 0, 9).await.unwrap().pop().unwrap();
    assert_eq!((stands.purged_at, stands.audio_purged_at), (None, None));
}

/// The same recording, with something known of it.
fn described(path: &str, fields: &str, options: Option<&str>) -> NewTask {
    let metadata = Metadata { fields: Some(fields.to_owned()), options: options.map(str::to_owned) };
    NewTask { metadata, ..found(path, 1000) }
}

fn sighted(task: NewTask) -> Sighting {
    let NewTask { path, size_bytes, modified_ns, metadata, .. } = task;
    Sighting { path, size_bytes, modified_ns, metadata }
}

async fn what_a_recording_comes_with_is_kept_and_a_change_of_it_sends_nothing_again(b: Bench) {
    let job = b.filled(1, 1).await;
    let first = b.claim(&job, 1).await.remove(0);
    let id = first.id;
    b.settle(first, Settlement::Succeed, NOW).await;
    let said = || described("00000.wav", r#"{"agent":"Anna"}"#, Some(r#"{"language":"de"}"#));
    let seen = b.store.recognise(job.id, vec![sighted(said())]).await.unwrap();
    assert_eq!(seen.strangers, [0], "it comes with more than before");
    let told = b.store.compare(job.id, vec![said()]).await.unwrap();
    assert_eq!(told, b.store.enqueue_batch(job.id, vec![said()], later(1)).await.unwrap());
    assert_eq!((told.known, told.redescribed, told.changed), (1, 1, 0));
    assert_eq!(b.store.recognise(job.id, vec![sighted(said())]).await.unwrap().strangers, [0usize; 0]);
    let row = b.store.task(id).await.unwrap().unwrap();
    assert_eq!((row.state, &row.metadata), (TaskState::Succeeded, &said().metadata));
    assert!(b.store.outputs_stale(job.id).await.unwrap(), "its lines say too little");
    assert_eq!(b.other.result(id).await.unwrap().unwrap().metadata, said().metadata);

    let waiting = described("new.wav", r#"{"agent":"Bo"}"#, Some(r#"{"language":"fr"}"#));
    b.store.enqueue_batch(job.id, vec![waiting.clone()], NOW).await.unwrap();
    let changed = NewTask { metadata: Metadata { options: None, ..waiting.metadata.clone() }, ..waiting };
    b.store.enqueue_batch(job.id, vec![changed], NOW).await.unwrap();
    assert_eq!(b.candidates(&job, 1, NOW).await[0].options, None, "what is queued goes by what is said now");
}

async fn a_recording_whose_metadata_was_refused_comes_back_when_that_is_mended(b: Bench) {
    let job = b.job("archive").await;
    let refusal = Some(Failure::local(Cause::ConfigRefused, "no such language"));
    let broken = NewTask { refusal, ..found("a.wav", 5) };
    b.store.enqueue_batch(job.id, vec![broken.clone()], NOW).await.unwrap();
    assert_eq!(b.store.recognise(job.id, vec![sighted(broken.clone())]).await.unwrap().strangers, [0]);
    let again = b.store.enqueue_batch(job.id, vec![broken], NOW).await.unwrap();
    assert_eq!((again.known, again.reopened), (1, 0), "it is as wrong as it was");
    let mended = b.store.enqueue_batch(job.id, vec![found("a.wav", 5)], NOW).await.unwrap();
    assert_eq!((mended.reopened, mended.refused), (1, 0));
    assert_eq!(b.candidates(&job, 9, NOW).await.len(), 1);
}

async fn names_of_fields_are_learned_in_their_order_and_tables_without_them_are_stale(b: Bench) {
    let job = b.job("archive").await;
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(b.store.learn_fields(job.id, names(&["b", "a"])).await.unwrap(), ["b", "a"]);
    assert!(!b.store.outputs_stale(job.id).await.unwrap(), "no table was begun");
    b.store.commit_output(job.id, "results.csv", OutputState::default()).await.unwrap();
    b.store.enqueue_batch(job.id, vec![described("x.wav", r#"{"a":1}"#, None)], NOW).await.unwrap();
    assert!(!b.store.outputs_stale(job.id).await.unwrap(), "nothing new");
    b.store.enqueue_batch(job.id, vec![described("y.wav", r#"{"c":1,"a":1}"#, None)], NOW).await.unwrap();
    assert!(b.store.outputs_stale(job.id).await.unwrap());
    assert_eq!(b.other.learn_fields(job.id, vec![]).await.unwrap(), ["b", "a", "c"]);
}

impl Bench {
    /// What a result says of itself that serves for others.
    async fn succeed_as(&self, task: ClaimedTask, identity: &str, now: Timestamp) -> Settled {
        let made = Made { identity: Some(same(identity)), ..Made::default() };
        let result = Some(NewResult { made, ..answer() });
        let request = Request { started_at: Some(NOW), http_status: Some(200), ..Request::default() };
        let settlement = Settlement::Succeed;
        self.store
            .settle(Arc::new(Settle { task, settlement, request, result, next: None, resend: false, now }))
            .await
            .unwrap()
    }

    /// A wish for tasks that are all the same, or each what it says.
    fn wish_for(&self, tasks: &[Candidate], identities: &[&str]) -> ClaimRequest {
        let known = tasks.iter().zip(identities.iter().cycle()).map(|(t, what)| (t.id, same(what)));
        ClaimRequest { identities: Some(known.collect()), ..self.wish("a", tasks, 9) }
    }
}

fn same(what: &str) -> Identity {
    Identity(what.to_owned())
}

async fn of_those_that_are_the_same_one_is_held_and_the_others_wait_for_it(b: Bench) {
    let job = b.filled(4, 4).await;
    let tasks = b.candidates(&job, 4, NOW).await;
    let claim = b.store.claim(b.wish_for(&tasks, &["x", "x", "y", "x"])).await.unwrap();
    assert_eq!(claim.tasks.iter().map(|t| t.id).collect::<Vec<_>>(), [tasks[0].id, tasks[2].id]);
    let wait = |n: usize| Double { task: tasks[n].id, of: tasks[0].id, answered: false };
    assert_eq!(claim.doubles, [wait(1), wait(3)]);
    let again = b.other.claim(b.wish_for(&tasks[1..2], &["x"])).await.unwrap();
    assert_eq!((again.tasks.len(), again.doubles, again.gone.len()), (0, vec![wait(1)], 0));
    let off = ClaimRequest { identities: None, ..b.wish("a", &tasks[1..2], 1) };
    assert_eq!(b.store.claim(off).await.unwrap().tasks.len(), 1, "when nothing is shared, each is sent");
}

async fn an_answer_serves_for_others_that_are_the_same_at_no_cost(b: Bench) {
    let job = b.filled(3, 3).await;
    let tasks = b.candidates(&job, 3, NOW).await;
    let first = b.store.claim(b.wish_for(&tasks[..1], &["x"])).await.unwrap().tasks.remove(0);
    b.succeed_as(first, "x", later(1)).await;
    let claim = b.store.claim(b.wish_for(&tasks[1..], &["x"])).await.unwrap();
    let answered = |n: usize| Double { task: tasks[n].id, of: tasks[0].id, answered: true };
    assert_eq!((claim.tasks.len(), claim.doubles[0]), (0, answered(1)));
    let path = RecordingPath::from_bytes(*b"audio/1.mp3");
    let audio = RedactedAudio { path, bytes: 9, sha256: "00".into() };
    let reuse = |n: usize, audio: Option<RedactedAudio>| Reuse {
        task: tasks[n].id,
        fence: tasks[n].fence,
        of: tasks[0].id,
        identity: same("x"),
        redacted_audio: audio,
    };
    let given = reuse(1, Some(audio.clone()));
    assert_eq!(b.store.reuse(given.clone(), later(2)).await.unwrap(), Settled::Accepted);
    assert_eq!(b.store.reuse(given, later(3)).await.unwrap(), Settled::Fenced, "once");
    let [of, row] = &b.store.results(job.id, 0, 9).await.unwrap()[..] else { panic!("two results") };
    assert_eq!((row.reused_from, row.billed_ms, row.attempts), (Some(of.task), 0, 0));
    assert_eq!((&row.response, &row.audio, row.duration_ms), (&of.response, &of.audio, of.duration_ms));
    assert_eq!((row.redacted_audio.as_ref(), row.finished_at), (Some(&audio), later(2)));
    let usage = b.store.usage(STT, NOW.month()).await.unwrap();
    assert_eq!((usage.billed_ms, usage.succeeded, b.busy().await), (1000, 1, 0));
    let stranger = Reuse { identity: same("y"), ..reuse(2, None) };
    assert_eq!(b.store.reuse(stranger, later(3)).await.unwrap(), Settled::Fenced);
    // The one that took over serves as well, and says whose the answer is.
    let third = Reuse { of: tasks[1].id, ..reuse(2, None) };
    assert_eq!(b.store.reuse(third, later(3)).await.unwrap(), Settled::Accepted);
    assert_eq!(b.store.result(tasks[2].id).await.unwrap().unwrap().reused_from, Some(tasks[0].id));
}

async fn what_was_purged_or_is_to_be_sent_again_serves_for_nobody(b: Bench) {
    let job = b.filled(3, 3).await;
    let tasks = b.candidates(&job, 3, NOW).await;
    let first = b.store.claim(b.wish_for(&tasks[..1], &["x"])).await.unwrap().tasks.remove(0);
    b.succeed_as(first, "x", NOW).await;
    let second = b.store.claim(ClaimRequest { identities: None, ..b.wish("a", &tasks[1..2], 1) }).await;
    b.succeed_as(second.unwrap().tasks.remove(0), "x", NOW).await;
    // Sent again by hand: older answers are no answer to that.
    b.store.retry(Filter::parse("path:00000.wav").unwrap(), true, later(5)).await.unwrap();
    let again = b.candidates(&job, 1, later(5)).await;
    let claim = ClaimRequest { now: later(5), ..b.wish_for(&again[..1], &["x"]) };
    let held = b.store.claim(claim).await.unwrap().tasks.remove(0);
    b.succeed_as(held, "x", later(6)).await;
    b.store.purge(Purge { finished_by: later(9), ..all_of(&[&job]) }, later(9)).await.unwrap();
    let claim = b.store.claim(b.wish_for(&tasks[2..], &["x"])).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.doubles.len()), (1, 0), "nothing is left that could serve");
}

async fn large_ones_of_one_size_are_not_sent_side_by_side_unless_both_are_known_to_differ(b: Bench) {
    let job = b.job("archive").await;
    let tasks =
        vec![found("a.wav", 200_000), found("b.wav", 200_000), found("c.wav", 200_001), found("d.wav", 9)];
    b.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
    b.store.set_ceiling(STT, 4).await.unwrap();
    b.register(&b.store, "a").await;
    let tasks = b.candidates(&job, 4, NOW).await;
    let doubles: Vec<_> = tasks.iter().map(|t| (t.path.to_string(), t.has_double)).collect();
    let of = |name: &str, has| (name.to_owned(), has);
    assert_eq!(doubles, [of("a.wav", true), of("b.wav", true), of("c.wav", false), of("d.wav", false)]);
    let a = b.store.claim(b.wish_for(&tasks[..1], &[])).await;
    assert_eq!(a.unwrap().tasks.len(), 1, "looked at before there was another");
    let b_waits = b.store.claim(b.wish_for(&tasks[1..2], &["x"])).await.unwrap();
    assert_eq!(b_waits.doubles, [Double { task: tasks[1].id, of: tasks[0].id, answered: false }]);
    assert_eq!(b.store.claim(b.wish_for(&tasks[2..], &[])).await.unwrap().tasks.len(), 2);
}

async fn large_ones_of_one_size_that_begin_differently_are_no_doubles(b: Bench) {
    let job = b.job("archive").await;
    let begins = |path: &str, size, head| NewTask { head, ..found(path, size) };
    let tasks = vec![
        begins("a.wav", 200_000, Some(1)),
        begins("b.wav", 200_000, Some(2)),
        begins("c.wav", 200_000, Some(1)),
        begins("d.wav", 300_000, Some(1)),
        begins("e.wav", 300_000, None),
    ];
    b.store.enqueue_batch(job.id, tasks, NOW).await.unwrap();
    b.store.set_ceiling(STT, 5).await.unwrap();
    b.register(&b.store, "a").await;
    let mut tasks = b.candidates(&job, 9, NOW).await;
    tasks.sort_by_key(|task| task.id);
    let doubles: Vec<_> = tasks.iter().map(|t| (t.path.to_string(), t.has_double)).collect();
    let of = |name: &str, has| (name.to_owned(), has);
    let known = [of("a.wav", true), of("b.wav", false), of("c.wav", true)];
    let perhaps = [of("d.wav", true), of("e.wav", true)];
    assert_eq!(doubles, [&known[..], &perhaps].concat());
    let claim = b.store.claim(b.wish_for(&tasks[..2], &[])).await.unwrap();
    assert_eq!((claim.tasks.len(), claim.doubles.len()), (2, 0), "side by side");
    let c_waits = b.store.claim(b.wish_for(&tasks[2..3], &[])).await.unwrap();
    assert_eq!(c_waits.doubles, [Double { task: tasks[2].id, of: tasks[0].id, answered: false }]);
    assert_eq!(b.store.claim(b.wish_for(&tasks[3..4], &[])).await.unwrap().tasks.len(), 1);
    let e_waits = b.store.claim(b.wish_for(&tasks[4..], &[])).await.unwrap();
    assert_eq!(e_waits.doubles, [Double { task: tasks[4].id, of: tasks[3].id, answered: false }]);
}

fn of_bytes(bytes: u64) -> String {
    format!("\"{}\"", "a".repeat(bytes as usize - 2))
}

/// How many results come at once, until there are none.
async fn pages(b: &Bench, job: &Job, limit: u32) -> Vec<usize> {
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = b.store.results(job.id, after, limit).await.unwrap();
        pages.push(page.len());
        let Some(last) = page.last() else { return pages };
        after = last.seq;
    }
}

async fn results_come_as_many_at_once_as_are_easily_held(b: Bench) {
    let job = b.answered(5, &of_bytes(RESULTS_BYTES / 3)).await;
    assert_eq!(pages(&b, &job, 9).await, [3, 2, 0]);
    assert_eq!(pages(&b, &job, 2).await, [2, 2, 1, 0]);
}

async fn a_result_that_is_too_large_for_that_comes_alone(b: Bench) {
    let job = b.answered(3, &of_bytes(RESULTS_BYTES + 1)).await;
    assert_eq!(pages(&b, &job, 9).await, [1, 1, 1, 0]);
}

async fn what_was_made_with_other_options_is_stale_until_it_is_sent_again(b: Bench) {
    let job = b.filled(2, 2).await;
    let stale = async || b.store.tallies_where(Filter::parse("stale").unwrap(), NOW).await.unwrap();
    let key = |options: &serde_json::Value| options_key(options);
    let spec_with = |options| JobSpec { options, ..spec("archive", STT) };
    for task in b.claim(&job, 2).await {
        let made = Made { identity: None, options_key: key(&job.options), options: None };
        let (settlement, request) = (Settlement::Succeed, Request::default());
        let settle = Settle {
            task,
            settlement,
            request,
            result: Some(NewResult { made, ..answer() }),
            next: None,
            resend: false,
            now: NOW,
        };
        b.store.settle(Arc::new(settle)).await.unwrap();
    }
    assert!(stale().await.is_empty());
    let german = serde_json::json!({ "language": "de" });
    b.store.upsert_jobs(vec![spec_with(german.clone())], NOW).await.unwrap();
    assert_eq!(stale().await[0].tasks, 2);
    b.store.upsert_jobs(vec![spec_with(serde_json::json!({}))], NOW).await.unwrap();
    assert!(stale().await.is_empty(), "changed back");
    let own = NewTask {
        metadata: Metadata { options: Some(german.to_string()), ..Metadata::default() },
        ..found("00001.wav", 1000)
    };
    b.store.enqueue_batch(job.id, vec![own], NOW).await.unwrap();
    let page =
        b.store.tasks(Filter::parse("job:archive stale:options").unwrap(), None, 9, NOW).await.unwrap();
    assert_eq!(page.iter().map(|t| t.path.to_string()).collect::<Vec<_>>(), ["00001.wav"]);
    assert_eq!(b.store.retry(Filter::parse("stale").unwrap(), true, NOW).await.unwrap(), 1);
    assert!(stale().await.is_empty());
}

macro_rules! promises {
    ($bench:path; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($bench().await).await;
            }
        )*
    };
}

mod sqlite {
    use super::*;

    async fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let settings = QueueSettings { state_dir: folder.path().join("state") };
        let store = Arc::new(SqliteStore::open(&settings).await.unwrap());
        let other = Arc::new(SqliteStore::open(&settings).await.unwrap());
        Bench { store, other, _folder: folder }
    }

    promises! { bench;
        a_second_scan_enqueues_nothing_new
        a_length_is_kept_for_the_file_that_was_measured_and_no_other
        the_same_recording_in_two_jobs_is_two_tasks
        a_refused_recording_enters_as_failed_and_comes_back_when_its_file_changes
        a_recording_that_was_sent_is_not_sent_again_because_it_changed
        a_job_with_tasks_keeps_its_endpoint
        what_a_recording_comes_with_is_kept_and_a_change_of_it_sends_nothing_again
        a_recording_whose_metadata_was_refused_comes_back_when_that_is_mended
        names_of_fields_are_learned_in_their_order_and_tables_without_them_are_stale
        of_those_that_are_the_same_one_is_held_and_the_others_wait_for_it
        an_answer_serves_for_others_that_are_the_same_at_no_cost
        what_was_purged_or_is_to_be_sent_again_serves_for_nobody
        large_ones_of_one_size_are_not_sent_side_by_side_unless_both_are_known_to_differ
        large_ones_of_one_size_that_begin_differently_are_no_doubles
        what_was_made_with_other_options_is_stale_until_it_is_sent_again
        the_order_of_a_job_decides_who_goes_first_and_can_be_changed
        jobs_of_one_endpoint_take_turns
        a_claim_takes_no_more_than_slots
        a_claim_takes_no_more_than_the_pace_allows
        what_is_gone_leaves_its_turn_and_its_share_of_the_cap_to_the_next
        what_was_put_off_since_it_was_looked_at_is_gone
        each_request_reserves_of_the_cap_what_it_needs_itself
        two_processes_never_exceed_the_limit_nor_share_a_task
        a_lowered_ceiling_lets_nothing_start_until_enough_is_free
        a_settled_task_frees_its_slot_and_keeps_its_result
        results_come_as_many_at_once_as_are_easily_held
        a_result_that_is_too_large_for_that_comes_alone
        a_slot_is_handed_to_a_task_that_was_claimed_ahead
        nothing_is_claimed_ahead_that_nobody_of_this_process_could_hand_a_slot
        who_waits_on_deck_gets_the_first_free_slot_and_its_share_of_the_cap
        who_was_on_deck_of_a_process_that_died_is_queued_again
        settling_twice_changes_nothing_the_second_time
        a_late_worker_cannot_overwrite_a_task_that_was_claimed_anew
        a_retry_waits_and_counts_what_it_ended_in
        what_may_have_been_billed_is_counted_apart
        a_pause_holds_everybody_until_it_is_over
        a_halt_of_one_endpoint_stops_it_and_no_other
        a_halt_of_everything_is_lifted_once
        a_halt_is_probed_once_an_interval_by_all_processes_together
        the_months_cap_counts_what_is_billed_and_what_is_being_sent
        what_may_have_been_billed_counts_for_the_months_cap
        a_budget_counts_from_its_beginning_on_all_endpoints_and_for_all_processes
        a_budget_counts_what_others_have_on_deck
        a_dead_worker_leaves_what_it_had_kept_back_as_perhaps_billed
        a_dead_workers_tasks_come_back_at_once_and_the_third_death_fails_them
        a_success_after_the_task_was_taken_back_is_kept_if_nobody_claimed_it_anew
        a_job_that_was_accepted_is_known_until_a_settlement_says_that_it_is_over
        a_job_that_was_accepted_outlives_its_worker_and_is_not_counted_as_perhaps_billed
        pieces_are_kept_counted_once_and_gone_when_they_have_become_a_result
        each_piece_has_all_its_tries_and_a_dead_worker_takes_none_of_them_away
        pieces_of_another_content_are_void_and_stay_counted
        a_piece_that_comes_late_is_kept_unless_somebody_claimed_its_recording_anew
        what_is_cancelled_between_pieces_keeps_them_for_a_retry_by_hand
        one_that_is_the_same_goes_on_with_the_pieces_of_one_that_does_not_run
        a_purge_takes_the_pieces_of_what_was_given_up
        how_much_a_request_may_hold_only_falls_and_counts_under_the_settings_of_its_day
        looks_alone_can_refuse_a_task_unless_somebody_claimed_it
        a_file_that_is_still_changing_waits
        cancelling_takes_queued_tasks_at_once_and_running_ones_when_they_end
        retrying_by_hand_starts_the_counting_anew_and_keeps_the_history
        a_success_is_processed_again_only_on_demand_and_its_result_replaced
        processing_again_without_success_leaves_the_result_that_was_paid_for
        no_death_takes_away_a_result_that_was_paid_for
        nothing_starts_beside_a_lone_request
        a_user_can_end_the_pauses_that_the_api_asked_for
        a_probe_passes_the_halts_that_it_probes_and_no_other
        waits_of_a_clock_that_was_set_back_are_over_with_the_next_sweep
        clocks_a_little_apart_end_no_wait
        an_absurd_length_does_not_poison_the_ledger
        tallies_agree_with_counting
        filters_find_what_they_say
        pages_follow_one_another_without_gap_or_repeat
        an_output_holds_what_was_committed
        workers_are_known_and_known_to_be_alive
        one_writes_failure_does_not_undo_its_neighbours
        a_write_that_fails_leaves_nothing_behind_alone_or_among_others
        settlements_handed_over_together_keep_each_what_is_theirs_and_count_once
        a_settlement_that_fails_leaves_those_beside_it
        a_file_that_changed_is_not_blamed_with_the_old_ones_answer
        a_success_is_kept_once_for_each_claim_whatever_became_of_the_task
        a_late_success_over_a_result_that_stood_again_lets_no_file_keep_both
        a_halt_that_ended_by_itself_is_neither_lifted_nor_probed
        a_new_order_also_holds_for_what_comes_back_to_the_queue
        a_refusal_by_looks_is_no_failed_attempt_of_the_file_that_comes_after
        a_purge_leaves_a_tombstone_that_can_be_counted_and_says_nothing
        a_purge_takes_what_was_asked_for_and_nothing_younger
        no_byte_of_a_purged_answer_is_left_and_every_byte_of_others_is
        an_end_of_a_purge_leaves_a_later_one_open
        purged_audio_is_named_until_it_is_replaced_and_never_while_it_is_being_sent
    }
}
