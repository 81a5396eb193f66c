//! What a component may do to a host: nothing. One that exceeds its limits, traps, or plans what no policy
//! allows costs the batch at most; a single record that it cannot plan costs that record.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use weir::{
    batch::{BatchError, Processor},
    component::{Limits, Logic, LogicError},
    contract::{Batch, Purpose, Write},
};
use weir_tests::{
    built,
    misbehaving::{self, BEHAVE, Misdeed, POISON},
    record::{self, Generation, Record},
    runner,
    stage::{Stage, consumption, delivery, delivery_within, failures, json, sequence_number, sums},
    versions,
};

/// Enough for the component when it behaves, and soon reached when it does not.
const TIGHT: Limits = Limits {
    memory: 32 << 20,
    timeout: Duration::from_millis(500),
};

/// Room for what only a policy stops.
const WIDE: Limits = Limits {
    memory: 256 << 20,
    timeout: Duration::from_secs(60),
};

fn usage_of(records: &[Record]) -> BTreeMap<String, i64> {
    sums(records.iter().map(|record| (sequence_number(record), 1)))
}

/// Records of which those at these positions poison the component.
fn poisoned(count: u32, positions: &[u32]) -> Vec<Record> {
    let entity = |position| {
        if positions.contains(&position) {
            POISON
        } else {
            "ann"
        }
    };
    (0..count)
        .map(|position| consumption(position + 1, entity(position), 1))
        .collect()
}

#[tokio::test]
async fn a_component_that_exceeds_its_limits_gives_a_typed_error_and_nothing_is_applied() {
    type IsKind = fn(&LogicError) -> bool;
    let cases: [(Misdeed, IsKind); 3] = [
        (
            Misdeed::Loop,
            |error| matches!(error, LogicError::TimedOut(time) if *time == TIGHT.timeout),
        ),
        (Misdeed::Allocate, |error| {
            matches!(error, LogicError::OutOfMemory { denied, limit }
                if *limit == TIGHT.memory && denied > limit)
        }),
        (Misdeed::Trap, |error| {
            matches!(error, LogicError::Trapped(_))
        }),
    ];
    for (misdeed, is_expected) in cases {
        let stage = Stage::start().await;
        let bucket = record::bucket(Generation::C).entity("ann");
        stage.table().put(&bucket.item()).await;
        let before = stage.items().await;
        let records = poisoned(3, &[]);
        let event = record::event(&records);
        let processor = misbehaving::processor(&stage, TIGHT, Some(misdeed));

        let result = processor.process(event.clone(), &delivery("first")).await;
        assert!(
            matches!(&result, Err(BatchError::Logic(error)) if is_expected(error)),
            "{misdeed:?}: {result:?}"
        );
        assert_eq!(stage.items().await, before, "{misdeed:?}");
        assert!(stage.objects("").await.is_empty(), "{misdeed:?}");

        // The component is as new for the next batch.
        let outcome = processor.process(event, &delivery(BEHAVE)).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{misdeed:?}: {outcome:?}");
        assert_eq!(stage.usage().await, usage_of(&records), "{misdeed:?}");
    }
}

#[test]
fn what_all_memories_of_a_component_take_counts_against_its_limit() {
    let limits = Limits {
        memory: 129 << 16,
        ..TIGHT
    };
    let load = |pages| {
        let component = versions::with_memories(versions::real(), 1, pages);
        Logic::from_bytes("logic.wasm", &component, limits)
    };
    assert!(load(1).is_ok());
    // The second memory alone would fit.
    let refused = load(127).err();
    assert!(
        matches!(refused, Some(LogicError::OutOfMemory { denied, limit }) if denied > limit && limit == limits.memory),
        "{refused:?}"
    );
}

