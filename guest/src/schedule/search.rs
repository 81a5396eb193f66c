//! The next and the last minute at which a pattern matches, or does not.
//!
//! Within a span of constant offset local time is UTC plus a constant, so that clocks put forward and back need no
//! rule of their own. A search goes from span to span, and in each from month to day to hour to minute; what cannot
//! hold the answer is passed over as one unit.

use super::{
    bit_set::{BitSet, Direction},
    calendar::{Local, Time},
    cron::Cron,
    field::CronField,
};
use crate::zone::Zone;

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// A minute that matches.
    Match,
    /// A minute that does not.
    Gap,
}

impl Cron {
    /// Whether it matches at `minute` in `zone`.
    pub fn matches_at(&self, zone: Zone, minute: i64) -> bool {
        local(zone, minute).is_some_and(|local| self.matches(&local))
    }

    /// The first minute sought from `from` to `last`, both included.
    pub fn next(&self, zone: Zone, sought: Sought, from: i64, last: i64) -> Option<i64> {
        self.find(zone, sought, Direction::Forward, from, last)
    }

    /// The last minute sought from `first` to `to`, both included.
    pub fn last(&self, zone: Zone, sought: Sought, first: i64, to: i64) -> Option<i64> {
        self.find(zone, sought, Direction::Backward, to, first)
    }

    fn find(
        &self,
        zone: Zone,
        sought: Sought,
        direction: Direction,
        from: i64,
        end: i64,
    ) -> Option<i64> {
        let mut at = from;
        while !direction.passes(at, end) {
            let segment = zone.segment(at);
            let (last, beyond) = match direction {
                Direction::Forward => (segment.until.saturating_sub(1).min(end), segment.until),
                Direction::Backward => (segment.from.max(end), segment.from.saturating_sub(1)),
            };
            let local = |minute: i64| minute.saturating_add(segment.offset);
            if let Some(found) = self.find_local(sought, direction, local(at), local(last)) {
                return Some(found.saturating_sub(segment.offset));
            }
            if beyond == at {
                return None;
            }
            at = beyond;
        }
        None
    }

    /// A search in local time.
    fn find_local(&self, sought: Sought, direction: Direction, from: i64, end: i64) -> Option<i64> {
        let mut at = from;
        while !direction.passes(at, end) {
            let local = Local::of(at)?;
            if let Some(found) = self.find_in_month(sought, direction, &local) {
                return (!direction.passes(found, end)).then_some(found);
            }
            at = local.month.beyond(direction);
        }
        None
    }

    /// A search through the rest of a month.
    fn find_in_month(&self, sought: Sought, direction: Direction, from: &Local) -> Option<i64> {
        let month = &from.month;
        let matching = self.days_in(month);
        let candidates = match sought {
            Sought::Match => matching,
            Sought::Gap if self.fills_days() => month.days().without(matching),
            Sought::Gap => month.days(),
        };
        let find_in_day = |day, time| {
            // A day that does not match is one gap.
            let time = if matching.has(day) {
                self.find_in_day(sought, direction, time)?
            } else {
                time
            };
            Some(month.minute_of(day, time))
        };
        if candidates.has(from.day)
            && let Some(found) = find_in_day(from.day, from.time)
        {
            return Some(found);
        }
        let day = candidates.seek(direction.step(from.day)?, direction)?;
        find_in_day(day, Time::edge(direction))
    }

    /// A search through the rest of a day that matches.
    fn find_in_day(&self, sought: Sought, direction: Direction, from: Time) -> Option<Time> {
        let (all_hours, all_minutes) = (CronField::Hour.all(), CronField::Minute.all());
        let candidates = match sought {
            Sought::Match => self.hour,
            Sought::Gap if self.fills_hours() => all_hours.without(self.hour),
            Sought::Gap => all_hours,
        };
        let minutes = |hour| -> BitSet {
            match sought {
                Sought::Match => self.minute,
                Sought::Gap if self.hour.has(hour) => all_minutes.without(self.minute),
                Sought::Gap => all_minutes,
            }
        };
        if candidates.has(from.hour)
            && let Some(minute) = minutes(from.hour).seek(from.minute, direction)
        {
            return Some(Time {
                hour: from.hour,
                minute,
            });
        }
        let hour = candidates.seek(direction.step(from.hour)?, direction)?;
        let minute = minutes(hour).seek(Time::edge(direction).minute, direction)?;
        Some(Time { hour, minute })
    }
}

/// A minute in UTC as local time.
pub fn local(zone: Zone, minute: i64) -> Option<Local> {
    Local::of(minute.saturating_add(zone.segment(minute).offset))
}

/// The first minute of the local hour or day that holds `minute`; `unit` is its length in minutes.
pub fn start_of_unit(zone: Zone, minute: i64, unit: i64) -> i64 {
    let segment = zone.segment(minute);
    let start = |offset: i64| {
        let local = minute.saturating_add(segment.offset);
        local
            .saturating_sub(local.rem_euclid(unit))
            .saturating_sub(offset)
    };
    if start(segment.offset) >= segment.from {
        return start(segment.offset);
    }
    // Clocks were changed since it began: it began under the offset before, or by the change.
    let before = zone.segment(segment.from.saturating_sub(1));
    start(before.offset).min(segment.from)
}
