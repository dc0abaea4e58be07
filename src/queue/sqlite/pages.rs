//! Pages of tasks at any size: finds the numbers of the next few that match a filter, by whatever index gets there
//! with the least reading. What a filter means is `filter`'s; here is only the way.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, QueryBuilder, Sqlite, SqliteConnection};

use super::filter;
use crate::queue::{QueueError, Tally};
use crate::task::{Filter, Timestamp};

/// So many numbers are looked at one by one first: when most of them match, as they do when little is left out, that
/// is all.
const NEXT: i64 = 2000;
/// Up to so many tasks of the wanted kinds are read one by one to find those of a folder or a time.
const FEW: u64 = 20_000;
/// SQLite joins no more than 500 selections.
const MOST_KINDS: usize = 400;

/// Rows of `select` that match, by number, from behind `after`.
pub(super) async fn page(
    c: &mut SqliteConnection,
    select: &'static str,
    filter: &Filter,
    after: i64,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<SqliteRow>, QueueError> {
    // One view of the table from the first look to the last.
    let mut view = c.begin().await?;
    let mut query = QueryBuilder::new(select);
    query.push(" WHERE task.id > ").push_bind(after);
    if filter.ids.is_empty() && !filter.is_empty() {
        query.push(" AND task.id <= ").push_bind(after.saturating_add(NEXT.max(limit.into())));
    }
    filter::narrow(&mut query, filter, now);
    query.push(" ORDER BY task.id LIMIT ").push_bind(i64::from(limit));
    let near = query.build().fetch_all(&mut *view).await?;
    if near.len() == limit as usize || filter.is_empty() || !filter.ids.is_empty() {
        return Ok(near);
    }
    let kinds = filter::kinds(&mut view, filter).await?;
    let mut query = QueryBuilder::new(select);
    query.push(" WHERE task.id IN (");
    if !way(filter, &kinds).numbers(&mut query, filter, after, limit, now) {
        return Ok(near);
    }
    query.push(") ORDER BY task.id");
    Ok(query.build().fetch_all(&mut *view).await?)
}

/// How the numbers are found.
#[derive(Debug, Clone, PartialEq)]
enum Way {
    /// There is nothing of the kind.
    Nothing,
    /// Kind by kind; each lies in the order of its numbers.
    ByKind(Vec<(i64, &'static str)>, Column),
    /// The folders that the patterns name, in each of these jobs.
    ByPath(Vec<i64>),
    /// What changed in the time, in these jobs.
    ByTime(Vec<i64>),
    /// One by one: a pattern that begins with a star says nothing of where to look.
    OneByOne,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Column {
    State,
    Cause,
}

fn way(filter: &Filter, kinds: &[Tally]) -> Way {
    let tasks: u64 = kinds.iter().map(|k| k.tasks).sum();
    let places = !filter.paths.is_empty() && filter.paths.iter().all(|p| !prefix(p).is_empty());
    let times = filter.since.is_some() || filter.before.is_some();
    let (column, mut by_kind): (_, Vec<(i64, &'static str)>) = if filter.causes.is_empty() {
        (Column::State, kinds.iter().map(|k| (k.job.0, k.state.word())).collect())
    } else {
        (Column::Cause, kinds.iter().filter_map(|k| Some((k.job.0, k.cause?.word()))).collect())
    };
    by_kind.sort_unstable();
    by_kind.dedup();
    let mut jobs: Vec<i64> = kinds.iter().map(|k| k.job.0).collect();
    jobs.dedup();
    let may_go_by_kind = by_kind.len() <= MOST_KINDS;
    match () {
        () if kinds.is_empty() => Way::Nothing,
        () if may_go_by_kind && (tasks <= FEW || !(places || times)) => Way::ByKind(by_kind, column),
        () if places => Way::ByPath(jobs),
        () if times => Way::ByTime(jobs),
        () => Way::OneByOne,
    }
}

impl Way {
    /// Appends the selection of the numbers, behind `after`, at most `limit` of them. False: there are none.
    fn numbers(
        &self,
        query: &mut QueryBuilder<Sqlite>,
        filter: &Filter,
        after: i64,
        limit: u32,
        now: Timestamp,
    ) -> bool {
        let limit = i64::from(limit);
        match self {
            Way::Nothing => return false,
            Way::ByKind(kinds, column) => {
                for (at, (job, word)) in kinds.iter().enumerate() {
                    // Each stops by itself at the limit; then the first of all of them count.
                    query.push(if at == 0 { "SELECT id FROM (" } else { " UNION ALL SELECT id FROM (" });
                    query.push(match column {
                        Column::State => "SELECT task.id FROM task INDEXED BY task_state WHERE state = ",
                        Column::Cause => "SELECT task.id FROM task INDEXED BY task_cause WHERE cause = ",
                    });
                    query.push_bind(*word).push(" AND job_id = ").push_bind(*job);
                    query.push(" AND task.id > ").push_bind(after);
                    filter::narrow(query, filter, now);
                    query.push(" ORDER BY task.id LIMIT ").push_bind(limit).push(")");
                }
            }
            Way::ByPath(jobs) | Way::ByTime(jobs) => {
                // First all numbers in the range, out of the index alone and sorted; then one after another, until
                // there are enough. LIMIT -1: else SQLite would look at every row of the range first and sort then.
                query.push("SELECT task.id FROM (");
                if matches!(self, Way::ByTime(_)) {
                    changed(query, filter, after, now);
                } else {
                    in_folders(query, filter, jobs, after);
                }
                query.push(" ORDER BY 1 LIMIT -1) AS place CROSS JOIN task ON task.id = place.id WHERE true");
                filter::of_kind(query, filter, jobs);
                filter::narrow(query, filter, now);
            }
            Way::OneByOne => {
                query.push("SELECT task.id FROM task WHERE task.id > ").push_bind(after);
                filter::narrow(query, filter, now);
            }
        }
        query.push(match self {
            Way::ByKind(..) => " ORDER BY 1 LIMIT ",
            Way::ByPath(_) | Way::ByTime(_) => " LIMIT ", // they come in their order
            Way::OneByOne | Way::Nothing => " ORDER BY task.id LIMIT ",
        });
        query.push_bind(limit);
        true
    }
}

/// The numbers of all that lie where the patterns say. UNION without ALL: two patterns can mean the same task.
fn in_folders(query: &mut QueryBuilder<Sqlite>, filter: &Filter, jobs: &[i64], after: i64) {
    let mut join = "";
    for job in jobs {
        for pattern in &filter.paths {
            let from = prefix(pattern).as_bytes().to_vec();
            query.push(join).push("SELECT id FROM task INDEXED BY sqlite_autoindex_task_1 WHERE job_id = ");
            query.push_bind(*job).push(" AND path >= ").push_bind(from.clone());
            query.push(" AND path < ").push_bind(behind(from)).push(" AND id > ").push_bind(after);
            join = " UNION ";
        }
    }
}

/// The numbers of all that changed when the filter says.
fn changed(query: &mut QueryBuilder<Sqlite>, filter: &Filter, after: i64, now: Timestamp) {
    query.push("SELECT id FROM task INDEXED BY task_changed WHERE id > ").push_bind(after);
    let times = Filter { since: filter.since, before: filter.before, ..Filter::default() };
    filter::narrow(query, &times, now);
}

/// What all paths that a pattern means begin with.
fn prefix(pattern: &str) -> &str {
    // Bytes that are no UTF-8 match as the sign that stands for them.
    pattern.split(['*', char::REPLACEMENT_CHARACTER]).next().unwrap_or_default()
}

/// The first path behind all that begin so. UTF-8 has no byte that could not be one larger.
fn behind(mut prefix: Vec<u8>) -> Vec<u8> {
    if let Some(last) = prefix.last_mut() {
        *last = last.saturating_add(1);
    }
    prefix
}
