//! Refills: tokens added to a bucket, and the time they were added.

use super::{Checked, Context, key::Bucket, number::integer, require, update};
use crate::contract::{Assignment, AttributeValue, Change, Test, UpdateItem};

/// How far a refill may be ahead of the batch, in milliseconds: clocks differ.
const AHEAD: u64 = 60_000;

pub(super) fn check(write: &UpdateItem, context: &Context<'_>) -> Checked {
    update::check(write)?;
    Bucket::of(&write.key).ok_or("it is not a bucket")?;
    for Assignment { attribute, change } in &write.assignments {
        let is_allowed = match change {
            Change::Set(AttributeValue::Number(_)) => attribute == "rf",
            Change::Add(number) => {
                limit_of_tokens(attribute).is_some()
                    && integer(number).is_some_and(|number| number >= 0)
            }
            _ => false,
        };
        require(
            is_allowed,
            format_args!("it may not change `{attribute}` so"),
        )?;
    }
    let mut tested = write
        .conditions
        .iter()
        .filter(|condition| condition.attribute == "rf");
    let tested = tested.find_map(|condition| match &condition.test {
        Test::Equals(value) => Some(value),
        _ => None,
    });
    let tested = tested.ok_or("it is not made on the condition that rf is as it was")?;
    let set = write
        .assignments
        .iter()
        .find_map(|Assignment { attribute, change }| match change {
            Change::Set(AttributeValue::Number(rf)) if attribute == "rf" => integer(rf),
            _ => None,
        });
    let before = match tested {
        AttributeValue::Number(rf) => integer(rf),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    };
    let latest = i128::from(context.now.saturating_add(AHEAD));
    require(
        set.zip(before)
            .is_some_and(|(set, before)| before <= set && set <= latest),
        format_args!("it does not set rf to a time from that it tests to {latest}"),
    )
}

/// The limit whose tokens an attribute has, if it has a limit's.
pub(super) fn limit_of_tokens(attribute: &str) -> Option<&str> {
    attribute
        .strip_prefix("b_")
        .and_then(|rest| rest.strip_suffix("_tk"))
        .filter(|limit| !limit.is_empty())
}
