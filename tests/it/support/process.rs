//! A run of the binary as a test sees it: what it says so far, signals, its end. Never outlives its test.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::PATIENCE;

/// A process under way.
pub(crate) struct Process {
    child: Child,
    stdout: Heard,
    stderr: Heard,
}

/// How one ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal that it did not catch.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a command; its streams are listened to.
    pub(crate) fn start(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Heard::listen(child.stdout.take().unwrap());
        let stderr = Heard::listen(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    /// Waits until it has said this on stderr.
    pub(crate) fn until_told(&self, text: &str) {
        self.stderr.until(text);
    }

    /// Waits until it has said this on stdout.
    pub(crate) fn until_said(&self, text: &str) {
        self.stdout.until(text);
    }

    /// Waits until it has said an address, and returns it.
    pub(crate) fn until_address(&self) -> String {
        self.stderr.until("http://");
        let said = self.stderr.so_far();
        let at = said.find("http://").unwrap();
        said[at..].split_whitespace().next().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A file of `/proc` about it.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    /// Ends it by a signal that it does not catch, and tells whether its memory went into a file.
    pub(crate) fn dies_of(mut self, signal: Signal) -> bool {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "it ended by {status}");
        status.core_dumped()
    }

    /// What it has said on stdout.
    pub(crate) fn said_so_far(&self) -> String {
        self.stdout.so_far()
    }

    /// Waits for its end, and tells the most memory it had (kB). The kernel forgets that number with the process:
    /// it is looked up again and again, and only grows.
    pub(crate) fn wait_measured(self) -> (Ended, u64) {
        let status = format!("/proc/{}/status", self.child.id());
        let watch = std::thread::spawn(move || {
            let mut peak = 0;
            let look = || {
                let text = std::fs::read_to_string(&status).ok()?;
                let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
                line.trim().trim_end_matches(" kB").parse::<u64>().ok()
            };
            while let Some(kb) = look() {
                peak = kb.max(peak);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            peak
        });
        let ended = self.wait();
        (ended, watch.join().unwrap())
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let until = Instant::now() + PATIENCE;
        // Both pipes are closed when it ends; only then is it waited for, so that this wait is bounded too.
        let (stdout, stderr) = (self.stdout.all(until), self.stderr.all(until));
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            let told = self.stderr.so_far();
            panic!("it does not end; stderr so far:\n{told}");
        };
        let status: ExitStatus = self.child.wait().unwrap();
        Ended { code: status.code(), stdout, stderr }.noted(status)
    }

    /// Kills it where it stands, and waits until it is gone.
    pub(crate) fn kill(self) {
        let signal = self.end_at_once();
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "it had ended before it was killed");
    }

    /// Kills it unless it has ended; returns the signal that it died of.
    pub(crate) fn end_at_once(mut self) -> Option<i32> {
        self.child.kill().unwrap();
        self.child.wait().unwrap().signal()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    fn noted(self, status: ExitStatus) -> Ended {
        assert!(status.signal().is_none(), "it ended by {status}\n{}", self.stderr);
        self
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless it said this on stderr.
    #[track_caller]
    pub(crate) fn told(self, text: &str) -> Ended {
        assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        self
    }

    /// Has said this on stdout.
    #[track_caller]
    pub(crate) fn said(self, text: &str) -> Ended {
        assert!(self.stdout.contains(text), "{text:?} is not in:\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {:?}", self.stdout))
    }
}

/// Runs a command whose reader of stdout has gone before it says anything.
pub(crate) fn without_reader(mut command: Command) -> Ended {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command); // it holds the writing end too
    let stderr = Heard::listen(child.stderr.take().unwrap());
    Process { child, stdout: Heard::listen(std::io::empty()), stderr }.wait()
}

/// A stream as far as it has come.
struct Heard {
    shared: Arc<(Mutex<Stream>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    over: bool,
}

impl Heard {
    fn listen(mut from: impl Read + Send + 'static) -> Heard {
        let shared = Arc::new((Mutex::new(Stream::default()), Condvar::new()));
        let ours = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let read = from.read(&mut chunk).unwrap_or_default();
                let mut stream = ours.0.lock().unwrap();
                stream.bytes.extend(&chunk[..read]);
                stream.over = read == 0;
                ours.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Heard { shared, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.shared.0.lock().unwrap().bytes).into_owned()
    }

    fn until(&self, text: &str) {
        let found = |s: &Stream| String::from_utf8_lossy(&s.bytes).contains(text);
        let stream = self.shared.0.lock().unwrap();
        let (stream, _) =
            self.shared.1.wait_timeout_while(stream, PATIENCE, |s| !found(s) && !s.over).unwrap();
        let said = found(&stream);
        let so_far = String::from_utf8_lossy(&stream.bytes).into_owned();
        drop(stream);
        assert!(said, "waited in vain for {text:?} in:\n{so_far}");
    }

    fn all(&mut self, until: Instant) -> Option<String> {
        let left = until.saturating_duration_since(Instant::now());
        let stream = self.shared.0.lock().unwrap();
        let (stream, _) = self.shared.1.wait_timeout_while(stream, left, |s| !s.over).unwrap();
        let over = stream.over;
        drop(stream);
        if !over {
            return None;
        }
        self.reader.take().map(JoinHandle::join);
        Some(self.so_far())
    }
}
