//! The texts that `init` writes: a short `jobs.toml` to begin with, or the whole example with every setting.

use crate::task::Endpoint;

/// Every setting with its unit and default; `jobs.example.toml` of the repository.
pub const EXAMPLE: &str = include_str!("../../jobs.example.toml");

/// A short file with one job.
pub fn starter(name: &str, source: &str, endpoint: Endpoint) -> String {
    format!(
        r#"# Jobs of voxbatch. All settings with their defaults: voxbatch init --full -o -
# The API key is not kept here: set VOXBATCH_API_KEY, or name a file that only you can read:
# [api]
# api_key_file = "/etc/voxbatch/api-key"

[limits.{endpoint}]
concurrent = 1              # requests at once; your organisation's limit for this model is on its dashboard
# monthly_hours = 200       # stop before crossing these hours of audio in a calendar month

[[job]]
name     = {name}
endpoint = "{endpoint}"
source   = {source}         # folder or file; relative to this file
# options = {{}}              # options of the endpoint
# output = {output}   # results.jsonl, results.csv, …
"#,
        name = quoted(name),
        source = quoted(source),
        output = quoted(&format!("out/{name}")),
    )
}

/// The whole example with a job of one's own.
pub fn example(name: &str, source: &str, endpoint: Endpoint) -> String {
    let set = |line: &str| -> String {
        match line.split_once('=').map(|(key, _)| key.trim_end()) {
            Some("name") => format!("name     = {}", quoted(name)),
            Some("endpoint") => format!("endpoint = \"{endpoint}\""),
            Some("source") => format!("source   = {}", quoted(source)),
            Some("# output") => format!("# output = {}", quoted(&format!("out/{name}"))),
            None if line.starts_with("[limits.") => format!("[limits.{endpoint}]"),
            _ => line.to_owned(),
        }
    };
    EXAMPLE.lines().map(|line| set(line) + "\n").collect()
}

/// As a TOML string, whatever it holds.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
