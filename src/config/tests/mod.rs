//! Tests of the whole room: texts in, settings or problems out. Helpers here, subjects in the files below.

mod broken;
mod example;
mod hostile;
mod layers;
mod secrets;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::Value;

use super::{Config, ConfigError, OptionProblem, Overrides, load_text};
use crate::task::Endpoint;

/// A job that is right, for tests of everything else.
const JOB: &str = "[[job]]\nname = \"a\"\nendpoint = \"velma-2-stt-batch\"\nsource = \"in\"\n";

/// Stands in for an endpoint: knows one option and one key of `config`.
fn stub(_: Endpoint, options: &Value) -> Result<(), OptionProblem> {
    let known = ["speaker_diarization", "config"];
    let wrong = |key: String, problem: &str| {
        let suggestion = key.starts_with("speaker").then(|| known[0].to_owned());
        Err(OptionProblem { key, problem: problem.to_owned(), suggestion })
    };
    for (key, value) in options.as_object().unwrap() {
        match key.as_str() {
            "speaker_diarization" if value.is_boolean() => {}
            "speaker_diarization" => return wrong(key.clone(), "must be true or false"),
            "config" if value.pointer("/behaviors/1/name").is_some_and(Value::is_number) => {
                return wrong("config.behaviors[1].name".to_owned(), "must be a text");
            }
            "config" => {}
            _ => return wrong(key.clone(), "does not exist"),
        }
    }
    Ok(())
}

fn load_str(text: &str) -> Result<Config, ConfigError> {
    load_text(text, Path::new("/archive"), &Overrides::default(), &|_| None, stub)
}

fn load_with(text: &str, overrides: &Overrides, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    load_text(text, Path::new("/archive"), overrides, &|name| env.get(name).map(OsString::from), stub)
}
