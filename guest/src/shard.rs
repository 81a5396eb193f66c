//! Shard pressure, doubling and propagation.
//!
//! A bucket that is written to more often than one item bears is split: its shard 0 gets a doubled
//! `shard_count`, and the record of that change makes the next batch bring the count to the other shards and
//! create the new ones. How hard an item is written to shows in the limit `wcu`, which every write takes a
//! token from (rules: "Sharding").

use crate::{
    Assignment, Attribute, AttributeValue, Batch, Change as Assigned, Condition, Field, FieldValue,
    GroupEntry, Level, OnConflict, Operation, Purpose, PutItem, Scope, Test, UpdateItem, Write,
    bucket::{Change, LimitChange},
    decimal::{EpochMs, MilliTokens, integer},
    event::{self, Action},
    key::{BucketKey, Form, WRITE_LIMIT},
    plan::{Draft, Known, count, number},
    refill::{Bucket, Fill, Overflow},
    settings::{Correction, Settings},
};
use alloc::{
    borrow::Cow,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde_json::value::RawValue;

/// A shard count above this is worth a warning.
const HIGH: i128 = 32;

/// No bucket is brought to more shards than this, whatever its record says: it bounds a plan.
const MOST: i128 = 1024;

/// A token, in the unit of capacities.
const TOKEN: i128 = 1000;

// ----------------------------------------------------------------------------------------------- doubling

/// Plans doublings of buckets under pressure.
pub fn double(buckets: &[Bucket<'_>], batch: &Batch, settings: &Settings, draft: &mut Draft) {
    for bucket in buckets {
        match doubling(bucket, batch, settings) {
            Some(Doubling {
                count,
                stop: Some(reason),
                ..
            }) => {
                let [entity, resource] = bucket.key.fields();
                let message = format!("Proactive shard doubling stopped - {reason}");
                draft.warn(
                    Scope::Processor,
                    &message,
                    [entity, resource, number("shard_count", count)],
                );
            }
            Some(Doubling {
                count,
                doubled,
                ratio,
                stop: None,
            }) => {
                let write = bump(bucket, count, doubled, ratio, draft);
                draft.plan.writes.push(write);
            }
            None => {}
        }
    }
}

/// What pressure asks of a bucket.
struct Doubling {
    count: i128,
    doubled: i128,
    /// Write tokens left, of their capacity, as JSON text.
    ratio: String,
    /// Why it is not done, if it should not.
    stop: Option<String>,
}

/// Whether a bucket is under pressure, and what follows.
fn doubling(bucket: &Bucket<'_>, batch: &Batch, settings: &Settings) -> Option<Doubling> {
    let is_corrected = settings.corrects(Correction::ShardPressure);
    // Clients have not yet spread over the shards of a rise that is only now brought to them.
    let is_settling = is_corrected && bucket.has_risen;
    if !bucket.is_known || bucket.key.form != (Form::Sharded { shard: 0 }) || is_settling {
        return None;
    }
    let writes = bucket
        .limits
        .iter()
        .find(|limit| limit.name == WRITE_LIMIT && limit.capacity.0 > 0)?;
    let count = bucket.divisor()?;
    let doubled = count.checked_mul(2)?;
    let tokens = if is_corrected {
        projected(bucket, writes, batch)
    } else {
        writes.tokens
    };
    is_below_a_fifth(tokens, writes.capacity).then(|| Doubling {
        count,
        doubled,
        ratio: ratio(tokens, writes.capacity),
        stop: if is_corrected {
            reason_to_stop(bucket, doubled, settings)
        } else {
            None
        },
    })
}

/// Whether the count of writes is to start anew (correction `shard-pressure`), full: where the shard count
/// rises, so that the next batches show what is written since; and where it runs low although time has made
/// up for all that was written, because nobody else gives write tokens.
pub fn starts_anew(
    bucket: &Bucket<'_>,
    writes: &LimitChange<'_>,
    batch: &Batch,
    settings: &Settings,
) -> bool {
    if !bucket.key.is_write_limit(writes.name)
        || !settings.corrects(Correction::ShardPressure)
        || writes.capacity.0 <= 0
    {
        return false;
    }
    let rises = bucket.has_risen
        || doubling(bucket, batch, settings).is_some_and(|doubling| doubling.stop.is_none());
    let is_low = writes
        .tokens
        .0
        .checked_mul(2)
        .map_or(writes.tokens.0 < 0, |twice| twice < writes.capacity.0);
    (rises && writes.tokens < writes.capacity)
        || (is_low && projected(bucket, writes, batch) >= writes.capacity)
}

/// Write tokens at the time of the batch, with what has accrued since the last refill.
///
/// A client that moves `rf` does not give write tokens for the time before: where that happened within the
/// batch, the stored tokens say nothing, and the batch is judged by itself, as if it had begun with all of them.
fn projected(bucket: &Bucket<'_>, writes: &LimitChange<'_>, batch: &Batch) -> MilliTokens {
    let fill = Fill {
        ceiling: writes.capacity.0,
        rate: writes.refill_amount.0,
        period: writes.refill_period,
    };
    let (tokens, since) = match bucket.moved_from {
        Some(rf) => (
            writes.capacity.0.saturating_sub(writes.consumed.0.max(0)),
            rf,
        ),
        None => (writes.tokens.0, bucket.last_refill),
    };
    let start = LimitChange {
        tokens: MilliTokens(tokens),
        ..*writes
    };
    let elapsed = i128::from(batch.now).saturating_sub(since.0);
    match start.gain(fill, elapsed) {
        Ok(Some((_, projected))) => projected,
        Ok(None) => start.tokens,
        // Ages of accrual: full.
        Err(Overflow) => writes.capacity,
    }
}

/// Whether 5 × `tokens` < `capacity`, exactly.
fn is_below_a_fifth(tokens: MilliTokens, capacity: MilliTokens) -> bool {
    tokens
        .0
        .checked_mul(5)
        .map_or(tokens.0 < 0, |five| five < capacity.0)
}

/// Why a bucket under pressure is not split further, if it should not.
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

fn bump(
    bucket: &Bucket<'_>,
    count: i128,
    doubled: i128,
    ratio: String,
    draft: &mut Draft,
) -> Write {
    let fields =
        |more: Vec<Field>| -> Vec<Field> { bucket.key.fields().into_iter().chain(more).collect() };
    let mut when_applied = Vec::new();
    if draft.wants(Level::Info) {
        let fields = fields(
            [
                number("old_count", count),
                number("new_count", doubled),
                number("token_ratio", ratio),
            ]
            .into(),
        );
        when_applied.push(draft.line(
            Level::Info,
            Scope::Processor,
            "Proactive shard doubling".into(),
            fields,
            false,
        ));
    }
    if doubled > HIGH && draft.wants(Level::Warning) {
        let fields = fields([number("shard_count", doubled), number("threshold", HIGH)].into());
        when_applied.push(draft.line(
            Level::Warning,
            Scope::Processor,
            "High shard count after proactive doubling".into(),
            fields,
            false,
        ));
    }
    let key = bucket.stored_key();
    Write {
        purpose: Purpose::ShardBump,
        operation: Operation::UpdateItem(UpdateItem {
            key,
            assignments: [set_count(doubled)].into(),
            conditions: [Condition {
                attribute: "shard_count".into(),
                test: Test::Equals(decimal(count)),
            }]
            .into(),
        }),
        records: bucket.records.clone(),
        updates: 1,
        windows: Vec::new(),
        on_conflict: OnConflict::Skip,
        when_applied,
        when_conflicted: draft.entry(
            Level::Debug,
            "Proactive shard skipped - concurrent bump",
            || bucket.key.fields(),
        ),
        position: draft.position(),
    }
}

fn decimal(value: i128) -> AttributeValue {
    AttributeValue::Number(value.to_string())
}

fn set_count(count: i128) -> Assignment {
    Assignment {
        attribute: "shard_count".into(),
        change: Assigned::Set(decimal(count)),
    }
}

// -------------------------------------------------------------------------------------------- propagation

/// One rise of a bucket's shard count.
struct Rise {
    record: u32,
    from: i128,
    to: i128,
}

/// Plans what brings risen shard counts from shard 0 to the others. `event` is the batch's text.
pub fn propagate(
    changes: &[Change<'_>],
    event: &str,
    batch: &Batch,
    settings: &Settings,
    draft: &mut Draft,
) {
    let known = Known::new(batch);
    let mut buckets: Vec<(BucketKey<'_>, Vec<Rise>)> = Vec::new();
    for change in changes.iter().filter(|change| {
        change.action == Action::Modify && change.key.form == Form::Sharded { shard: 0 }
    }) {
        let (Some(from), to) = (change.old_shard_count, change.shard_count) else {
            continue;
        };
        if from < 1 || to <= from {
            continue;
        }
        // Of a bucket of a newer schema the refill has said so already.
        if change.is_newer {
            continue;
        }
        if change.is_unclonable {
            draft.warn(
                Scope::Processor,
                "Bucket uses a newer schema - shards not created",
                change.key.fields(),
            );
            continue;
        }
        if to > MOST {
            let [entity, resource] = change.key.fields();
            let fields = [entity, resource, number("shard_count", to)];
            draft.error(
                Scope::Processor,
                format!("Error propagating shard_count: more than {MOST} shards"),
                fields,
            );
            draft.reject_change(change, format!("shard_count {to} is more than {MOST}"));
            continue;
        }
        let rise = Rise {
            record: change.record,
            from,
            to,
        };
        match buckets.iter_mut().find(|(key, _)| *key == change.key) {
            Some((_, rises)) => rises.push(rise),
            None => buckets.push((change.key, [rise].into())),
        }
    }
    for (bucket, rises) in buckets {
        if let Err((record, problem)) = spread(bucket, &rises, (event, &known), settings, draft) {
            draft.error(
                Scope::Processor,
                format!("Error propagating shard_count: {problem}"),
                [number("record_index", record)],
            );
            let change = changes.iter().find(|change| change.record == record);
            change
                .into_iter()
                .for_each(|change| draft.reject_change(change, problem.clone()));
        }
    }
}

/// Plans the writes to a bucket's shards above 0, each by itself: those that should exist get the count, those
/// that should not are created. Where the table has it the other way round, the host shows the item and the
/// next round does the other.
fn spread(
    bucket: BucketKey<'_>,
    rises: &[Rise],
    (event, known): (&str, &Known<'_>),
    settings: &Settings,
    draft: &mut Draft,
) -> Result<(), (u32, String)> {
    let starts_from_zero = settings.corrects(Correction::FirstConsumption);
    let Some(last) = rises.iter().max_by_key(|rise| rise.to) else {
        return Ok(());
    };
    let records: Vec<u32> = rises.iter().map(|rise| rise.record).collect();
    let mut templates: BTreeMap<u32, Template<'_>> = BTreeMap::new();
    for rise in rises {
        let template = Template::new(event, rise, starts_from_zero)
            .map_err(|problem| (rise.record, problem))?;
        templates.insert(rise.record, template);
    }
    let mut group = Vec::new();
    for shard in 1..u32::try_from(last.to).unwrap_or(0) {
        let created_by = rises
            .iter()
            .find(|rise| (rise.from..rise.to).contains(&i128::from(shard)));
        let key = bucket.sibling(shard);
        let create = match known.state(&key) {
            None => created_by.is_some(),
            Some(None) => true,
            // A shard that has the count already needs nothing.
            Some(Some(item)) if count_of(item).is_some_and(|count| count >= last.to) => continue,
            Some(Some(_)) => false,
        };
        let operation = match templates
            .get(&created_by.unwrap_or(last).record)
            .filter(|_| create)
        {
            Some(template) => Operation::PutItem(PutItem {
                item: template.shard(bucket, shard, last.to),
                conditions: [Condition {
                    attribute: "PK".into(),
                    test: Test::Absent,
                }]
                .into(),
            }),
            None => Operation::UpdateItem(UpdateItem {
                key: key.clone(),
                assignments: [set_count(last.to)].into(),
                conditions: [
                    Condition {
                        attribute: "PK".into(),
                        test: Test::Present,
                    },
                    Condition {
                        attribute: "shard_count".into(),
                        test: Test::AbsentOrLessThan(decimal(last.to)),
                    },
                ]
                .into(),
            }),
        };
        group.push(count(draft.plan.writes.len()));
        let position = draft.position();
        draft.plan.writes.push(Write {
            purpose: Purpose::ShardPropagation,
            operation,
            records: records.clone(),
            updates: 1,
            windows: Vec::new(),
            position,
            on_conflict: OnConflict::RePlan,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
        });
    }
    if draft.wants(Level::Info) {
        let shards = Field {
            name: "shards_updated".into(),
            value: FieldValue::Fact(crate::Fact::AppliedWrites),
        };
        let [entity, resource] = bucket.fields();
        let fields = [entity, resource, number("new_count", last.to), shards].into();
        let entry = draft.line(
            Level::Info,
            Scope::Processor,
            "Shard count propagated".into(),
            fields,
            false,
        );
        draft.plan.group_log.push(GroupEntry {
            writes: group,
            entry,
        });
    }
    Ok(())
}

fn count_of(item: &[Attribute]) -> Option<i128> {
    let stored = item
        .iter()
        .find(|attribute| attribute.name == "shard_count")?;
    if let AttributeValue::Number(number) = &stored.value {
        integer(number).ok()
    } else {
        None
    }
}

/// Shard 0's image, from which new shards are made.
struct Template<'a> {
    image: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// What new shards have in place of shard 0's tokens and counters.
    fresh: Vec<(String, i128)>,
}

impl<'a> Template<'a> {
    /// From the record of a rise: every limit starts full, with its share of the capacity at the new count, and
    /// nothing consumed. A limit without a capacity keeps its tokens; its counter starts at 0 only where the
    /// counter of a new item counts as consumption.
    fn new(event: &'a str, rise: &Rise, starts_from_zero: bool) -> Result<Self, String> {
        let image = event::new_image(event, rise.record).ok_or("the image cannot be read")?;
        let mut fresh = Vec::new();
        for (name, value) in &image {
            let Some((limit, field)) = name
                .strip_prefix("b_")
                .and_then(|name| name.rsplit_once('_'))
                .filter(|(limit, _)| !limit.is_empty())
            else {
                continue;
            };
            if field == "tc" && starts_from_zero {
                fresh.push((name.to_string(), 0));
            }
            if field != "cp" {
                continue;
            }
            let capacity = event::number(value)
                .ok_or_else(|| format!("the capacity of limit {limit} is not a number"))?;
            let capacity = integer(&capacity).map_err(|error| error.to_string())?;
            let share = if limit == WRITE_LIMIT {
                capacity
            } else {
                capacity.div_euclid(rise.to)
            };
            fresh.extend([
                (format!("b_{limit}_tk"), share),
                (format!("b_{limit}_tc"), 0),
            ]);
        }
        Ok(Self { image, fresh })
    }

    /// A new shard: everything as in shard 0, but its own keys, full tokens and nothing consumed.
    fn shard(&self, bucket: BucketKey<'_>, shard: u32, count: i128) -> Vec<Attribute> {
        let BucketKey {
            entity, resource, ..
        } = bucket;
        let key = bucket.sibling(shard);
        let mut own: BTreeMap<Cow<'_, str>, AttributeValue> = BTreeMap::new();
        let mut set = |name: &str, value| own.insert(Cow::Owned(name.into()), value);
        set("PK", AttributeValue::Text(key.pk));
        set(
            "GSI2SK",
            AttributeValue::Text(format!("BUCKET#{entity}#{shard}")),
        );
        set(
            "GSI3SK",
            AttributeValue::Text(format!("BUCKET#{resource}#{shard}")),
        );
        set(
            "GSI4SK",
            AttributeValue::Text(format!("BUCKET#{entity}#{resource}#{shard}")),
        );
        set("SK", AttributeValue::Text(key.sk));
        set("shard_count", decimal(count));
        for (name, value) in &self.fresh {
            set(name, decimal(*value));
        }
        let copied = self
            .image
            .iter()
            .filter(|(name, _)| !own.contains_key(*name));
        let mut item: Vec<_> = copied
            .map(|(name, value)| Attribute {
                name: name.to_string(),
                value: AttributeValue::Wire(value.get().into()),
            })
            .collect();
        item.extend(own.into_iter().map(|(name, value)| Attribute {
            name: name.into_owned(),
            value,
        }));
        item
    }
}

/// When a bucket's last refill was before it moved in a batch without giving write tokens; none where it did
/// not move, or gave some.
pub fn moved_from(before: Option<EpochMs>, now: EpochMs, change: &Change<'_>) -> Option<EpochMs> {
    let writes = change
        .limits
        .iter()
        .find(|limit| limit.name == WRITE_LIMIT)?;
    let has_moved = change.old_last_refill.is_some_and(|old| old != now);
    let has_gained = writes
        .old_tokens
        .is_none_or(|old| writes.tokens.0 > old.0.saturating_sub(writes.consumed.0));
    match (has_moved, has_gained) {
        (true, true) => None,
        (true, false) => before.or(change.old_last_refill),
        (false, _) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_compared_exactly_at_any_size() {
        let most = 10_i128.pow(38) - 1;
        for (tokens, capacity, is_below) in [
            (199_999, 1_000_000, true),
            (200_000, 1_000_000, false),
            (-1, 1, true),
            (0, 1, true),
            (most / 5, most, true),
            (most / 5 + 1, most, false),
            (most, most, false),
            (-most, most, true),
            (most, 1, false),
        ] {
            assert_eq!(
                is_below_a_fifth(MilliTokens(tokens), MilliTokens(capacity)),
                is_below,
                "{tokens} of {capacity}"
            );
        }
    }

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
