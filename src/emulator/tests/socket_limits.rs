//! Streaming connections and the account: keys, slots, hours, credits, minutes.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Error;

use super::wire::*;
use super::*;
use crate::emulator::{Change, Contract, ModelLimits, Sockets};

fn with(contract: Contract) -> Settings {
    Settings { contract, ..Settings::default() }
}

fn limited(contract: Contract, limits: ModelLimits) -> Settings {
    let models = STREAMS.map(|model| (model.to_owned(), limits.clone())).into();
    Settings { contract, models, ..Settings::default() }
}

#[tokio::test]
async fn keys_are_refused_with_a_code_and_words() {
    for (contract, model, code, words) in [
        (Contract::A, S_ENGLISH, 4001, "Invalid API key."),
        (Contract::A, S_VOICE, 4003, "Invalid API key."),
        (Contract::B, S_STT, 4003, "This request is not permitted."),
        (Contract::C, S_VELMA, 4001, "Invalid API key."),
    ] {
        let call = Call::to(with(contract)).await;
        let read = call.connect(model, &format!("api_key=stolen&{RAW}")).await.unwrap().read().await;
        assert_eq!((read.code(), read.error()), (code, words));
        assert_eq!(read.close.unwrap().1, words, "the reason says it too");
        let missing = call.connect(model, RAW).await.unwrap().read().await;
        assert_eq!(missing.code(), code);
        let report = call.emulator.report();
        assert_eq!((report.refused("key"), report.refused("missing_key")), (1, 1));
        assert_eq!(report.sockets[0].cause, "key");
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let call = Call::to(with(Contract::C)).await;
    let mut wire = call.connect(S_ENGLISH, &format!("api_key=stolen&{RAW}")).await.unwrap();
    // More than the buffers between the two hold.
    wire.audio(&pcm(300_000, 0)).await;
    let read = wire.read().await;
    assert_eq!((read.code(), read.error()), (4001, "Invalid API key."));
}

#[tokio::test]
async fn silent_closes_say_a_code_and_nothing_else() {
    let sockets = Sockets { silent_closes: true, ..Sockets::default() };
    let call = Call::to(Settings { sockets, ..with(Contract::A) }).await;
    let read = call.connect(S_ENGLISH, "api_key=stolen").await.unwrap().read().await;
    assert_eq!((read.messages.len(), read.close), (0, Some((4001, String::new()))));
}

#[tokio::test]
async fn the_handshake_itself_may_be_refused() {
    let sockets = Sockets { refuse_at_handshake: true, ..Sockets::default() };
    let refused = |error: Error| match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    };
    let call = Call::to(Settings { sockets, ..with(Contract::C) }).await;
    assert_eq!(call.connect(S_STT, "api_key=stolen").await.map(drop).map_err(refused), Err(401));
    let none = ModelLimits { concurrent: 0, ..ModelLimits::default() };
    call.emulator.control(Change::Model { name: S_STT.to_owned(), limits: none });
    assert_eq!(call.connect(S_STT, "api_key=emulator-key").await.map(drop).map_err(refused), Err(429));
    let off = ModelLimits { enabled: false, ..ModelLimits::default() };
    call.emulator.control(Change::Model { name: S_STT.to_owned(), limits: off });
    assert_eq!(call.connect(S_STT, "api_key=emulator-key").await.map(drop).map_err(refused), Err(403));
    let report = call.emulator.report();
    assert_eq!((report.of(S_STT).statuses[&401], report.peak_sockets), (1, 0));

    // A firewall in front does so in any case.
    let call = Call::to(Settings { refuse_missing_user_agent: true, ..Settings::default() }).await;
    assert_eq!(call.connect(S_STT, "api_key=emulator-key").await.map(drop).map_err(refused), Err(403));
}

#[tokio::test]
async fn connections_hold_slots_until_they_are_done() {
    for (contract, model, code) in [
        (Contract::A, S_ENGLISH, 4029),
        (Contract::A, S_VOICE, 4003),
        (Contract::B, S_STT, 4029),
        (Contract::C, S_REDACTION, 4030),
    ] {
        let call = Call::to(limited(contract, ModelLimits { concurrent: 1, ..Default::default() })).await;
        let mut wire = call.stream(model, RAW).await;
        let refused = call.stream(model, RAW).await.read().await;
        assert_eq!(refused.code(), code, "{contract:?} {model}: {}", refused.error());
        wire.audio(&pcm(1000, 0)).await;
        wire.text("").await;
        assert_eq!(wire.read().await.code(), 1000);
        // Whoever has seen `done` finds the slot free.
        for _ in 0..10 {
            assert_eq!(call.second(model).await.code(), 1000);
        }
        let report = call.emulator.report();
        assert_eq!((report.of(model).peak_in_flight, report.of(model).in_flight), (1, 0));
        assert_eq!(report.peak_sockets, 2, "the refused one was open too");
    }
}

