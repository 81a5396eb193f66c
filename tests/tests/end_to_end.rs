//! The whole way: what a limiter writes into its table comes back as usage in the table and as the archive, by way of
//! the stream, the mapping's filters and the package for Lambda.
//!
//! No emulator of the event source mapping knows partial failures, so the worker's rules take its place where these
//! are the subject.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use tokio::time::{self, Instant};
use weir::{
    event_source::{Next, Rules, Settled, ShardSource, StreamRecord, Verdict},
    limiter::filter::DEFAULT_PATTERNS,
};
use weir_tests::{
    built,
    emulator::{Emulator, function},
    lambda_service::LambdaService,
    proxy::{ALWAYS, Fault, Proxy},
    record::{self, Generation, Record},
    server::{self, Server},
    stage::{BUCKET, Stage, consumption, expiry, json, sequence_number, sums},
    table,
};

/// How long the stream may take to the table.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// The sum of a number in all lines with this message.
fn total(log: &[String], message: &str, number: &str) -> u64 {
    let lines = log
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == message)
        .filter_map(|line| line[number].as_u64())
        .sum()
}

/// The filters are those of the template; `template.rs` holds the two together.
#[tokio::test]
async fn what_a_limiter_writes_comes_back_as_usage_and_archive() {
    let server = Server::ministack();
    let endpoint = server.endpoint();
    let table = server.table().await;
    let s3 = weir_local::s3_client(endpoint);
    let bucket = s3.create_bucket().bucket(BUCKET).send().await;
    bucket.expect("a bucket");
    let lambda = LambdaService::at(endpoint);
    let variables = BTreeMap::from([
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint),
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("TABLE_NAME", table.name()),
        ("ARCHIVE_BUCKET_NAME", BUCKET),
        ("ENABLE_ARCHIVAL", "true"),
        ("SNAPSHOT_WINDOWS", "hourly"),
    ]);
    lambda.create_function(&built::zip(), &variables).await;
    lambda.map(&table.stream().await, &DEFAULT_PATTERNS).await;

    // Full a moment ago, so that nothing has to be refilled.
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
    let now = now.as_millis() as i64;
    let mut expected = sums::<&str>([]);
    let mut wanted = 0;
    for (entity, uses) in [("ann", 3), ("bob", 5), ("cid", 1)] {
        let mut bucket = record::bucket(Generation::C)
            .entity(entity)
            .refilled(now)
            .limit("rpm", |limit| limit.consumed(2_000));
        table.put(&bucket.item()).await;
        for _ in 0..uses {
            bucket.consume("rpm", 1_000);
            table.put(&bucket.item()).await;
        }
        expected.insert(entity.into(), 2 + uses);
        wanted += 1 + uses as u64;
    }
    for event in ["event-1", "event-2"] {
        let audit = record::audit(Generation::C, event).item();
        // Its creation is not for the function.
        table.put(&audit).await;
        table.delete(&audit).await;
        wanted += 1;
    }

    let deadline = Instant::now() + PATIENCE;
    let (usage, log) = loop {
        let usage = table::usage(&table.items().await);
        let log = lambda.log().await;
        let is_done = total(&log, "Lambda invocation completed", "processed") >= wanted;
        if is_done || Instant::now() > deadline {
            break (usage, log);
        }
        time::sleep(GLANCE).await;
    };
    assert_eq!(usage, expected, "{log:#?}");
    let archived = server::objects(&s3, BUCKET, "audit/").await;
    let mut events: Vec<Value> = archived
        .values()
        .flat_map(|object| object.text.lines())
        .map(|line| serde_json::from_str(line).expect("a line of the archive is JSON"))
        .collect();
    events.sort_by_key(|event| event["event_id"].to_string());
    let events: Vec<_> = events.iter().map(|event| &event["event_id"]).collect();
    assert_eq!(events, ["event-1", "event-2"], "{log:#?}");
    // Neither the creation of audit events nor the snapshots have reached the function.
    assert_eq!(
        total(&log, "Lambda invocation completed", "processed"),
        wanted,
        "{log:#?}"
    );
}

/// Something goes wrong with a delivery.
enum Trouble {
    /// A fault of the table or the bucket, in requests with these texts.
    Fault(Fault, &'static [&'static str]),
    /// The function is killed once it has begun to write.
    Killed,
}

