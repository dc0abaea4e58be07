//! Where a value came from, and the list of values in effect that `config show` prints.

use std::fmt;

use serde_json::Value;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file.
    File {
        /// As it was named.
        file: String,
        /// From 1.
        line: usize,
    },
    /// A variable of the environment.
    Env(String),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { file, line } if file.is_empty() => write!(f, "line {line}"),
            Origin::File { file, line } => write!(f, "{file}:{line}"),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A setting and the value in effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Dotted: `retry.max_attempts`; a job's own settings bear only their key.
    pub name: String,
    /// As the file would say it; `Null`: not set, and no default.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Effective {
    /// `name = value`, or a comment when there is none.
    pub(super) fn line(&self, origins: bool) -> String {
        let said = match self.toml() {
            Some(value) => format!("{} = {value}", self.name),
            None if self.value.is_null() => format!("# {} is not set", self.name),
            // Options from a JSON file may hold nulls, which TOML cannot say.
            None => format!("# {}, as JSON: {}", self.name, self.value),
        };
        if origins { format!("{said:<58}  # {}\n", self.origin) } else { format!("{said}\n") }
    }

    /// The value in TOML, or `None` when it is not set or TOML cannot say it (a null inside of options).
    pub fn toml(&self) -> Option<String> {
        // A null would be left out silently by a conversion.
        fn has_null(value: &Value) -> bool {
            match value {
                Value::Null => true,
                Value::Array(list) => list.iter().any(has_null),
                Value::Object(table) => table.values().any(has_null),
                _ => false,
            }
        }
        if has_null(&self.value) {
            return None;
        }
        toml::Value::try_from(&self.value).ok().map(|value| value.to_string())
    }
}
