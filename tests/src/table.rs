//! A table to test against, and its items in DynamoDB's wire form.

use crate::server;
use aws_sdk_dynamodb::{
    Client,
    client::Waiters,
    primitives::Blob,
    types::{AttributeValue, TimeToLiveSpecification},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime},
};

/// Items by partition and sort key, each as its attributes in wire form.
pub type Items = BTreeMap<(String, String), Map<String, Value>>;

/// What the names of watermark attributes begin with.
pub const WATERMARK: &str = "_applied_";

/// How long a server may take to make a table.
const CREATION: Duration = Duration::from_secs(120);

/// A table with the keys and indexes of a limiter's, of a name of its own.
pub struct Table {
    client: Client,
    name: String,
    /// Where it is to be deleted in the end; none where it goes with its server.
    endpoint: Option<String>,
}

impl Table {
    pub(crate) async fn create(client: Client, endpoint: Option<String>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("weir-test-{}-{}-{count}", since.as_millis(), process::id());
        let created = weir_local::create_table(&client, &name).await;
        let is_there = client.wait_until_table_exists().table_name(&name);
        if let Err(error) = is_there.wait(CREATION).await {
            panic!("there is no table: {error:?}, {:?}", created.err());
        }
        // Recorded items have expired long ago, and must stay. Where a table takes its time to be made, as in AWS,
        // its expiry could not be switched on, and cannot be switched off.
        let kept = TimeToLiveSpecification::builder()
            .enabled(false)
            .attribute_name("ttl")
            .build()
            .expect("a whole specification");
        let request = client.update_time_to_live().table_name(&name);
        let _ = request.time_to_live_specification(kept).send().await;
        Self {
            client,
            name,
            endpoint,
        }
    }

    /// One that is there already, made by somebody else.
    pub fn of(client: Client, name: &str) -> Self {
        Self {
            client,
            name: name.into(),
            endpoint: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client of its server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes an item, given in wire form.
    pub async fn put(&self, item: &Value) {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(attributes(item)));
        put.send().await.expect("the item is written");
    }

    /// Deletes an item, given in wire form.
    pub async fn delete(&self, item: &Value) {
        let key = |name: &str| (name.to_owned(), from_wire(&item[name]));
        let deletion = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(HashMap::from([key("PK"), key("SK")])));
        deletion.send().await.expect("the item is deleted");
    }

    /// The ARN of its stream.
    pub async fn stream(&self) -> String {
        let description = self.client.describe_table().table_name(&self.name);
        let description = description.send().await.expect("the table is described");
        let stream = description
            .table()
            .and_then(|table| table.latest_stream_arn());
        stream.expect("the table has a stream").to_owned()
    }

    /// All items.
    pub async fn items(&self) -> Items {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true);
        let stored = scan.into_paginator().items().send().try_collect().await;
        items(stored.expect("the table is read").iter().map(to_wire_item))
    }
}

impl Drop for Table {
    /// Leaves nothing behind on a server that outlives the test.
    fn drop(&mut self) {
        let Some(endpoint) = self.endpoint.take() else {
            return;
        };
        let name = self.name.clone();
        let deletion = thread::spawn(move || {
            server::runtime().block_on(async {
                let client = server::client(&endpoint).await;
                client.delete_table().table_name(name).send().await.is_ok()
            })
        });
        // Whether it worked does not decide what the test says.
        let _ = deletion.join();
    }
}

/// Items in wire form, by their keys.
pub fn items(list: impl IntoIterator<Item = Value>) -> Items {
    let keyed = |item: Value| match item {
        Value::Object(item) => {
            let key = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
            ((key("PK"), key("SK")), item)
        }
        other => panic!("not an item: {other}"),
    };
    list.into_iter().map(keyed).collect()
}

/// Takes the watermarks out of items, and gives their values.
pub fn take_watermarks(items: &mut Items) -> Vec<Value> {
    let mut watermarks = Vec::new();
    for item in items.values_mut() {
        let names: Vec<_> = item
            .keys()
            .filter(|name| name.starts_with(WATERMARK))
            .cloned()
            .collect();
        watermarks.extend(names.iter().filter_map(|name| item.remove(name)));
    }
    watermarks
}

