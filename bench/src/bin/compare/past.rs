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

/// Rows to a transaction.
const BATCH: u64 = 500_000;

/// Repeats task 1 `count` times.
pub(crate) fn make(queue: &Path, count: u64, depth: Depth) -> rusqlite::Result<()> {
    let db = Connection::open(queue)?;
    // Should this be broken off, the queue is made from the beginning.
    db.execute_batch("PRAGMA synchronous = off; PRAGMA cache_size = -200000")?;
    repeat(&db, count, depth)?;
    // The counts that the queue keeps, whether or not a trigger counted meanwhile.
    db.execute_batch(
        "INSERT INTO tally (job_id, state, cause, tasks, bytes)
         SELECT job_id, state, ifnull(cause, ''), count(*), sum(size_bytes) FROM task GROUP BY 1, 2, 3
         ON CONFLICT DO UPDATE SET tasks = excluded.tasks, bytes = excluded.bytes",
    )?;
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

fn repeat(db: &Connection, count: u64, depth: Depth) -> rusqlite::Result<()> {
    let tables: &[(&str, &str)] = match depth {
        Depth::Whole => &[("task", "id"), ("attempt", "task_id"), ("result", "task_id")],
        Depth::Tasks => &[("task", "id")],
    };
    for (table, key) in tables {
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
        let (columns, values) = (columns.join(", "), values.join(", "));
        for first in (2..count + 2).step_by(BATCH as usize) {
            let last = (first + BATCH - 1).min(count + 1);
            db.execute_batch(&format!(
                "WITH RECURSIVE n (i) AS (VALUES ({first}) UNION ALL SELECT i + 1 FROM n WHERE i < {last})
                 INSERT INTO {table} ({columns}) SELECT {values} FROM n, {table} AS first WHERE first.{key} = 1"
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_first_task_is_repeated_under_numbers_of_its_own() {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(
            "CREATE TABLE task (id INTEGER PRIMARY KEY, path BLOB UNIQUE, state TEXT);
             CREATE TABLE attempt (task_id INTEGER, fence INTEGER, PRIMARY KEY (task_id, fence));
             CREATE TABLE result (seq INTEGER PRIMARY KEY, task_id INTEGER UNIQUE, response TEXT);
             INSERT INTO task VALUES (1, 'a', 'succeeded');
             INSERT INTO attempt VALUES (1, 1);
             INSERT INTO result VALUES (1, 1, '{}');",
        )
        .expect("tables");
        repeat(&db, 3, Depth::Whole).expect("rows");
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
        assert_eq!(count("SELECT count(*) FROM task WHERE state = 'succeeded'"), 4);
        assert_eq!(
            count("SELECT count(*) FROM result JOIN attempt USING (task_id) JOIN task ON id = task_id"),
            4
        );
        assert_eq!(count("SELECT max(seq) FROM result"), 4);
    }
}
