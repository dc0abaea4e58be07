//! `jobs.toml` as text: reads it within bounds, parses it, and knows which line a thing stands on.
//! What the settings mean is left to `reader` and `resolve`.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::error::{Code, ConfigError, Place, Problem, clean};

/// Larger files are not configurations.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Characters shown of a line before, at and behind the caret, at most.
const SHOWN: usize = 40;

/// Bytes of a line that are looked at on either side of a place.
const REACH: usize = 4096;

/// A parsed text.
pub(super) struct Document<'t> {
    /// As the file was named; empty for a text without a file.
    pub(super) name: String,
    /// The topmost table.
    pub(super) root: DeTable<'t>,
    text: Text<'t>,
}

struct Text<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// Reads a file of settings.
///
/// # Errors
/// It is not there, a folder, unreadable, larger than 1 MiB or not UTF-8; `what` names it in those.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let name = clean(&path.to_string_lossy());
    let refuse = |what: String| Problem::new(Code::Read, what);
    if path.is_dir() {
        let inside = path.join("jobs.toml");
        let near = inside.is_file().then(|| format!("did you mean {}?", inside.display()));
        return Err(refuse(format!("{name} is a folder, not a file")).hint(near));
    }
    let bytes = match read_bounded(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Problem::new(Code::Missing, format!("there is no {name}")));
        }
        Err(error) => return Err(refuse(format!("{name} cannot be read: {error}"))),
    };
    if bytes.len() > MAX_BYTES {
        return Err(refuse(format!("{name} is larger than 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let bytes = error.as_bytes();
        let line = 1 + bytes[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        refuse(format!("{name} is not UTF-8 text (line {line})"))
            .hint(utf16.then(|| "it looks like UTF-16; save it as UTF-8".to_owned()))
    })
}

/// At most one byte more than allowed, so that a device without an end cannot fill the memory.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<'t> Document<'t> {
    /// Parses a text; a byte-order mark before it is passed over.
    ///
    /// # Errors
    /// The first place that is not TOML, for one slip often makes the rest unreadable.
    pub(super) fn parse(name: &str, text: &'t str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > MAX_BYTES {
            return Err(Problem::new(Code::Read, format!("{name} is larger than 1 MiB")).into());
        }
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let lines = Text { text, lines: starts };
        match DeTable::parse(text) {
            Ok(root) => Ok(Document { name: clean(name), root: root.into_inner(), text: lines }),
            Err(error) => {
                let place = lines.place(&clean(name), error.span().unwrap_or(text.len()..text.len()));
                Err(Problem::new(Code::Syntax, "this is not TOML")
                    .hint(error.message().to_owned())
                    .at(place)
                    .into())
            }
        }
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        self.text.place(&self.name, span)
    }

    /// From 1.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.text.line(span.start)
    }
}

impl Text<'_> {
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    fn place(&self, file: &str, span: Range<usize>) -> Place {
        let line = self.line(span.start);
        let start = self.lines[line - 1];
        let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        let whole = self.text[start..end].trim_end_matches('\r');
        // Spans end on character borders, but may reach over the line or past the text.
        let from = floor(whole, span.start.saturating_sub(start));
        let to = floor(whole, span.end.saturating_sub(start)).max(from);
        let column = whole[..from].chars().count() + 1;
        // A line can be a megabyte long; no key is that far from its name.
        let near = floor(whole, from.saturating_sub(REACH));
        let whole = &whole[near..floor(whole, to.min(from + REACH) + REACH)];
        let (from, to) = (from - near, (to - near).min(whole.len()));
        let visible = hide_secrets(whole);

        let (before, cut) = tail(&visible[..from.min(visible.len())]);
        let before = clean(&before);
        let marked = head(visible.get(from..to.min(visible.len())).unwrap_or_default());
        let rest = head(visible.get(to..).unwrap_or_default());
        let hidden = if visible.len() < whole.len() { " …" } else { "" };
        Place {
            file: file.to_owned(),
            line,
            column,
            indent: before.chars().count() + cut.chars().count(),
            text: format!("{cut}{before}{marked}{rest}{hidden}").trim_end().to_owned(),
            width: marked.chars().count().max(1),
        }
    }
}

/// The first characters, cleaned.
fn head(text: &str) -> String {
    clean(&text.chars().take(SHOWN).collect::<String>())
}

/// The last characters, and what stands for those left out.
fn tail(text: &str) -> (String, &'static str) {
    match text.char_indices().rev().nth(SHOWN) {
        Some((at, _)) => (text[at..].chars().skip(1).collect(), "…"),
        None => (text.to_owned(), ""),
    }
}

/// The nearest border between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The line up to a value that may be a key: an error must not print what belongs to nobody's screen.
fn hide_secrets(line: &str) -> &str {
    // Of an address the host is shown: what comes behind it may be as good as a key, and what stands before an `@` is one.
    let address = line.find("://").map(|at| at + 3).and_then(|host| match line[host..].contains('@') {
        true => Some(host),
        false => line[host..].find('/').map(|path| host + path + 1),
    });
    let value = line
        .match_indices(['=', ':'])
        .map(|(at, _)| at)
        .find(|at| {
            is_secret(line[..*at].trim_end().rsplit([' ', '\t', '.', ',', '{']).next().unwrap_or_default())
        })
        .map(|at| at + 1);
    &line[..address.into_iter().chain(value).min().unwrap_or(line.len())]
}

/// Whether a setting of this name would hold a secret. Names of files that hold one are harmless.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.trim_matches(['"', '\'']).to_lowercase().replace('-', "_");
    ["key", "token", "secret", "password", "authorization"].iter().any(|word| name.ends_with(word))
        || name == "apikey"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, marked: &str) -> Place {
        let doc = Document::parse("f", "").unwrap_or_else(|e| panic!("{e}"));
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let at = text.find(marked).unwrap();
        Text { text, lines }.place(&doc.name, at..at + marked.len())
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let place = place("a = 1\r\nä = \"x\"\r\n", "\"x\"");
        assert_eq!((place.line, place.column, place.indent, place.width), (2, 5, 4, 3));
        assert_eq!(place.text, "ä = \"x\"");
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let text = format!("x = [{}, oops, {}]", "1, ".repeat(400), "2, ".repeat(400));
        let place = place(&text, "oops");
        let shown: String = place.text.chars().skip(place.indent).take(place.width).collect();
        assert_eq!(shown, "oops");
        assert!(place.text.chars().count() <= 3 * SHOWN);
    }

    #[test]
    fn what_may_be_a_key_is_not_shown() {
        for line in [
            "api_key = \"s3cr3t\"",
            "api.\"api-key\"=\"s3cr3t\"",
            "api = { token = 's3cr3t' }",
            "base_url = \"https://me:s3cr3t@host\"",
            "ulr = \"https://host/s3cr3t\"",
        ] {
            assert!(!place(line, &line[..3]).text.contains("s3cr3t"), "{line}");
        }
        assert!(place("api_key_file = \"k\"", "api").text.contains("\"k\""));
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(place("a\u{1b}[2J = \u{202e}1", "1").text, "a\\u{1b}[2J = \\u{202e}1");
    }
}
