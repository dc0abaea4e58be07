//! Where requests are attended to: *let in, receive, judge, go wrong, bill, wait, answer*. Each step is a room of
//! its own; here is their order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Basis, SHORTEST_VOICE_MS};
use super::audio::{Audio, Ear};
use super::books::{Books, Slot};
use super::fault::Fault;
use super::form::{self, Form, Taken, Upload};
use super::line::Line;
use super::model::Model;
use super::options::Options;
use super::payload::Payload;
use super::platform;
use super::presets;
use super::refusal::{Refusal, Words};
use super::script::{self, Act};
use super::settings::{Contract, Settings};
use super::socket::Stream;
use super::transcript::Transcript;

/// Everything that requests share.
#[derive(Debug)]
pub(super) struct Desk {
    settings: Mutex<Arc<Settings>>,
    pub(super) books: Arc<Books>,
    pub(super) ear: Ear,
    /// Of the Platform API.
    pub(super) jobs: platform::Ledger,
    /// While true, finished requests wait with their answers.
    pub(super) gate: watch::Sender<bool>,
    pub(super) closing: CancellationToken,
}

/// What becomes of a request.
enum Outcome {
    Good(Payload, Option<Fault>),
    Refused(Refusal, Contract),
    Cut,
}

/// Why a request is not answered well.
enum Stop {
    Refused(Refusal),
    /// In the words of another contract.
    RefusedAs(Refusal, Contract),
    Cut,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl Desk {
    pub(super) fn new(settings: Settings) -> Self {
        Desk {
            books: Arc::new(Books::new(settings.credits_hours)),
            settings: Mutex::new(Arc::new(settings)),
            ear: Ear::default(),
            jobs: platform::Ledger::default(),
            gate: watch::Sender::new(false),
            closing: CancellationToken::new(),
        }
    }

    /// The settings as they are now; a request keeps those it began with.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut settings));
    }

