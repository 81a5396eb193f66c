//! The stream's shards, as DescribeStream lists them.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{Shard, StreamStatus, StreamViewType};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::event_source::{ShardDescription, ShardState};

/// The shards that a stream has, and whether more can come.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) shards: Vec<ShardDescription>,
    pub(super) growth: Growth,
    pub(super) view: Option<StreamViewType>,
}

impl Listing {
    pub(super) fn find(&self, shard_id: &str) -> Option<&ShardDescription> {
        self.shards.iter().find(|shard| shard.id == shard_id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Possible,
    Over,
}

/// Lists shards for all who ask. Shards end together, and AWS allows ten calls per second: so who asks while
/// others wait shares their list.
pub(super) struct Census {
    streams: Client,
    stream_arn: String,
    /// The last list, and when it was begun.
    latest: Mutex<Option<(Instant, Arc<Listing>)>>,
}

impl Census {
    pub(super) fn new(streams: Client, stream_arn: &str) -> Self {
        Self {
            streams,
            stream_arn: stream_arn.to_owned(),
            latest: Mutex::default(),
        }
    }

    /// A list that was begun now or later.
    pub(super) async fn list(&self) -> Result<Arc<Listing>, Trouble> {
        let asked = Instant::now();
        let mut latest = self.latest.lock().await;
        if let Some((begun, listing)) = &*latest
            && *begun > asked
        {
            return Ok(Arc::clone(listing));
        }
        let begun = Instant::now();
        let listing = Arc::new(self.read().await.map_err(Trouble::of_stream)?);
        *latest = Some((begun, Arc::clone(&listing)));
        Ok(listing)
    }

    async fn read(&self) -> Result<Listing, Trouble> {
        let mut shards = Vec::new();
        let mut after = None;
        loop {
            let request = self.streams.describe_stream().stream_arn(&self.stream_arn);
            let page = request
                .set_exclusive_start_shard_id(after.clone())
                .send()
                .await?;
            let description = page.stream_description.ok_or_else(|| {
                Trouble::malformed("DescribeStream answered without a description")
            })?;
            let listed = description
                .shards
                .ok_or_else(|| Trouble::malformed("DescribeStream answered without shards"))?;
            for shard in listed {
                shards.push(describe(shard)?);
            }
            let next = description
                .last_evaluated_shard_id
                .filter(|id| !id.is_empty());
            if next.is_none() {
                return Ok(Listing {
                    shards,
                    growth: match description.stream_status {
                        Some(StreamStatus::Disabled) => Growth::Over,
                        _ => Growth::Possible,
                    },
                    view: description.stream_view_type,
                });
            }
            if next == after {
                return Err(Trouble::malformed(
                    "DescribeStream answered with the same page again",
                ));
            }
            after = next;
        }
    }
}

fn describe(shard: Shard) -> Result<ShardDescription, Trouble> {
    let id = shard
        .shard_id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Trouble::malformed("DescribeStream answered with a shard without name"))?;
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
