//! The rules of Lambda's event source mapping for DynamoDB streams: filters, batches, order, redelivery,
//! bisection, limits, and parents before children. Pure state: no I/O and no clock, times are passed in.
//!
//! Source of the rules: AWS Lambda developer guide, "Using AWS Lambda with Amazon DynamoDB" and "Configuring
//! partial batch response". Where that is silent the doc comment here says what was chosen.

mod backoff;
mod delivery;
mod lineage;
mod queue;
mod record;
mod rules;
mod shard;
mod time;

pub use backoff::pause_after;
pub use delivery::{DiscardReason, Discarded, DueBatch, Next, Settled, Verdict};
pub use lineage::{LISTS_TO_BELIEVE, Lineage, ShardDescription, ShardState};
pub use record::{RecordError, StreamRecord, event};
pub use rules::{
    BisectOnError, ItemFailures, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_BATCH_WINDOW,
    MAX_RECORD_AGE, MAX_RETRIES, Rules, RulesError,
};
pub use shard::ShardSource;
pub use time::EpochMillis;
