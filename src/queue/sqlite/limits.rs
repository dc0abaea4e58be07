//! Limiters and the ledger.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::rows::{Columns, int};
use crate::queue::{LimiterState, Longest, QueueError, Usage};
use crate::task::{Endpoint, Money, Month, Timestamp};

/// What the pace had learned stays, unless it was the old ceiling itself.
pub(super) async fn set_ceiling(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    ceiling: u32,
) -> Result<LimiterState, QueueError> {
    sqlx::query(
        "INSERT INTO limiter (name, ceiling, effective) VALUES (?1, ?2, ?2)
         ON CONFLICT DO UPDATE SET ceiling = ?2, effective = iif(effective = ceiling, ?2, min(effective, ?2))",
    )
    .bind(endpoint.name())
    .bind(i64::from(ceiling))
    .execute(&mut *c)
    .await?;
    // Slots above a lowered ceiling stay until they are free of tasks; claims count them meanwhile.
    sqlx::query("DELETE FROM slot WHERE limiter = ?1 AND no > ?2 AND task_id IS NULL")
        .bind(endpoint.name())
        .bind(i64::from(ceiling))
        .execute(&mut *c)
        .await?;
    sqlx::query(
        "INSERT INTO slot (limiter, no)
         WITH RECURSIVE numbers (no) AS (SELECT 1 UNION ALL SELECT no + 1 FROM numbers WHERE no < ?2)
         SELECT ?1, no FROM numbers WHERE true ON CONFLICT DO NOTHING",
    )
    .bind(endpoint.name())
    .bind(i64::from(ceiling))
    .execute(&mut *c)
    .await?;
    state(c, endpoint).await
}

pub(super) async fn save_pace(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    effective: Option<u32>,
    paused_until: Option<Timestamp>,
) -> Result<(), QueueError> {
    sqlx::query(
        "UPDATE limiter SET effective = max(1, min(ifnull(?2, effective), ceiling)),
                paused_until = iif(?3 IS NULL, paused_until, max(ifnull(paused_until, 0), ?3))
         WHERE name = ?1",
    )
    .bind(endpoint.name())
    .bind(effective.map(i64::from))
    .bind(paused_until.map(|t| t.0))
    .execute(c)
    .await?;
    Ok(())
}

/// What is known under the same settings never grows.
pub(super) async fn learn_longest(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    longest: Longest,
) -> Result<(), QueueError> {
    sqlx::query(
        "UPDATE limiter SET longest_ms = iif(longest_under_ms IS ?3, min(ifnull(longest_ms, ?2), ?2), ?2),
                longest_under_ms = ?3
         WHERE name = ?1",
    )
    .bind(endpoint.name())
    .bind(int(longest.ms))
    .bind(longest.under_ms.map(int))
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn end_pauses(c: &mut SqliteConnection) -> Result<(), QueueError> {
    sqlx::query("UPDATE limiter SET paused_until = NULL WHERE paused_until IS NOT NULL").execute(c).await?;
    Ok(())
}

pub(super) async fn state(c: &mut SqliteConnection, endpoint: Endpoint) -> Result<LimiterState, QueueError> {
    let row = sqlx::query(
        "SELECT ceiling, effective, paused_until, longest_ms, longest_under_ms,
                (SELECT count(*) FROM slot WHERE limiter = name AND task_id IS NOT NULL) AS busy
         FROM limiter WHERE name = ?",
    )
    .bind(endpoint.name())
    .fetch_optional(c)
    .await?;
    row.map_or(Ok(LimiterState::default()), |row| limiter(&row))
}

/// A limiter from a row that has its columns, and `busy`.
pub(super) fn limiter(row: &SqliteRow) -> Result<LimiterState, QueueError> {
    Ok(LimiterState {
        ceiling: row.count("ceiling")?,
        effective: row.count("effective")?,
        busy: row.count("busy")?,
        paused_until: row.time_or_null("paused_until")?,
        longest: match row.count_or_null("longest_ms")? {
            Some(ms) => Some(Longest { ms, under_ms: row.count_or_null("longest_under_ms")? }),
            None => None,
        },
    })
}

pub(super) async fn usage(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    month: Month,
) -> Result<Usage, QueueError> {
    let row = sqlx::query("SELECT * FROM ledger WHERE endpoint = ? AND month = ?")
        .bind(endpoint.name())
        .bind(month.to_string())
        .fetch_optional(c)
        .await?;
    let Some(row) = row else { return Ok(Usage::default()) };
    Ok(Usage {
        billed_ms: row.count("billed_ms")?,
        succeeded: row.count("succeeded")?,
        unknown: row.count("unknown")?,
        unknown_ms: row.count("unknown_ms")?,
        measured_ms: row.count("measured_ms")?,
        cost: Money(row.count("cost")?),
        unknown_cost: Money(row.count("unknown_cost")?),
    })
}

/// Audio billed in the month, surely or perhaps, and audio that is being sent right now or about to be.
pub(super) async fn spoken_for(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    month: Month,
) -> Result<u64, QueueError> {
    let used = usage(&mut *c, endpoint, month).await?;
    let billed = used.billed_ms.saturating_add(used.unknown_ms);
    let reserved: i64 = sqlx::query_scalar(
        "SELECT ifnull(sum(reserved_ms), 0)
                + (SELECT ifnull(sum(reserved_ms), 0) FROM deck WHERE limiter = ?1)
         FROM slot WHERE limiter = ?1 AND task_id IS NOT NULL",
    )
    .bind(endpoint.name())
    .fetch_one(c)
    .await?;
    Ok(billed.saturating_add(u64::try_from(reserved).unwrap_or(0)))
}
