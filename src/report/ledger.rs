//! Where the time of a run's slots went, as what is told and kept of it: one line for people, one object for scripts,
//! which `status` finds again while the run goes on and after it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::task::Timestamp;

use super::format::{permille, shares};
use super::slots::SlotTime;
use super::stats::RunStats;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Whose run.
    pub run: String,
    /// Until when it is told, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Configured slots, of all endpoints.
    pub slots: u32,
    /// Milliseconds from the first request to the last answer.
    pub sending_ms: u64,
    /// By account.
    pub slot_ms: SlotTime,
}

impl Ledger {
    /// As a run stands.
    pub fn of(stats: &RunStats, now: Timestamp) -> Self {
        Ledger {
            run: stats.worker.as_ref().map(|worker| worker.0.clone()).unwrap_or_default(),
            at_ms: stats.ended_at.unwrap_or(now).0,
            slots: stats.ceiling(),
            sending_ms: u64::try_from(stats.sending().as_millis()).unwrap_or(u64::MAX),
            slot_ms: stats.slot_time(),
        }
    }

    /// The share of its slots that was in use from the first request to the last answer, in tenths of a per cent;
    /// nothing before there was any.
    pub fn use_permille(&self) -> Option<u64> {
        let whole = u128::from(self.slots) * u128::from(self.sending_ms);
        let busy = u128::from(self.slot_ms.busy) * 1000;
        busy.checked_div(whole).map(|share| u64::try_from(share).unwrap_or(u64::MAX).min(1000))
    }

    /// `slots used 93.0 % of 5, 96.9 % from the first request to the last answer · lost: tail 4.0 %, …`; nothing
    /// while no time has passed.
    pub fn text(&self) -> Option<String> {
        let accounts = self.slot_ms.accounts();
        let shares = shares(&accounts.map(|(_, ms)| ms));
        if shares.iter().all(|&share| share == 0) {
            return None;
        }
        let mut lost: Vec<(String, u64)> = accounts
            .iter()
            .zip(&shares)
            .skip(1)
            .map(|((name, _), &share)| (name.replace('_', " "), share))
            .collect();
        lost.retain(|&(_, share)| share > 0);
        lost.sort_by_key(|&(_, share)| std::cmp::Reverse(share));
        let lost: Vec<String> =
            lost.iter().map(|(name, share)| format!("{name} {}", permille(*share))).collect();
        let lost = if lost.is_empty() { String::new() } else { format!(" · lost: {}", lost.join(", ")) };
        let sending = self.use_permille().map_or(String::new(), |share| {
            format!(", {} from the first request to the last answer", permille(share))
        });
        Some(format!("slots used {} of {}{sending}{lost}", permille(shares[0]), self.slots))
    }

    /// `{"slots":5,"utilisation":0.969,"slot_seconds":{"busy":…}}`; the utilisation is that from the first request to
    /// the last answer, null before there was any.
    pub fn to_json(&self) -> Value {
        json!({
            "slots": self.slots, "utilisation": self.use_permille().map(|share| share as f64 / 1000.0),
            "slot_seconds": seconds(self.slot_ms),
        })
    }
}

/// The accounts in whole seconds.
pub(super) fn seconds(time: SlotTime) -> Value {
    time.accounts().iter().map(|(account, ms)| ((*account).to_owned(), Value::from(ms / 1000))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let slot_ms = SlotTime { busy: 9000, tail: 700, no_work: 300, ..SlotTime::default() };
        Ledger { run: "r17".to_owned(), at_ms: 5, slots: 5, sending_ms: 1900, slot_ms }
    }

    #[test]
    fn the_line_says_how_much_was_used_and_what_the_rest_was_lost_to() {
        let text = "slots used 90.0 % of 5, 94.7 % from the first request to the last answer · \
                    lost: tail 7.0 %, no work 3.0 %";
        assert_eq!(ledger().text().as_deref(), Some(text));
        assert_eq!(Ledger { slot_ms: SlotTime::default(), ..ledger() }.text(), None);
    }

    #[test]
    fn what_was_kept_is_read_again_and_accounts_of_older_versions_are_zero() {
        let kept = serde_json::to_string(&ledger()).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&kept).unwrap(), ledger());
        let older = r#"{"run":"r17","at_ms":5,"slots":5,"sending_ms":0,"slot_ms":{"busy":9}}"#;
        let older: Ledger = serde_json::from_str(older).unwrap();
        assert_eq!((older.slot_ms.busy, older.slot_ms.tail, older.use_permille()), (9, 0, None));
    }
}
