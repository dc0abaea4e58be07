//! Choosing what could start, and holding it: slots, pace, pauses, halts and the month's cap in one transaction.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sqlx::SqliteConnection;

use super::budget::Caps;
use super::rows::{Columns, array, int};
use super::{halts, limits, pieces};
use crate::queue::{Candidate, Claim, ClaimRequest, ClaimedTask, Double, LimiterState, QueueError};
use crate::task::{Amount, Endpoint, Fence, Identity, JobId, TaskId, Timestamp};

/// Tasks that waited and are due come first, then the jobs in turn, each in its own order.
pub(super) async fn candidates(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    jobs: Vec<JobId>,
    skip: Vec<TaskId>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Candidate>, QueueError> {
    let skip = array(skip.iter().map(|id| id.0));
    let mut chosen = Vec::new();
    for which in [DUE, READY] {
        let mut queues = Vec::new();
        for job in &jobs {
            let room = i64::from(limit) - int(chosen.len() as u64);
            let rows = sqlx::query(which)
                .bind(endpoint.name())
                .bind(job.0)
                .bind(&skip)
                .bind(room)
                .bind(now.0)
                .fetch_all(&mut *c)
                .await?;
            queues.push(rows.into_iter());
        }
        let mut before = None;
        while chosen.len() < limit as usize && before != Some(chosen.len()) {
            before = Some(chosen.len());
            for row in queues.iter_mut().filter_map(Iterator::next) {
                chosen.push(candidate(&row)?);
            }
        }
        chosen.truncate(limit as usize);
    }
    Ok(chosen)
}

macro_rules! candidates_where {
    ($which:literal) => {
        concat!(
            "SELECT id, job_id, path, size_bytes, modified_ns, duration_ms, duration_method, fence,
                attempts, options, size_bytes > 131072
                AND (EXISTS (SELECT 1 FROM task AS other
                         WHERE other.endpoint = task.endpoint AND other.size_bytes = task.size_bytes
                           AND other.size_bytes > 131072 AND other.head = task.head AND other.id <> task.id)
                     OR EXISTS (SELECT 1 FROM task AS other
                         WHERE other.endpoint = task.endpoint AND other.size_bytes = task.size_bytes
                           AND other.size_bytes > 131072 AND other.head IS NULL AND other.id <> task.id)
                     OR head IS NULL AND EXISTS (SELECT 1 FROM task AS other
                         WHERE other.endpoint = task.endpoint AND other.size_bytes = task.size_bytes
                           AND other.size_bytes > 131072 AND other.id <> task.id)) AS has_double,
                resent = 1 AS decoded
             FROM task WHERE state = 'queued' AND endpoint = ?1 AND job_id = ?2
              AND id NOT IN (SELECT value FROM jsonb_each(?3)) AND ",
            $which,
            " LIMIT ?4"
        )
    };
}

const DUE: &str = candidates_where!("hold IS NOT NULL AND run_at <= ?5 ORDER BY run_at, id");
const READY: &str = candidates_where!("hold IS NULL ORDER BY rank, id");

fn candidate(row: &sqlx::sqlite::SqliteRow) -> Result<Candidate, QueueError> {
    Ok(Candidate {
        id: TaskId(row.value("id")?),
        job: JobId(row.value("job_id")?),
        path: row.path("path")?,
        size_bytes: row.count("size_bytes")?,
        modified_ns: row.value("modified_ns")?,
        measured: row.measured("duration_ms")?,
        fence: Fence(row.value("fence")?),
        attempts: row.count("attempts")?,
        options: row.value("options")?,
        has_double: row.value("has_double")?,
        decoded: row.value("decoded")?,
    })
}

pub(super) async fn next_due(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    jobs: Vec<JobId>,
) -> Result<Option<Timestamp>, QueueError> {
    let mut next = None;
    for job in jobs {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT run_at FROM task WHERE state = 'queued' AND hold IS NOT NULL AND endpoint = ? AND job_id = ?
             ORDER BY run_at LIMIT 1",
        )
        .bind(endpoint.name())
        .bind(job.0)
        .fetch_optional(&mut *c)
        .await?;
        next = next.into_iter().chain(at).min();
    }
    Ok(next.map(Timestamp))
}

