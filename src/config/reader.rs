//! Reads one setting after the other through all layers: flag, environment, file, default. Remembers where each
//! came from, and which names were asked for: whatever else stands in the file is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::cli::Said;
use super::error::{Code, Problem, did_you_mean, nearest};
use super::file::{Document, is_secret};
use super::origin::{Effective, Origin};
use super::value::{Kind, Wrong};

/// The variables of the process, or of a test.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads settings, collects problems.
pub(super) struct Reader<'a> {
    pub(super) doc: &'a Document<'a>,
    pub(super) env: Environment<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) effective: Vec<Effective>,
    flags: BTreeMap<&'static str, Said>,
    asked: BTreeSet<Vec<String>>,
}

/// Nobody mends more at once, and a hostile file could hold a hundred thousand.
const ENOUGH: usize = 200;

/// The variable of a setting by rule: `retry.max_attempts` → `VOXBATCH_RETRY_MAX_ATTEMPTS`. A key that begins with its
/// section's name does not say it twice: `api.api_key_file` → `VOXBATCH_API_KEY_FILE`.
pub(super) fn env_name(setting: &str) -> String {
    let short = match setting.split_once('.') {
        Some((section, key)) if key.starts_with(&format!("{section}_")) => key,
        _ => setting,
    };
    format!("VOXBATCH_{}", short.replace(['.', '-'], "_").to_uppercase())
}

impl<'a> Reader<'a> {
    pub(super) fn new(doc: &'a Document<'a>, env: Environment<'a>, said: Vec<Said>) -> Self {
        let flags = said.into_iter().map(|said| (said.setting, said)).collect();
        Reader { doc, env, flags, problems: Vec::new(), effective: Vec::new(), asked: BTreeSet::new() }
    }

    /// A variable; an empty one counts as not set, which is how container files often write it.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The value in effect. What is wrong is noted, and the default goes on in its place.
    pub(super) fn get<K: Kind>(&mut self, setting: &str, kind: &K, default: K::Out) -> K::Out {
        let (value, origin) = self.look_up(setting, kind).unwrap_or((default, Origin::Default));
        self.note(setting, kind.show(&value), origin);
        value
    }

    /// As [`Reader::get`], for a setting without a default.
    pub(super) fn find<K: Kind>(&mut self, setting: &str, kind: &K) -> Option<(K::Out, Origin)> {
        let found = self.look_up(setting, kind);
        let (value, origin) = match &found {
            Some((value, origin)) => (kind.show(value), origin.clone()),
            None => (serde_json::Value::Null, Origin::Default),
        };
        self.note(setting, value, origin);
        found
    }

    fn note(&mut self, setting: &str, value: serde_json::Value, origin: Origin) {
        self.effective.push(Effective { name: setting.to_owned(), value, origin });
    }

    fn look_up<K: Kind>(&mut self, setting: &str, kind: &K) -> Option<(K::Out, Origin)> {
        let path: Vec<&str> = setting.split('.').collect();
        self.ask(&path);
        // The file is read even when a flag wins: a mistake in it stays a mistake.
        let doc = self.doc;
        let in_file = self.in_file(&doc.root, &path, setting, kind);
        self.said(setting, kind).or(in_file)
    }

    /// What a flag or else a variable says, for what the file cannot say.
    pub(super) fn said<K: Kind>(&mut self, setting: &str, kind: &K) -> Option<(K::Out, Origin)> {
        let variable = env_name(setting);
        let (said, origin, name) = match self.flags.get(setting) {
            Some(said) => (said.value.clone(), Origin::Flag(said.flag), said.flag.to_owned()),
            None => (self.variable(&variable)?, Origin::Env(variable.clone()), variable),
        };
        match kind.os(&said) {
            Ok(value) => Some((value, origin)),
            Err(Wrong { code, why, hint }) => {
                self.problems.push(Problem::new(code, format!("{name} {why}")).hint(hint));
                None
            }
        }
    }

    /// A key of one table of the file, for settings that exist only there.
    pub(super) fn field<K: Kind>(
        &mut self,
        table: &DeTable<'_>,
        under: &str,
        key: &str,
        kind: &K,
    ) -> Option<(K::Out, Range<usize>)> {
        self.ask(&[under, key]);
        let (_, value) = table.get_key_value(key)?;
        let span = value.span();
        let (out, _) = self.in_file(table, &[key], &format!("{under}.{key}"), kind)?;
        Some((out, span))
    }

