//! A test's own world: a folder with recordings and a `jobs.toml`, an emulator on a free port, and the real binary.

mod bell;
#[path = "../../../src/command/selftest/clock.rs"]
mod clock;
mod disk;
mod faulty;
mod hostile;
mod jobs;
mod nobody;
mod process;
mod proxy;
mod recordings;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use voxbatch::emulator::{Change, Emulator, ModelReport, Report, Settings};

pub(crate) use self::bell::{Bell, Heard, Manner};
pub(crate) use self::clock::Clock;
pub(crate) use self::disk::{Disk, skip};
pub(crate) use self::faulty::{Fault, FaultyStore, When};
pub(crate) use self::hostile::{Expect, Hostile};
pub(crate) use self::jobs::{ENDPOINTS, Jobs, STREAMS, STT};
pub(crate) use self::nobody::User;
pub(crate) use self::process::{Ended, Process, without_reader};
pub(crate) use self::proxy::{Answer, Conduct, Proxy, hang_up, hold};
pub(crate) use self::recordings::{bursts, bursts_of, tone, two_channels, without_count};

/// No wait of a test is longer; what is waited for has then gone wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// See the module. The fields are dropped in order: the emulator before what it runs on.
pub(crate) struct World {
    emulator: Emulator,
    home: TempDir,
    runtime: Runtime,
}

impl World {
    /// With an emulator that was told this, a `jobs.toml` with one job, and no recordings.
    pub(crate) fn new(settings: Settings) -> World {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let emulator = runtime.block_on(Emulator::start(settings)).unwrap();
        let world = World { emulator, home: TempDir::new().unwrap(), runtime };
        fs::create_dir(world.path("calls")).unwrap();
        world.configure(&Jobs::default());
        world
    }

    /// With so many recordings in `calls`, and an emulator that takes more requests at once than anybody sends:
    /// who exceeds a limit is seen in its report.
    pub(crate) fn with_recordings(count: usize) -> World {
        let world = World::new(roomy());
        world.record("calls", count);
        world
    }

