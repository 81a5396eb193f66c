//! Whether every expired audit record has reached the archive.

use std::collections::BTreeSet;
use std::io::Read;

use aws_sdk_s3::Client;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use weir::aws;

/// Where the archive's objects lie in the bucket.
const PREFIX: &str = "audit/";

/// What the archive holds, against what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveCheck {
    /// How many events should be there.
    pub expected: usize,
    /// How many events are there, each counted once.
    pub found: usize,
    /// How many of them are there more than once. Allowed, but not without a cause.
    pub repeated: usize,
    /// The ids of those that are not there.
    pub missing: Vec<String>,
    /// In how many objects they are. Depends on how the stream falls into batches.
    pub objects: usize,
}

impl ArchiveCheck {
    /// Whether no event is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Why the archive could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bucket could not be listed.
    #[error("cannot list the archive bucket {bucket}: {reason}")]
    List {
        /// The bucket's name.
        bucket: String,
        /// What the server said.
        reason: String,
    },
    /// An object could not be fetched.
    #[error("cannot read the object {key} of the archive bucket: {reason}")]
    Get {
        /// The object's key.
        key: String,
        /// What the server said.
        reason: String,
    },
    /// An object is not gzip with one JSON event in each line.
    #[error("the object {key} of the archive bucket is no gzipped list of audit events: {reason}")]
    Content {
        /// The object's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// As much of an archived event as is looked at.
#[derive(Deserialize)]
struct ArchivedEvent {
    event_id: String,
}

/// Reads the archive in `bucket` and looks for the events of these ids.
///
/// # Errors
/// [`ArchiveError`].
pub async fn check(
    client: &Client,
    bucket: &str,
    expected: &BTreeSet<String>,
) -> Result<ArchiveCheck, ArchiveError> {
    let keys = list(client, bucket).await?;
    let mut lines = 0;
    let mut found = BTreeSet::new();
    for key in &keys {
        for event_id in event_ids(client, bucket, key).await? {
            lines += 1;
            found.insert(event_id);
        }
    }
    Ok(ArchiveCheck {
        expected: expected.len(),
        found: found.len(),
        repeated: lines - found.len(),
        missing: expected.difference(&found).cloned().collect(),
        objects: keys.len(),
    })
}

async fn list(client: &Client, bucket: &str) -> Result<Vec<String>, ArchiveError> {
    let mut pages = client
        .list_objects_v2()
        .bucket(bucket)
        .prefix(PREFIX)
        .into_paginator()
        .send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| ArchiveError::List {
            bucket: bucket.to_owned(),
            reason: aws::reason(&error),
        })?;
        keys.extend(
            page.contents()
                .iter()
                .filter_map(|object| object.key().map(str::to_owned)),
        );
    }
    Ok(keys)
}

async fn event_ids(client: &Client, bucket: &str, key: &str) -> Result<Vec<String>, ArchiveError> {
    let failed = |reason| ArchiveError::Get {
        key: key.to_owned(),
        reason,
    };
    let object = client
        .get_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .map_err(|error| failed(aws::reason(&error)))?;
    let packed = object
        .body
        .collect()
        .await
        .map_err(|error| failed(error.to_string()))?
        .into_bytes();

    let malformed = |reason| ArchiveError::Content {
        key: key.to_owned(),
        reason,
    };
    let mut text = String::new();
    MultiGzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .map_err(|error| malformed(error.to_string()))?;
    text.lines()
        .map(|line| {
            serde_json::from_str::<ArchivedEvent>(line)
                .map(|event| event.event_id)
                .map_err(|error| malformed(error.to_string()))
        })
        .collect()
}
