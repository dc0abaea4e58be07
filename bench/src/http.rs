//! As much of HTTP/1.1 as the stub, the poster and the comparison need: heads, and nothing of bodies.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The longest head that is read.
const HEAD_MAX: usize = 16 << 10;

/// Reads heads off a connection; what came after a head belongs to its body.
#[derive(Debug, Default)]
pub struct Heads {
    buffer: Vec<u8>,
    head: usize,
}

impl Heads {
    /// Waits for a whole head. `None` when the peer has hung up between two.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no head.
    pub fn next(&mut self, stream: &mut TcpStream) -> io::Result<Option<Head<'_>>> {
        self.buffer.drain(..self.head);
        self.head = 0;
        let mut seen = 0;
        loop {
            if let Some(at) = find(&self.buffer[seen..], b"\r\n\r\n") {
                self.head = seen + at + 4;
                break;
            }
            seen = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head has no end"));
            }
            let start = self.buffer.len();
            self.buffer.resize(start + 4096, 0);
            let read = stream.read(&mut self.buffer[start..])?;
            self.buffer.truncate(start + read);
            if read == 0 {
                return if start == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(Some(Head { bytes: &self.buffer[..self.head] }))
    }

    /// How many bytes of a body of `len` bytes came with its head; they are dropped.
    pub fn skip(&mut self, len: u64) -> u64 {
        let there = ((self.buffer.len() - self.head) as u64).min(len);
        self.head += there as usize;
        there
    }

    /// Like `skip`, but keeps what came of the body.
    pub fn take(&mut self, len: u64) -> Vec<u8> {
        let start = self.head;
        let there = self.skip(len) as usize;
        self.buffer[start..start + there].to_vec()
    }
}

/// The first line and the headers of a message.
#[derive(Debug, Clone, Copy)]
pub struct Head<'b> {
    bytes: &'b [u8],
}

impl<'b> Head<'b> {
    /// The words of the first line.
    pub fn words(&self) -> impl Iterator<Item = &'b str> {
        let end = find(self.bytes, b"\r\n").unwrap_or(self.bytes.len());
        std::str::from_utf8(&self.bytes[..end]).unwrap_or_default().split(' ')
    }

    /// The value of a header; its name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.bytes.split(|&b| b == b'\n').skip(1).find_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            line[..colon].eq_ignore_ascii_case(name.as_bytes()).then_some(())?;
            std::str::from_utf8(&line[colon + 1..]).ok().map(str::trim)
        })
    }

    /// The length of the body: 0 unless it says otherwise.
    pub fn body_len(&self) -> u64 {
        self.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Asks `host` (an address with port) once, without a body, and returns what it answers.
///
/// # Errors
/// When nobody answers, or with anything but 200.
pub fn ask(host: &str, method: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut heads = Heads::default();
    let head = heads.next(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (status, len) = (head.words().nth(1).unwrap_or_default().to_owned(), head.body_len());
    let mut body = heads.take(len);
    stream.take(len - body.len() as u64).read_to_end(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    if status == "200" { Ok(body) } else { Err(io::Error::other(format!("{path}: {status} {body}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn connected(bytes: &[u8]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        client.write_all(bytes).expect("a buffer that holds it");
        listener.accept().expect("the client").0
    }

    #[test]
    fn heads_are_read_one_by_one_and_bodies_passed_over() {
        let two = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nx: y\r\n\r\n";
        let mut stream = connected(two);
        let mut heads = Heads::default();
        let head = heads.next(&mut stream).expect("a head").expect("not the end");
        assert_eq!((head.words().nth(1), head.body_len()), (Some("/a"), 3));
        assert_eq!(heads.skip(3), 3);
        let head = heads.next(&mut stream).expect("a head").expect("not the end");
        assert_eq!((head.words().nth(1), head.header("x"), head.body_len()), (Some("/b"), Some("y"), 0));
        assert!(heads.next(&mut stream).expect("a clean end").is_none());
    }

    #[test]
    fn a_connection_that_ends_in_a_head_is_an_error() {
        let mut stream = connected(b"POST /a HT");
        assert!(Heads::default().next(&mut stream).is_err());
    }
}
