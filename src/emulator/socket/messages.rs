//! What a connection is told: previews while the audio comes in, the results once it has ended, `done`. The results
//! are those of the batch twin, cut into messages.

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::super::answer::{self, Basis};
use super::super::payload;
use super::super::transcript::{CONFESSION, Tags, Transcript};
use super::query::Asked;
use super::settings::Sockets;
use super::stream::Stream;
use super::track::Track;

/// How much audio lies between previews.
const PREVIEW_MS: u64 = 1500;

/// A message of the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Text(Value),
    Audio(Bytes),
}

impl Said {
    /// `{"type": …, …}` with the fields of an object.
    fn typed(kind: &str, fields: Value) -> Said {
        let mut message = Map::new();
        message.insert("type".into(), kind.into());
        if let Value::Object(fields) = fields {
            message.extend(fields);
        }
        Said::Text(Value::Object(message))
    }

    /// An object under the name of its kind, or its fields beside the kind.
    fn wrapped(kind: &str, object: Value, flat: bool) -> Said {
        Said::typed(kind, if flat { object } else { json!({ kind: object }) })
    }

    pub(super) fn error(words: &str) -> Said {
        Said::typed("error", json!({ "error": words }))
    }
}

/// What has been told before the end.
#[derive(Debug, Default)]
pub(super) struct Live {
    previews: u64,
    frames: usize,
}

impl Live {
    /// What there is to tell after another piece of audio.
    pub(super) fn next(
        &mut self,
        stream: Stream,
        asked: &Asked,
        track: &Track,
        basis: &Setting,
    ) -> Vec<Said> {
        if stream == Stream::SyntheticVoice {
            return self.frames(track, asked, basis);
        }
        let due = track.played_ms() / PREVIEW_MS;
        if stream == Stream::Redaction || !asked.partials || due <= self.previews {
            return Vec::new();
        }
        self.previews = due;
        vec![preview(stream, due, basis.sockets.flat_messages)]
    }

    /// Verdicts on windows that are complete. Only raw audio can be told before its end.
    fn frames(&mut self, track: &Track, asked: &Asked, setting: &Setting) -> Vec<Said> {
        let Some(sound) = track.so_far() else { return Vec::new() };
        if sound.duration_ms as usize / (super::super::audio::WINDOW_MS as usize) <= self.frames {
            return Vec::new();
        }
        let sha256 = track.head_hex();
        let transcript = Transcript::of(&sha256, sound.duration_ms);
        let basis = setting.basis(asked, &sha256, &sound, &transcript);
        self.rest(&frames_of(&basis))
    }

    /// Those that have not been told yet.
    fn rest(&mut self, frames: &[Value]) -> Vec<Said> {
        let rest = frames.get(self.frames..).unwrap_or_default();
        self.frames = frames.len().max(self.frames);
        rest.iter().map(|frame| Said::wrapped("frame", frame.clone(), false)).collect()
    }
}

/// What of the settings messages depend on.
pub(super) struct Setting {
    pub(super) contract: super::super::settings::Contract,
    pub(super) shape: super::super::settings::Shape,
    pub(super) sockets: Sockets,
}

impl Setting {
    pub(super) fn basis<'a>(
        &self,
        asked: &'a Asked,
        sha256: &'a str,
        sound: &'a super::super::audio::Sound,
        transcript: &'a Transcript,
    ) -> Basis<'a> {
        Basis {
            contract: self.contract,
            shape: self.shape,
            options: &asked.options,
            file_name: "",
            sha256,
            sound,
            transcript,
        }
    }
}

/// Everything after the end of the audio: results, then `done` and what may follow it.
pub(super) struct Results {
    pub(super) said: Vec<Said>,
    pub(super) done: Vec<Said>,
}

/// `disorder`: utterances do not come in the order of their times.
pub(super) fn results(
    stream: Stream,
    asked: &Asked,
    basis: &Basis<'_>,
    sockets: &Sockets,
    mut live: Live,
    disorder: bool,
) -> Results {
    let total = basis.sound.duration_ms;
    let mut done = json!({ "duration_ms": total });
    let mut after = Vec::new();
    // Without audio nothing was said.
    let spoken = |list: Value| match list {
        Value::Array(items) if total > 0 => shuffled(items, disorder),
        _ => Vec::new(),
    };
    let said = match stream {
        Stream::Transcription => {
            let utterances = answer::answer(stream.twin(), basis)["utterances"].take();
            let wrap = |utterance| Said::wrapped("utterance", utterance, sockets.flat_messages);
            spoken(utterances).into_iter().map(wrap).collect()
        }
        Stream::English => english(asked, basis, sockets.flat_messages),
        Stream::SyntheticVoice => {
            let frames = frames_of(basis);
            done["frame_count"] = json!(frames.len());
            live.rest(&frames)
        }
        Stream::Redaction => {
            let utterances = answer::answer(stream.twin(), basis)["utterances"].take();
            let mut clips = Clips { told_ms: 0, silent: basis.ranges() };
            let said = spoken(utterances).into_iter().flat_map(|said| clips.utterance(said)).collect();
            let (trailing, clip) = clips.until(total);
            done["trailing_redacted_audio"] = trailing;
            after.extend(clip);
            said
        }
        Stream::Conversation => conversation(answer::answer(stream.twin(), basis), asked, disorder, total),
    };
    if basis.shape.extra_fields {
        done["emulated"] = json!({ "undocumented": true });
    }
    let done = std::iter::once(Said::typed("done", done)).chain(after).collect();
    Results { said, done }
}

