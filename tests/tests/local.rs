//! The embedded servers, where they should be as strict as AWS is: a table that is made anew has a new stream, a bucket
//! that does not exist takes nothing; and how `weir local` serves them.

use aws_sdk_dynamodb::types::{AttributeValue, StreamSpecification, StreamViewType};
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use aws_sdk_s3::{error::ProvideErrorMetadata, primitives::ByteStream};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::time;
use weir_local::{LocalDynamoDb, LocalS3};
use weir_tests::{built, program::weir};

const TABLE: &str = "rate-limits";

/// How often something is waited for.
const LOOKS: u32 = 500;

// ------------------------------------------------------------------------------------------------ streams

async fn put(tables: &aws_sdk_dynamodb::Client, name: &str) {
    let item = |text: &str| AttributeValue::S(text.to_owned());
    let put = tables.put_item().table_name(TABLE);
    let put = put.item("PK", item(name)).item("SK", item("#STATE"));
    put.send().await.unwrap();
}

/// What a stream has from its beginning: the partition keys of its records, and their numbers.
async fn records(dynamodb: &LocalDynamoDb, arn: &str) -> Vec<(String, String)> {
    let streams = dynamodb.streams_client();
    let described = streams.describe_stream().stream_arn(arn).send().await;
    let described = described.unwrap().stream_description.unwrap();
    let iterator = streams
        .get_shard_iterator()
        .stream_arn(arn)
        .shard_id(described.shards()[0].shard_id().unwrap())
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    let read = streams
        .get_records()
        .set_shard_iterator(iterator.shard_iterator);
    let read = read.send().await.unwrap();
    let record = |record: &aws_sdk_dynamodbstreams::types::Record| {
        let record = record.dynamodb().unwrap();
        (
            record.keys().unwrap()["PK"].as_s().unwrap().clone(),
            record.sequence_number().unwrap().to_owned(),
        )
    };
    read.records().iter().map(record).collect()
}

#[tokio::test]
async fn a_table_that_is_made_anew_has_a_stream_of_its_own_without_the_old_records() {
    let dynamodb = LocalDynamoDb::start().await.unwrap();
    let tables = dynamodb.dynamodb_client();
    let former = weir_local::create_table(&tables, TABLE).await.unwrap();
    put(&tables, "former").await;
    let before = records(&dynamodb, &former).await;
    tables
        .delete_table()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let present = weir_local::create_table(&tables, TABLE).await.unwrap();
    assert_ne!(present, former);
    assert_eq!(records(&dynamodb, &present).await, []);

    put(&tables, "present").await;
    let after = records(&dynamodb, &present).await;
    let names = |records: &[(String, String)]| -> Vec<String> {
        records.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(
        (names(&before), names(&after)),
        (vec!["former".into()], vec!["present".into()])
    );
    // Numbers go on rising, so that a position in the old stream lies before all of the new one.
    assert!(before[0].1 < after[0].1, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_stream_that_is_switched_off_and_on_begins_anew() {
    let dynamodb = LocalDynamoDb::start().await.unwrap();
    let tables = dynamodb.dynamodb_client();
    let former = weir_local::create_table(&tables, TABLE).await.unwrap();
    put(&tables, "former").await;
    let switched = async |is_on: bool| {
        let stream = StreamSpecification::builder().stream_enabled(is_on);
        let stream = if is_on {
            stream.stream_view_type(StreamViewType::NewAndOldImages)
        } else {
            stream
        };
        let update = tables.update_table().table_name(TABLE);
        let update = update.stream_specification(stream.build().unwrap());
        let updated = update.send().await.unwrap().table_description.unwrap();
        updated.latest_stream_arn
    };
    switched(false).await;
    let present = switched(true).await.unwrap();
    assert_ne!(present, former);
    assert_eq!(records(&dynamodb, &present).await, []);
}

#[tokio::test]
async fn the_records_of_other_tables_stay() {
    let dynamodb = LocalDynamoDb::start().await.unwrap();
    let tables = dynamodb.dynamodb_client();
    let stream = weir_local::create_table(&tables, TABLE).await.unwrap();
    weir_local::create_table(&tables, "other-limits")
        .await
        .unwrap();
    put(&tables, "kept").await;
    let delete = tables.delete_table().table_name("other-limits");
    delete.send().await.unwrap();
    assert_eq!(records(&dynamodb, &stream).await.len(), 1);
}

// ------------------------------------------------------------------------------------------------ buckets

#[tokio::test]
async fn a_bucket_that_does_not_exist_takes_nothing_and_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let s3 = LocalS3::start(folder.path()).await.unwrap();
    s3.create_bucket("archive").await.unwrap();
    let client = s3.s3_client();
    let put = async |bucket: &str| {
        let body = ByteStream::from_static(b"text");
        let put = client.put_object().bucket(bucket).key("audit/one");
        put.body(body).send().await
    };
    put("archive").await.unwrap();
    let refused = put("archives").await.unwrap_err();
    assert_eq!(refused.code(), Some("NoSuchBucket"));
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 404);
    let get = client.get_object().bucket("archives").key("audit/one");
    let refused = get.send().await.unwrap_err();
    assert_eq!(refused.code(), Some("NoSuchBucket"));
    let listed = client.list_objects_v2().bucket("archives").send().await;
    assert_eq!(listed.unwrap_err().code(), Some("NoSuchBucket"));
    let buckets = client.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().len(), 1);
}

