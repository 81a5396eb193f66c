//! What is no batch of a table's stream with both images is refused as a whole, so that it is delivered again when
//! the set-up is mended; and what such a stream never held is named as far as the counters show it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use weir::{
    batch::{BatchError, Counters},
    component::LogicError,
    contract::Level,
    settings::{Corrections, Settings},
};
use weir_tests::{
    aggregator::{self, Aggregator},
    corrections,
    log::{self, Line},
    plan,
    record::{
        self, Bucket,
        Generation::{B2, C},
        NOW, Record, bucket,
    },
    runner::{self, RUNNERS},
    server::Server,
};

const VIEW: &str = "/dynamodb/StreamViewType";

/// What the stream of a table is called once it was switched off and on again.
const NEXT_STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T06:00:00.000";

fn settings() -> Settings {
    let mut settings = aggregator::settings(corrections::all());
    settings.logic.windows = vec!["hourly".into()];
    settings.logic.level = Level::Info;
    settings
}

/// One bucket's limit `tpm`, whose tokens last.
fn plentiful() -> Bucket {
    bucket(C).limit("tpm", |limit| limit.capacity(1_000_000_000))
}

/// So many consumptions of one bucket, each of 1000 tokens.
fn consumptions(count: usize) -> Vec<Record> {
    let mut bucket = plentiful();
    record::numbered((0..count).map(|_| bucket.consume("tpm", 1_000_000)))
}

/// The event with these records, given as JSON.
fn event(records: &[Value]) -> Vec<u8> {
    json!({ "Records": records }).to_string().into_bytes()
}

fn json(record: &Record) -> Value {
    serde_json::from_str(&record.json()).expect("a record is JSON")
}

/// A record of a Kinesis data stream that holds this record of a table's stream.
fn kinesis(change: &Value) -> Value {
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "data": STANDARD.encode(change.to_string()),
            "approximateArrivalTimestamp": 1_704_110_455.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/limiter-changes",
    })
}

/// A name, an event, and a part of what is said of it.
type Refusal = (&'static str, Vec<u8>, &'static str);

/// Events with records of other services.
fn foreign_records() -> Vec<Refusal> {
    let change = json(&consumptions(1)[0]);
    // Such as a hand-made function makes of it.
    let mut unpacked = kinesis(&change);
    unpacked["eventName"] = json!("MODIFY");
    unpacked["dynamodb"] = change["dynamodb"].clone();
    let mut unnamed = unpacked.clone();
    unnamed["eventSource"] = json!(null);
    let queue = json!({ "messageId": "1", "receiptHandle": "x", "body": change.to_string() });
    let topic = json!({ "EventSource": "aws:sns", "Sns": { "Message": "" } });
    let object = json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {} });
    let mut renamed = change.clone();
    renamed["eventSource"] = json!("example:stream");
    let unsupported = "Kinesis Data Streams for DynamoDB is not supported";
    let cases = [
        ("Kinesis", vec![kinesis(&change)], unsupported),
        ("Kinesis with a change inside", vec![unpacked], unsupported),
        (
            "Kinesis without its name",
            vec![unnamed.clone()],
            unsupported,
        ),
        (
            "Kinesis behind a good record",
            vec![change.clone(), unnamed],
            unsupported,
        ),
        (
            "a queue without its name",
            vec![queue],
            "messages of a queue",
        ),
        ("a topic", vec![topic], "messages of an SNS topic"),
        (
            "a bucket before a good record",
            vec![object, change],
            "notifications of an S3 bucket",
        ),
        (
            "a source that nobody knows",
            vec![renamed],
            "(eventSource example:stream)",
        ),
    ];
    cases
        .map(|(name, records, said)| (name, event(&records), said))
        .into()
}

/// Events of other services that have no records.
fn foreign_events() -> Vec<Refusal> {
    let cases = [
        (
            "EventBridge",
            json!({ "detail-type": "x", "detail": {} }),
            "EventBridge",
        ),
        (
            "CloudWatch Logs",
            json!({ "awslogs": { "data": "" } }),
            "CloudWatch Logs",
        ),
        (
            "Firehose",
            json!({ "deliveryStreamArn": "arn", "records": [] }),
            "Data Firehose",
        ),
        (
            "a bare record",
            json(&consumptions(1)[0]),
            "without the array `Records`",
        ),
    ];
    cases
        .map(|(name, event, said)| (name, event.to_string().into_bytes(), said))
        .into()
}

