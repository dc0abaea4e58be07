//! `--limit`: how many tasks may still be started.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by all pools of a run.
#[derive(Debug)]
pub(super) struct Quota(AtomicU64);

impl Quota {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Quota(AtomicU64::new(limit.unwrap_or(u64::MAX)))
    }

    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    pub(super) fn give_back(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}
