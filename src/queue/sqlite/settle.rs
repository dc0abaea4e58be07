//! Ending what was held: one transaction for the task, its slot, its attempt, its result and the ledger.

use std::sync::Arc;

use sqlx::SqliteConnection;

use super::rows::{Columns, int, retry_after_ms};
use crate::queue::{NewResult, QueueError, Recovered, Settle, Settled};
use crate::task::{Billed, Cause, Endpoint, Failure, Fence, Hold, Settlement, TaskId, Timestamp, WorkerId};

/// Workers may die this often with a task before the task is taken for the reason.
const LEASE_LOSSES_MAX: i64 = 3;

pub(super) async fn settle(c: &mut SqliteConnection, settle: Arc<Settle>) -> Result<Settled, QueueError> {
    let Settle { task, settlement, request, result, now } = &*settle;
    let moved = match settlement {
        Settlement::Succeed => {
            let result = result
                .as_ref()
                .ok_or_else(|| QueueError::Bug("a success without a result was settled".to_owned()))?;
            succeed(c, &settle, result).await?
        }
        Settlement::Fail(failure) => fail(c, task.id, task.fence, "running", failure, *now).await?,
        Settlement::Retry { run_at, failure } => {
            requeue(c, &settle, Some(Hold::Backoff), *run_at, failure).await?
        }
        Settlement::Snooze { hold, run_at, failure } => {
            requeue(c, &settle, Some(*hold), *run_at, failure).await?
        }
        Settlement::Release(failure) => requeue(c, &settle, None, *now, failure).await?,
    };
    // Also when the task has moved on: the request is over, so the slot is free.
    sqlx::query(
        "UPDATE slot SET task_id = NULL, fence = NULL, owner = NULL, reserved_ms = 0, lone = 0
         WHERE task_id = ? AND fence = ?",
    )
    .bind(task.id.0)
    .bind(task.fence.0)
    .execute(&mut *c)
    .await?;
    let failure = settlement.failure();
    let outcome = if moved { settlement.outcome() } else { "fenced" };
    sqlx::query(
        "UPDATE attempt SET ended_at = ?3, outcome = ?4, cause = ?5, http_status = ?6, request_id = ?7,
                retry_after_ms = ?8, bytes_sent = ?9, billed = ?10, message = ?11
         WHERE task_id = ?1 AND fence = ?2 AND (outcome IS NULL OR ?12)",
    )
    .bind(task.id.0)
    .bind(task.fence.0)
    .bind(now.0)
    .bind(outcome)
    .bind(failure.map(|f| f.cause.word()))
    .bind(request.http_status.or(failure.and_then(|f| f.http_status)))
    .bind(request.request_id.as_deref())
    .bind(failure.and_then(retry_after_ms))
    .bind(int(request.bytes_sent))
    .bind(failure.map_or(Billed::Yes, |f| f.billed).word())
    .bind(failure.map(|f| f.message.as_str()))
    .bind(moved)
    .execute(&mut *c)
    .await?;
    if moved {
        let billed_ms = result.as_ref().map_or(0, |r| r.billed_ms);
        // Billed without a result to show for it, surely or perhaps.
        let unknown = failure.is_some_and(|f| f.billed != Billed::No);
        book(c, task.endpoint, *now, billed_ms, u64::from(result.is_some()), u64::from(unknown)).await?;
    }
    Ok(if moved { Settled::Accepted } else { Settled::Fenced })
}

