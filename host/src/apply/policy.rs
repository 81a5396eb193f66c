//! What a plan may do: the static table that stands between the component and the table.
//!
//! A purpose comes with the keys, attributes and sizes that its job needs. A plan with a single write outside
//! of them is refused as a whole, so that exchanged logic can do what the aggregator does and nothing else.
//! In particular a component cannot create or delete entities, change limits, or write where a purpose of
//! another kind belongs.

use crate::contract::{
    Assignment, AttributeValue, Change, Condition, Operation, Plan, Purpose, PutItem, PutObject,
    Test, UpdateItem, Write,
};
use std::collections::BTreeSet;

/// Writes in one plan; a batch of 10,000 records with a handful of limits and windows stays below.
pub const MOST_WRITES: usize = 100_000;
/// Items that a plan may ask to see.
pub const MOST_READS: usize = 10_000;
/// Attributes in one write.
pub const MOST_ATTRIBUTES: usize = 1_000;
/// Size of an item's names and values, in bytes: DynamoDB's own bound.
pub const LARGEST_ITEM: usize = 400 * 1024;
/// Size of an object's content before it is packed, in bytes; a batch has at most 6 MB.
pub const LARGEST_OBJECT: usize = 64 * 1024 * 1024;
/// Length of an object's key, in bytes: S3's own bound.
pub const LONGEST_OBJECT_KEY: usize = 1024;

/// A write that its purpose does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the component planned {subject}, which is not allowed: {problem}")]
pub struct Breach {
    /// What was planned.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Checks a whole plan.
///
/// # Errors
/// The first [`Breach`].
pub fn check(plan: &Plan) -> Result<(), Breach> {
    if plan.writes.len() > MOST_WRITES || plan.reads.len() > MOST_READS {
        return Err(Breach {
            subject: "a plan".into(),
            problem: format!(
                "it has {} writes and {} reads; at most {MOST_WRITES} and {MOST_READS} are",
                plan.writes.len(),
                plan.reads.len()
            ),
        });
    }
    for key in &plan.reads {
        if !is_bucket(&key.pk, &key.sk) && !is_snapshot(&key.pk, &key.sk) {
            return Err(Breach {
                subject: format!("to read {key}"),
                problem: "it is neither a bucket nor a usage snapshot".into(),
            });
        }
    }
    plan.writes.iter().try_for_each(check_write)
}

/// Checks that a plan speaks of records that its event, of so many bytes, can have.
///
/// # Errors
/// A [`Breach`].
pub fn check_records(plan: &Plan, event: usize) -> Result<(), Breach> {
    let records = plan.tally.records;
    let mentioned = plan
        .writes
        .iter()
        .flat_map(|write| &write.records)
        .chain(plan.rejects.iter().map(|reject| &reject.record));
    let is_within = mentioned.max().is_none_or(|last| *last < records);
    // A record takes at least a byte, and another to set it apart.
    if is_within && records as usize <= event / 2 {
        return Ok(());
    }
    Err(Breach {
        subject: "for records".into(),
        problem: format!(
            "it speaks of records that an event of {event} bytes with {records} records does not have"
        ),
    })
}

fn check_write(write: &Write) -> Result<(), Breach> {
    let result = match (write.purpose, &write.operation) {
        (Purpose::Usage, Operation::UpdateItem(update)) => usage(update),
        (Purpose::Refill, Operation::UpdateItem(update)) => refill(update),
        (Purpose::ShardBump, Operation::UpdateItem(update)) => shard_bump(update),
        (Purpose::ShardPropagation, Operation::UpdateItem(update)) => shard_count(update),
        (Purpose::ShardPropagation, Operation::PutItem(put)) => shard(put),
        (Purpose::Archive, Operation::PutObject(object)) => stored(object, "audit/"),
        (Purpose::Quarantine, Operation::PutObject(object)) => stored(object, "quarantine/"),
        _ => Err("the purpose has no such operation".into()),
    };
    result.map_err(|problem: String| Breach {
        subject: format!("a {} write to {}", write.purpose, write.operation.target()),
        problem,
    })
}

type Checked = Result<(), String>;

fn require(holds: bool, problem: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(problem.into()) }
}

