//! What a request may hold, and what may decode a recording that is more than that.

use serde_json::{Value, json};
use toml::de::DeValue;

use super::reader::Reader;
use super::value::{Kind, Location, Size, Switch, Wrong};
use crate::media::{Ffmpeg, MediaSettings};

/// `[media]`, and the size that stands under `[scan]`.
pub(super) fn read(reader: &mut Reader<'_>, location: Location<'_>) -> MediaSettings {
    let d = MediaSettings::default();
    MediaSettings {
        max_bytes: reader.get("scan.max_file_size", &Size, d.max_bytes),
        ffmpeg: reader.get("media.ffmpeg", &Decoder(location), d.ffmpeg),
        opus: reader.get("media.opus", &Switch, d.opus),
    }
}

/// Minutes of audio, kept in milliseconds.
pub(super) struct Minutes;

impl Kind for Minutes {
    type Out = u64;
    const EXPECTED: &'static str = "a number of minutes";

    fn text(&self, text: &str) -> Result<u64, Wrong> {
        let ms = text.replace('_', "").parse::<f64>().map(|minutes| (minutes * 60_000.0).round());
        match ms {
            Ok(ms) if (1000.0..=6e10).contains(&ms) => Ok(ms as u64),
            Ok(_) => Err(Wrong::value("must be at least a second and at most 1000000 minutes", None)),
            Err(_) => Err(Wrong::value("must be a number of minutes, such as 20", None)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<u64, Wrong> {
        match value {
            DeValue::Integer(n) if n.radix() == 10 => self.text(n.as_str()),
            DeValue::Float(n) => self.text(n.as_str()),
            other => Err(Wrong::kind(Self::EXPECTED, other, "write for example 20".to_owned())),
        }
    }

    fn show(&self, ms: &u64) -> Value {
        if ms.is_multiple_of(60_000) { json!(ms / 60_000) } else { json!(*ms as f64 / 60_000.0) }
    }
}

/// Whether another program may decode: a word, or its place.
struct Decoder<'a>(Location<'a>);

impl Kind for Decoder<'_> {
    type Out = Ffmpeg;
    const EXPECTED: &'static str = "\"off\", \"auto\" or a path";

    fn text(&self, text: &str) -> Result<Ffmpeg, Wrong> {
        match text {
            "off" => Ok(Ffmpeg::Off),
            "auto" => Ok(Ffmpeg::Auto),
            path if path.contains('/') => self.0.text(path).map(Ffmpeg::At),
            _ => Err(Wrong::value(
                "is neither \"off\" nor \"auto\" nor a path",
                "a program beside this file is \"./ffmpeg\"".to_owned(),
            )),
        }
    }

    fn show(&self, ffmpeg: &Ffmpeg) -> Value {
        match ffmpeg {
            Ffmpeg::Off => json!("off"),
            Ffmpeg::Auto => json!("auto"),
            Ffmpeg::At(path) => self.0.show(path),
        }
    }
}