// -------------------------------------------------------------------------------------------- weir local

/// `weir local` at work. It ends with this value.
struct Local {
    process: Child,
    variables: BTreeMap<String, String>,
}

impl Local {
    /// Starts it with a bucket, whose variable is the last that it prints.
    fn start(more: &[&str]) -> Self {
        let mut process = Command::new(built::program())
            .args(["local", "--table", TABLE, "--bucket", "archive"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut variables = BTreeMap::new();
        for line in lines.map_while(Result::ok) {
            let variable = line.strip_prefix("export ").unwrap();
            let (name, value) = variable.split_once('=').unwrap();
            variables.insert(name.to_owned(), value.to_owned());
            if name == "ARCHIVE_BUCKET_NAME" {
                break;
            }
        }
        Self { process, variables }
    }

    fn tables(&self) -> aws_sdk_dynamodb::Client {
        weir_local::dynamodb_client(&self.variables["AWS_ENDPOINT_URL_DYNAMODB"])
    }

    /// How many items there are.
    async fn count(&self) -> i32 {
        let scan = self.tables().scan().table_name(TABLE);
        scan.send().await.unwrap().count()
    }

    /// Puts an item that has expired.
    async fn put_expired(&self) {
        let put = self.tables().put_item().table_name(TABLE);
        let put = put
            .item("PK", AttributeValue::S("expired".into()))
            .item("SK", AttributeValue::S("#STATE".into()))
            .item("ttl", AttributeValue::N("1".into()));
        put.send().await.unwrap();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on for now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn local_listens_on_the_ports_that_it_is_given() {
    let (dynamodb, s3) = (free_port(), free_port());
    let (port, s3_port) = (dynamodb.to_string(), s3.to_string());
    let local = Local::start(&["--port", &port, "--s3-port", &s3_port]);
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    assert_eq!(local.variables["AWS_ENDPOINT_URL_DYNAMODB"], url(dynamodb));
    assert_eq!(local.variables["AWS_ENDPOINT_URL_S3"], url(s3));
    assert_eq!(local.count().await, 0);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_flag_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (flag, service) in [("--port", "DynamoDB"), ("--s3-port", "S3")] {
        let ended = weir(["local", flag, &port.to_string()]).run().await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
        let said = format!("the local {service} cannot listen on 127.0.0.1:{port} (");
        assert!(ended.err.contains(&said), "{ended:?}");
        assert!(ended.err.contains(&format!("with {flag}")), "{ended:?}");
    }
    let ended = weir(["local", "--port", "0"]).run().await;
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[tokio::test]
async fn expired_items_go_unless_the_sweep_is_off() {
    let (swept, kept) = (Local::start(&[]), Local::start(&["--sweep", "0"]));
    kept.put_expired().await;
    swept.put_expired().await;
    let mut looks = 0;
    while swept.count().await > 0 {
        assert!(looks < LOOKS, "it was never swept");
        looks += 1;
        time::sleep(Duration::from_millis(20)).await;
    }
    // The other one had as long for it.
    assert_eq!(kept.count().await, 1);
}

// -------------------------------------------------------------------------------------------- weir demo

#[tokio::test]
async fn the_demo_refuses_flags_of_what_it_makes_for_itself() {
    for flag in [
        "--table-name",
        "--archive-bucket-name",
        "--enable-archival",
        "--snapshot-windows",
    ] {
        let ended = weir(["demo", "--seconds", "1", flag, "hourly"]).run().await;
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
        assert!(ended.err.contains(flag), "{ended:?}");
        assert!(
            ended.err.contains("a table and a bucket of its own"),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn the_demo_does_not_look_at_variables_of_what_it_makes_for_itself() {
    let ended = weir(["demo", "--seconds", "1", "--json"])
        .with("TABLE_NAME", "")
        .with("ARCHIVE_BUCKET_NAME", "elsewhere")
        .with("ENABLE_ARCHIVAL", "perhaps")
        .with("SNAPSHOT_WINDOWS", "weekly")
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["usage"], "exact");
}
