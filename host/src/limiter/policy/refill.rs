//! Refills: tokens added to a bucket, and the time they were added. Buckets with schedules and quotas have more: tokens
//! are taken off as well, quotas are restored, and it is said until when that holds.

use super::{Checked, Context, number::integer, require, update};
use crate::{
    contract::{Assignment, AttributeValue, Change, Condition, Test, UpdateItem},
    limiter::key::{Bucket, limit_attribute},
};

/// How far a refill may be ahead of the batch, in milliseconds: clocks differ.
const AHEAD: u64 = 60_000;

/// When the bucket was last refilled.
pub(super) const LAST_REFILL: &str = "rf";

/// Until when clients go by what the bucket says.
const VALID_UNTIL: &str = "vu";

/// Into how many shards the bucket is split.
const SHARD_COUNT: &str = "shard_count";

pub(super) fn check(write: &UpdateItem, context: &Context<'_>) -> Checked {
    update::check(write)?;
    Bucket::of(&write.key).ok_or("it is not a bucket")?;
    let Locked { before, pins } = locked(write)?;
    let refilled = write.assignments.iter().find_map(|assignment| {
        let is_it = assignment.attribute == LAST_REFILL;
        is_it.then(|| set(&assignment.change)).flatten()
    });
    for assignment in &write.assignments {
        require(
            is_allowed(assignment, pins, write, refilled, context),
            format_args!("it may not change `{}` so", assignment.attribute),
        )?;
    }
    // A bucket may have been refilled ahead of the clock; then its time is moved by the least there is.
    let latest = i128::from(context.now.saturating_add(AHEAD)).max(before.saturating_add(1));
    require(
        refilled.is_some_and(|refilled| (before..=latest).contains(&refilled)),
        format_args!("it does not set rf to a time from that it tests to {latest}"),
    )
}

/// The condition that a refill is made on.
struct Locked {
    /// `rf` as it was.
    before: i128,
    /// Whether `vu` is tested too.
    pins: bool,
}

fn locked(write: &UpdateItem) -> Result<Locked, String> {
    let of = |name: &str| {
        let tests = write.conditions.iter();
        let mut tests = tests.filter(move |condition| condition.attribute == name);
        tests.find(|Condition { test, .. }| matches!(test, Test::Equals(_) | Test::Absent))
    };
    let Some(Test::Equals(tested)) = of(LAST_REFILL).map(|condition| &condition.test) else {
        return Err("it is not made on the condition that rf is as it was".into());
    };
    let before = match tested {
        AttributeValue::Number(rf) => integer(rf),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    };
    Ok(Locked {
        before: before.ok_or("it does not set rf to a time from that it tests")?,
        pins: of(VALID_UNTIL).is_some(),
    })
}

/// Whether a refill may make this change. All but adding tokens needs the test of `vu`: whoever changes a bucket's
/// limits changes that.
fn is_allowed(
    Assignment { attribute, change }: &Assignment,
    pins: bool,
    write: &UpdateItem,
    refilled: Option<i128>,
    context: &Context<'_>,
) -> bool {
    match (field(attribute), change) {
        (Some(Field::Limit(_, "tk")), Change::Add(number)) => {
            integer(number).is_some_and(|number| number >= 0 || pins)
        }
        (Some(Field::Limit(_, "wa")), change) => {
            pins && set(change)
                .zip(refilled)
                .is_some_and(|(start, refilled)| start <= refilled)
        }
        (Some(Field::Limit(_, "gc")), change) => {
            pins && set(change).is_some_and(|count| count >= 1 && is_count(count, write))
        }
        (Some(Field::Limit(limit, "tu")), Change::Remove) => pins && is_granted(limit, write),
        (Some(Field::ValidUntil), change) => {
            pins && set(change).is_some_and(|until| until > i128::from(context.now))
        }
        (Some(Field::LastRefill), Change::Set(AttributeValue::Number(_))) => true,
        _ => false,
    }
}

/// An attribute of a bucket that a refill may change.
pub(super) enum Field<'a> {
    LastRefill,
    ValidUntil,
    /// Of a limit: its name, and which.
    Limit(&'a str, &'a str),
}

/// Which attribute of a bucket this is.
pub(super) fn field(attribute: &str) -> Option<Field<'_>> {
    match attribute {
        LAST_REFILL => Some(Field::LastRefill),
        VALID_UNTIL => Some(Field::ValidUntil),
        _ => {
            let (limit, field) = limit_attribute(attribute)?;
            (!limit.is_empty()).then_some(Field::Limit(limit, field))
        }
    }
}

/// The integer that an attribute is set to.
pub(super) fn set(change: &Change) -> Option<i128> {
    match change {
        Change::Set(AttributeValue::Number(number)) => integer(number),
        _ => None,
    }
}

/// Whether the write is made on the condition that the bucket has no more shards than that.
fn is_count(count: i128, write: &UpdateItem) -> bool {
    write.conditions.iter().any(|condition| {
        condition.attribute == SHARD_COUNT
            && match &condition.test {
                Test::AbsentOrLessThan(AttributeValue::Number(bound)) => {
                    integer(bound) == count.checked_add(1)
                }
                _ => false,
            }
    })
}

/// Whether the write restores the limit: then it says for how many shards.
fn is_granted(limit: &str, write: &UpdateItem) -> bool {
    let mut assignments = write.assignments.iter();
    assignments.any(|assignment| {
        matches!(field(&assignment.attribute), Some(Field::Limit(of, "gc")) if of == limit)
    })
}
