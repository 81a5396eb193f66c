//! How much a plan may hold: what its batch can give rise to.
//!
//! A record changes one bucket. So it leads to a write of usage for each window, to one refill, one doubling and one
//! archive object at the most, and a risen shard count to one write for each shard. A plan may have twice that usage.

use super::{Breach, Checked, Context, require, shard::MOST_SHARDS};
use crate::contract::{Change, Key, Operation, Plan, Purpose, Write};
use std::collections::{BTreeMap, HashSet};

/// Writes in one plan, whatever the batch. One of 10,000 records, each of a bucket of its own, with three windows and
/// a refill has 40,000.
pub const MOST_WRITES: usize = 100_000;
/// Items that a plan may ask to see, whatever the batch.
pub const MOST_READS: usize = 10_000;

/// No record that something follows from is shorter, in bytes: the expiry of an audit event has 84 at the least.
const SHORTEST_RECORD: usize = 64;
/// No limit's counter is shorter, in bytes: `"b_a_tc":{"N":"1"}`.
const SHORTEST_COUNTER: usize = 16;
/// Size of a reason to reject a record, in bytes.
const LONGEST_REASON: usize = 64 * 1024;

/// Records of the batch that something can follow from: as many as the plan says, but no more than the event holds.
pub(super) fn records(plan: &Plan, context: &Context<'_>) -> usize {
    (plan.tally.records as usize).min(context.event.len() / SHORTEST_RECORD)
}

/// Lines that a plan may log, and records it may reject, beside those of its writes: some for each record, and some
/// for a small batch.
pub(super) fn most_lines(records: usize) -> usize {
    records.saturating_mul(10).saturating_add(100)
}

/// Writes of usage that one record may be accounted for in.
fn windows(context: &Context<'_>) -> usize {
    context.settings.windows.len().saturating_mul(2)
}

/// Bounds of DynamoDB, in bytes.
const LONGEST_PK: usize = 2048;
const LONGEST_SK: usize = 1024;

/// Passes if the table can have such a key.
pub(super) fn check_key(key: &Key) -> Checked {
    require(
        key.pk.len() <= LONGEST_PK && key.sk.len() <= LONGEST_SK,
        format_args!(
            "its key is longer than {LONGEST_PK} bytes of PK and {LONGEST_SK} bytes of SK"
        ),
    )
}

/// Passes if the plan is of a size that is worth looking at.
pub(super) fn check_size(plan: &Plan) -> Result<(), Breach> {
    if plan.writes.len() > MOST_WRITES || plan.reads.len() > MOST_READS {
        return Err(Breach {
            subject: "a plan".into(),
            problem: format!(
                "it has {} writes and {} reads; at most {MOST_WRITES} and {MOST_READS} are",
                plan.writes.len(),
                plan.reads.len()
            ),
        });
    }
    Ok(())
}

/// Passes if the plan has no more of anything than its batch can give rise to.
pub(super) fn check(plan: &Plan, context: &Context<'_>) -> Result<(), Breach> {
    check_records(plan, context)?;
    let records = records(plan, context);
    let breach = |problem: String| Breach {
        subject: format!("a plan for {records} records"),
        problem,
    };
    check_writes(plan, records, context).map_err(breach)?;
    check_tally(plan, records, context).map_err(breach)?;
    check_rejects(plan, records).map_err(breach)
}

/// Passes if the plan speaks of records that its event can have.
fn check_records(plan: &Plan, context: &Context<'_>) -> Result<(), Breach> {
    let (records, event) = (plan.tally.records, context.event.len());
    let mentioned = plan
        .writes
        .iter()
        .flat_map(|write| &write.records)
        .chain(plan.rejects.iter().map(|reject| &reject.record));
    let is_within = mentioned.max().is_none_or(|last| *last < records);
    // A record takes at least a byte, and another to set it apart.
    if is_within && records as usize <= event / 2 {
        return Ok(());
    }
    Err(Breach {
        subject: "for records".into(),
        problem: format!(
            "it speaks of records that an event of {event} bytes with {records} records does not have"
        ),
    })
}

