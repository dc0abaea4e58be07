//! Jobs, the recordings that scans find for them, and the processes that work on them.

use std::collections::HashMap;

use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::rows::{Columns, int, path_bytes, path_from};
use crate::queue::{Enqueued, JobSpec, NewTask, QueueError, WorkerRow};
use crate::task::{Failure, Job, JobId, Order, Timestamp, WorkerId};

/// A task's rank by its job's order: lower goes first. The one place that says so.
pub(super) const RANK: &str = "CASE ordering WHEN 'longest' THEN -size_bytes WHEN 'shortest' THEN size_bytes
    WHEN 'oldest' THEN modified_ns WHEN 'newest' THEN -modified_ns ELSE 0 END";

pub(super) async fn upsert(
    c: &mut SqliteConnection,
    jobs: Vec<JobSpec>,
    now: Timestamp,
) -> Result<Vec<Job>, QueueError> {
    let mut known: HashMap<String, Job> = all(c).await?.into_iter().map(|j| (j.name.clone(), j)).collect();
    let mut result = Vec::with_capacity(jobs.len());
    for spec in jobs {
        let before = known.remove(&spec.name);
        let id = write_job(c, &spec, before.as_ref(), now).await?;
        let JobSpec { name, endpoint, options, root, output, order } = spec;
        result.push(Job { id, name, endpoint, options, root, output, order });
    }
    Ok(result)
}

/// The jobs as they are known, if every one of them is as it is stated: then there is nothing to write.
pub(super) fn all_known(known: &[Job], stated: &[JobSpec]) -> Option<Vec<Job>> {
    let same = |spec: &JobSpec| {
        let job = known.iter().find(|j| j.name == spec.name)?;
        let as_stated = job.endpoint == spec.endpoint
            && job.options == spec.options
            && job.root == spec.root
            && job.output == spec.output
            && job.order == spec.order;
        as_stated.then(|| job.clone())
    };
    stated.iter().map(same).collect()
}

async fn write_job(
    c: &mut SqliteConnection,
    spec: &JobSpec,
    before: Option<&Job>,
    now: Timestamp,
) -> Result<JobId, QueueError> {
    if let Some(job) = before.filter(|j| j.endpoint != spec.endpoint) {
        let used: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM task WHERE job_id = ?)")
            .bind(job.id.0)
            .fetch_one(&mut *c)
            .await?;
        if used {
            return Err(QueueError::EndpointChanged {
                job: job.name.clone(),
                from: job.endpoint.to_string(),
                to: spec.endpoint.to_string(),
            });
        }
    }
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO job (name, endpoint, options, root, output, ordering, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (name) DO UPDATE SET endpoint = ?2, options = ?3, root = ?4, output = ?5, ordering = ?6
         RETURNING id",
    )
    .bind(&spec.name)
    .bind(spec.endpoint.name())
    .bind(spec.options.to_string())
    .bind(path_bytes(&spec.root))
    .bind(path_bytes(&spec.output))
    .bind(spec.order.word())
    .bind(now.0)
    .fetch_one(&mut *c)
    .await?;
    if before.is_some_and(|j| j.order != spec.order) {
        // What runs may come back to the queue; what has ended is ranked when it is queued again.
        let sql = format!(
            "UPDATE task SET rank = {RANK} FROM job WHERE job.id = task.job_id AND job.id = ? AND state IN ('queued', 'running')"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).execute(&mut *c).await?;
    }
    if before.is_some_and(|j| j.output != spec.output) {
        // The files of the new folder are made from the results, from the first on.
        sqlx::query("DELETE FROM output WHERE job_id = ?").bind(id).execute(&mut *c).await?;
    }
    Ok(JobId(id))
}

pub(super) async fn all(c: &mut SqliteConnection) -> Result<Vec<Job>, QueueError> {
    let rows = sqlx::query("SELECT * FROM job ORDER BY id").fetch_all(c).await?;
    rows.iter()
        .map(|row| {
            let options: &str = row.try_get("options")?;
            Ok(Job {
                id: JobId(row.value("id")?),
                name: row.value("name")?,
                endpoint: row.word("endpoint")?,
                options: serde_json::from_str(options)
                    .map_err(|e| QueueError::Corrupt(format!("options of a job: {e}")))?,
                root: path_from(row.value("root")?),
                output: path_from(row.value("output")?),
                order: row.word::<Order>("ordering")?,
            })
        })
        .collect()
}

