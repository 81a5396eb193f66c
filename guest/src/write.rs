//! Short constructors for the parts of a write.

use crate::contract::{
    Assignment, AttributeValue, Change, Condition, Key, Operation, Test, UpdateItem,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;

/// A value of type S.
pub fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::Text(text.into())
}

/// A value of type N.
pub fn number(number: impl Display) -> AttributeValue {
    AttributeValue::Number(number.to_string())
}

/// Gives an attribute a value.
pub fn set(attribute: impl Into<String>, value: AttributeValue) -> Assignment {
    assign(attribute.into(), Change::Set(value))
}

/// Gives an attribute a value unless it has one.
pub fn set_if_absent(attribute: impl Into<String>, value: AttributeValue) -> Assignment {
    assign(attribute.into(), Change::SetIfAbsent(value))
}

/// Adds a number to an attribute.
pub fn add(attribute: impl Into<String>, number: impl Display) -> Assignment {
    assign(attribute.into(), Change::Add(number.to_string()))
}

fn assign(attribute: String, change: Change) -> Assignment {
    Assignment { attribute, change }
}

/// A test of an attribute of the stored item.
pub fn when(attribute: impl Into<String>, test: Test) -> Condition {
    Condition {
        attribute: attribute.into(),
        test,
    }
}

/// A change of one item.
pub fn update(key: Key, assignments: Vec<Assignment>, conditions: Vec<Condition>) -> Operation {
    Operation::UpdateItem(UpdateItem {
        key,
        assignments,
        conditions,
    })
}
