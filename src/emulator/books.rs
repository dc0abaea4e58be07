//! The organisation's books: slots in use, hours and credits spent, and everything the report tells.
//! One lock around plain sums; whoever holds a [`Slot`] gives it back by dropping it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::refusal::Refusal;
use super::report::{Report, SocketReport};
use super::settings::ModelLimits;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// Ended connections that are kept one by one.
const SOCKETS_KEPT: usize = 10_000;

/// The books, shared by every request.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: Mutex<Pages>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    report: Report,
    /// Since when the slots in use are what they are.
    since: BTreeMap<&'static str, Instant>,
    month_ms: BTreeMap<&'static str, u64>,
    credits_ms: Option<f64>,
    /// Kinds of lasting refusals that stand, by model ("" when they concern all).
    refused: Vec<(&'static str, &'static str)>,
    /// How often a scripted name was played.
    played: HashMap<String, u32>,
    /// Requests let in, by model; the dice are thrown with it.
    numbers: BTreeMap<&'static str, u64>,
}

/// A unit of a model's concurrency, given back when dropped: at the end of the answer, or when the client leaves.
#[derive(Debug)]
pub(super) struct Slot {
    books: Arc<Books>,
    model: &'static str,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.books.write(|pages| {
            pages.settle_busy(self.model);
            let model = pages.report.model(self.model);
            model.in_flight = model.in_flight.saturating_sub(1);
        });
    }
}

/// Counts a request until something is answered; a drop before that means that the client left.
#[derive(Debug)]
pub(super) struct Visit {
    books: Arc<Books>,
    model: &'static str,
    answered: bool,
}

impl Visit {
    pub(super) fn answered(mut self, status: u16) {
        self.answered = true;
        self.books.write(|pages| pages.report.count_answer(self.model, status));
    }

    pub(super) fn cut(mut self) {
        self.answered = true;
        self.books.write(|pages| pages.report.connections_cut += 1);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.answered {
            self.books.write(|pages| pages.report.clients_gone += 1);
        }
    }
}

/// An open streaming connection; what was seen of it is written down when it ends.
#[derive(Debug)]
pub(super) struct OpenSocket {
    books: Arc<Books>,
    seen: SocketReport,
}

impl OpenSocket {
    pub(super) fn message(&mut self) {
        self.seen.messages += 1;
        self.books.write(|pages| pages.report.socket_messages += 1);
    }

    pub(super) fn late_message(&mut self) {
        self.seen.late_messages += 1;
        self.books.write(|pages| pages.report.socket_messages += 1);
    }

    pub(super) fn heard(&mut self, sha256: &str, bytes: u64, audio_ms: u64) {
        self.seen.sha256 = sha256.to_owned();
        self.seen.bytes = bytes;
        self.seen.audio_ms = audio_ms;
    }

    pub(super) fn ended(mut self, cause: &str, code: Option<u16>) {
        self.seen.cause = cause.to_owned();
        self.seen.code = code;
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        self.books.write(|pages| {
            let report = &mut pages.report;
            report.open_sockets = report.open_sockets.saturating_sub(1);
            report.clients_gone += u64::from(seen.cause == "client_gone");
            report.connections_cut += u64::from(seen.cause == "cut");
            if report.sockets.len() < SOCKETS_KEPT {
                report.sockets.push(seen);
            }
        });
    }
}

impl Books {
    pub(super) fn new(credits_hours: Option<f64>) -> Self {
        let books = Books::default();
        books.write(|pages| pages.credits_ms = credits_hours.map(|hours| hours * MS_PER_HOUR));
        books
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // A panic elsewhere leaves sums behind, not half-made structures.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Pages) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.notify_waiters();
        value
    }

