//! Results that succeeded and are implausible all the same. A flag with its evidence in numbers, never in words that
//! were said: somebody should look before relying on it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// What is odd about a result. The words are stable: scripts filter by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspect {
    /// The API heard another length than the recording has.
    DurationMismatch,
    /// Nothing was understood, and the recording is not silent.
    EmptyButLoud,
    /// More words than anybody can say in the time.
    TooManyWords,
    /// The same again and again.
    RepeatedText,
    /// Mostly another language than was asked for.
    OtherLanguage,
    /// A long recording in which nothing was found to be redacted.
    NothingRedacted,
}

/// A flag and its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    /// What is odd.
    pub kind: Suspect,
    /// By which numbers.
    pub evidence: String,
}

/// From where on a result is odd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspectSettings {
    /// Whether results are looked at.
    pub enabled: bool,
    /// Percent that the API's length may differ from the recording's …
    pub duration_percent: u32,
    /// … and how much at most, whatever the percentage.
    pub duration_slack: Duration,
    /// Words a minute that somebody can say.
    pub words_per_minute: u32,
    /// How often the same may be said in a row.
    pub repeats: u32,
    /// What is quieter than so many decibels below full scale is silence.
    pub silence_db: u32,
    /// How long a recording must be louder than that for an empty answer to be odd.
    pub loud_for: Duration,
    /// From this length on something to redact is expected.
    pub unredacted_after: Duration,
    /// Whether what is empty but loud is sent once more, decoded: it is billed again.
    pub resend: bool,
}

impl Default for SuspectSettings {
    fn default() -> Self {
        SuspectSettings {
            enabled: true,
            duration_percent: 2,
            duration_slack: Duration::from_secs(2),
            words_per_minute: 400,
            repeats: 8,
            silence_db: 45,
            loud_for: Duration::from_secs(1),
            unredacted_after: Duration::from_secs(600),
            resend: true,
        }
    }
}

/// A stretch of speech.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What is said.
    pub text: &'a str,
    /// The language code.
    pub language: Option<&'a str>,
}

/// What is known of a result.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Which model answered.
    pub endpoint: Endpoint,
    /// The length by the API's word.
    pub returned_ms: Option<u64>,
    /// The length by our own measure.
    pub measured_ms: Option<u64>,
    /// All that was said; `None` of a model that writes down no words.
    pub text: Option<&'a str>,
    /// The same in stretches.
    pub said: &'a [Said<'a>],
    /// The language that was asked for.
    pub language: Option<&'a str>,
    /// Of a redaction, how many stretches were silenced.
    pub redactions: usize,
}

/// Differences below this are rounding, padding of encoders, and how a decoder begins.
const SMALL_MS: u64 = 500;
/// Fewer words say nothing about how fast somebody speaks.
const WORDS_MIN: u64 = 40;
/// Shorter texts may well be said several times in a row.
const REPEATED_WORDS_MIN: u64 = 3;
/// Fewer stretches with a language say nothing about the whole.
const LANGUAGES_MIN: usize = 3;

impl Heard<'_> {
    /// Whether nothing was understood that could have been: then it is worth listening.
    pub fn is_empty(&self) -> bool {
        self.text.is_some_and(|text| text.trim().is_empty())
    }
}

/// What is odd about a result.
pub fn suspicions(heard: &Heard<'_>, settings: &SuspectSettings) -> Vec<Suspicion> {
    if !settings.enabled {
        return Vec::new();
    }
    let found = [
        (Suspect::DurationMismatch, duration(heard, settings)),
        (Suspect::TooManyWords, words_in_time(heard, settings)),
        (Suspect::RepeatedText, repeated(heard, settings)),
        (Suspect::OtherLanguage, language(heard)),
        (Suspect::NothingRedacted, unredacted(heard, settings)),
    ];
    found.into_iter().filter_map(|(kind, evidence)| Some(Suspicion { kind, evidence: evidence? })).collect()
}

