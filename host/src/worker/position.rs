//! Where to go on reading a shard.

use crate::event_source::EpochMillis;
use aws_sdk_dynamodbstreams::{
    operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder,
    types::ShardIteratorType,
};
use std::fmt;

/// Where to go on reading a shard.
#[derive(Clone, Debug)]
pub(super) enum Position {
    TrimHorizon,
    /// With the next record. This is the time.
    Latest(EpochMillis),
    /// With the first record created at that time or later.
    Since(EpochMillis),
    After(String),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("its oldest record"),
            Self::Latest(_) => f.write_str("its next record"),
            Self::Since(time) => write!(f, "its first record of {time} ms since 1970 or later"),
            Self::After(position) => write!(f, "after {position}"),
        }
    }
}

impl Position {
    /// Requests an iterator for this position.
    pub(super) fn request(
        &self,
        request: GetShardIteratorFluentBuilder,
    ) -> GetShardIteratorFluentBuilder {
        match self {
            Self::TrimHorizon | Self::Since(_) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            Self::Latest(_) => request.shard_iterator_type(ShardIteratorType::Latest),
            Self::After(sequence_number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(sequence_number),
        }
    }
}
