//! What an emulator can be told: the contract's generation, keys, limits, delays, faults and odd shapes.
//! Leaves what these mean to the rooms that act on them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Faults;

use super::millis;
use super::platform::Platform;
use super::socket::Sockets;

/// The generation of the contract that is spoken. They differ in statuses and texts more than in fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contract {
    /// To about June 2026: 401 for keys, voice detection answers 403 to every limit.
    #[default]
    A,
    /// July 2026: one opaque 403 for keys, access and hours.
    B,
    /// August 2026 and later: a text of its own for each refusal, 413 for big files.
    C,
}

impl FromStr for Contract {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "a" | "A" => Ok(Contract::A),
            "b" | "B" => Ok(Contract::B),
            "c" | "C" => Ok(Contract::C),
            other => Err(format!("`{other}` is not a contract: use a, b or c")),
        }
    }
}

/// The limits of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelLimits {
    /// Requests at once, over the whole organisation; one more is refused at once. Default 5.
    pub concurrent: u32,
    /// Audio hours in a month; none: without limit (default).
    pub monthly_hours: Option<f64>,
    /// Whether the organisation may use the model. Default true.
    pub enabled: bool,
}

impl Default for ModelLimits {
    fn default() -> Self {
        ModelLimits { concurrent: 5, monthly_hours: None, enabled: true }
    }
}

/// How long the modelled service takes: `fixed + audio ÷ speed`, at least `floor`; waited for times `scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// For every request. Default 500 ms.
    #[serde(rename = "fixed_ms", with = "millis")]
    pub fixed: Duration,
    /// No request is modelled faster. Default 0.
    #[serde(rename = "floor_ms", with = "millis")]
    pub floor: Duration,
    /// Times real time, by model name. A model without a factor runs at 10.
    pub speed: BTreeMap<String, f64>,
    /// What the modelled time is multiplied by before it is waited for. 0: no waiting (default).
    pub scale: f64,
}

impl Default for Latency {
    fn default() -> Self {
        let speed = [
            ("velma-2-stt-batch-english-vfast", 250.0),
            ("velma-2-stt-batch", 10.0),
            ("velma-2-pii-phi-redaction-batch", 8.0),
            ("velma-2-synthetic-voice-detection-batch", 80.0),
            ("velma-2-batch", 2.0),
            ("velma-2-stt-batch-multilingual-vfast", 30.0),
            ("velma-2-language-detection-batch", 250.0),
            ("velma-2-emotion-batch", 80.0),
            ("velma-2-accent-batch", 80.0),
            ("velma-2-music-detection-batch", 80.0),
            ("velma-2-ai-music-detection-batch", 80.0),
        ];
        Latency {
            fixed: Duration::from_millis(500),
            floor: Duration::ZERO,
            speed: speed.map(|(name, factor)| (name.to_owned(), factor)).into(),
            scale: 0.0,
        }
    }
}

impl Latency {
    /// What the service would take for this much audio, before scaling.
    pub(super) fn modelled(&self, model: &str, audio: Duration) -> Duration {
        let speed = self.speed.get(model).copied().filter(|factor| *factor > 0.0).unwrap_or(10.0);
        self.fixed.saturating_add(seconds(audio.as_secs_f64() / speed)).max(self.floor)
    }

    /// What is waited for of a modelled time.
    pub(super) fn scaled(&self, modelled: Duration) -> Duration {
        seconds(modelled.as_secs_f64() * self.scale)
    }
}

/// Nonsense, such as less than nothing, is nothing.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Odd but possible shapes of a good answer. All off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Utterances carry `end_ms` and neither `duration_ms` nor a uuid.
    pub end_ms: bool,
    /// Redaction ranges as `{start_ms, end_ms}` and not as pairs.
    pub ranges_as_objects: bool,
    /// Fields that no documentation mentions.
    pub extra_fields: bool,
    /// `speaker` is null.
    pub null_speaker: bool,
    /// Utterances carry `words`.
    pub words: bool,
    /// The boundary stands in quotes in the Content-Type header.
    pub quoted_boundary: bool,
    /// The audio part comes before the metadata part.
    pub parts_swapped: bool,
    /// The audio part is missing.
    pub audio_missing: bool,
    /// Nothing follows the closing boundary, not even a line end.
    pub last_crlf_missing: bool,
    /// A conversation's wrong configuration is refused with a list that says where, not with a sentence.
    pub located_flaws: bool,
    /// Redaction answers with the metadata alone, as `application/json`.
    pub redaction_as_json: bool,
    /// Utterances stand where the recording is loud, all of them personal data; else they tile it.
    pub where_loud: bool,
}

