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
/// SQLite joins no more than 500 selections,
const MOST_KINDS: usize = 400;
/// and takes no more than 32,766 values: each kind names all patterns.
const MOST_PATTERNS: usize = 10_000;

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
    let paths = &filter.paths;
    let places = !paths.is_empty()
        && paths.iter().all(|p| !prefix(p).is_empty())
        && jobs.len() * paths.len() <= MOST_KINDS;
    let may_go_by_kind = by_kind.len() <= MOST_KINDS && by_kind.len() * paths.len() <= MOST_PATTERNS;
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

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::queue::{JobSpec, NewTask, QueueSettings, SqliteStore, TaskStore};
    use crate::task::{Endpoint, JobId, Order, RecordingPath, TaskState};

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn paths(n: usize) -> Filter {
        Filter { paths: (0..n).map(|i| format!("{i}/*")).collect(), ..Filter::default() }
    }

    /// So many jobs of which each has this many tasks waiting.
    fn kinds(jobs: i64, tasks: u64) -> Vec<Tally> {
        let kind = |job| Tally { job: JobId(job), state: TaskState::Queued, cause: None, tasks, bytes: 0 };
        (1..=jobs).map(kind).collect()
    }

    #[test]
    fn folder_by_folder_is_only_gone_where_so_many_selections_can_be_joined() {
        assert!(matches!(way(&paths(10), &kinds(40, FEW)), Way::ByPath(jobs) if jobs.len() == 40));
        assert!(matches!(way(&paths(10), &kinds(41, FEW)), Way::ByKind(kinds, _) if kinds.len() == 41));
        let lately = Filter { since: Some(std::time::Duration::from_secs(9)), ..paths(10) };
        assert!(matches!(way(&lately, &kinds(41, FEW)), Way::ByTime(_)));
        assert_eq!(way(&paths(26), &kinds(400, 1)), Way::OneByOne);
    }

    #[tokio::test]
    async fn many_folders_of_many_jobs_are_found_among_many_tasks() {
        let folder = tempfile::tempdir().unwrap();
        let settings = QueueSettings { state_dir: folder.path().to_owned() };
        let store = SqliteStore::open(&settings).await.unwrap();
        let spec = |n| JobSpec {
            name: format!("job {n}"),
            endpoint: Endpoint::SttBatch,
            options: serde_json::json!({}),
            root: "/in".into(),
            output: "/out".into(),
            order: Order::Longest,
        };
        let jobs = store.upsert_jobs((0..51).map(spec).collect(), NOW).await.unwrap();
        for job in &jobs {
            let found = |path: &str| NewTask {
                path: RecordingPath::from_bytes(path),
                size_bytes: 5,
                modified_ns: 7,
                format: None,
                head: None,
                measured: None,
                refusal: None,
                metadata: Default::default(),
            };
            store.enqueue_batch(job.id, vec![found("7/a.wav"), found("70/a.wav")], NOW).await.unwrap();
        }
        // As if there were more of them than are looked at one by one.
        let mut c =
            SqliteConnectOptions::new().filename(folder.path().join("queue.db")).connect().await.unwrap();
        sqlx::raw_sql("UPDATE tally SET tasks = tasks + 1000000").execute(&mut c).await.unwrap();
        c.close().await.unwrap();
        for (patterns, wanted) in [(1, 0), (10, 51), (200, 102)] {
            let page = store.tasks(paths(patterns), None, 1000, NOW).await;
            assert_eq!(page.map(|tasks| tasks.len()).map_err(|e| e.to_string()), Ok(wanted), "{patterns}");
        }
        store.close().await;
    }
}
