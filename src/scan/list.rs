//! A list of recordings as a source: CSV, or an object a line as JSON Lines and NeMo have them. One row names one
//! recording, and whatever else stands in it comes with that recording.
//!
//! Nothing in a row is taken for granted. A row whose recording can be named is told with what is wrong with it, so that
//! it is counted and listed; one that names none is trouble, with its line.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::ScanError;
use crate::task::{Description, RecordingPath};

/// Names of the column, or key, that says where the recording is; the first that is there counts.
const PATHS: [&str; 5] = ["audio_filepath", "path", "file", "filename", "audio_path"];

/// No row is longer than this: a quote that is not closed, or no list at all.
const ROW_MAX: usize = 1 << 20;

/// One row.
pub(super) enum Row {
    /// A recording.
    Names {
        path: RecordingPath,
        line: u64,
        /// What it comes with, or why that cannot be taken.
        said: Result<Description, String>,
    },
    /// No recording can be told from it.
    Trouble { line: u64, error: String },
}

/// Whether a source is a list, by its name.
pub fn is_list(source: &Path) -> bool {
    kind_of(source).is_some()
}

#[derive(Clone, Copy)]
enum Kind {
    Table,
    Lines,
}

fn kind_of(source: &Path) -> Option<Kind> {
    let extension = source.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" | "tsv" => Some(Kind::Table),
        "jsonl" | "ndjson" | "json" => Some(Kind::Lines),
        _ => None,
    }
}

/// The names under which its rows bring metadata, as far as its beginning tells.
pub(super) fn fields(source: &Path, root: &Path) -> Result<Vec<String>, ScanError> {
    let mut names = Vec::new();
    read(source, root, |row| {
        if let Row::Names { said: Ok(said), .. } = row {
            names = said.fields.keys().cloned().collect();
        }
        ControlFlow::Break(())
    })?;
    if let Some(Kind::Table) = kind_of(source) {
        // Cells of the first row may be empty; the header names every column.
        let table = Table::open(source)?;
        let named = table.header.into_iter().enumerate();
        let is_field =
            |at: usize, name: &str| at != table.path && name != "options" && !name.starts_with("options.");
        names = named.filter(|(at, name)| is_field(*at, name)).map(|(_, name)| name).collect();
    }
    Ok(names)
}

