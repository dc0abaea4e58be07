//! Who is compared: each as a command that sends every file of a folder. What can be prepared (lists, configuration
//! files) is prepared before the clock runs.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data::files;
use crate::settings::Settings;

/// What an emulated API would take; the stub takes anything.
const KEY: &str = "emulator-key";
const ENDPOINT: &str = "velma-2-stt-batch";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// The floor, in the order of names.
    Poster,
    /// The floor, longest first.
    PosterLongest,
    Voxbatch,
    /// One curl for all files.
    CurlZ,
    /// A curl for each file, started by GNU parallel.
    Parallel,
    /// A curl for each file, started by xargs.
    Xargs,
    /// asyncio with a semaphore.
    Aiohttp,
    /// The same; what is refused with 429 is tried again after two seconds.
    AiohttpRetry,
}

/// What a client is to do.
pub(crate) struct Task<'t> {
    pub(crate) host: &'t str,
    pub(crate) folder: &'t Path,
    pub(crate) slots: u64,
    /// Its own, empty at first.
    pub(crate) desk: &'t Path,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Poster => "poster (floor)",
            Client::PosterLongest => "poster, longest first",
            Client::Voxbatch => "voxbatch",
            Client::CurlZ => "curl -Z",
            Client::Parallel => "GNU parallel + curl",
            Client::Xargs => "xargs -P + curl",
            Client::Aiohttp => "aiohttp + semaphore",
            Client::AiohttpRetry => "aiohttp, 429 again after 2 s",
        }
    }

    /// Whether what it needs is on this machine.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Client::Poster | Client::PosterLongest | Client::Voxbatch => true,
            Client::CurlZ => on_path("curl"),
            Client::Parallel => on_path("parallel") && on_path("curl"),
            Client::Xargs => on_path("xargs") && on_path("curl"),
            Client::Aiohttp | Client::AiohttpRetry => python().is_some(),
        }
    }

    /// The command, and what it needs on its desk.
    pub(crate) fn command(self, settings: &Settings, task: &Task<'_>) -> io::Result<Vec<OsString>> {
        let Task { host, folder, slots, desk } = task;
        let url = format!("http://{host}/api/{ENDPOINT}");
        let words: Vec<OsString> = match self {
            Client::Poster | Client::PosterLongest => {
                let mut words = vec![Settings::tool("poster").into()];
                words.extend([format!("--host={host}"), format!("--slots={slots}")].map(OsString::from));
                words.extend((self == Client::PosterLongest).then(|| "--longest-first".into()));
                words.push(folder.into());
                words
            }
            Client::Voxbatch => {
                let config = jobs(desk, host, folder, *slots)?;
                let binary = settings.voxbatch.clone().into_os_string();
                let rest = ["run", "--progress=none", "--config"].map(OsString::from);
                [binary].into_iter().chain(rest).chain([config.into()]).collect()
            }
            Client::CurlZ => {
                let list = desk.join("curl.config");
                let mut text = String::new();
                for (i, file) in files(folder)?.iter().enumerate() {
                    // The first one needs no `next`; what stands before it holds for all.
                    let next = if i == 0 { "" } else { "next\n" };
                    let _ = write!(
                        text,
                        "{next}url = \"{url}\"\nform = \"upload_file=@{};type=audio/wav\"\n\
                         header = \"X-API-Key: {KEY}\"\noutput = \"/dev/null\"\nfail\n",
                        file.display()
                    );
                }
                fs::write(&list, text)?;
                let max = slots.to_string();
                let words = ["curl", "-sZ", "--parallel-max", &max, "--config"].map(OsString::from);
                words.into_iter().chain([list.into()]).collect()
            }
            Client::Parallel | Client::Xargs => {
                let mut text = String::new();
                for file in files(folder)? {
                    let _ = writeln!(text, "{}", file.display());
                }
                // Commands run on their desk.
                fs::write(desk.join("files"), text)?;
                let curl = format!(
                    "curl -sf -o /dev/null -H 'X-API-Key: {KEY}' -F upload_file=@{{}}';type=audio/wav' {url}"
                );
                let line = match self {
                    Client::Parallel => format!("exec parallel --will-cite -j{slots} \"{curl}\" :::: files"),
                    _ => format!("exec xargs -P{slots} -I{{}} -a files {curl}"),
                };
                ["sh".to_owned(), "-c".to_owned(), line].map(OsString::from).into()
            }
            Client::Aiohttp | Client::AiohttpRetry => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/aiohttp_poster.py");
                let python = python().ok_or(io::ErrorKind::NotFound)?;
                let mut words: Vec<OsString> = vec![python.into(), script.into()];
                words.extend([url, KEY.to_owned(), slots.to_string()].map(OsString::from));
                words.push(folder.into());
                words.extend((self == Client::AiohttpRetry).then(|| "2".into()));
                words
            }
        };
        Ok(words)
    }
}

/// A configuration for voxbatch: queue and outputs stay on the desk.
pub(crate) fn jobs(desk: &Path, host: &str, folder: &Path, slots: u64) -> io::Result<PathBuf> {
    let path = desk.join("jobs.toml");
    let text = format!(
        "[api]\nbase_url = \"http://{host}\"\n\n[limits.{ENDPOINT}]\nconcurrent = {slots}\n\n\
         [scan]\nsettle = \"0s\"\n\n[[job]]\nname = \"bench\"\nendpoint = \"{ENDPOINT}\"\nsource = {:?}\n",
        folder.display().to_string()
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// What the environment has for real use must not reach a measurement.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VOXBATCH_") {
            command.env_remove(name);
        }
    }
    command.env_remove("MODULATE_API_KEY").env("VOXBATCH_API_KEY", KEY);
}

/// A Python that has aiohttp: that of `install-peers.sh`, or the system's.
pub(crate) fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python3");
    let has = |python: &PathBuf| {
        Command::new(python).args(["-c", "import aiohttp"]).output().is_ok_and(|out| out.status.success())
    };
    [own, PathBuf::from("python3")].into_iter().find(has)
}

/// Whether a program can be run by its name.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |file: PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).any(|folder| is_program(folder.join(program)))
}
