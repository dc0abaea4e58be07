//! A bench raises halts: stored, so that every process and the next run know.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::now;
use super::worker::Bench;
use crate::event::RunEvent;
use crate::task::{Failure, HaltOrder, HaltReason, HaltScope, Standing, Verdict, decide};

/// Months turn somewhere: the API names no zone, and clocks differ.
const HALT_SLACK: Duration = Duration::from_secs(15 * 60);

impl Bench {
    /// Stores a halt, so that every process and the next run know.
    pub(super) async fn raise(&self, order: HaltOrder) {
        let at = now();
        // A budget of runs knows no months.
        let is_monthly = order.reason.ends_with_the_month()
            && (order.reason, order.scope) != (HaltReason::Budget, HaltScope::Everything);
        let until = is_monthly.then(|| at.month().end().after(HALT_SLACK));
        match self.store.raise_halt(order.clone(), until, self.raised_by.clone(), at).await {
            Ok(true) => {
                self.all_stopped.fetch_or(order.scope == HaltScope::Everything, Ordering::Relaxed);
                let HaltOrder { scope, reason, evidence } = order;
                self.tell(RunEvent::HaltRaised { scope, reason, evidence, until }).await;
            }
            Ok(false) => {}
            Err(error) => tracing::error!(endpoint = %self.endpoint, %error, "a halt was not stored"),
        }
    }

    /// Raises the halt that a verdict about no task in particular calls for.
    pub(super) async fn raise_for(&self, reason: HaltReason, failure: Failure) {
        let standing = Standing {
            endpoint: self.endpoint,
            attempts: 0,
            repeats: 0,
            first_failed_at: None,
            unfinished: false,
            outage: false,
            throttle_rounds: 1,
            now: now(),
            jitter: 0.0,
        };
        if let Some(order) = decide(Verdict::Halted(reason, failure), &self.policy, standing).halt {
            self.raise(order).await;
        }
    }
}
