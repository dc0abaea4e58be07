//! A server that is as cheap as one can be, for all who are compared alike: it takes uploads in without looking at
//! them, waits as long as it is told, answers a success that every client accepts, and keeps books on what it saw.
//! Not an emulator: it checks no key, no form and no recording (`voxbatch emulator` does).

mod answers;
mod books;
mod serve;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use books::{Books, Limits};
use serve::Server;

const HELP: &str = "\
stub [--listen 127.0.0.1:0] [--latency MS] [--latency-per-mib MS] [--concurrent N] [--monthly N]

  --latency MS           thinking time of each request once its body is there; default 0
  --latency-per-mib MS   and this much for each MiB of its body; default 0
  --concurrent N         refuse with 429 what comes beyond N at once; default 0, no limit
  --monthly N            refuse with 429, monthly hours used up, after N requests were answered; default 0, never

Prints `listening on ADDRESS`. Beside the five batch endpoints it answers
  GET  /stats                          the books, as JSON
  POST /reset                          begin them anew
  POST /limits?concurrent=N&monthly=N  change what is named, at once";

struct Settings {
    listen: SocketAddr,
    thinking: Thinking,
    limits: Limits,
}

/// How long a request takes once it is there.
#[derive(Debug, Clone, Copy, Default)]
struct Thinking {
    ms: f64,
    ms_per_mib: f64,
}

impl Thinking {
    /// With a body of `bytes`.
    fn of(self, bytes: u64) -> Duration {
        let ms = self.ms + self.ms_per_mib * bytes as f64 / (1 << 20) as f64;
        Duration::from_secs_f64((ms / 1e3).max(0.0))
    }
}

fn settings() -> Result<Option<Settings>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        thinking: Thinking::default(),
        limits: Limits::default(),
    };
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("listen") => settings.listen = args.value()?.parse()?,
            Long("latency") => settings.thinking.ms = args.value()?.parse()?,
            Long("latency-per-mib") => settings.thinking.ms_per_mib = args.value()?.parse()?,
            Long("concurrent") => settings.limits.concurrent = args.value()?.parse()?,
            Long("monthly") => settings.limits.monthly = args.value()?.parse()?,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(settings))
}

fn main() -> ExitCode {
    let served = match settings() {
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("stub: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
        Ok(Some(settings)) => serve(&settings),
    };
    if let Err(problem) = served {
        eprintln!("stub: {problem}");
    }
    ExitCode::FAILURE
}

fn serve(settings: &Settings) -> std::io::Result<()> {
    let listener = TcpListener::bind(settings.listen)?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let server = Server::new(listener, settings.thinking, Books::new(settings.limits));
    Arc::new(server).work()
}
