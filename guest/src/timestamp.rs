//! ISO 8601 timestamps of audit events, in every form that the aggregator before Weir accepts.
//!
//! A date (`2024-01-02`, `20240102`, `2024-W01-2`, `2024W012`), then optionally one character of any kind and
//! a time (`10`, `10:30`, `10:30:05.25`, basic form likewise), then optionally `Z` or an offset. chrono's own
//! parsers take RFC 3339, which is a part of these forms (rules: "Archive").

use chrono::{Datelike, NaiveDate, TimeDelta, Weekday};

/// The day of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// As written, whatever the offset.
    pub written: NaiveDate,
    /// In UTC. Without an offset, as written.
    pub utc: NaiveDate,
}

/// The day of a timestamp; none if the text is not one.
pub fn days(text: &str) -> Option<Days> {
    let (written, rest) = date(text)?;
    let Some(separator) = rest.chars().next() else {
        return Some(Days {
            written,
            utc: written,
        });
    };
    let rest = rest.get(separator.len_utf8()..)?;
    let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at_checked(at)?;
    let clock = seconds(clock)?;
    let offset = match offset.chars().next() {
        None => 0,
        Some('Z') if offset.len() == 1 => 0,
        Some('+') => seconds(offset.get(1..)?)?,
        Some('-') => seconds(offset.get(1..)?)?.checked_neg()?,
        Some(_) => return None,
    };
    let utc = written
        .and_hms_opt(0, 0, 0)?
        .checked_add_signed(TimeDelta::seconds(clock.checked_sub(offset)?))?;
    Some(Days {
        written,
        utc: utc.date(),
    })
}

/// Reads a date off the front.
fn date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = digits(text, 4)?;
    let year = i32::try_from(year).ok().filter(|year| *year >= 1)?;
    let (dashed, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if let Some(rest) = rest.strip_prefix('W') {
        let (week, rest) = digits(rest, 2)?;
        let (day, rest) = match rest.strip_prefix('-') {
            Some(behind) if dashed => digits(behind, 1)?,
            None if !dashed && rest.starts_with(|c: char| c.is_ascii_digit()) => digits(rest, 1)?,
            _ => (1, rest),
        };
        let day = Weekday::try_from(u8::try_from(day.checked_sub(1)?).ok()?).ok()?;
        return Some((NaiveDate::from_isoywd_opt(year, week, day)?, rest));
    }
    let (month, rest) = digits(rest, 2)?;
    let rest = if dashed {
        rest.strip_prefix('-')?
    } else {
        rest
    };
    let (day, rest) = digits(rest, 2)?;
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    (date.year() <= 9999).then_some((date, rest))
}

/// A time of day, or an offset, in seconds; a fraction of a second is checked and dropped.
fn seconds(text: &str) -> Option<i64> {
    let (hour, rest) = digits(text, 2)?;
    let colon = rest.starts_with(':');
    let part = |rest| -> Option<(u32, &str)> {
        match rest {
            "" => Some((0, "")),
            _ if colon => digits(str::strip_prefix(rest, ':')?, 2),
            _ => digits(rest, 2),
        }
    };
    let (minute, rest) = part(rest)?;
    let (second, rest) = part(rest)?;
    let fraction = rest.strip_prefix(['.', ',']).map_or(rest.is_empty(), |f| {
        !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit())
    });
    let total = i64::from(hour)
        .checked_mul(3600)?
        .checked_add(i64::from(minute).checked_mul(60)?)?
        .checked_add(i64::from(second))?;
    (fraction && hour < 24 && minute < 60 && second < 60).then_some(total)
}

/// Reads `count` digits off the front.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (head, rest) = text.split_at_checked(count)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn written_and_utc(text: &str) -> Option<(String, String)> {
        days(text).map(|days| (days.written.to_string(), days.utc.to_string()))
    }

    #[test]
    fn every_accepted_form_gives_its_day() {
        for (text, written, utc) in [
            ("2024-01-02T00:00:05Z", "2024-01-02", "2024-01-02"),
            ("2024-01-02", "2024-01-02", "2024-01-02"),
            ("20240102", "2024-01-02", "2024-01-02"),
            ("20240102T101010", "2024-01-02", "2024-01-02"),
            ("2024-W01-2", "2024-01-02", "2024-01-02"),
            ("2024W012", "2024-01-02", "2024-01-02"),
            ("2024-W01", "2024-01-01", "2024-01-01"),
            ("2024-01-02 10", "2024-01-02", "2024-01-02"),
            ("2024-01-02T10:30", "2024-01-02", "2024-01-02"),
            ("2024-01-02T10:30:05.123456789Z", "2024-01-02", "2024-01-02"),
            ("2024-01-02T10:30:05,25", "2024-01-02", "2024-01-02"),
            ("2024-01-02T23:30:00-05:00", "2024-01-02", "2024-01-03"),
            ("2024-01-01T00:30:00+01:00", "2024-01-01", "2023-12-31"),
            ("2024-01-01T00:30:00+0100", "2024-01-01", "2023-12-31"),
            ("2024-01-01é00", "2024-01-01", "2024-01-01"),
        ] {
            assert_eq!(
                written_and_utc(text),
                Some((written.into(), utc.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_timestamp_gives_none() {
        for text in [
            "",
            "yesterday",
            "2024",
            "2024-1-2",
            "2024-13-01",
            "2024-02-30",
            "0000-01-01",
            "2024-01-02T",
            "2024-01-02T24:00",
            "2024-01-02T10:61",
            "2024-01-02T10:30:05.",
            "2024-01-02T10:30:05Zx",
            "2024-W60-1",
            "2024-W01-8",
            "é024-01-01",
            "1704110460",
        ] {
            assert_eq!(days(text), None, "{text}");
        }
    }
}
