//! Good answers as JSON, from the words, the options and the odd shapes asked for. The same recording and options
//! give the same answer, ids included.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::audio::{Sound, WINDOW_MS};
use super::model::Model;
use super::options::Options;
use super::presets;
use super::settings::{Contract, Shape};
use super::siblings;
use super::transcript::{CONFESSION, Tags, Transcript, Utterance};

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
        Model::Conversation => basis.conversation(),
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

    fn conversation(&self) -> Value {
        let tags = if self.options.tagging { Tags::Around } else { Tags::Off };
        let clips: Vec<_> = (0u64..)
            .zip(&self.transcript.utterances)
            .map(|(index, utterance)| {
                let mut clip = Map::new();
                clip.insert("clip_uuid".into(), self.uuid("clip", index).into());
                clip.insert("text".into(), utterance.shown(tags).into());
                clip.insert("start_ms".into(), utterance.start_ms.into());
                clip.insert("duration_ms".into(), utterance.duration_ms.into());
                clip.insert("speaker_label".into(), self.speaker(utterance).to_string().into());
                clip.insert("language".into(), self.language().into());
                clip.extend(self.signals());
                Value::Object(clip)
            })
            .collect();
        let wants = |key: &str| {
            let asked = self.options.examine.as_ref().and_then(|config| config.get(key));
            asked.and_then(Value::as_bool).unwrap_or(true)
        };
        let topics = if wants("produce_topics") { json!(["emulation"]) } else { json!([]) };
        let sentiments = match wants("produce_topic_sentiments") {
            true => json!([{
                "topic": "emulation", "speaker_label": "1", "sentiment_score": 0.0, "sentiment_label": "neutral"
            }]),
            false => json!([]),
        };
        let summary = if wants("produce_summary") { json!(CONFESSION) } else { Value::Null };
        json!({
            "duration_ms": self.sound.duration_ms,
            "clips": clips,
            "conversation_type_pick": self.pick("conversation_types", "conversation_type_uuid"),
            "participant_role_picks": self.roles(),
            "behaviors": self.behaviours(),
            "topics": topics,
            "topic_sentiments": sentiments,
            "summary": summary,
        })
    }

    /// The first candidate; with none given the service's own fallback; none at all for an empty list.
    fn pick(&self, list: &str, id: &str) -> Value {
        let config = self.options.examine.as_ref();
        let candidates = config.and_then(|config| config.get(list)).and_then(Value::as_array);
        let (uuid, name, source) = match candidates {
            Some(candidates) => match candidates.first() {
                Some(first) => (first[id].clone(), first["name"].clone(), "auto_selected_single_option"),
                None => return Value::Null,
            },
            None => (json!(self.uuid(list, 0)), json!("Emulated"), "default"),
        };
        let mut pick = json!({
            id: uuid, "name": name, "confidence": 0.5, "selection_source": source,
            "detail": "Emulated: nothing was listened to.", "reasoning": null,
        });
        if let (Contract::A, Value::Object(pick)) = (self.contract, &mut pick) {
            pick.remove("selection_source");
        }
        pick
    }

    fn roles(&self) -> Value {
        let speakers: std::collections::BTreeSet<_> =
            self.transcript.utterances.iter().map(|utterance| self.speaker(utterance)).collect();
        let picks = speakers.into_iter().filter_map(|speaker| {
            let mut pick = json!({ "speaker_label": speaker.to_string() });
            let Value::Object(role) = self.pick("participant_roles", "participant_role_uuid") else {
                return None;
            };
            pick.as_object_mut()?.extend(role);
            Some(pick)
        });
        Value::Array(picks.collect())
    }

    /// A hash decides which behaviours are "detected", so that both cases occur; only detected ones are listed.
    fn behaviours(&self) -> Value {
        let asked = self.options.examine.as_ref().and_then(|config| config.get("behaviors"));
        let default = vec![json!("preset:complaints"), json!("preset:vishing")];
        let asked = match (asked.and_then(Value::as_array), &self.options.examine) {
            (Some(asked), _) => asked.clone(),
            // An object without behaviours has none evaluated; the literal `default` has the service's own.
            (None, Some(_)) => Vec::new(),
            (None, None) => default,
        };
        let detected = asked.iter().filter_map(|item| {
            let (uuid, name) = match item.as_str().and_then(|text| text.strip_prefix("preset:")) {
                Some(id) => (json!(self.uuid(id, 0)), json!(presets::name(id)?)),
                None => (item["behavior_uuid"].clone(), item["name"].clone()),
            };
            if self.digest(name.as_str()?, 0)[0] >= 128 {
                return None;
            }
            Some(json!({
                "behavior_uuid": uuid, "behavior_name": name, "speaker_label": "1", "detected": true,
                "confidence": 0.5, "evidence_clip_uuids": [self.uuid("clip", 0)], "definitive_clip_uuid": null,
                "reasoning": "Emulated: decided by a hash, not by listening.",
            }))
        });
        Value::Array(detected.collect())
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
    fn signals(&self) -> Vec<(String, Value)> {
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

    fn speaker(&self, utterance: &Utterance) -> u32 {
        if self.options.diarization { utterance.speaker } else { 1 }
    }

    fn language(&self) -> &str {
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
