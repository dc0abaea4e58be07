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
    listeners: Vec<JoinHandle<()>>,
}

impl Signals {
    /// Begins to listen; asks `stop` for its next step at each signal to stop.
    pub(super) fn listen(stop: Stop, events: mpsc::Sender<RunEvent>) -> std::io::Result<Self> {
        let first = Arc::new(AtomicU8::new(0));
        let mut stoppers: Vec<JoinHandle<()>> = Vec::new();
        let wanted =
            [(SignalKind::interrupt(), Exit::Interrupted), (SignalKind::terminate(), Exit::Terminated)];
        for (kind, exit) in wanted.into_iter().chain([(SignalKind::hangup(), Exit::Terminated)]) {
            // Under nohup, or in the background of a script, the shell has said that it is not meant for us.
            if !is_ignored(kind) {
                stoppers.push(tokio::spawn(stop_at(signal(kind)?, exit, stop.clone(), Arc::clone(&first))));
            }
        }
        let mut usr1 = signal(SignalKind::user_defined1())?;
        stoppers.push(tokio::spawn(async move {
            while usr1.recv().await.is_some() {
                let _ = events.try_send(RunEvent::StatusAsked); // a reader that hangs must not make us deaf
            }
        }));
        Ok(Signals { first, listeners: stoppers })
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
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

async fn stop_at(mut signal: Signal, exit: Exit, stop: Stop, first: Arc<AtomicU8>) {
    while signal.recv().await.is_some() {
        let _ = first.compare_exchange(0, exit.code(), Ordering::SeqCst, Ordering::SeqCst);
        stop.ask();
    }
}

/// Whether whoever started us set this signal to be ignored. Where that cannot be told: no.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status, kind.as_raw_value())
}

fn ignored_in(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (number - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_stays_ignored() {
        let nohup = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\n";
        assert!(ignored_in(nohup, 1));
        assert!(!ignored_in(nohup, 2) && !ignored_in("", 1));
    }
}
