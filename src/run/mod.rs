//! Works the queue: slots, claims, requests, settlements. Never knows of progress bars.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::task::{Endpoint, RetryPolicy};

/// An endpoint's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests at once: the organisation's limit for this model.
    pub concurrent: u32,
    /// Milliseconds of audio that may be billed in a calendar month; `None`: no cap of ours.
    pub monthly_ms: Option<u64>,
}

/// How a run behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSettings {
    /// By endpoint; an endpoint without an entry gets one slot.
    pub limits: BTreeMap<Endpoint, LimitSettings>,
    /// How often and how late to try again.
    pub retry: RetryPolicy,
    /// How long requests in flight may go on after the first stop signal.
    pub grace: Duration,
    /// How often one request may try whether a halt is over.
    pub probe_interval: Duration,
    /// How long everything may keep failing before the run gives up.
    pub give_up_after: Duration,
    /// A file that changed within this time is looked at again later.
    pub settle: Duration,
    /// At most this many tasks are started; `None`: all.
    pub limit: Option<u64>,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings {
            limits: BTreeMap::new(),
            retry: RetryPolicy::default(),
            grace: Duration::from_secs(75),
            probe_interval: Duration::from_secs(3600),
            give_up_after: Duration::from_secs(1800),
            settle: Duration::from_secs(10),
            limit: None,
        }
    }
}
