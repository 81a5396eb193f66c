//! Months, days, hours and minutes of local time.

use super::bit_set::{BitSet, Direction};
use chrono::{Datelike, NaiveDate};

/// Minutes of an hour.
pub const HOUR: i64 = 60;
/// Minutes of a day.
pub const DAY: i64 = 24 * HOUR;

/// A month of one year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// January is 1.
    pub number: u32,
    /// Its first minute, since 1970-01-01T00:00.
    start: i64,
    /// Days.
    length: u8,
    /// How many days its first day comes after a Monday.
    after_monday: u32,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// From 0 to 23.
    pub hour: u32,
    /// From 0 to 59.
    pub minute: u32,
}

/// A minute of local time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The month.
    pub month: Month,
    /// The day of the month, from 1 on.
    pub day: u32,
    /// The time of day.
    pub time: Time,
}

impl Month {
    /// Its days.
    pub fn days(&self) -> BitSet {
        BitSet::range(1, u32::from(self.length))
    }

    /// Its days that are one of these weekdays, where Monday is 1.
    pub fn days_on(&self, weekdays: BitSet) -> BitSet {
        /// Repeats seven bits five times.
        const WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
        // Bit 0 is the first day's weekday.
        let twice = weekdays.bits() | weekdays.bits().wrapping_shl(7);
        let week = twice.wrapping_shr(self.after_monday.saturating_add(1)) & 0x7f;
        BitSet::from_bits(week.wrapping_mul(WEEKS).wrapping_shl(1)).and(self.days())
    }

    /// A minute of it, since 1970-01-01T00:00.
    pub fn minute_of(&self, day: u32, time: Time) -> i64 {
        let days = i64::from(day.saturating_sub(1)).saturating_mul(DAY);
        let hours = i64::from(time.hour).saturating_mul(HOUR);
        self.start
            .saturating_add(days)
            .saturating_add(hours)
            .saturating_add(i64::from(time.minute))
    }

    /// The first minute behind it.
    pub fn beyond(&self, direction: Direction) -> i64 {
        match direction {
            Direction::Forward => self
                .start
                .saturating_add(i64::from(self.length).saturating_mul(DAY)),
            Direction::Backward => self.start.saturating_sub(1),
        }
    }
}

impl Time {
    /// Where a search through a day begins.
    pub fn edge(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self { hour: 0, minute: 0 },
            Direction::Backward => Self {
                hour: 23,
                minute: 59,
            },
        }
    }
}

impl Local {
    /// Takes a minute since 1970-01-01T00:00 apart. None where no calendar reaches.
    pub fn of(minute: i64) -> Option<Self> {
        let date = i32::try_from(minute.div_euclid(DAY)).ok()?;
        let date = NaiveDate::from_epoch_days(date)?;
        let first = date.with_day(1)?;
        let time = u32::try_from(minute.rem_euclid(DAY)).ok()?;
        Some(Self {
            month: Month {
                number: date.month(),
                start: i64::from(first.to_epoch_days()).saturating_mul(DAY),
                length: date.num_days_in_month(),
                after_monday: first.weekday().num_days_from_monday(),
            },
            day: date.day(),
            time: Time {
                hour: time / 60,
                minute: time % 60,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_minute_is_taken_apart_and_put_together() {
        for minute in [0, -1, 28_401_120, 28_487_519, -40_000_000, 40_000_000] {
            let local = Local::of(minute).unwrap();
            assert_eq!(local.month.minute_of(local.day, local.time), minute);
            let date = NaiveDate::from_epoch_days(minute.div_euclid(DAY) as i32).unwrap();
            assert_eq!((local.month.number, local.day), (date.month(), date.day()));
        }
        assert_eq!(Local::of(i64::MAX), None);
    }

    #[test]
    fn weekdays_are_those_of_the_calendar() {
        for day in (0..30_000).step_by(25) {
            let date = NaiveDate::from_epoch_days(day).unwrap();
            let month = Local::of(i64::from(day) * DAY).unwrap().month;
            for weekdays in [
                BitSet::range(1, 5),
                BitSet::range(7, 7),
                BitSet::range(3, 3),
            ] {
                let has = |date: &NaiveDate| weekdays.has(date.weekday().number_from_monday());
                let expected: Vec<u32> = date
                    .with_day(1)
                    .unwrap()
                    .iter_days()
                    .take_while(|other| other.month() == date.month())
                    .filter(has)
                    .map(|date| date.day())
                    .collect();
                let found: Vec<u32> = month.days_on(weekdays).members().collect();
                assert_eq!(found, expected, "{date}");
            }
        }
    }
}
