//! A fatal error as a person needs it at two in the morning: what, why, how to mend it, what state things are in.
//! Every command ends with one of these or with none; the exit code is the command's.

use std::fmt;

use serde_json::{Value, json};

use crate::task::Timestamp;

use super::format::{clean, columns};
use super::json::VERSION;

/// Something to type, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    /// A command that can be pasted, or a thing to do.
    pub command: String,
    /// What it does; may be empty.
    pub note: String,
}

/// A fatal error, told to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong, in plain words, as a fragment without a full stop.
    pub what: String,
    /// Its stable code: `E-AUTH-403`.
    pub code: &'static str,
    /// The evidence, and where a value came from; a line each.
    pub why: Vec<String>,
    /// What to do about it.
    pub mend: Vec<Mend>,
    /// What was done and what was not.
    pub state: Option<String>,
}

impl Problem {
    /// A problem of which nothing more is known yet.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Problem { what: what.into(), code, why: Vec::new(), mend: Vec::new(), state: None }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn why(mut self, line: impl Into<String>) -> Self {
        self.why.push(line.into());
        self
    }

    /// Adds a way out.
    #[must_use]
    pub fn mend(mut self, command: impl Into<String>, note: impl Into<String>) -> Self {
        self.mend.push(Mend { command: command.into(), note: note.into() });
        self
    }

    /// Says what state things are in.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// The object that `--json` writes to stderr, so that stdout stays what was asked for.
    pub fn to_json(&self, now: Timestamp, run: Option<&str>) -> Value {
        let mend: Vec<Value> =
            self.mend.iter().map(|mend| json!({ "command": mend.command, "note": mend.note })).collect();
        json!({
            "v": VERSION, "type": "error", "time": now.to_string(), "run": run, "code": self.code,
            "what": self.what, "why": self.why.join("\n"), "mend": mend, "state": self.state,
        })
    }
}

impl fmt::Display for Problem {
    /// Several lines without a line end behind the last. Foreign words in it are made harmless.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {} [{}]", clean(&self.what), self.code)?;
        // A caller's own line breaks (a line of a file with a caret under it) stay.
        let why = self.why.iter().flat_map(|text| text.split('\n')).map(|line| clean(line).into_owned());
        section(f, "why", why)?;
        let commands: Vec<_> =
            self.mend.iter().map(|mend| (clean(&mend.command), clean(&mend.note))).collect();
        let noted = commands.iter().filter(|(_, note)| !note.is_empty());
        let wide = noted.map(|(command, _)| columns(command)).max().unwrap_or(0);
        let mend = commands.iter().map(|(command, note)| {
            let pad = wide.saturating_sub(columns(command)) + 4;
            if note.is_empty() { command.to_string() } else { format!("{command}{}{note}", " ".repeat(pad)) }
        });
        section(f, "mend", mend)?;
        section(f, "state", self.state.iter().map(|state| clean(state).into_owned()))
    }
}

fn section(f: &mut fmt::Formatter<'_>, name: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    for (n, line) in lines.enumerate() {
        let label = if n == 0 { name } else { "" };
        write!(f, "\n  {label:<6} {line}")?;
    }
    Ok(())
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::START;

    fn refused() -> Problem {
        Problem::new("E-AUTH-403", "the API refused the request (HTTP 403)")
            .why("key …a91f from /etc/voxbatch/api-key (systemd credential)")
            .why("the API said: \"This request is not \u{1b}[8mpermitted.\"")
            .mend("voxbatch config show --origin", "shows which key is used")
            .mend("voxbatch run", "once that is mended")
            .mend("enable the model for the organisation, or wait for the month to turn", "")
            .state("0 files sent in this run; 1,204 still queued; nothing lost")
    }

    #[test]
    fn an_error_says_what_why_how_to_mend_and_the_state() {
        insta::assert_snapshot!(refused());
    }

    #[test]
    fn an_error_of_which_nothing_is_known_is_one_line() {
        assert_eq!(Problem::new("E-X", "it broke").to_string(), "error: it broke [E-X]");
    }

    #[test]
    fn scripts_get_the_same_in_one_object() {
        let object = refused().to_json(START, None);
        assert_eq!((object["type"].as_str(), object["code"].as_str()), (Some("error"), Some("E-AUTH-403")));
        assert_eq!(object["mend"][0]["command"], "voxbatch config show --origin");
        assert!(!object.to_string().contains('\n'));
    }
}
