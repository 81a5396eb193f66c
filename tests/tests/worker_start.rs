//! With what the worker does not start, and what it says then.

use serde_json::json;
use std::time::{Duration, SystemTime};
use weir::worker::WorkerError;
use weir_tests::{
    program::{Ended, weir},
    proxy::{ALWAYS, Fault, Proxy},
    record::STREAM,
    server::Server,
    shards::Shards,
    stage::{Stage, consumption, sequence_number, sums},
    worker::Worker,
};

const SHARD: &str = "shard-1-only";

/// `weir worker` on a stage, but for its stream, which is served there.
async fn run(stage: &Stage, streams: &str) -> Ended {
    let arguments = ["worker", "--stream-arn", STREAM, "--stop-when-idle", "1"];
    let worker = weir(arguments).on(stage);
    let worker = worker.with("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", streams);
    worker.run().await
}

/// A worker on a stream of one shard with these uses of ann's.
async fn reading(uses: i64) -> (Worker, Shards, Server) {
    let (server, shards) = (Server::start().await, Shards::start().await);
    shards.add(SHARD, None);
    let records: Vec<_> = (1..=uses)
        .map(|place| consumption(place as u32, "ann", 1))
        .collect();
    shards.write(SHARD, &records);
    (Worker::on(server.table().await), shards, server)
}

fn now() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
    now.as_secs() as i64
}

#[tokio::test]
async fn a_stream_of_another_view_type_is_refused_with_the_remedy() {
    for view_type in ["NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY"] {
        let (stage, shards) = (Stage::start().await, Shards::start().await);
        shards.set_view_type(view_type);
        shards.add(SHARD, None);
        shards.write(SHARD, &[consumption(1, "ann", 1)]);
        let ended = run(&stage, shards.endpoint()).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        for words in [view_type, STREAM, "enable one with NEW_AND_OLD_IMAGES"] {
            assert!(ended.err.contains(words), "{words}: {ended:?}");
        }
        assert!(stage.usage().await.is_empty());
    }
}

#[tokio::test]
async fn a_worker_that_finds_its_stream_by_itself_describes_the_table_once() {
    let stage = Stage::start().await;
    let proxy = Proxy::start(stage.dynamodb()).await;
    let counted = Fault::LateResponse(Duration::ZERO);
    proxy.inject(counted, ALWAYS, &["DescribeTable"]);
    let worker = weir(["worker", "--stop-when-idle", "1"]).on(&stage);
    let worker = worker.with("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint());
    let ended = worker.run().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(proxy.happened(), 1);
}

#[tokio::test]
async fn a_stream_that_cannot_be_reached_is_said_at_each_try_and_then_for_good() {
    let stage = Stage::start().await;
    let ended = run(&stage, "http://127.0.0.1:9").await;
    assert_eq!(ended.code, 1, "{ended:?}");
    for attempt in 1..8 {
        let words = format!(r#""attempt":"{attempt}/8""#);
        assert!(ended.err.contains(&words), "{words}: {ended:?}");
    }
    assert!(ended.err.contains("retrying"), "{ended:?}");
    let last = ended.err.lines().last().unwrap_or_default();
    assert!(last.contains("cannot read stream"), "{ended:?}");
}

#[tokio::test]
async fn throttling_at_the_start_is_said_and_passes() {
    let (stage, shards) = (Stage::start().await, Shards::start().await);
    let proxy = Proxy::start(shards.endpoint()).await;
    shards.add(SHARD, None);
    shards.write(SHARD, &[consumption(1, "ann", 1).created(now())]);
    let throttled = Fault::Explained(400, "ThrottlingException", "Rate exceeded");
    proxy.inject(throttled, 2, &["DescribeStream"]);
    let ended = run(&stage, proxy.endpoint()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in ["retrying", r#""attempt":"2/8""#, "Rate exceeded"] {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
    assert_eq!(stage.usage().await, sums([("ann", 1)]));
}

#[tokio::test]
async fn a_position_that_the_stream_refuses_names_the_checkpoint_file_and_the_shard() {
    let (worker, shards, _server) = reading(2).await;
    let elsewhere = sequence_number(&consumption(9, "ann", 1));
    worker.remember(json!({ SHARD: { "after": elsewhere } }));
    let error = worker.follow(&shards.client(), STREAM).await.unwrap_err();
    assert!(matches!(error, WorkerError::BadPosition { .. }), "{error}");
    let message = error.to_string();
    for words in [
        "checkpoint.json",
        SHARD,
        &elsewhere,
        "remove the shard's entry",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }

    // The remedy.
    worker.remember(json!({}));
    worker.follow(&shards.client(), STREAM).await.unwrap();
    assert_eq!(worker.usage().await, sums([("ann", 2)]));
}

#[tokio::test]
async fn a_position_that_was_trimmed_is_read_on_from_the_oldest_record() {
    let (worker, shards, _server) = reading(2).await;
    let proxy = Proxy::start(shards.endpoint()).await;
    let first = sequence_number(&consumption(1, "ann", 1));
    worker.remember(json!({ SHARD: { "after": first } }));
    let trimmed = Fault::Refused(400, "TrimmedDataAccessException");
    proxy.inject(trimmed, 2, &["GetShardIterator"]);
    let streams = weir_local::streams_client(proxy.endpoint());
    worker.follow(&streams, STREAM).await.unwrap();
    assert_eq!(worker.usage().await, sums([("ann", 2)]));
}

#[tokio::test]
async fn a_second_worker_on_a_checkpoint_is_refused_and_the_first_goes_on() {
    let (worker, shards, _server) = reading(2).await;
    let streams = shards.client();
    let (first, second) = tokio::join!(
        worker.follow(&streams, STREAM),
        worker.follow(&streams, STREAM)
    );
    first.unwrap();
    let error = second.unwrap_err();
    assert!(
        matches!(error, WorkerError::CheckpointInUse { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("checkpoint.json"), "{error}");
    assert_eq!(worker.usage().await, sums([("ann", 2)]));
}
