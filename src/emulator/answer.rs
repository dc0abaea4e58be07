//! Good answers as JSON, from the words, the options and the odd shapes asked for. The same recording and options
//! give the same answer, ids included.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::audio::{Sound, WINDOW_MS};
use super::conversation;
use super::model::Model;
use super::options::Options;
use super::settings::{Contract, Shape};
use super::siblings;
use super::transcript::{Tags, Transcript, Utterance};

/// Below this, voice detection has nothing to go by.
pub(super) const SHORTEST_VOICE_MS: u64 = 500;

/// Everything an answer is made from.
pub(super) struct Basis<'a> {
    pub(super) contract: Contract,
    pub(super) shape: Shape,
    pub(super) options: &'a Options,
    pub(super) file_name: &'a str,
    pub(super) sha256: &'a str,
    pub(super) sound: &'a Sound,
    pub(super) transcript: &'a Transcript,
}

/// The JSON of an answer; for redaction, its metadata part.
pub(super) fn answer(model: Model, basis: &Basis<'_>) -> Value {
    let mut answer = match model {
        Model::Transcription => basis.transcription(),
        Model::EnglishFast | Model::MultilingualFast => {
            json!({ "text": basis.text(Tags::Off), "duration_ms": basis.sound.duration_ms })
        }
        Model::SyntheticVoice => basis.voice(),
        Model::Redaction => basis.redaction(),
        Model::Conversation => conversation::conversation(basis),
        Model::Emotion => siblings::series("emotion", "Neutral", basis),
        Model::Accent => siblings::series("accent", "Unknown", basis),
        Model::Language => siblings::language(basis),
        Model::Music => siblings::music(basis),
        Model::MadeMusic => siblings::made_music(basis),
    };
    if basis.shape.extra_fields {
        answer["emulated"] = json!({ "undocumented": true });
    }
    answer
}

impl Basis<'_> {
    fn transcription(&self) -> Value {
        let tags = if self.options.tagging { Tags::Around } else { Tags::Off };
        let utterances: Vec<_> = self
            .utterances(tags)
            .map(|mut utterance| {
                utterance.extend(self.signals());
                Value::Object(utterance)
            })
            .collect();
        json!({ "text": self.text(tags), "duration_ms": self.sound.duration_ms, "utterances": utterances })
    }

    fn redaction(&self) -> Value {
        let tags = if self.contract == Contract::A { Tags::Bracketed } else { Tags::Emptied };
        let ranges = self.ranges().into_iter().map(|[start, end]| match self.shape.ranges_as_objects {
            true => json!({ "start_ms": start, "end_ms": end }),
            false => json!([start, end]),
        });
        json!({
            "text": self.text(tags),
            "duration_ms": self.sound.duration_ms,
            "utterances": self.utterances(tags).map(Value::Object).collect::<Vec<_>>(),
            "redaction_ranges": ranges.collect::<Vec<_>>(),
        })
    }

    /// Where the redacted audio is silent.
    pub(super) fn ranges(&self) -> Vec<[u64; 2]> {
        let options = self.options;
        self.transcript.private_ranges(
            options.start_padding_ms,
            options.end_padding_ms,
            self.sound.duration_ms,
        )
    }

    fn voice(&self) -> Value {
        let total = self.sound.duration_ms;
        let frames = (0..total.div_ceil(WINDOW_MS)).map(|window| {
            let silent = self.sound.silent_windows.get(window as usize).copied().unwrap_or(false);
            let (verdict, confidence) = match (silent, self.transcript.sample) {
                (true, _) => ("no-content", 1.0),
                (false, true) => ("synthetic", 0.99),
                // Nothing was listened to, so nothing is said with confidence.
                (false, false) if self.digest("voice", window)[0] < 128 => ("synthetic", 0.5),
                (false, false) => ("non-synthetic", 0.5),
            };
            json!({
                "start_time_ms": window * WINDOW_MS,
                "end_time_ms": ((window + 1) * WINDOW_MS).min(total),
                "verdict": verdict,
                "confidence": confidence,
            })
        });
        json!({ "filename": self.file_name, "frames": frames.collect::<Vec<_>>(), "duration_ms": total })
    }

    pub(super) fn text(&self, tags: Tags) -> String {
        let texts: Vec<_> = self.transcript.utterances.iter().map(|said| said.shown(tags)).collect();
        texts.join(" ")
    }

    fn utterances(&self, tags: Tags) -> impl Iterator<Item = Map<String, Value>> {
        (0u64..).zip(&self.transcript.utterances).map(move |(index, said)| {
            let text = said.shown(tags);
            let mut utterance = Map::new();
            if !self.shape.end_ms {
                utterance.insert("utterance_uuid".into(), self.uuid("utterance", index).into());
            }
            utterance.insert("text".into(), text.clone().into());
            utterance.insert("start_ms".into(), said.start_ms.into());
            if self.shape.end_ms {
                utterance.insert("end_ms".into(), (said.start_ms + said.duration_ms).into());
            } else {
                utterance.insert("duration_ms".into(), said.duration_ms.into());
            }
            let speaker = if self.shape.null_speaker { Value::Null } else { self.speaker(said).into() };
            utterance.insert("speaker".into(), speaker);
            utterance.insert("language".into(), self.language().into());
            if self.shape.words {
                utterance.insert("words".into(), words(&text, said));
            }
            utterance
        })
    }

    /// Null when off; what nobody listened for is unknown, neutral, undecided.
    pub(super) fn signals(&self) -> Vec<(String, Value)> {
        let options = self.options;
        let score = match (options.deepfake, self.sound.duration_ms < SHORTEST_VOICE_MS) {
            (false, _) | (true, true) => Value::Null,
            (true, false) => json!(if self.transcript.sample { 0.99 } else { 0.5 }),
        };
        let on = |wanted: bool, word: &str| if wanted { json!(word) } else { Value::Null };
        let mut signals = vec![
            ("emotion".to_owned(), on(options.emotion, "Neutral")),
            ("accent".to_owned(), on(options.accent, "Unknown")),
        ];
        // The oldest generation knows the score only when asked for it.
        if self.contract != Contract::A || options.deepfake {
            signals.push(("deepfake_score".to_owned(), score));
        }
        signals
    }

    pub(super) fn speaker(&self, utterance: &Utterance) -> u32 {
        if self.options.diarization { utterance.speaker } else { 1 }
    }

    pub(super) fn language(&self) -> &str {
        self.options.language.as_deref().unwrap_or("en")
    }

    pub(super) fn digest(&self, what: &str, index: u64) -> [u8; 32] {
        let hash = Sha256::new().chain_update(self.sha256).chain_update(what);
        hash.chain_update(index.to_le_bytes()).finalize().into()
    }

    pub(super) fn uuid(&self, what: &str, index: u64) -> String {
        let digest = self.digest(what, index);
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// Words spread evenly over their utterance.
fn words(text: &str, said: &Utterance) -> Value {
    let words: Vec<_> = text.split_whitespace().collect();
    let count = words.len().max(1) as u64;
    let timed = (0u64..).zip(words).map(|(index, word)| {
        let (from, to) = (said.duration_ms * index / count, said.duration_ms * (index + 1) / count);
        json!({ "text": word, "start_ms": said.start_ms + from, "duration_ms": to - from })
    });
    Value::Array(timed.collect())
}