/// What a batch of found recordings changes.
pub(super) struct Plan {
    add: Vec<NewTask>,
    reopen: Vec<(i64, NewTask)>,
    update: Vec<(i64, NewTask)>,
    counts: Enqueued,
}

impl Plan {
    pub(super) fn changes_nothing(&self) -> bool {
        self.add.is_empty() && self.reopen.is_empty() && self.update.is_empty()
    }

    pub(super) fn counts(&self) -> Enqueued {
        self.counts
    }

    /// The counts as they will be once it is carried out.
    pub(super) fn expected(&self) -> Enqueued {
        let refused =
            |tasks: &mut dyn Iterator<Item = &NewTask>| tasks.filter(|t| t.refusal.is_some()).count() as u64;
        Enqueued {
            new: self.add.len() as u64,
            new_bytes: self.add.iter().map(|t| t.size_bytes).sum(),
            refused: refused(&mut self.add.iter().chain(self.reopen.iter().map(|(_, t)| t))),
            reopened: self.reopen.len() as u64,
            ..self.counts
        }
    }
}

/// Compares found recordings with what the queue knows; reads only.
pub(super) async fn compare(
    c: &mut SqliteConnection,
    job: JobId,
    tasks: Vec<NewTask>,
) -> Result<Plan, QueueError> {
    let names: Vec<String> = tasks.iter().map(|t| hex(t.path.as_bytes())).collect();
    let rows = sqlx::query(
        "SELECT t.id, t.path, t.size_bytes, t.modified_ns, t.state, t.fence
         FROM json_each(?1) AS name JOIN task AS t ON t.job_id = ?2 AND t.path = unhex(name.value)",
    )
    .bind(serde_json::Value::from(names).to_string())
    .bind(job.0)
    .fetch_all(c)
    .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let same_as: (i64, i64) = (row.value("size_bytes")?, row.value("modified_ns")?);
        let state: String = row.value("state")?;
        let fence: i64 = row.value("fence")?;
        known.insert(row.value::<Vec<u8>>("path")?, (row.value::<i64>("id")?, same_as, state, fence));
    }
    let mut plan = Plan { add: vec![], reopen: vec![], update: vec![], counts: Enqueued::default() };
    for task in tasks {
        let Some((id, same_as, state, fence)) = known.get(task.path.as_bytes()) else {
            plan.add.push(task);
            continue;
        };
        if *same_as == (int(task.size_bytes), task.modified_ns) {
            plan.counts.known += 1;
        } else if state == "queued" {
            plan.counts.known += 1;
            plan.update.push((*id, task));
        } else if state == "failed" && *fence == 0 {
            plan.reopen.push((*id, task)); // refused by looks alone, and it looks different now
        } else {
            plan.counts.changed += 1;
        }
    }
    Ok(plan)
}

/// Writes what [`compare`] found. Another process may have added the same meanwhile: then it is known.
pub(super) async fn enqueue(
    c: &mut SqliteConnection,
    job: JobId,
    plan: Plan,
    now: Timestamp,
) -> Result<Enqueued, QueueError> {
    let mut counts = plan.counts;
    let found: Vec<serde_json::Value> = plan.add.iter().map(as_json).collect();
    let sql = format!(
        "INSERT INTO task (job_id, endpoint, path, size_bytes, modified_ns, format, rank, state, run_at,
                           cause, message, billed, created_at, changed_at, finished_at)
         SELECT job.id, job.endpoint, path, size_bytes, modified_ns, format, {RANK},
                iif(cause IS NULL, 'queued', 'failed'), ?2, cause, message, iif(cause IS NULL, NULL, 'no'),
                ?2, ?2, iif(cause IS NULL, NULL, ?2)
         FROM job, (SELECT unhex(value ->> 0) AS path, value ->> 1 AS size_bytes, value ->> 2 AS modified_ns,
                           value ->> 3 AS format, value ->> 4 AS cause, value ->> 5 AS message
                    FROM json_each(?3))
         WHERE job.id = ?1
         ON CONFLICT (job_id, path) DO NOTHING
         RETURNING size_bytes, cause IS NOT NULL AS refused"
    );
    let added = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(job.0)
        .bind(now.0)
        .bind(serde_json::Value::from(found).to_string())
        .fetch_all(&mut *c)
        .await?;
    for row in &added {
        counts.new += 1;
        counts.new_bytes += row.count::<u64>("size_bytes")?;
        counts.refused += row.count::<u64>("refused")?;
    }
    counts.known += (plan.add.len() - added.len()) as u64;
    for (id, task) in plan.reopen {
        counts.reopened += 1;
        counts.refused += u64::from(task.refusal.is_some());
        rewrite(c, id, &task, now).await?;
    }
    for (id, task) in plan.update {
        rewrite(c, id, &task, now).await?;
    }
    Ok(counts)
}

