//! What is submitted to the Platform API, in either of the two encodings that its documents suggest: JSON with the
//! audio in base64, or a form with a file. Leaves judging the audio to others.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::Refused;

/// Room for everything beside the file.
const BESIDES_BYTES: u64 = 64 * 1024;

/// The extensions that the JSON form may name.
const EXTENSIONS: [&str; 3] = ["mp3", "wav", "opus"];

/// A submission.
#[derive(Debug, Default)]
pub(super) struct Submission {
    pub(super) realtime: bool,
    pub(super) job_id: Option<String>,
    /// None: nothing was said.
    pub(super) finalize: Option<bool>,
    pub(super) file: Option<SubmittedFile>,
    pub(super) emotion: bool,
    pub(super) demographics: bool,
}

/// A file of a submission.
#[derive(Debug)]
pub(super) struct SubmittedFile {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

fn unprocessable(what: &str) -> Refused {
    Refused(StatusCode::UNPROCESSABLE_ENTITY, what.to_owned())
}

fn too_big(max_file_bytes: u64) -> Refused {
    Refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The file is too large. The limit is {} MB.", max_file_bytes / 1_000_000),
    )
}

impl Submission {
    /// Chooses the encoding by the Content-Type.
    pub(super) async fn read(request: Request, max_file_bytes: u64) -> Result<Submission, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        match kind.unwrap_or_default().split(';').next().unwrap_or_default().trim() {
            "application/json" => Submission::of_json(request.into_body(), max_file_bytes).await,
            "multipart/form-data" => Submission::of_form(request, max_file_bytes).await,
            _ => Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported content type.".to_owned())),
        }
    }

    async fn of_json(body: Body, max_file_bytes: u64) -> Result<Submission, Refused> {
        // Four characters for three bytes.
        let limit = max_file_bytes.div_ceil(3) * 4 + BESIDES_BYTES;
        let body = to_bytes(body, limit as usize).await.map_err(|_| too_big(max_file_bytes))?;
        let Ok(Value::Object(fields)) = serde_json::from_slice(&body) else {
            return Err(unprocessable("The body is no JSON object."));
        };
        let mut submission = Submission::default();
        let (mut audio, mut extension, mut name) = (None, None, None);
        for (key, value) in fields {
            let text = value.as_str().map(str::to_owned);
            match (key.as_str(), text) {
                ("audio_base64", Some(text)) => {
                    let bytes = BASE64_STANDARD.decode(text);
                    audio = Some(bytes.map_err(|_| unprocessable("audio_base64 is no base64."))?);
                }
                ("file_extension", Some(text)) => extension = Some(text),
                ("filename", Some(text)) => name = Some(text),
                ("flags", None) => submission.flags(&value)?,
                (_, Some(text)) => submission.field(&key, &text)?,
                ("finalize_job", None) if value.is_boolean() => submission.finalize = value.as_bool(),
                _ => return Err(unprocessable(&format!("{key} is not valid."))),
            }
        }
        if let Some(bytes) = audio {
            let extension = extension.ok_or_else(|| unprocessable("file_extension is required."))?;
            if !EXTENSIONS.contains(&extension.as_str()) {
                return Err(unprocessable("file_extension must be one of mp3, wav, opus."));
            }
            let name = name.unwrap_or_else(|| format!("audio.{extension}"));
            submission.file = Some(SubmittedFile { name, bytes });
        }
        submission.sized(max_file_bytes)
    }

    async fn of_form(request: Request, max_file_bytes: u64) -> Result<Submission, Refused> {
        let malformed = |_| unprocessable("The form is malformed.");
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|_| unprocessable("The form is malformed."))?;
        let mut submission = Submission::default();
        while let Some(mut field) = form.next_field().await.map_err(malformed)? {
            let key = field.name().unwrap_or_default().to_owned();
            // The file's field has no documented name: it is the one with a file name.
            let name = field.file_name().map(str::to_owned);
            let limit = if name.is_some() { max_file_bytes } else { BESIDES_BYTES };
            let mut bytes = Vec::new();
            while let Some(chunk) = field.chunk().await.map_err(malformed)? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > limit {
                    return Err(too_big(max_file_bytes));
                }
            }
            match name {
                Some(_) if submission.file.is_some() => return Err(unprocessable("One file per request.")),
                Some(name) => submission.file = Some(SubmittedFile { name, bytes }),
                None => {
                    let text = String::from_utf8(bytes).map_err(|_| unprocessable("Not UTF-8."))?;
                    match key.as_str() {
                        "flags" => {
                            let flags = serde_json::from_str(&text).unwrap_or_default();
                            submission.flags(&flags)?;
                        }
                        _ => submission.field(&key, &text)?,
                    }
                }
            }
        }
        submission.sized(max_file_bytes)
    }

    fn field(&mut self, key: &str, text: &str) -> Result<(), Refused> {
        match (key, text) {
            ("submission_type", "realtime_websocket") => self.realtime = true,
            ("job_id", id) if !id.is_empty() => self.job_id = Some(id.to_owned()),
            ("finalize_job", "true") => self.finalize = Some(true),
            ("finalize_job", "false") => self.finalize = Some(false),
            _ => return Err(unprocessable(&format!("{key} is not valid."))),
        }
        Ok(())
    }

    fn flags(&mut self, flags: &Value) -> Result<(), Refused> {
        let none = Map::new();
        let flags = match flags {
            Value::Null => &none,
            Value::Object(flags) => flags,
            _ => return Err(unprocessable("flags is not valid.")),
        };
        for (flag, value) in flags {
            let on = value.as_bool().ok_or_else(|| unprocessable("flags are true or false."))?;
            match flag.as_str() {
                "emotion_annotation" => self.emotion = on,
                "demographics" => self.demographics = on,
                _ => return Err(unprocessable(&format!("{flag} is no flag."))),
            }
        }
        Ok(())
    }

    fn sized(self, max_file_bytes: u64) -> Result<Submission, Refused> {
        let bytes = self.file.as_ref().map_or(0, |file| file.bytes.len() as u64);
        if bytes > max_file_bytes { Err(too_big(max_file_bytes)) } else { Ok(self) }
    }
}
