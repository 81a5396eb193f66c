//! Whatever the stream answers, or does not, to any of the worker's calls: the usage is exact in the end, also after
//! a restart with the checkpoint.

use std::{collections::BTreeMap, ops::Range, sync::Arc};
use tokio::{sync::Semaphore, task::JoinSet};
use weir_tests::{
    proxy::{Fault, Proxy},
    record::{self, Bucket, Generation},
    server::Server,
    shards::Shards,
    stage::{consumption, sums},
    table::Table,
    worker::Worker,
};

/// The calls of a worker to a stream.
const CALLS: [&str; 3] = ["DescribeStream", "GetShardIterator", "GetRecords"];

/// What may come instead of an answer, to any call.
const ODD: [Fault; 21] = [
    Fault::Answered(200, ""),
    Fault::Answered(200, "{}"),
    Fault::Answered(200, "null"),
    Fault::Answered(200, "[]"),
    Fault::Answered(200, "{\"Rec"),
    Fault::Answered(200, "<html><body>It works!</body></html>"),
    Fault::Answered(403, "<html><body>Forbidden</body></html>"),
    Fault::Answered(404, ""),
    Fault::Answered(404, "{}"),
    Fault::Answered(502, "<html><body>Bad Gateway</body></html>"),
    Fault::Answered(503, ""),
    Fault::Cut,
    Fault::Explained(
        400,
        "ResourceNotFoundException",
        "Invalid ShardId in ShardIterator",
    ),
    Fault::Refused(400, "ThrottlingException"),
    Fault::Refused(400, "LimitExceededException"),
    Fault::Refused(400, "ProvisionedThroughputExceededException"),
    Fault::Refused(400, "ValidationException"),
    Fault::Refused(400, "AccessDeniedException"),
    Fault::Refused(500, "InternalServerError"),
    Fault::LostRequest,
    Fault::LostResponse,
];

