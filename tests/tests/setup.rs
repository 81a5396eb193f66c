//! A wrong set-up: nothing is acknowledged that was not done, nothing goes to quarantine, and once it is mended
//! everything is counted.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use std::collections::BTreeMap;
use weir::{
    batch::{Outcome, Processor},
    contract::Level,
    store::{Remedy, Target},
    table::{self, Checked, TableError},
};
use weir_tests::{
    built,
    log::{self, Line},
    program::weir,
    proxy::{ALWAYS, Fault},
    record::{self, Record},
    stage::{self, Stage, consumption, delivery, expiry, failures, sequence_number, sums},
    table::Table,
    unreliable::Unreliable,
};

/// Records of a batch.
const BATCH: usize = 3;

/// Deliveries while the set-up is wrong.
const WHILE: usize = 4;

/// Changes of several entities, an audit event here and there.
fn traffic() -> Vec<Record> {
    let entities = ["ann", "bob", "cid", "dan"];
    let record = |place: u32| match place % 4 {
        0 => expiry(place),
        _ => consumption(place, entities[place as usize % 3], i64::from(place)),
    };
    (1..=12).map(record).collect()
}

/// What [`traffic`] uses.
fn used() -> BTreeMap<String, i64> {
    sums([("bob", 1 + 7 + 10), ("cid", 2 + 5 + 11), ("ann", 3 + 6 + 9)])
}

/// Delivers records in order, each batch from the first that is not acknowledged, so many times or to the end. Gives
/// where it came to, and the lines of each delivery.
async fn deliver_from(
    start: usize,
    times: usize,
    records: &[Record],
    deliver: impl AsyncFn(&[Record]) -> Outcome,
) -> (usize, Vec<Vec<Line>>) {
    let (mut at, mut lines) = (start, Vec::new());
    for _ in 0..times {
        let Some(rest) = records.get(at..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let batch = &rest[..rest.len().min(BATCH)];
        let (outcome, said) = log::captured(Level::Info, deliver(batch)).await;
        lines.push(said);
        at += match failures(&outcome).first() {
            None => batch.len(),
            Some(first) => {
                let is_first = |record: &Record| sequence_number(record) == *first;
                batch
                    .iter()
                    .position(is_first)
                    .expect("a record of the batch")
            }
        };
    }
    (at, lines)
}

/// The remedies that a delivery's lines name.
fn remedies(lines: &[Line]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line.text("message").starts_with("The set-up is at fault"))
        .inspect(|line| assert_eq!(line.text("level"), "ERROR", "{line}"))
        .map(|line| line.text("remedy"))
        .collect()
}

async fn nothing_is_lost(stage: &Stage) {
    assert_eq!(stage.usage().await, used());
    assert!(stage.quarantined().await.is_empty());
    let objects = stage.objects("audit/").await;
    let events: Vec<_> = objects
        .values()
        .flat_map(|object| object.text.lines())
        .collect();
    assert_eq!(events.len(), 3, "{events:?}");
}

