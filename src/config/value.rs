//! The kinds of values a setting can have: how each is read from TOML, from a flag or a variable, and shown.
//! Which setting has which kind is left to `resolve` and `job`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};
use serde_json::{Value, json};
use toml::de::DeValue;

use super::error::{Code, did_you_mean};

/// Why a value is not taken. `why` follows the setting's name: "`retry.base` has no unit".
pub(super) struct Wrong {
    pub(super) code: Code,
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn value(why: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Wrong { code: Code::Value, why: why.into(), hint: hint.into() }
    }

    pub(super) fn kind(expected: &str, found: &DeValue<'_>, hint: impl Into<Option<String>>) -> Self {
        let found = match found {
            DeValue::Array(_) => "a list",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Float(_) => "a number",
            DeValue::Integer(_) => "a whole number",
            DeValue::String(_) => "a text",
            DeValue::Table(_) => "a table",
        };
        Wrong { code: Code::Type, why: format!("must be {expected}, not {found}"), hint: hint.into() }
    }
}

/// A kind of value.
pub(super) trait Kind {
    /// What it becomes.
    type Out;
    /// What a person would call it, with an article.
    const EXPECTED: &'static str;

    /// From words: a flag, a variable, a TOML string.
    fn text(&self, text: &str) -> Result<Self::Out, Wrong>;

    /// From a flag or a variable.
    fn os(&self, text: &OsStr) -> Result<Self::Out, Wrong> {
        match text.to_str() {
            Some(text) => self.text(text.trim()),
            None => Err(Wrong::value("is not UTF-8", None)),
        }
    }

    /// From the file.
    fn toml(&self, value: &DeValue<'_>) -> Result<Self::Out, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            other => Err(Wrong::kind(Self::EXPECTED, other, None)),
        }
    }

    /// As the file would say it.
    fn show(&self, out: &Self::Out) -> Value;
}

/// A length of time with its unit.
pub(super) struct Length {
    /// Whether no time at all makes sense: it switches something off.
    pub(super) zero: bool,
}

/// Longer waits overflow clocks and are surely not meant.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Kind for Length {
    type Out = Duration;
    const EXPECTED: &'static str = "a length of time such as \"90s\" or \"1m30s\"";

    fn text(&self, text: &str) -> Result<Duration, Wrong> {
        let example = || "write for example \"10s\", \"1m30s\" or \"24h\"".to_owned();
        if let Ok(bare) = text.parse::<f64>() {
            return Err(Wrong::value("has no unit", format!("write \"{bare}s\" if you mean seconds")));
        }
        let span: SignedDuration =
            text.parse().map_err(|_| Wrong::value(format!("is no length of time: `{text}`"), example()))?;
        match Duration::try_from(span) {
            Ok(Duration::ZERO) if !self.zero => Err(Wrong::value("must be more than no time", example())),
            Ok(length) if length > LONGEST => {
                Err(Wrong::value("is longer than a year", "at most \"8784h\"".to_owned()))
            }
            Ok(length) => Ok(length),
            Err(_) => Err(Wrong::value("must not be negative", example())),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Duration, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            DeValue::Integer(bare) => self.text(&bare.to_string()),
            DeValue::Float(bare) => self.text(bare.as_str()),
            other => Err(Wrong::kind(Self::EXPECTED, other, None)),
        }
    }

    fn show(&self, length: &Duration) -> Value {
        let span = SignedDuration::try_from(*length).unwrap_or(SignedDuration::MAX);
        json!(SpanPrinter::new().spacing(Spacing::None).duration_to_string(&span))
    }
}

/// A size of files with its unit, in bytes.
pub(super) struct Size;

impl Kind for Size {
    type Out = u64;
    const EXPECTED: &'static str = "a size such as \"100 MB\"";

    fn text(&self, text: &str) -> Result<u64, Wrong> {
        if text.parse::<f64>().is_ok() {
            return Err(Wrong::value("has no unit", format!("write \"{text} MB\" or \"{text} B\"")));
        }
        match text.parse::<ByteSize>() {
            Ok(ByteSize(0)) => Err(Wrong::value("must be more than nothing", None)),
            Ok(size) => Ok(size.as_u64()),
            Err(_) => Err(Wrong::value(
                format!("is no size: `{text}`"),
                "write for example \"100 MB\" (1000 kB) or \"95 MiB\" (1024 KiB)".to_owned(),
            )),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<u64, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            DeValue::Integer(bare) => self.text(&bare.to_string()),
            other => Err(Wrong::kind(Self::EXPECTED, other, None)),
        }
    }

    fn show(&self, bytes: &u64) -> Value {
        // The largest unit that says it exactly.
        let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];
        let (unit, factor) =
            units.into_iter().find(|(_, size)| bytes.is_multiple_of(*size)).unwrap_or(("B", 1));
        json!(format!("{} {unit}", bytes / factor))
    }
}

