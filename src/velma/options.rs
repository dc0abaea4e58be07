//! The options that each endpoint takes, checked before a run begins so that a slip of the pen costs nothing.
//! Reads JSON values; where they come from is the configuration's business, how they travel `request`'s.

use std::fmt;

use serde_json::{Map, Value};

use crate::task::Endpoint;

mod conversation;
#[cfg(test)]
mod tests;

const SWITCHES: &[&str] =
    &["speaker_diarization", "emotion_signal", "accent_signal", "deepfake_signal", "pii_phi_tagging"];
const VOICE_SWITCHES: &[&str] = &["emotion_signal", "accent_signal", "deepfake_signal"];
const STT_KEYS: &[&str] = &[
    "speaker_diarization",
    "emotion_signal",
    "accent_signal",
    "deepfake_signal",
    "pii_phi_tagging",
    "language",
    "custom_terms",
    "config",
];
const STT_CONFIG_KEYS: &[&str] = &[
    "speaker_diarization",
    "emotion_signal",
    "accent_signal",
    "deepfake_signal",
    "pii_phi_tagging",
    "language",
    "custom_terms",
];
const TERM_KEYS: &[&str] = &["term", "definition", "pronunciations"];
const REDACTION_KEYS: &[&str] =
    &["speaker_diarization", "start_redaction_padding_ms", "end_redaction_padding_ms", "language"];
const LANGUAGE_KEYS: &[&str] = &["language"];
const SERIES_KEYS: &[&str] = &["training_permitted", "use_ensemble"];
const PLATFORM_KEYS: &[&str] = &["emotion_annotation", "demographics"];
const BATCH_KEYS: &[&str] = &["config"];
const STT_STREAM_KEYS: &[&str] = &[
    "speaker_diarization",
    "emotion_signal",
    "accent_signal",
    "deepfake_signal",
    "pii_phi_tagging",
    "language",
    "custom_terms",
    "config",
    "realtime",
];
const ENGLISH_STREAM_KEYS: &[&str] = &["endpointing", "realtime"];
const REDACTION_STREAM_KEYS: &[&str] = &[
    "speaker_diarization",
    "start_redaction_padding_ms",
    "end_redaction_padding_ms",
    "language",
    "realtime",
];
const BATCH_STREAM_KEYS: &[&str] = &["config", "realtime"];
const STREAM_KEYS: &[&str] = &["realtime"];
const TERMS_MAX: usize = 1000;
const TERMS_JSON_MAX: usize = 8000;
const DEFINITION_MAX: usize = 256;
const PRONUNCIATIONS_MAX: usize = 16;
const PRONUNCIATION_MAX: usize = 128;

/// Names that people write where the API wants a code.
const LANGUAGES: &[(&str, &str)] = &[
    ("arabic", "ar"),
    ("chinese", "zh"),
    ("czech", "cs"),
    ("danish", "da"),
    ("deutsch", "de"),
    ("dutch", "nl"),
    ("english", "en"),
    ("finnish", "fi"),
    ("french", "fr"),
    ("german", "de"),
    ("greek", "el"),
    ("hebrew", "he"),
    ("hindi", "hi"),
    ("hungarian", "hu"),
    ("italian", "it"),
    ("japanese", "ja"),
    ("korean", "ko"),
    ("mandarin", "zh"),
    ("norwegian", "no"),
    ("polish", "pl"),
    ("portuguese", "pt"),
    ("romanian", "ro"),
    ("russian", "ru"),
    ("spanish", "es"),
    ("swedish", "sv"),
    ("thai", "th"),
    ("turkish", "tr"),
    ("ukrainian", "uk"),
    ("vietnamese", "vi"),
];

/// What is sent beside the file. The default sends nothing, and the API's own defaults hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    fields: Vec<Field>,
    /// Of a stream: no faster than the recording was spoken.
    realtime: bool,
    hears_voices: bool,
    presets: Vec<PresetUse>,
}

/// A preset that is named, and where. Which there are, only the API knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetUse {
    /// The dotted path inside the options: `config.behaviors[3]`.
    pub key: String,
    /// The preset's identifier.
    pub id: String,
}

/// One field of the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether the part is marked `application/json`.
    pub(super) json: bool,
}

/// An option that the endpoint does not take, or not like that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionError {
    /// Where: a dotted path inside the options, `config.custom_terms[3].term`; empty for the options as a whole.
    pub key: String,
    /// What is wrong, fit to follow the key.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "options: {}", self.problem)?,
            key => write!(f, "option `{key}` {}", self.problem)?,
        }
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OptionError {}

