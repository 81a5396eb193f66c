//! Where components come from: a file, or an object in S3.

mod file;
mod object;

pub(super) use file::read;

use super::{LogicError, settings::LogicSettings};
use crate::{
    contract::Level,
    location::Location,
    telemetry::{self, Fields, Logger},
};
use aws_sdk_s3::Client;
use std::{fmt, path::PathBuf, time::Duration};
use tokio::time;

/// Attempts to fetch the first component. Lambda gives a start ten seconds, and there may be a packaged component.
const MAX_FIRST_ATTEMPTS: u32 = 3;

/// How long the second attempt waits to begin; the third waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its plans are carried out.
    Logic,
    /// Its plans are compared with those that are.
    Shadow,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logic => "component",
            Self::Shadow => "shadow",
        })
    }
}

/// Where components come from: the first one, and those that replace it.
#[derive(Clone, Debug)]
pub struct ComponentSource {
    /// What they are for.
    pub role: Role,
    /// Where each lies.
    pub location: Location,
    /// The digest that each must have. `None`: any.
    pub sha256: Option<[u8; 32]>,
    /// The least time between two polls for a new version. `None`: there is no swap.
    pub poll_interval: Option<Duration>,
    /// The file to start with if the object in S3 cannot be used, unless a digest is asked for.
    pub packaged: Option<PathBuf>,
    /// What the operator asks of each: one that does not know a name of it is not taken.
    pub settings: LogicSettings,
}

/// What tells one version of a component from another: the content of a file (where builds are reproducible, another
/// file can have the same time and size), or an object's ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The SHA-256 of a file.
    Content([u8; 32]),
    /// The ETag of an object.
    ETag(String),
}

/// A component's bytes, and which version they are.
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) version: Version,
}

/// Which version lies there now.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn version(location: &Location, s3: &Client) -> Result<Version, LogicError> {
    match location {
        Location::File(path) => Ok(file::fetch(path).await?.version),
        Location::S3 { bucket, key } => {
            let version = object::version(bucket, key, s3).await;
            version.map_err(|failure| unfetchable(location, failure))
        }
    }
}

/// What lies there now.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn fetch(location: &Location, s3: &Client) -> Result<Fetched, LogicError> {
    match location {
        Location::File(path) => file::fetch(path).await,
        Location::S3 { bucket, key } => {
            let fetched = object::fetch(bucket, key, s3).await;
            fetched.map_err(|failure| unfetchable(location, failure))
        }
    }
}

/// The same for a start, which must not wait long: a few attempts of a few seconds each, and a log line for each retry.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn fetch_first(location: &Location, s3: &Client) -> Result<Fetched, LogicError> {
    let Location::S3 { bucket, key } = location else {
        return fetch(location, s3).await;
    };
    let mut attempt = 1;
    loop {
        match object::fetch_promptly(bucket, key, s3).await {
            Ok(fetched) => return Ok(fetched),
            Err(failure) if failure.is_transient() && attempt < MAX_FIRST_ATTEMPTS => {
                time::sleep(FIRST_PAUSE * attempt).await;
                attempt += 1;
                log_retry(location, attempt, failure.reason());
            }
            Err(failure) => return Err(unfetchable(location, failure)),
        }
    }
}

fn log_retry(location: &Location, attempt: u32, reason: &str) {
    let fields = Fields::new()
        .with("origin", location.to_string())
        .with("exception", reason);
    let message = format!("Component not fetched yet - retrying ({attempt}/{MAX_FIRST_ATTEMPTS})");
    telemetry::line(Level::Warning, Logger::Handler, &message, &fields);
}

fn unfetchable(location: &Location, failure: object::FetchFailure) -> LogicError {
    LogicError::Unfetchable {
        name: location.to_string(),
        reason: failure.into_reason(),
    }
}
