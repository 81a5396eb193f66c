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

/// The schedule of parameters that holds for all limits without one of their own. Generation D.
pub const SCHEDULE: &str = "sched";

/// The schedule of resets, likewise.
const RESETS: &str = "rsched";

/// The time zone of all schedules of the item.
const ZONE: &str = "sched_tz";

/// Until when clients may go by what the item says of its limits. Generation D.
pub const VALID_UNTIL: &str = "vu";

/// Attributes that belong to one of an entity's lives: a copy for another shard must not take them along.
const UNCLONABLE: [&str; 2] = ["pgen", "pinc"];

/// The value of a limit's schedule that says it has none, whatever the item has.
pub const NO_SCHEDULE: &str = "-";

/// Which schema generation the attributes of a bucket tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schema {
    /// None after C: its key says which.
    #[default]
    ByKey,
    /// Generation D: schedules, windows, quotas.
    D,
    /// A later one, whose rules are not known.
    Later,
}

/// What an attribute of a bucket is.
#[derive(Debug, PartialEq, Eq)]
pub enum BucketAttribute<'a> {
    /// [`LAST_REFILL`].
    LastRefill,
    /// [`SHARD_COUNT`].
    ShardCount,
    /// A field of the limit of this name.
    Limit(Cow<'a, str>, LimitField),
    /// [`SCHEDULE`].
    Schedule,
    /// The item's schedule of resets.
    Resets,
    /// The time zone of its schedules.
    Zone,
    /// [`VALID_UNTIL`].
    ValidUntil,
    /// One that only generations after D write.
    Later,
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
    /// `sched`: its own schedule of parameters.
    Schedule,
    /// `rsched`: its own schedule of resets.
    Resets,
    /// `ws`: when its current window began.
    WindowStart,
    /// `rsa`: how long a window lasts, in seconds.
    WindowLength,
    /// `wa`: the start of the window that its tokens reflect.
    WindowApplied,
    /// `wtc`: the counter when its current window was announced here.
    WindowMark,
    /// `gc`: for how many shards its grant was sized.
    GrantCount,
    /// `tu`: tokens bought on top of the grant.
    TopUp,
    /// `rn`: resets by an operator; no rule reads it.
    OperatorResets,
    /// `soft`: it is metered and not enforced.
    Soft,
}

impl LimitField {
    const ALL: [Self; 16] = [
        Self::Tokens,
        Self::Capacity,
        Self::Burst,
        Self::RefillAmount,
        Self::RefillPeriod,
        Self::Consumed,
        Self::Schedule,
        Self::Resets,
        Self::WindowStart,
        Self::WindowLength,
        Self::WindowApplied,
        Self::WindowMark,
        Self::GrantCount,
        Self::TopUp,
        Self::OperatorResets,
        Self::Soft,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tk",
            Self::Capacity => "cp",
            Self::Burst => "bx",
            Self::RefillAmount => "ra",
            Self::RefillPeriod => "rp",
            Self::Consumed => "tc",
            Self::Schedule => "sched",
            Self::Resets => "rsched",
            Self::WindowStart => "ws",
            Self::WindowLength => "rsa",
            Self::WindowApplied => "wa",
            Self::WindowMark => "wtc",
            Self::GrantCount => "gc",
            Self::TopUp => "tu",
            Self::OperatorResets => "rn",
            Self::Soft => "soft",
        }
    }

    /// The generation that it tells. A soft limit is refilled like any other, so that it tells none.
    fn schema(self) -> Schema {
        match self {
            Self::Tokens
            | Self::Capacity
            | Self::Burst
            | Self::RefillAmount
            | Self::RefillPeriod
            | Self::Consumed
            | Self::Soft => Schema::ByKey,
            Self::Schedule
            | Self::Resets
            | Self::WindowStart
            | Self::WindowLength
            | Self::WindowApplied
            | Self::WindowMark
            | Self::GrantCount
            | Self::TopUp
            | Self::OperatorResets => Schema::D,
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
            SCHEDULE => return Self::Schedule,
            RESETS => return Self::Resets,
            ZONE => return Self::Zone,
            VALID_UNTIL => return Self::ValidUntil,
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
            None if split(name).is_some() => Self::Later,
            None => Self::Other,
        }
    }

    /// The generation that it tells.
    pub fn schema(&self) -> Schema {
        match self {
            Self::LastRefill | Self::ShardCount | Self::Zone | Self::Unclonable | Self::Other => {
                Schema::ByKey
            }
            Self::Limit(_, field) => field.schema(),
            Self::Schedule | Self::Resets | Self::ValidUntil => Schema::D,
            Self::Later => Schema::Later,
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
            ("b_rpm_soft", limit("rpm", LimitField::Soft)),
            ("b_a_sched_rsched", limit("a_sched", LimitField::Resets)),
            ("b_rpm_xx", Later),
            ("b_rpm_af", Later),
            ("b__tk", Other),
            ("b_tk", Other),
            ("sched", Schedule),
            ("rsched", Resets),
            ("sched_tz", Zone),
            ("vu", ValidUntil),
            ("disabled", Other),
            ("bypass", Other),
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
    fn an_attribute_tells_the_generation_whose_rules_it_needs() {
        for (schema, names) in [
            (
                Schema::ByKey,
                "rf shard_count b_x_tk b_x_tc b_x_bx b_x_soft sched_tz pgen pinc bypass disabled",
            ),
            (
                Schema::D,
                "sched rsched vu b_x_sched b_x_rsched b_x_ws b_x_rsa b_x_wa b_x_wtc b_x_gc b_x_tu b_x_rn",
            ),
            (Schema::Later, "b_x_af b_x_mx b_x_"),
        ] {
            for name in names.split(' ') {
                assert_eq!(BucketAttribute::of(&name.into()).schema(), schema, "{name}");
            }
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