/// What follows the namespace, if the key has one.
fn rest(pk: &str) -> &str {
    match pk.split_once('/') {
        Some((namespace, rest)) if !namespace.contains('#') => rest,
        _ => pk,
    }
}

fn is_bucket(pk: &str, sk: &str) -> bool {
    (rest(pk).starts_with("BUCKET#") && rest(pk) != pk && sk == "#STATE")
        || (rest(pk).starts_with("ENTITY#") && sk.starts_with("#BUCKET#"))
}

fn is_snapshot(pk: &str, sk: &str) -> bool {
    rest(pk).starts_with("ENTITY#") && sk.starts_with("#USAGE#")
}

fn size_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::Text(text) | AttributeValue::Number(text) | AttributeValue::Wire(text) => {
            text.len()
        }
    }
}

/// Bounds that hold for every update, and no attribute twice.
fn update(update: &UpdateItem) -> Checked {
    let UpdateItem {
        assignments,
        conditions,
        ..
    } = update;
    require(
        !assignments.is_empty() && assignments.len() + conditions.len() <= MOST_ATTRIBUTES,
        format!("it has no assignment, or more than {MOST_ATTRIBUTES} attributes"),
    )?;
    let mut names: Vec<_> = assignments
        .iter()
        .map(|assignment| assignment.attribute.as_str())
        .collect();
    let size: usize = assignments
        .iter()
        .map(|Assignment { attribute, change }| {
            attribute.len()
                + match change {
                    Change::Set(value) | Change::SetIfAbsent(value) => size_of(value),
                    Change::Add(number) => number.len(),
                    Change::Remove => 0,
                }
        })
        .sum();
    require(
        size <= LARGEST_ITEM,
        format!("it is larger than {LARGEST_ITEM} bytes"),
    )?;
    names.sort_unstable();
    require(
        names.windows(2).all(|pair| pair[0] != pair[1]),
        "it changes an attribute twice",
    )
}

/// Keys of the table and of its indexes: never a counter.
const KEYS: [&str; 15] = [
    "PK", "SK", "GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK", "GSI3PK", "GSI3SK", "GSI4PK", "GSI4SK",
    "LSI1SK", "LSI2SK", "LSI3SK", "LSI4SK", "LSI5SK",
];

/// Texts of a snapshot: never a counter.
const SNAPSHOT_TEXTS: [&str; 8] = [
    "entity_id",
    "resource",
    "window",
    "window_start",
    "GSI2PK",
    "GSI2SK",
    "GSI4PK",
    "GSI4SK",
];

fn usage(write: &UpdateItem) -> Checked {
    update(write)?;
    require(
        is_snapshot(&write.key.pk, &write.key.sk),
        "it is not a usage snapshot",
    )?;
    for Assignment { attribute, change } in &write.assignments {
        let name = attribute.as_str();
        let is_watermark = name.starts_with("_applied_");
        let is_key = KEYS.contains(&name);
        let is_allowed = match change {
            Change::Set(AttributeValue::Text(_)) => is_watermark || SNAPSHOT_TEXTS.contains(&name),
            Change::SetIfAbsent(AttributeValue::Text(_)) => SNAPSHOT_TEXTS.contains(&name),
            Change::SetIfAbsent(AttributeValue::Number(_)) => name == "ttl",
            Change::Add(_) => {
                !is_watermark && !is_key && name != "ttl" && !SNAPSHOT_TEXTS.contains(&name)
            }
            _ => false,
        };
        require(is_allowed, format!("it may not change `{name}` so"))?;
    }
    let is_watermark = |condition: &Condition| {
        condition.attribute.starts_with("_applied_")
            && matches!(
                condition.test,
                Test::AbsentOrLessThan(AttributeValue::Text(_))
            )
    };
    require(
        write.conditions.iter().all(is_watermark),
        "its condition is not about a watermark: that it is absent or less",
    )?;
    let moved = write
        .assignments
        .iter()
        .filter(|assignment| assignment.attribute.starts_with("_applied_"));
    let moved: BTreeSet<_> = moved
        .map(|assignment| assignment.attribute.as_str())
        .collect();
    let tested = write
        .conditions
        .iter()
        .map(|condition| condition.attribute.as_str())
        .collect();
    require(
        moved == tested,
        "it moves a watermark without testing it, or tests one without moving it",
    )
}

