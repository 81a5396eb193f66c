//! Writes as their purposes have them, but for a key or a value that no policy may allow.

use crate::{
    contract::exports::weir::aggregator::logic::{
        Assignment, Attribute, AttributeValue, Change, Operation, Purpose, PutItem, PutObject,
        Test, Write,
    },
    misdeed::Misdeed,
    writes::{
        At, ENTITY, FIRST_SHARD, NEW_SHARD, SNAPSHOT, add, assign, locked, number, object, put,
        set, snapshot, text, update, when, write,
    },
};
use alloc::{vec, vec::Vec};

/// An instant of the year 318857, in milliseconds.
const FAR: &str = "10000000000000000";

/// The write of a misdeed that consists in a value.
pub fn forbidden(misdeed: Misdeed) -> Option<Write> {
    let (purpose, operation) = match misdeed {
        Misdeed::RecordTwice => {
            let records = vec![0, 0];
            return Some(Write {
                records,
                ..snapshot(0, "twice")
            });
        }
        Misdeed::CountlessUpdates => {
            return Some(Write {
                updates: u32::MAX,
                ..snapshot(0, "countless")
            });
        }
        Misdeed::LongKey => return Some(snapshot(0, &"x".repeat(50_000))),
        Misdeed::NamelessEntity => return Some(snapshot(0, "")),
        Misdeed::WatermarkBack => (Purpose::Usage, moved("9", "8")),
        Misdeed::EndlessWatermark => (Purpose::Usage, moved("9", "\u{10ffff}")),
        Misdeed::ShortLife => (
            Purpose::Usage,
            usage(assign("ttl", Change::SetIfAbsent(number("1")))),
        ),
        Misdeed::ForeignSnapshot => (Purpose::Usage, usage(set("entity_id", text("bob")))),
        Misdeed::PartOfAToken => (Purpose::Usage, usage(add("rpm", "0.5"))),
        Misdeed::HugeText => (
            Purpose::Usage,
            usage(set("window", text(&"x".repeat(3 * 1024)))),
        ),
        Misdeed::RefillInTheFuture => {
            let update = update(FIRST_SHARD, vec![set("rf", number(FAR))], vec![locked()]);
            (Purpose::Refill, Operation::UpdateItem(update))
        }
        Misdeed::LeapingBump => {
            let is_one = when("shard_count", Test::Equals(number("1")));
            let count = set("shard_count", number("1000000000"));
            let update = update(FIRST_SHARD, vec![count], vec![is_one]);
            (Purpose::ShardBump, Operation::UpdateItem(update))
        }
        Misdeed::KeyTwice => {
            let others = [("PK", text(ENTITY.0)), ("SK", text(ENTITY.1))];
            (Purpose::ShardPropagation, shard(NEW_SHARD, others.into()))
        }
        Misdeed::ShardBeyondCount => {
            let at = ("default/BUCKET#ann#gpt-4#999999", "#STATE");
            (Purpose::ShardPropagation, shard(at, Vec::new()))
        }
        Misdeed::ObjectAbove => (Purpose::Archive, object("audit/..", 1)),
        Misdeed::WriteToQuarantine => (Purpose::Quarantine, object("quarantine/1.jsonl", 1)),
        Misdeed::UnsendableType => (Purpose::Archive, of_type("line\nbreak")),
        _ => return None,
    };
    Some(write(purpose, operation))
}

fn usage(assignment: Assignment) -> Operation {
    Operation::UpdateItem(update(SNAPSHOT, vec![assignment], vec![]))
}

/// A watermark that is moved.
fn moved(from: &str, to: &str) -> Operation {
    let tested = when("_applied_0", Test::AbsentOrLessThan(text(from)));
    let assignments = vec![add("rpm", "1"), set("_applied_0", text(to))];
    Operation::UpdateItem(update(SNAPSHOT, assignments, vec![tested]))
}

/// A new shard of two.
fn shard(at: At<'_>, others: Vec<(&str, AttributeValue)>) -> Operation {
    let PutItem {
        mut item,
        conditions,
    } = put(at, vec![when("PK", Test::Absent)]);
    let attributes = [("shard_count", number("2"))].into_iter().chain(others);
    item.extend(attributes.map(|(name, value)| Attribute {
        name: name.into(),
        value,
    }));
    Operation::PutItem(PutItem { item, conditions })
}

/// An object of such a type.
fn of_type(content_type: &str) -> Operation {
    match object("audit/typed.jsonl", 1) {
        Operation::PutObject(object) => Operation::PutObject(PutObject {
            content_type: content_type.into(),
            ..object
        }),
        other => other,
    }
}
