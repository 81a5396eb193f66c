//! DynamoDB and S3 inside this process, on loopback, for `weir demo` and for tests.
//!
//! They are spoken to through the same SDK clients, expressions and stream calls as AWS. Nothing but the
//! address and the credentials differs.

mod access;
mod database;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};
use dynoxide::Database;
use futures::channel::oneshot;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder as ConnectionBuilder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use self::access::ExistingBuckets;
use weir::aws;

/// The region that clients of the local servers sign for.
pub const REGION: &str = "us-east-1";

/// The access key id that the local servers accept.
pub const ACCESS_KEY_ID: &str = "local";

/// The secret that goes with [`ACCESS_KEY_ID`]. It protects nothing: the servers listen on loopback only.
pub const SECRET_ACCESS_KEY: &str = "local";

/// The attribute by which items of a zae-limiter table expire (rules: "Keys").
const TTL_ATTRIBUTE: &str = "ttl";

/// How long to wait after a connection could not be accepted, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// One of the two local servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalService {
    /// The embedded DynamoDB.
    DynamoDb,
    /// The embedded S3.
    S3,
}

impl fmt::Display for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::S3 => "S3",
        })
    }
}

impl LocalService {
    /// The flag of `weir local` that chooses its port.
    fn flag(self) -> &'static str {
        match self {
            Self::DynamoDb => "--port",
            Self::S3 => "--s3-port",
        }
    }
}

/// Where on the loopback interface a server listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// On a port that is free.
    #[default]
    Free,
    /// On this one.
    Given(NonZeroU16),
}

impl From<Option<NonZeroU16>> for Port {
    fn from(port: Option<NonZeroU16>) -> Self {
        port.map_or(Self::Free, Self::Given)
    }
}

/// Why a local server, or something in it, could not be set up or used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No free port of the loopback interface could be had.
    #[error(
        "the local {service} cannot listen on 127.0.0.1 ({source}): check that the loopback interface is up and that sockets are allowed"
    )]
    Listen {
        /// Which server.
        service: LocalService,
        /// What the operating system said.
        source: io::Error,
    },
    /// The port that was asked for cannot be had.
    #[error(
        "the local {service} cannot listen on 127.0.0.1:{port} ({source}): end what listens there, choose another port with {flag}, or leave that out for a free one",
        flag = .service.flag()
    )]
    Port {
        /// Which server.
        service: LocalService,
        /// The port.
        port: NonZeroU16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The in-memory database did not open.
    #[error("the local DynamoDB cannot open its in-memory database: {reason}")]
    Database {
        /// What the database said.
        reason: String,
    },
    /// The folder that should hold the buckets cannot be used.
    #[error("the local S3 cannot keep its objects in {}: {reason}; give it a folder that can be written", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What stands in the way.
        reason: String,
    },
    /// Expired items could not be removed.
    #[error("the local DynamoDB cannot remove its expired items: {reason}")]
    Sweep {
        /// What the database said.
        reason: String,
    },
    /// A table was not created, or not completely.
    #[error(
        "cannot create the table {table}: {reason}; if it exists already, delete it or choose another name"
    )]
    CreateTable {
        /// The table's name.
        table: String,
        /// What the server, or the check of the request, said.
        reason: String,
    },
    /// A bucket was not created.
    #[error("cannot create the bucket {bucket}: {reason}")]
    CreateBucket {
        /// The bucket's name.
        bucket: String,
        /// What the server said.
        reason: String,
    },
}

/// A serving task. It ends when it is stopped, or when this is dropped.
struct Server {
    endpoint: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn stop(self) {
        drop(self.stop);
        // A task that has panicked has stopped serving too, and that is all that was asked.
        let _ = self.task.await;
    }
}

/// Binds a port of the loopback interface. Returns its URL as well.
async fn listen(service: LocalService, port: Port) -> Result<(TcpListener, String), LocalError> {
    let number = match port {
        Port::Free => 0,
        Port::Given(port) => port.get(),
    };
    let failed = |source| match port {
        Port::Free => LocalError::Listen { service, source },
        Port::Given(port) => LocalError::Port {
            service,
            port,
            source,
        },
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number))
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, format!("http://{address}")))
}

