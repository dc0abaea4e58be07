//! The stub, a fresh one for each trial.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use voxbatch_bench::http::ask;

use crate::settings::Settings;

/// How the stub behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// Thinking time of each request, in milliseconds.
    pub(crate) latency_ms: f64,
    /// And this much for each MiB of its body.
    pub(crate) latency_per_mib_ms: f64,
    /// Requests at once; 0: no limit.
    pub(crate) concurrent: u64,
    /// Requests in a month; 0: no limit.
    pub(crate) monthly: u64,
}

/// A stub that runs; it is stopped when dropped.
pub(crate) struct Stub {
    child: Child,
    pub(crate) host: String,
}

impl Stub {
    pub(crate) fn start(behaviour: Behaviour) -> io::Result<Stub> {
        let mut child = Command::new(Settings::tool("stub"))
            .arg(format!("--latency={}", behaviour.latency_ms))
            .arg(format!("--latency-per-mib={}", behaviour.latency_per_mib_ms))
            .arg(format!("--concurrent={}", behaviour.concurrent))
            .arg(format!("--monthly={}", behaviour.monthly))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or_else(|| io::Error::other("the stub has no output"))?;
        BufReader::new(out).read_line(&mut line)?;
        let host = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(Stub { child, host })
    }

    /// What it saw.
    pub(crate) fn books(&self) -> io::Result<Seen> {
        Ok(Seen(serde_json::from_str(&ask(&self.host, "GET", "/stats")?)?))
    }

    /// Lets in so many at once from now on.
    pub(crate) fn limit(&self, concurrent: u64) -> io::Result<()> {
        ask(&self.host, "POST", &format!("/limits?concurrent={concurrent}")).map(drop)
    }

    /// Processor time that it took, in seconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Behind the name, which may hold anything; the kernel counts in hundredths of a second.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The books of a stub.
#[derive(Debug, Clone)]
pub(crate) struct Seen(pub(crate) Value);

impl Seen {
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_default()
    }

    /// A time that the stub keeps in microseconds, in seconds.
    pub(crate) fn seconds(&self, key: &str) -> f64 {
        self.count(key) as f64 / 1e6
    }

    pub(crate) fn refused(&self) -> u64 {
        self.count("refused_busy") + self.count("refused_monthly")
    }

    /// From the first request to the last answer, in seconds.
    pub(crate) fn span_s(&self) -> f64 {
        self.seconds("last_us") - self.seconds("first_us")
    }

    /// Busy slot-seconds ÷ (slots × time from the first request to the last answer).
    pub(crate) fn utilisation(&self, slots: u64) -> f64 {
        self.seconds("busy_us") / (slots as f64 * self.span_s())
    }
}
