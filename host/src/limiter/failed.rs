//! The line of a write that failed. All of it follows from the write, so that a plan carries no text for what seldom
//! happens.

use super::key::Place;
use crate::contract::{
    Action, Change, Entry, Fact, Field, FieldValue, Key, Level, Operation, Purpose, Scope, Write,
};

/// A snapshot's count of updates, which is no limit's counter.
const TOTAL_EVENTS: &str = "total_events";

/// What is kept of a write for the line of its failure, while the write itself is under way.
pub(crate) struct Failed {
    /// Where the line stands in the log.
    position: u32,
    /// The windows that a snapshot's write sums, by their positions in the settings.
    windows: Vec<u32>,
    subject: Subject,
}

/// What a write is about.
enum Subject {
    /// An item, and of a snapshot's write the limits that it counts, joined by commas.
    Item { key: Key, limits: String },
    /// An object of that key.
    Object(String),
    /// Nothing that can be named.
    Unknown,
}

impl Failed {
    /// What is to be kept of a write.
    pub(crate) fn of(write: &Write) -> Self {
        let subject = match (item(&write.operation), &write.operation) {
            (Some(key), operation) => Subject::Item {
                key,
                // Every write of every batch comes by here, and only the line of usage names limits.
                limits: match write.purpose {
                    Purpose::Usage => limits(operation),
                    _ => String::new(),
                },
            },
            (None, Operation::PutObject(object)) => Subject::Object(object.key.clone()),
            (None, _) => Subject::Unknown,
        };
        Self {
            position: write.position,
            windows: write.windows.clone(),
            subject,
        }
    }

    /// The line, to which the failure is still to be added; none of what the host itself keeps in quarantine. `windows`
    /// are those that the component was told to keep.
    pub(crate) fn line(&self, purpose: Purpose, windows: &[String]) -> Option<Entry> {
        let mut fields = self.place();
        let (level, scope, message) = match purpose {
            Purpose::Usage => {
                fields.extend(self.usage(windows));
                (Level::Warning, Scope::Processor, "Error updating snapshot")
            }
            Purpose::Refill => (Level::Warning, Scope::Processor, "Error refilling bucket"),
            Purpose::ShardBump => (
                Level::Warning,
                Scope::Processor,
                "Error in proactive sharding",
            ),
            Purpose::ShardPropagation => {
                fields.extend(self.shard());
                (
                    Level::Warning,
                    Scope::Processor,
                    "Error propagating shard_count",
                )
            }
            Purpose::Archive => (Level::Error, Scope::Archiver, "Error writing to S3"),
            Purpose::Quarantine => return None,
        };
        Some(Entry {
            position: self.position,
            level,
            scope,
            message: message.into(),
            fields,
            is_error: true,
        })
    }

    /// The fields that say which bucket, snapshot or object the line is about.
    fn place(&self) -> Vec<Field> {
        let key = match &self.subject {
            Subject::Item { key, .. } => key,
            Subject::Object(key) => {
                let bucket = field("bucket", FieldValue::Fact(Fact::Bucket));
                return vec![bucket, text("key", key)];
            }
            Subject::Unknown => return Vec::new(),
        };
        let (entity, resource) = match Place::of(key) {
            Some(Place::Bucket(bucket)) => (bucket.entity, bucket.resource),
            Some(Place::Snapshot(snapshot)) => (snapshot.entity, snapshot.resource),
            None => return Vec::new(),
        };
        vec![text("entity_id", entity), text("resource", resource)]
    }

    /// The fields that say which limits and windows were not summed.
    fn usage(&self, windows: &[String]) -> Vec<Field> {
        let Subject::Item { limits, .. } = &self.subject else {
            return Vec::new();
        };
        let named = |place: &u32| windows.get(*place as usize).map(String::as_str);
        let windows: Vec<_> = self.windows.iter().filter_map(named).collect();
        vec![
            text("limit_name", limits),
            text("window", &windows.join(",")),
        ]
    }

    /// The field that says which shard was not brought up.
    fn shard(&self) -> Option<Field> {
        let Subject::Item { key, .. } = &self.subject else {
            return None;
        };
        match Place::of(key)? {
            Place::Bucket(bucket) => {
                let number = FieldValue::Number(bucket.shard?.number.to_string());
                Some(field("shard", number))
            }
            Place::Snapshot(_) => None,
        }
    }
}

/// The item that an operation is about; of a transaction its first.
fn item(operation: &Operation) -> Option<Key> {
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

/// The limits that a snapshot's write counts, joined by commas.
fn limits(operation: &Operation) -> String {
    let Operation::UpdateItem(update) = operation else {
        return String::new();
    };
    let counters = update.assignments.iter().filter(|assignment| {
        matches!(assignment.change, Change::Add(_)) && assignment.attribute != TOTAL_EVENTS
    });
    let limits: Vec<_> = counters.map(|counter| counter.attribute.as_str()).collect();
    limits.join(",")
}

fn text(name: &str, text: &str) -> Field {
    field(name, FieldValue::Text(text.into()))
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
        let Some(entry) = Failed::of(write).line(write.purpose, &windows) else {
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
                "Level::Warning Scope::Processor Error updating snapshot entity_id=ann resource=a#b limit_name=rpm,tpm window=daily,hourly",
            ),
            (
                Purpose::Refill,
                update("ENTITY#ann", "#BUCKET#gpt-4", &["b_rpm_tk"]),
                "Level::Warning Scope::Processor Error refilling bucket entity_id=ann resource=gpt-4",
            ),
            (
                Purpose::ShardBump,
                update(&bucket(0), "#STATE", &[]),
                "Level::Warning Scope::Processor Error in proactive sharding entity_id=ann resource=gpt-4",
            ),
            (
                Purpose::ShardPropagation,
                update(&bucket(3), "#STATE", &[]),
                "Level::Warning Scope::Processor Error propagating shard_count entity_id=ann resource=gpt-4 shard=3",
            ),
            (
                Purpose::Archive,
                object.clone(),
                "Level::Error Scope::Archiver Error writing to S3 bucket=FieldValue::Fact(Fact::Bucket) key=audit/a.gz",
            ),
            (Purpose::Quarantine, object, "nothing"),
        ] {
            assert_eq!(said(&write(purpose, operation)), expected);
        }
    }
}
