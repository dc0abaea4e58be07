//! What audio costs: a dated table of prices for an hour, by model and by option. Published prices move, so each line can be
//! replaced in `jobs.toml`; whoever shows an amount says of which day its price is.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use super::Endpoint;

/// An amount of US dollars, kept in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(pub u64);

impl Money {
    /// The nearest millionth; `None` for what is no amount, or more than a million million dollars.
    pub fn from_dollars(dollars: f64) -> Option<Money> {
        let millionths = (dollars * 1e6).round();
        (0.0..=1e18).contains(&millionths).then_some(Money(millionths as u64))
    }

    /// In dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What so much audio costs at this price for an hour, rounded up.
    pub fn of_audio(self, ms: u64) -> Money {
        let millionths = (u128::from(self.0) * u128::from(ms)).div_ceil(3_600_000);
        Money(u64::try_from(millionths).unwrap_or(u64::MAX))
    }
}

impl Add for Money {
    type Output = Money;

    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(all: I) -> Money {
        all.fold(Money(0), Money::add)
    }
}

impl fmt::Display for Money {
    /// Cents; more places where an amount is smaller than a dollar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        let text =
            if self.0 == 0 || dollars >= 1.0 { format!("${dollars:.2}") } else { format!("${dollars:.4}") };
        f.pad(&text)
    }
}

/// Audio, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// In milliseconds.
    pub audio_ms: u64,
    /// By the prices of the day; nothing where no price is known.
    pub cost: Money,
}

impl Amount {
    /// A request with so much audio, at a price for an hour. It is rounded up by itself, to a millionth of a dollar: nobody
    /// says how the service rounds, and whoever adds up requests, before or after, adds up these.
    pub fn of(audio_ms: u64, per_hour: Option<Money>) -> Amount {
        Amount { audio_ms, cost: per_hour.map_or(Money(0), |price| price.of_audio(audio_ms)) }
    }
}

impl Add for Amount {
    type Output = Amount;

    fn add(self, other: Amount) -> Amount {
        Amount { audio_ms: self.audio_ms.saturating_add(other.audio_ms), cost: self.cost + other.cost }
    }
}

/// What may be spent: hours, money, or both, whichever is used up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetLimit {
    /// Milliseconds of audio.
    pub audio_ms: Option<u64>,
    /// Money.
    pub cost: Option<Money>,
}

impl BudgetLimit {
    /// Whether nothing is limited.
    pub fn is_none(self) -> bool {
        self == BudgetLimit::default()
    }

    /// Whether so much is more.
    pub fn is_crossed_by(self, amount: Amount) -> bool {
        self.audio_ms.is_some_and(|most| amount.audio_ms > most)
            || self.cost.is_some_and(|most| amount.cost > most)
    }
}

/// Options that change the price. Diarization is included; of the last two only is said that they cost extra.
pub const PRICED_OPTIONS: [&str; 4] =
    ["pii_phi_tagging", "deepfake_signal", "emotion_signal", "accent_signal"];

/// Prices as published, in US dollars for an hour of audio.
const PUBLISHED_ON: &str = "2026-10-07";
const PUBLISHED: [(&str, f64); 15] = [
    ("velma-2-stt-batch", 0.03),
    ("velma-2-stt-batch-english-vfast", 0.025),
    ("velma-2-stt-batch-multilingual-vfast", 0.03),
    ("velma-2-synthetic-voice-detection-batch", 0.25),
    ("velma-2-pii-phi-redaction-batch", 0.05),
    ("velma-2-batch", 1.25),
    ("velma-2-music-detection-batch", 0.02),
    ("velma-2-language-detection-batch", 0.01),
    ("velma-2-stt-streaming", 0.06),
    ("velma-2-stt-streaming-english-v2", 0.05),
    ("velma-2-synthetic-voice-detection-streaming", 0.25),
    ("velma-2-pii-phi-redaction-streaming", 0.08),
    ("velma-2-streaming", 1.25),
    ("pii_phi_tagging", 0.02),
    ("deepfake_signal", 0.25),
];

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// The day of which the prices are, for people: `2026-10-07`.
    pub as_of: String,
    /// For an hour of audio, by the name of a model or an option.
    pub per_hour: BTreeMap<String, Money>,
}