/// What is right in the end, though the first deliveries go wrong, each in another way.
#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one course of deliveries, fault after fault"
)]
async fn whatever_goes_wrong_with_deliveries_the_usage_is_exact_in_the_end() {
    const THROTTLED: Fault = Fault::Refused(400, "ThrottlingException");
    const FORBIDDEN: Fault = Fault::Refused(403, "AccessDenied");
    let stage = Stage::start().await;
    let (dynamodb, s3) = (
        Proxy::start(stage.dynamodb()).await,
        Proxy::start(stage.s3()).await,
    );
    let function = function()
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.endpoint())
        .with("AWS_ENDPOINT_URL_S3", s3.endpoint())
        .seconds(3)
        .start()
        .await;

    let entities = ["ann", "bob", "cid"];
    let records: Vec<Record> = (1..=36)
        .map(|place| match place % 4 {
            0 => expiry(place),
            _ => consumption(place, entities[place as usize % 3], i64::from(place)),
        })
        .collect();
    let rules = Rules {
        batch_size: 18,
        batch_window: Duration::ZERO,
        maximum_record_age: None,
        retries: None,
        ..Rules::default()
    };
    let mut source = ShardSource::new(rules);
    let parsed = records.iter().map(|record| {
        let record = serde_json::value::to_raw_value(&json(record)).expect("a record is JSON");
        StreamRecord::from_json(record).expect("a stream's record")
    });
    source.offer(parsed, 0);
    source.close();

    let mut troubles = Vec::from([
        // Bob's first record is that of the batch, so nothing is known to be done. What was counted of ann's and cid's
        // comes again with it.
        Trouble::Fault(THROTTLED, &["UpdateItem", "ENTITY#bob"]),
        // The writes are made, and nobody learns of it.
        Trouble::Fault(Fault::LostResponse, &["UpdateItem", "ENTITY#cid"]),
        // Nobody knows what was done.
        Trouble::Killed,
        Trouble::Fault(
            Fault::LateResponse(Duration::from_secs(9)),
            &["UpdateItem", "ENTITY#ann"],
        ),
        Trouble::Fault(FORBIDDEN, &["PUT", "audit/"]),
    ])
    .into_iter();
    let (mut now, mut settled) = (0, Vec::new());
    loop {
        let batch = match source.next_batch(now) {
            Next::Batch(batch) => batch,
            Next::Wait { until } => {
                now = until;
                continue;
            }
            Next::Idle => break,
            Next::Discarded(discarded) => panic!("given up: {discarded:?}"),
        };
        let verdict = match troubles.next() {
            Some(Trouble::Fault(fault, texts)) => {
                let proxy = if texts.contains(&"UpdateItem") {
                    &dynamodb
                } else {
                    &s3
                };
                proxy.inject(fault, ALWAYS, texts);
                let verdict = deliver(&function, batch.event()).await;
                assert!(proxy.happened() > 0, "{texts:?}");
                proxy.heal();
                verdict
            }
            Some(Trouble::Killed) => {
                let slow = Fault::LateResponse(Duration::from_secs(2));
                dynamodb.inject(slow, 1, &["UpdateItem"]);
                let killed = async {
                    while dynamodb.happened() == 0 {
                        time::sleep(Duration::from_millis(10)).await;
                    }
                    function.program().kill();
                };
                let (verdict, ()) = tokio::join!(deliver(&function, batch.event()), killed);
                dynamodb.heal();
                verdict
            }
            None => deliver(&function, batch.event()).await,
        };
        settled.push(match source.settle(verdict, now) {
            Settled::Done { .. } => "done",
            Settled::Remainder { .. } => "remainder",
            Settled::Bisected { .. } => "bisected",
            Settled::Retried { .. } => "retried",
            Settled::Discarded(discarded) => panic!("given up: {discarded:?}"),
        });
        assert!(settled.len() < 50, "no end: {settled:?}");
    }

    let parts = [
        "bisected",
        "remainder",
        "bisected",
        "remainder",
        "remainder",
    ];
    assert_eq!(settled[..5], parts);
    // What was left of the first quarter, the second, the second half, and the second batch.
    assert_eq!(settled[5..], ["done"; 4]);
    assert_eq!(
        source.checkpoint(),
        Some(sequence_number(&records[35]).as_str())
    );
    let mut expected = sums::<&str>([]);
    for place in (1..=36).filter(|place| place % 4 != 0) {
        *expected.entry(entities[place % 3].into()).or_default() += place as i64;
    }
    assert_eq!(stage.usage().await, expected, "{settled:?}");
    let archived = stage.objects("audit/").await;
    let mut events: Vec<_> = archived
        .values()
        .flat_map(|object| object.text.lines())
        .collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), 9, "{archived:?}");
    assert!(stage.quarantined().await.is_empty());
}

/// What the mapping would make of the function's answer.
async fn deliver(function: &Emulator, event: Vec<u8>) -> Verdict {
    match function.invoke(event).await.failures() {
        Some(failures) => Verdict::PartialFailure(failures),
        None => Verdict::Failed,
    }
}