/// Batches of streams that lack an image, and a part of what is said of each.
fn of_partial_streams() -> Vec<(String, Vec<u8>, &'static str)> {
    let records = consumptions(3);
    let without = |image: &'static str| move |record: &Record| record.clone().without(image);
    let mut cases = Vec::new();
    for (view, lacking) in [
        ("NEW_IMAGE", vec!["/dynamodb/OldImage"]),
        ("OLD_IMAGE", vec!["/dynamodb/NewImage"]),
        (
            "KEYS_ONLY",
            vec!["/dynamodb/OldImage", "/dynamodb/NewImage"],
        ),
    ] {
        let stripped = records.iter().map(|record| {
            let record = record.clone();
            lacking
                .iter()
                .fold(record, |record, image| record.without(image))
        });
        let stripped: Vec<Record> = stripped.collect();
        let named = stripped.iter().cloned();
        let named: Vec<_> = named.map(|record| record.with(VIEW, json!(view))).collect();
        cases.push((view.to_owned(), record::event(&named), view));
        let unnamed: Vec<_> = stripped
            .into_iter()
            .map(|record| record.without(VIEW))
            .collect();
        let name = format!("{view}, not named");
        cases.push((name, record::event(&unnamed), "MODIFY records lack"));
    }
    let mixed = [
        records[0].clone(),
        records[1].clone().with(VIEW, json!("NEW_IMAGE")),
    ];
    cases.push((
        "one of two records".into(),
        record::event(&mixed),
        "NEW_IMAGE",
    ));
    let expired = record::audit(C, "01HQA")
        .expire()
        .with(VIEW, json!("KEYS_ONLY"));
    cases.push(("an expiry".into(), record::event([&expired]), "KEYS_ONLY"));
    let created = plentiful().insert();
    let stripped: Vec<_> = records.iter().map(without("/dynamodb/OldImage")).collect();
    let stripped = stripped.into_iter().map(|record| record.without(VIEW));
    let beside: Vec<_> = [created].into_iter().chain(stripped).collect();
    cases.push((
        "beside a creation".into(),
        record::event(&beside),
        "all 3 MODIFY records lack OldImage",
    ));
    cases
}

fn all() -> Vec<(String, Vec<u8>, &'static str)> {
    let foreign = foreign_records().into_iter().chain(foreign_events());
    let foreign = foreign.map(|(name, event, said)| (name.to_owned(), event, said));
    foreign.chain(of_partial_streams()).collect()
}

