//! Why a worker stops.

use super::wire;
use crate::event_source::RulesError;
use std::{io, path::PathBuf};
use tokio::task::JoinError;

/// Why a worker stopped. Batches under way were finished, and the checkpoint file is right.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A rule is out of bounds.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The stream cannot be read, and waiting does not help.
    #[error(
        "cannot read stream {stream_arn}: {reason}; check its name, the region, the endpoint, and the permission for DescribeStream, GetShardIterator and GetRecords"
    )]
    Stream {
        /// The stream.
        stream_arn: String,
        /// What the service or the network said.
        reason: String,
    },
    /// The records of the stream do not show usage.
    #[error(
        "stream {stream_arn} has the view type {view_type}, so its records lack the images of items before and after a change, and usage cannot be told from them: the view type of a stream cannot be changed, so disable the table's stream and enable one with NEW_AND_OLD_IMAGES; what is used until then is in no stream"
    )]
    ViewType {
        /// The stream.
        stream_arn: String,
        /// Its view type.
        view_type: String,
    },
    /// The position in the checkpoint file is not one of the shard.
    #[error(
        "the stream refuses the position {position} of shard {shard_id} in the checkpoint file {} ({reason}): correct it, or remove the shard's entry to have it read from its oldest record, which counts nothing twice", .path.display()
    )]
    BadPosition {
        /// The file.
        path: PathBuf,
        /// The shard.
        shard_id: String,
        /// The sequence number.
        position: String,
        /// What the service said.
        reason: String,
    },
    /// The stream says repeatedly that a shard has ended or does not exist, and that it is open.
    #[error(
        "shard {shard_id} cannot be read on from {position}: {reason}, {tries} times in a row, while DescribeStream lists it as open. Nothing was noted as finished, and a worker that is started again goes on there. If it stays so, look at what serves the stream: its endpoint, or a proxy before it"
    )]
    Contradiction {
        /// The shard.
        shard_id: String,
        /// Where it was to be read on.
        position: String,
        /// What reading it gave.
        reason: String,
        /// How often.
        tries: u32,
    },
    /// A record cannot be delivered in the form of a Lambda event.
    #[error("shard {shard_id} holds a record that cannot be delivered: {source}")]
    Record {
        /// The shard.
        shard_id: String,
        /// What is wrong with it.
        source: wire::WireError,
    },
    /// The checkpoint file cannot be parsed.
    #[error("the checkpoint file {} cannot be understood ({reason}): repair it, or delete it to begin at the start position", .path.display())]
    BadCheckpoint {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: serde_json::Error,
    },
    /// Another worker uses the checkpoint file.
    #[error("the checkpoint file {} is in use by another worker: end that one, or give this one a file of its own with --checkpoint", .path.display())]
    CheckpointInUse {
        /// The file.
        path: PathBuf,
    },
    /// The checkpoint file cannot be read or written.
    #[error("the checkpoint file {} cannot be read or written ({source}): check its folder, its permissions and the free space", .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Discarded records cannot be stored. They are not checkpointed, so they are delivered again.
    #[error("the on-failure file {} cannot be written ({source}): check its folder, its permissions and the free space", .path.display())]
    OnFailure {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The task that follows a shard panicked.
    #[error("following a shard broke off: {0}; this is a defect of Weir, please report it")]
    Crashed(JoinError),
}
