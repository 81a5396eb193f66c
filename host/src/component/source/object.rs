//! Components in S3.

use super::{Fetched, Version};
use crate::aws;
use aws_sdk_s3::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use std::{error::Error, time::Duration};
use tokio::time;

/// The size of a component that is fetched. It is compiled at the start, and the time for that grows with it.
const MAX_OBJECT_BYTES: u64 = 8 << 20;

/// How long a fetch at the start waits for an answer, and then for each piece of the object.
const PROMPT_TIMEOUT: Duration = Duration::from_millis(2500);

/// How long each piece of an object may take that is fetched in the background.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an object was not fetched.
pub(super) enum FetchFailure {
    /// There was no answer, or another attempt may get another one.
    Transient(String),
    /// The service or a check refused it.
    Lasting(String),
}

impl FetchFailure {
    fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let reason = aws::reason(error);
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        match (error, status) {
            (SdkError::ConstructionFailure(_), _) => Self::Lasting(reason),
            (SdkError::ServiceError(_), Some(400..=407 | 409..=428 | 430..=499)) => {
                Self::Lasting(reason)
            }
            _ => Self::Transient(reason),
        }
    }

    fn too_large() -> Self {
        Self::Lasting(format!("it is larger than {MAX_OBJECT_BYTES} bytes"))
    }

    /// Whether another attempt can help.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    /// What the service, the network or the check said.
    pub(super) fn reason(&self) -> &str {
        let (Self::Transient(reason) | Self::Lasting(reason)) = self;
        reason
    }

    pub(super) fn into_reason(self) -> String {
        let (Self::Transient(reason) | Self::Lasting(reason)) = self;
        reason
    }
}

/// The version of the object now.
pub(super) async fn version(bucket: &str, key: &str, s3: &Client) -> Result<Version, FetchFailure> {
    let head = s3.head_object().bucket(bucket).key(key).send().await;
    let head = head.map_err(|error| FetchFailure::of(&error))?;
    Ok(Version::ETag(head.e_tag.unwrap_or_default()))
}

/// The object's bytes and version.
pub(super) async fn fetch(bucket: &str, key: &str, s3: &Client) -> Result<Fetched, FetchFailure> {
    fetch_within(PIECE_TIMEOUT, bucket, key, s3).await
}

/// The same in one attempt that does not wait long.
pub(super) async fn fetch_promptly(
    bucket: &str,
    key: &str,
    s3: &Client,
) -> Result<Fetched, FetchFailure> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(PROMPT_TIMEOUT)
        .operation_attempt_timeout(PROMPT_TIMEOUT)
        .build();
    let config = s3
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    let s3 = Client::from_conf(config.build());
    fetch_within(PROMPT_TIMEOUT, bucket, key, &s3).await
}

async fn fetch_within(
    piece_timeout: Duration,
    bucket: &str,
    key: &str,
    s3: &Client,
) -> Result<Fetched, FetchFailure> {
    let object = s3.get_object().bucket(bucket).key(key).send().await;
    let object = object.map_err(|error| FetchFailure::of(&error))?;
    if object
        .content_length
        .is_some_and(|length| length > MAX_OBJECT_BYTES as i64)
    {
        return Err(FetchFailure::too_large());
    }
    Ok(Fetched {
        bytes: collect(object.body, piece_timeout).await?,
        version: Version::ETag(object.e_tag.unwrap_or_default()),
    })
}

/// The bytes of a body, as long as its pieces keep coming and it is not too large.
async fn collect(mut body: ByteStream, piece_timeout: Duration) -> Result<Vec<u8>, FetchFailure> {
    let mut bytes = Vec::new();
    loop {
        let piece = time::timeout(piece_timeout, body.next())
            .await
            .map_err(|_| {
                let waited = piece_timeout.as_millis();
                FetchFailure::Transient(format!("the object stopped coming for {waited} ms"))
            })?;
        let Some(piece) = piece else {
            return Ok(bytes);
        };
        let piece = piece
            .map_err(|error| FetchFailure::Transient(format!("the object broke off: {error}")))?;
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > MAX_OBJECT_BYTES {
            return Err(FetchFailure::too_large());
        }
    }
}
