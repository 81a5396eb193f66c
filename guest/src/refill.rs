//! Token-bucket arithmetic and the refill decision.
//!
//! A bucket gains tokens with time, but only whoever writes `rf` gives them out: the client on its slow path,
//! or this program before the client has to. All arithmetic is exact (rules: "Refill").

use crate::{
    Assignment, AttributeValue, Batch, Change as Assigned, Condition, Level, OnConflict, Operation,
    Purpose, Scope, Test, UpdateItem, Write,
    bucket::{Change, LimitChange},
    decimal::{EpochMs, LIMIT, MilliTokens},
    event::Action,
    key::{BucketKey, Form, WRITE_LIMIT},
    plan::{Draft, count, number},
    settings::{Correction, RefillCeiling, Settings},
    shard,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::ToString,
    vec::Vec,
};

/// A bucket as the batch leaves it: the last image of each limit, and what was consumed in the batch.
pub struct Bucket<'a> {
    /// Which bucket.
    pub key: BucketKey<'a>,
    /// Its primary key as the records have it.
    pub stored_at: (&'a str, &'a str),
    /// `rf` of the last record.
    pub last_refill: EpochMs,
    /// Whether the last record moved `rf` and consumed nothing: a refill.
    pub ends_in_refill: bool,
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
}

/// How a limit is filled: what its key form, shard count and the corrections make of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Never more tokens than this.
    pub ceiling: i128,
    /// Gained in a period.
    pub rate: i128,
    /// The period in milliseconds.
    pub period: i128,
}

/// The buckets that were changed in a batch, in the order in which they were first seen.
pub fn buckets<'a>(changes: &[Change<'a>], draft: &mut Draft) -> Vec<Bucket<'a>> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut buckets: Vec<Bucket<'_>> = Vec::new();
    let mut seen = BTreeSet::new();
    for change in changes
        .iter()
        .filter(|change| change.action == Action::Modify && !change.limits.is_empty())
    {
        // The same record twice in one batch was consumed once.
        if change
            .watermark
            .as_ref()
            .is_some_and(|watermark| !seen.insert((change.stored_at, watermark)))
        {
            continue;
        }
        let at = *places.entry(change.stored_at).or_insert_with(|| {
            buckets.push(Bucket {
                key: change.key,
                stored_at: change.stored_at,
                last_refill: EpochMs::default(),
                ends_in_refill: false,
                moved_from: None,
                shard_count: 1,
                has_risen: false,
                is_known: true,
                records: Vec::new(),
                limits: Vec::new(),
            });
            buckets.len().saturating_sub(1)
        });
        if let Some(bucket) = buckets.get_mut(at) {
            bucket.add(change);
        }
    }
    let unknown = || buckets.iter().filter(|bucket| !bucket.is_known);
    draft.plan.tally.degraded = count(unknown().count());
    for bucket in unknown() {
        draft.warn(
            Scope::Processor,
            "Bucket uses a newer schema - usage only",
            bucket.key.fields(),
        );
    }
    buckets
}

impl<'a> Bucket<'a> {
    fn add(&mut self, change: &Change<'a>) {
        self.last_refill = change.last_refill.unwrap_or_default();
        self.moved_from = shard::moved_from(self.moved_from, self.last_refill, change);
        let consumes = change.limits.iter().any(|limit| limit.consumed.0 != 0);
        self.ends_in_refill = !consumes
            && change
                .old_last_refill
                .is_some_and(|old| old != self.last_refill);
        self.shard_count = change.shard_count;
        self.has_risen |= change
            .old_shard_count
            .is_some_and(|old| old < change.shard_count);
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

    /// Whether the batch tells of nothing but a refill. Refilling for its sake would never end: each refill
    /// makes such a record.
    fn is_just_refilled(&self) -> bool {
        self.ends_in_refill && self.limits.iter().all(|limit| limit.consumed.0 == 0)
    }

    /// The bucket's primary key.
    pub fn stored_key(&self) -> crate::Key {
        crate::Key {
            pk: self.stored_at.0.into(),
            sk: self.stored_at.1.into(),
        }
    }

    /// By what a limit's capacity and rate are divided. None where the shard count is no count.
    pub fn divisor(&self) -> Option<i128> {
        match self.key.form {
            Form::Sharded { .. } => Some(self.shard_count).filter(|count| *count >= 1),
            Form::Unprefixed | Form::Entity => Some(1),
        }
    }
}

impl LimitChange<'_> {
    /// How this limit is filled in a bucket of that form, divided over `shards`.
    pub fn fill(&self, form: Form, shards: i128, settings: &Settings) -> Fill {
        let burst = match form {
            Form::Unprefixed => self.burst,
            Form::Entity | Form::Sharded { .. } => self
                .burst
                .filter(|_| settings.ceiling == RefillCeiling::Burst),
        };
        let is_whole = self.name == WRITE_LIMIT
            && matches!(form, Form::Sharded { .. })
            && settings.corrects(Correction::FullRefill);
        let shards = if is_whole { 1 } else { shards };
        Fill {
            ceiling: burst.unwrap_or(self.capacity).0.div_euclid(shards),
            rate: self.refill_amount.0.div_euclid(shards),
            period: self.refill_period,
        }
    }

