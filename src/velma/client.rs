//! ONE try: sends a recording, watches the clock, brings back whatever came. Never repeats, never judges
//! (`classify` does) and never lets the key out of its header.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, Url, redirect};
use secrecy::ExposeSecret;

use super::audio::{Stage, StagedAudio};
use super::exchange::retry_after;
use super::multipart::{Event, Malformed, Multipart};
use super::platform::Platform;
use super::request::{self, FREE_CALL, Submission};
use super::upload::{Patience, Progress, Upload};
use super::{Answer, Exchange, TransportError, VelmaError, VelmaSettings, classify, stream};
use crate::task::{Endpoint, Probe};

#[cfg(test)]
mod tests;

pub(super) const JSON_MAX: usize = 64 << 20;
pub(super) const AUDIO_MAX: u64 = 200 << 20;
/// An error needs no more, and what comes after it is not worth waiting for.
const ERROR_MAX: usize = 64 << 10;
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);
const SECRET_MIN: usize = 6;
const FREE_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Shorter than the minute after which servers commonly hang up, lest a request meet a closing connection.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// An answer can take many minutes of silence; whatever translates addresses on the way must not forget us.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection pool to one host with one key. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    key: HeaderValue,
    settings: Arc<VelmaSettings>,
    platform: Option<Arc<Platform>>,
}

impl Client {
    /// Checks address and key; connects to nothing yet.
    pub fn new(settings: VelmaSettings) -> Result<Client, VelmaError> {
        let base = base_url(&settings.base_url)?;
        let mut key = match settings.api_key.expose_secret() {
            "" => return Err(VelmaError::Key("is empty")),
            key => HeaderValue::from_str(key)
                .map_err(|_| VelmaError::Key("holds characters that no key has, such as a line break"))?,
        };
        key.set_sensitive(true);
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("voxbatch/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE_MAX)
            .tcp_keepalive(KEEPALIVE)
            // A redirect would carry the recording, and a careless one the key, to another host.
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        let platform = settings.platform.clone().map(Platform::new).transpose()?;
        // One client for both: where one is on this machine, so is the other, or there is no other.
        if is_loopback(&base) || platform.as_ref().is_some_and(Platform::is_local) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| VelmaError::Http(chain(&e)))?;
        let base = base.as_str().trim_end_matches('/').into();
        Ok(Client { http, base, key, settings: Arc::new(settings), platform: platform.map(Arc::new) })
    }

    /// Scheme and host that requests go to, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// A request that has not been told its key yet.
    pub(super) fn keyless(&self, url: Url) -> reqwest::RequestBuilder {
        self.http.get(url)
    }

    /// To be put into an address, from which it must never come back.
    pub(super) fn key(&self) -> &secrecy::SecretString {
        &self.settings.api_key
    }

    /// How much a message of a stream holds.
    pub(super) fn frame_bytes(&self) -> usize {
        self.settings.stream_frame_bytes
    }

    /// Makes one try. Always comes back: with an answer of any status, or with the reason for having none.
    pub async fn submit(&self, mut submission: Submission<'_>) -> Exchange {
        let progress = Progress::new();
        // Also when this future is dropped half-way.
        let _stop = StopOnDrop(&progress);
        let abort = submission.abort;
        let patience = self.patience(submission.len);
        let mut request_id = None;
        let talking = async {
            match submission.streamed.take() {
                Some(streamed) => stream::talk(self, submission, streamed, &progress, &mut request_id).await,
                None => self.talk(submission, &progress, &mut request_id).await,
            }
        };
        let outcome = tokio::select! {
            // What has arrived is kept, even if the time is up in the same instant.
            biased;
            outcome = talking => outcome,
            () = abort.cancelled() => Err(TransportError::Aborted),
            overdue = progress.overdue(patience) => Err(overdue),
        };
        Exchange {
            bytes_sent: progress.bytes(),
            body_sent: progress.body_sent() && !matches!(outcome, Err(TransportError::BrokenWhileSending(_))),
            blake3: progress.blake3(),
            request_id,
            outcome,
        }
    }

    /// Makes the one free call, which shows whether the key that an endpoint uses is good and credits are left.
    pub async fn probe(&self, endpoint: Endpoint) -> Probe {
        if endpoint.works_by_jobs() {
            let answer = self.probe_platform().await;
            return answer.map_or(Probe::Unreachable, |a| classify::probed_by_job(a.status, &a.body));
        }
        match self.get(FREE_CALL).await {
            Ok(answer) => classify::probed(answer.status, &answer.body),
            Err(_) => Probe::Unreachable,
        }
    }

