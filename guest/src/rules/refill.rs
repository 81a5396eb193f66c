//! Which buckets are refilled, and by how much.
//!
//! A bucket gains tokens with time, but only a write that moves `rf` hands them out: the client's on its slow path, or
//! this program's, which saves the client that path. Resets and windows of quotas are done by the same write, because
//! clients tell what is due by `rf` (rules: "Refill").

mod decision;
mod update;
mod validity;

use crate::{
    bucket::{
        change::LimitChange,
        state::{Bucket, Knowledge, WriteTokens},
    },
    contract::{Level, OnConflict, Purpose, Scope, Write},
    decimal::EpochMs,
    draft::{Draft, Line},
    input::Input,
    schema::key::Form,
    write,
};
use alloc::vec::Vec;
use decision::{Decision, Reason, Refill};
use update::{Unfit, Update};

/// Plans the refills of all buckets. `write_tokens` says of each what becomes of its write tokens.
pub fn plan(
    buckets: &[Bucket<'_>],
    write_tokens: impl Iterator<Item = WriteTokens>,
    input: &Input<'_>,
    draft: &mut Draft,
) {
    let is_degraded = |bucket: &&Bucket<'_>| bucket.knowledge() != Knowledge::Full;
    draft.count_degraded(buckets.iter().filter(is_degraded).count());
    for bucket in buckets {
        degrade(bucket, draft);
    }
    for (bucket, write_tokens) in buckets.iter().zip(write_tokens) {
        if bucket.knowledge() == Knowledge::Full {
            refill(bucket, write_tokens, input, draft);
        }
    }
}

/// Says that of a bucket only usage is summed, where that is so.
fn degrade(bucket: &Bucket<'_>, draft: &mut Draft) {
    let line = match bucket.knowledge() {
        Knowledge::Full => return,
        Knowledge::Later => {
            let message = "Bucket uses a newer schema - usage only";
            warning(message, bucket, draft)
        }
        Knowledge::Undecodable(reason) => {
            let message = "Undecodable stored schedule - skipping refill for this bucket";
            let shard = match bucket.key.form {
                Form::Sharded { shard } => shard,
                Form::Unprefixed | Form::Entity => 0,
            };
            warning(message, bucket, draft)
                .number("shard_id", shard)
                .text("reason", reason)
        }
    };
    line.log();
}

fn refill(bucket: &Bucket<'_>, write_tokens: WriteTokens, input: &Input<'_>, draft: &mut Draft) {
    let Some(shards) = bucket.divisor() else {
        warning("Invalid shard_count - refill skipped", bucket, draft)
            .number("shard_count", bucket.shard_count)
            .log();
        return;
    };
    match decide(bucket, shards, write_tokens, input) {
        Ok(Outcome::Nothing) => {
            debug("Refill skipped - sufficient tokens", bucket, draft).log();
        }
        Ok(Outcome::LeftAlone(limit, reason)) => {
            let message = match reason {
                Reason::Ended => "Refill skipped - an unapplied duration window has already ended",
                Reason::Ahead => "Refill skipped - a duration window begins in the future",
            };
            debug(message, bucket, draft)
                .text("limit_name", limit.name)
                .log();
        }
        Ok(Outcome::Refill(refill, update)) => {
            let write = write_of(bucket, &refill, update, draft);
            draft.write(write);
        }
        Err(Unfit::Ahead) => {
            debug("Refill skipped - rf is ahead of the clock", bucket, draft).log();
        }
        Err(Unfit::OutOfRange) => {
            warning("Refill skipped - number out of range", bucket, draft).log();
        }
        Err(Unfit::TooLarge) => {
            warning(
                "Refill skipped - too many limits for one update",
                bucket,
                draft,
            )
            .log();
        }
    }
}

/// What becomes of a bucket, with the update that makes it so.
enum Outcome<'b, 'a> {
    Nothing,
    LeftAlone(&'b LimitChange<'a>, Reason),
    Refill(Refill<'b, 'a>, Update),
}

fn decide<'b, 'a>(
    bucket: &'b Bucket<'a>,
    shards: i128,
    write_tokens: WriteTokens,
    input: &Input<'_>,
) -> Result<Outcome<'b, 'a>, Unfit> {
    let now = EpochMs(input.now.into());
    let decision = decision::decide(bucket, shards, write_tokens, now, &input.settings)?;
    Ok(match decision {
        Decision::Nothing => Outcome::Nothing,
        Decision::LeftAlone(limit, reason) => Outcome::LeftAlone(limit, reason),
        Decision::Refill(refill) => {
            let update = Update::of(bucket, &refill, shards, now)?;
            Outcome::Refill(refill, update)
        }
    })
}

fn write_of(
    bucket: &Bucket<'_>,
    refill: &Refill<'_, '_>,
    update: Update,
    draft: &mut Draft,
) -> Write {
    let key = bucket.stored_key();
    let names = |is_rolled: bool| {
        let added = refill.changes.iter();
        added
            .filter(move |added| added.rolled.is_some() == is_rolled)
            .map(|added| added.limit.name)
    };
    let mut refilled =
        debug("Bucket refilled", bucket, draft).texts("limits_refilled", names(false));
    if bucket.rules.pins {
        refilled = refilled.texts("windows_rolled", names(true));
    }
    Write {
        purpose: Purpose::Refill,
        operation: write::update(key, update.assignments, update.conditions),
        records: bucket.records.clone(),
        updates: 1,
        windows: Vec::new(),
        on_conflict: OnConflict::Skip,
        when_applied: refilled.entries(),
        when_conflicted: debug("Refill skipped - concurrent rf update", bucket, draft).entries(),
        position: draft.position(),
    }
}

fn warning<'d>(message: &str, bucket: &Bucket<'_>, draft: &'d mut Draft) -> Line<'d> {
    let line = draft.line(Level::Warning, Scope::Processor, message);
    line.bucket(&bucket.key)
}

fn debug<'d>(message: &str, bucket: &Bucket<'_>, draft: &'d mut Draft) -> Line<'d> {
    let line = draft.line(Level::Debug, Scope::Processor, message);
    line.bucket(&bucket.key)
}
