//! One try over connections that behave, misbehave and vanish. The server is hand-made: only frames are somebody
//! else's idea.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;
use crate::task::{Endpoint, Samples, Verdict};
use crate::velma::{Exchange, Options, Source, VelmaSettings, classify};

/// Its letters do not all survive an address or a JSON string.
const KEY: &str = "sk-secret/\"7f3a&+u";
const PIECES: [&str; 3] = ["sk-secret", "7f3a", "%227f3a"];
const LIVE: Endpoint = Endpoint::SttStreaming;

type Socket = WebSocketStream<TcpStream>;

fn client(base_url: &str) -> Client {
    let long = Duration::from_secs(20);
    Client::new(VelmaSettings {
        base_url: base_url.to_owned(),
        api_key: KEY.into(),
        connect_timeout: long,
        stall_timeout: long,
        answer_timeout: long,
        answer_timeout_per_mb: Duration::ZERO,
        stream_frame_bytes: 4096,
        platform: None,
    })
    .unwrap()
}

/// A server for one connection, and what its script returns.
async fn server<T, F>(script: impl FnOnce(Socket, String) -> F + Send + 'static) -> (Client, JoinHandle<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut head = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let look = |request: &Request, response: Response| {
            let agent = request.headers().get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or("none");
            head = format!("{} {agent}", request.uri());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        script(socket, head).await
    });
    (client(&format!("http://{address}")), serving)
}

/// A bare server that answers the handshake with this.
async fn answering(answer: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    client(&format!("http://{address}"))
}

