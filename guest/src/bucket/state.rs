//! A bucket as the batch leaves it.

use super::{
    arithmetic::Fill,
    change::{BucketChange, LimitChange},
};
use crate::{
    contract::Key,
    decimal::{EpochMs, MilliTokens},
    event::EventName,
    schema::{
        bucket::WRITE_LIMIT,
        key::{BucketKey, Form},
    },
    settings::{Correction, RefillCeiling, Settings},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// The last image of each limit, and what was consumed in the batch.
pub struct Bucket<'a> {
    /// Which bucket.
    pub key: BucketKey<'a>,
    /// `rf` of the last record.
    pub last_refill: EpochMs,
    /// `rf` before the batch, where it moved in the batch without giving write tokens.
    pub moved_from: Option<EpochMs>,
    /// `shard_count` of the last record.
    pub shard_count: i128,
    /// Whether the shard count rose in the batch.
    pub has_risen: bool,
    /// Whether its rules are known; if not, only its usage is summed.
    pub is_known: bool,
    /// The records about it.
    pub records: Vec<u32>,
    /// Its limits as last seen, in the order in which they were first seen; what was consumed is summed.
    pub limits: Vec<LimitChange<'a>>,
    /// Its primary key as the records have it.
    stored_at: (&'a str, &'a str),
    /// Whether the last record moved `rf` and consumed nothing: a refill.
    ends_in_refill: bool,
}

/// What becomes of the tokens that writes to a bucket take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteTokens {
    /// They are refilled like any other limit's.
    Accrue,
    /// They start anew, all of them.
    StartAnew,
}

/// The buckets that were changed in a batch, in the order in which they were first seen.
pub fn buckets<'a>(changes: &[BucketChange<'a>]) -> Vec<Bucket<'a>> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut buckets: Vec<Bucket<'_>> = Vec::new();
    let mut seen = BTreeSet::new();
    for change in changes
        .iter()
        .filter(|change| change.event == EventName::Modify && !change.limits.is_empty())
    {
        // A record that comes twice in a batch was consumed once.
        if change
            .watermark
            .as_ref()
            .is_some_and(|watermark| !seen.insert((change.stored_at, watermark)))
        {
            continue;
        }
        let at = *places.entry(change.stored_at).or_insert_with(|| {
            buckets.push(Bucket::new(change));
            buckets.len().saturating_sub(1)
        });
        if let Some(bucket) = buckets.get_mut(at) {
            bucket.add(change);
        }
    }
    buckets
}

impl<'a> Bucket<'a> {
    fn new(change: &BucketChange<'a>) -> Self {
        Self {
            key: change.key,
            last_refill: EpochMs::default(),
            moved_from: None,
            shard_count: 1,
            has_risen: false,
            is_known: true,
            records: Vec::new(),
            limits: Vec::new(),
            stored_at: change.stored_at,
            ends_in_refill: false,
        }
    }

    fn add(&mut self, change: &BucketChange<'a>) {
        self.last_refill = change.last_refill.unwrap_or_default();
        self.moved_from = self.moved_by(change);
        let consumes = change.limits.iter().any(|limit| limit.consumed.0 != 0);
        self.ends_in_refill = !consumes
            && change
                .old_last_refill
                .is_some_and(|old| old != self.last_refill);
        self.shard_count = change.shard_count;
        self.has_risen |= change.rise().is_some();
        self.is_known &= !change.is_newer;
        self.records.push(change.record);
        for limit in &change.limits {
            match self
                .limits
                .iter_mut()
                .find(|known| known.name == limit.name)
            {
                Some(known) => {
                    let consumed = MilliTokens(known.consumed.0.saturating_add(limit.consumed.0));
                    *known = LimitChange { consumed, ..*limit };
                }
                None => self.limits.push(*limit),
            }
        }
    }

    /// `rf` before the batch, where it has moved up to and with this change without giving write tokens; none where
    /// it has not moved, or gave some.
    fn moved_by(&self, change: &BucketChange<'_>) -> Option<EpochMs> {
        let writes = change
            .limits
            .iter()
            .find(|limit| limit.name == WRITE_LIMIT)?;
        let has_moved = change
            .old_last_refill
            .is_some_and(|old| old != self.last_refill);
        let has_gained = writes
            .old_tokens
            .is_none_or(|old| writes.tokens.0 > old.0.saturating_sub(writes.consumed.0));
        match (has_moved, has_gained) {
            (true, true) => None,
            (true, false) => self.moved_from.or(change.old_last_refill),
            (false, _) => self.moved_from,
        }
    }

    /// Whether the batch shows nothing but a refill. Refilling because of it would never end: each refill makes such
    /// a record.
    pub fn is_just_refilled(&self) -> bool {
        self.ends_in_refill && self.limits.iter().all(|limit| limit.consumed.0 == 0)
    }

    /// The bucket's primary key.
    pub fn stored_key(&self) -> Key {
        Key {
            pk: self.stored_at.0.into(),
            sk: self.stored_at.1.into(),
        }
    }

    /// By what a limit's capacity and rate are divided. None where the shard count is not a count.
    pub fn divisor(&self) -> Option<i128> {
        match self.key.form {
            Form::Sharded { .. } => Some(self.shard_count).filter(|count| *count >= 1),
            Form::Unprefixed | Form::Entity => Some(1),
        }
    }

    /// How a limit of the bucket is filled, divided over `shards`.
    pub fn fill(&self, limit: &LimitChange<'_>, shards: i128, settings: &Settings) -> Fill {
        let burst = match self.key.form {
            Form::Unprefixed => limit.burst,
            Form::Entity | Form::Sharded { .. } => limit
                .burst
                .filter(|_| settings.ceiling == RefillCeiling::Burst),
        };
        let is_whole =
            self.key.is_write_limit(limit.name) && settings.corrects(Correction::FullRefill);
        let shards = if is_whole { 1 } else { shards };
        Fill {
            ceiling: burst.unwrap_or(limit.capacity).0.div_euclid(shards),
            rate: limit.refill_amount.0.div_euclid(shards),
            period: limit.refill_period,
        }
    }
}
