//! Refills: of buckets of the batch, with no more tokens than time has brought and the image lacks.

use super::{NOT_OF_THE_BATCH, check_records};
use crate::{
    contract::{Assignment, AttributeValue, Ceiling, Change, Test, UpdateItem, Write},
    limiter::{
        evidence::{Bucket, Evidence, Limit, Subject, WRITE_LIMIT},
        policy::{Checked, Context, key, number::integer, refill::limit_of_tokens, require},
    },
};

/// How a limit gets tokens, and so what bounds them. Newer schema generations have further ways: each gets its case
/// here, and its bound in [`Credit::most`].
#[derive(Clone, Copy, Debug)]
enum Credit {
    /// With time, up to its ceiling.
    Drip,
    /// All that is missing, whenever the count of writes starts anew.
    WriteTokens,
}

impl Credit {
    fn of(limit: &str, of: &key::Bucket<'_>) -> Self {
        if limit == WRITE_LIMIT && of.shard.is_some() {
            Self::WriteTokens
        } else {
            Self::Drip
        }
    }

    /// The most that can be added to a limit for that time, in milliseconds. `shards` are the fewest and the most that
    /// the bucket had.
    fn most(self, limit: &Limit, ceiling: i128, elapsed: i128, (few, many): (i128, i128)) -> i128 {
        // A share is largest among the fewest shards, and the debt of a negative one smallest among the most.
        let share = ceiling.div_euclid(few).max(ceiling.div_euclid(many));
        let missing = |ceiling: i128| ceiling.saturating_sub(limit.tokens);
        match self {
            Self::Drip => missing(share).min(gained(limit, elapsed, few)),
            Self::WriteTokens => missing(share.max(ceiling)),
        }
    }
}

/// What a limit gains in that time.
fn gained(limit: &Limit, elapsed: i128, shards: i128) -> i128 {
    let rate = limit.refill_amount.div_euclid(shards);
    match limit.refill_period {
        Some(period) if elapsed > 0 && rate > 0 => elapsed.saturating_mul(rate).div_euclid(period),
        _ => 0,
    }
}

pub(super) fn check(
    write: &Write,
    update: &UpdateItem,
    context: &Context<'_>,
    evidence: &Evidence<'_>,
) -> Checked {
    let of = key::Bucket::of(&update.key).ok_or("it is not a bucket")?;
    let (id, bucket) = evidence
        .bucket(&update.key.pk, &update.key.sk)
        .ok_or(NOT_OF_THE_BATCH)?;
    check_records(
        write,
        evidence,
        |subject| matches!(subject, Subject::Bucket { bucket, .. } if bucket == id),
    )?;
    let shards = match of.shard {
        Some(_) => shards_of(bucket).ok_or("its images have no shard count to divide by")?,
        None => (1, 1),
    };
    let elapsed = elapsed(update).ok_or("it does not set rf")?;
    for Assignment { attribute, change } in &update.assignments {
        let Change::Add(number) = change else {
            continue;
        };
        let (number, limit) = (integer(number), limit_of_tokens(attribute));
        let (number, name) = number.zip(limit).ok_or("it adds what is no number")?;
        let limit = bucket
            .limits
            .get(name)
            .ok_or_else(|| format!("no image of the bucket has the limit of `{attribute}`"))?;
        let ceiling = ceiling_of(limit, of.namespace, context);
        let most = Credit::of(name, &of).most(limit, ceiling, elapsed, shards);
        require(
            number <= most,
            format_args!("it adds {number} to `{attribute}`; the batch justifies {most}"),
        )?;
    }
    Ok(())
}

/// The fewest and the most shards that a bucket had.
fn shards_of(bucket: &Bucket<'_>) -> Option<(i128, i128)> {
    let mut counts = bucket.shard_counts.range(1..);
    Some((*counts.next()?, *bucket.shard_counts.last()?))
}

/// Up to where a limit is filled, over all shards.
fn ceiling_of(limit: &Limit, namespace: Option<&str>, context: &Context<'_>) -> i128 {
    if namespace.is_none() || context.settings.ceiling == Ceiling::Burst {
        limit.burst
    } else {
        limit.capacity
    }
}

/// The time for which the refill is: tokens are given for the time by which `rf` moves.
fn elapsed(update: &UpdateItem) -> Option<i128> {
    let number = |value: &AttributeValue| match value {
        AttributeValue::Number(number) => integer(number),
        AttributeValue::Text(_) | AttributeValue::Wire(_) => None,
    };
    let to = update
        .assignments
        .iter()
        .find_map(|Assignment { attribute, change }| match change {
            Change::Set(value) if attribute == "rf" => number(value),
            _ => None,
        });
    // Of several conditions all must hold: the latest time counts.
    let from = update
        .conditions
        .iter()
        .filter_map(|condition| match &condition.test {
            Test::Equals(value) if condition.attribute == "rf" => number(value),
            _ => None,
        });
    Some(to?.saturating_sub(from.max()?))
}
