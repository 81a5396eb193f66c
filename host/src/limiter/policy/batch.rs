//! What the batch itself allows: a plan is held against what the records say.
//!
//! A component may drop usage, book it into another window or reject a record; that is its job, and only a person or
//! another component can tell that it does it badly. Beyond that it can add no more than was consumed, give no more
//! tokens than time and the image allow, split no bucket but those it is shown, and archive no more than expired.
//!
//! All bounds are of what [`Evidence`] has at the most, over all records of an item: a plan may rest on any of them.

mod archive;
mod refill;
mod shard;
mod usage;

use super::{Breach, Checked, Context, breach_of, breach_of_read, require};
use crate::{
    contract::{Operation, Plan, Purpose, Write},
    limiter::{
        evidence::{Bucket, BucketId, Evidence, Subject},
        key::Place,
    },
};
use archive::Archived;
use shard::Shards;
use std::collections::HashSet;
use usage::Booked;

/// Passes if the batch justifies the plan.
pub(super) fn check(
    plan: &Plan,
    context: &Context<'_>,
    evidence: &Evidence<'_>,
) -> Result<(), Breach> {
    check_tally(plan, evidence).map_err(|problem| Breach {
        subject: "its counts".into(),
        problem,
    })?;
    check_reads(plan, evidence)?;
    let mut booked = Booked::new(context, evidence);
    let mut shards = Shards::new(evidence);
    let mut archived = Archived::default();
    // Each of these is made once, and then the image says nothing more of the item.
    let mut changed = HashSet::new();
    for write in &plan.writes {
        let checked = match (write.purpose, &write.operation) {
            (Purpose::Usage, Operation::UpdateItem(update)) => booked.check(write, update),
            (Purpose::Refill, Operation::UpdateItem(update)) => {
                refill::check(write, update, context, evidence)
            }
            (Purpose::ShardBump, Operation::UpdateItem(update)) => shards.check_bump(write, update),
            (Purpose::ShardPropagation, Operation::UpdateItem(update)) => {
                shards.check_count(write, update)
            }
            (Purpose::ShardPropagation, Operation::PutItem(put)) => shards.check_new(write, put),
            (Purpose::Archive, Operation::PutObject(object)) => {
                archived.check(write, object, context, evidence)
            }
            // Refused already.
            _ => Ok(()),
        };
        let is_new = write.purpose == Purpose::Usage
            || changed.insert((purpose_of(write), write.operation.target()));
        checked
            .and_then(|()| require(is_new, "it is made twice"))
            .map_err(|problem| breach_of(write, problem))?;
    }
    booked.check_sums()
}

/// Tells purposes apart that can write to one item.
fn purpose_of(write: &Write) -> &'static str {
    match write.purpose {
        Purpose::Refill => "refill",
        Purpose::ShardBump | Purpose::ShardPropagation => "count",
        _ => "other",
    }
}

fn check_tally(plan: &Plan, evidence: &Evidence<'_>) -> Checked {
    let tally = &plan.tally;
    let (records, deltas) = (evidence.records(), evidence.deltas());
    let events = evidence.removals().events;
    require(
        tally.records as usize == records,
        format_args!("it counts {} records; there are {records}", tally.records),
    )?;
    require(
        tally.deltas as usize <= deltas && tally.events as usize <= events,
        format_args!(
            "it counts {} deltas and {} events; there are at most {deltas} and {events}",
            tally.deltas, tally.events
        ),
    )
}

/// What a plan asks to see belongs to buckets of the batch.
fn check_reads(plan: &Plan, evidence: &Evidence<'_>) -> Result<(), Breach> {
    for key in &plan.reads {
        let named = match Place::of(key) {
            Some(Place::Bucket(of)) => evidence.usage(of.namespace, of.entity, of.resource),
            Some(Place::Snapshot(of)) => evidence.usage(of.namespace, of.entity, of.resource),
            None => None,
        };
        require(named.is_some(), NOT_OF_THE_BATCH)
            .map_err(|problem| breach_of_read(key, problem))?;
    }
    Ok(())
}

/// The correction by which each window has snapshots of its own.
const WINDOW_SUFFIX: &str = "window-suffix";

/// What is wrong with a write to a bucket that the batch does not show.
const NOT_OF_THE_BATCH: &str = "no record of the batch is about that bucket";

/// Passes if all records that a write accounts for are about what it is made to.
fn check_records(
    write: &Write,
    evidence: &Evidence<'_>,
    is_about: impl Fn(Subject) -> bool,
) -> Checked {
    let other = write
        .records
        .iter()
        .find(|record| !is_about(evidence.subject(**record)));
    require(
        other.is_none(),
        format_args!(
            "it accounts for record {}, which is not about it",
            other.copied().unwrap_or_default()
        ),
    )
}

/// The bucket with that PK and SK, if the records that a write accounts for are about it.
fn bucket_of<'c>(
    write: &Write,
    (pk, sk): (&str, &str),
    evidence: &'c Evidence<'c>,
) -> Result<(BucketId, &'c Bucket<'c>), String> {
    let (id, found) = evidence.bucket(pk, sk).ok_or(NOT_OF_THE_BATCH)?;
    check_records(
        write,
        evidence,
        |subject| matches!(subject, Subject::Bucket { bucket, .. } if bucket == id),
    )?;
    Ok((id, found))
}

/// Windows that may fall together in one snapshot.
fn windows_of_an_item(context: &Context<'_>) -> usize {
    let mut corrections = context.settings.corrections.iter();
    if corrections.any(|name| name == WINDOW_SUFFIX) {
        1
    } else {
        context.settings.windows.len().max(1)
    }
}
