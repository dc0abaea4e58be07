//! `doctor`: looks at everything that a run needs before a run does, and says what is missing and how to mend it. Sends
//! nothing, but for the one free call of the API when it is asked to.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::console::Console;
use super::context::{self, Context, now};
use super::exit::Exit;
use super::problem;
use crate::config::{Config, Overrides};
use crate::notify::Notifier;
use crate::report::{bytes, clean, plural};
use crate::scan;
use crate::task::{Endpoint, Probe, TaskState};
use crate::velma::Client;

/// Look whether everything that a run needs is there; sends nothing unless --online is given
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Also make the API's one free call: is it reached, is the key accepted?
    #[arg(long)]
    online: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Less space than this, and a run would soon end for want of it.
const SPACE_MIN: u64 = 64 << 20;
/// Less than this is worth a word.
const SPACE_FEW: u64 = 1 << 30;

/// What a look showed.
struct Check {
    name: &'static str,
    /// What a run would end with; `None`: nothing is wrong.
    fails: Option<Exit>,
    /// Worth a word, and no hindrance.
    warns: bool,
    says: String,
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, says: impl Into<String>) -> Check {
        Check { name, fails: None, warns: false, says: says.into(), mend: None }
    }

    fn warn(name: &'static str, says: impl Into<String>) -> Check {
        Check { warns: true, ..Check::ok(name, says) }
    }

    fn fail(name: &'static str, exit: Exit, says: impl Into<String>) -> Check {
        Check { fails: Some(exit), ..Check::ok(name, says) }
    }

    fn mend(self, mend: impl Into<String>) -> Check {
        Check { mend: Some(mend.into()), ..self }
    }

    fn word(&self) -> &'static str {
        match self {
            Check { fails: Some(_), .. } => "fail",
            Check { warns: true, .. } => "warn",
            _ => "ok",
        }
    }

    fn text(&self) -> String {
        let mend = self.mend.as_ref().map(|mend| format!("\n{:<20}mend: {mend}", "")).unwrap_or_default();
        format!("{:<6}{:<14}{}{mend}\n", self.word(), self.name, clean(&self.says))
    }

    fn to_json(&self) -> Value {
        let exit = self.fails.map(Exit::code);
        json!({ "check": self.name, "state": self.word(), "says": self.says, "mend": self.mend, "exit": exit })
    }
}

/// Runs the verb.
pub(super) async fn doctor(args: &DoctorArgs, overrides: &Overrides, console: &Console) -> Result<Exit> {
    let config = context::load(overrides)?;
    let mut checks = vec![of_config(&config), of_key(&config), of_clock()];
    checks.extend(of_sources(&config));
    checks.extend(of_outputs(&config));
    checks.extend(of_notify(&config));
    checks.push(of_locks(&config.state_dir));
    checks.push(of_space(&config.state_dir));
    checks.extend(of_queue(overrides).await);
    checks.push(of_network(&config, args.online).await);

    let exit = Exit::worst(checks.iter().filter_map(|check| check.fails));
    if args.json {
        let list: Vec<Value> = checks.iter().map(Check::to_json).collect();
        console.say(&json!({ "ok": exit == Exit::Done, "exit": exit.code(), "checks": list }).to_string());
    } else {
        let last = match exit {
            Exit::Done => "a run can begin\n".to_owned(),
            exit => format!("a run would end with {}\n", exit.code()),
        };
        console.say(&(checks.iter().map(Check::text).collect::<String>() + &last));
    }
    Ok(exit)
}

fn of_config(config: &Config) -> Check {
    let file = config.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let slots: Vec<String> = (config.jobs.iter().map(|job| job.spec.endpoint))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|endpoint| format!("{endpoint}: {} at once", config.run.limit_of(endpoint).concurrent))
        .collect();
    let jobs = plural(config.jobs.len() as u64, "job", "jobs");
    Check::ok("configuration", format!("{file}, {jobs}; {}", slots.join(", ")))
}

fn of_key(config: &Config) -> Check {
    match (config.require_key(), config.key_hint()) {
        (Ok(_), Some(hint)) => Check::ok("key", format!("{hint} from {}", config.key_origin)),
        (Err(error), _) => {
            let first = &error.problems()[0];
            let mend = first.mend.clone().unwrap_or_else(|| "voxbatch init --full -o -".to_owned());
            Check::fail("key", Exit::Usage, first.what.clone()).mend(mend)
        }
        (Ok(_), None) => Check::ok("key", config.key_origin.to_string()),
    }
}

/// `--until` goes by it.
fn of_clock() -> Check {
    let here = jiff::Zoned::now();
    match jiff::tz::TimeZone::try_system() {
        Ok(_) => Check::ok("clock", here.strftime("%Y-%m-%d %H:%M:%S %:z (%Q)").to_string()),
        Err(_) => Check::warn(
            "clock",
            format!("{} UTC; the time zone is not known", here.strftime("%Y-%m-%d %H:%M:%S")),
        )
        .mend("set TZ, or give --until with an offset"),
    }
}

