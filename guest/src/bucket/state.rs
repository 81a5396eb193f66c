//! A bucket as the batch leaves it.

use super::{
    arithmetic::Fill,
    change::{BucketChange, LimitChange},
    rulebook::Rulebook,
    terms::{BucketTerms, LimitTerms, Window},
};
use crate::{
    contract::Key,
    decimal::{EpochMs, MilliTokens},
    event::EventName,
    schedule::Parameters,
    schema::{
        bucket::{Schema, WRITE_LIMIT},
        key::{BucketKey, Form},
    },
    settings::{RefillCeiling, Settings},
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
    /// The rules it is looked after by.
    pub rules: Rulebook,
    /// What generation D says of it; that of the last record.
    pub terms: BucketTerms<'a>,
    /// The records about it.
    pub records: Vec<u32>,
    /// Its limits as last seen, in the order in which they were first seen; what was consumed is summed.
    pub limits: Vec<LimitChange<'a>>,
    /// Its primary key as the records have it.
    stored_at: (&'a str, &'a str),
    /// Whether the last record moved `rf` and consumed nothing: a refill.
    ends_in_refill: bool,
    /// The latest schema generation that a record's attributes tell.
    schema: Schema,
}

/// Whether it can be said what a bucket may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge<'b> {
    /// It can.
    Full,
    /// One of its schedules cannot be read, and why.
    Undecodable(&'b str),
    /// It follows rules of a schema generation that is not known.
    Later,
}

/// What a limit is filled by at a certain time, divided over the shards of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What it has after a reset.
    pub share: MilliTokens,
    /// How it is filled between resets.
    pub fill: Fill,
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
pub fn buckets<'a>(changes: &[BucketChange<'a>], settings: &Settings) -> Vec<Bucket<'a>> {
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
            buckets.push(Bucket::new(change, settings));
            buckets.len().saturating_sub(1)
        });
        if let Some(bucket) = buckets.get_mut(at) {
            bucket.add(change, settings);
        }
    }
    buckets
}

impl<'a> Bucket<'a> {
    fn new(change: &BucketChange<'a>, settings: &Settings) -> Self {
        Self {
            key: change.key,
            last_refill: EpochMs::default(),
            moved_from: None,
            shard_count: 1,
            has_risen: false,
            rules: Rulebook::of(change.key.form, change.schema, settings),
            terms: BucketTerms::default(),
            records: Vec::new(),
            limits: Vec::new(),
            stored_at: change.stored_at,
            ends_in_refill: false,
            schema: change.schema,
        }
    }

    fn add(&mut self, change: &BucketChange<'a>, settings: &Settings) {
        self.last_refill = change.last_refill.unwrap_or_default();
        self.moved_from = self.moved_by(change);
        let consumes = change.limits.iter().any(|limit| limit.consumed.0 != 0);
        self.ends_in_refill = !consumes
            && change
                .old_last_refill
                .is_some_and(|old| old != self.last_refill);
        self.shard_count = change.shard_count;
        self.has_risen |= change.rise().is_some();
        if change.schema > self.schema {
            self.schema = change.schema;
            self.rules = Rulebook::of(self.key.form, self.schema, settings);
        }
        self.terms = change.terms.clone();
        self.records.push(change.record);
        for limit in &change.limits {
            match self
                .limits
                .iter_mut()
                .find(|known| known.name == limit.name)
            {
                Some(known) => {
                    let consumed = MilliTokens(known.consumed.0.saturating_add(limit.consumed.0));
                    *known = LimitChange {
                        consumed,
                        ..limit.clone()
                    };
                }
                None => self.limits.push(limit.clone()),
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

    /// Whether it can be said what the bucket may have.
    pub fn knowledge(&self) -> Knowledge<'_> {
        match (self.schema, &self.terms.undecodable) {
            (Schema::Later, _) => Knowledge::Later,
            (_, Some(problem)) => Knowledge::Undecodable(problem),
            (_, None) => Knowledge::Full,
        }
    }

    /// What generation D says of a limit; nothing of the one that counts writes.
    pub fn terms_of<'l>(&self, limit: &'l LimitChange<'_>) -> Option<&'l LimitTerms> {
        let terms = limit.terms.as_deref()?;
        (!self.key.is_write_limit(limit.name)).then_some(terms)
    }

    /// The windows in force, each with its limit.
    pub fn windows(&self) -> impl Iterator<Item = (&LimitChange<'a>, &Window)> {
        let window = |limit| Some((limit, self.terms_of(limit)?.window_in_force()?));
        self.limits.iter().filter_map(window)
    }

    /// What a limit of the bucket is filled by at `now`, divided over `shards`.
    pub fn measure(
        &self,
        limit: &LimitChange<'_>,
        shards: i128,
        now: EpochMs,
        settings: &Settings,
    ) -> Measure {
        let burst = match self.key.form {
            Form::Unprefixed => limit.burst,
            Form::Entity | Form::Sharded { .. } => limit
                .burst
                .filter(|_| settings.ceiling == RefillCeiling::Burst),
        };
        let base = Parameters {
            capacity: burst.unwrap_or(limit.capacity),
            amount: limit.refill_amount,
            period: limit.refill_period,
        };
        let terms = self.terms_of(limit);
        let schedule = terms.and_then(|terms| terms.times.schedule.as_ref());
        let Parameters {
            capacity,
            amount,
            period,
        } = schedule.map_or(base, |schedule| schedule.at(base, now));
        let is_whole = self.rules.has_whole_writes && self.key.is_write_limit(limit.name);
        let shards = if is_whole { 1 } else { shards };
        let granted = terms.filter(|terms| terms.is_granted());
        let sized_for = granted
            .and_then(|terms| terms.grant_count)
            .filter(|count| *count >= 1);
        let top_up = granted.and_then(|terms| terms.top_up).unwrap_or_default();
        let ceiling = capacity.0.div_euclid(sized_for.unwrap_or(shards));
        Measure {
            share: MilliTokens(capacity.0.div_euclid(shards)),
            fill: Fill {
                ceiling: ceiling.saturating_add(top_up.0),
                rate: amount.0.div_euclid(shards),
                period,
            },
        }
    }
}
