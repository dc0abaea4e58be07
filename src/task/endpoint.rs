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
    /// Fast multilingual transcription.
    SttBatchMultilingualVfast,
    /// The emotion that is heard.
    EmotionBatch,
    /// The accent that is heard.
    AccentBatch,
    /// The language that is spoken.
    LanguageDetectionBatch,
    /// Whether there is music or speech.
    MusicDetectionBatch,
    /// Whether a machine made the music.
    AiMusicDetectionBatch,
    /// Transcription as a job of the Platform API: experimental.
    PlatformBatch,
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

/// What is true of an endpoint. Formats are in `media::mime`, options in `velma::options`, prices in `task::price`.
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
    /// Larger recordings are refused, whatever the settings allow.
    pub max_bytes: u64,
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
    /// One label for the whole; of some models also one for each window of time.
    Label,
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
    pub const ALL: [Endpoint; 17] = [
        Endpoint::SttBatch,
        Endpoint::SttBatchEnglishVfast,
        Endpoint::SyntheticVoiceDetectionBatch,
        Endpoint::PiiPhiRedactionBatch,
        Endpoint::Batch,
        Endpoint::SttBatchMultilingualVfast,
        Endpoint::EmotionBatch,
        Endpoint::AccentBatch,
        Endpoint::LanguageDetectionBatch,
        Endpoint::MusicDetectionBatch,
        Endpoint::AiMusicDetectionBatch,
        Endpoint::PlatformBatch,
        Endpoint::SttStreaming,
        Endpoint::SttStreamingEnglishV2,
        Endpoint::SyntheticVoiceDetectionStreaming,
        Endpoint::PiiPhiRedactionStreaming,
        Endpoint::Streaming,
    ];

    /// The table.
    pub fn facts(self) -> Facts {
        let facts = |name, answers, returns| Facts {
            name,
            answers,
            returns,
            limits: &[],
            max_bytes: u64::MAX,
            audio: None,
            transport: Transport::Upload,
        };
        // The same model, told over another line.
        let streamed = |of: Endpoint, name| Facts { name, limits: &[], transport: STREAM, ..of.facts() };
        match self {
            Endpoint::SttBatch => {
                facts("velma-2-stt-batch", Answers::Utterances, "transcript with speakers, many languages")
            }
            Endpoint::SttBatchEnglishVfast => Facts {
                limits: &["older hosts take Opus only"],
                ..facts("velma-2-stt-batch-english-vfast", Answers::Text, "transcript without times, English")
            },
            Endpoint::SttBatchMultilingualVfast => facts(
                "velma-2-stt-batch-multilingual-vfast",
                Answers::Text,
                "transcript without times, many languages",
            ),
            Endpoint::SyntheticVoiceDetectionBatch => Facts {
                limits: &["at least half a second of audio", "meant for one speaker, 4 to 60 s"],
                ..facts(
                    "velma-2-synthetic-voice-detection-batch",
                    Answers::Frames,
                    "synthetic or natural voice, for each stretch of time",
                )
            },
            Endpoint::PiiPhiRedactionBatch => Facts {
                audio: Some("mp3"),
                ..facts(
                    "velma-2-pii-phi-redaction-batch",
                    Answers::Utterances,
                    "transcript and audio without personal and health data",
                )
            },
            Endpoint::Batch => Facts {
                limits: &["takes minutes"],
                ..facts(
                    "velma-2-batch",
                    Answers::Conversation,
                    "conversation analysis: clips, roles, behaviors, topics",
                )
            },
            Endpoint::EmotionBatch => Facts {
                limits: &["windows of 15 s; what remains at the end is left out"],
                ..facts("velma-2-emotion-batch", Answers::Label, "the emotion heard, whole and by window")
            },
            Endpoint::AccentBatch => Facts {
                limits: &["windows of 15 s; what remains at the end is left out"],
                ..facts("velma-2-accent-batch", Answers::Label, "the accent heard, whole and by window")
            },
            Endpoint::LanguageDetectionBatch => Facts {
                limits: &["hears the first 30 s only"],
                ..facts("velma-2-language-detection-batch", Answers::Label, "the language spoken")
            },
            Endpoint::MusicDetectionBatch => facts(
                "velma-2-music-detection-batch",
                Answers::Label,
                "music, speech or neither, and how much",
            ),
            Endpoint::AiMusicDetectionBatch => facts(
                "velma-2-ai-music-detection-batch",
                Answers::Label,
                "whether a machine made the music, whole and by window",
            ),
            Endpoint::PlatformBatch => Facts {
                limits: &[
                    "experimental: its documents disagree, and anything may change",
                    "credentials and address of its own, under [platform]",
                    "English, about 5 minutes at most",
                ],
                max_bytes: 5_000_000,
                ..facts("platform-batch", Answers::Utterances, "transcript, by a job of the Platform API")
            },
            Endpoint::SttStreaming => streamed(Endpoint::SttBatch, "velma-2-stt-streaming"),
            Endpoint::SttStreamingEnglishV2 => Facts {
                limits: &["30 minutes of audio at most"],
                transport: Transport::Stream { longest: Some(Duration::from_secs(30 * 60)) },
                ..streamed(Endpoint::SttBatchEnglishVfast, "velma-2-stt-streaming-english-v2")
            },
            Endpoint::SyntheticVoiceDetectionStreaming => streamed(
                Endpoint::SyntheticVoiceDetectionBatch,
                "velma-2-synthetic-voice-detection-streaming",
            ),
            Endpoint::PiiPhiRedactionStreaming => Facts {
                // Its audio comes in pieces, which are joined as samples.
                audio: Some("flac"),
                ..streamed(Endpoint::PiiPhiRedactionBatch, "velma-2-pii-phi-redaction-streaming")
            },
            Endpoint::Streaming => streamed(Endpoint::Batch, "velma-2-streaming"),
        }
    }

    /// The API's own name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether it accepts a recording as a job, which is asked for until it has ended.
    pub fn works_by_jobs(self) -> bool {
        self == Endpoint::PlatformBatch
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
