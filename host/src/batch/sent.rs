//! A write that was handed to the store: what the batch keeps of it.

use super::behind::Position;
use crate::{
    contract::{Entry, OnConflict, Purpose, Write},
    limiter::failed::Failed,
    store::Request,
};

/// All of a write but its operation, which has become the request.
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) purpose: Purpose,
    /// The item or object that it goes to, for people.
    pub(super) target: String,
    /// The records that it accounts for, as the plan counts them.
    pub(super) records: Vec<u32>,
    pub(super) updates: u32,
    pub(super) on_conflict: OnConflict,
    /// Where its usage ends in the stream.
    pub(super) position: Option<Position>,
    pub(super) when_applied: Vec<Entry>,
    pub(super) when_conflicted: Vec<Entry>,
    /// What the line of its failure tells.
    pub(super) failed: Failed,
}

impl Sent {
    /// Takes a write apart.
    pub(super) fn split(write: Write) -> (Self, Request) {
        let sent = Self {
            target: write.operation.target(),
            position: match write.purpose {
                Purpose::Usage => Position::of(&write.operation),
                _ => None,
            },
            id: write.id(),
            failed: Failed::of(&write),
            purpose: write.purpose,
            records: write.records,
            updates: write.updates,
            on_conflict: write.on_conflict,
            when_applied: write.when_applied,
            when_conflicted: write.when_conflicted,
        };
        let request = Request {
            operation: write.operation,
            on_conflict: write.on_conflict,
        };
        (sent, request)
    }
}
