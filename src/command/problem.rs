//! From an error to what the user reads: what, why, how to mend, and the exit code.

use std::fmt;
use std::path::Path;

use super::context::UnknownJob;
use super::exit::Exit;
use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::outputs::OutputError;
use crate::queue::QueueError;
use crate::report::Problem;
use crate::scan::ScanError;
use crate::task::FilterError;
use crate::velma::{OptionError, VelmaError};
use crate::verify::VerifyError;

/// A problem and what it makes of the exit code.
pub(super) struct Told {
    pub(super) problem: Problem,
    pub(super) exit: Exit,
}

/// What is known of an error.
pub(super) fn of(error: &anyhow::Error) -> Told {
    let told = |exit, problem| Told { exit, problem };
    for cause in error.chain() {
        if let Some(Trouble { problem, exit }) = cause.downcast_ref::<Trouble>() {
            return told(*exit, problem.clone());
        }
        if let Some(QueueError::Bug(what)) = cause.downcast_ref::<QueueError>() {
            return told(Exit::Bug, bug(what));
        }
        if let Some(queue) = cause.downcast_ref::<QueueError>() {
            return told(Exit::LocalState, of_queue(queue));
        }
        if let Some(output) = cause.downcast_ref::<OutputError>() {
            return told(Exit::LocalState, of_output(output));
        }
        if let Some(audit) = cause.downcast_ref::<AuditError>() {
            let problem = Problem::new("E-STATE-AUDIT", failed_to(audit))
                .state("what was done before is done; no run begins without its entry in the log");
            return told(Exit::LocalState, problem);
        }
        match cause.downcast_ref::<VerifyError>() {
            Some(VerifyError::Queue(queue)) => return told(Exit::LocalState, of_queue(queue)),
            Some(error) => {
                return told(Exit::LocalState, Problem::new("E-VERIFY-MANIFEST", failed_to(error)));
            }
            None => {}
        }
        if let Some(scan) = cause.downcast_ref::<ScanError>() {
            let problem = Problem::new("E-SCAN-SOURCE", failed_to(scan))
                .state("nothing was sent from it; what is queued stays queued");
            return told(Exit::Usage, problem);
        }
        if let Some(job) = cause.downcast_ref::<UnknownJob>() {
            return told(Exit::Usage, Problem::new("E-USAGE-JOB", job.to_string()));
        }
        if let Some(filter) = cause.downcast_ref::<FilterError>() {
            let problem = Problem::new("E-USAGE-WHERE", format!("cannot read --where: {filter}")).mend(
                "voxbatch tasks --where 'state:failed cause:timeout path:2024/* since:2h'",
                "an example",
            );
            return told(Exit::Usage, problem);
        }
        if let Some(velma) = cause.downcast_ref::<VelmaError>() {
            let problem = Problem::new("E-CONF-API", failed_to(velma)).state("nothing was sent");
            return told(Exit::Usage, problem);
        }
        if let Some(option) = cause.downcast_ref::<OptionError>() {
            let problem = Problem::new("E-CONF-OPTION", option.to_string()).state("nothing was sent");
            return told(Exit::Usage, problem);
        }
        if let Some(usage) = cause.downcast_ref::<UsageError>() {
            let mut problem = Problem::new("E-USAGE", usage.what.clone());
            if let Some((command, note)) = &usage.mend {
                problem = problem.mend(command.clone(), note.clone());
            }
            return told(Exit::Usage, problem);
        }
    }
    told(Exit::Bug, bug(&format!("{error:#}")))
}

fn bug(what: &str) -> Problem {
    Problem::new("E-BUG", what)
        .why("this was not expected to happen; it is a bug, or something we have not thought of")
        .state("what was stored is safe; the same command can be given again")
}

/// A configuration has its own way of showing lines and carets.
pub(super) fn of_config(error: &anyhow::Error) -> Option<&ConfigError> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

fn of_queue(error: &QueueError) -> Problem {
    let problem = Problem::new(queue_code(error), failed_to(error));
    if error.is_disk_full() {
        return problem
            .mend(
                disk_of(queue_path(error)),
                "shows what is full; free some space, then give the same command again",
            )
            .state("what was stored is safe; recordings without a stored answer are still queued");
    }
    match error {
        QueueError::Database(_) | QueueError::Corrupt(_) => problem
            .state("nothing was overwritten; results that were stored can be read with `voxbatch export`"),
        QueueError::Open { .. } => problem.state(
            "nothing was sent, nothing was overwritten; if it is damaged, put a copy of it from a backup in its place",
        ),
        QueueError::Audio { path, .. } => problem
            .mend(disk_of(Some(path)), "shows whether it is full; make room there, then give the same command again")
            .state("what was in flight was paid for and is sent again; `voxbatch show` lists it as local_storage"),
        _ => problem,
    }
}

/// Of errors that know it.
fn queue_path(error: &QueueError) -> Option<&Path> {
    match error {
        QueueError::Open { path, .. } | QueueError::Io { path, .. } => Some(path),
        _ => None,
    }
}

/// What to type to see whether a disk is full: that of this file, or of the folder that it should be in.
fn disk_of(path: Option<&Path>) -> String {
    let Some(path) = path.and_then(|path| path.ancestors().find(|p| p.exists())) else {
        return "df -h".to_owned();
    };
    let path = path.to_string_lossy();
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b));
    if plain { format!("df -h {path}") } else { format!("df -h '{}'", path.replace('\'', r"'\''")) }
}

fn queue_code(error: &QueueError) -> &'static str {
    match error {
        _ if error.is_disk_full() => "E-STATE-FULL",
        QueueError::TooNew { .. } => "E-STATE-NEWER",
        QueueError::NetworkFileSystem { .. } => "E-STATE-NETWORK",
        QueueError::SqliteTooOld { .. } => "E-STATE-SQLITE",
        QueueError::Audio { .. } => "E-OUT-AUDIO",
        QueueError::EndpointChanged { .. } => "E-CONF-ENDPOINT",
        _ => "E-STATE",
    }
}

fn of_output(error: &OutputError) -> Problem {
    if let OutputError::Queue(queue) = error {
        return of_queue(queue);
    }
    let full = error.is_disk_full();
    let code = if full { "E-OUT-FULL" } else { "E-OUT-CHANGED" };
    let problem = Problem::new(code, failed_to(error))
        .state("what the queue has is safe; files are made from it again at no cost");
    if full {
        let path = match error {
            OutputError::Io { path, .. } => Some(path.as_path()),
            _ => None,
        };
        problem.mend(disk_of(path), "shows what is full; free some space, then run again")
    } else {
        problem
    }
}

fn failed_to(error: &dyn fmt::Display) -> String {
    format!("failed to {error}")
}

/// A problem that a command has found and told to the end by itself.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) problem: Problem,
    pub(super) exit: Exit,
}

impl Trouble {
    /// On this machine.
    pub(super) fn local(problem: Problem) -> Self {
        Trouble { problem, exit: Exit::LocalState }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.what)
    }
}

impl std::error::Error for Trouble {}

/// A wish that makes no sense, found by a command itself.
#[derive(Debug)]
pub(super) struct UsageError {
    pub(super) what: String,
    pub(super) mend: Option<(String, String)>,
}

impl UsageError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        UsageError { what: what.into(), mend: None }
    }

    pub(super) fn mend(mut self, command: impl Into<String>, note: impl Into<String>) -> Self {
        self.mend = Some((command.into(), note.into()));
        self
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UsageError {}
