//! Faults, MIME types, time limits and the script: what can be turned.

use super::*;
use crate::emulator::script::Act;
use crate::emulator::{Contract, Ending, Faults, Latency, OUTCOMES};

async fn faulty(list: &str) -> Call {
    Call::to(Settings { faults: list.parse().unwrap(), ..Settings::default() }).await
}

#[tokio::test]
async fn a_reset_before_the_body_is_no_answer_and_costs_nothing() {
    let call = faulty("reset=1").await;
    let big = call.upload(STT, "a.wav", vec![0; 5_000_000], "audio/wav").send().await;
    assert!(big.unwrap_err().is_request());
    let report = call.emulator.report();
    assert_eq!((report.connections_cut, report.bodies, report.of(STT).billed), (1, 0, 0));
    assert_eq!(report.of(STT).in_flight, 0);
}

#[tokio::test]
async fn an_answer_that_is_lost_was_paid_for() {
    let call = faulty("lost=1").await;
    assert!(call.upload(STT, "a.wav", wav(0), "audio/wav").send().await.is_err());
    let report = call.emulator.report();
    assert_eq!((report.connections_cut, report.bodies, report.of(STT).billed_ms), (1, 1, 1000));
    assert_eq!(report.of(STT).in_flight, 0);
}

#[tokio::test]
async fn an_answer_can_break_off_in_the_middle() {
    let call = faulty("cut=1").await;
    let answer = call.good(STT).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());
    call.when(|report| report.of(STT).in_flight == 0).await;
}

