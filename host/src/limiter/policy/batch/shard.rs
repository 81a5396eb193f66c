//! Shards: doublings of buckets of the batch, and what brings their rises to the other shards.

use super::bucket_of;
use crate::{
    contract::{Assignment, AttributeValue, Change, PutItem, Test, UpdateItem, Write},
    limiter::{
        evidence::{Bucket, BucketId, Evidence, WRITE_LIMIT, integer},
        key,
        policy::{Checked, require, shard::number},
    },
};
use serde_json::{Value, value::RawValue};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

/// What a plan does to shards.
pub(super) struct Shards<'c> {
    evidence: &'c Evidence<'c>,
    /// Shard 0 after each of its rises, by bucket.
    images: HashMap<BucketId, Vec<Template<'c>>>,
}

/// Shard 0 after a rise, from which others are made.
struct Template<'c> {
    count: i128,
    attributes: BTreeMap<Cow<'c, str>, &'c RawValue>,
}

/// What an attribute of a new shard is to the one that it is made from. Attributes of newer schema generations that are
/// not copied get their case here.
enum Attribute<'a> {
    /// It follows from the key, or is bounded by itself.
    Own,
    /// Tokens of a limit that has this capacity: its share.
    Tokens {
        capacity: &'a RawValue,
        is_shared: bool,
    },
    /// What a limit has consumed: nothing, or what is copied.
    Consumed,
    /// As it is there.
    Copied,
}

impl<'c> Shards<'c> {
    pub(super) fn new(evidence: &'c Evidence<'c>) -> Self {
        Self {
            evidence,
            images: HashMap::new(),
        }
    }

    /// Passes if the bucket is of the batch, counts its writes, and had the count that is doubled.
    pub(super) fn check_bump(&self, write: &Write, update: &UpdateItem) -> Checked {
        let (_, bucket) = self.bucket(write, &update.key.pk, &update.key.sk)?;
        let has_write_tokens = bucket
            .limits
            .get(WRITE_LIMIT)
            .is_some_and(|limit| limit.capacity.most > 0);
        require(has_write_tokens, "its images show no count of writes")?;
        let mut tested = update
            .conditions
            .iter()
            .filter_map(|condition| match &condition.test {
                Test::Equals(value) if condition.attribute == "shard_count" => number(value),
                _ => None,
            });
        require(
            tested.all(|count| bucket.shard_counts.contains(&count)),
            "none of its images has the shard count that it tests",
        )
    }

    /// Passes if a record of the batch tells of a rise to that count.
    pub(super) fn check_count(&self, write: &Write, update: &UpdateItem) -> Checked {
        let of = key::Bucket::of(&update.key).ok_or("it is not a sharded bucket")?;
        let (_, bucket) = self.bucket(write, &first_shard(&of), &update.key.sk)?;
        let set = update.assignments.iter().find_map(set_count);
        check_rise(bucket, set)
    }

    /// Passes if the shard is made from the batch's shard 0.
    pub(super) fn check_new(&mut self, write: &Write, put: &PutItem) -> Checked {
        let key = put.key().ok_or("the item has no key")?;
        let of = key::Bucket::of(&key).ok_or("it is not a sharded bucket")?;
        let (id, bucket) = self.bucket(write, &first_shard(&of), &key.sk)?;
        let count = put
            .item
            .iter()
            .find(|attribute| attribute.name == "shard_count");
        check_rise(bucket, count.and_then(|count| number(&count.value)))?;
        let templates = self.images.entry(id).or_insert_with(|| {
            let rises = bucket.rises.iter();
            rises
                .filter_map(|rise| Template::of(rise.to, rise.image))
                .collect()
        });
        let mut checked = Err("its shard 0 cannot be copied".to_owned());
        for template in templates.iter() {
            checked = template.check(put);
            if checked.is_ok() {
                break;
            }
        }
        checked
    }

