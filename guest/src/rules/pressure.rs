//! Whether a bucket is written to too often, and the doubling of its shards that follows.
//!
//! A bucket that is written to more often than one item can take is split: its shard 0 gets a doubled
//! `shard_count`, and the record of that change makes a later batch create the new shards. How hard an item is
//! written to shows in the limit `wcu`, from which every write takes a token (rules: "Sharding").

use crate::{
    bucket::{
        arithmetic::{Fill, Gain, Overflow, is_below},
        change::LimitChange,
        state::{Bucket, WriteTokens},
    },
    contract::{Level, OnConflict, Purpose, Scope, Test, Write},
    decimal::MilliTokens,
    draft::Draft,
    input::Input,
    schema::{
        bucket::{SHARD_COUNT, WRITE_LIMIT},
        key::Form,
    },
    settings::{Correction, Settings},
    write,
};
use alloc::{format, string::String, vec::Vec};

/// A shard count above this is worth a warning.
const MANY_SHARDS: i128 = 32;

/// A token, in the unit of capacities.
const TOKEN: i128 = 1000;

/// What is decided of a bucket by the writes to it.
pub struct Pressure {
    /// What becomes of its write tokens.
    pub write_tokens: WriteTokens,
    verdict: Verdict,
}

/// Whether a bucket is split.
enum Verdict {
    /// It stays as it is.
    Stay,
    /// It is under pressure, but no further split is allowed: its shard count, and why.
    Stop { count: i128, reason: String },
    /// It is split.
    Double {
        from: i128,
        to: i128,
        /// Write tokens left of their capacity, as JSON text.
        ratio: String,
    },
}

/// Decides of each bucket, once: everything that depends on it is handed the decision.
pub fn judge(buckets: &[Bucket<'_>], input: &Input<'_>) -> Vec<Pressure> {
    let judge = |bucket| {
        let verdict = verdict(bucket, input).unwrap_or(Verdict::Stay);
        Pressure {
            write_tokens: write_tokens(bucket, &verdict, input),
            verdict,
        }
    };
    buckets.iter().map(judge).collect()
}

/// The verdict of a bucket under pressure; none of one that is not.
fn verdict(bucket: &Bucket<'_>, input: &Input<'_>) -> Option<Verdict> {
    let is_corrected = input.settings.corrects(Correction::ShardPressure);
    // Its clients have not spread over the new shards yet.
    let is_settling = is_corrected && bucket.has_risen;
    if !bucket.is_known || bucket.key.form != (Form::Sharded { shard: 0 }) || is_settling {
        return None;
    }
    let writes = write_limit(bucket)?;
    let from = bucket.divisor()?;
    let to = from.checked_mul(2)?;
    let tokens = if is_corrected {
        projected(bucket, writes, input)
    } else {
        writes.tokens
    };
    if !is_below(tokens, 5, writes.capacity) {
        return None;
    }
    let reason = if is_corrected {
        reason_to_stop(bucket, to, &input.settings)
    } else {
        None
    };
    Some(match reason {
        Some(reason) => Verdict::Stop {
            count: from,
            reason,
        },
        None => Verdict::Double {
            from,
            to,
            ratio: ratio(tokens, writes.capacity),
        },
    })
}

/// The limit that counts writes to the bucket, if it has a capacity.
fn write_limit<'b, 'a>(bucket: &'b Bucket<'a>) -> Option<&'b LimitChange<'a>> {
    bucket
        .limits
        .iter()
        .find(|limit| bucket.key.is_write_limit(limit.name) && limit.capacity.0 > 0)
}

/// Whether the count of writes starts anew, full (correction `shard-pressure`). It does where the shard count
/// rises, so that the next batches show what is written since; and where it runs low although time has made
/// up for all that was written, because nobody else gives write tokens.
fn write_tokens(bucket: &Bucket<'_>, verdict: &Verdict, input: &Input<'_>) -> WriteTokens {
    let has_time_passed = i128::from(input.now) > bucket.last_refill.0;
    let writes = write_limit(bucket)
        .filter(|_| has_time_passed && input.settings.corrects(Correction::ShardPressure));
    let Some(writes) = writes else {
        return WriteTokens::Accrue;
    };
    let rises = bucket.has_risen || matches!(verdict, Verdict::Double { .. });
    let is_low = is_below(writes.tokens, 2, writes.capacity);
    if (rises && writes.tokens < writes.capacity)
        || (is_low && projected(bucket, writes, input) >= writes.capacity)
    {
        WriteTokens::StartAnew
    } else {
        WriteTokens::Accrue
    }
}

/// Write tokens at the time of the batch, with those that have accrued since the last refill.
///
/// A client that moves `rf` does not give write tokens for the time before. Where that happened within the
/// batch, the stored tokens say nothing, and the batch is judged by itself, as if it had begun with all of them.
fn projected(bucket: &Bucket<'_>, writes: &LimitChange<'_>, input: &Input<'_>) -> MilliTokens {
    let fill = Fill {
        ceiling: writes.capacity.0,
        rate: writes.refill_amount.0,
        period: writes.refill_period,
    };
    let (tokens, since) = match bucket.moved_from {
        Some(rf) => (
            MilliTokens(writes.capacity.0.saturating_sub(writes.consumed.0.max(0))),
            rf,
        ),
        None => (writes.tokens, bucket.last_refill),
    };
    let elapsed = i128::from(input.now).saturating_sub(since.0);
    match fill.gain(tokens, elapsed) {
        Ok(Some(Gain { projected, .. })) => projected,
        Ok(None) => tokens,
        // After ages of accrual it is full.
        Err(Overflow) => writes.capacity,
    }
}

/// Why a bucket under pressure is not split further, if there is a reason.
fn reason_to_stop(bucket: &Bucket<'_>, doubled: i128, settings: &Settings) -> Option<String> {
    if doubled > i128::from(settings.max_shard_count) {
        return Some(format!(
            "maximum of {} shards reached",
            settings.max_shard_count
        ));
    }
    let is_too_small = |limit: &&LimitChange<'_>| {
        limit.capacity.0 > 0 && limit.capacity.0.div_euclid(doubled) < TOKEN
    };
    let limit = bucket
        .limits
        .iter()
        .filter(|limit| limit.name != WRITE_LIMIT)
        .find(is_too_small)?;
    Some(format!(
        "a share of limit {} would be less than one token",
        limit.name
    ))
}

