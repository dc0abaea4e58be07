//! One try against servers that behave, misbehave and vanish. Each server is a bare socket, so that the bytes are
//! what is tested and not another library's idea of them.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::task::{Billed, Cause, Doubt, Endpoint, HaltReason, Verdict};
use crate::velma::{Options, Source, classify as judge};

const KEY: &str = "sk-test/\"7f3a\"";
/// More than sockets buffer, so that a server that does not read holds the client up.
const LARGE: u64 = 40 << 20;
const GOOD: &str = r#"{"text":"hello","duration_ms":1200,"utterances":[]}"#;
const SHORT: Duration = Duration::from_millis(200);

fn settings(address: SocketAddr) -> VelmaSettings {
    VelmaSettings {
        base_url: format!("http://{address}"),
        api_key: KEY.into(),
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(5),
        answer_timeout_per_mb: Duration::ZERO,
        stream_frame_bytes: 32_000,
        platform: None,
    }
}

fn client(address: SocketAddr) -> Client {
    Client::new(settings(address)).unwrap()
}

/// A server for one connection. What its script returns comes out of the handle.
async fn server<T, F>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinHandle<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = async move { script(listener.accept().await.unwrap().0).await };
    (address, tokio::spawn(script))
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

async fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let head = read_head(stream).await;
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

async fn drain(stream: &mut TcpStream) -> usize {
    let (mut total, mut buffer) = (0, vec![0; 1 << 16]);
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        total += count;
    }
    total
}

async fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// A server that reads the whole request and then says this.
async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let script = |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        stream.write_all(&answer).await.unwrap();
    };
    server(script).await.0
}

struct Recording {
    _folder: tempfile::TempDir,
    path: PathBuf,
    len: u64,
}

fn recording(content: &[u8], len: u64) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut file = File::create(&path).unwrap();
    file.write_all(content).unwrap();
    file.set_len(len).unwrap();
    // Long ago, so that any later write is seen however coarse the clock of the file system is.
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    Recording { _folder: folder, path, len }
}

fn small() -> Recording {
    recording(b"RIFF....", 8)
}

fn large() -> Recording {
    recording(b"RIFF", LARGE)
}

impl Recording {
    fn submission<'a>(&self, options: &'a Options, abort: &'a CancellationToken) -> Submission<'a> {
        Submission {
            endpoint: Endpoint::SttBatch,
            options,
            source: Source::File(File::open(&self.path).unwrap()),
            len: self.len,
            upload_name: "call.wav",
            mime: "audio/wav",
            audio_beside: None,
            abort,
            streamed: None,
        }
    }

    async fn send(&self, client: &Client) -> Exchange {
        let (options, abort) = (Options::default(), CancellationToken::new());
        bounded(client.submit(self.submission(&options, &abort))).await
    }

