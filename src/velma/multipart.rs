//! Reads a multipart answer as it arrives, in any cutting, without ever holding more than a part's header and
//! the tail that might be a boundary. What the parts mean is for `client` to say.

use bytes::{Bytes, BytesMut};

#[cfg(test)]
mod tests;

const HEADERS_MAX: usize = 16 * 1024;
const BOUNDARY_MAX: usize = 200;

/// What was found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A part begins; its `name`, if it has one.
    Begin(Option<String>),
    /// Bytes of the part that began last.
    Data(Bytes),
    /// The part is over.
    End,
}

/// The answer does not hold to the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part of the multipart answer has no end to its header")]
pub(super) struct Malformed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Header,
    Body,
    Done,
}

/// An incremental reader: `feed` it, then take events with `next` until there are none.
#[derive(Debug)]
pub(super) struct Multipart {
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
    /// A part is over and its `End` is still to be told.
    end_due: bool,
}

impl Multipart {
    /// A reader for the boundary named by a Content-Type header; `None` when the header is no multipart type or
    /// names none.
    pub(super) fn from_content_type(header: &str) -> Option<Self> {
        let kind = header.split(';').next().unwrap_or_default().trim();
        if !kind.get(..10)?.eq_ignore_ascii_case("multipart/") {
            return None;
        }
        let boundary = parameter(header, "boundary")?;
        if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
            return None;
        }
        // The first boundary may stand at the very beginning: as if a line had ended before it.
        Some(Multipart {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
            end_due: false,
        })
    }

    /// Takes what has arrived.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Done {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether the closing boundary has been seen. Without it the last part may be cut.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// The next event, or `None` until more is fed.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Malformed> {
        loop {
            if std::mem::take(&mut self.end_due) {
                return Ok(Some(Event::End));
            }
            match self.state {
                State::Done => return Ok(None),
                State::Header => {
                    // No matter how much has come already: what is too long must be so in any cutting.
                    let most = self.buffer.len().min(HEADERS_MAX);
                    let Some(at) = find(&self.buffer[..most], b"\r\n\r\n") else {
                        return if self.buffer.len() >= HEADERS_MAX { Err(Malformed) } else { Ok(None) };
                    };
                    let header = self.buffer.split_to(at + 4);
                    self.state = State::Body;
                    return Ok(Some(Event::Begin(part_name(&header))));
                }
                State::Preamble | State::Body => match self.boundary() {
                    Boundary::None { safe } => return Ok(self.data(safe)),
                    Boundary::Maybe { at } => return Ok(self.data(at)),
                    Boundary::Found { at, length, last } => {
                        if let Some(data) = self.data(at) {
                            return Ok(Some(data));
                        }
                        let _ = self.buffer.split_to(length);
                        self.end_due = self.state == State::Body;
                        self.state = if last { State::Done } else { State::Header };
                        if last {
                            self.buffer.clear();
                        }
                    }
                },
            }
        }
    }

    /// Takes `count` bytes off the front: data within a part, noise before the first.
    fn data(&mut self, count: usize) -> Option<Event> {
        if count == 0 {
            return None;
        }
        let data = self.buffer.split_to(count).freeze();
        // Noise ahead of the first part is dropped; the caller goes on.
        (self.state == State::Body).then_some(Event::Data(data))
    }

    fn boundary(&self) -> Boundary {
        let mut from = 0;
        while let Some(found) = find(&self.buffer[from..], &self.delimiter) {
            let at = from + found;
            let after = &self.buffer[at + self.delimiter.len()..];
            match line_end(after) {
                LineEnd::Unknown => return Boundary::Maybe { at },
                // The boundary's text as the beginning of something longer: data that looks like it.
                LineEnd::Other => from = at + 1,
                LineEnd::Last => {
                    return Boundary::Found { at, length: self.delimiter.len() + 2, last: true };
                }
                LineEnd::Next { blank } => {
                    return Boundary::Found { at, length: self.delimiter.len() + blank, last: false };
                }
            }
        }
        let safe = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
        Boundary::None { safe }
    }
}

enum Boundary {
    /// None; the first `safe` bytes cannot be part of one.
    None { safe: usize },
    /// Perhaps one, not yet whole.
    Maybe { at: usize },
    /// One, `length` bytes long without the line break behind it.
    Found { at: usize, length: usize, last: bool },
}

enum LineEnd {
    Unknown,
    Other,
    Last,
    Next { blank: usize },
}

/// What follows the boundary's text decides whether it is one: `--`, or blanks and a line break.
fn line_end(after: &[u8]) -> LineEnd {
    let blank = after.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    match &after[blank..] {
        _ if blank > HEADERS_MAX => LineEnd::Other,
        [b'-', b'-', ..] if blank == 0 => LineEnd::Last,
        [b'\r', b'\n', ..] => LineEnd::Next { blank },
        [] | [b'\r'] => LineEnd::Unknown,
        [b'-'] if blank == 0 => LineEnd::Unknown,
        _ => LineEnd::Other,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while haystack.len() - from >= needle.len() {
        from += haystack[from..].iter().position(|b| *b == needle[0])?;
        if haystack[from..].starts_with(needle) {
            return Some(from);
        }
        from += 1;
    }
    None
}

fn part_name(header: &[u8]) -> Option<String> {
    let header = String::from_utf8_lossy(header);
    header.split("\r\n").find_map(|line| {
        let (field, value) = line.split_once(':')?;
        if !field.trim().eq_ignore_ascii_case("content-disposition") {
            return None;
        }
        parameter(value, "name")
    })
}

/// A parameter of a header value, quoted or not: `form-data; name="metadata"`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        // Anything without `=` ahead of this name is no parameter.
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}
