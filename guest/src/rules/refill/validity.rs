//! Until when clients may go by what a bucket says of its limits.
//!
//! A client that finds `vu` passed takes its slow path. Once a refill has done what was due, it can tell how long that
//! holds, and saves the clients that path.

use super::decision::Refill;
use crate::{bucket::state::Bucket, decimal::EpochMs};

/// Most bytes of a schedule that a write is made to depend on.
const MAX_SCHEDULE_BYTES: usize = 2048;

/// The new `vu` of a bucket that is refilled at `now`. None where it stays: there is none, or it is not passed; a limit
/// has more than it can have, or a window waits for a client; nothing changes, ever.
pub fn renewed(bucket: &Bucket<'_>, refill: &Refill<'_, '_>, now: EpochMs) -> Option<EpochMs> {
    let terms = &bucket.terms;
    let is_passed = terms.valid_until.is_some_and(|until| until <= now);
    let is_over = refill
        .unclamped
        .iter()
        .any(|(limit, ceiling)| limit.tokens > *ceiling);
    let is_long = terms
        .schedule_text
        .is_some_and(|text| text.len() > MAX_SCHEDULE_BYTES);
    if !is_passed || is_over || is_long {
        return None;
    }
    let of_limits = bucket.limits.iter().filter_map(|limit| {
        let times = &limit.terms.as_ref()?.times;
        if times.is_shared_with(&terms.times) {
            return None;
        }
        times.boundary(now)
    });
    let of_windows = bucket
        .windows()
        .map(|(_, window)| window.end().unwrap_or(now));
    let boundary = terms.times.boundary(now);
    boundary
        .into_iter()
        .chain(of_limits)
        .chain(of_windows)
        .min()
        .filter(|boundary| *boundary > now)
}
