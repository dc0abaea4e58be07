//! What goes into the audit log, and in whose name. Counts and fixed words only; the room sees to that.

use std::time::Duration;

use super::context::now;
use crate::audit::{AuditError, AuditLog, Author, Facts, Kind};
use crate::config::Config;
use crate::event::RunEvent;
use crate::queue::{Enqueued, Purge, Purgeable, TaskStore};
use crate::task::{Filter, HaltReason, HaltScope, JobId, TaskState, WorkerId};

/// The log of a configuration's queue, written to as the user who runs this process.
#[derive(Clone)]
pub(super) struct Audit {
    log: AuditLog,
    run: Option<WorkerId>,
}

impl Audit {
    /// For what is done by hand.
    pub(super) fn of(config: &Config) -> Self {
        let file = config.path.as_ref().and_then(|path| std::fs::read(path).ok());
        let author = Author {
            user: user(),
            uid: rustix::process::getuid().as_raw(),
            host: host(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_sha256: file.map(|bytes| {
                use sha2::Digest;
                format!("{:x}", sha2::Sha256::digest(bytes))
            }),
        };
        Audit { log: AuditLog::new(&config.state_dir, author), run: None }
    }

    /// For what a run does.
    pub(super) fn of_run(config: &Config, run: WorkerId) -> Self {
        Audit { run: Some(run), ..Audit::of(config) }
    }

    /// Appends an entry; it is durable when this returns.
    pub(super) async fn write(&self, kind: Kind, facts: Facts) -> Result<(), AuditError> {
        let ours = self.clone();
        let append = move || ours.log.append(kind, ours.run.as_ref(), &facts, now()).map(drop);
        match tokio::task::spawn_blocking(append).await {
            Ok(done) => done,
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => Ok(()), // the runtime is shutting down
        }
    }

    /// The same, where nothing can be stopped any more by its failing: what has happened goes on.
    pub(super) async fn note(&self, kind: Kind, facts: Facts) {
        if let Err(error) = self.write(kind, facts).await {
            tracing::warn!(%error, "an entry is missing from the audit log");
        }
    }

    /// Halts that a run raises or lifts.
    pub(super) async fn hear(&self, event: &RunEvent) {
        match event {
            RunEvent::HaltRaised { scope, reason, .. } => {
                self.note(Kind::HaltRaised, of_halt(*scope, *reason)).await;
            }
            RunEvent::HaltLifted { scope, reason } => {
                self.note(Kind::HaltLifted, of_halt(*scope, *reason)).await;
            }
            _ => {}
        }
    }

    /// The end of a run: how many recordings stand where, and its exit code.
    pub(super) async fn run_ended(&self, store: &dyn TaskStore, exit_code: u8) {
        let mut facts = Facts::default().count("exit_code", exit_code);
        // A queue that cannot be read any more has said so; the end is noted all the same.
        let tallies = store.tallies().await.unwrap_or_default();
        for state in TaskState::ALL {
            let tasks: u64 = tallies.iter().filter(|t| t.state == state).map(|t| t.tasks).sum();
            facts = facts.count(state.word(), tasks);
        }
        self.note(Kind::RunEnded, facts).await;
    }
}

/// What a halt is, without its evidence: that may be anybody's words.
pub(super) fn of_halt(scope: HaltScope, reason: HaltReason) -> Facts {
    let scope = match scope {
        HaltScope::Everything => "all",
        HaltScope::Endpoint(endpoint) => endpoint.name(),
    };
    Facts::default().word("scope", scope).word("reason", reason.word())
}

/// What a scan found, by the number of its job.
pub(super) fn of_scan(job: JobId, found: &Enqueued) -> Facts {
    Facts::default()
        .count("job", job.0)
        .count("new", found.new)
        .count("refused", found.refused)
        .count("known", found.known)
        .count("reopened", found.reopened)
        .count("changed", found.changed)
}

/// How many recordings something was done to, and by which keys they were picked: values can hold names.
pub(super) fn of_filter(filter: &Filter, tasks: u64) -> Facts {
    let used = [
        !filter.states.is_empty(),
        !filter.causes.is_empty(),
        !filter.jobs.is_empty(),
        !filter.endpoints.is_empty(),
        !filter.paths.is_empty(),
        !filter.ids.is_empty(),
        filter.since.is_some(),
        filter.before.is_some(),
        !filter.suspects.is_empty(),
        filter.stale,
    ];
    let keys = Filter::KEYS.into_iter().zip(used).filter(|(_, used)| *used).map(|(key, _)| key).collect();
    Facts::default().count("tasks", tasks).words("filter", keys)
}

/// How much is to be deleted, and by which age.
pub(super) fn of_purge(purge: &Purge, found: &[Purgeable], older_than: Option<Duration>) -> Facts {
    let sum = |of: fn(&Purgeable) -> u64| found.iter().map(of).sum::<u64>();
    Facts::default()
        .count("recordings", sum(|one| one.recordings))
        .count("answers", sum(|one| one.answers))
        .count("audio", sum(|one| one.audio))
        .count("jobs", found.len() as u64)
        .flag("of_answers", purge.answers)
        .flag("of_audio", purge.audio)
        .count("older_than_s", older_than.unwrap_or_default().as_secs())
}

/// The user's name by the environment.
pub(super) fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    name.unwrap_or_else(|_| "user".to_owned())
}

/// This machine's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_leaves_its_keys_and_none_of_its_values() {
        let filter = Filter::parse("state:failed path:anna/* since:2h").unwrap();
        let expected = Facts::default().count("tasks", 7u32).words("filter", vec!["state", "path", "since"]);
        assert_eq!(of_filter(&filter, 7), expected);
        let all: Filter = Filter::parse(
            "state:failed cause:timeout job:a endpoint:velma-2-batch path:a id:1 since:1h before:1h suspect:* stale",
        )
        .unwrap();
        let keys = Facts::default().count("tasks", 0u32).words("filter", Filter::KEYS.to_vec());
        assert_eq!(of_filter(&all, 0), keys);
    }
}
