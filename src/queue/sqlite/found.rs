//! The recordings that scans find: telling which are known, and adding the others. A batch is one statement, however
//! many recordings are in it.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::SqliteConnection;

use super::jobs::{self, RANK};
use super::rows::{Columns, array, int};
use crate::queue::{Enqueued, KnownFiles, NewTask, QueueError, Recognised, Sighting, Unmeasured};
use crate::task::{Cause, Failure, JobId, Measured, Metadata, TaskId, Timestamp};

/// Tells files that the queue has as they are from those that have to be looked into.
pub(super) async fn recognise(
    c: &mut SqliteConnection,
    job: JobId,
    files: Vec<Sighting>,
) -> Result<Recognised, QueueError> {
    let seen = files.iter().map(|f| {
        let Metadata { fields, options } = &f.metadata;
        (hex(f.path.as_bytes()), int(f.size_bytes), f.modified_ns, fields, options)
    });
    // A LEFT JOIN: names come first, each is looked up. Left to itself, SQLite would go through the whole job for
    // each name instead.
    let rows = sqlx::query(
        "SELECT format, refused, same, count(*) AS files, ifnull(sum(size_bytes), 0) AS bytes,
                iif(same, NULL, json_group_array(place)) AS places
         FROM (SELECT file.key AS place, task.format, task.size_bytes,
                      iif(task.state = 'failed' AND task.fence = 0, task.cause, NULL) AS refused,
                      ifnull(task.size_bytes = file.value ->> 1 AND task.modified_ns = file.value ->> 2
                             AND task.metadata IS file.value ->> 3 AND task.options IS file.value ->> 4
                             AND NOT (task.state = 'failed' AND task.fence = 0 AND task.cause = 'config_refused'),
                             0) AS same
               FROM jsonb_each(?1) AS file
                    LEFT JOIN task ON task.job_id = ?2 AND task.path = unhex(file.value ->> 0))
         GROUP BY format, refused, same",
    )
    .bind(array(seen))
    .bind(job.0)
    .fetch_all(c)
    .await?;
    let mut recognised = Recognised::default();
    for row in &rows {
        if let Some(places) = row.value::<Option<String>>("places")? {
            let places: Vec<usize> = serde_json::from_str(&places)
                .map_err(|e| QueueError::Corrupt(format!("places of files: {e}")))?;
            recognised.strangers.extend(places);
        } else {
            recognised.known.push(KnownFiles {
                format: row.value("format")?,
                refused: row.word_or_null("refused")?,
                files: row.count("files")?,
                bytes: row.count("bytes")?,
            });
        }
    }
    recognised.strangers.sort_unstable();
    Ok(recognised)
}

/// What [`enqueue`] would come to; reads only.
pub(super) async fn compare(
    c: &mut SqliteConnection,
    job: JobId,
    tasks: Vec<NewTask>,
) -> Result<Enqueued, QueueError> {
    let known = standing(c, job, &tasks).await?;
    let mut counts = Enqueued::default();
    for task in &tasks {
        let refused = u64::from(task.refusal.is_some());
        match known.get(task.path.as_bytes()).map(|standing| standing.against(task)) {
            None => {
                counts.new += 1;
                counts.new_bytes += task.size_bytes;
                counts.refused += refused;
            }
            Some(Change::Nothing | Change::Update) => counts.known += 1,
            Some(Change::Describe) => {
                counts.known += 1;
                counts.redescribed += 1;
            }
            Some(Change::Reopen) => {
                counts.reopened += 1;
                counts.refused += refused;
            }
            Some(Change::LeaveAlone) => counts.changed += 1,
        }
    }
    Ok(counts)
}

