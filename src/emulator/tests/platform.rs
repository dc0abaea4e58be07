//! The Platform API in its three descriptions.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::emulator::{Change, Platform};

impl Call {
    fn service(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.emulator.base_url());
        let request = self.client.request(method, url);
        request.header("accountuuid", "emulator-account").header("apikey", "emulator-key")
    }

    async fn submit(&self, body: Value) -> (u16, Value) {
        whole(self.service(Method::POST, "/api_service").json(&body).send().await.unwrap()).await
    }

    async fn submit_form(&self, fields: &[(&str, &str)], file: Option<(&str, Vec<u8>)>) -> (u16, Value) {
        let mut form = reqwest::multipart::Form::new();
        for (name, text) in fields {
            form = form.text(name.to_string(), text.to_string());
        }
        if let Some((name, bytes)) = file {
            form = form.part("file", Part::bytes(bytes).file_name(name.to_owned()));
        }
        whole(self.service(Method::POST, "/api_service").multipart(form).send().await.unwrap()).await
    }

    async fn status(&self, id: &Value) -> Value {
        let path = format!("/api_service/job_status/{}", id.as_str().unwrap());
        json(self.service(Method::GET, &path).send().await.unwrap()).await
    }

    fn job(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.emulator.base_url()));
        request.basic_auth("emulator-account", Some("emulator-key"))
    }
}

async fn whole(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn one_file_in_base64_is_a_job_by_itself() {
    let call = Call::to(Settings::default()).await;
    let (bytes, _) = sample("account.wav");
    let (status, reply) = call
        .submit(json!({
            "audio_base64": BASE64_STANDARD.encode(&bytes), "file_extension": "wav", "filename": "call.wav",
            "flags": { "emotion_annotation": true, "demographics": false },
        }))
        .await;
    assert_eq!(
        (status, &reply["status"], &reply["api_calls_charged"]),
        (200, &json!("processing"), &json!(2))
    );
    assert_eq!(call.status(&reply["job_id"]).await["status"], "processing");
    let done = call.status(&reply["job_id"]).await;
    assert_eq!((&done["status"], &done["results"][0]["filename"]), (&json!("completed"), &json!("call.wav")));
    assert_eq!(
        (&done["transcript"], done["results"].as_array().unwrap().len()),
        (&done["results"][0]["transcript"], 1)
    );
    assert_eq!(done["results"][0]["utterances"][0]["emotion"], "Neutral");
    let report = call.emulator.report();
    assert_eq!(
        (report.of("platform").bodies, report.of("platform").billed_ms),
        (1, report.of("platform").unique_ms)
    );
    assert_eq!(json!(report.of("platform").billed_ms), done["results"][0]["duration_ms"]);
}

#[tokio::test]
async fn many_files_share_a_job_until_one_says_that_it_is_the_last() {
    let call = Call::to(Settings::default()).await;
    for chosen in [None, Some("my-own-job")] {
        let first: &[(&str, &str)] = match &chosen {
            // Without an id, only saying so keeps a job open.
            None => &[("finalize_job", "false")],
            Some(id) => &[("job_id", id)],
        };
        let (_, reply) = call.submit_form(first, Some(("one.wav", wav(1)))).await;
        let id = reply["job_id"].clone();
        assert!(chosen.is_none_or(|chosen| id == chosen));
        let id_text = id.as_str().unwrap();
        call.submit_form(&[("job_id", id_text)], Some(("two.wav", wav(2)))).await;
        for _ in 0..5 {
            assert_eq!(call.status(&id).await["status"], "active", "never done while more may come");
        }
        call.submit_form(&[("job_id", id_text), ("finalize_job", "true")], Some(("three.wav", wav(3)))).await;
        assert_eq!(call.status(&id).await["status"], "processing");
        let done = call.status(&id).await;
        let names: Vec<_> =
            done["results"].as_array().unwrap().iter().map(|result| result["filename"].clone()).collect();
        assert_eq!(names, ["one.wav", "two.wav", "three.wav"]);
        let late = call.submit_form(&[("job_id", id_text)], Some(("four.wav", wav(4)))).await;
        assert_eq!(late, (409, json!({"detail": "The job is finalized."})));
    }
}

#[tokio::test]
async fn ids_may_have_to_come_from_the_service() {
    let platform = Platform { foreign_job_ids: false, ..Platform::default() };
    let call = Call::to(Settings { platform, ..Settings::default() }).await;
    let refused = call.submit_form(&[("job_id", "mine")], Some(("a.wav", wav(1)))).await;
    assert_eq!(refused, (404, json!({"detail": "Job not found."})));
}

#[tokio::test]
async fn five_megabytes_are_the_most_in_both_encodings() {
    let call = Call::to(Settings::default()).await;
    let big = wav_ms(313_000, 0);
    let text = json!("The file is too large. The limit is 5 MB.");
    let in_form = call.submit_form(&[], Some(("a.wav", big.clone()))).await;
    assert_eq!(in_form, (413, json!({ "detail": text })));
    let encoded = json!({"audio_base64": BASE64_STANDARD.encode(&big), "file_extension": "wav"});
    assert_eq!(call.submit(encoded).await.0, 413);
    let fits = wav_ms(312_000, 0);
    assert_eq!(call.submit_form(&[], Some(("a.wav", fits))).await.0, 200);
}

#[tokio::test]
async fn states_are_whatever_was_told_and_pass_with_time() {
    let platform = Platform {
        states: vec!["queued".into(), "chunking".into()],
        completed: "complete".into(),
        failed: "error".into(),
        ..Platform::default()
    };
    let call = Call::to(Settings { platform: platform.clone(), ..Settings::default() }).await;
    for (bytes, last) in [(wav(1), "complete"), (b"no audio".to_vec(), "error")] {
        let (_, reply) = call.submit_form(&[], Some(("a.wav", bytes))).await;
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(call.status(&reply["job_id"]).await["status"].clone());
        }
        assert_eq!(seen, ["queued", "chunking", last, last]);
    }
    call.emulator.control(Change::Platform(Platform { state_for: Duration::from_secs(3600), ..platform }));
    let (_, reply) = call.submit_form(&[], Some(("a.wav", wav(2)))).await;
    for _ in 0..4 {
        assert_eq!(call.status(&reply["job_id"]).await["status"], "queued");
    }
}