/// Everything up to the empty message: texts, and all bytes.
async fn listened(socket: &mut Socket) -> (Vec<String>, Vec<u8>) {
    let (mut texts, mut bytes) = (Vec::new(), Vec::new());
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) if text.is_empty() => return (texts, bytes),
            Message::Text(text) => texts.push(text.to_string()),
            Message::Binary(piece) => {
                assert!(piece.len() <= 4096);
                bytes.extend_from_slice(&piece);
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

async fn close(socket: &mut Socket, code: u16, reason: &str) {
    let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
    socket.close(Some(frame)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

const MULAW: Samples = Samples { encoding: "mulaw", bytes: 1, rate: 8000, channels: 2 };

/// Forty-four bytes that are not sent, then sound, then a tag.
fn recording(sound: usize) -> Vec<u8> {
    let mut bytes = vec![b'h'; 44];
    bytes.extend((0..sound).map(|n| n as u8));
    bytes.extend(b"TAG");
    bytes
}

fn samples(bytes: u64) -> Streamed {
    let carriage = Carriage::Samples { kind: MULAW, at: 44, bytes };
    Streamed { carriage, decoded: None, estimated_ms: 0 }
}

async fn send(client: &Client, endpoint: Endpoint, options: serde_json::Value, sound: usize) -> Exchange {
    send_as(
        client,
        endpoint,
        options,
        recording(sound),
        samples(sound as u64),
        None,
        &CancellationToken::new(),
    )
    .await
}

async fn send_as(
    client: &Client,
    endpoint: Endpoint,
    options: serde_json::Value,
    bytes: Vec<u8>,
    streamed: Streamed,
    beside: Option<&Path>,
    abort: &CancellationToken,
) -> Exchange {
    let options = Options::parse(endpoint, &options).unwrap();
    let submission = Submission {
        endpoint,
        options: &options,
        len: bytes.len() as u64,
        source: Source::Whole(bytes.into(), None),
        upload_name: "call.wav",
        mime: "audio/wav",
        audio_beside: beside,
        abort,
        streamed: Some(streamed),
    };
    let exchange = tokio::time::timeout(Duration::from_secs(60), client.submit(submission)).await.unwrap();
    let told = format!("{exchange:?}");
    for piece in PIECES {
        assert!(!told.contains(piece), "{told}");
    }
    exchange
}

fn body(exchange: &Exchange) -> &str {
    std::str::from_utf8(&exchange.outcome.as_ref().unwrap().body).unwrap()
}

#[tokio::test]
async fn what_is_sent_is_the_sound_alone_after_what_was_asked_and_before_the_end() {
    let (client, serving) = server(|mut socket, head| async move {
        let heard = listened(&mut socket).await;
        say(&mut socket, r#"{"type":"done","duration_ms":500}"#).await;
        close(&mut socket, 1000, "").await;
        (head, heard)
    })
    .await;
    let options = serde_json::json!({ "emotion_signal": true, "custom_terms": ["Velma"] });
    let exchange = send(&client, LIVE, options, 10_000).await;
    let (head, (texts, bytes)) = serving.await.unwrap();
    assert_eq!(
        head,
        "/api/velma-2-stt-streaming?api_key=sk-secret%2F%227f3a%26%2Bu&audio_format=mulaw&sample_rate=8000\
         &num_channels=2&emotion_signal=true "
            .to_owned()
            + concat!("voxbatch/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(texts, [r#"{"custom_terms":["Velma"]}"#]);
    assert_eq!(bytes, recording(10_000)[44..10_044]);
    assert_eq!((exchange.bytes_sent, exchange.body_sent), (10_000, true));
    assert_eq!(exchange.blake3, Some(blake3::hash(&recording(10_000)).to_string()), "of the whole file");
    assert_eq!(body(&exchange), r#"{"text":"","duration_ms":500,"utterances":[]}"#);
    assert_eq!(classify(LIVE, &exchange), Verdict::Success);
}

#[tokio::test]
async fn an_analysis_is_configured_before_anything_is_heard() {
    for (options, first) in [
        (serde_json::json!({}), "default"),
        (serde_json::json!({ "config": "default" }), "default"),
        (serde_json::json!({ "config": { "produce_summary": false } }), r#"{"produce_summary":false}"#),
    ] {
        let (client, serving) = server(|mut socket, _| async move {
            let (texts, _) = listened(&mut socket).await;
            say(&mut socket, r#"{"type":"done","duration_ms":1}"#).await;
            texts
        })
        .await;
        let exchange = send(&client, Endpoint::Streaming, options, 100).await;
        assert_eq!(serving.await.unwrap(), [first]);
        assert_eq!(classify(Endpoint::Streaming, &exchange), Verdict::Success, "though nobody closed it");
    }
}

#[tokio::test]
async fn what_is_decoded_goes_out_after_the_file_has_been_read() {
    let (client, serving) = server(|mut socket, head| async move {
        let (_, bytes) = listened(&mut socket).await;
        say(&mut socket, r#"{"type":"done","duration_ms":1}"#).await;
        (head, bytes)
    })
    .await;
    let pieces = vec![Ok(vec![1; 5000]), Ok(Vec::new()), Ok(vec![2; 3])];
    let decoded = Some(Decoded(Box::new(pieces.into_iter())));
    let streamed = Streamed { carriage: Carriage::Decoded, decoded, estimated_ms: 0 };
    let abort = CancellationToken::new();
    let file = b"a film".to_vec();
    let exchange = send_as(&client, LIVE, serde_json::json!({}), file, streamed, None, &abort).await;
    let (head, bytes) = serving.await.unwrap();
    assert!(head.contains("audio_format=s16le&sample_rate=16000&num_channels=1"), "{head}");
    assert_eq!(bytes, [vec![1; 5000], vec![2; 3]].concat());
    assert_eq!(exchange.blake3, Some(blake3::hash(b"a film").to_string()));
}

#[tokio::test]
async fn what_cannot_be_decoded_ends_the_connection_and_concerns_the_file() {
    let (client, serving) =
        server(|mut socket, _| async move { while let Some(Ok(_)) = socket.next().await {} }).await;
    let pieces = vec![Ok(vec![1; 5000]), Err("noise".to_owned())];
    let decoded = Some(Decoded(Box::new(pieces.into_iter())));
    let streamed = Streamed { carriage: Carriage::Decoded, decoded, estimated_ms: 0 };
    let abort = CancellationToken::new();
    let exchange = send_as(&client, LIVE, serde_json::json!({}), b"x".to_vec(), streamed, None, &abort).await;
    assert!(matches!(classify(LIVE, &exchange), Verdict::FileFault(_)), "{exchange:?}");
    assert!(!exchange.body_sent);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_heard_while_the_sound_is_still_being_sent() {
    let (client, _serving) = server(|mut socket, _| async move {
        socket.next().await.unwrap().unwrap();
        say(&mut socket, r#"{"type":"error","error":"Concurrent request limit reached."}"#).await;
        close(&mut socket, 4030, "").await;
    })
    .await;
    let exchange = send(&client, LIVE, serde_json::json!({}), 5_000_000).await;
    assert!(!exchange.body_sent);
    assert_eq!(exchange.outcome.as_ref().unwrap().status, 4030);
    assert!(matches!(classify(LIVE, &exchange), Verdict::Throttled(_)), "{exchange:?}");
}

#[tokio::test]
async fn an_end_without_done_is_no_answer_whatever_was_told_before() {
    for (code, words, reason, expected) in [
        (1000, "", "", "AnswerLost"),
        (1000, r#"{"type":"done","durat"#, "", "AnswerLost"),
        (1011, "", "", "ServerError"),
        (1006, r#"{"type":"error","error":"Internal server error"}"#, "", "ServerError"),
        (4001, "", "", "Unclear"),
        (4002, "", "", "UnreadableAudio"),
        (4029, "", "Insufficient credits.", "Credits"),
        (4031, "", "", "MonthlyHours"),
    ] {
        let (client, serving) = server(move |mut socket, _| async move {
            listened(&mut socket).await;
            say(&mut socket, r#"{"type":"utterance","utterance":{"text":"hello","start_ms":0}}"#).await;
            if !words.is_empty() {
                say(&mut socket, words).await;
            }
            // Nobody may close with 1006: the line goes dead instead.
            if code != 1006 {
                close(&mut socket, code, reason).await;
            }
        })
        .await;
        let exchange = send(&client, LIVE, serde_json::json!({}), 100).await;
        serving.await.unwrap();
        assert_eq!(exchange.outcome.as_ref().unwrap().status, code);
        let verdict = classify(LIVE, &exchange);
        assert_eq!(format!("{:?}", verdict.failure().unwrap().cause), expected, "{code} {words}{reason}");
        assert!(!format!("{verdict:?}").contains("hello"));
    }
}

#[tokio::test]
async fn a_line_that_goes_dead_after_the_end_of_the_sound_loses_an_answer() {
    let (client, serving) = server(|mut socket, _| async move { drop(listened(&mut socket).await) }).await;
    let exchange = send(&client, LIVE, serde_json::json!({}), 100).await;
    serving.await.unwrap();
    assert!(matches!(exchange.outcome, Err(TransportError::AnswerLost(_))), "{exchange:?}");
    assert!(exchange.body_sent);
}

#[tokio::test]
async fn an_answer_that_came_is_kept_although_the_server_never_closes_and_we_are_told_to_stop() {
    let (told, hears) = oneshot::channel();
    let (client, _serving) = server(|mut socket, _| async move {
        listened(&mut socket).await;
        say(&mut socket, r#"{"type":"done","duration_ms":7}"#).await;
        // Our close shows that the answer has been taken.
        while !matches!(socket.next().await, Some(Ok(Message::Close(_))) | None) {}
        told.send(()).unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let abort = CancellationToken::new();
    let stop = abort.clone();
    tokio::spawn(async move {
        hears.await.unwrap();
        stop.cancel();
    });
    let sending = send_as(&client, LIVE, serde_json::json!({}), recording(10), samples(10), None, &abort);
    assert_eq!(classify(LIVE, &sending.await), Verdict::Success);
}

#[tokio::test]
async fn a_stop_in_the_middle_is_one() {
    let abort = CancellationToken::new();
    let stop = abort.clone();
    let (client, _serving) = server(|mut socket, _| async move {
        socket.next().await.unwrap().unwrap();
        stop.cancel();
        std::future::pending::<()>().await;
    })
    .await;
    let sending = send_as(&client, LIVE, serde_json::json!({}), recording(9000), samples(9000), None, &abort);
    let exchange = sending.await;
    assert_eq!(exchange.outcome.as_ref().err(), Some(&TransportError::Aborted));
    assert!(exchange.bytes_sent > 0);
}

#[tokio::test]
async fn a_done_before_the_sound_has_ended_is_no_success() {
    let (client, _serving) = server(|mut socket, _| async move {
        socket.next().await.unwrap().unwrap();
        say(&mut socket, r#"{"type":"done","duration_ms":7}"#).await;
        close(&mut socket, 1000, "").await;
    })
    .await;
    let exchange = send(&client, LIVE, serde_json::json!({}), 5_000_000).await;
    let failure = classify(LIVE, &exchange).failure().cloned().unwrap();
    assert_eq!(failure.cause, crate::task::Cause::BadAnswer);
}

#[tokio::test]
async fn redacted_audio_lies_beside_its_place_in_pieces_and_what_nobody_told_of_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("call.wav.redacted.wav");
    let (client, _serving) = server(|mut socket, _| async move {
        listened(&mut socket).await;
        let at = |start: u64| format!(r#"{{"start_ms":{start},"duration_ms":500}}"#);
        say(
            &mut socket,
            &format!(r#"{{"type":"utterance","utterance":{{"text":"a"}},"redacted_audio":{}}}"#, at(0)),
        )
        .await;
        socket.send(Message::Binary(Bytes::from_static(b"one"))).await.unwrap();
        socket.send(Message::Binary(Bytes::from_static(b"stray"))).await.unwrap();
        say(&mut socket, r#"{"type":"utterance","utterance":{"text":"b"},"redacted_audio":null}"#).await;
        say(
            &mut socket,
            &format!(r#"{{"type":"done","duration_ms":1000,"trailing_redacted_audio":{}}}"#, at(500)),
        )
        .await;
        socket.send(Message::Binary(Bytes::from_static(b"two!"))).await.unwrap();
        socket.send(Message::Binary(Bytes::from_static(b"late"))).await.unwrap();
        close(&mut socket, 1000, "").await;
    })
    .await;
    let abort = CancellationToken::new();
    let redaction = Endpoint::PiiPhiRedactionStreaming;
    let sending =
        send_as(&client, redaction, serde_json::json!({}), recording(10), samples(10), Some(&place), &abort);
    let exchange = sending.await;
    assert_eq!(classify(redaction, &exchange), Verdict::Success);
    let audio = exchange.outcome.unwrap().audio.unwrap();
    let clips: Vec<_> = audio.clips.iter().map(|c| (c.start_ms, c.duration_ms, c.bytes)).collect();
    assert_eq!(clips, [(0, 500, 3), (500, 500, 4)]);
    audio.persist(&place).unwrap();
    assert_eq!(std::fs::read(&place).unwrap(), b"onetwo!");
}

#[tokio::test]
async fn a_redaction_whose_audio_does_not_come_is_cut_off() {
    for trailing in [true, false] {
        let (client, _serving) = server(move |mut socket, _| async move {
            listened(&mut socket).await;
            let at = r#"{"start_ms":0,"duration_ms":500}"#;
            let (first, last) = if trailing { ("null", at) } else { (at, "null") };
            say(
                &mut socket,
                &format!(r#"{{"type":"utterance","utterance":{{"text":"a"}},"redacted_audio":{first}}}"#),
            )
            .await;
            say(
                &mut socket,
                &format!(r#"{{"type":"done","duration_ms":1,"trailing_redacted_audio":{last}}}"#),
            )
            .await;
            close(&mut socket, 1000, "").await;
        })
        .await;
        let exchange = send(&client, Endpoint::PiiPhiRedactionStreaming, serde_json::json!({}), 10).await;
        let failure = classify(Endpoint::PiiPhiRedactionStreaming, &exchange).failure().cloned().unwrap();
        assert_eq!(failure.cause, crate::task::Cause::BadAnswer);
    }
}

#[tokio::test]
async fn a_handshake_can_be_refused_in_plain_http() {
    for (answer, status, verdict) in [
        (
            "HTTP/1.1 401 No\r\ncontent-length: 29\r\n\r\n{\"detail\":\"Invalid API key.\"}",
            401,
            "Unclear(Key",
        ),
        ("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", 403, "Unclear(Blocked"),
        ("HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy", 429, "Unclear(Throttle"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", 404, "Halted(ConfigRefused"),
        (
            "HTTP/1.1 301 No\r\nlocation: http://x/?api_key=y\r\ncontent-length: 0\r\n\r\n",
            301,
            "Halted(ConfigRefused",
        ),
    ] {
        let exchange = send(&answering(answer).await, LIVE, serde_json::json!({}), 10).await;
        assert_eq!(exchange.outcome.as_ref().unwrap().status, status);
        let judged = format!("{:?}", classify(LIVE, &exchange));
        assert!(judged.starts_with(verdict), "{judged}");
        assert_eq!(exchange.bytes_sent, 0);
    }
}

#[tokio::test]
async fn a_server_that_is_none_for_streams_is_no_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: AAAA\r\n\r\n",
        "SSH-2.0-x\r\n",
        "",
    ] {
        let exchange = send(&answering(answer).await, LIVE, serde_json::json!({}), 10).await;
        assert!(exchange.outcome.is_err(), "{answer}");
        let verdict = classify(LIVE, &exchange);
        assert!(
            matches!(&verdict, Verdict::Transient(f) if f.cause == crate::task::Cause::Connection),
            "{verdict:?}"
        );
    }
}

#[tokio::test]
async fn the_key_is_in_no_error_of_a_connection_that_never_was() {
    let free: SocketAddr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_at = plain.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await;
    });
    // Nobody there; no TLS there; a name that cannot be.
    for base in [format!("http://{free}"), format!("https://{plain_at}"), "http://nowhere.invalid".to_owned()]
    {
        let exchange = send(&client(&base), LIVE, serde_json::json!({}), 10).await;
        assert!(matches!(exchange.outcome, Err(TransportError::Connect(_))), "{base}: {exchange:?}");
        let told = exchange.outcome.unwrap_err().to_string();
        assert!(!told.contains("api_key") && !told.contains("?"), "{told}");
    }
}
