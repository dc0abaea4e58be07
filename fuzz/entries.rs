//! The doors through which bytes of strangers come in, one function each, with what must hold for any bytes. The
//! fuzz targets call them with what libFuzzer thinks of, `tests/corpora.rs` with what is kept in `corpus/`.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use voxbatch::config::{self, OptionProblem, Overrides};
use voxbatch::media::{self, Format, MediaSettings, Terms};
use voxbatch::outputs::{self, ExportFormat, FileFormat, OutputSettings};
use voxbatch::queue::{AudioFacts, RedactedAudio, ResultRow};
use voxbatch::task::{Endpoint, Filter, RecordingPath, TaskId, Timestamp, Verdict};
use voxbatch::velma::{
    self, Answer, Client, Exchange, Fold, Options, Response, Source, Submission, Transcript, VelmaSettings,
};

/// `jobs.toml`: settings, or problems that can be shown on a terminal and as JSON.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match config::load_text(text, Path::new("/archive"), &Overrides::default(), &|_| None, check_options) {
        Ok(config) => assert!(!config.jobs.is_empty() || config.path.is_none()),
        Err(error) => {
            assert!(!error.problems().is_empty());
            let shown = format!("{error}\n{}", error.render());
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            assert!(error.to_json().as_array().is_some_and(|list| list.len() == error.problems().len()));
        }
    }
}

fn check_options(endpoint: Endpoint, value: &Value) -> Result<(), OptionProblem> {
    Options::parse(endpoint, value).map(|_| ()).map_err(|e| OptionProblem {
        key: e.key.clone(),
        problem: e.problem.to_string(),
        suggestion: e.suggestion.clone(),
    })
}

