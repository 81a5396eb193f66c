//! The archive: no more events than expired, no larger than they were, under days on which they can lie.

use super::check_records;
use crate::{
    contract::{PutObject, Write},
    limiter::{
        evidence::{Evidence, Subject},
        policy::{Checked, Context, require},
    },
};
use chrono::{DateTime, Datelike, NaiveDate};
use std::ops::RangeInclusive;

/// How many bytes of a line a byte of an image can become: one that is escaped as `\u007f`.
const ESCAPED: usize = 6;
/// What a line has beside what its image has, in bytes: names and a namespace.
const FRAME: usize = 256;

/// The year of a time that is none, and before all in which a record can have been written.
const FIRST_YEAR: i32 = 1970;
/// The year before which no clock is right.
const EARLIEST_CLOCK: i32 = 2012;
/// The last year of a date.
const LAST_YEAR: i32 = 9999;

/// What a plan archives.
#[derive(Default)]
pub(super) struct Archived {
    lines: usize,
    bytes: usize,
}

impl Archived {
    /// Passes if what is archived with this object, and with those before it, has expired.
    pub(super) fn check(
        &mut self,
        write: &Write,
        object: &PutObject,
        context: &Context<'_>,
        evidence: &Evidence<'_>,
    ) -> Checked {
        check_records(write, evidence, |subject| subject == Subject::Audit)?;
        let removals = evidence.removals();
        let lines = object.body.split_inclusive(|byte| *byte == b'\n').count();
        // An object takes an event, however few lines it has.
        self.lines = self.lines.saturating_add(lines.max(1));
        self.bytes = self.bytes.saturating_add(object.body.len());
        let most = ESCAPED
            .saturating_mul(removals.bytes)
            .saturating_add(FRAME.saturating_mul(removals.events));
        require(
            self.lines <= removals.events && self.bytes <= most,
            format_args!(
                "with it {} events of {} bytes are archived; {} of {most} at the most expired",
                self.lines, self.bytes, removals.events
            ),
        )?;
        require(
            write.updates as usize <= lines,
            format_args!(
                "it stands for {} events and has {lines} lines",
                write.updates
            ),
        )?;
        let years = years(context, evidence);
        require(
            day_of(&object.key).is_some_and(|day| years.contains(&day.year())),
            "its key names no day on which an event can lie",
        )
    }
}

/// The years on which an event's day can lie: those of the timestamps, which an offset may move by a day, those in which
/// a record can have been written, and this one.
fn years(context: &Context<'_>, evidence: &Evidence<'_>) -> RangeInclusive<i32> {
    let now = i64::try_from(context.now)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    let this = now.map_or(LAST_YEAR, |now| now.year());
    // A clock that was never set says nothing of when records were written.
    let latest = if this < EARLIEST_CLOCK {
        LAST_YEAR
    } else {
        this + 2
    };
    let year = |year: &u32| i32::try_from(*year).unwrap_or(LAST_YEAR);
    match &evidence.removals().years {
        Some(years) => FIRST_YEAR.min(year(years.start()) - 1)..=latest.max(year(years.end()) + 1),
        None => FIRST_YEAR..=latest,
    }
}

/// The day in an object's key: `audit/year=2024/month=01/day=01/…`.
fn day_of(key: &str) -> Option<NaiveDate> {
    let (year, rest) = key.strip_prefix("audit/year=")?.split_once("/month=")?;
    let (month, rest) = rest.split_once("/day=")?;
    let (day, _) = rest.split_once('/')?;
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}
