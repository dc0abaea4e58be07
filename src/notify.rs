//! Pings an address when a run begins and when it ends, so that somebody notices a night that went wrong, or that did
//! not come. A ping carries counts and fixed words; by type, nothing else fits. It never fails a run and never keeps one
//! from ending for longer than [`LONGEST`]. What a run is, and which end is a good one, is left to those who call.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::task::{Timestamp, WorkerId};

/// A ping takes no longer than this, all of its tries together.
pub const LONGEST: Duration = Duration::from_secs(5);
/// One try takes no longer than this, so that there is time for another.
const TRY: Duration = Duration::from_secs(3);
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// What a ping is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A run has begun.
    Start,
    /// It ended well.
    Success,
    /// It did not.
    Failure,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 3] = [Event::Start, Event::Success, Event::Failure];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Event::Start => "start",
            Event::Success => "success",
            Event::Failure => "failure",
        }
    }

    /// What the address ends with, by the custom of those who watch over cron jobs.
    fn path(self) -> &'static str {
        match self {
            Event::Start => "/start",
            Event::Success => "",
            Event::Failure => "/fail",
        }
    }
}

/// Where pings go. The address itself can be the secret, so that only its host is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Reads an address. What is wrong is told without repeating it.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(text: &str) -> Result<Address, &'static str> {
        let url = Url::parse(text).map_err(|_| "is no address")?;
        let loopback = {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        match url.scheme() {
            _ if text.contains(HIDDEN) => Err("is what `config show` prints instead of it"),
            "https" => Ok(()),
            "http" if loopback => Ok(()),
            "http" => Err("must be https; http is for this machine only"),
            _ => Err("must begin with https://"),
        }?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a name or a password; see token_file");
        }
        if url.fragment().is_some() {
            return Err("must not hold a `#`");
        }
        Ok(Address(url))
    }

    fn of(&self, event: Event, suffixes: bool) -> Url {
        let mut url = self.0.clone();
        if suffixes {
            let path = format!("{}{}", url.path().trim_end_matches('/'), event.path());
            url.set_path(&path);
        }
        url
    }

    fn is_loopback(&self) -> bool {
        self.0.scheme() == "http"
    }
}

const HIDDEN: &str = "…";

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{HIDDEN}", self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Whom to tell of a run, and of what.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// Where to; `None`: nobody is told.
    pub url: Option<Address>,
    /// `/start` and `/fail` are appended to it.
    pub suffixes: bool,
    /// Which events are told.
    pub on: Vec<Event>,
    /// Exit codes that are a success.
    pub success: Vec<u8>,
    /// Proof of who we are.
    pub token: Option<SecretString>,
    /// The header that it travels in; in `Authorization`, behind `Bearer`.
    pub token_header: String,
}

impl Default for NotifySettings {
    fn default() -> Self {
        NotifySettings {
            url: None,
            suffixes: true,
            on: Event::ALL.to_vec(),
            success: vec![0, 3, 10],
            token: None,
            token_header: "Authorization".to_owned(),
        }
    }
}

/// How a run stands, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Recordings that ended well in this run.
    pub succeeded: u64,
    /// Failed for good in this run.
    pub failed: u64,
    /// Never sent, for their looks.
    pub refused: u64,
    /// Still in the queue; nothing while it is still to be found out.
    pub left: Option<u64>,
    /// Milliseconds of audio that came back.
    pub audio_ms: u64,
    /// Milliseconds of audio billed, as far as known.
    pub billed_ms: u64,
    /// Requests that may have been billed without a result.
    pub maybe_billed: u64,
}

/// What is told.
#[derive(Debug, Clone)]
pub struct Ping {
    /// Of what.
    pub event: Event,
    /// Which run; none if it did not come that far.
    pub run: Option<WorkerId>,
    /// Now.
    pub time: Timestamp,
    /// How long the run took so far.
    pub elapsed: Duration,
    /// Its exit code and why it ended, in a stable word.
    pub end: Option<(u8, &'static str)>,
    /// Nothing if it did not come that far.
    pub counts: Option<Counts>,
}

impl Ping {
    fn body(&self) -> Value {
        let counts = self.counts.map(|c| {
            let mut counts = json!({
                "succeeded": c.succeeded, "failed": c.failed, "refused": c.refused, "left": c.left,
                "audio_seconds": c.audio_ms / 1000, "billed_seconds": c.billed_ms / 1000,
                "maybe_billed": c.maybe_billed,
            });
            if let (None, Some(object)) = (c.left, counts.as_object_mut()) {
                object.shift_remove("left");
            }
            counts
        });
        json!({
            "schema": "voxbatch.ping/1", "event": self.event.word(), "version": env!("CARGO_PKG_VERSION"),
            "run": self.run.as_ref().map(|run| &run.0), "time": self.time.to_string(),
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "exit_code": self.end.map(|(code, _)| code), "stop_reason": self.end.map(|(_, why)| why),
            "counts": counts,
        })
    }
}

/// Why nobody could be told. Never holds more of the address than its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tell {host} of the run's {}: {why}", event.word())]
pub struct Undelivered {
    event: Event,
    host: String,
    why: String,
}

/// Sends pings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    http: reqwest::Client,
    settings: Arc<NotifySettings>,
    address: Address,
    token: Option<(HeaderName, HeaderValue)>,
}

