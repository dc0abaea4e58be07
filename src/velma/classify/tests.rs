//! The refusals of all three ages of the API, row by row.

use std::time::Duration;

use bytes::Bytes;

use super::*;

const STT: Endpoint = Endpoint::SttBatch;
const FAST: Endpoint = Endpoint::SttBatchEnglishVfast;
const SVD: Endpoint = Endpoint::SyntheticVoiceDetectionBatch;
const RED: Endpoint = Endpoint::PiiPhiRedactionBatch;
const ANALYSIS: Endpoint = Endpoint::Batch;

fn answered(status: u16, body: &str) -> Exchange {
    Exchange {
        bytes_sent: 8,
        body_sent: true,
        blake3: None,
        request_id: None,
        outcome: Ok(Answer {
            status,
            retry_after: None,
            content_type: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
            audio: None,
            is_complete: true,
        }),
    }
}

fn detail(text: &str) -> String {
    serde_json::json!({ "detail": text }).to_string()
}

/// A verdict in one line: `halted monthly_hours`, `file unreadable_audio`, `transient server_error unknown`.
fn short(verdict: &Verdict) -> String {
    let f = verdict.failure();
    let billed =
        f.map(|f| f.billed).filter(|b| *b != Billed::No).map_or_else(String::new, |b| format!(" {b}"));
    let cause = f.map_or("", |f| f.cause.word());
    match verdict {
        Verdict::Success => "success".to_owned(),
        Verdict::Transient(_) => format!("transient {cause}{billed}"),
        Verdict::TooLong(_) => format!("too long {cause}{billed}"),
        Verdict::Throttled(_) => format!("throttled {cause}{billed}"),
        Verdict::Halted(reason, _) => format!("halted {reason}{billed}"),
        Verdict::FileFault(_) => format!("file {cause}{billed}"),
        Verdict::Unclear(doubt, _) => format!("unclear {doubt:?}{billed}"),
        Verdict::Stopped(_) => format!("stopped {cause}{billed}"),
    }
}

fn check(rows: &[(Endpoint, u16, &str, &str)]) {
    for (endpoint, status, text, expected) in rows {
        // With and without a final full stop, and in any case.
        for text in [text.to_string(), text.trim_end_matches('.').to_string(), text.to_uppercase()] {
            let verdict = classify(*endpoint, &answered(*status, &detail(&text)));
            assert_eq!(short(&verdict), *expected, "{endpoint} {status} {text}");
            let failure = verdict.failure().expect("a refusal");
            assert_eq!((failure.message.as_str(), failure.http_status), (text.as_str(), Some(*status)));
        }
    }
}

#[test]
fn account_errors_of_contract_a() {
    check(&[
        (STT, 401, "Invalid API key.", "unclear Key"),
        (FAST, 403, "Access to this model is not enabled for your organization.", "halted model_not_enabled"),
        (STT, 403, "model access not enabled", "halted model_not_enabled"),
        (
            STT,
            429,
            "Too many concurrent requests for this model. Please try again shortly.",
            "throttled throttled",
        ),
        (SVD, 403, "Too many concurrent requests for this model.", "throttled throttled"),
        (STT, 429, "Monthly usage limit exceeded for this model.", "halted monthly_hours"),
        (STT, 403, "monthly limit reached", "halted monthly_hours"),
        (SVD, 403, "Usage denied: quota exceeded.", "unclear Quota"),
        (STT, 403, "Usage denied: quota exceeded.", "halted monthly_hours"),
        (SVD, 429, "Usage denied: quota exceeded.", "halted monthly_hours"),
        (SVD, 403, "Monthly usage limit exceeded for this model.", "halted monthly_hours"),
        (SVD, 403, "Invalid API key.", "unclear Key"),
    ]);
}

#[test]
fn account_errors_of_contract_b() {
    check(&[
        (STT, 403, "This request is not permitted.", "unclear Opaque"),
        (SVD, 403, "This request is not permitted.", "unclear Opaque"),
        (ANALYSIS, 429, "Insufficient credits.", "halted credits"),
        (RED, 403, "Insufficient credits.", "halted credits"),
    ]);
    let missing = r#"{"detail":[{"loc":["header","x-api-key"],"msg":"Field required","type":"missing"}]}"#;
    for body in [missing.to_owned(), missing.replace("x-api-key", "X-API-Key")] {
        assert_eq!(short(&classify(STT, &answered(422, &body))), "halted key_refused");
    }
}

