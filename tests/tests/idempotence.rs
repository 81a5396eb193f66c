//! Streams are delivered at least once; usage is counted exactly once.
//!
//! What is compared is the whole table: the snapshots with their watermarks, and the buckets. The buckets hold
//! plenty of tokens, because whether one is refilled depends on what its batch consumed, and so, rightly, on how
//! the stream is cut into batches.
//!
//! An event source redelivers from the record that failed on, and skips nothing. So every delivery here begins
//! at or before the place up to which the stream has been delivered.

use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop_assert_eq, proptest},
    sample::Index,
    test_runner::Config,
};
use serde_json::Value;
use std::{ops::Range, slice};
use weir::batch::Counters;
use weir_tests::{
    aggregator::{self, Aggregator},
    corrections,
    record::{
        self, Bucket,
        Generation::{B2, C},
        Record, bucket,
    },
    server::{self, Server},
    table::{self, Items},
};

/// The stream that a table gets when its stream is switched off and on again.
const YOUNGER_STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/limiter/stream/2024-01-01T06:00:00.000";

/// A bucket with plenty of tokens.
fn plentiful(bucket: Bucket) -> Bucket {
    bucket
        .limit("tpm", |limit| limit.capacity(1_000_000_000))
        .limit("rpm", |limit| limit.capacity(1_000_000_000))
}

/// The records of as many consumptions, of 1, 2, 3 … tokens of `tpm`.
fn consumptions(count: i64) -> Vec<Record> {
    let mut bucket = plentiful(bucket(C));
    record::numbered((1..=count).map(|tokens| bucket.consume("tpm", tokens * 1_000)))
}

async fn started(server: &Server) -> Aggregator {
    Aggregator::start(server, aggregator::settings(corrections::all())).await
}

/// Delivers records in one batch, which must do.
async fn deliver<'r>(
    aggregator: &Aggregator,
    records: impl IntoIterator<Item = &'r Record>,
) -> Counters {
    let outcome = aggregator.deliver(&record::event(records)).await;
    let outcome = outcome.expect("the batch is processed");
    assert_eq!(outcome.response.body.errors, Vec::<String>::new());
    assert!(outcome.response.failed().next().is_none());
    outcome.counters
}

/// The table after deliveries of these parts of the records, in this order.
async fn after(server: &Server, records: &[Record], deliveries: &[Range<usize>]) -> Items {
    let aggregator = started(server).await;
    for range in deliveries {
        deliver(&aggregator, &records[range.clone()]).await;
    }
    aggregator.table.items().await
}

/// The sum of a limit's counter over the snapshots of a window.
fn total(items: &Items, window: &str, limit: &str) -> i64 {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    table::snapshots(items)
        .values()
        .filter(|item| text(&item["window"]["S"]).as_deref() == Some(window))
        .filter_map(|item| text(&item.get(limit)?["N"]))
        .map(|number| number.parse::<i64>().expect("a whole number"))
        .sum()
}

/// What is so on both servers.
async fn on_both_servers(check: impl AsyncFn(&Server)) {
    check(&Server::start().await).await;
    check(&Server::ministack()).await;
}