pub(super) async fn claim(c: &mut SqliteConnection, wish: &ClaimRequest) -> Result<Claim, QueueError> {
    let standing = Standing::of(c, wish).await?;
    let mut claim = Claim { limiter: standing.limiter, elsewhere: standing.elsewhere, ..Claim::default() };
    if standing.halted {
        claim.halts = halts::stopping(c, wish.endpoint, wish.now).await?;
        claim.halts.retain(|h| !wish.probing.contains(&h.id));
    }
    let paused = claim.limiter.paused_until.is_some_and(|until| until > wish.now);
    if !claim.halts.is_empty() || paused || (wish.alone && claim.limiter.busy > 0) {
        return Ok(claim);
    }
    if standing.lone {
        return Ok(claim); // somebody finds something out, and needs to be alone for it
    }
    let free = claim.limiter.effective.min(claim.limiter.ceiling).saturating_sub(claim.limiter.busy);
    let slots = wish.want.min(free).min(if wish.alone { 1 } else { u32::MAX }) as usize;
    // Only who has a slot can hand it over; and where others want slots, too, they must get free. Near a cap nothing
    // is kept back for what may not begin.
    let is_capped = wish.cap_ms.is_some() || !wish.budget.is_none();
    let hands_over = !wish.alone && !is_capped && !standing.others && (slots > 0 || standing.own);
    if slots > 0 && standing.on_deck && !wish.alone {
        claim.seated = seat(c, wish, slots).await?;
        claim.limiter.busy += claim.seated.len() as u32;
    }
    let slots = slots - claim.seated.len();
    let take = slots + if hands_over { wish.ahead as usize } else { 0 };
    let mut caps = Caps::of(c, wish).await?;
    let mut wished = wish.tasks.iter().copied().peekable();
    let mut begun: HashMap<&Identity, TaskId> = HashMap::new();
    while claim.tasks.len() + claim.ahead.len() < take && claim.cap_reached.is_none() {
        // As many as still fit; should some of them be gone, the next ones get their turn.
        let mut batch = Vec::new();
        let mut then = caps;
        while claim.tasks.len() + claim.ahead.len() + batch.len() < take
            && let Some(&(id, amount)) = wished.peek()
        {
            if let Some(reached) = then.crossed_by(amount, claim.limiter.busy) {
                // Only what is really taken counts: those before it may be gone.
                claim.cap_reached = batch.is_empty().then_some(reached);
                break;
            }
            wished.next();
            match wish.identities.as_ref().and_then(|all| all.get(&id)).map(|same| (same, begun.get(same))) {
                Some((_, Some(&of))) if of != id => {
                    claim.doubles.push(Double { task: id, of, answered: false });
                    continue;
                }
                Some((same, _)) => {
                    begun.insert(same, id);
                }
                None => {}
            }
            then.add(amount);
            batch.push((id, amount));
        }
        if batch.is_empty() {
            break;
        }
        let mut taken = take_tasks(c, wish, &batch, slots - claim.tasks.len()).await?;
        if standing.pieces && wish.identities.is_some() && !taken.is_empty() {
            pieces::inherit(c, identified(wish, taken.keys().copied())).await?;
        }
        let left: Vec<TaskId> =
            batch.iter().map(|(id, _)| *id).filter(|id| !taken.contains_key(id)).collect();
        let doubles = match left.is_empty() || wish.identities.is_none() {
            true => Vec::new(),
            false => doubles(c, identified(wish, left.into_iter()), wish.now).await?,
        };
        for (id, amount) in batch {
            let Some(mut task) = taken.remove(&id) else {
                match doubles.iter().find(|double| double.task == id) {
                    Some(double) => claim.doubles.push(*double),
                    None => claim.gone.push(id),
                }
                continue;
            };
            (task.reserved, task.elsewhere) = (amount, claim.elsewhere);
            caps.add(amount);
            if claim.tasks.len() == slots {
                // Its turn comes with a slot that another one of these leaves.
                task.alone = claim.limiter.ceiling == 1;
                claim.ahead.push(task);
                continue;
            }
            task.alone = claim.limiter.busy == 0 && (wish.alone || claim.limiter.ceiling == 1);
            claim.limiter.busy += 1;
            claim.tasks.push(task);
        }
    }
    // The one that others were to wait for may itself be the same as one that has its answer.
    claim.doubles.sort_by_key(|double| double.task);
    let known = claim.doubles.clone();
    for double in claim.doubles.iter_mut().filter(|double| !double.answered) {
        if let Some(first) = known.iter().find(|first| first.task == double.of) {
            (double.of, double.answered) = (first.of, first.answered);
        }
    }
    Ok(claim)
}

