//! What is planned at once: the whole batch, or consecutive records of it.

use super::Delivery;
use crate::{
    contract::{Batch, StoredItem},
    event::{BatchIndex, Records},
};
use std::{ops::Range, sync::Arc};

/// A record's position in the part that is planned, as plans have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PartIndex(u32);

impl From<u32> for PartIndex {
    fn from(position: u32) -> Self {
        Self(position)
    }
}

/// Records that are planned together.
pub(super) struct Part {
    /// What the component is given: one copy for all rounds, the shadow and the sample.
    pub(super) batch: Arc<Batch>,
    /// Where in the whole batch its first record is.
    pub(super) first: BatchIndex,
}

impl Part {
    /// All of a batch.
    pub(super) fn whole(event: Vec<u8>, delivery: &Delivery) -> Self {
        Self::new(event, BatchIndex::from(0), delivery)
    }

    /// Some of a batch's records, as an event of their own.
    pub(super) fn of(records: &Records<'_>, range: Range<u32>, delivery: &Delivery) -> Self {
        let first = BatchIndex::from(range.start);
        Self::new(records.event(range).into_bytes(), first, delivery)
    }

    fn new(event: Vec<u8>, first: BatchIndex, delivery: &Delivery) -> Self {
        let batch = Batch {
            event,
            now: delivery.now,
            request_id: delivery.request_id.clone(),
            known: Vec::new(),
        };
        Self {
            batch: Arc::new(batch),
            first,
        }
    }

    /// Where in the whole batch a record of this part is.
    pub(super) fn index(&self, record: PartIndex) -> BatchIndex {
        self.first.plus(record.0)
    }

    /// Adds items to what the component is shown; of an item that it was shown before, the newer state.
    ///
    /// The batch is copied only where somebody else still works on it, which is a shadow.
    pub(super) fn show(&mut self, items: &[StoredItem]) {
        if items.is_empty() {
            return;
        }
        let known = &mut Arc::make_mut(&mut self.batch).known;
        for item in items {
            known.retain(|shown| shown.key != item.key);
            known.push(item.clone());
        }
    }
}
