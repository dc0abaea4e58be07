//! Stored results, one page after another, and with each what belongs to it on disk: its redacted audio and its
//! source. As many at a time as the machine has processors: this is where the bytes are.

use std::num::NonZero;
use std::thread::available_parallelism;

use futures_util::{StreamExt, stream};

use super::book::Bits;
use super::finding::{Check, Finding, Kind};
use super::pages::Results;
use super::{Session, VerifyError, audio, sources};
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
    source: Option<sources::Source>,
    audio: Option<audio::Redacted>,
}

/// Looks at all results of a job.
pub(super) async fn check(session: &mut Session<'_>, job: &Job) -> Result<ResultsSeen, VerifyError> {
    let file = crate::outputs::ExportFormat::Jsonl.file_name();
    let last_seq = session.store.output(job.id, file).await?.last_seq;
    let with_sources = session.settings.sources && has_root(session, job);
    let at_once = available_parallelism().map_or(1, NonZero::get);
    let mut seen = ResultsSeen::default();
    let mut done = 0;
    let mut results = Results::new(session.store, job.id, i64::MAX);
    loop {
        let page = results.take_page().await?;
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
            source: with_sources.then(|| sources::Source::of(job, row)),
            audio: audio::Redacted::of(job, row),
        });
        let looks = looks.filter(|look| look.source.is_some() || look.audio.is_some());
        session.book.checked(Check::Sources, if with_sources { page.len() as u64 } else { 0 });
        session.book.checked(Check::Audio, page.iter().filter(|row| has_audio(job, row)).count() as u64);
        for row in page.iter().filter(|row| job.endpoint.returns_audio() && row.redacted_audio.is_none()) {
            let what = "is a redaction whose result names no audio";
            session
                .book
                .found(Finding::new(Kind::AudioMissing, what).task(row.task, &row.path).job(&job.name));
        }
        let mut looking = stream::iter(looks)
            .map(|look| async move {
                let about = (look.task, look.path.clone());
                (about, tokio::task::spawn_blocking(move || look.look()).await)
            })
            .buffered(at_once);
        while let Some(((task, path), looked)) = looking.next().await {
            let findings = looked.unwrap_or_else(|bug| std::panic::resume_unwind(bug.into_panic()));
            for finding in findings {
                session.book.found(finding.task(task, &path).job(&job.name));
            }
            done += 1;
            session.book.progress(&job.name, done);
        }
    }
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
    fn look(self) -> Vec<Finding> {
        let source = self.source.and_then(sources::Source::check);
        let audio = self.audio.map(audio::Redacted::check).unwrap_or_default();
        source.into_iter().chain(audio).collect()
    }
}
