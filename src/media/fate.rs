//! What has to happen to a recording before it can go out, cheapest first: nothing, encoding it anew (as FLAC, else as
//! Opus), or splitting it.
//! Whoever prepares files answers here, and a plan counts by it.

use super::lossy::{bits, may_be_lossy};
use super::mime::{taken_by, upload_as};
use super::sound::Shape;
use super::{Format, MediaSettings};
use crate::task::{Answers, Cause, Channels, Endpoint, Failure, Measured};

/// What becomes of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes out as it is.
    AsIs,
    /// It is encoded anew as FLAC, and why. If that is not enough it goes the ways below, as far as they are open to it.
    Reencode(&'static str),
    /// It is encoded anew as Opus, and why: FLAC would not be enough.
    Compress(&'static str),
    /// It is cut into pieces first, and why.
    Split(&'static str),
    /// It does not go out.
    Refused(Failure),
}

/// What a request may be, beside what its endpoint says anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Somebody says that none may hold more audio, in milliseconds.
    pub longest_ms: Option<u64>,
    /// The same, as the endpoint has shown it.
    pub learned_ms: Option<u64>,
    /// The recording goes out encoded anew, whatever it is.
    pub anew: bool,
    /// What becomes of its channels.
    pub channels: Channels,
    /// More is asked than what was said: how a voice sounds. Lossy coding may shift the answer.
    pub hears_voices: bool,
}

impl Terms {
    /// How much audio a request holds at most, in milliseconds.
    pub fn longest_ms(&self, endpoint: Endpoint) -> Option<u64> {
        [self.said_ms(endpoint), self.learned_ms].into_iter().flatten().min()
    }

    fn said_ms(&self, endpoint: Endpoint) -> Option<u64> {
        let by_contract = endpoint.longest().map(|longest| longest.as_millis() as u64);
        [self.longest_ms, by_contract].into_iter().flatten().min()
    }
}

const TOO_LARGE: &str = "larger than a request takes";
const TOO_LARGE_FOR_FLAC: &str = "larger than a request takes, also as FLAC: as Opus";
const TOO_LONG: &str = "longer than a request takes";
const NOT_TAKEN: &str = "of a format that the endpoint does not take";
const EMPTY_ONCE: &str = "its first answer was empty";
const MIXED: &str = "its channels are mixed, if it has several";
const APART: &str = "its channels are sent apart, if it has several, and each is billed";

/// What is larger is not encoded anew: to read that much again and again takes days.
const READ_MAX: u64 = 10_000_000_000;

/// Bytes that FLAC makes of a thousand of plain samples, about. It depends on how loud it is.
const FLAC_PER_MILLE: u64 = 600;

/// What a recording looks like before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// By content.
    pub format: Format,
    /// Of the file.
    pub size_bytes: u64,
    /// How long it is, where that is known.
    pub measured: Option<Measured>,
    /// How many channels it has, where headers tell and somebody asked.
    pub channels: Option<u16>,
}

