//! The folder that a selftest works in: recordings made in code, a `jobs.toml`, and what the runs write there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Slots of the endpoint.
pub(super) const SLOTS: u32 = 8;
/// The model that recordings are sent to.
pub(super) const MODEL: &str = "velma-2-stt-batch";
/// In the name of every recording: a log that hashes names must not hold it.
pub(super) const SECRET_NAME: &str = "confidential-";

const RESULTS: &str = "out/results.jsonl";
const CSV: &str = "out/results.csv";
const UTTERANCES: &str = "out/utterances.csv";
/// What a process that died in the middle of a line may leave behind, by file.
const TORN: [(&str, &str); 3] = [
    (RESULTS, "{\"schema\":\"voxbatch.result/1\",\"job\":\"cha"),
    (CSV, "chaos,17,\"confid"),
    (UTTERANCES, "chaos,17,\"confid"),
];
/// How many outputs can be torn.
pub(super) const OUTPUTS: usize = TORN.len();

/// See the module.
#[derive(Debug)]
pub(super) struct Workspace {
    folder: PathBuf,
    /// Every recording by its path as the outputs have it.
    files: BTreeSet<String>,
}

impl Workspace {
    /// Writes `jobs.toml` and the folders.
    pub(super) fn lay_out(folder: &Path, base_url: &str) -> io::Result<Workspace> {
        fs::create_dir_all(folder.join("recordings"))?;
        fs::create_dir_all(folder.join("streams"))?;
        fs::write(
            folder.join("jobs.toml"),
            format!(
                "# Written by `voxbatch selftest`. The emulator that it speaks of ended with it.\n\
                 [api]\nbase_url = \"{base_url}\"\n\n\
                 [retry]\nbase = \"10ms\"\nmax = \"200ms\"\nthrottle_wait = \"20ms\"\nmax_attempts = 20\n\n\
                 [scan]\nsettle = \"0s\"\n\n\
                 [run]\nprobe_interval = \"1h\"\n\n\
                 [limits.{MODEL}]\nconcurrent = {SLOTS}\n\n\
                 [[job]]\nname = \"chaos\"\nendpoint = \"{MODEL}\"\nsource = \"recordings\"\noutput = \"out\"\n\
                 outputs = [\"jsonl\", \"csv\", \"srt\"]\n"
            ),
        )?;
        Ok(Workspace { folder: folder.to_owned(), files: BTreeSet::new() })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many recordings there are.
    pub(super) fn count(&self) -> u64 {
        self.files.len() as u64
    }

    /// Adds so many recordings, no two alike.
    pub(super) fn add(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            let number = self.count() as u32;
            let name = format!("{SECRET_NAME}{number:05}.wav");
            fs::write(self.folder.join("recordings").join(&name), recording(number))?;
            self.files.insert(name);
        }
        Ok(())
    }

