//! One client, once: a fresh stub, a clean desk, the clock, and whether it did what it had to.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use voxbatch_bench::cost::{Cost, FRONT};

use crate::clients::{self, Client, Task};
use crate::server::{Seen, Stub};
use crate::settings::Settings;

pub(crate) struct Trial {
    pub(crate) client: Client,
    pub(crate) round: usize,
    pub(crate) cost: Cost,
    pub(crate) seen: Seen,
    pub(crate) stub_cpu_s: f64,
    /// Recordings with a result in voxbatch's file.
    pub(crate) results: Option<u64>,
    load: f64,
}

impl Trial {
    pub(crate) fn run(
        settings: &Settings,
        client: Client,
        round: usize,
        stub: &Stub,
        folder: &Path,
        slots: u64,
    ) -> io::Result<Trial> {
        let desk = clean_desk(settings)?;
        let words = client.command(settings, &Task { host: &stub.host, folder, slots, desk: &desk })?;
        // What the last one left to be written is not this one's burden.
        rustix::fs::sync();
        let load = crate::machine::load();
        let cost = measure(&desk, &words)?;
        let seen = stub.books()?;
        let results = match client {
            Client::Voxbatch => Some(results(&desk.join("out/bench/results.jsonl"))?),
            _ => None,
        };
        Ok(Trial { client, round, cost, seen, stub_cpu_s: stub.cpu_s(), results, load })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "client": self.client.name(), "round": self.round, "wall_s": self.cost.wall_s,
            "user_s": self.cost.user_s, "sys_s": self.cost.sys_s, "peak_rss": self.cost.peak_rss,
            "exit": self.cost.exit, "stub": self.seen.0, "stub_cpu_s": self.stub_cpu_s,
            "results": self.results, "load_before": self.load,
        })
    }

    /// From the last answer that was no refusal to the end of the client, in seconds.
    pub(crate) fn afterwards_s(&self) -> f64 {
        self.cost.ended_us as f64 / 1e6 - self.seen.seconds("last_us")
    }
}

/// The folder in which a client may leave things, empty.
pub(crate) fn clean_desk(settings: &Settings) -> io::Result<PathBuf> {
    let desk = settings.data.join("desk");
    if desk.exists() {
        fs::remove_dir_all(&desk)?;
    }
    fs::create_dir_all(&desk)?;
    Ok(desk)
}

/// Runs a command on its desk; what it says goes into `said` there.
pub(crate) fn measure(desk: &Path, words: &[OsString]) -> io::Result<Cost> {
    let (report, said) = (desk.join("cost.json"), File::create(desk.join("said"))?);
    let mut front = Command::new(std::env::current_exe()?);
    front.arg(FRONT).arg(&report).args(words).current_dir(desk);
    clients::clean(&mut front);
    front.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).status()?;
    Cost::read(&report).map_err(|e| {
        let said = fs::read_to_string(desk.join("said")).unwrap_or_default();
        io::Error::other(format!("{:?} was not measured: {e}\n{said}", words.first()))
    })
}

/// The last words of what was measured last.
pub(crate) fn last_words(settings: &Settings) -> String {
    let said = fs::read(settings.data.join("desk/said")).unwrap_or_default();
    let tail = &said[said.len().saturating_sub(2_000)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}

/// How many recordings stand in a results.jsonl; none of them may stand there twice.
fn results(path: &Path) -> io::Result<u64> {
    let mut tasks = HashSet::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let task = line["task"].as_u64().ok_or_else(|| io::Error::other("a result without a task"))?;
        if line["status"] != "succeeded" || !tasks.insert(task) {
            return Err(io::Error::other(format!("the result of task {task} is wrong, or there twice")));
        }
    }
    Ok(tasks.len() as u64)
}
