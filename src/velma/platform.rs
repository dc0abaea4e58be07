//! The Platform API, as far as its descriptions agree: a recording is sent once and accepted as a job, which is asked
//! for until it has ended. Experimental. Which answer means what is said by `classify`.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::base_url;
use super::options::Options;
use super::upload::Upload;
use super::{Answer, Client, Exchange, TransportError, VelmaError, classify};

/// So often in a row the service may not know a job that it has accepted: it may need a moment to know it everywhere.
const MISSING_MAX: u32 = 4;

/// A job that nobody has: asking for it shows whether account and key are good, and costs nothing.
const NO_JOB: &str = "00000000-0000-0000-0000-000000000000";

/// How to reach the Platform API.
#[derive(Debug, Clone)]
pub struct PlatformSettings {
    /// Scheme and host, without a path.
    pub base_url: String,
    /// The account. Never printed.
    pub account: SecretString,
    /// Its key. Never printed.
    pub api_key: SecretString,
    /// Between the first two looks at a job; each further wait is longer by half.
    pub poll_first: Duration,
    /// No wait between two looks is longer, unless the service asks for it.
    pub poll_longest: Duration,
}

/// The part of a client that speaks to it.
#[derive(Debug)]
pub(super) struct Platform {
    base: String,
    account: HeaderValue,
    key: HeaderValue,
    settings: PlatformSettings,
}

impl Platform {
    pub(super) fn new(settings: PlatformSettings) -> Result<Platform, VelmaError> {
        let header = |secret: &SecretString| {
            let value = HeaderValue::from_str(secret.expose_secret()).ok().filter(|value| !value.is_empty());
            let mut value = value.ok_or(VelmaError::Key("is empty, or holds characters that no key has"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let base = base_url(&settings.base_url)?.as_str().trim_end_matches('/').to_owned();
        Ok(Platform { base, account: header(&settings.account)?, key: header(&settings.api_key)?, settings })
    }

    pub(super) fn is_local(&self) -> bool {
        base_url(&self.base).is_ok_and(|url| super::client::is_loopback(&url))
    }

    /// What must not stand in any text.
    pub(super) fn secrets(&self) -> [&str; 2] {
        [self.settings.account.expose_secret(), self.settings.api_key.expose_secret()]
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("accountuuid", self.account.clone()).header("apikey", self.key.clone())
    }

    /// The one request that carries the recording.
    pub(super) fn submission(
        &self,
        http: &reqwest::Client,
        options: &Options,
        upload: Upload,
        len: u64,
        name: &str,
    ) -> RequestBuilder {
        let (head, tail) = around(options, name);
        let length = head.len() as u64 + len.div_ceil(3) * 4 + tail.len() as u64;
        let body = stream::once(async move { Ok(head) })
            .chain(in_base64(upload.into_stream()))
            .chain(stream::once(async move { Ok(tail) }));
        self.signed(http.post(format!("{}/api_service", self.base)))
            .header(CONTENT_TYPE, "application/json")
            // Known before: a body without an announced length is refused by some that stand in between.
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(body))
    }

    fn look(&self, http: &reqwest::Client, job: &str) -> RequestBuilder {
        let mut url = format!("{}/api_service/job_status/", self.base);
        // The id is the service's own text.
        job.bytes().for_each(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(byte.into()),
            byte => url.push_str(&format!("%{byte:02X}")),
        });
        self.signed(http.get(url))
    }
}

/// What stands before and behind the recording.
fn around(options: &Options, name: &str) -> (Bytes, Bytes) {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let flags: Map<String, Value> =
        options.fields().iter().map(|field| (field.name.to_owned(), json!(field.value == "true"))).collect();
    let mut object = json!({ "file_extension": extension, "filename": name });
    if !flags.is_empty() {
        object["flags"] = Value::Object(flags);
    }
    let text = object.to_string();
    let head = format!("{},\"audio_base64\":\"", &text[..text.len() - 1]);
    (Bytes::from(head), Bytes::from_static(b"\"}"))
}

/// The same bytes in base64. Pieces are cut at multiples of three, so that only the last one is padded.
fn in_base64<S>(pieces: S) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let state = (Box::pin(pieces), BytesMut::new(), false);
    stream::try_unfold(state, |(mut pieces, mut left, done)| async move {
        if done {
            return Ok(None);
        }
        loop {
            match pieces.next().await.transpose()? {
                Some(piece) => {
                    left.extend_from_slice(&piece);
                    let whole = left.split_to(left.len() / 3 * 3);
                    if !whole.is_empty() {
                        return Ok(Some((Bytes::from(BASE64_STANDARD.encode(whole)), (pieces, left, false))));
                    }
                }
                None if left.is_empty() => return Ok(None),
                None => {
                    let last = Bytes::from(BASE64_STANDARD.encode(&left));
                    return Ok(Some((last, (pieces, left, true))));
                }
            }
        }
    })
}

