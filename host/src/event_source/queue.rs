//! Records that wait to be delivered, and where they are cut into batches.

use super::{
    record::{StreamRecord, event_bytes},
    rules::Rules,
    time::{EpochMillis, millis},
};
use std::{collections::VecDeque, sync::Arc};

/// A record on its way.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) record: Arc<StreamRecord>,
    arrived: EpochMillis,
    /// The last of the filtered-out records that follow it directly: done when it is.
    pub(super) filtered_after: Option<String>,
}

/// Records of a shard that are not in a batch yet, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    records: VecDeque<Tracked>,
    /// The sum of their sizes with one comma each.
    bytes: usize,
}

impl Queue {
    /// Adds the record that follows in the shard.
    pub(super) fn push(&mut self, record: StreamRecord, now: EpochMillis) {
        self.bytes += record.size() + 1;
        self.records.push_back(Tracked {
            record: Arc::new(record),
            arrived: now,
            filtered_after: None,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record that was added last.
    pub(super) fn newest(&mut self) -> Option<&mut Tracked> {
        self.records.back_mut()
    }

    /// Whether there are enough records for a batch.
    pub(super) fn holds_a_batch(&self, rules: &Rules) -> bool {
        self.records.len() >= rules.batch_size
            || event_bytes(self.bytes) >= rules.maximum_batch_bytes
    }

    /// When the records become a batch by themselves. `None`: there are none.
    pub(super) fn closing_time(&self, rules: &Rules, now: EpochMillis) -> Option<EpochMillis> {
        let first = self.records.front()?;
        if self.holds_a_batch(rules) {
            return Some(now);
        }
        Some(first.arrived.saturating_add(millis(rules.batch_window)))
    }

    /// Takes the records of the next batch.
    pub(super) fn cut(&mut self, rules: &Rules) -> Vec<Tracked> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < rules.batch_size
            && let Some(next) = self.records.front()
        {
            bytes += next.record.size() + 1;
            if !records.is_empty() && event_bytes(bytes) > rules.maximum_batch_bytes {
                break;
            }
            self.bytes -= next.record.size() + 1;
            records.extend(self.records.pop_front());
        }
        records
    }
}
