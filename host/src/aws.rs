//! Clients of AWS, configured the standard way: environment, profiles, regions, endpoints.

mod connection;
mod https;
pub(crate) mod reason;

pub use connection::{CA_BUNDLE, Connection, ConnectionError};
pub use reason::reason;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::service_config::ServiceConfigKey;
use std::time::Duration;

/// Attempts of one call; the batch's deadline ends them earlier.
const MAX_ATTEMPTS: u32 = 8;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there can be no clients.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The proxy or the certificates cannot be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nothing says which region to talk to.
    #[error("no AWS region: set AWS_REGION, or choose a profile that has one with AWS_PROFILE")]
    NoRegion,
}

/// Reads the configuration of the SDK. Endpoints of single services come from `AWS_ENDPOINT_URL_DYNAMODB`,
/// `AWS_ENDPOINT_URL_S3` and the like, or from the profile's `services`.
///
/// # Errors
/// [`AwsError`], if the configuration is incomplete.
pub async fn config(connection: &Connection) -> Result<SdkConfig, AwsError> {
    let https = https::client(connection)?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(https)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts)
        .load()
        .await;
    if config.region().is_none() {
        Err(AwsError::NoRegion)
    } else {
        Ok(config)
    }
}

/// A client of S3. A custom endpoint rarely resolves a host name per bucket, so it gets the bucket in the path.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config)
        .force_path_style(has_custom_endpoint(config))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Whether a variable or the profile sets an endpoint for S3, or for all services.
fn has_custom_endpoint(config: &SdkConfig) -> bool {
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
