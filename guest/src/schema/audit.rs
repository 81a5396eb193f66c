//! What an audit event is archived with, and where.

use alloc::{format, string::String};
use chrono::{Datelike, NaiveDate};
use serde_json::value::RawValue;

/// Attributes that an audit event is exported with, in the order of export.
pub const EXPORTED: [&str; 7] = [
    "event_id",
    ENTITY,
    ACTION,
    TIMESTAMP,
    "principal",
    "resource",
    DETAILS,
];

/// What was done. An audit event without it is refused.
pub const ACTION: &str = "action";

/// When it was done.
pub const TIMESTAMP: &str = "timestamp";

/// A map of further details; exported as an empty one if it is not a map.
pub const DETAILS: &str = "details";

/// Whom it was done to; a bucket names its entity in the same attribute.
pub const ENTITY: &str = "entity_id";

/// An image's raw values of the [`EXPORTED`] attributes.
#[derive(Debug, Default)]
pub struct Audit<'a>([Option<&'a RawValue>; EXPORTED.len()]);

impl<'a> Audit<'a> {
    /// The typed value of an attribute, where the image has it.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(place(name)?).copied().flatten()
    }

    /// Where the value of an attribute goes, if audit events are exported with it.
    pub fn slot(&mut self, name: &str) -> Option<&mut Option<&'a RawValue>> {
        self.0.get_mut(place(name)?)
    }
}

/// Where an attribute stands in [`EXPORTED`].
pub fn place(name: &str) -> Option<usize> {
    EXPORTED.iter().position(|exported| *exported == name)
}

/// The key of the archive object of this name for a day.
pub fn object_key(day: NaiveDate, name: &str) -> String {
    format!(
        "audit/year={}/month={:02}/day={:02}/{name}.jsonl.gz",
        day.year(),
        day.month(),
        day.day()
    )
}
