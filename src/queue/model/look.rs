//! Holds everything that a store tells against the reference, and learns from it the numbers that it gave out.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::purge;
use super::reference::{Model, Resent, Task, is_open};
use super::resolve::{ENGLISH, FILES, STT};
use crate::queue::*;
use crate::task::*;

/// What differs.
pub(super) type Seen = Result<(), String>;

const MANY: u32 = 10_000;

pub(super) fn same<T: PartialEq + Debug>(what: &str, got: T, wanted: T) -> Seen {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}\n   told: {got:?}\n wanted: {wanted:?}"))
}

/// Holds a store against the reference. A store's own errors are no findings but failures of the test.
pub(super) async fn look(store: &dyn TaskStore, model: &mut Model, all: bool) -> Seen {
    let before: BTreeMap<TaskId, Timestamp> =
        model.tasks.iter().map(|t| (t.row.id, t.row.changed_at)).collect();
    jobs(store, model).await?;
    tasks(store, model).await?;
    let highest = model.last_seq;
    results(store, model).await?;
    for task in &mut model.tasks {
        let id = task.row.id;
        let still = task.row.changed_at != model.now && task.row.state != TaskState::Running;
        if !all && before.contains_key(&id) && still {
            continue;
        }
        let mut wanted = task.tries.clone();
        wanted.reverse();
        same("attempts", store.attempts(id).await.unwrap(), wanted)?;
        same("a job elsewhere", store.remote_job(id).await.unwrap(), task.remote.clone())?;
        same("pieces", store.pieces(id).await.unwrap(), task.pieces.clone())?;
        let got = store.result(id).await.unwrap();
        if let (Some(kept), Some(row)) = (&mut task.result, &got) {
            // It did not stand at a look yet, and may come to stand when it is not the latest any more.
            if kept.row.seq == 0 && row.seq > highest {
                kept.row.seq = row.seq;
                model.last_seq = row.seq.max(model.last_seq);
            }
        }
        same("a result", got, task.result.as_ref().map(|kept| kept.row.clone()))?;
    }
    limiters(store, model).await?;
    // What is written stays: these are looked at in turns, and a difference is still there when theirs comes.
    model.looks += 1;
    let turn = model.looks % 3;
    if all || turn == 0 {
        outputs(store, model).await?;
        workers(store, model).await?;
    }
    if all || turn == 1 || model.halts.iter().any(|h| h.id < 0) {
        halts(store, model).await?;
        counts(store, model).await?;
    }
    if all || turn == 2 {
        candidates(store, model).await?;
        purge::look(store, model).await?;
    }
    Ok(())
}

async fn jobs(store: &dyn TaskStore, model: &mut Model) -> Seen {
    let told = store.jobs().await.unwrap();
    for entry in model.jobs.iter_mut().filter(|j| j.job.id.0 < 0) {
        if let Some(known) = told.iter().find(|j| j.name == entry.job.name) {
            entry.job.id = known.id;
        }
    }
    same("jobs", told, model.jobs.iter().map(|j| j.job.clone()).collect())
}

async fn outputs(store: &dyn TaskStore, model: &Model) -> Seen {
    for entry in &model.jobs {
        let id = entry.job.id;
        same("fields", store.learn_fields(id, vec![]).await.unwrap(), entry.fields.clone())?;
        same("whether outputs are stale", store.outputs_stale(id).await.unwrap(), entry.stale)?;
        for name in FILES {
            let wanted = entry.outputs.get(name).cloned().unwrap_or_default();
            same("an output's state", store.output(id, name).await.unwrap(), wanted)?;
        }
    }
    Ok(())
}