impl Options {
    /// Checks the options of a job. `null` counts as no options. The first problem found is the error.
    pub fn parse(endpoint: Endpoint, value: &Value) -> Result<Options, OptionError> {
        let none = Map::new();
        let given = match value {
            Value::Null => &none,
            Value::Object(given) => given,
            other => return Err(wrong("", format!("must be a table, not {}", kind(other)))),
        };
        let keys = Options::keys(endpoint);
        for key in given.keys() {
            if keys.is_empty() {
                return Err(wrong(key, format!("is not known: {endpoint} takes no options")));
            }
            known("", key, keys, endpoint.name())?;
        }
        let mut presets = Vec::new();
        let fields = match endpoint {
            Endpoint::SttBatch | Endpoint::SttStreaming => stt(given)?,
            Endpoint::PiiPhiRedactionBatch
            | Endpoint::PiiPhiRedactionStreaming
            | Endpoint::SttBatchMultilingualVfast => plain(given)?,
            Endpoint::Batch | Endpoint::Streaming => batch(given, &mut presets)?,
            Endpoint::EmotionBatch | Endpoint::AccentBatch => series(given)?,
            Endpoint::SttStreamingEnglishV2 => switches(&["endpointing"], given)?,
            Endpoint::PlatformBatch => switches(PLATFORM_KEYS, given)?,
            Endpoint::SttBatchEnglishVfast
            | Endpoint::SyntheticVoiceDetectionBatch
            | Endpoint::SyntheticVoiceDetectionStreaming
            | Endpoint::LanguageDetectionBatch
            | Endpoint::MusicDetectionBatch
            | Endpoint::AiMusicDetectionBatch => Vec::new(),
        };
        let realtime = given.get("realtime").filter(|v| !v.is_null());
        let realtime = realtime.map(|value| boolean("realtime", value)).transpose()?.unwrap_or(false);
        Ok(Options { fields, presets, realtime, hears_voices: hears_voices(value) })
    }

    /// The names of the options that the endpoint takes; empty when it takes none.
    pub fn keys(endpoint: Endpoint) -> &'static [&'static str] {
        match endpoint {
            Endpoint::SttBatch => STT_KEYS,
            Endpoint::PiiPhiRedactionBatch => REDACTION_KEYS,
            Endpoint::SttBatchMultilingualVfast => LANGUAGE_KEYS,
            Endpoint::Batch => BATCH_KEYS,
            Endpoint::EmotionBatch | Endpoint::AccentBatch => SERIES_KEYS,
            Endpoint::PlatformBatch => PLATFORM_KEYS,
            Endpoint::SttBatchEnglishVfast
            | Endpoint::SyntheticVoiceDetectionBatch
            | Endpoint::LanguageDetectionBatch
            | Endpoint::MusicDetectionBatch
            | Endpoint::AiMusicDetectionBatch => &[],
            Endpoint::SttStreaming => STT_STREAM_KEYS,
            Endpoint::SttStreamingEnglishV2 => ENGLISH_STREAM_KEYS,
            Endpoint::SyntheticVoiceDetectionStreaming => STREAM_KEYS,
            Endpoint::PiiPhiRedactionStreaming => REDACTION_STREAM_KEYS,
            Endpoint::Streaming => BATCH_STREAM_KEYS,
        }
    }

    /// Whether a stream goes no faster than the recording was spoken.
    pub(super) fn realtime(&self) -> bool {
        self.realtime
    }

    /// Whether each pause ends an utterance.
    pub(super) fn endpointing(&self) -> bool {
        self.fields.iter().any(|field| field.name == "endpointing" && field.value == "true")
    }

    /// Whether they ask how a voice sounds, and not only what it says.
    pub fn hears_voices(&self) -> bool {
        self.hears_voices
    }

    /// The presets that are named.
    pub fn presets(&self) -> &[PresetUse] {
        &self.presets
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }
}

/// Wherever such a switch stands.
fn hears_voices(value: &Value) -> bool {
    let is_asked = |(key, value): (&String, &Value)| {
        VOICE_SWITCHES.contains(&key.as_str()) && value == &Value::Bool(true) || hears_voices(value)
    };
    value.as_object().is_some_and(|table| table.iter().any(is_asked))
}

