//! Every refusal, in the words of each contract.

use serde_json::{Value, json};

use super::*;
use crate::emulator::{Change, Contract, Faults, ModelLimits};

fn with(contract: Contract) -> Settings {
    Settings { contract, ..Settings::default() }
}

fn limited(contract: Contract, limits: ModelLimits) -> Settings {
    let models = ALL.map(|model| (model.to_owned(), limits.clone())).into();
    Settings { contract, models, ..Settings::default() }
}

#[tokio::test]
async fn keys_are_refused_in_the_words_of_each_contract() {
    let opaque = json!("This request is not permitted.");
    let header = json!([{"loc": ["header", "x-api-key"], "msg": "Field required", "type": "missing"}]);
    let rows = [
        (Contract::A, STT, (401, json!("Missing API key.")), (401, json!("Invalid API key."))),
        (Contract::A, VOICE, (403, json!("Missing API key.")), (403, json!("Invalid API key."))),
        (Contract::B, STT, (422, header.clone()), (403, opaque.clone())),
        (Contract::B, VOICE, (422, header), (403, opaque)),
        (Contract::C, STT, (401, json!("Missing API key.")), (401, json!("Invalid API key."))),
        (Contract::C, VOICE, (401, json!("Missing API key.")), (401, json!("Invalid API key."))),
    ];
    for (contract, model, missing, wrong) in rows {
        let call = Call::to(with(contract)).await;
        let url = format!("{}/api/{model}", call.emulator.base_url());
        let send = |key: Option<&'static str>| {
            let request = call.client.post(&url).multipart(form("a.wav", wav(0), "audio/wav"));
            key.iter().fold(request, |request, key| request.header("X-API-Key", *key)).send()
        };
        assert_eq!(refused(send(None).await.unwrap()).await, missing, "{contract:?} {model}");
        assert_eq!(refused(send(Some("stolen")).await.unwrap()).await, wrong, "{contract:?} {model}");
        let report = call.emulator.report();
        assert_eq!((report.refused("missing_key"), report.refused("key"), report.bodies), (1, 1, 0));
    }
}

#[tokio::test]
async fn a_model_that_is_not_enabled_is_refused() {
    let rows = [
        (Contract::A, "Access to this model is not enabled for your organization."),
        (Contract::B, "This request is not permitted."),
        (Contract::C, "API key does not have access to this model."),
    ];
    for (contract, text) in rows {
        let call = Call::to(limited(contract, ModelLimits { enabled: false, ..Default::default() })).await;
        for model in ALL {
            assert_eq!(refused(call.good(model).await).await, (403, json!(text)), "{contract:?} {model}");
        }
    }
}

#[tokio::test]
async fn more_at_once_than_the_limit_is_refused_at_once() {
    let a = "Too many concurrent requests for this model. Please try again shortly.";
    let c = "Concurrent request limit reached. Please retry after your in-flight requests complete.";
    let rows = [
        (Contract::A, STT, 429, a),
        (Contract::A, VOICE, 403, a),
        (Contract::B, STT, 429, "Too Many Requests"),
        (Contract::B, VOICE, 429, "Too Many Requests"),
        (Contract::C, VELMA, 429, c),
        (Contract::C, VOICE, 429, c),
    ];
    for (contract, model, status, text) in rows {
        let call = Call::to(limited(contract, ModelLimits { concurrent: 0, ..Default::default() })).await;
        assert_eq!(refused(call.good(model).await).await, (status, json!(text)), "{contract:?} {model}");
        assert_eq!(call.emulator.report().of(model).peak_in_flight, 0);
    }
}

#[tokio::test]
async fn hours_run_out_and_come_back_with_the_month() {
    let rows = [
        (Contract::A, STT, 429, "Monthly usage limit exceeded for this model."),
        (Contract::A, VOICE, 403, "Usage denied: quota exceeded."),
        (Contract::B, STT, 403, "This request is not permitted."),
        (Contract::B, VOICE, 403, "This request is not permitted."),
        (Contract::C, STT, 429, "Monthly usage limit reached."),
        (Contract::C, VOICE, 429, "Monthly usage limit reached."),
    ];
    for (contract, model, status, text) in rows {
        // Room for one and a half seconds: the second recording crosses it, the third is refused.
        let limits = ModelLimits { monthly_hours: Some(1.5 / 3600.0), ..Default::default() };
        let call = Call::to(limited(contract, limits)).await;
        assert_eq!(call.good(model).await.status(), 200);
        assert_eq!(call.good(model).await.status(), 200);
        for _ in 0..2 {
            assert_eq!(refused(call.good(model).await).await, (status, json!(text)), "{contract:?} {model}");
        }
        assert_eq!(call.good(FAST).await.status(), 200, "another model has its own hours");
        let report = call.emulator.report();
        assert_eq!(report.of(model).billed_ms, 2000);
        assert_eq!(report.requests_after_first.get("monthly_hours"), Some(&1));
        call.emulator.control(Change::NewMonth);
        assert_eq!(call.good(model).await.status(), 200);
    }
}

