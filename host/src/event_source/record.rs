//! One record of a stream, and the Lambda event that records make.

use super::time::{EpochMillis, millis};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Borrow, ops::Range, time::Duration};

const EVENT_HEAD: &[u8] = br#"{"Records":["#;
const EVENT_TAIL: &[u8] = b"]}";

/// One record of a stream, as it is in the Lambda event.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    json: Box<RawValue>,
    sequence_number: String,
    created: Option<EpochMillis>,
}

/// A JSON value that is not a record of a DynamoDB stream.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no record of a DynamoDB stream ({reason}); it needs at least a text at dynamodb.SequenceNumber: {excerpt}"
)]
pub struct RecordError {
    /// What is wrong with it.
    reason: serde_json::Error,
    /// The beginning of the value.
    excerpt: String,
}

#[derive(Deserialize)]
struct Envelope {
    dynamodb: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(rename = "SequenceNumber")]
    sequence_number: String,
    /// Any value: a record is not refused for its time.
    #[serde(rename = "ApproximateCreationDateTime")]
    created: Option<Box<RawValue>>,
}

/// Creation times that are believed, in seconds since 1970: the years 2000 to 2099.
const PLAUSIBLE_SECONDS: Range<f64> = 946_684_800.0..4_102_444_800.0;

/// The time in a JSON value, a number or a text. DynamoDB gives seconds; other units are recognised by their size.
/// `None`: it is no plausible time.
///
/// A component has its own rules for reading times. This reading is independent of them, so that a defect in one does
/// not hide a defect in the other.
fn time(json: &RawValue) -> Option<EpochMillis> {
    let number: f64 = json.get().trim_matches('"').trim().parse().ok()?;
    let units = [1.0, 1e3, 1e6, 1e9];
    let seconds = units
        .map(|unit| number / unit)
        .into_iter()
        .find(|seconds| PLAUSIBLE_SECONDS.contains(seconds))?;
    Some((seconds * 1000.0).round() as EpochMillis)
}

impl StreamRecord {
    /// Takes a record of the event's `Records`.
    ///
    /// # Errors
    /// [`RecordError`] if it has no SequenceNumber: such a record cannot be checkpointed.
    pub fn from_json(json: Box<RawValue>) -> Result<Self, RecordError> {
        let Envelope { dynamodb } =
            serde_json::from_str(json.get()).map_err(|reason| RecordError {
                reason,
                excerpt: json.get().chars().take(200).collect(),
            })?;
        Ok(Self {
            sequence_number: dynamodb.sequence_number,
            created: dynamodb.created.as_deref().and_then(time),
            json,
        })
    }

    /// The record as it was given.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// Its SequenceNumber: its name within the shard, and its item identifier in a response.
    pub fn sequence_number(&self) -> &str {
        &self.sequence_number
    }

    /// Its ApproximateCreationDateTime, if it has one that can be understood.
    pub fn created(&self) -> Option<EpochMillis> {
        self.created
    }

    /// The length of its JSON in bytes.
    pub fn size(&self) -> usize {
        self.json.get().len()
    }

    /// A record without a time is never too old.
    pub(super) fn is_older_than(&self, age: Duration, now: EpochMillis) -> bool {
        self.created
            .is_some_and(|created| now.saturating_sub(created) > millis(age))
    }
}

/// The Lambda event of these records, byte for byte as they were given.
pub fn event<R: Borrow<StreamRecord>>(records: &[R]) -> Vec<u8> {
    let bytes = records
        .iter()
        .map(|record| record.borrow().size() + 1)
        .sum::<usize>();
    let mut event = Vec::with_capacity(EVENT_HEAD.len() + bytes + EVENT_TAIL.len());
    event.extend_from_slice(EVENT_HEAD);
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(b',');
        }
        event.extend_from_slice(record.borrow().json.get().as_bytes());
    }
    event.extend_from_slice(EVENT_TAIL);
    event
}

/// The size of an event, given the sum of its records' sizes with one comma each.
pub(super) fn event_bytes(records_and_commas: usize) -> usize {
    EVENT_HEAD.len() + records_and_commas.saturating_sub(1) + EVENT_TAIL.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: EpochMillis = 1_700_000_000_000;

    #[test]
    fn a_record_is_read_without_touching_its_text() {
        let text =
            r#"{ "dynamodb":{"SequenceNumber":"7","ApproximateCreationDateTime":1700000000.25} }"#;
        let record =
            StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap()).unwrap();
        assert_eq!(record.json().get(), text);
        assert_eq!(record.created(), Some(1_700_000_000_250));
        assert_eq!(record.size(), text.len());
        assert_eq!(
            event(&[record.clone(), record]),
            format!(r#"{{"Records":[{text},{text}]}}"#).into_bytes()
        );
        assert_eq!(event::<StreamRecord>(&[]), br#"{"Records":[]}"#);
    }

    #[test]
    fn the_unit_of_a_creation_time_is_told_by_its_size_and_what_is_no_time_is_none() {
        let some = Some(1_700_000_000_250);
        for (json, created) in [
            ("1700000000.25", some),
            ("1700000000250", some),
            ("1700000000250.0", some),
            ("1700000000250000", some),
            ("1700000000250000000", some),
            ("1.70000000025e9", some),
            (r#""1700000000.25""#, some),
            ("946684800", Some(946_684_800_000)),
            ("4102444799", Some(4_102_444_799_000)),
            ("0", None),
            ("-1700000000", None),
            ("1e11", None),
            ("1e400", None),
            ("99999999999999999999999999", None),
            (r#""NaN""#, None),
            (r#""infinity""#, None),
            (r#""2023-11-14T22:13:20Z""#, None),
            (r#""""#, None),
            ("null", None),
            ("true", None),
            ("[1700000000]", None),
            (r#"{"N":"1700000000"}"#, None),
        ] {
            let text = format!(
                r#"{{"dynamodb":{{"SequenceNumber":"7","ApproximateCreationDateTime":{json}}}}}"#
            );
            let record = StreamRecord::from_json(RawValue::from_string(text).unwrap()).unwrap();
            assert_eq!(record.created(), created, "{json}");
            assert_eq!(
                record.is_older_than(Duration::ZERO, CREATED + 1_000_000),
                created.is_some_and(|created| created < CREATED + 1_000_000),
                "{json}"
            );
        }
    }

    #[test]
    fn a_value_without_sequence_number_is_no_record() {
        for text in [
            "null",
            "{}",
            r#"{"dynamodb":{}}"#,
            r#"{"dynamodb":{"SequenceNumber":1}}"#,
        ] {
            let error = StreamRecord::from_json(RawValue::from_string(text.to_owned()).unwrap())
                .unwrap_err();
            assert!(error.to_string().ends_with(text), "{error}");
        }
    }
}
