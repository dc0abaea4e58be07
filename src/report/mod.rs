//! What people and scripts see of a run: numbers, the live block, plain lines, JSON events, the summary and errors.
//!
//! The flow: the one loop of a run hands every [`crate::event::RunEvent`] to [`Reporter::event`], which folds it
//! into [`RunStats`] and then draws, prints or writes, by its mode. Everything that makes text is a plain function
//! of facts and a moment; only `progress.rs` and `screen.rs` touch a stream. To add an event: its fold in
//! `stats.rs`, its line in `lines.rs`, its object in `json.rs`, and a case in `testing.rs`.

mod block;
mod estimate;
mod format;
mod histogram;
mod json;
mod ledger;
mod lines;
mod look;
mod notice;
mod problem;
mod progress;
mod refusals;
mod screen;
mod slots;
mod stats;
mod summary;
mod table;
#[cfg(test)]
mod testing;

pub use block::block;
pub use estimate::Eta;
pub use format::{
    apart, audio, bytes, clean, clock, columns, count, elide, hours, percent, plural, shares, span, times,
};
pub use histogram::Histogram;
pub use ledger::Ledger;
pub use look::{ColorChoice, Look, Stream};
pub use problem::{Mend, Problem};
pub use progress::{Namer, ProgressMode, ReportSettings, Reporter, UnknownMode};
pub use screen::{Screen, ScreenWriter};
pub use slots::SlotTime;
pub use stats::{ActiveHalt, Budget, Draining, InFlight, Lane, RunStats};
pub use summary::{OutputFile, StopReason, Summary};
pub use table::{Align, Column, Table};
