//! Where and with what it was measured.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::settings::Settings;

pub(crate) struct Machine {
    date: String,
    cores: usize,
    cpu: String,
    memory_gb: u64,
    kernel: String,
    load: f64,
    versions: Vec<String>,
    command: String,
}

pub(crate) fn look(settings: &Settings) -> Machine {
    let first_line = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output().ok()?;
        String::from_utf8_lossy(&out.stdout).lines().next().map(str::to_owned)
    };
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kb = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0u64);
    let versions = [
        first_line(&settings.voxbatch.to_string_lossy(), &["--version"]),
        first_line("curl", &["--version"]).map(|v| v.split(' ').take(2).collect::<Vec<_>>().join(" ")),
        first_line("parallel", &["--version"]),
        crate::clients::python()
            .and_then(|python| {
                let told = "import sys, aiohttp; print('Python', sys.version.split()[0], 'aiohttp', aiohttp.__version__)";
                first_line(&python.to_string_lossy(), &["-c", told])
            }),
    ];
    let machine = Machine {
        date: first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: field("/proc/cpuinfo", "model name"),
        memory_gb: kb / 1_000_000,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        load: load(),
        versions: versions.into_iter().flatten().collect(),
        command: settings.in_words(),
    };
    if machine.load > 0.5 {
        println!(
            "WARNING the machine is busy (load {:.2}): figures of this comparison are no good\n",
            machine.load
        );
    }
    machine
}

/// How much the machine had to do in the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

impl Machine {
    pub(crate) fn in_words(&self) -> String {
        format!(
            "Measured on {}: {} cores of {}, {} GB of memory, Linux {}, load {:.2} before it began; {}. Command: `{}`.",
            self.date,
            self.cores,
            self.cpu,
            self.memory_gb,
            self.kernel,
            self.load,
            self.versions.join(", "),
            self.command,
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "date": self.date, "cores": self.cores, "cpu": self.cpu, "memory_gb": self.memory_gb,
            "kernel": self.kernel, "load": self.load, "versions": self.versions, "command": self.command,
        })
    }
}
