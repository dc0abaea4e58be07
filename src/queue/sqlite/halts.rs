//! Stored stops. Open: not lifted, and not past the time at which they end by themselves.

use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::rows::Columns;
use crate::queue::{Halt, QueueError};
use crate::task::{Endpoint, HaltOrder, HaltScope, Timestamp};

pub(super) async fn raise(
    c: &mut SqliteConnection,
    order: HaltOrder,
    until: Option<Timestamp>,
    by: String,
    now: Timestamp,
) -> Result<bool, QueueError> {
    // One that ended by itself makes room for the next of its kind.
    sqlx::query(
        "UPDATE halt SET lifted_at = until, lifted_by = 'time' WHERE lifted_at IS NULL AND until <= ?",
    )
    .bind(now.0)
    .execute(&mut *c)
    .await?;
    let done = sqlx::query(
        "INSERT INTO halt (scope, reason, evidence, raised_at, raised_by, until) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (scope, reason) WHERE lifted_at IS NULL DO NOTHING",
    )
    .bind(order.scope.to_string())
    .bind(order.reason.word())
    .bind(order.evidence)
    .bind(now.0)
    .bind(by)
    .bind(until.map(|t| t.0))
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn lift(
    c: &mut SqliteConnection,
    halt: i64,
    by: String,
    now: Timestamp,
) -> Result<bool, QueueError> {
    let done = sqlx::query(
        "UPDATE halt SET lifted_at = ?2, lifted_by = ?3
         WHERE id = ?1 AND lifted_at IS NULL AND (until IS NULL OR until > ?2)",
    )
    .bind(halt)
    .bind(now.0)
    .bind(by)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn take_probe(
    c: &mut SqliteConnection,
    halt: i64,
    interval: Duration,
    now: Timestamp,
) -> Result<bool, QueueError> {
    let oldest = now.0.saturating_sub(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX));
    let done = sqlx::query(
        "UPDATE halt SET probed_at = ?2
         WHERE id = ?1 AND lifted_at IS NULL AND (until IS NULL OR until > ?2)
             AND (probed_at IS NULL OR probed_at <= ?3)",
    )
    .bind(halt)
    .bind(now.0)
    .bind(oldest)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn list(
    c: &mut SqliteConnection,
    open_only: bool,
    now: Timestamp,
) -> Result<Vec<Halt>, QueueError> {
    let rows = sqlx::query(
        "SELECT * FROM halt WHERE NOT ?1 OR (lifted_at IS NULL AND (until IS NULL OR until > ?2))
         ORDER BY raised_at DESC, id DESC",
    )
    .bind(open_only)
    .bind(now.0)
    .fetch_all(c)
    .await?;
    rows.iter().map(halt).collect()
}

/// Open halts that stop this endpoint.
pub(super) async fn stopping(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    now: Timestamp,
) -> Result<Vec<Halt>, QueueError> {
    let rows = sqlx::query(
        "SELECT * FROM halt WHERE lifted_at IS NULL AND (until IS NULL OR until > ?) AND scope IN (?, ?)
         ORDER BY id",
    )
    .bind(now.0)
    .bind(HaltScope::Everything.to_string())
    .bind(HaltScope::Endpoint(endpoint).to_string())
    .fetch_all(c)
    .await?;
    rows.iter().map(halt).collect()
}

fn halt(row: &SqliteRow) -> Result<Halt, QueueError> {
    Ok(Halt {
        id: row.value("id")?,
        scope: row.word("scope")?,
        reason: row.word("reason")?,
        evidence: row.value("evidence")?,
        raised_at: row.time("raised_at")?,
        raised_by: row.value("raised_by")?,
        until: row.time_or_null("until")?,
        probed_at: row.time_or_null("probed_at")?,
        lifted_at: row.time_or_null("lifted_at")?,
        lifted_by: row.value("lifted_by")?,
    })
}
