//! An item as a record shows it, as far as some rule reads it.
//!
//! Only what some rule needs is kept, as text; everything else is skipped without allocation.

use super::{
    audit::{self, Audit},
    bucket::{BucketAttribute, LimitField},
};
use crate::json::{self, Compound, Loose, Text, Typed};
use alloc::{borrow::Cow, collections::BTreeMap};
use serde::de::{IgnoredAny, MapAccess};

/// A number's decimal text, not yet parsed.
pub type NumberText<'a> = Option<Cow<'a, str>>;

/// An item.
#[derive(Debug, Default)]
pub struct Image<'a> {
    /// `PK`.
    pub pk: Option<Cow<'a, str>>,
    /// `SK`.
    pub sk: Option<Cow<'a, str>>,
    /// `entity_id`.
    pub entity_id: Option<Cow<'a, str>>,
    /// `rf`.
    pub last_refill: NumberText<'a>,
    /// `shard_count`.
    pub shard_count: NumberText<'a>,
    /// The limits, by name.
    pub limits: BTreeMap<Cow<'a, str>, Limit<'a>>,
    /// It has an attribute that only schema generations after C write.
    pub is_newer: bool,
    /// It has an attribute that a copy for another shard must not take along.
    pub is_unclonable: bool,
    /// What an audit event is exported with.
    pub audit: Audit<'a>,
    /// What is not of the shape that an item must have, if anything.
    pub malformed: Option<&'static str>,
}

/// One limit of a bucket.
#[derive(Debug, Default)]
pub struct Limit<'a> {
    /// Where its counter stands among the image's counters: limits are handled in that order.
    pub order: Option<u32>,
    /// Tokens now.
    pub tokens: NumberText<'a>,
    /// Capacity.
    pub capacity: NumberText<'a>,
    /// Burst.
    pub burst: NumberText<'a>,
    /// Tokens gained in a period.
    pub refill_amount: NumberText<'a>,
    /// The period.
    pub refill_period: NumberText<'a>,
    /// Total consumed.
    pub consumed: NumberText<'a>,
}

impl<'a> Limit<'a> {
    fn slot(&mut self, field: LimitField) -> &mut NumberText<'a> {
        match field {
            LimitField::Tokens => &mut self.tokens,
            LimitField::Capacity => &mut self.capacity,
            LimitField::Burst => &mut self.burst,
            LimitField::RefillAmount => &mut self.refill_amount,
            LimitField::RefillPeriod => &mut self.refill_period,
            LimitField::Consumed => &mut self.consumed,
        }
    }
}

const NOT_TYPED: &str = "an attribute is not a typed value";

impl<'a> Compound<'a> for Image<'a> {
    fn from_members<A: MapAccess<'a>>(mut members: A) -> Result<Option<Self>, A::Error> {
        let mut image = Self::default();
        let mut counters: u32 = 0;
        while let Some(Text(name)) = members.next_key()? {
            if let Some(slot) = image.audit.slot(&name) {
                let raw = members.next_value()?;
                *slot = Some(raw);
                if name == audit::ENTITY {
                    image.entity_id = json::string(raw);
                }
                if !raw.get().starts_with('{') {
                    image.malformed = Some(NOT_TYPED);
                }
                continue;
            }
            let slot = match name.as_ref() {
                "PK" => Some(Slot::Text(&mut image.pk)),
                "SK" => Some(Slot::Text(&mut image.sk)),
                _ => image.number(&name, &mut counters).map(Slot::Number),
            };
            let Some(slot) = slot else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            match (members.next_value()?, slot) {
                (Loose::Compound(Typed { string, .. }), Slot::Text(slot)) => *slot = string,
                (Loose::Compound(Typed { number, .. }), Slot::Number(slot)) => *slot = number,
                _ => image.malformed = Some(NOT_TYPED),
            }
        }
        Ok(Some(image))
    }
}

/// Where the value of an attribute goes, and of which type it must be.
enum Slot<'i, 'a> {
    Text(&'i mut Option<Cow<'a, str>>),
    Number(&'i mut NumberText<'a>),
}

impl<'a> Image<'a> {
    /// Where the number of an attribute goes; none for one that is not read. `counters` counts the counters so far.
    fn number(&mut self, name: &Cow<'a, str>, counters: &mut u32) -> Option<&mut NumberText<'a>> {
        match BucketAttribute::of(name) {
            BucketAttribute::LastRefill => Some(&mut self.last_refill),
            BucketAttribute::ShardCount => Some(&mut self.shard_count),
            BucketAttribute::Limit(limit, field) => {
                let limit = self.limits.entry(limit).or_default();
                if field == LimitField::Consumed && limit.order.is_none() {
                    limit.order = Some(*counters);
                    *counters = counters.saturating_add(1);
                }
                Some(limit.slot(field))
            }
            BucketAttribute::Newer => {
                self.is_newer = true;
                None
            }
            BucketAttribute::Unclonable => {
                self.is_unclonable = true;
                None
            }
            BucketAttribute::Other => None,
        }
    }
}
