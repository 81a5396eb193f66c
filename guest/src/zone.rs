//! Time zones: the offset of local time from UTC, from a table that the build script cuts from the IANA database.
//!
//! The table has the changes of offset since 2000 and the rule that holds after the last of them; before 2000 the
//! offset of 2000-01-01 holds. All times are whole minutes since 1970-01-01T00:00Z, of which zones change only at
//! whole ones.

use chrono::{Datelike, NaiveDate, Weekday};
use core::fmt;

// Written by the build script: `VERSION`, and `NAMES` with the table of each.
include!(concat!(env!("OUT_DIR"), "/zones.rs"));

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// A time zone. The default is UTC.
#[derive(Clone, Copy)]
pub struct Zone(&'static Table);

/// A span of time in which the offset of a zone is constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Local time minus UTC, in minutes.
    pub offset: i64,
    /// The first minute.
    pub from: i64,
    /// The minute after the last.
    pub until: i64,
}

impl Zone {
    /// The zone of this name, as IANA spells it: `Europe/Berlin`, not `europe/berlin`.
    pub fn named(name: &str) -> Option<Self> {
        let at = NAMES.binary_search_by_key(&name, |(name, _)| name);
        let (_, table) = NAMES.get(at.ok()?)?;
        Some(Self(table))
    }

    /// Every name, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The longest span around `minute` in which the offset is constant.
    pub fn segment(self, minute: i64) -> Segment {
        let Table {
            changes,
            offsets,
            rule,
        } = self.0;
        let passed = changes.partition_point(|change| i64::from(*change) <= minute);
        let last = passed.checked_sub(1).and_then(|last| changes.get(last));
        let from = last.map_or(i64::MIN, |change| i64::from(*change));
        match (changes.get(passed), offsets.get(passed)) {
            (Some(until), Some(offset)) => Segment {
                offset: i64::from(*offset),
                from,
                until: i64::from(*until),
            },
            _ => {
                let segment = rule.segment(minute);
                Segment {
                    from: segment.from.max(from),
                    ..segment
                }
            }
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        static UTC: Table = Table {
            changes: &[],
            offsets: &[0],
            rule: Rule {
                standard: 0,
                summer: None,
            },
        };
        Self(&UTC)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES
            .iter()
            .find(|(_, table)| core::ptr::eq(*table, self.0));
        write!(f, "Zone({})", name.map_or("UTC", |(name, _)| name))
    }
}

/// What is known of a zone.
struct Table {
    /// When the offset changes, rising. The last one begins the rule's time.
    changes: &'static [u32],
    /// The offset before the first change, then the one after each.
    offsets: &'static [i16],
    /// The rule after the last change.
    rule: Rule,
}

/// An offset for all of the year, or one for each of its two parts.
struct Rule {
    standard: i16,
    summer: Option<Summer>,
}

/// The part of the year with another offset.
struct Summer {
    offset: i16,
    /// In local standard time.
    start: Yearly,
    /// In local summer time.
    end: Yearly,
}

/// A minute of every year.
struct Yearly {
    month: u8,
    /// The first (1) to the fourth such weekday of the month, or its last (5).
    week: u8,
    weekday: Weekday,
    /// Minutes from that day's midnight; may lie on another day.
    minute: i16,
}

impl Rule {
    fn segment(&self, minute: i64) -> Segment {
        let standard = i64::from(self.standard);
        let mut segment = Segment {
            offset: standard,
            from: i64::MIN,
            until: i64::MAX,
        };
        let year = NaiveDate::from_epoch_days(i32::try_from(minute.div_euclid(DAY)).unwrap_or(0))
            .map_or(1970, |date| date.year());
        let Some(summer) = &self.summer else {
            return segment;
        };
        let offset = i64::from(summer.offset);
        for year in [year.saturating_sub(1), year, year.saturating_add(1)] {
            let changes = [
                (summer.start.minute_of(year, standard), offset),
                (summer.end.minute_of(year, offset), standard),
            ];
            for (change, offset) in changes {
                if change > minute {
                    segment.until = segment.until.min(change);
                } else if change > segment.from {
                    segment.from = change;
                    segment.offset = offset;
                }
            }
        }
        segment
    }
}

impl Yearly {
    /// The minute in UTC, where local time is ahead of it by `offset`.
    fn minute_of(&self, year: i32, offset: i64) -> i64 {
        let (month, weekday) = (u32::from(self.month), self.weekday);
        let day = |week| NaiveDate::from_weekday_of_month_opt(year, month, weekday, week);
        let date = day(self.week)
            .or_else(|| day(self.week.saturating_sub(1)))
            .unwrap_or_default();
        i64::from(date.to_epoch_days())
            .saturating_mul(DAY)
            .saturating_add(i64::from(self.minute))
            .saturating_sub(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    /// The minute of a UTC time.
    fn utc(text: &str) -> i64 {
        let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").unwrap();
        time.and_utc().timestamp() / 60
    }

    #[test]
    fn names_are_exact() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "US/Eastern",
            "EST5EDT",
            "Etc/GMT+12",
        ] {
            assert!(Zone::named(name).is_some(), "{name}");
        }
        for name in [
            "",
            "utc",
            "europe/berlin",
            "America",
            "Foo/Bar",
            "UTC+1",
            "/etc/passwd",
            "../x",
            "posix/Europe/Berlin",
            "Europe/Berlin ",
            "localtime",
        ] {
            assert!(Zone::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_segment_lasts_from_one_change_to_the_next() {
        let summer = Segment {
            offset: 120,
            from: utc("2024-03-31T01:00"),
            until: utc("2024-10-27T01:00"),
        };
        let berlin = zone("Europe/Berlin");
        assert_eq!(berlin.segment(summer.from), summer);
        assert_eq!(berlin.segment(summer.until - 1), summer);
        let winter = berlin.segment(summer.until);
        assert_eq!((winter.offset, winter.from), (60, summer.until));
        assert_eq!(winter.until, utc("2025-03-30T01:00"));
    }

    #[test]
    fn a_zone_without_changes_has_one_segment() {
        for minute in [i64::MIN, 0, utc("2024-01-01T00:00"), i64::MAX] {
            let segment = zone("Asia/Kolkata").segment(minute);
            assert_eq!((segment.offset, segment.until), (330, i64::MAX));
        }
        assert_eq!(Zone::default().segment(0).offset, 0);
    }

    #[test]
    fn summer_in_the_south_spans_the_end_of_the_year() {
        let sydney = zone("Australia/Sydney").segment(utc("2050-01-01T00:00"));
        assert_eq!(sydney.offset, 660);
        assert_eq!(sydney.from, utc("2049-10-02T16:00"));
        assert_eq!(sydney.until, utc("2050-04-02T16:00"));
    }

    #[test]
    fn listed_changes_end_where_the_rule_begins() {
        // Morocco gave up summer time, which Ramadan interrupted, in 2026.
        let casablanca = zone("Africa/Casablanca");
        assert_eq!(casablanca.segment(utc("2024-03-11T00:00")).offset, 0);
        assert_eq!(casablanca.segment(utc("2024-05-01T00:00")).offset, 60);
        let last = casablanca.segment(utc("2100-01-01T00:00"));
        assert_eq!((last.offset, last.until), (0, i64::MAX));
        assert_eq!(last.from, utc("2026-09-20T01:00"));
    }
}
