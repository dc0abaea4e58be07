//! SIGINT and SIGTERM: first drain, then abort. SIGUSR1: a status line. SIGHUP is taken as SIGTERM.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::exit::Exit;
use crate::event::RunEvent;
use crate::run::Stop;

/// Listens for signals for as long as it lives.
pub(super) struct Signals {
    first: Arc<AtomicU8>,
    listener: JoinHandle<()>,
}

impl Signals {
    /// Begins to listen; asks `stop` for its next step at each signal to stop.
    pub(super) fn listen(stop: Stop, events: mpsc::Sender<RunEvent>) -> std::io::Result<Self> {
        let first = Arc::new(AtomicU8::new(0));
        let (int, term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (hup, usr1) = (signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?);
        let listener = tokio::spawn(listen(int, term, hup, usr1, stop, events, Arc::clone(&first)));
        Ok(Signals { first, listener })
    }

    /// What the first signal to stop makes of the exit code.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self.first.load(Ordering::SeqCst) {
            0 => None,
            code if code == Exit::Interrupted.code() => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(
    mut int: Signal,
    mut term: Signal,
    mut hup: Signal,
    mut usr1: Signal,
    stop: Stop,
    events: mpsc::Sender<RunEvent>,
    first: Arc<AtomicU8>,
) {
    loop {
        let exit = tokio::select! {
            _ = int.recv() => Exit::Interrupted,
            _ = term.recv() => Exit::Terminated,
            _ = hup.recv() => Exit::Terminated,
            _ = usr1.recv() => {
                let _ = events.send(RunEvent::StatusAsked).await;
                continue;
            }
        };
        let _ = first.compare_exchange(0, exit.code(), Ordering::SeqCst, Ordering::SeqCst);
        stop.ask();
    }
}