/// Decides by what is known before anything of it is read again: a plan asks this of every recording.
pub fn fate(looks: Looks, endpoint: Endpoint, settings: &MediaSettings, terms: Terms) -> Fate {
    let Looks { format, size_bytes, measured, channels } = looks;
    let is_taken = upload_as(format, endpoint).is_some();
    if !is_taken && !is_decodable(format, endpoint, settings) {
        return Fate::Refused(not_taken(format.says(), endpoint));
    }
    let refused =
        |what: String, mend: &str| Fate::Refused(Failure::local(Cause::TooBig, format!("{what}: {mend}")));
    let most = settings.largest(endpoint);
    let is_too_large = size_bytes > most;
    let longer_than = |most: Option<u64>| measured.zip(most).filter(|(m, most)| m.duration_ms > *most);
    let by_reencoding = upload_as(Format::Flac, endpoint).is_some();
    let is_decodable = is_decodable(format, endpoint, settings);
    let is_split = is_split(format, endpoint, settings);
    let mend = match is_decodable {
        true => "",
        false if !by_reencoding => {
            "split it, or make it smaller, for example `ffmpeg -i IN -vn -ac 1 -b:a 64k OUT.mp3`"
        }
        false => {
            "it cannot be decoded here; allow ffmpeg under [media] in jobs.toml, or convert it, for example \
                  `ffmpeg -i IN -vn OUT.flac`"
        }
    };
    if let Some((measured, said)) = longer_than(terms.said_ms(endpoint))
        && !is_split
    {
        let minutes = |ms: u64| ms.div_ceil(60_000);
        let what = format!(
            "about {} minutes long, above the {} that a request to {endpoint} takes",
            minutes(measured.duration_ms),
            minutes(said)
        );
        return refused(what, if mend.is_empty() { whole_only(endpoint) } else { mend });
    }
    // What only the endpoint has shown is no reason to refuse what cannot be split: it may do better the next time.
    if is_split && longer_than(terms.longest_ms(endpoint)).is_some() {
        return Fate::Split(TOO_LONG);
    }
    if !is_too_large {
        return match terms.channels {
            Channels::Keep if !is_taken => Fate::Reencode(NOT_TAKEN),
            Channels::Keep if terms.anew && is_decodable => Fate::Reencode(EMPTY_ONCE),
            Channels::Keep => Fate::AsIs,
            Channels::Mix if is_decodable => Fate::Reencode(MIXED),
            Channels::Split if is_split => Fate::Split(APART),
            Channels::Mix | Channels::Split => {
                let message = format!("{}, whose channels are to be told apart: {mend}", format.says());
                Fate::Refused(Failure::local(Cause::UnsupportedFormat, message))
            }
        };
    }
    let what = || format!("{size_bytes} bytes, above the limit of {most}");
    if size_bytes > READ_MAX {
        return refused(
            what(),
            "and above 10 GB nothing is split here; split it, for example \
                                `ffmpeg -i IN -vn -f segment -segment_time 3600 OUT-%03d.flac`",
        );
    }
    let has_one = channels == Some(1) || terms.channels == Channels::Mix;
    let is_whole = has_one || terms.channels == Channels::Keep;
    let room = || {
        // Of what does not tell its channels or its length: two, and no longer than there is room for.
        let shape = Shape { rate: 48_000, channels: if has_one { 1 } else { channels.unwrap_or(2) } };
        bits(shape, measured.map_or(0, |measured| measured.duration_ms), most)
    };
    let is_small_as_flac = is_plain(format) && size_bytes / 1000 * FLAC_PER_MILLE <= most;
    match is_decodable {
        false => refused(what(), mend),
        true if is_small_as_flac => Fate::Reencode(TOO_LARGE),
        true if is_whole && may_be_lossy(endpoint, settings, terms) && room().is_some() => {
            Fate::Compress(TOO_LARGE_FOR_FLAC)
        }
        true if is_split => Fate::Split(TOO_LARGE),
        true => refused(what(), whole_only(endpoint)),
    }
}

/// Whether a recording of this format can go out in pieces, as far as that shows before it is opened.
pub fn is_split(format: Format, endpoint: Endpoint, settings: &MediaSettings) -> bool {
    is_decodable(format, endpoint, settings) && can_be_split(endpoint)
}

/// Why `what` does not go out at all.
pub(super) fn not_taken(what: &str, endpoint: Endpoint) -> Failure {
    let message = format!(
        "{what} is not taken by {endpoint}, which takes {}: convert it, for example `ffmpeg -i IN -vn OUT.flac`",
        taken_by(endpoint)
    );
    Failure::local(Cause::UnsupportedFormat, message)
}

/// Whether an endpoint can have it as FLAC, as far as that shows before it is opened.
pub(super) fn is_decodable(format: Format, endpoint: Endpoint, settings: &MediaSettings) -> bool {
    let takes_flac = upload_as(Format::Flac, endpoint).is_some();
    takes_flac && (is_decoded(format) || settings.ffmpeg.program().is_some())
}

