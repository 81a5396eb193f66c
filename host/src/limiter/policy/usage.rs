//! Usage: counters, texts and watermarks of snapshots.

use super::{Checked, Context, number::integer, require, update};
use crate::{
    contract::{Assignment, AttributeValue, Change, Condition, Test, UpdateItem},
    limiter::key::{Snapshot, consists_of, plain},
};
use std::collections::BTreeSet;

/// Length of a watermark, in bytes: two numbers of 60 digits, the longest that have one.
pub const LONGEST_WATERMARK: usize = 70;

/// What the name of every watermark begins with.
pub(super) const WATERMARK: &str = "_applied_";

/// Seconds in a day.
const DAY: u64 = 86_400;

/// Keys of the table and of its indexes: never a counter.
pub(super) const KEYS: [&str; 15] = [
    "PK", "SK", "GSI1PK", "GSI1SK", "GSI2PK", "GSI2SK", "GSI3PK", "GSI3SK", "GSI4PK", "GSI4SK",
    "LSI1SK", "LSI2SK", "LSI3SK", "LSI4SK", "LSI5SK",
];

/// Texts of a snapshot: never a counter.
const SNAPSHOT_TEXTS: [&str; 8] = [
    "entity_id",
    "resource",
    "window",
    "window_start",
    "GSI2PK",
    "GSI2SK",
    "GSI4PK",
    "GSI4SK",
];

pub(super) fn check(write: &UpdateItem, context: &Context<'_>) -> Checked {
    update::check(write)?;
    let snapshot = Snapshot::of(&write.key).ok_or("it is not a usage snapshot")?;
    for Assignment { attribute, change } in &write.assignments {
        let name = attribute.as_str();
        require(
            is_allowed(name, change),
            format_args!("it may not change `{name}` so"),
        )?;
        check_value(name, change, &snapshot, context)?;
    }
    check_watermarks(write)
}

/// Whether such an attribute may be changed in this manner.
fn is_allowed(name: &str, change: &Change) -> bool {
    match change {
        Change::Set(AttributeValue::Text(_)) => {
            is_watermark(name) || SNAPSHOT_TEXTS.contains(&name)
        }
        Change::SetIfAbsent(AttributeValue::Text(_)) => SNAPSHOT_TEXTS.contains(&name),
        Change::SetIfAbsent(AttributeValue::Number(_)) => name == "ttl",
        Change::Add(_) => {
            !name.starts_with(WATERMARK)
                && !KEYS.contains(&name)
                && name != "ttl"
                && !SNAPSHOT_TEXTS.contains(&name)
        }
        _ => false,
    }
}

/// Whether it is the watermark of a shard, or that of buckets without shards.
fn is_watermark(name: &str) -> bool {
    name.strip_prefix(WATERMARK)
        .is_some_and(|shard| shard == "u" || plain(shard).is_some())
}

fn check_value(
    name: &str,
    change: &Change,
    snapshot: &Snapshot<'_>,
    context: &Context<'_>,
) -> Checked {
    match change {
        Change::Add(number) => require(
            integer(number).is_some(),
            format_args!("it adds to `{name}` what is no integer of at most 38 digits"),
        ),
        Change::SetIfAbsent(AttributeValue::Number(ttl)) => check_ttl(ttl, context),
        Change::Set(AttributeValue::Text(text))
        | Change::SetIfAbsent(AttributeValue::Text(text)) => require(
            is_watermark(name) || follows(name, text, snapshot),
            format_args!("its `{name}` does not follow from its key"),
        ),
        _ => Ok(()),
    }
}

/// Whether a snapshot of that key has this text. What its window is called, the component says.
fn follows(name: &str, text: &str, snapshot: &Snapshot<'_>) -> bool {
    let Snapshot {
        namespace,
        entity,
        resource,
        start,
    } = snapshot;
    let prefixed = |rest: &[&str]| match namespace {
        Some(namespace) => consists_of(text, &[&[namespace, "/"], rest].concat()),
        None => consists_of(text, rest),
    };
    match name {
        "entity_id" => text == *entity,
        "resource" => text == *resource,
        "window_start" => text == *start,
        "GSI2PK" => prefixed(&["RESOURCE#", resource]),
        "GSI2SK" => consists_of(text, &["USAGE#", start, "#", entity]),
        "GSI4PK" => Some(text) == *namespace,
        "GSI4SK" => namespace.is_some() && prefixed(&["ENTITY#", entity]),
        _ => true,
    }
}

/// A snapshot lives as long as the operator says, give or take a day, and never less than one.
fn check_ttl(ttl: &str, context: &Context<'_>) -> Checked {
    let now = context.now / 1000;
    let days = u64::from(context.settings.snapshot_ttl_days).saturating_add(1);
    let first = i128::from(now.saturating_add(DAY));
    let last = i128::from(now.saturating_add(days.saturating_mul(DAY)));
    require(
        integer(ttl).is_some_and(|ttl| (first..=last).contains(&ttl)),
        format_args!("its `ttl` is not between {first} and {last}"),
    )
}

/// Each watermark that is moved is tested, and is moved forward.
fn check_watermarks(write: &UpdateItem) -> Checked {
    let is_tested = |condition: &Condition| {
        condition.attribute.starts_with(WATERMARK)
            && matches!(
                condition.test,
                Test::AbsentOrLessThan(AttributeValue::Text(_))
            )
    };
    require(
        write.conditions.iter().all(is_tested),
        "its condition is not about a watermark: that it is absent or less",
    )?;
    let moved: BTreeSet<_> = write
        .assignments
        .iter()
        .map(|assignment| assignment.attribute.as_str())
        .filter(|name| name.starts_with(WATERMARK))
        .collect();
    let tested = write
        .conditions
        .iter()
        .map(|condition| condition.attribute.as_str())
        .collect();
    require(
        moved == tested,
        "it moves a watermark without testing it, or tests one without moving it",
    )?;
    write.conditions.iter().try_for_each(|condition| {
        let to = write
            .assignments
            .iter()
            .find(|assignment| assignment.attribute == condition.attribute);
        match (&condition.test, to.map(|to| &to.change)) {
            (
                Test::AbsentOrLessThan(AttributeValue::Text(from)),
                Some(Change::Set(AttributeValue::Text(to))),
            ) => check_move(&condition.attribute, from, to),
            _ => Ok(()),
        }
    })
}

fn check_move(watermark: &str, from: &str, to: &str) -> Checked {
    let is_one = |text: &str| {
        (1..=LONGEST_WATERMARK).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    require(
        is_one(from) && is_one(to),
        format_args!(
            "its watermark `{watermark}` is not of 1 to {LONGEST_WATERMARK} digits of base 64"
        ),
    )?;
    require(
        from <= to,
        format_args!("it moves the watermark `{watermark}` back"),
    )
}