/// Neighbours change places.
fn shuffled<T>(mut items: Vec<T>, disorder: bool) -> Vec<T> {
    if disorder {
        items.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    items
}

fn frames_of(basis: &Basis<'_>) -> Vec<Value> {
    if basis.sound.duration_ms < answer::SHORTEST_VOICE_MS {
        return Vec::new();
    }
    match answer::answer(Stream::SyntheticVoice.twin(), basis)["frames"].take() {
        Value::Array(frames) => frames,
        _ => Vec::new(),
    }
}

fn english(asked: &Asked, basis: &Basis<'_>, flat: bool) -> Vec<Said> {
    let texts: Vec<String> = match (asked.endpointing, basis.sound.duration_ms) {
        (_, 0) => Vec::new(),
        (true, _) => basis.transcript.utterances.iter().map(|said| said.shown(Tags::Off)).collect(),
        (false, _) => vec![basis.text(Tags::Off)],
    };
    let wrap = |text| Said::wrapped("utterance", json!({ "text": text, "is_final": true }), flat);
    texts.into_iter().map(wrap).collect()
}

/// A preview grows, and takes the place of the one before it.
fn preview(stream: Stream, number: u64, flat: bool) -> Said {
    let words: Vec<_> = CONFESSION.split(' ').take(number as usize * 3).collect();
    let text = words.join(" ");
    match stream {
        Stream::English => {
            Said::wrapped("partial_utterance", json!({ "text": text, "is_final": false }), flat)
        }
        Stream::Conversation => {
            let id = "00000000-0000-4000-8000-000000000000";
            let clip = json!({
                "clip_uuid": id, "text": text, "start_ms": 0, "end_ms": null, "speaker_label": null,
                "emotion": null, "accent": null, "deepfake_score": null,
            });
            Said::wrapped("partial_clip", clip, false)
        }
        _ => {
            let utterance = json!({
                "text": text, "start_ms": 0, "speaker": null, "emotion": null, "accent": null,
                "deepfake_score": null,
            });
            Said::wrapped("partial_utterance", utterance, flat)
        }
    }
}

/// The redacted audio, piece by piece.
struct Clips {
    told_ms: u64,
    silent: Vec<[u64; 2]>,
}

impl Clips {
    /// An utterance and, unless an earlier one has covered it, the audio up to its end.
    fn utterance(&mut self, utterance: Value) -> Vec<Said> {
        let number = |key: &str| utterance[key].as_u64();
        let start = number("start_ms").unwrap_or_default();
        let end = number("end_ms").unwrap_or(start + number("duration_ms").unwrap_or_default());
        let (range, clip) = self.until(end);
        let message = Said::typed("utterance", json!({ "utterance": utterance, "redacted_audio": range }));
        std::iter::once(message).chain(clip).collect()
    }

    fn until(&mut self, end_ms: u64) -> (Value, Option<Said>) {
        if end_ms <= self.told_ms {
            return (Value::Null, None);
        }
        let (start, length) = (self.told_ms, end_ms - self.told_ms);
        let shift = |at: u64| at.saturating_sub(start).min(length);
        let silent = self.silent.iter().map(|[from, to]| [shift(*from), shift(*to)]);
        let clip = payload::clip(length, silent.filter(|[from, to]| from < to).collect());
        self.told_ms = end_ms;
        (json!({ "start_ms": start, "duration_ms": length }), Some(Said::Audio(clip)))
    }
}

/// Clips first, then what was made of all of them.
fn conversation(mut answer: Value, asked: &Asked, disorder: bool, total: u64) -> Vec<Said> {
    if total == 0 {
        return Vec::new();
    }
    let mut list = |key: &str| match answer[key].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let clips = list("clips");
    // A clip is told first without what takes longer to find out.
    let update = asked.options.emotion || asked.options.accent;
    let updates: Vec<_> = clips
        .iter()
        .filter(|_| update)
        .map(|clip| {
            let change = json!({
                "clip_uuid": clip["clip_uuid"], "emotion": clip["emotion"], "accent": clip["accent"],
            });
            Said::wrapped("clip_update", change, false)
        })
        .collect();
    let first = |mut clip: Value| {
        if update {
            clip["emotion"] = Value::Null;
            clip["accent"] = Value::Null;
        }
        Said::wrapped("clip", clip, false)
    };
    let mut said: Vec<Said> = shuffled(clips, disorder).into_iter().map(first).collect();
    said.extend(updates);
    let roles = list("participant_role_picks");
    let behaviours = list("behaviors");
    let topics = list("topics");
    let sentiments = list("topic_sentiments");
    if !answer["conversation_type_pick"].is_null() {
        said.push(Said::typed(
            "conversation_type",
            json!({ "pick": answer["conversation_type_pick"].take() }),
        ));
    }
    said.extend(roles.into_iter().map(|pick| Said::typed("participant_role", json!({ "pick": pick }))));
    let detection = |found| Said::typed("behavior_detection", json!({ "detection": found }));
    said.extend(behaviours.into_iter().map(detection));
    if !topics.is_empty() {
        said.push(Said::typed("topics", json!({ "topics": topics })));
    }
    said.extend(sentiments.into_iter().map(|one| Said::wrapped("topic_sentiment", one, false)));
    if let Value::String(text) = answer["summary"].take() {
        said.push(Said::typed("summary", json!({ "text": text })));
    }
    said
}
