//! Bounds that hold for every update of an item, whatever its purpose.

use super::{Checked, extent, require};
use crate::contract::{Assignment, AttributeValue, Change, Condition, Test, UpdateItem};
use std::collections::HashSet;

/// Assignments and conditions of an update. DynamoDB takes expressions of 4 KB, in which an assignment has 9 to 13
/// bytes, so that an update of more is never made.
pub const MOST_CHANGES: usize = 400;
/// Size of an update's names and values, in bytes: as many counters as an expression has room for, with names as long
/// as the clients allow.
pub const LARGEST_UPDATE: usize = 32 * 1024;
/// Length of a text, in bytes; the longest is an index key with an entity's name.
pub const LONGEST_TEXT: usize = 2 * 1024;
/// Length of an attribute's name, in bytes: DynamoDB's own bound for what is in an expression.
pub const LONGEST_NAME: usize = 255;

/// Passes if the update is within all bounds and changes no attribute twice.
pub(super) fn check(update: &UpdateItem) -> Checked {
    let UpdateItem {
        key,
        assignments,
        conditions,
    } = update;
    extent::check_key(key)?;
    require(
        !assignments.is_empty() && assignments.len() + conditions.len() <= MOST_CHANGES,
        format_args!("it has no assignment, or more than {MOST_CHANGES} attributes"),
    )?;
    let changed = assignments
        .iter()
        .map(|Assignment { attribute, change }| (attribute.as_str(), value_of(change)));
    let size: usize = changed
        .clone()
        .map(|(name, value)| name.len() + value.map_or(0, str::len))
        .sum();
    require(
        size <= LARGEST_UPDATE,
        format_args!("it is larger than {LARGEST_UPDATE} bytes"),
    )?;
    for (name, value) in changed {
        check_attribute(name, value)?;
    }
    check_conditions(conditions)?;
    let mut names = HashSet::new();
    require(
        assignments
            .iter()
            .all(|assignment| names.insert(assignment.attribute.as_str())),
        "it changes an attribute twice",
    )
}

/// Passes if all conditions are within bounds.
pub(super) fn check_conditions(conditions: &[Condition]) -> Checked {
    require(
        conditions.len() <= MOST_CHANGES,
        format_args!("it has more than {MOST_CHANGES} conditions"),
    )?;
    conditions
        .iter()
        .try_for_each(|Condition { attribute, test }| {
            let value = match test {
                Test::Absent | Test::Present => None,
                Test::Equals(value)
                | Test::AtMost(value)
                | Test::AtLeast(value)
                | Test::AbsentOrEquals(value)
                | Test::AbsentOrLessThan(value) => Some(text_of(value)),
            };
            check_attribute(attribute, value)
        })
}

fn check_attribute(name: &str, value: Option<&str>) -> Checked {
    check_name(name)?;
    require(
        value.is_none_or(|value| value.len() <= LONGEST_TEXT),
        format_args!("its value of `{name}` is longer than {LONGEST_TEXT} bytes"),
    )
}

/// Passes if an attribute can be called so.
pub(super) fn check_name(name: &str) -> Checked {
    require(
        (1..=LONGEST_NAME).contains(&name.len()),
        format_args!("it has an attribute whose name is not of 1 to {LONGEST_NAME} bytes"),
    )
}

fn value_of(change: &Change) -> Option<&str> {
    match change {
        Change::Set(value) | Change::SetIfAbsent(value) => Some(text_of(value)),
        Change::Add(number) => Some(number),
        Change::Remove => None,
    }
}

/// A value as it was written down.
pub(super) fn text_of(value: &AttributeValue) -> &str {
    match value {
        AttributeValue::Text(text) | AttributeValue::Number(text) | AttributeValue::Wire(text) => {
            text
        }
    }
}
