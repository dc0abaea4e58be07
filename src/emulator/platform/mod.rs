//! The Platform API: jobs instead of answers. Three documents describe it and do not fit together; what two of them
//! share is served at `/api_service`, in either encoding, the third at `/jobs`. All of it is a guess that a client
//! can be tried against, and no more.

mod jobs;
mod settings;
mod source;
mod submission;

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;
use tokio::time::Instant;

use super::desk::Desk;
use super::form::hex;
use jobs::{File, Job, Jobs, Not};
pub use settings::Platform;
use submission::{Submission, SubmittedFile};

/// The name under which the books keep it.
pub(super) const NAME: &str = "platform";

/// The media type of the third description.
const MEDIA_TYPE: &str = "application/vnd.modulate.v0+json";

/// Results on a page of the third description.
const PER_PAGE: usize = 25;

/// A refusal; the bodies of errors are in no document, so they are like everyone's.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl Refused {
    fn new(status: StatusCode, words: &str) -> Refused {
        Refused(status, words.to_owned())
    }
}

impl From<Not> for Refused {
    fn from(not: Not) -> Self {
        match not {
            Not::Found => Refused::new(StatusCode::NOT_FOUND, "Job not found."),
            Not::Open => Refused::new(StatusCode::CONFLICT, "The job is finalized."),
        }
    }
}

/// The jobs there are.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Jobs>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Jobs change in single steps; a panic elsewhere leaves none half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/api_service", post(submit))
        .route("/api_service/job_status/{id}", get(job_status))
        .route("/jobs", post(begin))
        .route("/job/{id}", get(state).patch(finalize))
        .route("/job/{id}/sources/media-files", post(add))
        .route("/job/{id}/sources/streams/{alias}", get(source::stream))
        .route("/job/{id}/results", get(results))
}

/// Any answer of it, counted.
async fn answered(
    desk: &Desk,
    headers: &HeaderMap,
    answer: impl Future<Output = Result<(StatusCode, Value), Refused>>,
) -> Response {
    let visit = desk.books.arrive(NAME, headers.contains_key(header::USER_AGENT));
    let (status, body) = match answer.await {
        Ok(good) => good,
        Err(Refused(status, words)) => (status, json!({ "detail": words })),
    };
    visit.answered(status.as_u16());
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The same in the third description's media type.
async fn answered_v0(
    desk: &Desk,
    headers: &HeaderMap,
    answer: impl Future<Output = Result<(StatusCode, Value), Refused>>,
) -> Response {
    let mut response = answered(desk, headers, answer).await;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The account, by its two headers.
fn by_headers(desk: &Desk, headers: &HeaderMap) -> Result<String, Refused> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    identify(desk, text("accountuuid"), text("apikey"))
}

/// The account, by HTTP Basic.
fn by_password(desk: &Desk, headers: &HeaderMap) -> Result<String, Refused> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let decoded = value.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (account, key) = pair.split_once(':').unwrap_or_default();
    identify(desk, account, key)
}

fn identify(desk: &Desk, account: &str, key: &str) -> Result<String, Refused> {
    let settings = desk.settings();
    let known = |list: &[String], word: &str| list.iter().any(|known| known == word);
    if !known(&settings.platform.accounts, account) || !known(&settings.keys, key) {
        return Err(Refused::new(StatusCode::UNAUTHORIZED, "Invalid API key."));
    }
    match desk.books.check_credits() {
        Ok(()) => Ok(account.to_owned()),
        Err(_) => Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "Insufficient credits.")),
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

async fn submit(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let headers = request.headers().clone();
    answered(&desk, &headers, async {
        let account = by_headers(&desk, &headers)?;
        let settings = desk.settings();
        let submission = Submission::read(request, settings.platform.max_file_bytes).await?;
        if submission.realtime {
            let id = new_id();
            let url = format!("wss://127.0.0.1/api_service/realtime/{id}");
            return Ok((StatusCode::OK, json!({ "job_id": id, "realtime_url": url })));
        }
        let id = job_of(&desk, &settings.platform, &account, &submission)?;
        if let Some(file) = submission.file {
            let file = judge(&desk, file, submission.emotion).await;
            desk.jobs.lock().of(&id, &account)?.add(file)?;
        }
        // A file without a job id is a job by itself, unless it says that more will come.
        if submission.finalize.unwrap_or(submission.job_id.is_none()) {
            desk.jobs.lock().of(&id, &account)?.finalize(Instant::now());
        }
        let reply = json!({
            "job_id": id,
            "status": "processing",
            "api_calls_charged": 1 + u64::from(submission.emotion) + u64::from(submission.demographics),
            "estimated_processing_time": "30-60 seconds",
        });
        Ok((StatusCode::OK, reply))
    })
    .await
}

/// The job that a submission belongs to, begun if need be.
fn job_of(
    desk: &Desk,
    settings: &Platform,
    account: &str,
    submission: &Submission,
) -> Result<String, Refused> {
    let mut jobs = desk.jobs.lock();
    let empty = submission.file.is_none();
    match &submission.job_id {
        Some(id) if jobs.known(id) => {
            jobs.of(id, account)?.open()?;
            Ok(id.clone())
        }
        Some(_) if !settings.foreign_job_ids => Err(Not::Found.into()),
        _ if empty => Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "A file is required.")),
        chosen => {
            let id = chosen.clone().unwrap_or_else(new_id);
            jobs.begin(&id, account);
            Ok(id)
        }
    }
}