/// Why an endpoint cannot have what is asked for of channels, if it cannot.
pub fn channels_refusal(channels: Channels, endpoint: Endpoint) -> Option<&'static str> {
    match channels {
        Channels::Keep => None,
        _ if upload_as(Format::Flac, endpoint).is_none() => Some("it takes no FLAC, which that would become"),
        Channels::Mix => None,
        Channels::Split if can_be_split(endpoint) => None,
        Channels::Split => Some("its answer is about the whole recording"),
    }
}

/// Whether answers to pieces of a recording can be joined into the answer to it. What is said of a conversation, or of a
/// whole recording in one word, cannot be put together from what is said of its parts.
pub fn can_be_split(endpoint: Endpoint) -> bool {
    !endpoint.works_by_jobs()
        && matches!(endpoint.answers(), Answers::Utterances | Answers::Text | Answers::Frames)
}

fn whole_only(endpoint: Endpoint) -> &'static str {
    match endpoint.answers() {
        Answers::Conversation => {
            "a conversation is analysed whole or not at all; make it smaller, for example \
             `ffmpeg -i IN -vn -ac 1 -ar 16000 OUT.flac`, or cut it by hand where one conversation ends"
        }
        _ => {
            "its answer is about the whole, so it is not split; send the part that counts, for example \
              `ffmpeg -i IN -vn -t 600 OUT.flac`"
        }
    }
}

/// Whether sound of this format is decoded here, in nearly all of its codecs. Whether it is in the one at hand shows when
/// it is opened.
fn is_decoded(format: Format) -> bool {
    !matches!(format, Format::Amr | Format::Wma | Format::Au | Format::Mp2 | Format::Other)
}

