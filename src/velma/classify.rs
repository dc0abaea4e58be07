//! What an answer, or the lack of one, means. The only place that reads status codes and the API's words.
//!
//! Three ages of the API use the same status for different causes, so the words come first and the status second;
//! what neither settles becomes a doubt, and an experiment tells (`task::doubt`).
//!
//! Longer than 500 lines by intent: it is the only table, and is read as one.
//!
//! | status | words | verdict |
//! |---|---|---|
//! | any error | credits · monthly · concurrency · key · model · "not permitted" | halt · halt · throttled · doubt · halt · doubt |
//! | 200 | readable / not | success / transient |
//! | 3xx 404 405 407 410 | – | halt: configuration |
//! | 400 415 422 | about the file / the job / neither | the file's fault / halt / doubt |
//! | 400 422 | a list about our header / our fields | halt: key / halt: configuration |
//! | 401 · 402 · 403 · 408 | – | doubt · halt: credits · doubt · transient |
//! | 413 | – | the file's fault |
//! | 429 | – | doubt |
//! | 5xx | – | transient |
//! | other 4xx | – | doubt |
//!
//! A stream that the server ends without an answer has, in the place of a status, the code that it was closed with:
//!
//! | code | words | verdict |
//! |---|---|---|
//! | any | as above; "unable to validate", "unable to complete" | as above; transient |
//! | 1000 without `done`, 1001, 1006, 1011, 1012 | – | transient |
//! | 1013 | – | transient: overloaded |
//! | 1003 1007 1008 1009 1010 | about the file or its format / the job / neither | the file's fault / halt / doubt |
//! | 4001 · 4002 · 4003 · 4004 | – | doubt · the file's fault · doubt · halt: model |
//! | 4029 · 4030 · 4031 | – | doubt · throttled · halt: monthly hours |
//! | other | – | doubt |

use std::time::Duration;

use serde_json::Value;

use super::platform::State;
use super::{Answer, Exchange, TransportError, read};
use crate::task::{Answers, Billed, Cause, Doubt, Endpoint, Failure, HaltReason, Probe, Verdict};

#[cfg(test)]
mod tests;

/// Says what came of a try.
pub fn classify(endpoint: Endpoint, exchange: &Exchange) -> Verdict {
    // A stream is worked on while it arrives.
    let worked_on = match endpoint.is_streaming() {
        true => exchange.bytes_sent > 0,
        false => exchange.body_sent,
    };
    match &exchange.outcome {
        Err(TransportError::BrokenWhileSending(why)) if endpoint.is_streaming() => {
            // On a stream a refusal would have come with its words: we listen while we send.
            let billed = if worked_on { Billed::Unknown } else { Billed::No };
            let failure = Failure::local(Cause::Connection, format!("the connection broke: {why}"));
            Verdict::Transient(Failure { billed, ..failure })
        }
        Err(error) => lost(error, worked_on),
        Ok(answer) if is_good(answer) => succeeded(endpoint, answer, exchange.body_sent),
        Ok(answer) if answer.status >= FIRST_CLOSE_CODE => closed(endpoint, answer, worked_on),
        Ok(answer) => refused(endpoint, answer, worked_on),
    }
}

/// Statuses of HTTP end before it.
const FIRST_CLOSE_CODE: u16 = 1000;

/// Says what the free call found.
pub(super) fn probed(status: u16, body: &[u8]) -> Probe {
    let words = Words::read(body);
    match status {
        200..300 => Probe::Accepted,
        _ if words.account() == Some(Account::Credits) => Probe::NoCredits,
        401 | 403 => Probe::Refused,
        _ if words.blames_key_header() => Probe::Refused,
        _ => Probe::Unreachable,
    }
}

/// Says what asking for a job that nobody has found: that there is none is said to those only who may ask.
pub(super) fn probed_by_job(status: u16, body: &[u8]) -> Probe {
    match status {
        404 if Words::read(body).account().is_none() => Probe::Accepted,
        _ => probed(status, body),
    }
}

/// Whether an answer is no refusal.
pub(super) fn is_good(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// What a look at a job of the Platform API showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It goes on, or cannot be seen for a reason that passes; perhaps the service says when to look again.
    Again(Option<Duration>),
    /// The service does not know it.
    Missing,
    /// It has ended, or a refusal that does not pass.
    Ended,
}

