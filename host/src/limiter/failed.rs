//! The line of a write that failed. All of it follows from the write, so that a plan carries no text for what seldom
//! happens.

use super::policy::key::Place;
use crate::contract::{
    Action, Change, Entry, Fact, Field, FieldValue, Key, Level, Operation, Purpose, Scope, Write,
};

/// A snapshot's count of updates, which is no limit's counter.
const TOTAL_EVENTS: &str = "total_events";

/// The line, to which the failure is still to be added; none of what the host itself keeps in quarantine. `windows` are
/// those that the component was told to keep.
pub(crate) fn line(write: &Write, windows: &[String]) -> Option<Entry> {
    let mut level = Level::Warning;
    let mut scope = Scope::Processor;
    let mut fields = place(&write.operation);
    let message = match write.purpose {
        Purpose::Usage => {
            fields.push(text("limit_name", limits(&write.operation).join(",")));
            fields.push(text("window", summed(write, windows).join(",")));
            "Error updating snapshot"
        }
        Purpose::Refill => "Error refilling bucket",
        Purpose::ShardBump => "Error in proactive sharding",
        Purpose::ShardPropagation => {
            fields.extend(shard(&write.operation));
            "Error propagating shard_count"
        }
        Purpose::Archive => {
            level = Level::Error;
            scope = Scope::Archiver;
            fields = vec![
                field("bucket", FieldValue::Fact(Fact::Bucket)),
                text("key", write.operation.target()),
            ];
            "Error writing to S3"
        }
        Purpose::Quarantine => return None,
    };
    Some(Entry {
        position: write.position,
        level,
        scope,
        message: message.into(),
        fields,
        is_error: true,
    })
}

/// The fields that say which bucket or snapshot an operation is about.
fn place(operation: &Operation) -> Vec<Field> {
    let Some(key) = key(operation) else {
        return Vec::new();
    };
    let (entity, resource) = match Place::of(&key) {
        Some(Place::Bucket(bucket)) => (bucket.entity, bucket.resource),
        Some(Place::Snapshot(snapshot)) => (snapshot.entity, snapshot.resource),
        None => return Vec::new(),
    };
    vec![
        text("entity_id", entity.into()),
        text("resource", resource.into()),
    ]
}

/// The item that an operation is about; of a transaction its first.
fn key(operation: &Operation) -> Option<Key> {
    match operation {
        Operation::UpdateItem(update) => Some(update.key.clone()),
        Operation::PutItem(put) => put.key(),
        Operation::Transaction(parts) => match parts.first()? {
            Action::UpdateItem(update) => Some(update.key.clone()),
            Action::PutItem(put) => put.key(),
            Action::Check(check) => Some(check.key.clone()),
        },
        Operation::PutObject(_) => None,
    }
}

/// The limits that a snapshot's write counts.
fn limits(operation: &Operation) -> Vec<&str> {
    let Operation::UpdateItem(update) = operation else {
        return Vec::new();
    };
    let counters = update.assignments.iter().filter(|assignment| {
        matches!(assignment.change, Change::Add(_)) && assignment.attribute != TOTAL_EVENTS
    });
    counters.map(|counter| counter.attribute.as_str()).collect()
}

/// The windows that a snapshot's write sums.
fn summed<'w>(write: &Write, windows: &'w [String]) -> Vec<&'w str> {
    let named = |place: &u32| windows.get(*place as usize).map(String::as_str);
    write.windows.iter().filter_map(named).collect()
}

/// Which shard an operation is about.
fn shard(operation: &Operation) -> Option<Field> {
    let key = key(operation)?;
    match Place::of(&key)? {
        Place::Bucket(bucket) => {
            let number = FieldValue::Number(bucket.shard?.number.to_string());
            Some(field("shard", number))
        }
        Place::Snapshot(_) => None,
    }
}

fn text(name: &str, text: String) -> Field {
    field(name, FieldValue::Text(text))
}

fn field(name: &str, value: FieldValue) -> Field {
    Field {
        name: name.into(),
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Assignment, OnConflict, PutObject, UpdateItem};

    fn write(purpose: Purpose, operation: Operation) -> Write {
        Write {
            purpose,
            operation,
            records: vec![0],
            updates: 1,
            windows: vec![1, 0],
            position: 7,
            on_conflict: OnConflict::Skip,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
        }
    }

    fn update(pk: &str, sk: &str, added: &[&str]) -> Operation {
        let added = added.iter().map(|attribute| Assignment {
            attribute: (*attribute).into(),
            change: Change::Add("1".into()),
        });
        let key = Key {
            pk: pk.into(),
            sk: sk.into(),
        };
        Operation::UpdateItem(UpdateItem {
            key,
            assignments: added.collect(),
            conditions: Vec::new(),
        })
    }

    fn said(write: &Write) -> String {
        let windows = ["hourly", "daily"].map(String::from);
        let Some(entry) = line(write, &windows) else {
            return "nothing".into();
        };
        assert!(entry.is_error && entry.position == 7);
        let fields = entry
            .fields
            .iter()
            .map(|Field { name, value }| match value {
                FieldValue::Text(value) | FieldValue::Number(value) => format!("{name}={value}"),
                other => format!("{name}={other:?}"),
            });
        let fields = fields.collect::<Vec<_>>().join(" ");
        format!(
            "{:?} {:?} {} {fields}",
            entry.level, entry.scope, entry.message
        )
    }

    #[test]
    fn each_purpose_has_the_line_that_operators_search_for() {
        let bucket = |number| format!("n/BUCKET#ann#gpt-4#{number}");
        let object = Operation::PutObject(PutObject {
            key: "audit/a.gz".into(),
            content_type: "text/plain".into(),
            body: Vec::new(),
        });
        for (purpose, operation, expected) in [
            (
                Purpose::Usage,
                update(
                    "n/ENTITY#ann",
                    "#USAGE#a#b#2024-01-01T00:00:00Z#daily",
                    &["rpm", "tpm", "total_events"],
                ),
                "Warning Processor Error updating snapshot entity_id=ann resource=a#b limit_name=rpm,tpm window=daily,hourly",
            ),
            (
                Purpose::Refill,
                update("ENTITY#ann", "#BUCKET#gpt-4", &["b_rpm_tk"]),
                "Warning Processor Error refilling bucket entity_id=ann resource=gpt-4",
            ),
            (
                Purpose::ShardBump,
                update(&bucket(0), "#STATE", &[]),
                "Warning Processor Error in proactive sharding entity_id=ann resource=gpt-4",
            ),
            (
                Purpose::ShardPropagation,
                update(&bucket(3), "#STATE", &[]),
                "Warning Processor Error propagating shard_count entity_id=ann resource=gpt-4 shard=3",
            ),
            (
                Purpose::Archive,
                object.clone(),
                "Error Archiver Error writing to S3 bucket=Fact(Fact::Bucket) key=audit/a.gz",
            ),
            (Purpose::Quarantine, object, "nothing"),
        ] {
            assert_eq!(said(&write(purpose, operation)), expected);
        }
    }
}
