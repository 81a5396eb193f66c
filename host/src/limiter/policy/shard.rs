//! Shards: how many a bucket has, and new ones.

use super::{
    Checked, Context, Policy, extent,
    number::integer,
    require,
    update::{self, check_conditions, check_name, text_of},
    usage::KEYS,
};
use crate::{
    contract::{Assignment, AttributeValue, Change, Condition, PutItem, Test, UpdateItem},
    limiter::key::{Bucket, Shard, consists_of},
};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

/// Attributes of an item.
pub const MOST_ATTRIBUTES: usize = 1_000;
/// Size of an item's names and values, in bytes: DynamoDB's own bound.
pub const LARGEST_ITEM: usize = 400 * 1024;
/// Shards that a bucket can be brought to, unless the operator allows more.
pub(super) const MOST_SHARDS: u32 = 1024;

/// Shards that clients split a bucket into.
const CLIENTS_MOST_SHARDS: i128 = 32;

/// The new shard count, where the update sets that and nothing else.
fn new_count(write: &UpdateItem) -> Result<i128, String> {
    update::check(write)?;
    let [
        Assignment {
            attribute,
            change: Change::Set(AttributeValue::Number(count)),
        },
    ] = write.assignments.as_slice()
    else {
        return Err("it changes more than shard_count".into());
    };
    require(
        attribute == "shard_count",
        "it changes more than shard_count",
    )?;
    integer(count).ok_or_else(|| "its shard_count is no integer".into())
}

/// The number in a value, if it is an integer.
pub(super) fn number(value: &AttributeValue) -> Option<i128> {
    match value {
        AttributeValue::Number(number) => integer(number),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    }
}

/// A doubling of shard 0's count.
pub(super) fn check_bump(write: &UpdateItem, context: &Context<'_>) -> Checked {
    let bucket = Bucket::of(&write.key).and_then(|bucket| bucket.shard);
    let shard = bucket.ok_or("it is not a sharded bucket")?;
    let count = new_count(write)?;
    require(shard.number == 0, "it is not the bucket's shard 0")?;
    let tested = write
        .conditions
        .iter()
        .filter(|condition| condition.attribute == "shard_count")
        .find_map(|condition| match &condition.test {
            Test::Equals(value) => Some(value),
            _ => None,
        });
    let tested = tested.ok_or("it is not made on the condition that shard_count is as it was")?;
    let before = number(tested).filter(|before| *before >= 1);
    require(
        before.is_some_and(|before| is_doubled(before, count)),
        "it does not set shard_count to twice of what it tests",
    )?;
    match context.max_shard_count {
        Some(most) if count > i128::from(most) => {
            Err(format!("a bucket has at most {most} shards"))
        }
        _ => Ok(()),
    }
}

/// Whether a count is twice another, or as many as clients split a bucket into by themselves.
fn is_doubled(before: i128, count: i128) -> bool {
    before.checked_mul(2).is_some_and(|twice| {
        count == twice || (count == CLIENTS_MOST_SHARDS && (before..twice).contains(&count))
    }) && before < count
}

/// A count that is brought to a shard other than 0.
pub(super) fn check_count(write: &UpdateItem, context: &Context<'_>) -> Checked {
    let bucket = Bucket::of(&write.key).and_then(|bucket| bucket.shard);
    let shard = bucket.ok_or("it is not a sharded bucket")?;
    let count = new_count(write)?;
    require(shard.number > 0, "it is not a further shard of a bucket")?;
    let bounds = |condition: &Condition| match &condition.test {
        Test::AbsentOrLessThan(value) if condition.attribute == "shard_count" => {
            Some(number(value))
        }
        _ => None,
    };
    let exists =
        |condition: &Condition| condition.attribute == "PK" && condition.test == Test::Present;
    let mut bounds = write.conditions.iter().filter_map(bounds).peekable();
    require(
        bounds.peek().is_some() && write.conditions.iter().any(exists),
        "it is not made on the condition that the shard exists and shard_count is less",
    )?;
    require(
        bounds.any(|bound| bound == Some(count)),
        "it does not set shard_count to the bound that it tests",
    )?;
    check_place(shard, count, context)
}