/// What a wrong set-up answers, to which operation, and what is to be done.
fn faults() -> [(Fault, &'static str, Remedy); 7] {
    let refused = |code, message| Fault::Explained(400, code, message);
    [
        (
            refused(
                "AccessDeniedException",
                "not authorized to perform: dynamodb:UpdateItem",
            ),
            "UpdateItem",
            Remedy::Rights,
        ),
        (
            refused("ResourceNotFoundException", "Requested resource not found"),
            "UpdateItem",
            Remedy::Table,
        ),
        (
            refused(
                "ValidationException",
                "1 validation error detected: Value 'a b' at 'tableName' failed to satisfy constraint",
            ),
            "UpdateItem",
            Remedy::Table,
        ),
        (
            refused(
                "ValidationException",
                "The provided key element does not match the schema",
            ),
            "UpdateItem",
            Remedy::Keys,
        ),
        (
            refused(
                "ValidationException",
                "this service takes nothing of the kind",
            ),
            "UpdateItem",
            Remedy::Request,
        ),
        (
            refused(
                "UnrecognizedClientException",
                "The security token is invalid",
            ),
            "UpdateItem",
            Remedy::Credentials,
        ),
        (
            Fault::Explained(404, "NoSuchBucket", "The specified bucket does not exist"),
            "PUT",
            Remedy::Bucket,
        ),
    ]
}

#[tokio::test]
async fn what_a_wrong_set_up_refuses_is_counted_once_it_is_mended() {
    for (fault, operation, remedy) in faults() {
        let host = Unreliable::start().await;
        let deliver = async |records: &[Record]| host.deliver(records).await.expect("an outcome");
        let records = traffic();
        let way = if operation == "PUT" {
            &host.s3
        } else {
            &host.dynamodb
        };
        way.inject(fault, ALWAYS, &[operation]);
        let (at, lines) = deliver_from(0, WHILE, &records, deliver).await;
        // The first audit event is the fourth record.
        assert_eq!(at, if operation == "PUT" { 3 } else { 0 }, "{fault:?}");
        let last = lines.last().expect("deliveries");
        assert_eq!(remedies(last), [remedy.to_string()], "{fault:?}");
        host.heal();
        let (at, lines) = deliver_from(at, 20, &records, deliver).await;
        assert_eq!(at, records.len(), "{fault:?}");
        assert!(
            lines.iter().all(|lines| remedies(lines).is_empty()),
            "{fault:?}"
        );
        nothing_is_lost(&host.stage).await;
    }
}

/// Makes a table of a stage's name for one, with other keys.
async fn create_with_keys(stage: &Stage, name: &str, keys: [(&str, ScalarAttributeType); 2]) {
    let client = stage.table().client();
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest);
    for ((name, kind), role) in keys.into_iter().zip([KeyType::Hash, KeyType::Range]) {
        let definition = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind);
        let element = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(role);
        request = request
            .attribute_definitions(definition.build().expect("a whole definition"))
            .key_schema(element.build().expect("a whole element"));
    }
    request.send().await.expect("the table is made");
}

#[tokio::test]
async fn usage_that_a_table_with_other_keys_refuses_is_counted_once_the_table_is_made_anew() {
    const NAME: &str = "limits-of-another-kind";
    for keys in [
        [
            ("pk", ScalarAttributeType::S),
            ("sk", ScalarAttributeType::S),
        ],
        [
            ("PK", ScalarAttributeType::S),
            ("SK", ScalarAttributeType::N),
        ],
    ] {
        let stage = Stage::start().await;
        create_with_keys(&stage, NAME, keys).await;
        let target = Target {
            table: NAME.into(),
            ..stage.target()
        };
        let processor = Processor::new(built::logic(), target, stage::settings());
        let deliver = async |records: &[Record]| {
            let event = record::event(records);
            let processed = processor.process(event, &delivery("delivery")).await;
            processed.expect("an outcome")
        };
        let records = traffic();
        let (at, lines) = deliver_from(0, WHILE, &records, deliver).await;
        assert_eq!(at, 0);
        for lines in &lines {
            assert_eq!(remedies(lines), [Remedy::Keys.to_string()], "{lines:?}");
        }
        let client = stage.table().client();
        let deletion = client.delete_table().table_name(NAME).send().await;
        deletion.expect("the table is deleted");
        weir_local::create_table(client, NAME)
            .await
            .expect("a table");
        let (at, _) = deliver_from(at, 20, &records, deliver).await;
        assert_eq!(at, records.len());
        let table = Table::of(client.clone(), NAME);
        assert_eq!(weir_tests::table::usage(&table.items().await), used());
        assert!(stage.quarantined().await.is_empty());
    }
}

