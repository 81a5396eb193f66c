//! What a refill gives to the limits of a bucket, and takes from them.
//!
//! The first of these that applies decides of a limit: a window that its tokens do not reflect yet, a reset that is
//! due, that it is restored in no other way, what it has gained with time (rules: "Refill").

use crate::{
    bucket::{
        arithmetic::{Gain, Overflow},
        change::LimitChange,
        rulebook::Credit,
        state::{Bucket, Measure, WriteTokens},
        terms::Window,
    },
    decimal::{EpochMs, INTEGER_BOUND, MilliTokens},
    settings::Settings,
};
use alloc::vec::Vec;

/// How far ahead of the batch a window may begin, in milliseconds: clocks differ.
const MAX_AHEAD: i128 = 60_000;

/// What becomes of a bucket.
pub enum Decision<'b, 'a> {
    /// No limit needs anything.
    Nothing,
    /// All of it is left to a client, because of this limit's window.
    LeftAlone(&'b LimitChange<'a>, Reason),
    /// It is refilled.
    Refill(Refill<'b, 'a>),
}

/// Why a window keeps a bucket from being refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has ended and the tokens never reflected it: moving `rf` would hide that from clients.
    Ended,
    /// It begins later than any clock can say, and `rf` would be moved there.
    Ahead,
}

/// A refill, as far as it is decided by tokens.
#[derive(Default)]
pub struct Refill<'b, 'a> {
    /// What is added, negative to take away: first what made it necessary, then what it takes along.
    pub changes: Vec<Added<'b, 'a>>,
    /// Limits that are restored, whether or not that changes their tokens.
    pub granted: Vec<&'b LimitChange<'a>>,
    /// Limits that only a reset or a window restores, with the most tokens that each can have.
    pub unclamped: Vec<(&'b LimitChange<'a>, MilliTokens)>,
}

/// What a limit is given.
pub struct Added<'b, 'a> {
    /// The limit.
    pub limit: &'b LimitChange<'a>,
    /// How much.
    pub tokens: MilliTokens,
    /// The start of the window because of which it is restored.
    pub rolled: Option<EpochMs>,
}

/// What a rule makes of a limit.
enum Step {
    /// It keeps what it has.
    Keep,
    /// It is restored, for a window or at a reset.
    Grant(MilliTokens, Option<EpochMs>),
    /// Only a reset or a window restores it.
    Unclamped,
    /// It has more than it can have.
    Trim(MilliTokens),
    /// It has gained.
    Gain(Gain),
}

/// Decides of a bucket with that many shards.
///
/// # Errors
/// A number that no item can hold.
pub fn decide<'b, 'a>(
    bucket: &'b Bucket<'a>,
    shards: i128,
    write_tokens: WriteTokens,
    now: EpochMs,
    settings: &Settings,
) -> Result<Decision<'b, 'a>, Overflow> {
    if let Some((limit, reason)) = obstacle(bucket, now) {
        return Ok(Decision::LeftAlone(limit, reason));
    }
    // A refill makes such a record itself: refilling because of it would never end.
    let rests = bucket.rules.is_idle_tended && bucket.is_just_refilled();
    let starts_anew = write_tokens == WriteTokens::StartAnew && !rests;
    let credit = if starts_anew {
        Credit::All
    } else {
        bucket.rules.credit
    };
    let mut refill = Refill::default();
    let mut credits = Vec::new();
    for limit in &bucket.limits {
        let is_write_limit = bucket.key.is_write_limit(limit.name);
        let added = |tokens| Added {
            limit,
            tokens,
            rolled: None,
        };
        if starts_anew && is_write_limit {
            let missing = limit.capacity.0.checked_sub(limit.tokens.0);
            let missing = MilliTokens(missing.ok_or(Overflow)?);
            refill.changes.push(added(missing));
            continue;
        }
        let measure = bucket.measure(limit, shards, now, settings);
        match step(bucket, limit, measure, now)? {
            Step::Keep => {}
            Step::Grant(tokens, rolled) => {
                refill.granted.push(limit);
                if tokens.0 != 0 {
                    refill.changes.push(Added {
                        rolled,
                        ..added(tokens)
                    });
                }
            }
            Step::Unclamped => {
                let ceiling = MilliTokens(measure.fill.ceiling);
                refill.unclamped.push((limit, ceiling));
            }
            Step::Trim(tokens) => refill.changes.push(added(tokens)),
            Step::Gain(gain) if !rests && would_run_out(limit, gain.projected) => {
                refill.changes.push(added(gain.added));
            }
            Step::Gain(gain) if credit.includes(is_write_limit) => credits.push(added(gain.added)),
            Step::Gain(_) => {}
        }
    }
    if refill.changes.is_empty() {
        return Ok(Decision::Nothing);
    }
    refill.changes.extend(credits);
    let is_too_large = |added: &Added<'_, '_>| added.tokens.0.abs() >= INTEGER_BOUND;
    if refill.changes.iter().any(is_too_large) {
        return Err(Overflow);
    }
    Ok(Decision::Refill(refill))
}

