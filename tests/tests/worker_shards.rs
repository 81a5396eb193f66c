//! When the worker takes a shard for ended, gone or not yet read, over a stream of several shards.

use serde_json::json;
use std::time::{Duration, SystemTime};
use tokio::time::{self, Instant};
use weir::worker::{StartPosition, WorkerError};
use weir_tests::{
    proxy::{ALWAYS, Fault, Proxy},
    record::STREAM,
    server::Server,
    shards::Shards,
    stage::{consumption, sequence_number, sums},
    worker::Worker,
};

const ROOT: &str = "shard-1-root";
const CHILD: &str = "shard-2-child";

/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A worker, and a stream of which a root with one use of ann's has ended, which a child with another continues.
async fn split() -> (Worker, Shards, Server) {
    let server = Server::start().await;
    let shards = Shards::start().await;
    shards.add(ROOT, None);
    shards.write(ROOT, &[consumption(1, "ann", 1)]);
    shards.end(ROOT);
    shards.add(CHILD, Some(ROOT));
    shards.write(CHILD, &[consumption(2, "ann", 10)]);
    (Worker::on(server.table().await), shards, server)
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        time::sleep(GLANCE).await;
    }
}

fn now() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
    now.as_secs() as i64
}

#[tokio::test]
async fn a_disabled_stream_is_read_to_its_end() {
    let (mut worker, shards, _server) = split().await;
    worker.options.stop_when_idle = None;
    shards.disable();
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!((report.shards, report.records), (2, 2), "{report:?}");
    assert!(!report.has_losses(), "{report:?}");
    assert_eq!(worker.usage().await, sums([("ann", 11)]));
    let checkpoint = worker.checkpoint();
    let last = sequence_number(&consumption(2, "ann", 10));
    assert_eq!(checkpoint[CHILD]["ended"]["after"], last, "{checkpoint}");
}

#[tokio::test]
async fn a_shard_that_seems_to_be_over_and_is_listed_as_open_ends_the_worker_and_not_the_shard() {
    let gone = Fault::Refused(400, "ResourceNotFoundException");
    let cases = [
        (Fault::Without("/NextShardIterator"), "GetRecords"),
        (gone, "GetRecords"),
        (gone, "GetShardIterator"),
    ];
    let cases = cases.map(|(fault, call)| async move {
        let server = Server::start().await;
        let (worker, shards) = (Worker::on(server.table().await), Shards::start().await);
        let proxy = Proxy::start(shards.endpoint()).await;
        let streams = weir_local::streams_client(proxy.endpoint());
        shards.add(ROOT, None);
        shards.write(ROOT, &[1, 2, 3].map(|place| consumption(place, "ann", 1)));
        proxy.inject(fault, ALWAYS, &[call]);
        let error = worker.follow(&streams, STREAM).await.unwrap_err();
        assert!(
            matches!(error, WorkerError::Contradiction { .. }),
            "{error}"
        );
        for words in [ROOT, "DescribeStream", "goes on there"] {
            assert!(error.to_string().contains(words), "{words}: {error}");
        }

        proxy.heal();
        worker.follow(&streams, STREAM).await.unwrap();
        assert_eq!(worker.usage().await, sums([("ann", 3)]));
    });
    let [first, second, third] = cases;
    tokio::join!(first, second, third);
}

#[tokio::test]
async fn a_shard_that_is_gone_is_counted_as_lost_and_what_continues_it_is_read() {
    let (worker, shards, _server) = split().await;
    let first = sequence_number(&consumption(1, "ann", 1));
    worker.remember(json!({ ROOT: { "after": first } }));
    shards.trim(ROOT);
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!((report.gone, report.records), (1, 1), "{report:?}");
    assert!(report.has_losses());
    assert_eq!(worker.usage().await, sums([("ann", 10)]));
    let checkpoint = worker.checkpoint();
    assert_eq!(checkpoint[ROOT]["ended"]["after"], first, "{checkpoint}");

    // That is said once.
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!((report.gone, report.records), (0, 0), "{report:?}");
}