#[tokio::test]
async fn however_a_stream_is_delivered_the_table_is_as_after_one_delivery() {
    let records = consumptions(6);
    let whole = 0..records.len();
    on_both_servers(async |server: &Server| {
        let once = after(server, &records, slice::from_ref(&whole)).await;
        assert_eq!(total(&once, "hourly", "tpm"), 21);
        assert_eq!(total(&once, "daily", "tpm"), 21);
        for (name, deliveries) in [
            ("twice", vec![0..6, 0..6]),
            ("thrice", vec![0..6, 0..6, 0..6]),
            ("in halves", vec![0..3, 3..6]),
            ("each half twice", vec![0..3, 0..3, 3..6, 3..6]),
            ("whole after its first half", vec![0..3, 0..6]),
            ("in overlapping parts", vec![0..4, 2..5, 1..6]),
            ("again from the middle", vec![0..6, 3..6, 5..6]),
            ("the first half again at the end", vec![0..6, 0..3]),
            ("one by one", vec![0..1, 1..2, 2..3, 3..4, 4..5, 5..6]),
            (
                "growing from the start",
                vec![0..1, 0..2, 0..3, 0..4, 0..5, 0..6],
            ),
        ] {
            let found = after(server, &records, &deliveries).await;
            let differences = table::differences(&found, &once);
            assert!(differences.is_empty(), "{name}: {differences:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_applied_before_changes_nothing_and_is_counted_as_duplicates() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let records = consumptions(3);
    let first = deliver(&aggregator, &records).await;
    assert_eq!((first.snapshot_updates, first.duplicates), (6, 0));
    let second = deliver(&aggregator, &records).await;
    assert_eq!((second.snapshot_updates, second.duplicates), (0, 6));
}

#[tokio::test]
async fn of_a_batch_applied_in_part_only_the_rest_is_added() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let records = consumptions(3);
    deliver(&aggregator, &records[..2]).await;
    // Both snapshots have moved on when the second batch comes: it loses its condition there, and plans again.
    let counters = deliver(&aggregator, &records).await;
    assert_eq!(counters.conflicts, 2);
    assert_eq!((counters.snapshot_updates, counters.duplicates), (2, 4));
    assert_eq!(total(&aggregator.table.items().await, "hourly", "tpm"), 6);
}

#[tokio::test]
async fn an_older_batch_is_refused_after_a_newer_one() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let records = consumptions(4);
    deliver(&aggregator, &records[2..]).await;
    let counters = deliver(&aggregator, &records[..2]).await;
    assert_eq!((counters.snapshot_updates, counters.duplicates), (0, 4));
    assert_eq!(total(&aggregator.table.items().await, "hourly", "tpm"), 7);
}

#[tokio::test]
async fn a_record_that_is_twice_in_a_batch_counts_once() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let records = consumptions(2);
    let twice = [&records[0], &records[0], &records[1], &records[1]];
    let counters = deliver(&aggregator, twice).await;
    assert_eq!((counters.snapshot_updates, counters.duplicates), (4, 4));
    assert_eq!(total(&aggregator.table.items().await, "hourly", "tpm"), 3);
}

#[tokio::test]
async fn shards_of_a_bucket_are_protected_each_by_itself() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let records = |shard, first: u32| -> Vec<Record> {
        let mut bucket = plentiful(bucket(C).shard(shard).shard_count(2));
        (first..first + 2)
            .map(|place| bucket.consume("tpm", 1_000).numbered(place))
            .collect()
    };
    // Both add to the same snapshots. The second shard's records are older than what the first has added.
    let (first, second) = (records(0, 5), records(1, 1));
    deliver(&aggregator, &first).await;
    let counters = deliver(&aggregator, &second).await;
    assert_eq!((counters.conflicts, counters.duplicates), (0, 0));
    for records in [&first, &second] {
        assert_eq!(deliver(&aggregator, records).await.snapshot_updates, 0);
    }
    let items = aggregator.table.items().await;
    assert_eq!(total(&items, "hourly", "tpm"), 4);
    for snapshot in table::snapshots(&items).values() {
        let marks = snapshot
            .keys()
            .filter(|name| name.starts_with(table::WATERMARK));
        assert_eq!(marks.collect::<Vec<_>>(), ["_applied_0", "_applied_1"]);
    }
}

#[tokio::test]
async fn a_younger_stream_starts_anew_whatever_its_numbers() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let [older, younger]: [Record; 2] = consumptions(2).try_into().expect("two records");
    let older = older.numbered(1_000);
    let younger = younger.numbered(1).stream(YOUNGER_STREAM);
    deliver(&aggregator, [&older]).await;
    assert_eq!(deliver(&aggregator, [&younger]).await.snapshot_updates, 2);
    // What the older stream has delivered stays counted, and is not counted again.
    assert_eq!(deliver(&aggregator, [&older]).await.snapshot_updates, 0);
    assert_eq!(total(&aggregator.table.items().await, "hourly", "tpm"), 3);
}

