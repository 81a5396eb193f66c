//! A bucket's attributes, and which of them tell its schema generation.

use super::key::{BucketKey, Form};
use crate::contract::{Attribute, AttributeValue};
use alloc::{borrow::Cow, format, string::String};

/// When the bucket was last refilled.
pub const LAST_REFILL: &str = "rf";

/// Into how many shards the bucket is split.
pub const SHARD_COUNT: &str = "shard_count";

/// The name of the limit that counts writes to a bucket item. Only generation C has it; in older ones a user
/// may own a limit of that name.
pub const WRITE_LIMIT: &str = "wcu";

/// Attributes that only generations after C write.
const NEWER: [&str; 3] = ["sched", "rsched", "vu"];

/// Attributes that belong to one of an entity's lives: a copy for another shard must not take them along.
const UNCLONABLE: [&str; 2] = ["pgen", "pinc"];

/// A field of a limit that generation C writes and no rule reads.
const SOFT: &str = "soft";

/// What an attribute of a bucket is.
#[derive(Debug, PartialEq, Eq)]
pub enum BucketAttribute<'a> {
    /// [`LAST_REFILL`].
    LastRefill,
    /// [`SHARD_COUNT`].
    ShardCount,
    /// A field of the limit of this name.
    Limit(Cow<'a, str>, LimitField),
    /// One that only generations after C write.
    Newer,
    /// One that a copy for another shard must not take along.
    Unclonable,
    /// One that no rule reads.
    Other,
}

/// A field of a limit: the end of its attribute `b_{limit}_{field}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitField {
    /// `tk`: tokens now.
    Tokens,
    /// `cp`: capacity.
    Capacity,
    /// `bx`: burst.
    Burst,
    /// `ra`: tokens gained in a period.
    RefillAmount,
    /// `rp`: the period.
    RefillPeriod,
    /// `tc`: total consumed, the counter that usage is read from.
    Consumed,
}

impl LimitField {
    const ALL: [Self; 6] = [
        Self::Tokens,
        Self::Capacity,
        Self::Burst,
        Self::RefillAmount,
        Self::RefillPeriod,
        Self::Consumed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tk",
            Self::Capacity => "cp",
            Self::Burst => "bx",
            Self::RefillAmount => "ra",
            Self::RefillPeriod => "rp",
            Self::Consumed => "tc",
        }
    }

    /// The attribute of this field of a limit.
    pub fn of(self, limit: &str) -> String {
        format!("b_{limit}_{}", self.name())
    }

    /// The limit and the field that an attribute is of.
    pub fn split(attribute: &str) -> Option<(&str, Self)> {
        let (limit, field) = split(attribute)?;
        let known = Self::ALL.into_iter().find(|known| known.name() == field)?;
        Some((limit, known))
    }
}

/// Splits `b_{limit}_{field}` at the last `_`; the limit is not empty.
fn split(attribute: &str) -> Option<(&str, &str)> {
    let (limit, field) = attribute.strip_prefix("b_")?.rsplit_once('_')?;
    (!limit.is_empty()).then_some((limit, field))
}

impl<'a> BucketAttribute<'a> {
    /// What the attribute of this name is.
    pub fn of(name: &Cow<'a, str>) -> Self {
        match name.as_ref() {
            LAST_REFILL => return Self::LastRefill,
            SHARD_COUNT => return Self::ShardCount,
            name if NEWER.contains(&name) => return Self::Newer,
            name if UNCLONABLE.contains(&name) => return Self::Unclonable,
            _ => {}
        }
        let limit = match name {
            Cow::Borrowed(name) => {
                LimitField::split(name).map(|(limit, field)| (Cow::Borrowed(limit), field))
            }
            Cow::Owned(name) => LimitField::split(name)
                .map(|(limit, field)| (Cow::Owned(String::from(limit)), field)),
        };
        match limit {
            Some((limit, field)) => Self::Limit(limit, field),
            None => match split(name) {
                Some((_, field)) if field != SOFT => Self::Newer,
                _ => Self::Other,
            },
        }
    }
}

impl BucketKey<'_> {
    /// Whether this limit counts writes to the bucket, and is not a user's.
    pub fn is_write_limit(&self, limit: &str) -> bool {
        matches!(self.form, Form::Sharded { .. }) && limit == WRITE_LIMIT
    }

    /// The entries that a shard has in the table's indexes.
    pub fn shard_indexes(&self, shard: u32) -> [(&'static str, String); 3] {
        let Self {
            entity, resource, ..
        } = self;
        [
            ("GSI2SK", format!("BUCKET#{entity}#{shard}")),
            ("GSI3SK", format!("BUCKET#{resource}#{shard}")),
            ("GSI4SK", format!("BUCKET#{entity}#{resource}#{shard}")),
        ]
    }
}

/// The decimal text of a stored item's shard count, where it has one.
pub fn stored_shard_count(item: &[Attribute]) -> Option<&str> {
    let stored = item
        .iter()
        .find(|attribute| attribute.name == SHARD_COUNT)?;
    match &stored.value {
        AttributeValue::Number(number) => Some(number),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_told_by_its_name() {
        use BucketAttribute::*;
        let limit = |name: &'static str, field| Limit(Cow::Borrowed(name), field);
        for (name, expected) in [
            ("rf", LastRefill),
            ("shard_count", ShardCount),
            ("b_rpm_tk", limit("rpm", LimitField::Tokens)),
            ("b_a_b_tc", limit("a_b", LimitField::Consumed)),
            ("b_wcu_cp", limit("wcu", LimitField::Capacity)),
            ("b_rpm_soft", Other),
            ("b_rpm_xx", Newer),
            ("b__tk", Other),
            ("b_tk", Other),
            ("sched", Newer),
            ("rsched", Newer),
            ("vu", Newer),
            ("pgen", Unclonable),
            ("pinc", Unclonable),
            ("entity_type", Other),
        ] {
            assert_eq!(BucketAttribute::of(&name.into()), expected, "{name}");
            let owned = Cow::Owned(String::from(name));
            assert_eq!(BucketAttribute::of(&owned), expected, "{name}");
        }
    }

    #[test]
    fn an_attribute_is_built_as_it_is_split() {
        for field in LimitField::ALL {
            let attribute = field.of("a_b");
            assert_eq!(LimitField::split(&attribute), Some(("a_b", field)));
        }
    }
}