impl Notifier {
    /// `None` if nobody is to be told. Connects to nothing yet.
    ///
    /// # Errors
    /// A token or a header that cannot travel.
    pub fn new(settings: &NotifySettings) -> Result<Option<Notifier>, String> {
        let Some(address) = settings.url.clone() else { return Ok(None) };
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("voxbatch/", env!("CARGO_PKG_VERSION")))
            .timeout(TRY)
            // The address, or the token, is a secret between two.
            .redirect(redirect::Policy::none())
            .referer(false);
        if address.is_loopback() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| format!("set up pings: {}", e.without_url()))?;
        let token = settings.token.as_ref().map(|token| header(&settings.token_header, token)).transpose()?;
        Ok(Some(Notifier { http, settings: Arc::new(settings.clone()), address, token }))
    }

    /// Which event an exit code is.
    pub fn event_of(&self, code: u8) -> Event {
        if self.settings.success.contains(&code) { Event::Success } else { Event::Failure }
    }

    /// Sends a ping, if its event is to be told. Takes [`LONGEST`] at most.
    ///
    /// # Errors
    /// Nobody took it.
    pub async fn send(&self, ping: &Ping) -> Result<(), Undelivered> {
        if !self.settings.on.contains(&ping.event) {
            return Ok(());
        }
        let mut last = "no answer in time".to_owned();
        let tries = async {
            for n in 0..TRIES {
                if n > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                match self.post(ping).await {
                    Ok(()) => return true,
                    Err(why) => last = why,
                }
            }
            false
        };
        match tokio::time::timeout(LONGEST, tries).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                Err(Undelivered { event: ping.event, host: self.address.to_string(), why: last })
            }
        }
    }

    async fn post(&self, ping: &Ping) -> Result<(), String> {
        let url = self.address.of(ping.event, self.settings.suffixes);
        let mut request = self.http.post(url).json(&ping.body());
        if let Some((name, value)) = &self.token {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(why)?.status();
        // A redirect is none: whoever followed it would hand the secret on.
        if answer.is_success() { Ok(()) } else { Err(format!("the answer was {answer}")) }
    }
}

/// The whole chain of causes, without the address.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text += &format!(": {next}");
        cause = next.source();
    }
    text
}

