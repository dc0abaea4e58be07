//! Points in time as both databases keep them, and the calendar month that limits turn on.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01 UTC. The clock is read at the edges (`Timestamp::from(SystemTime::now())`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus a wait; saturates at the end of time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The latest stamp that what was written before this moment can bear. One beyond it is of a clock that was ahead
    /// and has been set back since. Two minutes of room: writes wait for each other longer than for anything else.
    #[must_use]
    pub fn latest_stamp(self) -> Self {
        self.after(Duration::from_secs(120))
    }

    /// The calendar month (UTC) this moment lies in: the API counts hours by calendar month and names no zone.
    pub fn month(self) -> Month {
        let date = self.zoned().date();
        Month { year: date.year(), month: date.month() }
    }

    fn zoned(self) -> jiff::Zoned {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX).to_zoned(TimeZone::UTC)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = time.duration_since(UNIX_EPOCH).map(|d| d.as_millis()).unwrap_or(0);
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, as every output and log writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.zoned().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

/// A calendar month in UTC, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// When the month is over: the first of the next one, 00:00 UTC.
    pub fn end(self) -> Timestamp {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        jiff::civil::date(year, month, 1)
            .to_zoned(TimeZone::UTC)
            .map(|turn| Timestamp(turn.timestamp().as_millisecond()))
            .unwrap_or(Timestamp(i64::MAX))
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || text.to_owned();
        let (year, month) =
            text.split_once('-').filter(|(y, m)| (y.len(), m.len()) == (4, 2)).ok_or_else(wrong)?;
        let date = jiff::civil::Date::new(
            year.parse().map_err(|_| wrong())?,
            month.parse().map_err(|_| wrong())?,
            1,
        );
        date.map(|date| Month { year: date.year(), month: date.month() }).map_err(|_| wrong())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins_also_over_new_year() {
        let last_moment = Timestamp(1_798_761_599_999); // 2026-12-31T23:59:59.999Z
        assert_eq!(last_moment.month().to_string(), "2026-12");
        assert_eq!(last_moment.month().end(), last_moment.after(Duration::from_millis(1)));
        assert_eq!(last_moment.month().end().month().to_string(), "2027-01");
        assert_eq!("2026-12".parse(), Ok(last_moment.month()));
        assert!(["2026-13", "26-12", "2026-1", ""].iter().all(|text| text.parse::<Month>().is_err()));
    }

    #[test]
    fn a_moment_is_written_with_milliseconds_in_utc() {
        assert_eq!(Timestamp(1_798_761_599_009).to_string(), "2026-12-31T23:59:59.009Z");
    }

    #[test]
    fn time_that_runs_backwards_counts_as_no_time() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