/// Says whether to look again.
pub(super) fn look(look: &Result<Answer, TransportError>) -> Look {
    let answer = match look {
        Ok(answer) => answer,
        Err(TransportError::Unsendable(_)) => return Look::Ended,
        Err(_) => return Look::Again(None),
    };
    match answer.status {
        200..300 => match State::read(&answer.body) {
            Some(State::Done | State::Failed(_)) => Look::Ended,
            // Also what cannot be read: the next answer may be whole.
            Some(State::Going(_)) | None => Look::Again(None),
        },
        404 => Look::Missing,
        // Whoever is out of credits is so for longer.
        429 if Words::read(&answer.body).account() == Some(Account::Credits) => Look::Ended,
        408 | 425 | 429 | 500.. => Look::Again(answer.retry_after),
        _ => Look::Ended,
    }
}

/// How a job ended that had been accepted and charged for.
fn job_ended(answer: &Answer) -> Option<Verdict> {
    let fault = |cause, message: String, billed| {
        Some(Verdict::FileFault(Failure::answered(cause, answer.status, message, billed)))
    };
    match State::read(&answer.body)? {
        State::Done => None,
        State::Failed(words) => {
            let cause = Words::Text(words.clone()).about_file().unwrap_or(Cause::RequestRefused);
            fault(cause, words, Billed::Yes)
        }
        State::Going(word) => {
            fault(Cause::Timeout, format!("the job had not ended in time; it is {word}"), Billed::Unknown)
        }
    }
}

/// No answer: what was sent decides what it may have cost.
fn lost(error: &TransportError, body_sent: bool) -> Verdict {
    let perhaps = if body_sent { Billed::Unknown } else { Billed::No };
    let failure = |cause, billed| Failure { billed, ..Failure::local(cause, error.to_string()) };
    match error {
        TransportError::Connect(_) => Verdict::Transient(failure(Cause::Connection, Billed::No)),
        TransportError::Unsendable(_) => Verdict::FileFault(failure(Cause::RequestRefused, Billed::No)),
        TransportError::SourceChanged(_) => Verdict::Transient(failure(Cause::SourceChanged, perhaps)),
        TransportError::Undecodable(_) => Verdict::FileFault(failure(Cause::UnreadableAudio, perhaps)),
        TransportError::SourceRead(_) => Verdict::Transient(failure(Cause::SourceUnreadable, perhaps)),
        TransportError::Stalled => Verdict::Transient(failure(Cause::Stalled, perhaps)),
        TransportError::Timeout { .. } => Verdict::Transient(failure(Cause::Timeout, perhaps)),
        // Over HTTP/1.1 an early "too many" often arrives as nothing but a closed connection.
        TransportError::BrokenWhileSending(_) => Verdict::Throttled(failure(Cause::Connection, Billed::No)),
        TransportError::AnswerLost(_) => Verdict::Transient(failure(Cause::AnswerLost, Billed::Unknown)),
        // It would be as large the next time, and paid for again.
        TransportError::TooLarge(_) => Verdict::FileFault(failure(Cause::BadAnswer, Billed::Unknown)),
        TransportError::Storage(_) => Verdict::Transient(failure(Cause::LocalStorage, Billed::Yes)),
        // As with any answer that is lost: it may be had again, and paid for again.
        TransportError::JobGone => Verdict::Transient(failure(Cause::AnswerLost, Billed::Unknown)),
        TransportError::Aborted => Verdict::Stopped(failure(Cause::Interrupted, perhaps)),
    }
}

fn succeeded(endpoint: Endpoint, answer: &Answer, body_sent: bool) -> Verdict {
    if endpoint.works_by_jobs()
        && let Some(verdict) = job_ended(answer)
    {
        return verdict;
    }
    let problem = match read(endpoint, answer) {
        Ok(_) if body_sent => return Verdict::Success,
        Ok(_) => "it came before the whole file was sent".to_owned(),
        Err(unreadable) => unreadable.to_string(),
    };
    let message = format!("the answer cannot be used: {problem}");
    Verdict::Transient(Failure::answered(Cause::BadAnswer, answer.status, message, Billed::Unknown))
}

