//! One stream record → what changed in one bucket.

use crate::{
    Corrections,
    decimal::{EpochMs, MilliTokens, NotAnInteger, integer},
    event::{Action, Field, Image, Limit, Record},
    key::{BucketKey, Key},
    watermark::Watermark,
};
use alloc::{
    borrow::Cow,
    string::{String, ToString},
    vec::Vec,
};

/// A change of one bucket, all numbers parsed.
#[derive(Debug)]
pub struct Change<'a> {
    /// The record's position in the event.
    pub record: u32,
    /// The record's SequenceNumber.
    pub sequence: Option<&'a str>,
    /// Its place in its stream, where it tells.
    pub watermark: Option<Watermark>,
    /// Whether the bucket was changed, or came into being.
    pub action: Action,
    /// Which bucket.
    pub key: BucketKey<'a>,
    /// Its primary key as the record has it.
    pub stored_at: (&'a str, &'a str),
    /// When the record was written, as far as the stream tells.
    pub created: Option<EpochMs>,
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
    /// Nor may it be copied to another shard.
    pub is_unclonable: bool,
}

/// A limit after the change, and how much of it was consumed.
#[derive(Clone, Copy, Debug)]
pub struct LimitChange<'a> {
    /// Its name.
    pub name: &'a str,
    /// Consumed in this change (`tc`, new less old); negative for a refund.
    pub consumed: MilliTokens,
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

impl<'a> Change<'a> {
    /// Reads a record. None where it is not about a bucket, or tells nothing about its limits.
    ///
    /// # Errors
    /// Why the record cannot be understood.
    pub fn parse(
        index: u32,
        record: &'a Record<'_>,
        corrections: Corrections,
    ) -> Result<Option<Self>, String> {
        if let Some(problem) = record.malformed {
            return Err(problem.into());
        }
        let (Some(new), old) = (&record.change.new, record.change.old.as_ref()) else {
            return Ok(None);
        };
        let (pk, sk) = (
            new.pk.as_deref().unwrap_or_default(),
            new.sk.as_deref().unwrap_or_default(),
        );
        let Key::Bucket(key) = Key::parse(pk, sk, new.entity_id.as_deref().unwrap_or_default())
            .map_err(|e| e.to_string())?
        else {
            return Ok(None);
        };
        let sequence = record.change.sequence.as_deref();
        let mut change = Self {
            record: index,
            sequence,
            watermark: record
                .arn
                .as_deref()
                .zip(sequence)
                .and_then(|(arn, sequence)| Watermark::new(arn, sequence)),
            action: record.action,
            key,
            stored_at: (pk, sk),
            created: record.change.created.map(|at| EpochMs(at.into())),
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
        let starts_from_zero = corrections.contains(Corrections::FIRST_CONSUMPTION)
            && (record.action == Action::Insert || old.is_some_and(|old| old.pk.is_some()));
        for (name, limit) in counted(new) {
            let old = old.and_then(|old| old.limits.get(name));
            let before = old
                .and_then(|limit| limit.field(Field::Consumed))
                .or(starts_from_zero.then_some("0"));
            match (limit.field(Field::Consumed), before) {
                (Some(after), Some(before)) => {
                    change
                        .limits
                        .push(LimitChange::parse(name, limit, old, (after, before))?)
                }
                _ => change.uncounted.push(name),
            }
        }
        Ok(Some(change))
    }

    /// Consumption that counts as usage: every limit's but the bucket's own write counter.
    pub fn deltas(&self) -> impl Iterator<Item = &LimitChange<'a>> {
        self.limits
            .iter()
            .filter(|limit| limit.consumed.0 != 0 && !self.key.is_write_limit(limit.name))
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
    fn parse(
        name: &'a str,
        limit: &Limit<'_>,
        old: Option<&Limit<'_>>,
        (after, before): (&str, &str),
    ) -> Result<Self, String> {
        let amount =
            |field| Ok::<_, String>(MilliTokens(optional(limit.field(field))?.unwrap_or(0)));
        let consumed = integer(after)
            .map_err(text)?
            .checked_sub(integer(before).map_err(text)?);
        Ok(Self {
            name,
            consumed: MilliTokens(
                consumed.ok_or("the consumption counter changed by more than 38 digits")?,
            ),
            tokens: amount(Field::Tokens)?,
            old_tokens: old
                .and_then(|old| integer(old.field(Field::Tokens)?).ok())
                .map(MilliTokens),
            capacity: amount(Field::Capacity)?,
            burst: optional(limit.field(Field::Burst))?.map(MilliTokens),
            refill_amount: amount(Field::RefillAmount)?,
            refill_period: optional(limit.field(Field::RefillPeriod))?.unwrap_or(0),
        })
    }
}

fn optional(number: Option<&str>) -> Result<Option<i128>, String> {
    number.map(integer).transpose().map_err(text)
}

fn text(error: NotAnInteger<'_>) -> String {
    error.to_string()
}
