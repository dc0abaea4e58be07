//! Streaming connections that go wrong, each in its way.

use serde_json::json;

use super::wire::*;
use super::*;
use crate::emulator::{Change, Contract, Faults, SocketFaults};

async fn with(contract: Contract, faults: &str) -> Call {
    let faults: Faults = faults.parse().unwrap();
    Call::to(Settings { contract, faults, ..Settings::default() }).await
}

#[tokio::test]
async fn failures_of_the_service_have_codes() {
    let try_again = "The service is temporarily unavailable. Please try again later.";
    for (contract, fault, code, words) in [
        (Contract::A, "500=1", 1011, "Internal server error"),
        (Contract::C, "500=1", 1011, "Internal server error"),
        (Contract::B, "502=1", 4003, "Unable to validate request. Please try again."),
        (Contract::C, "502=1", 1011, "Unable to validate request. Please try again."),
        (Contract::C, "503=1", 1013, try_again),
        (Contract::B, "503=1", 1011, try_again),
        (Contract::C, "504=1", 1011, "The request timed out. Please try again."),
        (Contract::C, "html=1", 1011, "Internal server error"),
        (
            Contract::C,
            "429=1",
            4030,
            "Concurrent request limit reached. Please retry after your in-flight requests complete.",
        ),
    ] {
        let call = with(contract, fault).await;
        let read = call.second(S_STT).await;
        assert_eq!((read.code(), read.error()), (code, words), "{contract:?} {fault}");
        assert!(read.of("done").is_empty());
        let report = call.emulator.report();
        assert_eq!((report.of(S_STT).billed, report.of(S_STT).in_flight), (0, 0));
        assert_eq!(report.sockets[0].code, Some(code));
    }
}

#[tokio::test]
async fn an_unknown_throttle_is_4029() {
    let faults = Faults { rate_429: 1.0, unknown_429_text: true, ..Faults::default() };
    let call = Call::to(Settings { contract: Contract::C, faults, ..Settings::default() }).await;
    let read = call.second(S_STT).await;
    assert_eq!((read.code(), read.error()), (4029, "Request not accepted at this time (code 7)."));
}

#[tokio::test]
async fn a_close_in_the_middle_is_paid_for() {
    let call = with(Contract::C, "midway=1").await;
    let mut wire = call.stream(S_ENGLISH, RAW).await;
    wire.audio(&pcm(60_000, 0)).await;
    let read = wire.read().await;
    assert_eq!((read.code(), read.error()), (1011, "Internal server error"));
    let report = call.emulator.report();
    let billed = report.of(S_ENGLISH).billed_ms;
    assert!((1000..2000).contains(&billed), "{billed}");
    assert_eq!(report.sockets[0].audio_ms, billed);
    // One that ends before the middle is closed at its end.
    assert_eq!(call.streamed(S_ENGLISH, RAW, &pcm(200, 0)).await.code(), 1011);
}

#[tokio::test]
async fn without_done_all_results_and_a_good_close_are_not_the_end() {
    let call = with(Contract::C, "no-done=1").await;
    let read = call.second(S_STT).await;
    assert_eq!((read.kinds(), read.code()), (vec!["utterance"], 1000));
    let report = call.emulator.report();
    assert_eq!((&*report.sockets[0].cause, report.spoiled, report.of(S_STT).billed), ("unfinished", 1, 1));
}

#[tokio::test]
async fn something_binary_may_follow_done() {
    let call = with(Contract::C, "late-binary=1").await;
    let read = call.second(S_STT).await;
    assert_eq!(read.kinds(), ["utterance", "done"]);
    assert_eq!(read.audio, [(2, b"late".to_vec())]);
}

