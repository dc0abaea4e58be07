//! Whether a recording may go out whole as Opus, where FLAC is too large: for whom it does no harm, and what there is room
//! for. Bits are of a second.

use super::mime::upload_as;
use super::sound::Shape;
use super::{Format, MediaSettings, Terms};
use crate::task::Endpoint;

/// More is not heard: of each channel, …
const MOST: u64 = 96_000;
/// … and for each of its samples.
const MOST_A_SAMPLE: u64 = 8;
/// With less, words are lost.
const LEAST: u64 = 24_000;
/// Pages and packets have heads, and the encoder strays from what it is given: 4 % at most were measured.
const PERCENT: u128 = 94;
/// What Opus takes.
const RATES: [u32; 5] = [48_000, 24_000, 16_000, 12_000, 8000];

/// Whether nothing is asked whose answer lossy coding may shift.
pub(super) fn may_be_lossy(endpoint: Endpoint, settings: &MediaSettings, terms: Terms) -> bool {
    let is_harmless = match endpoint {
        Endpoint::EmotionBatch
        | Endpoint::AccentBatch
        | Endpoint::AiMusicDetectionBatch
        | Endpoint::SyntheticVoiceDetectionBatch
        | Endpoint::SyntheticVoiceDetectionStreaming => false,
        Endpoint::SttBatch
        | Endpoint::SttBatchEnglishVfast
        | Endpoint::SttBatchMultilingualVfast
        | Endpoint::PiiPhiRedactionBatch
        | Endpoint::Batch
        | Endpoint::LanguageDetectionBatch
        | Endpoint::MusicDetectionBatch
        | Endpoint::PlatformBatch
        | Endpoint::SttStreaming
        | Endpoint::SttStreamingEnglishV2
        | Endpoint::PiiPhiRedactionStreaming
        | Endpoint::Streaming => true,
    };
    // A stream has no largest size, so nothing is too large for it.
    is_harmless
        && !endpoint.is_streaming()
        && settings.opus
        && !terms.hears_voices
        && upload_as(Format::Opus, endpoint).is_some()
}

/// The rate that Opus has a sound at: never a higher one.
pub(super) fn rate(of: u32) -> Option<u32> {
    RATES.into_iter().find(|rate| *rate <= of)
}

/// How many bits there are for a sound of this shape, if there are enough.
pub(super) fn bits(shape: Shape, duration_ms: u64, max_bytes: u64) -> Option<u32> {
    let channels = u64::from(shape.channels);
    let most = MOST.min(u64::from(rate(shape.rate)?) * MOST_A_SAMPLE) * channels;
    let room = u128::from(max_bytes) * 8 * 1000 * PERCENT / 100 / u128::from(duration_ms.max(1));
    let bits = u64::try_from(room).unwrap_or(u64::MAX).min(most);
    let is_fit = (1..=2).contains(&channels) && bits >= LEAST * channels;
    u32::try_from(bits).ok().filter(|_| is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const MB: u64 = 1_000_000;

    fn of(rate: u32, channels: u16, hours: u64) -> Option<u32> {
        bits(Shape { rate, channels }, hours * HOUR, 100 * MB)
    }

    #[test]
    fn there_are_as_many_bits_as_there_is_room_for_up_to_what_is_heard() {
        assert_eq!(of(48_000, 1, 1), Some(96_000));
        assert_eq!(of(44_100, 2, 1), Some(192_000));
        assert_eq!(of(8000, 1, 1), Some(64_000));
        assert_eq!(of(48_000, 2, 2), Some(104_444));
        assert_eq!(of(16_000, 1, 8), Some(26_111));
    }

    #[test]
    fn below_what_words_need_there_are_none() {
        assert_eq!((of(16_000, 1, 9), of(16_000, 2, 5)), (None, None));
        assert_eq!(of(48_000, 6, 1), None, "two channels at most");
        assert_eq!(bits(Shape { rate: 16_000, channels: 1 }, 0, MB), Some(96_000));
        assert_eq!(bits(Shape { rate: 16_000, channels: 1 }, u64::MAX, MB), None);
    }

    #[test]
    fn no_sound_goes_out_at_a_higher_rate_than_it_came() {
        for (from, to) in
            [(44_100, 24_000), (22_050, 16_000), (11_025, 8000), (16_000, 16_000), (96_000, 48_000)]
        {
            assert_eq!(rate(from), Some(to));
        }
        assert_eq!(rate(6000), None);
    }

    #[test]
    fn whatever_is_asked_of_the_voice_itself_is_answered_of_the_samples_themselves() {
        let may = |endpoint, terms| may_be_lossy(endpoint, &MediaSettings::default(), terms);
        let plain = Terms::default();
        for endpoint in Endpoint::ALL {
            let name = endpoint.name();
            let of_voices = ["emotion", "accent", "synthetic", "ai-music"].iter().any(|w| name.contains(w));
            assert_eq!(may(endpoint, plain), !of_voices && !endpoint.is_streaming(), "{name}");
            assert!(!may(endpoint, Terms { hears_voices: true, ..plain }), "{name}");
        }
        let off = MediaSettings { opus: false, ..MediaSettings::default() };
        assert!(!may_be_lossy(Endpoint::SttBatch, &off, plain));
    }
}