    async fn redact(&self, client: &Client, beside: &Path) -> Exchange {
        let (options, abort) = (Options::default(), CancellationToken::new());
        let submission = self.submission(&options, &abort);
        let endpoint = Endpoint::PiiPhiRedactionBatch;
        bounded(client.submit(Submission { endpoint, audio_beside: Some(beside), ..submission })).await
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("ends by itself")
}

fn verdict(exchange: &Exchange) -> Verdict {
    judge(Endpoint::SttBatch, exchange)
}

#[tokio::test]
async fn the_request_is_what_was_asked_for_with_its_exact_length() {
    let (address, seen) = server(|mut stream| async move {
        let request = read_request(&mut stream).await;
        write(&mut stream, "200 OK", "x-request-id: r-17\r\ncontent-type: application/json\r\n", GOOD).await;
        request
    })
    .await;
    let given = serde_json::json!({"emotion_signal": true, "custom_terms": ["Velma"]});
    let options = Options::parse(Endpoint::SttBatch, &given).unwrap();
    let abort = CancellationToken::new();
    let content: Vec<u8> = (0..700_000u32).map(|i| (i % 251) as u8).collect();
    let recording = recording(&content, content.len() as u64);
    let submission = Submission { upload_name: "a\"b\r\nX: y.wav", ..recording.submission(&options, &abort) };
    let exchange = bounded(client(address).submit(submission)).await;

    let (head, body) = seen.await.unwrap();
    assert!(head.starts_with("POST /api/velma-2-stt-batch HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "x-api-key"), Some(KEY));
    assert_eq!(field(&head, "user-agent"), Some(concat!("voxbatch/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(field(&head, "transfer-encoding"), None);
    let boundary = field(&head, "content-type").unwrap().split_once("boundary=").unwrap().1;
    let mut expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"emotion_signal\"\r\n\r\ntrue\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"config\"\r\nContent-Type: application/json\r\n\r\n\
         {{\"custom_terms\":[\"Velma\"]}}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"upload_file\"; filename=\"a_b__X: y.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    )
    .into_bytes();
    expected.extend_from_slice(&content);
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(body == expected, "the body, byte for byte");

    assert_eq!((exchange.bytes_sent, exchange.body_sent), (recording.len, true));
    assert_eq!(exchange.blake3, Some(blake3::hash(&content).to_hex().to_string()));
    assert_eq!(exchange.request_id.as_deref(), Some("r-17"));
    assert_eq!(verdict(&exchange), Verdict::Success);
}

#[tokio::test]
async fn one_connection_serves_several_tries() {
    let (address, served) = server(|mut stream| async move {
        for _ in 0..2 {
            read_request(&mut stream).await;
            write(&mut stream, "200 OK", "", GOOD).await;
        }
    })
    .await;
    let (client, recording) = (client(address), small());
    for _ in 0..2 {
        assert_eq!(verdict(&recording.send(&client).await), Verdict::Success);
    }
    served.await.unwrap();
}

#[tokio::test]
async fn an_early_429_is_a_throttle_whether_its_words_arrive_or_not() {
    // Two megabytes may all be handed over while the connection is being reset.
    for len in [[8, LARGE].repeat(8), [600_000, 2_000_000].repeat(50)].concat() {
        let (address, _) = server(|mut stream| async move {
            read_head(&mut stream).await;
            let words = r#"{"detail":"Too many concurrent requests for this model."}"#;
            write(&mut stream, "429 Too Many Requests", "retry-after: 3\r\n", words).await;
        })
        .await;
        let exchange = recording(b"", len).send(&client(address)).await;
        match verdict(&exchange) {
            Verdict::Throttled(failure) if failure.http_status == Some(429) => {
                assert_eq!(failure.retry_after, Some(Duration::from_secs(3)));
            }
            Verdict::Throttled(failure) => {
                assert_eq!((failure.cause, exchange.body_sent), (Cause::Connection, false));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn after_an_early_refusal_the_upload_does_not_go_on() {
    let (go_on, refused) = oneshot::channel();
    let (address, read) = server(|mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, "401 Unauthorized", "", r#"{"detail":"Invalid API key."}"#).await;
        refused.await.unwrap();
        drain(&mut stream).await
    })
    .await;
    let exchange = large().send(&client(address)).await;
    assert!(matches!(verdict(&exchange), Verdict::Unclear(Doubt::Key, _)), "{exchange:?}");
    go_on.send(()).unwrap();
    assert!((bounded(read).await.unwrap() as u64) < LARGE);
}

#[tokio::test]
async fn a_reset_while_sending_costs_nothing_and_is_no_fault_of_the_file() {
    let (address, _) = server(|mut stream| async move {
        stream.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    })
    .await;
    let exchange = large().send(&client(address)).await;
    assert!(matches!(exchange.outcome, Err(TransportError::BrokenWhileSending(_))), "{exchange:?}");
    let Verdict::Throttled(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
    assert_eq!((failure.cause, failure.billed), (Cause::Connection, Billed::No));
    assert_eq!(exchange.blake3, None);
}

#[tokio::test]
async fn a_loss_after_everything_was_sent_may_have_been_billed() {
    let half = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{GOOD}", GOOD.len() + 9);
    for answer in ["", "HTTP/1.1 20", half.as_str()] {
        let exchange = small().send(&client(answering(answer).await)).await;
        assert!(matches!(exchange.outcome, Err(TransportError::AnswerLost(_))), "{exchange:?}");
        let Verdict::Transient(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
        assert_eq!((failure.cause, failure.billed), (Cause::AnswerLost, Billed::Unknown));
        assert!(exchange.blake3.is_some() && exchange.body_sent);
    }
}

#[tokio::test]
async fn a_cut_answer_that_ends_with_its_connection_is_a_bad_answer() {
    let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", &GOOD[..20]);
    let exchange = small().send(&client(answering(answer).await)).await;
    let Verdict::Transient(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
    assert_eq!((failure.cause, failure.billed), (Cause::BadAnswer, Billed::Unknown));
    assert!(!failure.message.contains("hel"), "no spoken word in an error: {}", failure.message);
}

#[tokio::test]
async fn nobody_listening_is_a_failed_connection_that_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(address);
    let exchange = small().send(&client).await;
    assert!(matches!(exchange.outcome, Err(TransportError::Connect(_))), "{exchange:?}");
    assert_eq!((exchange.bytes_sent, exchange.body_sent), (0, false));
    assert_eq!(client.probe(Endpoint::SttBatch).await, Probe::Unreachable);
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let (done, wait) = oneshot::channel::<()>();
    let (address, _) = server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = wait.await;
    })
    .await;
    let client = Client::new(VelmaSettings { stall_timeout: SHORT, ..settings(address) }).unwrap();
    let exchange = large().send(&client).await;
    assert_eq!(exchange.outcome.unwrap_err(), TransportError::Stalled);
    assert!(exchange.bytes_sent < LARGE && !exchange.body_sent);
    drop(done);
}

#[tokio::test]
async fn waiting_for_the_answer_has_its_own_clock_which_grows_with_the_file() {
    let (done, wait) = oneshot::channel::<()>();
    let (address, _) = server(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = wait.await;
    })
    .await;
    let tight = VelmaSettings { answer_timeout: SHORT, ..settings(address) };
    let patience = |s: VelmaSettings, len| Client::new(s).unwrap().patience(len).answer;
    let growing = VelmaSettings { answer_timeout_per_mb: Duration::from_secs(2), ..tight.clone() };
    assert_eq!(patience(growing, 2_500_000), SHORT + Duration::from_secs(6));
    let exchange = small().send(&Client::new(tight).unwrap()).await;
    assert_eq!(exchange.outcome.as_ref().unwrap_err(), &TransportError::Timeout { body_sent: true });
    let Verdict::Transient(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
    assert_eq!((failure.cause, failure.billed), (Cause::Timeout, Billed::Unknown));
    drop(done);
}

#[tokio::test]
async fn an_aborted_try_ends_at_once_and_says_whether_it_may_be_billed() {
    let abort = CancellationToken::new();
    let seen = abort.clone();
    let (address, gone) = server(|mut stream| async move {
        read_request(&mut stream).await;
        seen.cancel();
        drain(&mut stream).await
    })
    .await;
    let (client, recording, options) = (client(address), small(), Options::default());
    let exchange = bounded(client.submit(recording.submission(&options, &abort))).await;
    let Verdict::Stopped(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
    assert_eq!((failure.cause, failure.billed), (Cause::Interrupted, Billed::Unknown));
    assert_eq!(bounded(gone).await.unwrap(), 0, "the connection is closed");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays_here() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{}/\r\n", elsewhere.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\n{location}content-length: 0\r\n\r\n");
        let exchange = small().send(&client(answering(answer).await)).await;
        let Verdict::Halted(HaltReason::ConfigRefused, _) = verdict(&exchange) else {
            panic!("{exchange:?}")
        };
        assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_file_of_another_length_is_not_sent_at_all() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let client = client(listener.local_addr().unwrap());
    for len in [7, 9] {
        let exchange = Recording { len, ..small() }.send(&client).await;
        assert!(matches!(exchange.outcome, Err(TransportError::SourceChanged(_))), "{exchange:?}");
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_file_that_changes_on_the_way_breaks_the_request_off_before_its_end() {
    type Change = fn(&File);
    let grow: Change = |file| file.set_len(LARGE + 1).unwrap();
    let shrink: Change = |file| file.set_len(LARGE - 1).unwrap();
    let rewrite: Change = |mut file| file.write_all(b"fake").unwrap();
    for change in [grow, shrink, rewrite] {
        let recording = large();
        let file = File::options().write(true).open(&recording.path).unwrap();
        let (address, read) = server(move |mut stream| async move {
            read_head(&mut stream).await;
            change(&file);
            drain(&mut stream).await
        })
        .await;
        let exchange = recording.send(&client(address)).await;
        assert!(matches!(exchange.outcome, Err(TransportError::SourceChanged(_))), "{exchange:?}");
        let Verdict::Transient(failure) = verdict(&exchange) else { panic!("{exchange:?}") };
        assert_eq!((failure.cause, failure.billed), (Cause::SourceChanged, Billed::No));
        assert!((bounded(read).await.unwrap() as u64) < LARGE, "the server never had a whole request");
    }
}

#[tokio::test]
async fn a_server_that_repeats_the_key_cannot_bring_it_into_a_message() {
    let body = serde_json::json!({ "detail": format!("no such key: {KEY}") }).to_string();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nx-request-id: {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let client = client(answering(answer).await);
    let exchange = small().send(&client).await;
    let failure = verdict(&exchange).failure().cloned().unwrap();
    assert_eq!(failure.message, "no such key: [key]");
    let everything = format!("{exchange:?} {client:?}");
    assert!(!everything.contains("7f3a"), "{everything}");
}

fn parts(metadata: &str, audio: &str, end: &str) -> String {
    let body = format!(
        "--e2\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"r.mp3\"\r\n\r\n{audio}\r\n\
         --e2\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n--e2{end}"
    );
    let head = "HTTP/1.1 200 OK\r\ncontent-type: multipart/form-data; boundary=\"e2\"";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_redaction_brings_its_audio_to_the_disk_and_its_metadata_to_memory() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("mirror/call.wav.redacted.mp3");
    let client = client(answering(parts(GOOD, "ab\r\n--e\r\nc", "--")).await);
    let exchange = small().redact(&client, &to).await;
    assert_eq!(judge(Endpoint::PiiPhiRedactionBatch, &exchange), Verdict::Success);
    let answer = exchange.outcome.unwrap();
    assert_eq!(answer.body, GOOD);
    answer.audio.unwrap().persist(&to).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"ab\r\n--e\r\nc");
}

#[tokio::test]
async fn half_a_redaction_is_no_redaction_and_leaves_no_audio() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("call.wav.redacted.mp3");
    let plain = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{GOOD}", GOOD.len());
    for answer in [plain, parts(GOOD, "abc", ""), parts(GOOD, "", "--"), parts("", "abc", "--")] {
        let exchange = small().redact(&client(answering(answer).await), &to).await;
        let verdict = judge(Endpoint::PiiPhiRedactionBatch, &exchange);
        let Verdict::Transient(failure) = verdict else { panic!("{exchange:?}") };
        assert_eq!(failure.cause, Cause::BadAnswer);
        drop(exchange);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn the_free_call_tells_a_good_key_from_a_bad_one_and_from_an_empty_purse() {
    let poor = r#"{"detail":"Insufficient credits."}"#;
    for (status, body, expected) in [
        ("200 OK", r#"{"presets":[]}"#, Probe::Accepted),
        ("401 Unauthorized", "", Probe::Refused),
        ("403 Forbidden", r#"{"detail":"This request is not permitted."}"#, Probe::Refused),
        ("429 Too Many Requests", poor, Probe::NoCredits),
        ("429 Too Many Requests", "", Probe::Unreachable),
        ("502 Bad Gateway", "<html>", Probe::Unreachable),
        ("302 Found", "", Probe::Unreachable),
    ] {
        let (address, head) = server(move |mut stream| async move {
            let (head, _) = read_request(&mut stream).await;
            write(&mut stream, status, "", body).await;
            head
        })
        .await;
        assert_eq!(bounded(client(address).probe(Endpoint::SttBatch)).await, expected, "{status}");
        let head = head.await.unwrap();
        assert!(head.starts_with("GET /api/velma-2-batch/list-presets HTTP/1.1\r\n"));
        assert_eq!(field(&head, "x-api-key"), Some(KEY));
    }
}

#[test]
fn addresses_and_keys_that_cannot_work_are_refused_before_anything_is_sent() {
    let with = |base: &str, key: &str| {
        let base = VelmaSettings { base_url: base.to_owned(), ..settings(([127, 0, 0, 1], 1).into()) };
        Client::new(VelmaSettings { api_key: key.into(), ..base })
    };
    assert_eq!(with("https://host.example/", "k").unwrap().base_url(), "https://host.example");
    assert_eq!(with("http://[::1]:8080", "k").unwrap().base_url(), "http://[::1]:8080");
    for bad in ["", "host.example", "ftp://host", "https://host/api", "https://host?x=1"] {
        assert!(matches!(with(bad, "k"), Err(VelmaError::BaseUrl { .. })), "{bad}");
    }
    let error = with("https://me:hunter2@host", "k").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    for bad in ["", "a\nb"] {
        assert!(matches!(with("https://host", bad), Err(VelmaError::Key(_))));
    }
}
