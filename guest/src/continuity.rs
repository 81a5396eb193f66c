//! Usage that the stream never held.
//!
//! The counters of a bucket go on, record by record, where the record before left them. Where one begins higher,
//! there was consumption that no record tells of: the stream did not hold it, or something before Weir dropped it.
//! It cannot be counted any more; how much it was is said (rules: "Usage").

use crate::{
    Scope,
    bucket::Change,
    event::{Action, Element},
    key::BucketKey,
    plan::{Draft, number, text},
};
use alloc::collections::BTreeMap;

/// Most buckets and limits that are named in a batch.
const NAMED: usize = 20;

/// A bucket item.
type Place<'a> = (&'a str, &'a str);

/// What the records so far say of an item.
enum Last<'a> {
    /// Its last change, and of which stream.
    Change(&'a str, &'a Change<'a>),
    /// Its records do not follow each other: nothing more is said of it.
    Disordered,
}

/// What is missing of a limit, and the record that shows it first.
struct Missing {
    milli_tokens: i128,
    record: u32,
}

/// Says what is missing between the records of a batch.
pub fn check(elements: &[Element<'_>], changes: &[Change<'_>], draft: &mut Draft) {
    let mut last: BTreeMap<Place<'_>, Last<'_>> = BTreeMap::new();
    let mut missing: BTreeMap<(BucketKey<'_>, &str), Missing> = BTreeMap::new();
    let mut changes = changes.iter().peekable();
    for (index, element) in (0..).zip(elements) {
        let Some(change) = changes.next_if(|change| change.record == index) else {
            forget(element, &mut last);
            continue;
        };
        let stream = element
            .record()
            .and_then(|record| record.arn.as_deref())
            .filter(|_| change.watermark.is_some());
        let next = match (stream, last.get(&change.stored_at)) {
            (Some(stream), None) => Last::Change(stream, change),
            (Some(stream), Some(Last::Change(of, before)))
                if *of == stream && before.watermark < change.watermark =>
            {
                compare(before, change, &mut missing);
                Last::Change(stream, change)
            }
            _ => Last::Disordered,
        };
        last.insert(change.stored_at, next);
    }
    say(&missing, draft);
}

/// Forgets the item that a record is about and is no change of, all where it does not tell which.
fn forget<'a>(element: &'a Element<'_>, last: &mut BTreeMap<Place<'a>, Last<'_>>) {
    let images = element
        .record()
        .and_then(|record| record.change.new.as_ref().or(record.change.old.as_ref()));
    match images.and_then(|image| image.pk.as_deref().zip(image.sk.as_deref())) {
        Some(place) => drop(last.remove(&place)),
        None => last.clear(),
    }
}

/// Notes by how much counters begin higher than they were left.
fn compare<'a>(
    before: &Change<'a>,
    change: &Change<'a>,
    missing: &mut BTreeMap<(BucketKey<'a>, &'a str), Missing>,
) {
    if change.action != Action::Modify {
        return;
    }
    for limit in &change.limits {
        if change.key.is_write_limit(limit.name) {
            continue;
        }
        let left = before.limits.iter().find(|left| left.name == limit.name);
        let Some((left, found)) = left.zip(limit.old_total) else {
            continue;
        };
        let gap = found.0.saturating_sub(left.total.0);
        // A lower one is that of a bucket made anew.
        if gap > 0 {
            let missing = missing.entry((change.key, limit.name)).or_insert(Missing {
                milli_tokens: 0,
                record: change.record,
            });
            missing.milli_tokens = missing.milli_tokens.saturating_add(gap);
        }
    }
}

fn say(missing: &BTreeMap<(BucketKey<'_>, &str), Missing>, draft: &mut Draft) {
    for (
        (bucket, limit),
        Missing {
            milli_tokens,
            record,
        },
    ) in missing.iter().take(NAMED)
    {
        let [entity, resource] = bucket.fields();
        let fields = [
            entity,
            resource,
            text("limit_name", *limit),
            number("tokens", milli_tokens.div_euclid(1000)),
            number("record_index", record),
        ];
        let message = "Usage missing from the stream - no record tells of it, it cannot be counted";
        draft.warn(Scope::Processor, message, fields);
    }
    let more = missing.len().saturating_sub(NAMED);
    if more > 0 {
        let message = "Usage missing from the stream - further limits are counted only";
        draft.warn(Scope::Processor, message, [number("more", more)]);
    }
}
