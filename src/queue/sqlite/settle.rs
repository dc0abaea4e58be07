//! Ending what was held: one transaction for the task, its slot, its attempt, its result and the ledger.
//!
//! Longer than 500 lines by intent: all that an end writes is one transaction, told in one place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use sqlx::SqliteConnection;

use super::rows::{Columns, array, int, retry_after_ms};
use super::{pieces, remote};
use crate::queue::{Counted, NewResult, QueueError, Recovered, Reuse, Settle, Settled, Usage};
use crate::task::{
    Amount, Billed, Cause, Endpoint, Failure, Fence, Hold, Money, Month, Settlement, TaskId, Timestamp,
    WorkerId,
};

/// The ledger counts no further: an absurd answer must not make its sums overflow.
const LEDGER_MAX: u64 = 1 << 53;

/// Workers may die this often with a task before the task is taken for the reason.
const LEASE_LOSSES_MAX: i64 = 3;

/// Ends what these claims held. Tasks settled together cost little more than one alone: each statement that every
/// settlement needs runs once for all.
pub(super) async fn settle_all(
    c: &mut SqliteConnection,
    settles: &[Arc<Settle>],
) -> Result<Vec<Settled>, QueueError> {
    let mut settled = vec![Settled::Fenced; settles.len()];
    // One task after the other, should it be settled twice at once: the second time it has moved on.
    let mut todo: Vec<usize> = (0..settles.len()).collect();
    while !todo.is_empty() {
        let mut seen = HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) = todo.into_iter().partition(|&n| seen.insert(settles[n].task.id));
        let batch: Vec<&Settle> = now.iter().map(|&n| &*settles[n]).collect();
        let moved = settle_each_once(c, &batch).await?;
        for (n, settle) in now.into_iter().zip(batch) {
            if moved.contains(&settle.task.id) {
                settled[n] = Settled::Accepted;
            }
        }
        todo = later;
    }
    Ok(settled)
}

/// Tasks that moved; the others were claimed anew, taken back or settled before.
async fn settle_each_once(
    c: &mut SqliteConnection,
    settles: &[&Settle],
) -> Result<HashSet<TaskId>, QueueError> {
    let mut successes = Vec::new();
    let mut moved = HashSet::new();
    for settle in settles {
        let Settle { task, settlement, now, .. } = settle;
        let done = match settlement {
            Settlement::Succeed => {
                let result = settle
                    .result
                    .as_ref()
                    .ok_or_else(|| QueueError::Bug("a success without a result was settled".to_owned()))?;
                successes.push((*settle, result));
                false
            }
            Settlement::Advance => {
                let result = settle
                    .result
                    .as_ref()
                    .ok_or_else(|| QueueError::Bug("a piece without an answer was settled".to_owned()))?;
                pieces::advance(c, settle, result).await?
            }
            Settlement::Fail(failure) => fail(c, task.id, task.fence, "running", failure, *now).await?,
            Settlement::Retry { run_at, failure } => {
                requeue(c, settle, Some(Hold::Backoff), *run_at, failure).await?
            }
            Settlement::Snooze { hold, run_at, failure } => {
                requeue(c, settle, Some(*hold), *run_at, failure).await?
            }
            Settlement::Release(failure) => requeue(c, settle, None, *now, failure).await?,
        };
        if done {
            moved.insert(task.id);
        }
    }
    if !successes.is_empty() {
        moved.extend(succeed(c, &successes).await?);
    }
    close(c, settles, &moved).await?;
    remote::forget_what_is_over(c, settles, &moved).await?;
    for ((endpoint, month), sum) in bill(settles, &moved) {
        book(c, endpoint, month, sum).await?;
    }
    Ok(moved)
}

/// What [`close`] writes of one attempt.
#[derive(Serialize)]
struct End<'a> {
    id: i64,
    fence: i64,
    ended_at: i64,
    outcome: &'a str,
    cause: Option<&'a str>,
    status: Option<u16>,
    request: Option<&'a str>,
    retry_after: Option<i64>,
    sent: i64,
    billed: &'a str,
    message: Option<&'a str>,
    moved: i64,
    heir: Option<i64>,
}

