//! What can be wrong with a configuration, and how it is told: what, where (line and caret), how to mend.
//! Finding the problems is left to the neighbours.

use std::fmt::{self, Write as _};

use crate::task::RecordingPath;

/// The stable code of a problem: what a script or a search can hold on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// There is no file.
    Missing,
    /// The file cannot be read as text.
    Read,
    /// The text is not TOML.
    Syntax,
    /// A setting that does not exist.
    Unknown,
    /// A value of another type.
    Type,
    /// A value of the right type that cannot be meant.
    Value,
    /// A setting that has to be there.
    Required,
    /// Two jobs of one name.
    Duplicate,
    /// A model that does not exist.
    Endpoint,
    /// An option that the endpoint does not have, or not with this value.
    Option,
    /// Outputs that would fall over each other or over their source.
    Output,
    /// Nothing to do: not one job.
    NoJob,
    /// The API key.
    Key,
    /// A file to be written is there already.
    Exists,
}

impl Code {
    /// As it is printed: `E-CONF-UNKNOWN`.
    pub fn word(self) -> &'static str {
        match self {
            Code::Missing => "E-CONF-MISSING",
            Code::Read => "E-CONF-READ",
            Code::Syntax => "E-CONF-SYNTAX",
            Code::Unknown => "E-CONF-UNKNOWN",
            Code::Type => "E-CONF-TYPE",
            Code::Value => "E-CONF-VALUE",
            Code::Required => "E-CONF-REQUIRED",
            Code::Duplicate => "E-CONF-DUPLICATE",
            Code::Endpoint => "E-CONF-ENDPOINT",
            Code::Option => "E-CONF-OPTION",
            Code::Output => "E-CONF-OUTPUT",
            Code::NoJob => "E-CONF-NO-JOB",
            Code::Key => "E-CONF-KEY",
            Code::Exists => "E-CONF-EXISTS",
        }
    }
}

/// A place in a file, ready to be shown: control characters are escaped, keys hidden, long lines cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named; empty for a text without a file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters of the file's line.
    pub column: usize,
    /// The line, or the part of it around the caret.
    pub text: String,
    /// Characters of `text` before the caret.
    pub indent: usize,
    /// How many carets.
    pub width: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What is wrong, in one line.
    pub what: String,
    /// Where, if it is in the file.
    pub place: Option<Box<Place>>,
    /// Beside the caret: what was probably meant, what is possible.
    pub hint: Option<String>,
    /// Commands or words that mend it, if there are better ones than "check again".
    pub mend: Option<String>,
}

/// What an endpoint finds wrong with a job's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The option, dotted from the top: `speaker_diarisation`, `config.behaviors.0.name`.
    pub key: String,
    /// What is wrong with it, as a sentence that follows the key: "is no option of velma-2-batch".
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// How an endpoint's options are checked. Given from outside: config does not know what models can do.
pub type CheckOptions = fn(crate::task::Endpoint, &serde_json::Value) -> Result<(), OptionProblem>;

/// Everything that is wrong with a configuration; nothing has been sent. Exit code 2.
///
/// `Display` is one line; [`ConfigError::render`] is what a person should see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the configuration: {}", Summary(.problems))]
pub struct ConfigError {
    problems: Vec<Problem>,
    /// Whether there were more than those kept.
    more: bool,
}

/// More are not kept: a megabyte of unknown settings is still one mistake.
const KEPT: usize = 50;

const MEND: &str =
    "voxbatch config check        checks the whole file;   all settings: voxbatch init --full -o -";

impl ConfigError {
    /// Of at least one problem; the first fifty in the order of the file are kept.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|p| p.place.as_ref().map(|place| (place.line, place.column)));
        let more = problems.len() > KEPT;
        problems.truncate(KEPT);
        ConfigError { problems, more }
    }

    /// What is wrong, in the order of the file; what has no place in it comes first.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What, where and how to mend, for a person. Several lines for each problem, the last one ended.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mends: Vec<&str> = self.problems.iter().map(|p| p.mend.as_deref().unwrap_or(MEND)).collect();
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                text.push('\n');
            }
            problem.render(&mut text);
            // One advice after several equal ones is enough.
            if mends.get(n + 1) != Some(&mends[n]) {
                let _ = writeln!(text, "  mend   {}", mends[n]);
            }
        }
        if self.more {
            text.push_str("\nand more; mend these first\n");
        }
        text
    }

    /// The problems as JSON, for programs.
    pub fn to_json(&self) -> serde_json::Value {
        self.problems
            .iter()
            .map(|p| {
                let place = p.place.as_ref();
                serde_json::json!({
                    "code": p.code.word(),
                    "what": p.what,
                    "file": place.map(|at| &at.file),
                    "line": place.map(|at| at.line),
                    "column": place.map(|at| at.column),
                    "hint": p.hint,
                    "mend": p.mend.as_deref().unwrap_or(MEND),
                })
            })
            .collect()
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError::new(vec![problem])
    }
}

struct Summary<'a>(&'a [Problem]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return Ok(()) };
        write!(f, "{} [{}]", first.title(), first.code.word())?;
        match self.0.len() {
            1 => Ok(()),
            all => write!(f, " and {} more", all - 1),
        }
    }
}

impl Problem {
    /// A problem without a place in the file.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Problem { code, what: brief(&what.into()), place: None, hint: None, mend: None }
    }

    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// Says what was probably meant or what is possible.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into().map(|h| brief(&h));
        self
    }

    /// Says what mends it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(brief(&mend.into()));
        self
    }

    /// What and where, in one line.
    pub fn title(&self) -> String {
        match &self.place {
            Some(at) if at.file.is_empty() => format!("{}, line {}", self.what, at.line),
            Some(at) => format!("{} in {}, line {}", self.what, at.file, at.line),
            None => self.what.clone(),
        }
    }

    fn render(&self, text: &mut String) {
        let _ = writeln!(text, "error: {} [{}]", self.title(), self.code.word());
        let hint = self.hint.as_deref().unwrap_or_default();
        if let Some(at) = &self.place {
            let number = at.line.to_string();
            let _ = writeln!(text, "  {number} | {}", at.text);
            let line = format!(
                "  {:gutter$} | {:indent$}{} {hint}",
                "",
                "",
                "^".repeat(at.width),
                gutter = number.len(),
                indent = at.indent,
            );
            let _ = writeln!(text, "{}", line.trim_end());
        } else if !hint.is_empty() {
            let _ = writeln!(text, "  why    {hint}");
        }
    }
}

/// Text of others made harmless for a terminal: the rule for names of recordings holds here too.
pub(super) fn clean(text: &str) -> String {
    RecordingPath::from_bytes(text).to_string()
}

/// As [`clean`], of a text that is to fit into a line or two.
fn brief(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => clean(&text[..cut]) + "…",
        None => clean(text),
    }
}

/// The nearest of `known`, if any is near.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Longer words are not typing mistakes, and comparing them costs the square of their length.
    if word.len() > 100 {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// "did you mean …", if there is something near.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean `{near}`?"))
}