impl Default for Prices {
    fn default() -> Self {
        let priced = |(name, dollars): (&str, f64)| Some((name.to_owned(), Money::from_dollars(dollars)?));
        Prices {
            as_of: PUBLISHED_ON.to_owned(),
            per_hour: PUBLISHED.into_iter().filter_map(priced).collect(),
        }
    }
}

/// What an hour of a job's audio costs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rate {
    /// For the model and those of its options that have a price; `None`: the model has none.
    pub per_hour: Option<Money>,
    /// Options that are on, cost extra, and have no price in the table.
    pub unpriced: Vec<&'static str>,
}

impl Prices {
    /// The price of a model without options.
    pub fn of(&self, endpoint: Endpoint) -> Option<Money> {
        self.per_hour.get(endpoint.name()).copied()
    }

    /// What an hour costs on this endpoint with these options (a JSON object as the API takes it).
    pub fn rate(&self, endpoint: Endpoint, options: &serde_json::Value) -> Rate {
        let on = |option: &&&str| options.get(**option).is_some_and(|value| value == true);
        let (priced, unpriced): (Vec<&str>, Vec<&str>) =
            PRICED_OPTIONS.iter().filter(on).copied().partition(|option| self.per_hour.contains_key(*option));
        let added: Money = priced.iter().filter_map(|option| self.per_hour.get(*option)).copied().sum();
        let unpriced = PRICED_OPTIONS.into_iter().filter(|option| unpriced.contains(option)).collect();
        Rate { per_hour: self.of(endpoint).map(|price| price + added), unpriced }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_batch_model_of_old_has_a_published_price() {
        let prices = Prices::default();
        assert_eq!(prices.of(Endpoint::SttBatch), Some(Money(30_000)));
        assert_eq!(prices.of(Endpoint::Batch).map(|p| p.to_string()), Some("$1.25".to_owned()));
    }

    #[test]
    fn options_that_are_on_are_added_and_those_without_a_price_are_named() {
        let rate = |options| Prices::default().rate(Endpoint::SttBatch, &options);
        assert_eq!(rate(json!({})).per_hour, Some(Money(30_000)));
        let tagged = json!({"pii_phi_tagging": true, "deepfake_signal": false, "speaker_diarization": true});
        assert_eq!(rate(tagged), Rate { per_hour: Some(Money(50_000)), unpriced: vec![] });
        let all = json!({"pii_phi_tagging": true, "deepfake_signal": true, "emotion_signal": true});
        assert_eq!(rate(all), Rate { per_hour: Some(Money(300_000)), unpriced: vec!["emotion_signal"] });
    }

    #[test]
    fn a_model_without_a_price_costs_nobody_knows_what() {
        let empty = Prices { per_hour: BTreeMap::new(), ..Prices::default() };
        assert_eq!(empty.rate(Endpoint::SttBatch, &json!({})).per_hour, None);
    }

    #[test]
    fn audio_costs_its_share_of_an_hour_rounded_up() {
        let price = Money(30_000);
        assert_eq!(price.of_audio(3_600_000), price);
        assert_eq!(price.of_audio(1_800_000), Money(15_000));
        assert_eq!(price.of_audio(1), Money(1));
        assert_eq!(Money(u64::MAX).of_audio(u64::MAX), Money(u64::MAX));
    }

    #[test]
    fn a_budget_is_crossed_by_more_than_all_of_it_in_hours_or_in_money() {
        let limit = BudgetLimit { audio_ms: Some(1000), cost: Some(Money(9)) };
        let crossed = |audio_ms, cost| limit.is_crossed_by(Amount { audio_ms, cost: Money(cost) });
        assert!(!crossed(1000, 9));
        assert!(crossed(1001, 0) && crossed(0, 10));
        assert!(
            BudgetLimit::default().is_none()
                && !BudgetLimit::default()
                    .is_crossed_by(Amount { audio_ms: u64::MAX, cost: Money(u64::MAX) })
        );
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        let shown = [Money(0), Money(1_234), Money(999_999), Money(12_345_678)].map(|m| m.to_string());
        assert_eq!(shown, ["$0.00", "$0.0012", "$1.0000", "$12.35"]);
        assert_eq!(Money::from_dollars(-1.0), None);
        assert_eq!(Money::from_dollars(f64::NAN), None);
    }
}
