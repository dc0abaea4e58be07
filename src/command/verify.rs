//! `verify`: proves that every recording is accounted for, and that nothing was lost or altered since. Needs no key
//! and no network; changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::console::Console;
use super::context::{self, chosen, now};
use super::exit::Exit;
use super::problem::UsageError;
use super::run::shorten;
use crate::config::{Config, Overrides};
use crate::queue::{QueueSettings, SqliteStore, TaskStore};
use crate::report::{Column, Problem, Table, count, plural};
use crate::task::Job;
use crate::verify::{self, Finding, Kind, Mend, News, Report, VerifySettings};

/// Prove that every recording is accounted for and nothing was altered; no key, no network
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Only this job; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) job: Vec<String>,
    /// As JSON Lines: an object for each finding, then the report
    #[arg(long)]
    pub(super) json: bool,
    /// Also hold every source against what was sent of it; this reads all of them (it is on unless `--no-sources`)
    #[arg(long, overrides_with = "no_sources")]
    pub(super) sources: bool,
    /// Leave the sources unread
    #[arg(long, overrides_with = "sources")]
    pub(super) no_sources: bool,
    /// Write a list of hashes for `sha256sum -c`, with names relative to its own folder
    #[arg(long, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
}

/// Findings that are shown one by one.
const SHOWN: usize = 20;

/// Seconds between two words about how far it has come.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Runs the verb.
pub(super) async fn verify(args: &VerifyArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let config = context::load(overrides)?;
    let state_dir = config.state_dir.clone();
    if !state_dir.join("queue.db").exists() {
        no_queue(args, &state_dir, console);
        return Ok(Exit::Verify);
    }
    // The jobs as the queue knows them: what is looked at is what was done, not what the file says by now.
    let store = SqliteStore::open(&QueueSettings { state_dir }).await?;
    let jobs = chosen(store.jobs().await?, &args.job)?;
    let settings = VerifySettings {
        state_dir: config.state_dir.clone(),
        outputs: config.outputs.clone(),
        lists: config.jobs.iter().map(|job| (job.spec.name.clone(), job.outputs.clone())).collect(),
        sources: !args.no_sources,
    };
    let mut teller = Teller::new(args.json, console);
    let report = verify::verify(&store, &jobs, &settings, &mut |news| teller.hear(news)).await?;
    let written = match &args.manifest {
        Some(_) if report.running => Err(anyhow::Error::from(UsageError::new(
            "cannot write a manifest while a run goes on: its files still grow",
        ))),
        Some(file) => write_manifest(&store, &jobs, file, &config).await.map(Some),
        None => Ok(None),
    };
    store.close().await;
    let exit = if report.wrong() > 0 { Exit::Verify } else { Exit::Done };
    if args.json {
        console.say(&as_object(&report, exit).to_string());
    } else {
        tell(&report, &teller, &settings, console);
    }
    if let (Some(lines), Some(file)) = (written?, &args.manifest) {
        console.note(&format!("{} in {}", plural(lines, "hash", "hashes"), file.display()));
    }
    Ok(exit)
}

fn no_queue(args: &VerifyArgs, state_dir: &Path, console: &Console) {
    let problem = Problem::new(
        "E-VERIFY-QUEUE",
        format!("there is no queue in {}: nothing can be proven", state_dir.display()),
    )
    .mend("voxbatch status --state-dir DIR", "if the queue lies elsewhere")
    .state("nothing was made or changed");
    match args.json {
        true => console.problem_json(&problem),
        false => console.problem(&problem),
    }
}

/// Hears of findings and of progress while it goes on.
struct Teller<'a> {
    console: &'a Console,
    as_json: bool,
    first: Vec<Finding>,
    mends: BTreeMap<Mend, Kind>,
    last_told: Instant,
}

impl<'a> Teller<'a> {
    fn new(as_json: bool, console: &'a Console) -> Self {
        Teller { console, as_json, first: Vec::new(), mends: BTreeMap::new(), last_told: Instant::now() }
    }

    fn hear(&mut self, news: News<'_>) {
        match news {
            News::Found(finding) if self.as_json => {
                self.console.say(&finding_as_object(&finding).to_string())
            }
            News::Found(finding) => {
                self.mends.entry(finding.kind.mend()).or_insert(finding.kind);
                if self.first.len() < SHOWN {
                    self.first.push(finding);
                }
            }
            News::Progress { job, done } if self.last_told.elapsed() >= PROGRESS_EVERY => {
                self.last_told = Instant::now();
                self.console.note(&format!("verify {job}: {} looked at", plural(done, "result", "results")));
            }
            News::Progress { .. } => {}
        }
    }
}

