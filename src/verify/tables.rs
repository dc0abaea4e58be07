//! The tables of Parquet: there, the bytes that were committed, and made of what stands in the queue. They are made at the end
//! of a run: what moved since by hand (`retry`, `scan`) is no damage, as with the failures.

use std::time::SystemTime;

use super::finding::{Finding, Kind};
use super::{Session, VerifyError, files};
use crate::outputs::{Behind, TABLES, tables_behind, tables_mark};
use crate::task::{Job, Timestamp};

/// Looks at both.
pub(super) async fn check(session: &mut Session<'_>, job: &Job) -> Result<(), VerifyError> {
    if session.running {
        // One that ends now replaces them: what is odd is told only if it did not.
        let before = tables_mark(session.store, job).await?;
        session.book.begin_aside();
        hold(session, job).await?;
        let stayed = tables_mark(session.store, job).await? == before;
        session.book.end_aside(stayed);
        return Ok(());
    }
    let behind = tables_behind(session.store, job).await?;
    if behind == Some(Behind::Interrupted) {
        let what = "are not of all that is stored in the queue: the last run was interrupted";
        session
            .book
            .found(Finding::new(Kind::FileBehind, what).job(&job.name).file(&job.output.join("*.parquet")));
        return Ok(());
    }
    let written = hold(session, job).await?;
    match behind {
        Some(Behind::Moved(at)) if at <= written => {
            let what = "do not say how every recording stands, and nothing was moved since they were written";
            let finding = Finding::new(Kind::FileBehind, what).job(&job.name);
            session.book.found(finding.file(&job.output.join("*.parquet")));
        }
        Some(Behind::Moved(_) | Behind::OtherLayout) => {
            let name = &job.name;
            let note = format!(
                "job {name}: *.parquet are of how recordings stood before; the next run makes them anew"
            );
            session.book.note(note);
        }
        Some(Behind::Interrupted) | None => {}
    }
    Ok(())
}

/// Holds both against what is committed, and tells when the older of them was written.
async fn hold(session: &mut Session<'_>, job: &Job) -> Result<Timestamp, VerifyError> {
    let mut written = Timestamp(i64::MAX);
    for name in TABLES {
        let state = session.store.output(job.id, name).await?;
        if let Some(held) = files::hold(session, job, name, state) {
            let at = held.file.metadata().and_then(|facts| facts.modified());
            written = written.min(Timestamp::from(at.unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    Ok(written)
}