/// What can be known of a file; it is billed like any other.
async fn judge(desk: &Desk, file: SubmittedFile, emotion: bool) -> File {
    let digest: [u8; 32] = Sha256::digest(&file.bytes).into();
    let sha256 = hex(&digest);
    desk.books.received(NAME, &sha256, file.bytes.len() as u64);
    let mut content = SpooledTempFile::new(file.bytes.len() + 1);
    // In memory, where writing does not fail; if it did, the file would be unusable and said to be so.
    let _ = content.write_all(&file.bytes);
    let duration_ms = desk.ear.judge(digest, content).await.sound.map(|sound| sound.duration_ms);
    if let Some(audio_ms) = duration_ms {
        desk.books.bill(NAME, &sha256, audio_ms);
    }
    File { name: file.name, sha256, duration_ms, emotion }
}

async fn job_status(State(desk): State<Arc<Desk>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answered(&desk, &headers, async {
        let account = by_headers(&desk, &headers)?;
        let settings = desk.settings();
        let mut jobs = desk.jobs.lock();
        let job = jobs.of(&id, &account)?;
        let status = job.look(&settings.platform, Instant::now());
        let mut reply = json!({ "job_id": id, "status": status });
        if status == settings.platform.failed {
            reply["error"] = json!("The audio could not be processed.");
        }
        if status == settings.platform.completed {
            let results = job.results();
            if let [only] = &results[..] {
                reply["transcript"] = only["transcript"].clone();
            }
            reply["results"] = json!(results);
        }
        Ok((StatusCode::OK, reply))
    })
    .await
}

async fn begin(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    answered_v0(&desk, &headers, async {
        let account = by_password(&desk, &headers)?;
        let id = new_id();
        desk.jobs.lock().begin(&id, &account);
        Ok((StatusCode::CREATED, json!({ "job_id": id, "state": jobs::OPEN })))
    })
    .await
}

async fn add(State(desk): State<Arc<Desk>>, Path(id): Path<String>, request: Request) -> Response {
    let headers = request.headers().clone();
    answered_v0(&desk, &headers, async {
        let account = by_password(&desk, &headers)?;
        desk.jobs.lock().of(&id, &account)?.open()?;
        let limit = desk.settings().max_file_bytes;
        let Some(file) = Submission::read(request, limit).await?.file else {
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "A file is required."));
        };
        let file = judge(&desk, file, false).await;
        desk.jobs.lock().of(&id, &account)?.add(file)?;
        Ok((StatusCode::CREATED, json!({ "job_id": id })))
    })
    .await
}

/// The third description's words for how far a job is.
fn state_of(job: &mut Job, settings: &Platform) -> &'static str {
    let word = job.look(settings, Instant::now());
    match () {
        () if word == jobs::OPEN => "active",
        () if word == settings.completed => "finalized",
        () if word == settings.failed => "failed",
        () => "finalizing",
    }
}

async fn state(State(desk): State<Arc<Desk>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answered_v0(&desk, &headers, async {
        let account = by_password(&desk, &headers)?;
        let settings = desk.settings();
        let state = state_of(desk.jobs.lock().of(&id, &account)?, &settings.platform);
        Ok((StatusCode::OK, json!({ "job_id": id, "state": state })))
    })
    .await
}

async fn finalize(State(desk): State<Arc<Desk>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answered_v0(&desk, &headers, async {
        let account = by_password(&desk, &headers)?;
        desk.jobs.lock().of(&id, &account)?.finalize(Instant::now());
        Ok((StatusCode::OK, json!({ "job_id": id, "state": "finalizing" })))
    })
    .await
}

/// Where a page begins.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    cursor: usize,
}

async fn results(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Response {
    answered_v0(&desk, &headers, async {
        let account = by_password(&desk, &headers)?;
        let settings = desk.settings();
        let mut jobs = desk.jobs.lock();
        let job = jobs.of(&id, &account)?;
        if !matches!(state_of(job, &settings.platform), "finalized" | "failed") {
            return Err(Refused::new(StatusCode::CONFLICT, "The job is not finalized."));
        }
        let all = job.results();
        let at = |cursor: usize| format!("/job/{id}/results?cursor={cursor}");
        let data: Vec<_> = all.iter().skip(page.cursor).take(PER_PAGE).collect();
        let reply = json!({
            "data": data,
            "meta": { "total_count": all.len(), "per_page": PER_PAGE },
            "links": {
                "prev": (page.cursor > 0).then(|| at(page.cursor.saturating_sub(PER_PAGE))),
                "self": at(page.cursor),
                "next": (page.cursor.saturating_add(PER_PAGE) < all.len()).then(|| at(page.cursor + PER_PAGE)),
            },
        });
        Ok((StatusCode::OK, reply))
    })
    .await
}
