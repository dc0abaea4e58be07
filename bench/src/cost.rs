//! What a command costs, with all that it starts. The kernel sums over the children that a process has waited for,
//! so each command gets a small process of its own in front of it (`front`), which asks once the command has ended.
//! The front is small because a child's peak begins with the memory of the process that it was forked from.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::clock::now_us;

/// The first argument by which a program becomes the front of a command.
pub const FRONT: &str = "--front";

/// What a command came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From its start to its end, in seconds.
    pub wall_s: f64,
    /// Processor time in its own code, in seconds, of the whole tree.
    pub user_s: f64,
    /// Processor time in the kernel, in seconds, of the whole tree.
    pub sys_s: f64,
    /// The most memory that any one process of the tree had resident, in bytes.
    pub peak_rss: u64,
    /// Its exit code; 128 + signal if it was killed.
    pub exit: i32,
    /// When it was started, in microseconds since 1970.
    pub started_us: u64,
    /// When it had ended, in microseconds since 1970.
    pub ended_us: u64,
}

impl Cost {
    /// Processor time altogether, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.sys_s
    }

    /// All of it, for a file.
    pub fn to_json(self) -> Value {
        json!({
            "wall_s": self.wall_s, "user_s": self.user_s, "sys_s": self.sys_s, "peak_rss": self.peak_rss,
            "exit": self.exit, "started_us": self.started_us, "ended_us": self.ended_us,
        })
    }

    /// Reads what a front wrote.
    pub fn read(path: &Path) -> io::Result<Cost> {
        let value: Value = serde_json::from_slice(&std::fs::read(path)?)?;
        let float = |key: &str| value[key].as_f64().unwrap_or_default();
        let whole = |key: &str| value[key].as_u64().unwrap_or_default();
        Ok(Cost {
            wall_s: float("wall_s"),
            user_s: float("user_s"),
            sys_s: float("sys_s"),
            peak_rss: whole("peak_rss"),
            exit: value["exit"].as_i64().unwrap_or(-1) as i32,
            started_us: whole("started_us"),
            ended_us: whole("ended_us"),
        })
    }
}

/// Runs the command, then writes its cost to `report`.
///
/// # Errors
/// When it cannot be started, or the report cannot be written.
pub fn front(report: &Path, command: &mut Command) -> io::Result<()> {
    let (started_us, clock) = (now_us(), Instant::now());
    let status = command.status()?;
    let wall_s = clock.elapsed().as_secs_f64();
    let ended_us = now_us();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    let cost = Cost {
        wall_s,
        user_s: seconds(usage.user_time()),
        sys_s: seconds(usage.system_time()),
        // Linux tells kilobytes.
        peak_rss: usage.max_rss() as u64 * 1024,
        exit: code(status),
        started_us,
        ended_us,
    };
    let mut file = std::fs::File::create(report)?;
    file.write_all(cost.to_json().to_string().as_bytes())
}

fn code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
