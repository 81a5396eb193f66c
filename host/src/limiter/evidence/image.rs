//! An item as a record shows it, as far as a plan is held against it.

use super::{json::Json, number::integer};
use std::borrow::Cow;

/// Which of a record's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// The item after the change.
    New,
    /// Before it. Of its limits only the counters are of interest.
    Old,
}

/// A number of a limit: `b_{limit}_{field}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Tokens,
    Capacity,
    Burst,
    RefillAmount,
    RefillPeriod,
    Consumed,
}

impl Field {
    fn of(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "tk" => Self::Tokens,
            "cp" => Self::Capacity,
            "bx" => Self::Burst,
            "ra" => Self::RefillAmount,
            "rp" => Self::RefillPeriod,
            "tc" => Self::Consumed,
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
    /// Its JSON.
    pub(super) json: &'e str,
    /// The numbers of its limits, by limit; of a number given twice the last one stands last.
    numbers: Vec<(Cow<'e, str>, Field, Option<i128>)>,
}

/// The numbers of one limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers([Option<i128>; 6]);

impl Numbers {
    pub(super) fn get(&self, field: Field) -> Option<i128> {
        self.0[field as usize]
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
                "shard_count" => {
                    let number = value.typed().number;
                    self.shard_count = number.and_then(|number| integer(&number));
                }
                _ => {
                    let Some((limit, field)) = limit_field(name) else {
                        return;
                    };
                    if which == Which::New || field == Field::Consumed {
                        let number = value.typed().number;
                        let number = number.and_then(|number| integer(&number));
                        self.numbers.push((limit, field, number));
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
                all.0[*field as usize] = *number;
            }
            Some((limit.as_ref(), all))
        })
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

/// Splits `b_{limit}_{field}` at the last `_`; the limit is not empty.
fn limit_field(name: Cow<'_, str>) -> Option<(Cow<'_, str>, Field)> {
    fn split(name: &str) -> Option<(&str, Field)> {
        let (limit, suffix) = name.strip_prefix("b_")?.rsplit_once('_')?;
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
