//! Lines of `results.jsonl` against stored results. Both come in commit order, so the next line is of the next result
//! unless something happened to the file; only then is a line read for whose it is.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use serde::Deserialize;

use super::book::Bits;
use super::finding::{Check, Finding, Kind};
use super::held::{Held, LinesSeen};
use super::pages::{Read1, Results, read_line};
use super::{Session, VerifyError};
use crate::outputs::{ExportFormat, OutputSettings, render_result};
use crate::queue::ResultRow;
use crate::task::{Job, TaskId};

/// An answer has 64 MiB at most, and its text stands twice in a line.
const LONGEST: u64 = 256 << 20;

/// Whose a line is.
#[derive(Deserialize)]
struct Head {
    task: i64,
}

/// What is known while the lines of one file are read.
struct Walk<'s, 'a> {
    session: &'s mut Session<'a>,
    job: &'s Job,
    held: &'s Held,
    /// Results in the file may have been overtaken: it is rendered anew at the end of the next run.
    is_stale: bool,
    results: Results<'a>,
    seen: Bits,
    overtaken: u64,
    /// Lines with answers that were purged since.
    unpurged: u64,
}

/// Holds every line against its result.
pub(super) async fn check(
    session: &mut Session<'_>,
    job: &Job,
    held: &Held,
    is_stale: bool,
) -> Result<LinesSeen, VerifyError> {
    let last_seq = held.state.last_seq;
    let results = Results::new(session.store, job.id, last_seq);
    let mut walk =
        Walk { session, job, held, is_stale, results, seen: Bits::default(), overtaken: 0, unpurged: 0 };
    // While a run goes on, what is behind the committed bytes is being written.
    let bytes = if walk.session.running { held.state.bytes } else { held.length };
    let mut from = match begin(&held.file, bytes) {
        Ok(from) => from,
        Err(error) => return Ok(walk.give_up(&error)),
    };
    let (mut line, mut number, mut offset) = (Vec::new(), 0, 0);
    loop {
        let (read, bytes) = match read_line(&mut from, &mut line, LONGEST) {
            Ok(read) => read,
            Err(error) => return Ok(walk.give_up(&error)),
        };
        number += 1;
        let is_behind = offset >= held.state.bytes;
        offset += bytes;
        match read {
            Read1::End => break,
            // Told with the file: it ends in the middle.
            Read1::Open if is_behind || !held.is_whole => {}
            Read1::Line | Read1::Open => walk.line(&line, number, is_behind).await?,
            Read1::TooLong => walk.unreadable(number, "is longer than any line of ours"),
        }
    }
    walk.session.book.checked(Check::Lines, number - 1);
    if walk.overtaken > 0 && !walk.session.running {
        let what = format!(
            "has {} lines of recordings that were processed again since: the last run was interrupted",
            walk.overtaken
        );
        walk.session.book.found(Finding::new(Kind::FileBehind, what).job(&job.name).file(&held.path));
    }
    if walk.unpurged > 0 {
        let what =
            format!("has {} lines of what was purged since: a purge was begun and not ended", walk.unpurged);
        walk.session.book.found(Finding::new(Kind::FileUnpurged, what).job(&job.name).file(&held.path));
    }
    Ok(LinesSeen { tasks: walk.seen, last_seq })
}

fn begin(mut file: &File, bytes: u64) -> io::Result<BufReader<io::Take<&File>>> {
    file.rewind()?;
    Ok(BufReader::with_capacity(1 << 18, file.take(bytes)))
}

