//! What a recording comes with beside its sound: fields that flow to its outputs, and options of its own. Where they
//! come from (a list, a file beside it, its name) is `scan`'s business.

use serde_json::{Map, Value};

/// As the queue keeps it: JSON objects as text. Nothing said is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Fields for the outputs.
    pub fields: Option<String>,
    /// Options of the endpoint that hold for this recording, over those of its job.
    pub options: Option<String>,
}

/// The same while it is being put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Fields for the outputs.
    pub fields: Map<String, Value>,
    /// Options of its own.
    pub options: Map<String, Value>,
}

/// Bytes of metadata that a recording may have.
const BYTES_MAX: usize = 64 << 10;
/// Bytes of a field's name: it becomes the name of a column.
const NAME_MAX: usize = 128;
/// The key, or the beginning of the names of columns, that options stand under.
const OPTIONS: &str = "options";

impl Description {
    /// From an object: `options`, and whatever begins with `options.`, are options; all else is fields. What is `null`
    /// or empty says nothing.
    ///
    /// # Errors
    /// What is wrong with it, fit to follow where it stands.
    pub fn of(object: Map<String, Value>) -> Result<Self, String> {
        let mut said = Description::default();
        for (name, value) in object {
            if value.is_null() || value == "" {
                continue;
            }
            match (name.strip_prefix(OPTIONS), value) {
                (Some(""), Value::Object(options)) => said.options.extend(options),
                (Some(""), _) => {
                    return Err("`options` must be an object, such as {\"language\": \"de\"}".into());
                }
                (Some(rest), value) if rest.len() > 1 && rest.starts_with('.') => {
                    said.options.insert(rest[1..].to_owned(), typed(value));
                }
                (_, value) => {
                    said.fields.insert(name, value);
                }
            }
        }
        said.check()?;
        Ok(said)
    }

    /// Whatever the other one says holds instead.
    pub fn extend(&mut self, other: Description) {
        self.fields.extend(other.fields);
        self.options.extend(other.options);
    }

    /// Whether all of it can be kept.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self) -> Result<(), String> {
        if let Some(name) = self.fields.keys().find(|name| name.is_empty() || name.len() > NAME_MAX) {
            let shown: String = name.chars().take(20).collect();
            return Err(format!("the name of a field, `{shown}`, must have 1 to {NAME_MAX} bytes"));
        }
        let bytes = |map: &Map<String, Value>| if map.is_empty() { 0 } else { text(map).len() };
        match bytes(&self.fields) + bytes(&self.options) {
            ..=BYTES_MAX => Ok(()),
            size => Err(format!("{size} bytes of metadata; a recording may have {BYTES_MAX}")),
        }
    }

    /// As it is kept.
    pub fn metadata(&self) -> Metadata {
        let some = |map: &Map<String, Value>| (!map.is_empty()).then(|| text(map));
        Metadata { fields: some(&self.fields), options: some(&self.options) }
    }
}

impl Metadata {
    /// Its fields, by name.
    pub fn fields(&self) -> Map<String, Value> {
        let read = |text: &String| serde_json::from_str(text).ok();
        self.fields.as_ref().and_then(read).unwrap_or_default()
    }
}

/// A job's options with those of a recording over them.
pub fn options_over(job: &Value, own: Option<&str>) -> Value {
    let own = own.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok()).unwrap_or_default();
    let mut all = job.as_object().cloned().unwrap_or_default();
    all.extend(own);
    Value::Object(all)
}

fn text(map: &Map<String, Value>) -> String {
    serde_json::to_string(map).unwrap_or_default()
}

/// A cell of a table has no type: `true`, `300` and `{…}` are what they look like.
fn typed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Result<Description, String> {
        Description::of(value.as_object().unwrap().clone())
    }

    #[test]
    fn options_are_told_from_fields_and_what_says_nothing_is_left_out() {
        let said = of(json!({
            "agent": "A-17", "note": "", "gone": null, "options": { "language": "de" },
            "options.speaker_diarization": "true", "options.end_redaction_padding_ms": "300", "optional": 1,
        }))
        .unwrap();
        assert_eq!(said.metadata().fields.unwrap(), r#"{"agent":"A-17","optional":1}"#);
        let options = r#"{"language":"de","speaker_diarization":true,"end_redaction_padding_ms":300}"#;
        assert_eq!(said.metadata().options.unwrap(), options);
        assert_eq!(of(json!({})).unwrap().metadata(), Metadata::default());
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        assert!(of(json!({ "options": "de" })).unwrap_err().contains("must be an object"));
        assert!(of(json!({ "a": "x".repeat(BYTES_MAX) })).unwrap_err().contains("bytes of metadata"));
        assert!(of(json!({ "": 1 })).unwrap_err().contains("name of a field"));
        assert!(of(json!({ "n".repeat(129): 1 })).is_err());
    }

    #[test]
    fn a_recordings_own_options_hold_over_its_jobs() {
        let job = json!({ "language": "en", "emotion_signal": true });
        let all = options_over(&job, Some(r#"{"language":"de"}"#));
        assert_eq!(all, json!({ "language": "de", "emotion_signal": true }));
        assert_eq!(options_over(&job, None), job);
    }
}