/// What stands between a wish and its tasks, in one look.
struct Standing {
    limiter: LimiterState,
    /// Slots that others hold.
    elsewhere: u32,
    /// Some halt may be open.
    halted: bool,
    /// A slot is held by a request that must be alone.
    lone: bool,
    /// Whoever asks has a slot already.
    own: bool,
    /// And tasks that wait for one.
    on_deck: bool,
    /// Another process is at work on the queue, as far as its last sign of life tells.
    others: bool,
    /// Some recording has pieces that were answered.
    pieces: bool,
}

/// A process that has said nothing for so long waits for no slot.
const SILENCE: Duration = Duration::from_secs(60);

impl Standing {
    async fn of(c: &mut SqliteConnection, wish: &ClaimRequest) -> Result<Standing, QueueError> {
        let row = sqlx::query(
            "SELECT ceiling, effective, paused_until, longest_ms, longest_under_ms,
                    (SELECT count(*) FROM slot WHERE limiter = name AND task_id IS NOT NULL) AS busy,
                    (SELECT count(*) FROM slot WHERE limiter = name AND task_id IS NOT NULL AND owner <> ?2) AS elsewhere,
                    EXISTS (SELECT 1 FROM slot WHERE limiter = name AND lone AND task_id IS NOT NULL) AS lone,
                    EXISTS (SELECT 1 FROM slot WHERE limiter = name AND owner = ?2) AS own,
                    EXISTS (SELECT 1 FROM deck WHERE limiter = name AND owner = ?2) AS on_deck,
                    EXISTS (SELECT 1 FROM worker WHERE ended_at IS NULL AND id <> ?2 AND beat_at > ?3) AS others,
                    EXISTS (SELECT 1 FROM piece) AS pieces,
                    EXISTS (SELECT 1 FROM halt WHERE lifted_at IS NULL) AS halted
             FROM limiter WHERE name = ?1",
        )
        .bind(wish.endpoint.name())
        .bind(&wish.worker.0)
        .bind(wish.now.0 - SILENCE.as_millis() as i64)
        .fetch_optional(c)
        .await?;
        let Some(row) = row else {
            let limiter = LimiterState::default();
            return Ok(Standing {
                limiter,
                elsewhere: 0,
                halted: true,
                lone: false,
                own: false,
                on_deck: false,
                others: false,
                pieces: false,
            });
        };
        Ok(Standing {
            limiter: limits::limiter(&row)?,
            elsewhere: row.count("elsewhere")?,
            halted: row.value("halted")?,
            lone: row.value("lone")?,
            own: row.value("own")?,
            on_deck: row.value("on_deck")?,
            others: row.value("others")?,
            pieces: row.value("pieces")?,
        })
    }
}

