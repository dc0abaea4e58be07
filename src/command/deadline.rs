//! `--until` and `--max-duration`: from what was typed to the moment after which nothing more begins.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use tokio::time::Instant;

use super::problem::UsageError;
use crate::run::Deadline;
use crate::task::{Timestamp, age};

/// When a run is to end.
#[derive(Debug, Default, clap::Args)]
pub(super) struct DeadlineArgs {
    /// Begin nothing more from then on: 06:00, the next one by this machine's clock and zone, or RFC 3339 with an
    /// offset. What is in flight may end within `grace`; exit 10 if anything is left
    #[arg(long, value_name = "TIME")]
    until: Option<Until>,
    /// Begin nothing more so long after the start, such as 90m or 2h; with --until, whichever comes first
    #[arg(long, value_name = "TIME")]
    max_duration: Option<MaxDuration>,
}

impl DeadlineArgs {
    /// The deadline of a run that begins now.
    ///
    /// # Errors
    /// It is over.
    pub(super) fn beginning(&self, now: Timestamp) -> Result<Deadline, UsageError> {
        let until = self.until.map(|until| until.next(now, &TimeZone::system()));
        if let Some(over) = until.filter(|until| *until <= now) {
            let what = format!("--until {over} is over: nothing would be sent");
            return Err(UsageError::new(what).mend("--until 06:00", "is the next one, whatever day it is"));
        }
        // A year and more is no deadline.
        let at = self.max_duration.and_then(|MaxDuration(length)| Instant::now().checked_add(length));
        Ok(Deadline { until, at })
    }
}

/// A moment as people say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// With an offset: one moment everywhere.
    Moment(jiff::Timestamp),
    /// A day and a time by this machine's zone.
    Day(DateTime),
    /// A time of the day: the next one.
    Time(Time),
}

impl Until {
    /// The moment itself, which may lie in the past if a day was given.
    fn next(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        let now = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
        let moment = match self {
            Until::Moment(moment) => Some(moment),
            Until::Day(day) => moments(day, zone).next(),
            Until::Time(time) => {
                let days =
                    std::iter::successors(Some(now.to_zoned(zone.clone()).date()), |day| day.tomorrow().ok());
                let moments = days.take(3).flat_map(|day: Date| moments(day.to_datetime(time), zone));
                moments.into_iter().find(|moment| *moment > now)
            }
        };
        // Only at the end of the calendar is there none.
        Timestamp(moment.unwrap_or(jiff::Timestamp::MAX).as_millisecond())
    }
}

/// When a clock on the wall shows this: once, or twice in the night in which it is set back. In the night in which it
/// is set forward, what it leaves out is as much later.
fn moments(shown: DateTime, zone: &TimeZone) -> impl Iterator<Item = jiff::Timestamp> + use<> {
    let shown = zone.to_ambiguous_timestamp(shown);
    let first = shown.compatible().ok();
    let second = match shown.offset() {
        AmbiguousOffset::Fold { .. } => shown.later().ok(),
        _ => None,
    };
    first.into_iter().chain(second)
}

impl FromStr for Until {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let day = || text.parse().ok().filter(|_| text.len() > "2026-11-28".len()).map(Until::Day);
        // `24:00` and `6:00` are what people write; a bare number could be anything.
        let time = || if text.contains(':') { padded(text).parse().ok().map(Until::Time) } else { None };
        let moment = text.parse().ok().map(Until::Moment);
        moment
            .or_else(day)
            .or_else(time)
            .ok_or("expected a time of the day such as 06:00, or 2026-11-28T06:00:00+01:00")
    }
}

