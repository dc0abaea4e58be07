//! Who works: slots, how workers begin in them and hand them over, and how their pool hears of their end. What they do
//! is `worker`'s.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::judge::Mode;
use super::probe::Word;
use super::ready::Ready;
use super::worker::{Bench, about};
use crate::queue::{ClaimedTask, QueueError};
use crate::task::TaskId;

/// A slot of this process while its request is under way. Letting it go wakes the pool.
pub(super) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Slot {
    pub(super) fn take(slots: &Arc<Semaphore>, freed: &Arc<Notify>) -> Self {
        Slot { permit: Arc::clone(slots).try_acquire_owned().ok(), freed: Arc::clone(freed) }
    }

    /// Has the pool look at what is up next.
    pub(super) fn wake(&self) {
        self.freed.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.permit = None; // before anyone looks
        self.freed.notify_one();
    }
}

/// How a worker's task ended, for its pool.
pub(super) enum Ended {
    /// Written down.
    Settled {
        /// The task is done with, for good or ill.
        terminal: bool,
        /// What that says about halts, had it been a probe.
        word: Word,
    },
    /// It was to take over the answer of another one; whether it did.
    Reused(bool),
    /// The answer could not be stored.
    Unstored(QueueError),
    /// By a bug of ours.
    Panicked,
}

/// Says how a worker ended, whatever way that was.
struct LastWord {
    bench: Arc<Bench>,
    task: TaskId,
    ended: Ended,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        let ended = std::mem::replace(&mut self.ended, Ended::Panicked);
        let _ = self.bench.ends.send((self.task, ended)); // a pool that is gone has stopped for a bug
    }
}

impl Bench {
    /// Sends a worker off, in the slot.
    pub(super) fn begin(self: &Arc<Self>, task: ClaimedTask, ready: Ready, slot: Slot) {
        self.spawn(task.id, |bench| async move {
            // A connection that was closed right after its last answer is to be known for that before it is used again.
            tokio::task::yield_now().await;
            bench.work(task, ready, slot).await
        });
    }

    /// Nobody is up next any more: what was claimed for it goes back at no cost.
    pub(super) fn clear_deck(self: &Arc<Self>) {
        let waiting = self.deck().clear();
        for (task, ready) in waiting {
            self.spawn(task.id, |bench| async move {
                let about = about(&task, &ready);
                bench.put_back(task, about, None).await
            });
        }
    }

    pub(super) fn spawn<F>(self: &Arc<Self>, task: TaskId, work: impl FnOnce(Arc<Bench>) -> F)
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        let work = work(Arc::clone(self));
        let word = LastWord { bench: Arc::clone(self), task, ended: Ended::Panicked };
        tokio::spawn(async move {
            let mut word = word; // all of it, to be dropped here
            word.ended = work.await;
        });
    }

    /// Who may take over a slot that is being left, if anybody may.
    pub(super) fn heir(&self) -> Option<(ClaimedTask, Ready)> {
        self.deck().count_end(tokio::time::Instant::now());
        if self.stop.drain.is_cancelled() || self.all_stopped.load(Ordering::Relaxed) {
            return None;
        }
        let judge = self.judge();
        if judge.mode() != Mode::Open || !judge.has_room() {
            return None;
        }
        drop(judge);
        self.deck().take()
    }
}
