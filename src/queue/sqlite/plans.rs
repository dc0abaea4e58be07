//! For tests: no query that a run, a scan or a look at the queue makes reads a whole table, however it is written.
//! Every statement that the store hands to SQLite is caught on its way and its plan is asked for.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use crate::queue::*;
use crate::task::*;

/// Tables that hold ten million rows. The others are small, and may be read from end to end.
const LARGE: [&str; 3] = ["task", "result", "attempt"];

#[derive(Clone, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Layer<Registry> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
        struct Sql(String);
        impl Visit for Sql {
            fn record_str(&mut self, field: &Field, value: &str) {
                // The summary is the whole statement when it is short.
                if (field.name() == "summary" && self.0.is_empty())
                    || (field.name() == "db.statement" && !value.is_empty())
                {
                    self.0 = value.trim().to_owned();
                }
            }

            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        if event.metadata().target() == "sqlx::query" {
            let mut sql = Sql(String::new());
            event.record(&mut sql);
            self.0.lock().unwrap().push(sql.0);
        }
    }
}

async fn connect(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("queue.db"));
    options.disable_statement_logging().connect().await.unwrap()
}

async fn plan(c: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan = sqlx::raw_sql(sql).fetch_all(c).await.unwrap();
    plan.iter().map(|row| row.get::<String, _>("detail")).collect()
}

/// What of the plan reads a large table from end to end.
async fn whole_reads(c: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let lines = plan(c, sql).await.into_iter();
    // What is running is as few as there are slots.
    let large = |line: &String| {
        LARGE.iter().any(|t| line.split(' ').take(2).eq(["SCAN", *t])) && !line.ends_with("INDEX task_held")
    };
    lines.filter(large).collect()
}

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const STT: Endpoint = Endpoint::SttBatch;

fn found(name: &str) -> NewTask {
    let path = RecordingPath::from_bytes(name.as_bytes());
    NewTask {
        path,
        size_bytes: 5,
        modified_ns: 7,
        format: Some("wav"),
        head: None,
        measured: None,
        refusal: None,
        metadata: Default::default(),
    }
}