/// The `--where` language.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Filter::parse(text) {
        // What the queue reckons with an age must not overflow either.
        Ok(filter) => {
            let _ =
                [filter.since, filter.before].into_iter().flatten().map(|age| Timestamp(0).after(age)).max();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// An answer of any status: what it means, and the files that are made of it. First line: number of the endpoint,
/// status, Content-Type; then the body.
pub fn answer(data: &[u8]) {
    let Some((endpoint, status, content_type, body)) = parts(data) else { return };
    for body_sent in [true, false] {
        let answer = Answer {
            status,
            retry_after: None,
            content_type: Some(content_type.to_owned()),
            body: body.to_vec().into(),
            audio: None,
            is_complete: true,
        };
        let exchange =
            Exchange { bytes_sent: 1, body_sent, blake3: None, request_id: None, outcome: Ok(answer) };
        judged(endpoint, &exchange);
    }
    let Ok(text) = std::str::from_utf8(body) else { return };
    if Transcript::from_json(endpoint, text).is_ok() {
        rendered(endpoint, text);
    }
}

/// An answer as [`answer`] has it, sent by a server to the client in pieces; a redaction brings audio.
pub fn exchange(data: &[u8]) {
    let Some((endpoint, status, content_type, body)) = parts(data) else { return };
    let whole = exchanged(endpoint, status, content_type, body, usize::MAX);
    judged(endpoint, &whole);
    let cut = exchanged(endpoint, status, content_type, body, 7);
    let told = |exchange: &Exchange| {
        let answer = exchange.outcome.as_ref().expect("a server that answers");
        let audio = answer.audio.as_ref().map(|audio| (audio.bytes, audio.sha256.clone()));
        (answer.status, answer.body.clone(), audio, answer.is_complete)
    };
    assert_eq!(told(&whole), told(&cut), "the cutting of an answer changes it");
}

/// The parts of a redaction, as [`exchange`] has them; the boundary is `b`.
pub fn multipart(data: &[u8]) {
    exchange(&[b"3 200 multipart/form-data; boundary=b\n", data].concat());
}

/// The messages of a stream, one a line, behind a line with the number of the endpoint among those that are streamed to:
/// whatever they are, they make JSON, and if they are an answer, one that can be read and written.
pub fn stream(data: &[u8]) {
    const ROOM: usize = 1 << 20;
    let Some(end) = data.iter().position(|&b| b == b'\n') else { return };
    let number = std::str::from_utf8(&data[..end]).ok().and_then(|line| line.parse().ok());
    let mut streaming = Endpoint::ALL.into_iter().filter(|endpoint| endpoint.is_streaming());
    let Some(endpoint) = number.and_then(|number| streaming.nth(number)) else { return };
    let mut fold = Fold::new(endpoint, data.len().is_multiple_of(2), ROOM);
    for line in data[end + 1..].split(|&b| b == b'\n') {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        if fold.hear(text).is_err() {
            assert!(data.len() > ROOM);
            return;
        }
    }
    let is_whole = fold.is_whole();
    let json = fold.json();
    let answer: Value = serde_json::from_str(&json).expect("an answer made of what could be read");
    assert!(answer.is_object());
    let text = Transcript::from_json(endpoint, &json);
    assert!(text.is_ok() || !is_whole || matches!(text, Err(velma::Unreadable::Lacks(_))), "{text:?}");
    if text.is_ok() {
        rendered(endpoint, &json);
    }
}

/// A file that lies among recordings. Nothing is taken for one that the queue could not send.
pub fn media(data: &[u8]) {
    let folder = scratch();
    let path = folder.path().join("recording.wav");
    File::create(&path).and_then(|mut file| file.write_all(data)).expect("room for a file");
    let mut file = File::open(&path).expect("the file that was just written");
    let sniffed = media::sniff(&mut file, data.len() as u64).expect("a disk that can be read");
    assert!(!sniffed.what.is_empty() && !sniffed.what.contains(char::is_control), "{:?}", sniffed.what);
    let format = sniffed.format.unwrap_or(Format::Wav);
    assert!(media::measure(&file, format, data.len() as u64).duration_ms > 0);

    let recording = RecordingPath::from_bytes(*b"recording.wav");
    let settings = MediaSettings::default();
    let prepared = media::prepare(&path, &recording, Endpoint::SttBatch, &settings, Terms::default());
    if let Ok(ready) = &prepared {
        assert_eq!(Some(ready.format), sniffed.format);
        assert_eq!(ready.len, data.len() as u64);
    }
    let inspected = media::inspect(&path, Endpoint::SttBatch, voxbatch::task::Channels::Keep, &settings);
    // Whether it can be decoded, where it has to be, shows when it is opened.
    let is_opened = ready_as_it_is(sniffed.format);
    let is_recording = matches!(inspected, media::Inspection::Recording { .. });
    assert!(is_recording == prepared.is_ok() || (is_recording && !is_opened), "{inspected:?} {prepared:?}");
}

/// Whether it goes out without being decoded.
fn ready_as_it_is(format: Option<Format>) -> bool {
    format.is_none_or(|format| media::upload_as(format, Endpoint::SttBatch).is_some())
}

/// The name of a recording: it goes into a header, a cell, a line, and a path.
pub fn names(data: &[u8]) {
    let path = RecordingPath::from_bytes(data);
    assert_eq!(path.as_bytes(), data);
    let name = media::upload_name(&path, "opus");
    assert!(name.len() <= 100 && name.ends_with(".opus") && !name.starts_with(['.', ' ']), "{name:?}");
    assert!(name.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"'\\/;:<>|?*%".contains(&b)), "{name:?}");
    let lossy = String::from_utf8_lossy(data);
    rendered_as(Endpoint::SttBatch, path.clone(), &lossy, r#"{"text":""}"#);
}

/// The first line and the rest of an answer.
fn parts(data: &[u8]) -> Option<(Endpoint, u16, &str, &[u8])> {
    let end = data.iter().position(|&b| b == b'\n')?;
    let head = std::str::from_utf8(&data[..end]).ok()?;
    let mut words = head.splitn(3, ' ');
    let endpoint = *Endpoint::ALL.get(words.next()?.parse::<usize>().ok()?)?;
    let status = words.next()?.parse().ok().filter(|status| (200..1000).contains(status))?;
    let content_type = words.next().unwrap_or_default();
    let plain = content_type.len() < 200 && content_type.bytes().all(|b| (b' '..=b'~').contains(&b));
    plain.then_some((endpoint, status, content_type, &data[end + 1..]))
}

/// Success if and only if it can be read; what can be read can be rendered.
fn judged(endpoint: Endpoint, exchange: &Exchange) {
    let verdict = velma::classify(endpoint, exchange);
    let Ok(answer) = &exchange.outcome else { return };
    let read = velma::read(endpoint, answer);
    let success = (200..300).contains(&answer.status) && exchange.body_sent && read.is_ok();
    assert_eq!(matches!(verdict, Verdict::Success), success, "{verdict:?}");
    if let Some(failure) = verdict.failure() {
        assert!(failure.message.len() <= 8 << 10, "{} bytes of message", failure.message.len());
    }
    if let Ok(Response { json, duration_ms, .. }) = read {
        assert!(!json.contains(['\n', '\r']));
        let came: Value =
            serde_json::from_slice(answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body))
                .expect("what was read");
        assert_eq!(serde_json::from_str::<Value>(&json).expect("what was read, on one line"), came);
        let again = Transcript::from_json(endpoint, &json).expect("what was read, on one line");
        assert_eq!(again.duration_ms, duration_ms);
        rendered(endpoint, &json);
    }
}

fn rendered(endpoint: Endpoint, response: &str) {
    rendered_as(endpoint, RecordingPath::from_bytes(*b"2024/a.wav"), "job", response);
}

