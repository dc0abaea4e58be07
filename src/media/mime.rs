//! The API's table: under which type and extension a format goes out, by endpoint. Guesses by name have no place here.

use super::Format;
use crate::task::Endpoint;

/// How the file part is labelled. The API reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadAs {
    /// The part's `Content-Type`.
    pub mime: &'static str,
    /// The extension of the part's file name, without the dot.
    pub extension: &'static str,
}

/// The label for a format, or `None` when the endpoint does not take it.
///
/// The whole MP4 family goes as `.mp4`: the transcription models refuse `.m4a`, and all of them take `.mp4`.
pub fn upload_as(format: Format, endpoint: Endpoint) -> Option<UploadAs> {
    // The Platform API names three.
    if endpoint == Endpoint::PlatformBatch && !matches!(format, Format::Mp3 | Format::Opus | Format::Wav) {
        return None;
    }
    let (mime, extension) = match format {
        // The music models take the formats that music comes in.
        Format::Aiff | Format::Mov | Format::Webm if hears_music(endpoint) => return None,
        Format::Aac => ("audio/aac", "aac"),
        Format::Aiff => ("audio/aiff", "aiff"),
        Format::Flac => ("audio/flac", "flac"),
        Format::Mp3 => ("audio/mpeg", "mp3"),
        Format::Mp4 => ("video/mp4", "mp4"),
        Format::Mov => ("video/quicktime", "mov"),
        Format::Ogg => ("audio/ogg", "ogg"),
        Format::Opus => ("audio/opus", "opus"),
        Format::Wav => ("audio/wav", "wav"),
        Format::Webm => ("video/webm", "webm"),
        // Voice detection takes four more; no document gives their types, so these are the registered or usual ones.
        Format::ThreeGp | Format::Amr | Format::Wma if !hears_voices(endpoint) => return None,
        Format::Au if !hears_voices(endpoint) && !endpoint.is_streaming() => return None,
        Format::ThreeGp => ("audio/3gpp", "3gp"),
        Format::Amr => ("audio/amr", "amr"),
        Format::Au => ("audio/basic", "au"),
        Format::Wma => ("audio/x-ms-wma", "wma"),
        // A stream gets the samples of some files, and what we can decode of others: `carriage` says which.
        Format::Rf64 if endpoint.is_streaming() => ("audio/wav", "wav"),
        Format::Caf if endpoint.is_streaming() => ("audio/x-caf", "caf"),
        Format::Matroska if endpoint.is_streaming() => ("video/x-matroska", "mkv"),
        Format::Rf64 | Format::Caf | Format::Matroska | Format::Mp2 | Format::Other => return None,
    };
    Some(UploadAs { mime, extension })
}

fn hears_voices(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::SyntheticVoiceDetectionBatch | Endpoint::SyntheticVoiceDetectionStreaming)
}

fn hears_music(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::MusicDetectionBatch | Endpoint::AiMusicDetectionBatch)
}

/// What an endpoint takes, for messages: `aac, aiff, flac, …`.
pub fn taken_by(endpoint: Endpoint) -> String {
    let taken: Vec<_> =
        Format::ALL.iter().filter_map(|&f| upload_as(f, endpoint)).map(|u| u.extension).collect();
    taken.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_formats_go_out_as_the_api_lists_them() {
        let listed = [
            (Format::Aac, "audio/aac", "aac"),
            (Format::Aiff, "audio/aiff", "aiff"),
            (Format::Flac, "audio/flac", "flac"),
            (Format::Mp3, "audio/mpeg", "mp3"),
            (Format::Mp4, "video/mp4", "mp4"),
            (Format::Mov, "video/quicktime", "mov"),
            (Format::Ogg, "audio/ogg", "ogg"),
            (Format::Opus, "audio/opus", "opus"),
            (Format::Wav, "audio/wav", "wav"),
            (Format::Webm, "video/webm", "webm"),
        ];
        for endpoint in Endpoint::ALL {
            for (format, mime, extension) in listed {
                let refused = match endpoint {
                    Endpoint::PlatformBatch => !["mp3", "opus", "wav"].contains(&extension),
                    _ => hears_music(endpoint) && ["aiff", "mov", "webm"].contains(&extension),
                };
                let expected = (!refused).then_some(UploadAs { mime, extension });
                assert_eq!(upload_as(format, endpoint), expected, "{endpoint} {extension}");
            }
        }
    }

    #[test]
    fn only_voice_detection_takes_the_telephone_formats() {
        for endpoint in Endpoint::ALL {
            let taken = Format::ALL.iter().filter(|&&f| upload_as(f, endpoint).is_some()).count();
            let expected = match endpoint {
                Endpoint::SyntheticVoiceDetectionBatch => 14,
                Endpoint::SyntheticVoiceDetectionStreaming => 17,
                _ if endpoint.is_streaming() => 14,
                Endpoint::PlatformBatch => 3,
                _ if hears_music(endpoint) => 7,
                _ => 10,
            };
            assert_eq!(taken, expected, "{endpoint}");
            assert_eq!(upload_as(Format::Rf64, endpoint).is_some(), endpoint.is_streaming());
        }
    }

    #[test]
    fn an_extension_that_goes_out_is_a_usual_one_of_its_format() {
        for &format in Format::ALL {
            if let Some(upload) = upload_as(format, Endpoint::SyntheticVoiceDetectionBatch) {
                assert!(format.usual_extensions().contains(&upload.extension), "{upload:?}");
            }
        }
    }
}
