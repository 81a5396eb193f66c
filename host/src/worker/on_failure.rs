//! Where discarded records go: the on-failure file, or else the log.

use super::error::WorkerError;
use crate::event_source::{DiscardReason, Discarded, EpochMillis};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tracing::error;

/// Where discarded records go.
pub(super) enum OnFailure {
    /// A file, one JSON line for each discard.
    File {
        /// Its path.
        path: PathBuf,
        /// Open for appending.
        file: File,
    },
    /// An ERROR line of the log for each record.
    Log,
}

/// A line of the on-failure file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureLine<'a> {
    reason: DiscardReason,
    shard_id: &'a str,
    stream_arn: &'a str,
    at: EpochMillis,
    records: Vec<&'a RawValue>,
}

impl OnFailure {
    /// Makes sure that the file can be written, if there is one.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, WorkerError> {
        let Some(path) = path else {
            return Ok(Self::Log);
        };
        let path = path.to_owned();
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(Self::File { path, file }),
            Err(source) => Err(WorkerError::OnFailure { path, source }),
        }
    }

    /// Stores discarded records whole.
    pub(super) fn store(
        &mut self,
        stream_arn: &str,
        shard_id: &str,
        discarded: &Discarded,
        at: EpochMillis,
    ) -> Result<(), WorkerError> {
        let records = discarded.records.iter().map(|record| record.json());
        match self {
            Self::Log => {
                for record in records {
                    error!(shard_id, reason = %discarded.reason, record = record.get(), "Record discarded");
                }
                Ok(())
            }
            Self::File { path, file } => {
                let line = FailureLine {
                    reason: discarded.reason,
                    shard_id,
                    stream_arn,
                    at,
                    records: records.collect(),
                };
                append_line(file, &line).map_err(|source| WorkerError::OnFailure {
                    path: path.clone(),
                    source,
                })
            }
        }
    }
}

fn append_line(file: &mut File, line: &FailureLine) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}