#[tokio::test]
async fn a_shard_is_read_whose_parent_was_trimmed_before_the_worker_came() {
    let (worker, shards, _server) = split().await;
    shards.trim(ROOT);
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!((report.gone, report.records), (0, 1), "{report:?}");
    assert_eq!(worker.usage().await, sums([("ann", 10)]));
}

#[tokio::test]
async fn a_shard_that_an_old_checkpoint_calls_finished_is_read_again_once() {
    let server = Server::start().await;
    let (worker, shards) = (Worker::on(server.table().await), Shards::start().await);
    let records = [1, 2, 3].map(|place| consumption(place, "ann", 1));
    shards.add(ROOT, None);
    shards.write(ROOT, &records[..1]);
    worker.follow(&shards.client(), STREAM).await.unwrap();

    shards.write(ROOT, &records[1..]);
    worker.remember(json!({ ROOT: "finished" }));
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!((report.records, report.refused), (3, 0), "{report:?}");
    assert_eq!(worker.usage().await, sums([("ann", 3)]));
    assert!(worker.failed().is_empty());

    shards.end(ROOT);
    for _ in 0..2 {
        let report = worker.follow(&shards.client(), STREAM).await.unwrap();
        assert_eq!(report.records, 0, "{report:?}");
    }
    let checkpoint = worker.checkpoint();
    let last = sequence_number(&records[2]);
    assert_eq!(checkpoint[ROOT]["ended"]["after"], last, "{checkpoint}");
}

#[tokio::test]
async fn usage_that_is_refused_as_its_shards_children_were_read_goes_to_the_on_failure_file() {
    let (worker, shards, _server) = split().await;
    // bob has used nothing since.
    shards.write(ROOT, &[consumption(3, "bob", 5)]);
    worker.remember(json!({ ROOT: { "ended": { "at": 1 } } }));
    worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!(worker.usage().await, sums([("ann", 10)]));

    let mut checkpoint = worker.checkpoint();
    checkpoint[ROOT] = json!("finished");
    worker.remember(checkpoint);
    let report = worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!(report.records, 2, "{report:?}");
    assert!(report.refused > 0 && report.has_losses(), "{report:?}");
    assert_eq!(worker.usage().await, sums([("ann", 10), ("bob", 5)]));
    let failed = worker.failed();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["reason"], "RefusedAsCounted");
    assert_eq!(failed[0]["shardId"], ROOT);
    let refused = &failed[0]["records"][0]["dynamodb"]["SequenceNumber"];
    assert_eq!(*refused, sequence_number(&consumption(1, "ann", 1)));
}

#[tokio::test]
async fn a_renewed_iterator_of_the_latest_records_skips_none() {
    let (mut worker, shards, _server) = split().await;
    let proxy = Proxy::start(shards.endpoint()).await;
    let streams = weir_local::streams_client(proxy.endpoint());
    worker.options.start = StartPosition::Latest;
    worker.options.stop_when_idle = None;
    proxy.inject(Fault::LostRequest, ALWAYS, &["GetRecords"]);
    let shutdown = async {
        // The iterator is there, and nothing was read with it.
        until("reading", async || proxy.happened() > 0).await;
        shards.write(CHILD, &[consumption(3, "ann", 100).created(now())]);
        proxy.heal();
        let expired = Fault::Refused(400, "ExpiredIteratorException");
        proxy.inject(expired, 1, &["GetRecords"]);
        until("the record", async || !worker.usage().await.is_empty()).await;
    };
    worker
        .follow_until(&streams, STREAM, shutdown)
        .await
        .unwrap();
    assert_eq!(worker.usage().await, sums([("ann", 100)]));
}

#[tokio::test]
async fn the_latest_records_are_those_written_since_the_first_start() {
    let (mut worker, shards, _server) = split().await;
    worker.options.start = StartPosition::Latest;
    worker.follow(&shards.client(), STREAM).await.unwrap();
    shards.write(CHILD, &[consumption(3, "ann", 100).created(now())]);
    worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!(worker.usage().await, sums([("ann", 100)]));
}
