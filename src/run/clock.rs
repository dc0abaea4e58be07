//! The clocks of a run. What is stored bears the wall clock's time, which may be set while the run goes on; what the
//! run measures for itself goes by a clock that only moves forward.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use crate::task::Timestamp;

/// The moment by the wall clock: for all that is stored, shown, or compared with what is stored.
pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// A moment to compare with others of this run only: when a request began, since when everything fails.
pub(super) fn steady() -> Timestamp {
    static ORIGIN: LazyLock<(Timestamp, Instant)> = LazyLock::new(|| (now(), Instant::now()));
    ORIGIN.0.after(ORIGIN.1.elapsed())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_steady_clock_goes_on_from_where_the_wall_clock_was() {
        let before = now();
        let (first, second) = (steady(), steady());
        assert!(first <= second);
        assert!(
            before.since(first) < Duration::from_secs(3600)
                && first.since(before) < Duration::from_secs(3600)
        );
    }
}
