//! Converts records of the streams API into records of a Lambda event.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Identity, Record, StreamRecord as Change};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use crate::event_source::{RecordError, StreamRecord};

/// Why a record of a stream cannot be written as a record of a Lambda event.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// An attribute has a type that did not exist when this program was built.
    #[error(
        "attribute `{attribute}` has a type that this version of Weir does not know: update Weir"
    )]
    UnknownType {
        /// The attribute of the item.
        attribute: String,
    },
    /// It lacks a part that every record has.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It could not be written as JSON.
    #[error("the record cannot be written as JSON: {0}")]
    Json(serde_json::Error),
}

/// The record as Lambda delivers it. `stream_arn` becomes its eventSourceARN, and `region` its awsRegion if the stream
/// does not name one. Equal records give equal text.
///
/// # Errors
/// [`WireError`] if the record has no SequenceNumber, or an attribute of an unknown type.
pub fn stream_record(
    record: &Record,
    stream_arn: &str,
    region: &str,
) -> Result<StreamRecord, WireError> {
    let mut fields = Map::new();
    put_text(&mut fields, "eventID", record.event_id());
    put_text(
        &mut fields,
        "eventName",
        record.event_name().map(|name| name.as_str()),
    );
    put_text(&mut fields, "eventVersion", record.event_version());
    // Some servers name no source, or themselves.
    put_text(&mut fields, "eventSource", Some("aws:dynamodb"));
    put_text(
        &mut fields,
        "awsRegion",
        record.aws_region().or(Some(region)),
    );
    put_text(&mut fields, "eventSourceARN", Some(stream_arn));
    put(
        &mut fields,
        "userIdentity",
        record.user_identity().and_then(identity),
    );
    put(
        &mut fields,
        "dynamodb",
        record.dynamodb().map(change).transpose()?,
    );
    let json = to_raw_value(&Value::Object(fields)).map_err(WireError::Json)?;
    Ok(StreamRecord::from_json(json)?)
}

/// The identity, unless it is empty: some servers give an empty one to records that have none.
fn identity(identity: &Identity) -> Option<Value> {
    let mut fields = Map::new();
    put_text(
        &mut fields,
        "type",
        identity.r#type().filter(|text| !text.is_empty()),
    );
    put_text(
        &mut fields,
        "principalId",
        identity.principal_id().filter(|text| !text.is_empty()),
    );
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn change(change: &Change) -> Result<Value, WireError> {
    let mut fields = Map::new();
    put(
        &mut fields,
        "ApproximateCreationDateTime",
        change.approximate_creation_date_time().map(seconds),
    );
    put(&mut fields, "Keys", change.keys().map(image).transpose()?);
    put(
        &mut fields,
        "NewImage",
        change.new_image().map(image).transpose()?,
    );
    put(
        &mut fields,
        "OldImage",
        change.old_image().map(image).transpose()?,
    );
    put_text(&mut fields, "SequenceNumber", change.sequence_number());
    put(
        &mut fields,
        "SizeBytes",
        change.size_bytes().map(Value::from),
    );
    put_text(
        &mut fields,
        "StreamViewType",
        change.stream_view_type().map(|view| view.as_str()),
    );
    Ok(Value::Object(fields))
}

/// Epoch seconds, with a fraction if there are milliseconds.
fn seconds(time: &DateTime) -> Value {
    match time.subsec_nanos() / 1_000_000 {
        0 => Value::from(time.secs()),
        millis => Value::from(time.secs() as f64 + f64::from(millis) / 1000.0),
    }
}

fn image(item: &HashMap<String, AttributeValue>) -> Result<Value, WireError> {
    let attribute = |(name, value): (&String, &AttributeValue)| {
        let value = wire(value).ok_or_else(|| WireError::UnknownType {
            attribute: name.clone(),
        })?;
        Ok((name.clone(), value))
    };
    // Sorted: the order of a HashMap differs from run to run.
    let attributes: BTreeMap<String, Value> = item
        .iter()
        .map(attribute)
        .collect::<Result<_, WireError>>()?;
    Ok(Value::Object(attributes.into_iter().collect()))
}

/// DynamoDB's JSON of a value: an object with its type as the only key. `None`: it has no known type.
fn wire(value: &AttributeValue) -> Option<Value> {
    let (tag, value) = match value {
        AttributeValue::B(bytes) => ("B", Value::from(BASE64.encode(bytes))),
        AttributeValue::Bool(truth) => ("BOOL", Value::from(*truth)),
        AttributeValue::Bs(set) => ("BS", set.iter().map(|bytes| BASE64.encode(bytes)).collect()),
        AttributeValue::L(items) => (
            "L",
            Value::Array(items.iter().map(wire).collect::<Option<_>>()?),
        ),
        AttributeValue::M(fields) => {
            let fields: BTreeMap<&String, &AttributeValue> = fields.iter().collect();
            let fields = fields
                .into_iter()
                .map(|(name, value)| Some((name.clone(), wire(value)?)));
            ("M", Value::Object(fields.collect::<Option<_>>()?))
        }
        AttributeValue::N(number) => ("N", Value::from(number.as_str())),
        AttributeValue::Ns(set) => ("NS", set.iter().map(String::as_str).collect()),
        AttributeValue::Null(truth) => ("NULL", Value::from(*truth)),
        AttributeValue::S(text) => ("S", Value::from(text.as_str())),
        AttributeValue::Ss(set) => ("SS", set.iter().map(String::as_str).collect()),
        _ => return None,
    };
    Some(Value::Object(Map::from_iter([(tag.to_owned(), value)])))
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value);
    }
}

