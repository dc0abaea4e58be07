//! A recording that goes out encoded anew, whole or in pieces: each claim sends what comes next. What was answered is in
//! the queue, and no plan is: the next piece begins where the last one ends, also after a crash.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::audio::{Unkept, remade};
use super::keep::Facts;
use super::ready::Ready;
use super::worker::Bench;
use crate::media::{
    self, Bounds, CutError, Cutting, DecodeError, Format, MediaSettings, Piece, Prepared, can_be_split,
};
use crate::queue::{ClaimedTask, Counted, PieceRow, QueueError};
use crate::task::{Amount, Cause, Endpoint, Identity, Measured, Stretch, TaskId, Verdict};
use crate::velma::{self, Part, Response, StagedAudio, TransportError, Unreadable};

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

impl Bench {
    /// Writes what comes next of a recording that is encoded anew, which is then ready to be sent. When the run stops
    /// meanwhile, it is left alone.
    pub(super) async fn cut_next(
        &self,
        task: &ClaimedTask,
        ready: &mut Ready,
        cutting: Cutting,
        facts: &mut Facts,
    ) -> Result<File, TransportError> {
        let earlier = self.answered(task.id, ready.identity.as_ref()).await;
        let earlier = self.paid_for(task.id, earlier)?;
        let bounds = self.bounds();
        let about = cutting.about(bounds);
        let (after, scratch) = (earlier.last().map(|piece| piece.stretch.clone()), Arc::clone(&self.scratch));
        let cut = tokio::task::spawn_blocking(move || {
            // Without a name: whatever happens, nothing of it is left.
            let file = tempfile::tempfile_in(&*scratch)?;
            cutting.piece(after.as_ref(), bounds, file)
        });
        let cut = tokio::select! {
            cut = cut => cut,
            // Nothing would be sent of it, so nobody waits for it.
            () = self.stop.drain.cancelled() => return Err(TransportError::Aborted),
        };
        let Piece { file, bytes, stretch, ends } = match cut {
            Ok(cut) => cut.map_err(|error| uncut(error, self.endpoint))?,
            Err(panic) => {
                return Err(TransportError::Undecodable(format!("cutting it met a bug: {panic}")));
            }
        };
        if !ready.prepared.is_fresh() {
            return Err(TransportError::SourceChanged("it was written to while it was encoded".to_owned()));
        }
        facts.sent_ms = stretch.sent_ms();
        let (format, media) = (ready.prepared.format, self.media.clone());
        facts.pieces = Some(Pieces { earlier, stretch, about, ends, format, media });
        ready.prepared.len = bytes;
        Ok(file)
    }

    /// What was answered of a recording so far. Of another content or with other options it is void.
    async fn answered(&self, task: TaskId, identity: Option<&Identity>) -> Result<Vec<PieceRow>, QueueError> {
        let known = self.store.pieces(task).await?;
        let is_whole = known.iter().all(|piece| Some(&piece.identity) == identity);
        Ok(if is_whole { known } else { Vec::new() })
    }

    /// Reserves no more for a recording that goes out in pieces than the next one can hold: what is stored is paid for.
    pub(super) async fn reserve_next(&self, ready: &mut Ready) -> Result<(), QueueError> {
        let earlier = self.answered(ready.candidate.id, ready.identity.as_ref()).await?;
        let last = earlier.last().map(|piece| &piece.stretch);
        ready.most_ms = ready.most_ms.min(left_ms(ready.measured, last, self.bounds().overlap_ms));
        Ok(())
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
        if ready.prepared.cutting.is_some() || terms.learned_ms == ready.terms.learned_ms {
            return false;
        }
        let Prepared { format, len, .. } = ready.prepared;
        let fate = media::fate(Some(ready.measured), format, len, self.endpoint, &self.media, terms);
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
}

/// How much of a recording, or of the channel that comes next, is left after a piece, with what was heard before.
fn left_ms(measured: Measured, last: Option<&Stretch>, overlap_ms: u64) -> u64 {
    let all = measured.duration_ms;
    match last {
        // Of what is only guessed nobody knows how much is left.
        Some(last) if measured.is_certain() && !last.is_last => {
            all.saturating_sub(last.own_ms().end).saturating_add(overlap_ms).min(all)
        }
        _ => all,
    }
}

fn uncut(error: CutError, endpoint: Endpoint) -> TransportError {
    match error {
        CutError::TooLarge(_) if can_be_split(endpoint) => {
            let mend = "allow more, by max_minutes under its [limits] or max_file_size under [scan]";
            TransportError::Oversize(format!("a request takes too little for a piece of it: {mend}"))
        }
        CutError::TooLarge(_) => {
            let mend = "make it smaller, for example `ffmpeg -i IN -vn -ac 1 -ar 16000 OUT.flac`";
            TransportError::Oversize(format!("{error}, and {endpoint} takes no pieces: {mend}"))
        }
        CutError::Decode(DecodeError::Io(error)) => TransportError::SourceRead(error.to_string()),
        CutError::Decode(DecodeError::Undecodable(what)) => TransportError::Undecodable(what),
        CutError::Write(error) => TransportError::Storage(format!("a piece of it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_not_reserved_again_unless_nobody_knows_how_much_is_left() {
        let after = |end, is_last| Stretch { rate: 1000, channel: 1, heard: 0..end, own: 0..end, is_last };
        let whole = Measured::header(10_000);
        assert_eq!(left_ms(whole, None, 500), 10_000);
        assert_eq!(left_ms(whole, Some(&after(9000, false)), 0), 1000);
        assert_eq!(left_ms(whole, Some(&after(9000, false)), 500), 1500);
        assert_eq!(left_ms(whole, Some(&after(400, false)), 500), 10_000, "no more than there is");
        assert_eq!(left_ms(whole, Some(&after(10_000, true)), 0), 10_000, "the next channel");
        assert_eq!(left_ms(Measured::estimated(10_000), Some(&after(9000, false)), 0), 10_000);
    }
}