/// Everything an emulator can be told at the start. `Default` is a strict, instant, faultless service.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where to listen. Default `127.0.0.1:0`: any free port.
    pub listen: SocketAddr,
    /// Default a.
    pub contract: Contract,
    /// Keys that are let in. Default `emulator-key`.
    pub keys: Vec<String>,
    /// Limits by model name; a model that is not listed has the defaults.
    pub models: BTreeMap<String, ModelLimits>,
    /// Audio hours that the organisation's credits pay for, over all models; none: without limit (default).
    pub credits_hours: Option<f64>,
    /// How long answers take. Default: no waiting.
    pub latency: Latency,
    /// What goes wrong by itself. Default: nothing.
    pub faults: Faults,
    /// Odd shapes of good answers. Default: none.
    pub shape: Shape,
    /// Voice detection answers 403 to a bad key and to every limit. None (default): as the contract, so in a only.
    pub svd_limits_as_403: Option<bool>,
    /// English vfast takes only `.opus`, as it did before July 2026. Default false.
    pub vfast_only_opus: bool,
    /// Refuse an upload whose name, MIME type and content disagree; else only count it. Default true.
    pub strict_mime: bool,
    /// Read the whole body before refusing for key, credits, hours or concurrency. Default false: the answer
    /// comes while the client still sends, as it does in the world.
    pub drain_before_refusing: bool,
    /// A request without User-Agent meets an HTML 403, as from a firewall in front. Default false: only counted.
    pub refuse_missing_user_agent: bool,
    /// Largest file. Default 100,000,000 bytes.
    pub max_file_bytes: u64,
    /// Modelled times above this end in 504. Default 60 s; none: no such limit.
    pub time_limit: Option<Duration>,
    /// Limits and ways of the streaming endpoints.
    pub sockets: Sockets,
    /// Ways of the Platform API.
    pub platform: Platform,
    /// File names choose behaviours, see [`super::OUTCOMES`]. Default false.
    pub script: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            contract: Contract::default(),
            keys: vec!["emulator-key".to_owned()],
            models: BTreeMap::new(),
            credits_hours: None,
            latency: Latency::default(),
            faults: Faults::default(),
            shape: Shape::default(),
            svd_limits_as_403: None,
            vfast_only_opus: false,
            strict_mime: true,
            drain_before_refusing: false,
            refuse_missing_user_agent: false,
            max_file_bytes: 100_000_000,
            time_limit: Some(Duration::from_secs(60)),
            sockets: Sockets::default(),
            platform: Platform::default(),
            script: false,
        }
    }
}

impl Settings {
    /// The limits of a model, the defaults when none are listed.
    pub fn limits(&self, model: &str) -> ModelLimits {
        self.models.get(model).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modelled_time_grows_with_the_audio_and_never_falls_below_the_floor() {
        let latency = Latency { floor: Duration::from_secs(3), ..Latency::default() };
        assert_eq!(
            latency.modelled("velma-2-stt-batch", Duration::from_secs(100)),
            Duration::from_millis(10_500)
        );
        assert_eq!(latency.modelled("velma-2-stt-batch", Duration::from_secs(1)), Duration::from_secs(3));
        assert_eq!(latency.modelled("unheard-of", Duration::from_secs(100)), Duration::from_millis(10_500));
    }

    #[test]
    fn a_contract_is_one_of_three_letters() {
        assert_eq!("b".parse(), Ok(Contract::B));
        assert!("d".parse::<Contract>().is_err());
    }
}