#[tokio::test]
async fn answers_can_be_cut_short_empty_or_a_page() {
    let cut = faulty("truncated=1").await.good(STT).await;
    assert_eq!(
        (cut.status().as_u16(), cut.headers()["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    let body = cut.bytes().await.unwrap();
    assert!(body.starts_with(b"{") && serde_json::from_slice::<Value>(&body).is_err());

    let empty = faulty("empty=1").await.good(STT).await;
    assert_eq!((empty.status().as_u16(), empty.bytes().await.unwrap().len()), (200, 0));

    let page = faulty("html=1").await.good(STT).await;
    assert_eq!(
        (page.status().as_u16(), page.headers()["content-type"].to_str().unwrap()),
        (502, "text/html")
    );
}

#[tokio::test]
async fn a_stall_makes_an_answer_late_and_keeps_its_slot() {
    let stall_for = std::time::Duration::from_millis(40);
    for faults in [
        Faults { stall: 1.0, stall_for, ..Faults::default() },
        Faults { stall_upload: 1.0, stall_for, ..Faults::default() },
    ] {
        let call = Call::to(Settings { faults, ..Settings::default() }).await;
        let began = std::time::Instant::now();
        json(call.good(STT).await).await;
        assert!(began.elapsed() >= stall_for);
        assert!(call.emulator.report().of(STT).busy_slot_ms >= 40.0);
    }
}

#[tokio::test]
async fn mime_types_are_held_against_the_content_or_only_counted() {
    let rows = [
        ("a.wav", "audio/wav", 200, 0, 0),
        ("a.wav", "audio/x-wav", 400, 1, 0),
        ("a.wav", "application/octet-stream", 400, 1, 1),
        ("a.mp3", "audio/mpeg", 400, 1, 0),
        ("a.mp3", "audio/wav", 400, 1, 0),
    ];
    for (name, mime, status, mismatches, octet_streams) in rows {
        let strict = Call::to(Settings::default()).await;
        assert_eq!(
            strict.upload(STT, name, wav(0), mime).send().await.unwrap().status(),
            status,
            "{name} {mime}"
        );
        let lenient = Call::to(Settings { strict_mime: false, ..Settings::default() }).await;
        assert_eq!(lenient.upload(STT, name, wav(0), mime).send().await.unwrap().status(), 200);
        for call in [strict, lenient] {
            let report = call.emulator.report();
            assert_eq!(
                (report.mime_mismatches, report.octet_stream_uploads),
                (mismatches, octet_streams),
                "{name} {mime}"
            );
        }
    }
}

#[tokio::test]
async fn what_would_take_longer_than_a_minute_times_out_unbilled() {
    let latency = Latency { fixed: std::time::Duration::from_secs(61), ..Latency::default() };
    let call = Call::to(Settings { latency: latency.clone(), ..Settings::default() }).await;
    assert_eq!(call.good(STT).await.status(), 504);
    assert_eq!(call.emulator.report().of(STT).billed, 0);
    let patient = Call::to(Settings { latency, time_limit: None, ..Settings::default() }).await;
    assert_eq!(patient.good(STT).await.status(), 200);
}

#[tokio::test]
async fn the_old_fast_model_takes_opus_alone() {
    let call = Call::to(Settings { vfast_only_opus: true, ..Settings::default() }).await;
    assert_eq!(call.good(FAST).await.status(), 400);
    assert_eq!(call.sample(FAST, "kitchen.opus", &[]).await.status(), 200);
    assert_eq!(call.good(STT).await.status(), 200);
}

#[tokio::test]
async fn voice_detection_can_answer_403_in_any_contract() {
    let settings = Settings {
        contract: Contract::C,
        svd_limits_as_403: Some(true),
        keys: vec![],
        ..Settings::default()
    };
    let call = Call::to(settings).await;
    assert_eq!(call.good(VOICE).await.status(), 403);
    assert_eq!(call.good(STT).await.status(), 401);
}

#[tokio::test]
async fn a_missing_user_agent_is_counted_and_may_meet_a_firewall() {
    for (refuse_missing_user_agent, status) in [(false, 200), (true, 403)] {
        let call = Call::to(Settings { refuse_missing_user_agent, ..Settings::default() }).await;
        let nameless = Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/{STT}", call.emulator.base_url());
        let request = nameless.post(url).header("x-api-key", "emulator-key").multipart(form(
            "a.wav",
            wav(0),
            "audio/wav",
        ));
        assert_eq!(request.send().await.unwrap().status(), status);
        assert_eq!(call.emulator.report().missing_user_agent, 1);
    }
}

#[tokio::test]
async fn a_large_upload_goes_by_way_of_the_disk() {
    let call = Call::to(Settings::default()).await;
    let answer = call.upload(FAST, "long.wav", wav_ms(600_000, 0), "audio/wav").send().await.unwrap();
    assert_eq!(json(answer).await["duration_ms"], 600_000);
    assert_eq!(call.emulator.report().body_bytes, 9_600_044);
}

/// What a client with unlimited patience meets, try by try, until the ending is clear.
#[tokio::test]
async fn the_outcome_table_comes_true() {
    let faults = Faults { stall_for: std::time::Duration::from_millis(1), ..Faults::default() };
    let call = Call::to(Settings { script: true, faults, ..Settings::default() }).await;
    for (salt, outcome) in (0u16..).zip(OUTCOMES) {
        let name = format!("{}-7.wav", outcome.name);
        let mut counted = 0;
        let ended = loop {
            let sent = call.upload(STT, &name, wav(salt), "audio/wav").send().await;
            let (status, body) = match sent {
                Ok(answer) => (answer.status().as_u16(), answer.bytes().await.unwrap_or_default()),
                Err(_) => (0, Default::default()),
            };
            counted += u32::from(status != 429);
            match status {
                200 if serde_json::from_slice::<Value>(&body).is_ok() => break Ending::Succeeded,
                400 => break Ending::Failed("unreadable_audio"),
                413 => break Ending::Failed("too_big"),
                500 if counted == 5 => break Ending::Failed("server_error"),
                _ => assert!(counted < 6, "{name} never ends"),
            }
        };
        assert_eq!(ended, outcome.ends, "{name}");
        assert!(outcome.attempts.is_none_or(|attempts| attempts == counted), "{name}: {counted}");
    }
    let report = call.emulator.report();
    assert!(report.of(STT).billed_ms > report.of(STT).unique_ms, "a lost answer is billed twice");
}

#[tokio::test]
async fn names_mean_nothing_unless_scripted() {
    let call = Call::to(Settings::default()).await;
    for outcome in OUTCOMES {
        let name = format!("{}.wav", outcome.name);
        assert_eq!(call.upload(STT, &name, wav(0), "audio/wav").send().await.unwrap().status(), 200);
    }
    let speechless = OUTCOMES.iter().find(|outcome| outcome.act == Act::NoSpeech).unwrap();
    let script = Call::to(Settings { script: true, ..Settings::default() }).await;
    let answer =
        script.upload(STT, &format!("{}.wav", speechless.name), wav(0), "audio/wav").send().await.unwrap();
    let answer = json(answer).await;
    assert_eq!((answer["text"].as_str(), answer["utterances"].as_array().map(Vec::len)), (Some(""), Some(0)));
}