    /// A request has arrived.
    pub(super) fn arrive(self: &Arc<Self>, model: &'static str, user_agent: bool) -> Visit {
        self.write(|pages| {
            pages.report.count_request(model, user_agent);
            let late: Vec<_> = pages
                .refused
                .iter()
                .filter(|(_, at)| at.is_empty() || *at == model)
                .map(|(kind, _)| *kind)
                .collect();
            for kind in late {
                *pages.report.requests_after_first.entry(kind.to_owned()).or_default() += 1;
            }
        });
        Visit { books: self.clone(), model, answered: false }
    }

    /// Credits, then hours, then a slot: the account's part of letting a request in. A model may have kin that
    /// draws on the same limits.
    pub(super) fn admit(
        self: &Arc<Self>,
        name: &'static str,
        kin: Option<&'static str>,
        limits: &ModelLimits,
    ) -> Result<(Slot, u64), Refusal> {
        self.write(|pages| {
            pages.check_credits()?;
            let family = || std::iter::once(name).chain(kin);
            let used_ms: u64 = family().filter_map(|name| pages.month_ms.get(name)).sum();
            if limits.monthly_hours.is_some_and(|hours| used_ms as f64 >= hours * MS_PER_HOUR) {
                return Err(Refusal::MonthlyHours);
            }
            let in_flight: u64 = family().map(|name| pages.report.model(name).in_flight).sum();
            if in_flight >= u64::from(limits.concurrent) {
                return Err(Refusal::Concurrency);
            }
            pages.settle_busy(name);
            let line = pages.report.model(name);
            line.in_flight += 1;
            line.peak_in_flight = line.peak_in_flight.max(line.in_flight);
            let number = pages.numbers.entry(name).or_default();
            *number += 1;
            Ok(*number)
        })
        .map(|number| (Slot { books: self.clone(), model: name }, number))
    }

    /// Credits alone: what a call is asked that uses no quota.
    pub(super) fn check_credits(&self) -> Result<(), Refusal> {
        self.lock().check_credits()
    }

    /// Notes a refusal, and whether it stands for what follows.
    pub(super) fn refused(&self, model: &'static str, refusal: &Refusal) {
        let kind = refusal.kind();
        self.write(|pages| {
            *pages.report.refusals.entry(kind.to_owned()).or_default() += 1;
            let scope = match refusal {
                Refusal::MonthlyHours | Refusal::ModelNotEnabled => model,
                Refusal::NoCredits | Refusal::BadKey => "",
                _ => return,
            };
            if !pages.refused.contains(&(kind, scope)) {
                pages.refused.push((kind, scope));
            }
        });
    }

    /// A whole body has arrived; says for the how-manyth time.
    pub(super) fn received(&self, model: &'static str, sha256: &str, bytes: u64) -> u64 {
        self.write(|pages| {
            pages.report.bodies += 1;
            pages.report.body_bytes += bytes;
            let line = pages.report.model(model);
            line.bodies += 1;
            match line.sha256.get_mut(sha256) {
                Some(times) => {
                    *times += 1;
                    *times
                }
                None => {
                    line.sha256.insert(sha256.to_owned(), 1);
                    1
                }
            }
        })
    }

    /// A body will not be answered well: its client has to send it again.
    pub(super) fn spoiled(&self) {
        self.write(|pages| pages.report.spoiled += 1);
    }

    /// Notes what an upload declared.
    pub(super) fn declared(&self, mismatch: bool, octet_stream: bool) {
        if mismatch || octet_stream {
            self.write(|pages| {
                pages.report.mime_mismatches += u64::from(mismatch);
                pages.report.octet_stream_uploads += u64::from(octet_stream);
            });
        }
    }

    /// Notes an upload that may be learnt from.
    pub(super) fn training_permitted(&self) {
        self.write(|pages| pages.report.training_permitted += 1);
    }