fn duration(heard: &Heard<'_>, settings: &SuspectSettings) -> Option<String> {
    let (returned, measured) = (heard.returned_ms?, heard.measured_ms?);
    let apart = returned.abs_diff(measured);
    let percent = measured.saturating_mul(settings.duration_percent.into()) / 100;
    let slack = u64::try_from(settings.duration_slack.as_millis()).unwrap_or(u64::MAX);
    (apart > SMALL_MS && (apart > percent || apart > slack))
        .then(|| format!("the API heard {}, the recording has {}", seconds(returned), seconds(measured)))
}

/// What is odd about an answer without words to a recording that is loud for so long.
pub fn when_empty(loud_ms: u64, settings: &SuspectSettings) -> Option<Suspicion> {
    let kind = Suspect::EmptyButLoud;
    let odd = settings.enabled && u128::from(loud_ms) >= settings.loud_for.as_millis();
    let evidence =
        format!("no words, and {} of it louder than -{} dBFS", seconds(loud_ms), settings.silence_db);
    odd.then_some(Suspicion { kind, evidence })
}

fn words_in_time(heard: &Heard<'_>, settings: &SuspectSettings) -> Option<String> {
    let (words, ms) = (words(heard.text?), heard.measured_ms.or(heard.returned_ms)?);
    let per_minute = words.saturating_mul(60_000).checked_div(ms)?;
    (words >= WORDS_MIN && per_minute > settings.words_per_minute.into())
        .then(|| format!("{words} words in {}: {per_minute} a minute", seconds(ms)))
}

fn repeated(heard: &Heard<'_>, settings: &SuspectSettings) -> Option<String> {
    let (mut longest, mut run, mut before) = (0u32, 0u32, None);
    for said in heard.said {
        let spoken = without_tags(said.text);
        let text = spoken.trim().to_owned();
        run = if before.as_ref() == Some(&text) { run + 1 } else { 1 };
        if words(&text) >= REPEATED_WORDS_MIN {
            longest = longest.max(run);
        }
        before = Some(text);
    }
    let within = heard.text.map_or(0, |text| repeated_within(&without_tags(text)));
    let longest = longest.max(within);
    (longest > settings.repeats).then(|| format!("the same {longest} times in a row"))
}

/// What stands in square brackets was put there by a redaction: `[NAME]` ten times over is a list of names. Goes with the
/// signs behind it.
fn without_tags(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut spoken = String::new();
    while let Some((before, tag)) = rest.split_once('[')
        && let Some((_, behind)) = tag.split_once(']')
    {
        spoken.push_str(before);
        rest = behind.trim_start_matches(|c: char| c.is_ascii_punctuation() && c != '[');
    }
    if spoken.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    spoken.push_str(rest);
    Cow::Owned(spoken)
}

/// How often a group of words stands behind itself in one text: what a model does that is stuck.
fn repeated_within(text: &str) -> u32 {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut longest = 0;
    for size in REPEATED_WORDS_MIN as usize..=8 {
        let mut same = 0;
        for at in size..words.len() {
            same = if words[at] == words[at - size] { same + 1 } else { 0 };
            longest = longest.max(u32::try_from(same / size).unwrap_or(u32::MAX).saturating_add(1));
        }
    }
    longest
}

fn language(heard: &Heard<'_>) -> Option<String> {
    let asked = primary(heard.language?);
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for language in heard.said.iter().filter_map(|said| said.language) {
        *by.entry(primary(language)).or_default() += 1;
    }
    let all: usize = by.values().sum();
    let (most, count) = by.iter().max_by_key(|(_, count)| **count)?;
    (all >= LANGUAGES_MIN && *most != asked && 2 * count > all)
        .then(|| format!("asked for {asked}, {count} of {all} utterances are {most}"))
}

