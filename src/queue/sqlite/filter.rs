//! The `--where` language as SQL: reading, counting, retrying and cancelling what matches.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::jobs::RANK;
use super::pages;
use super::rows::Columns;
use crate::queue::{QueueError, Tally, TaskRow};
use crate::task::{Fence, Filter, JobId, TaskId, TaskState, Timestamp, WorkerId};

pub(super) async fn tasks(
    c: &mut SqliteConnection,
    filter: Filter,
    after: Option<TaskId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<TaskRow>, QueueError> {
    let rows = pages::page(c, TASK, &filter, after.map_or(0, |id| id.0), limit, now).await?;
    rows.iter().map(row).collect()
}

pub(super) async fn task(c: &mut SqliteConnection, id: TaskId) -> Result<Option<TaskRow>, QueueError> {
    let mut query = QueryBuilder::new(TASK);
    query.push(" WHERE task.id = ").push_bind(id.0);
    query.build().fetch_optional(c).await?.as_ref().map(row).transpose()
}

/// By number: SQLite would rather read all of a job for each page of it.
const TASK: &str = "SELECT task.*, task.resent = 1 AS decoded, job.name AS job_name FROM task NOT INDEXED JOIN job ON job.id = task.job_id";

fn row(row: &SqliteRow) -> Result<TaskRow, QueueError> {
    Ok(TaskRow {
        id: TaskId(row.value("id")?),
        job: JobId(row.value("job_id")?),
        job_name: row.value("job_name")?,
        endpoint: row.word("endpoint")?,
        path: row.path("path")?,
        size_bytes: row.count("size_bytes")?,
        modified_ns: row.value("modified_ns")?,
        format: row.value("format")?,
        measured: row.measured("duration_ms")?,
        state: row.word("state")?,
        hold: row.word_or_null("hold")?,
        run_at: row.time("run_at")?,
        fence: Fence(row.value("fence")?),
        attempts: row.count("attempts")?,
        throttles: row.count("throttles")?,
        lease_losses: row.count("lease_losses")?,
        owner: row.value::<Option<String>>("owner")?.map(WorkerId),
        cause: row.word_or_null("cause")?,
        http_status: row.count_or_null("http_status")?,
        message: row.value("message")?,
        billed: row.word_or_null("billed")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
        finished_at: row.time_or_null("finished_at")?,
        metadata: row.metadata()?,
        decoded: row.value("decoded")?,
    })
}

pub(super) async fn tallies(c: &mut SqliteConnection) -> Result<Vec<Tally>, QueueError> {
    let rows = sqlx::query("SELECT * FROM standing WHERE tasks > 0 ORDER BY job_id, state, cause")
        .fetch_all(c)
        .await?;
    rows.iter().map(tally).collect()
}

pub(super) async fn tallies_where(
    c: &mut SqliteConnection,
    filter: Filter,
    now: Timestamp,
) -> Result<Vec<Tally>, QueueError> {
    if !filter.is_empty() && names_kinds_only(&filter) {
        return kinds(c, &filter).await;
    }
    // Row by row, and for no filter, too: that is how `verify` finds out whether the tally is true.
    let mut query = QueryBuilder::new(
        "SELECT job_id, state, ifnull(cause, '') AS cause, count(*) AS tasks, sum(size_bytes) AS bytes
         FROM task WHERE true",
    );
    narrow(&mut query, &filter, now);
    query.push(" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
    query.build().fetch_all(c).await?.iter().map(tally).collect()
}

fn names_kinds_only(filter: &Filter) -> bool {
    let Filter { ids, paths, since, before, stale, suspects, .. } = filter;
    !stale && suspects.is_empty() && ids.is_empty() && paths.is_empty() && since.is_none() && before.is_none()
}

/// The kinds of tasks that the filter can mean and that there are any of, out of the tally: it has few rows, whatever
/// the table has.
pub(super) async fn kinds(c: &mut SqliteConnection, filter: &Filter) -> Result<Vec<Tally>, QueueError> {
    let mut query =
        QueryBuilder::new("SELECT standing.* FROM standing JOIN job ON job.id = job_id WHERE tasks > 0");
    one_of(&mut query, "state", filter.states.iter().map(|s| TaskState::word(*s).to_owned()));
    one_of(&mut query, "cause", filter.causes.iter().map(|c| c.word().to_owned()));
    one_of(&mut query, "job.endpoint", filter.endpoints.iter().map(|e| e.name().to_owned()));
    one_of(&mut query, "job.name", filter.jobs.iter().cloned());
    query.push(" ORDER BY job_id, state, cause");
    query.build().fetch_all(c).await?.iter().map(tally).collect()
}

fn tally(row: &SqliteRow) -> Result<Tally, QueueError> {
    let cause: String = row.value("cause")?;
    Ok(Tally {
        job: JobId(row.value("job_id")?),
        state: row.word("state")?,
        cause: if cause.is_empty() { None } else { Some(row.word("cause")?) },
        tasks: row.count("tasks")?,
        bytes: row.count("bytes")?,
    })
}

/// Starts the counting anew; what was tried stays in the attempts.
pub(super) async fn retry(
    c: &mut SqliteConnection,
    filter: Filter,
    again: bool,
    now: Timestamp,
) -> Result<u64, QueueError> {
    let states = if again { "('failed', 'cancelled', 'succeeded')" } else { "('failed', 'cancelled')" };
    if again {
        let mut stale = QueryBuilder::new(
            "UPDATE job SET outputs_stale = 1 WHERE id IN (SELECT job_id FROM task WHERE state = 'succeeded'",
        );
        narrow(&mut stale, &filter, now);
        stale.push(")").build().execute(&mut *c).await?;
    }
    // Ranked anew: the job's order may have changed since it was queued.
    let mut query = QueryBuilder::new(format!(
        "UPDATE task SET state = 'queued', hold = NULL, finished_at = NULL, attempts = 0, throttles = 0,
                lease_losses = 0, retry_cause = NULL, retry_repeats = 0, first_failed_at = NULL, cause = NULL,
                message = NULL, http_status = NULL, billed = NULL,
                rank = (SELECT {RANK} FROM job WHERE job.id = task.job_id),
                reuse_after = iif(state = 'succeeded', {now}, reuse_after), run_at = ",
        now = now.0
    ));
    query.push_bind(now.0).push(", changed_at = ").push_bind(now.0);
    query.push(" WHERE state IN ").push(states).push(IN_ANY_JOB);
    narrow(&mut query, &filter, now);
    Ok(query.build().execute(c).await?.rows_affected())
}

/// Queued tasks leave at once; running ones when their request is over, unless it succeeds: that is paid for. One
/// that was to be processed again goes back to the result it has.
pub(super) async fn cancel(
    c: &mut SqliteConnection,
    filter: Filter,
    now: Timestamp,
) -> Result<u64, QueueError> {
    let mut query = QueryBuilder::new(
        "UPDATE task SET cancel_requested = (state = 'running'),
                state = CASE WHEN state <> 'queued' THEN state
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = task.id) THEN 'succeeded'
                             ELSE 'cancelled' END,
                hold = NULL, finished_at = iif(state = 'queued', ",
    );
    query.push_bind(now.0).push(", NULL), changed_at = ").push_bind(now.0);
    query.push(" WHERE state IN ('queued', 'running') AND NOT cancel_requested").push(IN_ANY_JOB);
    narrow(&mut query, &filter, now);
    Ok(query.build().execute(c).await?.rows_affected())
}

/// Says again what [`narrow`] says of states and causes, of `place.id`: so that it is answered by indexes alone, before
/// the row is read.
pub(super) fn of_kind(query: &mut QueryBuilder<Sqlite>, filter: &Filter, jobs: &[i64]) {
    const OF: &str = " AND EXISTS (SELECT 1 FROM task AS kind INDEXED BY ";
    if !filter.causes.is_empty() {
        query.push(OF).push("task_cause WHERE kind.id = place.id");
        one_of(query, "kind.cause", filter.causes.iter().map(|c| c.word().to_owned()));
    } else if !filter.states.is_empty() {
        query.push(OF).push("task_state WHERE kind.id = place.id");
        one_of(query, "kind.state", filter.states.iter().map(|s| TaskState::word(*s).to_owned()));
    } else {
        return;
    }
    one_of(query, "kind.job_id", jobs.iter().copied());
    query.push(")");
}

/// Says nothing new, and lets SQLite go to the wanted states by their index.
const IN_ANY_JOB: &str = " AND task.job_id IN (SELECT id FROM job)";

/// Appends ` AND …` for each term of the filter.
pub(super) fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &Filter, now: Timestamp) {
    one_of(query, "task.state", filter.states.iter().map(|s| TaskState::word(*s).to_owned()));
    one_of(query, "task.cause", filter.causes.iter().map(|c| c.word().to_owned()));
    one_of(query, "task.endpoint", filter.endpoints.iter().map(|e| e.name().to_owned()));
    one_of(query, "task.id", filter.ids.iter().copied());
    if !filter.jobs.is_empty() {
        query.push(" AND task.job_id IN (SELECT id FROM job WHERE true");
        one_of(query, "job.name", filter.jobs.iter().cloned());
        query.push(")");
    }
    if !filter.paths.is_empty() {
        query.push(" AND (false");
        for pattern in &filter.paths {
            query.push(" OR CAST(task.path AS TEXT) GLOB ").push_bind(glob(pattern));
        }
        query.push(")");
    }
    if !filter.suspects.is_empty() {
        query.push(" AND task.state = 'succeeded' AND EXISTS (SELECT 1 FROM result, jsonb_each(result.suspect) AS odd WHERE result.task_id = task.id");
        one_of(query, "odd.value ->> 'kind'", filter.suspects.iter().map(|kind| kind.word().to_owned()));
        query.push(")");
    }
    if filter.stale {
        // Where no options ever changed, nothing has to be looked at.
        query.push(
            " AND task.state = 'succeeded' AND task.job_id IN (SELECT id FROM job WHERE options_changes > 0)
               AND EXISTS (SELECT 1 FROM result JOIN job ON job.id = result.job_id WHERE result.task_id = task.id
                   AND (job.options_key <> result.options_key OR task.options IS NOT result.options))",
        );
    }
    if let Some(age) = filter.since {
        query.push(" AND task.changed_at >= ").push_bind(now.0.saturating_sub(millis(age)));
    }
    if let Some(age) = filter.before {
        query.push(" AND task.changed_at < ").push_bind(now.0.saturating_sub(millis(age)));
    }
}

fn one_of<T>(query: &mut QueryBuilder<Sqlite>, column: &'static str, values: impl Iterator<Item = T>)
where
    T: for<'q> sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite> + 'static,
{
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    query.push(")");
}

/// Only `*` is special in our patterns; in SQLite's, `?` and `[` are too.
fn glob(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '?' => out.push_str("[?]"),
            '[' => out.push_str("[[]"),
            c => out.push(c),
        }
    }
    out
}

fn millis(age: std::time::Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
