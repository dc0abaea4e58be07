//! Reads the form's fields into options, as strictly as the published contract allows, configuration included.
//! Says what is refused; leaves what options do to the answers.

use serde_json::{Map, Value};

use super::examination;
use super::form::Form;
use super::model::Model;
use super::refusal::Refusal;

/// What a caller asked for, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub(super) diarization: bool,
    pub(super) emotion: bool,
    pub(super) accent: bool,
    pub(super) deepfake: bool,
    pub(super) tagging: bool,
    /// Primary subtag, lower-case.
    pub(super) language: Option<String>,
    pub(super) start_padding_ms: u64,
    pub(super) end_padding_ms: u64,
    /// Whether the recording may be learnt from; asked for emotion and accent alone.
    pub(super) training: bool,
    /// What a conversation is examined for. None: the service's own defaults.
    pub(super) examine: Option<Map<String, Value>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            diarization: true,
            emotion: false,
            accent: false,
            deepfake: false,
            tagging: false,
            language: None,
            start_padding_ms: 100,
            end_padding_ms: 0,
            // The service's own default: whoever says nothing has permitted it.
            training: true,
            examine: None,
        }
    }
}

impl Options {
    /// Form fields first; a configuration beats them.
    pub(super) fn read(model: Model, form: &Form) -> Result<Self, Refusal> {
        let mut options = Options::default();
        let mut config = None;
        for (name, text) in &form.fields {
            if !model.fields().contains(&name.as_str()) {
                return Err(Refusal::UnknownField(name.clone()));
            }
            let flag = || match text.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Refusal::BadField(name.clone(), "boolean")),
            };
            let number = || text.parse().map_err(|_| Refusal::BadField(name.clone(), "integer"));
            match name.as_str() {
                "speaker_diarization" => options.diarization = flag()?,
                "emotion_signal" => options.emotion = flag()?,
                "accent_signal" => options.accent = flag()?,
                "deepfake_signal" => options.deepfake = flag()?,
                "pii_phi_tagging" => options.tagging = flag()?,
                "start_redaction_padding_ms" => options.start_padding_ms = number()?,
                "end_redaction_padding_ms" => options.end_padding_ms = number()?,
                "training_permitted" => options.training = flag()?,
                // The ensemble would answer the same: nothing is listened to.
                "use_ensemble" => drop(flag()?),
                "language" => options.language = Some(primary_subtag(text)?),
                "config" => config = Some(text),
                _ => return Err(Refusal::UnknownField(name.clone())),
            }
        }
        match (model, config) {
            (Model::Conversation, Some(text)) if text != "default" => options.examine(text)?,
            (Model::Transcription, Some(text)) => options.override_with(&object(text)?)?,
            _ => {}
        }
        Ok(options)
    }

    /// The speech-to-text settings inside a configuration.
    pub(super) fn override_with(&mut self, config: &Map<String, Value>) -> Result<(), Refusal> {
        for (key, value) in config {
            let flag = value.as_bool().ok_or(Refusal::Configuration);
            match key.as_str() {
                "speaker_diarization" => self.diarization = flag?,
                "emotion_signal" => self.emotion = flag?,
                "accent_signal" => self.accent = flag?,
                "deepfake_signal" => self.deepfake = flag?,
                "pii_phi_tagging" => self.tagging = flag?,
                "language" => match value {
                    Value::Null => {}
                    Value::String(text) => self.language = Some(primary_subtag(text)?),
                    _ => return Err(Refusal::Configuration),
                },
                "custom_terms" if custom_terms_are_lawful(value) => {}
                _ => return Err(Refusal::Configuration),
            }
        }
        Ok(())
    }

    /// A conversation's configuration.
    pub(super) fn examine(&mut self, text: &str) -> Result<(), Refusal> {
        let config = object(text)?;
        examination::check(&config)?;
        if let Some(stt) = config.get("stt").and_then(Value::as_object) {
            self.override_with(stt)?;
        }
        self.examine = Some(config);
        Ok(())
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refusal::Configuration),
    }
}

