//! Choosing what could start, and holding it: slots, pace, pauses, halts and the month's cap in one transaction.

use std::collections::HashSet;

use sqlx::{Row, SqliteConnection};

use super::rows::{Columns, int};
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
    let (mut waited, mut ready_now) = (Vec::new(), Vec::new());
    for &job in &jobs {
        waited.push(due(c, endpoint, job, room, now).await?);
        ready_now.push(ready(c, endpoint, job, room).await?);
    }
    let mut chosen = Vec::new();
    for queues in [waited, ready_now] {
        let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
        let mut before = None;
        while chosen.len() < limit as usize && before != Some(chosen.len()) {
            before = Some(chosen.len());
            for queue in &mut queues {
                chosen.extend(queue.find(|t| !skip.contains(&t.id)));
            }
        }
    }
    chosen.truncate(limit as usize);
    Ok(chosen)
}

const CANDIDATE: &str = "SELECT id, job_id, path, size_bytes, modified_ns, fence, attempts FROM task";

async fn due(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    job: JobId,
    room: i64,
    now: Timestamp,
) -> Result<Vec<Candidate>, QueueError> {
    let sql = format!(
        "{CANDIDATE} WHERE state = 'queued' AND hold IS NOT NULL AND endpoint = ? AND job_id = ? AND run_at <= ?
         ORDER BY run_at, id LIMIT ?"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(endpoint.name())
        .bind(job.0)
        .bind(now.0)
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
    let mut next = None;
    for job in jobs {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT run_at FROM task WHERE state = 'queued' AND hold IS NOT NULL AND endpoint = ? AND job_id = ?
             ORDER BY run_at LIMIT 1",
        )
        .bind(endpoint.name())
        .bind(job.0)
        .fetch_optional(&mut *c)
        .await?;
        next = next.into_iter().chain(at).min();
    }
    Ok(next.map(Timestamp))
}

pub(super) async fn claim(c: &mut SqliteConnection, wish: ClaimRequest) -> Result<Claim, QueueError> {
    let mut claim = Claim { limiter: limits::state(c, wish.endpoint).await?, ..Claim::default() };
    claim.halts = halts::stopping(c, wish.endpoint, wish.now).await?;
    claim.halts.retain(|h| !wish.probing.contains(&h.id));
    let paused = claim.limiter.paused_until.is_some_and(|until| until > wish.now);
    if !claim.halts.is_empty() || paused || (wish.alone && claim.limiter.busy > 0) {
        return Ok(claim);
    }
    if lone_slot_taken(c, wish.endpoint).await? {
        return Ok(claim); // somebody finds something out, and needs to be alone for it
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
                task.alone = claim.limiter.busy == 0 && (wish.alone || claim.limiter.ceiling == 1);
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

async fn lone_slot_taken(c: &mut SqliteConnection, endpoint: Endpoint) -> Result<bool, QueueError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM slot WHERE limiter = ? AND lone AND task_id IS NOT NULL)";
    Ok(sqlx::query_scalar(sql).bind(endpoint.name()).fetch_one(c).await?)
}

async fn take_task(
    c: &mut SqliteConnection,
    wish: &ClaimRequest,
    id: TaskId,
    estimate_ms: u64,
) -> Result<Option<ClaimedTask>, QueueError> {
    let row = sqlx::query(
        "UPDATE task SET state = 'running', hold = NULL, owner = ?2, fence = fence + 1, changed_at = ?3
         WHERE id = ?1 AND state = 'queued' AND (hold IS NULL OR run_at <= ?3)
         RETURNING job_id, path, fence, attempts, throttles, retry_cause, retry_repeats, first_failed_at",
    )
    .bind(id.0)
    .bind(&wish.worker.0)
    .bind(wish.now.0)
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let fence: i64 = row.value("fence")?;
    let slot = sqlx::query(
        "UPDATE slot SET task_id = ?2, fence = ?3, owner = ?4, reserved_ms = ?5, lone = ?6 WHERE limiter = ?1 AND no =
             (SELECT no FROM slot WHERE limiter = ?1 AND task_id IS NULL ORDER BY no LIMIT 1)",
    )
    .bind(wish.endpoint.name())
    .bind(id.0)
    .bind(fence)
    .bind(&wish.worker.0)
    .bind(int(estimate_ms))
    .bind(wish.alone)
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
        throttles: row.count("throttles")?,
        last_cause: row.word_or_null("retry_cause")?.map(|cause| (cause, repeats)),
        first_failed_at: row.time_or_null("first_failed_at")?,
        alone: false,
        busy: 0,
    }))
}
