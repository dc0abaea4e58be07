//! What a connection asks for in its address: the key, the audio's format, options. Strict, and in the service's
//! words; parameters that no document has are refused.

use axum::extract::Query as Pairs;
use axum::http::Uri;
use serde_json::Value;

use super::super::form::Form;
use super::super::options::Options;
use super::super::refusal::Refusal;
use super::super::settings::Contract;
use super::format::{ENCODINGS, Format, MOST_CHANNELS, RATES, Raw};
use super::stream::Stream;

/// The parameters as they came.
pub(super) struct Query(Vec<(String, String)>);

/// The parameters understood.
#[derive(Debug)]
pub(super) struct Asked {
    /// None: to be found out from the bytes.
    pub(super) format: Option<Format>,
    pub(super) options: Options,
    /// Whether previews are wanted.
    pub(super) partials: bool,
    /// One utterance for each pause, and not one for all.
    pub(super) endpointing: bool,
}

impl Asked {
    /// The first text of a connection, which beats its address.
    pub(super) fn configure(&mut self, stream: Stream, text: &str) -> Result<(), Refusal> {
        match stream {
            Stream::Conversation if text == "default" => Ok(()),
            Stream::Conversation => self.options.examine(text),
            _ => {
                let Ok(Value::Object(mut config)) = serde_json::from_str(text) else {
                    return Err(Refusal::Configuration);
                };
                if let Some(partials) = config.remove("partial_results") {
                    self.partials = partials.as_bool().ok_or(Refusal::Configuration)?;
                }
                self.options.override_with(&config)
            }
        }
    }
}

const AUDIO: [&str; 3] = ["audio_format", "sample_rate", "num_channels"];