/// Passes if a bucket may have so many shards and this is one of them.
fn check_place(shard: Shard<'_>, count: i128, context: &Context<'_>) -> Checked {
    let most = MOST_SHARDS.max(context.max_shard_count.unwrap_or_default());
    require(
        i128::from(shard.number) < count && count <= i128::from(most),
        format_args!("its shard_count is not above the shard's number, or above {most}"),
    )
}

/// A new shard. Attributes that nobody reads here are those of shard 0, whatever they are.
pub(super) fn check_new(put: &PutItem, context: &Context<'_>) -> Checked {
    let key = put.key().ok_or("the item has no key")?;
    extent::check_key(&key)?;
    let bucket = Bucket::of(&key);
    let further = |bucket: &Bucket<'_>| bucket.shard.is_some_and(|shard| shard.number > 0);
    let bucket = bucket
        .filter(further)
        .ok_or("it is not a further shard of a bucket")?;
    let size: usize = put
        .item
        .iter()
        .map(|attribute| attribute.name.len() + text_of(&attribute.value).len())
        .sum();
    require(
        put.item.len() <= MOST_ATTRIBUTES && size <= LARGEST_ITEM,
        format_args!("it is larger than {LARGEST_ITEM} bytes or {MOST_ATTRIBUTES} attributes"),
    )?;
    check_conditions(&put.conditions)?;
    let is_new =
        |condition: &Condition| condition.attribute == "PK" && condition.test == Test::Absent;
    require(
        put.conditions.iter().any(is_new),
        "it would replace a shard that exists",
    )?;
    // The service takes the last of two, whatever was looked at here.
    let mut names = HashSet::new();
    require(
        put.item
            .iter()
            .all(|attribute| names.insert(attribute.name.as_str())),
        "it has an attribute twice",
    )?;
    let mut count = None;
    for attribute in &put.item {
        let name = attribute.name.as_str();
        check_name(name)?;
        require(
            // Whatever a bucket's image says of itself is held against the image.
            (context.policy == Policy::Batch && !is_set(name))
                || follows(name, &attribute.value, &bucket),
            format_args!("its `{name}` does not follow from its key"),
        )?;
        if name == "shard_count" {
            count = number(&attribute.value);
        }
    }
    let count = count.ok_or("it has no shard_count")?;
    let shard = bucket
        .shard
        .ok_or("it is not a further shard of a bucket")?;
    check_place(shard, count, context)
}

/// Whether each shard has its own value of this, which is not that of shard 0.
fn is_set(name: &str) -> bool {
    matches!(name, "PK" | "SK" | "GSI2SK" | "GSI3SK" | "GSI4SK")
}

/// Whether a shard of that key has this value, if it is one that says whose it is.
fn follows(name: &str, value: &AttributeValue, bucket: &Bucket<'_>) -> bool {
    let says = ["entity_id", "resource"].contains(&name) || KEYS.contains(&name);
    if !says {
        return true;
    }
    let (Some(namespace), Some(shard)) = (bucket.namespace, bucket.shard) else {
        return false;
    };
    let (entity, resource, shard) = (bucket.entity, bucket.resource, shard.text);
    text(value).is_some_and(|text| match name {
        // The key that all this is held against.
        "PK" | "SK" => true,
        "entity_id" => text == entity,
        "resource" => text == resource,
        "GSI2PK" => consists_of(&text, &[namespace, "/RESOURCE#", resource]),
        "GSI2SK" => consists_of(&text, &["BUCKET#", entity, "#", shard]),
        "GSI3PK" => consists_of(&text, &[namespace, "/ENTITY#", entity]),
        "GSI3SK" => consists_of(&text, &["BUCKET#", resource, "#", shard]),
        "GSI4PK" => text == namespace,
        "GSI4SK" => consists_of(&text, &["BUCKET#", entity, "#", resource, "#", shard]),
        _ => false,
    })
}

/// The text in a value, if it is one.
fn text(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value {
        AttributeValue::Text(text) => Some(Cow::Borrowed(text)),
        AttributeValue::Number(_) => None,
        AttributeValue::Wire(json) => {
            let typed: BTreeMap<&str, &RawValue> = serde_json::from_str(json).ok()?;
            match typed.into_iter().next() {
                Some(("S", text)) => serde_json::from_str(text.get()).ok(),
                _ => None,
            }
        }
    }
}
