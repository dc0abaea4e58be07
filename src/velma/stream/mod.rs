//! ONE try over a streaming connection: *open, say what comes, send and listen at once, part*. Brings back the same
//! [`Exchange`](super::Exchange) as an upload does: an answer folded from messages, or a refusal with the code that the
//! connection was closed with in the place of a status.

mod fold;
mod frames;
mod hearing;
mod opening;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::request::Submission;
use super::upload::{Progress, Upload};
use super::{Answer, TransportError};
use crate::task::Carriage;
use frames::Frames;
use hearing::{Ending, Hearing};
use opening::Opened;

pub use fold::{ClipAt, Fold, Heard, TooMuch};

/// How long a server that has said its last words may take to close.
const PARTING: Duration = Duration::from_secs(5);

/// What an upload has no need of.
#[derive(Debug)]
pub struct Streamed {
    /// How the recording travels.
    pub carriage: Carriage,
    /// What we decode of it, if that is how.
    pub decoded: Option<Decoded>,
    /// About how long it is, by which a stream in real time goes.
    pub estimated_ms: u64,
}

/// Samples of a recording as [`crate::task::Samples::DECODED`] has them, a piece at a time; reading them may block.
pub struct Decoded(pub Box<dyn Iterator<Item = Result<Vec<u8>, String>> + Send>);

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoded")
    }
}

/// Sends a recording and listens until the connection has said all.
pub(super) async fn talk(
    client: &Client,
    submission: Submission<'_>,
    streamed: Streamed,
    progress: &Arc<Progress>,
    request_id: &mut Option<String>,
) -> Result<Answer, TransportError> {
    let Submission { endpoint, options, source, len, audio_beside, abort, .. } = submission;
    let upload = Upload::open(source, len, Arc::clone(progress)).await?;
    let carriage = streamed.carriage;
    let socket = match opening::open(client, endpoint, options, carriage, request_id).await? {
        Opened::Socket(socket) => socket,
        Opened::Refused(answer) => return Ok(answer),
    };
    let (mut sink, mut messages) = socket.split();
    let mut hearing = Hearing::new(endpoint, options.endpointing(), audio_beside);
    let ending = {
        let pace = options.realtime().then(Instant::now);
        let first = opening::first_message(endpoint, options);
        let frames = Frames::new(upload, len, streamed, client.frame_bytes(), pace.is_some());
        let mut sending = pin!(send(&mut sink, first, frames, pace, progress));
        let mut is_sending = true;
        loop {
            tokio::select! {
                biased;
                message = messages.next() => {
                    if let Some(ending) = hearing.take(message).await? {
                        break ending;
                    }
                }
                sent = &mut sending, if is_sending && hearing.wants_more() => match sent {
                    Ok(()) => is_sending = false,
                    Err(Unsent::Recording(fault)) => return Err(fault),
                    // Why may still be said: what has arrived is read first.
                    Err(Unsent::Connection(why)) => {
                        is_sending = false;
                        hearing.broken(why);
                    }
                },
                () = sleep_until(hearing.deadline()) => break hearing.overdue(),
            }
        }
    };
    progress.answered();
    match ending {
        Ending::Answered => {
            let answer = hearing.answer().await?;
            part(sink, messages, abort).await;
            Ok(answer)
        }
        Ending::Refused { code, words } => {
            let body = serde_json::json!({ "error": client.scrub(&words) }).to_string();
            Ok(refusal(code, body.into()))
        }
        Ending::Lost(why) if progress.body_sent() => Err(TransportError::AnswerLost(client.scrub(&why))),
        Ending::Lost(why) => Err(TransportError::BrokenWhileSending(client.scrub(&why))),
        Ending::TooLarge(most) => Err(TransportError::TooLarge(most)),
    }
}

/// An answer that says no.
fn refusal(status: u16, body: Bytes) -> Answer {
    Answer {
        status,
        retry_after: None,
        content_type: Some("application/json".to_owned()),
        body,
        audio: None,
        is_complete: true,
    }
}

/// Why not everything was sent.
enum Unsent {
    /// It is the recording's fault.
    Recording(TransportError),
    /// The connection broke.
    Connection(String),
}

/// The configuration, the sound, and the empty message that ends it. No faster than the server takes it.
async fn send(
    sink: &mut (impl Sink<Message, Error = Error> + Unpin),
    first: Option<String>,
    mut frames: Frames,
    pace: Option<Instant>,
    progress: &Progress,
) -> Result<(), Unsent> {
    let broken = |e: Error| Unsent::Connection(e.to_string());
    if let Some(first) = first {
        sink.send(Message::text(first)).await.map_err(broken)?;
    }
    while let Some((frame, due)) = frames.next().await.map_err(Unsent::Recording)? {
        if let Some(began) = pace {
            sleep_until(began + due).await;
        }
        let count = frame.len();
        sink.send(Message::Binary(frame)).await.map_err(broken)?;
        progress.advance(count);
    }
    sink.send(Message::text("")).await.map_err(broken)?;
    progress.all_sent();
    Ok(())
}

/// Closes the connection, so that the server counts it no longer when the slot is let go.
async fn part(
    mut sink: impl Sink<Message, Error = Error> + Unpin,
    mut messages: impl StreamExt<Item = Result<Message, Error>> + Unpin,
    abort: &CancellationToken,
) {
    let parting = async {
        let _ = sink.close().await;
        while let Some(Ok(_)) = messages.next().await {}
    };
    tokio::select! {
        _ = tokio::time::timeout(PARTING, parting) => {}
        () = abort.cancelled() => {}
    }
}

/// Where audio that comes back is put: beside where it will lie.
type Place<'a> = Option<&'a Path>;
