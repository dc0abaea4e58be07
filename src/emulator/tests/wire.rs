//! Somebody who streams: connects, sends, and reads to the close.

use std::sync::mpsc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Call, PATIENCE, Report};

pub(super) const S_STT: &str = "velma-2-stt-streaming";
pub(super) const S_ENGLISH: &str = "velma-2-stt-streaming-english-v2";
pub(super) const S_VOICE: &str = "velma-2-synthetic-voice-detection-streaming";
pub(super) const S_REDACTION: &str = "velma-2-pii-phi-redaction-streaming";
pub(super) const S_VELMA: &str = "velma-2-streaming";
pub(super) const STREAMS: [&str; 5] = [S_STT, S_ENGLISH, S_VOICE, S_REDACTION, S_VELMA];

/// 16 kHz, 16 bits, mono: 32 bytes a millisecond.
pub(super) const RAW: &str = "audio_format=s16le&sample_rate=16000&num_channels=1";

/// So many milliseconds of a loud nothing, in [`RAW`]; `salt` makes it another recording.
pub(super) fn pcm(ms: usize, salt: u8) -> Vec<u8> {
    let mut audio = vec![0x20; ms * 32];
    if let Some(first) = audio.first_mut() {
        *first = salt;
    }
    audio
}

/// Keeps a paused clock from leaping while bytes are on their way: time moves only when told to.
pub(super) struct Still {
    _hold: mpsc::Sender<()>,
}

impl Still {
    /// The runtime does not leap while a thread of its own is busy. That ends with the test, or with its patience:
    /// then the clock leaps to whatever limit a wait has.
    pub(super) fn keep() -> Still {
        let (hold, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv_timeout(PATIENCE));
        Still { _hold: hold }
    }

    pub(super) async fn pass(&self, seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::task::yield_now().await;
    }
}

/// An open connection.
pub(super) struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What was read until the close.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) messages: Vec<Value>,
    /// Binary messages, each with the number of text messages before it.
    pub(super) audio: Vec<(usize, Vec<u8>)>,
    /// None: the connection broke.
    pub(super) close: Option<(u16, String)>,
}

impl Read {
    pub(super) fn kinds(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
    }

    pub(super) fn of(&self, kind: &str) -> Vec<&Value> {
        self.messages.iter().filter(|message| message["type"] == kind).collect()
    }

    /// The words of the error message; empty if none came.
    pub(super) fn error(&self) -> &str {
        self.of("error").first().map_or("", |message| message["error"].as_str().unwrap())
    }

    pub(super) fn code(&self) -> u16 {
        self.close.as_ref().map_or(0, |(code, _)| *code)
    }
}

impl Call {
    pub(super) async fn connect(&self, model: &str, query: &str) -> Result<Wire, Error> {
        let address = self.emulator.address();
        connect_async(format!("ws://{address}/api/{model}?{query}")).await.map(|(socket, _)| Wire(socket))
    }

    /// With the right key.
    pub(super) async fn stream(&self, model: &str, query: &str) -> Wire {
        self.connect(model, &format!("api_key=emulator-key&{query}")).await.unwrap()
    }

    /// Audio in pieces, the end, and everything that is answered.
    pub(super) async fn streamed(&self, model: &str, query: &str, audio: &[u8]) -> Read {
        let mut wire = self.stream(model, query).await;
        if model == S_VELMA {
            wire.text("default").await;
        }
        wire.audio(audio).await;
        wire.text("").await;
        wire.read().await
    }

    /// Waits like `when`, where the clock stands still and no patience ends: a connection that ended ends it too.
    pub(super) async fn when_or_ended(&self, condition: impl Fn(&Report) -> bool) {
        self.when(|report| condition(report) || !report.sockets.is_empty()).await;
        let report = self.emulator.report();
        assert!(condition(&report), "ended before: {:?}", report.sockets);
    }

    /// A second of raw audio, to any of them.
    pub(super) async fn second(&self, model: &str) -> Read {
        self.streamed(model, RAW, &pcm(1000, 0)).await
    }
}

impl Wire {
    /// In pieces of 8 KB. Whether it arrives is seen by what is read.
    pub(super) async fn audio(&mut self, audio: &[u8]) {
        for piece in audio.chunks(8192) {
            let _ = self.0.send(Message::Binary(piece.to_vec().into())).await;
        }
    }

    pub(super) async fn text(&mut self, text: &str) {
        let _ = self.0.send(Message::text(text.to_owned())).await;
    }

    pub(super) async fn ping(&mut self) {
        let _ = self.0.send(Message::Ping(Vec::new().into())).await;
    }

    /// The next message, which has to be text.
    pub(super) async fn next(&mut self) -> Value {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// Everything to the end. Text that is no JSON is kept as a string under the type `broken`.
    pub(super) async fn read(mut self) -> Read {
        let mut read = Read::default();
        let next = async |wire: &mut Wire| timeout(PATIENCE, wire.0.next()).await.expect("a close in time");
        while let Some(message) = next(&mut self).await {
            match message {
                Ok(Message::Text(text)) => {
                    let broken = |_| serde_json::json!({ "type": "broken", "text": text.as_str() });
                    read.messages.push(serde_json::from_str(&text).unwrap_or_else(broken));
                }
                Ok(Message::Binary(bytes)) => read.audio.push((read.messages.len(), bytes.to_vec())),
                Ok(Message::Close(Some(frame))) => {
                    read.close = Some((frame.code.into(), frame.reason.as_str().to_owned()));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        read
    }
}