async fn tasks(store: &dyn TaskStore, model: &mut Model) -> Seen {
    let mut told = store.tasks(Filter::default(), None, MANY, model.now).await.unwrap();
    for task in model.tasks.iter_mut().filter(|t| t.row.id.0 < 0) {
        if let Some(known) = told.iter().find(|t| (t.job, &t.path) == (task.row.job, &task.row.path)) {
            task.row.id = known.id;
        }
    }
    // How often the death of workers is told in words is no promise; that it is told is one.
    for row in told.iter_mut().filter(|t| t.cause == Some(Cause::LeaseLost)) {
        let words = row.message.replace(String::new()).unwrap_or_default();
        let number = row.lease_losses.to_string();
        if !words.contains(&number) {
            return Err(format!("`{words}` does not name {number} deaths"));
        }
    }
    let mut wanted: Vec<TaskRow> = model.tasks.iter().map(row).collect();
    wanted.sort_by_key(|t| t.id);
    if told.len() == wanted.len() {
        for (told, wanted) in told.into_iter().zip(wanted) {
            same("a task", told, wanted)?;
        }
        return Ok(());
    }
    same("tasks", told, wanted)
}

/// In commit order, with numbers that only grow, and the same ones for as long as they stand.
async fn results(store: &dyn TaskStore, model: &mut Model) -> Seen {
    let highest = model.last_seq;
    let jobs: Vec<JobId> = model.jobs.iter().map(|j| j.job.id).collect();
    for job in jobs {
        let told = store.results(job, 0, MANY).await.unwrap();
        let mut standing: Vec<_> = model
            .tasks
            .iter_mut()
            .filter(|t| t.row.job == job && t.row.state == TaskState::Succeeded)
            .filter_map(|t| t.result.as_mut())
            .collect();
        standing.sort_by_key(|kept| kept.order);
        for (kept, row) in standing.iter_mut().zip(&told) {
            if kept.row.seq == 0 {
                if row.seq <= highest {
                    return Err(format!("result {} is new, and {highest} was given before", row.seq));
                }
                kept.row.seq = row.seq;
            }
        }
        same("results", told.clone(), standing.iter().map(|kept| kept.row.clone()).collect())?;
        if !told.is_sorted_by(|a, b| a.seq < b.seq) {
            return Err(format!("results of job {job} are not in order"));
        }
        model.last_seq = told.last().map_or(0, |row| row.seq).max(model.last_seq);
        if let [_, .., middle, _] = &told[..] {
            let page = store.results(job, middle.seq, 1).await.unwrap();
            same("a page of results", page, told[told.len() - 1..].to_vec())?;
        }
    }
    Ok(())
}

async fn limiters(store: &dyn TaskStore, model: &Model) -> Seen {
    for endpoint in [STT, ENGLISH] {
        let wanted = model.limiter(endpoint);
        same("a limiter", store.limiter(endpoint).await.unwrap(), wanted)?;
    }
    Ok(())
}

/// One that ended by itself is over, whether or not anybody has written that down.
async fn halts(store: &dyn TaskStore, model: &mut Model) -> Seen {
    let now = model.now;
    let mut told = store.halts(false, now).await.unwrap();
    if !told.is_sorted_by_key(|h| std::cmp::Reverse(h.raised_at)) {
        return Err("halts are not newest first".to_owned());
    }
    told.sort_by_key(|h| h.id);
    for (ours, theirs) in model.halts.iter_mut().zip(&told) {
        if ours.id < 0 {
            ours.id = theirs.id;
        }
    }
    let over = |mut halt: Halt| {
        if halt.lifted_at.is_none() && halt.until.is_some_and(|until| until <= now) {
            (halt.lifted_at, halt.lifted_by) = (halt.until, Some("time".to_owned()));
        }
        halt
    };
    let wanted: Vec<Halt> = model.halts.iter().cloned().map(over).collect();
    same("halts", told.into_iter().map(over).collect(), wanted)?;
    let mut open: Vec<i64> = store.halts(true, now).await.unwrap().iter().map(|h| h.id).collect();
    open.sort_unstable();
    let wanted = model.halts.iter().filter(|h| is_open(h, now)).map(|h| h.id).collect();
    same("open halts", open, wanted)
}

