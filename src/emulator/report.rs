//! What the emulator really saw, as numbers for tests and benchmarks. Kept by the books.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Everything since the start or the last reset. Memory grows with the number of distinct bodies.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Requests that arrived at an endpoint, whatever became of them.
    pub requests: u64,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// By model name; `velma-2-streaming` appears for its list of presets.
    pub models: BTreeMap<String, ModelReport>,
    /// Bodies that arrived whole.
    pub bodies: u64,
    /// Their files' bytes.
    pub body_bytes: u64,
    /// Of the bodies, how many met a fault that left their client without a good answer.
    pub spoiled: u64,
    /// Refusals by kind: `missing_key`, `key`, `model`, `credits`, `monthly_hours`, `concurrency`, `format`, …
    pub refusals: BTreeMap<String, u64>,
    /// Requests that arrived after the first refusal of a lasting kind (`key`, `credits`: by anyone;
    /// `monthly_hours`, `model`: to the same model), until its cause was lifted.
    pub requests_after_first: BTreeMap<String, u64>,
    /// Uploads whose name, MIME type and content did not agree.
    pub mime_mismatches: u64,
    /// Uploads declared as `application/octet-stream`, or not at all; each is a mismatch too.
    pub octet_stream_uploads: u64,
    /// Uploads whose sender let the service learn from them, be it by saying nothing.
    pub training_permitted: u64,
    /// Requests without a User-Agent.
    pub missing_user_agent: u64,
    /// Clients that left before they were answered.
    pub clients_gone: u64,
    /// Connections that the emulator itself reset.
    pub connections_cut: u64,
    /// Streaming connections that are open now, over all models; those that are being refused count too.
    pub open_sockets: u64,
    /// The most of them at once.
    pub peak_sockets: u64,
    /// Binary messages that arrived on streaming connections, the late ones included.
    pub socket_messages: u64,
    /// Streaming connections that have ended, in that order. Only the first 10,000 are kept.
    pub sockets: Vec<SocketReport>,
}

/// What was seen of a streaming connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SocketReport {
    /// Its model.
    pub model: String,
    /// Of all audio bytes, in hex; empty when the connection ended before any could be heard.
    pub sha256: String,
    /// Audio bytes.
    pub bytes: u64,
    /// Binary messages they came in.
    pub messages: u64,
    /// Binary messages after the end of the audio.
    pub late_messages: u64,
    /// How long the audio lasts; 0 when it cannot be decoded.
    pub audio_ms: u64,
    /// Why it ended: `done`, `unfinished` (1000 without `done`), the kind of a refusal, `client_gone`, `cut`.
    pub cause: String,
    /// The code it was closed with, if it was closed by the emulator.
    pub code: Option<u16>,
}

/// The same for one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ModelReport {
    /// Requests that arrived.
    pub requests: u64,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Bodies that arrived whole.
    pub bodies: u64,
    /// How often each arrived, by the SHA-256 of the file.
    pub sha256: BTreeMap<String, u64>,
    /// Slots in use now.
    pub in_flight: u64,
    /// The most slots in use at once.
    pub peak_in_flight: u64,
    /// Finished requests whose answers are held back now.
    pub held: u64,
    /// The integral of slots in use over time, in slot-milliseconds.
    pub busy_slot_ms: f64,
    /// Recordings billed.
    pub billed: u64,
    /// Audio billed, in milliseconds.
    pub billed_ms: u64,
    /// The same, counting each distinct recording once.
    pub unique_ms: u64,
    /// Which recordings are behind `unique_ms`.
    #[serde(skip)]
    pub(super) billed_sha256: BTreeSet<String>,
}

impl Report {
    /// The numbers of a model; zeros when it was never called.
    pub fn of(&self, model: &str) -> ModelReport {
        self.models.get(model).cloned().unwrap_or_default()
    }

    /// How often something was refused; zero for a kind that never occurred.
    pub fn refused(&self, kind: &str) -> u64 {
        self.refusals.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn model(&mut self, name: &str) -> &mut ModelReport {
        if !self.models.contains_key(name) {
            self.models.insert(name.to_owned(), ModelReport::default());
        }
        self.models.get_mut(name).expect("just inserted")
    }

    pub(super) fn count_request(&mut self, model: &str, user_agent: bool) {
        self.requests += 1;
        self.missing_user_agent += u64::from(!user_agent);
        self.model(model).requests += 1;
    }

    pub(super) fn count_answer(&mut self, model: &str, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
        *self.model(model).statuses.entry(status).or_default() += 1;
    }
}
