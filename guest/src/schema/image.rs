//! An item as a record shows it, as far as some rule reads it.
//!
//! Only what some rule needs is kept, as text; everything else is skipped without allocation.

use super::{
    audit::{self, Audit},
    bucket::{BucketAttribute, LimitField, Schema},
};
use crate::json::{self, Compound, Loose, Text, Typed};
use alloc::{borrow::Cow, boxed::Box, collections::BTreeMap};
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
    /// `vu`.
    pub valid_until: NumberText<'a>,
    /// `sched`.
    pub schedule: Option<Cow<'a, str>>,
    /// `rsched`.
    pub resets: Option<Cow<'a, str>>,
    /// `sched_tz`.
    pub zone: Option<Cow<'a, str>>,
    /// Which schema generation its attributes tell.
    pub schema: Schema,
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
    /// There where it is metered and not enforced; until when, if that is a number.
    pub soft: Option<NumberText<'a>>,
    /// What only generation D has.
    pub timed: Option<Box<Timed<'a>>>,
}

/// What generation D adds to a limit. Few have any of it.
#[derive(Debug, Default)]
pub struct Timed<'a> {
    /// Its own schedule of parameters.
    pub schedule: Option<Cow<'a, str>>,
    /// Its own schedule of resets.
    pub resets: Option<Cow<'a, str>>,
    /// When its current window began.
    pub window_start: NumberText<'a>,
    /// How long a window lasts, in seconds.
    pub window_length: NumberText<'a>,
    /// The start of the window that its tokens reflect.
    pub window_applied: NumberText<'a>,
    /// The counter when its current window was announced here.
    pub window_mark: NumberText<'a>,
    /// For how many shards its grant was sized.
    pub grant_count: NumberText<'a>,
    /// Tokens bought on top of the grant.
    pub top_up: NumberText<'a>,
}

impl<'a> Limit<'a> {
    /// Where the value of a field goes; none for one that is not read.
    fn slot(&mut self, field: LimitField) -> Option<Slot<'_, 'a>> {
        let number = match field {
            LimitField::Tokens => &mut self.tokens,
            LimitField::Capacity => &mut self.capacity,
            LimitField::Burst => &mut self.burst,
            LimitField::RefillAmount => &mut self.refill_amount,
            LimitField::RefillPeriod => &mut self.refill_period,
            LimitField::Consumed => &mut self.consumed,
            LimitField::Soft => self.soft.insert(None),
            LimitField::Schedule => return Some(Slot::Text(&mut self.timed().schedule)),
            LimitField::Resets => return Some(Slot::Text(&mut self.timed().resets)),
            LimitField::WindowStart => &mut self.timed().window_start,
            LimitField::WindowLength => &mut self.timed().window_length,
            LimitField::WindowApplied => &mut self.timed().window_applied,
            LimitField::WindowMark => &mut self.timed().window_mark,
            LimitField::GrantCount => &mut self.timed().grant_count,
            LimitField::TopUp => &mut self.timed().top_up,
            LimitField::OperatorResets => return None,
        };
        Some(Slot::Number(number))
    }

    fn timed(&mut self) -> &mut Timed<'a> {
        self.timed.get_or_insert_default()
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
                _ => image.slot(&name, &mut counters),
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
    /// Where the value of an attribute goes; none for one that is not read. `counters` counts the counters so far.
    fn slot(&mut self, name: &Cow<'a, str>, counters: &mut u32) -> Option<Slot<'_, 'a>> {
        let attribute = BucketAttribute::of(name);
        self.schema = self.schema.max(attribute.schema());
        match attribute {
            BucketAttribute::LastRefill => Some(Slot::Number(&mut self.last_refill)),
            BucketAttribute::ShardCount => Some(Slot::Number(&mut self.shard_count)),
            BucketAttribute::ValidUntil => Some(Slot::Number(&mut self.valid_until)),
            BucketAttribute::Schedule => Some(Slot::Text(&mut self.schedule)),
            BucketAttribute::Resets => Some(Slot::Text(&mut self.resets)),
            BucketAttribute::Zone => Some(Slot::Text(&mut self.zone)),
            BucketAttribute::Limit(limit, field) => {
                let limit = self.limits.entry(limit).or_default();
                if field == LimitField::Consumed && limit.order.is_none() {
                    limit.order = Some(*counters);
                    *counters = counters.saturating_add(1);
                }
                limit.slot(field)
            }
            BucketAttribute::Unclonable => {
                self.is_unclonable = true;
                None
            }
            BucketAttribute::Later | BucketAttribute::Other => None,
        }
    }
}