/// Switches, language and paddings, each a form field of its own.
fn plain(given: &Map<String, Value>) -> Result<Vec<Field>, OptionError> {
    let mut fields = Vec::new();
    for &name in STT_KEYS.iter().chain(REDACTION_KEYS) {
        let Some(value) = given.get(name).filter(|v| !v.is_null()) else { continue };
        let value = match name {
            "language" => language(name, value)?,
            "start_redaction_padding_ms" | "end_redaction_padding_ms" => match value.as_u64() {
                Some(ms) => ms.to_string(),
                None => return Err(wrong(name, "must be a whole number of milliseconds, 0 or more")),
            },
            switch if SWITCHES.contains(&switch) => boolean(name, value)?.to_string(),
            _ => continue,
        };
        if !fields.iter().any(|f: &Field| f.name == name) {
            fields.push(Field { name, value, json: false });
        }
    }
    Ok(fields)
}

/// The API takes silence for leave to train on what it is sent. Recordings are not ours to give: silence is a no here.
fn series(given: &Map<String, Value>) -> Result<Vec<Field>, OptionError> {
    let mut fields = switches(SERIES_KEYS, given)?;
    if !fields.iter().any(|field| field.name == "training_permitted") {
        fields.push(Field { name: "training_permitted", value: "false".to_owned(), json: false });
    }
    Ok(fields)
}

/// Those of the switches that are set.
fn switches(names: &[&'static str], given: &Map<String, Value>) -> Result<Vec<Field>, OptionError> {
    let mut fields = Vec::new();
    for &name in names {
        if let Some(value) = given.get(name).filter(|value| !value.is_null()) {
            fields.push(Field { name, value: boolean(name, value)?.to_string(), json: false });
        }
    }
    Ok(fields)
}

fn stt(given: &Map<String, Value>) -> Result<Vec<Field>, OptionError> {
    let mut fields = plain(given)?;
    let mut config = match given.get("config") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(config)) => config.clone(),
        Some(other) => return Err(wrong("config", format!("must be a table, not {}", kind(other)))),
    };
    stt_config("config", &config)?;
    // The API lets `config` win silently; a value that is written and not used deserves an error.
    for key in config.keys() {
        if given.contains_key(key) {
            return Err(wrong(key, format!("is given twice: also as `config.{key}`")));
        }
    }
    if let Some(terms) = given.get("custom_terms") {
        custom_terms("custom_terms", terms)?;
        config.insert("custom_terms".to_owned(), terms.clone());
    }
    if !config.is_empty() {
        fields.push(Field { name: "config", value: Value::Object(config).to_string(), json: true });
    }
    Ok(fields)
}

fn stt_config(at: &str, config: &Map<String, Value>) -> Result<(), OptionError> {
    for (key, value) in config {
        known(at, key, STT_CONFIG_KEYS, "the transcription settings")?;
        let path = format!("{at}.{key}");
        match key.as_str() {
            "language" if value.is_null() => {}
            "language" => drop(language(&path, value)?),
            "custom_terms" => custom_terms(&path, value)?,
            _ => drop(boolean(&path, value)?),
        }
    }
    Ok(())
}

fn custom_terms(at: &str, value: &Value) -> Result<(), OptionError> {
    let terms = match value {
        Value::Null => return Ok(()),
        Value::Array(terms) => terms,
        other => return Err(wrong(at, format!("must be a list, not {}", kind(other)))),
    };
    if terms.len() > TERMS_MAX {
        return Err(wrong(at, format!("has {} terms; the API takes at most {TERMS_MAX}", terms.len())));
    }
    for (i, term) in terms.iter().enumerate() {
        let path = format!("{at}[{i}]");
        match term {
            Value::String(term) if term.is_empty() => return Err(wrong(&path, "must not be empty")),
            Value::String(_) => {}
            Value::Object(term) => custom_term(&path, term)?,
            other => {
                return Err(wrong(&path, format!("must be a string or a table, not {}", kind(other))));
            }
        }
    }
    let length = value.to_string().chars().count();
    if length >= TERMS_JSON_MAX {
        let problem = format!("is {length} characters long as JSON; it must stay under {TERMS_JSON_MAX}");
        return Err(wrong(at, problem));
    }
    Ok(())
}