/// A success counts also when the task was taken back meanwhile and nobody has claimed it anew, whatever became of
/// the task then: it is paid for. Once its attempt has been settled, it does not.
async fn succeed(c: &mut SqliteConnection, settle: &Settle, r: &NewResult) -> Result<bool, QueueError> {
    let row = sqlx::query(
        "UPDATE task SET state = 'succeeded', hold = NULL, owner = NULL, attempts = attempts + 1,
                cancel_requested = 0, cause = NULL, message = NULL, http_status = ?3, billed = 'yes',
                format = ?5, changed_at = ?4, finished_at = ?4
         WHERE id = ?1 AND fence = ?2 AND EXISTS (SELECT 1 FROM attempt
             WHERE task_id = ?1 AND attempt.fence = ?2 AND (outcome IS NULL OR outcome = 'lost'))
         RETURNING job_id, attempts",
    )
    .bind(settle.task.id.0)
    .bind(settle.task.fence.0)
    .bind(settle.request.http_status)
    .bind(settle.now.0)
    .bind(&r.audio.format)
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let job: i64 = row.value("job_id")?;
    let replaced = sqlx::query("DELETE FROM result WHERE task_id = ?")
        .bind(settle.task.id.0)
        .execute(&mut *c)
        .await?
        .rows_affected();
    if replaced > 0 {
        sqlx::query("UPDATE job SET outputs_stale = 1 WHERE id = ?").bind(job).execute(&mut *c).await?;
    }
    let audio = r.redacted_audio.as_ref();
    sqlx::query(
        "INSERT INTO result (task_id, job_id, attempts, http_status, bytes, blake3, format, mime, duration_ms,
                             billed_ms, audio_path, audio_bytes, audio_sha256, started_at, finished_at, response)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(settle.task.id.0)
    .bind(job)
    .bind(row.value::<i64>("attempts")?)
    .bind(settle.request.http_status.unwrap_or(200))
    .bind(int(r.audio.bytes))
    .bind(&r.audio.blake3)
    .bind(&r.audio.format)
    .bind(&r.audio.mime)
    .bind(r.duration_ms.map(int))
    .bind(int(r.billed_ms))
    .bind(audio.map(|a| a.path.as_bytes()))
    .bind(audio.map(|a| int(a.bytes)))
    .bind(audio.map(|a| a.sha256.as_str()))
    .bind(settle.request.started_at.unwrap_or(settle.now).0)
    .bind(settle.now.0)
    .bind(&r.response)
    .execute(c)
    .await?;
    Ok(true)
}

