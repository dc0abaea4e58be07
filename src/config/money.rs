//! What settings say of money: prices, and hours that were used elsewhere.

use serde_json::{Value, json};
use toml::de::DeValue;

use super::reader::Reader;
use super::value::{Hours, Kind, Words, Wrong};
use crate::run::Opening;
use crate::task::{Endpoint, Money, PRICED_OPTIONS, Prices};

/// An amount of US dollars.
pub(super) struct Dollars {
    /// Whether nothing at all is an amount.
    pub(super) zero: bool,
}

impl Kind for Dollars {
    type Out = Money;
    const EXPECTED: &'static str = "a number of US dollars";

    fn text(&self, text: &str) -> Result<Money, Wrong> {
        let bare = text.replace('_', "");
        let dollars = bare.strip_prefix('$').unwrap_or(&bare).parse::<f64>();
        match dollars.map(Money::from_dollars) {
            Ok(Some(Money(0))) if !self.zero => Err(Wrong::value("must be more than nothing", None)),
            Ok(Some(amount)) => Ok(amount),
            Ok(None) => Err(Wrong::value("must be from 0 to 1000000000000 dollars", None)),
            Err(_) => Err(Wrong::value("must be a number of US dollars, such as 0.03", None)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Money, Wrong> {
        match value {
            DeValue::Integer(n) if n.radix() == 10 => self.text(n.as_str()),
            DeValue::Float(n) => self.text(n.as_str()),
            other => Err(Wrong::kind(Self::EXPECTED, other, "write for example 0.03".to_owned())),
        }
    }

    fn show(&self, amount: &Money) -> Value {
        json!(amount.dollars())
    }
}

/// The table of prices: the published ones, and what the file says instead.
pub(super) fn prices(reader: &mut Reader<'_>) -> Prices {
    let mut prices = Prices::default();
    prices.as_of = reader.get("prices.as_of", &Words(day), prices.as_of);
    let names = Endpoint::ALL.iter().map(|endpoint| endpoint.name()).chain(PRICED_OPTIONS);
    for name in names {
        let setting = format!("prices.{name}");
        let price = Dollars { zero: true };
        match prices.per_hour.get(name).copied() {
            Some(published) => {
                let said = reader.get(&setting, &price, published);
                prices.per_hour.insert(name.to_owned(), said);
            }
            None => {
                if let Some((said, _)) = reader.find(&setting, &price) {
                    prices.per_hour.insert(name.to_owned(), said);
                }
            }
        }
    }
    prices
}

fn day(text: &str) -> Result<String, Wrong> {
    let day: Result<jiff::civil::Date, _> = text.parse();
    day.map(|day| day.to_string()).map_err(|_| {
        Wrong::value(format!("is no day: `{text}`"), "write for example \"2026-10-07\"".to_owned())
    })
}

/// Hours that others used in one month, and that month: `{ 2026-11 = 12.5 }`, in a variable `2026-11=12.5`.
pub(super) struct OpeningHours;

impl Kind for OpeningHours {
    type Out = Option<Opening>;
    const EXPECTED: &'static str = "hours of one month such as { 2026-11 = 12.5 }";

    fn text(&self, text: &str) -> Result<Option<Opening>, Wrong> {
        let hint =
            || "write for example { 2026-11 = 12.5 }: it counts in that month and in no other".to_owned();
        let (month, hours) = text.split_once('=').ok_or_else(|| Wrong::value("names no month", hint()))?;
        let month = month.trim().parse().map_err(|_| Wrong::value("names no month", hint()))?;
        Ok(Hours.text(hours.trim())?.map(|ms| Opening { month, ms }))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Option<Opening>, Wrong> {
        let DeValue::Table(table) = value else {
            let hint =
                "write for example { 2026-11 = 12.5 }: it counts in that month and in no other".to_owned();
            return Err(Wrong::kind(Self::EXPECTED, value, hint));
        };
        let mut months = table.iter();
        let (Some((month, hours)), None) = (months.next(), months.next()) else {
            return Err(Wrong::value("must name one month", "the one that goes on".to_owned()));
        };
        match hours.get_ref() {
            DeValue::Integer(n) => self.text(&format!("{}={}", month.get_ref(), n.as_str())),
            DeValue::Float(n) => self.text(&format!("{}={}", month.get_ref(), n.as_str())),
            other => Err(Wrong::kind("a number of hours", other, None)),
        }
    }

    fn show(&self, opening: &Option<Opening>) -> Value {
        match opening {
            None => Value::Null,
            Some(Opening { month, ms }) => json!({ month.to_string(): Hours.show(&Some(*ms)) }),
        }
    }
}
