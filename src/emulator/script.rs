//! The outcome table: file names, what the service does with such a file, and how it must end. Demo, tests and
//! documentation read it, so a new behaviour is a new line here.

/// How a recording must end in a run with the default retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Succeeded,
    /// For good, with this cause (a stable word such as `server_error`).
    Failed(&'static str),
}

/// One line of the outcome table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Matches a file whose stem is this name, or begins with it and a hyphen: `busy_once-17.wav`.
    pub name: &'static str,
    /// How it must end.
    pub ends: Ending,
    /// Attempts that count. None: as many as the policy allows.
    pub attempts: Option<u32>,
    /// What happens, for people.
    pub about: &'static str,
    pub(super) act: Act,
    /// Only the first so many requests meet the act.
    pub(super) times: u32,
}

/// What the service does with a scripted file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Busy,
    Overloaded,
    Internal,
    BadGateway,
    TimedOut,
    Html,
    Undecodable,
    TooBig,
    Reset,
    AnswerLost,
    Truncated,
    NoSpeech,
    /// Half of it is heard.
    Half,
    /// The same is said again and again.
    Stuck,
    /// More is said than can be.
    Babble,
    /// Another language than asked for.
    Foreign,
    Slow,
}

const ALWAYS: u32 = u32::MAX;

const fn line(
    name: &'static str,
    act: Act,
    times: u32,
    ends: Ending,
    attempts: Option<u32>,
    about: &'static str,
) -> Outcome {
    Outcome { name, ends, attempts, about, act, times }
}

use Ending::{Failed, Succeeded};

/// The outcome table. It holds when [`super::Settings::script`] is on.
pub const OUTCOMES: &[Outcome] = &[
    line("ok", Act::Nothing, 0, Succeeded, Some(1), "answered at once"),
    line("busy_once", Act::Busy, 1, Succeeded, Some(1), "one 429 for concurrency, which costs no attempt"),
    line("overloaded_twice", Act::Overloaded, 2, Succeeded, Some(3), "two 503, then good"),
    line("bad_gateway_once", Act::BadGateway, 1, Succeeded, Some(2), "one 502, then good"),
    line("always_500", Act::Internal, ALWAYS, Failed("server_error"), None, "500 every time"),
    line("gateway_timeout_once", Act::TimedOut, 1, Succeeded, Some(2), "one 504, then good"),
    line("html_error_once", Act::Html, 1, Succeeded, Some(2), "one page of HTML from a proxy, then good"),
    line("corrupt", Act::Undecodable, ALWAYS, Failed("unreadable_audio"), Some(1), "cannot be decoded"),
    line("too_big_413", Act::TooBig, ALWAYS, Failed("too_big"), Some(1), "413 as HTML, whatever its size"),
    line("truncated_json_once", Act::Truncated, 1, Succeeded, Some(2), "one answer cut short, then good"),
    line("reset_once", Act::Reset, 1, Succeeded, Some(2), "one reset while uploading, then good"),
    line(
        "answer_lost_once",
        Act::AnswerLost,
        1,
        Succeeded,
        Some(2),
        "one reset after the work; billed twice",
    ),
    line("empty_text", Act::NoSpeech, ALWAYS, Succeeded, Some(1), "no speech in it"),
    line("empty_text_once", Act::NoSpeech, 1, Succeeded, Some(1), "no speech heard at first"),
    line("heard_half", Act::Half, ALWAYS, Succeeded, Some(1), "only half of it is heard"),
    line("stuck", Act::Stuck, ALWAYS, Succeeded, Some(1), "the same sentence again and again"),
    line("babble", Act::Babble, ALWAYS, Succeeded, Some(1), "more words than anybody can say"),
    line("foreign", Act::Foreign, ALWAYS, Succeeded, Some(1), "heard as another language"),
    line("slow", Act::Slow, ALWAYS, Succeeded, Some(1), "answered late"),
];

/// A file name without its extension: the same recording may come again as another format.
pub(super) fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// The line for a file name, if one matches.
pub(super) fn find(file_name: &str) -> Option<&'static Outcome> {
    let stem = stem(file_name);
    OUTCOMES.iter().find(|outcome| {
        stem.strip_prefix(outcome.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_matches_whole_or_before_a_hyphen() {
        assert_eq!(find("slow.wav").map(|line| line.name), Some("slow"));
        assert_eq!(find("busy_once-17.final.mp3").map(|line| line.name), Some("busy_once"));
        assert!(find("slowly.wav").is_none());
        assert!(find("my-slow.wav").is_none());
    }

    #[test]
    fn every_name_finds_its_own_line() {
        for outcome in OUTCOMES {
            assert_eq!(find(&format!("{}-1.wav", outcome.name)), Some(outcome));
        }
    }
}
