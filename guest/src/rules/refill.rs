//! Which buckets are refilled, and by how much.
//!
//! A bucket gains tokens with time, but only a write that moves `rf` hands them out: the client's on its slow path, or
//! this program's, which saves the client that path (rules: "Refill").

use crate::{
    bucket::{
        arithmetic::{Gain, Overflow},
        change::LimitChange,
        state::{Bucket, WriteTokens},
    },
    contract::{Level, OnConflict, Purpose, Scope, Test, Write},
    decimal::{INTEGER_BOUND, MilliTokens},
    draft::Draft,
    input::Input,
    schema::bucket::{LAST_REFILL, LimitField},
    settings::Correction,
    write,
};
use alloc::vec::Vec;

/// Plans the refills of all buckets. `write_tokens` says of each what becomes of its write tokens.
pub fn plan(
    buckets: &[Bucket<'_>],
    write_tokens: impl Iterator<Item = WriteTokens>,
    input: &Input<'_>,
    draft: &mut Draft,
) {
    let unknown = || buckets.iter().filter(|bucket| !bucket.is_known);
    draft.count_degraded(unknown().count());
    for bucket in unknown() {
        let message = "Bucket uses a newer schema - usage only";
        draft
            .line(Level::Warning, Scope::Processor, message)
            .bucket(&bucket.key)
            .log();
    }
    for (bucket, write_tokens) in buckets.iter().zip(write_tokens) {
        if bucket.is_known {
            refill(bucket, write_tokens, input, draft);
        }
    }
}

fn refill(bucket: &Bucket<'_>, write_tokens: WriteTokens, input: &Input<'_>, draft: &mut Draft) {
    let Some(shards) = bucket.divisor() else {
        let message = "Invalid shard_count - refill skipped";
        draft
            .line(Level::Warning, Scope::Processor, message)
            .bucket(&bucket.key)
            .number("shard_count", bucket.shard_count)
            .log();
        return;
    };
    match decide(bucket, shards, write_tokens, input) {
        Ok(additions) if additions.is_empty() => draft
            .line(
                Level::Debug,
                Scope::Processor,
                "Refill skipped - sufficient tokens",
            )
            .bucket(&bucket.key)
            .log(),
        Ok(additions) => {
            let write = write_of(bucket, &additions, input, draft);
            draft.write(write);
        }
        Err(Overflow) => draft
            .line(
                Level::Warning,
                Scope::Processor,
                "Refill skipped - number out of range",
            )
            .bucket(&bucket.key)
            .log(),
    }
}

/// What to add to which limit; nothing where no limit needs it.
fn decide<'a>(
    bucket: &Bucket<'a>,
    shards: i128,
    write_tokens: WriteTokens,
    input: &Input<'_>,
) -> Result<Vec<(&'a str, MilliTokens)>, Overflow> {
    let settings = &input.settings;
    let elapsed = i128::from(input.now)
        .checked_sub(bucket.last_refill.0)
        .ok_or(Overflow)?;
    if settings.corrects(Correction::IdleBatches) && bucket.is_just_refilled() {
        return Ok(Vec::new());
    }
    let starts_anew = write_tokens == WriteTokens::StartAnew;
    let is_full = settings.corrects(Correction::FullRefill) || starts_anew;
    let mut is_needed = false;
    let mut additions = Vec::new();
    for limit in &bucket.limits {
        if starts_anew && bucket.key.is_write_limit(limit.name) {
            let missing = limit.capacity.0.checked_sub(limit.tokens.0);
            is_needed = true;
            additions.push((limit.name, MilliTokens(missing.ok_or(Overflow)?)));
        } else if let Some(Gain { added, projected }) = bucket
            .fill(limit, shards, settings)
            .gain(limit.tokens, elapsed)?
        {
            let needs = would_run_out(limit, projected);
            is_needed |= needs;
            if needs || is_full {
                additions.push((limit.name, added));
            }
        }
    }
    if additions.iter().any(|(_, added)| added.0 >= INTEGER_BOUND) {
        return Err(Overflow);
    }
    Ok(if is_needed { additions } else { Vec::new() })
}

/// Whether that many tokens would not last for another batch like this one.
fn would_run_out(limit: &LimitChange<'_>, projected: MilliTokens) -> bool {
    projected < limit.consumed.max(MilliTokens(0))
}

fn write_of(
    bucket: &Bucket<'_>,
    additions: &[(&str, MilliTokens)],
    input: &Input<'_>,
    draft: &mut Draft,
) -> Write {
    let key = bucket.stored_key();
    let now = write::set(LAST_REFILL, write::number(input.now));
    let added = additions
        .iter()
        .map(|(limit, added)| write::add(LimitField::Tokens.of(limit), added.0));
    let assignments = core::iter::once(now).chain(added).collect();
    let seen = Test::Equals(write::number(bucket.last_refill.0));
    let message = "Refill skipped - concurrent rf update";
    Write {
        purpose: Purpose::Refill,
        operation: write::update(key, assignments, [write::when(LAST_REFILL, seen)].into()),
        records: bucket.records.clone(),
        updates: 1,
        windows: Vec::new(),
        on_conflict: OnConflict::Skip,
        when_applied: draft
            .line(Level::Debug, Scope::Processor, "Bucket refilled")
            .bucket(&bucket.key)
            .texts("limits_refilled", additions.iter().map(|(limit, _)| *limit))
            .entries(),
        when_conflicted: draft
            .line(Level::Debug, Scope::Processor, message)
            .bucket(&bucket.key)
            .entries(),
        position: draft.position(),
    }
}
