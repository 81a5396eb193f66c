//! A refill as a change of the bucket's item, and what the item must be for it to be made.

use super::{decision::Refill, validity};
use crate::{
    bucket::{arithmetic::Overflow, state::Bucket},
    contract::{Assignment, AttributeValue, Change, Condition, Test},
    decimal::{EpochMs, INTEGER_BOUND, MilliTokens},
    schema::bucket::{LAST_REFILL, LimitField, SCHEDULE, SHARD_COUNT, VALID_UNTIL},
    write,
};
use alloc::{string::String, vec::Vec};

/// Most assignments and conditions of an update that the host makes.
const MAX_CHANGES: usize = 400;

/// Most bytes of names and values that it sets.
const MAX_BYTES: usize = 32 * 1024;

/// Milliseconds of a minute.
const MINUTE: i128 = 60_000;

/// A change of an item.
pub struct Update {
    /// What is changed.
    pub assignments: Vec<Assignment>,
    /// What must hold.
    pub conditions: Vec<Condition>,
}

/// Why a refill cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A number is beyond what an item holds.
    OutOfRange,
    /// It changes more than an update can.
    TooLarge,
    /// `rf` is ahead of the clock and cannot be moved without hiding a reset.
    Ahead,
}

impl From<Overflow> for Unfit {
    fn from(Overflow: Overflow) -> Self {
        Self::OutOfRange
    }
}

impl Update {
    /// A refill of a bucket with that many shards.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn of(
        bucket: &Bucket<'_>,
        refill: &Refill<'_, '_>,
        shards: i128,
        now: EpochMs,
    ) -> Result<Self, Unfit> {
        let valid_until = validity::renewed(bucket, refill, now);
        let update = Self {
            assignments: assignments(bucket, refill, shards, now, valid_until)?,
            conditions: conditions(bucket, refill, shards, valid_until)?,
        };
        let count = update
            .assignments
            .len()
            .saturating_add(update.conditions.len());
        let bytes = update.assignments.iter().map(size);
        if count > MAX_CHANGES || bytes.fold(0, usize::saturating_add) > MAX_BYTES {
            return Err(Unfit::TooLarge);
        }
        Ok(update)
    }
}

/// When the bucket is refilled: `rf` never moves back, and never before a window that is shown, because clients compare
/// the two. What does not move it could be made twice, so that it is moved by the least there is. Resets come with the
/// minute, and none may be passed.
fn refilled(bucket: &Bucket<'_>, now: EpochMs) -> Result<EpochMs, Unfit> {
    let starts = bucket.windows().filter_map(|(_, window)| window.start);
    let refilled = starts.chain([now, bucket.last_refill]).max().unwrap_or(now);
    if !bucket.rules.claims || refilled != bucket.last_refill {
        return Ok(refilled);
    }
    let next = refilled.0.saturating_add(1);
    if next.rem_euclid(MINUTE) == 0 {
        return Err(Unfit::Ahead);
    }
    Ok(EpochMs(next))
}

fn assignments(
    bucket: &Bucket<'_>,
    refill: &Refill<'_, '_>,
    shards: i128,
    now: EpochMs,
    valid_until: Option<EpochMs>,
) -> Result<Vec<Assignment>, Unfit> {
    let refilled = refilled(bucket, now)?;
    let mut assignments = Vec::new();
    assignments.push(write::set(LAST_REFILL, number(refilled.0)?));
    let mut applied: Vec<(&str, EpochMs)> = bucket
        .windows()
        .filter(|(_, window)| window.applied != window.start)
        .filter_map(|(limit, window)| Some((limit.name, window.start?)))
        .collect();
    applied.sort_unstable();
    for (limit, start) in applied {
        let attribute = LimitField::WindowApplied.of(limit);
        assignments.push(write::set(attribute, number(start.0)?));
    }
    for limit in &refill.granted {
        let attribute = LimitField::GrantCount.of(limit.name);
        assignments.push(write::set(attribute, number(shards)?));
    }
    if let Some(valid_until) = valid_until {
        assignments.push(write::set(VALID_UNTIL, number(valid_until.0)?));
    }
    for added in &refill.changes {
        let attribute = LimitField::Tokens.of(added.limit.name);
        assignments.push(write::add(attribute, added.tokens.0));
    }
    let bought = refill.granted.iter().filter(|limit| {
        let terms = limit.terms.as_ref();
        terms.is_some_and(|terms| terms.top_up.is_some())
    });
    assignments.extend(bought.map(|limit| Assignment {
        attribute: LimitField::TopUp.of(limit.name),
        change: Change::Remove,
    }));
    Ok(assignments)
}

/// The bucket is as it was: nobody else has moved `rf`, and what the refill relies on is not changed.
fn conditions(
    bucket: &Bucket<'_>,
    refill: &Refill<'_, '_>,
    shards: i128,
    valid_until: Option<EpochMs>,
) -> Result<Vec<Condition>, Unfit> {
    let seen = Test::Equals(number(bucket.last_refill.0)?);
    let mut conditions = Vec::new();
    conditions.push(write::when(LAST_REFILL, seen));
    if !bucket.rules.pins {
        return Ok(conditions);
    }
    conditions.push(write::when(
        VALID_UNTIL,
        match bucket.terms.valid_until {
            Some(until) => Test::Equals(number(until.0)?),
            None => Test::Absent,
        },
    ));
    for added in &refill.changes {
        if let Some(start) = added.rolled {
            let attribute = LimitField::WindowStart.of(added.limit.name);
            let test = Test::Equals(number(start.0)?);
            conditions.push(write::when(attribute, test));
        }
    }
    // Tokens that came since, as by a refund, would be given once more; those that went do no harm.
    for added in refill.changes.iter().filter(|added| added.tokens.0 > 0) {
        conditions.push(tokens_at_most(added.limit.name, added.limit.tokens)?);
    }
    if !refill.granted.is_empty() {
        let more = shards.checked_add(1).ok_or(Overflow)?;
        let test = Test::AbsentOrLessThan(number(more)?);
        conditions.push(write::when(SHARD_COUNT, test));
    }
    if valid_until.is_some() {
        let test = match bucket.terms.schedule_text {
            Some(text) => Test::Equals(write::text(text)),
            None => Test::Absent,
        };
        conditions.push(write::when(SCHEDULE, test));
        for (limit, ceiling) in &refill.unclamped {
            conditions.push(tokens_at_most(limit.name, *ceiling)?);
        }
    }
    Ok(conditions)
}

fn tokens_at_most(limit: &str, most: MilliTokens) -> Result<Condition, Unfit> {
    let attribute: String = LimitField::Tokens.of(limit);
    Ok(write::when(attribute, Test::AtMost(number(most.0)?)))
}

/// A number that an item can hold.
fn number(number: i128) -> Result<AttributeValue, Unfit> {
    if number.unsigned_abs() >= INTEGER_BOUND.unsigned_abs() {
        return Err(Unfit::OutOfRange);
    }
    Ok(write::number(number))
}

fn size(Assignment { attribute, change }: &Assignment) -> usize {
    let value = match change {
        Change::Set(AttributeValue::Number(text)) | Change::Add(text) => text.len(),
        Change::Set(_) | Change::SetIfAbsent(_) | Change::Remove => 0,
    };
    attribute.len().saturating_add(value)
}