/// Adds what is new, and then holds the rest, if there is any, against what is known of it.
pub(super) async fn enqueue(
    c: &mut SqliteConnection,
    job: JobId,
    tasks: Vec<NewTask>,
    now: Timestamp,
) -> Result<Enqueued, QueueError> {
    let mut names: Vec<String> = Vec::new();
    for name in tasks.iter().flat_map(|task| task.metadata.fields().into_iter().map(|(name, _)| name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        jobs::learn_fields(c, job, names).await?;
    }
    let last: i64 = sqlx::query_scalar("SELECT ifnull(max(id), 0) FROM task").fetch_one(&mut *c).await?;
    let added = add(c, job, &tasks, now).await?;
    let mut counts = if added > 0 { count(c, last).await? } else { Enqueued::default() };
    if added == tasks.len() as u64 {
        return Ok(counts);
    }
    let known = standing(c, job, &tasks).await?;
    for task in &tasks {
        let Some(standing) = known.get(task.path.as_bytes()).filter(|standing| standing.id <= last) else {
            continue; // added just now
        };
        match standing.against(task) {
            Change::Nothing => {}
            Change::Update => rewrite(c, standing.id, task, now).await?,
            Change::Reopen => {
                counts.reopened += 1;
                counts.refused += u64::from(task.refusal.is_some());
                rewrite(c, standing.id, task, now).await?;
            }
            Change::Describe => {
                counts.redescribed += 1;
                describe(c, standing.id, task, now).await?;
            }
            Change::LeaveAlone => counts.changed += 1,
        }
    }
    counts.known = tasks.len() as u64 - counts.new - counts.reopened - counts.changed;
    Ok(counts)
}

/// Adds those that are not there. Returns how many.
async fn add(
    c: &mut SqliteConnection,
    job: JobId,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<u64, QueueError> {
    let sql = format!(
        "INSERT INTO task (job_id, endpoint, path, size_bytes, modified_ns, format, duration_ms, duration_method,
                           rank, state, run_at, cause, message, billed, created_at, changed_at, finished_at,
                           metadata, options, head)
         SELECT job.id, job.endpoint, path, size_bytes, modified_ns, format, duration_ms, duration_method, {RANK},
                iif(cause IS NULL, 'queued', 'failed'), ?2, cause, message, iif(cause IS NULL, NULL, 'no'),
                ?2, ?2, iif(cause IS NULL, NULL, ?2), metadata, own, head
         FROM job CROSS JOIN (SELECT unhex(value ->> 0) AS path, value ->> 1 AS size_bytes,
                                     value ->> 2 AS modified_ns, value ->> 3 AS format, value ->> 4 AS cause,
                                     value ->> 5 AS message, value ->> 6 AS duration_ms,
                                     value ->> 7 AS duration_method, value ->> 8 AS metadata, value ->> 9 AS own,
                                     value ->> 10 AS head
                              FROM jsonb_each(?3))
         WHERE job.id = ?1
         ON CONFLICT (job_id, path) DO NOTHING"
    );
    let added = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(job.0)
        .bind(now.0)
        .bind(array(tasks.iter().map(as_row)))
        .execute(c)
        .await?;
    Ok(added.rows_affected())
}

/// Counts the rows behind `last`, for the caller and in the tally: a trigger for each row would cost as much as the row.
/// NOT INDEXED: by their numbers, and not through all that an index has in the order of the groups.
async fn count(c: &mut SqliteConnection, last: i64) -> Result<Enqueued, QueueError> {
    sqlx::query(
        "INSERT INTO tally (job_id, state, cause, tasks, bytes)
         SELECT job_id, state, ifnull(cause, ''), count(*), sum(size_bytes) FROM task NOT INDEXED
         WHERE id > ? GROUP BY 1, 2, 3
         ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks, bytes = bytes + excluded.bytes",
    )
    .bind(last)
    .execute(&mut *c)
    .await?;
    let row = sqlx::query(
        "SELECT count(*) AS new, sum(size_bytes) AS bytes, count(cause) AS refused FROM task WHERE id > ?",
    )
    .bind(last)
    .fetch_one(c)
    .await?;
    Ok(Enqueued {
        new: row.count("new")?,
        new_bytes: row.count("bytes")?,
        refused: row.count("refused")?,
        ..Enqueued::default()
    })
}

/// What the queue knows of a recording.
struct Standing {
    id: i64,
    size_bytes: i64,
    modified_ns: i64,
    state: String,
    fence: i64,
    cause: Option<String>,
    metadata: Metadata,
}

/// What finding a known recording again changes.
enum Change {
    /// It is as it was.
    Nothing,
    /// Not sent yet, and its file has changed: what is known of it is replaced.
    Update,
    /// Refused by its looks alone, and it looks different now.
    Reopen,
    /// Only what it comes with has changed.
    Describe,
    /// Sent before; its result or failure stands for the file as it was.
    LeaveAlone,
}

impl Standing {
    fn against(&self, task: &NewTask) -> Change {
        let is_same_file = (self.size_bytes, self.modified_ns) == (int(task.size_bytes), task.modified_ns);
        let is_refused = self.state == "failed" && self.fence == 0;
        // What it comes with was refused, and is not any more: no byte of the file need have changed for that.
        let is_mended = is_refused && self.is_refused_by_metadata() && task.refusal.is_none();
        let is_unusable = task.refusal.as_ref().is_some_and(|failure| failure.cause == Cause::ConfigRefused);
        if is_same_file && is_unusable {
            // Not to be sent without what it should come with; what was sent keeps what it came with.
            if self.state == "queued" { Change::Update } else { Change::Nothing }
        } else if is_same_file && !is_mended {
            if self.metadata == task.metadata { Change::Nothing } else { Change::Describe }
        } else if self.state == "queued" {
            Change::Update
        } else if is_refused {
            Change::Reopen
        } else {
            Change::LeaveAlone
        }
    }

    fn is_refused_by_metadata(&self) -> bool {
        self.cause.as_deref() == Some(Cause::ConfigRefused.word())
    }
}

async fn standing(
    c: &mut SqliteConnection,
    job: JobId,
    tasks: &[NewTask],
) -> Result<HashMap<Vec<u8>, Standing>, QueueError> {
    // CROSS JOIN: in this order, one look-up a name.
    let rows = sqlx::query(
        "SELECT t.id, t.path, t.size_bytes, t.modified_ns, t.state, t.fence, t.cause, t.metadata, t.options
         FROM jsonb_each(?1) AS name CROSS JOIN task AS t ON t.job_id = ?2 AND t.path = unhex(name.value)",
    )
    .bind(array(tasks.iter().map(|t| hex(t.path.as_bytes()))))
    .bind(job.0)
    .fetch_all(c)
    .await?;
    rows.iter()
        .map(|row| {
            let standing = Standing {
                id: row.value("id")?,
                size_bytes: row.value("size_bytes")?,
                modified_ns: row.value("modified_ns")?,
                state: row.value("state")?,
                fence: row.value("fence")?,
                cause: row.value("cause")?,
                metadata: row.metadata()?,
            };
            Ok((row.value("path")?, standing))
        })
        .collect()
}

/// The file has changed since the last scan, and nothing of it was sent: what is known of it is replaced.
async fn rewrite(
    c: &mut SqliteConnection,
    id: i64,
    task: &NewTask,
    now: Timestamp,
) -> Result<(), QueueError> {
    let (cause, message) = refusal(task);
    sqlx::query(
        "UPDATE task SET size_bytes = ?2, modified_ns = ?3, format = ?4, changed_at = ?5, hold = NULL,
                run_at = ?5, cause = ?6, message = ?7,
                state = CASE WHEN ?6 IS NULL THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = ?1) THEN 'succeeded'
                             ELSE 'failed' END,
                http_status = NULL, billed = iif(?6 IS NULL, NULL, 'no'), finished_at = iif(?6 IS NULL, NULL, ?5),
                duration_ms = ?8, duration_method = ?9, metadata = ?10, options = ?11, head = ?12
         WHERE id = ?1 AND (state = 'queued' OR (state = 'failed' AND fence = 0))",
    )
    .bind(id)
    .bind(int(task.size_bytes))
    .bind(task.modified_ns)
    .bind(task.format)
    .bind(now.0)
    .bind(cause)
    .bind(message)
    .bind(task.measured.map(|m| int(m.duration_ms)))
    .bind(task.measured.map(|m| m.method.word()))
    .bind(&task.metadata.fields)
    .bind(&task.metadata.options)
    .bind(task.head)
    .execute(&mut *c)
    .await?;
    let rank = format!("UPDATE task SET rank = {RANK} FROM job WHERE job.id = task.job_id AND task.id = ?");
    sqlx::query(sqlx::AssertSqlSafe(rank)).bind(id).execute(c).await?;
    Ok(())
}

