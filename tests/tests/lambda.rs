//! The package for Lambda behind AWS's own Runtime API, with servers behind it: what an invocation does to the table,
//! and what it answers.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::time;
use weir_tests::{
    built,
    emulator::{Answered, Emulator, Function, function},
    misbehaving::{self, Misdeed},
    proxy::{ALWAYS, Fault, Proxy},
    record::{self, Record},
    stage::{Stage, consumption, expiry, sequence_number, sums},
};

/// The largest event that Lambda sends.
const SIX_MEGABYTES: usize = 6 * 1024 * 1024;

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

async fn start(stage: &Stage) -> Emulator {
    function().on(stage).start().await
}

/// A function whose way to the table a test can disturb.
fn behind(dynamodb: &Proxy, stage: &Stage) -> Function {
    let way = dynamodb.endpoint();
    function().on(stage).with("AWS_ENDPOINT_URL_DYNAMODB", way)
}

async fn deliver(function: &Emulator, records: &[Record]) -> Answered {
    function.invoke(record::event(records)).await
}

/// The response to a batch of which all is done.
fn done(processed: usize, snapshots: usize, events: usize) -> Value {
    json!({
        "statusCode": 200,
        "body": {
            "processed": processed,
            "snapshots_updated": snapshots,
            "refills_written": 0,
            "events_archived": events,
            "errors": [],
        },
        "batchItemFailures": [],
    })
}

#[tokio::test]
async fn the_package_starts_with_what_is_precompiled() {
    const COMPILED: &str = "\"Component compiled at the start\"";
    let stage = Stage::start().await;
    let packaged = start(&stage).await;
    let other = built::component("weir_misbehaving");
    let other = function().on(&stage).with("LOGIC_COMPONENT", other);
    let other = other.start().await;
    deliver(&packaged, &[]).await;
    deliver(&other, &[]).await;
    assert!(!packaged.log().contains(COMPILED), "{}", packaged.log());
    assert!(other.log().contains(COMPILED), "{}", other.log());
}

#[tokio::test]
async fn a_batch_is_summed_up_and_archived() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let records = [
        consumption(1, "ann", 3),
        expiry(2),
        consumption(3, "bob", 4),
        consumption(4, "ann", 5),
    ];
    let answered = deliver(&function, &records).await;
    assert_eq!(answered.json(), done(4, 3, 1));
    assert_eq!(stage.usage().await, sums([("ann", 8), ("bob", 4)]));
    let archived = stage.objects("audit/").await;
    let events = archived.values().flat_map(|object| object.text.lines());
    assert_eq!(events.count(), 1, "{archived:?}");
}

#[tokio::test]
async fn a_batch_that_is_delivered_again_is_counted_once() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let records = [consumption(1, "ann", 3), consumption(2, "bob", 4)];
    for _ in 0..3 {
        deliver(&function, &records).await;
    }
    assert_eq!(stage.usage().await, sums([("ann", 3), ("bob", 4)]));
}

#[tokio::test]
async fn an_empty_batch_changes_nothing() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let answered = deliver(&function, &[]).await;
    assert_eq!(answered.json(), done(0, 0, 0));
    assert!(stage.items().await.is_empty());
    let log = function.log();
    assert!(log.contains("\"Lambda invocation completed\""), "{log}");
    assert!(!log.contains("Batch processing"), "{log}");
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_is_put_aside_and_the_others_are_counted() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let records = [
        consumption(1, "ann", 3),
        consumption(2, "odd", 1).with("/dynamodb/NewImage/b_rpm_tc/N", json!("twelve")),
        consumption(3, "bob", 4),
    ];
    let answered = deliver(&function, &records).await;
    assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3), ("bob", 4)]));
    let quarantined = stage.quarantined().await;
    assert!(
        quarantined.len() == 1 && quarantined[0].contains("twelve"),
        "{quarantined:?}"
    );
}