/// One that was being processed again keeps the result it has: that is paid for, and stands.
async fn fail(
    c: &mut SqliteConnection,
    id: TaskId,
    fence: Fence,
    state: &str,
    failure: &Failure,
    now: Timestamp,
) -> Result<bool, QueueError> {
    let sent = i64::from(state == "running");
    let done = sqlx::query(
        "UPDATE task SET state = iif(EXISTS (SELECT 1 FROM result WHERE task_id = ?1), 'succeeded', 'failed'),
                hold = NULL, owner = NULL, attempts = attempts + ?4, cancel_requested = 0, cause = ?5, message = ?6,
                http_status = ?7, billed = ?8, changed_at = ?9, finished_at = ?9,
                first_failed_at = iif(?4 = 0, first_failed_at, ifnull(first_failed_at, ?9))
         WHERE id = ?1 AND fence = ?2 AND state = ?3",
    )
    .bind(id.0)
    .bind(fence.0)
    .bind(state)
    .bind(sent)
    .bind(failure.cause.word())
    .bind(&failure.message)
    .bind(failure.http_status)
    .bind(failure.billed.word())
    .bind(now.0)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Back to the queue; or out of it, when the user asked for that while the task ran.
async fn requeue(
    c: &mut SqliteConnection,
    settle: &Settle,
    hold: Option<Hold>,
    run_at: Timestamp,
    failure: &Failure,
) -> Result<bool, QueueError> {
    let counted = settle.settlement.uses_attempt();
    let done = sqlx::query(
        "UPDATE task SET state = CASE WHEN NOT cancel_requested THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = ?1) THEN 'succeeded'
                             ELSE 'cancelled' END,
                finished_at = iif(cancel_requested, ?3, NULL), hold = iif(cancel_requested, NULL, ?4),
                cancel_requested = 0, owner = NULL, run_at = ?5, changed_at = ?3,
                attempts = attempts + ?6, throttles = throttles + ?7,
                retry_repeats = CASE WHEN ?6 = 0 THEN retry_repeats WHEN retry_cause = ?8 THEN retry_repeats + 1 ELSE 1 END,
                retry_cause = iif(?6 = 0, retry_cause, ?8),
                first_failed_at = iif(?6 = 0, first_failed_at, ifnull(first_failed_at, ?3)),
                cause = ?8, message = ?9, http_status = ?10, billed = ?11
         WHERE id = ?1 AND fence = ?2 AND state = 'running'",
    )
    .bind(settle.task.id.0)
    .bind(settle.task.fence.0)
    .bind(settle.now.0)
    .bind(hold.map(Hold::word))
    .bind(run_at.0)
    .bind(i64::from(counted))
    .bind(i64::from(failure.cause == Cause::Throttled || failure.cause == Cause::Connection))
    .bind(failure.cause.word())
    .bind(&failure.message)
    .bind(failure.http_status)
    .bind(failure.billed.word())
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// For a task that nobody holds: looking at its file was enough.
pub(super) async fn set_aside(
    c: &mut SqliteConnection,
    id: TaskId,
    fence: Fence,
    settlement: Settlement,
    now: Timestamp,
) -> Result<Settled, QueueError> {
    let moved = match &settlement {
        Settlement::Fail(failure) => fail(c, id, fence, "queued", failure, now).await?,
        Settlement::Snooze { hold, run_at, failure } => {
            sqlx::query(
                "UPDATE task SET hold = ?3, run_at = ?4, changed_at = ?5, cause = ?6, message = ?7
                 WHERE id = ?1 AND fence = ?2 AND state = 'queued'",
            )
            .bind(id.0)
            .bind(fence.0)
            .bind(hold.word())
            .bind(run_at.0)
            .bind(now.0)
            .bind(failure.cause.word())
            .bind(&failure.message)
            .execute(c)
            .await?
            .rows_affected()
                == 1
        }
        Settlement::Succeed | Settlement::Retry { .. } | Settlement::Release(_) => false,
    };
    Ok(if moved { Settled::Accepted } else { Settled::Fenced })
}

/// Takes everything from a worker that is proven dead. What it had sent may have been billed.
pub(super) async fn recover(
    c: &mut SqliteConnection,
    worker: WorkerId,
    now: Timestamp,
) -> Result<Recovered, QueueError> {
    let rows = sqlx::query(
        "UPDATE task SET owner = NULL, hold = NULL, run_at = ?2, changed_at = ?2, lease_losses = lease_losses + 1,
                state = CASE WHEN lease_losses + 1 < ?3 AND NOT cancel_requested THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = task.id) THEN 'succeeded'
                             WHEN lease_losses + 1 >= ?3 THEN 'failed' ELSE 'cancelled' END,
                finished_at = iif(lease_losses + 1 >= ?3 OR cancel_requested, ?2, NULL),
                cancel_requested = 0, cause = ?4, http_status = NULL, billed = 'unknown',
                message = 'the worker that held it died ' || (lease_losses + 1) || ' time(s)'
         WHERE owner = ?1 AND state = 'running'
         RETURNING id, fence, endpoint, state",
    )
    .bind(&worker.0)
    .bind(now.0)
    .bind(LEASE_LOSSES_MAX)
    .bind(Cause::LeaseLost.word())
    .fetch_all(&mut *c)
    .await?;
    let mut recovered = Recovered::default();
    for row in &rows {
        recovered.tasks += 1;
        recovered.failed += u64::from(row.value::<String>("state")? == "failed");
        sqlx::query(
            "UPDATE attempt SET ended_at = ?3, outcome = 'lost', cause = ?4, billed = 'unknown'
             WHERE task_id = ?1 AND fence = ?2 AND outcome IS NULL",
        )
        .bind(row.value::<i64>("id")?)
        .bind(row.value::<i64>("fence")?)
        .bind(now.0)
        .bind(Cause::LeaseLost.word())
        .execute(&mut *c)
        .await?;
        book(c, row.word("endpoint")?, now, 0, 0, 1).await?;
    }
    sqlx::query(
        "UPDATE slot SET task_id = NULL, fence = NULL, owner = NULL, reserved_ms = 0, lone = 0 WHERE owner = ?",
    )
    .bind(&worker.0)
    .execute(c)
    .await?;
    Ok(recovered)
}

async fn book(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    now: Timestamp,
    billed_ms: u64,
    succeeded: u64,
    unknown: u64,
) -> Result<(), QueueError> {
    if billed_ms == 0 && succeeded == 0 && unknown == 0 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ledger (endpoint, month, billed_ms, succeeded, unknown) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET billed_ms = min(billed_ms + ?3, 1 << 53), succeeded = succeeded + ?4, unknown = unknown + ?5",
    )
    .bind(endpoint.name())
    .bind(now.month().to_string())
    .bind(int(billed_ms.min(1 << 53)))
    .bind(int(succeeded))
    .bind(int(unknown))
    .execute(c)
    .await?;
    Ok(())
}
