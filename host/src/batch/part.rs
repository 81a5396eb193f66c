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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Key;
    use std::time::Duration;

    fn delivery() -> Delivery {
        Delivery {
            request_id: "r".into(),
            function_name: "f".into(),
            now: 5,
            deadline: tokio::time::Instant::now() + Duration::from_secs(1),
        }
    }

    fn item(sk: &str, exists: bool) -> StoredItem {
        StoredItem {
            key: Key {
                pk: "p".into(),
                sk: sk.into(),
            },
            item: exists.then(Vec::new),
        }
    }

    #[test]
    fn of_an_item_the_newest_state_is_shown() {
        let mut part = Part::whole(b"{}".to_vec(), &delivery());
        part.show(&[item("a", false), item("b", false)]);
        part.show(&[item("a", true)]);
        assert_eq!(part.batch.known, [item("b", false), item("a", true)]);
    }

    #[test]
    fn an_event_is_copied_only_where_somebody_else_still_reads_it() {
        let mut part = Part::whole(b"{}".to_vec(), &delivery());
        let event = part.batch.event.as_ptr();
        part.show(&[item("a", false)]);
        assert_eq!(part.batch.event.as_ptr(), event);
        let shadow = Arc::clone(&part.batch);
        part.show(&[item("b", false)]);
        assert_ne!(part.batch.event.as_ptr(), event);
        assert_eq!((shadow.event.as_ptr(), shadow.known.len()), (event, 1));
    }

    #[test]
    fn a_part_says_where_in_the_batch_its_records_are() {
        let records = Records::of(r#"{"Records":[0,1,2,3]}"#);
        let part = Part::of(&records, 2..4, &delivery());
        assert_eq!(part.batch.event, br#"{"Records":[2,3]}"#);
        assert_eq!(part.index(PartIndex::from(1)), BatchIndex::from(3));
    }
}
