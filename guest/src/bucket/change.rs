//! One stream record → what changed in one bucket.

use crate::{
    decimal::{EpochMs, MilliTokens, NotAnInteger, integer},
    event::{EventName, Record, creation::Created},
    json::surrogate,
    schema::{
        audit,
        image::{Image, Limit},
        key::{BucketKey, ItemKind},
        watermark::Watermark,
    },
    settings::{Correction, Settings},
};
use alloc::{
    borrow::Cow,
    string::{String, ToString},
    vec::Vec,
};

/// A change of one bucket, all numbers parsed.
#[derive(Debug)]
pub struct BucketChange<'a> {
    /// The record's position in the event.
    pub record: u32,
    /// Its place in its stream, where it tells.
    pub watermark: Option<Watermark>,
    /// Whether the bucket was changed, or came into being.
    pub event: EventName,
    /// Which bucket.
    pub key: BucketKey<'a>,
    /// Its primary key as the record has it.
    pub stored_at: (&'a str, &'a str),
    /// When the record was written, as far as the stream tells.
    pub created: Created<'a>,
    /// When the bucket was last refilled (`rf`); none where it does not say.
    pub last_refill: Option<EpochMs>,
    /// When it was last refilled before the change.
    pub old_last_refill: Option<EpochMs>,
    /// Into how many shards the bucket is split; 1 where it does not say.
    pub shard_count: i128,
    /// The shard count before the change, if the record had one before and has one now.
    pub old_shard_count: Option<i128>,
    /// Its limits in the order of their counters.
    pub limits: Vec<LimitChange<'a>>,
    /// Limits left out because a counter is missing from an image.
    pub uncounted: Vec<&'a str>,
    /// The bucket follows rules of a newer schema generation.
    pub is_newer: bool,
    /// The bucket must not be copied to another shard.
    pub is_unclonable: bool,
}

/// A limit after the change, and how much of it was consumed.
#[derive(Clone, Copy, Debug)]
pub struct LimitChange<'a> {
    /// Its name.
    pub name: &'a str,
    /// Consumed in this change (`tc`, new less old); negative for a refund.
    pub consumed: MilliTokens,
    /// Consumed since the bucket exists (`tc`).
    pub total: MilliTokens,
    /// Consumed before the change, where the old image tells.
    pub old_total: Option<MilliTokens>,
    /// Tokens left (`tk`).
    pub tokens: MilliTokens,
    /// Tokens left before the change, where the old image tells.
    pub old_tokens: Option<MilliTokens>,
    /// Capacity (`cp`).
    pub capacity: MilliTokens,
    /// Burst (`bx`), where the bucket still has one.
    pub burst: Option<MilliTokens>,
    /// Tokens gained in a period (`ra`).
    pub refill_amount: MilliTokens,
    /// The period in milliseconds (`rp`).
    pub refill_period: i128,
}

impl<'a> BucketChange<'a> {
    /// Reads a record. None where it is not about a bucket, or tells nothing about its limits.
    ///
    /// # Errors
    /// Why the record cannot be understood.
    pub fn read(
        index: u32,
        record: &'a Record<'_>,
        now: u64,
        settings: &Settings,
    ) -> Result<Option<Self>, String> {
        if let Some(problem) = record.malformed {
            return Err(problem.into());
        }
        let (new, old) = (record.dynamodb.new.as_ref(), record.dynamodb.old.as_ref());
        let found = new.or(old).map(bucket_of).transpose()?;
        if found == Some(None) {
            return Ok(None);
        }
        // Whether something is usage cannot be told from a MODIFY record that does not show it.
        let is_modified = record.name == EventName::Modify;
        let (new, (key, stored_at)) = match (new, found.flatten()) {
            (Some(_), _) if is_modified && old.is_none() => {
                return Err("the record has no OldImage".into());
            }
            (Some(new), Some(found)) => (new, found),
            _ if is_modified => return Err("the record has no NewImage".into()),
            _ => return Ok(None),
        };
        let sequence = record.dynamodb.sequence.as_deref();
        let place = record.arn.as_deref().zip(sequence);
        let mut change = Self {
            record: index,
            watermark: place.and_then(|(arn, sequence)| Watermark::new(arn, sequence)),
            event: record.name,
            key,
            stored_at,
            created: record.dynamodb.created.read(now),
            last_refill: optional(new.last_refill.as_deref())?.map(EpochMs),
            old_last_refill: old
                .and_then(|old| integer(old.last_refill.as_deref()?).ok())
                .map(EpochMs),
            shard_count: optional(new.shard_count.as_deref())?.unwrap_or(1),
            old_shard_count: None,
            limits: Vec::new(),
            uncounted: Vec::new(),
            is_newer: new.is_newer,
            is_unclonable: new.is_newer || new.is_unclonable,
        };
        if new.shard_count.is_some() {
            change.old_shard_count = optional(old.and_then(|old| old.shard_count.as_deref()))?;
        }
        change.read_limits(new, old, settings)?;
        Ok(Some(change))
    }