    /// Asks for something that costs nothing.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, TransportError> {
        self.ask(self.http.get(format!("{}{path}", self.base)).header("X-API-Key", self.key.clone())).await
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(super) fn platform(&self) -> Result<&Platform, TransportError> {
        let missing = || TransportError::Unsendable("nobody said how to reach the Platform API".to_owned());
        self.platform.as_deref().ok_or_else(missing)
    }

    /// Makes a request without a recording, which costs nothing.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Answer, TransportError> {
        let progress = Progress::new();
        let call = async {
            let response = request.send().await.map_err(|e| broken(e, &progress))?;
            let status = response.status();
            let content_type = header(response.headers(), CONTENT_TYPE.as_str()).map(|text| self.scrub(text));
            let retry_after = header(response.headers(), RETRY_AFTER.as_str())
                .and_then(|value| retry_after(value, jiff::Timestamp::now()));
            let (body, is_complete) = match status.is_success() {
                true => (whole(response, &progress).await?, true),
                false => self.error_text(response).await,
            };
            let status = status.as_u16();
            Ok(Answer { status, retry_after, content_type, body, audio: None, is_complete })
        };
        let limit = self.settings.connect_timeout + FREE_CALL_TIMEOUT;
        tokio::time::timeout(limit, call).await.unwrap_or(Err(TransportError::Timeout { body_sent: false }))
    }

    fn patience(&self, len: u64) -> Patience {
        let s = &self.settings;
        let megabytes = u32::try_from(len.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Patience {
            start: s.connect_timeout.saturating_add(s.stall_timeout),
            stall: s.stall_timeout,
            answer: s.answer_timeout.saturating_add(s.answer_timeout_per_mb.saturating_mul(megabytes)),
        }
    }

    async fn talk(
        &self,
        submission: Submission<'_>,
        progress: &Arc<Progress>,
        request_id: &mut Option<String>,
    ) -> Result<Answer, TransportError> {
        let Submission { endpoint, options, source, len, upload_name, mime, audio_beside, .. } = submission;
        let upload = Upload::open(source, len, Arc::clone(progress)).await?;
        let request = if endpoint.works_by_jobs() {
            self.platform()?.submission(&self.http, options, upload, len, upload_name)
        } else {
            let form = request::form(options, upload, len, upload_name, mime)?;
            let url = format!("{}{}", self.base, request::path(endpoint));
            self.http.post(url).header("X-API-Key", self.key.clone()).multipart(form)
        };
        let response = request.send().await.map_err(|e| broken(e, progress))?;
        progress.answer_began();

        let status = response.status();
        *request_id = self.request_id(&response);
        let content_type = header(response.headers(), CONTENT_TYPE.as_str()).map(|value| self.scrub(value));
        let retry_after = header(response.headers(), RETRY_AFTER.as_str())
            .and_then(|value| retry_after(value, jiff::Timestamp::now()));
        let parts = content_type.as_deref().filter(|_| endpoint.returns_audio());
        let received = match parts.and_then(Multipart::from_content_type) {
            _ if !status.is_success() => {
                let (body, is_complete) = self.error_text(response).await;
                Received { body, audio: None, is_complete }
            }
            Some(reader) => parted(response, reader, audio_beside, progress).await?,
            None => Received { body: whole(response, progress).await?, audio: None, is_complete: true },
        };
        let Received { body, audio, is_complete } = received;
        Ok(Answer { status: status.as_u16(), retry_after, content_type, body, audio, is_complete })
    }

    /// The API's own id of a request.
    pub(super) fn request_id(&self, response: &Response) -> Option<String> {
        let text = |name: &str| header(response.headers(), name).map(|value| self.scrub(value));
        text("x-request-id").or_else(|| text("request-id"))
    }

    /// What can be had of an error's text. Its status is known already: losing the rest changes nothing.
    pub(super) async fn error_text(&self, mut response: Response) -> (Bytes, bool) {
        let mut body = BytesMut::new();
        let reading = async {
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => {
                        body.extend_from_slice(&chunk[..chunk.len().min(ERROR_MAX - body.len())])
                    }
                    Ok(None) => return true,
                    Err(_) => return false,
                }
                if body.len() == ERROR_MAX {
                    return false;
                }
            }
        };
        let is_complete = tokio::time::timeout(ERROR_TIMEOUT, reading).await.unwrap_or(false);
        let scrubbed = match std::str::from_utf8(&body) {
            Ok(text) => Bytes::from(self.scrub(text)),
            Err(_) => Bytes::from(self.scrub(&String::from_utf8_lossy(&body))),
        };
        (scrubbed, is_complete)
    }

    /// The text without the key, should a server repeat what it refuses.
    pub(super) fn scrub(&self, text: &str) -> String {
        let key = self.settings.api_key.expose_secret();
        let others = self.platform.iter().flat_map(|platform| platform.secrets());
        // A key of a few letters (an emulator's) would tear holes into ordinary words.
        let secrets = std::iter::once(key).chain(others).filter(|secret| secret.len() >= SECRET_MIN);
        secrets.fold(text.to_owned(), |text, secret| {
            // As it is, as it stands inside a JSON string, and as it stands in an address.
            let quoted = serde_json::Value::from(secret).to_string();
            let text = text.replace(secret, "[key]").replace(&quoted[1..quoted.len() - 1], "[key]");
            text.replace(&in_an_address(secret), "[key]")
        })
    }
}