/// What a split needs of its record is read again. Reading the whole event again for each would take minutes.
#[test]
fn two_thousand_splits_in_a_batch_are_planned_within_the_default_time() {
    let splits = (0..2_000).map(|number: u32| {
        let bucket = record::bucket(Generation::C).entity(&format!("user-{}", number % 5));
        let count = 1 + number / 5;
        bucket
            .modify()
            .with("/dynamodb/OldImage/shard_count", record::number(count))
            .with("/dynamodb/NewImage/shard_count", record::number(count + 1))
    });
    let batch = runner::batch(record::event(&record::numbered(splits)), record::NOW);
    let settings = runner::told(&runner::settings());
    let plan = built::logic().plan(&batch, &settings, Duration::from_secs(5));
    let plan = plan.expect("it is planned in time");
    let is_shard = |write: &&Write| write.purpose == Purpose::ShardPropagation;
    assert_eq!(plan.writes.iter().filter(is_shard).count(), 5 * 400);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one misdeed after the other")]
async fn a_plan_with_a_forbidden_write_is_refused_as_a_whole() {
    let stage = Stage::start().await;
    let bucket = record::bucket(Generation::C).entity("ann");
    stage.table().put(&bucket.item()).await;
    let before = stage.items().await;
    let event = record::event(&poisoned(3, &[]));
    let logic = misbehaving::logic(WIDE);
    for (misdeed, purpose, problem) in [
        (
            Misdeed::RemoveFromEntity,
            "usage",
            "it is not a usage snapshot",
        ),
        (Misdeed::RemoveCounter, "usage", "`rpm`"),
        (Misdeed::ChangeEntity, "refill", "it is not a bucket"),
        (
            Misdeed::PutEntity,
            "shard-propagation",
            "it is not a further shard",
        ),
        (Misdeed::AddToTtl, "usage", "`ttl`"),
        (Misdeed::UntestedWatermark, "usage", "without testing it"),
        (Misdeed::UnlockedRefill, "refill", "that rf is as it was"),
        (Misdeed::NegativeRefill, "refill", "`b_rpm_tk`"),
        (Misdeed::RaiseCapacity, "refill", "`b_rpm_cp`"),
        (
            Misdeed::UnlockedBump,
            "shard-bump",
            "that shard_count is as it was",
        ),
        (
            Misdeed::OverwriteShard,
            "shard-propagation",
            "it would replace a shard that exists",
        ),
        (
            Misdeed::ReplaceFirstShard,
            "shard-propagation",
            "it is not a further shard",
        ),
        (
            Misdeed::StrayObject,
            "archive",
            "its key does not begin with audit/",
        ),
        (
            Misdeed::ClimbingObject,
            "archive",
            "its key does not begin with audit/",
        ),
        (
            Misdeed::HugeObject,
            "archive",
            "it is larger than 67108864 bytes",
        ),
        (
            Misdeed::UsageInTransaction,
            "usage",
            "the purpose has no such operation",
        ),
    ] {
        let settings = misbehaving::settings(WIDE, Some(misdeed));
        let processor = Processor::new(logic.clone(), stage.target(), settings);
        let breach = match processor.process(event.clone(), &delivery("first")).await {
            Err(BatchError::Breach(breach)) => breach,
            other => panic!("{misdeed:?}: {other:?}"),
        };
        let subject = format!("a {purpose} write to ");
        assert!(
            breach.subject.starts_with(&subject),
            "{misdeed:?}: {breach}"
        );
        assert!(breach.problem.contains(problem), "{misdeed:?}: {breach}");
        // The plan's harmless writes were not made either.
        assert_eq!(stage.items().await, before, "{misdeed:?}");
        assert!(stage.objects("").await.is_empty(), "{misdeed:?}");
    }
}

#[tokio::test]
async fn a_refused_plan_costs_the_next_batch_nothing() {
    let stage = Stage::start().await;
    let processor = misbehaving::processor(&stage, WIDE, Some(Misdeed::RemoveCounter));
    let records = poisoned(3, &[]);
    let event = record::event(&records);
    let refused = processor.process(event.clone(), &delivery("first")).await;
    assert!(matches!(refused, Err(BatchError::Breach(_))), "{refused:?}");
    processor.process(event, &delivery(BEHAVE)).await.unwrap();
    assert_eq!(stage.usage().await, usage_of(&records));
}

#[test]
fn a_component_that_loops_is_stopped_by_its_limit_and_by_what_the_batch_has_left() {
    let short = Duration::from_millis(200);
    let long = Duration::from_secs(3600);
    for (limit, remaining) in [(short, long), (long, short)] {
        let limits = Limits {
            timeout: limit,
            ..TIGHT
        };
        let logic = misbehaving::logic(limits);
        let settings = misbehaving::settings(limits, Some(Misdeed::Loop)).logic;
        let settings = logic.resolve(&settings).expect("it fits").settings;
        let batch = Batch {
            event: record::event(&poisoned(1, &[])),
            now: record::NOW,
            request_id: "first".into(),
            known: Vec::new(),
        };
        let started = Instant::now();
        let result = logic.plan(&batch, &settings, remaining);
        assert!(
            matches!(result, Err(LogicError::TimedOut(time)) if time == short),
            "{result:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_poisonous_record_is_quarantined_and_all_others_are_applied() {
    let cases: [(Misdeed, u32, &[u32], &str); 7] = [
        (Misdeed::Trap, 1, &[0], "the component trapped"),
        (Misdeed::Trap, 8, &[0], "the component trapped"),
        (Misdeed::Trap, 8, &[7], "the component trapped"),
        (Misdeed::Trap, 9, &[2, 3, 8], "the component trapped"),
        (Misdeed::Loop, 4, &[2], "the component was stopped after"),
        (Misdeed::Allocate, 8, &[4], "bytes of memory"),
        (Misdeed::AddToTtl, 8, &[4], "which is not allowed"),
    ];
    for (misdeed, count, positions, reason) in cases {
        let case = format!("{misdeed:?} at {positions:?} of {count}");
        let stage = Stage::start().await;
        let processor = misbehaving::processor(&stage, TIGHT, None);
        let records = poisoned(count, positions);
        let delivery = delivery(&misbehaving::where_poisoned(misdeed));
        let outcome = processor.process(record::event(&records), &delivery).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{case}: {error}"));

        assert_eq!(outcome.response.status_code, 200, "{case}");
        assert_eq!(outcome.response.body.processed, count, "{case}");
        assert!(failures(&outcome).is_empty(), "{case}: {outcome:?}");
        assert_eq!(outcome.counters.rejects, positions.len() as u64, "{case}");
        let errors = &outcome.response.body.errors;
        let is_expected = |error: &String| {
            error.starts_with("Error processing record: ") && error.contains(reason)
        };
        assert_eq!(errors.len(), positions.len(), "{case}: {errors:?}");
        assert!(errors.iter().all(is_expected), "{case}: {errors:?}");

        let (bad, good): (Vec<_>, Vec<_>) = (0..)
            .zip(records)
            .partition(|(position, _)| positions.contains(position));
        let good: Vec<_> = good.into_iter().map(|(_, record)| record).collect();
        assert_eq!(stage.usage().await, usage_of(&good), "{case}");

        let quarantined = stage.quarantined().await;
        assert_eq!(quarantined.len(), bad.len(), "{case}: {quarantined:?}");
        for (line, (_, record)) in quarantined.iter().zip(&bad) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["record"], json(record), "{case}");
            let said = line["reason"].as_str().unwrap();
            assert!(said.contains(reason), "{case}: {said}");
        }
    }
}

#[tokio::test]
async fn a_quarantined_record_keeps_its_json_to_the_letter() {
    let stage = Stage::start().await;
    let processor = misbehaving::processor(&stage, TIGHT, None);
    // Numbers beyond what programs hold, members in no order and twice, spaces.
    let raw = r#"{"poison":[1e999, 0.10, 12345678901234567890.123],"b":1,"a":2,"b":3,"dynamodb":{"SequenceNumber":"100000000000000000001"}}"#;
    let event = format!(r#"{{"Records":[{raw}]}}"#);
    let delivery = delivery(&misbehaving::where_poisoned(Misdeed::Trap));
    let outcome = processor.process(event.into_bytes(), &delivery).await;
    assert!(failures(&outcome.unwrap()).is_empty());
    let quarantined = stage.quarantined().await;
    assert!(
        quarantined.len() == 1 && quarantined[0].contains(raw),
        "{quarantined:?}"
    );
}

#[tokio::test]
async fn a_plan_cut_short_by_the_batchs_deadline_is_no_reason_for_quarantine() {
    let stage = Stage::start().await;
    let limits = Limits {
        timeout: Duration::from_millis(800),
        ..TIGHT
    };
    let processor = misbehaving::processor(&stage, limits, None);
    let records = poisoned(2, &[1]);
    // Time to find that the batch cannot be planned, but not for the poisonous record by itself.
    let deadline = limits.timeout * 3 / 2;
    let name = misbehaving::where_poisoned(Misdeed::Loop);
    let outcome = processor
        .process(record::event(&records), &delivery_within(&name, deadline))
        .await
        .unwrap();
    assert!(stage.quarantined().await.is_empty());
    let reported = failures(&outcome);
    assert_eq!(reported.len(), 1, "{outcome:?}");
    // What comes before the reported record is done.
    let left = records
        .iter()
        .position(|record| sequence_number(record) == reported[0]);
    let done = &records[..left.expect("the reported record is of this batch")];
    assert_eq!(stage.usage().await, usage_of(done));
}

#[tokio::test]
async fn many_batches_at_once_do_not_take_each_others_place() {
    let stage = Stage::start().await;
    let limits = Limits {
        timeout: Duration::from_millis(200),
        ..TIGHT
    };
    let processor = misbehaving::processor(&stage, limits, Some(Misdeed::Loop));
    let processor = Arc::new(processor);
    let event = record::event(&poisoned(1, &[]));
    let mut batches = JoinSet::new();
    for number in 0..16 {
        let (processor, event) = (Arc::clone(&processor), event.clone());
        let delivery = delivery(&format!("batch-{number}"));
        batches.spawn(async move { processor.process(event, &delivery).await });
    }
    while let Some(result) = batches.join_next().await {
        let result = result.expect("no batch panics");
        // Each has an instance of its own, and its own time: nothing else stops it.
        assert!(
            matches!(&result, Err(BatchError::Logic(LogicError::TimedOut(_)))),
            "{result:?}"
        );
    }
}