/// Passes if a write stands for no more than its records can have brought about, and its windows are those configured.
pub(super) fn check_write(write: &Write, context: &Context<'_>) -> Checked {
    check_windows(write, context)?;
    require(
        write.records.is_sorted_by(|one, next| one < next),
        "its records are not in rising order, each once",
    )?;
    let records = write.records.len().max(1);
    let most = match (write.purpose, &write.operation) {
        (Purpose::Usage, Operation::UpdateItem(update)) => {
            let is_counter = |change: &Change| matches!(change, Change::Add(_));
            let counters = update
                .assignments
                .iter()
                .filter(|assignment| is_counter(&assignment.change));
            // Windows that start together may share an item.
            let windows = context.settings.windows.len().max(1);
            records
                .saturating_mul(counters.count())
                .saturating_mul(windows)
        }
        _ => records,
    };
    require(
        write.updates as usize <= most,
        format_args!(
            "it says it stands for {} updates; its records can have brought about {most}",
            write.updates
        ),
    )
}

/// A line about a failed write names the windows.
fn check_windows(write: &Write, context: &Context<'_>) -> Checked {
    let configured = context.settings.windows.len();
    let mut named = HashSet::new();
    let is_one = |window: &u32| (*window as usize) < configured && named.insert(*window);
    require(
        write.windows.iter().all(is_one),
        "it sums a window that is not configured, or one twice",
    )
}

/// Each write accounts for a record; what a purpose's writes account for together is bounded as they are.
fn check_writes(plan: &Plan, records: usize, context: &Context<'_>) -> Checked {
    let mut accounted: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for write in &plan.writes {
        let (name, most) = match write.purpose {
            Purpose::Usage => ("usage", windows(context)),
            Purpose::Refill => ("refill", 1),
            Purpose::ShardBump => ("shard-bump", 1),
            Purpose::ShardPropagation => {
                let most = MOST_SHARDS.max(context.max_shard_count.unwrap_or_default());
                ("shard-propagation", most as usize)
            }
            Purpose::Archive => ("archive", 1),
            Purpose::Quarantine => ("quarantine", 0),
        };
        let entry = accounted.entry(name).or_insert((0, most));
        entry.0 = entry.0.saturating_add(write.records.len().max(1));
    }
    for (purpose, (count, most)) in accounted {
        let most = records.saturating_mul(most);
        require(
            count <= most,
            format_args!("its {purpose} writes account for {count} records; {most} are possible"),
        )?;
    }
    let most = records.saturating_mul(windows(context).saturating_add(1));
    require(
        plan.reads.len() <= most,
        format_args!(
            "it asks for {} items; {most} are possible",
            plan.reads.len()
        ),
    )
}

/// The counts that a plan gives are those of the host's metrics.
fn check_tally(plan: &Plan, records: usize, context: &Context<'_>) -> Checked {
    let tally = &plan.tally;
    let deltas = tally.deltas as usize;
    let updates = plan
        .writes
        .iter()
        .filter(|write| write.purpose == Purpose::Usage)
        .fold(0_usize, |sum, write| {
            sum.saturating_add(write.updates as usize)
        });
    let most = deltas.saturating_mul(windows(context));
    require(
        deltas <= context.event.len() / SHORTEST_COUNTER
            && tally.events as usize <= records
            && tally.degraded as usize <= records
            && tally.duplicates as usize <= most
            && updates <= most,
        format_args!(
            "it counts {deltas} deltas, {} duplicates, {} events, {} degraded buckets and {updates} updates, which its batch cannot have",
            tally.duplicates, tally.events, tally.degraded
        ),
    )
}

fn check_rejects(plan: &Plan, records: usize) -> Checked {
    let most = most_lines(records);
    require(
        plan.rejects.len() <= most,
        format_args!("it has {} rejects; at most {most} are", plan.rejects.len()),
    )?;
    require(
        plan.rejects
            .iter()
            .all(|reject| reject.reason.len() <= LONGEST_REASON),
        format_args!("its reason to reject a record is longer than {LONGEST_REASON} bytes"),
    )
}
