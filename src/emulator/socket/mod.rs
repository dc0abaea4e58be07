//! The streaming endpoints: a connection's way from its handshake to its close. Audio comes in binary messages,
//! everything else is text. What is asked for is in `query`, how it is listened to in `hearing`, what was heard in
//! `track`, what is said in `messages`, with which code it ends in `close`; `session` is the whole.

mod close;
mod fault;
mod format;
mod hearing;
mod messages;
mod query;
mod session;
mod settings;
mod stream;
mod track;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::books::Slot;
use super::desk::{self, Desk};
use super::fault::Fault;
use super::line::Line;
use super::refusal::Refusal;
use super::settings::Settings;

pub(super) use fault::SocketFault;
pub use fault::SocketFaults;
pub use settings::Sockets;
pub(super) use stream::Stream;

use query::Query;
use session::Session;

/// Larger messages end the connection. Real clients send 4 to 64 KB.
const LARGEST_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A connection that holds a slot.
struct Admitted {
    slot: Slot,
    fate: Fate,
}

/// What was decided about a connection before it began.
#[derive(Debug, Clone, Copy)]
struct Fate {
    fault: Option<Fault>,
    /// To be closed in the middle of its audio.
    midway: bool,
}

/// A handshake. Whom the account refuses is let in to be told so, unless plain HTTP was asked for.
pub(super) async fn open(desk: Arc<Desk>, stream: Stream, line: Line, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let user_agent = parts.headers.contains_key(header::USER_AGENT);
    let visit = desk.books.arrive(stream.name(), user_agent);
    let settings = desk.settings();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let response = rejection.into_response();
            visit.answered(response.status().as_u16());
            return response;
        }
    };
    let query = Query::of(&parts.uri);
    let let_in = let_in(&desk, &settings, stream, &query, user_agent);
    if let Err(refusal) = &let_in
        && (settings.sockets.refuse_at_handshake || *refusal == Refusal::MissingUserAgent)
    {
        desk.books.refused(stream.name(), refusal);
        let response = desk::refuse(&settings, settings.contract, stream.twin(), refusal);
        visit.answered(response.status().as_u16());
        return response;
    }
    visit.answered(101);
    let session = Session { desk, stream, settings, line, query };
    upgrade
        .max_message_size(LARGEST_MESSAGE_BYTES)
        .max_frame_size(LARGEST_MESSAGE_BYTES)
        .on_upgrade(move |socket| session.run(socket, let_in))
}

fn let_in(
    desk: &Desk,
    settings: &Settings,
    stream: Stream,
    query: &Query,
    user_agent: bool,
) -> Result<Admitted, Refusal> {
    let name = stream.name();
    desk::identify(settings, name, query.key().map(str::as_bytes), user_agent)?;
    let kin = settings.sockets.share_with_batch.then(|| stream.twin().name());
    let (slot, number) = desk.books.admit(name, kin, &settings.limits(name))?;
    match settings.faults.before_body(name, number) {
        Some(Fault::Busy) if settings.faults.unknown_429_text => Err(Refusal::UnknownThrottle),
        Some(Fault::Busy) => Err(Refusal::Concurrency),
        fault => {
            let midway = settings.faults.midway(name, number);
            Ok(Admitted { slot, fate: Fate { fault, midway } })
        }
    }
}