    /// The bucket with that key, if the records that the write accounts for are about it.
    fn bucket(
        &self,
        write: &Write,
        pk: &str,
        sk: &str,
    ) -> Result<(BucketId, &'c Bucket<'c>), String> {
        bucket_of(write, (pk, sk), self.evidence)
    }
}

/// The partition key of the same bucket's shard 0; its sort key is that of every shard.
fn first_shard(of: &key::Bucket<'_>) -> String {
    let namespace = of.namespace.unwrap_or_default();
    format!("{namespace}/BUCKET#{}#{}#0", of.entity, of.resource)
}

fn set_count(assignment: &Assignment) -> Option<i128> {
    match &assignment.change {
        Change::Set(value) if assignment.attribute == "shard_count" => number(value),
        _ => None,
    }
}

fn check_rise(bucket: &Bucket<'_>, count: Option<i128>) -> Checked {
    require(
        bucket.rises.iter().any(|rise| Some(rise.to) == count),
        "no record of the batch tells of a rise to that shard count",
    )
}

impl<'c> Template<'c> {
    fn of(count: i128, image: &'c str) -> Option<Self> {
        let attributes = serde_json::from_str(image).ok()?;
        Some(Self { count, attributes })
    }

    /// Passes if the item is a copy, with tokens and counters of its own.
    fn check(&self, put: &PutItem) -> Checked {
        let mut copied = 0;
        for attribute in &put.item {
            let (name, value) = (attribute.name.as_str(), &attribute.value);
            let original = self.attributes.get(name).copied();
            copied += usize::from(original.is_some());
            let is_same = || original.is_some_and(|original| is_same(value, original));
            let is_right = match self.role(name) {
                Attribute::Own => true,
                Attribute::Tokens {
                    capacity,
                    is_shared,
                } => {
                    let capacity = wire_number(capacity);
                    let share = capacity.map(|capacity| match is_shared {
                        true => capacity.div_euclid(self.count),
                        false => capacity,
                    });
                    number(value)
                        .zip(share)
                        .is_some_and(|(tokens, share)| tokens <= share)
                }
                Attribute::Consumed => number(value) == Some(0) || is_same(),
                Attribute::Copied => is_same(),
            };
            require(
                is_right,
                format_args!("its `{name}` does not follow from shard 0"),
            )?;
        }
        require(
            copied == self.attributes.len(),
            "it lacks an attribute of shard 0",
        )
    }

    fn role(&self, name: &str) -> Attribute<'_> {
        match (name, key::limit_attribute(name)) {
            ("PK" | "SK" | "GSI2SK" | "GSI3SK" | "GSI4SK" | "shard_count", _) => Attribute::Own,
            (_, Some((limit, "tk"))) => {
                match self.attributes.get(format!("b_{limit}_cp").as_str()) {
                    Some(capacity) => Attribute::Tokens {
                        capacity,
                        is_shared: limit != WRITE_LIMIT,
                    },
                    None => Attribute::Copied,
                }
            }
            (_, Some((_, "tc"))) => Attribute::Consumed,
            _ => Attribute::Copied,
        }
    }
}

/// Whether a value is that of the wire.
fn is_same(value: &AttributeValue, wire: &RawValue) -> bool {
    let parsed = |json: &str| serde_json::from_str::<Value>(json).ok();
    match value {
        AttributeValue::Wire(json) => {
            json == wire.get() || (parsed(json).is_some() && parsed(json) == parsed(wire.get()))
        }
        AttributeValue::Text(text) => parsed(wire.get())
            .is_some_and(|wire| wire.get("S").and_then(Value::as_str) == Some(text)),
        AttributeValue::Number(_) => number(value).is_some() && number(value) == wire_number(wire),
    }
}

/// The number in a value as the wire has it, if it is an integer.
fn wire_number(wire: &RawValue) -> Option<i128> {
    let wire: Value = serde_json::from_str(wire.get()).ok()?;
    integer(wire.get("N")?.as_str()?)
}
