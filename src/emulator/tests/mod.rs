//! Whole requests against a running emulator: the caller that the tests share, and the rooms they are sorted into.

mod answers;
mod conduct;
mod knobs;
mod platform;
mod refusals;
mod siblings;
mod socket_faults;
mod socket_limits;
mod sockets;
mod wire;

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use super::{Emulator, Report, SAMPLES, Settings};

const STT: &str = "velma-2-stt-batch";
const FAST: &str = "velma-2-stt-batch-english-vfast";
const VOICE: &str = "velma-2-synthetic-voice-detection-batch";
const REDACTION: &str = "velma-2-pii-phi-redaction-batch";
const VELMA: &str = "velma-2-batch";
const MULTILINGUAL: &str = "velma-2-stt-batch-multilingual-vfast";
const EMOTION: &str = "velma-2-emotion-batch";
const ACCENT: &str = "velma-2-accent-batch";
const LANGUAGE: &str = "velma-2-language-detection-batch";
const MUSIC: &str = "velma-2-music-detection-batch";
const MADE_MUSIC: &str = "velma-2-ai-music-detection-batch";
const ALL: [&str; 11] =
    [STT, FAST, VOICE, REDACTION, VELMA, MULTILINGUAL, EMOTION, ACCENT, LANGUAGE, MUSIC, MADE_MUSIC];

/// A second of silence at 8 kHz, 16 bits; `salt` makes it another file.
fn wav(salt: u16) -> Vec<u8> {
    wav_ms(1000, salt)
}

fn wav_ms(ms: u32, salt: u16) -> Vec<u8> {
    let bytes = ms * 16;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    [16u32, 0x0001_0001, 8000, 16000, 0x0010_0002].iter().for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.resize(44 + bytes as usize, 0);
    let end = file.len();
    file[end - 2..].copy_from_slice(&(salt % 16).to_le_bytes());
    file[end - 4..end - 2].copy_from_slice(&(salt / 16 % 16).to_le_bytes());
    file
}

/// A sample's bytes and the MIME type that belongs to it.
fn sample(name: &str) -> (Vec<u8>, &'static str) {
    let bytes = SAMPLES.iter().find(|sample| sample.name == name).unwrap().bytes.to_vec();
    let mime = match name.rsplit_once('.').unwrap().1 {
        "aac" => "audio/aac",
        "aiff" => "audio/aiff",
        "flac" => "audio/flac",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "ogg" => "audio/ogg",
        "opus" => "audio/opus",
        "wav" => "audio/wav",
        "webm" => "video/webm",
        other => panic!("no MIME type for {other}"),
    };
    (bytes, mime)
}

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// An emulator and somebody who calls it.
struct Call {
    emulator: Emulator,
    client: Client,
}

impl Call {
    async fn to(settings: Settings) -> Self {
        let client = Client::builder().no_proxy().user_agent("tests").timeout(PATIENCE).build().unwrap();
        Call { emulator: Emulator::start(settings).await.unwrap(), client }
    }

    fn post(&self, model: &str) -> RequestBuilder {
        let url = format!("{}/api/{model}", self.emulator.base_url());
        self.client.post(url).header("x-api-key", "emulator-key")
    }

    fn upload(&self, model: &str, name: &str, bytes: Vec<u8>, mime: &str) -> RequestBuilder {
        self.post(model).multipart(form(name, bytes, mime))
    }

    async fn when(&self, condition: impl Fn(&Report) -> bool) {
        let met = tokio::time::timeout(PATIENCE, self.emulator.when(condition)).await;
        assert!(met.is_ok(), "waited in vain at {:#?}", self.emulator.report());
    }

    /// A good recording to a model.
    async fn good(&self, model: &str) -> Response {
        self.upload(model, "good.wav", wav(0), "audio/wav").send().await.unwrap()
    }

    /// A sample with options.
    async fn sample(&self, model: &str, name: &str, fields: &[(&str, &str)]) -> Response {
        let (bytes, mime) = sample(name);
        let form = fields.iter().fold(form(name, bytes, mime), |form, (name, text)| {
            form.text(name.to_string(), text.to_string())
        });
        self.post(model).multipart(form).send().await.unwrap()
    }
}

fn form(name: &str, bytes: Vec<u8>, mime: &str) -> Form {
    let part = Part::bytes(bytes).file_name(name.to_owned()).mime_str(mime).unwrap();
    Form::new().part("upload_file", part)
}

async fn json(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// Status and `detail`.
async fn refused(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    match serde_json::from_slice::<Value>(&body) {
        Ok(body) => (status, body["detail"].clone()),
        Err(_) => (status, Value::String(String::from_utf8(body.to_vec()).unwrap())),
    }
}
