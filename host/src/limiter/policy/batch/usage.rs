//! Usage: of buckets of the batch, no more than their counters moved, under their own watermarks.

use super::{check_records, windows_of_an_item};
use crate::{
    contract::{Assignment, AttributeValue, Change, UpdateItem, Write},
    limiter::{
        evidence::{Consumed, Evidence, Slot, Subject, Usage, UsageId},
        key::{Snapshot, plain},
        policy::{Breach, Checked, Context, breach_of, number::integer, require, usage::WATERMARK},
    },
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the name of the counter of overdrafts ends with.
const OVERDRAWN: &str = "#od";

/// What an attribute that is added to counts, and so what bounds it.
#[derive(Clone, Copy, Debug)]
enum Counter<'a> {
    /// Additions.
    Events,
    /// Whole tokens of that limit, or how often another was overdrawn: of a limit `a#od` nobody can tell.
    Limit(&'a str),
}

impl<'a> Counter<'a> {
    fn of(attribute: &'a str) -> Self {
        match attribute {
            "total_events" => Self::Events,
            limit => Self::Limit(limit),
        }
    }

    /// Between what any part of those records' deltas lies, each counted once; none where there is no such delta.
    fn bound(self, usage: &[&Usage<'_>]) -> Option<Consumed> {
        match self {
            Self::Events => {
                let deltas = usage.iter().map(|usage| usage.deltas).sum();
                Some(Consumed::of(1).times(deltas))
            }
            Self::Limit(name) => {
                let consumed = usage.iter().filter_map(|usage| usage.limits.get(name));
                let overdrawn = usage.iter().filter_map(|usage| {
                    let times = usage.overdrawn.get(name.strip_suffix(OVERDRAWN)?)?;
                    Some(Consumed::of(1).times(*times))
                });
                consumed.copied().chain(overdrawn).reduce(Consumed::and)
            }
        }
    }
}

/// What the usage writes of a plan add.
pub(super) struct Booked<'c> {
    context: &'c Context<'c>,
    evidence: &'c Evidence<'c>,
    /// Items and watermarks that are written to.
    moved: HashSet<(&'c str, &'c str, Slot)>,
    /// What is added to items without a watermark.
    unplaced: HashMap<(&'c str, &'c str), BTreeMap<&'c str, Consumed>>,
    /// What is added to all snapshots of an entity and resource.
    sums: BTreeMap<UsageId, Sum<'c>>,
}

/// What is added to all snapshots of an entity and resource.
struct Sum<'c> {
    first: &'c Write,
    writes: usize,
    counters: BTreeMap<&'c str, Consumed>,
}

impl<'c> Booked<'c> {
    pub(super) fn new(context: &'c Context<'c>, evidence: &'c Evidence<'c>) -> Self {
        Self {
            context,
            evidence,
            moved: HashSet::new(),
            unplaced: HashMap::new(),
            sums: BTreeMap::new(),
        }
    }

    /// Passes if the batch justifies what is added to this item.
    pub(super) fn check(&mut self, write: &'c Write, update: &'c UpdateItem) -> Checked {
        let of = Snapshot::of(&update.key).ok_or("it is not a usage snapshot")?;
        let (id, slots) = self
            .evidence
            .usage(of.namespace, of.entity, of.resource)
            .ok_or("no record of the batch tells of usage of that entity and resource")?;
        check_records(
            write,
            self.evidence,
            |subject| matches!(subject, Subject::Bucket { usage, .. } if usage == id),
        )?;
        let moved = self.moved(update, slots)?;
        let usage = match moved.as_slice() {
            [] => vec![slots.get(&Slot::Unplaced).ok_or(
                "it adds without a watermark, and all records of it tell their position in the stream",
            )?],
            moved => moved.to_vec(),
        };
        let windows = windows_of_an_item(self.context);
        let sum = self.sums.entry(id).or_insert_with(|| Sum {
            first: write,
            writes: 0,
            counters: BTreeMap::new(),
        });
        sum.writes += 1;
        let item = (update.key.pk.as_str(), update.key.sk.as_str());
        let mut of_item = if moved.is_empty() {
            Some(self.unplaced.entry(item).or_default())
        } else {
            None
        };
        for Assignment { attribute, change } in &update.assignments {
            let Change::Add(number) = change else {
                continue;
            };
            let number = integer(number).ok_or("it adds what is no integer")?;
            let bound = Counter::of(attribute).bound(&usage).ok_or_else(|| {
                format!("no record of the batch tells of a change of `{attribute}`")
            })?;
            let added = Consumed::of(number);
            let added_to_item = match &mut of_item {
                Some(item) => add(item, attribute, added),
                None => added,
            };
            check_within(attribute, added_to_item, bound.times(windows))?;
            add(&mut sum.counters, attribute, added);
        }
        let deltas: usize = usage.iter().map(|usage| usage.deltas).sum();
        require(
            write.updates as usize <= deltas.saturating_mul(windows),
            format_args!(
                "it stands for {} updates; {deltas} deltas are all there are",
                write.updates
            ),
        )
    }

