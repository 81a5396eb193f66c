//! Batches of which nothing counts because all of it lies before what was counted already: a stream that starts anew
//! under the same label, a replica, an old checkpoint. A batch that is only delivered again ends where it ended before.

use super::{Delivery, Processor, sent::Sent};
use crate::{
    contract::{
        Assignment, Attribute, AttributeValue, Change, Operation, Purpose, StoredItem, Test,
    },
    event::{BatchIndex, Records},
    notice::Notice,
    store::Written,
};
use std::sync::PoisonError;

/// The most streams that are remembered as warned of.
const MAX_STREAMS: usize = 1_000;

/// A batch's usage writes, and how many of them met a position later than their own last.
#[derive(Default)]
pub(super) struct Behind {
    writes: u32,
    behind: u32,
}

/// The position that a write stores if it is later than the stored one.
pub(super) struct Position {
    attribute: String,
    last: String,
}

impl Position {
    /// That of an update, if it has one.
    pub(super) fn of(operation: &Operation) -> Option<Self> {
        let Operation::UpdateItem(update) = operation else {
            return None;
        };
        let is_tested = |name: &str| {
            update.conditions.iter().any(|condition| {
                condition.attribute == name && matches!(condition.test, Test::AbsentOrLessThan(_))
            })
        };
        let position = |Assignment { attribute, change }: &Assignment| match change {
            Change::Set(AttributeValue::Text(last)) if is_tested(attribute) => Some(Self {
                attribute: attribute.clone(),
                last: last.clone(),
            }),
            _ => None,
        };
        update.assignments.iter().find_map(position)
    }

    /// Whether the stored item has a later one.
    fn is_before(&self, stored: &StoredItem) -> bool {
        let is_later = |Attribute { name, value }: &Attribute| {
            *name == self.attribute
                && matches!(value, AttributeValue::Text(stored) if *stored > self.last)
        };
        stored.item.iter().flatten().any(is_later)
    }
}

impl Behind {
    /// Counts what became of a write.
    pub(super) fn count(&mut self, sent: &Sent, written: &Written) {
        if sent.purpose != Purpose::Usage {
            return;
        }
        self.writes += 1;
        if let (Some(position), Written::Conflicted { stored }) = (&sent.position, written)
            && let [stored] = stored.as_slice()
        {
            self.behind += u32::from(position.is_before(stored));
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
        let stream = records.stream(BatchIndex::from(0)).unwrap_or_default();
        let mut told = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_STREAMS || !told.insert(stream.clone()) {
            return;
        }
        let notice = Notice::UsageBehind {
            request_id: &delivery.request_id,
            stream: &stream,
        };
        notice.emit();
    }
}