/// An embedded DynamoDB with streams, in memory.
///
/// Its state is gone when the last handle to it is. Three of its limits matter to callers: a table's stream
/// has one shard, items expire only when [`LocalDynamoDb::sweep_ttl`] is called, and the ARN of a former stream
/// of a table is taken for that of the present one.
pub struct LocalDynamoDb {
    database: Database,
    server: Server,
}

impl LocalDynamoDb {
    /// Opens an empty database and serves it on a free port.
    ///
    /// # Errors
    /// [`LocalError::Listen`], [`LocalError::Database`].
    pub async fn start() -> Result<Self, LocalError> {
        Self::start_on(Port::Free).await
    }

    /// Opens an empty database and serves it.
    ///
    /// # Errors
    /// [`LocalError::Listen`], [`LocalError::Port`], [`LocalError::Database`].
    pub async fn start_on(port: Port) -> Result<Self, LocalError> {
        let (listener, endpoint) = listen(LocalService::DynamoDb, port).await?;
        let database = database::open()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        let task = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.await;
            };
            // What ends the server early shows at its clients, who have more to say about it.
            let _ = dynoxide::server::serve_with_shutdown(listener, served, stopped).await;
        });
        Ok(Self {
            database,
            server: Server {
                endpoint,
                stop,
                task,
            },
        })
    }

    /// The URL it listens on, for instance `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// A client of its tables.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        dynamodb_client(self.endpoint())
    }

    /// A client of its streams.
    pub fn streams_client(&self) -> aws_sdk_dynamodbstreams::Client {
        streams_client(self.endpoint())
    }

    /// Removes the items whose time to live has passed, each with the stream record DynamoDB makes for it.
    /// Returns how many. An item written while it runs may be left to the next call.
    ///
    /// # Errors
    /// [`LocalError::Sweep`].
    pub async fn sweep_ttl(&self) -> Result<usize, LocalError> {
        let database = self.database.clone();
        let failed = |reason| LocalError::Sweep { reason };
        tokio::task::spawn_blocking(move || database.sweep_ttl())
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))
    }

    /// Stops serving, after the requests in hand are answered.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// An embedded S3 that keeps its objects as files of a folder.
pub struct LocalS3 {
    server: Server,
}

impl LocalS3 {
    /// Serves `folder`, which is created if need be, on a free port. Each bucket is a folder in it.
    ///
    /// # Errors
    /// [`LocalError::Folder`], [`LocalError::Listen`].
    pub async fn start(folder: &Path) -> Result<Self, LocalError> {
        Self::start_on(Port::Free, folder).await
    }

    /// Serves `folder`, which is created if need be. Each bucket is a folder in it.
    ///
    /// # Errors
    /// [`LocalError::Folder`], [`LocalError::Listen`], [`LocalError::Port`].
    pub async fn start_on(port: Port, folder: &Path) -> Result<Self, LocalError> {
        let failed = |reason| LocalError::Folder {
            folder: folder.to_path_buf(),
            reason,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        // The crate's error has no Display.
        let files =
            s3s_fs::FileSystem::new(folder).map_err(|error| failed(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        builder.set_access(ExistingBuckets {
            folder: folder.to_path_buf(),
        });
        let service = builder.build();

        let (listener, endpoint) = listen(LocalService::S3, port).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve_s3(listener, service, stopped));
        Ok(Self {
            server: Server {
                endpoint,
                stop,
                task,
            },
        })
    }

    /// The URL it listens on, for instance `http://127.0.0.1:40124`.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// A client of its buckets.
    pub fn s3_client(&self) -> aws_sdk_s3::Client {
        s3_client(self.endpoint())
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`LocalError::CreateBucket`], also where the bucket exists.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), LocalError> {
        self.s3_client()
            .create_bucket()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| LocalError::CreateBucket {
                bucket: bucket.to_owned(),
                reason: aws::reason(&error),
            })?;
        Ok(())
    }

    /// Stops serving. Requests in hand are cut off.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn serve_s3(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let http = ConnectionBuilder::new(TokioExecutor::new());
    // Dropped at the end, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
        };
        while connections.try_join_next().is_some() {}
        let connection = http
            .serve_connection(TokioIo::new(socket), service.clone())
            .into_owned();
        connections.spawn(async move {
            // A broken connection is its client's to report.
            let _ = connection.await;
        });
    }
}

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

