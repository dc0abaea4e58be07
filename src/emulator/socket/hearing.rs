//! The first half of a connection: an optional configuration, then audio until it ends.

use axum::extract::ws::{Message, WebSocket};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::books::OpenSocket;
use super::super::fault::Fault;
use super::super::refusal::Refusal;
use super::Fate;
use super::messages::Live;
use super::query::Asked;
use super::session::{Session, Stop, send};
use super::stream::Stream;
use super::track::Track;

/// The fault that closes midway does so after this much audio, or at its end.
const MIDWAY_MS: u64 = 1000;

/// What was asked, what is heard, and what has been told of it.
pub(super) struct Hearing {
    pub(super) asked: Asked,
    pub(super) track: Track,
    pub(super) live: Live,
}

impl Hearing {
    pub(super) fn of(asked: Asked) -> Hearing {
        let track = Track::new(asked.format);
        Hearing { asked, track, live: Live::default() }
    }

    /// Takes audio in until it ends: by the empty message, by silence on the line, or because it lasts too long.
    pub(super) async fn listen(
        &mut self,
        session: &Session,
        socket: &mut WebSocket,
        fate: Fate,
        seen: &mut OpenSocket,
    ) -> Result<(), Stop> {
        let Fate { fault, midway } = fate;
        let (stream, settings) = (session.stream, &session.settings);
        let limits = settings.sockets;
        let setting = session.setting();
        let begun = Instant::now();
        let mut last = begun;
        // An analysis has to be configured, a transcription may be; the others cannot.
        let mut configurable = matches!(stream, Stream::Conversation | Stream::Transcription);
        let mut stalls = fault == Some(Fault::StallUpload);
        loop {
            let waits = configurable && stream == Stream::Conversation;
            let message = tokio::select! {
                message = socket.recv() => message,
                () = sleep_until((last + limits.idle).min(begun + limits.longest)) => return Ok(()),
            };
            match message {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Err(Stop::Gone),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(text))) if configurable && !text.is_empty() => {
                    configurable = false;
                    self.asked.configure(stream, &text)?;
                }
                Some(Ok(Message::Text(text))) if text.is_empty() && !waits => {
                    return Ok(());
                }
                Some(Ok(Message::Text(_))) => return Err(Refusal::Configuration.into()),
                Some(Ok(Message::Binary(audio))) => {
                    if waits {
                        return Err(Refusal::Configuration.into());
                    }
                    configurable = false;
                    if fault == Some(Fault::ResetBeforeBody) {
                        return Err(Stop::Cut);
                    }
                    seen.message();
                    if std::mem::take(&mut stalls) {
                        sleep(settings.faults.stall_for).await;
                    }
                    if audio.is_empty() {
                        continue;
                    }
                    last = Instant::now();
                    self.track.hear(&audio)?;
                    for said in self.live.next(stream, &self.asked, &self.track, &setting) {
                        send(socket, said).await?;
                    }
                    if midway && self.track.played_ms() >= MIDWAY_MS {
                        return Err(Refusal::Internal.into());
                    }
                    if self.track.played_ms() >= limits.longest.as_millis() as u64 {
                        return Ok(());
                    }
                }
            }
        }
    }
}