#[test]
fn account_errors_of_contract_c() {
    check(&[
        (STT, 401, "Invalid API key.", "unclear Key"),
        (STT, 403, "API key does not have access to this model.", "halted model_not_enabled"),
        (STT, 401, "API key does not have access to this model.", "halted model_not_enabled"),
        (STT, 403, "The request is not permitted.", "unclear Opaque"),
        (
            STT,
            429,
            "Concurrent request limit reached. Please retry after your in-flight requests complete.",
            "throttled throttled",
        ),
        (STT, 429, "Monthly usage limit reached.", "halted monthly_hours"),
        (STT, 403, "Monthly usage limit reached.", "halted monthly_hours"),
        (STT, 429, "Insufficient credits.", "halted credits"),
    ]);
}

#[test]
fn file_and_job_errors() {
    let formats = "Unsupported file format. Supported formats: .aac, .aiff, .flac, .mov, .mp3.";
    let processed = "The audio could not be processed. It may be corrupted or in an unsupported format.";
    let language = "Invalid language='english'. Expected an ISO 639-1 language code (e.g. 'en', 'fr').";
    check(&[
        (STT, 400, "Invalid file format. Supported formats: .aac, .aiff", "file unsupported_format"),
        (STT, 400, formats, "file unsupported_format"),
        (FAST, 400, "Invalid file format. Only .opus files are supported.", "halted config_refused"),
        (STT, 400, "Empty file provided.", "file empty"),
        (STT, 400, "The uploaded file is empty.", "file empty"),
        (FAST, 400, "Could not decode audio file.", "file unreadable_audio"),
        (STT, 400, processed, "file unreadable_audio"),
        (SVD, 422, processed, "file unreadable_audio"),
        (STT, 400, "Invalid input audio", "file unreadable_audio"),
        (SVD, 422, "Audio too short for analysis.", "file too_short"),
        (SVD, 422, "The audio is too short to analyze.", "file too_short"),
        (STT, 400, language, "halted config_refused"),
        (STT, 400, "Invalid configuration.", "halted config_refused"),
        (ANALYSIS, 422, "Invalid configuration.", "halted config_refused"),
        (ANALYSIS, 422, "invalid behavior preset", "halted config_refused"),
        (STT, 400, "Invalid request.", "unclear Request"),
        (STT, 400, "Something we never heard of", "unclear Request"),
        // Of what a file holds, not of the model.
        (STT, 400, "Channels are not enabled in this file.", "unclear Request"),
        (STT, 415, "This kind of audio is not enabled.", "unclear Request"),
        (STT, 404, "Not Found", "halted config_refused"),
        (STT, 405, "Method Not Allowed", "halted config_refused"),
        (STT, 408, "Request timeout", "transient timeout unknown"),
        (STT, 413, "Too big", "file too_big"),
        (STT, 415, "Unsupported media", "unclear Request"),
        (STT, 402, "Pay", "halted credits"),
        (STT, 418, "I'm a teapot", "unclear Request"),
    ]);
    let field = r#"{"detail":[{"loc":["body","upload_file"],"msg":"Field required","type":"missing"}]}"#;
    let verdict = classify(STT, &answered(422, field));
    assert_eq!(short(&verdict), "halted config_refused");
    assert_eq!(verdict.failure().map(|f| f.message.as_str()), Some("body.upload_file: Field required"));
}

#[test]
fn server_errors() {
    check(&[
        (STT, 500, "Internal server error", "transient server_error unknown"),
        (STT, 502, "Usage check service unavailable.", "transient server_error unknown"),
        (STT, 502, "Unable to validate request. Please try again.", "transient server_error unknown"),
        (STT, 502, "Unable to complete the request. Please try again.", "transient server_error unknown"),
        (STT, 503, "Server is overloaded. Please try again later.", "transient overloaded unknown"),
        (FAST, 504, "Transcription timed out.", "transient server_timeout unknown"),
        (STT, 529, "?", "transient server_error unknown"),
    ]);
    let early = Exchange { body_sent: false, ..answered(503, "") };
    assert_eq!(short(&classify(STT, &early)), "transient overloaded", "nothing to bill");
}