/// A short life of a queue, and then every look at it.
async fn everything(store: &dyn TaskStore, folder: &Path, statements: &Statements) {
    let spec = |name: &str| JobSpec {
        name: name.into(),
        endpoint: STT,
        options: serde_json::json!({}),
        root: "/in".into(),
        output: "/out".into(),
        order: Order::Longest,
    };
    let job = store.upsert_jobs(vec![spec("archive"), spec("other")], NOW).await.unwrap().remove(0);
    let tasks = |n| (0..n).map(|i| found(&format!("2024/{i}.wav"))).collect::<Vec<_>>();
    store.enqueue_batch(job.id, tasks(9), NOW).await.unwrap();
    store.set_ceiling(STT, 4).await.unwrap();
    statements.0.lock().unwrap().clear(); // what happens once in the life of a queue may take its time

    let refusal = Some(Failure::local(Cause::Empty, "empty file"));
    store
        .enqueue_batch(job.id, [tasks(9), vec![NewTask { refusal, ..found("e") }]].concat(), NOW)
        .await
        .unwrap();
    store.enqueue_batch(job.id, vec![NewTask { size_bytes: 6, ..found("2024/8.wav") }], NOW).await.unwrap();
    store.compare(job.id, tasks(3)).await.unwrap();
    let unmeasured = store.unmeasured(job.id, Some(TaskId(1)), 2).await.unwrap();
    let measured = unmeasured.into_iter().map(|task| (task, Measured::header(1))).collect();
    store.keep_measured(measured).await.unwrap();
    let sighting = Sighting {
        path: found("2024/1.wav").path,
        size_bytes: 5,
        modified_ns: 7,
        metadata: Default::default(),
    };
    store.recognise(job.id, vec![sighting]).await.unwrap();

    let worker = WorkerId("a".into());
    let row = WorkerRow {
        id: worker.clone(),
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
    store.heartbeat(worker.clone(), NOW).await.unwrap();
    store.sweep(NOW).await.unwrap();
    store.set_budget(BudgetLimit { audio_ms: Some(1 << 40), cost: None }, true, NOW).await.unwrap();
    let ready = store.candidates(STT, vec![job.id], vec![], 3, NOW).await.unwrap();
    let claim = ClaimRequest {
        worker: worker.clone(),
        endpoint: STT,
        tasks: ready.iter().map(|t| (t.id, Amount { audio_ms: 1000, cost: Money(1) })).collect(),
        want: 3,
        ahead: 0,
        alone: false,
        probing: vec![],
        cap_ms: Some(1 << 40),
        budget: BudgetLimit { audio_ms: Some(1 << 40), cost: None },
        identities: Some(ready.iter().map(|t| (t.id, Identity(t.id.to_string()))).collect()),
        now: NOW,
    };
    let mut held = store.claim(claim).await.unwrap().tasks;
    let failure = || Failure::answered(Cause::Overloaded, 503, "busy", Billed::No);
    let again = NOW.after(Duration::from_secs(9));
    for settlement in [
        Settlement::Succeed,
        Settlement::Fail(failure()),
        Settlement::Retry { run_at: again, failure: failure() },
    ] {
        let audio =
            AudioFacts { bytes: 5, blake3: "b".into(), format: "wav".into(), mime: "audio/wav".into() };
        let result = matches!(settlement, Settlement::Succeed).then(|| NewResult {
            response: "{}".into(),
            audio,
            duration_ms: None,
            measured: None,
            billed_ms: 1,
            cost: Money(1),
            redacted_audio: None,
            made: Made { identity: Some(Identity("i".into())), ..Made::default() },
            suspicions: vec![],
            piece: None,
            counted: Counted::default(),
        });
        let (task, request) = (held.remove(0), Request::default());
        store
            .settle(Arc::new(Settle {
                task,
                settlement,
                request,
                result,
                next: None,
                resend: false,
                now: NOW,
            }))
            .await
            .unwrap();
    }
    let left = store.candidates(STT, vec![job.id], vec![], 1, NOW).await.unwrap().remove(0);
    let done = store.results(job.id, 0, 1).await.unwrap().remove(0).task;
    let identity = Identity("i".into());
    let wish = ClaimRequest {
        worker: worker.clone(),
        endpoint: STT,
        tasks: vec![(left.id, Amount { audio_ms: 1000, cost: Money(1) })],
        want: 1,
        ahead: 0,
        alone: false,
        probing: vec![],
        cap_ms: None,
        budget: BudgetLimit::default(),
        identities: Some([(left.id, identity.clone())].into()),
        now: NOW,
    };
    assert_eq!(store.claim(wish).await.unwrap().doubles.len(), 1);
    let reuse = Reuse { task: left.id, fence: left.fence, of: done, identity, redacted_audio: None };
    assert_eq!(store.reuse(reuse, NOW).await.unwrap(), Settled::Accepted);
    store.learn_fields(job.id, vec!["agent".into()]).await.unwrap();
    store.tallies_where(Filter { stale: true, ..Filter::default() }, NOW).await.unwrap();
    store.next_due(STT, vec![job.id]).await.unwrap();

    store.jobs().await.unwrap();
    store.workers(5).await.unwrap();
    store.tallies().await.unwrap();
    store.limiter(STT).await.unwrap();
    store.usage(STT, NOW.month()).await.unwrap();
    store.budget().await.unwrap();
    store.speeds(job.id, 9).await.unwrap();
    store.halts(true, NOW).await.unwrap();
    store.results(job.id, 0, 9).await.unwrap();
    store.output(job.id, "results.jsonl").await.unwrap();
    store.outputs_stale(job.id).await.unwrap();
    store.task(ready[0].id).await.unwrap();
    store.attempts(ready[0].id).await.unwrap();
    store.result(ready[0].id).await.unwrap();
    for filter in
        ["state:failed", "cause:overloaded,empty", "job:archive", "state:queued job:archive cause:refused"]
    {
        store.tallies_where(Filter::parse(filter).unwrap(), NOW).await.unwrap();
        store.cancel(Filter::parse(filter).unwrap(), NOW).await.unwrap();
        store.retry(Filter::parse(filter).unwrap(), false, NOW).await.unwrap();
    }
    // With few tasks of a kind, and with many: the ways differ, and lead to the same.
    let mut told = Vec::new();
    for tasks in [0, 1_000_000] {
        let sql = format!("UPDATE tally SET tasks = tasks + {tasks}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connect(folder).await).await.unwrap();
        for filter in [
            "",
            "id:1,2",
            "state:failed",
            "state:queued,running",
            "cause:timeout",
            "cause:refused",
            "job:archive",
            "job:archive,other state:failed",
            "endpoint:velma-2-stt-batch",
            "path:2024/*",
            "path:2024/1.wav,2025/*",
            "since:2h",
            "before:3d",
            "state:failed cause:timeout path:2024/* job:archive since:2h",
            "state:queued path:2024/*",
            "state:queued since:2h",
        ] {
            for after in [None, Some(TaskId(3))] {
                let page = store.tasks(Filter::parse(filter).unwrap(), after, 100, NOW).await.unwrap();
                told.push((filter, after, page.iter().map(|t| t.id.0).collect::<Vec<_>>()));
            }
        }
    }
    let (few, many) = told.split_at(told.len() / 2);
    assert_eq!(few, many);
    assert!(few.iter().filter(|(.., ids)| !ids.is_empty()).count() > 15, "{few:?}");
    store.retire(worker, 0, NOW).await.unwrap();
}

/// Set in the process that catches.
const ALONE: &str = "VOXBATCH_TEST_ALONE";

/// In a process of its own: whoever catches statements catches those of all tests around.
#[test]
fn no_query_reads_a_large_table_from_end_to_end() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(catch_and_explain());
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = alone.args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

async fn catch_and_explain() {
    let statements = Statements::default();
    // For all threads: SQLite has one of its own for each connection.
    let catcher = tracing_subscriber::registry().with(statements.clone());
    tracing::subscriber::set_global_default(catcher).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { state_dir: folder.path().to_owned() };
    let store = SqliteStore::open(&settings).await.unwrap();
    everything(&store, folder.path(), &statements).await;

    let mut caught = statements.0.lock().unwrap().clone();
    caught.sort();
    caught.dedup();
    let queries: Vec<_> = caught
        .iter()
        .filter(|sql| ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|w| sql.starts_with(w)))
        .collect();
    assert!(queries.len() > 50, "caught {} statements only", queries.len());
    let mut c = connect(folder.path()).await;
    let mut found = Vec::new();
    for sql in queries {
        // A page that is sorted is found by reading all that could be on it.
        if sql.contains("task.id <= ?") {
            found.extend(plan(&mut c, sql).await.into_iter().filter(|line| line.contains("TEMP B-TREE")));
        }
        found.extend(whole_reads(&mut c, sql).await.into_iter().map(|line| format!("{line}: {sql}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    // The check itself can fail.
    assert_eq!(whole_reads(&mut c, "SELECT count(*) FROM task WHERE message = ?").await, ["SCAN task"]);
    c.close().await.unwrap();
    store.close().await;
}