#[test]
fn what_no_stream_with_both_images_delivers_is_refused_with_the_remedy() {
    let mut problems = Vec::new();
    for (name, event, said) in all() {
        for runner in RUNNERS {
            let answer = runner.plan(&runner::batch(event.as_slice(), NOW), &settings().logic);
            let reason = answer["Err"]["NotAnEvent"].as_str().unwrap_or_default();
            if !reason.contains(said) || !reason.contains("stream") {
                problems.push(format!("{name}, {}: {answer}", runner.name()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[tokio::test]
async fn a_refused_batch_does_nothing_and_is_said_once() {
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, settings()).await;
    for (name, event, said) in all() {
        let (outcome, lines) = log::captured(Level::Info, aggregator.deliver(&event)).await;
        let is_refused = matches!(outcome, Err(BatchError::Logic(LogicError::Refused(_))));
        assert!(is_refused, "{name}: {outcome:?}");
        let errors: Vec<&Line> = lines
            .iter()
            .filter(|line| line.text("level") == "ERROR")
            .collect();
        assert_eq!(errors.len(), 1, "{name}: {errors:?}");
        assert!(
            errors[0].text("message").contains(said),
            "{name}: {errors:?}"
        );
    }
    assert!(aggregator.table.items().await.is_empty());
    assert!(aggregator.archive.objects("").await.is_empty());
}

#[tokio::test]
async fn what_a_mended_stream_still_holds_is_counted_and_what_it_never_held_is_named() {
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, settings()).await;
    let mut bucket = plentiful();
    let mut consume = |place: u32| bucket.consume("tpm", 1_000_000).numbered(place);
    let partial = consume(1).with(VIEW, json!("NEW_IMAGE"));
    assert!(
        aggregator
            .deliver(&record::event([&partial]))
            .await
            .is_err()
    );
    // The next stream begins while nobody is looking, and loses two more to a filter.
    let mut records: Vec<_> = (2..=6)
        .map(|place| consume(place).stream(NEXT_STREAM))
        .collect();
    records.drain(1..3);
    let (counters, lines) = deliver(&aggregator, &records).await;
    assert_eq!(counters.snapshot_updates, 3);
    let missing: Vec<&Line> = lines.iter().filter(is_missing).collect();
    let [line] = missing[..] else {
        panic!("{missing:?}");
    };
    let named = [
        "entity_id",
        "resource",
        "limit_name",
        "tokens",
        "record_index",
    ];
    let named = named.map(|name| line.get(name).cloned().unwrap_or_default());
    assert_eq!(json!(named), json!(["user-1", "gpt-4", "tpm", 2000, 1]));
    assert_eq!(line.text("level"), "WARNING");
}

fn is_missing(line: &&Line) -> bool {
    line.text("message")
        .starts_with("Usage missing from the stream")
}

async fn deliver(aggregator: &Aggregator, records: &[Record]) -> (Counters, Vec<Line>) {
    let event = record::event(records);
    let (outcome, lines) = log::captured(Level::Info, aggregator.deliver(&event)).await;
    let outcome = outcome.expect("the batch is processed");
    assert!(outcome.response.failed().next().is_none());
    (outcome.counters, lines)
}

/// The lines of a plan that name missing usage, and the tokens of each.
fn missing(records: &[Record], settings: &Settings) -> Vec<Value> {
    let answers = RUNNERS.map(|runner| {
        let batch = runner::batch(record::event(records), NOW);
        let answer = runner.plan(&batch, &settings.logic);
        let lines = answer["Ok"]["log"]
            .as_array()
            .expect("a plan")
            .clone()
            .into_iter();
        let lines = lines.filter(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("Usage missing from the stream")
        });
        let field = |line: &Value, name: &str| {
            let mut fields = line["fields"].as_array().into_iter().flatten();
            let field = fields.find(|field| field["name"] == name);
            field.map(|field| field["value"]["Number"].clone())
        };
        let amount = |line: Value| field(&line, "tokens").or_else(|| field(&line, "more"));
        lines.filter_map(amount).collect::<Vec<_>>()
    });
    let [native, component] = answers;
    assert_eq!(native, component);
    native
}

/// A name, records, and the tokens that are said to be missing between them.
type Gap = (&'static str, Vec<Record>, Vec<&'static str>);

/// Those of six consumptions, of 1000 tokens each, at these places.
fn some(places: &[usize]) -> Vec<Record> {
    let records = consumptions(6);
    places.iter().map(|at| records[*at].clone()).collect()
}

/// The record of a bucket's creation, with 5000 tokens consumed in it.
fn creation(bucket: &mut Bucket) -> Record {
    let created = bucket.consume("tpm", 5_000_000);
    let created = created.with("/eventName", json!("INSERT"));
    created.without("/dynamodb/OldImage")
}

/// The records of a consumption before one that is missing, and of one behind it.
fn around(mut bucket: Bucket, limit: &str, missing: i64) -> Vec<Record> {
    let first = bucket.consume(limit, 1_000);
    bucket.consume(limit, missing);
    record::numbered([first, bucket.consume(limit, 1_000)])
}

/// Records between which usage is missing for certain.
fn gaps() -> Vec<Gap> {
    let mut anew = plentiful();
    let created = creation(&mut anew);
    anew.consume("tpm", 1_000_000);
    let behind = anew.consume("tpm", 1_000_000);
    let old = bucket(B2).limit("rpm", |limit| limit);
    vec![
        ("one", some(&[0, 2]), vec!["1000"]),
        ("two", some(&[0, 2, 5]), vec!["3000"]),
        (
            "a part of a token",
            around(plentiful(), "tpm", 999),
            vec!["0"],
        ),
        ("another generation's", around(old, "rpm", 5_000), vec!["5"]),
        (
            "behind a creation",
            record::numbered([created, behind]),
            vec!["1000"],
        ),
    ]
}

/// Records between which nothing is missing, or may be missing for another reason.
fn no_gaps() -> Vec<Gap> {
    let with = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = some(&[0, 3]);
        change(&mut records);
        records
    };
    let between = |record: Record| with(&|records| records.insert(1, record.clone().numbered(2)));
    let unreadable = plentiful().modify();
    let unreadable = unreadable.with("/dynamodb/NewImage/rf", record::number("x"));
    let nameless = plentiful().remove().without("/dynamodb");
    let created = creation(&mut plentiful()).numbered(9);
    let other_stream =
        |records: &mut Vec<Record>| records[1] = records[1].clone().stream(NEXT_STREAM);
    let no_position = |records: &mut Vec<Record>| {
        records[0] = records[0].clone().without("/dynamodb/SequenceNumber");
    };
    let lower = record::numbered(some(&[3, 0]));
    let writes = bucket(C).limit("tpm", |limit| limit);
    let cases = [
        ("every record", consumptions(6)),
        ("the same twice", some(&[0, 0, 3])),
        ("out of order", some(&[1, 0, 3])),
        ("another stream", with(&other_stream)),
        ("without position", with(&no_position)),
        ("a record that cannot be read between", between(unreadable)),
        (
            "a record of no item between",
            between(nameless.with("/dynamodb", json!({}))),
        ),
        ("a removal between", between(plentiful().remove())),
        ("a creation at the end", vec![some(&[0]).remove(0), created]),
        ("a lower counter", lower),
        ("writes alone", around(writes, "wcu", 5_000)),
    ];
    cases.map(|(name, records)| (name, records, vec![])).into()
}

#[test]
fn usage_is_said_to_be_missing_where_that_is_certain_and_nowhere_else() {
    for (name, records, expected) in gaps().into_iter().chain(no_gaps()) {
        assert_eq!(missing(&records, &settings()), expected, "{name}");
    }
}

#[test]
fn without_the_creation_of_buckets_nothing_is_said_to_be_missing() {
    let mut settings = settings();
    let others = corrections::without("first-consumption");
    settings.logic.corrections = Corrections::Named(others);
    for (name, records, _) in gaps() {
        assert_eq!(missing(&records, &settings), [""; 0], "{name}");
    }
}

#[test]
fn of_many_gaps_twenty_are_named_and_the_rest_is_counted() {
    let consumption = |entity: usize| {
        let mut bucket = plentiful().entity(&format!("user-{entity}"));
        let first = bucket.consume("tpm", 1_000_000);
        bucket.consume("tpm", 1_000_000);
        [first, bucket.consume("tpm", 1_000_000)]
    };
    let records = record::numbered((0..25).flat_map(consumption));
    let mut expected = vec!["1000"; 20];
    expected.push("5");
    assert_eq!(missing(&records, &settings()), expected);
}

#[test]
fn a_single_record_without_an_image_is_rejected_and_the_others_are_counted() {
    for image in ["OldImage", "NewImage"] {
        let [odd, good]: [Record; 2] = consumptions(2).try_into().expect("two records");
        let odd = odd.without(&format!("/dynamodb/{image}")).without(VIEW);
        for records in [vec![&odd], vec![&odd, &good]] {
            for runner in RUNNERS {
                let batch = runner::batch(record::event(records.iter().copied()), NOW);
                let answer = runner.plan(&batch, &settings().logic);
                let rejects = plan::rejects(&answer["Ok"]);
                assert_eq!(
                    rejects,
                    [(0, format!("the record has no {image}"))],
                    "{answer}"
                );
                let writes = plan::writes(&answer["Ok"], "Usage").count();
                assert_eq!(writes, records.len() - 1, "{answer}");
            }
        }
    }
}
