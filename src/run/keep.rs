//! What is known of a recording before it is sent, and how a good answer becomes what is stored.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Work;
use super::audio::{self, Unkept};
use super::pieces::Pieces;
use super::ready::Ready;
use crate::media;
use crate::queue::{AudioFacts, Made, NewResult, RedactedAudio, Request};
use crate::task::{
    Amount, Billed, Cause, DurationMethod, Endpoint, Failure, Measured, Money, RecordingPath, Said,
    Suspicion, Timestamp, Verdict, options_key, options_over, suspicions, when_empty,
};
use crate::velma::{self, Answer, Exchange, StagedAudio};

/// Read where it arrives: handing it to another thread would cost more.
const SMALL_ANSWER: usize = 32 << 10;

/// What is known of a recording before it is sent, and told about it afterwards.
pub(super) struct Facts {
    pub(super) bytes: u64,
    format: &'static str,
    mime: &'static str,
    pub(super) measured: Measured,
    price: Option<Money>,
    pub(super) audio_place: PathBuf,
    pub(super) work: Arc<Work>,
    /// Options of its own.
    own: Option<String>,
    /// Of the recording itself, when something else goes out.
    blake3: Option<String>,
    /// How much audio goes out, in milliseconds, when that is not all of it.
    pub(super) sent_ms: u64,
    /// Of a recording that is encoded anew.
    pub(super) pieces: Option<Pieces>,
    recording: RecordingPath,
    /// This is the second time, after an empty answer.
    pub(super) resent: bool,
}

impl Facts {
    pub(super) fn of(ready: &Ready) -> Self {
        Facts {
            bytes: ready.prepared.len,
            format: ready.prepared.format.word(),
            mime: ready.prepared.mime,
            blake3: ready.blake3.clone().filter(|_| ready.next.is_some()),
            sent_ms: ready.measured.duration_ms,
            pieces: None,
            recording: ready.candidate.path.clone(),
            resent: ready.candidate.decoded,
            measured: ready.measured,
            price: ready.work.price,
            audio_place: ready.work.job.redacted_audio_of(&ready.candidate.path),
            work: Arc::clone(&ready.work),
            own: ready.candidate.options.clone(),
        }
    }

    /// Longer than the recording for certain: what is said to last so long is nonsense.
    fn most_ms(&self) -> u64 {
        self.measured.duration_ms.saturating_mul(4).saturating_add(10 * 60_000)
    }
}

/// Counts, while it is being sent, how long a recording is whose headers do not tell and which nobody has measured.
pub(super) fn counting(ready: &Ready) -> Option<JoinHandle<Measured>> {
    let is_open =
        !ready.measured.is_certain() && ready.candidate.measured.is_none() && ready.prepared.whole.is_none();
    let file = is_open.then(|| ready.prepared.file.try_clone().ok())??;
    let (format, len) = (ready.prepared.format, ready.prepared.len);
    Some(tokio::task::spawn_blocking(move || media::measure(&file, format, len)))
}

/// Turns a good answer into what is stored. Audio that came with it takes its place before the task succeeds.
pub(super) async fn keep_answer(
    endpoint: Endpoint,
    verdict: Verdict,
    exchange: Exchange,
    started_at: Timestamp,
    facts: Facts,
) -> (Verdict, Option<NewResult>, Request) {
    let mut request = Request {
        started_at: Some(started_at),
        bytes_sent: exchange.bytes_sent,
        request_id: exchange.request_id,
        http_status: exchange.outcome.as_ref().ok().map(|a| a.status),
        job_over: false,
    };
    let (Verdict::Success, Ok(answer)) = (&verdict, exchange.outcome) else {
        return (verdict, None, request);
    };
    let is_small = answer.audio.is_none() && answer.body.len() <= SMALL_ANSWER && facts.pieces.is_none();
    let (listening, settings) = (facts.work.job.source_of(&facts.recording), facts.work.suspect.clone());
    let keep = move || new_result(endpoint, answer, exchange.blake3, &facts);
    let kept = if is_small {
        keep()
    } else {
        // Reading a large answer and waiting for the disk are no work for the threads that feed uploads.
        let keeping = tokio::task::spawn_blocking(keep).await;
        keeping.unwrap_or_else(|panic| Err(Unkept::Audio(format!("reading it met a bug of ours: {panic}"))))
    };
    match kept {
        Ok((mut result, is_empty)) => {
            if is_empty && settings.enabled {
                let listen = move || media::loud_ms(&listening, settings.silence_db).map(|ms| (ms, settings));
                let heard = tokio::task::spawn_blocking(listen).await.ok().flatten();
                result.suspicions.extend(heard.and_then(|(ms, settings)| when_empty(ms, &settings)));
            }
            (Verdict::Success, Some(result), request)
        }
        Err(unkept) => {
            request.http_status = Some(200);
            let (cause, message) = match unkept {
                Unkept::Storage(message) => (Cause::LocalStorage, message),
                Unkept::Audio(what) => (Cause::BadAnswer, format!("the answer cannot be used: {what}")),
            };
            let failure = Failure::answered(cause, 200, message, Billed::Yes);
            (Verdict::Transient(failure), None, request)
        }
    }
}