fn refused(endpoint: Endpoint, answer: &Answer, body_sent: bool) -> Verdict {
    let words = Words::read(&answer.body);
    let failure = |cause| {
        // A 5xx can come after the work was done; it has been seen to cost credits.
        let billed = if answer.status >= 500 && body_sent { Billed::Unknown } else { Billed::No };
        let failure = Failure::answered(cause, answer.status, words.message(), billed);
        Failure { retry_after: answer.retry_after, ..failure }
    };
    let halted = |reason: HaltReason| Verdict::Halted(reason, failure(reason.cause()));
    let unclear = |doubt| Verdict::Unclear(doubt, failure(doubt_cause(doubt)));
    let about_content = matches!(answer.status, 400 | 413 | 415 | 422);

    match words.account() {
        Some(Account::Credits) => return halted(HaltReason::Credits),
        // Voice detection says "quota exceeded" for too many at once as well.
        Some(Account::Quota) if endpoint.answers() == Answers::Frames && answer.status == 403 => {
            return unclear(Doubt::Quota);
        }
        Some(Account::Monthly | Account::Quota) => return halted(HaltReason::MonthlyHours),
        Some(Account::Concurrency) => return Verdict::Throttled(failure(Cause::Throttled)),
        Some(Account::Key) => return unclear(Doubt::Key),
        Some(Account::Model) if !about_content => return halted(HaltReason::ModelNotEnabled),
        Some(Account::Opaque) if !matches!(answer.status, 401 | 429 | 500..) => {
            return unclear(Doubt::Opaque);
        }
        Some(Account::Model | Account::Opaque) | None => {}
    }
    match answer.status {
        // Followed, a redirect would take the recording elsewhere.
        0..400 => {
            let message = "the address leads elsewhere, and redirects are not followed: check base_url";
            let cause = HaltReason::ConfigRefused.cause();
            let failure = Failure::answered(cause, answer.status, message, Billed::No);
            Verdict::Halted(HaltReason::ConfigRefused, failure)
        }
        404 | 405 | 407 | 410 => halted(HaltReason::ConfigRefused),
        400 | 415 | 422 => {
            if words.blames_key_header() {
                return halted(HaltReason::KeyRefused);
            }
            if words.is_list() || words.about_job() {
                return halted(HaltReason::ConfigRefused);
            }
            match words.about_file() {
                Some(cause) => Verdict::FileFault(failure(cause)),
                None if answer.status == 415 => {
                    Verdict::Unclear(Doubt::Request, failure(Cause::UnsupportedFormat))
                }
                // An unknown complaint may be about this file or about every file: the next ones will tell.
                None => unclear(Doubt::Request),
            }
        }
        401 => unclear(Doubt::Key),
        402 => halted(HaltReason::Credits),
        403 if words.is_json() => unclear(Doubt::Opaque),
        403 => unclear(Doubt::Blocked),
        408 => {
            let billed = if body_sent { Billed::Unknown } else { Billed::No };
            Verdict::Transient(Failure { billed, ..failure(Cause::Timeout) })
        }
        413 => Verdict::FileFault(failure(Cause::TooBig)),
        429 => unclear(Doubt::Throttle),
        503 => Verdict::Transient(failure(Cause::Overloaded)),
        504 => Verdict::Transient(failure(Cause::ServerTimeout)),
        500.. => Verdict::Transient(failure(Cause::ServerError)),
        // Nothing that is known says this: a proxy, or a new rule. One file does not tell.
        _ => unclear(Doubt::Request),
    }
}

