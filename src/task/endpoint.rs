//! Which speech model a task is for, and what is true of each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A Velma-2 model. Each has its own limiter: the organisation's concurrency and monthly hours count by model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// Multilingual transcription.
    SttBatch,
    /// Fast English transcription.
    SttBatchEnglishVfast,
    /// Synthetic-voice ("deepfake") detection.
    SyntheticVoiceDetectionBatch,
    /// Transcript and audio with personal and health data taken out.
    PiiPhiRedactionBatch,
    /// Conversation analysis.
    Batch,
    /// Multilingual transcription, streamed.
    SttStreaming,
    /// English transcription, streamed.
    SttStreamingEnglishV2,
    /// Synthetic-voice detection, streamed.
    SyntheticVoiceDetectionStreaming,
    /// Redaction, streamed.
    PiiPhiRedactionStreaming,
    /// Conversation analysis, streamed.
    Streaming,
}

/// What is true of an endpoint. Formats are in `media::mime`, options in `velma::options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The API's own name, which is also the name of its limiter: `velma-2-stt-batch`.
    pub name: &'static str,
    /// What its answers are made of.
    pub answers: Answers,
    /// What comes back, in a few words.
    pub returns: &'static str,
    /// Limits of its own, beside those that all have.
    pub limits: &'static [&'static str],
    /// The extension of the audio that comes with a success and has to be stored beside the answer.
    pub audio: Option<&'static str>,
    /// How a recording gets there.
    pub transport: Transport,
}

/// What answers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// What was said, in stretches with times and speakers.
    Utterances,
    /// What was said, as one text without times.
    Text,
    /// A verdict for each stretch of time.
    Frames,
    /// The clips of a conversation, and what was found in it.
    Conversation,
}

/// How a recording gets to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One request with the whole file.
    Upload,
    /// A WebSocket connection.
    Stream {
        /// How much audio one connection takes, where that is limited.
        longest: Option<Duration>,
    },
}

const STREAM: Transport = Transport::Stream { longest: None };

impl Endpoint {
    /// Every endpoint, in the order in which the documents introduce them.
    pub const ALL: [Endpoint; 10] = [
        Endpoint::SttBatch,
        Endpoint::SttBatchEnglishVfast,
        Endpoint::SyntheticVoiceDetectionBatch,
        Endpoint::PiiPhiRedactionBatch,
        Endpoint::Batch,
        Endpoint::SttStreaming,
        Endpoint::SttStreamingEnglishV2,
        Endpoint::SyntheticVoiceDetectionStreaming,
        Endpoint::PiiPhiRedactionStreaming,
        Endpoint::Streaming,
    ];

    /// The table.
    pub fn facts(self) -> Facts {
        let facts = |name, answers, returns| {
            Facts { name, answers, returns, limits: &[], audio: None, transport: Transport::Upload }
        };
        match self {
            Endpoint::SttBatch => {
                facts("velma-2-stt-batch", Answers::Utterances, "transcript with speakers, many languages")
            }
            Endpoint::SttBatchEnglishVfast => {
                facts("velma-2-stt-batch-english-vfast", Answers::Text, "transcript without times, English")
            }
            Endpoint::SyntheticVoiceDetectionBatch => facts(
                "velma-2-synthetic-voice-detection-batch",
                Answers::Frames,
                "synthetic or natural voice, for each stretch of time",
            ),
            Endpoint::PiiPhiRedactionBatch => Facts {
                audio: Some("mp3"),
                ..facts(
                    "velma-2-pii-phi-redaction-batch",
                    Answers::Utterances,
                    "transcript and audio without personal and health data",
                )
            },
            Endpoint::Batch => {
                facts("velma-2-batch", Answers::Conversation, "conversation analysis: clips, roles, topics")
            }
            Endpoint::SttStreaming => Facts {
                name: "velma-2-stt-streaming",
                transport: STREAM,
                ..Endpoint::SttBatch.facts()
            },
            Endpoint::SttStreamingEnglishV2 => Facts {
                name: "velma-2-stt-streaming-english-v2",
                limits: &["30 minutes of audio at most"],
                transport: Transport::Stream { longest: Some(Duration::from_secs(30 * 60)) },
                ..Endpoint::SttBatchEnglishVfast.facts()
            },
            Endpoint::SyntheticVoiceDetectionStreaming => Facts {
                name: "velma-2-synthetic-voice-detection-streaming",
                transport: STREAM,
                ..Endpoint::SyntheticVoiceDetectionBatch.facts()
            },
            Endpoint::PiiPhiRedactionStreaming => Facts {
                name: "velma-2-pii-phi-redaction-streaming",
                // Its audio comes in pieces, which are joined as samples.
                audio: Some("wav"),
                transport: STREAM,
                ..Endpoint::PiiPhiRedactionBatch.facts()
            },
            Endpoint::Streaming => {
                Facts { name: "velma-2-streaming", transport: STREAM, ..Endpoint::Batch.facts() }
            }
        }
    }

    /// The API's own name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// What its answers are made of.
    pub fn answers(self) -> Answers {
        self.facts().answers
    }

    /// Whether a success comes with audio that has to be stored beside the answer.
    pub fn returns_audio(self) -> bool {
        self.facts().audio.is_some()
    }

    /// Whether recordings are streamed to it.
    pub fn is_streaming(self) -> bool {
        self.facts().transport != Transport::Upload
    }

    /// How much audio one request takes, where that is limited.
    pub fn longest(self) -> Option<Duration> {
        match self.facts().transport {
            Transport::Upload => None,
            Transport::Stream { longest } => longest,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Endpoint::ALL.into_iter().find(|e| e.name() == name).ok_or_else(|| UnknownEndpoint(name.to_owned()))
    }
}

/// A name that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown endpoint `{0}`")]
pub struct UnknownEndpoint(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_by_its_own_name() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.name().parse(), Ok(endpoint));
        }
        assert!("velma-2-stt".parse::<Endpoint>().is_err());
    }

    #[test]
    fn an_endpoint_streams_if_its_name_says_so() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.is_streaming(), endpoint.name().contains("streaming"), "{endpoint}");
        }
    }
}
