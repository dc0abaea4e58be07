//! The batch models as the service knows them: names, paths, form fields, file extensions and MIME types.
//! Written from the published contract and from nothing of ours, so that a misreading cannot agree with itself.

use file_format::FileFormat;

/// A model with a batch endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Transcription,
    EnglishFast,
    MultilingualFast,
    SyntheticVoice,
    Redaction,
    Conversation,
    Emotion,
    Accent,
    Language,
    Music,
    /// Music that a machine made.
    MadeMusic,
}

impl Model {
    pub(super) const ALL: [Model; 11] = [
        Model::Transcription,
        Model::EnglishFast,
        Model::MultilingualFast,
        Model::SyntheticVoice,
        Model::Redaction,
        Model::Conversation,
        Model::Emotion,
        Model::Accent,
        Model::Language,
        Model::Music,
        Model::MadeMusic,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Model::Transcription => "velma-2-stt-batch",
            Model::EnglishFast => "velma-2-stt-batch-english-vfast",
            Model::MultilingualFast => "velma-2-stt-batch-multilingual-vfast",
            Model::SyntheticVoice => "velma-2-synthetic-voice-detection-batch",
            Model::Redaction => "velma-2-pii-phi-redaction-batch",
            Model::Conversation => "velma-2-batch",
            Model::Emotion => "velma-2-emotion-batch",
            Model::Accent => "velma-2-accent-batch",
            Model::Language => "velma-2-language-detection-batch",
            Model::Music => "velma-2-music-detection-batch",
            Model::MadeMusic => "velma-2-ai-music-detection-batch",
        }
    }

    pub(super) fn path(self) -> String {
        format!("/api/{}", self.name())
    }

    /// Form fields beside `upload_file`.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Model::Transcription => &[
                "speaker_diarization",
                "emotion_signal",
                "accent_signal",
                "deepfake_signal",
                "pii_phi_tagging",
                "language",
                "config",
            ],
            Model::MultilingualFast => &["language"],
            Model::Emotion | Model::Accent => &["training_permitted", "use_ensemble"],
            Model::EnglishFast
            | Model::SyntheticVoice
            | Model::Language
            | Model::Music
            | Model::MadeMusic => &[],
            Model::Redaction => {
                &["speaker_diarization", "start_redaction_padding_ms", "end_redaction_padding_ms", "language"]
            }
            Model::Conversation => &["config"],
        }
    }

    /// The line of the table for a file name, if the model takes such names.
    pub(super) fn accepts(self, file_name: &str, vfast_only_opus: bool) -> Option<&'static Format> {
        let (_, extension) = file_name.rsplit_once('.')?;
        let format = Format::of(extension)?;
        let only_opus = self == Model::EnglishFast && vfast_only_opus;
        (self.takes(format) && (!only_opus || format.extension == "opus")).then_some(format)
    }

    fn takes(self, format: &Format) -> bool {
        match self {
            Model::SyntheticVoice => true,
            Model::Music | Model::MadeMusic => MUSIC.contains(&format.extension),
            _ => !format.seldom,
        }
    }

    /// The extensions as a refusal lists them.
    pub(super) fn extensions(self) -> String {
        let mut names: Vec<_> = FORMATS.iter().filter(|format| self.takes(format)).collect();
        names.sort_by_key(|format| format.extension);
        names.iter().map(|format| format!(".{}", format.extension)).collect::<Vec<_>>().join(", ")
    }
}

/// What belongs together: extension, MIME type, content.
#[derive(Debug, PartialEq)]
pub(super) struct Format {
    pub(super) extension: &'static str,
    pub(super) mime: &'static str,
    contents: &'static [FileFormat],
    /// Taken by few models, voice detection above all.
    seldom: bool,
}

impl Format {
    /// Whether a declared type and a sniffed content fit the extension.
    pub(super) fn fits(&self, declared: &str, content: FileFormat) -> bool {
        declared.eq_ignore_ascii_case(self.mime) && self.holds(content)
    }

    /// Whether a sniffed content belongs to the format, whatever was declared.
    pub(super) fn holds(&self, content: FileFormat) -> bool {
        self.contents.contains(&content)
    }

    /// The line of the table for an extension.
    pub(super) fn of(extension: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.extension.eq_ignore_ascii_case(extension))
    }

    /// Whether a sniffed content is any of the formats.
    pub(super) fn known(content: FileFormat) -> bool {
        FORMATS.iter().any(|format| format.holds(content))
    }
}

