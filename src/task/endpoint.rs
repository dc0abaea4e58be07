//! Which speech model a task is for.

use std::fmt;
use std::str::FromStr;

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
}

impl Endpoint {
    /// Every endpoint, in the order in which the documents introduce them.
    pub const ALL: [Endpoint; 5] = [
        Endpoint::SttBatch,
        Endpoint::SttBatchEnglishVfast,
        Endpoint::SyntheticVoiceDetectionBatch,
        Endpoint::PiiPhiRedactionBatch,
        Endpoint::Batch,
    ];

    /// The API's own name, which is also the name of its limiter: `velma-2-stt-batch`.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::SttBatch => "velma-2-stt-batch",
            Endpoint::SttBatchEnglishVfast => "velma-2-stt-batch-english-vfast",
            Endpoint::SyntheticVoiceDetectionBatch => "velma-2-synthetic-voice-detection-batch",
            Endpoint::PiiPhiRedactionBatch => "velma-2-pii-phi-redaction-batch",
            Endpoint::Batch => "velma-2-batch",
        }
    }

    /// Whether a success comes with audio that has to be stored beside the answer.
    pub fn returns_audio(self) -> bool {
        self == Endpoint::PiiPhiRedactionBatch
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
}
