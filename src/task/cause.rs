//! Why something did not succeed: a stable word for people and filters, and the evidence beside it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $says:literal;)*) => {
        /// Why an attempt or a task did not succeed. The words are stable: scripts filter by them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $($(#[$doc])* $variant,)*
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Cause] = &[$(Cause::$variant),*];

            /// The stable word: `timeout`, `throttled`, `not_audio`.
            pub fn word(self) -> &'static str {
                match self { $(Cause::$variant => $word,)* }
            }

            /// The cause in plain words, for summaries.
            pub fn says(self) -> &'static str {
                match self { $(Cause::$variant => $says,)* }
            }
        }
    };
}

causes! {
    /// Refused: no bytes in it.
    Empty = "empty", "empty file";
    /// Refused, or HTTP 413: larger than the API takes.
    TooBig = "too_big", "file too big";
    /// Refused: the content is not audio.
    NotAudio = "not_audio", "not audio";
    /// Refused, or HTTP 400: audio in a format that the endpoint does not take.
    UnsupportedFormat = "unsupported_format", "format not taken by the endpoint";
    /// Refused: no longer there.
    SourceMissing = "source_missing", "file no longer there";
    /// Refused: cannot be opened or read.
    SourceUnreadable = "source_unreadable", "file cannot be read";
    /// The file changed while it was being sent.
    SourceChanged = "source_changed", "file changed while it was sent";
    /// The API could not decode it.
    UnreadableAudio = "unreadable_audio", "unreadable audio";
    /// The API says it is too short for the endpoint.
    TooShort = "too_short", "too short";
    /// The API refused the request itself, on this file.
    RequestRefused = "request_refused", "request refused";
    /// Too many requests at once.
    Throttled = "throttled", "throttled";
    /// No usable answer in time.
    Timeout = "timeout", "timed out";
    /// No byte moved for too long while uploading.
    Stalled = "stalled", "upload stalled";
    /// No connection, or it broke before everything was sent.
    Connection = "connection", "connection failed";
    /// The connection broke after everything was sent: perhaps billed.
    AnswerLost = "answer_lost", "answer lost";
    /// HTTP 500 or 502.
    ServerError = "server_error", "server error";
    /// HTTP 503.
    Overloaded = "overloaded", "server overloaded";
    /// HTTP 504: the API's own time limit.
    ServerTimeout = "server_timeout", "server timed out";
    /// A success that cannot be understood.
    BadAnswer = "bad_answer", "unusable answer";
    /// Our side could not keep the answer (disk, database).
    LocalStorage = "local_storage", "answer could not be stored";
    /// The month's audio hours are used up.
    MonthlyHours = "monthly_hours", "monthly hours used up";
    /// The organisation is out of credits.
    Credits = "credits", "no credits left";
    /// The API does not know the key.
    KeyRefused = "key_refused", "key refused";
    /// The key may not use this model.
    ModelNotEnabled = "model_not_enabled", "model not enabled";
    /// Options or address are wrong for every file of the endpoint.
    ConfigRefused = "config_refused", "configuration refused";
    /// A refusal whose meaning has to be found out.
    Unclear = "unclear", "unclear refusal";
    /// A worker died while it held the task.
    LeaseLost = "lease_lost", "worker died";
    /// The user stopped the run.
    Interrupted = "interrupted", "interrupted";
}

impl Cause {
    /// Refused before any byte was sent: looking at the file was enough. `cause:refused` means these.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Cause::Empty
                | Cause::TooBig
                | Cause::NotAudio
                | Cause::UnsupportedFormat
                | Cause::SourceMissing
                | Cause::SourceUnreadable
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Cause::ALL.iter().copied().find(|c| c.word() == word).ok_or_else(|| word.to_owned())
    }
}

/// Whether an attempt costs money. The API has no usage call, so this is what its behaviour lets us say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Billed {
    /// An answer with a duration came back.
    Yes,
    /// It was refused, or not everything had been sent.
    No,
    /// Everything was sent and no verdict came, or a 5xx did.
    Unknown,
}

impl Billed {
    /// `yes`, `no` or `unknown`.
    pub fn word(self) -> &'static str {
        match self {
            Billed::Yes => "yes",
            Billed::No => "no",
            Billed::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Billed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Billed {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Billed::Yes, Billed::No, Billed::Unknown]
            .into_iter()
            .find(|b| b.word() == word)
            .ok_or_else(|| word.to_owned())
    }
}

/// What is known of one failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable word.
    pub cause: Cause,
    /// The API's status, when it answered.
    pub http_status: Option<u16>,
    /// The API's words, or ours; at most 2 KiB, without key or transcript.
    pub message: String,
    /// What the API asked us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the attempt costs money.
    pub billed: Billed,
}

impl Failure {
    /// The longest message kept, in bytes.
    pub const MESSAGE_MAX: usize = 2048;

    /// A failure that no answer of the API belongs to, and that costs nothing.
    pub fn local(cause: Cause, message: impl Into<String>) -> Self {
        Failure {
            cause,
            http_status: None,
            message: clip(message.into()),
            retry_after: None,
            billed: Billed::No,
        }
    }

    /// The words, with the status in front.
    pub fn evidence(&self) -> String {
        match self.http_status {
            Some(status) => format!("HTTP {status}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// A failure with the API's status and words.
    pub fn answered(cause: Cause, http_status: u16, message: impl Into<String>, billed: Billed) -> Self {
        Failure {
            cause,
            http_status: Some(http_status),
            message: clip(message.into()),
            retry_after: None,
            billed,
        }
    }
}

fn clip(mut message: String) -> String {
    if message.len() > Failure::MESSAGE_MAX {
        message.truncate(message.floor_char_boundary(Failure::MESSAGE_MAX));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_found_by_its_word() {
        for &cause in Cause::ALL {
            assert_eq!(cause.word().parse(), Ok(cause));
        }
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let failure = Failure::local(Cause::BadAnswer, "ä".repeat(2000));
        assert_eq!(failure.message.len(), Failure::MESSAGE_MAX);
        let odd = Failure::local(Cause::BadAnswer, format!("x{}", "ä".repeat(2000)));
        assert_eq!(odd.message.len(), Failure::MESSAGE_MAX - 1);
    }
}