/// What it comes with has changed, and the file has not: a result that it has stands, and is told anew.
async fn describe(
    c: &mut SqliteConnection,
    id: i64,
    task: &NewTask,
    now: Timestamp,
) -> Result<(), QueueError> {
    sqlx::query(
        "UPDATE job SET outputs_stale = 1, options_changes = options_changes + (task.options IS NOT ?3)
         FROM task WHERE task.job_id = job.id AND task.id = ?1 AND task.state = 'succeeded';
         UPDATE task SET metadata = ?2, options = ?3, changed_at = ?4 WHERE id = ?1",
    )
    .bind(id)
    .bind(&task.metadata.fields)
    .bind(&task.metadata.options)
    .bind(now.0)
    .execute(c)
    .await?;
    Ok(())
}

fn refusal(task: &NewTask) -> (Option<&'static str>, Option<&str>) {
    let refusal: Option<&Failure> = task.refusal.as_ref();
    (refusal.map(|f| f.cause.word()), refusal.map(|f| f.message.as_str()))
}

/// In the order in which [`add`] takes it apart.
fn as_row(task: &NewTask) -> impl Serialize {
    let (cause, message) = refusal(task);
    let path = hex(task.path.as_bytes());
    let (ms, method) = (task.measured.map(|m| int(m.duration_ms)), task.measured.map(|m| m.method.word()));
    let Metadata { fields, options } = &task.metadata;
    let size = int(task.size_bytes);
    (path, size, task.modified_ns, task.format, cause, message, ms, method, fields, options, task.head)
}