fn header(name: &str, token: &SecretString) -> Result<(HeaderName, HeaderValue), String> {
    let header = HeaderName::try_from(name).map_err(|_| format!("send a token: `{name}` is no header"))?;
    let bearer = if header == reqwest::header::AUTHORIZATION { "Bearer " } else { "" };
    let mut value = HeaderValue::try_from(format!("{bearer}{}", token.expose_secret()))
        .map_err(|_| "send the token: it holds characters that no header takes".to_owned())?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn ping(event: Event) -> Ping {
        let counts = Counts { succeeded: 7, left: Some(2), audio_ms: 61_500, ..Counts::default() };
        Ping {
            event,
            run: Some(WorkerId("r17".to_owned())),
            time: Timestamp(0),
            elapsed: Duration::from_millis(1500),
            end: Some((10, "deadline")),
            counts: Some(counts),
        }
    }

    /// Answers with these words, one request after the other, and hands out what it was sent.
    async fn bell(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cr3t?a=b", listener.local_addr().unwrap());
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = String::new();
                while !text.ends_with("}") {
                    let mut chunk = [0; 4096];
                    let read = stream.read(&mut chunk).await.unwrap();
                    text += std::str::from_utf8(&chunk[..read]).unwrap();
                }
                let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                heard.push(text);
            }
            heard
        });
        (url, heard)
    }

    fn notifier(settings: NotifySettings, url: &str) -> Notifier {
        let settings = NotifySettings { url: Some(Address::parse(url).unwrap()), ..settings };
        Notifier::new(&settings).unwrap().unwrap()
    }

    #[tokio::test]
    async fn each_event_has_its_path_and_a_body_of_counts() {
        let (url, heard) = bell(vec!["200 OK"; 4]).await;
        let token = Some(SecretString::from("t0ken"));
        let first = notifier(NotifySettings { token, ..NotifySettings::default() }, &url);
        for event in Event::ALL {
            first.send(&ping(event)).await.unwrap();
        }
        let plain = notifier(NotifySettings { suffixes: false, ..NotifySettings::default() }, &url);
        plain.send(&ping(Event::Failure)).await.unwrap();
        let heard = heard.await.unwrap();
        for (request, line) in heard.iter().zip([
            "POST /s3cr3t/start?a=b ",
            "POST /s3cr3t?a=b ",
            "POST /s3cr3t/fail?a=b ",
            "POST /s3cr3t?a=b ",
        ]) {
            assert!(request.starts_with(line), "{request}");
        }
        assert!(heard[0].contains("authorization: Bearer t0ken") && !heard[3].contains("authorization"));
        let body: Value = serde_json::from_str(heard[2].split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let expected = json!({
            "schema": "voxbatch.ping/1", "event": "failure", "version": env!("CARGO_PKG_VERSION"), "run": "r17",
            "time": "1970-01-01T00:00:00.000Z", "elapsed_ms": 1500, "exit_code": 10, "stop_reason": "deadline",
            "counts": {
                "succeeded": 7, "failed": 0, "refused": 0, "left": 2, "audio_seconds": 61, "billed_seconds": 0,
                "maybe_billed": 0,
            },
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn a_ping_that_is_refused_is_sent_again_a_few_times_and_no_more() {
        let (url, heard) = bell(vec!["503 Busy", "204 No Content"]).await;
        notifier(NotifySettings::default(), &url).send(&ping(Event::Start)).await.unwrap();
        assert_eq!(heard.await.unwrap().len(), 2);
        let (url, heard) = bell(vec!["404 Not Found", "404 Not Found", "302 Found"]).await;
        let error = notifier(NotifySettings::default(), &url).send(&ping(Event::Start)).await.unwrap_err();
        assert_eq!(heard.await.unwrap().len(), 3);
        assert!(error.to_string().ends_with("of the run's start: the answer was 302 Found"), "{error}");
    }

    #[tokio::test]
    async fn why_nobody_heard_it_is_told_without_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cr3t", listener.local_addr().unwrap());
        drop(listener);
        let error = notifier(NotifySettings::default(), &url).send(&ping(Event::Success)).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("127.0.0.1") && !text.contains("s3cr3t"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_answers_is_given_up_soon() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let began = tokio::time::Instant::now();
        assert!(notifier(NotifySettings::default(), &url).send(&ping(Event::Success)).await.is_err());
        assert!(began.elapsed() <= LONGEST + Duration::from_millis(10), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_nobody_wants_to_hear_is_not_sent() {
        let settings = NotifySettings { on: vec![Event::Failure], ..NotifySettings::default() };
        notifier(settings, "http://127.0.0.1:1/").send(&ping(Event::Start)).await.unwrap();
        assert!(Notifier::new(&NotifySettings::default()).unwrap().is_none());
    }

    #[test]
    fn an_address_is_https_or_this_machine_and_shows_its_host_only() {
        for good in ["https://hc.example/ping/s3cr3t", "http://localhost:8000/s3cr3t", "http://[::1]/s3cr3t"]
        {
            let shown = format!("{:?} {0}", Address::parse(good).unwrap());
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
        for bad in [
            "",
            "hc.example/x",
            "http://hc.example/s3cr3t",
            "ftp://hc.example/",
            "https://a:b@hc.example/",
            "https://hc.example/#x",
            "https://hc.example/…",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_that_no_header_takes_is_refused_and_not_repeated() {
        let url = Some(Address::parse("https://hc.example/").unwrap());
        for (name, token) in [("X Token", "good"), ("X-Token", "s3cr3t\n")] {
            let token = Some(SecretString::from(token));
            let settings = NotifySettings {
                token,
                token_header: name.to_owned(),
                url: url.clone(),
                ..Default::default()
            };
            let told = Notifier::new(&settings).unwrap_err();
            assert!(!told.contains("s3cr3t"), "{told}");
        }
    }
}
