//! The real binary as a child process: its streams go to files, and it never outlives whoever holds it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::clock::Clock;

/// How often it is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How children are started.
#[derive(Debug)]
pub(super) struct Nursery {
    pub(super) program: PathBuf,
    pub(super) home: PathBuf,
    pub(super) key: String,
    /// What children go by, if it can be set.
    pub(super) clock: Option<Clock>,
    /// How many were started; their streams are named by it.
    pub(super) started: u64,
}

impl Nursery {
    /// Starts one at home, with the key, the clock and nothing else of the environment.
    pub(super) fn start(&mut self, args: &[&str]) -> io::Result<Child> {
        self.started += 1;
        let name = format!("{:05}-{}", self.started, args.first().unwrap_or(&""));
        let stream = |ending: &str| self.home.join("streams").join(format!("{name}.{ending}"));
        let (out, err) = (stream("out"), stream("err"));
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(&self.home)
            .env_clear()
            .env("HOME", OsString::from(&self.home))
            .env("USER", "selftest")
            .env("VOXBATCH_API_KEY", &self.key)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?);
        if let Some(clock) = &self.clock {
            clock.rule(&mut command);
        }
        Ok(Child { process: command.spawn()?, out, err })
    }
}

/// A process under way.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    out: PathBuf,
    err: PathBuf,
}

/// How one ended, and what it said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    /// It was killed before it could end.
    pub(super) killed: bool,
    /// SIGTERM came before it could listen for it.
    pub(super) terminated: bool,
    out: PathBuf,
    err: PathBuf,
}

impl Child {
    /// Sends a signal. A process that has ended meanwhile does not mind.
    pub(super) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        match self.process.try_wait()? {
            Some(_) => Ok(()),
            None => Ok(kill_process(Pid::from_child(&self.process), signal)?),
        }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// Kills it where it stands, unless it has ended.
    pub(super) fn kill(mut self) -> io::Result<Ended> {
        let _ = self.process.kill(); // it may have ended by itself
        let status = self.process.wait()?;
        Ok(self.ended(status))
    }

    /// Waits for its end; gives it back when that does not come in time.
    pub(super) async fn end_within(mut self, patience: Duration) -> io::Result<Result<Ended, Child>> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Ok(self.ended(status)));
            }
            if Instant::now() >= until {
                return Ok(Err(self));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        let by = |signal: Signal| status.signal() == Some(signal.as_raw());
        let (killed, terminated) = (by(Signal::KILL), by(Signal::TERM));
        Ended { code: status.code(), killed, terminated, out: self.out.clone(), err: self.err.clone() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// What it said on stdout.
    pub(super) fn said(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.out)?).into_owned())
    }

    /// Both streams: stdout, then stderr.
    pub(super) fn streams(&self) -> [&Path; 2] {
        [&self.out, &self.err]
    }

    /// In a few words, with the place of what it said.
    pub(super) fn words(&self) -> String {
        let how = match self.code {
            Some(code) => format!("ended with {code}"),
            None => "ended by a signal".to_owned(),
        };
        format!("{how}, see {}", self.err.display())
    }
}
