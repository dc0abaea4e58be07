//! A recording that goes out encoded anew, whole or in pieces: each claim sends what comes next, which was written before it.
//! What was answered is in the queue, and no plan is: the next piece begins where the last one ends, also after a crash.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::audio::{Unkept, remade};
use super::keep::Facts;
use super::now;
use super::pool::Pool;
use super::ready::{Looked, Ready};
use super::worker::Bench;
use crate::media::{
    self, Bounds, CutError, Cutting, DecodeError, Format, Looks, MediaSettings, Piece, Prepared, can_be_split,
};
use crate::queue::{Candidate, Counted, Double, PieceRow, QueueError};
use crate::task::{Amount, Cause, Endpoint, Failure, Identity, Stretch, TaskId, Verdict};
use crate::velma::{self, Part, Response, StagedAudio, Unreadable};

/// How far pieces reach into each other where something is to be silenced: a number that is spoken across a cut is heard
/// whole by one of them.
const OVERLAP_MS: u64 = 5000;

/// What is known of a recording that is sent in pieces, while one of them is under way.
pub(super) struct Pieces {
    /// Answered before.
    pub(super) earlier: Vec<PieceRow>,
    /// Under way.
    pub(super) stretch: Stretch,
    /// How many there are in all, about.
    pub(super) about: u64,
    /// Nothing comes after the one under way.
    ends: bool,
    format: Format,
    media: MediaSettings,
}

impl Pieces {
    /// What a recording is written as that is silenced here.
    pub(super) const AUDIO: &'static str = "flac";

    /// Whether others come after this one.
    pub(super) fn goes_on(&self) -> bool {
        !self.ends
    }

    /// Which one is under way, from 1.
    pub(super) fn number(&self) -> u64 {
        self.earlier.len() as u64 + 1
    }

    /// What the ledger has counted of it.
    pub(super) fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        for PieceRow { billed, measured_ms, .. } in &self.earlier {
            let Amount { audio_ms, cost } = counted.billed;
            counted.billed =
                Amount { audio_ms: audio_ms.saturating_add(billed.audio_ms), cost: cost + billed.cost };
            counted.measured_ms = counted.measured_ms.saturating_add(*measured_ms);
        }
        counted
    }

    /// The answer to the whole, with the one that came last.
    pub(super) fn join(&self, endpoint: Endpoint, last: &str) -> Result<Response, Unreadable> {
        let earlier =
            self.earlier.iter().map(|piece| Part { stretch: &piece.stretch, json: &piece.response });
        let parts: Vec<Part<'_>> = earlier.chain([Part { stretch: &self.stretch, json: last }]).collect();
        velma::join(endpoint, &parts)
    }

    /// The whole recording with these stretches silenced, in the place of what came for one piece.
    pub(super) fn silence(
        &self,
        audio: StagedAudio,
        source: &Path,
        ranges_ms: &[(u64, u64)],
    ) -> Result<StagedAudio, Unkept> {
        remade(audio, |_, to| media::silence(source, self.format, &self.media, ranges_ms, to))
    }
}

/// What comes next of a recording that goes out encoded anew, written before there is a slot for it.
pub(super) struct Next {
    file: File,
    bytes: u64,
    stretch: Stretch,
    /// What was answered last when it was written.
    after: Option<Stretch>,
    about: u64,
    ends: bool,
    /// So many lie in the scratch folder at most, until they are sent.
    _room: OwnedSemaphorePermit,
}

/// Pieces that are being written, or wait for a slot: one for each core that can write one, and room for who is quicker.
pub(super) fn room() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}

impl Pool {
    /// Has it written before there is a slot for it; one at a time of those that are the same.
    pub(super) fn encode(&mut self, ready: Ready, cutting: Cutting) {
        let id = ready.candidate.id;
        let once = self.reuse && !self.unshared.contains(&id);
        if let Some(identity) = ready.identity.clone().filter(|_| once) {
            // Who has gone over to another process is asked of the queue.
            self.encoded.retain(|_, of| self.claimed.contains(of) || self.preparing.has(*of));
            let of = *self.encoded.entry(identity).or_insert(id);
            if of != id {
                self.preparing.take(id);
                return self.meet_double(ready, Double { task: id, of, answered: false });
            }
        }
        let bench = Arc::clone(&self.bench);
        self.preparing.go_on(id, async move { bench.cut_next(ready, cutting, once).await });
    }
}

