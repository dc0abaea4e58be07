//! `failures.jsonl` against the recordings that stand failed. Both are in the order of task numbers. The file is
//! replaced at the end of a run: what moved since by hand (`retry`, `scan`) is no damage.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;

use super::finding::{Check, Finding, Kind};
use super::pages::{Read1, read_line};
use super::{Session, VerifyError, files};
use crate::outputs::{FAILURE_FILES, render_failure};
use crate::queue::{QueueError, TaskRow, TaskStore};
use crate::task::{Filter, Job, TaskId, TaskState, Timestamp};

/// Recordings read at once.
const PAGE: u32 = 1000;

/// A message has 2 KiB and a path 4 KiB at most, each byte escaped at worst.
const LONGEST: u64 = 1 << 20;

#[derive(Deserialize)]
struct Head {
    task: i64,
}

/// Looks at the file. While a run goes on it follows seconds behind, so then it is left alone.
pub(super) async fn check(session: &mut Session<'_>, job: &Job, was_begun: bool) -> Result<(), VerifyError> {
    if session.running {
        return Ok(());
    }
    let path = job.output.join(FAILURE_FILES[0]);
    let open = match files::open(&path) {
        Ok(open) => open,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            session.book.found(Finding::new(Kind::FileUnreadable, what).job(&job.name).file(&path));
            return Ok(());
        }
    };
    let (file, written) = match open {
        Some((file, _)) => {
            let written =
                file.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            (Some(file), Timestamp::from(written))
        }
        // No run has written files here yet.
        None if !was_begun => return Ok(()),
        None => (None, Timestamp(i64::MAX)),
    };
    let failed = Failed::new(session.store, job);
    let mut walk = Walk { session, job, path: &path, written, failed, moved: 0 };
    walk.go(file.as_ref()).await?;
    if walk.moved > 0 {
        let note = format!(
            "job {}: {} recordings moved by hand since failures.jsonl was written; the next run writes it anew",
            job.name, walk.moved
        );
        session.book.note(note);
    }
    Ok(())
}

struct Walk<'s, 'a> {
    session: &'s mut Session<'a>,
    job: &'s Job,
    path: &'s Path,
    /// When the file was last written.
    written: Timestamp,
    failed: Failed<'a>,
    /// Recordings that changed since.
    moved: u64,
}

impl Walk<'_, '_> {
    async fn go(&mut self, file: Option<&File>) -> Result<(), VerifyError> {
        let mut number = 0;
        let mut line = Vec::new();
        let mut from = file.map(BufReader::new);
        while let Some(from) = &mut from {
            number += 1;
            match read_line(from, &mut line, LONGEST) {
                Ok((Read1::End, _)) => break,
                Ok((Read1::Line, _)) => self.line(&line, number).await?,
                Ok((Read1::Open | Read1::TooLong, _)) => self.unreadable(number),
                Err(error) => {
                    self.give_up(&error);
                    return Ok(());
                }
            }
        }
        while let Some(row) = self.failed.peek().await?.cloned() {
            self.failed.pop();
            self.missing(&row);
        }
        Ok(())
    }

    async fn line(&mut self, line: &[u8], number: u64) -> Result<(), VerifyError> {
        self.session.book.checked(Check::Failures, 1);
        let head = serde_json::from_slice::<Head>(line);
        loop {
            let next = self.failed.peek().await?.cloned();
            if let Some(row) = &next
                && render_failure(row).is_ok_and(|rendered| rendered == line)
            {
                self.failed.pop();
                return Ok(());
            }
            let Ok(head) = &head else {
                self.unreadable(number);
                return Ok(());
            };
            match next {
                // The file goes by the recording that comes next.
                Some(row) if row.id.0 < head.task => {
                    self.failed.pop();
                    self.missing(&row);
                }
                Some(row) if row.id.0 == head.task => {
                    self.failed.pop();
                    self.unless_moved(
                        &row,
                        Kind::FailureAltered,
                        "says something else than the queue",
                        number,
                    );
                    return Ok(());
                }
                _ => return self.extra(TaskId(head.task), number).await,
            }
        }
    }

    async fn extra(&mut self, task: TaskId, number: u64) -> Result<(), VerifyError> {
        match self.session.store.task(task).await? {
            Some(row) if row.job == self.job.id => {
                let what = match row.state {
                    TaskState::Failed => "stands in the file twice, or out of order",
                    _ => "does not stand failed",
                };
                self.unless_moved(&row, Kind::FailureExtra, what, number);
            }
            _ => {
                let what = format!("is of recording {task}, which is none of this job's");
                self.found(Finding::new(Kind::FailureExtra, what).line(number));
            }
        }
        Ok(())
    }

    fn missing(&mut self, row: &TaskRow) {
        self.session.book.checked(Check::Failures, 1);
        self.unless_moved(row, Kind::FailureMissing, "stands failed, and has no line", 0);
    }

    fn unless_moved(&mut self, row: &TaskRow, kind: Kind, what: &str, number: u64) {
        if row.changed_at > self.written {
            self.moved += 1;
            return;
        }
        let finding = Finding::new(kind, what).task(row.id, &row.path);
        self.found(if number > 0 { finding.line(number) } else { finding });
    }

    fn unreadable(&mut self, number: u64) {
        self.found(Finding::new(Kind::FailureExtra, "is no record").line(number));
    }

    fn found(&mut self, finding: Finding) {
        self.session.book.found(finding.job(&self.job.name).file(self.path));
    }

    fn give_up(&mut self, error: &io::Error) {
        self.found(Finding::new(Kind::FileUnreadable, format!("cannot be read: {error}")));
    }
}

/// Recordings that stand failed, by number.
struct Failed<'a> {
    store: &'a dyn TaskStore,
    filter: Filter,
    after: Option<TaskId>,
    page: std::vec::IntoIter<TaskRow>,
}

impl<'a> Failed<'a> {
    fn new(store: &'a dyn TaskStore, job: &Job) -> Self {
        let filter =
            Filter { states: vec![TaskState::Failed], jobs: vec![job.name.clone()], ..Filter::default() };
        Failed { store, filter, after: None, page: Vec::new().into_iter() }
    }

    async fn peek(&mut self) -> Result<Option<&TaskRow>, QueueError> {
        if self.page.as_slice().is_empty() {
            let rows = self.store.tasks(self.filter.clone(), self.after, PAGE, Timestamp(0)).await?;
            self.after = rows.last().map_or(self.after, |row| Some(row.id));
            self.page = rows.into_iter();
        }
        Ok(self.page.as_slice().first())
    }

    fn pop(&mut self) {
        self.page.next();
    }
}