#[tokio::test]
async fn a_record_on_which_the_component_fails_is_put_aside_and_the_others_are_counted() {
    let stage = Stage::start().await;
    let component = built::component("weir_misbehaving");
    let function = function()
        .on(&stage)
        .with("LOGIC_COMPONENT", component)
        .with("LOGIC_TIMEOUT_MS", "500")
        .with("POLICY", "static")
        .start()
        .await;
    let poisoned = |place, misdeed| {
        let poison = json!({ "S": misbehaving::poison(misdeed) });
        consumption(place, "odd", 1).with("/dynamodb/NewImage/note", poison)
    };
    let records = [
        consumption(1, "ann", 1),
        poisoned(2, Misdeed::Trap),
        consumption(3, "bob", 1),
        poisoned(4, Misdeed::Loop),
        poisoned(5, Misdeed::Allocate),
        consumption(6, "cid", 1),
    ];
    let answered = deliver(&function, &records).await;
    assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    // This component counts one use for each record, under its number.
    let counted =
        [&records[0], &records[2], &records[5]].map(|record| (sequence_number(record), 1));
    assert_eq!(stage.usage().await, sums(counted));
    assert_eq!(stage.quarantined().await.len(), 3);
}

#[tokio::test]
async fn a_component_that_fails_on_everything_fails_the_invocation_and_writes_nothing() {
    let stage = Stage::start().await;
    let component = built::component("weir_misbehaving");
    let function = function()
        .on(&stage)
        .with("LOGIC_COMPONENT", component)
        .with("SNAPSHOT_TTL_DAYS", (Misdeed::Trap as u32).to_string())
        .start()
        .await;
    let answered = deliver(&function, &[consumption(1, "ann", 1)]).await;
    assert_eq!(answered.error_type(), "Weir.ComponentFailed");
    assert!(stage.items().await.is_empty());
    assert!(stage.quarantined().await.is_empty());
}

#[tokio::test]
async fn six_megabytes_are_one_batch() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let mut records = Vec::new();
    let mut bytes = "{\"Records\":[]}".len();
    for place in 1.. {
        let entity = format!("entity-{}", place % 50);
        let record = consumption(place, &entity, i64::from(place % 7));
        bytes += record.json().len() + 1;
        if bytes > SIX_MEGABYTES {
            break;
        }
        records.push((entity, i64::from(place % 7), record));
    }
    let event = record::event(records.iter().map(|(_, _, record)| record));
    assert!(event.len() > SIX_MEGABYTES - 2_000, "{}", event.len());
    let answered = function.invoke(event).await;
    assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    assert_eq!(answered.body()["processed"], records.len());
    let mut expected = sums::<&str>([]);
    for (entity, tokens, _) in records {
        *expected.entry(entity).or_default() += tokens;
    }
    assert_eq!(stage.usage().await, expected);
}

#[tokio::test]
async fn what_cannot_be_written_in_time_is_reported_before_the_time_is_over() {
    let stage = Stage::start().await;
    let dynamodb = Proxy::start(stage.dynamodb()).await;
    let function = behind(&dynamodb, &stage).seconds(4).start().await;
    // The write is made; the answer comes when nobody waits any more.
    let slow = Fault::LateResponse(Duration::from_secs(8));
    dynamodb.inject(slow, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    let records = [
        consumption(1, "ann", 3),
        consumption(2, "bob", 4),
        consumption(3, "cid", 5),
    ];
    let answered = deliver(&function, &records).await;
    let reported = vec![sequence_number(&records[1])];
    assert_eq!(answered.failures(), Some(reported), "{answered:?}");
    assert!(function.log().contains("DeadlineExceeded"));

    dynamodb.heal();
    let answered = deliver(&function, &records[1..]).await;
    assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    let expected = sums([("ann", 3), ("bob", 4), ("cid", 5)]);
    assert_eq!(stage.usage().await, expected);
}

#[tokio::test]
async fn a_function_that_is_killed_in_the_middle_starts_again_and_counts_the_batch_once() {
    let stage = Stage::start().await;
    let dynamodb = Proxy::start(stage.dynamodb()).await;
    let function = behind(&dynamodb, &stage).start().await;
    let slow = Fault::LateResponse(Duration::from_secs(5));
    dynamodb.inject(slow, 1, &["UpdateItem", "ENTITY#bob"]);
    let records = [consumption(1, "ann", 3), consumption(2, "bob", 4)];
    let killed = async {
        while dynamodb.happened() == 0 {
            time::sleep(GLANCE).await;
        }
        function.program().kill();
    };
    let (answered, ()) = tokio::join!(deliver(&function, &records), killed);
    assert_eq!(answered.failures(), None, "{answered:?}");

    let answered = deliver(&function, &records).await;
    assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    assert_eq!(stage.usage().await, sums([("ann", 3), ("bob", 4)]));
}

#[tokio::test]
async fn the_report_of_a_batch_that_was_given_up_is_refused() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let report = json!({
        "requestContext": { "condition": "RetryAttemptsExhausted" },
        "DDBStreamBatchInfo": { "shardId": "shardId-1", "batchSize": 2 },
    });
    let message = json!({
        "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": report.to_string() }],
    });
    for event in [report, message] {
        let answered = function.invoke(event.to_string()).await;
        assert_eq!(answered.error_type(), "Weir.EventRefused", "{answered:?}");
        assert!(answered.0.contains("reports of failed batches") || answered.0.contains("gave up"));
    }
    assert_eq!(function.log().matches("\"Event refused: ").count(), 2);
    assert!(stage.items().await.is_empty());
}