fn refill(write: &UpdateItem) -> Checked {
    update(write)?;
    require(
        is_bucket(&write.key.pk, &write.key.sk),
        "it is not a bucket",
    )?;
    for Assignment { attribute, change } in &write.assignments {
        let is_allowed = match change {
            Change::Set(AttributeValue::Number(_)) => attribute == "rf",
            Change::Add(number) => {
                attribute.starts_with("b_")
                    && attribute.ends_with("_tk")
                    && !number.starts_with('-')
            }
            _ => false,
        };
        require(is_allowed, format!("it may not change `{attribute}` so"))?;
    }
    let is_locked = write
        .conditions
        .iter()
        .any(|condition| condition.attribute == "rf" && matches!(condition.test, Test::Equals(_)));
    require(
        is_locked,
        "it is not made on the condition that rf is as it was",
    )
}

/// Nothing but a new shard count on a sharded bucket.
fn new_shard_count(write: &UpdateItem) -> Checked {
    update(write)?;
    require(
        is_bucket(&write.key.pk, &write.key.sk) && write.key.sk == "#STATE",
        "it is not a sharded bucket",
    )?;
    let is_count = |assignment: &Assignment| {
        assignment.attribute == "shard_count"
            && matches!(assignment.change, Change::Set(AttributeValue::Number(_)))
    };
    require(
        write.assignments.iter().all(is_count),
        "it changes more than shard_count",
    )
}

fn shard_bump(write: &UpdateItem) -> Checked {
    new_shard_count(write)?;
    require(
        write.key.pk.ends_with("#0"),
        "it is not the bucket's shard 0",
    )?;
    let is_locked = |condition: &Condition| {
        condition.attribute == "shard_count" && matches!(condition.test, Test::Equals(_))
    };
    require(
        write.conditions.iter().any(is_locked),
        "it is not made on the condition that shard_count is as it was",
    )
}

fn shard_count(write: &UpdateItem) -> Checked {
    new_shard_count(write)?;
    let is_raised = |condition: &Condition| {
        condition.attribute == "shard_count"
            && matches!(
                condition.test,
                Test::LessThan(_) | Test::AbsentOrLessThan(_)
            )
    };
    let exists =
        |condition: &Condition| condition.attribute == "PK" && condition.test == Test::Present;
    require(
        write.conditions.iter().any(is_raised) && write.conditions.iter().any(exists),
        "it is not made on the condition that the shard exists and shard_count is less",
    )
}

fn shard(put: &PutItem) -> Checked {
    let key = put.key().ok_or("the item has no key")?;
    require(
        is_bucket(&key.pk, &key.sk) && key.sk == "#STATE" && !key.pk.ends_with("#0"),
        "it is not a further shard of a bucket",
    )?;
    let size: usize = put
        .item
        .iter()
        .map(|attribute| attribute.name.len() + size_of(&attribute.value))
        .sum();
    require(
        put.item.len() <= MOST_ATTRIBUTES && size <= LARGEST_ITEM,
        format!("it is larger than {LARGEST_ITEM} bytes or {MOST_ATTRIBUTES} attributes"),
    )?;
    let is_new =
        |condition: &Condition| condition.attribute == "PK" && condition.test == Test::Absent;
    require(
        put.conditions.iter().any(is_new),
        "it would replace a shard that exists",
    )
}

fn stored(object: &PutObject, prefix: &str) -> Checked {
    require(
        object.key.starts_with(prefix) && !object.key.contains("/../"),
        format!("its key does not begin with {prefix}"),
    )?;
    require(
        object.key.len() <= LONGEST_OBJECT_KEY,
        format!("its key is longer than {LONGEST_OBJECT_KEY} bytes"),
    )?;
    require(
        object.body.len() <= LARGEST_OBJECT,
        format!("it is larger than {LARGEST_OBJECT} bytes"),
    )
}