impl Bench {
    /// Writes what comes next of a recording that is encoded anew, which is then ready to be sent. It has no slot yet: what
    /// others say of it meanwhile is looked at when it is claimed.
    ///
    /// `once`: what is the same is sent once, so nothing is written of what need not be sent.
    pub(super) async fn cut_next(&self, mut ready: Ready, cutting: Cutting, once: bool) -> Looked {
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
            return Looked::Unusable(QueueError::Closed);
        };
        let identity = ready.identity.clone().filter(|_| once);
        if let Some(identity) = identity {
            match self.store.double(ready.candidate.id, identity, now()).await {
                Ok(Some(double)) => return Looked::Double(Box::new(ready), double),
                Ok(None) => {}
                Err(error) => return Looked::Unusable(error),
            }
        }
        let earlier = match self.answered(ready.candidate.id, ready.identity.as_ref()).await {
            Ok(earlier) => earlier,
            Err(error) => return Looked::Unusable(error),
        };
        let after = earlier.last().map(|piece| piece.stretch.clone());
        let (bounds, scratch) = (self.bounds(), Arc::clone(&self.scratch));
        let about = cutting.about(bounds);
        let before = after.clone();
        let cut = tokio::task::spawn_blocking(move || {
            // Without a name: whatever happens, nothing of it is left.
            let file = tempfile::tempfile_in(&*scratch)?;
            cutting.piece(before.as_ref(), bounds, file)
        });
        let Piece { file, format, bytes, stretch, ends } = match cut.await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return self.uncut(ready.candidate, error),
            Err(panic) => {
                let message = format!("encoding it anew met a bug of ours; please report it: {panic}");
                return Looked::Refused(ready.candidate, Failure::local(Cause::UnreadableAudio, message));
            }
        };
        if !ready.prepared.is_fresh_at(&ready.work.job.source_of(&ready.candidate.path)) {
            let failure = Failure::local(Cause::SourceChanged, "it was written to while it was encoded");
            return Looked::NotNow(ready.candidate, failure);
        }
        // As what it goes out may have turned out only now.
        if let Some(upload) = media::upload_as(format, self.endpoint) {
            ready.prepared.mime = upload.mime;
            ready.prepared.upload_name = media::upload_name(&ready.candidate.path, upload.extension);
        }
        ready.most_ms = stretch.sent_ms();
        ready.next = Some(Next { file, bytes, stretch, after, about, ends, _room: room });
        Looked::Fit(Box::new(ready))
    }

    /// Takes what was written for its turn, if it still is what comes next; otherwise it has to be looked at anew.
    pub(super) async fn take_next(
        &self,
        task: TaskId,
        next: Next,
        ready: &mut Ready,
        facts: &mut Facts,
    ) -> Option<File> {
        let earlier = self.answered(task, ready.identity.as_ref()).await;
        let earlier = self.paid_for(task, earlier).ok()?;
        let Next { file, bytes, stretch, after, about, ends, _room } = next;
        let is_next = earlier.last().map(|piece| &piece.stretch) == after.as_ref();
        let Bounds { max_bytes, longest_ms, .. } = self.bounds();
        let is_too_much = bytes > max_bytes || longest_ms.is_some_and(|most| stretch.sent_ms() > most);
        if !is_next || is_too_much || !ready.prepared.is_fresh() {
            return None;
        }
        facts.sent_ms = stretch.sent_ms();
        let (format, media) = (ready.prepared.format, self.media.clone());
        let about = about_in_all(about, earlier.len() as u64 + 1, ends);
        facts.pieces = Some(Pieces { earlier, stretch, about, ends, format, media });
        ready.prepared.len = bytes;
        Some(file)
    }

    /// What was answered of a recording so far. Of another content or with other options it is void.
    async fn answered(&self, task: TaskId, identity: Option<&Identity>) -> Result<Vec<PieceRow>, QueueError> {
        let known = self.store.pieces(task).await?;
        let is_whole = known.iter().all(|piece| Some(&piece.identity) == identity);
        Ok(if is_whole { known } else { Vec::new() })
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            max_bytes: self.media.largest(self.endpoint),
            longest_ms: self.lengths.terms(false).longest_ms(self.endpoint),
            may_split: can_be_split(self.endpoint),
            overlap_ms: if self.endpoint.returns_audio() { OVERLAP_MS } else { 0 },
        }
    }

    /// Whether it can go out in pieces, as far as is known.
    pub(super) fn can_be_less(&self, prepared: &Prepared) -> bool {
        !prepared.is_indivisible && media::is_split(prepared.format, self.endpoint, &self.media)
    }

    /// Whether it has turned out, since it was looked at, that it is more than a request takes.
    pub(super) fn has_outgrown(&self, ready: &Ready) -> bool {
        let terms = self.lengths.terms(false);
        // By the same terms it would only be looked at again and again.
        if ready.next.is_some() || terms.learned_ms == ready.terms.learned_ms {
            return false;
        }
        let Prepared { format, len: size_bytes, .. } = ready.prepared;
        let looks = Looks { format, size_bytes, measured: Some(ready.measured), channels: None };
        let fate = media::fate(looks, self.endpoint, &self.media, terms);
        matches!(fate, media::Fate::Split(_))
    }

    /// What an answer, or its absence, says about how much a request may hold. A service that ran out of time over much
    /// gets less the next time, at no cost in tries; the same is never sent twice. What cannot be less
    /// is given up on like anything else, or it would go out for ever.
    pub(super) async fn learn_length(&self, verdict: Verdict, can_be_less: bool, sent_ms: u64) -> Verdict {
        let failure = match verdict {
            Verdict::Transient(failure) if failure.cause == Cause::ServerTimeout => failure,
            verdict => {
                let learned = (verdict == Verdict::Success).then(|| self.lengths.prove(sent_ms)).flatten();
                if let Some(longest) = learned
                    && let Err(error) = self.store.learn_longest(self.endpoint, longest).await
                {
                    let endpoint = self.endpoint;
                    tracing::warn!(%endpoint, %error, "how much a request may hold was not saved");
                }
                return verdict;
            }
        };
        if !can_be_less {
            return Verdict::Transient(failure);
        }
        match self.lengths.gave_up(sent_ms) {
            true => Verdict::TooLong(failure),
            false => Verdict::Transient(failure),
        }
    }

    fn uncut(&self, candidate: Candidate, error: CutError) -> Looked {
        let failure = match error {
            CutError::TooLarge(_) if can_be_split(self.endpoint) => {
                let mend = "allow more, by max_minutes under its [limits] or max_file_size under [scan]";
                Failure::local(Cause::TooBig, format!("a request takes too little for a piece of it: {mend}"))
            }
            CutError::TooLarge(_) => {
                let mend = "make it smaller, for example `ffmpeg -i IN -vn -ac 1 -ar 16000 OUT.flac`";
                Failure::local(
                    Cause::TooBig,
                    format!("{error}, and {} takes no pieces: {mend}", self.endpoint),
                )
            }
            CutError::Decode(DecodeError::Undecodable(what)) => Failure::local(Cause::UnreadableAudio, what),
            CutError::Decode(DecodeError::Io(error)) => {
                let failure = Failure::local(Cause::SourceUnreadable, error.to_string());
                return Looked::NotNow(candidate, failure);
            }
            // Not the disk's: its writer cannot make anything of what it was given.
            CutError::Write(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Failure::local(Cause::UnreadableAudio, error.to_string())
            }
            CutError::Write(source) => {
                return Looked::Unusable(QueueError::Io { path: self.scratch.to_path_buf(), source });
            }
        };
        Looked::Refused(candidate, failure)
    }
}

/// How many pieces there are in all, about, as the one with this number shows: it was foretold by length alone.
fn about_in_all(foretold: u64, number: u64, ends: bool) -> u64 {
    if ends { number } else { foretold.max(number + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_fewer_pieces_than_the_one_at_hand_says() {
        assert_eq!(about_in_all(19, 7, false), 19);
        assert_eq!(
            [about_in_all(19, 19, false), about_in_all(19, 20, false)],
            [20, 21],
            "one more is to come"
        );
        assert_eq!([about_in_all(19, 20, true), about_in_all(19, 18, true)], [20, 18], "the last one knows");
    }
}
