//! When AWS fails: what passes is tried again and counted once, what does not pass is delivered again or kept
//! apart, and nothing is lost.

use std::time::Duration;
use weir::{batch::BatchError, contract::Level};
use weir_tests::{
    log,
    proxy::{ALWAYS, Fault},
    stage::{consumption, expiry, failures, json, sequence_number, sums},
    unreliable::{TRIES, Unreliable},
};

const THROTTLED: Fault = Fault::Refused(400, "ThrottlingException");
const FORBIDDEN: Fault = Fault::Refused(400, "AccessDeniedException");
const INVALID: Fault = Fault::Explained(
    400,
    "ValidationException",
    "Item size to update has exceeded the maximum allowed size",
);
const DOWN: Fault = Fault::Refused(503, "ServiceUnavailable");

#[tokio::test]
async fn a_fault_that_passes_is_tried_again_and_the_table_is_right() {
    for fault in [
        THROTTLED,
        Fault::Refused(400, "ProvisionedThroughputExceededException"),
        Fault::Refused(500, "InternalServerError"),
        DOWN,
        Fault::LostRequest,
        Fault::LostResponse,
    ] {
        let host = Unreliable::start().await;
        host.dynamodb.inject(fault, TRIES - 1, &["UpdateItem"]);
        let records = [consumption(1, "ann", 3), consumption(2, "bob", 4)];
        let outcome = host.deliver(&records).await.unwrap();
        assert_eq!(host.dynamodb.happened(), TRIES - 1, "{fault:?}");
        assert!(failures(&outcome).is_empty(), "{fault:?}: {outcome:?}");
        assert!(
            outcome.response.body.errors.is_empty(),
            "{fault:?}: {outcome:?}"
        );
        let expected = sums([("ann", 3), ("bob", 4)]);
        assert_eq!(host.stage.usage().await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_counted_twice() {
    let host = Unreliable::start().await;
    host.dynamodb
        .inject(Fault::LostResponse, 1, &["UpdateItem"]);
    let outcome = host.deliver(&[consumption(1, "ann", 3)]).await.unwrap();
    assert_eq!(host.dynamodb.happened(), 1);
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.usage().await, sums([("ann", 3)]));
    let counters = &outcome.counters;
    assert_eq!((counters.conflicts, counters.duplicates), (1, 1));
}

#[tokio::test]
async fn a_write_that_never_answers_is_delivered_again_and_not_counted_twice() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 3)];
    host.dynamodb
        .inject(Fault::LostResponse, ALWAYS, &["UpdateItem"]);
    let outcome = host.deliver(&records).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[0])]);
    assert_eq!(host.stage.usage().await, sums([("ann", 3)]));
    host.heal();
    let outcome = host.deliver(&records).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(outcome.counters.duplicates, 1);
    assert_eq!(host.stage.usage().await, sums([("ann", 3)]));
}

#[tokio::test]
async fn throttling_that_lasts_reports_the_first_record_of_the_writes_that_failed() {
    let host = Unreliable::start().await;
    let records = [
        consumption(1, "ann", 1),
        consumption(2, "bob", 2),
        consumption(3, "cid", 3),
        consumption(4, "dan", 4),
    ];
    for entity in ["ENTITY#bob", "ENTITY#dan"] {
        host.dynamodb
            .inject(THROTTLED, ALWAYS, &["UpdateItem", entity]);
    }
    let outcome = host.deliver(&records).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[1])]);
    assert_eq!(outcome.counters.failures, 2);
    let errors = &outcome.response.body.errors;
    let error = "Error updating snapshot: An error occurred (ThrottlingException) when calling the UpdateItem operation";
    assert!(
        errors.len() == 2 && errors.iter().all(|message| message.starts_with(error)),
        "{errors:?}"
    );
    assert_eq!(host.stage.usage().await, sums([("ann", 1), ("cid", 3)]));

    // Lambda delivers from the reported record on: cid's comes again too.
    host.heal();
    let outcome = host.deliver(&records[1..]).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    let expected = sums([("ann", 1), ("bob", 2), ("cid", 3), ("dan", 4)]);
    assert_eq!(host.stage.usage().await, expected);
}

#[tokio::test]
async fn missing_rights_are_reported_and_nothing_is_given_up() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 1), consumption(2, "bob", 2)];
    host.dynamodb.inject(FORBIDDEN, ALWAYS, &["UpdateItem"]);
    let outcome = host.deliver(&records).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[0])]);
    assert!(host.stage.quarantined().await.is_empty());
    host.heal();
    host.deliver(&records).await.unwrap();
    assert_eq!(host.stage.usage().await, sums([("ann", 1), ("bob", 2)]));
}