/// A secret as it stands in the query of an address. The text itself, should there be no such form.
fn in_an_address(secret: &str) -> String {
    let Ok(mut url) = Url::parse("http://x") else { return secret.to_owned() };
    url.query_pairs_mut().append_key_only(secret);
    url.query().unwrap_or(secret).to_owned()
}

struct StopOnDrop<'a>(&'a Progress);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Received {
    body: Bytes,
    audio: Option<StagedAudio>,
    is_complete: bool,
}

/// A body in one piece, bounded.
async fn whole(mut response: Response, progress: &Progress) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(e, progress))? {
        if body.len() + chunk.len() > JSON_MAX {
            return Err(TransportError::TooLarge(JSON_MAX as u64));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A body in parts: `metadata` into memory, `audio` to the disk, in any order; others are passed over.
async fn parted(
    mut response: Response,
    mut reader: Multipart,
    beside: Option<&Path>,
    progress: &Progress,
) -> Result<Received, TransportError> {
    let storage = |e: io::Error| TransportError::Storage(e.to_string());
    let (mut metadata, mut stage) = (BytesMut::new(), None::<Stage>);
    let mut current = None;
    let mut received = 0;
    while let Some(chunk) = response.chunk().await.map_err(|e| broken(e, progress))? {
        received += chunk.len() as u64;
        if received > AUDIO_MAX + JSON_MAX as u64 {
            return Err(TransportError::TooLarge(AUDIO_MAX + JSON_MAX as u64));
        }
        reader.feed(&chunk);
        loop {
            let event = match reader.next() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(Malformed) => {
                    return Ok(Received { body: metadata.freeze(), audio: None, is_complete: false });
                }
            };
            match event {
                Event::Begin(name) => {
                    current = name;
                    if current.as_deref() == Some("audio") && stage.is_none() {
                        stage = Some(Stage::open(beside).await.map_err(storage)?);
                    }
                }
                Event::Data(data) => match (current.as_deref(), &mut stage) {
                    (Some("metadata"), _) if metadata.len() + data.len() > JSON_MAX => {
                        return Err(TransportError::TooLarge(JSON_MAX as u64));
                    }
                    (Some("metadata"), _) => metadata.extend_from_slice(&data),
                    (Some("audio"), Some(stage)) if stage.bytes() + data.len() as u64 > AUDIO_MAX => {
                        return Err(TransportError::TooLarge(AUDIO_MAX));
                    }
                    (Some("audio"), Some(stage)) => stage.write(&data).await.map_err(storage)?,
                    _ => {}
                },
                Event::End => current = None,
            }
        }
    }
    let audio = match stage {
        Some(stage) => Some(stage.finish(Vec::new()).await.map_err(storage)?),
        None => None,
    };
    Ok(Received { body: metadata.freeze(), audio, is_complete: reader.is_complete() })
}

/// Where a try broke decides what it may have cost.
fn broken(error: reqwest::Error, progress: &Progress) -> TransportError {
    if let Some(fault) = progress.fault() {
        return fault;
    }
    let error = error.without_url();
    let text = chain(&error);
    // A piece that could not be written was not sent, though it had been handed over. Only the words of the
    // HTTP library tell this from a failure to read.
    let cut_while_writing =
        text.contains("writing a body") || root_kind(&error) == Some(io::ErrorKind::BrokenPipe);
    if error.is_builder() {
        TransportError::Unsendable(text)
    } else if error.is_connect() {
        TransportError::Connect(text)
    } else if !progress.body_sent() || cut_while_writing {
        // Also before the first byte of the file: its head had been on its way, and an early refusal meets that.
        TransportError::BrokenWhileSending(text)
    } else {
        TransportError::AnswerLost(text)
    }
}

fn root_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

/// An error and what is behind it, each said once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= 512).then_some(value)
}

pub(super) fn base_url(given: &str) -> Result<Url, VelmaError> {
    let wrong = |why: &str| VelmaError::BaseUrl { url: given.to_owned(), why: why.to_owned() };
    let url = Url::parse(given.trim()).map_err(|e| wrong(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated: it may be a secret.
        let why = "it must not hold a user name or password".to_owned();
        return Err(VelmaError::BaseUrl { url: "…@…".to_owned(), why });
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must begin with https:// or http://"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end with the host: paths are added by voxbatch"));
    }
    Ok(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
