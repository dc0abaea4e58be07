//! The reference's purge: answers and audio that go after a time, and what of it must show.

use super::call::Answer;
use super::look::{Seen, same};
use super::reference::{Model, Task};
use crate::queue::*;
use crate::task::*;

impl Task {
    /// Whether its answer and its audio go.
    fn goes(&self, purge: &Purge) -> (bool, bool) {
        let Some(kept) = &self.result else {
            let over = matches!(self.row.state, TaskState::Failed | TaskState::Cancelled);
            let old = self.row.finished_at.is_some_and(|at| at <= purge.finished_by);
            let mine = purge.jobs.contains(&self.row.job);
            return (purge.answers && over && old && mine && !self.pieces.is_empty(), false);
        };
        let row = &kept.row;
        if !purge.jobs.contains(&self.row.job) || row.finished_at > purge.finished_by {
            return (false, false);
        }
        let has_audio = row.redacted_audio.is_some() && row.audio_purged_at.is_none();
        (purge.answers && row.purged_at.is_none(), purge.audio && has_audio)
    }
}

impl Model {
    fn purgeable(&self, purge: &Purge) -> Vec<Purgeable> {
        let mut by_job: Vec<Purgeable> = Vec::new();
        for entry in &self.jobs {
            let mut sum: Option<Purgeable> = None;
            for task in self.tasks.iter().filter(|t| t.row.job == entry.job.id) {
                let (answer, audio) = task.goes(purge);
                if !answer && !audio {
                    continue;
                }
                let kept = task.result.as_ref();
                let at = kept.map(|kept| kept.row.finished_at).or(task.row.finished_at).unwrap();
                let sum = sum.get_or_insert(Purgeable {
                    job: entry.job.id,
                    recordings: 0,
                    answers: 0,
                    answer_bytes: 0,
                    audio: 0,
                    audio_bytes: 0,
                    oldest: at,
                    newest: at,
                });
                sum.recordings += 1;
                if answer {
                    sum.answers += 1;
                    let of_pieces = || task.pieces.iter().map(|piece| piece.response.len()).sum();
                    sum.answer_bytes += kept.map_or_else(of_pieces, |kept| kept.row.response.len()) as u64;
                }
                if audio {
                    sum.audio += 1;
                    let audio = kept.and_then(|kept| kept.row.redacted_audio.as_ref());
                    sum.audio_bytes += audio.map_or(0, |a| a.bytes);
                }
                (sum.oldest, sum.newest) = (sum.oldest.min(at), sum.newest.max(at));
            }
            by_job.extend(sum);
        }
        by_job.sort_by_key(|one| one.job);
        by_job
    }

    pub(super) fn purge(&mut self, purge: &Purge) -> Answer {
        let taken = self.purgeable(purge);
        let now = self.now;
        for task in &mut self.tasks {
            let (answer, audio) = task.goes(purge);
            if (answer || audio) && task.row.state != TaskState::Running {
                task.identity = None; // it serves for nobody else
            }
            let Some(kept) = &mut task.result else {
                task.pieces.retain(|_| !answer);
                continue;
            };
            if answer {
                kept.row.response = "null".to_owned();
                kept.row.purged_at = Some(now);
            }
            if audio {
                kept.row.audio_purged_at = Some(now);
            }
        }
        for one in &taken {
            self.jobs.iter_mut().filter(|j| j.job.id == one.job).for_each(|j| j.stale = true);
        }
        self.purge_open |= !taken.is_empty();
        Answer::Purged(taken)
    }

    pub(super) fn end_purge(&mut self) -> Answer {
        if std::mem::take(&mut self.purge_open) { Answer::Bool(true) } else { Answer::Done }
    }
}

/// Whether a purge is open, what the next one would take, and which audio should be gone.
pub(super) async fn look(store: &dyn TaskStore, model: &Model) -> Seen {
    same("whether a purge is open", store.open_purge().await.unwrap().is_some(), model.purge_open)?;
    let jobs: Vec<JobId> = model.jobs.iter().map(|j| j.job.id).collect();
    for (answers, audio) in [(true, true), (false, true)] {
        let finished_by = Timestamp(model.now.0 - 10_000);
        let all = Purge { jobs: jobs.clone(), finished_by, answers, audio };
        let wanted = model.purgeable(&all);
        same("what can be purged", store.purgeable(all).await.unwrap(), wanted)?;
    }
    for job in jobs {
        let gone = |t: &&Task| t.row.job == job && t.row.state != TaskState::Running;
        let mut kept: Vec<_> = model.tasks.iter().filter(gone).filter_map(|t| t.result.as_ref()).collect();
        kept.retain(|kept| kept.row.audio_purged_at.is_some());
        kept.sort_by_key(|kept| kept.order);
        let path = |row: &ResultRow| row.redacted_audio.as_ref().map(|audio| audio.path.clone());
        let wanted: Vec<_> = kept.iter().filter_map(|kept| path(&kept.row)).collect();
        let told = store.purged_audio(job, 0, 10_000).await.unwrap();
        same("purged audio", told.iter().map(|(_, path)| path.clone()).collect(), wanted)?;
        if let [(first, _), rest @ ..] = &told[..] {
            let page = store.purged_audio(job, *first, 1).await.unwrap();
            same("a page of purged audio", page, rest.iter().take(1).cloned().collect())?;
        }
    }
    Ok(())
}
