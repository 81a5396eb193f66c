//! `weir worker`: reads a table's stream and delivers it as Lambda's event source mapping would.
//!
//! The rules are in [`crate::event_source`]. Here is what they need: the calls to the stream, the clock, the
//! checkpoint file and the on-failure file. Every shard is followed by its own task.
//!
//! No single answer of the stream is taken as final: what would end the reading of a shard must be confirmed after a
//! pause, and by DescribeStream as well. A contradiction that lasts ends the worker, not the shard.
//!
//! As with Lambda, a delivery can happen more than once, for instance after a crash between a batch and its
//! checkpoint. No record is skipped, unless the stream itself dropped it before it was read.

mod activity;
mod call_failure;
mod checkpoint;
mod error;
mod follower;
mod on_failure;
mod options;
mod phase;
mod position;
mod reader;
mod report;
mod shard_list;
mod shared;
mod state;
mod supervisor;
pub mod wire;

pub use error::WorkerError;
pub use options::{StartPosition, WorkerOptions};
pub use report::WorkerReport;

use crate::batch::Processor;
use aws_sdk_dynamodbstreams::{Client, config::retry::RetryConfig};
use shard_list::ShardLists;
use shared::Shared;
use state::WorkerState;
use std::sync::Arc;
use supervisor::Supervisor;
use tracing::info;

/// The function name of every delivery.
pub const FUNCTION_NAME: &str = "weir-worker";

/// Follows a stream until `shutdown` completes, until it is idle for [`WorkerOptions::stop_when_idle`], or until a
/// disabled stream is read to its end. Batches under way are finished first. `region` is written into records that
/// do not name theirs.
///
/// # Errors
/// [`WorkerError`]. Throttling and transient failures of the stream are not errors: the worker warns and retries.
pub async fn run(
    streams: &Client,
    stream_arn: &str,
    region: &str,
    processor: Arc<Processor>,
    options: &WorkerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<WorkerReport, WorkerError> {
    options.rules.check()?;
    // One attempt for each call: the worker itself retries, and says so.
    let config = streams.config().to_builder();
    let streams = Client::from_conf(config.retry_config(RetryConfig::disabled()).build());
    let shared = Arc::new(Shared {
        shard_lists: ShardLists::new(streams.clone(), stream_arn),
        streams,
        stream_arn: stream_arn.to_owned(),
        region: region.to_owned(),
        processor,
        options: options.clone(),
        state: WorkerState::open(stream_arn, options)?,
    });
    let mut supervisor = Supervisor::new(Arc::clone(&shared));
    let outcome = tokio::select! {
        outcome = supervisor.supervise() => outcome,
        () = shutdown => {
            info!(stream_arn, "Worker stopping, batches in hand are finished first");
            Ok(())
        }
    };
    let drained = supervisor.drain().await;
    outcome.and(drained)?;
    Ok(shared.state.report())
}