/// With whether it is empty: then somebody should listen to the recording.
fn new_result(
    endpoint: Endpoint,
    answer: Answer,
    blake3: Option<String>,
    facts: &Facts,
) -> Result<(NewResult, bool), Unkept> {
    let mut response = velma::read(endpoint, &answer).map_err(|e| Unkept::Storage(e.to_string()))?;
    let unsent = || Unkept::Storage("the recording was answered before it was wholly sent".to_owned());
    let blake3 = blake3.ok_or_else(unsent)?;
    let blake3 = facts.blake3.clone().unwrap_or(blake3);
    let pieces = facts.pieces.as_ref().filter(|pieces| pieces.goes_on() || !pieces.earlier.is_empty());
    let own_ms = response.duration_ms;
    if let Some(pieces) = pieces.filter(|pieces| !pieces.goes_on()) {
        response = pieces.join(endpoint, &response.json).map_err(|e| Unkept::Audio(e.to_string()))?;
    }
    let goes_on = pieces.is_some_and(Pieces::goes_on);
    let (suspicions, is_empty) =
        if goes_on { (Vec::new(), false) } else { oddities(endpoint, &response, facts) };
    let made = Made {
        identity: Some(facts.work.identity(&blake3, facts.own.as_deref())),
        options_key: options_key(&facts.work.job.options),
        options: facts.own.clone(),
    };
    let redacted_audio = match answer.audio {
        // What came for a piece is of no use: the whole is silenced at the end.
        Some(audio) if !goes_on => Some(keep_audio(audio, &response, pieces, &blake3, facts)?),
        _ => None,
    };
    // Answers without a duration are billed all the same: then by our own estimate.
    let counted = pieces.filter(|pieces| !pieces.goes_on()).map(Pieces::counted).unwrap_or_default();
    let own = Amount::of(own_ms.unwrap_or(facts.sent_ms), facts.price);
    let result = NewResult {
        duration_ms: response.duration_ms,
        billed_ms: counted.billed.audio_ms.saturating_add(own.audio_ms),
        cost: counted.billed.cost + own.cost,
        measured: Some(if goes_on { Measured::header(facts.sent_ms) } else { facts.measured }),
        response: response.json,
        audio: AudioFacts {
            bytes: facts.bytes,
            blake3,
            format: facts.format.to_owned(),
            mime: facts.mime.to_owned(),
        },
        redacted_audio,
        made,
        suspicions,
        piece: pieces.filter(|pieces| pieces.goes_on()).map(|pieces| pieces.stretch.clone()),
        counted,
    };
    Ok((result, is_empty))
}

/// Puts redacted audio in its place: what came, or the recording itself with all that its pieces silence.
fn keep_audio(
    audio: StagedAudio,
    response: &velma::Response,
    pieces: Option<&Pieces>,
    blake3: &str,
    facts: &Facts,
) -> Result<RedactedAudio, Unkept> {
    let (job, own_place) = (&facts.work.job, &facts.audio_place);
    let (audio, place) = match pieces {
        None => (audio::whole(audio, response.duration_ms, facts.most_ms())?, own_place.clone()),
        Some(pieces) => {
            let source = job.source_of(&facts.recording);
            let gone = |error| {
                Unkept::Audio(format!("the recording is needed once more, and cannot be read: {error}"))
            };
            let mut original = File::open(&source).map_err(gone)?;
            let silenced = pieces.silence(audio, &source, &response.transcript.redaction_ranges)?;
            let mut hash = blake3::Hasher::new();
            hash.update_reader(&mut original).map_err(gone)?;
            if hash.finalize().to_hex().as_str() != blake3 {
                let what = "the recording was written to while its pieces were away";
                return Err(Unkept::Audio(what.to_owned()));
            }
            (silenced, job.redacted_audio_as(&facts.recording, Pieces::AUDIO))
        }
    };
    let (bytes, sha256) = (audio.bytes, audio.sha256.clone());
    audio.persist(&place)?;
    let relative = place.strip_prefix(&job.output).unwrap_or(&place);
    Ok(RedactedAudio { path: RecordingPath::from(relative), bytes, sha256 })
}

/// What is odd about an answer, and whether it has no words.
fn oddities(endpoint: Endpoint, response: &velma::Response, facts: &Facts) -> (Vec<Suspicion>, bool) {
    let transcript = &response.transcript;
    let said: Vec<Said<'_>> = transcript
        .utterances
        .iter()
        .map(|u| Said { text: u.text.as_deref().unwrap_or_default(), language: u.language.as_deref() })
        .collect();
    let options = match &facts.own {
        Some(own) => &options_over(&facts.work.job.options, Some(own)),
        None => &facts.work.job.options,
    };
    let measured = facts.measured;
    let language = ["/language", "/config/language", "/config/stt/language"];
    let heard = crate::task::Heard {
        endpoint,
        returned_ms: response.duration_ms,
        measured_ms: (measured.method != DurationMethod::Estimated).then_some(measured.duration_ms),
        text: transcript.text.as_deref(),
        said: &said,
        language: language.iter().find_map(|place| options.pointer(place)?.as_str()),
        redactions: transcript.redaction_ranges.len(),
    };
    (suspicions(&heard, &facts.work.suspect), heard.is_empty())
}