async fn counts(store: &dyn TaskStore, model: &Model) -> Seen {
    let mut counted: BTreeMap<(JobId, TaskState, Option<Cause>), (u64, u64)> = BTreeMap::new();
    for task in &model.tasks {
        let cell = counted.entry((task.row.job, task.row.state, task.row.cause)).or_default();
        *cell = (cell.0 + 1, cell.1 + task.row.size_bytes);
    }
    let kept = store.tallies().await.unwrap();
    same(
        "tallies kept and tallies counted",
        &kept,
        &store.tallies_where(Filter::default(), model.now).await.unwrap(),
    )?;
    let told = kept.into_iter().map(|t| ((t.job, t.state, t.cause), (t.tasks, t.bytes))).collect();
    same("tallies", told, counted)?;
    for (&(endpoint, month), usage) in &model.ledger {
        same("usage", store.usage(endpoint, month).await.unwrap(), *usage)?;
    }
    Ok(())
}

/// Those that waited first, the jobs in turn, each by when they became due; then the jobs in turn again, each in its
/// own order.
async fn candidates(store: &dyn TaskStore, model: &Model) -> Seen {
    for endpoint in [STT, ENGLISH] {
        let jobs: Vec<&Job> = model.jobs.iter().map(|j| &j.job).filter(|j| j.endpoint == endpoint).collect();
        let ids: Vec<JobId> = jobs.iter().map(|j| j.id).collect();
        let mine = |t: &&Task| t.row.state == TaskState::Queued && ids.contains(&t.row.job);
        let queued = || model.tasks.iter().filter(mine);
        let mut wanted: Vec<&Task> = vec![];
        for waited in [true, false] {
            // First in line last in each, to be taken from there.
            let mut lines: Vec<Vec<_>> = jobs
                .iter()
                .map(|job| {
                    let can_go = |t: &&Task| t.row.job == job.id && t.is_due(model.now);
                    let mut line: Vec<_> =
                        queued().filter(can_go).filter(|t| t.row.hold.is_some() == waited).collect();
                    let place = |t: &Task| if waited { t.row.run_at.0 } else { t.rank(job.order) };
                    line.sort_by_key(|t| std::cmp::Reverse((place(t), t.row.id)));
                    line
                })
                .collect();
            while lines.iter().any(|line| !line.is_empty()) {
                wanted.extend(lines.iter_mut().filter_map(Vec::pop));
            }
        }
        let told = store.candidates(endpoint, ids.clone(), vec![], MANY, model.now).await.unwrap();
        same("candidates", &told, &wanted.iter().map(|task| candidate(task)).collect())?;
        if let [first, .., last] = &told[..] {
            let skip = vec![first.id, last.id];
            let some = store.candidates(endpoint, ids.clone(), skip, 3, model.now).await.unwrap();
            let wanted: Vec<_> = told[1..told.len() - 1].iter().take(some.len()).cloned().collect();
            let full = some.len() == 3 || some.len() == told.len() - 2;
            // Without the skipped ones the jobs' turns may fall otherwise: then only who is told is compared.
            if told[1..].iter().all(|t| t.job == first.job) {
                same("candidates without some", some, wanted)?;
            }
            same("whether as many candidates were told as there are", full, true)?;
        }
        let waiting = queued().filter(|t| t.row.hold.is_some()).map(|t| t.row.run_at).min();
        same("when the next is due", store.next_due(endpoint, ids).await.unwrap(), waiting)?;
    }
    Ok(())
}

fn row(task: &Task) -> TaskRow {
    TaskRow { decoded: task.resent == Resent::Now, ..task.row.clone() }
}

fn candidate(task: &Task) -> Candidate {
    let row = &task.row;
    Candidate {
        id: row.id,
        job: row.job,
        path: row.path.clone(),
        size_bytes: row.size_bytes,
        modified_ns: row.modified_ns,
        measured: row.measured,
        fence: row.fence,
        attempts: row.attempts,
        options: row.metadata.options.clone(),
        has_double: false, // they are small
        decoded: task.resent == Resent::Now,
    }
}

async fn workers(store: &dyn TaskStore, model: &Model) -> Seen {
    let mut wanted: Vec<WorkerRow> = model
        .workers
        .iter()
        .map(|w| WorkerRow { alive: w.process.is_some() && w.row.ended_at.is_none(), ..w.row.clone() })
        .collect();
    wanted.sort_by_key(|w| std::cmp::Reverse((w.started_at, w.id.0.clone())));
    same("workers", store.workers(MANY).await.unwrap(), wanted)
}