/// A stream that the server ended without an answer.
fn closed(endpoint: Endpoint, answer: &Answer, worked_on: bool) -> Verdict {
    let words = Words::read(&answer.body);
    let perhaps = if worked_on { Billed::Unknown } else { Billed::No };
    let failure = |cause, billed| Failure::answered(cause, answer.status, words.message(), billed);
    let halted = |reason: HaltReason| Verdict::Halted(reason, failure(reason.cause(), Billed::No));
    let unclear = |doubt| Verdict::Unclear(doubt, failure(doubt_cause(doubt), Billed::No));
    let transient = |cause| Verdict::Transient(failure(cause, perhaps));
    let code = answer.status;
    // The code for too much has had three meanings, and each generation had other words for them.
    let is_limit = code == 4029;
    match words.account() {
        Some(Account::Credits) => return halted(HaltReason::Credits),
        Some(Account::Quota) if endpoint.answers() == Answers::Frames && code == 4003 => {
            return unclear(Doubt::Quota);
        }
        Some(Account::Monthly | Account::Quota) => return halted(HaltReason::MonthlyHours),
        Some(Account::Concurrency) => return Verdict::Throttled(failure(Cause::Throttled, Billed::No)),
        Some(Account::Key) => return unclear(Doubt::Key),
        Some(Account::Model) => return halted(HaltReason::ModelNotEnabled),
        Some(Account::Opaque) if !is_limit => return unclear(Doubt::Opaque),
        Some(Account::Opaque) | None => {}
    }
    if words.about_server() {
        return transient(Cause::ServerError);
    }
    match code {
        1003 | 1007..=1010 | 4002 => match words.about_file() {
            Some(cause) => Verdict::FileFault(failure(cause, Billed::No)),
            None if code == 4002 => Verdict::FileFault(failure(Cause::UnreadableAudio, Billed::No)),
            // What a stream says of its sound differs from file to file.
            None if words.about_format() => Verdict::FileFault(failure(Cause::UnsupportedFormat, Billed::No)),
            None if words.about_job() => halted(HaltReason::ConfigRefused),
            None => unclear(Doubt::Request),
        },
        1000 | 1001 | 1005 | 1006 => transient(Cause::AnswerLost),
        1013 => transient(Cause::Overloaded),
        1002 | 1011..=1015 => transient(Cause::ServerError),
        4001 => unclear(Doubt::Key),
        4003 => unclear(Doubt::Opaque),
        4004 => halted(HaltReason::ModelNotEnabled),
        4029 => unclear(Doubt::Throttle),
        4030 => Verdict::Throttled(failure(Cause::Throttled, Billed::No)),
        4031 => halted(HaltReason::MonthlyHours),
        _ => unclear(Doubt::Request),
    }
}

/// The cause under which a doubt is recorded, should it be settled as what it most likely is.
fn doubt_cause(doubt: Doubt) -> Cause {
    match doubt {
        Doubt::Throttle => Cause::Throttled,
        Doubt::Request => Cause::RequestRefused,
        Doubt::Key | Doubt::Opaque | Doubt::Quota | Doubt::Blocked => Cause::Unclear,
    }
}

/// What the words say about the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Credits,
    Monthly,
    Quota,
    Concurrency,
    Key,
    Model,
    Opaque,
}

/// In the order in which they are tested: a text about a limit often names the model as well.
const ACCOUNT: &[(Account, &[&str])] = &[
    (Account::Credits, &["insufficient credits"]),
    (
        Account::Monthly,
        &["monthly usage limit", "monthly limit", "usage limit reached", "usage limit exceeded"],
    ),
    (Account::Quota, &["quota exceeded"]),
    (Account::Concurrency, &["concurrent request", "too many concurrent"]),
    (Account::Key, &["invalid api key", "invalid_api_key", "missing api_key", "missing api key"]),
    (Account::Model, &["does not have access to this model", "not enabled"]),
    (Account::Opaque, &["request is not permitted"]),
];

const FILE: &[(Cause, &[&str])] = &[
    (
        Cause::UnsupportedFormat,
        &["unsupported file format", "invalid file format", "unsupported file extension"],
    ),
    (
        Cause::UnreadableAudio,
        &["could not be processed", "could not decode", "invalid input audio", "does not match the declared"],
    ),
    (Cause::TooShort, &["too short"]),
    (Cause::TooBig, &["too large"]),
    (Cause::Empty, &["empty"]),
];

const JOB: &[&str] = &[
    // A host that speaks the old contract of the fast model refuses every other format.
    "only .opus",
    "invalid configuration",
    "invalid behavior preset",
    "invalid language",
    "invalid audio_format",
    "invalid sample_rate",
    "invalid num_channels",
];

/// Of a job whose requests are all alike; a stream says of each recording what it is.
const FORMAT: &[&str] =
    &["invalid audio_format", "invalid sample_rate", "invalid num_channels", "audio_format"];

/// Said of streams under codes that mean something else.
const SERVER: &[&str] = &[
    "unable to validate",
    "unable to complete",
    "internal server error",
    "temporarily unavailable",
    "timed out",
    "overloaded",
];