/// What keeps a bucket from being refilled at all, if anything.
fn obstacle<'b, 'a>(bucket: &'b Bucket<'a>, now: EpochMs) -> Option<(&'b LimitChange<'a>, Reason)> {
    let is_missed = |window: &Window| {
        window.unapplied(bucket.last_refill).is_some() && window.end().is_some_and(|end| end <= now)
    };
    let latest = now.0.saturating_add(MAX_AHEAD).max(bucket.last_refill.0);
    let is_ahead = |window: &Window| window.start.is_some_and(|start| start.0 > latest);
    let limit_of = |is_so: &dyn Fn(&Window) -> bool| {
        let mut windows = bucket.windows();
        windows
            .find(|(_, window)| is_so(window))
            .map(|(limit, _)| limit)
    };
    let missed = limit_of(&is_missed).map(|limit| (limit, Reason::Ended));
    missed.or_else(|| limit_of(&is_ahead).map(|limit| (limit, Reason::Ahead)))
}

/// Which rule holds for a limit, and what it makes of it.
fn step(
    bucket: &Bucket<'_>,
    limit: &LimitChange<'_>,
    measure: Measure,
    now: EpochMs,
) -> Result<Step, Overflow> {
    let terms = bucket.terms_of(limit);
    let rolled = terms
        .and_then(|terms| terms.window_in_force())
        .and_then(|window| Some((window, window.unapplied(bucket.last_refill)?)));
    if let Some((window, start)) = rolled {
        let taken = match window.mark {
            Some(mark) => limit.total.0.checked_sub(mark.0).ok_or(Overflow)?.max(0),
            None => 0,
        };
        let target = measure.share.0.checked_sub(taken).ok_or(Overflow)?;
        return Ok(Step::Grant(missing(target, limit)?, Some(start)));
    }
    let reset = terms.and_then(|terms| terms.times.last_reset(now));
    if reset.is_some_and(|reset| reset > bucket.last_refill) {
        return Ok(Step::Grant(missing(measure.share.0, limit)?, None));
    }
    if limit.refill_period <= 0 || limit.refill_amount.0 <= 0 {
        return Ok(Step::Unclamped);
    }
    let elapsed = now.0.checked_sub(bucket.last_refill.0).ok_or(Overflow)?;
    if let Some(gain) = measure.fill.gain(limit.tokens, elapsed)? {
        return Ok(Step::Gain(gain));
    }
    let is_over = limit.tokens.0 > measure.fill.ceiling;
    Ok(if bucket.rules.trims && is_over {
        Step::Trim(missing(measure.fill.ceiling, limit)?)
    } else {
        Step::Keep
    })
}

/// What a limit needs to have `target` tokens.
fn missing(target: i128, limit: &LimitChange<'_>) -> Result<MilliTokens, Overflow> {
    let missing = target.checked_sub(limit.tokens.0).ok_or(Overflow)?;
    Ok(MilliTokens(missing))
}

/// Whether that many tokens would not last for another batch like this one.
fn would_run_out(limit: &LimitChange<'_>, projected: MilliTokens) -> bool {
    projected < limit.consumed.max(MilliTokens(0))
}
