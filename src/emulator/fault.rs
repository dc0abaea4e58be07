//! What goes wrong by itself, at which rate, and the dice that decide it: seeded, so that a run can be had again.
//! Leaves acting on a fault to the desk.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::millis;
use super::socket::{SocketFault, SocketFaults};

/// Rates are shares of requests, 0.0 to 1.0. Those of one stage exclude each other, so their sum counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Chooses the dice.
    pub seed: u64,
    /// Before the body: refused as if too many were in flight.
    pub rate_429: f64,
    /// Before the body: the connection is reset.
    pub reset_before_body: f64,
    /// Before the body: nothing is read for [`Faults::stall_for`].
    pub stall_upload: f64,
    /// After the body: 500.
    pub rate_500: f64,
    /// After the body: 502.
    pub rate_502: f64,
    /// After the body: 503.
    pub rate_503: f64,
    /// After the body: 504.
    pub rate_504: f64,
    /// After the body: an HTML page with 502.
    pub html_error: f64,
    /// After the work is done, and billed: the connection is reset without an answer.
    pub reset_after_body: f64,
    /// After the work is done, and billed: reset in the middle of the answer.
    pub reset_in_answer: f64,
    /// After the work is done, and billed: the answer is late by [`Faults::stall_for`].
    pub stall: f64,
    /// After the work is done, and billed: the JSON is cut short.
    pub truncated_json: f64,
    /// After the work is done, and billed: 200 with nothing in it.
    pub empty_200: f64,
    /// How long a stall lasts. Default 5 s.
    #[serde(rename = "stall_for_ms", with = "millis")]
    pub stall_for: Duration,
    /// Seconds in a Retry-After header on 429 and 503. Default none: the real service sends none.
    pub retry_after_s: Option<u64>,
    /// 429s that are faults carry a text that no list knows.
    pub unknown_429_text: bool,
    /// What goes wrong on streaming connections alone.
    pub sockets: SocketFaults,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            seed: 0,
            rate_429: 0.0,
            reset_before_body: 0.0,
            stall_upload: 0.0,
            rate_500: 0.0,
            rate_502: 0.0,
            rate_503: 0.0,
            rate_504: 0.0,
            html_error: 0.0,
            reset_after_body: 0.0,
            reset_in_answer: 0.0,
            stall: 0.0,
            truncated_json: 0.0,
            empty_200: 0.0,
            stall_for: Duration::from_secs(5),
            retry_after_s: None,
            unknown_429_text: false,
            sockets: SocketFaults::default(),
        }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Busy,
    ResetBeforeBody,
    StallUpload,
    Status(u16),
    HtmlError,
    ResetAfterBody,
    ResetInAnswer,
    Stall,
    TruncatedJson,
    Empty200,
}

impl Faults {
    /// What happens to the `number`th request of a model before its body is read.
    pub(super) fn before_body(&self, model: &str, number: u64) -> Option<Fault> {
        let stages = [
            (self.rate_429, Fault::Busy),
            (self.reset_before_body, Fault::ResetBeforeBody),
            (self.stall_upload, Fault::StallUpload),
        ];
        draw(&stages, || dice(self.seed, &[b"before", model.as_bytes(), &number.to_le_bytes()]))
    }

    /// What happens once this body has arrived for the `times`th time (from 1). It does not depend on the
    /// order in which bodies arrive, so that a concurrent run can be had again as well.
    pub(super) fn after_body(&self, model: &str, sha256: &[u8], times: u64) -> Option<Fault> {
        let stages = [
            (self.rate_500, Fault::Status(500)),
            (self.rate_502, Fault::Status(502)),
            (self.rate_503, Fault::Status(503)),
            (self.rate_504, Fault::Status(504)),
            (self.html_error, Fault::HtmlError),
            (self.reset_after_body, Fault::ResetAfterBody),
            (self.reset_in_answer, Fault::ResetInAnswer),
            (self.stall, Fault::Stall),
            (self.truncated_json, Fault::TruncatedJson),
            (self.empty_200, Fault::Empty200),
        ];
        draw(&stages, || dice(self.seed, &[b"after", model.as_bytes(), sha256, &times.to_le_bytes()]))
    }

    /// Whether the `number`th connection of a model is closed in the middle.
    pub(super) fn midway(&self, model: &str, number: u64) -> bool {
        let throw = || dice(self.seed, &[b"midway", model.as_bytes(), &number.to_le_bytes()]);
        draw(&[(self.sockets.midway, ())], throw).is_some()
    }

