//! Usage windows: hours, days and months in UTC, and what a further window consists of.

use crate::{contract::Term, decimal::EpochMs};
use alloc::{format, string::String};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use core::fmt;

/// A point in time that no window can hold: windows start in the years 1000 to 9999.
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

/// A length of time over which usage is summed, in UTC. A component that is built on this crate may add its own.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The name, as it stands in the settings and in a snapshot's `window`.
    pub name: &'static str,
    /// What it does, in one sentence for an operator.
    pub description: &'static str,
    /// What a snapshot's sort key ends in where windows are kept apart (correction `window-suffix`). No two windows
    /// have the same.
    pub suffix: &'static str,
    /// The first instant of the window that holds a time, on the hour; none where there is no such time.
    pub begins: fn(NaiveDateTime) -> Option<NaiveDateTime>,
}

/// The windows that this crate knows.
pub const WINDOWS: [Window; 3] = [
    Window {
        name: "hourly",
        description: "From minute 00 to minute 59.",
        suffix: "",
        begins: |time| time.date().and_hms_opt(time.hour(), 0, 0),
    },
    Window {
        name: "daily",
        description: "From hour 00 to hour 23.",
        suffix: "#daily",
        begins: |time| time.date().and_hms_opt(0, 0, 0),
    },
    Window {
        name: "monthly",
        description: "From the first to the last day of a month.",
        suffix: "#monthly",
        begins: |time| time.date().with_day(1)?.and_hms_opt(0, 0, 0),
    },
];

impl Window {
    /// The window as a component describes it.
    pub fn term(&self) -> Term {
        Term {
            name: self.name.into(),
            description: self.description.into(),
        }
    }

    /// The first instant of the window that holds `at`.
    ///
    /// # Errors
    /// Years outside 1000 to 9999, whose text would not sort.
    pub(crate) fn start(self, at: EpochMs) -> Result<NaiveDateTime, OutOfRange> {
        let sorts = |time: &NaiveDateTime| (1000..=9999).contains(&time.year());
        let time = utc(at).map(|time| time.naive_utc()).filter(sorts);
        let start = time.and_then(self.begins).filter(sorts);
        start.ok_or(OutOfRange(at))
    }
}

/// A window's start as it stands in keys and in `window_start`: `YYYY-MM-DDTHH:00:00Z`.
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
            for (window, expected) in WINDOWS.into_iter().zip([hourly, daily, monthly]) {
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
            assert_eq!(
                WINDOWS[0].start(EpochMs(at)).unwrap_err().to_string(),
                message
            );
        }
    }

    #[test]
    fn a_further_window_may_begin_before_the_year_but_not_before_the_years_that_sort() {
        let weekly = Window {
            name: "weekly",
            description: "A week.",
            suffix: "#weekly",
            begins: |time| {
                let monday = time.date().week(chrono::Weekday::Mon).first_day();
                monday.and_hms_opt(0, 0, 0)
            },
        };
        // 2025-01-01 is a Wednesday.
        let start = weekly.start(EpochMs(1_735_732_800_000)).unwrap();
        assert_eq!(key(start), "2024-12-30T00:00:00Z");
        // 1000-01-01 is one as well.
        let first = EpochMs(-30_610_224_000_000);
        assert_eq!(weekly.start(first), Err(OutOfRange(first)));
    }
}