    /// A request to a batch endpoint.
    pub(super) async fn call(self: Arc<Self>, model: Model, line: Line, request: Request) -> Response {
        let visit = self.books.arrive(model.name(), request.headers().contains_key(header::USER_AGENT));
        let settings = self.settings();
        let mut slot = None;
        let outcome = tokio::select! {
            biased;
            () = self.closing.cancelled() => Outcome::Cut,
            outcome = self.attend(model, &settings, request, &mut slot) => outcome,
        };
        match outcome {
            Outcome::Cut => {
                visit.cut();
                line.cut();
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Outcome::Refused(refusal, contract) => {
                self.books.refused(model.name(), &refusal);
                let response = refuse(&settings, contract, model, &refusal);
                visit.answered(response.status().as_u16());
                response
            }
            Outcome::Good(payload, fault) => {
                visit.answered(200);
                deliver(payload, fault, slot)
            }
        }
    }

    /// The free list of presets: key, access and credits count, quota does not.
    pub(super) fn list_presets(&self, name: &'static str, headers: &HeaderMap) -> Response {
        let visit = self.books.arrive(name, headers.contains_key(header::USER_AGENT));
        let settings = self.settings();
        let allowed = by_header(&settings, name, headers).and_then(|()| self.books.check_credits());
        let response = match allowed {
            Ok(()) => deliver(Payload::json(&presets::list()), None, None),
            Err(refusal) => {
                self.books.refused(name, &refusal);
                refuse(&settings, settings.contract, Model::Conversation, &refusal)
            }
        };
        visit.answered(response.status().as_u16());
        response
    }

    async fn attend(
        &self,
        model: Model,
        settings: &Settings,
        request: Request,
        slot: &mut Option<Slot>,
    ) -> Outcome {
        let (parts, body) = request.into_parts();
        let let_in = by_header(settings, model.name(), &parts.headers).and_then(|()| {
            self.books.admit(model.name(), kin(settings, model), &settings.limits(model.name()))
        });
        let (taken, number) = match let_in {
            Ok(let_in) => let_in,
            Err(refusal) => return turn_away(settings, refusal, body).await,
        };
        *slot = Some(taken);
        let fault = settings.faults.before_body(model.name(), number);
        match fault {
            Some(Fault::Busy) if settings.faults.unknown_429_text => {
                return turn_away(settings, Refusal::UnknownThrottle, body).await;
            }
            Some(Fault::Busy) => return turn_away(settings, Refusal::Concurrency, body).await,
            Some(Fault::ResetBeforeBody) => return Outcome::Cut,
            Some(Fault::StallUpload) => tokio::time::sleep(settings.faults.stall_for).await,
            _ => {}
        }
        // Refusing because of the name, in the middle of the body, is the script's.
        let hang_up = |name: &str| {
            let reset = settings.script && script::find(name).is_some_and(|line| line.act == Act::Reset);
            reset && self.books.play(script::stem(name)) == 1
        };
        let form = match form::take(parts, body, settings.max_file_bytes, hang_up).await {
            Ok(Taken::Whole(form)) => form,
            Ok(Taken::HungUp) => return Outcome::Cut,
            Err(refusal) => return Outcome::Refused(refusal, settings.contract),
        };
        match self.work(model, settings, form).await {
            Ok((payload, fault)) => Outcome::Good(payload, fault),
            Err(Stop::Refused(refusal)) => Outcome::Refused(refusal, settings.contract),
            Err(Stop::RefusedAs(refusal, contract)) => Outcome::Refused(refusal, contract),
            Err(Stop::Cut) => Outcome::Cut,
        }
    }

    /// Everything after the body is there.
    async fn work(
        &self,
        model: Model,
        settings: &Settings,
        mut form: Form,
    ) -> Result<(Payload, Option<Fault>), Stop> {
        let upload = form.file.take().ok_or(Refusal::MissingFile)?;
        let sha256 = upload.hex();
        let times = self.books.received(model.name(), &sha256, upload.bytes);
        let act = self.rehearsed(settings, &upload.name);
        let mut fault = match scripted(act)? {
            Some(fault) => Some(fault),
            None => settings.faults.after_body(model.name(), &upload.sha256, times),
        };
        if fault.is_some_and(|fault| fault != Fault::Stall) {
            self.books.spoiled();
        }
        let file_name = upload.name.clone();
        let options = Options::read(model, &form);
        let audio = self.judge(model, settings, upload).await?;
        let options = options.map_err(|refusal| refusal.located(settings.shape.located_flaws))?;
        let sound = audio.sound.ok_or(Refusal::Undecodable)?;
        if options.training && model.fields().contains(&"training_permitted") {
            self.books.training_permitted();
        }
        if model == Model::SyntheticVoice && sound.duration_ms < SHORTEST_VOICE_MS {
            return Err(Refusal::TooShort.into());
        }
        if let Some(failed) = fault.and_then(failure) {
            return Err(failed.into());
        }
        let modelled = settings.latency.modelled(model.name(), Duration::from_millis(sound.duration_ms));
        if let Some(limit) = settings.time_limit.filter(|limit| modelled > *limit) {
            pause(settings.latency.scaled(limit)).await;
            return Err(Refusal::TimedOut.into());
        }
        // From here on it is paid for, even if the client leaves: that is the expensive case to prepare for.
        self.books.bill(model.name(), &sha256, sound.duration_ms);
        pause(settings.latency.scaled(modelled)).await;
        if act == Act::Slow || fault == Some(Fault::Stall) {
            pause(settings.faults.stall_for).await;
            fault = None;
        }
        self.wait_at_the_gate(model.name()).await;
        if fault == Some(Fault::ResetAfterBody) {
            return Err(Stop::Cut);
        }
        let mut transcript = match settings.shape.where_loud {
            true => Transcript::where_loud(&sound.loud_ms),
            false => Transcript::of(&sha256, sound.duration_ms),
        };
        transcript.play(act);
        let basis = Basis {
            contract: settings.contract,
            shape: settings.shape,
            options: &options,
            file_name: &file_name,
            sha256: &sha256,
            sound: &sound,
            transcript: &transcript,
        };
        let mut json = answer::answer(model, &basis);
        if act == Act::Half {
            json["duration_ms"] = (sound.duration_ms / 2).into();
        }
        if act == Act::Foreign {
            for said in json["utterances"].as_array_mut().into_iter().flatten() {
                said["language"] = "xx".into();
            }
        }
        let payload = match model {
            Model::Redaction => {
                Payload::redaction(&json, sound.duration_ms, basis.ranges(), &sha256, settings.shape)
            }
            _ => Payload::json(&json),
        };
        Ok((payload, fault))
    }

    /// Name, emptiness, content: what the file itself is refused for.
    async fn judge(&self, model: Model, settings: &Settings, upload: Upload) -> Result<Audio, Refusal> {
        let format = model.accepts(&upload.name, settings.vfast_only_opus);
        let Upload { declared, bytes, sha256, content, .. } = upload;
        let octet_stream = declared.as_deref().is_none_or(|mime| mime == "application/octet-stream");
        let Some(format) = format else { return Err(Refusal::Format) };
        if bytes == 0 {
            return Err(Refusal::Empty);
        }
        let audio = self.ear.judge(sha256, content).await;
        let fits = declared.is_some_and(|mime| format.fits(&mime, audio.content));
        self.books.declared(!fits, octet_stream);
        if settings.strict_mime && !fits { Err(Refusal::Undecodable) } else { Ok(audio) }
    }

    /// What the script has for this name, this time.
    fn rehearsed(&self, settings: &Settings, file_name: &str) -> Act {
        match script::find(file_name) {
            // A reset was counted when its name came in, and is over.
            Some(line) if settings.script && line.act != Act::Reset => {
                if self.books.play(script::stem(file_name)) <= line.times { line.act } else { Act::Nothing }
            }
            _ => Act::Nothing,
        }
    }

    /// Waits while answers are held back.
    pub(super) async fn wait_at_the_gate(&self, model: &'static str) {
        let mut gate = self.gate.subscribe();
        if !*gate.borrow() {
            return;
        }
        let _held = Held::new(&self.books, model);
        // The sender lives as long as the desk, so this cannot fail.
        let _ = gate.wait_for(|closed| !closed).await;
    }
}

/// Counts one who waits, also when the client leaves meanwhile.
struct Held<'a>(&'a Books, &'static str);

impl<'a> Held<'a> {
    fn new(books: &'a Books, model: &'static str) -> Self {
        books.held(model, true);
        Held(books, model)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held(self.1, false);
    }
}

/// The streaming endpoint that shares a model's limits, if any does.
fn kin(settings: &Settings, model: Model) -> Option<&'static str> {
    settings.sockets.share_with_batch.then(|| Stream::of(model).map(Stream::name)).flatten()
}