/// Frees the slots or hands them over, also of tasks that have moved on: their requests are over. Closes the attempts.
async fn close(
    c: &mut SqliteConnection,
    settles: &[&Settle],
    moved: &HashSet<TaskId>,
) -> Result<(), QueueError> {
    let heirs = heirs(settles);
    let ends = settles.iter().zip(heirs).map(|(settle, heir)| {
        let Settle { task, settlement, request, now, .. } = settle;
        let failure = settlement.failure();
        let moved = moved.contains(&task.id);
        End {
            id: task.id.0,
            fence: task.fence.0,
            ended_at: now.0,
            outcome: if moved { settlement.outcome() } else { "fenced" },
            cause: failure.map(|f| f.cause.word()),
            status: request.http_status.or(failure.and_then(|f| f.http_status)),
            request: request.request_id.as_deref(),
            retry_after: failure.and_then(retry_after_ms),
            sent: int(request.bytes_sent),
            billed: failure.map_or(Billed::Yes, |f| f.billed).word(),
            message: failure.map(|f| f.message.as_str()),
            moved: i64::from(moved),
            heir: heir.map(|id| id.0),
        }
    });
    // Who was put back from the deck inherits nothing any more; who inherits is on deck no more.
    sqlx::query(
        "DELETE FROM deck WHERE (task_id, fence) IN (SELECT value ->> 'id', value ->> 'fence' FROM jsonb_each(?1));
         UPDATE slot SET task_id = deck.task_id, fence = deck.fence, owner = deck.owner,
                reserved_ms = ifnull(deck.reserved_ms, 0), reserved_cost = ifnull(deck.reserved_cost, 0), lone = 0
         FROM jsonb_each(?1) AS ended LEFT JOIN deck ON deck.task_id = ended.value ->> 'heir'
         WHERE slot.task_id = ended.value ->> 'id' AND slot.fence = ended.value ->> 'fence';
         DELETE FROM deck WHERE EXISTS (SELECT 1 FROM slot WHERE slot.task_id = deck.task_id);
         UPDATE attempt SET ended_at = ended.value ->> 'ended_at', outcome = ended.value ->> 'outcome',
                cause = ended.value ->> 'cause', http_status = ended.value ->> 'status',
                request_id = ended.value ->> 'request', retry_after_ms = ended.value ->> 'retry_after',
                bytes_sent = ended.value ->> 'sent', billed = ended.value ->> 'billed',
                message = ended.value ->> 'message'
         FROM jsonb_each(?1) AS ended
         WHERE task_id = ended.value ->> 'id' AND fence = ended.value ->> 'fence'
           AND (attempt.outcome IS NULL OR ended.value ->> 'moved')",
    )
    .bind(array(ends))
    .execute(c)
    .await?;
    Ok(())
}

/// Who takes over the slot of each that ends. Of several that handed it on to one another, the last one's heir does.
fn heirs(settles: &[&Settle]) -> Vec<Option<TaskId>> {
    let mut heirs = vec![None; settles.len()];
    // Whose slot it is that somebody holds by inheritance, as the tables will only know once this is written.
    let mut inherited: HashMap<TaskId, usize> = HashMap::new();
    for (n, settle) in settles.iter().enumerate() {
        let from = inherited.remove(&settle.task.id).unwrap_or(n);
        heirs[from] = settle.next;
        inherited.extend(settle.next.map(|next| (next, from)));
    }
    heirs
}

