//! Everything that was recorded of the aggregator before holds when no correction is in force: the table, the
//! archive, the response, the log and every refill. What differs on purpose is listed in one place,
//! `weir_tests::differences`.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir::{
    contract::Level,
    settings::{CEILING, OptionSetting},
};
use weir_tests::{
    aggregator::{self, Aggregator, BUCKET},
    corrections,
    differences::{self, DIFFERENCES},
    log::{self, Line},
    plan,
    record::{self, Generation},
    runner::{self, RUNNERS},
    server::{Server, Stored},
    table,
    vectors::{self, Batch, Refill},
};

/// Members of log lines that were not recorded.
const UNRECORDED: [&str; 4] = ["timestamp", "processing_time_ms", "exception", "size_bytes"];

#[tokio::test]
async fn every_recorded_batch_ends_as_recorded() {
    assert_all_hold(&Server::start().await).await;
}

#[tokio::test]
async fn every_recorded_batch_ends_as_recorded_on_a_second_server() {
    assert_all_hold(&Server::ministack()).await;
}

async fn assert_all_hold(server: &Server) {
    let mut problems = Vec::new();
    for vectors in vectors::all() {
        for recorded in &vectors.batches {
            let expected = differences::expected(&vectors.generation, recorded);
            let found = problems_of(server, &vectors.generation, &expected).await;
            let place =
                |problem: String| format!("{} {}: {problem}", vectors.generation, recorded.name);
            problems.extend(found.into_iter().map(place));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Processes a batch and says where it ends otherwise than it should.
async fn problems_of(server: &Server, generation: &str, expected: &Batch) -> Vec<String> {
    let mut settings = aggregator::settings(corrections::none());
    settings.logic.windows.clone_from(&expected.windows);
    settings.logic.snapshot_ttl_days = expected.ttl_days;
    settings.logic.set_option(ceiling(generation));
    let mut aggregator = Aggregator::start(server, settings).await;
    aggregator.now = expected.now();
    for item in &expected.initial_items {
        aggregator.table.put(item).await;
    }
    let processed = aggregator.deliver(expected.event());
    let (outcome, lines) = log::captured(Level::Debug, processed).await;
    let response = match outcome {
        Ok(outcome) => json!(outcome.response),
        Err(error) => return vec![format!("it failed: {error}")],
    };

    let mut problems = Vec::new();
    if expected.raised.is_some() {
        problems.push("it should have failed".into());
    }
    problems.extend(response_problems(response, &expected.response));
    problems.extend(item_problems(&aggregator, expected).await);
    let archived = aggregator.archive.objects("audit/").await;
    problems.extend(archive_problems(&archived, expected));
    let quarantined = aggregator.archive.objects("quarantine/").await;
    problems.extend(quarantine_problems(&quarantined, expected));
    problems.extend(log_problems(&lines, &quarantined, expected));
    problems
}

/// The response is as recorded, but for the list of records to be delivered again, which is new and empty.
fn response_problems(mut response: Value, expected: &Value) -> Option<String> {
    let failures = response
        .as_object_mut()
        .and_then(|members| members.remove("batchItemFailures"));
    (failures != Some(json!([])) || response != *expected)
        .then(|| format!("it answers {response} and {failures:?}, should {expected} and []"))
}

/// The items are as recorded, but for watermarks on the snapshots.
async fn item_problems(aggregator: &Aggregator, expected: &Batch) -> Vec<String> {
    let mut items = aggregator.table.items().await;
    let snapshots = table::snapshots(&items).len();
    let watermarks = table::take_watermarks(&mut items);
    let expected = table::items(expected.final_items.iter().cloned());
    let mut problems = table::differences(&items, &expected);
    // Readers take every number for a counter; of a text they take no notice.
    if watermarks.len() != snapshots || watermarks.iter().any(|mark| mark["S"].is_null()) {
        problems.push(format!("{snapshots} snapshots have {watermarks:?}"));
    }
    problems
}

fn archive_problems(found: &BTreeMap<String, Stored>, expected: &Batch) -> Option<String> {
    let stored = |text: &str| Stored {
        text: text.into(),
        content_type: "application/x-ndjson".into(),
        content_encoding: "gzip".into(),
    };
    let objects = expected.s3_objects.iter();
    let expected: BTreeMap<_, _> = objects
        .map(|object| (object.key.clone(), stored(&object.text)))
        .collect();
    (*found != expected).then(|| format!("the archive has {found:?}, should have {expected:?}"))
}

/// The quarantine holds the one record of the batch, with the reason, or nothing.
fn quarantine_problems(found: &BTreeMap<String, Stored>, expected: &Batch) -> Option<String> {
    let event: Value = serde_json::from_slice(expected.event()).expect("a recorded event");
    let kept: Vec<Value> = found
        .values()
        .flat_map(|object| object.text.lines())
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let expected: Vec<Value> = expected
        .quarantined
        .iter()
        .map(|reason| json!({ "reason": reason, "record": event["Records"][0] }))
        .collect();
    (kept != expected).then(|| format!("the quarantine has {kept:?}, should have {expected:?}"))
}

/// The log is as recorded, but for the line about the quarantine, which comes when the work begins.
fn log_problems(
    found: &[Line],
    quarantined: &BTreeMap<String, Stored>,
    expected: &Batch,
) -> Vec<String> {
    let mut expected = expected.logs.clone();
    for key in quarantined.keys() {
        let fields = [
            ("bucket", json!(BUCKET)),
            ("key", json!(key)),
            ("records", json!(1)),
        ];
        let line = Line::new("ERROR", "handler", "Records quarantined", &fields);
        let begun = expected
            .iter()
            .position(|line| line.text("message") == "Batch processing started");
        expected.insert(begun.map_or(0, |place| place + 1), line);
    }
    let comparable = |lines: &[Line]| -> Vec<String> {
        let lines = lines.iter().cloned();
        lines
            .map(|line| line.without(&UNRECORDED).to_string())
            .collect()
    };
    let (found, expected) = (comparable(found), comparable(&expected));
    let count = found.len().max(expected.len());
    (0..count)
        .map(|at| (at, found.get(at), expected.get(at)))
        .filter(|(_, found, expected)| found != expected)
        .map(|(at, found, expected)| format!("line {at} is {found:?}, should be {expected:?}"))
        .collect()
}

fn ceiling(generation: &str) -> OptionSetting {
    let value = match generation {
        "b1" => "burst",
        _ => "capacity",
    };
    OptionSetting {
        name: CEILING.into(),
        value: value.into(),
        variable: None,
    }
}

#[test]
fn every_listed_difference_is_about_a_recorded_batch_and_changes_it() {
    let recorded = vectors::all();
    for difference in &DIFFERENCES {
        for generation in difference.generations {
            let vectors = recorded
                .iter()
                .find(|vectors| vectors.generation == *generation);
            let batch = vectors
                .and_then(|vectors| {
                    let mut batches = vectors.batches.iter();
                    batches.find(|batch| batch.name == difference.batch)
                })
                .unwrap_or_else(|| panic!("{generation} has no {}", difference.batch));
            let expected = differences::expected(generation, batch);
            assert_ne!(
                format!("{expected:?}"),
                format!("{batch:?}"),
                "{generation} {} ({}: {})",
                difference.batch,
                difference.question,
                difference.why
            );
        }
    }
}

#[test]
fn every_recorded_refill_is_decided_as_recorded() {
    let mut decisions = 0;
    for vectors in vectors::all() {
        let (form, ceiling) = (
            generation(&vectors.generation),
            ceiling(&vectors.generation),
        );
        for refill in &vectors.refill {
            for runner in RUNNERS {
                let mut settings = aggregator::settings(corrections::none()).logic;
                settings.set_option(ceiling.clone());
                let batch = runner::batch(depleted(form, refill), refill.now);
                let answer = runner.plan(&batch, &settings);
                let expected: Vec<_> = refill
                    .refill_delta
                    .iter()
                    .map(|delta| BTreeMap::from([("b_x_tk".to_owned(), delta.to_string())]))
                    .collect();
                assert_eq!(
                    plan::refills(&answer["Ok"]),
                    expected,
                    "{} {form:?} {refill:?}",
                    runner.name()
                );
            }
            decisions += 1;
        }
    }
    assert_eq!(decisions, 600);
}

/// The event of a change after which the limit `x` holds what was recorded. Without any consumption nothing is
/// refilled, so another limit, which cannot be refilled, is consumed as well.
fn depleted(generation: Generation, refill: &Refill) -> Vec<u8> {
    let record = record::bucket(generation)
        .shard_count(refill.shard_count)
        .refilled(refill.rf)
        .limit("x", |limit| {
            limit
                .capacity(refill.cp)
                .burst(refill.bx.unwrap_or(refill.cp))
                .refill(refill.ra, refill.rp)
                .consumed(refill.tc_delta)
                .tokens(refill.tk)
        })
        .limit("other", |limit| limit.refill(0, 0).consumed(1_000))
        .modify();
    record::event(&[record])
}

fn generation(name: &str) -> Generation {
    match name {
        "a" => Generation::A,
        "b1" => Generation::B1,
        "b2" => Generation::B2,
        "c" => Generation::C,
        other => panic!("there is no generation {other}"),
    }
}
