//! A wall clock that was set back. What was told to wait until a moment of the clock before would wait for as much
//! longer: its waits are over. What says so is a stamp that this clock cannot have given yet.

use sqlx::SqliteConnection;

use crate::queue::QueueError;
use crate::task::Timestamp;

/// Tasks that wait, by a stamp of another clock.
const WAITS: &str = "state = 'queued' AND hold IS NOT NULL AND changed_at > ?1";
/// Halts that were probed by one.
const PROBES: &str = "lifted_at IS NULL AND probed_at > ?1";
/// Whoever saved a pause had said before that it lived.
const BEATS: &str = "beat_at > ?1";

/// Whether anything bears such a stamp. Only reads, so that a sweep of a good clock writes nothing.
pub(super) async fn was_set_back(c: &mut SqliteConnection, now: Timestamp) -> Result<bool, QueueError> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM worker WHERE {BEATS}) OR EXISTS (SELECT 1 FROM halt WHERE {PROBES})
             OR EXISTS (SELECT 1 FROM task WHERE {WAITS})"
    );
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(now.latest_stamp().0).fetch_one(c).await?)
}

/// Ends the waits of the clock before, and the intervals between two probes that it began.
pub(super) async fn end_waits(c: &mut SqliteConnection, now: Timestamp) -> Result<(), QueueError> {
    for sql in [
        format!("UPDATE task SET run_at = min(run_at, ?2), changed_at = ?2 WHERE {WAITS}"),
        format!("UPDATE halt SET probed_at = NULL WHERE {PROBES}"),
        // Pauses bear no stamp of their own.
        format!(
            "UPDATE limiter SET paused_until = NULL
             WHERE paused_until > ?2 AND EXISTS (SELECT 1 FROM worker WHERE {BEATS})"
        ),
        format!("UPDATE worker SET beat_at = ?2 WHERE {BEATS}"),
    ] {
        let update = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.latest_stamp().0).bind(now.0);
        update.execute(&mut *c).await?;
    }
    Ok(())
}
