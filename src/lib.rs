//! voxbatch sends whole archives of recordings through Modulate's Velma-2 speech models.
//!
//! Data flows one way: config → scan → queue → run → velma → outputs → report. The modules below are
//! declared in the order in which a newcomer should read them; each may import only what stands on a
//! lower floor (ARCHITECTURE.md draws the floors, `tests/architecture.rs` holds them).

#![forbid(unsafe_code)]

pub mod task;

pub mod event;

pub mod audit;
pub mod emulator;
pub mod media;
pub mod notify;
pub mod queue;
pub mod report;
pub mod scan;
pub mod telemetry;
pub mod velma;

pub mod outputs;
pub mod run;

pub mod verify;

pub mod config;

pub mod command;