/// Queued recordings that nobody has measured yet.
pub(super) async fn unmeasured(
    c: &mut SqliteConnection,
    job: JobId,
    after: Option<TaskId>,
    limit: u32,
) -> Result<Vec<Unmeasured>, QueueError> {
    let rows = sqlx::query(
        "SELECT id, path, size_bytes, modified_ns, format FROM task INDEXED BY task_unmeasured
         WHERE job_id = ? AND id > ? AND duration_ms IS NULL AND state = 'queued' ORDER BY id LIMIT ?",
    )
    .bind(job.0)
    .bind(after.map_or(0, |id| id.0))
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    rows.iter()
        .map(|row| {
            let file = Sighting {
                path: row.path("path")?,
                size_bytes: row.count("size_bytes")?,
                modified_ns: row.value("modified_ns")?,
                metadata: Metadata::default(),
            };
            Ok(Unmeasured { id: TaskId(row.value("id")?), file, format: row.value("format")? })
        })
        .collect()
}

/// Keeps lengths of files that are still the ones that were measured.
pub(super) async fn keep_measured(
    c: &mut SqliteConnection,
    measured: Vec<(Unmeasured, Measured)>,
) -> Result<(), QueueError> {
    let measured = measured.iter().map(|(task, measured)| {
        let Unmeasured { id, file, .. } = task;
        (id.0, int(file.size_bytes), file.modified_ns, int(measured.duration_ms), measured.method.word())
    });
    sqlx::query(
        "UPDATE task SET duration_ms = m.value ->> 3, duration_method = m.value ->> 4 FROM jsonb_each(?1) AS m
         WHERE task.id = m.value ->> 0 AND size_bytes = m.value ->> 1 AND modified_ns = m.value ->> 2
           AND state IN ('queued', 'running')",
    )
    .bind(array(measured))
    .execute(c)
    .await?;
    Ok(())
}

/// JSON cannot carry names that are not UTF-8; their bytes in hex can.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}