/// Two or three letters, then subtags of letters and digits; only the first counts.
fn primary_subtag(text: &str) -> Result<String, Refusal> {
    let mut subtags = text.split(['-', '_']);
    let first = subtags.next().unwrap_or_default();
    let lawful = (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|tag| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if lawful { Ok(first.to_ascii_lowercase()) } else { Err(Refusal::Language(text.to_owned())) }
}

/// At most 1000 terms, each a string or a described term, under 8000 characters as JSON.
fn custom_terms_are_lawful(value: &Value) -> bool {
    let Value::Array(terms) = value else { return value.is_null() };
    let printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let described = |term: &Map<String, Value>| {
        term.get("term").and_then(Value::as_str).is_some_and(|text| !text.is_empty())
            && term.iter().all(|(key, value)| match key.as_str() {
                "term" => true,
                "definition" => {
                    value.is_null() || value.as_str().is_some_and(|text| text.chars().count() <= 256)
                }
                "pronunciations" => {
                    value.is_null()
                        || value.as_array().is_some_and(|list| {
                            list.len() <= 16
                                && list.iter().all(|item| {
                                    item.as_str().is_some_and(|text| text.len() <= 128 && printable(text))
                                })
                        })
                }
                _ => false,
            })
    };
    terms.len() <= 1000
        && value.to_string().chars().count() < 8000
        && terms.iter().all(|term| match term {
            Value::String(text) => !text.is_empty(),
            Value::Object(term) => described(term),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(model: Model, fields: &[(&str, &str)]) -> Result<Options, Refusal> {
        let fields = fields.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        Options::read(model, &Form { file: None, fields })
    }

    #[test]
    fn a_configuration_beats_the_form_and_leaves_the_rest_to_it() {
        let fields = [
            ("emotion_signal", "true"),
            ("accent_signal", "true"),
            ("config", r#"{"emotion_signal":false,"language":"de-AT"}"#),
        ];
        let options = read(Model::Transcription, &fields).unwrap();
        assert_eq!((options.emotion, options.accent), (false, true));
        assert_eq!(options.language.as_deref(), Some("de"));
    }

    #[test]
    fn languages_are_codes() {
        for good in ["en", "EN-us", "zh_Hans_CN", "yue"] {
            assert!(read(Model::Redaction, &[("language", good)]).is_ok(), "{good}");
        }
        for bad in ["english", "e", "", "en-", "en us"] {
            let refusal = read(Model::Redaction, &[("language", bad)]).unwrap_err();
            assert_eq!(refusal, Refusal::Language(bad.to_owned()));
        }
    }

    #[test]
    fn flags_are_true_or_false() {
        let refusal = read(Model::Transcription, &[("emotion_signal", "yes")]).unwrap_err();
        assert_eq!(refusal, Refusal::BadField("emotion_signal".into(), "boolean"));
    }

    #[test]
    fn custom_terms_have_limits() {
        let long = format!(r#"{{"custom_terms":["{}"]}}"#, "x".repeat(8000));
        let many = format!(r#"{{"custom_terms":{}}}"#, serde_json::json!(vec!["a"; 1001]));
        for bad in [long.as_str(), many.as_str(), r#"{"custom_terms":[{"definition":"no term"}]}"#] {
            assert_eq!(read(Model::Transcription, &[("config", bad)]), Err(Refusal::Configuration));
        }
        let good = r#"{"custom_terms":["Velma",{"term":"Vox","pronunciations":["vocks"]}]}"#;
        assert!(read(Model::Transcription, &[("config", good)]).is_ok());
    }

    #[test]
    fn a_conversation_is_examined_for_known_presets_and_whole_definitions() {
        let read = |text: &str| read(Model::Conversation, &[("config", text)]);
        assert_eq!(read("default").unwrap().examine, None);
        assert!(read(r#"{"behaviors":["preset:vishing"],"stt":{"emotion_signal":true}}"#).unwrap().emotion);
        assert_eq!(read(r#"{"behaviors":["preset:no_such"]}"#), Err(Refusal::Preset));
        for flawed in [r#"{"behaviors":[{"name":"half"}]}"#, r#"{"behaviours":[]}"#, r#"{"stt":7}"#] {
            assert_eq!(read(flawed).unwrap_err().kind(), "configuration", "{flawed}");
        }
        assert_eq!(read("standard"), Err(Refusal::Configuration));
    }
}
