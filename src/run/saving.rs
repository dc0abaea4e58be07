//! Tells the queue what the judge says the pace is, so that the last word it hears is the right one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::judge::Judge;

/// Saves the pace after a finding has moved it. Workers' saves can overtake each other: whoever sees that the judge
/// says something else than what was saved, saves again.
pub(super) async fn save<F, E>(judge: &Mutex<Judge>, tell: impl Fn(u32) -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut effective = lock(judge).effective();
    loop {
        let saved = tell(effective).await;
        let mut judge = lock(judge);
        if judge.effective() == effective {
            judge.pace_saved();
            return saved;
        }
        effective = judge.effective();
    }
}

fn lock(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::run::judge::Heard;
    use crate::run::pace::{Begun, Pace};
    use crate::task::{Cause, Failure, TaskId, Timestamp, Verdict};

    fn overloaded(judge: &Mutex<Judge>, sent: i64) -> Option<u32> {
        let heard = Heard {
            task: TaskId(sent),
            alone: false,
            elsewhere: 0,
            begun: Begun { own: 16, shows: true },
            throttles: 0,
            sent_at: Timestamp(sent),
            now: Timestamp(sent + 1),
            jitter: 0.5,
        };
        let busy = Failure::local(Cause::Overloaded, "busy");
        lock(judge).hear(Verdict::Transient(busy), heard).pace
    }

    #[tokio::test]
    async fn a_save_that_is_overtaken_is_made_good_and_then_the_queue_has_the_word_again() {
        let judge = Mutex::new(Judge::new(Pace::new(16, 16), true));
        let queue = Mutex::new(Vec::new());
        let held = tokio::sync::Semaphore::new(0);
        let tell = async |effective: u32| {
            if effective == 11 {
                let _ = held.acquire().await; // it takes a while until the queue hears of it
            }
            queue.lock().unwrap().push(effective);
            Ok::<_, ()>(())
        };
        assert_eq!(overloaded(&judge, 1), Some(11));
        let mut first = std::pin::pin!(save(&judge, tell));
        assert!(poll!(&mut first).is_pending());
        assert_eq!(overloaded(&judge, 3), Some(7));
        save(&judge, tell).await.unwrap();
        lock(&judge).adopt(9);
        assert_eq!(lock(&judge).effective(), 7, "one save is under way");
        held.add_permits(1);
        first.await.unwrap();
        assert_eq!(*queue.lock().unwrap(), [7, 11, 7]);
        (0..2).for_each(|_| lock(&judge).adopt(5));
        assert_eq!(lock(&judge).effective(), 5);
    }

    #[tokio::test]
    async fn after_a_save_that_failed_the_word_of_the_queue_holds() {
        let judge = Mutex::new(Judge::new(Pace::new(16, 16), true));
        overloaded(&judge, 1);
        assert_eq!(save(&judge, async |_| Err("disk full")).await, Err("disk full"));
        (0..2).for_each(|_| lock(&judge).adopt(16));
        assert_eq!(lock(&judge).effective(), 16);
    }
}
