//! What follows from a failure: what passes is delivered again, what can never be made is kept apart and holds up
//! nothing, what is stored is never overwritten, and every failure names its cause.

use aws_sdk_dynamodb::config::{retry::RetryConfig, timeout::TimeoutConfig};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use weir::{
    batch::{Outcome, Processor},
    contract::Level,
    settings::{Corrections, Settings},
    store::Target,
};
use weir_tests::{
    built, corrections,
    log::{self, Line},
    proxy::{ALWAYS, Fault, Proxy},
    record::{self, Record},
    stage::{
        self, Stage, consumption, delivery, delivery_within, expiry, failures, sequence_number,
        sums,
    },
    unreliable::{TRIES, Unreliable},
};

/// A condition that did not hold, without the item that it did not hold of.
const UNSHOWN: Fault = Fault::Explained(
    400,
    "ConditionalCheckFailedException",
    "The conditional request failed",
);

fn invalid(message: &'static str) -> Fault {
    Fault::Explained(400, "ValidationException", message)
}

/// The entity of a record in quarantine, and why it is there.
async fn quarantined(stage: &Stage) -> Vec<(String, String)> {
    let lines = stage.quarantined().await;
    let kept = lines.iter().map(|line| {
        let kept: Value = serde_json::from_str(line).expect("a line of JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entity = &kept["record"]["dynamodb"]["NewImage"]["entity_id"]["S"];
        (text(entity), text(&kept["reason"]))
    });
    kept.collect()
}

// ------------------------------------------------------------------------------------------------- permanent

#[tokio::test]
async fn what_the_service_says_of_an_item_is_kept_apart_and_holds_up_nothing() {
    for fault in [
        invalid("Item size to update has exceeded the maximum allowed size"),
        invalid("An operand in the update expression has an incorrect data type"),
        invalid(
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        invalid(
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
        ),
        Fault::Refused(400, "ItemCollectionSizeLimitExceededException"),
    ] {
        let host = Unreliable::start().await;
        host.dynamodb
            .inject(fault, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
        // Alone: nothing else is written that could tell.
        let outcome = host.deliver(&[consumption(1, "bob", 2)]).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{fault:?}: {outcome:?}");
        assert_eq!(outcome.counters.quarantined_records, 1, "{fault:?}");
        let kept = quarantined(&host.stage).await;
        assert_eq!(kept.len(), 1, "{fault:?}: {kept:?}");
        assert_eq!(kept[0].0, "bob", "{fault:?}");
        assert!(kept[0].1.contains("can never be made"), "{kept:?}");
        let outcome = host.deliver(&[consumption(2, "ann", 1)]).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{fault:?}: {outcome:?}");
        assert_eq!(host.stage.usage().await, sums([("ann", 1)]), "{fault:?}");
    }
}

/// The usage snapshot of an entity, as it is stored after its first change.
async fn snapshot(stage: &Stage, entity: &str) -> Value {
    let items = stage.items().await;
    let snapshot = items.into_iter().find(|((pk, sk), _)| {
        pk.ends_with(&format!("ENTITY#{entity}")) && sk.starts_with("#USAGE#")
    });
    Value::Object(snapshot.expect("the snapshot is there").1)
}

#[tokio::test]
async fn a_snapshot_that_cannot_take_more_is_the_only_one_to_lose() {
    let full = |item: &mut Value| item["notes"] = json!({ "S": "x".repeat(409_200) });
    let spoilt = |item: &mut Value| item["rpm"] = json!({ "S": "many" });
    let spoil: [fn(&mut Value); 2] = [full, spoilt];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let host = Unreliable::start().await;
        host.deliver(&[consumption(1, "bob", 1)]).await.unwrap();
        let mut item = snapshot(&host.stage, "bob").await;
        spoil(&mut item);
        if case == 0 {
            // Just below the bound: another limit is too much for it.
            item["more"] = json!({ "S": "" });
        }
        host.stage.table().put(&item).await;
        let records = [
            consumption(2, "ann", 1),
            record::bucket(record::Generation::C)
                .entity("bob")
                .limit("rpm", |limit| limit.consumed(2000))
                .limit(&"a".repeat(400), |limit| limit.consumed(2000))
                .modify()
                .numbered(3),
            consumption(4, "cid", 3),
        ];
        let outcome = host.deliver(&records).await.unwrap();
        assert!(failures(&outcome).is_empty(), "case {case}: {outcome:?}");
        let kept = quarantined(&host.stage).await;
        assert_eq!(kept.len(), 1, "case {case}: {kept:?}");
        assert_eq!(kept[0].0, "bob", "case {case}");
        let usage = host.stage.usage().await;
        assert_eq!((usage["ann"], usage["cid"]), (1, 3), "case {case}");
    }
}

#[tokio::test]
async fn what_is_called_invalid_without_a_reason_is_the_item_s_fault_only_where_others_are_taken() {
    let host = Unreliable::start().await;
    let odd = invalid("nobody has thought of this");
    host.dynamodb
        .inject(odd, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    let alone = [consumption(1, "bob", 1)];
    let outcome = host.deliver(&alone).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&alone[0])]);
    assert!(host.stage.quarantined().await.is_empty());

    // Another purpose tells nothing.
    let beside_audit = [consumption(1, "bob", 1), expiry(2)];
    let outcome = host.deliver(&beside_audit).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&alone[0])]);
    assert!(host.stage.quarantined().await.is_empty());

    let beside_another = [consumption(1, "bob", 1), consumption(3, "ann", 3)];
    let outcome = host.deliver(&beside_another).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(quarantined(&host.stage).await.len(), 1);
    assert_eq!(host.stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn a_malformed_answer_is_delivered_again() {
    for fault in [
        Fault::Answered(200, "<html>Sign in</html>"),
        Fault::Answered(403, "<html>Forbidden by a proxy</html>"),
        Fault::Answered(502, ""),
        Fault::Answered(400, "null"),
    ] {
        let host = Unreliable::start().await;
        let records = [consumption(1, "ann", 1)];
        host.dynamodb.inject(fault, ALWAYS, &["UpdateItem"]);
        let outcome = host.deliver(&records).await.unwrap();
        assert_eq!(
            failures(&outcome),
            [sequence_number(&records[0])],
            "{fault:?}"
        );
        let errors = &outcome.response.body.errors;
        assert!(!errors[0].contains("html"), "{fault:?}: {errors:?}");
        host.heal();
        let outcome = host.deliver(&records).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{fault:?}: {outcome:?}");
        assert!(host.stage.quarantined().await.is_empty(), "{fault:?}");
        assert_eq!(host.stage.usage().await, sums([("ann", 1)]), "{fault:?}");
    }
}

// ------------------------------------------------------------------------------- conditions without their item

#[tokio::test]
async fn an_item_that_an_answer_leaves_out_is_read() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 3)];
    host.deliver(&records).await.unwrap();
    host.dynamodb.inject(UNSHOWN, ALWAYS, &["UpdateItem"]);
    let outcome = host.deliver(&records).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(outcome.counters.duplicates, 1);
    assert_eq!(host.stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn a_condition_that_is_refused_against_reason_is_delivered_again_and_says_so() {
    let host = Unreliable::start().await;
    let (first, second) = (consumption(1, "ann", 3), consumption(2, "ann", 4));
    host.dynamodb.inject(UNSHOWN, ALWAYS, &["UpdateItem"]);
    let outcome = host
        .deliver([&first].map(Clone::clone).as_slice())
        .await
        .unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&first)]);
    let errors = &outcome.response.body.errors;
    assert!(errors[0].contains("(Vanished)"), "{errors:?}");

    host.heal();
    host.deliver(std::slice::from_ref(&first)).await.unwrap();
    host.dynamodb.inject(UNSHOWN, ALWAYS, &["UpdateItem"]);
    let outcome = host.deliver(std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&second)]);
    let errors = &outcome.response.body.errors;
    assert!(errors[0].contains("(NoProgress)"), "{errors:?}");

    host.heal();
    let outcome = host.deliver(&[second]).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.usage().await, sums([("ann", 7)]));
}

