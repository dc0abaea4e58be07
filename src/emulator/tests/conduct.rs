//! How it behaves over time: slots, clients that leave, what it counts, the end.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::emulator::{Change, Latency, ModelLimits};

fn at_most(concurrent: u32) -> Settings {
    let limits = ModelLimits { concurrent, ..ModelLimits::default() };
    Settings { models: [(STT.to_owned(), limits)].into(), ..Settings::default() }
}

#[tokio::test]
async fn slots_are_never_granted_above_the_limit() {
    let call = Arc::new(Call::to(at_most(3)).await);
    call.emulator.control(Change::Hold);
    let mut callers = JoinSet::new();
    for salt in 0..12 {
        let call = call.clone();
        callers.spawn(async move {
            call.upload(STT, "a.wav", wav(salt), "audio/wav").send().await.unwrap().status().as_u16()
        });
    }
    // Three are held with their answers; the other nine have been turned away meanwhile.
    call.when(|report| report.of(STT).held == 3 && report.refused("concurrency") == 9).await;
    assert_eq!(call.emulator.report().of(STT).in_flight, 3);
    call.emulator.control(Change::Release);
    let mut statuses = callers.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200; 3][..], &[429; 9][..]].concat());
    let stt = call.emulator.report().of(STT);
    assert_eq!((stt.peak_in_flight, stt.in_flight, stt.held), (3, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_free_as_soon_as_the_answer_was_seen() {
    let call = Arc::new(Call::to(at_most(2)).await);
    let mut callers = JoinSet::new();
    for caller in 0..2u16 {
        let call = call.clone();
        callers.spawn(async move {
            for turn in 0..50 {
                let answer =
                    call.upload(STT, "a.wav", wav(caller * 50 + turn), "audio/wav").send().await.unwrap();
                json(answer).await;
            }
        });
    }
    callers.join_all().await;
    let report = call.emulator.report();
    assert_eq!((report.refused("concurrency"), report.of(STT).billed), (0, 100));
    assert!(report.of(STT).peak_in_flight <= 2);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_slot_back() {
    let call = Arc::new(Call::to(at_most(1)).await);
    call.emulator.control(Change::Hold);
    let caller = call.clone();
    let waiting = tokio::spawn(async move { caller.good(STT).await.status() });
    call.when(|report| report.of(STT).held == 1).await;
    assert_eq!(call.good(STT).await.status(), 429);
    waiting.abort();
    call.when(|report| report.of(STT).in_flight == 0).await;
    call.emulator.control(Change::Release);
    assert_eq!(call.good(STT).await.status(), 200);
    let report = call.emulator.report();
    assert_eq!((report.clients_gone, report.of(STT).held, report.of(STT).billed), (1, 0, 2));
}

/// The beginning of an upload that announces more than it sends.
async fn half_an_upload(call: &Call, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(call.emulator.address()).await.unwrap();
    let head = format!(
        "POST /api/{STT} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 50000000\r\n\
         content-type: multipart/form-data; boundary=x\r\n\r\n--x\r\n\
         content-disposition: form-data; name=\"upload_file\"; filename=\"a.wav\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_leaves_while_uploading_gives_its_slot_back() {
    let call = Call::to(at_most(1)).await;
    let stream = half_an_upload(&call, "emulator-key").await;
    call.when(|report| report.of(STT).in_flight == 1).await;
    drop(stream);
    call.when(|report| report.of(STT).in_flight == 0).await;
    assert_eq!(call.good(STT).await.status(), 200);
}

#[tokio::test]
async fn an_early_refusal_does_not_wait_for_the_body() {
    let call = Call::to(Settings::default()).await;
    let mut stream = half_an_upload(&call, "wrong").await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    assert_eq!(call.emulator.report().bodies, 0);
}

#[tokio::test]
async fn an_early_refusal_can_be_told_to_wait_for_the_body() {
    let call = Call::to(Settings { drain_before_refusing: true, keys: vec![], ..Settings::default() }).await;
    // Far more than sockets hold: without draining, some of these would meet a closed connection instead.
    for _ in 0..5 {
        let big = call.upload(STT, "a.wav", vec![0; 20_000_000], "audio/wav").send().await;
        assert_eq!(big.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn a_revoked_key_counts_those_who_go_on() {
    let call = Call::to(Settings::default()).await;
    assert_eq!(call.good(STT).await.status(), 200);
    call.emulator.control(Change::Keys(vec![]));
    for _ in 0..3 {
        assert_eq!(call.good(STT).await.status(), 401);
    }
    assert_eq!(call.emulator.report().requests_after_first.get("key"), Some(&2));
    call.emulator.control(Change::Keys(vec!["emulator-key".into()]));
    assert_eq!(call.good(STT).await.status(), 200);
    assert_eq!(call.emulator.report().requests_after_first.get("key"), Some(&2), "the key is good again");
}

#[tokio::test]
async fn the_report_knows_every_body_and_can_be_reset() {
    let call = Call::to(Settings::default()).await;
    call.good(STT).await;
    call.good(STT).await;
    call.upload(STT, "b.wav", wav(7), "audio/wav").send().await.unwrap();
    let url = format!("{}/emulator/report", call.emulator.base_url());
    let report = json(call.client.get(&url).send().await.unwrap()).await;
    let stt = &report["models"][STT];
    let mut times: Vec<_> = stt["sha256"].as_object().unwrap().values().cloned().collect();
    times.sort_by_key(Value::as_u64);
    assert_eq!(times, [1, 2]);
    assert_eq!(
        (&stt["billed_ms"], &stt["unique_ms"], &report["statuses"]["200"]),
        (&3000.into(), &2000.into(), &3.into())
    );
    assert_eq!(call.client.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(call.emulator.report(), Default::default());
}

#[tokio::test]
async fn control_works_over_http() {
    let call = Call::to(Settings::default()).await;
    let url = format!("{}/emulator/control", call.emulator.base_url());
    let changes =
        r#"[{"contract":"b"},{"model":{"name":"velma-2-batch","limits":{"enabled":false}}},"new_month"]"#;
    let post = |body: &'static str| {
        call.client.post(&url).header("content-type", "application/json").body(body).send()
    };
    assert_eq!(post(changes).await.unwrap().status(), 204);
    assert_eq!(refused(call.good(VELMA).await).await.1, "This request is not permitted.");
    assert_eq!(post(r#"{"contract":"z"}"#).await.unwrap().status(), 422);
}

#[tokio::test]
async fn the_busy_integral_is_slots_times_time() {
    let latency = Latency { fixed: std::time::Duration::from_millis(30), scale: 1.0, ..Latency::default() };
    let call = Call::to(Settings { latency, ..Settings::default() }).await;
    let began = std::time::Instant::now();
    tokio::join!(call.good(FAST), call.good(FAST));
    let took_ms = began.elapsed().as_secs_f64() * 1000.0;
    let busy = call.emulator.report().of(FAST).busy_slot_ms;
    assert!((60.0..=2.0 * took_ms).contains(&busy), "{busy} slot-ms in {took_ms} ms");
}

#[tokio::test]
async fn many_small_uploads_are_cheap() {
    let settings = Settings {
        models: [(STT.to_owned(), ModelLimits { concurrent: 64, ..Default::default() })].into(),
        ..Settings::default()
    };
    let call = Arc::new(Call::to(settings).await);
    let bytes = bytes::Bytes::from(wav_ms(100, 0));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (call, bytes) = (call.clone(), bytes.clone());
        callers.spawn(async move {
            for _ in 0..40 {
                let part = Part::stream(bytes.clone()).file_name("a.wav").mime_str("audio/wav").unwrap();
                let answer =
                    call.post(STT).multipart(Form::new().part("upload_file", part)).send().await.unwrap();
                assert_eq!(answer.status(), 200);
            }
        });
    }
    callers.join_all().await;
    let stt = call.emulator.report().of(STT);
    assert_eq!((stt.bodies, stt.billed, stt.sha256.len()), (640, 640, 1));
}

#[tokio::test]
async fn stopping_cuts_what_is_under_way() {
    let call = Call::to(Settings::default()).await;
    call.emulator.control(Change::Hold);
    let request = call.upload(STT, "a.wav", wav(0), "audio/wav");
    let waiting = tokio::spawn(request.send());
    call.when(|report| report.of(STT).held == 1).await;
    let address = call.emulator.address();
    call.emulator.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