#[tokio::test]
async fn a_write_that_can_never_be_made_is_quarantined_and_the_rest_is_done() {
    let host = Unreliable::start().await;
    let records = [
        consumption(1, "ann", 1),
        consumption(2, "bob", 2),
        consumption(3, "cid", 3),
    ];
    host.dynamodb
        .inject(INVALID, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    let (outcome, lines) = log::captured(Level::Debug, host.deliver(&records)).await;
    let outcome = outcome.unwrap();
    assert_eq!(host.dynamodb.happened(), 1, "it is not tried again");
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.usage().await, sums([("ann", 1), ("cid", 3)]));

    let message = "Error updating snapshot: An error occurred (ValidationException) when calling the UpdateItem operation: Item size to update has exceeded the maximum allowed size";
    assert_eq!(outcome.response.body.errors, [message]);
    let line = lines.iter().find(|line| line.text("message") == message);
    let line = line.expect("the failure is logged");
    assert_eq!(line.text("level"), "ERROR", "{line}");
    assert_eq!(line.text("entity_id"), "bob", "{line}");

    let quarantined = host.stage.quarantined().await;
    let [kept] = quarantined.as_slice() else {
        panic!("one record is quarantined, not {quarantined:?}")
    };
    let kept: serde_json::Value = serde_json::from_str(kept).unwrap();
    assert_eq!(kept["record"], json(&records[1]));
    let reason = kept["reason"].as_str().unwrap();
    assert!(reason.contains("can never be made"), "{reason}");
    assert!(reason.contains("ValidationException"), "{reason}");
}

#[tokio::test]
async fn a_record_that_cannot_be_quarantined_is_delivered_again() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 1), consumption(2, "bob", 2)];
    host.dynamodb
        .inject(INVALID, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    host.s3.inject(DOWN, ALWAYS, &["PUT"]);
    let outcome = host.deliver(&records).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[1])]);
    host.s3.heal();
    let outcome = host.deliver(&records[1..]).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.quarantined().await.len(), 1);
    assert_eq!(host.stage.usage().await, sums([("ann", 1)]));
}

#[tokio::test]
async fn audit_events_that_cannot_be_stored_are_delivered_again_and_not_counted() {
    for fault in [
        DOWN,
        Fault::Refused(500, "InternalError"),
        Fault::Refused(403, "AccessDenied"),
        Fault::LostRequest,
    ] {
        let host = Unreliable::start().await;
        let records = [consumption(1, "ann", 1), expiry(2), expiry(3)];
        host.s3.inject(fault, ALWAYS, &["PUT", "audit/"]);
        let outcome = host.deliver(&records).await.unwrap();
        assert_eq!(
            failures(&outcome),
            [sequence_number(&records[1])],
            "{fault:?}"
        );
        let body = &outcome.response.body;
        assert_eq!(body.events_archived, 0, "{fault:?}");
        assert!(
            body.errors[0].starts_with("Error writing to S3: An error occurred ("),
            "{fault:?}: {:?}",
            body.errors
        );
        assert_eq!(host.stage.usage().await, sums([("ann", 1)]), "{fault:?}");

        host.heal();
        let outcome = host.deliver(&records[1..]).await.unwrap();
        assert!(failures(&outcome).is_empty(), "{fault:?}: {outcome:?}");
        assert_eq!(outcome.response.body.events_archived, 2, "{fault:?}");
        let objects = host.stage.objects("audit/").await;
        let lines = objects.values().flat_map(|object| object.text.lines());
        assert_eq!(lines.count(), 2, "{fault:?}");
        assert_eq!(host.stage.usage().await, sums([("ann", 1)]), "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_not_finished_at_the_deadline_is_delivered_again_and_not_counted_twice() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 1), consumption(2, "bob", 2)];
    let late = Fault::LateResponse(Duration::from_secs(600));
    host.dynamodb
        .inject(late, ALWAYS, &["UpdateItem", "ENTITY#bob"]);
    let outcome = host.deliver_within(Duration::from_secs(3), &records);
    let outcome = outcome.await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[1])]);
    let errors = &outcome.response.body.errors;
    assert!(errors[0].contains("DeadlineExceeded"), "{errors:?}");

    host.heal();
    let outcome = host.deliver(&records[1..]).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.usage().await, sums([("ann", 1), ("bob", 2)]));
}

#[tokio::test]
async fn a_batch_delivered_after_its_deadline_is_delivered_again_from_its_first_record() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 1), expiry(2)];
    let outcome = host.deliver_within(Duration::ZERO, &records).await.unwrap();
    assert_eq!(failures(&outcome), [sequence_number(&records[0])]);
    assert!(host.stage.quarantined().await.is_empty());
    let outcome = host.deliver(&records).await.unwrap();
    assert!(failures(&outcome).is_empty(), "{outcome:?}");
    assert_eq!(host.stage.usage().await, sums([("ann", 1)]));
}

#[tokio::test]
async fn a_failed_record_that_cannot_be_named_fails_the_whole_batch() {
    let host = Unreliable::start().await;
    let records = [consumption(1, "ann", 1).without("/dynamodb/SequenceNumber")];
    host.dynamodb.inject(THROTTLED, ALWAYS, &["UpdateItem"]);
    let result = host.deliver(&records).await;
    assert!(
        matches!(result, Err(BatchError::Unreportable { record: 0 })),
        "{result:?}"
    );
}
