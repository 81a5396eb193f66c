//! Bringing a risen shard count from shard 0 to the other shards, creating those that are missing (rules:
//! "Sharding").

mod template;

use crate::{
    bucket::change::BucketChange,
    contract::{Fact, Level, OnConflict, Operation, Purpose, PutItem, Scope, Test, Write},
    decimal::integer,
    draft::Draft,
    event::{EventName, RawRecords},
    input::Input,
    known::Shown,
    schema::{
        bucket::{SHARD_COUNT, Schema, stored_shard_count},
        key::{BucketKey, Form},
    },
    settings::Correction,
    write,
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use template::Template;

/// No bucket is brought to more shards than this, whatever its record says: it bounds a plan.
const MAX_SHARDS: i128 = 1024;

/// One rise of a bucket's shard count.
struct Rise {
    record: u32,
    from: i128,
    to: i128,
}

impl Rise {
    /// Whether it is this rise that makes the shard.
    fn makes(&self, shard: u32) -> bool {
        (self.from..self.to).contains(&i128::from(shard))
    }
}

/// A record that no shards can be made from, and why.
struct Unusable {
    record: u32,
    problem: String,
}

/// Plans the writes for all shard counts that rose in the batch. `raw` has their images.
pub fn plan(
    changes: &[BucketChange<'_>],
    raw: &RawRecords<'_>,
    input: &Input<'_>,
    draft: &mut Draft,
) {
    let mut buckets: Vec<(BucketKey<'_>, Vec<Rise>)> = Vec::new();
    for change in changes {
        let Some(rise) = rise(change, draft) else {
            continue;
        };
        match buckets.iter_mut().find(|(key, _)| *key == change.key) {
            Some((_, rises)) => rises.push(rise),
            None => buckets.push((change.key, [rise].into())),
        }
    }
    for (bucket, rises) in buckets {
        if let Err(Unusable { record, problem }) = spread(bucket, &rises, raw, input, draft) {
            let message = format!("Error propagating shard_count: {problem}");
            draft
                .error_line(Level::Warning, Scope::Processor, message)
                .number("record_index", record)
                .log();
            let change = changes.iter().find(|change| change.record == record);
            change
                .into_iter()
                .for_each(|change| draft.reject_change(change, problem.clone()));
        }
    }
}

/// The rise of a change of shard 0 whose shards are to be made.
fn rise(change: &BucketChange<'_>, draft: &mut Draft) -> Option<Rise> {
    let is_shard_0 = change.key.form == Form::Sharded { shard: 0 };
    if change.event != EventName::Modify || !is_shard_0 {
        return None;
    }
    let (from, to) = change.rise().filter(|(from, _)| *from >= 1)?;
    // The refill has said so already.
    if change.schema == Schema::Later {
        return None;
    }
    if change.is_unclonable {
        let message = "Bucket uses a newer schema - shards not created";
        draft
            .line(Level::Warning, Scope::Processor, message)
            .bucket(&change.key)
            .log();
        return None;
    }
    if to > MAX_SHARDS {
        let message = format!("Error propagating shard_count: more than {MAX_SHARDS} shards");
        draft
            .error_line(Level::Warning, Scope::Processor, message)
            .bucket(&change.key)
            .number("shard_count", to)
            .log();
        draft.reject_change(
            change,
            format!("shard_count {to} is more than {MAX_SHARDS}"),
        );
        return None;
    }
    Some(Rise {
        record: change.record,
        from,
        to,
    })
}

/// Plans the writes to a bucket's shards above 0, each by itself: those that should exist get the count, those
/// that should not are created. Where the table has it the other way round, the host shows the item and the
/// next round does the other.
fn spread(
    bucket: BucketKey<'_>,
    rises: &[Rise],
    raw: &RawRecords<'_>,
    input: &Input<'_>,
    draft: &mut Draft,
) -> Result<(), Unusable> {
    let Some(last) = rises.iter().max_by_key(|rise| rise.to) else {
        return Ok(());
    };
    let records: Vec<u32> = rises.iter().map(|rise| rise.record).collect();
    let templates = templates(rises, raw, input)?;
    let mut group = Vec::new();
    for shard in 1..u32::try_from(last.to).unwrap_or(0) {
        let maker = rises.iter().find(|rise| rise.makes(shard));
        let key = bucket.sibling(shard);
        let is_created = match input.known.get(&key) {
            Shown::Nothing => maker.is_some(),
            Shown::NoItem => true,
            // A shard that has the count already needs nothing.
            Shown::Item(item)
                if stored_shard_count(item)
                    .and_then(|count| integer(count).ok())
                    .is_some_and(|count| count >= last.to) =>
            {
                continue;
            }
            Shown::Item(_) => false,
        };
        let template = templates
            .get(&maker.unwrap_or(last).record)
            .filter(|_| is_created);
        let position = draft.position();
        let place = draft.write(Write {
            purpose: Purpose::ShardPropagation,
            operation: match template {
                Some(template) => create(template, bucket, shard, last.to),
                None => raise(bucket, shard, last.to),
            },
            records: records.clone(),
            updates: 1,
            windows: Vec::new(),
            position,
            on_conflict: OnConflict::RePlan,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
        });
        group.push(place);
    }
    draft
        .line(Level::Info, Scope::Processor, "Shard count propagated")
        .bucket(&bucket)
        .number("new_count", last.to)
        .fact("shards_updated", Fact::AppliedWrites)
        .of_group(group);
    Ok(())
}

/// What new shards are made from, by the record of the rise.
fn templates<'a>(
    rises: &[Rise],
    raw: &RawRecords<'a>,
    input: &Input<'_>,
) -> Result<BTreeMap<u32, Template<'a>>, Unusable> {
    let starts_from_zero = input.settings.corrects(Correction::FirstConsumption);
    let template = |rise: &Rise| {
        let record = rise.record;
        match Template::new(raw, record, rise.to, starts_from_zero) {
            Ok(template) => Ok((record, template)),
            Err(problem) => Err(Unusable { record, problem }),
        }
    };
    rises.iter().map(template).collect()
}

/// Creates a shard, unless there is one.
fn create(template: &Template<'_>, bucket: BucketKey<'_>, shard: u32, count: i128) -> Operation {
    Operation::PutItem(PutItem {
        item: template.shard(bucket, shard, count),
        conditions: [write::when("PK", Test::Absent)].into(),
    })
}

/// Gives a shard the count, unless there is none or it has that many.
fn raise(bucket: BucketKey<'_>, shard: u32, count: i128) -> Operation {
    let is_less = Test::AbsentOrLessThan(write::number(count));
    write::update(
        bucket.sibling(shard),
        [write::set(SHARD_COUNT, write::number(count))].into(),
        [
            write::when("PK", Test::Present),
            write::when(SHARD_COUNT, is_less),
        ]
        .into(),
    )
}
