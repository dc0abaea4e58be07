//! A recording that a service accepts as a job: sent once, remembered, and asked for until it has ended. The slot is held
//! all the while: that many jobs run at once.

use std::time::Duration;

use super::keep::Facts;
use super::now;
use super::ready::Ready;
use super::worker::Bench;
use crate::queue::{ClaimedTask, RemoteJob, Settled};
use crate::velma::{self, Exchange, TransportError};

impl Bench {
    /// Brings back how the job of a task ended. One that was accepted before, by whichever process, is not sent again.
    pub(super) async fn send_or_follow(
        &self,
        task: &ClaimedTask,
        ready: Ready,
        facts: &mut Facts,
    ) -> Exchange {
        let known = match self.paid_for(task.id, self.store.remote_job(task.id).await) {
            Ok(known) => known,
            Err(aborted) => return Exchange::none(aborted),
        };
        let at_once = known.is_some();
        let (mut exchange, job) = match known {
            Some(job) => (Exchange::none(TransportError::Aborted), job),
            None => {
                let mut exchange = self.submit(ready, facts).await;
                let (Some(id), Some(blake3)) = (velma::accepted(&exchange), exchange.blake3.clone()) else {
                    if exchange.outcome.as_ref().is_ok_and(velma::Answer::is_good) {
                        let lost = "it was taken, and no job was named".to_owned();
                        exchange.outcome = Err(TransportError::AnswerLost(lost));
                    }
                    return exchange;
                };
                let job = RemoteJob { id, blake3, bytes: facts.bytes, accepted_at: now() };
                self.remember(task, &job).await;
                (exchange, job)
            }
        };
        let patience = self.job_deadline.saturating_sub(now().since(job.accepted_at));
        let ended = self.client.follow(&job.id, at_once, patience, &self.stop.abort).await;
        facts.bytes = job.bytes;
        exchange.request_id = exchange.request_id.or_else(|| Some(job.id.clone()));
        Exchange { body_sent: ended.body_sent, blake3: Some(job.blake3), outcome: ended.outcome, ..exchange }
    }

    /// Before anything else is sent or waited for. If it cannot be written down, nothing more begins; this job is
    /// followed all the same, for it is paid for.
    async fn remember(&self, task: &ClaimedTask, job: &RemoteJob) {
        let mut waited = Duration::ZERO;
        loop {
            let error = match self.store.remember_job(task.id, task.fence, job.clone()).await {
                Ok(Settled::Accepted | Settled::Fenced) => return,
                Err(error) => error,
            };
            tracing::warn!(task.id = task.id.0, %error, "an accepted job could not be written down");
            self.stop.drain.cancel();
            self.trouble().get_or_insert(error);
            if waited >= REMEMBER_PATIENCE || self.stop.abort.is_cancelled() {
                return;
            }
            let wait = Duration::from_secs(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.abort.cancelled() => {}
            }
            waited += wait;
        }
    }
}

/// How long writing down that a job was accepted is tried.
const REMEMBER_PATIENCE: Duration = Duration::from_secs(10);
