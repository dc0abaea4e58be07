//! Recordings as they stand in the queue: each in exactly one place with what belongs there, the counts that triggers
//! keep, and the slots.

use std::collections::BTreeMap;

use super::finding::{Check, Finding, Kind};
use super::held::LinesSeen;
use super::results::ResultsSeen;
use super::{JobReport, Session, VerifyError};
use crate::outputs::ExportFormat;
use crate::queue::{Tally, TaskRow};
use crate::task::{Cause, Endpoint, Filter, Job, JobId, TaskState, Timestamp};

/// Recordings read at once.
const PAGE: u32 = 1000;

/// How often what a run may have moved between two looks is looked at again.
const LOOKS: u32 = 5;

/// Goes through the recordings of a job.
pub(super) async fn check(
    session: &mut Session<'_>,
    job: &Job,
    results: &ResultsSeen,
    lines: Option<&LinesSeen>,
) -> Result<JobReport, VerifyError> {
    let mut report = JobReport {
        job: job.name.clone(),
        endpoint: job.endpoint,
        succeeded: 0,
        purged: results.purged,
        failed: 0,
        refused: 0,
        cancelled: 0,
        queued: 0,
        running: 0,
    };
    let filter = Filter { jobs: vec![job.name.clone()], ..Filter::default() };
    let mut after = None;
    loop {
        let rows = session.store.tasks(filter.clone(), after, PAGE, Timestamp(0)).await?;
        let Some(last) = rows.last() else { return Ok(report) };
        after = Some(last.id);
        session.book.checked(Check::Recordings, rows.len() as u64);
        for row in &rows {
            let refused = row.cause.is_some_and(Cause::is_refusal);
            *match row.state {
                TaskState::Queued => &mut report.queued,
                TaskState::Running => &mut report.running,
                TaskState::Succeeded => &mut report.succeeded,
                TaskState::Failed if refused => &mut report.refused,
                TaskState::Failed => &mut report.failed,
                TaskState::Cancelled => &mut report.cancelled,
            } += 1;
            if let Some(finding) = wrong(session, job, row, results, lines).await? {
                session.book.found(finding.task(row.id, &row.path).job(&job.name));
            }
        }
    }
}

async fn wrong(
    session: &Session<'_>,
    job: &Job,
    row: &TaskRow,
    results: &ResultsSeen,
    lines: Option<&LinesSeen>,
) -> Result<Option<Finding>, VerifyError> {
    Ok(match row.state {
        // A run may have stored it since the results were read.
        TaskState::Succeeded if !results.tasks.has(row.id.0) => match session.store.result(row.id).await? {
            Some(_) => None,
            None => Some(Finding::new(Kind::ResultMissing, "succeeded, and no result of it is stored")),
        },
        TaskState::Succeeded => {
            let should = lines.is_some_and(|lines| lines.last_seq > 0) && results.in_file.has(row.id.0);
            let is = lines.is_some_and(|lines| lines.tasks.has(row.id.0));
            (should && !is).then(|| {
                let name = ExportFormat::Jsonl.file_name();
                Finding::new(Kind::LineMissing, "has a result, and no line").file(&job.output.join(name))
            })
        }
        TaskState::Failed if row.cause.is_none() => {
            Some(Finding::new(Kind::CauseMissing, "failed, and nothing says why"))
        }
        _ => None,
    })
}

/// Holds the kept counts against counting, and the slots against what is running.
pub(super) async fn counts(session: &mut Session<'_>, jobs: &[Job]) -> Result<(), VerifyError> {
    let mut findings = Vec::new();
    let mut checked = 0;
    for _ in 0..LOOKS {
        (checked, findings) = look_at_counts(session, jobs).await?;
        // Two looks at a queue in motion cannot agree always; a leak stays.
        if findings.is_empty() || !session.running {
            break;
        }
    }
    session.book.checked(Check::Counts, checked);
    if session.running && !findings.is_empty() {
        session
            .book
            .note("the counts moved too fast to be held against each other; verify again after the run");
        return Ok(());
    }
    findings.into_iter().for_each(|finding| session.book.found(finding));
    Ok(())
}

type Key = (JobId, &'static str, &'static str);

async fn look_at_counts(session: &Session<'_>, jobs: &[Job]) -> Result<(u64, Vec<Finding>), VerifyError> {
    let store = session.store;
    let kept = by_key(&store.tallies().await?);
    let counted_rows = store.tallies_where(Filter::default(), Timestamp(0)).await?;
    let counted = by_key(&counted_rows);
    let mut findings = Vec::new();
    let mut checked = 0;
    let keys: std::collections::BTreeSet<&Key> = kept.keys().chain(counted.keys()).collect();
    for key in keys {
        let Some(job) = jobs.iter().find(|job| job.id == key.0) else { continue };
        checked += 1;
        let of = |counts: &BTreeMap<Key, (u64, u64)>| counts.get(key).copied().unwrap_or_default();
        let ((kept, kept_bytes), (counted, bytes)) = (of(&kept), of(&counted));
        if (kept, kept_bytes) != (counted, bytes) {
            let what = format!(
                "is kept as {kept} recordings of {kept_bytes} bytes that are {} {}, and counting gives {counted} of {bytes}",
                key.1, key.2
            );
            findings.push(Finding::new(Kind::CountWrong, what.replace("  ", " ")).job(&job.name));
        }
    }
    // Slots belong to a model, whichever jobs use it.
    let all = store.jobs().await?;
    let mut endpoints: Vec<Endpoint> = jobs.iter().map(|job| job.endpoint).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    for endpoint in endpoints {
        checked += 1;
        let of_it = |tally: &&Tally| all.iter().any(|j| j.id == tally.job && j.endpoint == endpoint);
        let running = counted_rows.iter().filter(|t| t.state == TaskState::Running).filter(of_it);
        let running: u64 = running.map(|tally| tally.tasks).sum();
        let busy = u64::from(store.limiter(endpoint).await?.busy);
        if busy != running {
            let what = format!("{endpoint}: {busy} slots are taken, and {running} recordings are running");
            findings.push(Finding::new(Kind::SlotLeaked, what));
        }
    }
    Ok((checked, findings))
}

fn by_key(tallies: &[Tally]) -> BTreeMap<Key, (u64, u64)> {
    let key = |t: &Tally| (t.job, t.state.word(), t.cause.map_or("", |cause| cause.word()));
    tallies.iter().map(|t| (key(t), (t.tasks, t.bytes))).collect()
}