/// What was billed, by endpoint and month.
fn bill(settles: &[&Settle], moved: &HashSet<TaskId>) -> BTreeMap<(Endpoint, Month), Usage> {
    let mut sums: BTreeMap<(Endpoint, Month), Usage> = BTreeMap::new();
    for settle in settles.iter().filter(|s| moved.contains(&s.task.id)) {
        let sum = sums.entry((settle.task.endpoint, settle.now.month())).or_default();
        if let Some(result) = &settle.result {
            let measured =
                result.measured.filter(|m| m.is_certain()).map_or(result.billed_ms, |m| m.duration_ms);
            let Counted { billed, measured_ms } = result.counted;
            sum.billed_ms = sum.billed_ms.saturating_add(result.billed_ms.saturating_sub(billed.audio_ms));
            sum.measured_ms = sum.measured_ms.saturating_add(measured.saturating_sub(measured_ms));
            sum.cost = sum.cost + Money(result.cost.0.saturating_sub(billed.cost.0));
            sum.succeeded += u64::from(settle.settlement == Settlement::Succeed);
        }
        // Billed without a result to show for it, surely or perhaps.
        if settle.settlement.failure().is_some_and(|f| f.billed != Billed::No) {
            lose(sum, settle.task.reserved);
        }
    }
    sums.retain(|_, sum| *sum != Usage::default());
    sums
}

/// Counts a try that may have been billed, for as much as was kept back for it.
fn lose(sum: &mut Usage, reserved: Amount) {
    sum.unknown += 1;
    sum.unknown_ms = sum.unknown_ms.saturating_add(reserved.audio_ms);
    sum.unknown_cost = sum.unknown_cost + reserved.cost;
}

/// What [`succeed`] writes of one task.
#[derive(Serialize)]
struct Done<'a> {
    id: i64,
    fence: i64,
    status: Option<u16>,
    format: &'a str,
    ms: Option<i64>,
    method: Option<&'a str>,
    now: i64,
    resend: i64,
}

/// A success counts also when the task was taken back meanwhile and nobody has claimed it anew, whatever became of
/// the task then: it is paid for. Once its attempt has been settled, it does not.
async fn succeed(
    c: &mut SqliteConnection,
    successes: &[(&Settle, &NewResult)],
) -> Result<HashSet<TaskId>, QueueError> {
    let done = successes.iter().map(|(settle, result)| Done {
        id: settle.task.id.0,
        fence: settle.task.fence.0,
        status: settle.request.http_status,
        format: &result.audio.format,
        ms: result.measured.map(|m| int(m.duration_ms)),
        method: result.measured.map(|m| m.method.word()),
        now: settle.now.0,
        resend: i64::from(settle.resend),
    });
    let rows = sqlx::query(
        "UPDATE task SET state = iif(resent = 0 AND done.value ->> 'resend' AND NOT cancel_requested, 'queued', 'succeeded'),
                resent = CASE resent WHEN 0 THEN done.value ->> 'resend' AND NOT cancel_requested
                                     ELSE min(resent + 1, 3) END,
                hold = NULL, owner = NULL, attempts = attempts + 1,
                cancel_requested = 0, cause = NULL, message = NULL, http_status = done.value ->> 'status',
                billed = 'yes', format = done.value ->> 'format',
                duration_ms = ifnull(done.value ->> 'ms', duration_ms),
                duration_method = ifnull(done.value ->> 'method', duration_method), changed_at = done.value ->> 'now',
                finished_at = iif(resent = 0 AND done.value ->> 'resend' AND NOT cancel_requested, NULL,
                                  done.value ->> 'now')
         FROM jsonb_each(?1) AS done
         WHERE task.id = done.value ->> 'id' AND task.fence = done.value ->> 'fence' AND EXISTS (SELECT 1
             FROM attempt WHERE task_id = task.id AND attempt.fence = task.fence
              AND (outcome IS NULL OR outcome = 'lost'))
         RETURNING id, job_id, attempts, identity, resent = 2 AS resent,
                   EXISTS (SELECT 1 FROM result WHERE task_id = task.id) AS again",
    )
    .bind(array(done))
    .fetch_all(&mut *c)
    .await?;
    let mut done = HashMap::with_capacity(rows.len());
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let (id, job): (_, i64) = (TaskId(row.value("id")?), row.value("job_id")?);
        known.insert(id, row.value::<Option<String>>("identity")?);
        if row.value("again")? {
            replace(c, id, job, !row.value::<bool>("resent")?).await?;
        }
        done.insert(id, (job, row.value::<i64>("attempts")?));
    }
    // In the order in which they came: that is the order of the lines that are made of them.
    let kept: Vec<Kept<'_>> = successes
        .iter()
        .filter_map(|&(settle, result)| {
            let (job, attempts) = *done.get(&settle.task.id)?;
            Some(Kept { settle, result, job, attempts })
        })
        .collect();
    for some in kept.chunks(KEPT_AT_ONCE) {
        keep(c, some).await?;
    }
    let identity = |one: &Kept<'_>| one.result.made.identity.as_ref().map(|identity| identity.0.clone());
    let found_out = kept.iter().map(|one| (one.settle.task.id, identity(one)));
    identify(c, found_out.filter(|(id, identity)| known.get(id) != Some(identity)).collect()).await?;
    Ok(done.into_keys().collect())
}

