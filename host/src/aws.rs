//! Clients of AWS, configured the standard way: environment, profiles, regions, endpoints.

mod connection;
mod https;
pub(crate) mod reason;

pub use connection::{CA_BUNDLE, Connection, ConnectionError};
pub use reason::reason;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::service_config::ServiceConfigKey;
use std::time::Duration;

/// Tries of one call; the batch's deadline ends them earlier.
const TRIES: u32 = 8;

/// Why there can be no clients.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The proxy or the certificates cannot be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nothing says which region to talk to.
    #[error("no AWS region: set AWS_REGION, or choose a profile that has one with AWS_PROFILE")]
    NoRegion,
    /// The table cannot be looked at.
    #[error(
        "cannot look at the table {table}: {reason}. Check TABLE_NAME, the region and the endpoint, or name the stream with --stream-arn"
    )]
    NoTable {
        /// Which table.
        table: String,
        /// What the service or the network said.
        reason: String,
    },
    /// The table has no stream.
    #[error("the table {0} has no stream: enable one with the view type NEW_AND_OLD_IMAGES")]
    NoStream(String),
}

/// Reads the configuration of the SDK. Endpoints of single services come from `AWS_ENDPOINT_URL_DYNAMODB`,
/// `AWS_ENDPOINT_URL_S3` and the like, or from the profile's `services`.
///
/// # Errors
/// [`AwsError`], if the configuration is incomplete.
pub async fn config(connection: &Connection) -> Result<SdkConfig, AwsError> {
    let https = https::client(connection)?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(10))
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(timeouts)
        .load()
        .await;
    if config.region().is_none() {
        Err(AwsError::NoRegion)
    } else {
        Ok(config)
    }
}

/// A client of S3. An endpoint of one's own hardly has a host name for each bucket, so there it is in the path.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(has_own_endpoint(config))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Whether S3 has an endpoint of its own, by a variable or by the profile, for itself or for all services.
fn has_own_endpoint(config: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_s3 = config
        .service_config()
        .zip(key.ok())
        .and_then(|(services, key)| services.load_config(key));
    config.endpoint_url().is_some() || of_s3.is_some()
}

/// Tries of a look at the table: whoever starts the program waits for it.
const LOOKS: u32 = 3;

/// The ARN of a table's latest stream.
///
/// # Errors
/// [`AwsError`], where the table cannot be looked at or has none.
pub async fn stream_of(config: &SdkConfig, table: &str) -> Result<String, AwsError> {
    let client = aws_sdk_dynamodb::Client::new(config);
    let few = RetryConfig::standard().with_max_attempts(LOOKS);
    let described = client
        .describe_table()
        .table_name(table)
        .customize()
        .config_override(aws_sdk_dynamodb::config::Builder::new().retry_config(few))
        .send()
        .await
        .map_err(|error| AwsError::NoTable {
            table: table.into(),
            reason: reason(&error),
        })?;
    described
        .table
        .and_then(|table| table.latest_stream_arn)
        .ok_or_else(|| AwsError::NoStream(table.into()))
}