/// The usage snapshots among items.
pub fn snapshots(items: &Items) -> Items {
    items
        .iter()
        .filter(|((_, sk), _)| sk.starts_with("#USAGE#"))
        .map(|(key, item)| (key.clone(), item.clone()))
        .collect()
}

/// What each entity has used by its snapshots' counters `rpm`.
pub fn usage(items: &Items) -> BTreeMap<String, i64> {
    let mut usage = BTreeMap::new();
    for item in snapshots(items).values() {
        let counter = item["rpm"]["N"].as_str().unwrap_or("0");
        let entity = item["entity_id"]["S"].as_str().unwrap_or_default();
        *usage.entry(entity.to_owned()).or_default() +=
            counter.parse::<i64>().expect("a whole number");
    }
    usage
}

/// How items differ from what they should be: a sentence for each item and attribute.
pub fn differences(found: &Items, expected: &Items) -> Vec<String> {
    let mut differences = Vec::new();
    let mut keys: Vec<_> = found.keys().chain(expected.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (Some(found), Some(expected)) = (found.get(key), expected.get(key)) else {
            let state = if found.contains_key(key) {
                "should not be there"
            } else {
                "is missing"
            };
            differences.push(format!("item {key:?} {state}"));
            continue;
        };
        let mut names: Vec<_> = found.keys().chain(expected.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let (found, expected) = (found.get(name), expected.get(name));
            if found != expected {
                let [found, expected] =
                    [found, expected].map(|value| value.map_or("absent".into(), Value::to_string));
                differences.push(format!(
                    "item {key:?}: {name} is {found}, should be {expected}"
                ));
            }
        }
    }
    differences
}

// -------------------------------------------------------------------------------------------- wire form

fn attributes(item: &Value) -> HashMap<String, AttributeValue> {
    let item = item.as_object().expect("an item is an object");
    item.iter()
        .map(|(name, value)| (name.clone(), from_wire(value)))
        .collect()
}

fn to_wire_item(item: &HashMap<String, AttributeValue>) -> Value {
    let item = item
        .iter()
        .map(|(name, value)| (name.clone(), to_wire(value)));
    Value::Object(item.collect())
}

fn from_wire(wire: &Value) -> AttributeValue {
    let typed = wire.as_object().and_then(|typed| typed.iter().next());
    let (kind, value) = typed.unwrap_or_else(|| panic!("not a typed value: {wire}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bytes = |value: &Value| Blob::new(STANDARD.decode(text(value)).expect("base 64"));
    let list = || value.as_array().into_iter().flatten();
    match kind.as_str() {
        "S" => AttributeValue::S(text(value)),
        "N" => AttributeValue::N(text(value)),
        "B" => AttributeValue::B(bytes(value)),
        "BOOL" => AttributeValue::Bool(*value == json!(true)),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(list().map(text).collect()),
        "NS" => AttributeValue::Ns(list().map(text).collect()),
        "BS" => AttributeValue::Bs(list().map(bytes).collect()),
        "L" => AttributeValue::L(list().map(from_wire).collect()),
        "M" => AttributeValue::M(attributes(value)),
        _ => panic!("not a typed value: {wire}"),
    }
}

fn to_wire(value: &AttributeValue) -> Value {
    let base64 = |blob: &Blob| STANDARD.encode(blob);
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(blob) => json!({ "B": base64(blob) }),
        AttributeValue::Bool(flag) => json!({ "BOOL": flag }),
        AttributeValue::Null(flag) => json!({ "NULL": flag }),
        AttributeValue::Ss(texts) => json!({ "SS": sorted(texts.iter().cloned()) }),
        AttributeValue::Ns(numbers) => json!({ "NS": sorted(numbers.iter().cloned()) }),
        AttributeValue::Bs(blobs) => json!({ "BS": sorted(blobs.iter().map(base64)) }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(to_wire).collect::<Vec<_>>() }),
        AttributeValue::M(values) => json!({ "M": to_wire_item(values) }),
        other => panic!("a type that this program does not know: {other:?}"),
    }
}

/// A set's elements come in any order.
fn sorted(elements: impl Iterator<Item = String>) -> Vec<String> {
    let mut elements: Vec<_> = elements.collect();
    elements.sort();
    elements
}
