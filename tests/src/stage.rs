//! A table and a bucket of a test's own, in servers of its own: what processors work on where tests of the
//! vectors' breadth are not needed.

use crate::{
    record::{self, Generation, Record},
    server::{Archive, Stored},
    stack,
    table::{self, Items, Table},
};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use weir::{
    batch::{Delivery, Outcome},
    location::Location,
    settings::Settings,
    store::Target,
};
use weir_local::LocalDynamoDb;

/// The bucket's name.
pub const BUCKET: &str = "rate-limits-archive";

/// An empty table and an empty bucket.
pub struct Stage {
    dynamodb: LocalDynamoDb,
    table: Table,
    archive: Archive,
}

impl Stage {
    /// Starts the servers.
    pub async fn start() -> Self {
        let dynamodb = LocalDynamoDb::start().await.expect("a local DynamoDB");
        let table = Table::create(dynamodb.dynamodb_client(), None).await;
        let archive = Archive::start(BUCKET).await;
        Self {
            dynamodb,
            table,
            archive,
        }
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The URL of the table's server.
    pub fn dynamodb(&self) -> &str {
        self.dynamodb.endpoint()
    }

    /// The URL of the bucket's server.
    pub fn s3(&self) -> &str {
        self.archive.s3().endpoint()
    }

    /// The environment by which programs find the servers, the table and the bucket.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        stack::variables(self.dynamodb(), self.s3(), self.table.name())
    }

    /// The table and the bucket as a processor has them.
    pub fn target(&self) -> Target {
        Target {
            dynamodb: self.table.client().clone(),
            table: self.table.name().into(),
            s3: self.archive.s3().s3_client(),
            bucket: Some(BUCKET.into()),
            concurrency: 8,
        }
    }

    /// All items.
    pub async fn items(&self) -> Items {
        self.table.items().await
    }

    /// What each entity has used: the counter `rpm` of its snapshots.
    pub async fn usage(&self) -> BTreeMap<String, i64> {
        table::usage(&self.items().await)
    }

    /// What the bucket holds under a prefix, by key.
    pub async fn objects(&self, prefix: &str) -> BTreeMap<String, Stored> {
        self.archive.objects(prefix).await
    }

    /// Stores a component in the bucket, and says where it is.
    pub async fn store(&self, key: &str, component: Vec<u8>) -> Location {
        let client = self.archive.s3().s3_client();
        let request = client.put_object().bucket(BUCKET).key(key);
        let stored = request.body(component.into()).send().await;
        stored.expect("the component is stored");
        Location::S3 {
            bucket: BUCKET.into(),
            key: key.into(),
        }
    }

    /// The lines of all that is in quarantine, each with a record's JSON and the reason.
    pub async fn quarantined(&self) -> Vec<String> {
        let objects = self.objects("quarantine/").await;
        let lines = objects.values().flat_map(|object| object.text.lines());
        lines.map(str::to_owned).collect()
    }
}

/// The default settings, with the archive on and hourly windows only.
pub fn settings() -> Settings {
    let mut settings = Settings {
        bucket: Some(BUCKET.into()),
        ..Settings::default()
    };
    settings.logic.archive = true;
    settings.logic.windows = vec!["hourly".into()];
    settings
}

/// A delivery of that name, with ample time.
pub fn delivery(request_id: &str) -> Delivery {
    delivery_within(request_id, Duration::from_secs(60))
}

/// A delivery of that name that must be done in this time.
pub fn delivery_within(request_id: &str, time: Duration) -> Delivery {
    Delivery {
        request_id: request_id.into(),
        function_name: "weir-tests".into(),
        now: record::NOW,
        deadline: Instant::now() + time,
    }
}

/// The record at `place` of its stream: `entity` used that many tokens of its limit `rpm`.
pub fn consumption(place: u32, entity: &str, tokens: i64) -> Record {
    record::bucket(Generation::C)
        .entity(entity)
        .limit("rpm", |limit| limit.consumed(tokens * 1000))
        .modify()
        .numbered(place)
}

/// The record at `place` of its stream: an audit event has expired.
pub fn expiry(place: u32) -> Record {
    record::audit(Generation::C, &format!("event-{place}"))
        .expire()
        .numbered(place)
}

/// A record's JSON.
pub fn json(record: &Record) -> Value {
    serde_json::from_str(&record.json()).expect("a record is JSON")
}

/// A record's sequence number.
pub fn sequence_number(record: &Record) -> String {
    let number = &json(record)["dynamodb"]["SequenceNumber"];
    number.as_str().expect("the record has one").into()
}

/// The sequence numbers that an outcome wants delivered again.
pub fn failures(outcome: &Outcome) -> Vec<String> {
    outcome.response.failed().map(Into::into).collect()
}

/// Sums by name, to compare with [`Stage::usage`].
pub fn sums<N: Into<String>>(sums: impl IntoIterator<Item = (N, i64)>) -> BTreeMap<String, i64> {
    sums.into_iter()
        .map(|(name, sum)| (name.into(), sum))
        .collect()
}
