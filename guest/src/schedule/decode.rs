//! Schedules as they are stored: `1h9-17w1-5s500;h0-6c2000`.
//!
//! A version, then entries between semicolons. An entry is a row of tags with values: `m h D M w` are the fields of
//! a cron line, `s c a p` what the entry does to the parameters.

use super::{
    cron::Cron,
    evaluate::{Effect, Resets, Schedule},
    field::Refusal,
    undecodable::{Kind, Modifier, Undecodable},
};
use crate::{decimal::MilliTokens, zone::Zone};
use alloc::{
    collections::BTreeMap,
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};

/// What a text says, or why it cannot be read, shared by all who hold the same text.
pub type Decoded<T> = Result<Rc<T>, Rc<Undecodable>>;

/// Reads each text once: the buckets of a batch often share their schedules.
#[derive(Debug, Default)]
pub struct Decoder<'a> {
    schedules: BTreeMap<(&'a str, &'a str), Decoded<Schedule>>,
    resets: BTreeMap<(&'a str, &'a str), Decoded<Resets>>,
}

impl<'a> Decoder<'a> {
    /// As [`decode`].
    ///
    /// # Errors
    /// As [`decode`].
    pub fn schedule(&mut self, text: &'a str, zone: &'a str) -> Decoded<Schedule> {
        let decode = || decode(text, zone).map(Rc::new).map_err(Rc::new);
        self.schedules
            .entry((text, zone))
            .or_insert_with(decode)
            .clone()
    }

    /// As [`decode_resets`].
    ///
    /// # Errors
    /// As [`decode_resets`].
    pub fn resets(&mut self, text: &'a str, zone: &'a str) -> Decoded<Resets> {
        let decode = || decode_resets(text, zone).map(Rc::new).map_err(Rc::new);
        self.resets
            .entry((text, zone))
            .or_insert_with(decode)
            .clone()
    }
}