/// The file has changed since the last scan, and nothing of it was sent: what is known of it is replaced.
async fn rewrite(
    c: &mut SqliteConnection,
    id: i64,
    task: &NewTask,
    now: Timestamp,
) -> Result<(), QueueError> {
    let (cause, message) = refusal(task);
    sqlx::query(
        "UPDATE task SET size_bytes = ?2, modified_ns = ?3, format = ?4, changed_at = ?5, hold = NULL,
                run_at = ?5, cause = ?6, message = ?7,
                state = CASE WHEN ?6 IS NULL THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = ?1) THEN 'succeeded'
                             ELSE 'failed' END,
                http_status = NULL, billed = iif(?6 IS NULL, NULL, 'no'), finished_at = iif(?6 IS NULL, NULL, ?5)
         WHERE id = ?1 AND (state = 'queued' OR (state = 'failed' AND fence = 0))",
    )
    .bind(id)
    .bind(int(task.size_bytes))
    .bind(task.modified_ns)
    .bind(task.format)
    .bind(now.0)
    .bind(cause)
    .bind(message)
    .execute(&mut *c)
    .await?;
    let rank = format!("UPDATE task SET rank = {RANK} FROM job WHERE job.id = task.job_id AND task.id = ?");
    sqlx::query(sqlx::AssertSqlSafe(rank)).bind(id).execute(c).await?;
    Ok(())
}

fn refusal(task: &NewTask) -> (Option<&'static str>, Option<&str>) {
    let refusal: Option<&Failure> = task.refusal.as_ref();
    (refusal.map(|f| f.cause.word()), refusal.map(|f| f.message.as_str()))
}

fn as_json(task: &NewTask) -> serde_json::Value {
    let (cause, message) = refusal(task);
    let path = hex(task.path.as_bytes());
    json!([path, int(task.size_bytes), task.modified_ns, task.format, cause, message])
}

/// JSON cannot carry names that are not UTF-8; their bytes in hex can.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) async fn register(c: &mut SqliteConnection, w: WorkerRow) -> Result<(), QueueError> {
    sqlx::query(
        "INSERT INTO worker (id, host, pid, version, started_at, beat_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )
    .bind(w.id.0)
    .bind(w.host)
    .bind(i64::from(w.pid))
    .bind(w.version)
    .bind(w.started_at.0)
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn heartbeat(
    c: &mut SqliteConnection,
    id: WorkerId,
    now: Timestamp,
) -> Result<(), QueueError> {
    sqlx::query("UPDATE worker SET beat_at = ?2 WHERE id = ?1").bind(id.0).bind(now.0).execute(c).await?;
    Ok(())
}

pub(super) async fn retire(
    c: &mut SqliteConnection,
    id: WorkerId,
    exit_code: i32,
    now: Timestamp,
) -> Result<(), QueueError> {
    sqlx::query("UPDATE worker SET ended_at = ?2, beat_at = ?2, exit_code = ?3 WHERE id = ?1")
        .bind(id.0)
        .bind(now.0)
        .bind(exit_code)
        .execute(c)
        .await?;
    Ok(())
}

/// Everyone who is written down as holding a task.
pub(super) async fn owners(c: &mut SqliteConnection) -> Result<Vec<WorkerId>, QueueError> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT owner FROM task WHERE state = 'running'").fetch_all(c).await?;
    Ok(ids.into_iter().map(WorkerId).collect())
}

pub(super) async fn workers(c: &mut SqliteConnection, limit: u32) -> Result<Vec<WorkerRow>, QueueError> {
    let rows = sqlx::query("SELECT * FROM worker ORDER BY started_at DESC, id DESC LIMIT ?")
        .bind(i64::from(limit))
        .fetch_all(c)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(WorkerRow {
                id: WorkerId(row.value("id")?),
                host: row.value("host")?,
                pid: row.count("pid")?,
                version: row.value("version")?,
                started_at: row.time("started_at")?,
                beat_at: row.time("beat_at")?,
                ended_at: row.time_or_null("ended_at")?,
                exit_code: row.value("exit_code")?,
                alive: false,
            })
        })
        .collect()
}
