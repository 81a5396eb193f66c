//! Shard 0's image, from which new shards are made.

use crate::{
    contract::{Attribute, AttributeValue},
    decimal::integer,
    event::RawRecords,
    json,
    schema::{
        bucket::{LimitField, SHARD_COUNT, WRITE_LIMIT},
        key::BucketKey,
    },
    write,
};
use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde_json::value::RawValue;

/// What a new shard is a copy of.
pub struct Template<'a> {
    image: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// What new shards have in place of shard 0's tokens and counters.
    fresh: Vec<(String, i128)>,
}

impl<'a> Template<'a> {
    /// From the record of a rise to `count` shards: every limit starts full, with its share of the capacity at the
    /// new count, and nothing consumed. A limit without a capacity keeps its tokens; its counter starts at 0 only
    /// where the counter of a new item counts as consumption.
    ///
    /// # Errors
    /// Why no shard can be made from the record.
    pub fn new(
        records: &RawRecords<'a>,
        record: u32,
        count: i128,
        starts_from_zero: bool,
    ) -> Result<Self, String> {
        let image = records
            .new_image(record)
            .ok_or("the image cannot be read")?;
        let mut fresh = Vec::new();
        for (name, value) in &image {
            let Some((limit, field)) = LimitField::split(name) else {
                continue;
            };
            if field == LimitField::Consumed && starts_from_zero {
                fresh.push((name.to_string(), 0));
            }
            if field != LimitField::Capacity {
                continue;
            }
            let capacity = json::number(value)
                .ok_or_else(|| format!("the capacity of limit {limit} is not a number"))?;
            let capacity = integer(&capacity).map_err(|error| error.to_string())?;
            let share = if limit == WRITE_LIMIT {
                capacity
            } else {
                capacity.div_euclid(count)
            };
            fresh.extend([
                (LimitField::Tokens.of(limit), share),
                (LimitField::Consumed.of(limit), 0),
            ]);
        }
        Ok(Self { image, fresh })
    }

    /// A new shard: everything as in shard 0, except for its own keys, full tokens and nothing consumed.
    pub fn shard(&self, bucket: BucketKey<'_>, shard: u32, count: i128) -> Vec<Attribute> {
        let key = bucket.sibling(shard);
        let mut own: BTreeMap<Cow<'_, str>, AttributeValue> = BTreeMap::new();
        let mut set = |name: &str, value| own.insert(Cow::Owned(name.into()), value);
        set("PK", write::text(key.pk));
        set("SK", write::text(key.sk));
        for (name, entry) in bucket.shard_indexes(shard) {
            set(name, write::text(entry));
        }
        set(SHARD_COUNT, write::number(count));
        for (name, value) in &self.fresh {
            set(name, write::number(value));
        }
        let copied = self
            .image
            .iter()
            .filter(|(name, _)| !own.contains_key(*name));
        let mut item: Vec<_> = copied
            .map(|(name, value)| Attribute {
                name: name.to_string(),
                value: AttributeValue::Wire(value.get().into()),
            })
            .collect();
        item.extend(own.into_iter().map(|(name, value)| Attribute {
            name: name.into_owned(),
            value,
        }));
        item
    }
}