// ------------------------------------------------------------------------------------------ deadline, causes

#[tokio::test]
async fn past_the_deadline_no_write_is_begun() {
    // As many as a response lists errors, at the most.
    const RECORDS: u32 = 90;
    let host = Unreliable::start().await;
    let records: Vec<_> = (1..=RECORDS)
        .map(|place| consumption(place, &format!("entity-{place}"), 1))
        .collect();
    let late = Fault::LateResponse(Duration::from_secs(2));
    host.dynamodb.inject(late, ALWAYS, &["UpdateItem"]);
    let outcome = host.deliver_within(Duration::from_secs(5), &records);
    let outcome = outcome.await.unwrap();
    // Eight at once, in three turns of two seconds at the most.
    let begun = host.dynamodb.happened();
    assert!((1..=24).contains(&begun), "{begun} writes were begun");
    let errors = &outcome.response.body.errors;
    let is_unbegun = |error: &&String| error.contains("not begun: the batch's time was over");
    let unbegun = errors.iter().filter(is_unbegun).count();
    assert!(unbegun as u32 >= RECORDS - begun, "{unbegun} of {errors:?}");
    assert!(host.stage.quarantined().await.is_empty());
}

/// A processor with other ways to its table, which is tried until the batch's time is over.
async fn deliver_to(stage: &Stage, endpoint: &str, records: &[Record]) -> (Outcome, Vec<Line>) {
    let config = weir_local::dynamodb_client(endpoint).config().to_builder();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .build();
    let config = config
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(8));
    let target = Target {
        dynamodb: aws_sdk_dynamodb::Client::from_conf(config.build()),
        ..stage.target()
    };
    let processor = Processor::new(built::logic(), target, stage::settings());
    let event = record::event(records);
    let delivery = delivery_within("delivery", Duration::from_secs(3));
    let processed = processor.process(event, &delivery);
    let (outcome, lines) = log::captured(Level::Info, processed).await;
    (outcome.expect("an outcome"), lines)
}