#[tokio::test]
async fn streaming_and_batch_have_limits_of_their_own_unless_told_otherwise() {
    for share_with_batch in [false, true] {
        let limits = ModelLimits { concurrent: 1, ..ModelLimits::default() };
        let models = [(STT.to_owned(), limits.clone()), (S_STT.to_owned(), limits)].into();
        let sockets = Sockets { share_with_batch, ..Sockets::default() };
        let call = Call::to(Settings { models, sockets, ..with(Contract::C) }).await;
        let mut wire = call.stream(S_STT, RAW).await;
        let status = call.good(STT).await.status();
        assert_eq!(status, if share_with_batch { 429 } else { 200 });
        wire.text("").await;
        wire.read().await;
        assert_eq!(call.good(STT).await.status(), 200);
    }
}

#[tokio::test]
async fn hours_and_credits_run_out() {
    for (contract, model, code) in [
        (Contract::A, S_STT, 4029),
        (Contract::A, S_VOICE, 4003),
        (Contract::B, S_STT, 4003),
        (Contract::C, S_STT, 4031),
    ] {
        let hours = ModelLimits { monthly_hours: Some(0.5 / 3600.0), ..Default::default() };
        let call = Call::to(limited(contract, hours)).await;
        assert_eq!(call.second(model).await.code(), 1000);
        assert_eq!(call.second(model).await.code(), code, "{contract:?} {model}");
        call.emulator.control(Change::NewMonth);
        assert_eq!(call.second(model).await.code(), 1000);
    }
    let call = Call::to(Settings { credits_hours: Some(0.5 / 3600.0), ..with(Contract::C) }).await;
    assert_eq!(call.second(S_ENGLISH).await.code(), 1000);
    let read = call.second(S_REDACTION).await;
    assert_eq!((read.code(), read.error()), (4029, "Insufficient credits."));
    assert_eq!(call.good(STT).await.status(), 429, "credits are one purse");
}

#[tokio::test]
async fn whoever_leaves_gives_the_slot_back_and_pays_for_what_was_heard() {
    let call = Call::to(limited(Contract::C, ModelLimits { concurrent: 1, ..Default::default() })).await;
    let mut wire = call.stream(S_VOICE, RAW).await;
    wire.audio(&pcm(4000, 0)).await;
    wire.next().await;
    drop(wire);
    call.when(|report| report.of(S_VOICE).in_flight == 0).await;
    call.when(|report| !report.sockets.is_empty()).await;
    let report = call.emulator.report();
    assert_eq!((report.of(S_VOICE).billed_ms, report.clients_gone, report.open_sockets), (4000, 1, 0));
    assert_eq!((&*report.sockets[0].cause, report.sockets[0].audio_ms), ("client_gone", 4000));

    // The same while the results are held back.
    call.emulator.control(Change::Hold);
    let mut wire = call.stream(S_VOICE, RAW).await;
    wire.audio(&pcm(1000, 0)).await;
    wire.text("").await;
    call.when(|report| report.of(S_VOICE).held == 1).await;
    drop(wire);
    call.when(|report| report.of(S_VOICE).in_flight == 0 && report.of(S_VOICE).held == 0).await;
    call.emulator.control(Change::Release);
    assert_eq!(call.second(S_VOICE).await.code(), 1000);
}

#[tokio::test]
async fn audio_after_the_end_is_counted_and_not_heard() {
    let call = Call::to(with(Contract::C)).await;
    call.emulator.control(Change::Hold);
    let mut wire = call.stream(S_STT, RAW).await;
    wire.audio(&pcm(1000, 0)).await;
    wire.text("").await;
    call.when(|report| report.of(S_STT).held == 1).await;
    wire.audio(&[0; 10]).await;
    // A second of audio came in four messages.
    call.when(|report| report.socket_messages == 5).await;
    call.emulator.control(Change::Release);
    assert_eq!(wire.read().await.of("done")[0]["duration_ms"], 1000);
    call.when(|report| !report.sockets.is_empty()).await;
    let seen = call.emulator.report().sockets[0].clone();
    assert_eq!((seen.messages, seen.late_messages, seen.bytes), (4, 1, 32_000));
}