/// After a warm-up, what a program keeps of each batch would show: the events of the later batches are more than
/// five times what the memory may grow by, and so is the memory of their instances.
#[tokio::test]
async fn two_hundred_invocations_in_a_row_take_no_more_memory() {
    const WARM_UP: u32 = 60;
    const INVOCATIONS: u32 = 200;
    const RECORDS: u32 = 100;
    const BOUND_KIB: u64 = 4 * 1024;
    let stage = Stage::start().await;
    let function = start(&stage).await;
    let mut after_warm_up = 0;
    let mut later_bytes = 0;
    for invocation in 0..INVOCATIONS {
        let place = |index| invocation * RECORDS + index + 1;
        let records = (0..RECORDS).map(|index| {
            let entity = format!("entity-{}", index % 10);
            consumption(place(index), &entity, 1)
        });
        let event = record::event(&records.collect::<Vec<_>>());
        if invocation == WARM_UP {
            after_warm_up = function.program().resident_kib();
        }
        if invocation >= WARM_UP {
            later_bytes += event.len() as u64;
        }
        let answered = function.invoke(event).await;
        assert_eq!(answered.failures(), Some(Vec::new()), "{answered:?}");
    }
    let end = function.program().resident_kib();
    assert!(later_bytes / 1024 > 5 * BOUND_KIB, "{later_bytes}");
    assert!(
        end < after_warm_up + BOUND_KIB,
        "{after_warm_up} KiB after {WARM_UP} invocations, {end} KiB after {INVOCATIONS}"
    );
    let uses = i64::from(INVOCATIONS * RECORDS / 10);
    let entities = (0..10).map(|entity| (format!("entity-{entity}"), uses));
    assert_eq!(stage.usage().await, sums(entities));
}

#[tokio::test]
async fn sigterm_ends_the_function_with_a_last_line_of_totals() {
    let stage = Stage::start().await;
    let function = start(&stage).await;
    deliver(&function, &[consumption(1, "ann", 3), expiry(2)]).await;
    deliver(&function, &[consumption(3, "ann", 3)]).await;
    function.program().terminate();
    function.tells("exited: exit status 0").await;
    let log = function.log();
    let last = log.lines().last().unwrap_or_default();
    let last: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {log}"));
    let totals = ["batches", "records", "snapshots_updated", "events_archived"];
    assert_eq!(last["level"], "INFO");
    assert_eq!(last["message"], "Function ended");
    assert_eq!(
        totals.map(|total| last[total].as_u64()),
        [2, 3, 2, 1].map(Some)
    );
}

#[tokio::test]
async fn sigterm_lets_the_batch_in_hand_be_finished() {
    let stage = Stage::start().await;
    let dynamodb = Proxy::start(stage.dynamodb()).await;
    let function = behind(&dynamodb, &stage).start().await;
    let slow = Fault::LateResponse(Duration::from_secs(1));
    dynamodb.inject(slow, 1, &["UpdateItem"]);
    let terminated = async {
        while dynamodb.happened() == 0 {
            time::sleep(GLANCE).await;
        }
        function.program().terminate();
    };
    let records = [consumption(1, "ann", 3), consumption(2, "bob", 4)];
    let (answered, ()) = tokio::join!(deliver(&function, &records), terminated);
    assert_eq!(answered.json(), done(2, 2, 0));
    function.tells("exited: exit status 0").await;
    assert_eq!(stage.usage().await, sums([("ann", 3), ("bob", 4)]));
    assert!(function.log().contains("\"Function ended\",\"batches\":1"));
}
