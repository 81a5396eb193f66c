//! Clients of local servers.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};

/// The region that clients of the local servers sign for.
pub const REGION: &str = "us-east-1";

/// The access key id that the local servers accept.
pub const ACCESS_KEY_ID: &str = "local";

/// The secret that goes with [`ACCESS_KEY_ID`]. It protects nothing: the servers listen on loopback only.
pub const SECRET_ACCESS_KEY: &str = "local";

/// A client of the tables of a local DynamoDB at `endpoint`, whichever server that is.
pub fn dynamodb_client(endpoint: &str) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&config(endpoint))
}

/// A client of the streams of a local DynamoDB at `endpoint`, whichever server that is.
pub fn streams_client(endpoint: &str) -> aws_sdk_dynamodbstreams::Client {
    aws_sdk_dynamodbstreams::Client::new(&config(endpoint))
}

/// A client of a local S3 at `endpoint`, whichever server that is.
pub fn s3_client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&config(endpoint))
        // Bucket names are no host names here.
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Plain HTTP to `endpoint`, with credentials that are worth nothing elsewhere.
fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "local");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}
