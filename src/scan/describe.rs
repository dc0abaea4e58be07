//! What a recording comes with beside a list: named parts of its name, and a `.json` file beside it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use super::{ScanError, ScanSettings};
use crate::task::{Description, RecordingPath};

/// Larger files beside a recording are something else.
const SIDECAR_MAX: u64 = 1 << 20;

/// Says what recordings come with.
#[derive(Debug, Clone)]
pub struct Describe {
    root: PathBuf,
    pattern: Option<Regex>,
    sidecars: bool,
}

/// What was found out of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What it comes with, or why that cannot be taken.
    pub said: Result<Description, String>,
    /// There is a pattern, and its name does not match.
    pub unmatched: bool,
    /// A file beside each recording is looked for, and it has none.
    pub alone: bool,
}

/// Reads a pattern for names.
///
/// # Errors
/// What is wrong with it.
pub fn name_pattern(text: &str) -> Result<Regex, String> {
    let pattern = Regex::new(text).map_err(|error| {
        let error = error.to_string();
        error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    match pattern.capture_names().flatten().next() {
        Some(_) => Ok(pattern),
        None => Err("it names no part of a path; a part is named as in (?<agent>[A-Z]+)".to_owned()),
    }
}

impl Describe {
    /// For recordings below `root`; `None` if the settings ask for nothing of the kind.
    ///
    /// # Errors
    /// [`ScanError::Pattern`].
    pub fn new(settings: &ScanSettings, root: &Path) -> Result<Option<Self>, ScanError> {
        let read = |text: &String| {
            name_pattern(text).map_err(|why| ScanError::Pattern { pattern: text.clone(), why })
        };
        let pattern = settings.metadata_pattern.as_ref().map(read).transpose()?;
        let describe = Describe { root: root.to_owned(), pattern, sidecars: settings.sidecars };
        Ok((describe.pattern.is_some() || describe.sidecars).then_some(describe))
    }

    /// The names of fields that are known beforehand.
    pub(super) fn fields(&self) -> Vec<String> {
        let names = self.pattern.iter().flat_map(|pattern| pattern.capture_names().flatten());
        names.map(str::to_owned).collect()
    }

    /// Of one recording. A file beside it says more than its name. Reads that file, if there is one.
    pub fn of(&self, path: &RecordingPath) -> Described {
        let mut described = Described { said: Ok(Description::default()), unmatched: false, alone: false };
        let mut fields = Map::new();
        if let Some(pattern) = &self.pattern {
            let name = String::from_utf8_lossy(path.as_bytes());
            match pattern.captures(&name) {
                None => described.unmatched = true,
                Some(parts) => {
                    for name in pattern.capture_names().flatten() {
                        if let Some(part) = parts.name(name) {
                            fields.insert(name.to_owned(), Value::from(part.as_str()));
                        }
                    }
                }
            }
        }
        described.said = Description::of(fields);
        if self.sidecars {
            match self.sidecar(path) {
                Ok(Some(more)) => {
                    if let Ok(said) = &mut described.said {
                        said.extend(more);
                    }
                }
                Ok(None) => described.alone = true,
                Err(why) => described.said = Err(why),
            }
        }
        described
    }

    /// `call.wav.json`, or else `call.json`.
    fn sidecar(&self, path: &RecordingPath) -> Result<Option<Description>, String> {
        let recording = self.root.join(path.as_path());
        let mut behind = recording.clone().into_os_string();
        behind.push(".json");
        for place in [PathBuf::from(behind), recording.with_extension("json")] {
            if place == recording {
                continue;
            }
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match read(&place) {
                Ok(None) => {}
                Ok(Some(bytes)) => return object(&bytes).map(Some).map_err(|why| format!("{name} {why}")),
                Err(error) => return Err(format!("{name} cannot be read: {error}")),
            }
        }
        Ok(None)
    }
}

fn object(bytes: &[u8]) -> Result<Description, String> {
    if bytes.len() as u64 > SIDECAR_MAX {
        return Err(format!("is larger than {SIDECAR_MAX} bytes"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Description::of(object),
        Ok(_) => Err("is no JSON object".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
}

/// At most a byte more than is taken. Without blocking: what is called so could be a pipe.
fn read(place: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(place) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(SIDECAR_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(root: &Path, pattern: Option<&str>, sidecars: bool) -> Describe {
        let settings =
            ScanSettings { metadata_pattern: pattern.map(str::to_owned), sidecars, ..Default::default() };
        Describe::new(&settings, root).unwrap().unwrap()
    }

    fn fields(described: &Described) -> String {
        described.said.as_ref().unwrap().metadata().fields.unwrap_or_default()
    }

    #[test]
    fn named_parts_of_a_name_are_fields_and_a_name_that_does_not_match_is_told() {
        let describe = describe(Path::new("/in"), Some(r"(?<agent>[A-Z]+)_(?<date>\d+)(?<part>-\d)?"), false);
        assert_eq!(describe.fields(), ["agent", "date", "part"]);
        let found = describe.of(&RecordingPath::from_bytes(*b"2024/ANNA_20240101.wav"));
        assert_eq!(
            (fields(&found).as_str(), found.unmatched),
            (r#"{"agent":"ANNA","date":"20240101"}"#, false)
        );
        let other = describe.of(&RecordingPath::from_bytes(*b"2024/\xff.wav"));
        assert_eq!((fields(&other).as_str(), other.unmatched), ("", true));
    }

    #[test]
    fn a_file_beside_a_recording_says_more_than_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        write("A_1.wav.json", "\u{FEFF}{\"agent\": \"Anna\", \"options\": {\"language\": \"de\"}}");
        write("A_1.json", "{\"agent\": \"not this\"}");
        write("B_2.json", "{\"team\": 7}");
        write("C_3.json", "{\n oops");
        write("D_4.json", "[]");
        let describe = describe(folder.path(), Some(r"(?<agent>[A-Z])_"), true);
        let of = |name: &str| describe.of(&RecordingPath::from_bytes(name));
        assert_eq!(fields(&of("A_1.wav")), r#"{"agent":"Anna"}"#);
        assert_eq!(of("A_1.wav").said.unwrap().metadata().options.unwrap(), r#"{"language":"de"}"#);
        assert_eq!(fields(&of("B_2.wav")), r#"{"agent":"B","team":7}"#);
        assert!(
            of("C_3.wav")
                .said
                .unwrap_err()
                .starts_with("C_3.json is no JSON: key must be a string at line 2")
        );
        assert_eq!(of("D_4.wav").said.unwrap_err(), "D_4.json is no JSON object");
        let alone = of("E_5.wav");
        assert_eq!((alone.alone, fields(&alone).as_str()), (true, r#"{"agent":"E"}"#));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_or_names_nothing_is_refused() {
        assert!(name_pattern("(?<a>[").unwrap_err().contains("unclosed"));
        assert!(name_pattern("[A-Z]+").unwrap_err().contains("(?<agent>"));
    }
}