/// Tells each row until the listener breaks.
///
/// # Errors
/// It cannot be read, or is no such list at all.
pub(super) fn read(
    source: &Path,
    root: &Path,
    mut each: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<(), ScanError> {
    let mut places = Places { root: root.to_owned(), real: root.canonicalize().ok(), seen: HashMap::new() };
    match kind_of(source).unwrap_or(Kind::Lines) {
        Kind::Table => Table::open(source)?.read(&mut places, &mut each),
        Kind::Lines => read_lines(source, &mut places, &mut each),
    }
}

/// Where the recordings are, and which lines have named one already.
struct Places {
    root: PathBuf,
    real: Option<PathBuf>,
    /// By a hash of the path: a list of ten million takes some hundred megabytes, whatever its names.
    seen: HashMap<u64, u64>,
}

impl Places {
    /// The recording that is meant, relative to the root.
    fn find(&mut self, named: &[u8], line: u64) -> Result<RecordingPath, String> {
        if named.is_empty() {
            return Err("names no recording: its path is empty".to_owned());
        }
        if named.contains(&0) {
            return Err("names no recording: its path holds a NUL".to_owned());
        }
        let path = Path::new(OsStr::from_bytes(named));
        let inside = match path.is_absolute() {
            false => path,
            true => [Some(&self.root), self.real.as_ref()]
                .into_iter()
                .flatten()
                .find_map(|root| path.strip_prefix(root).ok())
                .ok_or_else(|| self.outside(path))?,
        };
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in inside.components() {
            match part {
                Component::Normal(name) => parts.push(name.as_bytes()),
                Component::ParentDir => {
                    parts.pop().ok_or_else(|| self.outside(path))?;
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        let path = parts.join(&b'/');
        if path.is_empty() {
            return Err("names no recording but the folder itself".to_owned());
        }
        let hash = blake3::hash(&path);
        let (key, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        match self.seen.insert(u64::from_le_bytes(*key), line) {
            None => Ok(RecordingPath::from_bytes(path)),
            Some(first) => {
                self.seen.insert(u64::from_le_bytes(*key), first);
                Err(format!(
                    "names the recording of line {first} again; a list names each once, and the first counts"
                ))
            }
        }
    }

    fn outside(&self, path: &Path) -> String {
        format!(
            "`{}` lies outside of {}: say with `root` of the job which folder holds them all",
            RecordingPath::from(path),
            self.root.display()
        )
    }
}

/// A row that could be read: where the recording is, and everything else.
fn row(places: &mut Places, line: u64, path: &[u8], said: Result<Description, String>) -> Row {
    match places.find(path, line) {
        Ok(path) => Row::Names { path, line, said },
        Err(error) => Row::Trouble { line, error },
    }
}

fn unreadable(source: &Path) -> impl Fn(io::Error) -> ScanError {
    move |error| ScanError::SourceUnreadable { path: source.to_owned(), why: error.to_string() }
}

fn no_list(source: &Path, why: impl Into<String>) -> ScanError {
    ScanError::NoList { path: source.to_owned(), why: why.into() }
}

/// Opens it behind a byte-order mark.
fn open(source: &Path) -> Result<BufReader<File>, ScanError> {
    let mut file = BufReader::with_capacity(64 << 10, File::open(source).map_err(unreadable(source))?);
    let start = file.fill_buf().map_err(unreadable(source))?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") || start.get(1) == Some(&0) {
        return Err(no_list(source, "it is UTF-16; save it as UTF-8"));
    }
    if start.starts_with(b"\xef\xbb\xbf") {
        file.consume(3);
    }
    Ok(file)
}

struct Table<'s> {
    source: &'s Path,
    reader: csv::Reader<Lines>,
    header: Vec<String>,
    path: usize,
}

/// A text with `\n` at the end of every line and nothing else: then lines can be counted.
struct Lines {
    file: BufReader<File>,
    /// A `\r` was read, and what follows it was not.
    held: bool,
    last: u8,
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        // Two bytes may come of one.
        while written + 2 <= out.len() && (written == 0 || !self.file.buffer().is_empty()) {
            let Some(&byte) = self.file.fill_buf()?.first() else {
                let rest = if self.held { b'\r' } else { b'\n' };
                if self.held || self.last != b'\n' {
                    (self.held, self.last) = (false, rest);
                    out[written] = rest;
                    written += 1;
                }
                break;
            };
            self.file.consume(1);
            if std::mem::take(&mut self.held) && byte != b'\n' {
                out[written] = b'\r';
                written += 1;
            }
            match byte {
                b'\r' => self.held = true,
                byte => {
                    (out[written], self.last) = (byte, byte);
                    written += 1;
                }
            }
        }
        Ok(written)
    }
}

impl<'s> Table<'s> {
    fn open(source: &'s Path) -> Result<Self, ScanError> {
        let mut file = open(source)?;
        let start = file.fill_buf().map_err(unreadable(source))?;
        let first = start.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        // Spreadsheets of half the world write semicolons.
        let count = |delimiter: u8| first.iter().filter(|byte| **byte == delimiter).count();
        let delimiter =
            [b',', b';', b'\t'].into_iter().max_by_key(|d| (count(*d), *d == b',')).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(Lines { file, held: false, last: b'\n' });
        let mut header = csv::ByteRecord::new();
        if !reader.read_byte_record(&mut header).map_err(|e| no_list(source, e.to_string()))? {
            return Err(no_list(source, "it is empty; its first line names the columns"));
        }
        let names = header.iter().map(|name| std::str::from_utf8(name).map(|name| name.trim().to_owned()));
        let names = names.collect::<Result<Vec<String>, _>>();
        let header = names.map_err(|_| no_list(source, "its first line is not UTF-8; save it as UTF-8"))?;
        if let Some(twice) = header.iter().enumerate().find(|(n, name)| header[..*n].contains(name)) {
            return Err(no_list(source, format!("two of its columns are called `{}`", twice.1)));
        }
        let path = PATHS.iter().find_map(|name| header.iter().position(|column| column == name));
        let path = path.ok_or_else(|| {
            let named: Vec<String> = header.iter().map(|name| name.chars().take(40).collect()).collect();
            let why = format!("none of its columns is `{}`; it has {}", PATHS.join("`, `"), named.join(", "));
            no_list(source, why.chars().take(400).collect::<String>())
        })?;
        Ok(Table { source, reader, header, path })
    }

    fn read(
        mut self,
        places: &mut Places,
        each: &mut impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), ScanError> {
        let mut record = csv::ByteRecord::new();
        loop {
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(no_list(self.source, error.to_string())),
            }
            // The reader stands behind the row, whose cells may have line ends of their own.
            let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
            let line = self.reader.position().line().saturating_sub(1 + within);
            if record.len() == 1 && record.get(0).is_some_and(<[u8]>::is_empty) {
                continue; // a line with nothing on it
            }
            let path = record.get(self.path).unwrap_or_default();
            if each(row(places, line, path, self.describe(&record))).is_break() {
                return Ok(());
            }
        }
    }

    fn describe(&self, record: &csv::ByteRecord) -> Result<Description, String> {
        if record.as_slice().len() > ROW_MAX {
            let size = record.as_slice().len();
            return Err(format!(
                "has {size} bytes, and {ROW_MAX} are enough for a row: is a quote not closed?"
            ));
        }
        if record.len() != self.header.len() {
            return Err(format!(
                "has {} cells, and the first line names {}: is a delimiter in a cell without quotes?",
                record.len(),
                self.header.len()
            ));
        }
        let mut object = Map::new();
        for (n, (name, cell)) in self.header.iter().zip(record).enumerate() {
            if n == self.path {
                continue;
            }
            let cell = std::str::from_utf8(cell)
                .map_err(|_| format!("holds a `{name}` that is not UTF-8: save the list as UTF-8"))?;
            object.insert(name.clone(), Value::from(cell));
        }
        Description::of(object)
    }
}

fn read_lines(
    source: &Path,
    places: &mut Places,
    each: &mut impl FnMut(Row) -> ControlFlow<()>,
) -> Result<(), ScanError> {
    let mut file = open(source)?;
    let (mut bytes, mut line, mut named) = (Vec::new(), 0, false);
    loop {
        line += 1;
        bytes.clear();
        let limit = ROW_MAX as u64 + 1;
        if file.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(unreadable(source))? == 0 {
            return Ok(());
        }
        let told = if bytes.len() > ROW_MAX && bytes.last() != Some(&b'\n') {
            skip_line(&mut file).map_err(unreadable(source))?;
            Row::Trouble { line, error: format!("is longer than {ROW_MAX} bytes") }
        } else if bytes.trim_ascii().is_empty() {
            continue;
        } else {
            match object(&bytes) {
                Ok((path, said)) => {
                    named = true;
                    row(places, line, path.as_bytes(), said)
                }
                Err(error) if !named && line == 1 => {
                    return Err(no_list(
                        source,
                        format!("its first line {error}; a list has an object a line"),
                    ));
                }
                Err(error) => Row::Trouble { line, error },
            }
        };
        if each(told).is_break() {
            return Ok(());
        }
    }
}

/// To the end of a line that is too long to be kept.
fn skip_line(file: &mut BufReader<File>) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        let (end, done) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        file.consume(end);
        if done {
            return Ok(());
        }
    }
}

