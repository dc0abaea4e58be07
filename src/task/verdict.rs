//! What an answer means. Named by `velma::classify`; what follows from it is decided in [`super::decide`].

use std::fmt;
use std::str::FromStr;

use super::{Cause, Doubt, Endpoint, Failure};

/// The meaning of what came back, or of nothing coming back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is whole and readable.
    Success,
    /// Try again later; costs an attempt.
    Transient(Failure),
    /// Too much under way; try again soon, at no cost.
    Throttled(Failure),
    /// More audio than the service gets through in its time; it goes again in shorter pieces.
    TooLong(Failure),
    /// Nothing of this kind will succeed until something changes outside.
    Halted(HaltReason, Failure),
    /// The file's own fault: it fails, others go on.
    FileFault(Failure),
    /// The answer can mean several of the above; settled by experiment.
    Unclear(Doubt, Failure),
    /// We stopped it ourselves; the failure says whether it may be billed all the same.
    Stopped(Failure),
}

impl Verdict {
    /// The failure behind the verdict, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Verdict::Success => None,
            Verdict::Transient(f)
            | Verdict::Throttled(f)
            | Verdict::TooLong(f)
            | Verdict::Halted(_, f)
            | Verdict::FileFault(f)
            | Verdict::Unclear(_, f)
            | Verdict::Stopped(f) => Some(f),
        }
    }
}

/// Why an endpoint, or everything, stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HaltReason {
    /// The month's audio hours of the model are used up, by the API's word.
    MonthlyHours,
    /// The month's audio hours are used up by our own count (`monthly_hours`).
    Budget,
    /// The organisation has no credits left.
    Credits,
    /// The key is not accepted.
    KeyRefused,
    /// The key may not use this model.
    ModelNotEnabled,
    /// The options or the address are wrong for every file.
    ConfigRefused,
    /// Paused by the user.
    Paused,
}

impl HaltReason {
    /// Every reason.
    pub const ALL: [HaltReason; 7] = [
        HaltReason::MonthlyHours,
        HaltReason::Budget,
        HaltReason::Credits,
        HaltReason::KeyRefused,
        HaltReason::ModelNotEnabled,
        HaltReason::ConfigRefused,
        HaltReason::Paused,
    ];

    /// The word that the database and the command line use.
    pub fn word(self) -> &'static str {
        match self {
            HaltReason::MonthlyHours => "monthly_hours",
            HaltReason::Budget => "budget",
            HaltReason::Credits => "credits",
            HaltReason::KeyRefused => "key_refused",
            HaltReason::ModelNotEnabled => "model_not_enabled",
            HaltReason::ConfigRefused => "config_refused",
            HaltReason::Paused => "paused",
        }
    }

    /// The reason in plain words, fit to follow "halted: ".
    pub fn says(self) -> &'static str {
        match self {
            HaltReason::MonthlyHours => "the month's audio hours for this model are used up",
            HaltReason::Budget => "your own limit of hours or cost is used up",
            HaltReason::Credits => "the organisation has no credits left",
            HaltReason::KeyRefused => "the API does not accept the key",
            HaltReason::ModelNotEnabled => "the key may not use this model",
            HaltReason::ConfigRefused => "the API refuses these options or this address for every file",
            HaltReason::Paused => "paused by hand",
        }
    }

    /// How far a halt for this reason reaches when it is met on `endpoint`.
    pub fn scope(self, endpoint: Endpoint) -> HaltScope {
        match self {
            HaltReason::Paused => HaltScope::Everything,
            // Its account and key are no others'.
            _ if endpoint == Endpoint::PlatformBatch => HaltScope::Endpoint(endpoint),
            HaltReason::Credits | HaltReason::KeyRefused => HaltScope::Everything,
            _ => HaltScope::Endpoint(endpoint),
        }
    }

    /// The cause recorded on an attempt that met this reason.
    pub fn cause(self) -> Cause {
        match self {
            HaltReason::MonthlyHours | HaltReason::Budget => Cause::MonthlyHours,
            HaltReason::Credits => Cause::Credits,
            HaltReason::KeyRefused => Cause::KeyRefused,
            HaltReason::ModelNotEnabled => Cause::ModelNotEnabled,
            HaltReason::ConfigRefused => Cause::ConfigRefused,
            HaltReason::Paused => Cause::Interrupted,
        }
    }

    /// Whether the reason goes away when the calendar month turns.
    pub fn ends_with_the_month(self) -> bool {
        matches!(self, HaltReason::MonthlyHours | HaltReason::Budget)
    }

    /// Whether sending one request can show that the reason is gone. Our own count and a pause cannot be probed.
    pub fn can_be_probed(self) -> bool {
        !matches!(self, HaltReason::Budget | HaltReason::Paused)
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for HaltReason {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        HaltReason::ALL.into_iter().find(|r| r.word() == word).ok_or_else(|| word.to_owned())
    }
}

/// What a halt stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HaltScope {
    /// Every endpoint.
    Everything,
    /// One endpoint; the others go on.
    Endpoint(Endpoint),
}

impl HaltScope {
    /// Whether a halt of this scope stops `endpoint`.
    pub fn covers(self, endpoint: Endpoint) -> bool {
        match self {
            HaltScope::Everything => true,
            HaltScope::Endpoint(one) => one == endpoint,
        }
    }
}

impl fmt::Display for HaltScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HaltScope::Everything => f.pad("all"),
            HaltScope::Endpoint(endpoint) => f.pad(endpoint.name()),
        }
    }
}

impl FromStr for HaltScope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "all" => Ok(HaltScope::Everything),
            name => name.parse().map(HaltScope::Endpoint).map_err(|_| name.to_owned()),
        }
    }
}

/// A halt that a verdict calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltOrder {
    /// What stops.
    pub scope: HaltScope,
    /// Why.
    pub reason: HaltReason,
    /// The API's words, with the status in front.
    pub evidence: String,
}
