//! A delivery and what follows from it: the batch, the verdict on it, and what becomes of its records.

use super::{
    record::{StreamRecord, event},
    time::EpochMillis,
};
use serde::Serialize;
use std::{fmt, sync::Arc};

/// What is to be done next for a shard.
#[derive(Clone, Debug)]
pub enum Next {
    /// A batch to deliver now. It stays the next one until it is settled.
    Batch(DueBatch),
    /// Records that are too old to be delivered. They count as dealt with: store them and ask again.
    Discarded(Discarded),
    /// Nothing before that time, unless more records come.
    Wait {
        /// When to ask again.
        until: EpochMillis,
    },
    /// Nothing at all.
    Idle,
}

/// A batch that is being delivered.
#[derive(Clone, Debug)]
pub struct DueBatch {
    pub(super) records: Vec<Arc<StreamRecord>>,
    pub(super) attempt: u32,
}

impl DueBatch {
    /// Its records, at least one, in the order of the shard.
    pub fn records(&self) -> &[Arc<StreamRecord>] {
        &self.records
    }

    /// 1 plus the retries used. The halves of a batch have the attempt of the whole.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The event to deliver.
    pub fn event(&self) -> Vec<u8> {
        event(&self.records)
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All records are done.
    Done,
    /// The function answered with these item identifiers. If there are none, all records are done. If one is not
    /// of this batch, the batch has failed.
    PartialFailure(Vec<String>),
    /// The function failed or ran out of time.
    Failed,
}

/// What follows from a verdict.
#[derive(Clone, Debug)]
pub enum Settled {
    /// The batch is done.
    Done {
        /// Its number of records.
        records: usize,
    },
    /// The first records are done; the others are a new batch with its own retries.
    Remainder {
        /// Records done.
        done: usize,
        /// Records to be delivered again.
        left: usize,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch was split into halves.
    Bisected {
        /// Records of the first half.
        first: usize,
        /// Records of the second half.
        second: usize,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch is delivered again.
    Retried {
        /// Its number of records.
        records: usize,
        /// Retries used, including this one.
        retries: u32,
        /// When the next delivery is due.
        retry_at: EpochMillis,
    },
    /// The batch was discarded.
    Discarded(Discarded),
}

/// Records for the on-failure destination. The shard has gone on without them.
#[derive(Clone, Debug)]
pub struct Discarded {
    /// The records, whole, at least one.
    pub records: Vec<Arc<StreamRecord>>,
    /// Why they were discarded.
    pub reason: DiscardReason,
}

/// Why records were discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DiscardReason {
    /// They were delivered once and [`super::Rules::retries`] times again, and failed each time.
    RetriesExhausted,
    /// They are older than [`super::Rules::maximum_record_age`].
    RecordTooOld,
    /// They were delivered, and their usage was refused as counted before, which it may not have been: their shard
    /// was read again after the shards that continue it.
    RefusedAsCounted,
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RetriesExhausted => "RetriesExhausted",
            Self::RecordTooOld => "RecordTooOld",
            Self::RefusedAsCounted => "RefusedAsCounted",
        })
    }
}
