//! When a record was written: its `ApproximateCreationDateTime`, in any unit.
//!
//! Lambda gives seconds. Records that came another way may have milliseconds or microseconds, as text, and with `ApproximateCreationDateTimePrecision` beside it (rules: "Records").

use crate::decimal::EpochMs;

/// 2012-01-01T00:00:00Z, in milliseconds: before that there was no DynamoDB.
const EARLIEST: f64 = 1_325_376_000_000.0;

/// 9999-12-31T23:59:59.999Z, in milliseconds: the end of the last year that a window can have. Up to there, no number
/// is a time after 2012 in two units.
const LATEST: f64 = 253_402_300_799_999.0;

/// How far the clock that gives the time of processing may be behind, in milliseconds: a year.
const MAX_SKEW: f64 = 366.0 * 86_400_000.0;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// What Lambda delivers.
    Seconds,
    /// `MILLISECOND`.
    Milliseconds,
    /// `MICROSECOND`.
    Microseconds,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Seconds, Self::Milliseconds, Self::Microseconds];

    /// The unit of an `ApproximateCreationDateTimePrecision`.
    pub fn of(precision: &str) -> Option<Self> {
        match precision {
            "SECOND" => Some(Self::Seconds),
            "MILLISECOND" => Some(Self::Milliseconds),
            "MICROSECOND" => Some(Self::Microseconds),
            _ => None,
        }
    }

    fn to_milliseconds(self, number: f64) -> f64 {
        match self {
            Self::Seconds => number * 1000.0,
            Self::Milliseconds => number,
            Self::Microseconds => number / 1000.0,
        }
    }
}

/// The members of a record that say when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Creation<'a> {
    /// The JSON of `ApproximateCreationDateTime`, where there is one.
    pub json: Option<&'a str>,
    /// The unit that the record names.
    pub unit: Option<Unit>,
}

/// When a record was written, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created<'a> {
    /// At this time.
    At(EpochMs),
    /// It does not say.
    Unsaid,
    /// It says something, but not a time at which a record can have been written; the JSON.
    Unclear(&'a str),
}

impl Created<'_> {
    /// The time, where there is one.
    pub fn time(self) -> Option<EpochMs> {
        match self {
            Self::At(time) => Some(time),
            Self::Unsaid | Self::Unclear(_) => None,
        }
    }
}

impl<'a> Creation<'a> {
    /// Reads it at the time of processing `now`, in milliseconds.
    pub fn read(self, now: u64) -> Created<'a> {
        let Some(json) = self.json else {
            return Created::Unsaid;
        };
        let inside = json
            .strip_prefix('"')
            .and_then(|json| json.strip_suffix('"'));
        let Ok(number) = inside.unwrap_or(json).parse::<f64>() else {
            return Created::Unclear(json);
        };
        let now = now as f64;
        // A clock that was never set is no bound.
        let latest = if now < EARLIEST {
            LATEST
        } else {
            LATEST.min(now + MAX_SKEW)
        };
        let named = self.unit.as_slice();
        let units = if named.is_empty() { &Unit::ALL } else { named };
        let times = units.iter().map(|unit| unit.to_milliseconds(number) + 0.5);
        match times
            .into_iter()
            .find(|time| *time >= EARLIEST && *time < latest + 1.0)
        {
            Some(time) => Created::At(EpochMs(time as i128)),
            None => Created::Unclear(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-01T12:01:00Z, in milliseconds.
    const NOW: u64 = 1_704_110_460_000;

    fn read(json: &str, unit: Option<Unit>) -> Created<'_> {
        let json = Some(json);
        Creation { json, unit }.read(NOW)
    }

    #[test]
    fn the_unit_is_read_from_the_size() {
        for (json, milliseconds) in [
            ("1704110455", 1_704_110_455_000),
            ("1704110455.25", 1_704_110_455_250),
            ("1704110455.0005", 1_704_110_455_001),
            ("1.704110455E9", 1_704_110_455_000),
            ("1704110455000", 1_704_110_455_000),
            ("1704110455000000", 1_704_110_455_000),
            ("1704110455000500", 1_704_110_455_001),
            ("\"1704110455\"", 1_704_110_455_000),
            ("\"1704110455123\"", 1_704_110_455_123),
            // Captured years ago, and by a clock that is ahead.
            ("1325376000", 1_325_376_000_000),
            ("1400000000000", 1_400_000_000_000),
            ("1735000000", 1_735_000_000_000),
        ] {
            assert_eq!(
                read(json, None),
                Created::At(EpochMs(milliseconds)),
                "{json}"
            );
        }
    }

    #[test]
    fn a_unit_that_is_named_holds() {
        for (json, unit, milliseconds) in [
            ("1704110455", Unit::Seconds, Some(1_704_110_455_000)),
            ("1704110455000", Unit::Milliseconds, Some(1_704_110_455_000)),
            (
                "\"1704110455000999\"",
                Unit::Microseconds,
                Some(1_704_110_455_001),
            ),
            ("1704110455000", Unit::Seconds, None),
            ("1704110455", Unit::Milliseconds, None),
        ] {
            let expected =
                milliseconds.map_or(Created::Unclear(json), |at| Created::At(EpochMs(at)));
            assert_eq!(read(json, Some(unit)), expected, "{json} {unit:?}");
        }
    }

    #[test]
    fn what_is_no_time_of_a_record_is_unclear() {
        for json in [
            "0",
            "-1",
            "-1704110455",
            "null",
            "true",
            "[]",
            "{}",
            "\"\"",
            "\"now\"",
            "\"NaN\"",
            "\"inf\"",
            "5",
            "1e11",
            "100000000000",
            "300000000000",
            "1e999",
            "1e300",
            "9999999999",
            "253402300800000000",
            "\"2024-01-01T12:00:55Z\"",
        ] {
            assert_eq!(read(json, None), Created::Unclear(json), "{json}");
        }
        assert_eq!(Creation::default().read(NOW), Created::Unsaid);
    }

    #[test]
    fn a_clock_that_is_behind_costs_no_time() {
        let json = Some("1704110455");
        for now in [
            0,
            1,
            NOW - 86_400_000,
            NOW - 300 * 86_400_000,
            NOW + 50 * 366 * 86_400_000,
            u64::MAX,
        ] {
            let created = Creation { json, unit: None }.read(now);
            assert_eq!(created, Created::At(EpochMs(1_704_110_455_000)), "{now}");
        }
        for (json, now) in [
            ("253402300799", 0),
            ("253402300800", 0),
            ("253402300800", u64::MAX),
        ] {
            let created = Creation {
                json: Some(json),
                unit: None,
            }
            .read(now);
            assert_eq!(
                created.time().is_some(),
                json.ends_with("799"),
                "{json} {now}"
            );
        }
    }
}
