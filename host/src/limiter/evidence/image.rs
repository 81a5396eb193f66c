//! An item as a record shows it, as far as a plan is held against it.

use super::{json::Json, number::integer, schedule::Effects};
use crate::limiter::key::limit_attribute;
use std::borrow::Cow;

/// Which of a record's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The item after the change.
    New,
    /// Before it. Of its limits only the counters are of interest.
    Old,
}

/// An attribute of a limit: `b_{limit}_{field}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Tokens,
    Capacity,
    Burst,
    RefillAmount,
    RefillPeriod,
    Consumed,
    WindowStart,
    WindowLength,
    WindowMark,
    GrantCount,
    TopUp,
    /// Whatever its value is.
    Soft,
    /// A text.
    Schedule,
    /// A text.
    Resets,
}

/// How many of these are numbers.
const NUMBERS: usize = 12;

impl Field {
    fn of(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "tk" => Self::Tokens,
            "cp" => Self::Capacity,
            "bx" => Self::Burst,
            "ra" => Self::RefillAmount,
            "rp" => Self::RefillPeriod,
            "tc" => Self::Consumed,
            "ws" => Self::WindowStart,
            "rsa" => Self::WindowLength,
            "wtc" => Self::WindowMark,
            "gc" => Self::GrantCount,
            "tu" => Self::TopUp,
            "soft" => Self::Soft,
            "sched" => Self::Schedule,
            "rsched" => Self::Resets,
            _ => return None,
        })
    }
}

/// An image.
#[derive(Debug, Default)]
pub(super) struct Image<'e> {
    /// The record has it, and it is an object.
    pub(super) is_there: bool,
    pub(super) pk: Option<Cow<'e, str>>,
    pub(super) sk: Option<Cow<'e, str>>,
    pub(super) entity_id: Option<Cow<'e, str>>,
    pub(super) timestamp: Option<Cow<'e, str>>,
    pub(super) shard_count: Option<i128>,
    pub(super) valid_until: Option<i128>,
    schedule: Option<Cow<'e, str>>,
    resets: Option<Cow<'e, str>>,
    /// Its JSON.
    pub(super) json: &'e str,
    /// The numbers of its limits, by limit; of a number given twice the last one stands last.
    numbers: Vec<(Cow<'e, str>, Field, Option<i128>)>,
    /// The schedules of its limits.
    texts: Vec<(Cow<'e, str>, Field, Option<Cow<'e, str>>)>,
}

/// The schedule by which a limit does not follow that of its item.
const NO_SCHEDULE: &str = "-";

/// The numbers of one limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers([Option<i128>; NUMBERS]);

impl Numbers {
    pub(super) fn get(&self, field: Field) -> Option<i128> {
        self.0.get(field as usize).copied().flatten()
    }
}

impl<'e> Image<'e> {
    /// Forgets what it was.
    pub(super) fn clear(&mut self) {
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        *self = Self {
            numbers,
            ..Self::default()
        };
    }

    /// Reads it anew.
    pub(super) fn read(&mut self, json: &mut Json<'e>, which: Which) {
        self.clear();
        let start = json.at();
        self.is_there = json.members(|name, value| {
            match name.as_ref() {
                "PK" => self.pk = value.typed().text,
                "SK" => self.sk = value.typed().text,
                "entity_id" => self.entity_id = value.typed().text,
                "timestamp" => self.timestamp = value.typed().text,
                "shard_count" => self.shard_count = number(value),
                "vu" => self.valid_until = number(value),
                "sched" => self.schedule = value.typed().text,
                "rsched" => self.resets = value.typed().text,
                _ => {
                    let Some((limit, field)) = limit_field(name) else {
                        return;
                    };
                    match field {
                        Field::Consumed => self.numbers.push((limit, field, number(value))),
                        _ if which == Which::Old => {}
                        Field::Soft => self.numbers.push((limit, field, Some(1))),
                        Field::Schedule | Field::Resets => {
                            self.texts.push((limit, field, value.typed().text));
                        }
                        _ => self.numbers.push((limit, field, number(value))),
                    }
                }
            };
        });
        self.json = json.since(start);
        self.numbers
            .sort_by(|(one, ..), (other, ..)| one.cmp(other));
    }

    /// Its limits with their numbers.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&str, Numbers)> {
        let limits = self.numbers.chunk_by(|(one, ..), (next, ..)| one == next);
        limits.filter_map(|numbers| {
            let (limit, ..) = numbers.first()?;
            let mut all = Numbers::default();
            for (_, field, number) in numbers {
                if let Some(place) = all.0.get_mut(*field as usize) {
                    *place = *number;
                }
            }
            Some((limit.as_ref(), all))
        })
    }

    /// What its schedule, or its item's, can make of a limit.
    pub(super) fn effects(&self, limit: &str) -> Effects {
        let schedule = self.text(limit, Field::Schedule, self.schedule.as_deref());
        schedule.map(Effects::of).unwrap_or_default()
    }

    /// Whether a limit is restored at certain times.
    pub(super) fn has_resets(&self, limit: &str) -> bool {
        let resets = self.text(limit, Field::Resets, self.resets.as_deref());
        resets.is_some()
    }

    /// A schedule of a limit's own, or else its item's; none where that is empty.
    fn text<'i>(&'i self, limit: &str, of: Field, items: Option<&'i str>) -> Option<&'i str> {
        let mut texts = self.texts.iter().rev();
        let own = texts.find(|(name, field, _)| *field == of && name.as_ref() == limit);
        let own = own.and_then(|(.., text)| text.as_deref());
        match own.filter(|text| !text.is_empty()) {
            Some(NO_SCHEDULE) => None,
            Some(own) => Some(own),
            None => items.filter(|text| !text.is_empty()),
        }
    }

    /// What of a limit was consumed, if the image says; of an old image, which has nothing else.
    pub(super) fn consumed(&self, limit: &str) -> Option<i128> {
        let end = self
            .numbers
            .partition_point(|(name, ..)| name.as_ref() <= limit);
        let (name, _, number) = self.numbers.get(..end)?.last()?;
        number.filter(|_| name.as_ref() == limit)
    }
}

/// The integer in a typed value.
fn number(value: &mut Json<'_>) -> Option<i128> {
    let number = value.typed().number?;
    integer(&number)
}

/// Splits `b_{limit}_{field}` at the last `_`; the limit is not empty.
fn limit_field(name: Cow<'_, str>) -> Option<(Cow<'_, str>, Field)> {
    fn split(name: &str) -> Option<(&str, Field)> {
        let (limit, suffix) = limit_attribute(name)?;
        let field = Field::of(suffix)?;
        (!limit.is_empty()).then_some((limit, field))
    }
    match name {
        Cow::Borrowed(name) => split(name).map(|(limit, field)| (Cow::Borrowed(limit), field)),
        Cow::Owned(name) => {
            split(&name).map(|(limit, field)| (Cow::Owned(limit.to_owned()), field))
        }
    }
}
