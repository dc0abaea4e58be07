//! Stored results, one page after another, and with each what belongs to it on disk: its redacted audio, its source,
//! and the files that it alone is in. As many at a time as the machine has processors: this is where the bytes are.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use futures_util::{StreamExt, stream};

use super::book::Bits;
use super::finding::{Check, Finding, Kind};
use super::pages::Results;
use super::rendered::Rendered;
use super::{Session, VerifyError, audio, sources};
use crate::outputs::FileFormat;
use crate::queue::ResultRow;
use crate::task::{Job, RecordingPath, TaskId};

/// Which recordings have results.
#[derive(Default)]
pub(super) struct ResultsSeen {
    /// Tasks that have one.
    pub(super) tasks: Bits,
    /// Of those, tasks with a result up to the one that `results.jsonl` was committed to.
    pub(super) in_file: Bits,
    /// How many have lost their answer or their audio to a purge.
    pub(super) purged: u64,
}

/// What is to be looked at for one result.
struct Look {
    task: TaskId,
    path: RecordingPath,
    seq: i64,
    source: Option<sources::Source>,
    audio: Option<audio::Redacted>,
    rendered: Vec<Rendered>,
}

/// Looks at all results of a job, and at their files in these trees.
pub(super) async fn check(
    session: &mut Session<'_>,
    job: &Job,
    trees: &[(FileFormat, i64)],
) -> Result<ResultsSeen, VerifyError> {
    let file = crate::outputs::ExportFormat::Jsonl.file_name();
    let last_seq = session.store.output(job.id, file).await?.last_seq;
    let with_sources = session.settings.sources && has_root(session, job);
    let at_once = available_parallelism().map_or(1, NonZero::get);
    let mut seen = ResultsSeen::default();
    let mut done = 0;
    let mut results = Results::new(session.store, job.id, i64::MAX);
    loop {
        let page: Vec<Arc<ResultRow>> = results.take_page().await?.into_iter().map(Arc::new).collect();
        if page.is_empty() {
            return Ok(seen);
        }
        for row in &page {
            seen.tasks.add(row.task.0);
            seen.purged += u64::from(row.purged_at.is_some() || row.audio_purged_at.is_some());
            if row.seq <= last_seq {
                seen.in_file.add(row.task.0);
            }
        }
        let looks = page.iter().map(|row| Look {
            task: row.task,
            path: row.path.clone(),
            seq: row.seq,
            rendered: Rendered::of(job, row, trees),
            source: with_sources.then(|| sources::Source::of(job, row)),
            audio: audio::Redacted::of(job, row),
        });
        let looks = looks.filter(Look::is_any);
        session.book.checked(Check::Sources, if with_sources { page.len() as u64 } else { 0 });
        session.book.checked(Check::Audio, page.iter().filter(|row| has_audio(job, row)).count() as u64);
        let files: usize = page.iter().map(|row| trees.iter().filter(|tree| row.seq <= tree.1).count()).sum();
        session.book.checked(Check::Rendered, files as u64);
        for row in page.iter().filter(|row| job.endpoint.returns_audio() && row.redacted_audio.is_none()) {
            let what = "is a redaction whose result names no audio";
            session
                .book
                .found(Finding::new(Kind::AudioMissing, what).task(row.task, &row.path).job(&job.name));
        }
        let mut looking = stream::iter(looks)
            .map(|look| async move {
                let about = (look.task, look.path.clone(), look.seq);
                (about, tokio::task::spawn_blocking(move || look.look()).await)
            })
            .buffered(at_once);
        while let Some(((task, path, seq), looked)) = looking.next().await {
            let findings = looked.unwrap_or_else(|bug| std::panic::resume_unwind(bug.into_panic()));
            for finding in findings {
                if finding.kind.check() == Check::Rendered && is_moving(session, job, task, seq).await? {
                    continue;
                }
                session.book.found(finding.task(task, &path).job(&job.name));
            }
            done += 1;
            session.book.progress(&job.name, done);
        }
    }
}

/// Whether a run may be changing the files of a result right now.
async fn is_moving(session: &Session<'_>, job: &Job, task: TaskId, seq: i64) -> Result<bool, VerifyError> {
    if !session.running {
        return Ok(false);
    }
    let stands = session.store.result(task).await?.is_some_and(|row| row.seq == seq);
    Ok(!stands || session.store.outputs_stale(job.id).await?)
}

fn has_audio(job: &Job, row: &ResultRow) -> bool {
    job.endpoint.returns_audio() || row.redacted_audio.is_some()
}

/// A folder that is not mounted is told once, not for each recording in it.
fn has_root(session: &mut Session<'_>, job: &Job) -> bool {
    if job.root.is_dir() {
        return true;
    }
    let what = "is not there: none of the job's sources was looked at";
    session.book.found(Finding::new(Kind::SourcesGone, what).job(&job.name).file(&job.root));
    false
}

impl Look {
    fn is_any(&self) -> bool {
        self.source.is_some() || self.audio.is_some() || !self.rendered.is_empty()
    }

    fn look(self) -> Vec<Finding> {
        let source = self.source.and_then(sources::Source::check);
        let audio = self.audio.map(audio::Redacted::check).unwrap_or_default();
        let rendered = self.rendered.into_iter().filter_map(Rendered::check);
        source.into_iter().chain(audio).chain(rendered).collect()
    }
}