impl Walk<'_, '_> {
    async fn line(&mut self, line: &[u8], number: u64, is_behind: bool) -> Result<(), VerifyError> {
        if let Some(next) = self.results.peek().await?
            && render(self.job, next) == line
        {
            let (task, seq) = (next.task, next.seq);
            let next = next.path.clone();
            self.results.go_behind(seq);
            if !self.seen.add(task.0) {
                self.found(Finding::new(Kind::LineRepeated, REPEATED).task(task, &next), number);
            }
            return Ok(());
        }
        let Ok(head) = serde_json::from_slice::<Head>(line) else {
            self.unreadable(number, "is no record");
            return Ok(());
        };
        let task = TaskId(head.task);
        let store = self.session.store;
        let (Some(row), Some(result)) = (store.task(task).await?, store.result(task).await?) else {
            let what = format!("is of recording {task}, which has no result");
            self.found(Finding::new(Kind::LineExtra, what), number);
            return Ok(());
        };
        let about = |kind, what: &str| Finding::new(kind, what).task(task, &row.path);
        if row.job != self.job.id {
            let what = format!("is of recording {task}, which belongs to job {}", row.job_name);
            self.found(about(Kind::LineExtra, &what), number);
        } else if result.seq > self.held.state.last_seq {
            let is_its_line = render(self.job, &result) == line;
            match (self.is_stale, is_behind && is_its_line) {
                (true, _) => {
                    self.overtaken += 1;
                    self.seen.add(task.0);
                }
                // Written by a run that died before it could commit: told with the file.
                (false, true) => {}
                (false, false) => {
                    let what = "is not of the result that is stored now, which came later";
                    self.found(about(Kind::LineExtra, what), number);
                }
            }
        } else if !self.seen.add(task.0) {
            self.found(about(Kind::LineRepeated, REPEATED), number);
        } else {
            self.results.go_behind(result.seq);
            let is_purged = result.purged_at.is_some() || result.audio_purged_at.is_some();
            if is_purged && self.is_stale && self.held.is_whole && render(self.job, &result) != line {
                self.unpurged += 1;
            } else if render(self.job, &result) != line {
                let finding = match self.held.is_whole {
                    true => about(
                        Kind::ResultAltered,
                        "is as it was written, and the stored result says something else",
                    ),
                    false => about(Kind::LineAltered, "does not say what the stored result says"),
                };
                self.found(finding, number);
            }
        }
        Ok(())
    }

    fn found(&mut self, finding: Finding, number: u64) {
        self.session.book.found(finding.job(&self.job.name).file(&self.held.path).line(number));
    }

    fn unreadable(&mut self, number: u64, what: &str) {
        self.found(Finding::new(Kind::LineUnreadable, what), number);
    }

    /// A disk that does not answer: what was not read is not reported as missing.
    fn give_up(self, error: &io::Error) -> LinesSeen {
        let what = format!("cannot be read: {error}");
        let finding = Finding::new(Kind::FileUnreadable, what).job(&self.job.name).file(&self.held.path);
        self.session.book.found(finding);
        LinesSeen { tasks: Bits::default(), last_seq: 0 }
    }
}

const REPEATED: &str = "stands in the file a second time";

/// The line that a result has today.
fn render(job: &Job, row: &ResultRow) -> Vec<u8> {
    // No setting changes a line of JSON. What cannot be rendered equals no line.
    render_result(ExportFormat::Jsonl, &job.name, row, &Default::default()).unwrap_or_default()
}

/// Names the first recording whose rows in a table are not what they should be.
pub(super) async fn first_wrong_row(
    session: &mut Session<'_>,
    job: &Job,
    format: ExportFormat,
    held: &Held,
) -> Result<(), VerifyError> {
    let fields = session.store.learn_fields(job.id, Vec::new()).await?;
    let settings = &OutputSettings { fields, ..session.settings.outputs.clone() };
    let Ok(mut from) = begin(&held.file, held.length) else { return Ok(()) };
    let mut there = Vec::new();
    let mut is = |bytes: &[u8]| {
        there.clear();
        let read = from.by_ref().take(bytes.len() as u64).read_to_end(&mut there);
        read.is_ok() && there == bytes
    };
    if !is(&format.header(settings)) {
        return Ok(()); // another layout: nothing can be said row by row
    }
    let mut results = Results::new(session.store, job.id, held.state.last_seq);
    loop {
        let page = results.take_page().await?;
        if page.is_empty() {
            return Ok(());
        }
        for row in &page {
            let rows = render_result(format, &job.name, row, settings).unwrap_or_default();
            if !is(&rows) {
                let what = "is the first recording whose row is not as it was written";
                let finding = Finding::new(Kind::RowAltered, what).task(row.task, &row.path);
                session.book.found(finding.job(&job.name).file(&held.path));
                return Ok(());
            }
        }
    }
}
