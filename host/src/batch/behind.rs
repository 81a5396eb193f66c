//! Batches of which nothing counts because all of it lies before what was counted already: a stream that starts anew
//! under the same label, a replica, an old checkpoint. A batch that is only delivered again ends where it ended before.

use super::{Delivery, Processor};
use crate::{
    contract::{
        Assignment, Attribute, AttributeValue, Change, Condition, Level, Operation, Purpose,
        StoredItem, Test, Write,
    },
    event::Records,
    store::Outcome,
    telemetry::{self, Fields, Logger},
};
use std::sync::PoisonError;

/// Streams that are remembered as told of.
const MOST_STREAMS: usize = 1_000;

/// A batch's usage writes, and how many of them met a position later than their own last.
#[derive(Default)]
pub(super) struct Behind {
    writes: u32,
    behind: u32,
}

impl Behind {
    /// Counts what became of a write.
    pub(super) fn count(&mut self, write: &Write, outcome: &Outcome) {
        if write.purpose != Purpose::Usage {
            return;
        }
        self.writes += 1;
        if let Outcome::Conflicted { stored } = outcome {
            self.behind += u32::from(is_behind(write, stored));
        }
    }

    /// Whether all of the batch lies before what was counted.
    pub(super) fn is_all(&self) -> bool {
        self.writes > 0 && self.behind == self.writes
    }
}

impl Processor {
    /// Warns of a stream, once, of which all of a batch lies before what was counted.
    pub(super) fn warn_of_stream(&self, records: &Records<'_>, delivery: &Delivery) {
        let stream = records.stream(0).unwrap_or_default();
        let mut told = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_STREAMS || !told.insert(stream.clone()) {
            return;
        }
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("stream", stream);
        telemetry::line(
            Level::Warning,
            Logger::Handler,
            "Usage not counted - the batch lies before what was counted already, as that of a new or restored stream does",
            &fields,
        );
    }
}

/// Whether the stored position is later than the last that the write would store.
fn is_behind(write: &Write, stored: &[StoredItem]) -> bool {
    let (Operation::UpdateItem(update), [stored]) = (&write.operation, stored) else {
        return false;
    };
    let is_tested = |name: &str| {
        update
            .conditions
            .iter()
            .any(|Condition { attribute, test }| {
                attribute == name && matches!(test, Test::AbsentOrLessThan(_))
            })
    };
    let last =
        update
            .assignments
            .iter()
            .find_map(|Assignment { attribute, change }| match change {
                Change::Set(AttributeValue::Text(last)) if is_tested(attribute) => {
                    Some((attribute, last))
                }
                _ => None,
            });
    let Some((name, last)) = last else {
        return false;
    };
    let has_later = |Attribute {
                         name: stored,
                         value,
                     }: &Attribute| {
        stored == name && matches!(value, AttributeValue::Text(value) if value > last)
    };
    stored
        .item
        .as_ref()
        .is_some_and(|item| item.iter().any(has_later))
}
