//! What has been heard on a connection: the answer so far, audio on its way to the disk, and how it ends.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::super::audio::{Clip, Stage};
use super::super::client::{AUDIO_MAX, JSON_MAX};
use super::super::{Answer, TransportError};
use super::{ClipAt, Fold, Heard, PARTING, Place, TooMuch};
use crate::task::Endpoint;

/// The code of a connection that ended without one.
const NO_CODE: u16 = 1006;
/// Nothing waits that long.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// All was told.
    Answered,
    /// By the server, before that.
    Refused { code: u16, words: String },
    /// By nobody.
    Lost(String),
    /// More came than can be an answer, in bytes.
    TooLarge(u64),
}

/// See the module.
pub(super) struct Hearing<'a> {
    fold: Fold,
    returns_audio: bool,
    beside: Place<'a>,
    stage: Option<Stage>,
    clips: Vec<Clip>,
    /// Audio was told of that has not come.
    owed: Option<ClipAt>,
    audio_lost: bool,
    done: bool,
    /// The API's words, while its code is waited for.
    refused: Option<String>,
    broken: Option<String>,
    deadline: Option<Instant>,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(endpoint: Endpoint, endpointing: bool, beside: Place<'a>) -> Self {
        Hearing {
            fold: Fold::new(endpoint, endpointing, JSON_MAX),
            returns_audio: endpoint.returns_audio(),
            beside,
            stage: None,
            clips: Vec::new(),
            owed: None,
            audio_lost: false,
            done: false,
            refused: None,
            broken: None,
            deadline: None,
        }
    }

    /// Until when there is something to wait for, where that is not for the usual limits to say.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + FAR)
    }

    /// Nothing can be sent any more; what was said before that may still arrive.
    pub(super) fn broken(&mut self, why: String) {
        self.broken = Some(why);
        self.wait_a_little();
    }

    /// Whether the server wants to hear more.
    pub(super) fn wants_more(&self) -> bool {
        self.refused.is_none()
    }

    /// The deadline has passed.
    pub(super) fn overdue(&mut self) -> Ending {
        self.ended("the connection was not closed".to_owned())
    }

    /// Takes in what came; `Some` when that was the end.
    pub(super) async fn take(
        &mut self,
        message: Option<Result<Message, Error>>,
    ) -> Result<Option<Ending>, TransportError> {
        Ok(match message {
            Some(Ok(Message::Text(text))) => self.hear(&text),
            Some(Ok(Message::Binary(bytes))) => self.keep(&bytes).await?,
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) =
                    frame.map_or((NO_CODE, String::new()), |f| (f.code.into(), f.reason.to_string()));
                Some(self.closed(code, reason))
            }
            Some(Ok(_)) => None,
            Some(Err(Error::Capacity(_))) => Some(Ending::TooLarge(JSON_MAX as u64)),
            Some(Err(e)) => Some(self.ended(e.to_string())),
            None => Some(self.ended("it ended".to_owned())),
        })
    }

    /// The answer of a connection on which all was told.
    pub(super) async fn answer(self) -> Result<Answer, TransportError> {
        let audio = match self.stage {
            Some(stage) => Some(stage.finish(self.clips).await.map_err(storage)?),
            None => None,
        };
        let is_complete = self.fold.is_whole() && self.owed.is_none() && !self.audio_lost;
        Ok(Answer {
            status: 200,
            retry_after: None,
            content_type: Some("application/json".to_owned()),
            body: self.fold.json().into(),
            audio,
            is_complete,
        })
    }

    fn hear(&mut self, text: &str) -> Option<Ending> {
        if self.done || self.refused.is_some() {
            return None;
        }
        // What was told of must come before anything else does.
        self.audio_lost |= self.owed.take().is_some();
        match self.fold.hear(text) {
            Ok(Heard::More) => None,
            Ok(Heard::Audio(at)) => {
                self.owed = Some(at).filter(|_| self.returns_audio);
                None
            }
            Ok(Heard::Done(at)) => {
                self.done = true;
                self.owed = at.filter(|_| self.returns_audio);
                self.owed.is_none().then_some(Ending::Answered)
            }
            Ok(Heard::Refused(words)) => {
                self.refused = Some(words);
                self.wait_a_little();
                None
            }
            Err(TooMuch) => Some(Ending::TooLarge(JSON_MAX as u64)),
        }
    }

    /// Audio that nobody told of is not kept.
    async fn keep(&mut self, bytes: &[u8]) -> Result<Option<Ending>, TransportError> {
        let Some(ClipAt { start_ms, duration_ms }) = self.owed.take() else { return Ok(None) };
        if self.stage.is_none() {
            self.stage = Some(Stage::open(self.beside).await.map_err(storage)?);
        }
        let Some(stage) = &mut self.stage else { return Ok(None) };
        if stage.bytes() + bytes.len() as u64 > AUDIO_MAX {
            return Ok(Some(Ending::TooLarge(AUDIO_MAX)));
        }
        stage.write(bytes).await.map_err(storage)?;
        self.clips.push(Clip { start_ms, duration_ms, bytes: bytes.len() as u64 });
        Ok(self.done.then_some(Ending::Answered))
    }

    fn closed(&mut self, code: u16, reason: String) -> Ending {
        match self.refused.take() {
            // All was told, but the last audio: the answer says so itself.
            _ if self.done => Ending::Answered,
            Some(words) if words.is_empty() => Ending::Refused { code, words: reason },
            Some(words) => Ending::Refused { code, words },
            None => Ending::Refused { code, words: reason },
        }
    }

    /// Without a close.
    fn ended(&mut self, why: String) -> Ending {
        match self.refused.take() {
            _ if self.done => Ending::Answered,
            Some(words) => Ending::Refused { code: NO_CODE, words },
            None => Ending::Lost(self.broken.take().unwrap_or(why)),
        }
    }

    fn wait_a_little(&mut self) {
        self.deadline.get_or_insert_with(|| Instant::now() + PARTING);
    }
}

fn storage(e: io::Error) -> TransportError {
    TransportError::Storage(e.to_string())
}