/// Reads a schedule of parameters, `sched`. The empty text is a schedule without entries; its zone is not looked at.
///
/// # Errors
/// What is no schedule in a known zone.
pub fn decode(text: &str, zone: &str) -> Result<Schedule, Undecodable> {
    if text.is_empty() {
        return Ok(Schedule::default());
    }
    let entries = entries(text, Kind::Parameters)?.map(|text| {
        let entry = Entry::cut(text, Kind::Parameters)?;
        Ok((entry.cron()?, entry.effect()?))
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let zone = named(zone)?;
    Ok(Schedule { zone, entries })
}

/// Reads a schedule of resets, `rsched`. The empty text is one without entries; its zone is not looked at.
///
/// # Errors
/// What is no schedule of resets in a known zone.
pub fn decode_resets(text: &str, zone: &str) -> Result<Resets, Undecodable> {
    if text.is_empty() {
        return Ok(Resets::default());
    }
    let entries = entries(text, Kind::Resets)?.map(|text| {
        let entry = Entry::cut(text, Kind::Resets)?;
        entry.refuse_modifiers()?;
        entry.cron()
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let zone = named(zone)?;
    Ok(Resets { zone, entries })
}

fn named(zone: &str) -> Result<Zone, Undecodable> {
    Zone::named(zone).ok_or_else(|| Undecodable::UnknownZone { zone: zone.into() })
}

/// Takes the version off and cuts the entries apart.
fn entries(text: &str, kind: Kind) -> Result<core::str::Split<'_, char>, Undecodable> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (version, rest) = text.split_at_checked(end).unwrap_or_default();
    let text = || text.to_string();
    if version.is_empty() {
        return Err(Undecodable::NoVersion { kind, text: text() });
    }
    if rest.is_empty() {
        return Err(Undecodable::NoEntries { kind, text: text() });
    }
    match version.trim_start_matches('0') {
        "1" => Ok(rest.split(';')),
        "" => Err(Undecodable::InvalidVersion {
            kind,
            text: text(),
            version: version.into(),
        }),
        newer => Err(Undecodable::NewerVersion {
            kind,
            text: text(),
            version: newer.into(),
        }),
    }
}

/// Tags in the order of the values of an [`Entry`].
const TAGS: [char; 9] = ['m', 'h', 'D', 'M', 'w', 's', 'c', 'a', 'p'];

/// An entry cut into the values of its tags.
struct Entry<'a> {
    text: &'a str,
    /// In the order of a cron line.
    fields: [Option<&'a str>; 5],
    /// `s`, `c`, `a`, `p`.
    modifiers: [Option<&'a str>; 4],
}

impl<'a> Entry<'a> {
    /// Cuts from left to right into a tag and all that follows up to the next.
    fn cut(text: &'a str, kind: Kind) -> Result<Self, Undecodable> {
        let mut fields = [None; 5];
        let mut modifiers = [None; 4];
        let mut rest = text;
        while let Some(tag) = rest.chars().next() {
            let tags = TAGS.iter().zip(fields.iter_mut().chain(&mut modifiers));
            let place = tags.into_iter().find(|(known, _)| **known == tag);
            let behind = rest.get(tag.len_utf8()..).unwrap_or_default();
            let end = behind.find(TAGS).unwrap_or(behind.len());
            let (Some((_, place)), Some((value, after))) =
                (place.filter(|_| end > 0), behind.split_at_checked(end))
            else {
                let before = text.get(..text.len().saturating_sub(rest.len()));
                return Err(Undecodable::Malformed {
                    kind,
                    entry: text.into(),
                    offset: before.unwrap_or_default().chars().count(),
                });
            };
            if place.replace(value).is_some() {
                let entry = text.into();
                return Err(Undecodable::Duplicate { kind, entry, tag });
            }
            rest = after;
        }
        Ok(Self {
            text,
            fields,
            modifiers,
        })
    }

    /// The cron line that its fields make. White space in a value splits it: `m0 5h D1` is minute 0, hour 5, day 1.
    fn cron(&self) -> Result<Cron, Undecodable> {
        let values = self.fields.map(|value| value.unwrap_or("*"));
        let line = || values.join(" ");
        let parts = values.iter().flat_map(|value| value.split(is_blank));
        let mut parts = parts.filter(|part| !part.is_empty());
        let fields = [(); 5].map(|()| parts.next());
        let (
            [
                Some(minute),
                Some(hour),
                Some(day),
                Some(month),
                Some(weekday),
            ],
            None,
        ) = (fields, parts.next())
        else {
            return Err(Undecodable::FieldCount { line: line() });
        };
        Cron::parse([minute, hour, day, month, weekday]).map_err(|(field, refusal)| match refusal {
            Refusal::Bad => Undecodable::BadField {
                line: line(),
                field,
            },
            Refusal::Extended => Undecodable::ExtendedToken { field },
        })
    }

    /// What it does to the parameters.
    fn effect(&self) -> Result<Effect, Undecodable> {
        let [scale, capacity, amount, period] = self.modifiers;
        if let Some(scale) = scale {
            if capacity.or(amount).or(period).is_some() {
                return Err(Undecodable::NotOneEffect);
            }
            let scale = parameter(Modifier::Scale, scale)?;
            return Ok(Effect::Scale(u32::try_from(scale).unwrap_or(u32::MAX)));
        }
        if capacity.or(amount).or(period).is_none() {
            return Err(Undecodable::NotOneEffect);
        }
        let thousands = |modifier, text: Option<&str>| {
            let thousands = |value: i128| value.saturating_mul(1000);
            text.map(|text| parameter(modifier, text).map(thousands))
                .transpose()
        };
        Ok(Effect::Absolute {
            capacity: thousands(Modifier::Capacity, capacity)?.map(MilliTokens),
            amount: thousands(Modifier::Amount, amount)?.map(MilliTokens),
            period: thousands(Modifier::Period, period)?,
        })
    }

    /// A reset changes no parameters.
    fn refuse_modifiers(&self) -> Result<(), Undecodable> {
        let given = TAGS.iter().skip(self.fields.len()).zip(self.modifiers);
        let mut tags: Vec<char> = given
            .filter_map(|(tag, value)| value.map(|_| *tag))
            .collect();
        if tags.is_empty() {
            return Ok(());
        }
        tags.sort_unstable();
        let entry = self.text.into();
        Err(Undecodable::ModifiersInReset { entry, tags })
    }
}

/// A parameter within its bounds.
fn parameter(modifier: Modifier, text: &str) -> Result<i128, Undecodable> {
    let value = integer(text).ok_or_else(|| Undecodable::NotAnInteger {
        text: String::from(text),
    })?;
    if value < 1 {
        Err(Undecodable::NotPositive { modifier, value })
    } else if value > modifier.maximum() {
        Err(Undecodable::TooLarge { modifier, value })
    } else {
        Ok(value)
    }
}

/// Python's integers in ASCII: blanks around, a sign, single underscores between digits. Unlike in a number of
/// DynamoDB (`decimal.rs`), no exponent and no fraction.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim_matches(is_blank);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value: i128 = 0;
    for group in digits.split('_') {
        if group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        for byte in group.bytes() {
            let digit = i128::from(byte.saturating_sub(b'0'));
            value = value.saturating_mul(10).saturating_add(digit);
        }
    }
    Some(if negative {
        value.saturating_neg()
    } else {
        value
    })
}

/// White space as Python has it.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