/// Moves tasks that wait on deck into free slots.
async fn seat(
    c: &mut SqliteConnection,
    wish: &ClaimRequest,
    slots: usize,
) -> Result<Vec<TaskId>, QueueError> {
    let rows = sqlx::query(
        "UPDATE slot SET task_id = next.task_id, fence = next.fence, owner = next.owner,
                reserved_ms = next.reserved_ms, reserved_cost = next.reserved_cost, lone = 0
         FROM (SELECT *, row_number() OVER (ORDER BY task_id) AS turn FROM deck WHERE limiter = ?1 AND owner = ?2) AS next
         JOIN (SELECT no AS free, row_number() OVER (ORDER BY no) AS turn
               FROM slot WHERE limiter = ?1 AND task_id IS NULL) USING (turn)
         WHERE slot.limiter = ?1 AND slot.no = free AND turn <= ?3
         RETURNING task_id",
    )
    .bind(wish.endpoint.name())
    .bind(&wish.worker.0)
    .bind(int(slots as u64))
    .fetch_all(&mut *c)
    .await?;
    let mut seated =
        rows.iter().map(|row| Ok(TaskId(row.value("task_id")?))).collect::<Result<Vec<_>, QueueError>>()?;
    seated.sort_unstable();
    sqlx::query("DELETE FROM deck WHERE task_id IN (SELECT value FROM jsonb_each(?1))")
        .bind(array(seated.iter().map(|id| id.0)))
        .execute(c)
        .await?;
    Ok(seated)
}

/// Moves those of the tasks that are still to be had: the first ones each into a slot of its own, the others on deck.
async fn take_tasks(
    c: &mut SqliteConnection,
    wish: &ClaimRequest,
    tasks: &[(TaskId, Amount)],
    slots: usize,
) -> Result<HashMap<TaskId, ClaimedTask>, QueueError> {
    let rows = sqlx::query(
        "UPDATE task SET state = 'running', hold = NULL, owner = ?2, fence = fence + 1,
                identity = wish.value ->> 1
         FROM jsonb_each(?1) AS wish
         WHERE task.id = wish.value ->> 0 AND state = 'queued' AND (hold IS NULL OR run_at <= ?3)
           AND (NOT ?4 OR NOT EXISTS (SELECT 1 FROM task AS other
                WHERE substr(other.identity, 1, 12) = substr(wish.value ->> 1, 1, 12)
                  AND other.identity = wish.value ->> 1 AND other.id <> task.id
                  AND (other.state = 'running' OR other.state = 'succeeded' AND EXISTS (SELECT 1 FROM result
                       WHERE task_id = other.id AND finished_at >= task.reuse_after))))
           AND (NOT ?4 OR task.size_bytes <= 131072 OR NOT EXISTS (SELECT 1 FROM task AS other INDEXED BY task_held
                WHERE other.endpoint = task.endpoint AND other.size_bytes = task.size_bytes
                  AND other.size_bytes > 131072 AND other.state = 'running' AND other.id <> task.id
                  AND ifnull(other.head = task.head, true) AND (other.identity IS NULL OR wish.value ->> 1 IS NULL)))
         RETURNING task.id, job_id, path, fence, attempts, throttles, retry_cause, retry_repeats, first_failed_at",
    )
    .bind(identified(wish, tasks.iter().map(|(id, _)| *id)))
    .bind(&wish.worker.0)
    .bind(wish.now.0)
    .bind(wish.identities.is_some())
    .fetch_all(&mut *c)
    .await?;
    let taken = rows.iter().map(|row| claimed(row, wish)).collect::<Result<HashMap<_, _>, _>>()?;
    if taken.is_empty() {
        return Ok(taken);
    }
    let mut seen = HashSet::new(); // one may be wished for twice
    let holds = tasks.iter().filter(|(id, _)| seen.insert(*id)).filter_map(|(id, amount)| {
        let task = taken.get(id)?;
        Some((task.id.0, task.fence.0, int(amount.audio_ms), int(amount.cost.0)))
    });
    let in_slots = slots.min(taken.len());
    let done = sqlx::query(
        "INSERT INTO attempt (task_id, fence, worker, started_at)
         SELECT value ->> 0, value ->> 1, ?2, ?3 FROM jsonb_each(?1);
         INSERT INTO deck (task_id, fence, limiter, owner, reserved_ms, reserved_cost)
         SELECT value ->> 0, value ->> 1, ?4, ?2, value ->> 2, value ->> 3 FROM jsonb_each(?1) WHERE key >= ?6;
         UPDATE slot SET task_id = held.value ->> 0, fence = held.value ->> 1, owner = ?2,
                reserved_ms = held.value ->> 2, reserved_cost = held.value ->> 3, lone = ?5
         FROM jsonb_each(?1) AS held
         JOIN (SELECT no AS free, row_number() OVER (ORDER BY no) - 1 AS turn
               FROM slot WHERE limiter = ?4 AND task_id IS NULL) ON turn = held.key
         WHERE limiter = ?4 AND no = free AND held.key < ?6",
    )
    .bind(array(holds))
    .bind(&wish.worker.0)
    .bind(wish.now.0)
    .bind(wish.endpoint.name())
    .bind(wish.alone)
    .bind(int(in_slots as u64))
    .execute(&mut *c)
    .await?;
    if done.rows_affected() != 2 * taken.len() as u64 {
        return Err(QueueError::Corrupt(format!("{} has fewer free slots than it counts", wish.endpoint)));
    }
    Ok(taken)
}

