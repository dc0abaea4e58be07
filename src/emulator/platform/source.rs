//! A source of a job that streams, as the third description of the Platform API has it: binary messages until an
//! empty text or the end of the connection, then one more file under the stream's alias.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::desk::Desk;
use super::submission::SubmittedFile;
use super::{MEDIA_TYPE, NAME, Refused, by_password, judge};

pub(super) async fn stream(
    State(desk): State<Arc<Desk>>,
    Path((id, alias)): Path<(String, String)>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let visit = desk.books.arrive(NAME, headers.contains_key(header::USER_AGENT));
    let allowed = by_password(&desk, &headers).and_then(|account| {
        desk.jobs.lock().of(&id, &account)?.open()?;
        Ok(account)
    });
    let account = match allowed {
        Ok(account) => account,
        Err(Refused(status, words)) => {
            visit.answered(status.as_u16());
            let body = json!({ "detail": words }).to_string();
            return (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        }
    };
    visit.answered(101);
    upgrade.on_upgrade(async move |mut socket| {
        let limit = desk.settings().max_file_bytes;
        let heard = tokio::select! {
            () = desk.closing.cancelled() => return,
            heard = hear(&mut socket, limit) => heard,
        };
        let file = judge(&desk, SubmittedFile { name: alias, bytes: heard }, false).await;
        // A job that was finalised meanwhile goes on without it.
        if let Ok(job) = desk.jobs.lock().of(&id, &account) {
            let _ = job.add(file);
        }
        let _ = socket.send(Message::Close(None)).await;
    })
}

/// Everything up to the end, or to the limit.
async fn hear(socket: &mut WebSocket, limit: u64) -> Vec<u8> {
    let mut heard = Vec::new();
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) if (heard.len() + bytes.len()) as u64 <= limit => heard.extend(bytes),
            Message::Ping(_) | Message::Pong(_) => {}
            // The empty text, the close, too much, and whatever has no meaning here.
            _ => break,
        }
    }
    heard
}
