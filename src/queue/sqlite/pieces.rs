//! Answers to pieces of a recording, kept until the last one makes a result of them.

use sqlx::SqliteConnection;

use super::rows::{Columns, int};
use crate::queue::{NewResult, PieceRow, QueueError, Settle};
use crate::task::{Amount, Identity, Money, Stretch, TaskId};

/// Keeps the answer to a piece, and queues its recording for the next one with all its tries; one that was taken back
/// meanwhile stays where it is. False if somebody has claimed it anew, or this claim was settled before.
pub(super) async fn advance(
    c: &mut SqliteConnection,
    settle: &Settle,
    result: &NewResult,
) -> Result<bool, QueueError> {
    let no_piece = || QueueError::Bug("a recording was to go on without a piece of it".to_owned());
    let stretch = result.piece.as_ref().ok_or_else(no_piece)?;
    let identity = result.made.identity.as_ref().ok_or_else(no_piece)?;
    let moved = sqlx::query(
        "UPDATE task SET state = CASE WHEN state <> 'running' THEN state
                             WHEN NOT cancel_requested THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = ?1) THEN 'succeeded'
                             ELSE 'cancelled' END,
                finished_at = iif(state = 'running' AND cancel_requested, ?3, finished_at),
                hold = iif(state = 'running', NULL, hold), run_at = iif(state = 'running', ?3, run_at),
                owner = NULL, cancel_requested = 0, changed_at = ?3, attempts = 0, lease_losses = 0,
                retry_cause = NULL, retry_repeats = 0, first_failed_at = NULL,
                cause = iif(state = 'failed', cause, NULL), message = iif(state = 'failed', message, NULL),
                http_status = ?4, billed = 'yes'
         WHERE id = ?1 AND fence = ?2 AND EXISTS (SELECT 1 FROM attempt
             WHERE task_id = task.id AND attempt.fence = task.fence AND (outcome IS NULL OR outcome = 'lost'))",
    )
    .bind(settle.task.id.0)
    .bind(settle.task.fence.0)
    .bind(settle.now.0)
    .bind(settle.request.http_status)
    .execute(&mut *c)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    // What the recording was before, or was asked for, is void: it was paid for, and nobody can use it.
    sqlx::query("DELETE FROM piece WHERE task_id = ? AND identity <> ?")
        .bind(settle.task.id.0)
        .bind(&identity.0)
        .execute(&mut *c)
        .await?;
    // One that comes late may find those before it with another task that is the same, which goes on from there.
    sqlx::query(
        "INSERT INTO piece (task_id, no, identity, rate, channel, heard_from, heard_to, own_from, own_to, is_last,
                duration_ms, billed_ms, measured_ms, cost, answered_at, response)
         SELECT ?1, ifnull(max(no), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
         FROM piece WHERE task_id = ?1
         HAVING (SELECT state FROM task WHERE id = ?1) <> 'succeeded'
            AND (?7 = 0 AND (?4 <= 1 OR max(no) IS NOT NULL)
                 OR ?7 = (SELECT own_to FROM piece WHERE task_id = ?1 ORDER BY no DESC LIMIT 1))",
    )
    .bind(settle.task.id.0)
    .bind(&identity.0)
    .bind(stretch.rate)
    .bind(stretch.channel)
    .bind(int(stretch.heard.start))
    .bind(int(stretch.heard.end))
    .bind(int(stretch.own.start))
    .bind(int(stretch.own.end))
    .bind(stretch.is_last)
    .bind(result.duration_ms.map(int))
    .bind(int(result.billed_ms))
    .bind(int(result.measured.map_or(result.billed_ms, |m| m.duration_ms)))
    .bind(int(result.cost.0))
    .bind(settle.now.0)
    .bind(&result.response)
    .execute(c)
    .await?;
    Ok(true)
}

/// Gives tasks that were just claimed, each with what it is, the pieces of one that is the same and does not run: it would
/// have to be paid for twice otherwise. `wish` is a JSON array of `[task, identity]`.
pub(super) async fn inherit(c: &mut SqliteConnection, wish: String) -> Result<(), QueueError> {
    sqlx::query(
        "WITH moved (taker, giver) AS (
             SELECT wish.value ->> 0, (SELECT min(task_id) FROM piece JOIN task ON task.id = task_id
                                       WHERE piece.identity = wish.value ->> 1 AND state <> 'running')
             FROM jsonb_each(?1) AS wish
             WHERE NOT EXISTS (SELECT 1 FROM piece WHERE task_id = wish.value ->> 0))
         UPDATE piece SET task_id = taker FROM moved WHERE task_id = giver",
    )
    .bind(wish)
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn of(c: &mut SqliteConnection, task: TaskId) -> Result<Vec<PieceRow>, QueueError> {
    let rows =
        sqlx::query("SELECT * FROM piece WHERE task_id = ? ORDER BY no").bind(task.0).fetch_all(c).await?;
    let piece = |row: &sqlx::sqlite::SqliteRow| {
        let stretch = Stretch {
            rate: row.count("rate")?,
            channel: row.count("channel")?,
            heard: row.count("heard_from")?..row.count("heard_to")?,
            own: row.count("own_from")?..row.count("own_to")?,
            is_last: row.value("is_last")?,
        };
        Ok(PieceRow {
            identity: Identity(row.value("identity")?),
            stretch,
            duration_ms: row.count_or_null("duration_ms")?,
            billed: Amount { audio_ms: row.count("billed_ms")?, cost: Money(row.count("cost")?) },
            measured_ms: row.count("measured_ms")?,
            answered_at: row.time("answered_at")?,
            response: row.value("response")?,
        })
    };
    rows.iter().map(piece).collect()
}
