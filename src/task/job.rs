//! A job as every room sees it, and the paths of its recordings.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Endpoint, JobId};

/// An entry of `jobs.toml`: a source, an endpoint, its options, its outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The queue's number for it.
    pub id: JobId,
    /// Its name, unique in the file.
    pub name: String,
    /// The model.
    pub endpoint: Endpoint,
    /// Options of the endpoint, checked, as a JSON object.
    pub options: serde_json::Value,
    /// The folder that recordings' paths are relative to.
    pub root: PathBuf,
    /// The folder of its results.
    pub output: PathBuf,
    /// Which recording goes first.
    pub order: Order,
}

impl Job {
    /// Where a recording lies.
    pub fn source_of(&self, recording: &RecordingPath) -> PathBuf {
        self.root.join(recording.as_path())
    }

    /// Where its redacted audio belongs: `OUTPUT/audio/<path>.redacted.mp3`; streamed, it is a FLAC.
    pub fn redacted_audio_of(&self, recording: &RecordingPath) -> PathBuf {
        self.redacted_audio_as(recording, self.endpoint.facts().audio.unwrap_or("mp3"))
    }

    /// The same with an extension that is not the endpoint's own: what is silenced here is a FLAC.
    pub fn redacted_audio_as(&self, recording: &RecordingPath, extension: &str) -> PathBuf {
        recording.mirrored(&self.output.join("audio"), &format!(".redacted.{extension}"))
    }

    /// Where a file of its own in a format belongs: `OUTPUT/<format>/<path>.<format>`.
    pub fn file_of(&self, recording: &RecordingPath, format: &str) -> PathBuf {
        recording.mirrored(&self.output.join(format), &format!(".{format}"))
    }
}

/// Bytes that a name may have on the file systems in use.
const NAME_MAX: usize = 255;
/// Of a longer name, the bytes that stay.
const NAME_KEPT: usize = 200;
/// Behind a folder's name that a file's could be.
const FOLDER: &[u8] = b".d";

/// A recording's path relative to its job's root, kept byte by byte: names need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingPath(Vec<u8>);

impl RecordingPath {
    /// From the raw bytes of a relative path.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        RecordingPath(bytes.into())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Where something made of it belongs below `folder`: the tree of the source mirrored, `suffix` (which begins with a
    /// dot) behind the whole name. A name that would become too long for a file system is cut and told apart by a hash
    /// of the whole; a folder that is called as a file could be gets `.d`, so that no two things claim one place.
    pub fn mirrored(&self, folder: &Path, suffix: &str) -> PathBuf {
        let mut parts: Vec<&[u8]> = self.0.split(|byte| *byte == b'/').collect();
        let name = parts.pop().unwrap_or_default();
        let mut place = folder.to_owned();
        for part in parts {
            let mut bare = part;
            while let Some(shorter) = bare.strip_suffix(FOLDER) {
                bare = shorter;
            }
            let more = if bare.ends_with(suffix.as_bytes()) { FOLDER } else { b"" };
            place.push(OsStr::from_bytes(&fitting(part, more)));
        }
        place.push(OsStr::from_bytes(&fitting(name, suffix.as_bytes())));
        place
    }

    /// The name when it is UTF-8; a name that is not has to travel as base64 beside its display form.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// A name with something behind it, cut if it would be too long.
fn fitting(name: &[u8], suffix: &[u8]) -> Vec<u8> {
    if name.len() + suffix.len() <= NAME_MAX {
        return [name, suffix].concat();
    }
    let hash = blake3::hash(name).to_hex();
    let kept = name.get(..NAME_KEPT).unwrap_or(name);
    [kept, b"-", &hash.as_bytes()[..16], suffix].concat()
}

impl From<&Path> for RecordingPath {
    fn from(path: &Path) -> Self {
        RecordingPath(path.as_os_str().as_bytes().to_vec())
    }
}

impl fmt::Display for RecordingPath {
    /// For people and logs: what is not UTF-8 becomes `\u{FFFD}`, control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in String::from_utf8_lossy(&self.0).chars() {
            // Direction overrides would let a name rewrite the line around it.
            if c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Which recording of a job goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// The largest first: the shortest tail at the end of a run.
    #[default]
    Longest,
    /// The smallest first.
    Shortest,
    /// The oldest modification time first.
    Oldest,
    /// The newest modification time first.
    Newest,
    /// As the scan found them: by path.
    Path,
}

impl Order {
    /// Every order.
    pub const ALL: [Order; 5] = [Order::Longest, Order::Shortest, Order::Oldest, Order::Newest, Order::Path];

