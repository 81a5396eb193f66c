//! Files of events, as batches.

use anyhow::Context;
use clap::Args;
use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use weir::{
    contract::Batch,
    intake::{self, Source},
};

/// The files that `weir replay` and `weir apply` are given, and how to answer.
#[derive(Args)]
pub(crate) struct Events {
    /// JSON files: Lambda events of a DynamoDB stream, or records that were discarded or quarantined
    #[arg(required = true, value_name = "EVENT.json")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) moment: Moment,
    /// Name of the function
    #[arg(long, value_name = "NAME", default_value = "unknown")]
    pub(crate) function_name: String,
    /// Print JSON, one line for each batch
    #[arg(long)]
    pub(crate) json: bool,
}

/// When an event is taken to be processed, and as which delivery.
#[derive(Args)]
pub(crate) struct Moment {
    /// Time of processing, in milliseconds since the epoch [default: when a captured batch was planned, else now]
    #[arg(long, value_name = "MS")]
    now: Option<u64>,
    /// Name of the delivery [default: that of a captured batch, else unknown; apply makes one up]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// A batch of a file, as it is to be planned.
pub(crate) struct Given {
    /// The file, and which of its batches if it has several.
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) batch: Batch,
}

/// The batches in a file. A delivery that has no name yet gets one from `unnamed`.
pub(crate) fn batches(
    file: &Path,
    moment: &Moment,
    unnamed: impl Fn() -> String,
) -> anyhow::Result<Vec<Given>> {
    let found = intake::read(file).with_context(|| file.display().to_string())?;
    let count = found.len();
    let given = found.into_iter().zip(1..).map(|(found, number)| {
        let (kept_at, kept_as) = match found.origins {
            Some(origins) => (Some(origins.now), Some(origins.request_id)),
            None => (None, None),
        };
        let request_id = moment.request_id.clone().or(kept_as);
        Given {
            name: match count {
                1 => file.display().to_string(),
                _ => format!("{} (batch {number} of {count})", file.display()),
            },
            source: found.source,
            batch: Batch {
                event: found.event,
                now: moment.now.or(kept_at).unwrap_or_else(now),
                request_id: request_id.unwrap_or_else(&unnamed),
                known: Vec::new(),
            },
        }
    });
    Ok(given.collect())
}

/// The name of a delivery that is only planned: its plan is to be the same each time.
pub(crate) fn unknown() -> String {
    "unknown".into()
}

/// The time, in milliseconds since the epoch.
pub(crate) fn now() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0, |time| time.as_millis() as u64)
}
