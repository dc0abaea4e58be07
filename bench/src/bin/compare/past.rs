//! A long past for a queue: its first task, with try and result, repeated by SQL. Columns are taken from the queue as
//! it is, so a migration changes nothing here unless it renames what identifies a row.

use std::path::Path;

use rusqlite::Connection;

/// How much of a task is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Task, try and result.
    Whole,
    /// The row in `task` alone: what a status could stumble over.
    Tasks,
}

/// Repeats task 1 `count` times.
pub(crate) fn make(queue: &Path, count: u64, depth: Depth) -> rusqlite::Result<()> {
    let db = Connection::open(queue)?;
    // Should this be broken off, the queue is made from the beginning.
    db.execute_batch("PRAGMA synchronous = off; PRAGMA cache_size = -200000; BEGIN")?;
    repeat(&db, "task", "id", count)?;
    if depth == Depth::Whole {
        repeat(&db, "attempt", "task_id", count)?;
        repeat(&db, "result", "task_id", count)?;
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
}

fn repeat(db: &Connection, table: &str, key: &str, count: u64) -> rusqlite::Result<()> {
    let mut info = db.prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))?;
    let columns: Vec<String> = info.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" | "task_id" | "seq" => "i".to_owned(),
            "path" => "CAST(printf('2019/%08d.wav', i) AS BLOB)".to_owned(),
            other => format!("first.{other}"),
        })
        .collect();
    db.execute_batch(&format!(
        "WITH RECURSIVE n (i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i <= {count})
         INSERT INTO {table} ({}) SELECT {} FROM n, {table} AS first WHERE first.{key} = 1",
        columns.join(", "),
        values.join(", ")
    ))
}
