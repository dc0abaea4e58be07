//! The audit log: its chain, and whether every run that the queue knows is in it. A chain alone cannot show that its
//! end was cut off.

use super::Session;
use super::finding::{Check, Finding, Kind};
use crate::audit;
use crate::queue::WorkerRow;

/// `workers` was read before the log: a run is in the log before it is in the queue.
pub(super) async fn check(session: &mut Session<'_>, workers: Vec<WorkerRow>) {
    let book = &mut session.book;
    let chain = match audit::check(&session.settings.state_dir) {
        Ok(chain) => chain.unwrap_or_default(),
        Err(error) => {
            let what = format!("cannot be read: {}", error.source);
            return book.found(Finding::new(Kind::AuditUnreadable, what).file(&error.path));
        }
    };
    book.checked(Check::Audit, chain.entries + chain.breaks.len() as u64);
    let file = session.settings.state_dir.join(audit::FILE);
    for at in &chain.breaks {
        book.found(Finding::new(Kind::AuditBroken, at.why.to_string()).file(&file).line(at.line));
    }
    for worker in workers.iter().filter(|worker| !chain.runs.contains(&worker.id.0)) {
        let what = format!("knows nothing of the run {} that began at {}", worker.id, worker.started_at);
        book.found(Finding::new(Kind::AuditLacks, what).file(&file));
    }
    for line in &chain.torn {
        book.note(format!("audit log, line {line}: torn by a crash; that entry is lost"));
    }
}
