//! What all tasks of a worker use.

use super::{
    call_failure::CallFailure, error::WorkerError, options::WorkerOptions, shard_list::ShardLists,
    state::WorkerState,
};
use crate::{batch::Processor, event_source::EpochMillis};
use aws_sdk_dynamodbstreams::Client;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// What all tasks of a worker use.
pub(super) struct Shared {
    pub(super) streams: Client,
    pub(super) shard_lists: ShardLists,
    pub(super) stream_arn: String,
    pub(super) region: String,
    pub(super) processor: Arc<Processor>,
    pub(super) options: WorkerOptions,
    pub(super) state: WorkerState,
}

impl Shared {
    /// The error that ends the worker when its stream cannot be read.
    pub(super) fn unreadable(&self, failure: CallFailure) -> WorkerError {
        WorkerError::Stream {
            stream_arn: self.stream_arn.clone(),
            reason: failure.reason,
        }
    }
}

/// The time.
pub(super) fn epoch_millis() -> EpochMillis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