fn of_sources(config: &Config) -> Vec<Check> {
    let look = |job: &crate::config::JobConfig| {
        let name = &job.spec.name;
        let listed = scan::root_of(&job.source, &job.scan).map_err(|e| e.to_string()).and_then(|root| {
            match root.only {
                Some(_) => File::open(&job.source)
                    .map(drop)
                    .map_err(|e| format!("read {}: {e}", job.source.display())),
                None => std::fs::read_dir(&root.folder)
                    .map(drop)
                    .map_err(|e| format!("read {}: {e}", root.folder.display())),
            }
        });
        match listed {
            Ok(()) => Check::ok("source", format!("{name}: {}", job.source.display())),
            Err(why) => Check::fail("source", Exit::Usage, format!("{name}: failed to {why}")),
        }
    };
    config.jobs.iter().map(look).collect()
}

fn of_outputs(config: &Config) -> Vec<Check> {
    let look = |job: &crate::config::JobConfig| {
        let output = &job.spec.output;
        let says = format!("{}: {}", job.spec.name, output.display());
        match may_write(output) {
            Ok(()) => Check::ok("output", says),
            Err(error) => {
                Check::fail("output", Exit::LocalState, format!("{says}: cannot be written to: {error}"))
            }
        }
    };
    config.jobs.iter().map(look).collect()
}

fn of_notify(config: &Config) -> Option<Check> {
    let settings = match config.notify() {
        Ok(settings) => settings,
        Err(error) => return Some(Check::fail("notify", Exit::Usage, error.problems()[0].what.clone())),
    };
    let address = settings.url.as_ref()?;
    Some(match Notifier::new(settings) {
        Ok(_) => Check::ok("notify", format!("{address}, not tried")),
        Err(why) => Check::fail("notify", Exit::Usage, why),
    })
}

/// The folder, or what it would be made in.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

fn may_write(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(nearest(folder), rustix::fs::Access::WRITE_OK)?)
}

/// Every promise between processes stands on locks that hold.
fn of_locks(state: &Path) -> Check {
    let folder = nearest(state);
    let tried = || -> io::Result<bool> {
        let first = tempfile::NamedTempFile::with_prefix_in(".voxbatch-doctor-", folder)?;
        let second = File::open(first.path())?;
        first.as_file().lock()?;
        first.as_file().sync_all()?;
        match second.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    };
    let says = state.display();
    match tried() {
        Ok(true) => Check::ok("state folder", format!("{says}: can be written to, and locks hold")),
        Ok(false) => {
            Check::fail("state folder", Exit::LocalState, format!("{says}: file locks do not hold there"))
                .mend("put it on a local disk: state_dir = \"…\"")
        }
        Err(error) => {
            Check::fail("state folder", Exit::LocalState, format!("{says}: cannot be used: {error}"))
                .mend("let the user of the runs write there, or choose another: state_dir = \"…\"")
        }
    }
}

fn of_space(state: &Path) -> Check {
    let folder = nearest(state);
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Check::warn("disk space", format!("cannot be told: {error}")),
    };
    let says = format!("{} free at {}", bytes(free), folder.display());
    let mend = format!("df -h {}", folder.display());
    match free {
        ..SPACE_MIN => Check::fail("disk space", Exit::LocalState, says).mend(mend),
        SPACE_MIN..SPACE_FEW => Check::warn("disk space", says).mend(mend),
        _ => Check::ok("disk space", says),
    }
}

async fn of_queue(overrides: &Overrides) -> Vec<Check> {
    let looked = async {
        let context = Context::open(overrides).await?;
        let tallies = context.store.tallies().await?;
        let alive = context.store.workers(50).await?.into_iter().filter(|worker| worker.alive).count();
        let halts = context.store.halts(true, now()).await?;
        context.store.close().await;
        let of = |state: TaskState| tallies.iter().filter(|t| t.state == state).map(|t| t.tasks).sum::<u64>();
        let says = format!(
            "{} queued, {} running, {} succeeded, {} failed; {}",
            of(TaskState::Queued),
            of(TaskState::Running),
            of(TaskState::Succeeded),
            of(TaskState::Failed),
            plural(alive as u64, "run going on", "runs going on"),
        );
        let mut checks = vec![Check::ok("queue", says)];
        checks.extend(halts.iter().map(|halt| {
            let says = format!("{} stands still: {}", halt.scope, halt.reason.says());
            Check::warn("halt", says).mend("voxbatch halts")
        }));
        anyhow::Ok(checks)
    };
    looked.await.unwrap_or_else(|error| {
        let told = problem::of(&error);
        vec![Check::fail("queue", told.exit, told.problem.what)]
    })
}

async fn of_network(config: &Config, online: bool) -> Check {
    let base = &config.api.base_url;
    if !online {
        return Check::ok("network", format!("{base}, not asked; --online makes the one free call"));
    }
    let client = config.velma().map_err(anyhow::Error::from).and_then(|settings| Ok(Client::new(settings)?));
    let client = match client {
        Ok(client) => client,
        Err(_) => return Check::warn("network", "not asked, for want of a usable key"),
    };
    match client.probe(Endpoint::SttBatch).await {
        Probe::Accepted => Check::ok("network", format!("{base} is reached and accepts the key")),
        Probe::Refused => {
            Check::fail("network", Exit::NoAccess, format!("{base} is reached and refuses the key"))
                .mend("voxbatch config show --origin   shows which key is used, and where it came from")
        }
        Probe::NoCredits => {
            Check::fail("network", Exit::Limit, format!("{base} is reached: no credits are left"))
        }
        Probe::Unreachable => {
            Check::fail("network", Exit::Unusable, format!("{base} gives no usable answer"))
                .mend("check the address, a proxy (HTTPS_PROXY), and the network")
        }
    }
}