    /// A path in this world's folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.home.path().join(relative)
    }

    /// Writes `jobs.toml`.
    pub(crate) fn configure(&self, jobs: &Jobs) {
        fs::write(self.path("jobs.toml"), jobs.text(&self.emulator.base_url())).unwrap();
    }

    /// Adds so many recordings of about a quarter of a second each; no two are alike, in any world's folder.
    pub(crate) fn record(&self, folder: &str, count: usize) {
        fs::create_dir_all(self.path(folder)).unwrap();
        for n in 0..count {
            self.write(&format!("{folder}/call-{n:03}.wav"), &tone(&format!("{folder}/{n}"), 250));
        }
    }

    /// Adds the samples, one of each format, without the notes beside them.
    pub(crate) fn copy_samples(&self, folder: &str) {
        let mut copied = 0;
        for sample in voxbatch::emulator::SAMPLES {
            self.write(&format!("{folder}/{}", sample.name), sample.bytes);
            copied += 1;
        }
        assert_eq!(copied, 10, "one sample a format");
    }

    /// Writes a file, its folders included.
    pub(crate) fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, relative: &str) -> Vec<u8> {
        fs::read(self.path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
    }

    /// The binary with these arguments, at home, with the emulator's key and nothing else of the environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("voxbatch"));
        command.args(args).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("VOXBATCH_API_KEY", "emulator-key").env("USER", "tester");
        command
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[&str]) -> Process {
        Process::start(self.command(args))
    }

    /// Changes `jobs.toml` by hand.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = String::from_utf8(self.read("jobs.toml")).unwrap();
        assert!(text.contains(from), "{from:?} is not in jobs.toml:\n{text}");
        fs::write(self.path("jobs.toml"), text.replace(from, to)).unwrap();
    }

    /// Runs it to its end.
    pub(crate) fn voxbatch(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// `voxbatch run`, to its end.
    pub(crate) fn run(&self) -> Ended {
        self.voxbatch(&["run"])
    }

    /// What the emulator has seen.
    pub(crate) fn report(&self) -> Report {
        self.emulator.report()
    }

    /// The same for the model that most tests use.
    pub(crate) fn stt(&self) -> ModelReport {
        self.report().of(STT)
    }

    pub(crate) fn control(&self, change: Change) {
        self.emulator.control(change);
    }

    /// Forgets what the emulator has counted.
    pub(crate) fn forget(&self) {
        self.emulator.reset();
    }

    /// Waits until what the emulator has seen satisfies a condition.
    pub(crate) fn when(&self, what: &str, condition: impl Fn(&Report) -> bool) {
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.emulator.when(condition)).await });
        assert!(waited.is_ok(), "waited in vain until {what}: {:#?}", self.report());
    }

    /// Waits until so many requests stand at the closed gate.
    pub(crate) fn when_held(&self, count: u64) {
        self.when(&format!("{count} are held"), |r| r.of(STT).held == count);
    }

    /// The lines of a JSONL file; none if there is no file.
    pub(crate) fn lines(&self, relative: &str) -> Vec<Value> {
        let path = self.path(relative);
        if !path.exists() {
            return Vec::new();
        }
        json_lines(&String::from_utf8(fs::read(path).unwrap()).unwrap())
    }

    /// `results.jsonl` of the job that most tests use.
    pub(crate) fn results(&self) -> Vec<Value> {
        self.lines("out/archive/results.jsonl")
    }

    /// `failures.jsonl` of it: the cause by path.
    pub(crate) fn failures(&self) -> BTreeMap<String, String> {
        let word = |v: &Value| v.as_str().unwrap().to_owned();
        let lines = self.lines("out/archive/failures.jsonl");
        lines.iter().map(|l| (word(&l["path"]), word(&l["error"]["cause"]))).collect()
    }

    /// One recording as `tasks --json` has it.
    pub(crate) fn task(&self, path: &str) -> Value {
        let all = self.tasks("");
        all.into_iter().find(|t| t["path"] == path).unwrap_or_else(|| panic!("no task {path}"))
    }

    /// What `tasks --json` lists.
    pub(crate) fn tasks(&self, filter: &str) -> Vec<Value> {
        let ended = self.voxbatch(&["tasks", "--json", "--limit", "0", "--where", filter]);
        json_lines(&ended.expect(0).stdout)
    }

    /// Every attempt of every recording, as `show --json` has them.
    pub(crate) fn attempts(&self) -> Vec<Value> {
        let ids: Vec<String> = self.tasks("").iter().map(|t| t["task"].to_string()).collect();
        let of = |id: &String| {
            let shown = self.voxbatch(&["show", id, "--json"]).expect(0).json();
            shown["tries"].as_array().unwrap().clone()
        };
        ids.iter().flat_map(of).collect()
    }

    /// Every recording of `calls` stands exactly once in `results.jsonl`, with the hash of its bytes.
    pub(crate) fn assert_each_once(&self) {
        self.assert_each_once_in("calls", "out/archive/results.jsonl");
    }

    /// The same for any folder and file.
    pub(crate) fn assert_each_once_in(&self, folder: &str, results: &str) {
        let mut expected: Vec<(String, String)> = files_below(&self.path(folder))
            .into_iter()
            .map(|f| {
                let hash = blake3::hash(&fs::read(&f).unwrap()).to_string();
                (f.strip_prefix(self.path(folder)).unwrap().to_string_lossy().into_owned(), hash)
            })
            .collect();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let mut got: Vec<(String, String)> =
            self.lines(results).iter().map(|l| (text(&l["path"]), text(&l["audio"]["blake3"]))).collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "{results} against the files of {folder}");
    }
}

/// An emulator without faults that lets many in at once. It reads what it refuses: to whoever has sent a small file
/// whole, a connection that is closed over unread bytes looks like a lost answer, and that costs an attempt.
pub(crate) fn roomy() -> Settings {
    let limits = voxbatch::emulator::ModelLimits { concurrent: 1000, ..Default::default() };
    Settings {
        drain_before_refusing: true,
        models: ENDPOINTS.iter().chain(&STREAMS).map(|e| ((*e).to_owned(), limits.clone())).collect(),
        ..Settings::default()
    }
}

/// Every file below a folder, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries.filter(|e| e.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

/// One value a line; anything else fails.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole: {text:?}");
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e} in {l:?}"))).collect()
}
