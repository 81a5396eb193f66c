//! Getting a component from where it lies: a file, or an object in S3.

use super::LogicError;
use crate::{
    aws,
    contract::Level,
    settings::Origin,
    telemetry::{self, Fields, Logger},
};
use aws_sdk_s3::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use sha2::{Digest, Sha256};
use std::{
    error::Error,
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};
use tokio::time;

/// The largest component that is read from a file, in bytes: one with a run-time of its own is large.
const LARGEST_FILE: u64 = 256 << 20;

/// The largest that is fetched from S3, in bytes. It is compiled at the start, and what compiling takes grows with it.
const LARGEST_OBJECT: u64 = 8 << 20;

/// Attempts to fetch the first component. Lambda gives a start ten seconds, and another component may be at hand.
const ATTEMPTS: u32 = 3;

/// How long one of these waits for an answer, and then for each piece of the object.
const ATTEMPT: Duration = Duration::from_millis(2500);

/// How long the second one waits to begin, and the third twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// How long each piece of an object may take that is fetched in the background.
const PIECE: Duration = Duration::from_secs(30);

/// What tells one version of a component from another: what is in a file (its time and size can be equal for another
/// one, where builds are reproducible), an object's ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The SHA-256 of a file.
    Content([u8; 32]),
    /// The ETag of an object.
    ETag(String),
}

/// Why an object was not fetched.
enum Unfetched {
    /// There was no answer, or one that may be another in a moment.
    Transient(String),
    /// The service, or a check, said no.
    Lasting(String),
}

impl Unfetched {
    fn of<E>(error: &SdkError<E>, status: Option<u16>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let reason = aws::reason(error);
        match (error, status) {
            (SdkError::ConstructionFailure(_), _) => Self::Lasting(reason),
            (SdkError::ServiceError(_), Some(400..=407 | 409..=428 | 430..=499)) => {
                Self::Lasting(reason)
            }
            _ => Self::Transient(reason),
        }
    }

    fn into_error(self, origin: &Origin) -> LogicError {
        let (Self::Transient(reason) | Self::Lasting(reason)) = self;
        LogicError::Unfetchable {
            name: origin.to_string(),
            reason,
        }
    }
}

/// Which version lies there now.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn version(origin: &Origin, s3: &Client) -> Result<Version, LogicError> {
    match origin {
        Origin::File(path) => Ok(version_of(&read_aside(path).await?)),
        Origin::S3 { bucket, key } => {
            let head = s3.head_object().bucket(bucket).key(key).send().await;
            let head = head.map_err(|error| LogicError::Unfetchable {
                name: origin.to_string(),
                reason: aws::reason(&error),
            })?;
            Ok(Version::ETag(head.e_tag.unwrap_or_default()))
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
            let bytes = read_aside(path).await?;
            let version = version_of(&bytes);
            Ok((bytes, version))
        }
        Origin::S3 { bucket, key } => object(bucket, key, s3, PIECE)
            .await
            .map_err(|unfetched| unfetched.into_error(origin)),
    }
}

/// The same for a start, which should not wait for long: a few attempts of a few seconds, and a line for each that
/// follows.
///
/// # Errors
/// [`LogicError::Unreadable`], [`LogicError::Unfetchable`].
pub(super) async fn fetch_first(
    origin: &Origin,
    s3: &Client,
) -> Result<(Vec<u8>, Version), LogicError> {
    let Origin::S3 { bucket, key } = origin else {
        return fetch(origin, s3).await;
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(ATTEMPT)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let config = s3
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    let s3 = Client::from_conf(config.build());
    let mut attempt = 1;
    loop {
        match object(bucket, key, &s3, ATTEMPT).await {
            Ok(fetched) => return Ok(fetched),
            Err(Unfetched::Transient(reason)) if attempt < ATTEMPTS => {
                time::sleep(PAUSE * attempt).await;
                attempt += 1;
                let fields = Fields::new()
                    .with("origin", origin.to_string())
                    .with("exception", reason);
                let message =
                    format!("Component not fetched yet - retrying ({attempt}/{ATTEMPTS})");
                telemetry::line(Level::Warning, Logger::Handler, &message, &fields);
            }
            Err(unfetched) => return Err(unfetched.into_error(origin)),
        }
    }
}

/// An object's bytes and version.
async fn object(
    bucket: &str,
    key: &str,
    s3: &Client,
    patience: Duration,
) -> Result<(Vec<u8>, Version), Unfetched> {
    let object = s3.get_object().bucket(bucket).key(key).send().await;
    let object = object.map_err(|error| {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        Unfetched::of(&error, status)
    })?;
    if object
        .content_length
        .is_some_and(|length| length > LARGEST_OBJECT as i64)
    {
        return Err(too_large());
    }
    let version = Version::ETag(object.e_tag.unwrap_or_default());
    Ok((collect(object.body, patience).await?, version))
}

/// What a body has, as long as it goes on coming and is not too large.
async fn collect(mut body: ByteStream, patience: Duration) -> Result<Vec<u8>, Unfetched> {
    let mut bytes = Vec::new();
    loop {
        let piece = time::timeout(patience, body.next()).await.map_err(|_| {
            let waited = patience.as_millis();
            Unfetched::Transient(format!("the object stopped coming for {waited} ms"))
        })?;
        let Some(piece) = piece else {
            return Ok(bytes);
        };
        let piece = piece
            .map_err(|error| Unfetched::Transient(format!("the object broke off: {error}")))?;
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > LARGEST_OBJECT {
            return Err(too_large());
        }
    }
}

fn too_large() -> Unfetched {
    Unfetched::Lasting(format!("it is larger than {LARGEST_OBJECT} bytes"))
}

/// A file's bytes, read on a thread that may block.
async fn read_aside(path: &Path) -> Result<Vec<u8>, LogicError> {
    let file = path.to_path_buf();
    tokio::task::spawn_blocking(move || read(&file))
        .await
        .unwrap_or_else(|panicked| Err(LogicError::Engine(panicked.to_string())))
}

/// A file's bytes.
///
/// # Errors
/// [`LogicError::Unreadable`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LogicError> {
    let unreadable = |reason| LogicError::Unreadable {
        path: path.into(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let reason = format!("it is larger than {LARGEST_FILE} bytes");
        return Err(unreadable(io::Error::other(reason)));
    }
    Ok(bytes)
}

fn version_of(bytes: &[u8]) -> Version {
    Version::Content(Sha256::digest(bytes).into())
}