    /// Makes a name known.
    pub(super) fn ask(&mut self, path: &[&str]) {
        self.asked.insert(path.iter().map(|part| (*part).to_owned()).collect());
    }

    fn in_file<K: Kind>(
        &mut self,
        table: &DeTable<'_>,
        path: &[&str],
        setting: &str,
        kind: &K,
    ) -> Option<(K::Out, Origin)> {
        let [first, rest @ ..] = path else { return None };
        let value = table.get(*first)?;
        if !rest.is_empty() {
            // That a section is no table is told once, when unknown names are looked for.
            return self.in_file(value.get_ref().as_table()?, rest, setting, kind);
        }
        match kind.toml(value.get_ref()) {
            Ok(out) => {
                let line = self.doc.line(&value.span());
                Some((out, Origin::File { file: self.doc.name.clone(), line }))
            }
            Err(Wrong { code, why, hint }) => {
                self.tell(value.span(), Problem::new(code, format!("`{setting}` {why}")).hint(hint));
                None
            }
        }
    }

    /// Notes a problem at its place in the file.
    pub(super) fn tell(&mut self, span: Range<usize>, problem: Problem) {
        if !self.is_enough() {
            self.problems.push(problem.at(self.doc.place(span)));
        }
    }

    /// Whether it makes no sense to look further.
    pub(super) fn is_enough(&self) -> bool {
        self.problems.len() >= ENOUGH
    }

    /// Notes every name below `table` that nobody asked for. `under` is the table's own path.
    pub(super) fn refuse_unknown(&mut self, table: &DeTable<'_>, under: &[&str]) {
        for (key, value) in table {
            if self.is_enough() {
                return;
            }
            let name: &str = key.get_ref();
            let path: Vec<&str> = under.iter().copied().chain([name]).collect();
            if self.asked.iter().any(|asked| *asked == path) {
                continue;
            }
            let section =
                self.asked.iter().any(|asked| asked.len() > path.len() && asked[..path.len()] == path[..]);
            match value.get_ref() {
                DeValue::Table(inner) if section => self.refuse_unknown(inner, &path),
                other if section => {
                    let dotted = path.join(".");
                    let problem = Problem::new(
                        Code::Type,
                        format!("`{dotted}` must be a section, not {}", other.type_str()),
                    );
                    self.tell(key.span(), problem.hint(format!("write [{dotted}] on a line of its own")));
                }
                _ => {
                    let problem = self.unknown(under, name);
                    self.tell(key.span(), problem);
                }
            }
        }
    }

    fn unknown(&self, under: &[&str], name: &str) -> Problem {
        let dotted = under.iter().copied().chain([name]).collect::<Vec<_>>().join(".");
        if under == ["limits"] {
            return Problem::new(Code::Endpoint, format!("unknown endpoint `{name}`"))
                .hint(did_you_mean(name, self.siblings(under)));
        }
        let problem = Problem::new(Code::Unknown, format!("unknown setting `{dotted}`"));
        if is_secret(name) {
            return problem.hint("a key does not belong in this file".to_owned()).mend(
                "put the key in a file of its own (chmod 600) and name it: api_key_file = \"…\" under [api];   or set VOXBATCH_API_KEY",
            );
        }
        // A setting that stands in the wrong section is the more likely slip than one that is spelled alike.
        let elsewhere = self
            .asked
            .iter()
            .filter(|path| path.last().is_some_and(|last| last == name) && path.len() > 1)
            .map(|path| path[..path.len() - 1].join("."))
            .find(|section| *section != under.join("."));
        let hint = match (nearest(name, self.siblings(under)), elsewhere) {
            (None, Some(section)) => {
                let section = if section == "job" { "[[job]]".to_owned() } else { format!("[{section}]") };
                Some(format!("`{name}` belongs under {section}"))
            }
            (near, _) => near.map(|near| format!("did you mean `{near}`?")),
        };
        problem.hint(hint)
    }

    /// Names that could stand in a table.
    fn siblings<'s>(&'s self, under: &[&str]) -> impl Iterator<Item = &'s str> {
        let depth = under.len();
        let under: Vec<String> = under.iter().map(|part| (*part).to_owned()).collect();
        self.asked
            .iter()
            .filter(move |path| path.len() > depth && path[..depth] == under[..])
            .map(move |path| path[depth].as_str())
    }
}