/// A size within bounds, which are told as written here.
pub(super) struct SizeWithin {
    pub(super) least: (u64, &'static str),
    pub(super) most: (u64, &'static str),
}

impl Kind for SizeWithin {
    type Out = u64;
    const EXPECTED: &'static str = Size::EXPECTED;

    fn text(&self, text: &str) -> Result<u64, Wrong> {
        let (least, most) = (self.least, self.most);
        match Size.text(text)? {
            bytes if (least.0..=most.0).contains(&bytes) => Ok(bytes),
            _ => Err(Wrong::value(format!("must be {} to {}, not {text}", least.1, most.1), None)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<u64, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            other => Size.toml(other),
        }
    }

    fn show(&self, bytes: &u64) -> Value {
        Size.show(bytes)
    }
}

/// A whole number within bounds.
pub(super) struct Whole {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Kind for Whole {
    type Out = u32;
    const EXPECTED: &'static str = "a whole number";

    fn text(&self, text: &str) -> Result<u32, Wrong> {
        let range = format!("a whole number from {} to {}", self.min, self.max);
        let number: i128 =
            text.replace('_', "").parse().map_err(|_| Wrong::value(format!("must be {range}"), None))?;
        u32::try_from(number)
            .ok()
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| Wrong::value(format!("is out of range: {range}"), None))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<u32, Wrong> {
        match value {
            DeValue::Integer(n) => match i128::from_str_radix(n.as_str(), n.radix()) {
                Ok(number) => self.text(&number.to_string()),
                Err(_) => Err(Wrong::value(format!("is out of range: at most {}", self.max), None)),
            },
            DeValue::String(text) if self.text(text).is_ok() => {
                Err(Wrong::kind(Self::EXPECTED, value, format!("write {text} without quotes")))
            }
            other => Err(Wrong::kind(Self::EXPECTED, other, None)),
        }
    }

    fn show(&self, number: &u32) -> Value {
        json!(number)
    }
}

/// Hours of audio in a month, kept in milliseconds; not set: no cap.
pub(super) struct Hours;

impl Kind for Hours {
    type Out = Option<u64>;
    const EXPECTED: &'static str = "a number of hours";

    fn text(&self, text: &str) -> Result<Option<u64>, Wrong> {
        let ms = text.replace('_', "").parse::<f64>().map(|hours| (hours * 3_600_000.0).round());
        match ms {
            // The upper bound keeps the product exact.
            Ok(ms) if (1.0..=3.6e15).contains(&ms) => Ok(Some(ms as u64)),
            Ok(_) => Err(Wrong::value(
                "must be more than 0 and at most 1000000000 hours",
                "to stop an endpoint: voxbatch pause".to_owned(),
            )),
            Err(_) => Err(Wrong::value("must be a number of hours, such as 200", None)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Option<u64>, Wrong> {
        match value {
            DeValue::Integer(n) if n.radix() == 10 => self.text(n.as_str()),
            DeValue::Float(n) => self.text(n.as_str()),
            other => Err(Wrong::kind(Self::EXPECTED, other, "write for example 200".to_owned())),
        }
    }

    fn show(&self, ms: &Option<u64>) -> Value {
        match ms {
            None => Value::Null,
            Some(ms) if ms % 3_600_000 == 0 => json!(ms / 3_600_000),
            Some(ms) => json!(*ms as f64 / 3_600_000.0),
        }
    }
}

/// Yes or no.
pub(super) struct Switch;

impl Kind for Switch {
    type Out = bool;
    const EXPECTED: &'static str = "true or false";

    fn text(&self, text: &str) -> Result<bool, Wrong> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(Wrong::value(format!("is neither true nor false: `{text}`"), None)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<bool, Wrong> {
        match value {
            DeValue::Boolean(on) => Ok(*on),
            other => Err(Wrong::kind(Self::EXPECTED, other, "write true or false without quotes".to_owned())),
        }
    }

    fn show(&self, on: &bool) -> Value {
        json!(on)
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static> {
    /// What the words stand for, in the order in which they are told.
    pub(super) words: Vec<(&'static str, T)>,
    /// Models have a code of their own.
    pub(super) code: Code,
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Out = T;
    const EXPECTED: &'static str = "a word";

    fn text(&self, text: &str) -> Result<T, Wrong> {
        let words = || self.words.iter().map(|(word, _)| *word);
        self.words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| Wrong {
            code: self.code,
            why: format!("knows no `{text}`"),
            hint: Some(
                did_you_mean(text, words())
                    .unwrap_or_else(|| format!("one of: {}", words().collect::<Vec<_>>().join(", "))),
            ),
        })
    }

    fn show(&self, meaning: &T) -> Value {
        json!(self.words.iter().find(|(_, m)| m == meaning).map(|(word, _)| word))
    }
}

/// A list of such words, each once and at least one of them.
pub(super) struct Several<T: 'static>(pub(super) Choice<T>);

impl<T: Copy + PartialEq> Kind for Several<T> {
    type Out = Vec<T>;
    const EXPECTED: &'static str = "a list of words";

    /// One word of the list.
    fn text(&self, text: &str) -> Result<Vec<T>, Wrong> {
        self.0.text(text).map(|one| vec![one])
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<T>, Wrong> {
        let DeValue::Array(list) = value else {
            let hint = value.as_str().map(|one| format!("write [\"{one}\"]"));
            return Err(Wrong::kind(Self::EXPECTED, value, hint));
        };
        let mut words = Vec::new();
        for item in list {
            let word = self.0.toml(item.get_ref())?;
            if words.contains(&word) {
                let twice = item.get_ref().as_str().unwrap_or_default();
                return Err(Wrong::value(format!("holds `{twice}` twice"), None));
            }
            words.push(word);
        }
        if words.is_empty() {
            let all: Vec<&str> = self.0.words.iter().map(|(word, _)| *word).collect();
            return Err(Wrong::value("holds nothing", format!("one or more of: {}", all.join(", "))));
        }
        Ok(words)
    }

    fn show(&self, list: &Vec<T>) -> Value {
        list.iter().map(|one| self.0.show(one)).collect()
    }
}

/// A list of globs.
pub(super) struct Globs;

impl Kind for Globs {
    type Out = Vec<String>;
    const EXPECTED: &'static str = "a list of patterns such as [\"**/*.wav\"]";

    /// One pattern of the list.
    fn text(&self, text: &str) -> Result<Vec<String>, Wrong> {
        match globset::GlobBuilder::new(text).literal_separator(true).build() {
            Ok(_) if text.is_empty() => Err(Wrong::value("holds an empty pattern", None)),
            Ok(_) => Ok(vec![text.to_owned()]),
            Err(error) => Err(Wrong::value(format!("holds no pattern: `{text}`"), error.kind().to_string())),
        }
    }

    /// Lists have no separator that no path could hold, so they stand in the file only.
    fn os(&self, _: &OsStr) -> Result<Vec<String>, Wrong> {
        Err(Wrong::value("is a list, which only the file can say", None))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
        let DeValue::Array(list) = value else {
            let hint = value.as_str().map(|one| format!("write [\"{one}\"]"));
            return Err(Wrong::kind(Self::EXPECTED, value, hint));
        };
        list.iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => self.text(text).map(|mut one| one.swap_remove(0)),
                other => Err(Wrong::kind("a list of texts", other, "inside of the list".to_owned())),
            })
            .collect()
    }

    fn show(&self, list: &Vec<String>) -> Value {
        json!(list)
    }
}

/// A list of whole numbers within bounds.
pub(super) struct Numbers(pub(super) Whole);

impl Kind for Numbers {
    type Out = Vec<u32>;
    const EXPECTED: &'static str = "a list of whole numbers";

    /// One number of the list.
    fn text(&self, text: &str) -> Result<Vec<u32>, Wrong> {
        self.0.text(text).map(|one| vec![one])
    }

    fn os(&self, _: &OsStr) -> Result<Vec<u32>, Wrong> {
        Err(Wrong::value("is a list, which only the file can say", None))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Vec<u32>, Wrong> {
        let DeValue::Array(list) = value else {
            return Err(Wrong::kind(Self::EXPECTED, value, "write for example [0, 3]".to_owned()));
        };
        list.iter().map(|item| self.0.toml(item.get_ref())).collect()
    }

    fn show(&self, list: &Vec<u32>) -> Value {
        json!(list)
    }
}

/// Any words, checked by a function.
pub(super) struct Words(pub(super) fn(&str) -> Result<String, Wrong>);

impl Kind for Words {
    type Out = String;
    const EXPECTED: &'static str = "a text";

    fn text(&self, text: &str) -> Result<String, Wrong> {
        (self.0)(text)
    }

    fn show(&self, text: &String) -> Value {
        json!(text)
    }
}

/// A path: in the file relative to the file, elsewhere to the current folder. Absolute afterwards.
pub(super) struct Location<'a> {
    /// The file's folder.
    pub(super) base: &'a Path,
}

impl Kind for Location<'_> {
    type Out = PathBuf;
    const EXPECTED: &'static str = "a path";

    fn text(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() || text.contains('\0') {
            return Err(Wrong::value("is no path", None));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(Wrong::value(
                "begins with `~`, which only a shell understands",
                "write the whole path".to_owned(),
            ));
        }
        Ok(absolute(&self.base.join(text)))
    }

    fn os(&self, text: &OsStr) -> Result<PathBuf, Wrong> {
        Ok(absolute(Path::new(text)))
    }

    fn show(&self, path: &PathBuf) -> Value {
        json!(path.to_string_lossy())
    }
}

/// Without `.`; `..` and links are followed only where there is a `..`, so that paths stay as people wrote them.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if whole.components().any(|part| part == Component::ParentDir) { identity(&whole) } else { whole }
}

/// What a path really names: links followed as far as the path exists, the rest taken word by word.
pub(super) fn identity(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                real.pop();
            }
            part => {
                real.push(part);
                real = real.canonicalize().unwrap_or(real);
            }
        }
    }
    real
}
