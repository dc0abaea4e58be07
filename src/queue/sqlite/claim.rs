//! Choosing what could start, and holding it: slots, pace, pauses, halts and the month's cap in one transaction.

use std::collections::HashSet;

use sqlx::{Row, SqliteConnection};

use super::rows::{Columns, int, job_list};
use super::{halts, limits};
use crate::queue::{Candidate, Claim, ClaimRequest, ClaimedTask, QueueError};
use crate::task::{Endpoint, Fence, JobId, TaskId, Timestamp};

/// Tasks that waited and are due come first, then the jobs in turn, each in its own order.
pub(super) async fn candidates(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    jobs: Vec<JobId>,
    skip: Vec<TaskId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Candidate>, QueueError> {
    let skip: HashSet<TaskId> = skip.into_iter().collect();
    let room = i64::from(limit) + int(skip.len() as u64);
    let mut queues = vec![due(c, endpoint, &jobs, room, now).await?];
    for &job in &jobs {
        queues.push(ready(c, endpoint, job, room).await?);
    }
    let mut queues: Vec<_> = queues
        .into_iter()
        .map(|queue| queue.into_iter().filter(|t| !skip.contains(&t.id)).collect::<Vec<_>>().into_iter())
        .collect();
    let mut chosen: Vec<Candidate> = queues[0].by_ref().take(limit as usize).collect();
    while chosen.len() < limit as usize {
        let before = chosen.len();
        for queue in &mut queues[1..] {
            chosen.extend(queue.next());
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen.truncate(limit as usize);
    Ok(chosen)
}

const CANDIDATE: &str = "SELECT id, job_id, path, size_bytes, modified_ns, fence, attempts FROM task";

async fn due(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    jobs: &[JobId],
    room: i64,
    now: Timestamp,
) -> Result<Vec<Candidate>, QueueError> {
    let sql = format!(
        "{CANDIDATE} WHERE state = 'queued' AND hold IS NOT NULL AND endpoint = ? AND run_at <= ?
         AND job_id IN (SELECT value FROM json_each(?)) ORDER BY run_at, id LIMIT ?"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(endpoint.name())
        .bind(now.0)
        .bind(job_list(jobs))
        .bind(room)
        .fetch_all(c)
        .await?;
    rows.iter().map(candidate).collect()
}

async fn ready(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    job: JobId,
    room: i64,
) -> Result<Vec<Candidate>, QueueError> {
    let sql = format!(
        "{CANDIDATE} WHERE state = 'queued' AND hold IS NULL AND endpoint = ? AND job_id = ?
         ORDER BY rank, id LIMIT ?"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(endpoint.name())
        .bind(job.0)
        .bind(room)
        .fetch_all(c)
        .await?;
    rows.iter().map(candidate).collect()
}

fn candidate(row: &sqlx::sqlite::SqliteRow) -> Result<Candidate, QueueError> {
    Ok(Candidate {
        id: TaskId(row.value("id")?),
        job: JobId(row.value("job_id")?),
        path: row.path("path")?,
        size_bytes: row.count("size_bytes")?,
        modified_ns: row.value("modified_ns")?,
        fence: Fence(row.value("fence")?),
        attempts: row.count("attempts")?,
    })
}

pub(super) async fn next_due(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    jobs: Vec<JobId>,
) -> Result<Option<Timestamp>, QueueError> {
    let at: Option<i64> = sqlx::query_scalar(
        "SELECT run_at FROM task WHERE state = 'queued' AND hold IS NOT NULL AND endpoint = ?
         AND job_id IN (SELECT value FROM json_each(?)) ORDER BY run_at LIMIT 1",
    )
    .bind(endpoint.name())
    .bind(job_list(&jobs))
    .fetch_optional(c)
    .await?;
    Ok(at.map(Timestamp))
}

pub(super) async fn claim(c: &mut SqliteConnection, wish: ClaimRequest) -> Result<Claim, QueueError> {
    let mut claim = Claim { limiter: limits::state(c, wish.endpoint).await?, ..Claim::default() };
    claim.halts = halts::stopping(c, wish.endpoint, wish.now).await?;
    claim.halts.retain(|h| !wish.probing.contains(&h.id));
    let paused = claim.limiter.paused_until.is_some_and(|until| until > wish.now);
    if !claim.halts.is_empty() || paused || (wish.alone && claim.limiter.busy > 0) {
        return Ok(claim);
    }
    let free = claim.limiter.effective.min(claim.limiter.ceiling).saturating_sub(claim.limiter.busy);
    let take = wish.want.min(free).min(if wish.alone { 1 } else { u32::MAX });
    let mut spoken_for = match wish.cap_ms {
        Some(_) => limits::spoken_for(c, wish.endpoint, wish.now.month()).await?,
        None => 0,
    };
    for &(id, estimate_ms) in &wish.tasks {
        if claim.tasks.len() == take as usize {
            break;
        }
        if wish.cap_ms.is_some_and(|cap| spoken_for.saturating_add(estimate_ms) > cap) {
            claim.cap_reached = true;
            break;
        }
        match take_task(c, &wish, id, estimate_ms).await? {
            Some(mut task) => {
                task.alone = claim.limiter.busy == 0 && (wish.alone || free == 1);
                claim.limiter.busy += 1;
                task.busy = claim.limiter.busy;
                spoken_for = spoken_for.saturating_add(estimate_ms);
                claim.tasks.push(task);
            }
            None => claim.gone.push(id),
        }
    }
    Ok(claim)
}

async fn take_task(
    c: &mut SqliteConnection,
    wish: &ClaimRequest,
    id: TaskId,
    estimate_ms: u64,
) -> Result<Option<ClaimedTask>, QueueError> {
    let row = sqlx::query(
        "UPDATE task SET state = 'running', hold = NULL, owner = ?2, fence = fence + 1, changed_at = ?3
         WHERE id = ?1 AND state = 'queued' AND run_at <= ?3
         RETURNING job_id, path, fence, attempts, retry_cause, retry_repeats, first_failed_at",
    )
    .bind(id.0)
    .bind(&wish.worker.0)
    .bind(wish.now.0)
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let fence: i64 = row.value("fence")?;
    let slot = sqlx::query(
        "UPDATE slot SET task_id = ?2, fence = ?3, owner = ?4, reserved_ms = ?5 WHERE limiter = ?1 AND no =
             (SELECT no FROM slot WHERE limiter = ?1 AND task_id IS NULL ORDER BY no LIMIT 1)",
    )
    .bind(wish.endpoint.name())
    .bind(id.0)
    .bind(fence)
    .bind(&wish.worker.0)
    .bind(int(estimate_ms))
    .execute(&mut *c)
    .await?;
    if slot.rows_affected() != 1 {
        return Err(QueueError::Corrupt(format!("no slot of {} is free after counting one", wish.endpoint)));
    }
    sqlx::query("INSERT INTO attempt (task_id, fence, worker, started_at) VALUES (?, ?, ?, ?)")
        .bind(id.0)
        .bind(fence)
        .bind(&wish.worker.0)
        .bind(wish.now.0)
        .execute(c)
        .await?;
    let repeats: u32 = row.count("retry_repeats")?;
    Ok(Some(ClaimedTask {
        id,
        job: JobId(row.try_get("job_id")?),
        path: row.path("path")?,
        endpoint: wish.endpoint,
        fence: Fence(fence),
        attempts: row.count("attempts")?,
        last_cause: row.word_or_null("retry_cause")?.map(|cause| (cause, repeats)),
        first_failed_at: row.time_or_null("first_failed_at")?,
        alone: false,
        busy: 0,
    }))
}
