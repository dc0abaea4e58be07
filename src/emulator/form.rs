//! Takes a multipart body in: the file goes to memory or disk while it is hashed, the other fields are kept as
//! text. Leaves judging them to others.

use std::io::Write;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use super::refusal::Refusal;

/// Files up to this size stay in memory; 64 at once are 16 MiB.
const IN_MEMORY_BYTES: usize = 256 * 1024;

/// A text field longer than this is no text field. The longest lawful one is a configuration.
const LONGEST_FIELD_BYTES: usize = 1024 * 1024;

/// A body that arrived whole.
pub(super) struct Form {
    pub(super) file: Option<Upload>,
    /// The other fields, in order.
    pub(super) fields: Vec<(String, String)>,
}

/// The file part.
pub(super) struct Upload {
    pub(super) name: String,
    /// The part's Content-Type, lower-case, without parameters.
    pub(super) declared: Option<String>,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) content: SpooledTempFile,
}

impl Upload {
    pub(super) fn hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// What may happen on the way in.
pub(super) enum Taken {
    Whole(Form),
    /// The listener hung up because of the file's name.
    HungUp,
}

/// Reads the body. `hang_up` is asked once the file's name is known and before its bytes are read.
pub(super) async fn take(
    parts: Parts,
    body: Body,
    max_file_bytes: u64,
    hang_up: impl Fn(&str) -> bool,
) -> Result<Taken, Refusal> {
    // A proxy in front judges the announced length; the room is for boundaries and other fields.
    let announced =
        parts.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_file_bytes + LONGEST_FIELD_BYTES as u64) {
        return Err(Refusal::TooBig);
    }
    let request = Request::from_parts(parts, body);
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| Refusal::Malformed)?;
    let mut form = Form { file: None, fields: Vec::new() };
    while let Some(mut field) = multipart.next_field().await.map_err(|_| Refusal::Malformed)? {
        let name = field.name().ok_or(Refusal::Malformed)?.to_owned();
        if name != "upload_file" {
            let mut text = Vec::new();
            while let Some(chunk) = field.chunk().await.map_err(|_| Refusal::Malformed)? {
                if text.len() + chunk.len() > LONGEST_FIELD_BYTES {
                    return Err(Refusal::Malformed);
                }
                text.extend_from_slice(&chunk);
            }
            let text = String::from_utf8(text).map_err(|_| Refusal::BadField(name.clone(), "string"))?;
            form.fields.push((name, text));
            continue;
        }
        if form.file.is_some() {
            return Err(Refusal::BadField(name, "file"));
        }
        let file_name = field.file_name().ok_or(Refusal::MissingFile)?.to_owned();
        if hang_up(&file_name) {
            return Ok(Taken::HungUp);
        }
        let declared = field
            .content_type()
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let mut content = SpooledTempFile::new(IN_MEMORY_BYTES);
        let mut hash = Sha256::new();
        let mut bytes = 0u64;
        while let Some(chunk) = field.chunk().await.map_err(|_| Refusal::Malformed)? {
            bytes += chunk.len() as u64;
            if bytes > max_file_bytes {
                return Err(Refusal::TooBig);
            }
            hash.update(&chunk);
            // Goes to memory or the page cache; a full disk here is the service's own trouble.
            content.write_all(&chunk).map_err(|_| Refusal::Internal)?;
        }
        form.file =
            Some(Upload { name: file_name, declared, bytes, sha256: hash.finalize().into(), content });
    }
    Ok(Taken::Whole(form))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}