    /// Puts audio on the bill; from here on it is paid for, whatever happens to the answer.
    pub(super) fn bill(&self, model: &'static str, sha256: &str, audio_ms: u64) {
        self.write(|pages| {
            *pages.month_ms.entry(model).or_default() += audio_ms;
            if let Some(left) = &mut pages.credits_ms {
                *left -= audio_ms as f64;
            }
            let line = pages.report.model(model);
            line.billed += 1;
            line.billed_ms += audio_ms;
            if line.billed_sha256.insert(sha256.to_owned()) {
                line.unique_ms += audio_ms;
            }
        });
    }

    /// How often a scripted name has been played, this time included.
    pub(super) fn play(&self, name: &str) -> u32 {
        self.write(|pages| {
            let times = pages.played.entry(name.to_owned()).or_default();
            *times += 1;
            *times
        })
    }

    /// A streaming connection is there.
    pub(super) fn open_socket(self: &Arc<Self>, model: &'static str) -> OpenSocket {
        self.write(|pages| {
            pages.report.open_sockets += 1;
            pages.report.peak_sockets = pages.report.peak_sockets.max(pages.report.open_sockets);
        });
        OpenSocket {
            books: self.clone(),
            seen: SocketReport { model: model.to_owned(), ..SocketReport::default() },
        }
    }

    /// Counts those who wait at the closed gate.
    pub(super) fn held(&self, model: &'static str, more: bool) {
        self.write(|pages| {
            let held = &mut pages.report.model(model).held;
            *held = if more { *held + 1 } else { held.saturating_sub(1) };
        });
    }

    pub(super) fn set_credits(&self, hours: Option<f64>) {
        self.write(|pages| {
            pages.credits_ms = hours.map(|hours| hours * MS_PER_HOUR);
            pages.forget("credits");
        });
    }

    pub(super) fn new_month(&self) {
        self.write(|pages| {
            pages.month_ms.clear();
            pages.forget("monthly_hours");
        });
    }

    /// The cause of such refusals is gone; later requests are not late any more.
    pub(super) fn forget(&self, kind: &'static str) {
        self.write(|pages| pages.forget(kind));
    }

    pub(super) fn report(&self) -> Report {
        let mut pages = self.lock();
        pages.settle_all();
        pages.report.clone()
    }

    /// Sets every counter to zero. What is in flight stays, and so do hours and credits.
    pub(super) fn reset(&self) {
        self.write(|pages| {
            pages.settle_all();
            let before = std::mem::take(&mut pages.report);
            pages.report.open_sockets = before.open_sockets;
            pages.report.peak_sockets = before.open_sockets;
            for (name, line) in before.models {
                if line.in_flight > 0 {
                    let fresh = pages.report.models.entry(name).or_default();
                    fresh.in_flight = line.in_flight;
                    fresh.peak_in_flight = line.in_flight;
                    fresh.held = line.held;
                }
            }
            pages.refused.clear();
        });
    }

    /// Waits until the report satisfies a condition; looks again at every change.
    pub(super) async fn when(&self, condition: impl Fn(&Report) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if condition(&self.lock().report) {
                return;
            }
            changed.await;
        }
    }
}

impl Pages {
    fn check_credits(&self) -> Result<(), Refusal> {
        match self.credits_ms {
            Some(left) if left <= 0.0 => Err(Refusal::NoCredits),
            _ => Ok(()),
        }
    }

    fn forget(&mut self, kind: &str) {
        self.refused.retain(|(standing, _)| *standing != kind);
    }

    fn settle_all(&mut self) {
        let busy: Vec<_> = self.since.keys().copied().collect();
        busy.into_iter().for_each(|model| self.settle_busy(model));
    }

    /// Adds the time since the last look, times the slots in use since then.
    fn settle_busy(&mut self, model: &'static str) {
        let now = Instant::now();
        let before = self.since.insert(model, now).unwrap_or(now);
        let Some(line) = self.report.models.get_mut(model) else { return };
        line.busy_slot_ms += (now - before).as_secs_f64() * 1000.0 * line.in_flight as f64;
    }
}