/// The text of a refusal, in any of the shapes that it comes in.
#[derive(Debug)]
enum Words {
    /// `{"detail": "…"}`, or another JSON value.
    Text(String),
    /// `{"detail": [{"loc": …, "msg": …}]}`: where each complaint points, and what it says.
    List(Vec<(Vec<String>, String)>),
    /// Not JSON, and not a page.
    Plain(String),
    /// HTML, most likely of something in between; its title.
    Page(String),
    /// Nothing.
    None,
}

impl Words {
    fn read(body: &[u8]) -> Words {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        match serde_json::from_str::<Value>(text) {
            Ok(value) => Words::of_json(value),
            Err(_) if text.is_empty() => Words::None,
            Err(_) if text.starts_with('<') => Words::Page(title(text)),
            Err(_) => Words::Plain(text.to_owned()),
        }
    }

    fn of_json(value: Value) -> Words {
        let inner = match value {
            Value::Object(mut envelope) => ["detail", "error", "message"]
                .iter()
                .find_map(|key| envelope.remove(*key))
                .unwrap_or(Value::Object(envelope)),
            other => other,
        };
        match inner {
            Value::String(text) => Words::Text(text),
            Value::Array(list) if !list.is_empty() => Words::List(list.iter().map(complaint).collect()),
            Value::Object(inner) => match inner.get("message").or_else(|| inner.get("msg")) {
                Some(Value::String(text)) => Words::Text(text.clone()),
                _ => Words::Text(Value::Object(inner).to_string()),
            },
            other => Words::Text(other.to_string()),
        }
    }

    fn account(&self) -> Option<Account> {
        let text = self.lower();
        ACCOUNT.iter().find(|(_, markers)| markers.iter().any(|m| text.contains(m))).map(|(kind, _)| *kind)
    }

    fn about_file(&self) -> Option<Cause> {
        let text = self.lower();
        FILE.iter().find(|(_, markers)| markers.iter().any(|m| text.contains(m))).map(|(cause, _)| *cause)
    }

    fn about_job(&self) -> bool {
        self.holds(JOB)
    }

    fn about_format(&self) -> bool {
        self.holds(FORMAT)
    }

    fn about_server(&self) -> bool {
        self.holds(SERVER)
    }

    fn holds(&self, markers: &[&str]) -> bool {
        let text = self.lower();
        markers.iter().any(|marker| text.contains(marker))
    }

    /// What a marker is looked for in. A page is not the API's, whatever words it holds.
    fn lower(&self) -> String {
        match self {
            Words::Text(text) | Words::Plain(text) => text.to_lowercase(),
            Words::List(_) | Words::Page(_) | Words::None => String::new(),
        }
    }

    fn is_json(&self) -> bool {
        matches!(self, Words::Text(_) | Words::List(_))
    }

    fn is_list(&self) -> bool {
        matches!(self, Words::List(_))
    }

    fn blames_key_header(&self) -> bool {
        let Words::List(list) = self else { return false };
        list.iter().any(|(at, _)| {
            let is_key = |step: &String| step.to_lowercase().replace('_', "-") == "x-api-key";
            at.first().is_some_and(|first| first == "header") && at.iter().any(is_key)
        })
    }

    /// The API's words on one line.
    fn message(&self) -> String {
        let message = match self {
            Words::Text(text) | Words::Plain(text) => text.clone(),
            Words::List(list) => {
                let one = |(at, text): &(Vec<String>, String)| match at.is_empty() {
                    true => text.clone(),
                    false => format!("{}: {text}", at.join(".")),
                };
                list.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            Words::Page(title) if title.is_empty() => "an HTML page".to_owned(),
            Words::Page(title) => format!("an HTML page: {title}"),
            Words::None => String::new(),
        };
        let line = message.replace(|c: char| c.is_control(), " ");
        if line.trim().is_empty() { "no explanation given".to_owned() } else { line.trim().to_owned() }
    }
}

/// One entry of a list of complaints.
fn complaint(entry: &Value) -> (Vec<String>, String) {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let at = entry.get("loc").and_then(Value::as_array).into_iter().flatten().map(plain).collect();
    // Never the `input` that stands beside: it may be what we sent.
    let text = entry.get("msg").map_or_else(|| entry.as_str().unwrap_or("refused").to_owned(), plain);
    (at, text)
}

fn title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let text = lower.find("<title>").map(|at| at + "<title>".len()).and_then(|from| {
        let length = lower[from..].find('<')?;
        Some(page[from..from + length].trim().to_owned())
    });
    text.unwrap_or_default()
}