#[tokio::test]
async fn utterances_may_come_out_of_order_with_the_right_times() {
    let faults =
        Faults { sockets: SocketFaults { disorder: 1.0, ..SocketFaults::default() }, ..Faults::default() };
    let call = Call::to(Settings { faults, ..Settings::default() }).await;
    let audio = pcm(13_000, 0);
    let messy = call.streamed(S_STT, RAW, &audio).await;
    let starts: Vec<_> = messy
        .of("utterance")
        .iter()
        .map(|message| message["utterance"]["start_ms"].as_u64().unwrap())
        .collect();
    assert_eq!(starts, [4333, 0, 8666]);
    call.emulator.control(Change::Faults(Faults::default()));
    let tidy = call.streamed(S_STT, RAW, &audio).await;
    let mut sorted = messy.messages.clone();
    sorted.sort_by_key(|message| message["utterance"]["start_ms"].as_u64().unwrap_or(u64::MAX));
    assert_eq!(sorted, tidy.messages);

    // Audio is never sent twice: what an earlier clip has covered has none of its own.
    call.emulator.control(Change::Faults("disorder=1".parse().unwrap()));
    let redacted = call.streamed(S_REDACTION, RAW, &audio).await;
    let clips: Vec<_> =
        redacted.of("utterance").iter().map(|message| message["redacted_audio"].clone()).collect();
    assert_eq!(clips[0], json!({"start_ms": 0, "duration_ms": 8666}));
    assert_eq!((clips[1].clone(), redacted.audio.len()), (Value::Null, 2));
}

#[tokio::test]
async fn connections_break_without_a_close() {
    for (fault, billed) in [("reset=1", 0), ("lost=1", 1), ("cut=1", 1)] {
        let call = with(Contract::C, fault).await;
        let read = call.streamed(S_STT, RAW, &pcm(13_000, 0)).await;
        assert_eq!(read.close, None, "{fault}");
        assert!(read.of("done").is_empty());
        let report = call.emulator.report();
        assert_eq!((report.of(S_STT).billed, report.connections_cut), (billed, 1), "{fault}");
        assert_eq!((report.of(S_STT).in_flight, &*report.sockets[0].cause), (0, "cut"));
    }
}

#[tokio::test]
async fn a_done_may_be_cut_short_or_everything_be_missing() {
    let call = with(Contract::C, "truncated=1").await;
    let read = call.second(S_STT).await;
    assert_eq!((read.kinds(), read.code()), (vec!["utterance", "broken"], 1000));
    let call = with(Contract::C, "empty=1").await;
    let read = call.second(S_STT).await;
    assert_eq!((read.messages.len(), read.code()), (0, 1000));
}

#[tokio::test(start_paused = true)]
async fn reading_may_stall() {
    let (time, call) = (Still::keep(), with(Contract::C, "stall-upload=1").await);
    let mut wire = call.stream(S_STT, RAW).await;
    wire.audio(&pcm(1000, 0)).await;
    wire.text("").await;
    call.when_or_ended(|report| report.socket_messages == 1).await;
    time.pass(4).await;
    let report = call.emulator.report();
    assert_eq!((report.socket_messages, report.of(S_STT).in_flight), (1, 1), "nothing more is read");
    time.pass(1).await;
    assert_eq!(wire.read().await.of("done")[0]["duration_ms"], 1000);
}

#[tokio::test(start_paused = true)]
async fn results_may_be_late() {
    let (time, call) = (Still::keep(), with(Contract::C, "stall=1").await);
    let mut wire = call.stream(S_STT, RAW).await;
    wire.audio(&pcm(1000, 0)).await;
    wire.text("").await;
    call.when_or_ended(|report| report.of(S_STT).billed == 1).await;
    time.pass(4).await;
    assert_eq!(call.emulator.report().of(S_STT).in_flight, 1);
    time.pass(1).await;
    assert_eq!(wire.read().await.kinds(), ["utterance", "done"]);
}

#[tokio::test]
async fn the_end_of_the_emulator_breaks_connections_off() {
    let call = with(Contract::C, "").await;
    let mut wire = call.stream(S_STT, RAW).await;
    wire.audio(&pcm(100, 0)).await;
    call.emulator.stop().await;
    assert_eq!(wire.read().await.close, None);
}
