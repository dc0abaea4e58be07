//! What most verbs begin with: the configuration, the queue, and its jobs.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;

use crate::config::{self, Config, OptionProblem, Overrides};
use crate::queue::{QueueError, QueueSettings, SqliteStore, TaskStore};
use crate::task::{Endpoint, Job, Timestamp};
use crate::velma::Options;

/// A configuration with its queue open.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) store: Arc<dyn TaskStore>,
    /// The jobs of the configuration, as the queue knows them.
    pub(super) jobs: Vec<Job>,
}

impl Context {
    /// Loads the configuration and opens the queue.
    pub(super) async fn open(overrides: &Overrides) -> Result<Self> {
        Context::with(load(overrides)?).await
    }

    /// Opens the queue of a configuration.
    pub(super) async fn with(config: Config) -> Result<Self> {
        let settings = QueueSettings { state_dir: config.state_dir.clone() };
        let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(&settings).await?);
        let specs = config.jobs.iter().map(|j| j.spec.clone()).collect();
        let jobs = store.upsert_jobs(specs, now()).await?;
        Ok(Context { config, store, jobs })
    }

    /// The configured jobs with these names, or all.
    pub(super) fn chosen(&self, names: &[String]) -> Result<Vec<Job>, UnknownJob> {
        if let Some(name) = names.iter().find(|name| !self.jobs.iter().any(|j| &j.name == *name)) {
            let known = self.jobs.iter().map(|j| j.name.clone()).collect();
            return Err(UnknownJob { name: name.clone(), known });
        }
        Ok(self.jobs.iter().filter(|j| names.is_empty() || names.contains(&j.name)).cloned().collect())
    }

    /// Every job that the queue knows, also those that left the file.
    pub(super) async fn all_jobs(&self) -> Result<Vec<Job>, QueueError> {
        self.store.jobs().await
    }
}

/// A name that is no job of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("there is no job `{name}`; known: {}", known.join(", "))]
pub(super) struct UnknownJob {
    pub(super) name: String,
    pub(super) known: Vec<String>,
}

/// Loads the configuration, its options checked by the room that sends them.
pub(super) fn load(overrides: &Overrides) -> Result<Config> {
    Ok(config::load(overrides, &environment, check_options)?)
}

/// This process's environment.
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The same, for those who want text.
pub(super) fn environment_text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Holds a job's options against what its endpoint takes.
pub(super) fn check_options(endpoint: Endpoint, value: &serde_json::Value) -> Result<(), OptionProblem> {
    Options::parse(endpoint, value).map(|_| ()).map_err(|e| OptionProblem {
        key: e.key.clone(),
        problem: e.problem.to_string(),
        suggestion: e.suggestion.clone(),
    })
}

/// The clock of the commands.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