/// The id of the job as which a recording was accepted, if it was.
pub fn accepted(exchange: &Exchange) -> Option<String> {
    let answer = exchange.outcome.as_ref().ok().filter(|_| exchange.body_sent)?;
    if !classify::is_good(answer) {
        return None;
    }
    match serde_json::from_slice::<Value>(&answer.body).ok()?.get("job_id")? {
        Value::String(id) if !id.is_empty() && id.len() <= 512 => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// How far a job is, by the service's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Under way; its own word for that.
    Going(String),
    /// There are results.
    Done,
    /// It ended without; its own words.
    Failed(String),
}

impl State {
    /// Reads an answer about a job. `None`: it is none.
    pub(super) fn read(body: &[u8]) -> Option<State> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let word = answer.get("status").or_else(|| answer.get("state"))?.as_str()?.to_lowercase();
        Some(match word.as_str() {
            "completed" | "complete" | "finalized" | "succeeded" => match only_failed(&answer) {
                Some(words) => State::Failed(words),
                None => State::Done,
            },
            "failed" | "error" | "cancelled" | "canceled" | "expired" => {
                let words = said(&answer).or_else(|| only_failed(&answer));
                State::Failed(words.unwrap_or_else(|| format!("the job ended as {word}")))
            }
            _ => State::Going(word),
        })
    }
}

fn said(of: &Value) -> Option<String> {
    ["error", "message", "detail"].iter().find_map(|key| Some(of.get(key)?.as_str()?.to_owned()))
}

/// The words of a job that is done, and whose only file could not be used.
fn only_failed(answer: &Value) -> Option<String> {
    match answer.get("results")?.as_array()?.as_slice() {
        [only] if only.get("transcript").is_none() && only.get("text").is_none() => said(only),
        _ => None,
    }
}

impl Client {
    /// Asks for a job until it has ended or `patience` is over, at once for one that was accepted some time ago. What
    /// passes by itself is waited out: asking costs nothing. Brings back the last answer, as if the recording had been
    /// sent for it.
    pub async fn follow(
        &self,
        job: &str,
        at_once: bool,
        patience: Duration,
        abort: &CancellationToken,
    ) -> Exchange {
        let following = self.until_over(job, at_once, patience);
        let outcome = tokio::select! {
            biased;
            outcome = following => outcome,
            () = abort.cancelled() => Err(TransportError::Aborted),
        };
        // Without an answer nothing is lost but time: the job is known, and asked for again.
        let outcome = outcome.map_err(|error| match error {
            kept @ (TransportError::JobGone | TransportError::Aborted | TransportError::Unsendable(_)) => {
                kept
            }
            _ => TransportError::Timeout { body_sent: false },
        });
        Exchange { bytes_sent: 0, body_sent: outcome.is_ok(), blake3: None, request_id: None, outcome }
    }

