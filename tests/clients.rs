//! Clients that are not ours, against the emulator: a Python and a Node program over WebSocket, and `curl` for every
//! upload. Each runs where it is installed, and says so where it is not; `tests/clients/README.md` tells how.

#![expect(clippy::unwrap_used, reason = "a step that cannot be made is a failed test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use voxbatch::emulator::{Contract, Emulator, ModelLimits, SAMPLES, Settings};

const ENGLISH: &str = "velma-2-stt-streaming-english-v2";
const VOICE: &str = "velma-2-synthetic-voice-detection-streaming";
const REDACTION: &str = "velma-2-pii-phi-redaction-streaming";
const RAW: &str = "audio_format=s16le&sample_rate=16000&num_channels=1";

/// An emulator and a folder. The fields are dropped in order: the emulator before what it runs on.
struct World {
    emulator: Emulator,
    home: TempDir,
    _runtime: Runtime,
}

impl World {
    fn new(contract: Contract) -> World {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let limits = ModelLimits { concurrent: 1, ..ModelLimits::default() };
        let models = [ENGLISH, VOICE].map(|name| (name.to_owned(), limits.clone())).into();
        let settings = Settings { contract, models, ..Settings::default() };
        let emulator = runtime.block_on(Emulator::start(settings)).unwrap();
        World { emulator, home: TempDir::new().unwrap(), _runtime: runtime }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Nine and a half seconds: four of a tone that nobody would call silent, the rest silent.
    fn raw(&self) -> PathBuf {
        let mut audio = vec![0x20; 4000 * 32];
        audio.resize(9500 * 32, 0);
        self.file("raw.pcm", &audio)
    }

    fn sample(&self, name: &str) -> PathBuf {
        self.file(name, SAMPLES.iter().find(|sample| sample.name == name).unwrap().bytes)
    }

    fn address(&self, model: &str, key: &str, query: &str) -> String {
        format!("ws://{}/api/{model}?api_key={key}&{query}", self.emulator.address())
    }
}

/// Somebody who streams.
struct Client {
    program: String,
    script: &'static str,
}

impl Client {
    fn python() -> Option<Client> {
        let program = std::env::var("VOXBATCH_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        has(&program, &["-c", "import websockets"]).then_some(Client { program, script: "stream.py" })
    }

    fn node() -> Option<Client> {
        let there = has("node", &["-e", "require('ws')"]);
        there.then(|| Client { program: "node".to_owned(), script: "stream.cjs" })
    }

    fn stream(&self, url: &str, file: &Path) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(self.script);
        let ended = Command::new(&self.program).arg(script).arg(url).arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{}: {said}", self.script);
        serde_json::from_slice(&ended.stdout).unwrap()
    }
}

/// Says aloud that a test does nothing here: not by a macro, whose words are only heard when a test fails.
fn skip(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

fn has(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|ended| ended.status.success())
}

fn kinds(read: &Value) -> Vec<&str> {
    read["messages"].as_array().unwrap().iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn last(read: &Value) -> &Value {
    read["messages"].as_array().unwrap().last().unwrap()
}

/// What the documents promise to whoever follows them.
fn converse(client: &Client) {
    let world = World::new(Contract::C);
    let raw = world.raw();

    let read = client.stream(&world.address(ENGLISH, "emulator-key", RAW), &raw);
    let expected = [&["partial_utterance"; 6][..], &["utterance", "done"]].concat();
    assert_eq!(kinds(&read), expected);
    assert_eq!((last(&read)["duration_ms"].as_u64(), read["code"].as_u64()), (Some(9500), Some(1000)));

    let read = client.stream(&world.address(VOICE, "emulator-key", RAW), &raw);
    assert_eq!(kinds(&read), ["frame", "frame", "frame", "done"]);
    let silent = &read["messages"][2]["frame"];
    assert_eq!((&silent["verdict"], silent["end_time_ms"].as_u64()), (&"no-content".into(), Some(9500)));
    assert_eq!((last(&read)["frame_count"].as_u64(), read["code"].as_u64()), (Some(3), Some(1000)));

    let flac = world.sample("library.flac");
    for model in [ENGLISH, VOICE] {
        let read = client.stream(&world.address(model, "emulator-key", "audio_format=flac"), &flac);
        assert_eq!(
            (last(&read)["type"].as_str(), read["code"].as_u64()),
            (Some("done"), Some(1000)),
            "{model}"
        );
    }
    let wav = world.sample("account.wav");
    let read = client.stream(&world.address(REDACTION, "emulator-key", "audio_format=wav"), &wav);
    assert!(kinds(&read).windows(2).any(|pair| pair == ["utterance", "binary"]), "{:?}", kinds(&read));
    assert_eq!(read["code"], 1000);

    for (key, query, code) in
        [("stolen", RAW, 4001), ("emulator-key", "", 1003), ("emulator-key", "audio_format=mp3", 4002)]
    {
        let read = client.stream(&world.address(ENGLISH, key, query), &flac);
        assert_eq!(
            (read["code"].as_u64(), last(&read)["type"].as_str()),
            (Some(code), Some("error")),
            "{query}"
        );
    }

    // What was sent is what was heard, byte for byte, and one after the other.
    let report = world.emulator.report();
    for (nth, file) in [&raw, &raw, &flac, &flac, &wav].into_iter().enumerate() {
        let sha256: String =
            Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(report.sockets[nth].sha256, sha256, "connection {nth}");
    }
    assert_eq!((report.peak_sockets, report.of(ENGLISH).peak_in_flight), (1, 1));
}

#[test]
fn a_python_client_streams_by_the_documents() {
    match Client::python() {
        Some(client) => converse(&client),
        None => skip("no python3 with the package websockets"),
    }
}

#[test]
fn a_node_client_streams_by_the_documents() {
    match Client::node() {
        Some(client) => converse(&client),
        None => skip("no node with the package ws"),
    }
}

/// Runs curl quietly; the status comes after the body.
fn curl(args: &[&str]) -> (String, u16) {
    let ended = Command::new("curl")
        .args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}"])
        .args(args)
        .output()
        .unwrap();
    assert!(ended.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (body.to_owned(), status.parse().unwrap())
}

#[test]
fn curl_uploads_to_every_batch_endpoint() {
    if !has("curl", &["--version"]) {
        return skip("no curl");
    }
    let world = World::new(Contract::A);
    let upload = format!("upload_file=@{};type=audio/wav", world.sample("account.wav").display());
    let rows: [(&str, &[&str], &str); 11] = [
        (
            "velma-2-stt-batch",
            &["emotion_signal=true", r#"config={"language":"en"};type=application/json"#],
            "utterances",
        ),
        ("velma-2-stt-batch-english-vfast", &[], "text"),
        ("velma-2-stt-batch-multilingual-vfast", &["language=en"], "text"),
        ("velma-2-synthetic-voice-detection-batch", &[], "frames"),
        ("velma-2-pii-phi-redaction-batch", &["start_redaction_padding_ms=50"], ""),
        ("velma-2-batch", &["config=default"], "clips"),
        ("velma-2-emotion-batch", &["training_permitted=false", "use_ensemble=false"], "emotion"),
        ("velma-2-accent-batch", &["training_permitted=false"], "accent"),
        ("velma-2-language-detection-batch", &[], "predicted_language_code"),
        ("velma-2-music-detection-batch", &[], "primary_label"),
        ("velma-2-ai-music-detection-batch", &[], "verdict"),
    ];
    for (model, fields, key) in rows {
        let url = format!("{}/api/{model}", world.emulator.base_url());
        let mut args = vec!["-H", "X-API-Key: emulator-key", "-F", &upload];
        fields.iter().for_each(|field| args.extend(["-F", field]));
        args.push(&url);
        let (body, status) = curl(&args);
        assert_eq!(status, 200, "{model}: {body}");
        if key.is_empty() {
            assert!(body.starts_with("--") && body.contains("name=\"audio\""), "{model}: two parts");
        } else {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(body.get(key).is_some(), "{model}: {body}");
        }
    }
    let report = world.emulator.report();
    assert_eq!((report.bodies, report.mime_mismatches, report.training_permitted), (11, 0, 0));
    for name in ["velma-2-batch", "velma-2-streaming"] {
        let url = format!("{}/api/{name}/list-presets", world.emulator.base_url());
        let (body, status) = curl(&["-H", "X-API-Key: emulator-key", &url]);
        let presets: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, presets["presets"][0]["identifier"].as_str()), (200, Some("vishing")));
    }
}

/// The models whose answers are JSON, and what a job of ours says to make the form that curl sends.
const JSON_MODELS: [(&str, &[&str], &str); 10] = [
    (
        "velma-2-stt-batch",
        &["emotion_signal=true", "language=en"],
        r#"emotion_signal = true, language = "en""#,
    ),
    ("velma-2-stt-batch-english-vfast", &[], ""),
    ("velma-2-stt-batch-multilingual-vfast", &["language=en"], r#"language = "en""#),
    ("velma-2-synthetic-voice-detection-batch", &[], ""),
    (
        "velma-2-batch",
        &[r#"config={"behaviors":["preset:complaints","preset:vishing"]};type=application/json"#],
        r#"config = { behaviors = ["preset:complaints", "preset:vishing"] }"#,
    ),
    ("velma-2-emotion-batch", &["training_permitted=false"], ""),
    ("velma-2-accent-batch", &["training_permitted=false", "use_ensemble=true"], "use_ensemble = true"),
    ("velma-2-language-detection-batch", &[], ""),
    ("velma-2-music-detection-batch", &[], ""),
    ("velma-2-ai-music-detection-batch", &[], ""),
];

/// What curl is told by the documents, and what a run of ours makes of a job, is one request and one answer.
#[test]
fn what_curl_is_answered_is_what_a_run_keeps_under_every_contract() {
    if !has("curl", &["--version"]) {
        return skip("no curl");
    }
    for contract in [Contract::A, Contract::B, Contract::C] {
        let world = World::new(contract);
        let sample = world.sample("account.wav");
        let base_url = world.emulator.base_url();
        let mut text =
            format!("[api]\nbase_url = \"{base_url}\"\n[scan]\nsettle = \"0s\"\ninclude = [\"*.wav\"]\n");
        for (model, _, options) in JSON_MODELS {
            text += &format!(
                "[[job]]\nname = \"{model}\"\nendpoint = \"{model}\"\nsource = \".\"\noptions = {{ {options} }}\n"
            );
        }
        world.file("jobs.toml", text.as_bytes());
        let ran = Command::new(assert_cmd::cargo::cargo_bin!("voxbatch"))
            .arg("run")
            .current_dir(world.home.path())
            .env("VOXBATCH_API_KEY", "emulator-key")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let upload = format!("upload_file=@{};type=audio/wav", sample.display());
        for (model, fields, _) in JSON_MODELS {
            let url = format!("{base_url}/api/{model}");
            let mut args = vec!["-H", "X-API-Key: emulator-key", "-F", &upload];
            fields.iter().for_each(|field| args.extend(["-F", field]));
            args.push(&url);
            let (body, status) = curl(&args);
            assert_eq!(status, 200, "{model}: {body}");
            let lines =
                fs::read_to_string(world.home.path().join(format!("out/{model}/results.jsonl"))).unwrap();
            let kept: Value = serde_json::from_str(&lines).unwrap();
            assert_eq!(kept["response"], serde_json::from_str::<Value>(&body).unwrap(), "{model}");
        }
        let report = world.emulator.report();
        assert_eq!((report.bodies, report.mime_mismatches, report.training_permitted), (20, 0, 0));
    }
}

#[test]
fn curl_sends_one_recording_in_base64_and_asks_until_its_job_has_ended() {
    if !has("curl", &["--version"]) {
        return skip("no curl");
    }
    let world = World::new(Contract::A);
    let url = format!("{}/api_service", world.emulator.base_url());
    let who = ["-H", "accountuuid: emulator-account", "-H", "apikey: emulator-key"];
    let audio = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        fs::read(world.sample("account.wav")).unwrap(),
    );
    let body = format!(r#"{{"audio_base64":"{audio}","file_extension":"wav","filename":"account.wav"}}"#);
    let body = format!("@{}", world.file("body.json", body.as_bytes()).display());
    let send = [&who[..], &["-H", "Content-Type: application/json", "--data-binary", &body, &url]].concat();
    let accepted: Value = serde_json::from_str(&curl(&send).0).unwrap();
    let look = format!("{url}/job_status/{}", accepted["job_id"].as_str().unwrap());
    let looked = || serde_json::from_str::<Value>(&curl(&[&who[..], &[&look]].concat()).0).unwrap();
    assert_eq!((&accepted["status"], &looked()["status"]), (&"processing".into(), &"processing".into()));
    let done = looked();
    assert_eq!(
        (&done["status"], &done["results"][0]["filename"]),
        (&"completed".into(), &"account.wav".into())
    );
    let (_, status) = curl(&["-H", "accountuuid: nobody", "-H", "apikey: emulator-key", &look]);
    assert_eq!(status, 401);
}

#[test]
fn curl_follows_a_job_of_the_platform_api() {
    if !has("curl", &["--version"]) {
        return skip("no curl");
    }
    let world = World::new(Contract::A);
    let url = format!("{}/api_service", world.emulator.base_url());
    let who = ["-H", "accountuuid: emulator-account", "-H", "apikey: emulator-key"];
    let file = format!("file=@{}", world.sample("account.wav").display());
    let submit = |fields: &[&str]| {
        let mut args = who.to_vec();
        fields.iter().for_each(|field| args.extend(["-F", field]));
        args.push(&url);
        let (body, status) = curl(&args);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    submit(&["job_id=night", &file]);
    submit(&["job_id=night", "finalize_job=true", &file]);
    let look = format!("{url}/job_status/night");
    let states =
        [0, 1].map(|_| serde_json::from_str::<Value>(&curl(&[&who[..], &[&look]].concat()).0).unwrap());
    assert_eq!((&states[0]["status"], &states[1]["status"]), (&"processing".into(), &"completed".into()));
    assert_eq!(states[1]["results"].as_array().unwrap().len(), 2);
}
