//! Usage windows: hours, days and months in UTC, their starts and names.

use crate::decimal::EpochMs;
use alloc::{format, string::String};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use core::fmt;

/// A point in time outside every window: windows start in the years 1000 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange(EpochMs);

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match utc(self.0) {
            Some(time) => write!(f, "year {} is out of range", time.year()),
            None => write!(f, "timestamp {} ms is out of range", self.0.0),
        }
    }
}

/// A length of time over which usage is summed, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// From minute 00 to minute 59.
    Hourly,
    /// From hour 00 to hour 23.
    Daily,
    /// From the first to the last day.
    Monthly,
}

impl Window {
    /// The name, as a snapshot has it in `window`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Monthly => "monthly",
        }
    }

    /// What a snapshot's sort key ends in if windows are kept apart (correction `window-suffix`).
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Hourly => "",
            Self::Daily => "#daily",
            Self::Monthly => "#monthly",
        }
    }

    /// The first instant of the window that holds `at`.
    ///
    /// # Errors
    /// The year is outside 1000 to 9999, so its text would not sort.
    pub fn start(self, at: EpochMs) -> Result<NaiveDateTime, OutOfRange> {
        let time = utc(at)
            .filter(|time| (1000..=9999).contains(&time.year()))
            .ok_or(OutOfRange(at))?;
        let (date, hour) = match self {
            Self::Hourly => (time.date_naive(), time.hour()),
            Self::Daily => (time.date_naive(), 0),
            Self::Monthly => (time.date_naive().with_day(1).ok_or(OutOfRange(at))?, 0),
        };
        date.and_hms_opt(hour, 0, 0).ok_or(OutOfRange(at))
    }
}

/// A window's start as keys and `window_start` have it: `YYYY-MM-DDTHH:00:00Z`.
pub fn key(start: NaiveDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:00:00Z",
        start.year(),
        start.month(),
        start.day(),
        start.hour()
    )
}

/// A time as a date and hour in UTC.
pub fn utc(at: EpochMs) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(i64::try_from(at.0).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Window::{Daily, Hourly, Monthly};
    use alloc::string::ToString;

    #[test]
    fn windows_start_on_the_hour_the_day_and_the_month() {
        for (at, hourly, daily, monthly) in [
            (
                1_704_110_460_000,
                "2024-01-01T12:00:00Z",
                "2024-01-01T00:00:00Z",
                "2024-01-01T00:00:00Z",
            ),
            (
                1_709_251_199_999,
                "2024-02-29T23:00:00Z",
                "2024-02-29T00:00:00Z",
                "2024-02-01T00:00:00Z",
            ),
            (
                0,
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
            ),
            (
                -1,
                "1969-12-31T23:00:00Z",
                "1969-12-31T00:00:00Z",
                "1969-12-01T00:00:00Z",
            ),
            (
                253_402_300_799_999,
                "9999-12-31T23:00:00Z",
                "9999-12-31T00:00:00Z",
                "9999-12-01T00:00:00Z",
            ),
        ] {
            for (window, expected) in [(Hourly, hourly), (Daily, daily), (Monthly, monthly)] {
                assert_eq!(
                    key(window.start(EpochMs(at)).unwrap()),
                    expected,
                    "{at} {window:?}"
                );
            }
        }
    }

    #[test]
    fn times_outside_four_digit_years_are_out_of_range() {
        for (at, message) in [
            (1_000_000_000_000_000, "year 33658 is out of range"),
            (253_402_300_800_000, "year 10000 is out of range"),
            (-30_610_224_000_001, "year 999 is out of range"),
            (
                10_i128.pow(30),
                "timestamp 1000000000000000000000000000000 ms is out of range",
            ),
        ] {
            assert_eq!(Hourly.start(EpochMs(at)).unwrap_err().to_string(), message);
        }
    }
}