/// Tasks, each with what it is.
fn identified(wish: &ClaimRequest, tasks: impl Iterator<Item = TaskId>) -> String {
    let identity =
        |id: &TaskId| wish.identities.as_ref().and_then(|all| all.get(id)).map(|same| same.0.as_str());
    array(tasks.map(|id| (id.0, identity(&id))))
}

/// Which of these need not be sent because another one is the same, or may be: what has its answer first. `same` is a JSON
/// array of `[task, identity]`.
pub(super) async fn doubles(
    c: &mut SqliteConnection,
    same: String,
    now: Timestamp,
) -> Result<Vec<Double>, QueueError> {
    let rows = sqlx::query(
        "SELECT task.id AS task, other.id AS other, other.state = 'succeeded' AS answered
         FROM jsonb_each(?1) AS wish JOIN task ON task.id = wish.value ->> 0
              JOIN task AS other ON substr(other.identity, 1, 12) = substr(wish.value ->> 1, 1, 12)
                   AND other.identity = wish.value ->> 1 AND other.id <> task.id
         WHERE task.state = 'queued' AND (task.hold IS NULL OR task.run_at <= ?2)
           AND (other.state = 'running' OR other.state = 'succeeded' AND EXISTS (SELECT 1 FROM result
                WHERE task_id = other.id AND finished_at >= task.reuse_after))
         UNION ALL
         SELECT task.id, other.id, 0
         FROM jsonb_each(?1) AS wish JOIN task ON task.id = wish.value ->> 0
              JOIN task AS other INDEXED BY task_held
                   ON other.endpoint = task.endpoint AND other.size_bytes = task.size_bytes
         WHERE task.state = 'queued' AND (task.hold IS NULL OR task.run_at <= ?2) AND task.size_bytes > 131072
           AND other.size_bytes > 131072 AND other.state = 'running' AND other.id <> task.id
           AND ifnull(other.head = task.head, true) AND (other.identity IS NULL OR wish.value ->> 1 IS NULL)
         ORDER BY answered DESC, other",
    )
    .bind(same)
    .bind(now.0)
    .fetch_all(c)
    .await?;
    let double = |row: &sqlx::sqlite::SqliteRow| {
        let (task, of) = (TaskId(row.value("task")?), TaskId(row.value("other")?));
        Ok(Double { task, of, answered: row.value("answered")? })
    };
    rows.iter().map(double).collect()
}

fn claimed(row: &sqlx::sqlite::SqliteRow, wish: &ClaimRequest) -> Result<(TaskId, ClaimedTask), QueueError> {
    let repeats: u32 = row.count("retry_repeats")?;
    let id = TaskId(row.value("id")?);
    let task = ClaimedTask {
        id,
        job: JobId(row.value("job_id")?),
        path: row.path("path")?,
        endpoint: wish.endpoint,
        fence: Fence(row.value("fence")?),
        attempts: row.count("attempts")?,
        throttles: row.count("throttles")?,
        last_cause: row.word_or_null("retry_cause")?.map(|cause| (cause, repeats)),
        first_failed_at: row.time_or_null("first_failed_at")?,
        alone: false,
        elsewhere: 0,
        reserved: Amount::default(),
    };
    Ok((id, task))
}
