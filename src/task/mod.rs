//! The words of the product and the decisions made with them. No IO, no clock, no dice: time, answers and
//! jitter come in as values, a value goes out.
//!
//! ```text
//!             claim                    succeed
//!  queued ─────────────▶ running ──────────────────▶ succeeded
//!    ▲  ▲                 │  │   fail / refuse
//!    │  └─ retry·snooze ──┘  └─────────────────────▶ failed
//!    │     release·lease lost                          │
//!    └────────────── retry by hand ────────────────────┘   (cancel: queued, running → cancelled)
//! ```

mod carriage;
mod cause;
mod channels;
mod decide;
mod doubt;
mod duration;
mod endpoint;
mod filter;
mod id;
mod identity;
mod job;
mod metadata;
mod price;
mod retry;
mod state;
mod stretch;
mod suspect;
mod time;
mod verdict;

pub use carriage::{Carriage, Samples};
pub use cause::{Billed, Cause, Failure};
pub use channels::Channels;
pub use decide::{Decision, Settlement, Standing, decide};
pub use doubt::{Doubt, Evidence, Probe, Ruling, examine};
pub use duration::{DurationMethod, Measured};
pub use endpoint::{Answers, Endpoint, Facts, Transport};
pub use filter::{Filter, FilterError, age};
pub use id::{Fence, JobId, TaskId, WorkerId};
pub use identity::{Identity, options_key};
pub use job::{Job, Order, RecordingPath};
pub use metadata::{Description, Metadata, options_over};
pub use price::{Amount, BudgetLimit, Money, PRICED_OPTIONS, Prices, Rate};
pub use retry::RetryPolicy;
pub use state::{Hold, TaskState};
pub use stretch::Stretch;
pub use suspect::{Heard, Said, Suspect, SuspectSettings, Suspicion, suspicions, when_empty};
pub use time::{Month, Timestamp};
pub use verdict::{HaltOrder, HaltReason, HaltScope, Verdict};