fn tell(report: &Report, teller: &Teller<'_>, settings: &VerifySettings, console: &Console) {
    for job in &report.jobs {
        let all = job.succeeded + job.failed + job.refused + job.cancelled + job.queued + job.running;
        let states = [
            (job.succeeded, "succeeded"),
            (job.failed, "failed"),
            (job.refused, "refused"),
            (job.cancelled, "cancelled"),
            (job.queued, "queued"),
            (job.running, "running"),
        ];
        let states: Vec<String> =
            states.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", count(*n))).collect();
        let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
        let purged = match job.purged {
            0 => String::new(),
            purged => format!(" ({} purged)", count(purged)),
        };
        console.say(&format!("{}: {}{states}{purged}", job.job, plural(all, "recording", "recordings")));
    }
    let mut table = Table::new([
        Column::left("checked"),
        Column::right("number"),
        Column::right("wrong"),
        Column::left("each"),
    ]);
    for (check, found) in &report.checks {
        if found.checked + found.wrong > 0 {
            let cells = [check.word().to_owned(), count(found.checked), count(found.wrong)];
            table.row(cells.into_iter().chain([check.says().to_owned()]));
        }
    }
    console.say_table(&table);
    for finding in &teller.first {
        console.say(&as_line(finding));
    }
    let more = report.wrong().saturating_sub(teller.first.len() as u64);
    if more > 0 {
        console.say(&format!("and {} more: voxbatch verify --json names all", count(more)));
    }
    for (mend, kind) in &teller.mends {
        console.say(&format!("mend {}: {}", kind.word(), mend.says()));
    }
    for note in &report.notes {
        console.say(&format!("note: {note}"));
    }
    if !settings.sources {
        console.say("note: the sources were not looked at");
    }
    console.say(&match report.wrong() {
        0 => "everything is there, as it was stored".to_owned(),
        wrong => plural(wrong, "thing is", "things are") + " missing or altered",
    });
}

/// `wrong line_altered: archive task 3 calls/a.wav: out/archive/results.jsonl line 2 does not say …`
fn as_line(finding: &Finding) -> String {
    let mut about = Vec::new();
    about.extend(finding.job.clone());
    about.extend(finding.task.map(|task| format!("task {task}")));
    about.extend(finding.path.as_ref().map(ToString::to_string));
    let file = finding
        .file
        .clone()
        .map(|file| crate::report::clean(&shorten(file).display().to_string()).into_owned());
    let mut words: Vec<String> = file.into_iter().collect();
    words.extend(finding.line.map(|line| format!("line {line}")));
    words.push(finding.what.clone());
    let about = if about.is_empty() { String::new() } else { format!(" {}:", about.join(" ")) };
    format!("wrong {}:{about} {}", finding.kind.word(), words.join(" "))
}

fn finding_as_object(finding: &Finding) -> Value {
    let mut object = json!({
        "v": 1, "type": "finding", "check": finding.kind.check().word(), "kind": finding.kind.word(),
        "job": finding.job, "task": finding.task.map(|task| task.0),
        "path": finding.path.as_ref().map(|path| String::from_utf8_lossy(path.as_bytes())),
        "file": finding.file.as_ref().map(|file| file.display().to_string()),
        "line": finding.line, "what": finding.what, "mend": finding.kind.mend().says(),
    });
    if let (Some(path), Value::Object(object)) = (&finding.path, &mut object)
        && path.as_utf8().is_none()
    {
        object.insert("path_b64".to_owned(), STANDARD.encode(path.as_bytes()).into());
    }
    object
}

fn as_object(report: &Report, exit: Exit) -> Value {
    let jobs: Vec<Value> = report
        .jobs
        .iter()
        .map(|j| {
            json!({
                "job": j.job, "endpoint": j.endpoint.name(), "succeeded": j.succeeded, "purged": j.purged, "failed": j.failed,
                "refused": j.refused, "cancelled": j.cancelled, "queued": j.queued, "running": j.running,
            })
        })
        .collect();
    let checks: serde_json::Map<String, Value> = report
        .checks
        .iter()
        .map(|(check, n)| (check.word().to_owned(), json!({ "checked": n.checked, "wrong": n.wrong })))
        .collect();
    json!({
        "v": 1, "type": "verify", "time": now().to_string(), "ok": report.wrong() == 0, "exit_code": exit.code(),
        "running": report.running, "wrong": report.wrong(), "jobs": jobs, "checks": checks, "notes": report.notes,
    })
}

/// Written beside and renamed, so that a list is there as a whole or not at all.
async fn write_manifest(store: &SqliteStore, jobs: &[Job], file: &Path, config: &Config) -> Result<u64> {
    let file = std::path::absolute(file).context("resolve the manifest's folder")?;
    let folder = file.parent().unwrap_or(Path::new("/"));
    if !is_manifest_or_new(&file) || file.starts_with(&config.state_dir) {
        let what = format!("{} is there and is no manifest; it stays as it is", file.display());
        return Err(UsageError::new(what).into());
    }
    let unwritable = |error: io::Error| UsageError::new(format!("cannot create {}: {error}", file.display()));
    let beside = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    let mut out = BufWriter::new(beside);
    let lines = verify::manifest(store, jobs, folder, &mut out).await?;
    let beside = out.into_inner().map_err(|e| unwritable(e.into_error()))?;
    beside.as_file().sync_all().map_err(unwritable)?;
    beside.persist(&file).map_err(|e| unwritable(e.error))?;
    Ok(lines)
}

/// A slip of the hand must not cost somebody's file.
fn is_manifest_or_new(file: &Path) -> bool {
    let mut begins = [0; 65];
    let read = match File::open(file) {
        Ok(file) => file.take(begins.len() as u64).read(&mut begins),
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
    };
    match read {
        Ok(0) => true,
        Ok(n) if n == begins.len() => {
            let hash = begins.strip_prefix(b"\\").unwrap_or(&begins[..64]);
            hash.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_replaces_a_manifest_or_nothing_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m");
        assert!(is_manifest_or_new(&file));
        let hash = "0123456789abcdef".repeat(4);
        for (text, may) in [
            (String::new(), true),
            (format!("{hash}  a\n"), true),
            (format!("\\{hash}  a\\nb\n"), true),
            ("{\"schema\":".repeat(20), false),
            ("short".to_owned(), false),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(is_manifest_or_new(&file), may, "{text:?}");
        }
        assert!(!is_manifest_or_new(folder.path()));
    }
}