/// Creates a table as zae-limiter does (rules: "Keys"): `PK` and `SK`, the indexes `GSI1` to `GSI4`, a stream
/// of new and old images, expiry by `ttl`, paid per request. Returns the stream's ARN.
///
/// For servers whose tables are there at once, as those of local ones are.
///
/// # Errors
/// [`LocalError::CreateTable`], also where the table exists.
pub async fn create_table(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
) -> Result<String, LocalError> {
    let failed = |reason: String| LocalError::CreateTable {
        table: table.to_owned(),
        reason,
    };
    let malformed = |error: BuildError| failed(error.to_string());

    let indexes = [
        ("GSI1", ProjectionType::All),
        ("GSI2", ProjectionType::All),
        ("GSI3", ProjectionType::KeysOnly),
        ("GSI4", ProjectionType::KeysOnly),
    ];
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewAndOldImages)
        .build()
        .map_err(malformed)?;
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream)
        .attribute_definitions(string_attribute("PK").map_err(malformed)?)
        .attribute_definitions(string_attribute("SK").map_err(malformed)?)
        .set_key_schema(Some(key_schema("PK", "SK").map_err(malformed)?));
    for (name, projection) in indexes {
        let (partition, sort) = (format!("{name}PK"), format!("{name}SK"));
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(key_schema(&partition, &sort).map_err(malformed)?))
            .projection(Projection::builder().projection_type(projection).build())
            .build()
            .map_err(malformed)?;
        request = request
            .attribute_definitions(string_attribute(&partition).map_err(malformed)?)
            .attribute_definitions(string_attribute(&sort).map_err(malformed)?)
            .global_secondary_indexes(index);
    }
    let created = request
        .send()
        .await
        .map_err(|error| failed(aws::reason(&error)))?;

    let expiry = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(TTL_ATTRIBUTE)
        .build()
        .map_err(malformed)?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(expiry)
        .send()
        .await
        .map_err(|error| failed(aws::reason(&error)))?;

    created
        .table_description()
        .and_then(|description| description.latest_stream_arn())
        .map(str::to_owned)
        .ok_or_else(|| failed("the server made no stream for it".to_owned()))
}

fn string_attribute(name: &str) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
}

fn key_schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, key_type)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(key_type)
                .build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;

    #[tokio::test]
    async fn a_table_has_a_stream_and_its_items_expire() {
        let dynamodb = LocalDynamoDb::start().await.unwrap();
        let client = dynamodb.dynamodb_client();
        let stream_arn = create_table(&client, "rate-limits").await.unwrap();
        assert!(stream_arn.contains("/stream/"), "{stream_arn}");
        for (pk, ttl) in [("expired", "1"), ("kept", "99999999999")] {
            client
                .put_item()
                .table_name("rate-limits")
                .item("PK", AttributeValue::S(pk.to_owned()))
                .item("SK", AttributeValue::S("#STATE".to_owned()))
                .item("ttl", AttributeValue::N(ttl.to_owned()))
                .send()
                .await
                .unwrap();
        }
        assert_eq!(dynamodb.sweep_ttl().await.unwrap(), 1);
        assert_eq!(dynamodb.sweep_ttl().await.unwrap(), 0);
        dynamodb.stop().await;
    }

    #[tokio::test]
    async fn a_bucket_keeps_what_is_put_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let s3 = LocalS3::start(folder.path()).await.unwrap();
        s3.create_bucket("archive").await.unwrap();
        assert!(s3.create_bucket("archive").await.is_err());
        let client = s3.s3_client();
        client
            .put_object()
            .bucket("archive")
            .key("audit/one")
            .body(aws_sdk_s3::primitives::ByteStream::from_static(b"text"))
            .send()
            .await
            .unwrap();
        let object = client
            .get_object()
            .bucket("archive")
            .key("audit/one")
            .send()
            .await
            .unwrap();
        let body = object.body.collect().await.unwrap().into_bytes();
        assert_eq!(&body[..], b"text");
        s3.stop().await;
    }
}