    async fn until_over(
        &self,
        job: &str,
        at_once: bool,
        patience: Duration,
    ) -> Result<Answer, TransportError> {
        let platform = self.platform()?;
        let until = Instant::now() + patience;
        let (mut wait, mut missing) = (platform.settings.poll_first, 0);
        let mut pause = if at_once { Duration::ZERO } else { wait };
        loop {
            tokio::time::sleep(pause).await;
            let look = self.ask(platform.look(self.http(), job)).await;
            let asked_for = match classify::look(&look) {
                classify::Look::Ended => return look,
                classify::Look::Missing => {
                    missing += 1;
                    if missing == MISSING_MAX {
                        return Err(TransportError::JobGone);
                    }
                    None
                }
                classify::Look::Again(wait) => {
                    missing = 0;
                    wait
                }
            };
            if Instant::now() >= until {
                return look;
            }
            // Several jobs were accepted in one moment, perhaps: they need not be asked for in one.
            pause = wait.mul_f64(0.75 + fastrand::f64() / 2.0).max(asked_for.unwrap_or_default());
            wait = wait.mul_f64(1.5).min(platform.settings.poll_longest);
        }
    }

    /// Asks whether account and key are good.
    pub(super) async fn probe_platform(&self) -> Option<Answer> {
        let platform = self.platform().ok()?;
        self.ask(platform.look(self.http(), NO_JOB)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Endpoint;

    #[test]
    fn the_states_of_every_description_are_understood_and_others_go_on() {
        let state = |json: Value| State::read(json.to_string().as_bytes());
        for good in ["completed", "finalized", "complete", "succeeded", "COMPLETED"] {
            assert_eq!(state(json!({ "status": good })), Some(State::Done), "{good}");
        }
        for bad in ["failed", "error", "cancelled", "canceled", "expired"] {
            let words = format!("the job ended as {bad}");
            assert_eq!(state(json!({ "state": bad })), Some(State::Failed(words)), "{bad}");
        }
        for going in ["processing", "active", "finalizing", "queued", "weather"] {
            assert_eq!(state(json!({ "status": going })), Some(State::Going(going.into())));
        }
        let words = "The audio could not be processed.";
        let failed = Some(State::Failed(words.into()));
        assert_eq!(state(json!({ "status": "failed", "error": words })), failed);
        assert_eq!(state(json!({ "status": "completed", "results": [{ "error": words }] })), failed);
        for none in [json!({}), json!([]), json!({ "status": 7 })] {
            assert_eq!(state(none), None);
        }
        assert_eq!(State::read(b"<html>"), None);
    }

    #[tokio::test]
    async fn the_recording_travels_in_base64_whatever_its_pieces_are() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for size in [1, 2, 3, 7, 999, 1000] {
            for len in [0, 1, 2, 3, 1000] {
                let pieces: Vec<io::Result<Bytes>> =
                    bytes[..len].chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                let sent: Vec<io::Result<Bytes>> = in_base64(stream::iter(pieces)).collect().await;
                let sent: Vec<u8> = sent.into_iter().flat_map(|piece| piece.unwrap()).collect();
                assert_eq!(sent, BASE64_STANDARD.encode(&bytes[..len]).into_bytes(), "{len} by {size}");
                assert_eq!(sent.len() as u64, (len as u64).div_ceil(3) * 4);
            }
        }
    }

    #[test]
    fn what_stands_around_the_recording_is_json_whatever_its_name() {
        let options = Options::parse(Endpoint::PlatformBatch, &json!({ "demographics": true })).unwrap();
        let (head, tail) = around(&options, "a \"b\" \\ ü.opus");
        let text = [&head[..], b"AAAA", &tail[..]].concat();
        let expected = json!({
            "file_extension": "opus", "filename": "a \"b\" \\ ü.opus", "flags": { "demographics": true },
            "audio_base64": "AAAA",
        });
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        let (head, _) = around(&Options::default(), "a.wav");
        assert!(!String::from_utf8_lossy(&head).contains("flags"));
    }
}
