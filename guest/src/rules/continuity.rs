//! Usage that the stream never held.
//!
//! In each record the counters of a bucket begin where the record before left them. If one begins higher, there was
//! consumption that no record shows: the stream did not hold it, or something before Weir dropped it. It cannot be
//! counted any more, but a log line says how much it was (rules: "Usage").

use crate::{
    bucket::change::BucketChange,
    contract::{Level, Scope},
    decimal::MilliTokens,
    draft::Draft,
    event::{Element, EventName},
    schema::key::BucketKey,
};
use alloc::{collections::BTreeMap, vec::Vec};

/// The most gaps of a batch that are named.
const MAX_NAMED: usize = 20;

/// What the records so far say of an item.
#[derive(Clone, Copy)]
enum Last<'a> {
    /// Nothing.
    Nothing,
    /// Its last change, and of which stream.
    Change(&'a str, &'a BucketChange<'a>),
    /// Its records do not follow each other: no gap can be told.
    Disordered,
}

/// The items of a batch, by primary key.
#[derive(Default)]
struct Items<'a> {
    places: BTreeMap<(&'a str, &'a str), usize>,
    list: Vec<Last<'a>>,
}

/// What is missing of a limit, and the record that shows it first.
struct Missing<'a> {
    bucket: BucketKey<'a>,
    limit: &'a str,
    milli_tokens: MilliTokens,
    record: u32,
}

/// Logs what is missing between the records of a batch.
pub fn check(elements: &[Element<'_>], changes: &[BucketChange<'_>], draft: &mut Draft) {
    let mut items = Items::default();
    let mut missing = Vec::new();
    let mut more: u32 = 0;
    let mut changes = changes.iter().peekable();
    for (index, element) in (0..).zip(elements) {
        let Some(change) = changes.next_if(|change| change.record == index) else {
            items.forget(element);
            continue;
        };
        let Some(last) = items.last(change.stored_at) else {
            continue;
        };
        let stream = element
            .record()
            .and_then(|record| record.arn.as_deref())
            .filter(|_| change.watermark.is_some());
        let next = match (stream, &*last) {
            (Some(stream), Last::Nothing) => Last::Change(stream, change),
            (Some(stream), Last::Change(of, before))
                if *of == stream && before.watermark < change.watermark =>
            {
                more = more.saturating_add(compare(before, change, &mut missing));
                Last::Change(stream, change)
            }
            _ => Last::Disordered,
        };
        *last = next;
    }
    say(&missing, more, draft);
}

impl<'a> Items<'a> {
    fn last(&mut self, key: (&'a str, &'a str)) -> Option<&mut Last<'a>> {
        let next = self.list.len();
        let at = *self.places.entry(key).or_insert(next);
        if at == next {
            self.list.push(Last::Nothing);
        }
        self.list.get_mut(at)
    }

    /// Forgets the item of a record that is not a change; all items if it does not say which.
    fn forget(&mut self, element: &'a Element<'a>) {
        let image = element.record().and_then(|record| {
            record
                .dynamodb
                .new
                .as_ref()
                .or(record.dynamodb.old.as_ref())
        });
        match image.and_then(|image| image.pk.as_deref().zip(image.sk.as_deref())) {
            Some(key) => self
                .last(key)
                .into_iter()
                .for_each(|last| *last = Last::Nothing),
            None => self.list.fill(Last::Nothing),
        }
    }
}

/// Notes by how much counters begin higher than they were left, and counts the gaps that are too many to name.
fn compare<'a>(
    before: &BucketChange<'_>,
    change: &BucketChange<'a>,
    missing: &mut Vec<Missing<'a>>,
) -> u32 {
    let mut more = 0_u32;
    if change.event != EventName::Modify {
        return more;
    }
    let counted = change
        .limits
        .iter()
        .filter(|limit| !change.key.is_write_limit(limit.name));
    for limit in counted {
        let left = before.limits.iter().find(|left| left.name == limit.name);
        let Some((left, found)) = left.zip(limit.old_total) else {
            continue;
        };
        // A lower one is that of a bucket made anew.
        let gap = found.0.saturating_sub(left.total.0);
        if gap <= 0 {
            continue;
        }
        let is_same = |of: &&mut Missing<'_>| of.bucket == change.key && of.limit == limit.name;
        let has_room = missing.len() < MAX_NAMED;
        match missing.iter_mut().find(is_same) {
            Some(of) => of.milli_tokens.0 = of.milli_tokens.0.saturating_add(gap),
            None if has_room => missing.push(Missing {
                bucket: change.key,
                limit: limit.name,
                milli_tokens: MilliTokens(gap),
                record: change.record,
            }),
            None => more = more.saturating_add(1),
        }
    }
    more
}

fn say(missing: &[Missing<'_>], more: u32, draft: &mut Draft) {
    for Missing {
        bucket,
        limit,
        milli_tokens,
        record,
    } in missing
    {
        let message = "Usage missing from the stream - no record tells of it, it cannot be counted";
        draft
            .line(Level::Warning, Scope::Processor, message)
            .bucket(bucket)
            .text("limit_name", limit)
            .number("tokens", milli_tokens.tokens())
            .number("record_index", record)
            .log();
    }
    if more > 0 {
        let message = "Usage missing from the stream - further gaps are counted only";
        draft
            .line(Level::Warning, Scope::Processor, message)
            .number("more", more)
            .log();
    }
}
