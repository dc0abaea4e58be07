//! `demo`: the whole product on the embedded emulator, without a key or a network. Nothing leaves the machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::console::Console;
use super::context::{Context, check_options};
use super::exit::Exit;
use super::pings::Pings;
use super::problem::UsageError;
use super::run::{RunArgs, run_in};
use crate::config::{self, Overrides};
use crate::emulator::{
    Contract, Emulator, Ending, Faults, Latency, ModelLimits, OUTCOMES, SAMPLES, Settings,
};
use crate::queue::TaskRow;
use crate::report::{ProgressMode, plural};
use crate::task::{Endpoint, Filter, TaskState, Timestamp};

/// Try everything on an emulated API: bundled recordings or a folder of yours, no key, no cost
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// A folder of recordings of yours; they are only read, and never leave this machine
    pub(super) folder: Option<PathBuf>,
    /// Where to work; a new folder among the temporary files unless given
    #[arg(long, value_name = "DIR")]
    pub(super) workspace: Option<PathBuf>,
    /// Events as JSON Lines on stdout
    #[arg(long)]
    pub(super) json: bool,
    /// How to show progress: auto, live, lines, json, none
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) progress: ProgressMode,
}

const KEY: &str = "emulator-key";
const SLOTS: u32 = 5;

/// Runs the verb.
pub(super) async fn demo(args: &DemoArgs, console: &Console) -> Result<Exit> {
    let workspace = workspace(args)?;
    let emulator = Emulator::start(emulated(args.folder.is_none())).await.context("start the emulator")?;
    let source = match &args.folder {
        Some(folder) => std::path::absolute(folder).context("resolve the folder")?,
        None => lay_out(&workspace)?,
    };
    let jobs = workspace.join("jobs.toml");
    fs::write(&jobs, jobs_toml(&emulator.base_url(), &source, args.folder.is_none())?)?;
    introduce(console, &emulator, &workspace, args.folder.as_deref());

    let overrides = Overrides { config: Some(jobs.clone()), ..Overrides::default() };
    let key = |name: &str| (name == "VOXBATCH_API_KEY").then(|| OsString::from(KEY));
    let config = config::load(&overrides, &key, check_options)?;
    let context = Context::with(config).await?;
    let run = RunArgs { json: args.json, progress: args.progress, ..RunArgs::default() };
    let ended = run_in(&context, &run, console, &Pings::none()).await;
    let rows = every_task(&context).await;
    context.store.close().await;
    let exit = match (ended?.exit, &args.folder) {
        // Some are meant to fail: what counts is that each ended as its line of the outcome table says.
        (Exit::Done | Exit::SomeFailed, None) => check(&rows?, console),
        // Recordings of the user's may be refused for good reasons; that is an answer, not a failure of the demo.
        (Exit::SomeFailed, Some(_)) => Exit::Done,
        (exit, _) => exit,
    };
    emulator.stop().await;
    if !args.json {
        conclude(console, &workspace, &jobs, exit, args.folder.is_none());
    }
    Ok(exit)
}

fn workspace(args: &DemoArgs) -> Result<PathBuf> {
    if let Some(folder) = &args.workspace {
        let used = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if used {
            return Err(UsageError::new(format!("{} is not empty", folder.display()))
                .mend("voxbatch demo --workspace DIR", "takes a new or empty folder")
                .into());
        }
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        return Ok(std::path::absolute(folder)?);
    }
    let made = tempfile::Builder::new().prefix("voxbatch-demo-").tempdir().context("create a folder")?;
    Ok(made.keep())
}

/// A service that takes about a second for each request and has its bad moments.
fn emulated(scripted: bool) -> Settings {
    let limits = ModelLimits { concurrent: SLOTS, ..ModelLimits::default() };
    let mut latency = Latency { fixed: Duration::from_millis(400), scale: 0.8, ..Latency::default() };
    if !scripted {
        // Whoever tries an archive of hours wants to see it pass, not to wait for it.
        latency.speed.values_mut().for_each(|speed| *speed = 2000.0);
    }
    let faults = match scripted {
        true => Faults { stall_for: Duration::from_secs(2), ..Faults::default() },
        false => Faults { rate_429: 0.03, rate_503: 0.03, ..Faults::default() },
    };
    Settings {
        contract: Contract::A,
        keys: vec![KEY.to_owned()],
        // Its books know the Platform API by another name, and no limits of it.
        models: Endpoint::ALL
            .into_iter()
            .filter(|e| !e.works_by_jobs())
            .map(|e| (e.name().to_owned(), limits.clone()))
            .collect(),
        latency,
        faults,
        script: scripted,
        time_limit: scripted.then(|| Duration::from_secs(60)),
        ..Settings::default()
    }
}

/// Copies the samples into the workspace, some under names that the emulator's script knows.
fn lay_out(workspace: &Path) -> Result<PathBuf> {
    let folder = workspace.join("recordings");
    for kind in ["calls", "scripted", "junk"] {
        fs::create_dir_all(folder.join(kind))?;
    }
    for sample in SAMPLES {
        fs::write(folder.join("calls").join(sample.name), sample.bytes)?;
    }
    for (outcome, sample) in OUTCOMES.iter().zip(SAMPLES.iter().cycle()) {
        let extension = sample.name.rsplit('.').next().unwrap_or("wav");
        let name = format!("{}-{}.{extension}", outcome.name, sample.name.split('.').next().unwrap_or("x"));
        fs::write(folder.join("scripted").join(name), sample.bytes)?;
    }
    fs::write(folder.join("junk/empty.wav"), "")?;
    fs::write(folder.join("junk/page.mp3"), "<!DOCTYPE html><html><body>not found</body></html>")?;
    fs::write(folder.join("junk/notes.txt"), "Lies beside recordings and is none.\n")?;
    Ok(folder)
}