/// What both music models take.
const MUSIC: &[&str] = &["aac", "flac", "m4a", "mp3", "mp4", "ogg", "opus", "wav"];

const fn common(extension: &'static str, mime: &'static str, contents: &'static [FileFormat]) -> Format {
    Format { extension, mime, contents, seldom: false }
}

const fn seldom(extension: &'static str, mime: &'static str, contents: &'static [FileFormat]) -> Format {
    Format { extension, mime, contents, seldom: true }
}

const MP4: &[FileFormat] = &[
    FileFormat::Mpeg4Part14,
    FileFormat::Mpeg4Part14Audio,
    FileFormat::Mpeg4Part14Video,
    FileFormat::AppleItunesAudio,
    FileFormat::AppleItunesVideo,
    // The same boxes under a telephone's brand.
    FileFormat::ThirdGenerationPartnershipProject,
];
const THREE_GPP: &[FileFormat] = &[FileFormat::ThirdGenerationPartnershipProject];

static FORMATS: [Format; 16] = [
    common("aac", "audio/aac", &[FileFormat::AdvancedAudioCoding]),
    common("aiff", "audio/aiff", &[FileFormat::AudioInterchangeFileFormat]),
    common("flac", "audio/flac", &[FileFormat::FreeLosslessAudioCodec]),
    common("mp3", "audio/mpeg", &[FileFormat::Mpeg12AudioLayer3]),
    common("mp4", "video/mp4", MP4),
    common("mov", "video/quicktime", &[FileFormat::AppleQuicktime]),
    common(
        "ogg",
        "audio/ogg",
        &[
            FileFormat::OggVorbis,
            FileFormat::OggOpus,
            FileFormat::OggFlac,
            FileFormat::OggSpeex,
            FileFormat::OggMedia,
            FileFormat::OggMultiplexedMedia,
        ],
    ),
    common("opus", "audio/opus", &[FileFormat::OggOpus]),
    common("wav", "audio/wav", &[FileFormat::WaveformAudio]),
    common("webm", "video/webm", &[FileFormat::Webm]),
    seldom("3gp", "audio/3gpp", THREE_GPP),
    seldom("3gpp", "audio/3gpp", THREE_GPP),
    seldom("amr", "audio/amr", &[FileFormat::AdaptiveMultiRate]),
    seldom("au", "audio/basic", &[FileFormat::Au]),
    seldom("m4a", "audio/mp4", MP4),
    seldom("wma", "audio/x-ms-wma", &[FileFormat::WindowsMediaAudio]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4a_is_taken_for_voices_and_music_and_not_for_words() {
        assert!(Model::MadeMusic.accepts("a.m4a", false).is_some());
        assert!(Model::Music.accepts("a.mov", false).is_none());
        assert!(Model::SyntheticVoice.accepts("a.M4A", false).is_some());
        assert!(Model::Transcription.accepts("a.m4a", false).is_none());
        assert!(Model::Transcription.accepts("a.mp4", false).is_some());
    }

    #[test]
    fn a_name_without_extension_is_not_taken() {
        assert!(Model::Transcription.accepts("wav", false).is_none());
    }

    #[test]
    fn the_old_fast_model_takes_opus_alone() {
        assert!(Model::EnglishFast.accepts("a.opus", true).is_some());
        assert!(Model::EnglishFast.accepts("a.wav", true).is_none());
        assert!(Model::EnglishFast.accepts("a.wav", false).is_some());
    }

    #[test]
    fn refusals_list_the_extensions_in_order() {
        assert_eq!(
            Model::Transcription.extensions(),
            ".aac, .aiff, .flac, .mov, .mp3, .mp4, .ogg, .opus, .wav, .webm"
        );
        assert_eq!(Model::SyntheticVoice.extensions().matches('.').count(), 16);
        assert_eq!(Model::Music.extensions(), ".aac, .flac, .m4a, .mp3, .mp4, .ogg, .opus, .wav");
    }

    #[test]
    fn opus_under_the_type_of_another_format_does_not_fit() {
        let opus = Model::Transcription.accepts("a.opus", false).unwrap();
        assert!(opus.fits("audio/opus", FileFormat::OggOpus));
        assert!(!opus.fits("audio/ogg", FileFormat::OggOpus));
        assert!(!opus.fits("audio/opus", FileFormat::OggVorbis));
    }
}
