//! Servers to test against: a DynamoDB for the tables, an S3 for the archive.
//!
//! The DynamoDB is the embedded one, unless `WEIR_TEST_DYNAMODB_URL` names another: DynamoDB Local, say, or AWS
//! itself (`https:`, with region and credentials from the environment). [`Server::ministack`] is a second one,
//! written independently, which `make test` installs. The S3 is always the embedded one.

use crate::table::Table;
use aws_sdk_dynamodb::Client;
use flate2::read::MultiGzDecoder;
use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use weir_local::{LocalDynamoDb, LocalS3};

/// The variable that names the DynamoDB to test against.
const VARIABLE: &str = "WEIR_TEST_DYNAMODB_URL";

/// Where `make test` installs ministack.
const MINISTACK: &str = "../target/venv-ministack/bin/ministack";

/// How long ministack may take to start.
const START: Duration = Duration::from_secs(120);

/// A runtime for tests that are not asynchronous themselves.
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A client of a DynamoDB wherever it is.
pub(crate) async fn client(endpoint: &str) -> Client {
    if !endpoint.starts_with("https:") {
        return weir_local::dynamodb_client(endpoint);
    }
    let config = weir::aws::config(&weir::aws::Connection::default()).await;
    let config = config.unwrap_or_else(|error| panic!("{VARIABLE} is {endpoint}: {error}"));
    let config = aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// A DynamoDB.
pub enum Server {
    /// The embedded one.
    Embedded(LocalDynamoDb),
    /// A process of its own.
    Ministack(Ministack),
    /// One that somebody else runs, at this URL.
    Given(String),
}

impl Server {
    /// The one that tests use: embedded, unless a variable names another.
    pub async fn start() -> Self {
        match env::var(VARIABLE) {
            Ok(endpoint) if !endpoint.is_empty() => Self::Given(endpoint),
            _ => Self::Embedded(LocalDynamoDb::start().await.expect("a local DynamoDB")),
        }
    }

    /// The second opinion.
    pub fn ministack() -> Self {
        Self::Ministack(Ministack::start())
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        match self {
            Self::Embedded(server) => server.endpoint(),
            Self::Ministack(server) => &server.endpoint,
            Self::Given(endpoint) => endpoint,
        }
    }

    /// An empty table of its own.
    pub async fn table(&self) -> Table {
        let (endpoint, stays) = (self.endpoint(), matches!(self, Self::Given(_)));
        Table::create(client(endpoint).await, stays.then(|| endpoint.into())).await
    }
}

/// A running ministack. It ends with this value.
pub struct Ministack {
    process: Child,
    endpoint: String,
    /// Where it keeps what it must.
    _folder: TempDir,
}

impl Ministack {
    /// Starts it on a free port of the loopback interface, and waits for it to listen.
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(MINISTACK);
        assert!(
            program.exists(),
            "there is no {}: `make test` installs it",
            program.display()
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new(&program)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", "0")
            .env("IOT_MTLS_ENABLED", "0")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ministack runs");
        let log = process.stderr.take().expect("its standard error");
        let mut ministack = Self {
            process,
            endpoint: String::new(),
            _folder: folder,
        };
        let (tell, told) = mpsc::channel();
        // It reads the log to its end, or ministack would stop when the pipe is full.
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let address = line.split_once("Running on ").map(|(_, rest)| rest);
                if let Some(address) = address.and_then(|rest| rest.split_whitespace().next()) {
                    // Nobody listens any more after the first.
                    let _ = tell.send(address.to_owned());
                }
            }
        });
        ministack.endpoint = told
            .recv_timeout(START)
            .expect("ministack says where it listens");
        ministack
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An S3 with one bucket, in a temporary folder.
pub struct Archive {
    s3: LocalS3,
    bucket: String,
    _folder: TempDir,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its content, unpacked.
    pub text: String,
    /// Its Content-Type.
    pub content_type: String,
    /// Its Content-Encoding.
    pub content_encoding: String,
}

impl Archive {
    /// Starts one.
    pub async fn start(bucket: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let s3 = LocalS3::start(folder.path()).await.expect("a local S3");
        s3.create_bucket(bucket).await.expect("a bucket");
        Self {
            s3,
            bucket: bucket.into(),
            _folder: folder,
        }
    }

    /// The server.
    pub fn s3(&self) -> &LocalS3 {
        &self.s3
    }

    /// What the bucket holds under a prefix, by key.
    pub async fn objects(&self, prefix: &str) -> BTreeMap<String, Stored> {
        objects(&self.s3.s3_client(), &self.bucket, prefix).await
    }
}

/// What a bucket holds under a prefix, by key.
pub async fn objects(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    prefix: &str,
) -> BTreeMap<String, Stored> {
    let listing = client.list_objects_v2().bucket(bucket).prefix(prefix);
    let listing = listing.send().await.expect("the bucket is listed");
    let mut objects = BTreeMap::new();
    for key in listing.contents().iter().filter_map(|object| object.key()) {
        let object = client.get_object().bucket(bucket).key(key).send();
        let object = object.await.expect("the object is there");
        let header = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let (content_type, content_encoding) = (
            header(object.content_type()),
            header(object.content_encoding()),
        );
        let body = object.body.collect().await.expect("the object is read");
        let stored = Stored {
            text: unpacked(&body.into_bytes()),
            content_type,
            content_encoding,
        };
        objects.insert(key.to_owned(), stored);
    }
    objects
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut packed = MultiGzDecoder::new(bytes);
    packed.read_to_string(&mut text).expect("gzip of UTF-8");
    text
}
