//! Results, attempts, and what the files made from results hold for certain.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::rows::{Columns, int};
use crate::queue::{
    AttemptRow, AudioFacts, OutputState, QueueError, RESULTS_BYTES, RedactedAudio, ResultRow,
};
use crate::task::{Fence, JobId, Metadata, RecordingPath, TaskId, WorkerId};

const RESULT: &str = "SELECT result.*, task.path, task.endpoint, task.metadata, task.options AS own FROM result JOIN task ON task.id = result.task_id";

/// Only results that stand: a task that is being processed again has none until it succeeds. How large an answer is
/// can be told without reading it.
pub(super) async fn results(
    c: &mut SqliteConnection,
    job: JobId,
    after: i64,
    limit: u32,
) -> Result<Vec<ResultRow>, QueueError> {
    let sql = format!(
        "{RESULT} WHERE result.job_id = ?1 AND seq > ?2 AND task.state = 'succeeded' AND seq <= (
             SELECT max(seq) FROM (
                 SELECT seq, bytes, sum(bytes) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS total FROM (
                     SELECT seq, octet_length(response) AS bytes FROM result JOIN task ON task.id = result.task_id
                     WHERE result.job_id = ?1 AND seq > ?2 AND task.state = 'succeeded' ORDER BY seq LIMIT ?3))
             WHERE total <= ?4 OR total = bytes)
         ORDER BY seq"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(job.0)
        .bind(after)
        .bind(i64::from(limit))
        .bind(int(RESULTS_BYTES))
        .fetch_all(c)
        .await?;
    rows.iter().map(row).collect()
}

pub(super) async fn result(c: &mut SqliteConnection, id: TaskId) -> Result<Option<ResultRow>, QueueError> {
    let sql = format!("{RESULT} WHERE result.task_id = ?");
    let found = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(c).await?;
    found.as_ref().map(row).transpose()
}

fn row(row: &SqliteRow) -> Result<ResultRow, QueueError> {
    let redacted_audio = match row.value::<Option<Vec<u8>>>("audio_path")? {
        Some(path) => Some(RedactedAudio {
            path: RecordingPath::from_bytes(path),
            bytes: row.count("audio_bytes")?,
            sha256: row.value("audio_sha256")?,
        }),
        None => None,
    };
    Ok(ResultRow {
        seq: row.value("seq")?,
        task: TaskId(row.value("task_id")?),
        path: row.path("path")?,
        endpoint: row.word("endpoint")?,
        attempts: row.count("attempts")?,
        http_status: row.count("http_status")?,
        audio: AudioFacts {
            bytes: row.count("bytes")?,
            blake3: row.value("blake3")?,
            format: row.value("format")?,
            mime: row.value("mime")?,
        },
        duration_ms: row.count_or_null("duration_ms")?,
        measured: row.measured("measured_ms")?,
        billed_ms: row.count("billed_ms")?,
        response: row.value("response")?,
        redacted_audio,
        started_at: row.time("started_at")?,
        finished_at: row.time("finished_at")?,
        purged_at: row.time_or_null("purged_at")?,
        audio_purged_at: row.time_or_null("audio_purged_at")?,
        metadata: Metadata { fields: row.value("metadata")?, options: row.value("own")? },
        reused_from: row.value::<Option<i64>>("reused_from")?.map(TaskId),
        suspicions: match row.value::<Option<String>>("suspect")? {
            None => Vec::new(),
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| QueueError::Corrupt(format!("what is odd about a result: {e}")))?,
        },
    })
}

/// The latest results of a job: audio and time, in milliseconds.
pub(super) async fn speeds(
    c: &mut SqliteConnection,
    job: JobId,
    limit: u32,
) -> Result<Vec<(u64, u64)>, QueueError> {
    let rows = sqlx::query(
        "SELECT ifnull(ifnull(duration_ms, measured_ms), 0) AS audio, max(finished_at - started_at, 0) AS wall
         FROM result WHERE job_id = ?1
           AND 2 > (SELECT count(*) FROM attempt WHERE attempt.task_id = result.task_id AND outcome = 'succeeded')
         ORDER BY seq DESC LIMIT ?2",
    )
    .bind(job.0)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    rows.iter().map(|row| Ok((row.count("audio")?, row.count("wall")?))).collect()
}

pub(super) async fn attempts(c: &mut SqliteConnection, id: TaskId) -> Result<Vec<AttemptRow>, QueueError> {
    let rows = sqlx::query("SELECT * FROM attempt WHERE task_id = ? ORDER BY fence DESC")
        .bind(id.0)
        .fetch_all(c)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRow {
                fence: Fence(row.value("fence")?),
                worker: WorkerId(row.value("worker")?),
                started_at: row.time("started_at")?,
                ended_at: row.time_or_null("ended_at")?,
                outcome: row.value("outcome")?,
                cause: row.word_or_null("cause")?,
                http_status: row.count_or_null("http_status")?,
                request_id: row.value("request_id")?,
                retry_after_ms: row.count_or_null("retry_after_ms")?,
                bytes_sent: row.count("bytes_sent")?,
                billed: row.word_or_null("billed")?,
                message: row.value("message")?,
            })
        })
        .collect()
}

pub(super) async fn output(
    c: &mut SqliteConnection,
    job: JobId,
    name: &'static str,
) -> Result<OutputState, QueueError> {
    let row =
        sqlx::query("SELECT bytes, last_seq, records, sha256 FROM output WHERE job_id = ? AND name = ?")
            .bind(job.0)
            .bind(name)
            .fetch_optional(c)
            .await?;
    let Some(row) = row else { return Ok(OutputState::default()) };
    Ok(OutputState {
        bytes: row.count("bytes")?,
        last_seq: row.value("last_seq")?,
        records: row.count("records")?,
        sha256: row.value("sha256")?,
    })
}

pub(super) async fn commit_output(
    c: &mut SqliteConnection,
    job: JobId,
    name: &'static str,
    state: OutputState,
) -> Result<(), QueueError> {
    sqlx::query(
        "INSERT INTO output (job_id, name, bytes, last_seq, records, sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET bytes = ?3, last_seq = ?4, records = ?5, sha256 = ?6",
    )
    .bind(job.0)
    .bind(name)
    .bind(int(state.bytes))
    .bind(state.last_seq)
    .bind(int(state.records))
    .bind(state.sha256)
    .execute(c)
    .await?;
    Ok(())
}

pub(super) async fn stale(c: &mut SqliteConnection, job: JobId) -> Result<bool, QueueError> {
    Ok(sqlx::query_scalar("SELECT outputs_stale FROM job WHERE id = ?").bind(job.0).fetch_one(c).await?)
}

pub(super) async fn renewed(c: &mut SqliteConnection, job: JobId) -> Result<(), QueueError> {
    sqlx::query("UPDATE job SET outputs_stale = 0 WHERE id = ?").bind(job.0).execute(c).await?;
    Ok(())
}
