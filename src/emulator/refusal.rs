//! What the service refuses, and the words in which each generation of the contract says so. A pure table;
//! when something is refused is decided elsewhere.

use serde_json::{Value, json};

use super::model::Model;
use super::settings::Contract;

/// A reason to answer with anything but success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingUserAgent,
    MissingKey,
    BadKey,
    ModelNotEnabled,
    NoCredits,
    MonthlyHours,
    Concurrency,
    /// A 429 whose text no list knows.
    UnknownThrottle,
    Malformed,
    MissingFile,
    /// A form field that the model does not have.
    UnknownField(String),
    /// A form field that does not parse; the second is the type wanted.
    BadField(String, &'static str),
    /// A parameter of an address, with the whole sentence about it.
    Parameter(String),
    Format,
    Empty,
    TooBig,
    Undecodable,
    TooShort,
    Language(String),
    Configuration,
    /// The same, and where: place, message, type.
    Flaw(Value, &'static str, &'static str),
    Preset,
    Internal,
    BadGateway,
    Overloaded,
    TimedOut,
    /// A page from a proxy in front.
    HtmlBadGateway,
    NotFound,
    WrongMethod,
}

/// A refusal as it goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: Words,
}

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Words {
    /// `{"detail": …}`
    Detail(Value),
    /// A page written by something in front of the service.
    Html(&'static str),
}

const OPAQUE: &str = "This request is not permitted.";

impl Refusal {
    /// The stable word under which the report counts it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Refusal::MissingUserAgent => "user_agent",
            Refusal::MissingKey => "missing_key",
            Refusal::BadKey => "key",
            Refusal::ModelNotEnabled => "model",
            Refusal::NoCredits => "credits",
            Refusal::MonthlyHours => "monthly_hours",
            Refusal::Concurrency => "concurrency",
            Refusal::UnknownThrottle => "unknown_throttle",
            Refusal::Malformed => "malformed",
            Refusal::MissingFile => "missing_file",
            Refusal::UnknownField(_) => "unknown_field",
            Refusal::BadField(..) => "bad_field",
            Refusal::Parameter(_) => "parameter",
            Refusal::Format => "format",
            Refusal::Empty => "empty",
            Refusal::TooBig => "too_big",
            Refusal::Undecodable => "undecodable",
            Refusal::TooShort => "too_short",
            Refusal::Language(_) => "language",
            Refusal::Configuration | Refusal::Flaw(..) => "configuration",
            Refusal::Preset => "preset",
            Refusal::Internal => "internal",
            Refusal::BadGateway => "bad_gateway",
            Refusal::Overloaded => "overloaded",
            Refusal::TimedOut => "timed_out",
            Refusal::HtmlBadGateway => "html_bad_gateway",
            Refusal::NotFound => "not_found",
            Refusal::WrongMethod => "wrong_method",
        }
    }

    /// Whether a Retry-After header may come with it.
    pub(super) fn says_when(&self) -> bool {
        matches!(self, Refusal::Concurrency | Refusal::UnknownThrottle | Refusal::Overloaded)
    }

    /// The same without saying where a configuration is wrong, unless that is wanted.
    pub(super) fn located(self, wanted: bool) -> Refusal {
        match self {
            Refusal::Flaw(..) if !wanted => Refusal::Configuration,
            other => other,
        }
    }

    /// The words. `voice_403`: voice detection answers 403 to keys and limits; it has an effect there only.
    pub(super) fn say(&self, contract: Contract, model: Model, voice_403: bool) -> Said {
        use Contract::{A, B, C};
        let voice = model == Model::SyntheticVoice;
        let limit = |status| if voice && voice_403 { 403 } else { status };
        match (self, contract) {
            (Refusal::MissingUserAgent, _) => {
                html(403, "<html><head><title>403 Forbidden</title></head></html>")
            }
            (Refusal::MissingKey | Refusal::BadKey, B) if model == Model::MultilingualFast => {
                detail(401, OPAQUE)
            }
            (Refusal::MissingKey, B) if model == Model::MadeMusic => detail(422, "Invalid request."),
            (Refusal::MissingKey, B) => invalid(json!(["header", "x-api-key"]), "Field required", "missing"),
            (Refusal::MissingKey, A | C) => detail(limit(401), "Missing API key."),
            (Refusal::BadKey, A | C) => detail(limit(401), "Invalid API key."),
            (Refusal::ModelNotEnabled, A) => {
                detail(403, "Access to this model is not enabled for your organization.")
            }
            (Refusal::ModelNotEnabled, C) => detail(403, "API key does not have access to this model."),
            (Refusal::BadKey | Refusal::ModelNotEnabled | Refusal::MonthlyHours, B) => detail(403, OPAQUE),
            (Refusal::NoCredits, _) => detail(limit(429), "Insufficient credits."),
            (Refusal::MonthlyHours, A) if voice && voice_403 => detail(403, "Usage denied: quota exceeded."),
            (Refusal::MonthlyHours, A) => detail(429, "Monthly usage limit exceeded for this model."),
            (Refusal::MonthlyHours, C) => detail(limit(429), "Monthly usage limit reached."),
            (Refusal::Concurrency, A) => {
                detail(limit(429), "Too many concurrent requests for this model. Please try again shortly.")
            }
            (Refusal::Concurrency, B) => detail(limit(429), "Too Many Requests"),
            (Refusal::Concurrency, C) => detail(
                limit(429),
                "Concurrent request limit reached. Please retry after your in-flight requests complete.",
            ),
            (Refusal::UnknownThrottle, _) => detail(429, "Request not accepted at this time (code 7)."),
            // Has no 422, and promises to say nothing particular.
            (
                Refusal::Malformed | Refusal::MissingFile | Refusal::UnknownField(_) | Refusal::BadField(..),
                B,
            ) if model == Model::MultilingualFast => detail(400, "Invalid request."),
            (Refusal::Malformed, _) => invalid(json!(["body"]), "Malformed multipart body", "multipart"),
            (Refusal::MissingFile, _) => invalid(json!(["body", "upload_file"]), "Field required", "missing"),
            (Refusal::UnknownField(name), _) => {
                invalid(json!(["body", name]), "Extra inputs are not permitted", "extra_forbidden")
            }
            (Refusal::BadField(name, wanted), _) => invalid(
                json!(["body", name]),
                &format!("Input should be a valid {wanted}"),
                &format!("{wanted}_parsing"),
            ),
            (Refusal::Parameter(sentence), _) => detail(400, sentence),
            (Refusal::Format, A) if model == Model::EnglishFast => {
                detail(400, "Invalid file format. Only .opus files are supported.")
            }
            (Refusal::Format, A) => {
                detail(400, &format!("Invalid file format. Supported formats: {}", model.extensions()))
            }
            (Refusal::Format, B | C) => {
                detail(400, &format!("Unsupported file format. Supported formats: {}.", model.extensions()))
            }
            (Refusal::Empty, A) => detail(400, "Empty file provided."),
            (Refusal::Empty, B | C) => detail(400, "The uploaded file is empty."),
            (Refusal::TooBig, C) => html(
                413,
                "<html><head><title>413 Request Entity Too Large</title></head><body><center>\
                 <h1>413 Request Entity Too Large</h1></center></body></html>",
            ),
            (Refusal::Undecodable, _) if voice => detail(422, unreadable(contract)),
            (Refusal::Undecodable, _) | (Refusal::TooBig, A | B) => detail(400, unreadable(contract)),
            (Refusal::TooShort, A) => detail(422, "Audio too short for analysis."),
            (Refusal::TooShort, B | C) => detail(422, "The audio is too short to analyze."),
            (Refusal::Language(given), _) => detail(
                400,
                &format!(
                    "Invalid language='{given}'. Expected an ISO 639-1 language code (e.g. 'en', 'fr')."
                ),
            ),
            (Refusal::Configuration, _) if model == Model::Conversation => {
                detail(422, "Invalid configuration.")
            }
            (Refusal::Configuration, _) => detail(400, "Invalid configuration."),
            (Refusal::Flaw(place, message, kind), _) => invalid(place.clone(), message, kind),
            (Refusal::Preset, _) => detail(422, "invalid behavior preset"),
            (Refusal::Internal, _) => detail(500, "Internal server error"),
            (Refusal::BadGateway, A) => detail(502, "Usage check service unavailable."),
            (Refusal::BadGateway, B | C)
                if matches!(
                    model,
                    Model::Transcription | Model::Conversation | Model::Emotion | Model::Accent
                ) =>
            {
                detail(502, "Unable to complete the request. Please try again.")
            }
            (Refusal::BadGateway, B | C) => detail(502, "Unable to validate request. Please try again."),
            (Refusal::Overloaded, A) => detail(503, "Server is overloaded. Please try again later."),
            (Refusal::Overloaded, B | C) => {
                detail(503, "The service is temporarily unavailable. Please try again later.")
            }
            (Refusal::TimedOut, A) if voice => detail(504, "Request timed out."),
            (Refusal::TimedOut, A) => detail(504, "Transcription timed out."),
            (Refusal::TimedOut, B | C) => detail(504, "The request timed out. Please try again."),
            (Refusal::HtmlBadGateway, _) => html(
                502,
                "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1>\
                 </center></body></html>",
            ),
            (Refusal::NotFound, _) => detail(404, "Not Found"),
            (Refusal::WrongMethod, _) => detail(405, "Method Not Allowed"),
        }
    }
}

fn unreadable(contract: Contract) -> &'static str {
    match contract {
        Contract::A => "Could not decode audio file.",
        Contract::B | Contract::C => {
            "The audio could not be processed. It may be corrupted or in an unsupported format."
        }
    }
}

fn detail(status: u16, sentence: &str) -> Said {
    Said { status, body: Words::Detail(json!(sentence)) }
}

/// The array form of request validation.
fn invalid(loc: Value, msg: &str, kind: &str) -> Said {
    Said { status: 422, body: Words::Detail(json!([{ "loc": loc, "msg": msg, "type": kind }])) }
}

fn html(status: u16, page: &'static str) -> Said {
    Said { status, body: Words::Html(page) }
}