/// The path, and what else is said.
fn object(line: &[u8]) -> Result<(String, Result<Description, String>), String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8: save the list as UTF-8".to_owned())?;
    let mut object = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err("is no JSON object".to_owned()),
        Err(error) => {
            let error = error.to_string();
            return Err(format!("is no JSON: {}", error.split(" at line ").next().unwrap_or(&error)));
        }
    };
    let path = PATHS.iter().find_map(|name| object.shift_remove(*name));
    let Some(Value::String(path)) = path else {
        return Err(format!("has no `{}` that is a text", PATHS.join("`, `")));
    };
    let offset = object.shift_remove("offset").unwrap_or_default();
    if offset.as_f64().is_some_and(|seconds| seconds > 0.0) {
        let why = format!(
            "asks for a part of the recording (`offset` {offset}), and recordings are sent whole: cut it, or leave `offset` out"
        );
        return Ok((path, Err(why)));
    }
    Ok((path, Description::of(object)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, content: &[u8]) -> Result<Vec<String>, ScanError> {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(name);
        std::fs::write(&list, content).unwrap();
        let mut told = Vec::new();
        read(&list, Path::new("/data/calls"), |row| {
            told.push(match row {
                Row::Names { path, line, said: Ok(said) } => {
                    let said = said.metadata();
                    let own = said.options.map(|own| format!(" with {own}")).unwrap_or_default();
                    format!("{line}: {path} {}{own}", said.fields.unwrap_or_default())
                }
                Row::Names { path, line, said: Err(why) } => format!("{line}: {path}! {why}"),
                Row::Trouble { line, error } => format!("{line}! {error}"),
            });
            ControlFlow::Continue(())
        })?;
        Ok(told)
    }

    #[test]
    fn a_table_names_recordings_and_says_something_of_them() {
        let table = "\u{FEFF}path;agent;options.language\r\n2024/a.wav;A-17;de\r\n\r\n\"b;c.wav\";=1+1;\r\n/data/calls/d.wav;;\r\n";
        assert_eq!(
            rows("calls.csv", table.as_bytes()).unwrap(),
            [
                r#"2: 2024/a.wav {"agent":"A-17"} with {"language":"de"}"#,
                r#"4: b;c.wav {"agent":"=1+1"}"#,
                "5: d.wav ",
            ]
        );
    }

    #[test]
    fn nemo_and_json_lines_keep_their_types() {
        let lines = concat!(
            r#"{"audio_filepath": "a.wav", "duration": 3.5, "offset": 0, "text": "so", "options": {"language": "fr"}}"#,
            "\n\n",
            r#"{"audio_filepath": "./x/../b.wav", "ids": [1, 2]}"#,
        );
        assert_eq!(
            rows("train.json", lines.as_bytes()).unwrap(),
            [r#"1: a.wav {"duration":3.5,"text":"so"} with {"language":"fr"}"#, r#"3: b.wav {"ids":[1,2]}"#,]
        );
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_with_its_line_and_the_others_go_on() {
        let mut table = b"path,agent,team\n,A,t\n../up.wav,A,t\n/etc/passwd,A,t\na\0b.wav,A,t\n".to_vec();
        table.extend(b"a.wav,A,t\n./a.wav,A,t\nshort.wav,A\nlong.wav,A,t,t\nlatin.wav,J\xfcrgen,t\n.,A,t\n");
        table.extend(format!("huge.wav,{},t\nlast.wav,A,t\n", "x".repeat(2 << 20)).bytes());
        let told = rows("calls.csv", &table).unwrap();
        for (at, part) in [
            "2! names no recording: its path is empty",
            "3! `../up.wav` lies outside of /data/calls: say with `root`",
            "4! `/etc/passwd` lies outside",
            "5! names no recording: its path holds a NUL",
            "6: a.wav {\"agent\":\"A\"",
            "7! names the recording of line 6 again",
            "8: short.wav! has 2 cells, and the first line names 3",
            "9: long.wav! has 4 cells",
            "10: latin.wav! holds a `agent` that is not UTF-8",
            "11! names no recording but the folder itself",
            "12: huge.wav! has 2097161 bytes",
            "13: last.wav {",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[at].starts_with(part), "{}", told[at]);
        }
        assert_eq!(told.len(), 12);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_number_and_the_others_go_on() {
        let mut lines = br#"{"path":"a.wav"}"#.to_vec();
        lines.extend(b"\n[1]\n{\"path\":7}\n{\"path\":\"x.wav\"\n\xff\n");
        lines.extend(b"{\"path\":\"part.wav\",\"offset\":2.5}\n{\"path\":\"o.wav\",\"options\":\"de\"}\n");
        lines.extend(format!("{{\"path\":\"b.wav\",\"x\":\"{}\"}}\n", "x".repeat(2 << 20)).bytes());
        lines.extend(br#"{"path":"c.wav"}"#);
        let told = rows("calls.jsonl", &lines).unwrap();
        for (at, part) in [
            "1: a.wav",
            "2! is no JSON object",
            "3! has no `audio_filepath`",
            "4! is no JSON: EOF",
            "5! is not UTF-8",
            "6: part.wav! asks for a part of the recording (`offset` 2.5)",
            "7: o.wav! `options` must be an object",
            "8! is longer than 1048576 bytes",
            "9: c.wav",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(told[at].starts_with(part), "{}", told[at]);
        }
    }

    #[test]
    fn what_is_no_list_is_refused_as_a_whole() {
        let refused = |name, content: &[u8]| rows(name, content).unwrap_err().to_string();
        assert!(refused("a.csv", b"").contains("it is empty"));
        assert!(
            refused("a.csv", b"name,agent\na.wav,A\n").contains("none of its columns is `audio_filepath`")
        );
        assert!(refused("a.csv", b"path,x,x\n").contains("two of its columns are called `x`"));
        assert!(refused("a.csv", b"\xff\xfep\0a\0").contains("UTF-16"));
        assert!(refused("a.json", b"[\n{}\n]\n").contains("an object a line"));
        assert!(rows("a.jsonl", b"").unwrap().is_empty());
    }

    #[test]
    fn the_names_of_fields_are_known_from_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str, content: &str| {
            let list = folder.path().join(name);
            std::fs::write(&list, content).unwrap();
            fields(&list, folder.path())
        };
        assert_eq!(of("a.csv", "agent,path,options.language,team\n,a.wav,,\n").unwrap(), ["agent", "team"]);
        assert_eq!(of("a.jsonl", "{\"path\":\"a\",\"id\":1}\n{\"path\":\"b\",\"x\":1}\n").unwrap(), ["id"]);
        assert!(of("b.csv", "no,list\n").is_err());
    }
}
