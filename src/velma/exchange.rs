//! What one try brought back, before anyone asks what it means (`classify` does).

use std::time::Duration;

use bytes::Bytes;

use super::StagedAudio;

/// The longest wait that a server may ask for: more is a mistake of its clock or a joke.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// One try, as seen from our end.
#[derive(Debug)]
pub struct Exchange {
    /// Bytes of the file, or of what was decoded of it, that were handed to the connection.
    pub bytes_sent: u64,
    /// Whether the whole file was. What follows a loss after that may be billed.
    pub body_sent: bool,
    /// BLAKE3 of all bytes read from the file, in hex, when the whole file was read.
    pub blake3: Option<String>,
    /// The API's own id of the request, when it names one.
    pub request_id: Option<String>,
    /// What came back.
    pub outcome: Result<Answer, TransportError>,
}

impl Exchange {
    /// Of a request that was never made, and why.
    pub fn none(why: TransportError) -> Self {
        Exchange { bytes_sent: 0, body_sent: false, blake3: None, request_id: None, outcome: Err(why) }
    }
}

/// An answer of the server, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status; of a stream that the server ended without an answer, the code that it closed with.
    pub status: u16,
    /// What the server asks us to wait; at most a day.
    pub retry_after: Option<Duration>,
    /// The Content-Type header.
    pub content_type: Option<String>,
    /// JSON (of a redaction: its metadata) or the text of an error, without the key should the server repeat it.
    pub body: Bytes,
    /// The audio that came with it, on disk but not yet under its name.
    pub audio: Option<StagedAudio>,
    /// Whether everything that was announced has come.
    pub is_complete: bool,
}

impl Answer {
    /// Whether it is no refusal.
    pub fn is_good(&self) -> bool {
        super::classify::is_good(self)
    }
}

/// Why there is no answer. No text holds the key, the address's query, or what was said in a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection; nothing was sent.
    #[error("could not connect: {0}")]
    Connect(String),
    /// The request cannot be put into words of HTTP.
    #[error("could not make the request: {0}")]
    Unsendable(String),
    /// The file is not what it was when it was opened; the request was broken off.
    #[error("the file changed while it was being sent: {0}")]
    SourceChanged(String),
    /// The file could not be read to its end; the request was broken off.
    #[error("the file could not be read: {0}")]
    SourceRead(String),
    /// What it sounds like could not be found out; the connection was given up.
    #[error("the recording could not be decoded: {0}")]
    Undecodable(String),
    /// While uploading, no byte moved for too long.
    #[error("the upload stood still for too long")]
    Stalled,
    /// No whole answer in time.
    #[error("no whole answer in time")]
    Timeout {
        /// Whether the whole file had been sent.
        body_sent: bool,
    },
    /// The connection broke while the file was being sent: perhaps a refusal whose words were lost.
    #[error("the connection broke while the file was being sent: {0}")]
    BrokenWhileSending(String),
    /// The connection broke after everything was sent.
    #[error("the connection broke before the whole answer came: {0}")]
    AnswerLost(String),
    /// More came back than can be an answer.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
    /// The audio of an answer could not be written.
    #[error("the answer's audio could not be stored: {0}")]
    Storage(String),
    /// The service does not know the job any more that it had accepted the recording as.
    #[error("the service does not know the job any more")]
    JobGone,
    /// We stopped it.
    #[error("stopped by us")]
    Aborted,
}

/// A Retry-After header: seconds, or a date.
pub(super) fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        let seconds = Duration::try_from_secs_f64(seconds).ok();
        return seconds.map(|wait| wait.min(RETRY_AFTER_MAX));
    }
    let then = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let wait = Duration::try_from(then.duration_since(now)).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_as_seconds_or_as_a_date() {
        let now: jiff::Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let read = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(read("30"), Some(30));
        assert_eq!(read(" 1.9 "), Some(1));
        assert_eq!(read("Fri, 20 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(read("Fri, 20 Nov 2026 09:00:00 GMT"), Some(0), "a moment that has passed");
        assert_eq!(read("99999999"), Some(24 * 3600));
        assert_eq!(read("Wed, 20 Nov 2126 09:00:00 GMT"), Some(24 * 3600));
        for bad in ["", "soon", "-1", "nan", "inf", "2026-11-20"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
