//! Items of the contract ↔ items of the SDK.

use super::Failure;
use crate::contract::{Attribute, AttributeValue, Condition, Key, Test};
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue as SdkValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, SdkValue>;

/// A primary key's values.
pub(super) fn key(key: Key) -> (SdkValue, SdkValue) {
    (SdkValue::S(key.pk), SdkValue::S(key.sk))
}

/// An item to be written.
///
/// # Errors
/// A value that is not well-formed.
pub(super) fn attributes(item: Vec<Attribute>) -> Result<Item, Failure> {
    item.into_iter()
        .map(|attribute| Ok((attribute.name, value(attribute.value)?)))
        .collect()
}

/// A value to be written.
///
/// # Errors
/// Wire JSON that is not well-formed.
pub(super) fn value(value: AttributeValue) -> Result<SdkValue, Failure> {
    match value {
        AttributeValue::Text(text) => Ok(SdkValue::S(text)),
        AttributeValue::Number(number) => Ok(SdkValue::N(number)),
        AttributeValue::Wire(json) => {
            let wire = serde_json::from_str(&json)
                .map_err(|error| Failure::invalid(format!("a value is not JSON: {error}")))?;
            from_wire(&wire)
                .ok_or_else(|| Failure::invalid("a value is not in DynamoDB's wire form"))
        }
    }
}

/// Whether conditions hold of an item that is not there.
pub(super) fn holds_of_nothing(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| match condition.test {
        Test::Absent | Test::AbsentOrLessThan(_) | Test::AbsentOrEquals(_) => true,
        Test::Present | Test::Equals(_) | Test::AtMost(_) | Test::AtLeast(_) => false,
    })
}

/// A stored item.
pub(super) fn stored(item: &Item) -> Vec<Attribute> {
    let mut attributes: Vec<_> = item
        .iter()
        .map(|(name, value)| Attribute {
            name: name.clone(),
            value: read(value),
        })
        .collect();
    // The SDK keeps items in a map without order; a component gets them in one.
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

fn read(value: &SdkValue) -> AttributeValue {
    match value {
        SdkValue::S(text) => AttributeValue::Text(text.clone()),
        SdkValue::N(number) => AttributeValue::Number(number.clone()),
        other => AttributeValue::Wire(to_wire(other).to_string()),
    }
}

fn from_wire(wire: &Value) -> Option<SdkValue> {
    let mut members = wire.as_object()?.iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return None;
    };
    let strings = || {
        value
            .as_array()?
            .iter()
            .map(|element| element.as_str().map(Into::into))
            .collect::<Option<Vec<String>>>()
    };
    let bytes = |text: &str| STANDARD.decode(text).ok().map(Blob::new);
    Some(match kind.as_str() {
        "S" => SdkValue::S(value.as_str()?.into()),
        "N" => SdkValue::N(value.as_str()?.into()),
        "BOOL" => SdkValue::Bool(value.as_bool()?),
        "NULL" => SdkValue::Null(value.as_bool()?),
        "B" => SdkValue::B(bytes(value.as_str()?)?),
        "SS" => SdkValue::Ss(strings()?),
        "NS" => SdkValue::Ns(strings()?),
        "BS" => SdkValue::Bs(
            strings()?
                .iter()
                .map(|text| bytes(text))
                .collect::<Option<_>>()?,
        ),
        "L" => SdkValue::L(
            value
                .as_array()?
                .iter()
                .map(from_wire)
                .collect::<Option<_>>()?,
        ),
        "M" => SdkValue::M(
            value
                .as_object()?
                .iter()
                .map(|(name, value)| Some((name.clone(), from_wire(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

fn to_wire(value: &SdkValue) -> Value {
    let base64 = |blob: &Blob| STANDARD.encode(blob);
    match value {
        SdkValue::S(text) => json!({ "S": text }),
        SdkValue::N(number) => json!({ "N": number }),
        SdkValue::Bool(flag) => json!({ "BOOL": flag }),
        SdkValue::Null(flag) => json!({ "NULL": flag }),
        SdkValue::B(blob) => json!({ "B": base64(blob) }),
        SdkValue::Ss(texts) => json!({ "SS": texts }),
        SdkValue::Ns(numbers) => json!({ "NS": numbers }),
        SdkValue::Bs(blobs) => json!({ "BS": blobs.iter().map(base64).collect::<Vec<_>>() }),
        SdkValue::L(values) => json!({ "L": values.iter().map(to_wire).collect::<Vec<_>>() }),
        SdkValue::M(values) => {
            json!({ "M": values.iter().map(|(name, value)| (name.clone(), to_wire(value))).collect::<Map<_, _>>() })
        }
        // A type that the SDK does not know yet; nothing in this table has one.
        _ => json!({ "NULL": true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_keeps_its_value_and_type() {
        for wire in [
            json!({"S":"x"}),
            json!({"N":"12345678901234567890123456789012345678"}),
            json!({"BOOL":true}),
            json!({"NULL":true}),
            json!({"B":"AQI="}),
            json!({"SS":["a","b"]}),
            json!({"NS":["1","2"]}),
            json!({"BS":["AQI=","Aw=="]}),
            json!({"L":[{"S":"x"},{"M":{"a":{"B":"AQI="}}}]}),
        ] {
            let value = value(AttributeValue::Wire(wire.to_string())).unwrap();
            assert_eq!(to_wire(&value), wire);
        }
    }

    #[test]
    fn what_is_not_in_wire_form_is_refused() {
        for wire in [
            "",
            "1",
            "{}",
            r#"{"S":1}"#,
            r#"{"S":"a","N":"1"}"#,
            r#"{"X":"a"}"#,
            r#"{"B":"%"}"#,
            r#"{"L":["a"]}"#,
        ] {
            assert!(value(AttributeValue::Wire(wire.into())).is_err(), "{wire}");
        }
    }
}