/// A ratio in hundredths, as JSON text: `0.15`, `0.2`, `-1.0`.
fn ratio(tokens: MilliTokens, capacity: MilliTokens) -> String {
    let text = format!("{:.2}", tokens.0 as f64 / capacity.0 as f64);
    text.strip_suffix('0').map_or(text.clone(), Into::into)
}

/// Plans the doublings that were decided.
pub fn plan(buckets: &[Bucket<'_>], pressures: &[Pressure], draft: &mut Draft) {
    for (bucket, pressure) in buckets.iter().zip(pressures) {
        match &pressure.verdict {
            Verdict::Stay => {}
            Verdict::Stop { count, reason } => {
                let message = format!("Proactive shard doubling stopped - {reason}");
                draft
                    .line(Level::Warning, Scope::Processor, message)
                    .bucket(&bucket.key)
                    .number("shard_count", count)
                    .log();
            }
            Verdict::Double { from, to, ratio } => {
                let write = bump(bucket, (*from, *to), ratio, draft);
                draft.write(write);
            }
        }
    }
}

fn bump(bucket: &Bucket<'_>, (from, to): (i128, i128), ratio: &str, draft: &mut Draft) -> Write {
    let mut when_applied = draft
        .line(Level::Info, Scope::Processor, "Proactive shard doubling")
        .bucket(&bucket.key)
        .number("old_count", from)
        .number("new_count", to)
        .number("token_ratio", ratio)
        .entries();
    if to > MANY_SHARDS {
        let message = "High shard count after proactive doubling";
        let line = draft
            .line(Level::Warning, Scope::Processor, message)
            .bucket(&bucket.key)
            .number("shard_count", to)
            .number("threshold", MANY_SHARDS);
        when_applied.extend(line.entries());
    }
    let key = bucket.stored_key();
    let message = "Proactive shard skipped - concurrent bump";
    Write {
        purpose: Purpose::ShardBump,
        operation: write::update(
            key,
            [write::set(SHARD_COUNT, write::number(to))].into(),
            [write::when(SHARD_COUNT, Test::Equals(write::number(from)))].into(),
        ),
        records: bucket.records.clone(),
        updates: 1,
        windows: Vec::new(),
        on_conflict: OnConflict::Skip,
        when_applied,
        when_conflicted: draft
            .line(Level::Debug, Scope::Processor, message)
            .bucket(&bucket.key)
            .entries(),
        position: draft.position(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_printed_in_hundredths() {
        for (tokens, printed) in [
            (150_000, "0.15"),
            (155_000, "0.15"),
            (100_000, "0.1"),
            (0, "0.0"),
            (-1_000_000, "-1.0"),
            (199_999, "0.2"),
        ] {
            assert_eq!(
                ratio(MilliTokens(tokens), MilliTokens(1_000_000)),
                printed,
                "{tokens}"
            );
        }
    }
}