    /// The usage whose watermarks are moved. Each is moved once in an item, and not beyond the last record.
    fn moved(
        &mut self,
        update: &'c UpdateItem,
        slots: &'c BTreeMap<Slot, Usage<'c>>,
    ) -> Result<Vec<&'c Usage<'c>>, String> {
        let mut moved = Vec::new();
        for Assignment { attribute, change } in &update.assignments {
            let Some(name) = attribute.strip_prefix(WATERMARK) else {
                continue;
            };
            let slot = match name {
                "u" => Some(Slot::Whole),
                shard => plain(shard).map(Slot::Shard),
            };
            let usage = slot.and_then(|slot| Some((slot, slots.get(&slot)?)));
            let (slot, usage) = usage.ok_or_else(|| {
                format!("no record of the batch is counted under its watermark `{attribute}`")
            })?;
            let last = usage.last.as_ref().map(|last| last.watermark());
            if let Change::Set(AttributeValue::Text(to)) = change {
                require(
                    last.is_some_and(|last| *to <= last),
                    format_args!(
                        "it moves the watermark `{attribute}` beyond the batch's last record"
                    ),
                )?;
            }
            let item = (update.key.pk.as_str(), update.key.sk.as_str(), slot);
            require(
                self.moved.insert(item),
                format_args!("the item's watermark `{attribute}` is moved twice"),
            )?;
            moved.push(usage);
        }
        Ok(moved)
    }

    /// Passes if all windows together have no more than so many windows can.
    pub(super) fn check_sums(&self) -> Result<(), Breach> {
        let windows = self.context.settings.windows.len();
        for (id, sum) in &self.sums {
            let slots = self.evidence.usage_of(*id);
            let usage: Vec<_> = slots.into_iter().flat_map(BTreeMap::values).collect();
            let records: usize = usage.iter().map(|usage| usage.records).sum();
            let most = records.saturating_mul(windows);
            require(
                sum.writes <= most,
                format_args!(
                    "its entity and resource have {} writes of usage; {most} are possible",
                    sum.writes
                ),
            )
            .and_then(|()| {
                sum.counters.iter().try_for_each(|(attribute, added)| {
                    let bound = Counter::of(attribute).bound(&usage).unwrap_or_default();
                    check_within(attribute, *added, bound.times(windows))
                })
            })
            .map_err(|problem| breach_of(sum.first, problem))?;
        }
        Ok(())
    }
}

/// Adds to a sum, and says what it is then.
fn add<'c>(
    sums: &mut BTreeMap<&'c str, Consumed>,
    attribute: &'c str,
    added: Consumed,
) -> Consumed {
    let sum = sums.entry(attribute).or_default();
    *sum = sum.and(added);
    *sum
}

fn check_within(attribute: &str, added: Consumed, bound: Consumed) -> Checked {
    let Consumed { least, most } = bound;
    let sum = added.least.saturating_add(added.most);
    require(
        least <= added.least && added.most <= most,
        format_args!("it adds {sum} to `{attribute}`; the batch justifies {least} to {most}"),
    )
}