fn custom_term(at: &str, term: &Map<String, Value>) -> Result<(), OptionError> {
    for key in term.keys() {
        known(at, key, TERM_KEYS, "a custom term")?;
    }
    match term.get("term") {
        Some(Value::String(word)) if !word.is_empty() => {}
        Some(Value::String(_)) => return Err(wrong(&format!("{at}.term"), "must not be empty")),
        Some(other) => return Err(not_text(&format!("{at}.term"), other)),
        None => return Err(wrong(at, "lacks `term`")),
    }
    match term.get("definition") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.chars().count() <= DEFINITION_MAX => {}
        Some(Value::String(_)) => {
            let problem = format!("is longer than {DEFINITION_MAX} characters");
            return Err(wrong(&format!("{at}.definition"), problem));
        }
        Some(other) => return Err(not_text(&format!("{at}.definition"), other)),
    }
    let path = format!("{at}.pronunciations");
    let pronunciations = match term.get("pronunciations") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong(&path, format!("must be a list, not {}", kind(other)))),
    };
    if pronunciations.len() > PRONUNCIATIONS_MAX {
        return Err(wrong(&path, format!("has more than {PRONUNCIATIONS_MAX} entries")));
    }
    for (i, entry) in pronunciations.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let Some(text) = entry.as_str() else { return Err(not_text(&path, entry)) };
        if text.is_empty() || text.len() > PRONUNCIATION_MAX || !text.bytes().all(|b| (32..127).contains(&b))
        {
            let problem = format!("must be 1 to {PRONUNCIATION_MAX} printable ASCII characters");
            return Err(wrong(&path, problem));
        }
    }
    Ok(())
}

fn batch(given: &Map<String, Value>, presets: &mut Vec<PresetUse>) -> Result<Vec<Field>, OptionError> {
    let field = |value: String, json| vec![Field { name: "config", value, json }];
    match given.get("config") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(word)) if word == "default" => Ok(field(word.clone(), false)),
        Some(Value::Object(config)) => {
            let (sent, named) = conversation::check("config", config)?;
            *presets = named;
            Ok(field(Value::Object(sent).to_string(), true))
        }
        Some(_) => {
            Err(wrong("config", "must be \"default\", a table, or the name of a file that ends in .json"))
        }
    }
}

fn boolean(at: &str, value: &Value) -> Result<bool, OptionError> {
    value.as_bool().ok_or_else(|| wrong(at, format!("must be true or false, not {}", kind(value))))
}

/// The API's own pattern: `^[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*$`.
fn language(at: &str, value: &Value) -> Result<String, OptionError> {
    let Some(text) = value.as_str() else { return Err(not_text(at, value)) };
    let mut subtags = text.split(['-', '_']);
    let primary = subtags.next().unwrap_or_default();
    let fits = (2..=3).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags.all(|tag| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric()));
    if fits {
        return Ok(text.to_owned());
    }
    let lower = text.trim().to_lowercase();
    if lower == "auto" || lower.is_empty() {
        return Err(wrong(at, "must be a code such as `en`; leave it out to have the language detected"));
    }
    let code = LANGUAGES.iter().find(|(name, _)| *name == lower).map(|(_, code)| *code);
    Err(match code {
        Some(code) => OptionError {
            key: at.to_owned(),
            problem: format!("must be a language code, not `{text}`: use `{code}`"),
            suggestion: Some(code.to_owned()),
        },
        None => wrong(at, "must be a language code of two or three letters, such as `en` or `pt-BR`"),
    })
}

fn known(at: &str, key: &str, keys: &[&str], owner: &str) -> Result<(), OptionError> {
    if keys.contains(&key) {
        return Ok(());
    }
    let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let problem = format!("is not known: {owner} takes {}", keys.join(", "));
    Err(OptionError { key: path, problem, suggestion: nearest(key, keys) })
}

/// The key that was probably meant: one that contains what was written, or one that is spelt nearly so.
pub(super) fn nearest(key: &str, keys: &[&str]) -> Option<String> {
    let key = key.to_lowercase().replace('-', "_");
    if let Some(longer) = keys.iter().find(|k| key.len() >= 4 && k.contains(key.as_str())) {
        return Some((*longer).to_owned());
    }
    keys.iter()
        .map(|k| (strsim::jaro_winkler(&key, k), *k))
        .filter(|(likeness, _)| *likeness >= 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k.to_owned())
}

fn wrong(key: &str, problem: impl Into<String>) -> OptionError {
    OptionError { key: key.to_owned(), problem: problem.into(), suggestion: None }
}

fn not_text(at: &str, value: &Value) -> OptionError {
    wrong(at, format!("must be a string, not {}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
