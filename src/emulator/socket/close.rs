//! How a refusal ends a connection: which code, with which words. A pure table, by contract; what the words of
//! plain HTTP are is in `refusal`.

use super::super::model::Model;
use super::super::refusal::{Refusal, Words};
use super::super::settings::Contract;
use super::stream::Stream;

/// A close with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: u16,
    pub(super) words: String,
}

/// `voice_403`: voice detection has one code for keys and limits; it has an effect there only.
pub(super) fn farewell(refusal: &Refusal, contract: Contract, stream: Stream, voice_403: bool) -> Farewell {
    Farewell {
        code: code(refusal, contract, stream, voice_403),
        words: words(refusal, contract, stream, voice_403),
    }
}

fn code(refusal: &Refusal, contract: Contract, stream: Stream, voice_403: bool) -> u16 {
    use Contract::{A, B, C};
    let voice = stream == Stream::SyntheticVoice && voice_403;
    match (refusal, contract) {
        (
            Refusal::MissingKey
            | Refusal::BadKey
            | Refusal::NoCredits
            | Refusal::MonthlyHours
            | Refusal::Concurrency
            | Refusal::UnknownThrottle,
            _,
        ) if voice => 4003,
        (Refusal::MissingKey | Refusal::BadKey, A | C) => 4001,
        (Refusal::ModelNotEnabled, C) => 4004,
        (Refusal::MissingKey | Refusal::BadKey | Refusal::ModelNotEnabled, _) => 4003,
        (Refusal::NoCredits | Refusal::UnknownThrottle, _) => 4029,
        (Refusal::Concurrency, C) => 4030,
        (Refusal::MonthlyHours, C) => 4031,
        // The one July document that still knows these limits.
        (Refusal::MonthlyHours, B) if stream != Stream::English => 4003,
        (Refusal::Concurrency | Refusal::MonthlyHours, _) => 4029,
        (Refusal::Undecodable, _) if stream.wants_format() => 4002,
        // "Could not be validated" shares a code with "not permitted".
        (Refusal::BadGateway, B) => 4003,
        (Refusal::Overloaded, C) => 1013,
        (
            Refusal::Internal
            | Refusal::BadGateway
            | Refusal::Overloaded
            | Refusal::TimedOut
            | Refusal::HtmlBadGateway,
            _,
        ) => 1011,
        _ => 1003,
    }
}

fn words(refusal: &Refusal, contract: Contract, stream: Stream, voice_403: bool) -> String {
    let twin = match (refusal, stream.twin()) {
        // Sockets say what HTTP says of a model that validates as everyone does.
        (Refusal::BadGateway, _) => Model::EnglishFast,
        (_, twin) => twin,
    };
    match (refusal, contract) {
        (Refusal::MissingKey, Contract::A | Contract::C) => "Missing api_key query parameter.".to_owned(),
        (Refusal::MissingKey, Contract::B) => words(&Refusal::BadKey, contract, stream, voice_403),
        (Refusal::Undecodable, _) if stream.wants_format() => {
            "Audio data does not match the declared audio_format.".to_owned()
        }
        (Refusal::Undecodable, _) => "Invalid input audio".to_owned(),
        (Refusal::HtmlBadGateway, _) => "Internal server error".to_owned(),
        (Refusal::Flaw(..), _) => words(&Refusal::Configuration, contract, stream, voice_403),
        _ => match refusal.say(contract, twin, voice_403).body {
            Words::Detail(serde_json::Value::String(sentence)) => sentence,
            _ => "Invalid request.".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes_is_the_documented_one() {
        use Contract::{A, B, C};
        use Stream::{Conversation, English, SyntheticVoice, Transcription};
        let rows: [(Refusal, Contract, Stream, u16, &str); 24] = [
            (Refusal::BadKey, A, Transcription, 4001, "Invalid API key."),
            (Refusal::BadKey, A, SyntheticVoice, 4003, "Invalid API key."),
            (Refusal::BadKey, B, English, 4003, "This request is not permitted."),
            (Refusal::BadKey, C, SyntheticVoice, 4001, "Invalid API key."),
            (Refusal::MissingKey, A, English, 4001, "Missing api_key query parameter."),
            (Refusal::MissingKey, B, English, 4003, "This request is not permitted."),
            (
                Refusal::ModelNotEnabled,
                A,
                English,
                4003,
                "Access to this model is not enabled for your organization.",
            ),
            (Refusal::ModelNotEnabled, B, Conversation, 4003, "This request is not permitted."),
            (Refusal::ModelNotEnabled, C, Conversation, 4004, "API key does not have access to this model."),
            (Refusal::NoCredits, B, Transcription, 4029, "Insufficient credits."),
            (Refusal::NoCredits, C, SyntheticVoice, 4029, "Insufficient credits."),
            (Refusal::MonthlyHours, A, English, 4029, "Monthly usage limit exceeded for this model."),
            (Refusal::MonthlyHours, A, SyntheticVoice, 4003, "Usage denied: quota exceeded."),
            (Refusal::MonthlyHours, B, Transcription, 4003, "This request is not permitted."),
            (Refusal::MonthlyHours, B, English, 4029, "This request is not permitted."),
            (Refusal::MonthlyHours, C, Transcription, 4031, "Monthly usage limit reached."),
            (
                Refusal::Concurrency,
                A,
                SyntheticVoice,
                4003,
                "Too many concurrent requests for this model. Please try again shortly.",
            ),
            (
                Refusal::Concurrency,
                C,
                English,
                4030,
                "Concurrent request limit reached. Please retry after your in-flight requests complete.",
            ),
            (Refusal::Undecodable, A, English, 4002, "Audio data does not match the declared audio_format."),
            (Refusal::Undecodable, C, Transcription, 1003, "Invalid input audio"),
            (Refusal::Configuration, B, Conversation, 1003, "Invalid configuration."),
            (Refusal::Internal, A, SyntheticVoice, 1011, "Internal server error"),
            (Refusal::BadGateway, B, English, 4003, "Unable to validate request. Please try again."),
            (
                Refusal::Overloaded,
                C,
                English,
                1013,
                "The service is temporarily unavailable. Please try again later.",
            ),
        ];
        for (refusal, contract, stream, code, words) in rows {
            let farewell = farewell(&refusal, contract, stream, contract == A);
            let expected = Farewell { code, words: words.to_owned() };
            assert_eq!(farewell, expected, "{refusal:?} {contract:?} {stream:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_request_is_1003_in_every_contract() {
        let refusals = [
            Refusal::Parameter("x".into()),
            Refusal::UnknownField("x".into()),
            Refusal::Language("x".into()),
            Refusal::Preset,
        ];
        for refusal in refusals {
            for contract in [Contract::A, Contract::B, Contract::C] {
                assert_eq!(code(&refusal, contract, Stream::Conversation, true), 1003, "{refusal:?}");
            }
        }
    }
}
