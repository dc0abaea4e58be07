//! For tests: what the schema cannot say by itself and must be true of the tables all the same.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// Each with what a row of it would mean.
const NEVER: &[(&str, &str)] = &[
    ("damage", "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
    ("a row that refers to none", "SELECT \"table\" FROM pragma_foreign_key_check"),
    (
        "a running task that has neither its own slot nor its place on deck, or both",
        "WITH hold AS (SELECT task_id, fence, owner, limiter FROM slot UNION ALL SELECT task_id, fence, owner, limiter FROM deck)
         SELECT id FROM task WHERE state = 'running' AND 1 <> (SELECT count(*) FROM hold WHERE hold.task_id = task.id
             AND hold.fence = task.fence AND hold.owner = task.owner AND hold.limiter = task.endpoint)",
    ),
    (
        "a slot of a task that does not run",
        "SELECT no FROM slot JOIN task ON task.id = slot.task_id WHERE task.state <> 'running'",
    ),
    (
        "a task on deck that does not run",
        "SELECT task_id FROM deck JOIN task ON task.id = deck.task_id WHERE task.state <> 'running'",
    ),
    ("audio reserved in a free slot", "SELECT no FROM slot WHERE task_id IS NULL AND reserved_ms <> 0"),
    (
        "a running task without exactly one open attempt, its last",
        "SELECT id FROM task WHERE state = 'running' AND 1 <> (SELECT count(*) FROM attempt
             WHERE task_id = task.id AND attempt.fence = task.fence AND outcome IS NULL)",
    ),
    (
        "an open attempt of no running task",
        "SELECT task_id FROM attempt JOIN task ON task.id = task_id
         WHERE outcome IS NULL AND (state <> 'running' OR task.fence <> attempt.fence)",
    ),
    (
        "an attempt that no claim made, or a claim without one",
        "SELECT id FROM task WHERE fence <> (SELECT count(*) FROM attempt WHERE task_id = task.id)
             OR fence < (SELECT ifnull(max(fence), 0) FROM attempt WHERE task_id = task.id)",
    ),
    (
        "a success without a result",
        "SELECT id FROM task WHERE state = 'succeeded' AND id NOT IN (SELECT task_id FROM result)",
    ),
    (
        "a result of a task that never succeeded",
        "SELECT task_id FROM result WHERE reused_from IS NULL
             AND task_id NOT IN (SELECT task_id FROM attempt WHERE outcome = 'succeeded')",
    ),
    (
        "a limiter with fewer slots than its ceiling",
        "SELECT name FROM limiter WHERE ceiling > (SELECT count(*) FROM slot WHERE limiter = name)",
    ),
    (
        "a tombstone that no purge made",
        "SELECT purged_at AS at FROM result WHERE at NOT NULL AND at NOT IN (SELECT begun_at FROM purge)
         UNION ALL SELECT audio_purged_at AS at FROM result
         WHERE at NOT NULL AND at NOT IN (SELECT begun_at FROM purge)",
    ),
    (
        "an answered piece of what has succeeded",
        "SELECT task_id FROM piece JOIN task ON task.id = task_id WHERE state = 'succeeded'",
    ),
    (
        "pieces of two contents of one recording",
        "SELECT task_id FROM piece GROUP BY task_id HAVING count(DISTINCT identity) > 1 OR max(no) <> count(*)",
    ),
    ("a count below nothing", "SELECT job_id FROM tally WHERE tasks < 0 OR bytes < 0"),
];

/// The first thing in the queue's tables that must never be.
pub(in crate::queue) async fn audit(folder: &Path) -> Result<(), String> {
    let options = SqliteConnectOptions::new().filename(folder.join("queue.db")).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let mut found = Ok(());
    for (meaning, sql) in NEVER {
        if !sqlx::query(*sql).fetch_all(&mut connection).await.unwrap().is_empty() {
            found = Err((*meaning).to_owned());
            break;
        }
    }
    connection.close().await.unwrap();
    found
}
