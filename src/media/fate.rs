//! What has to happen to a recording before it can go out: nothing, so far. Whoever prepares files answers here, and a plan
//! counts by it.

use super::mime::{taken_by, upload_as};
use super::{Format, MediaSettings};
use crate::task::{Cause, Endpoint, Failure, Measured};

/// What becomes of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes out as it is.
    AsIs,
    /// It is encoded anew first, and why.
    Reencode(&'static str),
    /// It is cut into pieces first, and why.
    Split(&'static str),
    /// It does not go out.
    Refused(Failure),
}

/// Decides by what is known before anything is read again. Pure: a plan asks it of every recording.
pub fn fate(
    _measured: Measured,
    format: Format,
    size_bytes: u64,
    endpoint: Endpoint,
    settings: &MediaSettings,
) -> Fate {
    if upload_as(format, endpoint).is_none() {
        let message =
            format!("{} is not taken by {endpoint}, which takes {}", format.says(), taken_by(endpoint));
        return Fate::Refused(Failure::local(Cause::UnsupportedFormat, message));
    }
    if size_bytes > settings.max_bytes {
        let message = format!("{size_bytes} bytes, above the limit of {}", settings.max_bytes);
        return Fate::Refused(Failure::local(Cause::TooBig, message));
    }
    Fate::AsIs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_not_too_large_goes_out_as_it_is() {
        let of = |format, size| {
            fate(
                Measured::header(9),
                format,
                size,
                Endpoint::SttBatch,
                &MediaSettings { max_bytes: 100, ..MediaSettings::default() },
            )
        };
        assert_eq!(of(Format::Wav, 100), Fate::AsIs);
        assert!(matches!(of(Format::Wav, 101), Fate::Refused(f) if f.cause == Cause::TooBig));
        assert!(matches!(of(Format::Amr, 9), Fate::Refused(f) if f.cause == Cause::UnsupportedFormat));
    }
}
