//! What a limiter needs, as `weir local` serves it: a DynamoDB whose items expire, and an S3. The table is the
//! client's to make.

use crate::{
    server::Archive,
    stage::BUCKET,
    table::{Items, Table},
};
use aws_sdk_dynamodbstreams::{Client, types::ShardIteratorType};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time};
use weir::worker::wire;
use weir_local::LocalDynamoDb;

/// How often expired items are removed.
const SWEEP: Duration = Duration::from_secs(1);

/// Most records of an event.
pub const BATCH: usize = 100;

/// The servers, and the name of the table to be.
pub struct Stack {
    dynamodb: Arc<LocalDynamoDb>,
    archive: Archive,
    table: String,
    sweeper: JoinHandle<()>,
}

impl Stack {
    /// Starts the servers. A table's name has eleven characters or more, or the names of its stream's shards are too
    /// short for clients that check them.
    pub async fn start(table: &str) -> Self {
        let dynamodb = LocalDynamoDb::start().await.expect("a local DynamoDB");
        let dynamodb = Arc::new(dynamodb);
        let archive = Archive::start(BUCKET).await;
        let swept = Arc::clone(&dynamodb);
        let sweeper = tokio::spawn(async move {
            loop {
                time::sleep(SWEEP).await;
                swept.sweep_ttl().await.expect("expired items are removed");
            }
        });
        Self {
            dynamodb,
            archive,
            table: table.into(),
            sweeper,
        }
    }

    /// The environment by which clients, and Weir, find the servers, the table and the bucket.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        variables(
            self.dynamodb.endpoint(),
            self.archive.s3().endpoint(),
            &self.table,
        )
    }

    /// The table, once the client has made it.
    pub fn table(&self) -> Table {
        Table::of(self.dynamodb.dynamodb_client(), &self.table)
    }

    /// All items.
    pub async fn items(&self) -> Items {
        self.table().items().await
    }

    /// The bucket.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The table's stream, read from its beginning.
    pub async fn stream(&self) -> Stream {
        let client = self.dynamodb.streams_client();
        let streams = client.list_streams().table_name(&self.table).send().await;
        let streams = streams.expect("streams are listed");
        let arn = streams.streams().first().and_then(|s| s.stream_arn());
        Stream {
            arn: arn.expect("the table has a stream").into(),
            client,
            taken: 0,
        }
    }
}

/// The environment by which programs find these servers, this table and the bucket.
pub fn variables(dynamodb: &str, s3: &str, table: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_REGION", weir_local::REGION),
        ("AWS_DEFAULT_REGION", weir_local::REGION),
        ("AWS_ACCESS_KEY_ID", weir_local::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", weir_local::SECRET_ACCESS_KEY),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // Whatever else a client asks for is refused here, and not asked of AWS.
        ("AWS_ENDPOINT_URL", dynamodb),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", dynamodb),
        ("AWS_ENDPOINT_URL_S3", s3),
        ("TABLE_NAME", table),
        ("ARCHIVE_BUCKET_NAME", BUCKET),
        ("ENABLE_ARCHIVAL", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.sweeper.abort();
    }
}

/// A stream as it is recorded.
pub struct Stream {
    client: Client,
    arn: String,
    taken: usize,
}

impl Stream {
    /// The records that came since the last call, as Lambda events of a hundred at the most.
    pub async fn events(&mut self) -> Vec<Value> {
        let records = self.records().await;
        let new = &records[self.taken..];
        self.taken = records.len();
        new.chunks(BATCH)
            .map(|records| json!({ "Records": records }))
            .collect()
    }

    /// All records from the beginning, each as in a Lambda event.
    async fn records(&self) -> Vec<Value> {
        let description = self.client.describe_stream().stream_arn(&self.arn).send();
        let description = description.await.expect("the stream is described");
        let shards = description.stream_description().map(|s| s.shards());
        // The embedded server has one shard for a stream.
        let [shard] = shards.expect("a description") else {
            panic!("the stream has not one shard: {shards:?}");
        };
        let iterator = self
            .client
            .get_shard_iterator()
            .stream_arn(&self.arn)
            .shard_id(shard.shard_id().expect("a shard has an id"))
            .shard_iterator_type(ShardIteratorType::TrimHorizon);
        let iterator = iterator.send().await.expect("an iterator");
        let mut iterator = iterator.shard_iterator;
        let mut records = Vec::new();
        while let Some(place) = iterator {
            let page = self.client.get_records().shard_iterator(place).send();
            let page = page.await.expect("records");
            if page.records().is_empty() {
                break;
            }
            for record in page.records() {
                let record = wire::stream_record(record, &self.arn, weir_local::REGION);
                let record = record.expect("a record that Lambda could deliver");
                records.push(serde_json::from_str(record.json().get()).expect("JSON"));
            }
            iterator = page.next_shard_iterator;
        }
        records
    }
}

/// Whether a record raises the number of a bucket's shards.
pub fn is_rise(record: &Value) -> bool {
    let count = |image: &str| record["dynamodb"][image]["shard_count"]["N"].as_str();
    matches!((count("OldImage"), count("NewImage")), (Some(old), Some(new)) if old != new)
}