#[tokio::test]
async fn audit_events_without_a_bucket_are_delivered_again_until_there_is_one() {
    let stage = Stage::start().await;
    let target = Target {
        bucket: None,
        ..stage.target()
    };
    let processor = Processor::new(built::logic(), target, stage::settings());
    let event = record::event(&[expiry(1)]);
    let first = delivery("first");
    let delivered = processor.process(event.clone(), &first);
    let (outcome, lines) = log::captured(Level::Info, delivered).await;
    assert_eq!(failures(&outcome.unwrap()), [sequence_number(&expiry(1))]);
    assert_eq!(remedies(&lines), [Remedy::NoBucket.to_string()]);
    let processor = Processor::new(built::logic(), stage.target(), stage::settings());
    let outcome = processor.process(event, &delivery("second")).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(stage.objects("audit/").await.len(), 1);
}

#[tokio::test]
async fn many_writes_that_fail_alike_are_one_line() {
    let host = Unreliable::start().await;
    let records: Vec<_> = (1..=32)
        .map(|place| consumption(place, &format!("entity-{place}"), 1))
        .collect();
    let denied = Fault::Refused(400, "AccessDeniedException");
    host.dynamodb.inject(denied, ALWAYS, &["UpdateItem"]);
    let (outcome, lines) = log::captured(Level::Info, host.deliver(&records)).await;
    assert_eq!(outcome.unwrap().counters.failures, 32);
    assert_eq!(remedies(&lines), [Remedy::Rights.to_string()]);
}

#[tokio::test]
async fn a_table_is_looked_at_and_what_is_wrong_with_it_named() {
    let stage = Stage::start().await;
    let client = stage.table().client();
    let right = table::check(client, stage.table().name()).await;
    assert_eq!(right.unwrap(), Checked::Right);

    let keys = [
        ("pk", ScalarAttributeType::S),
        ("SK", ScalarAttributeType::N),
    ];
    create_with_keys(&stage, "another-kind", keys).await;
    let error = table::check(client, "another-kind").await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Keys);
    let text = error.to_string();
    assert!(text.contains("the primary key pk (S), SK (N)"), "{text}");

    for name in ["not-there", "no name at all"] {
        let error = table::check(client, name).await.unwrap_err();
        assert!(matches!(error, TableError::Refused { .. }), "{error}");
        assert_eq!(error.remedy(), Remedy::Table, "{error}");
    }
}

#[tokio::test]
async fn a_caller_who_may_not_describe_the_table_goes_on() {
    for fault in [
        Fault::Refused(400, "AccessDeniedException"),
        Fault::Refused(503, "ServiceUnavailable"),
    ] {
        let host = Unreliable::start().await;
        host.dynamodb.inject(fault, ALWAYS, &["DescribeTable"]);
        let records = [consumption(1, "ann", 1)];
        let (outcome, lines) = log::captured(Level::Info, host.deliver(&records)).await;
        assert!(failures(&outcome.unwrap()).is_empty(), "{fault:?}");
        assert!(remedies(&lines).is_empty(), "{fault:?}");
        assert_eq!(host.stage.usage().await, sums([("ann", 1)]), "{fault:?}");
    }
}

#[tokio::test]
async fn the_program_ends_where_the_table_has_other_keys() {
    let stage = Stage::start().await;
    let keys = [
        ("pk", ScalarAttributeType::S),
        ("sk", ScalarAttributeType::S),
    ];
    create_with_keys(&stage, "another-kind", keys).await;
    let folder = tempfile::tempdir().unwrap();
    let event = folder.path().join("event.json");
    std::fs::write(&event, record::event(&[consumption(1, "ann", 1)])).unwrap();
    let arguments = ["apply".into(), event];
    let ended = weir(arguments)
        .on(&stage)
        .with("TABLE_NAME", "another-kind")
        .run()
        .await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let said = "the table another-kind has the primary key pk (S), sk (S)";
    assert!(ended.err.contains(said), "{ended:?}");
}