    /// Leaves a torn line at the end of an output, if it is there. Only while nothing runs.
    pub(super) fn tear(&self, output: usize) -> io::Result<bool> {
        let Some((name, torn)) = TORN.get(output) else { return Ok(false) };
        match OpenOptions::new().append(true).open(self.folder.join(name)) {
            Ok(mut file) => file.write_all(torn.as_bytes()).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whole lines of the results; what is torn at the end is not there yet.
    pub(super) fn results(&self) -> io::Result<Lines> {
        let bytes = match fs::read(self.folder.join(RESULTS)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::default()),
            Err(error) => return Err(error),
        };
        Ok(Lines::read(&bytes))
    }

    /// How often each recording stands in the CSV.
    pub(super) fn rows(&self) -> Result<BTreeMap<String, u64>, csv::Error> {
        let mut reader = csv::Reader::from_path(self.folder.join(CSV))?;
        let path = reader.headers()?.iter().position(|name| name == "path").unwrap_or_default();
        let mut times = BTreeMap::new();
        for row in reader.records() {
            *times.entry(row?.get(path).unwrap_or_default().to_owned()).or_default() += 1;
        }
        Ok(times)
    }

    /// How many recordings stand nowhere in these, and how many lines are too many.
    pub(super) fn compare(&self, times: &BTreeMap<String, u64>) -> (u64, u64) {
        let lost = self.files.iter().filter(|file| !times.contains_key(*file)).count() as u64;
        let strange: u64 = times.iter().filter(|(path, _)| !self.files.contains(*path)).map(|(_, n)| n).sum();
        (lost, doubles(times) + strange)
    }

    /// Lock files of runs that nobody took away.
    pub(super) fn locks(&self) -> io::Result<u64> {
        Ok(fs::read_dir(self.folder.join(".voxbatch/workers"))?.count() as u64)
    }
}

/// Lines beyond the first of each.
pub(super) fn doubles(times: &BTreeMap<String, u64>) -> u64 {
    times.values().map(|n| n.saturating_sub(1)).sum()
}

/// What stands in the JSONL.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// How often each recording does.
    pub(super) times: BTreeMap<String, u64>,
    /// Audio of all lines.
    pub(super) duration_ms: u64,
    /// Whole lines that are no JSON.
    pub(super) broken: u64,
    /// What was said in them.
    pub(super) texts: BTreeSet<String>,
}

impl Lines {
    fn read(bytes: &[u8]) -> Lines {
        let mut lines = Lines::default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Value>(line) else {
                lines.broken += 1;
                continue;
            };
            *lines.times.entry(line["path"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            lines.duration_ms += line["duration_ms"].as_u64().unwrap_or_default();
            if let Some(text) = line["text"].as_str().filter(|text| !text.is_empty()) {
                lines.texts.insert(text.to_owned());
            }
        }
        lines
    }
}

/// A WAV of 0.2 to 1 s, 8 kHz, 16 bit, mono. Another number is another sound.
fn recording(number: u32) -> Vec<u8> {
    const RATE: u32 = 8000;
    let samples = RATE / 1000 * (200 + number * 37 % 800);
    let mut wav = [&b"RIFF"[..], &(36 + samples * 2).to_le_bytes(), b"WAVEfmt "].concat();
    for word in [16, 0x0001_0001, RATE, RATE * 2, 0x0010_0002] {
        wav.extend(u32::to_le_bytes(word));
    }
    wav.extend([&b"data"[..], &(samples * 2).to_le_bytes()].concat());
    let mut noise = fastrand::Rng::with_seed(u64::from(number));
    wav.extend((0..samples).flat_map(|_| noise.i16(-6000..6000).to_le_bytes()));
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_torn_is_not_there_and_a_double_is_seen() {
        let text =
            b"{\"path\":\"a\",\"duration_ms\":3,\"text\":\"x\"}\n{\"path\":\"a\",\"duration_ms\":4}\n{\"pa";
        let lines = Lines::read(text);
        assert_eq!((lines.times["a"], lines.duration_ms, lines.broken), (2, 7, 0));
        assert_eq!(doubles(&lines.times), 1);
        assert_eq!(Lines::read(b"{\"pa\n").broken, 1);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut workspace = Workspace::lay_out(folder.path(), "http://127.0.0.1:1").unwrap();
        workspace.add(3).unwrap();
        let times = |names: &[(&str, u64)]| names.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect();
        let (a, b, c) = ("confidential-00000.wav", "confidential-00001.wav", "confidential-00002.wav");
        assert_eq!(workspace.compare(&times(&[(a, 1), (b, 1), (c, 1)])), (0, 0));
        assert_eq!(workspace.compare(&times(&[(a, 3), (b, 1), ("strange", 1)])), (1, 3));
    }

    #[test]
    fn no_two_recordings_are_alike() {
        let all: BTreeSet<Vec<u8>> = (0..900).map(recording).collect();
        assert_eq!(all.len(), 900);
    }
}