fn padded(time: &str) -> String {
    match time.strip_prefix("24:00") {
        Some(rest) => format!("00:00{rest}"),
        None if time.find(':') == Some(1) => format!("0{time}"),
        None => time.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MaxDuration(Duration);

impl FromStr for MaxDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        age(text).map(MaxDuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        // The rule itself: tests need no time zone database.
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn next(until: &str, now: &str) -> String {
        let now: jiff::Timestamp = now.parse().unwrap();
        let until: Until = until.parse().unwrap();
        until.next(Timestamp(now.as_millisecond()), &berlin()).to_string()
    }

    #[test]
    fn a_time_of_the_day_is_the_next_one_by_the_clock_on_the_wall() {
        for (now, expected) in [
            ("2026-11-27T21:00:00Z", "2026-11-28T05:00:00.000Z"),
            ("2026-11-28T04:59:59Z", "2026-11-28T05:00:00.000Z"),
            ("2026-11-28T05:00:00Z", "2026-11-29T05:00:00.000Z"), // it is that moment: the next one
            ("2026-07-01T12:00:00Z", "2026-07-02T04:00:00.000Z"), // summer
            ("2026-12-31T23:30:00Z", "2027-01-01T05:00:00.000Z"),
        ] {
            assert_eq!(next("06:00", now), expected, "at {now}");
        }
        assert_eq!(next("6:00", "2026-11-27T21:00:00Z"), "2026-11-28T05:00:00.000Z");
        assert_eq!(next("24:00", "2026-11-27T21:00:00Z"), "2026-11-27T23:00:00.000Z");
        assert_eq!(next("23:59:30", "2026-11-27T21:00:00Z"), "2026-11-27T22:59:30.000Z");
    }

    #[test]
    fn nights_in_which_the_clock_is_set_have_one_more_or_one_less() {
        // Set forward on 29 March: 02:30 is left out, and half an hour past the jump is meant.
        assert_eq!(next("02:30", "2026-03-28T22:00:00Z"), "2026-03-29T01:30:00.000Z");
        assert_eq!(
            next("06:00", "2026-03-28T22:00:00Z"),
            "2026-03-29T04:00:00.000Z",
            "seven hours, not eight"
        );
        // Set back on 25 October: 02:30 comes twice.
        assert_eq!(next("02:30", "2026-10-24T22:00:00Z"), "2026-10-25T00:30:00.000Z");
        assert_eq!(next("02:30", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00.000Z");
        assert_eq!(next("02:30", "2026-10-25T01:30:00Z"), "2026-10-26T01:30:00.000Z");
    }

    #[test]
    fn a_day_may_be_given_with_an_offset_or_in_this_machines_zone_and_may_be_over() {
        let now = "2026-11-27T21:00:00Z";
        assert_eq!(next("2026-11-28T06:00:00+01:00", now), "2026-11-28T05:00:00.000Z");
        assert_eq!(next("2026-11-28T05:00:00Z", now), "2026-11-28T05:00:00.000Z");
        assert_eq!(next("2026-11-28 06:00", now), "2026-11-28T05:00:00.000Z");
        assert_eq!(next("2020-01-01T00:00:00Z", now), "2020-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_day_that_is_over_is_refused_and_a_time_of_the_day_never_is() {
        let now = Timestamp("2026-11-27T21:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let beginning = |until: &str| {
            let until = Some(until.parse().unwrap());
            DeadlineArgs { until, max_duration: None }.beginning(now).map(|deadline| deadline.until)
        };
        for over in ["2026-11-27T21:00:00Z", "2026-11-27T22:00:00+01:00", "2020-01-01 06:00"] {
            assert!(beginning(over).is_err(), "{over}");
        }
        for time in ["2026-11-27T21:00:01Z", "21:00", "06:00", "24:00"] {
            assert!(beginning(time).unwrap().unwrap() > now, "{time}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "6", "0600", "25:00", "06:60", "6 am", "tomorrow", "2026-11-28", "2h", "-06:00", "06:00Z"]
        {
            assert!(text.parse::<Until>().is_err(), "{text}: {:?}", text.parse::<Until>());
        }
        for text in ["", "2", "-2h", "soon"] {
            assert!(text.parse::<MaxDuration>().is_err(), "{text}");
        }
        assert_eq!("2h".parse(), Ok(MaxDuration(Duration::from_secs(7200))));
        assert_eq!("1h30m".parse(), Ok(MaxDuration(Duration::from_secs(5400))));
    }

    #[test]
    fn a_length_beyond_all_clocks_is_no_deadline() {
        let args = DeadlineArgs { until: None, max_duration: Some("99999999999999d".parse().unwrap()) };
        let deadline = args.beginning(Timestamp(0)).unwrap();
        assert!(
            deadline.moment(Timestamp(0)).is_none_or(|at| at > Timestamp(i64::MAX / 1_000_000)),
            "{deadline:?}"
        );
    }
}