#[tokio::test]
async fn an_archived_event_is_stored_under_the_same_name_again() {
    let server = Server::start().await;
    let aggregator = started(&server).await;
    let event = record::audit(C, "01HQA").expire();
    deliver(&aggregator, [&event]).await;
    let once = aggregator.archive.objects("audit/").await;
    deliver(&aggregator, [&event]).await;
    assert_eq!(once.len(), 1);
    assert_eq!(aggregator.archive.objects("audit/").await, once);
}

// ---------------------------------------------------------------------------------------- any history at all

/// A consumption: of which bucket, of which limit, how much, and how many seconds after the first.
type Consumption = (Index, bool, i64, i64);

/// A delivery: how far back it begins, and how far it goes.
type Cut = (Index, Index);

fn consumption() -> impl Strategy<Value = Consumption> {
    (
        any::<Index>(),
        any::<bool>(),
        -3_000_i64..9_000,
        0_i64..7_200,
    )
}

/// The buckets: two shards of one, and the same bucket as generation B has it. All three add to the same
/// snapshots.
fn buckets() -> [Bucket; 3] {
    [
        bucket(C).shard_count(2),
        bucket(C).shard(1).shard_count(2),
        bucket(B2),
    ]
    .map(plentiful)
}

/// The records of a history, in the order of their stream.
fn records_of(history: &[Consumption]) -> Vec<Record> {
    let mut buckets = buckets();
    record::numbered(history.iter().map(|(bucket, is_tpm, amount, second)| {
        let limit = if *is_tpm { "tpm" } else { "rpm" };
        let record = bucket.get_mut(&mut buckets).consume(limit, *amount);
        record.created(record::CREATED + second)
    }))
}

/// Deliveries that skip nothing and in the end have delivered all of `count` records.
fn deliveries_of(cuts: &[Cut], count: usize) -> Vec<Range<usize>> {
    let mut done = 0;
    let mut deliveries = Vec::new();
    for (start, length) in cuts {
        let start = start.index(done + 1);
        let end = start + length.index(count - start + 1);
        done = done.max(end);
        deliveries.push(start..end);
    }
    deliveries.push(done..count);
    deliveries
}

/// The table after these deliveries, under these corrections.
async fn replayed(
    records: &[Record],
    deliveries: &[Range<usize>],
    corrections: Vec<String>,
) -> Items {
    let server = Server::start().await;
    let aggregator = Aggregator::start(&server, aggregator::settings(corrections)).await;
    for bucket in buckets() {
        aggregator.table.put(&bucket.item()).await;
    }
    for range in deliveries {
        deliver(&aggregator, &records[range.clone()]).await;
    }
    aggregator.table.items().await
}

proptest! {
    #![proptest_config(Config { cases: 32, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_history_however_it_is_delivered_is_counted_once(
        history in vec(consumption(), 1..12),
        cuts in vec(any::<Cut>(), 0..6),
        is_corrected in any::<bool>(),
    ) {
        let corrections = if is_corrected { corrections::all() } else { corrections::none() };
        let records = records_of(&history);
        let deliveries = deliveries_of(&cuts, records.len());
        let whole = 0..records.len();
        let (once, found) = server::runtime().block_on(async {
            let once = replayed(&records, slice::from_ref(&whole), corrections).await;
            (once, replayed(&records, &deliveries, corrections).await)
        });
        prop_assert_eq!(table::differences(&found, &once), Vec::<String>::new());
        for (limit, is_tpm) in [("tpm", true), ("rpm", false)] {
            let consumed = history.iter().filter(|consumption| consumption.1 == is_tpm);
            let tokens: i64 = consumed.map(|consumption| consumption.2.div_euclid(1_000)).sum();
            prop_assert_eq!(total(&found, "hourly", limit), tokens);
            prop_assert_eq!(total(&found, "daily", limit), tokens);
        }
    }
}
