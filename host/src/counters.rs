//! What is counted over a batch, or over many: one table, from which the sums, the metrics and the fields of log lines come.

use crate::{contract::Purpose, telemetry::Fields};
use serde::Serialize;
use std::{collections::BTreeMap, ops::AddAssign};

/// How the counts of two batches come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    Sum,
    Maximum,
}

/// What a metric's figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The count itself.
    Count,
    /// A time, counted in microseconds.
    Milliseconds,
}

/// The table: for each counter its name, that of its field in log lines, how it is summed up, and its metric.
macro_rules! counters {
    ($(
        $(#[$doc:meta])+
        $counter:ident, $name:ident, $field:literal, $together:ident $(, $unit:ident $metric:literal)?;
    )+) => {
        /// Counts over one batch, or over many.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
            /// Writes that failed, by purpose.
            pub failures_by_purpose: BTreeMap<String, u64>,
        }

        /// A row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter {
            $($(#[$doc])+ $counter,)+
        }

        impl Counter {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$counter,)+];

            /// Its count.
            pub(crate) fn of(self, counters: &Counters) -> u64 {
                match self {
                    $(Self::$counter => counters.$name,)+
                }
            }

            fn of_mut(self, counters: &mut Counters) -> &mut u64 {
                match self {
                    $(Self::$counter => &mut counters.$name,)+
                }
            }

            fn together(self) -> Together {
                match self {
                    $(Self::$counter => Together::$together,)+
                }
            }

            /// Its field in log lines.
            fn field(self) -> &'static str {
                match self {
                    $(Self::$counter => $field,)+
                }
            }

            /// Its metric, where it is one.
            pub(crate) fn metric(self) -> Option<(&'static str, Unit)> {
                match self {
                    $(Self::$counter => None$(.or(Some(($metric, Unit::$unit))))?,)+
                }
            }
        }
    };
}

counters! {
    /// Batches.
    Batches, batches, "batches", Sum;
    /// Records.
    Records, records, "records", Sum, Count "Records";
    /// Changes of a limit's counter.
    Deltas, deltas, "deltas_extracted", Sum, Count "Deltas";
    /// Buckets of which only the usage is summed, because their rules could not be read or are of a later generation.
    Degraded, degraded, "degraded_buckets", Sum, Count "DegradedBuckets";
    /// Pairs of delta and window that were added to snapshots: the writes there would be without merging.
    SnapshotUpdates, snapshot_updates, "snapshots_updated", Sum;
    /// Writes that added them.
    SnapshotWrites, snapshot_writes, "snapshot_writes", Sum, Count "SnapshotWrites";
    /// Buckets refilled.
    Refills, refills, "refills_written", Sum, Count "Refills";
    /// Shard counts doubled.
    ShardBumps, shard_bumps, "shard_bumps", Sum, Count "ShardBumps";
    /// Shards brought to a new count, or created.
    ShardsPropagated, shards_propagated, "shards_propagated", Sum, Count "ShardsPropagated";
    /// Writes whose condition did not hold.
    Conflicts, conflicts, "conflicts", Sum, Count "Conflicts";
    /// Pairs of delta and window refused because they had been added before.
    Duplicates, duplicates, "duplicates", Sum, Count "DuplicatesRefused";
    /// Records, or parts of one, that could not be used.
    Rejects, rejects, "rejects", Sum, Count "Rejects";
    /// Records kept in quarantine, because they were rejected or because a write of theirs can never be made.
    QuarantinedRecords, quarantined_records, "quarantined_records", Sum, Count "QuarantinedRecords";
    /// Writes that failed.
    Failures, failures, "failures", Sum, Count "Failures";
    /// Audit events stored.
    ArchivedEvents, archived_events, "events_archived", Sum, Count "ArchivedEvents";
    /// Objects they were stored in.
    ArchivedObjects, archived_objects, "s3_objects_created", Sum;
    /// Batches that a shadow was given.
    ShadowBatches, shadow_batches, "shadow_batches", Sum;
    /// Differences between its plans and those that were carried out.
    ShadowDifferences, shadow_differences, "shadow_differences", Sum, Count "ShadowDifferences";
    /// Batches that it could not plan.
    ShadowFailures, shadow_failures, "shadow_failures", Sum, Count "ShadowFailures";
    /// Batches whose shadow plan was not finished in time, or not begun because another one was being made.
    ShadowUnfinished, shadow_unfinished, "shadow_unfinished", Sum, Count "ShadowUnfinished";
    /// New components that took over.
    ComponentsExchanged, components_exchanged, "components_exchanged", Sum, Count "ComponentsExchanged";
    /// New components that were refused.
    ComponentsRefused, components_refused, "components_refused", Sum, Count "ComponentsRefused";
    /// Components that failed and were rolled back.
    ComponentsRolledBack, components_rolled_back, "components_rolled_back", Sum, Count "ComponentsRolledBack";
    /// Time spent planning, in microseconds.
    PlanMicros, plan_micros, "plan_micros", Sum, Milliseconds "PlanTime";
    /// Time spent writing, in microseconds.
    ApplyMicros, apply_micros, "apply_micros", Sum, Milliseconds "ApplyTime";
    /// The longest that a batch took, in microseconds.
    SlowestBatchMicros, slowest_batch_micros, "slowest_batch_micros", Maximum;
}

impl Counters {
    /// Counts a failed write.
    pub(crate) fn count_failure(&mut self, purpose: Purpose) {
        self.failures += 1;
        *self
            .failures_by_purpose
            .entry(purpose.to_string())
            .or_default() += 1;
    }
}

impl AddAssign<&Counters> for Counters {
    fn add_assign(&mut self, other: &Counters) {
        for counter in Counter::ALL {
            let (sum, more) = (counter.of_mut(self), counter.of(other));
            *sum = match counter.together() {
                Together::Sum => *sum + more,
                Together::Maximum => (*sum).max(more),
            };
        }
        for (purpose, count) in &other.failures_by_purpose {
            *self.failures_by_purpose.entry(purpose.clone()).or_default() += count;
        }
    }
}

/// Some of the counts, as fields of a log line.
pub(crate) struct Counted<'a>(pub(crate) &'a Counters, pub(crate) &'static [Counter]);

impl Counted<'_> {
    /// Adds a field for each.
    pub(crate) fn append_to(&self, fields: Fields) -> Fields {
        let Self(counters, rows) = self;
        rows.iter().fold(fields, |fields, counter| {
            fields.with(counter.field(), counter.of(counters))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_up_and_of_the_slowest_the_slower_counts() {
        let one = Counters {
            batches: 1,
            refills: 2,
            slowest_batch_micros: 9,
            failures_by_purpose: BTreeMap::from([("usage".into(), 1)]),
            ..Counters::default()
        };
        let mut sum = Counters {
            slowest_batch_micros: 7,
            ..one.clone()
        };
        sum += &one;
        let expected = Counters {
            batches: 2,
            refills: 4,
            slowest_batch_micros: 9,
            failures_by_purpose: BTreeMap::from([("usage".into(), 2)]),
            ..Counters::default()
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn no_two_counters_have_one_field_or_metric() {
        for (at, counter) in Counter::ALL.iter().enumerate() {
            for other in &Counter::ALL[at + 1..] {
                assert_ne!(counter.field(), other.field());
                assert!(counter.metric().is_none() || counter.metric() != other.metric());
            }
        }
    }
}