/// What may come instead of an answer, to one call.
const ODD_FOR_ONE: [(&str, Fault); 19] = [
    ("DescribeStream", Fault::Without("/StreamDescription")),
    (
        "DescribeStream",
        Fault::Without("/StreamDescription/Shards"),
    ),
    (
        "DescribeStream",
        Fault::Without("/StreamDescription/Shards/0"),
    ),
    (
        "DescribeStream",
        Fault::Without("/StreamDescription/Shards/0/ShardId"),
    ),
    (
        "DescribeStream",
        Fault::Without("/StreamDescription/LastEvaluatedShardId"),
    ),
    (
        "DescribeStream",
        Fault::Answered(200, r#"{"StreamDescription":{}}"#),
    ),
    (
        "DescribeStream",
        Fault::Answered(200, r#"{"StreamDescription":{"Shards":[]}}"#),
    ),
    (
        "DescribeStream",
        Fault::Answered(
            200,
            r#"{"StreamDescription":{"Shards":[],"StreamStatus":"DISABLED"}}"#,
        ),
    ),
    (
        "GetShardIterator",
        Fault::Answered(200, r#"{"ShardIterator":""}"#),
    ),
    (
        "GetShardIterator",
        Fault::Refused(400, "TrimmedDataAccessException"),
    ),
    ("GetRecords", Fault::Without("/Records")),
    ("GetRecords", Fault::Without("/Records/0/dynamodb")),
    (
        "GetRecords",
        Fault::Without("/Records/0/dynamodb/SequenceNumber"),
    ),
    ("GetRecords", Fault::Without("/NextShardIterator")),
    ("GetRecords", Fault::Answered(200, r#"{"Records":[]}"#)),
    ("GetRecords", Fault::Answered(200, r#"{"Records":null}"#)),
    ("GetRecords", Fault::Answered(200, r#"{"Records":[{}]}"#)),
    (
        "GetRecords",
        Fault::Refused(400, "ExpiredIteratorException"),
    ),
    (
        "GetRecords",
        Fault::Refused(400, "TrimmedDataAccessException"),
    ),
];

/// How many cases are tried at a time: most of each is waiting.
const AT_A_TIME: usize = 24;

/// Every call and every odd answer to it.
fn cases() -> impl Iterator<Item = (&'static str, Fault)> {
    let any = CALLS
        .into_iter()
        .flat_map(|call| ODD.map(|fault| (call, fault)));
    any.chain(ODD_FOR_ONE)
}

/// Runs all cases, and says which failed and how.
async fn try_all<F>(run: impl Fn(&'static str, Fault) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut runs = JoinSet::new();
    let mut names = BTreeMap::new();
    for (call, fault) in cases() {
        let places = Arc::clone(&places);
        let run = run(call, fault);
        let task = runs.spawn(async move {
            let _place = places.acquire().await.expect("nobody closes it");
            run.await;
        });
        names.insert(task.id().to_string(), format!("{call}, {fault:?}"));
    }
    let mut failed = Vec::new();
    while let Some(ended) = runs.join_next_with_id().await {
        if let Err(error) = ended {
            let name = &names[&error.id().to_string()];
            let panic = error.into_panic();
            let said = panic.downcast_ref::<String>();
            failed.push(format!("{name}: {}", said.map_or("", String::as_str)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Three tokens more are used of a bucket.
async fn use_three(table: &Table, bucket: &mut Bucket) {
    bucket.consume("rpm", 3_000);
    table.put(&bucket.item()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_odd_answer_costs_no_record_of_a_shard_that_never_ends() {
    let server = Arc::new(Server::start().await);
    try_all(|call, fault| {
        let server = Arc::clone(&server);
        async move {
            let worker = Worker::on(server.table().await);
            let arn = worker.table().stream().await;
            let proxy = Proxy::start(server.endpoint()).await;
            let streams = weir_local::streams_client(proxy.endpoint());
            let mut bucket = record::bucket(Generation::C)
                .entity("ann")
                .limit("rpm", |limit| limit);
            worker.table().put(&bucket.item()).await;
            for run in 1..=2 {
                use_three(worker.table(), &mut bucket).await;
                proxy.inject(fault, 1, &[call]);
                worker.follow(&streams, &arn).await.expect("it goes on");
                assert!(proxy.happened() > 0, "it was not tried");
                proxy.heal();
                let expected = sums([("ann", 3 * run)]);
                assert_eq!(worker.usage().await, expected, "run {run}");
            }
        }
    })
    .await;
}

/// Watermarks refuse what a parent holds that is read after its child, so the sums are right only in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn odd_answers_cost_no_record_of_shards_that_continue_each_other() {
    let server = Arc::new(Server::start().await);
    try_all(|call, fault| {
        let server = Arc::clone(&server);
        async move {
            let worker = Worker::on(server.table().await);
            let shards = Shards::start().await;
            let proxy = Proxy::start(shards.endpoint()).await;
            let streams = weir_local::streams_client(proxy.endpoint());
            let write = |id, places: Range<u32>, entity, tokens| {
                let records: Vec<_> = places
                    .map(|place| consumption(place, entity, tokens))
                    .collect();
                shards.write(id, &records);
            };
            shards.add("shard-1-root", None);
            write("shard-1-root", 1..4, "ann", 1);
            write("shard-1-root", 4..6, "bob", 1);
            shards.end("shard-1-root");
            shards.add("shard-2-left", Some("shard-1-root"));
            write("shard-2-left", 10..13, "ann", 10);
            shards.add("shard-3-right", Some("shard-1-root"));
            write("shard-3-right", 20..22, "bob", 10);

            proxy.inject(fault, 1, &[call]);
            let followed = worker.follow(&streams, record::STREAM).await;
            followed.expect("it goes on");
            assert!(proxy.happened() > 0, "it was not tried");
            proxy.heal();
            assert_eq!(worker.usage().await, sums([("ann", 33), ("bob", 22)]));

            write("shard-2-left", 30..31, "ann", 100);
            shards.end("shard-2-left");
            shards.add("shard-4-heir", Some("shard-2-left"));
            write("shard-4-heir", 40..43, "ann", 1_000);
            write("shard-3-right", 50..51, "bob", 100);
            proxy.inject(fault, 2, &[call]);
            let followed = worker.follow(&streams, record::STREAM).await;
            followed.expect("it goes on");
            let expected = sums([("ann", 3_133), ("bob", 122)]);
            assert_eq!(worker.usage().await, expected, "after the restart");

            let checkpoint = worker.checkpoint();
            for ended in ["shard-1-root", "shard-2-left"] {
                assert!(
                    checkpoint[ended]["ended"]["after"].is_string(),
                    "{checkpoint}"
                );
            }
            for open in ["shard-3-right", "shard-4-heir"] {
                assert!(checkpoint[open]["after"].is_string(), "{checkpoint}");
            }
        }
    })
    .await;
}
