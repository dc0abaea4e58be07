//! Tells of a run's start and end, if somebody is to be told: see [`crate::notify`]. What goes wrong with that is a
//! warning, and nothing else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::context::now;
use super::exit::Exit;
use super::problem::{self, UsageError};
use super::run::Ended;
use crate::config::Config;
use crate::notify::{Counts, Event, Notifier, Ping};
use crate::task::WorkerId;

/// How long the end waits for the ping of the start, if that is still under way.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Pings {
    notifier: Option<Notifier>,
    began: Instant,
    /// The ping of the start, under way beside the run.
    start: Mutex<Option<JoinHandle<()>>>,
}

impl Pings {
    /// As configured.
    ///
    /// # Errors
    /// An address or a token that cannot be used: better found out now than missed in the morning.
    pub(super) fn of(config: &Config) -> Result<Self> {
        let notifier = Notifier::new(config.notify()?).map_err(UsageError::new)?;
        Ok(Pings { notifier, ..Pings::none() })
    }

    /// Nobody is told.
    pub(super) fn none() -> Self {
        Pings { notifier: None, began: Instant::now(), start: Mutex::default() }
    }

    /// A run has begun; it does not wait for the ping.
    pub(super) fn start(&self, run: &WorkerId, left: Option<u64>) {
        let counts = Counts { left, ..Counts::default() };
        let Some(notifier) = self.notifier.clone() else { return };
        let ping = self.ping(Event::Start, Some(run), None, Some(counts));
        let sending = tokio::spawn(async move { send(&notifier, &ping).await });
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(sending);
    }

    /// It has ended, or never began.
    pub(super) async fn end(&self, ended: &Result<Ended>) {
        let Some(notifier) = &self.notifier else { return };
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut start) = start
            && tokio::time::timeout(LAST_CHANCE, &mut start).await.is_err()
        {
            start.abort(); // it would come after the end
        }
        let (run, end, counts) = match ended {
            Ok(Ended { exit, run, stop, stats, left }) => {
                let counts = Counts {
                    succeeded: stats.succeeded,
                    failed: stats.failed(),
                    refused: stats.refused(),
                    left: Some(*left),
                    audio_ms: stats.audio_ms,
                    billed_ms: stats.billed_ms,
                    maybe_billed: stats.maybe_billed,
                };
                (Some(run), (exit.code(), stop.word()), Some(counts))
            }
            Err(error) => {
                let exit = problem::of_config(error).map_or_else(|| problem::of(error).exit, |_| Exit::Usage);
                (None, (exit.code(), "error"), None)
            }
        };
        send(notifier, &self.ping(notifier.event_of(end.0), run, Some(end), counts)).await;
    }

    fn ping(
        &self,
        event: Event,
        run: Option<&WorkerId>,
        end: Option<(u8, &'static str)>,
        counts: Option<Counts>,
    ) -> Ping {
        Ping { event, run: run.cloned(), time: now(), elapsed: self.began.elapsed(), end, counts }
    }
}

async fn send(notifier: &Notifier, ping: &Ping) {
    if let Err(error) = notifier.send(ping).await {
        tracing::warn!(%error, "nobody could be told of the run");
    }
}