    /// Tokens to add after `elapsed` milliseconds, and tokens there will be then. None where there is nothing
    /// to add: no time or no whole milli-token has passed, or the bucket is full.
    ///
    /// # Errors
    /// A product beyond 38 digits.
    pub fn gain(
        &self,
        fill: Fill,
        elapsed: i128,
    ) -> Result<Option<(MilliTokens, MilliTokens)>, Overflow> {
        if fill.period <= 0 || self.refill_amount.0 <= 0 || elapsed <= 0 {
            return Ok(None);
        }
        let gained = elapsed
            .checked_mul(fill.rate)
            .ok_or(Overflow)?
            .div_euclid(fill.period);
        if gained == 0 {
            return Ok(None);
        }
        let projected = self
            .tokens
            .0
            .checked_add(gained)
            .ok_or(Overflow)?
            .min(fill.ceiling);
        let delta = projected.checked_sub(self.tokens.0).ok_or(Overflow)?;
        Ok((delta > 0).then_some((MilliTokens(delta), MilliTokens(projected))))
    }

    /// Whether that many tokens would not last for another batch like this one.
    pub fn needs(&self, projected: MilliTokens) -> bool {
        projected < self.consumed.max(MilliTokens(0))
    }
}

/// A product that no DynamoDB number can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Plans the refills of all buckets.
pub fn plan(buckets: &[Bucket<'_>], batch: &Batch, settings: &Settings, draft: &mut Draft) {
    for bucket in buckets.iter().filter(|bucket| bucket.is_known) {
        let Some(shards) = bucket.divisor() else {
            let [entity, resource] = bucket.key.fields();
            draft.warn(
                Scope::Processor,
                "Invalid shard_count - refill skipped",
                [entity, resource, number("shard_count", bucket.shard_count)],
            );
            continue;
        };
        match decide(bucket, shards, batch, settings) {
            Ok(additions) if additions.is_empty() => {
                draft.log(Level::Debug, "Refill skipped - sufficient tokens", || {
                    bucket.key.fields()
                })
            }
            Ok(additions) => {
                let write = write(bucket, &additions, batch, draft);
                draft.plan.writes.push(write);
            }
            Err(Overflow) => draft.warn(
                Scope::Processor,
                "Refill skipped - number out of range",
                bucket.key.fields(),
            ),
        }
    }
}

/// What to add to which limit; nothing where no limit needs it.
fn decide<'a>(
    bucket: &Bucket<'a>,
    shards: i128,
    batch: &Batch,
    settings: &Settings,
) -> Result<Vec<(&'a str, MilliTokens)>, Overflow> {
    let elapsed = i128::from(batch.now)
        .checked_sub(bucket.last_refill.0)
        .ok_or(Overflow)?;
    if settings.corrects(Correction::IdleBatches) && bucket.is_just_refilled() {
        return Ok(Vec::new());
    }
    let starts_anew =
        |limit: &LimitChange<'_>| elapsed > 0 && shard::starts_anew(bucket, limit, batch, settings);
    let is_full =
        settings.corrects(Correction::FullRefill) || bucket.limits.iter().any(starts_anew);
    let mut is_needed = false;
    let mut additions = Vec::new();
    for limit in &bucket.limits {
        if starts_anew(limit) {
            is_needed = true;
            additions.push((
                limit.name,
                MilliTokens(
                    limit
                        .capacity
                        .0
                        .checked_sub(limit.tokens.0)
                        .ok_or(Overflow)?,
                ),
            ));
        } else if let Some((delta, projected)) =
            limit.gain(limit.fill(bucket.key.form, shards, settings), elapsed)?
        {
            let needs = limit.needs(projected);
            is_needed |= needs;
            if needs || is_full {
                additions.push((limit.name, delta));
            }
        }
    }
    if additions.iter().any(|(_, delta)| delta.0 >= LIMIT) {
        return Err(Overflow);
    }
    Ok(if is_needed { additions } else { Vec::new() })
}

fn write(
    bucket: &Bucket<'_>,
    additions: &[(&str, MilliTokens)],
    batch: &Batch,
    draft: &mut Draft,
) -> Write {
    let now = AttributeValue::Number(batch.now.to_string());
    let mut assignments: Vec<_> = [Assignment {
        attribute: "rf".into(),
        change: Assigned::Set(now),
    }]
    .into();
    assignments.extend(additions.iter().map(|(limit, delta)| Assignment {
        attribute: format!("b_{limit}_tk"),
        change: Assigned::Add(delta.0.to_string()),
    }));
    let expected = AttributeValue::Number(bucket.last_refill.0.to_string());
    let key = bucket.stored_key();
    let refilled = || additions.iter().map(|(limit, _)| (*limit).into()).collect();
    Write {
        purpose: Purpose::Refill,
        operation: Operation::UpdateItem(UpdateItem {
            key,
            assignments,
            conditions: [Condition {
                attribute: "rf".into(),
                test: Test::Equals(expected),
            }]
            .into(),
        }),
        records: bucket.records.clone(),
        updates: 1,
        windows: Vec::new(),
        on_conflict: OnConflict::Skip,
        when_applied: draft.entry(Level::Debug, "Bucket refilled", || {
            let [entity, resource] = bucket.key.fields();
            [
                entity,
                resource,
                crate::Field {
                    name: "limits_refilled".into(),
                    value: crate::FieldValue::Texts(refilled()),
                },
            ]
        }),
        when_conflicted: draft.entry(
            Level::Debug,
            "Refill skipped - concurrent rf update",
            || bucket.key.fields(),
        ),
        position: draft.position(),
    }
}
