//! The values in effect as text that is itself a `jobs.toml`, and as JSON. Keys never appear, only their last letters.

use serde_json::{Value, json};

use super::job;
use super::resolve::Config;

impl Config {
    /// As TOML; with `origins`, a comment behind each value says where it came from.
    pub fn to_toml(&self, origins: bool) -> String {
        let mut text = String::new();
        if let Some(path) = &self.path {
            text.push_str(&format!("# {}\n", super::error::clean(&path.to_string_lossy())));
        }
        text.push_str(&format!("# API key: {}\n\n", self.key_words()));
        for setting in &self.settings {
            text.push_str(&setting.line(origins));
        }
        for job in &self.jobs {
            text.push_str(&job::to_toml(job, origins));
        }
        text
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let settings: Vec<Value> = self
            .settings
            .iter()
            .map(|s| json!({ "name": s.name, "value": s.value, "origin": s.origin.to_string() }))
            .collect();
        json!({
            "file": self.path,
            "api_key": { "hint": self.key_hint(), "origin": self.key_origin.to_string() },
            "settings": settings,
            "jobs": self.jobs.iter().map(job::to_json).collect::<Vec<_>>(),
        })
    }

    fn key_words(&self) -> String {
        match self.key_hint() {
            Some(hint) => format!("{hint} from {}", self.key_origin),
            None => self.key_origin.to_string(),
        }
    }
}
