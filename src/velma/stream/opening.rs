//! The handshake. The HTTP client makes it, so that TLS, proxy, time limits and the User-Agent are those of every other
//! request. The key stands in the address here, as the API wants it: no text that leaves this file holds an address.

use reqwest::header::{CONNECTION, RETRY_AFTER, UPGRADE};
use reqwest::{StatusCode, Upgraded, Url};
use secrecy::ExposeSecret;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::super::client::{Client, chain, header};
use super::super::exchange::retry_after;
use super::super::{Answer, Options, TransportError, request};
use crate::task::{Carriage, Endpoint, Samples};

/// Messages are small, but for clips of redacted audio.
const MESSAGE_MAX: usize = 64 << 20;
const READ_BUFFER: usize = 16 << 10;

/// What came of a handshake.
pub(super) enum Opened {
    /// A connection.
    Socket(Box<WebSocketStream<Upgraded>>),
    /// An answer of plain HTTP.
    Refused(Answer),
}

/// Opens a connection that says in its address what will come.
pub(super) async fn open(
    client: &Client,
    endpoint: Endpoint,
    options: &Options,
    carriage: Carriage,
    request_id: &mut Option<String>,
) -> Result<Opened, TransportError> {
    let url = address(client, endpoint, options, carriage)?;
    let nonce = generate_key();
    let connect = |e: reqwest::Error| TransportError::Connect(client.scrub(&chain(&e.without_url())));
    let response = client
        .keyless(url)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", &nonce)
        .send()
        .await
        .map_err(connect)?;
    *request_id = client.request_id(&response);
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if status.is_success() || status.is_informational() {
            let why = format!("the server answered {} and opened no WebSocket", status.as_u16());
            return Err(TransportError::Connect(why));
        }
        let wait = header(response.headers(), RETRY_AFTER.as_str());
        let retry_after = wait.and_then(|value| retry_after(value, jiff::Timestamp::now()));
        let content_type = header(response.headers(), "content-type").map(|text| client.scrub(text));
        let (body, is_complete) = client.error_text(response).await;
        let status = status.as_u16();
        return Ok(Opened::Refused(Answer {
            status,
            retry_after,
            content_type,
            body,
            audio: None,
            is_complete,
        }));
    }
    let accepted = header(response.headers(), "sec-websocket-accept");
    if accepted != Some(derive_accept_key(nonce.as_bytes()).as_str()) {
        return Err(TransportError::Connect("the server is none for WebSockets".to_owned()));
    }
    let upgraded = response.upgrade().await.map_err(connect)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
    Ok(Opened::Socket(Box::new(socket)))
}

/// The first message, where the endpoint wants or allows one: what the batch sibling has as a form field of JSON.
pub(super) fn first_message(endpoint: Endpoint, options: &Options) -> Option<String> {
    let config = options.fields().iter().find(|field| field.name == "config").map(|f| f.value.clone());
    match endpoint {
        // It cannot do without.
        Endpoint::Streaming => config.or_else(|| Some("default".to_owned())),
        _ => config,
    }
}

fn address(
    client: &Client,
    endpoint: Endpoint,
    options: &Options,
    carriage: Carriage,
) -> Result<Url, TransportError> {
    let text = format!("{}{}", client.base_url(), request::path(endpoint));
    let mut url = Url::parse(&text).map_err(|e| TransportError::Unsendable(e.to_string()))?;
    let (format, samples) = match carriage {
        Carriage::Container(name) => (name, None),
        Carriage::Samples { kind, .. } => (kind.encoding, Some(kind)),
        Carriage::Decoded => (Samples::DECODED.encoding, Some(Samples::DECODED)),
    };
    url.query_pairs_mut()
        .append_pair("api_key", client.key().expose_secret())
        .append_pair("audio_format", format)
        .extend_pairs(samples.iter().flat_map(|kind| {
            [("sample_rate", kind.rate.to_string()), ("num_channels", kind.channels.to_string())]
        }))
        .extend_pairs(options.fields().iter().filter(|f| f.name != "config").map(|f| (f.name, &f.value)));
    Ok(url)
}
