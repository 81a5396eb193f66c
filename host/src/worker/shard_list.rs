//! The stream's shards, as DescribeStream lists them.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{Shard, StreamStatus, StreamViewType};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::call_failure::CallFailure;
use crate::event_source::{ShardDescription, ShardState};

/// The shards that a stream has, and whether more can come.
#[derive(Debug)]
pub(super) struct ShardList {
    pub(super) shards: Vec<ShardDescription>,
    pub(super) growth: Growth,
    pub(super) view: Option<StreamViewType>,
}

impl ShardList {
    pub(super) fn find(&self, shard_id: &str) -> Option<&ShardDescription> {
        self.shards.iter().find(|shard| shard.id == shard_id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Possible,
    Over,
}

/// Lists shards for every task. Shards end together, and AWS allows ten calls per second, so tasks that ask at the same
/// time share a list.
pub(super) struct ShardLists {
    streams: Client,
    stream_arn: String,
    /// The last list, and when it was begun.
    latest: Mutex<Option<(Instant, Arc<ShardList>)>>,
}

impl ShardLists {
    pub(super) fn new(streams: Client, stream_arn: &str) -> Self {
        Self {
            streams,
            stream_arn: stream_arn.to_owned(),
            latest: Mutex::default(),
        }
    }

    /// A list that was requested now or later.
    pub(super) async fn list(&self) -> Result<Arc<ShardList>, CallFailure> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if let Some((begun, list)) = &*latest
            && *begun > asked
        {
            return Ok(Arc::clone(list));
        }
        let begun = Instant::now();
        let list = Arc::new(self.read().await.map_err(CallFailure::of_stream)?);
        *latest = Some((begun, Arc::clone(&list)));
        Ok(list)
    }

    async fn read(&self) -> Result<ShardList, CallFailure> {
        let mut shards = Vec::new();
        let mut after = None;
        loop {
            let request = self.streams.describe_stream().stream_arn(&self.stream_arn);
            let page = request
                .set_exclusive_start_shard_id(after.clone())
                .send()
                .await?;
            let description = page.stream_description.ok_or_else(|| {
                CallFailure::malformed("DescribeStream answered without a description")
            })?;
            let listed = description
                .shards
                .ok_or_else(|| CallFailure::malformed("DescribeStream answered without shards"))?;
            for shard in listed {
                shards.push(describe(shard)?);
            }
            let next = description
                .last_evaluated_shard_id
                .filter(|id| !id.is_empty());
            if next.is_none() {
                return Ok(ShardList {
                    shards,
                    growth: match description.stream_status {
                        Some(StreamStatus::Disabled) => Growth::Over,
                        _ => Growth::Possible,
                    },
                    view: description.stream_view_type,
                });
            }
            if next == after {
                return Err(CallFailure::malformed(
                    "DescribeStream answered with the same page again",
                ));
            }
            after = next;
        }
    }
}

fn describe(shard: Shard) -> Result<ShardDescription, CallFailure> {
    let id = shard.shard_id.filter(|id| !id.is_empty()).ok_or_else(|| {
        CallFailure::malformed("DescribeStream answered with a shard without name")
    })?;
    let end = shard
        .sequence_number_range
        .and_then(|range| range.ending_sequence_number);
    Ok(ShardDescription {
        id,
        parent: shard.parent_shard_id.filter(|parent| !parent.is_empty()),
        state: match end {
            Some(_) => ShardState::Ended,
            None => ShardState::Open,
        },
    })
}
