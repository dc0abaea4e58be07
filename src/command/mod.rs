//! (room: command)

pub mod emulator;
