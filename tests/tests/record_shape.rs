//! Records of the tests have the shape that records of a stream have: AWS's own reader of events reads them, and finds in
//! them what was put there.

use aws_lambda_events::dynamodb::{Event, EventRecord, StreamViewType};
use serde_json::{Value, json};
use weir_tests::{
    record::{self, CREATED, Generation, Record, STREAM},
    simulation::table::{Table, set},
    vectors,
};

const GENERATIONS: [Generation; 5] = [
    Generation::A,
    Generation::B1,
    Generation::B2,
    Generation::C,
    Generation::D,
];

/// Every kind of record that the builders make.
fn built() -> Vec<Record> {
    let kinds = GENERATIONS.iter().flat_map(|generation| {
        let mut bucket = record::bucket(*generation)
            .entity("user-2")
            .resource("openai/gpt-4")
            .shard(1)
            .shard_count(2)
            .limit("rpm", |limit| limit.burst(20_000_000).tokens(-1_000).consumed(5_000))
            .limit("tpm", |limit| limit.capacity(1_000).refill(1_000, 60_000));
        let details = json!({ "M": { "on": { "BOOL": true }, "keys": { "BS": ["AQI="] }, "x": { "NULL": true } } });
        [
            bucket.insert(),
            bucket.modify(),
            bucket.consume("tpm", 1_000),
            bucket.remove(),
            record::audit(*generation, "01HQZZ").details(details).expire(),
        ]
    });
    record::numbered(kinds)
}

fn read(event: &[u8]) -> Event {
    serde_json::from_slice(event).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(event));
    })
}

/// Holds what AWS's reader found against what is in the record.
fn assert_read(found: &EventRecord, record: &Value) {
    let change = &record["dynamodb"];
    let image = |name: &str| match &change[name] {
        Value::Null => json!({}),
        image => image.clone(),
    };
    let item = |item| serde_json::to_value(item).expect("an item is JSON");
    assert_eq!(record["eventName"], found.event_name, "{record}");
    assert_eq!(record["eventID"], found.event_id, "{record}");
    assert_eq!(record["awsRegion"], found.aws_region, "{record}");
    assert_eq!(
        change["SequenceNumber"].as_str(),
        found.change.sequence_number.as_deref(),
        "{record}"
    );
    assert_eq!(
        found.event_source.as_deref(),
        Some("aws:dynamodb"),
        "{record}"
    );
    assert_eq!(
        found.change.stream_view_type,
        Some(StreamViewType::NewAndOldImages),
        "{record}"
    );
    assert_eq!(image("Keys"), item(&found.change.keys), "{record}");
    assert_eq!(image("NewImage"), item(&found.change.new_image), "{record}");
    assert_eq!(image("OldImage"), item(&found.change.old_image), "{record}");
}

#[test]
fn every_record_that_the_builders_make_is_one_of_a_stream() {
    let records = built();
    let event = read(&record::event(&records));
    assert_eq!(event.records.len(), records.len());
    for (found, record) in event.records.iter().zip(&records) {
        let record: Value = serde_json::from_str(&record.json()).expect("a record is JSON");
        assert_read(found, &record);
        assert_eq!(found.event_source_arn.as_deref(), Some(STREAM), "{record}");
        assert_eq!(
            found.change.approximate_creation_date_time.timestamp(),
            CREATED,
            "{record}"
        );
        let expired_by = found.user_identity.as_ref().map(|user| &*user.principal_id);
        let is_expiry = record["dynamodb"]["Keys"]["SK"]["S"] == "#AUDIT#01HQZZ";
        assert_eq!(
            expired_by,
            is_expiry.then_some("dynamodb.amazonaws.com"),
            "{record}"
        );
    }
}

#[test]
fn every_record_that_the_simulation_writes_is_one_of_a_stream() {
    let mut table = Table::default();
    table.set_clock(CREATED.unsigned_abs() * 1000);
    table.put(&record::bucket(Generation::C).item());
    let key = table.items().keys().next().expect("the bucket").clone();
    table.change(&key, 1, |item| set(item, "rf", 5));
    let records = table.take_records();
    assert_eq!(records.len(), 1);
    let event = format!(r#"{{"Records":[{}]}}"#, records[0].json);
    let record = serde_json::from_str(&records[0].json).expect("a record is JSON");
    assert_read(&read(event.as_bytes()).records[0], &record);
}

#[test]
fn every_recorded_batch_is_one_of_a_stream() {
    let mut records = 0;
    for generation in vectors::all() {
        for batch in &generation.batches {
            let event: Value = serde_json::from_slice(batch.event()).expect("an event");
            let sent = event["Records"].as_array().expect("records");
            for (found, record) in read(batch.event()).records.iter().zip(sent) {
                assert_read(found, record);
                records += 1;
            }
        }
    }
    assert!(records > 60, "{records} records");
}

/// Otherwise the tests above would show nothing.
#[test]
fn what_is_no_record_is_not_read() {
    let record = built().remove(0);
    for place in [
        "/eventID",
        "/eventName",
        "/awsRegion",
        "/dynamodb",
        "/dynamodb/SizeBytes",
    ] {
        let event = record::event([&record.clone().without(place)]);
        assert!(serde_json::from_slice::<Event>(&event).is_err(), "{place}");
    }
    let number = record.with("/dynamodb/NewImage/rf", json!({ "N": 5 }));
    assert!(serde_json::from_slice::<Event>(&record::event([&number])).is_err());
}
