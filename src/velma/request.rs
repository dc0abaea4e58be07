//! One request put together anew for each try: the options as form fields, then the file.

use std::path::Path;

use reqwest::Body;
use reqwest::multipart::{Form, Part};
use tokio_util::sync::CancellationToken;

use super::upload::{Source, Upload};
use super::{Options, Streamed, TransportError};
use crate::task::Endpoint;

/// The longest name that most systems take.
const NAME_MAX: usize = 255;

/// What to send, and where to put what comes back.
#[derive(Debug)]
pub struct Submission<'a> {
    /// To which model.
    pub endpoint: Endpoint,
    /// Beside the file.
    pub options: &'a Options,
    /// The recording.
    pub source: Source,
    /// How many bytes it has. One that has more or fewer is not sent.
    pub len: u64,
    /// The name it goes out under; its extension decides whether the API takes it.
    pub upload_name: &'a str,
    /// The type it goes out as.
    pub mime: &'static str,
    /// Where audio that comes back will finally lie: it is staged in the same folder.
    pub audio_beside: Option<&'a Path>,
    /// Cancelled to give up at once.
    pub abort: &'a CancellationToken,
    /// How it is streamed, to an endpoint that is streamed to.
    pub streamed: Option<Streamed>,
}

/// The path of an endpoint, from the root of the host.
pub(super) fn path(endpoint: Endpoint) -> String {
    format!("/api/{}", endpoint.name())
}

/// The one call that costs nothing.
pub(super) const FREE_CALL: &str = "/api/velma-2-batch/list-presets";

/// The form: fields first, so that a server that reads in order knows them when the file begins.
pub(super) fn form(
    options: &Options,
    upload: Upload,
    len: u64,
    name: &str,
    mime: &str,
) -> Result<Form, TransportError> {
    let unsendable = |e: reqwest::Error| TransportError::Unsendable(e.to_string());
    let mut form = Form::new();
    for field in options.fields() {
        let part = Part::text(field.value.clone());
        let part = if field.json { part.mime_str("application/json").map_err(unsendable)? } else { part };
        form = form.part(field.name, part);
    }
    let file = Part::stream_with_length(Body::wrap_stream(upload.into_stream()), len)
        .file_name(file_name(name))
        .mime_str(mime)
        .map_err(unsendable)?;
    Ok(form.part("upload_file", file))
}

/// A name that cannot break out of its header: no quotes, separators or control characters, and not endless.
fn file_name(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c.is_control() || matches!(c, '"' | '\\' | '/' | ';') { '_' } else { c })
        .collect();
    let surplus = clean.len().saturating_sub(NAME_MAX);
    // Cut from the front: the extension counts.
    let clean = &clean[clean.ceil_char_boundary(surplus)..];
    if clean.is_empty() { "recording".to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_extension_and_cannot_leave_its_header() {
        assert_eq!(file_name("Rückruf 7.wav"), "Rückruf 7.wav");
        assert_eq!(file_name("a\"b\r\nX-Evil: 1\\c;.mp3"), "a_b__X-Evil: 1_c_.mp3");
        assert_eq!(file_name("../x.wav"), ".._x.wav");
        assert_eq!(file_name(""), "recording");
        let long = file_name(&format!("{}.opus", "ä".repeat(400)));
        assert!(long.len() <= NAME_MAX && long.ends_with("ä.opus"), "{long}");
    }

    #[test]
    fn every_endpoint_has_its_path() {
        assert_eq!(path(Endpoint::SttBatch), "/api/velma-2-stt-batch");
        assert_eq!(path(Endpoint::Batch), "/api/velma-2-batch");
    }
}
