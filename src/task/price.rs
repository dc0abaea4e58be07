//! What a model costs by the hour of audio, as it was published on a day. Prices move, and an account can have its own:
//! an estimate for people, and nothing that anything is decided by.

use super::Endpoint;

/// The day of the table.
pub const PRICES_OF: &str = "2026-10-07";

impl Endpoint {
    /// US dollars an hour of audio, without options that cost extra; `None` where none was published.
    pub fn usd_per_hour(self) -> Option<f64> {
        match self {
            Endpoint::SttBatch | Endpoint::SttBatchMultilingualVfast => Some(0.03),
            Endpoint::SttBatchEnglishVfast => Some(0.025),
            Endpoint::SyntheticVoiceDetectionBatch => Some(0.25),
            Endpoint::PiiPhiRedactionBatch => Some(0.05),
            Endpoint::Batch => Some(1.25),
            Endpoint::LanguageDetectionBatch => Some(0.01),
            Endpoint::MusicDetectionBatch => Some(0.02),
            Endpoint::SttStreaming => Some(0.06),
            Endpoint::SttStreamingEnglishV2 => Some(0.05),
            Endpoint::SyntheticVoiceDetectionStreaming => Some(0.25),
            Endpoint::PiiPhiRedactionStreaming => Some(0.08),
            Endpoint::Streaming => Some(1.25),
            Endpoint::EmotionBatch
            | Endpoint::AccentBatch
            | Endpoint::AiMusicDetectionBatch
            | Endpoint::PlatformBatch => None,
        }
    }
}
