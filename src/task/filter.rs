//! The `--where` language: `state:failed cause:timeout path:2024/** job:archive since:2h`.
//!
//! Terms are joined by *and*; commas inside a term by *or*. In `path:`, `*` stands for any characters, also
//! `/`; a path without a star is matched whole. A value with spaces goes in double quotes.

use std::time::Duration;

use super::{Cause, Endpoint, Suspect, TaskState};

/// Which tasks are meant. An empty list means "any".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// `state:`
    pub states: Vec<TaskState>,
    /// `cause:`; `refused` stands for every cause that is one.
    pub causes: Vec<Cause>,
    /// `job:` by name.
    pub jobs: Vec<String>,
    /// `endpoint:`
    pub endpoints: Vec<Endpoint>,
    /// `path:` patterns, `*` for any characters.
    pub paths: Vec<String>,
    /// `id:`
    pub ids: Vec<i64>,
    /// `suspect:`, `*` for any kind.
    pub suspects: Vec<Suspect>,
    /// `stale`: succeeded with other options than hold now.
    pub stale: bool,
    /// `since:` changed at most this long ago.
    pub since: Option<Duration>,
    /// `before:` changed longer ago than this.
    pub before: Option<Duration>,
}

/// What is wrong with a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A term without a colon.
    #[error("`{0}` is not a term; write key:value, for example state:failed")]
    NoKey(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`; known: {}", Filter::KEYS.join(", "))]
    UnknownKey {
        /// What was written.
        key: String,
    },
    /// A value that the key does not have.
    #[error("`{value}` is no {key}; {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What could have been.
        expected: String,
    },
    /// A quote that is never closed.
    #[error("a double quote is not closed")]
    OpenQuote,
}

impl Filter {
    /// The keys of the language.
    pub const KEYS: [&'static str; 10] =
        ["state", "cause", "job", "endpoint", "path", "id", "since", "before", "suspect", "stale"];

    /// Whether it means every task.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Reads the language.
    ///
    /// # Errors
    /// The first term that cannot be understood, with what was expected.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut filter = Filter::default();
        for term in terms(text)? {
            if term == "stale" {
                filter.stale = true;
                continue;
            }
            let Some((key, values)) = term.split_once(':') else { return Err(FilterError::NoKey(term)) };
            for value in values.split(',').filter(|v| !v.is_empty()) {
                filter.add(key, value)?;
            }
        }
        Ok(filter)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), FilterError> {
        let bad = |key, expected: String| FilterError::BadValue { key, value: value.to_owned(), expected };
        let known = |words: Vec<&str>| format!("known: {}", words.join(", "));
        match key {
            "state" => self.states.push(
                value.parse().map_err(|_| bad("state", known(TaskState::ALL.map(TaskState::word).into())))?,
            ),
            "cause" if value == "refused" => {
                self.causes.extend(Cause::ALL.iter().copied().filter(|c| c.is_refusal()));
            }
            "cause" => self.causes.push(value.parse().map_err(|_| {
                let words = Cause::ALL.iter().map(|c| c.word()).chain(["refused"]).collect();
                bad("cause", known(words))
            })?),
            "job" => self.jobs.push(value.to_owned()),
            "endpoint" => self.endpoints.push(
                value
                    .parse()
                    .map_err(|_| bad("endpoint", known(Endpoint::ALL.map(Endpoint::name).into())))?,
            ),
            "path" => self.paths.push(value.to_owned()),
            "id" => self.ids.push(value.parse().map_err(|_| bad("id", "expected a number".to_owned()))?),
            "suspect" if value == "*" => self.suspects = Suspect::ALL.into(),
            "suspect" => self.suspects.push(value.parse().map_err(|_| {
                bad("suspect", known(Suspect::ALL.map(Suspect::word).into_iter().chain(["*"]).collect()))
            })?),
            "stale" if value == "options" => self.stale = true,
            "stale" => return Err(bad("stale", "write stale, or stale:options".to_owned())),
            "since" => self.since = Some(age(value).map_err(|expected| bad("since", expected.to_owned()))?),
            "before" => {
                self.before = Some(age(value).map_err(|expected| bad("before", expected.to_owned()))?)
            }
            _ => return Err(FilterError::UnknownKey { key: key.to_owned() }),
        }
        Ok(())
    }
}

/// Reads a length of time in the words of the product: `90s`, `2h`, `3d`.
///
/// # Errors
/// What was expected.
pub fn age(value: &str) -> Result<Duration, &'static str> {
    let span = match value.strip_suffix('d') {
        Some(days) => days.parse::<i64>().ok().and_then(|days| days.checked_mul(86_400)),
        None => return value.parse::<jiff::SignedDuration>().ok().and_then(positive).ok_or(AGE),
    };
    span.map(jiff::SignedDuration::from_secs).and_then(positive).ok_or(AGE)
}

const AGE: &str = "expected a length of time such as 90s, 2h or 3d";

fn positive(span: jiff::SignedDuration) -> Option<Duration> {
    Duration::try_from(span).ok()
}

/// Splits at spaces outside double quotes.
fn terms(text: &str) -> Result<Vec<String>, FilterError> {
    let (mut terms, mut term, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => terms.push(std::mem::take(&mut term)),
            c => term.push(c),
        }
    }
    if quoted {
        return Err(FilterError::OpenQuote);
    }
    terms.push(term);
    terms.retain(|t| !t.is_empty());
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terms_are_joined_by_and_and_commas_by_or() {
        let filter =
            Filter::parse(r#"state:failed,cancelled cause:timeout path:"a b/*" since:2h id:7"#).unwrap();
        assert_eq!(filter.states, [TaskState::Failed, TaskState::Cancelled]);
        assert_eq!(filter.causes, [Cause::Timeout]);
        assert_eq!(filter.paths, ["a b/*"]);
        assert_eq!(filter.since, Some(Duration::from_secs(7200)));
        assert_eq!(filter.ids, [7]);
    }

    #[test]
    fn refused_stands_for_every_refusal() {
        let filter = Filter::parse("cause:refused").unwrap();
        assert!(filter.causes.contains(&Cause::Empty) && filter.causes.contains(&Cause::NotAudio));
        assert!(!filter.causes.contains(&Cause::Timeout));
    }

    #[test]
    fn what_was_made_with_other_options_needs_no_value() {
        assert!(Filter::parse("job:a stale").unwrap().stale && Filter::parse("stale:options").unwrap().stale);
        assert!(!Filter::parse("").unwrap().stale);
        assert_eq!(Filter::parse("suspect:*").unwrap().suspects, Suspect::ALL);
        assert_eq!(Filter::parse("suspect:empty_but_loud").unwrap().suspects, [Suspect::EmptyButLoud]);
    }

    #[test]
    fn days_are_understood() {
        assert_eq!(Filter::parse("before:3d").unwrap().before, Some(Duration::from_secs(3 * 86_400)));
    }

    #[test]
    fn errors_name_the_term_and_what_was_expected() {
        for (text, part) in [
            ("failed", "not a term"),
            ("stat:failed", "known: state, cause"),
            ("stale:yes", "stale:options"),
            ("suspect:odd", "known: duration_mismatch, empty_but_loud"),
            ("state:done", "known: queued, running"),
            ("since:yesterday", "such as 90s"),
            ("before:384307168202282325d", "such as 90s"),
            ("path:\"open", "not closed"),
        ] {
            let error = Filter::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = Filter::parse(&text);
        }
    }
}
