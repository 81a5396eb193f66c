//! What a worker did.

use serde::Serialize;

/// What a worker did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    /// Shards that were read.
    pub shards: u64,
    /// Deliveries, including redeliveries.
    pub batches: u64,
    /// Deliveries after which records had to be delivered again.
    pub redeliveries: u64,
    /// Records delivered and done.
    pub records: u64,
    /// Records discarded.
    pub discarded: u64,
    /// Records of shards that were read again, whose usage was refused as counted before and may not have been.
    pub refused: u64,
    /// Shards that left the stream before they were read to the end.
    pub gone: u64,
}

impl WorkerReport {
    /// Whether some usage may not have been counted.
    pub fn has_losses(&self) -> bool {
        self.discarded > 0 || self.refused > 0 || self.gone > 0
    }
}
