//! Tells what happens in a pool, in order, and of results only once they are certain to stay: those that come while
//! the disk is busy with others wait for it together, and no slot waits with them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Stop;
use crate::event::RunEvent;
use crate::queue::{QueueError, TaskStore};

/// So many events wait at most; then workers wait, too.
const WINDOW: usize = 256;
/// So long a result waits for others to be made certain with it: a sync costs the same for one as for many.
const GATHER: Duration = Duration::from_millis(5);

/// Begins to pass events on. Ends when the last sender is gone, with why results are not certain, if they are not.
pub(super) fn start(
    store: Arc<dyn TaskStore>,
    events: mpsc::Sender<RunEvent>,
    stop: Stop,
) -> (mpsc::Sender<RunEvent>, JoinHandle<Result<(), QueueError>>) {
    let (sender, waiting) = mpsc::channel(WINDOW);
    (sender, tokio::spawn(pass_on(store, events, stop, waiting)))
}

async fn pass_on(
    store: Arc<dyn TaskStore>,
    events: mpsc::Sender<RunEvent>,
    stop: Stop,
    mut waiting: mpsc::Receiver<RunEvent>,
) -> Result<(), QueueError> {
    let mut batch = Vec::with_capacity(WINDOW);
    let mut certain = Ok(());
    while waiting.recv_many(&mut batch, WINDOW).await > 0 {
        if certain.is_ok() && batch.iter().any(promises) {
            tokio::time::sleep(GATHER).await;
            while let Ok(event) = waiting.try_recv() {
                batch.push(event);
            }
            certain = store.sync().await;
        }
        if certain.is_err() {
            stop.drain.cancel(); // what comes next could not be kept either
            batch.retain(|event| !promises(event));
        }
        for event in batch.drain(..) {
            let _ = events.send(event).await; // a run goes on when nobody listens
        }
    }
    certain
}

/// Whether somebody could act on it who relies on the result.
fn promises(event: &RunEvent) -> bool {
    matches!(event, RunEvent::TaskSucceeded { .. } | RunEvent::TaskFailed { sent: true, .. })
}