/// A key in a header, and what it may use.
fn by_header(settings: &Settings, model: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
    identify(settings, model, key, headers.contains_key(header::USER_AGENT))
}

/// The key and what it may use.
pub(super) fn identify(
    settings: &Settings,
    model: &str,
    key: Option<&[u8]>,
    user_agent: bool,
) -> Result<(), Refusal> {
    if settings.refuse_missing_user_agent && !user_agent {
        return Err(Refusal::MissingUserAgent);
    }
    let key = key.ok_or(Refusal::MissingKey)?;
    if !settings.keys.iter().any(|known| known.as_bytes() == key) {
        return Err(Refusal::BadKey);
    }
    if settings.limits(model).enabled { Ok(()) } else { Err(Refusal::ModelNotEnabled) }
}

/// An early refusal. Unless told otherwise the body stays unread, so a client may meet a closed connection
/// where it expects to go on sending.
async fn turn_away(settings: &Settings, refusal: Refusal, body: Body) -> Outcome {
    if settings.drain_before_refusing {
        let mut body = body.into_data_stream();
        while let Some(Ok(_)) = body.next().await {}
    }
    Outcome::Refused(refusal, settings.contract)
}

/// A script's act as a refusal or as a fault of the answer.
fn scripted(act: Act) -> Result<Option<Fault>, Stop> {
    Err(match act {
        Act::Busy => Refusal::Concurrency.into(),
        Act::Overloaded => Refusal::Overloaded.into(),
        Act::Internal => Refusal::Internal.into(),
        Act::BadGateway => Refusal::BadGateway.into(),
        Act::TimedOut => Refusal::TimedOut.into(),
        Act::Html => Refusal::HtmlBadGateway.into(),
        Act::Undecodable => Refusal::Undecodable.into(),
        // The only generation with a 413.
        Act::TooBig => Stop::RefusedAs(Refusal::TooBig, Contract::C),
        Act::AnswerLost => return Ok(Some(Fault::ResetAfterBody)),
        Act::Truncated => return Ok(Some(Fault::TruncatedJson)),
        Act::Nothing
        | Act::NoSpeech
        | Act::Half
        | Act::Stuck
        | Act::Babble
        | Act::Foreign
        | Act::Slow
        | Act::Reset => return Ok(None),
    })
}

/// A fault that is an answer by itself.
pub(super) fn failure(fault: Fault) -> Option<Refusal> {
    Some(match fault {
        Fault::Status(500) => Refusal::Internal,
        Fault::Status(502) => Refusal::BadGateway,
        Fault::Status(503) => Refusal::Overloaded,
        Fault::Status(504) => Refusal::TimedOut,
        Fault::HtmlError => Refusal::HtmlBadGateway,
        _ => return None,
    })
}

pub(super) async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// A refusal in the words of a contract.
pub(super) fn refuse(settings: &Settings, contract: Contract, model: Model, refusal: &Refusal) -> Response {
    let voice_403 = settings.svd_limits_as_403.unwrap_or(contract == Contract::A);
    let said = refusal.say(contract, model, voice_403);
    let (kind, body) = match said.body {
        Words::Detail(detail) => {
            ("application/json", serde_json::json!({ "detail": detail }).to_string().into())
        }
        Words::Html(page) => ("text/html", Bytes::from_static(page.as_bytes())),
    };
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    if let (true, Some(seconds)) = (refusal.says_when(), settings.faults.retry_after_s) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Sends a good answer, spoilt if need be. The slot is given back with the last piece, so that a client that has
/// seen the end finds it free.
fn deliver(payload: Payload, fault: Option<Fault>, slot: Option<Slot>) -> Response {
    let whole = payload.bytes();
    let (announced, sent) = match fault {
        Some(Fault::TruncatedJson) => (whole / 2, whole / 2),
        Some(Fault::ResetInAnswer) => (whole, whole / 2),
        Some(Fault::Empty200) => (0, 0),
        _ => (whole, whole),
    };
    let kind = payload.content_type.clone();
    let mut chunks = payload.chunks(sent).peekable();
    let mut slot = slot;
    let broken = announced != sent;
    let mut ended = false;
    let pieces = futures_util::stream::poll_fn(move |cx| {
        use std::task::Poll;
        let chunk = chunks.next();
        if chunks.peek().is_none() && !broken {
            slot.take();
        }
        match chunk {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None if broken && !ended => {
                // Once round the server's loop first, so that what was sent so far leaves the house.
                ended = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None if broken => {
                Poll::Ready(Some(Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))))
            }
            None => Poll::Ready(None),
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(announced));
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}