fn put_text(fields: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    put(fields, name, text.map(Value::from));
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodbstreams::primitives::Blob;
    use aws_sdk_dynamodbstreams::types::{OperationType, StreamViewType};
    use serde_json::json;

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    fn json_of(change: Change, identity: Option<Identity>) -> Value {
        let record = Record::builder()
            .event_id("e1")
            .event_name(OperationType::Modify)
            .event_version("1.1")
            .event_source("aws:dynamodb")
            .dynamodb(change)
            .set_user_identity(identity)
            .build();
        let record = stream_record(&record, "arn:stream", "eu-west-1").unwrap();
        serde_json::from_str(record.json().get()).unwrap()
    }

    #[test]
    fn a_record_has_the_shape_of_the_lambda_event() {
        let change = Change::builder()
            .approximate_creation_date_time(DateTime::from_millis(1_700_000_000_250))
            .keys("PK", text("p"))
            .new_image("S", text("é"))
            .new_image("N", AttributeValue::N("1.50".to_owned()))
            .new_image("B", AttributeValue::B(Blob::new([1, 2])))
            .new_image("BS", AttributeValue::Bs(vec![Blob::new([255])]))
            .new_image("NS", AttributeValue::Ns(vec!["1".to_owned()]))
            .new_image("SS", AttributeValue::Ss(vec!["a".to_owned()]))
            .new_image("BOOL", AttributeValue::Bool(false))
            .new_image("NULL", AttributeValue::Null(true))
            .new_image(
                "L",
                AttributeValue::L(vec![text("x"), AttributeValue::L(vec![])]),
            )
            .new_image(
                "M",
                AttributeValue::M(HashMap::from([("a".to_owned(), text("x"))])),
            )
            .sequence_number("100000000000000000001")
            .size_bytes(42)
            .stream_view_type(StreamViewType::NewAndOldImages)
            .build();
        let identity = Identity::builder()
            .r#type("Service")
            .principal_id("dynamodb.amazonaws.com")
            .build();
        let expected = json!({
            "eventID": "e1",
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:stream",
            "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000.25,
                "Keys": {"PK": {"S": "p"}},
                "NewImage": {
                    "S": {"S": "é"},
                    "N": {"N": "1.50"},
                    "B": {"B": "AQI="},
                    "BS": {"BS": ["/w=="]},
                    "NS": {"NS": ["1"]},
                    "SS": {"SS": ["a"]},
                    "BOOL": {"BOOL": false},
                    "NULL": {"NULL": true},
                    "L": {"L": [{"S": "x"}, {"L": []}]},
                    "M": {"M": {"a": {"S": "x"}}},
                },
                "SequenceNumber": "100000000000000000001",
                "SizeBytes": 42,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        });
        assert_eq!(json_of(change, Some(identity)), expected);
    }

    #[test]
    fn whole_seconds_are_an_integer_and_an_empty_identity_is_none() {
        let change = Change::builder()
            .approximate_creation_date_time(DateTime::from_secs(1_700_000_000))
            .sequence_number("1")
            .build();
        let identity = Identity::builder().r#type("").principal_id("").build();
        let json = json_of(change, Some(identity));
        assert_eq!(
            json["dynamodb"],
            json!({"ApproximateCreationDateTime": 1_700_000_000, "SequenceNumber": "1"})
        );
        assert_eq!(json.get("userIdentity"), None);
    }

    #[test]
    fn a_record_without_sequence_number_is_an_error() {
        let record = Record::builder()
            .dynamodb(Change::builder().build())
            .build();
        let error = stream_record(&record, "arn:stream", "eu-west-1").unwrap_err();
        assert!(matches!(error, WireError::Record(_)), "{error}");
    }
}