impl Query {
    pub(super) fn of(uri: &Uri) -> Query {
        Query(Pairs::try_from_uri(uri).map(|Pairs(pairs)| pairs).unwrap_or_default())
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.get("api_key")
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    pub(super) fn read(&self, stream: Stream, contract: Contract) -> Result<Asked, Refusal> {
        let mut fields = Vec::new();
        for (name, text) in &self.0 {
            let known = name == "api_key" || AUDIO.contains(&name.as_str());
            if stream.options().contains(&name.as_str()) {
                fields.push((name.clone(), text.clone()));
            } else if !known && !stream.switches().contains(&name.as_str()) {
                return Err(Refusal::UnknownField(name.clone()));
            }
        }
        let switch = |name: &str| match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::BadField(name.to_owned(), "boolean")),
        };
        Ok(Asked {
            format: self.format(stream, contract)?,
            options: Options::read(stream.twin(), &Form { file: None, fields })?,
            partials: stream != Stream::Transcription || switch("partial_results")?,
            endpointing: switch("endpointing")?,
        })
    }

    fn format(&self, stream: Stream, contract: Contract) -> Result<Option<Format>, Refusal> {
        let refuse = |sentence: String| Err(Refusal::Parameter(sentence));
        let (rate, channels) = (self.get("sample_rate"), self.get("num_channels"));
        let names = || {
            let raw = ENCODINGS.iter().map(|encoding| encoding.name);
            list(raw.chain(stream.containers(contract)))
        };
        let Some(name) = self.get("audio_format") else {
            if stream.wants_format() {
                return refuse(format!(
                    "audio_format query parameter is required. Valid values: {}",
                    names()
                ));
            }
            if rate.is_some() || channels.is_some() {
                return refuse("sample_rate and num_channels require audio_format to be specified".into());
            }
            return Ok(None);
        };
        if let Some(container) = stream.containers(contract).into_iter().find(|known| *known == name) {
            if (rate.is_some() || channels.is_some()) && !stream.overlooks_rate() {
                return refuse("sample_rate and num_channels are only valid for raw audio formats".into());
            }
            return Ok(Some(Format::Container(container)));
        }
        let Some(encoding) = ENCODINGS.into_iter().find(|encoding| encoding.name == name) else {
            return refuse(format!("Invalid audio_format='{name}'. Valid values: {}", names()));
        };
        let (Some(rate), Some(channels)) = (rate, channels) else {
            return refuse("Raw audio formats require sample_rate and num_channels query parameters".into());
        };
        let Some(rate) = RATES.into_iter().find(|known| known.to_string() == rate) else {
            let rates = RATES.map(|rate| rate.to_string()).join(", ");
            return refuse(format!("Invalid sample_rate={rate}. Valid values: [{rates}]"));
        };
        match channels.parse() {
            Ok(channels) if (1..=MOST_CHANNELS).contains(&channels) => {
                Ok(Some(Format::Raw(Raw { encoding, rate, channels })))
            }
            _ => refuse(format!("Invalid num_channels={channels}. Must be between 1 and {MOST_CHANNELS}")),
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: Stream, query: &str) -> Result<Asked, Refusal> {
        read_as(Contract::A, stream, query)
    }

    fn read_as(contract: Contract, stream: Stream, query: &str) -> Result<Asked, Refusal> {
        Query::of(&format!("/x?{query}").parse().unwrap()).read(stream, contract)
    }

    fn words(refused: Result<Asked, Refusal>) -> String {
        match refused.unwrap_err() {
            Refusal::Parameter(sentence) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn raw_audio_needs_rate_and_channels() {
        let asked =
            read(Stream::Transcription, "audio_format=s16le&sample_rate=16000&num_channels=2").unwrap();
        let Some(Format::Raw(raw)) = asked.format else { panic!("{asked:?}") };
        assert_eq!((raw.encoding.name, raw.rate, raw.channels), ("s16le", 16_000, 2));
        let missing = read(Stream::Transcription, "audio_format=mulaw&sample_rate=8000");
        let text = "Raw audio formats require sample_rate and num_channels query parameters";
        assert_eq!(words(missing), text);
    }

    #[test]
    fn rate_and_channels_are_nothing_without_a_raw_format() {
        let alone = words(read(Stream::Redaction, "sample_rate=8000"));
        assert_eq!(alone, "sample_rate and num_channels require audio_format to be specified");
        assert!(read(Stream::Redaction, "audio_format=wav&num_channels=1").is_err());
        assert!(read(Stream::English, "audio_format=wav&sample_rate=1&num_channels=x").is_ok(), "overlooked");
    }

    #[test]
    fn values_outside_the_lists_are_refused_with_the_lists() {
        let raw = |rate: &str, channels: &str| {
            let query = format!("audio_format=u8&sample_rate={rate}&num_channels={channels}");
            words(read(Stream::SyntheticVoice, &query))
        };
        let rates = "[8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]";
        assert_eq!(raw("50000", "1"), format!("Invalid sample_rate=50000. Valid values: {rates}"));
        assert_eq!(raw("8000", "12"), "Invalid num_channels=12. Must be between 1 and 8");
        assert_eq!(raw("8000", "0"), "Invalid num_channels=0. Must be between 1 and 8");
        let mp4 = words(read(Stream::SyntheticVoice, "audio_format=mp4"));
        assert!(mp4.starts_with("Invalid audio_format='mp4'. Valid values: ['s8', 's16le', "), "{mp4}");
        assert!(mp4.ends_with("'aac', 'aiff']"), "{mp4}");
        assert!(read_as(Contract::B, Stream::SyntheticVoice, "audio_format=mp4").is_ok());
    }

    #[test]
    fn two_of_the_streams_want_to_be_told_the_format() {
        for stream in Stream::ALL {
            let refused = read(stream, "").is_err();
            assert_eq!(refused, matches!(stream, Stream::English | Stream::SyntheticVoice), "{stream:?}");
        }
        assert!(words(read(Stream::English, "")).starts_with("audio_format query parameter is required"));
    }

    #[test]
    fn options_are_those_of_the_stream_and_no_other() {
        let asked =
            read(Stream::Transcription, "emotion_signal=true&partial_results=true&language=de-AT").unwrap();
        assert!(asked.options.emotion && asked.options.diarization && asked.partials);
        assert_eq!(asked.options.language.as_deref(), Some("de"));
        let padded = read(Stream::Redaction, "start_redaction_padding_ms=7").unwrap();
        assert_eq!((padded.options.start_padding_ms, padded.options.end_padding_ms), (7, 0));
        assert_eq!(
            read(Stream::Conversation, "language=en").unwrap_err(),
            Refusal::UnknownField("language".into())
        );
        assert!(read(Stream::Transcription, "config=%7B%7D").is_err());
        assert!(read(Stream::Transcription, "partial_results=1").is_err());
        assert_eq!(
            read(Stream::Transcription, "language=english").unwrap_err(),
            Refusal::Language("english".into())
        );
    }
}
