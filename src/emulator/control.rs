//! Changes at run time, from tests in the process and over HTTP at `/emulator/…`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::desk::Desk;
use super::fault::Faults;
use super::platform::Platform;
use super::report::Report;
use super::settings::{Contract, Latency, ModelLimits, Shape};
use super::socket::Sockets;

/// A change of what the emulator was told at its start. As JSON: `{"contract":"b"}`, `{"keys":[]}`, `"new_month"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Speak another generation of the contract.
    Contract(Contract),
    /// Let these keys in and no other; an empty list revokes all.
    Keys(Vec<String>),
    /// The limits of one model.
    Model {
        /// Its API name.
        name: String,
        /// All of its limits anew.
        #[serde(default)]
        limits: ModelLimits,
    },
    /// Audio hours that credits pay for from now on; null: without limit.
    CreditsHours(Option<f64>),
    /// All of the faults anew.
    Faults(Faults),
    /// All of the delays anew.
    Latency(Latency),
    /// All of the odd shapes anew.
    Shape(Shape),
    /// All of the Platform API's ways anew.
    Platform(Platform),
    /// All of the streaming endpoints' limits and ways anew.
    Sockets(Sockets),
    /// Whether a wrong MIME type is refused.
    StrictMime(bool),
    /// Whether bodies are read before early refusals.
    DrainBeforeRefusing(bool),
    /// The month turns: used hours are zero.
    NewMonth,
    /// Finished requests keep their answers, and their slots.
    Hold,
    /// Answers held back are sent.
    Release,
}

impl Desk {
    /// Applies a change. Requests that are under way keep what they began with, except for the gate.
    pub(super) fn apply(&self, change: Change) {
        match change {
            Change::Contract(contract) => self.change(|settings| settings.contract = contract),
            Change::Keys(keys) => {
                self.change(|settings| settings.keys = keys);
                self.books.forget("key");
            }
            Change::Model { name, limits } => {
                self.change(|settings| {
                    settings.models.insert(name, limits);
                });
                self.books.forget("model");
                self.books.forget("monthly_hours");
            }
            Change::CreditsHours(hours) => self.books.set_credits(hours),
            Change::Faults(faults) => self.change(|settings| settings.faults = faults),
            Change::Latency(latency) => self.change(|settings| settings.latency = latency),
            Change::Shape(shape) => self.change(|settings| settings.shape = shape),
            Change::Platform(platform) => self.change(|settings| settings.platform = platform),
            Change::Sockets(sockets) => self.change(|settings| settings.sockets = sockets),
            Change::StrictMime(strict) => self.change(|settings| settings.strict_mime = strict),
            Change::DrainBeforeRefusing(drain) => {
                self.change(|settings| settings.drain_before_refusing = drain);
            }
            Change::NewMonth => self.books.new_month(),
            Change::Hold => {
                self.gate.send_replace(true);
            }
            Change::Release => {
                self.gate.send_replace(false);
            }
        }
    }
}

/// One change or several, applied in order.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Changes {
    One(Change),
    Several(Vec<Change>),
}

pub(super) async fn control(State(desk): State<Arc<Desk>>, Json(changes): Json<Changes>) -> StatusCode {
    match changes {
        Changes::One(change) => desk.apply(change),
        Changes::Several(changes) => changes.into_iter().for_each(|change| desk.apply(change)),
    }
    StatusCode::NO_CONTENT
}

pub(super) async fn report(State(desk): State<Arc<Desk>>) -> Json<Report> {
    Json(desk.books.report())
}

pub(super) async fn reset(State(desk): State<Arc<Desk>>) -> StatusCode {
    desk.books.reset();
    StatusCode::NO_CONTENT
}
