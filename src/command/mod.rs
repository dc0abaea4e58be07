//! (room: command)

pub mod config;
pub mod init;