fn jobs_toml(base_url: &str, source: &Path, bundled: bool) -> Result<String> {
    let quoted = |path: &Path| {
        let text = path.to_str().ok_or_else(|| UsageError::new("the folder's name is not UTF-8"))?;
        anyhow::Ok(toml::Value::from(text).to_string())
    };
    let mut text = format!(
        "# Written by `voxbatch demo`. The emulator that it speaks of ended with the demo.\n\
         [api]\nbase_url = \"{base_url}\"\n\n\
         [retry]\nbase = \"300ms\"\nmax = \"2s\"\nthrottle_wait = \"300ms\"\n\n\
         [scan]\nsettle = \"0s\"\n",
    );
    if bundled {
        // Names that make trouble stand over the same few samples.
        text += "\n[run]\nreuse = false\n";
    }
    for endpoint in Endpoint::ALL {
        text += &format!("\n[limits.{endpoint}]\nconcurrent = {SLOTS}\n");
    }
    let mut job = |name: &str, endpoint: Endpoint, source: &Path| {
        text += &format!(
            "\n[[job]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\nsource = {}\noutput = \"out/{name}\"\n",
            quoted(source)?
        );
        anyhow::Ok(())
    };
    job("transcripts", Endpoint::SttBatch, source)?;
    if bundled {
        let calls = source.join("calls");
        job("redaction", Endpoint::PiiPhiRedactionBatch, &calls)?;
        job("voices", Endpoint::SyntheticVoiceDetectionBatch, &calls)?;
    }
    Ok(text)
}

fn introduce(console: &Console, emulator: &Emulator, workspace: &Path, folder: Option<&Path>) {
    let at = emulator.base_url();
    console.note(&format!(
        "This is a demo. Nothing leaves this machine: the API is an emulator inside this program ({at})."
    ));
    console.note(
        "It recognises no speech: it knows the words of the bundled samples only, and says so of all else.",
    );
    console.note(&format!("workspace   {}  (kept; delete it when you like)", workspace.display()));
    match folder {
        Some(folder) => {
            console.note(&format!("recordings  yours, in {}: only read, never changed", folder.display()));
            console.note(&format!("limit       {SLOTS} at once; 3 % of requests meet a 429, 3 % a 503"));
        }
        None => {
            console.note(&format!(
                "recordings  {} of synthetic speech, in all ten formats, and {} under names that make trouble",
                SAMPLES.len(),
                OUTCOMES.len()
            ));
            console.note(&format!(
                "limit       {SLOTS} at once. Trouble on purpose: 429, 500, 502, 503, 504, lost and broken answers, junk"
            ));
        }
    }
}

async fn every_task(context: &Context) -> Result<Vec<TaskRow>> {
    Ok(context.store.tasks(Filter::default(), None, u32::MAX, Timestamp(0)).await?)
}

/// Holds each recording's end against the outcome table.
fn check(rows: &[TaskRow], console: &Console) -> Exit {
    let mut wrong = 0u64;
    for row in rows {
        let name = row.path.as_path().file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned();
        let folder = row.path.to_string();
        let expected = if folder.starts_with("junk/") {
            (TaskState::Failed, None)
        } else {
            let line = OUTCOMES.iter().find(|o| name == o.name || name.starts_with(&format!("{}-", o.name)));
            match line.map(|o| o.ends) {
                Some(Ending::Failed(cause)) => (TaskState::Failed, Some(cause)),
                _ => (TaskState::Succeeded, None),
            }
        };
        let as_expected = row.state == expected.0
            && expected.1.is_none_or(|cause| row.cause.is_some_and(|c| c.word() == cause));
        if !as_expected {
            wrong += 1;
            console.note(&format!("unexpected: {} ended as {} ({:?})", row.path, row.state, row.cause));
        }
    }
    if wrong > 0 {
        console.note(&format!("{} did not end as expected: a bug", plural(wrong, "recording", "recordings")));
        return Exit::Bug;
    }
    Exit::Done
}

fn conclude(console: &Console, workspace: &Path, jobs: &Path, exit: Exit, bundled: bool) {
    let shown = super::run::shorten(workspace.to_owned());
    let config = super::run::shorten(jobs.to_owned());
    let mut text = String::new();
    if exit == Exit::Done && bundled {
        text +=
            "every recording ended as it should, also those that were meant to fail: the demo exits with 0\n";
    }
    let results = shown.join("out/transcripts");
    for (label, line) in [
        ("look at", format!("{}/: results.jsonl, results.csv, failures.csv", results.display())),
        ("try", format!("voxbatch tasks --where state:failed --config {}", config.display())),
        ("for real", "voxbatch init --source YOUR/FOLDER".to_owned()),
    ] {
        text += &format!("{label:<11} {line}\n");
    }
    console.say(&text);
}