#[tokio::test]
async fn credits_run_out_for_every_model_and_for_the_free_call() {
    for (contract, model, status) in [
        (Contract::A, STT, 429),
        (Contract::A, VOICE, 403),
        (Contract::B, VOICE, 429),
        (Contract::C, STT, 429),
    ] {
        let call = Call::to(Settings { credits_hours: Some(0.5 / 3600.0), ..with(contract) }).await;
        assert_eq!(call.good(STT).await.status(), 200);
        assert_eq!(refused(call.good(model).await).await, (status, json!("Insufficient credits.")));
        let url = format!("{}/api/velma-2-streaming/list-presets", call.emulator.base_url());
        let presets = call.client.get(url).header("x-api-key", "emulator-key").send().await.unwrap();
        assert_eq!(refused(presets).await, (429, json!("Insufficient credits.")));
        assert_eq!(call.emulator.report().requests_after_first.get("credits"), Some(&1));
        call.emulator.control(Change::CreditsHours(None));
        assert_eq!(call.good(model).await.status(), 200);
    }
}

#[tokio::test]
async fn files_are_refused_in_the_words_of_each_contract() {
    let ten = ".aac, .aiff, .flac, .mov, .mp3, .mp4, .ogg, .opus, .wav, .webm";
    let old = "Could not decode audio file.";
    let new = "The audio could not be processed. It may be corrupted or in an unsupported format.";
    let text = b"no audio at all, whatever its name says".to_vec();
    let rows = [
        (
            Contract::A,
            STT,
            "a.txt",
            text.clone(),
            400,
            format!("Invalid file format. Supported formats: {ten}"),
        ),
        (
            Contract::A,
            FAST,
            "a.m4a",
            wav(0),
            400,
            "Invalid file format. Only .opus files are supported.".into(),
        ),
        (Contract::B, STT, "wav", wav(0), 400, format!("Unsupported file format. Supported formats: {ten}.")),
        (Contract::A, STT, "a.wav", vec![], 400, "Empty file provided.".into()),
        (Contract::B, VELMA, "a.wav", vec![], 400, "The uploaded file is empty.".into()),
        (Contract::C, VOICE, "a.wav", vec![], 400, "The uploaded file is empty.".into()),
        (Contract::A, FAST, "a.wav", text.clone(), 400, old.into()),
        (Contract::B, REDACTION, "a.wav", text.clone(), 400, new.into()),
        (Contract::C, VOICE, "a.wav", text.clone(), 422, new.into()),
        (Contract::A, VOICE, "a.wav", wav_ms(499, 0), 422, "Audio too short for analysis.".into()),
        (Contract::C, VOICE, "a.wav", wav_ms(499, 0), 422, "The audio is too short to analyze.".into()),
        // A recording under the name and type of another format.
        (Contract::A, STT, "a.mp3", wav(0), 400, old.into()),
    ];
    for (contract, model, name, bytes, status, words) in rows {
        let call = Call::to(with(contract)).await;
        let mime = if name.ends_with("mp3") { "audio/mpeg" } else { "audio/wav" };
        let answer = call.upload(model, name, bytes, mime).send().await.unwrap();
        assert_eq!(refused(answer).await, (status, json!(words)), "{contract:?} {model} {name}");
        assert_eq!(call.emulator.report().of(model).billed_ms, 0);
    }
}

#[tokio::test]
async fn only_the_newest_contract_has_a_413_and_a_proxy_says_it() {
    let new = "The audio could not be processed. It may be corrupted or in an unsupported format.";
    for (contract, status, words) in [
        (Contract::A, 400, "Could not decode audio file."),
        (Contract::B, 400, new),
        (Contract::C, 413, "413 Request Entity Too Large"),
    ] {
        let call = Call::to(Settings { max_file_bytes: 10_000, ..with(contract) }).await;
        let (got, said) = refused(call.good(STT).await).await;
        assert_eq!(got, status, "{contract:?}");
        assert!(said.as_str().unwrap().contains(words), "{contract:?}: {said}");
    }
}

#[tokio::test]
async fn a_file_of_exactly_the_largest_size_is_taken() {
    let exact = Settings { max_file_bytes: wav(0).len() as u64, ..Settings::default() };
    assert_eq!(Call::to(exact).await.good(STT).await.status(), 200);
    let less = Settings { max_file_bytes: wav(0).len() as u64 - 1, ..Settings::default() };
    assert_eq!(Call::to(less).await.good(STT).await.status(), 400);
}