/// Keeps what these turned out to be, as far as it was not known when they were claimed.
async fn identify(
    c: &mut SqliteConnection,
    found_out: Vec<(TaskId, Option<String>)>,
) -> Result<(), QueueError> {
    if found_out.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE task SET identity = found.value ->> 1 FROM jsonb_each(?1) AS found WHERE task.id = found.value ->> 0",
    )
    .bind(array(found_out.iter().map(|(id, identity)| (id.0, identity))))
    .execute(c)
    .await?;
    Ok(())
}

/// Results that one statement stores: few enough that each number of them has its prepared statement.
const KEPT_AT_ONCE: usize = 16;

/// A result on its way into its table.
struct Kept<'a> {
    settle: &'a Settle,
    result: &'a NewResult,
    job: i64,
    attempts: i64,
}

/// Takes out a result that is overtaken by a deliberate re-processing; files may have it if it stood.
async fn replace(c: &mut SqliteConnection, id: TaskId, job: i64, stood: bool) -> Result<(), QueueError> {
    sqlx::query(
        "DELETE FROM result WHERE task_id = ?1; UPDATE job SET outputs_stale = max(outputs_stale, ?3) WHERE id = ?2",
    )
        .bind(id.0)
        .bind(job)
        .bind(stood)
        .execute(c)
        .await?;
    Ok(())
}

/// As they are kept: nothing where nothing is odd.
fn suspicions(result: &NewResult) -> Option<String> {
    (!result.suspicions.is_empty()).then(|| json!(result.suspicions).to_string())
}

async fn keep(c: &mut SqliteConnection, kept: &[Kept<'_>]) -> Result<(), QueueError> {
    let mut sql = "INSERT INTO result (task_id, job_id, attempts, http_status, bytes, blake3, format, mime, duration_ms,
         measured_ms, duration_method, billed_ms, audio_path, audio_bytes, audio_sha256, started_at, finished_at,
         response, options_key, options, suspect)
         VALUES "
        .to_owned();
    sql += &vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; kept.len()].join(", ");
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for Kept { settle, result, job, attempts } in kept {
        let audio = result.redacted_audio.as_ref();
        query = query
            .bind(settle.task.id.0)
            .bind(job)
            .bind(attempts)
            .bind(settle.request.http_status.unwrap_or(200))
            .bind(int(result.audio.bytes))
            .bind(&result.audio.blake3)
            .bind(&result.audio.format)
            .bind(&result.audio.mime)
            .bind(result.duration_ms.map(int))
            .bind(result.measured.map(|m| int(m.duration_ms)))
            .bind(result.measured.map(|m| m.method.word()))
            .bind(int(result.billed_ms))
            .bind(audio.map(|a| a.path.as_bytes()))
            .bind(audio.map(|a| int(a.bytes)))
            .bind(audio.map(|a| a.sha256.as_str()))
            .bind(settle.request.started_at.unwrap_or(settle.now).0)
            .bind(settle.now.0)
            .bind(&result.response)
            .bind(&result.made.options_key)
            .bind(&result.made.options)
            .bind(suspicions(result));
    }
    query.execute(c).await?;
    Ok(())
}

