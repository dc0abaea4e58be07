//! Deleting answers by hand: what would go, the tombstones, and an end that leaves no byte in the database's files.
//! The audio and the outputs are others' to delete.

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::rows::{Columns, array, int};
use crate::queue::{Purge, Purgeable, QueueError};
use crate::task::{JobId, RecordingPath, Timestamp};

/// All that holds words: results, and the answered pieces of recordings that were given up before they had one.
const KEPT: &str =
    "(SELECT task_id, job_id, finished_at, purged_at, audio_path, audio_bytes, audio_purged_at,
            octet_length(response) AS bytes FROM result
     UNION ALL SELECT id, job_id, finished_at, NULL, NULL, NULL, NULL,
            (SELECT sum(octet_length(response)) FROM piece WHERE task_id = task.id)
     FROM task WHERE state IN ('failed', 'cancelled') AND id IN (SELECT task_id FROM piece))";

/// What is concerned: ?1 the jobs, ?2 the latest end, ?3 whether answers go, ?4 whether audio goes.
const CONCERNED: &str = "job_id IN (SELECT value FROM jsonb_each(?1)) AND finished_at <= ?2
     AND (?3 AND purged_at IS NULL OR ?4 AND audio_path IS NOT NULL AND audio_purged_at IS NULL)";

pub(super) async fn purgeable(c: &mut SqliteConnection, purge: &Purge) -> Result<Vec<Purgeable>, QueueError> {
    let sql = format!(
        "SELECT job_id, count(*) AS recordings, min(finished_at) AS oldest, max(finished_at) AS newest,
                sum(?3 AND purged_at IS NULL) AS answers,
                sum(iif(?3 AND purged_at IS NULL, bytes, 0)) AS answer_bytes,
                sum(?4 AND audio_path IS NOT NULL AND audio_purged_at IS NULL) AS audio,
                sum(iif(?4 AND audio_purged_at IS NULL, ifnull(audio_bytes, 0), 0)) AS audio_bytes
         FROM {KEPT} WHERE {CONCERNED} GROUP BY job_id ORDER BY job_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(jobs(purge))
        .bind(purge.finished_by.0)
        .bind(purge.answers)
        .bind(purge.audio)
        .fetch_all(c)
        .await?;
    rows.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> Result<Purgeable, QueueError> {
    Ok(Purgeable {
        job: JobId(row.value("job_id")?),
        recordings: row.count("recordings")?,
        answers: row.count("answers")?,
        answer_bytes: row.count("answer_bytes")?,
        audio: row.count("audio")?,
        audio_bytes: row.count("audio_bytes")?,
        oldest: row.time("oldest")?,
        newest: row.time("newest")?,
    })
}

fn jobs(purge: &Purge) -> String {
    array(purge.jobs.iter().map(|job| job.0))
}

/// Tombstones, files that say too much, and a note that this is not the end of it: all or nothing.
pub(super) async fn purge(
    c: &mut SqliteConnection,
    purge: Purge,
    now: Timestamp,
) -> Result<Vec<Purgeable>, QueueError> {
    let taken = purgeable(c, &purge).await?;
    if taken.is_empty() {
        return Ok(taken);
    }
    // What goes serves for nobody else. What is being sent again will have an answer of its own.
    let sql = format!(
        "UPDATE task SET identity = NULL WHERE identity IS NOT NULL AND state <> 'running'
            AND id IN (SELECT task_id FROM {KEPT} WHERE {CONCERNED})"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(jobs(&purge))
        .bind(purge.finished_by.0)
        .bind(purge.answers)
        .bind(purge.audio)
        .execute(&mut *c)
        .await?;
    sqlx::query(
        "DELETE FROM piece WHERE ?3 AND task_id IN (SELECT id FROM task WHERE state IN ('failed', 'cancelled')
             AND job_id IN (SELECT value FROM jsonb_each(?1)) AND finished_at <= ?2)",
    )
    .bind(jobs(&purge))
    .bind(purge.finished_by.0)
    .bind(purge.answers)
    .execute(&mut *c)
    .await?;
    let sql = format!(
        "UPDATE result SET response = iif(?3, 'null', response), purged_at = iif(?3, ifnull(purged_at, ?5), purged_at),
                audio_purged_at = iif(?4 AND audio_path IS NOT NULL, ifnull(audio_purged_at, ?5), audio_purged_at)
         WHERE {CONCERNED}"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(jobs(&purge))
        .bind(purge.finished_by.0)
        .bind(purge.answers)
        .bind(purge.audio)
        .bind(now.0)
        .execute(&mut *c)
        .await?;
    for one in &taken {
        sqlx::query("UPDATE job SET outputs_stale = 1 WHERE id = ?").bind(one.job.0).execute(&mut *c).await?;
    }
    sqlx::query("INSERT INTO purge (begun_at, answers, audio) VALUES (?, ?, ?)")
        .bind(now.0)
        .bind(int(taken.iter().map(|one| one.answers).sum()))
        .bind(int(taken.iter().map(|one| one.audio).sum()))
        .execute(c)
        .await?;
    Ok(taken)
}

pub(super) async fn open(c: &mut SqliteConnection) -> Result<Option<i64>, QueueError> {
    Ok(sqlx::query_scalar("SELECT max(id) FROM purge WHERE ended_at IS NULL").fetch_one(c).await?)
}

/// Not those that are being sent: their worker puts its file there before it settles.
pub(super) async fn audio(
    c: &mut SqliteConnection,
    job: JobId,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, RecordingPath)>, QueueError> {
    let rows = sqlx::query(
        "SELECT seq, audio_path FROM result JOIN task ON task.id = result.task_id
         WHERE result.job_id = ? AND seq > ? AND audio_purged_at IS NOT NULL AND task.state <> 'running'
         ORDER BY seq LIMIT ?",
    )
    .bind(job.0)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    rows.iter().map(|row| Ok((row.value("seq")?, row.path("audio_path")?))).collect()
}

/// Whether any of the open purges up to this one took answers out of the database.
pub(super) async fn took_answers(c: &mut SqliteConnection, up_to: i64) -> Result<bool, QueueError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM purge WHERE ended_at IS NULL AND id <= ? AND answers > 0)";
    Ok(sqlx::query_scalar(sql).bind(up_to).fetch_one(c).await?)
}

/// Writes the database anew without what was let go of, and the log with it. False if somebody who reads it kept the
/// log from being emptied.
///
/// Overwriting alone is not enough: when SQLite moves rows from page to page, copies stay behind in the gaps. So
/// everything that is left is copied, zeros in the gaps, and the copy takes the place of all pages.
pub(super) async fn wipe(options: SqliteConnectOptions) -> Result<bool, QueueError> {
    let mut connection = options.pragma("secure_delete", "ON").connect().await?;
    sqlx::query("VACUUM").execute(&mut connection).await?;
    // Who reads for longer may do so for hours.
    sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut connection).await?;
    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await?;
    let was_busy: i64 = row.try_get(0)?;
    connection.close().await?;
    Ok(was_busy == 0)
}

pub(super) async fn end(c: &mut SqliteConnection, up_to: i64, now: Timestamp) -> Result<(), QueueError> {
    sqlx::query("UPDATE purge SET ended_at = ? WHERE ended_at IS NULL AND id <= ?")
        .bind(now.0)
        .bind(up_to)
        .execute(c)
        .await?;
    Ok(())
}