    /// The word in `jobs.toml`.
    pub fn word(self) -> &'static str {
        match self {
            Order::Longest => "longest",
            Order::Shortest => "shortest",
            Order::Oldest => "oldest",
            Order::Newest => "newest",
            Order::Path => "path",
        }
    }
}

impl Order {
    /// Who goes first: the smaller. Sizes count by their first two digits, as the queue has it.
    pub fn rank(self, size_bytes: u64, modified_ns: i64) -> i64 {
        let about = || {
            let unit = 10u64.pow(size_bytes.checked_ilog10().unwrap_or(0).saturating_sub(1));
            i64::try_from(size_bytes / unit * unit).unwrap_or(i64::MAX)
        };
        match self {
            Order::Longest => -about(),
            Order::Shortest => about(),
            Order::Oldest => modified_ns,
            Order::Newest => modified_ns.saturating_neg(),
            Order::Path => 0,
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Order::ALL.into_iter().find(|o| o.word() == word).ok_or_else(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Job {
        Job {
            id: JobId(1),
            name: "r".into(),
            endpoint: Endpoint::PiiPhiRedactionBatch,
            options: serde_json::json!({}),
            root: "/in".into(),
            output: "/out".into(),
            order: Order::Longest,
        }
    }

    #[test]
    fn sizes_rank_by_their_first_two_digits() {
        let ranks = [0, 7, 42, 199, 123_456].map(|size| Order::Shortest.rank(size, 5));
        assert_eq!(ranks, [0, 7, 42, 190, 120_000]);
        assert_eq!(Order::Longest.rank(199, 5), -190);
        assert_eq!([Order::Oldest, Order::Newest, Order::Path].map(|o| o.rank(9, 5)), [5, -5, 0]);
    }

    #[test]
    fn redacted_audio_mirrors_the_tree_of_the_source() {
        let place = redaction().redacted_audio_of(&RecordingPath::from_bytes(*b"a/b.wav"));
        assert_eq!(place, Path::new("/out/audio/a/b.wav.redacted.mp3"));
        let streamed = Job { endpoint: Endpoint::PiiPhiRedactionStreaming, ..redaction() };
        let place = streamed.redacted_audio_of(&RecordingPath::from_bytes(*b"a/b.wav"));
        assert_eq!(place, Path::new("/out/audio/a/b.wav.redacted.flac"));
    }

    #[test]
    fn a_name_that_would_become_too_long_is_cut_and_still_its_own() {
        let long = |last: u8| RecordingPath::from_bytes([b"a/".as_slice(), &[b'x'; 250], &[last]].concat());
        let (one, other) =
            (redaction().redacted_audio_of(&long(b'1')), redaction().redacted_audio_of(&long(b'2')));
        assert_ne!(one, other);
        assert!(one.file_name().is_some_and(|name| name.len() <= 255));
        assert!(one.starts_with("/out/audio/a"));
    }

    #[test]
    fn a_folder_that_is_called_as_a_file_of_ours_stays_out_of_its_way() {
        let place = |path: &str| redaction().file_of(&RecordingPath::from_bytes(path), "srt");
        assert_eq!(place("a.wav"), Path::new("/out/srt/a.wav.srt"));
        assert_eq!(place("a.wav.srt/b.wav"), Path::new("/out/srt/a.wav.srt.d/b.wav.srt"));
        assert_eq!(place("a.wav.srt.d/b.wav"), Path::new("/out/srt/a.wav.srt.d.d/b.wav.srt"));
        assert_eq!(place("x.d/b.wav"), Path::new("/out/srt/x.d/b.wav.srt"));
        let deep = format!("{}.srt/b.wav", "x".repeat(250));
        assert!(place(&deep).iter().all(|part| part.len() <= 255));
    }

    #[test]
    fn a_name_that_is_not_utf8_keeps_its_bytes_and_shows_safely() {
        let path = RecordingPath::from_bytes(*b"a\xff/\n\xe2\x80\xaeb.wav");
        assert_eq!(path.as_path().as_os_str().as_bytes(), b"a\xff/\n\xe2\x80\xaeb.wav");
        assert_eq!(path.to_string(), "a\u{FFFD}/\\n\\u{202e}b.wav");
        assert_eq!(path.as_utf8(), None);
    }
}
