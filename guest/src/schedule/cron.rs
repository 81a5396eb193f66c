//! One pattern of minutes.

use super::{
    bit_set::BitSet,
    calendar::{DAY, HOUR, Local, Month},
    field::{CronField, Refusal},
};

/// A pattern of minutes of local time, as cron has it. No set is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Minutes of an hour.
    pub minute: BitSet,
    /// Hours of a day.
    pub hour: BitSet,
    day: BitSet,
    month: BitSet,
    weekday: BitSet,
    days: Days,
}

/// How the day of the month and the weekday go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Days {
    /// Both must match.
    Both,
    /// One is enough.
    Either,
}

/// The finest unit of time that a pattern restricts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granularity {
    /// It restricts minutes.
    Minute,
    /// It restricts hours, but no minutes.
    Hour,
    /// It restricts neither: it matches whole days.
    Day,
}

impl Granularity {
    /// Days that a search for a change of such a pattern spans.
    pub fn horizon_days(self) -> i64 {
        match self {
            Self::Minute => 7,
            Self::Hour => 31,
            Self::Day => 366,
        }
    }

    /// Minutes of the unit.
    pub fn unit(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

impl Cron {
    /// Reads the five fields of a line: minute, hour, day of month, month, day of week.
    pub fn parse(
        [minute, hour, day, month, weekday]: [&str; 5],
    ) -> Result<Self, (CronField, Refusal)> {
        let parse = |field: CronField, text| field.parse(text).map_err(|refusal| (field, refusal));
        let cron = Self {
            minute: parse(CronField::Minute, minute)?,
            hour: parse(CronField::Hour, hour)?,
            day: parse(CronField::DayOfMonth, day)?,
            month: parse(CronField::Month, month)?,
            weekday: parse(CronField::DayOfWeek, weekday)?,
            // The text decides, not what it means: `1-31` is no star.
            days: if day.starts_with('*') || weekday.starts_with('*') {
                Days::Both
            } else {
                Days::Either
            },
        };
        if cron.can_match() {
            Ok(cron)
        } else {
            Err((CronField::DayOfMonth, Refusal::Bad))
        }
    }

    /// Whether one of its months has its first day: not `D30M2`.
    fn can_match(&self) -> bool {
        let longest = self.month.members().map(longest).max().unwrap_or(0);
        self.days == Days::Either || self.day.least().is_some_and(|day| day <= longest)
    }

    /// Whether it matches this minute.
    pub fn matches(&self, local: &Local) -> bool {
        self.minute.has(local.time.minute)
            && self.hour.has(local.time.hour)
            && self.days_in(&local.month).has(local.day)
    }

    /// The days of a month with minutes that match.
    pub fn days_in(&self, month: &Month) -> BitSet {
        if !self.month.has(month.number) {
            return BitSet::default();
        }
        let weekdays = month.days_on(self.weekday);
        match self.days {
            Days::Both => self.day.and(weekdays),
            Days::Either => self.day.or(weekdays).and(month.days()),
        }
    }

    /// Whether it matches all minutes of each hour it matches.
    pub fn fills_hours(&self) -> bool {
        self.minute == CronField::Minute.all()
    }

    /// Whether it matches all minutes of each day it matches.
    pub fn fills_days(&self) -> bool {
        self.fills_hours() && self.hour == CronField::Hour.all()
    }

    /// The finest unit that it restricts.
    pub fn granularity(&self) -> Granularity {
        if !self.fills_hours() {
            Granularity::Minute
        } else if !self.fills_days() {
            Granularity::Hour
        } else {
            Granularity::Day
        }
    }

    /// Days that a search for its edges spans: its cycle, at least what its granularity spans. Cycles of a week and
    /// less are within every span.
    pub fn cycle_days(&self) -> i64 {
        let cycle = if self.month != CronField::Month.all() {
            366
        } else if self.day != CronField::DayOfMonth.all() {
            31
        } else {
            0
        };
        self.granularity().horizon_days().max(cycle)
    }
}

/// Days of a month in a leap year.
fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    fn cron(line: &str) -> Result<Cron, (CronField, Refusal)> {
        let mut fields = line.split(' ');
        Cron::parse([(); 5].map(|()| fields.next().unwrap()))
    }

    fn local(date: &str) -> Local {
        let date: NaiveDate = date.parse().unwrap();
        Local::of(i64::from(date.to_epoch_days()) * DAY).unwrap()
    }

    #[test]
    fn days_are_joined_by_either_unless_one_begins_with_a_star() {
        // Monday the 13th, Friday the 17th, Friday the 24th.
        for (line, thirteenth, friday, friday_after) in [
            ("* * 13 * 5", true, true, true),
            ("* * */2 * 5", false, true, false),
            ("* * 1-31 * 5", true, true, true),
            ("* * 13 * *", true, false, false),
            ("* * * * 5", false, true, true),
            ("* * 13 * */5", false, false, false),
        ] {
            let cron = cron(line).unwrap();
            let matches = |date| cron.matches(&local(date));
            assert_eq!(matches("2024-05-13"), thirteenth, "{line}");
            assert_eq!(matches("2024-05-17"), friday, "{line}");
            assert_eq!(matches("2024-05-24"), friday_after, "{line}");
        }
    }

    #[test]
    fn dates_that_no_year_has_are_refused() {
        let refused = Err((CronField::DayOfMonth, Refusal::Bad));
        for line in ["* * 30 2 *", "* * 31 2,4 *", "* * 30,31 2 */2"] {
            assert_eq!(cron(line), refused, "{line}");
        }
        for line in ["* * 29 2 *", "* * 31 2 1", "* * 29,31 2 *", "* * 31 2,3 *"] {
            assert!(cron(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn spans_follow_the_finest_unit_and_the_longest_cycle() {
        use Granularity::*;
        for (line, granularity, days) in [
            ("0 0 * * *", Minute, 7),
            ("0 0 * * 1", Minute, 7),
            ("0 0 1 * *", Minute, 31),
            ("0 0 1 1 *", Minute, 366),
            ("* 9 * * *", Hour, 31),
            ("* 9 * 2 *", Hour, 366),
            ("0-59 0-23 1 * *", Day, 366),
            ("* * * * *", Day, 366),
        ] {
            let cron = cron(line).unwrap();
            assert_eq!(
                (cron.granularity(), cron.cycle_days()),
                (granularity, days),
                "{line}"
            );
        }
    }
}