/// One line of JSON that holds the answer; rows of CSV that have every column, and no formula.
fn rendered_as(endpoint: Endpoint, path: RecordingPath, job: &str, response: &str) {
    let row = ResultRow {
        seq: 1,
        task: TaskId(1),
        path: path.clone(),
        endpoint,
        attempts: 1,
        http_status: 200,
        audio: AudioFacts { bytes: 1, blake3: "00".into(), format: "wav".into(), mime: "audio/wav".into() },
        duration_ms: None,
        measured: None,
        billed_ms: 0,
        response: response.to_owned(),
        redacted_audio: endpoint.returns_audio().then(|| RedactedAudio {
            path,
            bytes: 1,
            sha256: "00".into(),
        }),
        started_at: Timestamp(0),
        finished_at: Timestamp(1),
        purged_at: None,
        audio_purged_at: None,
        metadata: Default::default(),
        reused_from: None,
        suspicions: Vec::new(),
    };
    let settings = OutputSettings::default();
    let render = |format| outputs::render_result(format, job, &row, &settings).expect("a stored result");

    let line = render(ExportFormat::Jsonl);
    assert_eq!(line.iter().position(|&b| b == b'\n'), Some(line.len() - 1), "not one line");
    let record: Value = serde_json::from_slice(&line).expect("a line of JSON");
    assert_eq!(record["response"], serde_json::from_str::<Value>(response).expect("a stored result"));

    let utterances = Transcript::from_json(endpoint, response).expect("a stored result").utterances.len();
    for (format, rows) in [(ExportFormat::Csv, 1), (ExportFormat::Utterances, utterances)] {
        let columns = format.header(&settings).split(|&b| b == b',').count();
        let bytes = render(format);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&*bytes);
        let read: Vec<_> = reader.records().map(|row| row.expect("a row of CSV")).collect();
        assert_eq!(read.len(), rows, "rows");
        for cell in read.iter().inspect(|row| assert_eq!(row.len(), columns)).flatten() {
            let number = cell.parse::<f64>().is_ok();
            assert!(number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?} is a formula");
            assert!(!cell.contains('\0'));
        }
    }

    let manifest = String::from_utf8(render(ExportFormat::Nemo)).expect("text");
    assert!(
        manifest.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()))
    );
    for format in FileFormat::ALL {
        let file = String::from_utf8(format.render(&row).expect("a stored result")).expect("text");
        assert!(
            format == FileFormat::Json || !file.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
        );
        assert!(file.is_empty() || file.ends_with('\n'), "{file:?}");
        assert!(
            format != FileFormat::Rttm || file.lines().all(|line| line.split(' ').count() == 10),
            "{file:?}"
        );
        assert!(
            format != FileFormat::Tsv || file.lines().all(|line| line.split('\t').count() == 3),
            "{file:?}"
        );
    }
}

/// A folder in memory, where there is one: thousands of files a second are no work for a disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
        .expect("a folder to write in")
}

/// A client and the server that it talks to.
struct Line {
    runtime: tokio::runtime::Runtime,
    server: TcpListener,
    client: Client,
    folder: tempfile::TempDir,
}

impl Line {
    fn new() -> Line {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port on loopback");
        let client = Client::new(VelmaSettings {
            base_url: format!("http://{}", server.local_addr().expect("a bound port")),
            api_key: "an-emulated-key".to_owned().into(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            answer_timeout_per_mb: Duration::ZERO,
            stream_frame_bytes: 32_000,
            platform: None,
        });
        let folder = scratch();
        std::fs::write(folder.path().join("a.wav"), b"RIFF").expect("room for a file");
        Line { runtime, server, client: client.expect("settings that are right"), folder }
    }
}

thread_local! {
    static LINE: OnceCell<Line> = const { OnceCell::new() };
}

/// One try against a server that answers with these bytes, `piece` at a time, and hangs up.
fn exchanged(endpoint: Endpoint, status: u16, content_type: &str, body: &[u8], piece: usize) -> Exchange {
    LINE.with(|line| {
        let line = line.get_or_init(Line::new);
        let options = Options::parse(endpoint, &Value::Object(Default::default())).expect("no options");
        let abort = CancellationToken::new();
        let audio = line.folder.path().join("a.mp3");
        let submission = Submission {
            endpoint,
            options: &options,
            source: Source::File(
                File::open(line.folder.path().join("a.wav")).expect("the file that is sent"),
            ),
            len: 4,
            upload_name: "a.wav",
            mime: "audio/wav",
            audio_beside: Some(&audio),
            abort: &abort,
            streamed: None,
        };
        let head =
            format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Type: {content_type}\r\n\r\n");
        let serve = async {
            let (mut peer, _) = line.server.accept().await.expect("the client");
            peer.set_nodelay(true).expect("a socket");
            received(&mut peer).await;
            peer.write_all(head.as_bytes()).await.expect("the client listens");
            for piece in body.chunks(piece.min(body.len().max(1))) {
                // A client that has heard enough may hang up.
                if peer.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = peer.shutdown().await;
        };
        line.runtime.block_on(async { tokio::join!(line.client.submit(submission), serve).0 })
    })
}

/// Takes the request in: its form ends with the closing boundary.
async fn received(peer: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"--\r\n") {
        assert_ne!(peer.read_buf(&mut request).await.expect("a request"), 0, "half a request");
    }
}
