//! What became of a batch: the answer to the caller, and what was counted on the way.

use crate::counters::Counters;
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use serde::Serialize;

/// What became of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The answer to the caller.
    #[serde(flatten)]
    pub response: Response,
    /// What was counted on the way.
    pub counters: Counters,
}

/// The answer to Lambda's event source mapping, and to people who call the function by hand.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Always 200: a batch that fails as a whole has no response.
    pub status_code: u16,
    /// What was done.
    pub body: Body,
    /// Where to deliver again from, in `batchItemFailures`.
    #[serde(flatten)]
    pub failures: DynamoDbEventResponse,
}

impl Response {
    /// The answer for a batch that is delivered again from this sequence number on, if at all.
    pub(super) fn new(body: Body, redelivered: Option<String>) -> Self {
        let mut failures = DynamoDbEventResponse::default();
        if redelivered.is_some() {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = redelivered;
            failures.batch_item_failures.push(failure);
        }
        Self {
            status_code: 200,
            body,
            failures,
        }
    }

    /// The sequence numbers of failed records. The lowest decides: that record and all after it are delivered again.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        let failures = self.failures.batch_item_failures.iter();
        failures.filter_map(|failure| failure.item_identifier.as_deref())
    }
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Body {
    /// Records in the batch.
    pub processed: u32,
    /// Pairs of delta and window that were added to snapshots.
    pub snapshots_updated: u64,
    /// Buckets refilled.
    pub refills_written: u64,
    /// Audit events stored.
    pub events_archived: u64,
    /// What went wrong, as far as a response holds it.
    pub errors: Vec<String>,
}

impl Body {
    pub(super) fn new(records: u32, counters: &Counters, errors: Vec<String>) -> Self {
        Self {
            processed: records,
            snapshots_updated: counters.snapshot_updates,
            refills_written: counters.refills,
            events_archived: counters.archived_events,
            errors: listed(errors),
        }
    }
}

/// The most messages that a response lists.
const MAX_ERRORS: usize = 100;

/// The most bytes of one of them.
const MAX_ERROR_BYTES: usize = 1024;

/// The most bytes of all of them.
const MAX_BYTES_OF_ERRORS: usize = 64 * 1024;

/// The messages that a response lists, and how many more there are. Lambda fails a batch whose response is larger
/// than 6 MB.
fn listed(errors: Vec<String>) -> Vec<String> {
    let (count, mut bytes) = (errors.len(), 0);
    let mut listed: Vec<String> = errors
        .into_iter()
        .take(MAX_ERRORS)
        .map(|mut error| {
            if error.len() > MAX_ERROR_BYTES {
                error.truncate(error.floor_char_boundary(MAX_ERROR_BYTES));
                error.push('…');
            }
            error
        })
        .take_while(|error| {
            bytes += error.len();
            bytes <= MAX_BYTES_OF_ERRORS
        })
        .collect();
    match count - listed.len() {
        0 => {}
        1 => listed.push("… and 1 more error, see the log".into()),
        more => listed.push(format!("… and {more} more errors, see the log")),
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_reads_an_answer_with_status_and_body_beside_the_failures() {
        for (redelivered, failures) in [
            (None, "[]"),
            (Some("7".to_string()), r#"[{"itemIdentifier":"7"}]"#),
        ] {
            let body = Body::new(3, &Counters::default(), vec!["e".into()]);
            let response = Response::new(body, redelivered.clone());
            let failed: Vec<_> = response.failed().collect();
            assert_eq!(failed, Vec::from_iter(redelivered.as_deref()));
            assert_eq!(
                serde_json::to_string(&response).unwrap(),
                format!(
                    r#"{{"statusCode":200,"body":{{"processed":3,"snapshots_updated":0,"refills_written":0,"events_archived":0,"errors":["e"]}},"batchItemFailures":{failures}}}"#
                )
            );
        }
    }

    #[test]
    fn a_few_errors_are_listed_as_they_are() {
        let errors: Vec<String> = (0..MAX_ERRORS).map(|n| format!("error {n}")).collect();
        assert_eq!(listed(errors.clone()), errors);
    }

    #[test]
    fn of_many_or_long_errors_the_first_are_listed_and_the_others_counted() {
        for (error, shown) in [
            ("short".to_string(), MAX_ERRORS),
            (
                "ü".repeat(700),
                MAX_BYTES_OF_ERRORS / (MAX_ERROR_BYTES + '…'.len_utf8()),
            ),
        ] {
            let listed = listed(vec![error.clone(); 4_500]);
            let (last, first) = listed.split_last().unwrap();
            assert_eq!(first.len(), shown);
            assert!(first.iter().all(|listed| {
                listed.len() <= MAX_ERROR_BYTES + 3
                    && error.starts_with(listed.trim_end_matches('…'))
            }));
            let more = 4_500 - shown;
            assert_eq!(last, &format!("… and {more} more errors, see the log"));
        }
    }
}
