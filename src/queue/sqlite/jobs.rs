//! Jobs, and the processes that work on them. The recordings that scans find for jobs are `found`'s.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use super::rows::{Columns, array, path_bytes, path_from};
use crate::queue::{JobSpec, QueueError, WorkerRow};
use crate::task::{Job, JobId, Order, Timestamp, WorkerId, options_key};

/// A task's rank by its job's order: lower goes first. The one place that says so.
///
/// Sizes count by their first two digits. Who is a few percent longer need not go first, and the queue stays quick to
/// fill: a scan's batch then adds to a few hundred places of the index instead of everywhere in it.
pub(super) const RANK: &str = "CASE ordering
    WHEN 'longest' THEN -CAST(substr(size_bytes, 1, 2) || substr('00000000000000000', 1, length(size_bytes) - 2) AS INTEGER)
    WHEN 'shortest' THEN CAST(substr(size_bytes, 1, 2) || substr('00000000000000000', 1, length(size_bytes) - 2) AS INTEGER)
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
        "INSERT INTO job (name, endpoint, options, root, output, ordering, created_at, options_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (name) DO UPDATE SET endpoint = ?2, options = ?3, root = ?4, output = ?5, ordering = ?6,
                options_changes = options_changes + (options_key <> ?8), options_key = ?8
         RETURNING id",
    )
    .bind(&spec.name)
    .bind(spec.endpoint.name())
    .bind(spec.options.to_string())
    .bind(path_bytes(&spec.root))
    .bind(path_bytes(&spec.output))
    .bind(spec.order.word())
    .bind(now.0)
    .bind(options_key(&spec.options))
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

/// The names under which metadata of a job comes.
pub(super) async fn fields(c: &mut SqliteConnection, job: JobId) -> Result<Vec<String>, QueueError> {
    let text: Option<String> =
        sqlx::query_scalar("SELECT fields FROM job WHERE id = ?").bind(job.0).fetch_optional(c).await?;
    serde_json::from_str(text.as_deref().unwrap_or("[]"))
        .map_err(|e| QueueError::Corrupt(format!("fields of a job: {e}")))
}

/// Adds those that are new. Tables that were begun without them have another header.
pub(super) async fn learn_fields(
    c: &mut SqliteConnection,
    job: JobId,
    names: Vec<String>,
) -> Result<Vec<String>, QueueError> {
    let mut known = fields(c, job).await?;
    let new: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
    if new.is_empty() {
        return Ok(known);
    }
    known.extend(new);
    sqlx::query(
        "UPDATE job SET fields = ?2,
                outputs_stale = max(outputs_stale, EXISTS (SELECT 1 FROM output WHERE job_id = ?1))
         WHERE id = ?1",
    )
    .bind(job.0)
    .bind(array(&known))
    .execute(c)
    .await?;
    Ok(known)
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