/// Sends a little audio and waits until it was heard for the `times`th time.
async fn drop_in(call: &Call, wire: &mut Wire, times: u64) {
    wire.audio(&pcm(100, 0)).await;
    call.when_or_ended(|report| report.socket_messages == times).await;
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_audio_ends_it_with_its_results() {
    let (time, call) = (Still::keep(), Call::to(with(Contract::C)).await);
    let mut wire = call.stream(S_ENGLISH, RAW).await;
    drop_in(&call, &mut wire, 1).await;
    time.pass(59).await;
    drop_in(&call, &mut wire, 2).await;
    time.pass(59).await;
    // A sign of life is no audio.
    wire.ping().await;
    assert_eq!(call.emulator.report().of(S_ENGLISH).in_flight, 1, "still open");
    time.pass(1).await;
    let read = wire.read().await;
    assert_eq!((read.of("utterance").len(), read.code()), (1, 1000));
    assert_eq!(read.of("done")[0]["duration_ms"], 200);
    assert_eq!(call.emulator.report().of(S_ENGLISH).billed_ms, 200);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_alone_does_not_keep_it_open() {
    let (time, call) = (Still::keep(), Call::to(with(Contract::C)).await);
    let mut wire = call.stream(S_STT, RAW).await;
    wire.text("{}").await;
    time.pass(60).await;
    let read = wire.read().await;
    assert_eq!((read.kinds(), read.code()), (vec!["done"], 1000));
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_is_the_most_by_the_clock() {
    let (time, call) = (Still::keep(), Call::to(with(Contract::C)).await);
    let mut wire = call.stream(S_ENGLISH, RAW).await;
    // As slowly as possible without being idle.
    for times in 1..=36 {
        drop_in(&call, &mut wire, times).await;
        time.pass(if times == 36 { 49 } else { 50 }).await;
    }
    assert_eq!(call.emulator.report().of(S_ENGLISH).in_flight, 1, "still open");
    time.pass(1).await;
    let read = wire.read().await;
    assert_eq!((read.code(), read.of("done")[0]["duration_ms"].as_u64()), (1000, Some(3600)));
}

#[tokio::test]
async fn half_an_hour_is_the_most_by_the_audio_too() {
    let sockets = Sockets { longest: Duration::from_secs(10), ..Sockets::default() };
    let call = Call::to(Settings { sockets, ..with(Contract::C) }).await;
    // Nobody says that the audio has ended.
    let mut wire = call.stream(S_ENGLISH, RAW).await;
    wire.audio(&pcm(20_000, 0)).await;
    let read = wire.read().await;
    let told = read.of("done")[0]["duration_ms"].as_u64().unwrap();
    assert!((10_000..11_000).contains(&told), "{told}");
    assert_eq!(call.emulator.report().of(S_ENGLISH).billed_ms, told);
}

#[tokio::test]
async fn what_is_told_and_what_was_seen_travel_as_json() {
    let call = Call::to(with(Contract::C)).await;
    let base = call.emulator.base_url();
    let told = serde_json::json!([
        { "sockets": { "longest_ms": 2000, "silent_closes": true } },
        { "faults": { "sockets": { "no_done": 1.0 } } },
        { "platform": { "completed": "finished", "state_for_ms": 5 } },
    ]);
    let url = format!("{base}/emulator/control");
    assert_eq!(call.client.post(&url).json(&told).send().await.unwrap().status(), 204);
    let mistyped = serde_json::json!({ "sockets": { "longest": 2000 } });
    assert_eq!(call.client.post(&url).json(&mistyped).send().await.unwrap().status(), 422);
    let mut wire = call.stream(S_STT, RAW).await;
    wire.audio(&pcm(3000, 0)).await;
    assert_eq!(wire.read().await.kinds(), ["utterance"]);
    let seen = json(call.client.get(format!("{base}/emulator/report")).send().await.unwrap()).await;
    let socket = &seen["sockets"][0];
    assert_eq!(
        (&socket["model"], &socket["cause"], &socket["code"]),
        (&S_STT.into(), &"unfinished".into(), &1000.into())
    );
    assert_eq!((socket["sha256"].as_str().unwrap().len(), &seen["peak_sockets"]), (64, &1.into()));
}
