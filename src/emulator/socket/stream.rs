//! The streaming endpoints as the service knows them: names, parameters, containers.

use super::super::model::Model;
use super::super::settings::Contract;

/// A model with a streaming endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Stream {
    Transcription,
    English,
    SyntheticVoice,
    Redaction,
    Conversation,
}

impl Stream {
    pub(in crate::emulator) const ALL: [Stream; 5] = [
        Stream::Transcription,
        Stream::English,
        Stream::SyntheticVoice,
        Stream::Redaction,
        Stream::Conversation,
    ];

    pub(in crate::emulator) fn name(self) -> &'static str {
        match self {
            Stream::Transcription => "velma-2-stt-streaming",
            Stream::English => "velma-2-stt-streaming-english-v2",
            Stream::SyntheticVoice => "velma-2-synthetic-voice-detection-streaming",
            Stream::Redaction => "velma-2-pii-phi-redaction-streaming",
            Stream::Conversation => "velma-2-streaming",
        }
    }

    pub(in crate::emulator) fn path(self) -> String {
        format!("/api/{}", self.name())
    }

    /// The batch model that does the same.
    pub(in crate::emulator) fn twin(self) -> Model {
        match self {
            Stream::Transcription => Model::Transcription,
            Stream::English => Model::EnglishFast,
            Stream::SyntheticVoice => Model::SyntheticVoice,
            Stream::Redaction => Model::Redaction,
            Stream::Conversation => Model::Conversation,
        }
    }

    /// The streaming endpoint of a batch model.
    pub(in crate::emulator) fn of(model: Model) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.twin() == model)
    }

    /// Whether the audio's format has to be named.
    pub(super) fn wants_format(self) -> bool {
        matches!(self, Stream::English | Stream::SyntheticVoice)
    }

    /// Whether rate and channels may stand beside a container, without meaning.
    pub(super) fn overlooks_rate(self) -> bool {
        self == Stream::English
    }

    /// Parameters that are options of the batch twin's form as well.
    pub(super) fn options(self) -> &'static [&'static str] {
        match self {
            Stream::Transcription => &[
                "speaker_diarization",
                "emotion_signal",
                "accent_signal",
                "deepfake_signal",
                "pii_phi_tagging",
                "language",
            ],
            Stream::Redaction => self.twin().fields(),
            Stream::English | Stream::SyntheticVoice | Stream::Conversation => &[],
        }
    }

    /// Parameters of its own that are true or false.
    pub(super) fn switches(self) -> &'static [&'static str] {
        match self {
            Stream::Transcription => &["partial_results"],
            // In no document that we have, yet clients of the latest generation send them.
            Stream::English => &["endpointing", "diarize"],
            _ => &[],
        }
    }

    /// The containers that may be declared.
    pub(super) fn containers(self, contract: Contract) -> Vec<&'static str> {
        let mut names = vec!["wav", "mp3", "ogg", "flac", "webm", "aac", "aiff"];
        match (self, contract) {
            (Stream::Transcription, Contract::A) => names.extend(["mp4", "mov"]),
            (Stream::SyntheticVoice, Contract::B | Contract::C) => {
                names.extend(["au", "wma", "opus", "amr", "mp4", "m4a", "3gp", "3gpp"]);
            }
            _ => {}
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_found_by_its_batch_model() {
        assert!(Stream::ALL.into_iter().all(|stream| Stream::of(stream.twin()) == Some(stream)));
        assert_eq!(Stream::of(Model::Music), None);
    }

    #[test]
    fn opus_travels_as_ogg_except_for_voices() {
        for stream in Stream::ALL {
            let opus = stream.containers(Contract::C).contains(&"opus");
            assert_eq!(opus, stream == Stream::SyntheticVoice, "{stream:?}");
        }
    }
}
