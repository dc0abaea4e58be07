//! Connections, a thread each, kept alive. Bodies are thrown away in the kernel (MSG_TRUNC): no byte of them is copied
//! to here, so what an upload costs is nearly all its client's.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::{RecvFlags, recv};
use voxbatch_bench::clock::now_us;
use voxbatch_bench::http::{Head, Heads};

use crate::Thinking;
use crate::answers::{Answers, message, success};
use crate::books::{Books, Limits, Refusal};

const STACK: usize = 128 << 10;
/// How much is thrown away at a time, at most.
const PIECE: usize = 1 << 20;

pub(crate) struct Server {
    listener: TcpListener,
    thinking: Thinking,
    answers: Answers,
    books: Mutex<Books>,
    idle: AtomicUsize,
}

/// What to do with a request whose head has been read.
enum Plan<'s> {
    /// Let in; this will be the answer.
    Work(Vec<u8>),
    Refuse(&'s [u8]),
    Tell(Vec<u8>),
}

impl Server {
    pub(crate) fn new(listener: TcpListener, thinking: Thinking, books: Books) -> Server {
        let (answers, books) = (Answers::new(), Mutex::new(books));
        Server { listener, thinking, answers, books, idle: AtomicUsize::new(0) }
    }

    /// Serves one connection after the other; sees to it that somebody else waits for the next one meanwhile.
    pub(crate) fn work(self: Arc<Self>) -> io::Result<()> {
        self.idle.fetch_add(1, Ordering::SeqCst);
        // Only its size is used: the kernel writes nothing into it.
        let mut nowhere = vec![0; PIECE];
        loop {
            let (stream, _) = self.listener.accept()?;
            if self.idle.fetch_sub(1, Ordering::SeqCst) == 1 {
                let server = Arc::clone(&self);
                thread::Builder::new().stack_size(STACK).spawn(move || server.work())?;
            }
            self.books().connected();
            // A peer that goes away is in the books, and nobody's error.
            let _ = self.talk(stream, &mut nowhere);
            self.idle.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn talk(&self, mut stream: TcpStream, nowhere: &mut [u8]) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut heads = Heads::default();
        while let Some(head) = heads.next(&mut stream)? {
            let since = now_us();
            let len = head.body_len();
            let asks = head.header("expect").is_some();
            let mut closes = head.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
            let plan = self.plan(&head, since);
            let came = heads.skip(len);

            let works = matches!(plan, Plan::Work(_));
            if asks && !works {
                // Who asks first is told at once, and keeps the body.
                closes = true;
            } else {
                if asks {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                let taken = discard(&stream, len - came, nowhere);
                if taken.is_err() && works {
                    self.books().broken(since, now_us());
                }
                taken?;
            }
            match plan {
                Plan::Work(answer) => {
                    let thinking = self.thinking.of(len);
                    if !thinking.is_zero() {
                        thread::sleep(thinking);
                    }
                    // Before the answer: who has it may send the next one at once.
                    self.books().answered(since, now_us(), len, thinking.as_micros() as u64);
                    stream.write_all(&answer)?;
                }
                Plan::Refuse(answer) => stream.write_all(answer)?,
                Plan::Tell(answer) => stream.write_all(&answer)?,
            }
            if closes {
                break;
            }
        }
        Ok(())
    }

    fn plan(&self, head: &Head<'_>, now_us: u64) -> Plan<'_> {
        let mut words = head.words();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let plain = |status, text: &str| Plan::Tell(message(status, "text/plain", text));
        match (method, path, success(path, head.body_len())) {
            ("POST", _, Some(_)) if head.header("transfer-encoding").is_some() => {
                plain("411 Length Required", "a length is needed")
            }
            ("POST", _, Some(answer)) => match self.books().admit(now_us) {
                Ok(()) => Plan::Work(answer),
                Err(Refusal::Busy) => Plan::Refuse(&self.answers.busy),
                Err(Refusal::Monthly) => Plan::Refuse(&self.answers.monthly),
            },
            ("GET", "/stats", _) => {
                let told = self.books().to_json().to_string();
                Plan::Tell(message("200 OK", "application/json", &told))
            }
            ("POST", "/reset", _) => {
                self.books().reset();
                plain("200 OK", "begun anew")
            }
            ("POST", "/limits", _) => {
                let mut books = self.books();
                match changed(books.limits, query) {
                    Some(limits) => {
                        books.limit(limits, now_us);
                        plain("200 OK", "changed")
                    }
                    None => plain("400 Bad Request", "concurrent=N and monthly=N are known"),
                }
            }
            _ => plain("404 Not Found", "nothing is here"),
        }
    }
}

/// The limits as a query changes them.
fn changed(mut limits: Limits, query: &str) -> Option<Limits> {
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        match name {
            "concurrent" => limits.concurrent = value.parse().ok()?,
            "monthly" => limits.monthly = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(limits)
}

fn discard(stream: &TcpStream, mut len: u64, nowhere: &mut [u8]) -> io::Result<()> {
    while len > 0 {
        let piece = len.min(nowhere.len() as u64) as usize;
        match recv(stream, &mut nowhere[..piece], RecvFlags::TRUNC) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, taken)) => len -= taken as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_are_named_change() {
        let limits = Limits { concurrent: 8, monthly: 3 };
        let changed = changed(limits, "concurrent=4").expect("a limit");
        assert_eq!((changed.concurrent, changed.monthly), (4, 3));
        assert!(super::changed(limits, "slots=4").is_none());
    }
}