    fn read_limits(
        &mut self,
        new: &'a Image<'_>,
        old: Option<&Image<'_>>,
        settings: &Settings,
    ) -> Result<(), String> {
        let starts_from_zero = settings.corrects(Correction::FirstConsumption)
            && (self.event == EventName::Insert || old.is_some_and(|old| old.pk.is_some()));
        for (name, limit) in counted(new) {
            let old = old.and_then(|old| old.limits.get(name));
            let before = old
                .and_then(|limit| limit.consumed.as_deref())
                .or(starts_from_zero.then_some("0"));
            match (limit.consumed.as_deref(), before) {
                (Some(after), Some(before)) => {
                    self.limits
                        .push(LimitChange::read(name, limit, old, (after, before))?)
                }
                _ => self.uncounted.push(name),
            }
        }
        Ok(())
    }

    /// Consumption that counts as usage: every limit's but the bucket's own write counter.
    pub fn deltas(&self) -> impl Iterator<Item = &LimitChange<'a>> {
        self.limits
            .iter()
            .filter(|limit| limit.consumed.0 != 0 && !self.key.is_write_limit(limit.name))
    }

    /// The shard counts from and to which the bucket was split by this change, if it was.
    pub fn rise(&self) -> Option<(i128, i128)> {
        let from = self.old_shard_count?;
        (from < self.shard_count).then_some((from, self.shard_count))
    }
}

/// A bucket's key, and its primary key as an image has it.
type Keys<'i> = (BucketKey<'i>, (&'i str, &'i str));

/// Which bucket an image is of, if any.
fn bucket_of<'i>(image: &'i Image<'_>) -> Result<Option<Keys<'i>>, String> {
    let text = |text: &'i Option<Cow<'_, str>>| text.as_deref().unwrap_or_default();
    let (pk, sk, entity) = (text(&image.pk), text(&image.sk), text(&image.entity_id));
    let raw = image
        .audit
        .get(audit::ENTITY)
        .filter(|_| image.entity_id.is_none());
    if raw.is_some_and(|raw| matches!(surrogate::replaced(raw.get()), Cow::Owned(_))) {
        return Err("`entity_id` has half a surrogate pair".into());
    }
    match ItemKind::parse(pk, sk, entity).map_err(|error| error.to_string())? {
        ItemKind::Bucket(key) => Ok(Some((key, (pk, sk)))),
        ItemKind::Audit { .. } | ItemKind::Other => Ok(None),
    }
}

/// The limits that have a counter, in the order of the counters.
fn counted<'i>(image: &'i Image<'_>) -> Vec<(&'i str, &'i Limit<'i>)> {
    let limits = image
        .limits
        .iter()
        .filter(|(_, limit)| limit.order.is_some());
    let mut limits: Vec<_> = limits
        .map(|(name, limit)| (Cow::as_ref(name), limit))
        .collect();
    limits.sort_by_key(|(_, limit)| limit.order);
    limits
}

impl<'a> LimitChange<'a> {
    /// A limit with its counter `after` and `before` the change.
    fn read(
        name: &'a str,
        limit: &Limit<'_>,
        old: Option<&Limit<'_>>,
        (after, before): (&str, &str),
    ) -> Result<Self, String> {
        let amount = |number: &Option<Cow<'_, str>>| {
            Ok::<_, String>(optional(number.as_deref())?.unwrap_or(0))
        };
        let (total, before) = (
            integer(after).map_err(text)?,
            integer(before).map_err(text)?,
        );
        let has_counter = old.is_some_and(|old| old.consumed.is_some());
        let consumed = total.checked_sub(before);
        Ok(Self {
            name,
            consumed: MilliTokens(
                consumed.ok_or("the consumption counter changed by more than 38 digits")?,
            ),
            total: MilliTokens(total),
            old_total: has_counter.then_some(MilliTokens(before)),
            tokens: amount(&limit.tokens).map(MilliTokens)?,
            old_tokens: old
                .and_then(|old| integer(old.tokens.as_deref()?).ok())
                .map(MilliTokens),
            capacity: amount(&limit.capacity).map(MilliTokens)?,
            burst: optional(limit.burst.as_deref())?.map(MilliTokens),
            refill_amount: amount(&limit.refill_amount).map(MilliTokens)?,
            refill_period: amount(&limit.refill_period)?,
        })
    }
}

fn optional(number: Option<&str>) -> Result<Option<i128>, String> {
    number.map(integer).transpose().map_err(text)
}

fn text(error: NotAnInteger<'_>) -> String {
    error.to_string()
}