/// One that was being processed again keeps the result it has: that is paid for, and stands.
async fn fail(
    c: &mut SqliteConnection,
    id: TaskId,
    fence: Fence,
    state: &str,
    failure: &Failure,
    now: Timestamp,
) -> Result<bool, QueueError> {
    let sent = i64::from(state == "running");
    let done = sqlx::query(
        "UPDATE task SET state = iif(EXISTS (SELECT 1 FROM result WHERE task_id = ?1), 'succeeded', 'failed'),
                hold = NULL, owner = NULL, attempts = attempts + ?4, cancel_requested = 0, cause = ?5, message = ?6,
                http_status = ?7, billed = ?8, changed_at = ?9, finished_at = ?9,
                first_failed_at = iif(?4 = 0, first_failed_at, ifnull(first_failed_at, ?9))
         WHERE id = ?1 AND fence = ?2 AND state = ?3",
    )
    .bind(id.0)
    .bind(fence.0)
    .bind(state)
    .bind(sent)
    .bind(failure.cause.word())
    .bind(&failure.message)
    .bind(failure.http_status)
    .bind(failure.billed.word())
    .bind(now.0)
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Back to the queue; or out of it, when the user asked for that while the task ran.
async fn requeue(
    c: &mut SqliteConnection,
    settle: &Settle,
    hold: Option<Hold>,
    run_at: Timestamp,
    failure: &Failure,
) -> Result<bool, QueueError> {
    let counted = settle.settlement.uses_attempt();
    let done = sqlx::query(
        "UPDATE task SET state = CASE WHEN NOT cancel_requested THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = ?1) THEN 'succeeded'
                             ELSE 'cancelled' END,
                finished_at = iif(cancel_requested, ?3, NULL), hold = iif(cancel_requested, NULL, ?4),
                cancel_requested = 0, owner = NULL, run_at = ?5, changed_at = ?3,
                attempts = attempts + ?6, throttles = throttles + ?7,
                retry_repeats = CASE WHEN ?6 = 0 THEN retry_repeats WHEN retry_cause = ?8 THEN retry_repeats + 1 ELSE 1 END,
                retry_cause = iif(?6 = 0, retry_cause, ?8),
                first_failed_at = iif(?6 = 0, first_failed_at, ifnull(first_failed_at, ?3)),
                cause = ?8, message = ?9, http_status = ?10, billed = ?11
         WHERE id = ?1 AND fence = ?2 AND state = 'running'",
    )
    .bind(settle.task.id.0)
    .bind(settle.task.fence.0)
    .bind(settle.now.0)
    .bind(hold.map(Hold::word))
    .bind(run_at.0)
    .bind(i64::from(counted))
    .bind(i64::from(failure.cause == Cause::Throttled || failure.cause == Cause::Connection))
    .bind(failure.cause.word())
    .bind(&failure.message)
    .bind(failure.http_status)
    .bind(failure.billed.word())
    .execute(c)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a task that nobody holds with the answer of another one.
pub(super) async fn reuse(
    c: &mut SqliteConnection,
    reuse: Reuse,
    now: Timestamp,
) -> Result<Settled, QueueError> {
    let Reuse { task, fence, of, identity, redacted_audio: audio } = reuse;
    let moved = sqlx::query(
        "UPDATE task SET state = 'succeeded', hold = NULL, cause = NULL, message = NULL, billed = 'no',
                identity = ?4, changed_at = ?5, finished_at = ?5,
                (http_status, format) = (SELECT http_status, format FROM result WHERE task_id = ?3)
         WHERE id = ?1 AND fence = ?2 AND state = 'queued' AND EXISTS (SELECT 1
             FROM result JOIN task AS other ON other.id = result.task_id
             WHERE result.task_id = ?3 AND other.state = 'succeeded' AND other.identity = ?4
               AND result.finished_at >= task.reuse_after)
         RETURNING job_id, attempts, EXISTS (SELECT 1 FROM result WHERE task_id = task.id) AS again",
    )
    .bind(task.0)
    .bind(fence.0)
    .bind(of.0)
    .bind(&identity.0)
    .bind(now.0)
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = moved else { return Ok(Settled::Fenced) };
    let job: i64 = row.value("job_id")?;
    if row.value("again")? {
        replace(c, task, job, true).await?;
    }
    sqlx::query(
        "INSERT INTO result (task_id, job_id, attempts, http_status, bytes, blake3, format, mime, duration_ms,
                measured_ms, duration_method, billed_ms, audio_path, audio_bytes, audio_sha256, started_at,
                finished_at, response, options_key, options, suspect, reused_from)
         SELECT ?1, ?2, ?3, http_status, bytes, blake3, format, mime, duration_ms, measured_ms,
                duration_method, 0, ?4, ?5, ?6, ?7, ?7, response,
                (SELECT options_key FROM job WHERE id = ?2), (SELECT options FROM task WHERE id = ?1), suspect,
                ifnull(reused_from, task_id)
         FROM result WHERE task_id = ?8",
    )
    .bind(task.0)
    .bind(job)
    .bind(row.value::<i64>("attempts")?)
    .bind(audio.as_ref().map(|a| a.path.as_bytes()))
    .bind(audio.as_ref().map(|a| int(a.bytes)))
    .bind(audio.as_ref().map(|a| a.sha256.as_str()))
    .bind(now.0)
    .bind(of.0)
    .execute(c)
    .await?;
    Ok(Settled::Accepted)
}

/// For a task that nobody holds: looking at its file was enough.
pub(super) async fn set_aside(
    c: &mut SqliteConnection,
    id: TaskId,
    fence: Fence,
    settlement: Settlement,
    now: Timestamp,
) -> Result<Settled, QueueError> {
    let moved = match &settlement {
        Settlement::Fail(failure) => fail(c, id, fence, "queued", failure, now).await?,
        Settlement::Snooze { hold, run_at, failure } => {
            sqlx::query(
                "UPDATE task SET hold = ?3, run_at = ?4, changed_at = ?5, cause = ?6, message = ?7
                 WHERE id = ?1 AND fence = ?2 AND state = 'queued'",
            )
            .bind(id.0)
            .bind(fence.0)
            .bind(hold.word())
            .bind(run_at.0)
            .bind(now.0)
            .bind(failure.cause.word())
            .bind(&failure.message)
            .execute(c)
            .await?
            .rows_affected()
                == 1
        }
        Settlement::Succeed | Settlement::Advance | Settlement::Retry { .. } | Settlement::Release(_) => {
            false
        }
    };
    Ok(if moved { Settled::Accepted } else { Settled::Fenced })
}

/// Takes everything from a worker that is proven dead. What it had sent may have been billed.
pub(super) async fn recover(
    c: &mut SqliteConnection,
    worker: WorkerId,
    now: Timestamp,
) -> Result<Recovered, QueueError> {
    let rows = sqlx::query(
        "UPDATE task SET owner = NULL, hold = NULL, run_at = ?2, changed_at = ?2, lease_losses = lease_losses + 1,
                state = CASE WHEN lease_losses + 1 < ?3 AND NOT cancel_requested THEN 'queued'
                             WHEN EXISTS (SELECT 1 FROM result WHERE task_id = task.id) THEN 'succeeded'
                             WHEN lease_losses + 1 >= ?3 THEN 'failed' ELSE 'cancelled' END,
                finished_at = iif(lease_losses + 1 >= ?3 OR cancel_requested, ?2, NULL),
                cancel_requested = 0, cause = ?4, http_status = NULL,
                billed = iif(EXISTS (SELECT 1 FROM remote_job WHERE task_id = task.id), 'no', 'unknown'),
                message = 'the worker that held it died ' || (lease_losses + 1) || ' time(s)'
         WHERE owner = ?1 AND state = 'running'
         RETURNING id, fence, endpoint, state, billed",
    )
    .bind(&worker.0)
    .bind(now.0)
    .bind(LEASE_LOSSES_MAX)
    .bind(Cause::LeaseLost.word())
    .fetch_all(&mut *c)
    .await?;
    let held = sqlx::query(
        "SELECT task_id, reserved_ms, reserved_cost FROM slot WHERE owner = ?1
         UNION ALL SELECT task_id, reserved_ms, reserved_cost FROM deck WHERE owner = ?1",
    )
    .bind(&worker.0)
    .fetch_all(&mut *c)
    .await?;
    let mut reserved = HashMap::new();
    for slot in &held {
        let amount =
            Amount { audio_ms: slot.count("reserved_ms")?, cost: Money(slot.count("reserved_cost")?) };
        reserved.insert(slot.value::<i64>("task_id")?, amount);
    }
    let mut recovered = Recovered::default();
    for row in &rows {
        recovered.tasks += 1;
        recovered.failed += u64::from(row.value::<String>("state")? == "failed");
        // A job that was accepted goes on without us, and is asked for by the next one: nothing is paid twice.
        let billed: String = row.value("billed")?;
        sqlx::query(
            "UPDATE attempt SET ended_at = ?3, outcome = 'lost', cause = ?4, billed = ?5
             WHERE task_id = ?1 AND fence = ?2 AND outcome IS NULL",
        )
        .bind(row.value::<i64>("id")?)
        .bind(row.value::<i64>("fence")?)
        .bind(now.0)
        .bind(Cause::LeaseLost.word())
        .bind(&billed)
        .execute(&mut *c)
        .await?;
        if billed == Billed::Unknown.word() {
            let mut lost = Usage::default();
            lose(&mut lost, reserved.get(&row.value("id")?).copied().unwrap_or_default());
            book(c, row.word("endpoint")?, now.month(), lost).await?;
        }
    }
    sqlx::query(
        "UPDATE slot SET task_id = NULL, fence = NULL, owner = NULL, reserved_ms = 0, reserved_cost = 0, lone = 0 WHERE owner = ?1;
         DELETE FROM deck WHERE owner = ?1",
    )
    .bind(&worker.0)
    .execute(c)
    .await?;
    Ok(recovered)
}

async fn book(
    c: &mut SqliteConnection,
    endpoint: Endpoint,
    month: Month,
    used: Usage,
) -> Result<(), QueueError> {
    if used == Usage::default() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO ledger (endpoint, month, billed_ms, succeeded, unknown, unknown_ms, measured_ms, cost, unknown_cost)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET billed_ms = min(billed_ms + ?3, 1 << 53), succeeded = succeeded + ?4,
             unknown = unknown + ?5, unknown_ms = min(unknown_ms + ?6, 1 << 53),
             measured_ms = min(measured_ms + ?7, 1 << 53), cost = min(cost + ?8, 1 << 53),
             unknown_cost = min(unknown_cost + ?9, 1 << 53)",
    )
    .bind(endpoint.name())
    .bind(month.to_string())
    .bind(int(used.billed_ms.min(LEDGER_MAX)))
    .bind(int(used.succeeded))
    .bind(int(used.unknown))
    .bind(int(used.unknown_ms.min(LEDGER_MAX)))
    .bind(int(used.measured_ms.min(LEDGER_MAX)))
    .bind(int(used.cost.0.min(LEDGER_MAX)))
    .bind(int(used.unknown_cost.0.min(LEDGER_MAX)))
    .execute(c)
    .await?;
    Ok(())
}
