//! The parts of a plan in words, one line each.

use crate::contract::{
    Assignment, Attribute, AttributeValue, Change, Condition, Entry, FieldValue, Level, Test,
};

/// A change of an attribute.
pub fn assignment(Assignment { attribute, change }: &Assignment) -> String {
    match change {
        Change::Set(to) => format!("set     {attribute} = {}", value(to)),
        Change::SetIfAbsent(to) => format!("default {attribute} = {}", value(to)),
        Change::Add(number) => {
            let sign = if number.starts_with('-') { "" } else { "+" };
            format!("add     {attribute} {sign}{number}")
        }
        Change::Remove => format!("remove  {attribute}"),
    }
}

/// An attribute of an item that is written whole.
pub fn attribute(attribute: &Attribute) -> String {
    format!("put     {} = {}", attribute.name, value(&attribute.value))
}

/// A condition on an attribute.
pub fn condition(Condition { attribute, test }: &Condition) -> String {
    let test = match test {
        Test::Absent => "is absent".into(),
        Test::Present => "is present".into(),
        Test::Equals(to) => format!("= {}", value(to)),
        Test::AtMost(than) => format!("<= {}", value(than)),
        Test::AtLeast(than) => format!(">= {}", value(than)),
        Test::AbsentOrEquals(to) => format!("is absent or = {}", value(to)),
        Test::AbsentOrLessThan(than) => format!("is absent or < {}", value(than)),
    };
    format!("if      {attribute} {test}")
}

/// An object, but for its key and its content.
pub fn object(content_type: &str, size: usize) -> String {
    format!("{content_type}, {size} bytes, stored with gzip")
}

/// Which records a write accounts for.
pub fn records(records: &[u32], updates: u32) -> String {
    let records: Vec<_> = records.iter().map(ToString::to_string).collect();
    let records = match records.as_slice() {
        [] => "no record".into(),
        records => format!("records {}", records.join(", ")),
    };
    format!("for {records} ({updates} updates)")
}

/// A log line.
pub fn entry(entry: &Entry) -> String {
    let level = match entry.level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    };
    let fields = entry.fields.iter();
    let fields: String = fields
        .map(|field| format!(" {}={}", field.name, field_value(&field.value)))
        .collect();
    format!("{level} {}{fields}", entry.message)
}

fn value(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(text) => format!("{text:?}"),
        AttributeValue::Number(number) => number.clone(),
        AttributeValue::Wire(json) => json.clone(),
    }
}

fn field_value(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) => format!("{text:?}"),
        FieldValue::Number(json) | FieldValue::Json(json) => json.clone(),
        FieldValue::Texts(texts) => format!("{texts:?}"),
        FieldValue::Fact(fact) => format!("<{fact:?}>"),
    }
}