fn unredacted(heard: &Heard<'_>, settings: &SuspectSettings) -> Option<String> {
    let ms = heard.returned_ms.or(heard.measured_ms)?;
    let long = u128::from(ms) >= settings.unredacted_after.as_millis();
    (heard.endpoint.returns_audio() && heard.redactions == 0 && long && !heard.is_empty())
        .then(|| format!("nothing was redacted in {}", seconds(ms)))
}

/// `en` of `en-GB`.
fn primary(language: &str) -> String {
    language.split(['-', '_']).next().unwrap_or(language).to_ascii_lowercase()
}

/// Words; of languages that set no spaces, about two signs count as one.
fn words(text: &str) -> u64 {
    let dense =
        |c: char| matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}');
    let signs = text.chars().filter(|c| dense(*c)).count();
    let spaced = text.split_whitespace().filter(|word| !word.chars().any(dense)).count();
    (spaced + signs / 2) as u64
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}

impl Suspect {
    /// Every kind.
    pub const ALL: [Suspect; 6] = [
        Suspect::DurationMismatch,
        Suspect::EmptyButLoud,
        Suspect::TooManyWords,
        Suspect::RepeatedText,
        Suspect::OtherLanguage,
        Suspect::NothingRedacted,
    ];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Suspect::DurationMismatch => "duration_mismatch",
            Suspect::EmptyButLoud => "empty_but_loud",
            Suspect::TooManyWords => "too_many_words",
            Suspect::RepeatedText => "repeated_text",
            Suspect::OtherLanguage => "other_language",
            Suspect::NothingRedacted => "nothing_redacted",
        }
    }

    /// In plain words, for summaries.
    pub fn says(self) -> &'static str {
        match self {
            Suspect::DurationMismatch => "of another length than heard",
            Suspect::EmptyButLoud => "empty but loud",
            Suspect::TooManyWords => "with too many words",
            Suspect::RepeatedText => "with repeated text",
            Suspect::OtherLanguage => "in another language",
            Suspect::NothingRedacted => "long with nothing redacted",
        }
    }
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Suspect {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Suspect::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard<'a>(text: &'a str, said: &'a [Said<'a>]) -> Heard<'a> {
        Heard {
            endpoint: Endpoint::SttBatch,
            returned_ms: Some(60_000),
            measured_ms: Some(60_000),
            text: Some(text),
            said,
            language: None,
            redactions: 0,
        }
    }

    fn kinds(heard: &Heard<'_>) -> Vec<Suspect> {
        suspicions(heard, &SuspectSettings::default()).into_iter().map(|s| s.kind).collect()
    }

    #[test]
    fn a_healthy_result_is_not_flagged() {
        assert_eq!(kinds(&heard("Hello, my name is Alex, and I call about line two.", &[])), []);
        assert_eq!(kinds(&heard("", &[])), [], "somebody has to listen first");
        assert_eq!(kinds(&Heard { text: None, ..heard("", &[]) }), [], "voices are judged without words");
        assert_eq!(kinds(&heard("no no no no no no no no no no no no", &[])), [], "short words come in rows");
    }

    #[test]
    fn another_length_than_measured_is_flagged_from_two_percent_or_two_seconds_on() {
        let of = |returned, measured| {
            kinds(&Heard { returned_ms: Some(returned), measured_ms: Some(measured), ..heard("x", &[]) })
        };
        for (returned, measured) in [(10_000, 10_400), (1000, 1450), (60_000, 61_000), (60_000, 61_200)] {
            assert_eq!(of(returned, measured), [], "{returned} {measured}");
        }
        for (returned, measured) in
            [(10_000, 10_600), (600_000, 602_100), (3_600_000, 3_597_000), (1000, 9000)]
        {
            assert_eq!(of(returned, measured), [Suspect::DurationMismatch], "{returned} {measured}");
        }
        assert_eq!(kinds(&Heard { measured_ms: None, ..heard("x", &[]) }), [], "nobody measured");
    }

    #[test]
    fn no_words_are_odd_only_where_it_is_loud() {
        let settings = SuspectSettings::default();
        assert!(heard("", &[]).is_empty() && heard(" \n", &[]).is_empty() && !heard("hm", &[]).is_empty());
        assert_eq!(
            when_empty(1000, &settings).unwrap().evidence,
            "no words, and 1.0 s of it louder than -45 dBFS"
        );
        assert_eq!(when_empty(999, &settings), None);
    }

    #[test]
    fn more_words_than_can_be_said_are_odd() {
        let text = (0..500).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(kinds(&heard(&text, &[])), [Suspect::TooManyWords]);
        assert_eq!(kinds(&Heard { measured_ms: None, returned_ms: Some(80_000), ..heard(&text, &[]) }), []);
        let short = (0..30).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            kinds(&Heard { returned_ms: Some(500), measured_ms: Some(500), ..heard(&short, &[]) }),
            []
        );
        assert_eq!(words("昨日からずっと雨が降っています"), 7);
    }

    #[test]
    fn what_is_said_again_and_again_is_odd() {
        let same = Said { text: "Thank you for watching.", language: None };
        let other = Said { text: "Something else altogether.", language: None };
        assert_eq!(kinds(&heard("x", &[same; 9])), [Suspect::RepeatedText]);
        assert_eq!(kinds(&heard("x", &[same; 8])), []);
        assert_eq!(kinds(&heard("x", &[same, other].repeat(9))), []);
        let stuck = "and then we go there ".repeat(10);
        let names = Said { text: "[NAME]. [NAME], [NAME].", language: None };
        assert_eq!(
            kinds(&heard(&"[NAME]. [PHONE NUMBER], ".repeat(30), &[names; 30])),
            [],
            "tags say nothing"
        );
        let tagged = "and then [NAME] goes there ".repeat(10);
        assert_eq!(kinds(&heard(&tagged, &[])), [Suspect::RepeatedText], "what is said around them does");
        assert_eq!(without_tags("a [b"), "a [b");
        assert_eq!(kinds(&heard(&stuck, &[])), [Suspect::RepeatedText]);
    }

    #[test]
    fn mostly_another_language_than_asked_for_is_odd() {
        let in_language = |language| Said { text: "a b", language: Some(language) };
        let (en, de) = (in_language("en-US"), in_language("de"));
        let of = |said: &[Said<'_>], language| kinds(&Heard { language, ..heard("x", said) });
        assert_eq!(of(&[en, en, de], Some("de")), [Suspect::OtherLanguage]);
        assert_eq!(of(&[en, en, de], Some("en")), []);
        assert_eq!(of(&[en, de, en, de], Some("fr")), [], "none of them is most of it");
        assert_eq!(of(&[en, en], Some("de")), [], "too few to tell");
        assert_eq!(of(&[en, en, en], None), []);
    }

    #[test]
    fn nothing_to_redact_is_odd_only_in_a_long_recording() {
        let of = |endpoint, ms, redactions| {
            kinds(&Heard {
                endpoint,
                returned_ms: Some(ms),
                measured_ms: Some(ms),
                redactions,
                ..heard("x", &[])
            })
        };
        let redaction = Endpoint::PiiPhiRedactionBatch;
        assert_eq!(of(redaction, 600_000, 0), [Suspect::NothingRedacted]);
        assert_eq!(of(redaction, 599_999, 0), []);
        assert_eq!(of(redaction, 600_000, 1), []);
        assert_eq!(of(Endpoint::SttBatch, 600_000, 0), []);
    }

    #[test]
    fn it_can_be_switched_off_and_words_lead_back() {
        let off = SuspectSettings { enabled: false, ..SuspectSettings::default() };
        assert!(when_empty(5000, &off).is_none());
        assert!(suspicions(&Heard { measured_ms: Some(1), ..heard("", &[]) }, &off).is_empty());
        for kind in Suspect::ALL {
            assert_eq!(kind.word().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }
}
