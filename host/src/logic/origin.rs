//! Getting a component from where it lies: a file, or an object in S3.

use super::LogicError;
use crate::settings::Origin;
use aws_sdk_s3::{Client, error::DisplayErrorContext};
use std::{fs, path::Path, time::UNIX_EPOCH};

/// The largest component that is fetched from S3, in bytes.
pub const LARGEST: i64 = 256 << 20;

/// What tells one version of a component from another before it is read: the time and size of a file, an object's ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version(String);

/// Which version lies there now.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn version(origin: &Origin, s3: &Client) -> Result<Version, LogicError> {
    match origin {
        Origin::File(path) => version_of_file(path),
        Origin::S3 { bucket, key } => {
            let head = s3.head_object().bucket(bucket).key(key).send().await;
            let head = head.map_err(|error| unfetchable(origin, DisplayErrorContext(error)))?;
            Ok(Version(head.e_tag.unwrap_or_default()))
        }
    }
}

/// The bytes that lie there, and which version they are.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn fetch(origin: &Origin, s3: &Client) -> Result<(Vec<u8>, Version), LogicError> {
    match origin {
        Origin::File(path) => {
            // The version first: should the file change in between, the next look finds another one.
            let version = version_of_file(path)?;
            let bytes = fs::read(path).map_err(|reason| unreadable(path, reason))?;
            Ok((bytes, version))
        }
        Origin::S3 { bucket, key } => {
            let object = s3.get_object().bucket(bucket).key(key).send().await;
            let object = object.map_err(|error| unfetchable(origin, DisplayErrorContext(error)))?;
            if object
                .content_length()
                .is_none_or(|length| length > LARGEST)
            {
                let reason = format!("it is larger than {LARGEST} bytes, or of unknown size");
                return Err(unfetchable(origin, reason));
            }
            let version = Version(object.e_tag.unwrap_or_default());
            let body = object.body.collect().await;
            let body = body.map_err(|error| unfetchable(origin, error))?;
            Ok((body.to_vec(), version))
        }
    }
}

fn version_of_file(path: &Path) -> Result<Version, LogicError> {
    let metadata = fs::metadata(path).map_err(|reason| unreadable(path, reason))?;
    let modified = metadata
        .modified()
        .map_err(|reason| unreadable(path, reason))?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Version(format!("{} {}", since.as_nanos(), metadata.len())))
}

fn unreadable(path: &Path, reason: std::io::Error) -> LogicError {
    LogicError::Unreadable {
        path: path.into(),
        reason,
    }
}

fn unfetchable(origin: &Origin, reason: impl ToString) -> LogicError {
    LogicError::Unfetchable {
        name: origin.to_string(),
        reason: reason.to_string(),
    }
}
