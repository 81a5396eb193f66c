//! What became of a batch: the answer to whoever delivered it, and what was counted on the way.

use crate::{component::Exchanges, contract::Purpose};
use serde::Serialize;
use std::{collections::BTreeMap, ops::AddAssign};

/// What became of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The answer to whoever delivered it.
    #[serde(flatten)]
    pub response: Response,
    /// What was counted on the way.
    pub counters: Counters,
}

/// The answer to Lambda's event source mapping, and to people who call the function by hand.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Always 200: a batch that fails as a whole has no response.
    pub status_code: u16,
    /// What was done.
    pub body: Body,
    /// Where to deliver again from.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Body {
    /// Records in the batch.
    pub processed: u32,
    /// Pairs of delta and window that were added to snapshots.
    pub snapshots_updated: u64,
    /// Buckets refilled.
    pub refills_written: u64,
    /// Audit events stored.
    pub events_archived: u64,
    /// What went wrong, as far as a response holds it.
    pub errors: Vec<String>,
}

/// The most messages that a response lists.
const MOST_ERRORS: usize = 100;

/// The most bytes of one of them.
const LONGEST_ERROR: usize = 1024;

/// The most bytes of all of them.
const MOST_ERROR_BYTES: usize = 64 * 1024;

/// The messages that a response lists, and how many more there are. Lambda takes 6 MB at the most, and fails a batch
/// whose response is larger.
pub(super) fn listed(errors: Vec<String>) -> Vec<String> {
    let (count, mut bytes) = (errors.len(), 0);
    let mut listed: Vec<String> = errors
        .into_iter()
        .take(MOST_ERRORS)
        .map(|mut error| {
            if error.len() > LONGEST_ERROR {
                error.truncate(error.floor_char_boundary(LONGEST_ERROR));
                error.push('…');
            }
            error
        })
        .take_while(|error| {
            bytes += error.len();
            bytes <= MOST_ERROR_BYTES
        })
        .collect();
    match count - listed.len() {
        0 => {}
        1 => listed.push("… and 1 more error, see the log".into()),
        more => listed.push(format!("… and {more} more errors, see the log")),
    }
    listed
}

/// A record to be delivered again, with all after it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// Its sequence number.
    pub item_identifier: String,
}

/// Counts over one batch, or over many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// Changes of a limit's counter.
    pub deltas: u64,
    /// Pairs of delta and window that were added to snapshots: the writes there would be without merging.
    pub snapshot_updates: u64,
    /// Writes that added them.
    pub snapshot_writes: u64,
    /// Buckets refilled.
    pub refills: u64,
    /// Shard counts doubled.
    pub shard_bumps: u64,
    /// Shards brought to a new count, or created.
    pub shards_propagated: u64,
    /// Writes whose condition did not hold.
    pub conflicts: u64,
    /// Pairs of delta and window refused because they had been added before.
    pub duplicates: u64,
    /// Records, or parts of one, that could not be used.
    pub rejects: u64,
    /// Records kept in quarantine, because they were rejected or because a write of theirs can never be made.
    pub quarantined_records: u64,
    /// Writes that failed.
    pub failures: u64,
    /// The same by purpose, where any failed.
    pub failures_by_purpose: BTreeMap<String, u64>,
    /// Audit events stored.
    pub archived_events: u64,
    /// Objects they were stored in.
    pub archived_objects: u64,
    /// Batches that a shadow was given.
    pub shadow_batches: u64,
    /// Differences between its plans and those that were carried out.
    pub shadow_differences: u64,
    /// Batches that it could not plan.
    pub shadow_failures: u64,
    /// Batches that it was stopped at, because it took too long.
    pub shadow_unfinished: u64,
    /// New components that took over.
    pub components_exchanged: u64,
    /// New components that were not taken.
    pub components_refused: u64,
    /// Components that failed and were given up for the one before.
    pub components_rolled_back: u64,
    /// Time spent planning, in microseconds.
    pub plan_micros: u64,
    /// Time spent writing, in microseconds.
    pub apply_micros: u64,
    /// The longest that a batch took, in microseconds.
    pub slowest_batch_micros: u64,
}

impl Counters {
    /// Counts what became of new components.
    pub(super) fn count_exchanges(&mut self, exchanges: Exchanges) {
        self.components_exchanged += exchanges.exchanged;
        self.components_refused += exchanges.refused;
        self.components_rolled_back += exchanges.rolled_back;
    }

    /// Counts a write that failed.
    pub(super) fn count_failure(&mut self, purpose: Purpose) {
        self.failures += 1;
        *self
            .failures_by_purpose
            .entry(purpose.to_string())
            .or_default() += 1;
    }
}

impl AddAssign<&Counters> for Counters {
    fn add_assign(&mut self, other: &Counters) {
        self.batches += other.batches;
        self.records += other.records;
        self.deltas += other.deltas;
        self.snapshot_updates += other.snapshot_updates;
        self.snapshot_writes += other.snapshot_writes;
        self.refills += other.refills;
        self.shard_bumps += other.shard_bumps;
        self.shards_propagated += other.shards_propagated;
        self.conflicts += other.conflicts;
        self.duplicates += other.duplicates;
        self.rejects += other.rejects;
        self.quarantined_records += other.quarantined_records;
        self.failures += other.failures;
        for (purpose, count) in &other.failures_by_purpose {
            *self.failures_by_purpose.entry(purpose.clone()).or_default() += count;
        }
        self.archived_events += other.archived_events;
        self.archived_objects += other.archived_objects;
        self.shadow_batches += other.shadow_batches;
        self.shadow_differences += other.shadow_differences;
        self.shadow_failures += other.shadow_failures;
        self.shadow_unfinished += other.shadow_unfinished;
        self.components_exchanged += other.components_exchanged;
        self.components_refused += other.components_refused;
        self.components_rolled_back += other.components_rolled_back;
        self.plan_micros += other.plan_micros;
        self.apply_micros += other.apply_micros;
        self.slowest_batch_micros = self.slowest_batch_micros.max(other.slowest_batch_micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_errors_are_listed_as_they_are() {
        let errors: Vec<String> = (0..MOST_ERRORS).map(|n| format!("error {n}")).collect();
        assert_eq!(listed(errors.clone()), errors);
    }

    #[test]
    fn of_many_or_long_errors_the_first_are_listed_and_the_others_counted() {
        for (error, shown) in [
            ("short".to_string(), MOST_ERRORS),
            (
                "ü".repeat(700),
                MOST_ERROR_BYTES / (LONGEST_ERROR + '…'.len_utf8()),
            ),
        ] {
            let listed = listed(vec![error.clone(); 4_500]);
            let (last, first) = listed.split_last().unwrap();
            assert_eq!(first.len(), shown);
            assert!(first.iter().all(|listed| {
                listed.len() <= LONGEST_ERROR + 3 && error.starts_with(listed.trim_end_matches('…'))
            }));
            let more = 4_500 - shown;
            assert_eq!(last, &format!("… and {more} more errors, see the log"));
        }
    }
}