#[tokio::test]
async fn a_write_that_is_not_finished_in_time_names_what_its_last_attempt_met() {
    let stage = Stage::start().await;
    let proxy = Proxy::start(stage.dynamodb()).await;
    proxy.inject(Fault::Refused(503, "ServiceUnavailable"), ALWAYS, &[]);
    let records = [consumption(1, "ann", 1)];
    for (endpoint, cause) in [
        (proxy.endpoint(), "ServiceUnavailable: as asked"),
        ("http://127.0.0.1:1", "Connection refused"),
        ("http://no-such-host.invalid", "failed to lookup address"),
    ] {
        let (outcome, _) = deliver_to(&stage, endpoint, &records).await;
        assert_eq!(
            failures(&outcome),
            [sequence_number(&records[0])],
            "{cause}"
        );
        let errors = &outcome.response.body.errors;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].matches(cause).count(), 1, "{errors:?}");
    }
}

#[tokio::test]
async fn a_failure_is_told_in_words_and_its_cause_once() {
    let host = Unreliable::start().await;
    for (entity, fault) in [
        ("ann", Fault::Refused(400, "AccessDeniedException")),
        ("bob", Fault::LostRequest),
        ("cid", Fault::Answered(200, "customers' values")),
    ] {
        let entity = format!("ENTITY#{entity}");
        host.dynamodb
            .inject(fault, ALWAYS, &["UpdateItem", &entity]);
    }
    let records = [
        consumption(1, "ann", 1),
        consumption(2, "bob", 1),
        consumption(3, "cid", 1),
    ];
    let (outcome, lines) = log::captured(Level::Debug, host.deliver(&records)).await;
    let errors = outcome.unwrap().response.body.errors;
    assert_eq!(errors.len(), 3, "{errors:?}");
    let failed = lines
        .iter()
        .filter(|line| errors.iter().any(|error| line.text("message") == error));
    let texts = failed.flat_map(|line| [line.text("message"), line.text("exception")]);
    let texts: Vec<_> = texts.collect();
    assert_eq!(texts.len(), 6, "{lines:?}");
    for text in texts {
        for dump in [
            "Failure {",
            "kind:",
            "Error(",
            "Some(",
            "customers' values",
            "DispatchFailure",
        ] {
            assert!(!text.contains(dump), "{dump}: {text}");
        }
        assert_eq!(text.matches("An error occurred").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn writes_that_are_tried_again_alike_are_told_of_once() {
    let host = Unreliable::start().await;
    let entities = ["ann", "bob", "cid", "dan"];
    for entity in entities {
        let throttled = Fault::Refused(400, "ThrottlingException");
        let entity = format!("ENTITY#{entity}");
        host.dynamodb
            .inject(throttled, TRIES - 1, &["UpdateItem", &entity]);
    }
    let records: Vec<_> = entities
        .into_iter()
        .zip(1..)
        .map(|(entity, place)| consumption(place, entity, 1))
        .collect();
    let (outcome, lines) = log::captured(Level::Info, host.deliver(&records)).await;
    assert!(failures(&outcome.unwrap()).is_empty());
    let told = lines
        .iter()
        .filter(|line| line.text("message").starts_with("Retrying"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].text("level"), "WARNING");
    let message = "Retrying UpdateItem (3/3): ThrottlingException: as asked";
    assert_eq!(told[0].text("message"), message);
}

// --------------------------------------------------------------------------------------------------- objects

/// Settings by which objects are named by the request and the second.
fn without_daily_archive() -> Settings {
    let mut settings = stage::settings();
    settings.logic.corrections = Corrections::Named(corrections::without("daily-archive"));
    settings
}

/// The ids of all events in the archive, as often as they are there.
async fn archived(stage: &Stage) -> Vec<String> {
    let objects = stage.objects("audit/").await;
    let mut ids: Vec<String> = objects
        .values()
        .flat_map(|object| object.text.lines())
        .map(|line| {
            let event: Value = serde_json::from_str(line).expect("a line of JSON");
            event["event_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    ids.sort();
    ids
}

/// Delivers batches of audit events, all under one name.
async fn archive(target: Target, batches: &[&[u32]]) -> Vec<Outcome> {
    let processor = Processor::new(built::logic(), target, without_daily_archive());
    let mut outcomes = Vec::new();
    for places in batches {
        let records: Vec<_> = places.iter().copied().map(expiry).collect();
        let event = record::event(&records);
        let processed = processor.process(event, &delivery("one-request")).await;
        outcomes.push(processed.expect("an outcome"));
    }
    outcomes
}

#[tokio::test]
async fn objects_of_one_name_keep_each_other_s_events() {
    let stage = Stage::start().await;
    let outcomes = archive(stage.target(), &[&[1, 2], &[3, 4]]).await;
    for outcome in &outcomes {
        assert_eq!(outcome.response.body.events_archived, 2, "{outcome:?}");
    }
    assert_eq!(
        archived(&stage).await,
        ["event-1", "event-2", "event-3", "event-4"]
    );
    let objects = stage.objects("audit/").await;
    let names: Vec<_> = objects.keys().collect();
    let first = names.iter().min_by_key(|name| name.len()).unwrap();
    let stem = first.strip_suffix(".jsonl.gz").unwrap();
    let is_beside =
        |name: &&&String| name.starts_with(&format!("{stem}-")) && name.ends_with(".jsonl.gz");
    assert_eq!(names.iter().filter(is_beside).count(), 1, "{names:?}");

    // Both come again, under the name that both have: they are there.
    let outcomes = archive(stage.target(), &[&[3, 4], &[1, 2]]).await;
    for outcome in &outcomes {
        assert_eq!(outcome.response.body.events_archived, 2, "{outcome:?}");
        assert!(failures(outcome).is_empty(), "{outcome:?}");
    }
    assert_eq!(stage.objects("audit/").await, objects);
}

#[tokio::test]
async fn the_line_of_an_object_says_what_it_is_stored_as() {
    let stage = Stage::start().await;
    archive(stage.target(), &[&[1]]).await;
    let second = archive(stage.target(), &[&[2]]);
    let (_, lines) = log::captured(Level::Info, second).await;
    let line = lines
        .iter()
        .find(|line| line.text("message") == "S3 object created");
    let line = line.expect("an object is created");
    let objects = stage.objects("audit/").await;
    assert!(objects[line.text("key")].text.contains("event-1"), "{line}");
    assert!(
        objects[line.text("stored_as")].text.contains("event-2"),
        "{line}"
    );
}

#[tokio::test]
async fn nothing_is_overwritten_whatever_the_server_answers() {
    let cases: [(&str, Fault, u32, &str); 4] = [
        (
            "no right to compare",
            Fault::Refused(403, "AccessDenied"),
            ALWAYS,
            "GET",
        ),
        (
            "the condition is not known",
            Fault::Refused(501, "NotImplemented"),
            1,
            "PUT",
        ),
        ("an answer is lost", Fault::LostResponse, 1, "PUT"),
        (
            "a conflict",
            Fault::Refused(409, "ConditionalRequestConflict"),
            1,
            "PUT",
        ),
    ];
    for (case, fault, times, method) in cases {
        let host = Unreliable::start().await;
        let target = || host.target();
        archive(target(), &[&[1]]).await;
        host.s3.inject(fault, times, &[method, "audit/"]);
        // The second delivery is for what the first may have left undone.
        archive(target(), &[&[2], &[2]]).await;
        assert!(host.s3.happened() > 0, "{case}");
        let events: BTreeSet<_> = archived(&host.stage).await.into_iter().collect();
        let all = BTreeSet::from(["event-1".to_owned(), "event-2".to_owned()]);
        assert_eq!(events, all, "{case}");
        assert_eq!(host.stage.objects("audit/").await.len(), 2, "{case}");
    }
}

#[tokio::test]
async fn a_server_without_the_condition_stores_under_the_recorded_name_where_it_is_free() {
    let host = Unreliable::start().await;
    host.s3
        .inject(Fault::Refused(501, "NotImplemented"), 1, &["PUT", "audit/"]);
    let outcomes = archive(host.target(), &[&[1]]).await;
    assert_eq!(host.s3.happened(), 1);
    assert!(failures(&outcomes[0]).is_empty(), "{outcomes:?}");
    assert_eq!(archived(&host.stage).await, ["event-1"]);
}

// --------------------------------------------------------------------------------------------------- streams

/// The warnings that a batch lies before what was counted.
fn warnings(lines: &[Line]) -> usize {
    let is_warning = |line: &&Line| line.text("message").starts_with("Usage not counted");
    lines.iter().filter(is_warning).count()
}

#[tokio::test]
async fn a_batch_that_lies_before_what_was_counted_is_warned_of_once() {
    let host = Unreliable::start().await;
    let later = [consumption(11, "ann", 1), consumption(12, "bob", 2)];
    host.deliver(&later).await.unwrap();
    // Delivered again: nothing is new, and nothing odd.
    let (_, lines) = log::captured(Level::Info, host.deliver(&later)).await;
    assert_eq!(warnings(&lines), 0, "{lines:?}");
    // Mixed with what is new: a batch cut otherwise.
    let mixed = [consumption(10, "ann", 1), consumption(13, "cid", 1)];
    let (_, lines) = log::captured(Level::Info, host.deliver(&mixed)).await;
    assert_eq!(warnings(&lines), 0, "{lines:?}");

    let anew = [consumption(1, "ann", 1), consumption(2, "bob", 2)];
    let (outcome, lines) = log::captured(Level::Info, host.deliver(&anew)).await;
    assert_eq!(outcome.unwrap().counters.duplicates, 2);
    assert_eq!(warnings(&lines), 1, "{lines:?}");
    let warning = lines.iter().find(|line| !line.text("stream").is_empty());
    let stream = warning.expect("a stream is named").text("stream");
    assert!(stream.contains("/stream/"), "{stream}");
    let (_, lines) = log::captured(Level::Info, host.deliver(&anew)).await;
    assert_eq!(warnings(&lines), 0, "{lines:?}");
}
