//! DynamoDB and S3 inside this process, on loopback, for `weir demo`, `weir local` and tests.
//!
//! The same SDK clients, expressions and stream calls go to them as to AWS; only the address and the credentials differ.

mod access;
mod client;
mod database;
mod dynamodb;
mod error;
mod s3;
mod server;
mod table;

pub use client::{
    ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, dynamodb_client, s3_client, streams_client,
};
pub use dynamodb::LocalDynamoDb;
pub use error::{LocalError, LocalService};
pub use s3::LocalS3;
pub use server::Port;
pub use table::create_table;