/// Whether it holds samples as they are, so that FLAC makes it smaller.
pub(super) fn is_plain(format: Format) -> bool {
    matches!(format, Format::Wav | Format::Rf64 | Format::Aiff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Ffmpeg;

    const STT: Endpoint = Endpoint::SttBatch;
    /// It takes AMR, which is not decoded here.
    const VOICES: Endpoint = Endpoint::SyntheticVoiceDetectionBatch;

    fn settings() -> MediaSettings {
        MediaSettings { max_bytes: 100_000, ffmpeg: Ffmpeg::Off, opus: true }
    }

    fn looks(format: Format, size_bytes: u64, minutes: u64) -> Looks {
        let measured = Some(Measured::header(minutes * 60_000));
        Looks { format, size_bytes, measured, channels: None }
    }

    fn of(format: Format, size: u64, endpoint: Endpoint, terms: Terms) -> Fate {
        fate(looks(format, size, 10), endpoint, &settings(), terms)
    }

    fn at_most(minutes: u64) -> Terms {
        Terms { longest_ms: Some(minutes * 60_000), ..Terms::default() }
    }

    fn why(fate: Fate) -> String {
        match fate {
            Fate::Refused(failure) => failure.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_fits_goes_out_as_it_is() {
        assert_eq!(of(Format::Wav, 100_000, STT, at_most(10)), Fate::AsIs);
        assert!(why(of(Format::Amr, 9, STT, Terms::default())).contains("is not taken by"));
    }

    #[test]
    fn what_is_not_taken_goes_out_as_what_is_if_it_can_be_decoded() {
        for format in [Format::Caf, Format::Matroska, Format::Rf64] {
            assert_eq!(of(format, 9, STT, Terms::default()), Fate::Reencode(NOT_TAKEN), "{format:?}");
        }
        assert!(
            why(of(Format::Caf, 9, Endpoint::PlatformBatch, Terms::default())).contains("is not taken by")
        );
        let with = MediaSettings { ffmpeg: Ffmpeg::Auto, ..settings() };
        let fate = |format| fate(looks(format, 9, 10), STT, &with, Terms::default());
        let by_ffmpeg = with.ffmpeg.program().is_some();
        assert_eq!(fate(Format::Amr) == Fate::Reencode(NOT_TAKEN), by_ffmpeg);
    }

    #[test]
    fn what_is_too_large_is_encoded_anew_if_that_helps_and_else_split() {
        assert_eq!(of(Format::Wav, 160_000, STT, Terms::default()), Fate::Reencode(TOO_LARGE));
        assert_eq!(of(Format::Wav, 300_000, STT, Terms::default()), Fate::Split(TOO_LARGE));
        assert_eq!(of(Format::Mp3, 100_001, STT, Terms::default()), Fate::Split(TOO_LARGE));
        assert_eq!(of(Format::Wav, 1 << 40, Endpoint::SttStreaming, Terms::default()), Fate::AsIs);
    }

    /// A WAV of 2 h with so many channels, where a request takes 100 MB.
    fn two_hours(endpoint: Endpoint, channels: Option<u16>, terms: Terms) -> Fate {
        let long = Looks { channels, ..looks(Format::Wav, 1_270_000_000, 120) };
        fate(long, endpoint, &MediaSettings::default(), terms)
    }

    #[test]
    fn what_flac_does_not_make_small_enough_goes_out_whole_as_opus_if_that_does_no_harm() {
        let plain = Terms::default();
        let as_opus = Fate::Compress(TOO_LARGE_FOR_FLAC);
        for endpoint in [STT, Endpoint::Batch, Endpoint::PiiPhiRedactionBatch] {
            assert_eq!(two_hours(endpoint, Some(2), plain), as_opus, "{endpoint}");
        }
        let settings = MediaSettings::default();
        let of = |looks| fate(looks, STT, &settings, plain);
        for format in [Format::Mp3, Format::Flac, Format::Opus, Format::Mp4] {
            assert_eq!(
                of(looks(format, 200_000_000, 120)),
                as_opus,
                "FLAC makes nothing of {format:?} smaller"
            );
        }
        assert_eq!(two_hours(VOICES, Some(2), plain), Fate::Split(TOO_LARGE));
        assert!(why(two_hours(Endpoint::EmotionBatch, Some(2), plain)).contains("about the whole"));
        let of_voices = Terms { hears_voices: true, ..plain };
        assert_eq!(two_hours(STT, Some(2), of_voices), Fate::Split(TOO_LARGE));
        assert!(why(two_hours(Endpoint::Batch, Some(2), of_voices)).contains("whole or not at all"));
        let no = MediaSettings { opus: false, ..MediaSettings::default() };
        assert_eq!(fate(looks(Format::Mp3, 200_000_000, 120), STT, &no, plain), Fate::Split(TOO_LARGE));
    }

    #[test]
    fn each_channel_needs_its_bits_and_what_is_sent_by_channel_is_sent_in_pieces() {
        let six_hours = |channels, terms| {
            let long = Looks { channels, ..looks(Format::Wav, 1_270_000_000, 360) };
            fate(long, STT, &MediaSettings::default(), terms)
        };
        let (plain, as_opus) = (Terms::default(), Fate::Compress(TOO_LARGE_FOR_FLAC));
        assert_eq!(six_hours(Some(1), plain), as_opus);
        for channels in [Some(2), None] {
            assert_eq!(six_hours(channels, plain), Fate::Split(TOO_LARGE));
        }
        assert_eq!(six_hours(Some(2), Terms { channels: Channels::Mix, ..plain }), as_opus);
        let apart = Terms { channels: Channels::Split, ..plain };
        assert_eq!(two_hours(STT, Some(2), apart), Fate::Split(TOO_LARGE));
        assert_eq!(two_hours(STT, Some(1), apart), as_opus);
        assert!(matches!(two_hours(STT, Some(6), plain), Fate::Split(_)));
        assert_eq!(two_hours(STT, Some(2), at_most(119)), Fate::Split(TOO_LONG));
    }

    #[test]
    fn what_is_absurdly_large_is_refused_before_it_is_read() {
        let message = why(of(Format::Wav, READ_MAX + 1, STT, Terms::default()));
        assert!(message.contains("above 10 GB"), "{message}");
    }

    #[test]
    fn what_is_too_long_is_split_whoever_says_so() {
        assert_eq!(of(Format::Mp3, 9, STT, at_most(9)), Fate::Split(TOO_LONG));
        let learned = Terms { learned_ms: Some(540_000), ..Terms::default() };
        assert_eq!(of(Format::Mp3, 9, STT, learned), Fate::Split(TOO_LONG));
        let by_contract = |endpoint| fate(looks(Format::Mp3, 9, 31), endpoint, &settings(), Terms::default());
        assert_eq!(by_contract(Endpoint::SttStreamingEnglishV2), Fate::Split(TOO_LONG));
        assert_eq!(by_contract(Endpoint::SttStreaming), Fate::AsIs);
    }

    #[test]
    fn a_conversation_is_never_split_and_the_reason_says_how_to_mend_it() {
        for endpoint in [Endpoint::Batch, Endpoint::Streaming] {
            let message = why(of(Format::Mp3, 9, endpoint, at_most(9)));
            assert!(message.starts_with("about 10 minutes long, above the 9 that"), "{message}");
            assert!(message.contains("whole or not at all") && message.contains("ffmpeg -i IN"), "{message}");
        }
        assert_eq!(of(Format::Wav, 160_000, Endpoint::Batch, Terms::default()), Fate::Reencode(TOO_LARGE));
        assert!(
            why(of(Format::Mp3, 160_000, Endpoint::Batch, Terms::default())).contains("whole or not at all")
        );
        let label = why(of(Format::Wav, 300_000, Endpoint::EmotionBatch, Terms::default()));
        assert!(label.contains("about the whole"), "{label}");
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_only_for_what_somebody_said() {
        let learned = Terms { learned_ms: Some(1), ..Terms::default() };
        assert_eq!(of(Format::Amr, 9, VOICES, learned), Fate::AsIs);
        for terms in [at_most(9), Terms::default()] {
            let message = why(of(Format::Amr, if terms == at_most(9) { 9 } else { 100_001 }, VOICES, terms));
            assert!(message.contains("allow ffmpeg under [media]"), "{message}");
        }
        let allowed = MediaSettings { ffmpeg: Ffmpeg::At("/bin/sh".into()), ..settings() };
        let split = fate(looks(Format::Amr, 9, 10), VOICES, &allowed, at_most(9));
        assert_eq!(split, Fate::Split(TOO_LONG));
    }

    #[test]
    fn channels_are_mixed_or_sent_apart_where_they_can_be_decoded() {
        let with = |channels| Terms { channels, ..Terms::default() };
        assert_eq!(of(Format::Mp3, 9, STT, with(Channels::Mix)), Fate::Reencode(MIXED));
        assert_eq!(of(Format::Mp3, 9, STT, with(Channels::Split)), Fate::Split(APART));
        assert!(why(of(Format::Amr, 9, VOICES, with(Channels::Mix))).contains("allow ffmpeg under [media]"));
        let refused = |channels, endpoint| channels_refusal(channels, endpoint).is_some();
        assert!(refused(Channels::Split, Endpoint::Batch) && !refused(Channels::Mix, Endpoint::Batch));
        assert!(
            refused(Channels::Mix, Endpoint::PlatformBatch)
                && !refused(Channels::Keep, Endpoint::PlatformBatch)
        );
    }

    #[test]
    fn what_was_empty_once_goes_out_anew_where_it_can_be_decoded() {
        let anew = Terms { anew: true, ..Terms::default() };
        assert_eq!(of(Format::Mp3, 9, STT, anew), Fate::Reencode(EMPTY_ONCE));
        assert_eq!(of(Format::Amr, 9, VOICES, anew), Fate::AsIs);
        assert_eq!(of(Format::Wav, 9, Endpoint::PlatformBatch, anew), Fate::AsIs, "it takes no FLAC");
    }
}
