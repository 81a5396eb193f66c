//! Writes: one that is harmless, and those that no purpose has.

use crate::{
    contract::exports::weir::aggregator::logic::{
        Action, Assignment, Attribute, AttributeValue, Change, Condition, Key, OnConflict,
        Operation, Purpose, PutItem, PutObject, Test, UpdateItem, Write,
    },
    misdeed::Misdeed,
    values,
};
use alloc::{format, string::String, vec, vec::Vec};

/// One byte more than an object may have.
const HUGE: usize = 64 * 1024 * 1024 + 1;

/// A key: partition, sort.
pub type At<'a> = (&'a str, &'a str);

/// An item that clients own.
pub const ENTITY: At<'static> = ("default/ENTITY#ann", "#META");
/// What an entity used in an hour.
pub const SNAPSHOT: At<'static> = ("default/ENTITY#ann", "#USAGE#gpt-4#2024-01-01T12:00:00Z");
/// A bucket's shard 0.
pub const FIRST_SHARD: At<'static> = ("default/BUCKET#ann#gpt-4#0", "#STATE");
/// The shard that comes next.
pub const NEW_SHARD: At<'static> = ("default/BUCKET#ann#gpt-4#1", "#STATE");

/// Counts one use by the entity of that name.
pub fn snapshot(record: u32, entity: &str) -> Write {
    let key = format!("default/ENTITY#{entity}");
    let update = update(
        (key.as_str(), SNAPSHOT.1),
        vec![
            set("entity_id", text(entity)),
            add("rpm", "1"),
            set("_applied_0", text(entity)),
        ],
        vec![when("_applied_0", Test::AbsentOrLessThan(text(entity)))],
    );
    Write {
        records: vec![record],
        ..write(Purpose::Usage, Operation::UpdateItem(update))
    }
}

/// The write of a misdeed that consists in one.
pub fn forbidden(misdeed: Misdeed) -> Option<Write> {
    let (purpose, operation) = match misdeed {
        Misdeed::RemoveFromEntity => (
            Purpose::Usage,
            Operation::UpdateItem(update(ENTITY, vec![remove("name")], vec![])),
        ),
        Misdeed::RemoveCounter => (
            Purpose::Usage,
            Operation::UpdateItem(update(SNAPSHOT, vec![remove("rpm")], vec![])),
        ),
        Misdeed::ChangeEntity => (
            Purpose::Refill,
            Operation::UpdateItem(update(ENTITY, vec![set("rf", number("2"))], vec![locked()])),
        ),
        Misdeed::PutEntity => (
            Purpose::ShardPropagation,
            Operation::PutItem(put(ENTITY, vec![when("PK", Test::Absent)])),
        ),
        Misdeed::AddToTtl => (
            Purpose::Usage,
            Operation::UpdateItem(update(SNAPSHOT, vec![add("ttl", "86400")], vec![])),
        ),
        Misdeed::UntestedWatermark => (
            Purpose::Usage,
            Operation::UpdateItem(update(
                SNAPSHOT,
                vec![add("rpm", "1"), set("_applied_0", text("9"))],
                vec![],
            )),
        ),
        Misdeed::UnlockedRefill => (
            Purpose::Refill,
            Operation::UpdateItem(update(
                FIRST_SHARD,
                vec![set("rf", number("2")), add("b_rpm_tk", "5")],
                vec![],
            )),
        ),
        Misdeed::NegativeRefill => (
            Purpose::Refill,
            Operation::UpdateItem(update(
                FIRST_SHARD,
                vec![set("rf", number("2")), add("b_rpm_tk", "-5")],
                vec![locked()],
            )),
        ),
        Misdeed::RaiseCapacity => (
            Purpose::Refill,
            Operation::UpdateItem(update(
                FIRST_SHARD,
                vec![set("rf", number("2")), add("b_rpm_cp", "5")],
                vec![locked()],
            )),
        ),
        Misdeed::UnlockedBump => (
            Purpose::ShardBump,
            Operation::UpdateItem(update(
                FIRST_SHARD,
                vec![set("shard_count", number("2"))],
                vec![],
            )),
        ),
        Misdeed::OverwriteShard => (
            Purpose::ShardPropagation,
            Operation::PutItem(put(NEW_SHARD, vec![])),
        ),
        Misdeed::ReplaceFirstShard => (
            Purpose::ShardPropagation,
            Operation::PutItem(put(FIRST_SHARD, vec![when("PK", Test::Absent)])),
        ),
        Misdeed::StrayObject => (Purpose::Archive, object("backup/audit.jsonl", 1)),
        Misdeed::ClimbingObject => (Purpose::Archive, object("audit/../backup.jsonl", 1)),
        Misdeed::HugeObject => (Purpose::Archive, object("audit/huge.jsonl", HUGE)),
        Misdeed::UsageInTransaction => {
            let update = update(SNAPSHOT, vec![add("rpm", "1")], vec![]);
            (
                Purpose::Usage,
                Operation::Transaction(vec![Action::UpdateItem(update)]),
            )
        }
        misdeed => return values::forbidden(misdeed),
    };
    Some(write(purpose, operation))
}

/// A write of no record.
pub fn write(purpose: Purpose, operation: Operation) -> Write {
    Write {
        purpose,
        operation,
        records: Vec::new(),
        updates: 1,
        windows: Vec::new(),
        position: 0,
        on_conflict: OnConflict::Skip,
        when_applied: Vec::new(),
        when_conflicted: Vec::new(),
    }
}

/// A change of an item.
pub fn update(
    (pk, sk): At<'_>,
    assignments: Vec<Assignment>,
    conditions: Vec<Condition>,
) -> UpdateItem {
    UpdateItem {
        key: Key {
            pk: pk.into(),
            sk: sk.into(),
        },
        assignments,
        conditions,
    }
}

/// A whole item of nothing but its key.
pub fn put((pk, sk): At<'_>, conditions: Vec<Condition>) -> PutItem {
    let attribute = |name: &str, value: &str| Attribute {
        name: name.into(),
        value: text(value),
    };
    PutItem {
        item: vec![attribute("PK", pk), attribute("SK", sk)],
        conditions,
    }
}

/// An object of so many bytes.
pub fn object(key: &str, size: usize) -> Operation {
    Operation::PutObject(PutObject {
        key: key.into(),
        content_type: "application/x-ndjson".into(),
        body: vec![b'\n'; size],
    })
}

/// Gives an attribute a value.
pub fn set(attribute: &str, value: AttributeValue) -> Assignment {
    assign(attribute, Change::Set(value))
}

/// Adds a number to an attribute.
pub fn add(attribute: &str, number: &str) -> Assignment {
    assign(attribute, Change::Add(number.into()))
}

fn remove(attribute: &str) -> Assignment {
    assign(attribute, Change::Remove)
}

/// Changes an attribute.
pub fn assign(attribute: &str, change: Change) -> Assignment {
    Assignment {
        attribute: attribute.into(),
        change,
    }
}

/// The condition of a refill.
pub fn locked() -> Condition {
    when("rf", Test::Equals(number("1")))
}

/// What must hold of an attribute.
pub fn when(attribute: &str, test: Test) -> Condition {
    Condition {
        attribute: attribute.into(),
        test,
    }
}

/// A string.
pub fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(String::from(text))
}

/// A number.
pub fn number(number: &str) -> AttributeValue {
    AttributeValue::Number(String::from(number))
}