#[test]
fn refusals_without_a_word_of_the_api() {
    let page = "<!DOCTYPE html>\n<html><head><TITLE>Request blocked: monthly limit</TITLE></head></html>";
    for (status, body, expected, message) in [
        (401, "", "unclear Key", "no explanation given"),
        (403, page, "unclear Blocked", "an HTML page: Request blocked: monthly limit"),
        (403, "", "unclear Blocked", "no explanation given"),
        (403, "Forbidden", "unclear Blocked", "Forbidden"),
        (403, "{}", "unclear Opaque", "{}"),
        (400, page, "unclear Request", "an HTML page: Request blocked: monthly limit"),
        (404, "<html>", "halted config_refused", "an HTML page"),
        (413, page, "file too_big", "an HTML page: Request blocked: monthly limit"),
        (429, "", "unclear Throttle", "no explanation given"),
        (429, page, "unclear Throttle", "an HTML page: Request blocked: monthly limit"),
        (
            429,
            r#"{"detail":"This request is not permitted."}"#,
            "unclear Throttle",
            "This request is not permitted.",
        ),
        (429, "Insufficient credits", "halted credits", "Insufficient credits"),
        (
            429,
            r#"{"error":{"message":"Too many concurrent requests"}}"#,
            "throttled throttled",
            "Too many concurrent requests",
        ),
        (502, page, "transient server_error unknown", "an HTML page: Request blocked: monthly limit"),
        (403, r#"{"detail":["no","never"]}"#, "unclear Opaque", "no; never"),
        (400, "{\"detail\":\"too\\nshort\"}", "unclear Request", "too short"),
    ] {
        let verdict = classify(STT, &answered(status, body));
        assert_eq!(short(&verdict), expected, "{status} {body}");
        assert_eq!(verdict.failure().map(|f| f.message.as_str()), Some(message));
    }
    for status in [300, 301, 302, 304, 307, 308] {
        assert_eq!(short(&classify(STT, &answered(status, ""))), "halted config_refused");
    }
}

#[test]
fn what_the_server_asks_us_to_wait_goes_with_every_refusal() {
    for (status, text) in [(429, "Too many concurrent requests"), (503, "busy"), (429, "?"), (500, "?")] {
        let mut exchange = answered(status, &detail(text));
        exchange.outcome.as_mut().unwrap().retry_after = Some(Duration::from_secs(9));
        let verdict = classify(STT, &exchange);
        assert_eq!(verdict.failure().and_then(|f| f.retry_after), Some(Duration::from_secs(9)));
    }
}

#[test]
fn a_message_is_bounded_and_leaves_out_what_we_sent() {
    let verdict = classify(STT, &answered(500, &detail(&"x".repeat(9000))));
    assert_eq!(verdict.failure().map(|f| f.message.len()), Some(Failure::MESSAGE_MAX));
    let echo = r#"{"detail":[{"loc":["body","config"],"msg":"Bad","input":"my secret term"}]}"#;
    let verdict = classify(STT, &answered(422, echo));
    assert_eq!(verdict.failure().map(|f| f.message.as_str()), Some("body.config: Bad"));
}

#[test]
fn a_success_must_be_readable_and_come_after_the_whole_file() {
    let good = r#"{"text":"secret words","duration_ms":1}"#;
    assert_eq!(classify(STT, &answered(200, good)), Verdict::Success);
    let early = Exchange { body_sent: false, ..answered(200, good) };
    for (endpoint, exchange) in [
        (STT, early),
        (STT, answered(200, &good[..20])),
        (STT, answered(200, "")),
        (STT, answered(204, "")),
        (STT, answered(200, r#"{"detail":"secret words"}"#)),
        (SVD, answered(200, good)),
        // As plain JSON it is the metadata alone: no success for those who wait for the redacted audio.
        (RED, answered(200, good)),
    ] {
        let verdict = classify(endpoint, &exchange);
        assert_eq!(short(&verdict), "transient bad_answer unknown");
        let message = &verdict.failure().unwrap().message;
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn no_answer_is_told_by_what_had_been_sent() {
    let text = || "reset".to_owned();
    for (error, sent, all_sent) in [
        (TransportError::Connect(text()), "transient connection", "transient connection"),
        (TransportError::Unsendable(text()), "file request_refused", "file request_refused"),
        (
            TransportError::SourceChanged(text()),
            "transient source_changed",
            "transient source_changed unknown",
        ),
        (
            TransportError::SourceRead(text()),
            "transient source_unreadable",
            "transient source_unreadable unknown",
        ),
        (TransportError::Stalled, "transient stalled", "transient stalled unknown"),
        (TransportError::Timeout { body_sent: false }, "transient timeout", "transient timeout unknown"),
        (TransportError::BrokenWhileSending(text()), "throttled connection", "throttled connection"),
        (
            TransportError::AnswerLost(text()),
            "transient answer_lost unknown",
            "transient answer_lost unknown",
        ),
        (TransportError::TooLarge(1), "file bad_answer unknown", "file bad_answer unknown"),
        (TransportError::Storage(text()), "transient local_storage yes", "transient local_storage yes"),
        (TransportError::Aborted, "stopped interrupted", "stopped interrupted unknown"),
    ] {
        for (body_sent, expected) in [(false, sent), (true, all_sent)] {
            let exchange = Exchange { body_sent, outcome: Err(error.clone()), ..answered(0, "") };
            assert_eq!(short(&classify(STT, &exchange)), expected, "{error:?}");
        }
    }
}

const LIVE: Endpoint = Endpoint::SttStreaming;
const ENGLISH: Endpoint = Endpoint::SttStreamingEnglishV2;
const VOICE: Endpoint = Endpoint::SyntheticVoiceDetectionStreaming;

/// A stream of which something was sent, and that was closed with this code and these words.
fn closed_with(code: u16, words: &str) -> Exchange {
    Exchange { body_sent: false, ..answered(code, &serde_json::json!({ "error": words }).to_string()) }
}

fn check_codes(rows: &[(Endpoint, u16, &str, &str)]) {
    for (endpoint, code, words, expected) in rows {
        let verdict = classify(*endpoint, &closed_with(*code, words));
        assert_eq!(short(&verdict), *expected, "{endpoint} {code} {words}");
        let told = if words.is_empty() { "no explanation given" } else { words };
        let failure = verdict.failure().expect("a refusal");
        assert_eq!((failure.message.as_str(), failure.http_status), (told, Some(*code)));
    }
}

#[test]
fn close_codes_of_contract_a() {
    check_codes(&[
        (LIVE, 4001, "Invalid API key.", "unclear Key"),
        (LIVE, 4001, "Missing api_key query parameter.", "unclear Key"),
        (VOICE, 4003, "Invalid API key.", "unclear Key"),
        (
            ENGLISH,
            4003,
            "Access to this model is not enabled for your organization.",
            "halted model_not_enabled",
        ),
        (ENGLISH, 4029, "Monthly usage limit exceeded for this model.", "halted monthly_hours"),
        (
            LIVE,
            4029,
            "Too many concurrent requests for this model. Please try again shortly.",
            "throttled throttled",
        ),
        (VOICE, 4003, "Too many concurrent requests for this model.", "throttled throttled"),
        (VOICE, 4003, "Usage denied: quota exceeded.", "unclear Quota"),
        (ENGLISH, 4002, "Audio data does not match the declared audio_format.", "file unreadable_audio"),
        (LIVE, 1003, "Invalid input audio", "file unreadable_audio"),
        (VOICE, 1011, "Internal server error", "transient server_error unknown"),
    ]);
}

#[test]
fn close_codes_of_contract_b() {
    check_codes(&[
        (ENGLISH, 4003, "This request is not permitted.", "unclear Opaque"),
        (VOICE, 4003, "This request is not permitted.", "unclear Opaque"),
        (ENGLISH, 4029, "This request is not permitted.", "unclear Throttle"),
        (LIVE, 4029, "Insufficient credits.", "halted credits"),
        (ENGLISH, 4003, "Unable to validate request. Please try again.", "transient server_error unknown"),
        (LIVE, 4003, "Unable to complete the request. Please try again.", "transient server_error unknown"),
    ]);
}

#[test]
fn close_codes_of_contract_c() {
    check_codes(&[
        (LIVE, 4001, "Invalid API key.", "unclear Key"),
        (LIVE, 4004, "API key does not have access to this model.", "halted model_not_enabled"),
        (VOICE, 4029, "Insufficient credits.", "halted credits"),
        (
            ENGLISH,
            4030,
            "Concurrent request limit reached. Please retry after your in-flight requests complete.",
            "throttled throttled",
        ),
        (LIVE, 4031, "Monthly usage limit reached.", "halted monthly_hours"),
        (
            ENGLISH,
            1013,
            "The service is temporarily unavailable. Please try again later.",
            "transient server_error unknown",
        ),
    ]);
}

#[test]
fn codes_without_a_word() {
    check_codes(&[
        (LIVE, 1000, "", "transient answer_lost unknown"),
        (LIVE, 1001, "", "transient answer_lost unknown"),
        (LIVE, 1006, "", "transient answer_lost unknown"),
        (LIVE, 1011, "", "transient server_error unknown"),
        (LIVE, 1013, "", "transient overloaded unknown"),
        (LIVE, 1003, "", "unclear Request"),
        (LIVE, 4001, "", "unclear Key"),
        (ENGLISH, 4002, "", "file unreadable_audio"),
        (LIVE, 4003, "", "unclear Opaque"),
        (LIVE, 4004, "", "halted model_not_enabled"),
        (LIVE, 4029, "", "unclear Throttle"),
        (LIVE, 4030, "", "throttled throttled"),
        (LIVE, 4031, "", "halted monthly_hours"),
        (LIVE, 4999, "", "unclear Request"),
    ]);
}

#[test]
fn words_win_over_the_code_whatever_it_is() {
    for code in [1000, 1003, 1006, 1011, 4001, 4003, 4029, 4999] {
        check_codes(&[
            (LIVE, code, "Insufficient credits.", "halted credits"),
            (LIVE, code, "Monthly usage limit reached.", "halted monthly_hours"),
            (LIVE, code, "Concurrent request limit reached.", "throttled throttled"),
        ]);
    }
}

#[test]
fn what_is_wrong_with_the_sound_concerns_a_file_and_what_is_wrong_with_the_rest_a_job() {
    check_codes(&[
        (ENGLISH, 1003, "Invalid audio_format='mp4'. Valid values: ['s8', 'wav']", "file unsupported_format"),
        (ENGLISH, 1003, "Invalid sample_rate=50000. Valid values: [8000]", "file unsupported_format"),
        (Endpoint::Streaming, 1003, "Invalid configuration.", "halted config_refused"),
        (Endpoint::Streaming, 1003, "invalid behavior preset", "halted config_refused"),
        (
            LIVE,
            1003,
            "Invalid language='english'. Expected an ISO 639-1 language code.",
            "halted config_refused",
        ),
        (LIVE, 1003, "Audio too short for analysis.", "file too_short"),
    ]);
}

#[test]
fn a_stream_that_breaks_may_have_been_worked_on_as_far_as_it_came() {
    let lost = |bytes_sent, error| {
        let exchange = Exchange { bytes_sent, body_sent: false, outcome: Err(error), ..answered(0, "") };
        short(&classify(LIVE, &exchange))
    };
    let broken = || TransportError::BrokenWhileSending("reset".to_owned());
    assert_eq!(lost(0, broken()), "transient connection");
    assert_eq!(lost(9, broken()), "transient connection unknown");
    assert_eq!(lost(9, TransportError::Aborted), "stopped interrupted unknown");
    assert_eq!(lost(0, TransportError::Aborted), "stopped interrupted");
    assert_eq!(lost(9, TransportError::Undecodable("noise".to_owned())), "file unreadable_audio unknown");
    let unsent = Exchange { bytes_sent: 0, ..closed_with(1011, "Internal server error") };
    assert_eq!(short(&classify(LIVE, &unsent)), "transient server_error", "nothing to bill");
}

#[test]
fn a_handshake_that_plain_http_refuses_is_judged_as_any_request() {
    check(&[
        (LIVE, 401, "Invalid API key.", "unclear Key"),
        (VOICE, 403, "This request is not permitted.", "unclear Opaque"),
        (VOICE, 403, "Usage denied: quota exceeded.", "unclear Quota"),
        (ENGLISH, 429, "Concurrent request limit reached.", "throttled throttled"),
        (ENGLISH, 429, "Insufficient credits.", "halted credits"),
        (LIVE, 404, "Not Found", "halted config_refused"),
    ]);
}