#[tokio::test]
async fn forms_that_are_not_lawful_get_the_array() {
    let call = Call::to(Settings::default()).await;
    let row = |loc: Value, msg: &str, kind: &str| (422, json!([{"loc": loc, "msg": msg, "type": kind}]));

    let no_file = call.post(STT).multipart(Form::new().text("language", "en")).send().await.unwrap();
    assert_eq!(refused(no_file).await, row(json!(["body", "upload_file"]), "Field required", "missing"));

    let extra = call.sample(FAST, "account.wav", &[("language", "en")]).await;
    let forbidden = row(json!(["body", "language"]), "Extra inputs are not permitted", "extra_forbidden");
    assert_eq!(refused(extra).await, forbidden);

    let flag = call.sample(STT, "account.wav", &[("emotion_signal", "1")]).await;
    let boolean =
        row(json!(["body", "emotion_signal"]), "Input should be a valid boolean", "boolean_parsing");
    assert_eq!(refused(flag).await, boolean);

    let malformed = row(json!(["body"]), "Malformed multipart body", "multipart");
    let plain = call.post(STT).body("hello").send().await.unwrap();
    assert_eq!(refused(plain).await, malformed.clone());
    let head = "--x\r\nContent-Disposition: form-data; name=\"upload_file\"; filename=\"a.wav\"\r\n\r\n";
    let cut = call.post(STT).header("content-type", "multipart/form-data; boundary=x").body(head);
    assert_eq!(refused(cut.send().await.unwrap()).await, malformed);
    assert_eq!(call.emulator.report().bodies, 2, "the forms that were whole and had a file");
}

#[tokio::test]
async fn options_that_are_not_lawful_are_refused() {
    let call = Call::to(with(Contract::B)).await;
    let language = "Invalid language='english'. Expected an ISO 639-1 language code (e.g. 'en', 'fr').";
    let rows = [
        (STT, "language", "english", 400, language),
        (REDACTION, "language", "english", 400, language),
        (STT, "config", "{", 400, "Invalid configuration."),
        (STT, "config", r#"{"custom_terms":[{}]}"#, 400, "Invalid configuration."),
        (VELMA, "config", "[]", 422, "Invalid configuration."),
        (VELMA, "config", r#"{"behaviors":["preset:none-such"]}"#, 422, "invalid behavior preset"),
    ];
    for (model, field, text, status, words) in rows {
        let answer = call.sample(model, "account.wav", &[(field, text)]).await;
        assert_eq!(refused(answer).await, (status, json!(words)), "{model} {field}={text}");
    }
}

#[tokio::test]
async fn faults_speak_the_words_of_each_contract() {
    let overloaded = "The service is temporarily unavailable. Please try again later.";
    let rows = [
        (Contract::A, STT, "500=1", 500, "Internal server error"),
        (Contract::A, STT, "502=1", 502, "Usage check service unavailable."),
        (Contract::B, STT, "502=1", 502, "Unable to complete the request. Please try again."),
        (Contract::B, REDACTION, "502=1", 502, "Unable to validate request. Please try again."),
        (Contract::A, FAST, "503=1", 503, "Server is overloaded. Please try again later."),
        (Contract::C, FAST, "503=1", 503, overloaded),
        (Contract::A, STT, "504=1", 504, "Transcription timed out."),
        (Contract::A, VOICE, "504=1", 504, "Request timed out."),
        (Contract::B, VOICE, "504=1", 504, "The request timed out. Please try again."),
        (Contract::B, STT, "429=1", 429, "Too Many Requests"),
    ];
    for (contract, model, faults, status, text) in rows {
        let call = Call::to(Settings { faults: faults.parse().unwrap(), ..with(contract) }).await;
        assert_eq!(refused(call.good(model).await).await, (status, json!(text)), "{contract:?} {faults}");
        assert_eq!(call.emulator.report().of(model).billed_ms, 0);
        assert_eq!(call.emulator.report().of(model).in_flight, 0);
    }
}

#[tokio::test]
async fn a_429_may_say_when_and_may_say_what_nobody_knows() {
    let faults =
        Faults { rate_429: 1.0, retry_after_s: Some(7), unknown_429_text: true, ..Faults::default() };
    let call = Call::to(Settings { faults, ..Settings::default() }).await;
    let answer = call.good(STT).await;
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(refused(answer).await, (429, json!("Request not accepted at this time (code 7).")));
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_json() {
    let call = Call::to(Settings::default()).await;
    assert_eq!(refused(call.good("velma-9").await).await, (404, json!("Not Found")));
    let url = format!("{}/api/{STT}", call.emulator.base_url());
    let get = call.client.get(url).send().await.unwrap();
    assert_eq!(refused(get).await, (405, json!("Method Not Allowed")));
}
