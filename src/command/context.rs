//! What most verbs begin with: the configuration, the queue, and its jobs.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;

use crate::config::{self, Config, JobConfig, OptionProblem, Overrides};
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
    /// Loads the configuration and opens the queue, to look or to act on what it knows already.
    pub(super) async fn open(overrides: &Overrides) -> Result<Self> {
        let (config, store) = open(load(overrides)?).await?;
        let stated = |job: &Job| config.jobs.iter().any(|c| c.spec.name == job.name);
        let jobs = store.jobs().await?.into_iter().filter(stated).collect();
        Ok(Context { config, store, jobs })
    }

    /// Opens the queue of a configuration and makes it know the jobs as they are stated now.
    pub(super) async fn with(config: Config) -> Result<Self> {
        let (config, store) = open(config).await?;
        let specs = config.jobs.iter().map(|j| j.spec.clone()).collect();
        let jobs = store.upsert_jobs(specs, now()).await?;
        Ok(Context { config, store, jobs })
    }

    /// The stated jobs with these names, or all, and what the queue knows of each.
    pub(super) fn stated(&self, names: &[String]) -> Result<Vec<(&JobConfig, Option<&Job>)>, UnknownJob> {
        let known = |name: &str| self.config.jobs.iter().any(|c| c.spec.name == name);
        if let Some(name) = names.iter().find(|name| !known(name)) {
            let known = self.config.jobs.iter().map(|c| c.spec.name.clone()).collect();
            return Err(UnknownJob { name: name.clone(), known });
        }
        let wanted = |c: &&JobConfig| names.is_empty() || names.contains(&c.spec.name);
        let job_of = |c: &JobConfig| self.jobs.iter().find(|j| j.name == c.spec.name);
        Ok(self.config.jobs.iter().filter(wanted).map(|c| (c, job_of(c))).collect())
    }

    /// Every job that the queue knows, also those that left the file.
    pub(super) async fn all_jobs(&self) -> Result<Vec<Job>, QueueError> {
        self.store.jobs().await
    }
}

async fn open(config: Config) -> Result<(Config, Arc<dyn TaskStore>)> {
    let settings = QueueSettings { state_dir: config.state_dir.clone() };
    let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(&settings).await?);
    Ok((config, store))
}

/// Those of the jobs that the queue knows which have these names, or all.
pub(super) fn chosen(jobs: Vec<Job>, names: &[String]) -> Result<Vec<Job>, UnknownJob> {
    if let Some(name) = names.iter().find(|name| !jobs.iter().any(|job| &job.name == *name)) {
        return Err(UnknownJob { name: name.clone(), known: jobs.into_iter().map(|job| job.name).collect() });
    }
    Ok(jobs.into_iter().filter(|job| names.is_empty() || names.contains(&job.name)).collect())
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
