//! How a worker works.

use crate::event_source::Rules;
use std::{path::PathBuf, time::Duration};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// How records are batched, delivered and discarded.
    pub rules: Rules,
    /// The file that remembers how far each shard is done. `None`: every run is a first one.
    pub checkpoint: Option<PathBuf>,
    /// The file that discarded records are appended to, whole, as JSON lines. `None`: each goes into an ERROR
    /// log line.
    pub on_failure: Option<PathBuf>,
    /// Where to begin with a stream that is not in the checkpoint file.
    pub start: StartPosition,
    /// How long to wait after a read that returned no records. AWS allows five reads per second and shard.
    pub poll_interval: Duration,
    /// The time-out of one delivery.
    pub batch_timeout: Duration,
    /// How long the stream must be readable and without records before the worker stops. `None`: it never stops by
    /// itself.
    pub stop_when_idle: Option<Duration>,
}

impl Default for WorkerOptions {
    /// The rules' defaults, no files, from the oldest record, 1 s between empty reads, 60 s per batch, without end.
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            checkpoint: None,
            on_failure: None,
            start: StartPosition::default(),
            poll_interval: Duration::from_secs(1),
            batch_timeout: Duration::from_secs(60),
            stop_when_idle: None,
        }
    }
}

/// Where to begin with a stream that is read for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartPosition {
    /// With the oldest record it still has.
    #[default]
    TrimHorizon,
    /// With the first record written after the start.
    Latest,
}