#[tokio::test]
async fn a_real_time_submission_has_an_address_and_no_file() {
    let call = Call::to(Settings::default()).await;
    let (status, reply) = call.submit(json!({"submission_type": "realtime_websocket"})).await;
    assert!(status == 200 && reply["realtime_url"].as_str().unwrap().starts_with("wss://"), "{reply}");
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let call = Call::to(Settings::default()).await;
    for (body, words) in [
        (json!({}), "A file is required."),
        (json!({"audio_base64": "###", "file_extension": "wav"}), "audio_base64 is no base64."),
        (json!({"audio_base64": "AAAA"}), "file_extension is required."),
        (
            json!({"audio_base64": "AAAA", "file_extension": "flac"}),
            "file_extension must be one of mp3, wav, opus.",
        ),
        (json!({"flags": {"colour": true}}), "colour is no flag."),
        (json!({"submission_type": "carrier_pigeon"}), "submission_type is not valid."),
        (json!({"finalize_job": 1}), "finalize_job is not valid."),
    ] {
        assert_eq!(call.submit(body).await, (422, json!({ "detail": words })));
    }
    let request = call.service(Method::POST, "/api_service").body("audio");
    assert_eq!(request.send().await.unwrap().status(), 415);
    let unknown = call.service(Method::GET, "/api_service/job_status/none").send().await.unwrap();
    assert_eq!(refused(unknown).await, (404, json!("Job not found.")));
}

#[tokio::test]
async fn accounts_have_keys_and_see_their_own_jobs() {
    let platform =
        Platform { accounts: vec!["emulator-account".into(), "other".into()], ..Platform::default() };
    let call = Call::to(Settings { platform, ..Settings::default() }).await;
    let url = format!("{}/api_service", call.emulator.base_url());
    for (account, key) in [("emulator-account", "stolen"), ("nobody", "emulator-key")] {
        let request = call.client.post(&url).header("accountuuid", account).header("apikey", key);
        assert_eq!(refused(request.send().await.unwrap()).await, (401, json!("Invalid API key.")));
    }
    assert_eq!(call.client.post(&url).send().await.unwrap().status(), 401);
    let (_, reply) = call.submit_form(&[], Some(("a.wav", wav(1)))).await;
    let path = format!("{url}/job_status/{}", reply["job_id"].as_str().unwrap());
    let theirs = call.client.get(path).header("accountuuid", "other").header("apikey", "emulator-key");
    assert_eq!(theirs.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_third_description_begins_fills_and_finalises_a_job() {
    let call = Call::to(Settings::default()).await;
    let begun = call.job(Method::POST, "/jobs").send().await.unwrap();
    assert_eq!(begun.headers()["content-type"], "application/vnd.modulate.v0+json");
    let (status, begun) = whole(begun).await;
    assert_eq!((status, &begun["state"]), (201, &json!("active")));
    let path = format!("/job/{}", begun["job_id"].as_str().unwrap());
    for salt in 0..27 {
        let form = reqwest::multipart::Form::new()
            .part("file", Part::bytes(wav(salt)).file_name(format!("{salt}.wav")));
        let added = call
            .job(Method::POST, &format!("{path}/sources/media-files"))
            .multipart(form)
            .send()
            .await
            .unwrap();
        assert_eq!(added.status(), 201);
    }
    let address = call.emulator.address();
    let mut request = format!("ws://{address}{path}/sources/streams/line-1").into_client_request().unwrap();
    assert!(connect_async(request.clone()).await.is_err(), "without a password");
    let password = BASE64_STANDARD.encode("emulator-account:emulator-key");
    request.headers_mut().insert("authorization", format!("Basic {password}").parse().unwrap());
    let (mut stream, _) = connect_async(request).await.unwrap();
    stream.send(Message::Binary(wav(99).into())).await.unwrap();
    stream.send(Message::text("")).await.unwrap();
    while let Some(Ok(_)) = stream.next().await {}
    let results = || call.job(Method::GET, &format!("{path}/results")).send();
    assert_eq!(results().await.unwrap().status(), 409);
    assert_eq!(json(call.job(Method::PATCH, &path).send().await.unwrap()).await["state"], "finalizing");
    assert_eq!(json(call.job(Method::GET, &path).send().await.unwrap()).await["state"], "finalizing");
    assert_eq!(json(call.job(Method::GET, &path).send().await.unwrap()).await["state"], "finalized");
    let page = json(results().await.unwrap()).await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["meta"]["total_count"]), (25, &json!(28)));
    assert_eq!(page["links"]["prev"], Value::Null);
    let next = call.job(Method::GET, page["links"]["next"].as_str().unwrap()).send().await.unwrap();
    let next = json(next).await;
    assert_eq!((next["data"].as_array().unwrap().len(), &next["links"]["next"]), (3, &Value::Null));
    assert_eq!(
        (&next["data"][2]["filename"], &next["data"][2]["duration_ms"]),
        (&json!("line-1"), &json!(1000))
    );
    let stranger = call.client.post(format!("{}/jobs", call.emulator.base_url())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}
