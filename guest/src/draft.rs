//! The plan under construction. Log lines are numbered in the order in which they are begun.

use crate::{
    bucket::change::BucketChange,
    contract::{
        Entry, Fact, Field, FieldValue, GroupEntry, Level, Plan, Reject, Scope, Tally, Write,
    },
    schema::key::BucketKey,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;

/// A plan under construction.
pub struct Draft {
    level: Level,
    position: u32,
    plan: Plan,
}

/// A log line under construction; nothing where lines of its level are not wanted.
#[must_use = "say where the line goes: `log`, `entries` or `of_group`"]
pub struct Line<'d> {
    draft: &'d mut Draft,
    entry: Option<Entry>,
}

/// A length as the contract counts; no batch comes near the bound.
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Draft {
    /// An empty plan of a batch of that many records. Lines below the level are left out.
    pub fn new(level: Level, records: usize) -> Self {
        let tally = Tally {
            records: count(records),
            deltas: 0,
            duplicates: 0,
            events: 0,
            degraded: 0,
        };
        let plan = Plan {
            writes: Vec::new(),
            reads: Vec::new(),
            rejects: Vec::new(),
            log: Vec::new(),
            group_log: Vec::new(),
            tally,
        };
        Self {
            level,
            position: 0,
            plan,
        }
    }

    /// Begins a log line, which is built only where lines of its level are wanted.
    pub fn line(&mut self, level: Level, scope: Scope, message: impl Into<String>) -> Line<'_> {
        if level < self.level {
            return Line {
                draft: self,
                entry: None,
            };
        }
        self.begin(level, scope, message.into(), false)
    }

    /// Begins the log line of an error: it is built whatever the level, because the response lists it too.
    pub fn error_line(
        &mut self,
        level: Level,
        scope: Scope,
        message: impl Into<String>,
    ) -> Line<'_> {
        self.begin(level, scope, message.into(), true)
    }

    fn begin(&mut self, level: Level, scope: Scope, message: String, is_error: bool) -> Line<'_> {
        let entry = Entry {
            position: self.position(),
            level,
            scope,
            message,
            fields: Vec::new(),
            is_error,
        };
        Line {
            draft: self,
            entry: Some(entry),
        }
    }

    /// The next position in the log: that of a line, or of the line that the host makes if a write fails.
    pub fn position(&mut self) -> u32 {
        let position = self.position;
        self.position = position.saturating_add(1);
        position
    }

    /// Adds a write. Gives its place in the plan, by which lines about several writes name it.
    pub fn write(&mut self, write: Write) -> u32 {
        let place = count(self.plan.writes.len());
        self.plan.writes.push(write);
        place
    }

    /// Notes that a record, or a part of it, could not be used.
    pub fn reject(&mut self, record: u32, reason: String) {
        self.plan.rejects.push(Reject { record, reason });
    }

    /// Notes that a record could not be used, and says what that stopped.
    pub fn reject_aloud(&mut self, scope: Scope, record: u32, stopped: &str, reason: String) {
        self.error_line(Level::Warning, scope, format!("Error {stopped}: {reason}"))
            .number("record_index", record)
            .log();
        self.reject(record, reason);
    }

    /// Notes that a part of a bucket's change could not be used.
    pub fn reject_change(&mut self, change: &BucketChange<'_>, reason: String) {
        self.reject(change.record, reason);
    }

    /// Counts changes of a limit's counter.
    pub fn count_deltas(&mut self, deltas: usize) {
        self.plan.tally.deltas = count(deltas);
    }

    /// Counts audit events.
    pub fn count_events(&mut self, events: usize) {
        self.plan.tally.events = count(events);
    }

    /// Counts buckets of which only the usage is summed.
    pub fn count_degraded(&mut self, buckets: usize) {
        self.plan.tally.degraded = count(buckets);
    }

    /// Counts updates that are left out because they were made before.
    pub fn count_duplicates(&mut self, updates: usize) {
        let duplicates = &mut self.plan.tally.duplicates;
        *duplicates = duplicates.saturating_add(count(updates));
    }

    /// The plan.
    pub fn finish(self) -> Plan {
        self.plan
    }
}

impl Line<'_> {
    /// A field of text.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.field(name, || FieldValue::Text(value.into()))
    }

    /// A field with a list of texts.
    pub fn texts<'v>(self, name: &str, values: impl Iterator<Item = &'v str>) -> Self {
        self.field(name, || FieldValue::Texts(values.map(Into::into).collect()))
    }

    /// A field with a number.
    pub fn number(self, name: &str, value: impl Display) -> Self {
        self.field(name, || FieldValue::Number(value.to_string()))
    }

    /// A field with a JSON value.
    pub fn json(self, name: &str, json: &str) -> Self {
        self.field(name, || FieldValue::Json(json.into()))
    }

    /// A field that the host fills in.
    pub fn fact(self, name: &str, fact: Fact) -> Self {
        self.field(name, || FieldValue::Fact(fact))
    }

    /// The fields that say which bucket the line is about.
    pub fn bucket(self, bucket: &BucketKey<'_>) -> Self {
        self.text("entity_id", bucket.entity)
            .text("resource", bucket.resource)
    }

    fn field(mut self, name: &str, value: impl FnOnce() -> FieldValue) -> Self {
        if let Some(entry) = &mut self.entry {
            entry.fields.push(Field {
                name: name.into(),
                value: value(),
            });
        }
        self
    }

    /// Prints the line whatever becomes of the writes.
    pub fn log(self) {
        self.draft.plan.log.extend(self.entry);
    }

    /// The line for a list of a write.
    pub fn entries(self) -> Vec<Entry> {
        self.entry.into_iter().collect()
    }

    /// Prints the line once if at least one of these writes was applied.
    pub fn of_group(self, writes: Vec<u32>) {
        let group = self.entry.map(|entry| GroupEntry { writes, entry });
        self.draft.plan.group_log.extend(group);
    }
}