    /// What happens on a connection besides, once this audio has ended for the `times`th time.
    pub(super) fn on_socket(&self, model: &str, sha256: &[u8], times: u64) -> Option<SocketFault> {
        let throw = || dice(self.seed, &[b"socket", model.as_bytes(), sha256, &times.to_le_bytes()]);
        draw(&self.sockets.stages(), throw)
    }

    fn rate(&mut self, word: &str) -> Option<&mut f64> {
        Some(match word {
            "429" => &mut self.rate_429,
            "500" => &mut self.rate_500,
            "502" => &mut self.rate_502,
            "503" => &mut self.rate_503,
            "504" => &mut self.rate_504,
            "html" => &mut self.html_error,
            "reset" => &mut self.reset_before_body,
            "lost" => &mut self.reset_after_body,
            "cut" => &mut self.reset_in_answer,
            "stall" => &mut self.stall,
            "stall-upload" => &mut self.stall_upload,
            "truncated" => &mut self.truncated_json,
            "empty" => &mut self.empty_200,
            other => return self.sockets.rate(other),
        })
    }
}

/// One throw for a stage; the rates divide the line from 0 to 1 among them.
fn draw<T: Copy>(stages: &[(f64, T)], throw: impl FnOnce() -> f64) -> Option<T> {
    if stages.iter().all(|(rate, _)| *rate <= 0.0) {
        return None;
    }
    let mut left = throw();
    for (rate, fault) in stages {
        if left < *rate {
            return Some(*fault);
        }
        left -= rate.max(0.0);
    }
    None
}

/// A number from 0 (within) to 1 (without) that depends on nothing but its arguments.
fn dice(seed: u64, parts: &[&[u8]]) -> f64 {
    let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let number = digest[..8].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    (number >> 11) as f64 / (1u64 << 53) as f64
}

impl FromStr for Faults {
    type Err = String;

    /// `429=5%,503=0.05,reset=2%`: what goes wrong, and for which share of requests.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut faults = Faults::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (word, share) = item
                .split_once('=')
                .ok_or_else(|| format!("`{item}` has no share: write for example `429=5%`"))?;
            let rate = share_of(share.trim())
                .ok_or_else(|| format!("`{share}` is not a share: write for example `5%` or `0.05`"))?;
            let slot = faults.rate(word.trim()).ok_or_else(|| {
                format!(
                    "`{word}` is not a fault: use 429, 500, 502, 503, 504, html, reset, lost, cut, stall, \
                     stall-upload, truncated or empty; on sockets also midway, no-done, late-binary or disorder"
                )
            })?;
            *slot = rate;
        }
        Ok(faults)
    }
}

fn share_of(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_gives_others() {
        let faults = Faults { rate_500: 0.3, truncated_json: 0.3, ..Faults::default() };
        let other = Faults { seed: 1, ..faults.clone() };
        let fates = |faults: &Faults| -> Vec<_> {
            (0..64u64).map(|n| faults.after_body("m", &n.to_le_bytes(), 1)).collect()
        };
        assert_eq!(fates(&faults), fates(&faults.clone()));
        assert_ne!(fates(&faults), fates(&other));
    }

    #[test]
    fn about_the_given_share_goes_wrong() {
        let faults: Faults = "429=5%, reset=10%".parse().unwrap();
        let fates: Vec<_> = (0..4000).filter_map(|n| faults.before_body("m", n)).collect();
        let busy = fates.iter().filter(|fault| **fault == Fault::Busy).count();
        assert!((150..250).contains(&busy), "{busy} of 4000");
        assert!((500..700).contains(&fates.len()), "{} of 4000", fates.len());
    }

    #[test]
    fn a_rate_of_one_spares_nothing_and_a_rate_of_zero_everything() {
        let sure: Faults = "503=1".parse().unwrap();
        assert!((1..99).all(|n| sure.after_body("m", b"x", n) == Some(Fault::Status(503))));
        assert!((1..99).all(|n| sure.before_body("m", n).is_none()));
    }

    #[test]
    fn nonsense_on_the_command_line_is_explained() {
        assert!("429".parse::<Faults>().unwrap_err().contains("no share"));
        assert!("429=150%".parse::<Faults>().unwrap_err().contains("not a share"));
        assert!("418=1%".parse::<Faults>().unwrap_err().contains("not a fault"));
    }
}
