//! What outputs need of an answer, read by the room that knows the API.

use crate::task::Endpoint;
pub(super) use crate::velma::{Behavior, Pick, Sentiment, Transcript, Utterance};

/// Reads a stored answer. One that cannot be read gives an empty transcript: the record holds the whole answer
/// beside it, so nothing is hidden.
pub(super) fn read(endpoint: Endpoint, response: &str) -> Transcript {
    Transcript::from_json(endpoint, response).unwrap_or_default()
}
