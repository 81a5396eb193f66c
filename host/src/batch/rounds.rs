//! Carrying out a plan, in rounds: its writes, and where watermarks were lost or items must be seen, a plan anew.

use super::{BatchError, Delivery, Line, Part, Processor, Progress, micros};
use crate::{
    component::Logic,
    contract::{Entry, Fact, GroupEntry, Key, Level, OnConflict, Plan, Purpose, StoredItem, Write},
    store::{Failure, Kind, Outcome as Written, StoredObject},
    telemetry::Fields,
};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc, time::Instant};

/// Most rounds of planning for one batch: the first, and three for watermarks that others move meanwhile.
const ROUNDS: u32 = 4;

/// What has come of a part's plans so far.
#[derive(Default)]
struct Carried {
    /// Rounds begun.
    rounds: u32,
    /// Ids of the writes that were made.
    applied: HashSet<String>,
    /// Ids of the writes that are not made again.
    settled: HashSet<String>,
    /// Items that the component is shown.
    known: Vec<StoredItem>,
    /// Writes that need another plan.
    waiting: Vec<Waiting>,
    /// Writes that failed, and the batch must tell why.
    undecided: Vec<(Write, Failure)>,
    /// What the plans said.
    said: HashSet<String>,
    /// What they rejected.
    rejected: HashSet<(u32, String)>,
}

/// A write whose condition was false.
struct Waiting {
    write: Write,
    stored: Vec<StoredItem>,
    /// Whether the item was another one in the round before.
    is_moving: bool,
}

impl Processor {
    /// Makes a plan's writes; where watermarks were lost or items must be seen, plans again.
    pub(super) async fn carry_out(
        &self,
        logic: &Logic,
        part: &Part,
        mut plan: Plan,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<(), BatchError> {
        let mut carried = Carried::default();
        let records = plan.tally.records;
        progress.counters.deltas += u64::from(plan.tally.deltas);
        let groups: Vec<GroupEntry> = std::mem::take(&mut plan.group_log);
        loop {
            carried.rounds += 1;
            self.note_plan(part, &mut plan, &mut carried, progress);
            self.make_writes(part, &plan, &mut carried, progress).await;
            if carried.waiting.is_empty() && plan.reads.is_empty() {
                break;
            }
            if carried.rounds == ROUNDS {
                let all = (!plan.reads.is_empty()).then_some(records);
                self.give_up(part, all, &carried, None, progress);
                break;
            }
            match self
                .plan_again(logic, part, &plan.reads, &mut carried, delivery, progress)
                .await
            {
                Ok(next) => plan = next,
                // The batch was planned before and parts of it are written: what is left is delivered again.
                Err(error) => {
                    if matches!(error, BatchError::Logic(_) | BatchError::Breach(_)) {
                        self.switch.roll_back(logic, &error);
                    }
                    let all = carried.waiting.is_empty().then_some(records);
                    self.give_up(part, all, &carried, Some(&error), progress);
                    break;
                }
            }
        }
        progress.counters.duplicates += u64::from(plan.tally.duplicates);
        self.decide(part, &mut carried, progress);
        for group in groups {
            let is_applied = |id: &&String| carried.applied.contains(*id);
            let count = group.writes.iter().filter(is_applied).count();
            if count > 0 {
                self.note(part, vec![group.entry], progress, |_| json!(count));
            }
        }
        Ok(())
    }

    /// Notes what a plan says and rejects, and no earlier one did.
    fn note_plan(
        &self,
        part: &Part,
        plan: &mut Plan,
        carried: &mut Carried,
        progress: &mut Progress,
    ) {
        for reject in std::mem::take(&mut plan.rejects) {
            let known = (reject.record, reject.reason);
            if carried.rounds > 1 && carried.rejected.contains(&known) {
                continue;
            }
            progress.counters.rejects += 1;
            progress.quarantine(part.offset + known.0, known.1.as_str().into());
            carried.rejected.insert(known);
        }
        let mut entries = std::mem::take(&mut plan.log);
        if carried.rounds > 1 {
            entries.retain(|entry| !carried.said.contains(&text(entry)));
        } else if plan.reads.is_empty()
            && plan
                .writes
                .iter()
                .all(|write| write.on_conflict == OnConflict::Skip)
        {
            // No other plan can follow, so nothing is to be remembered.
            return self.note(part, entries, progress, |_| Value::Null);
        }
        carried.said.extend(entries.iter().map(text));
        self.note(part, entries, progress, |_| Value::Null);
    }

    /// Makes the writes of a plan that are not settled.
    async fn make_writes(
        &self,
        part: &Part,
        plan: &Plan,
        carried: &mut Carried,
        progress: &mut Progress,
    ) {
        let is_open = |write: &&Write| !carried.settled.contains(&write.id);
        let writes: Vec<&Write> = plan.writes.iter().filter(is_open).collect();
        let started = Instant::now();
        let outcomes = self.target.apply(&writes, &progress.effort).await;
        progress.counters.apply_micros += micros(started);
        let before = std::mem::take(&mut carried.waiting);
        for (write, outcome) in writes.into_iter().zip(outcomes) {
            if carried.rounds == 1 {
                progress.behind.count(write, &outcome);
            }
            match outcome {
                Written::Applied { object } => {
                    progress.accepted.count(write);
                    self.count_applied(write, progress);
                    carried.applied.insert(write.id.clone());
                    self.note_applied(part, write, object, progress);
                }
                Written::Conflicted { stored } if write.on_conflict == OnConflict::RePlan => {
                    progress.accepted.count(write);
                    progress.counters.conflicts += 1;
                    let last = before.iter().find(|last| last.write.id == write.id);
                    let is_moving =
                        last.is_some_and(|last| last.is_moving || last.stored != stored);
                    show(&mut carried.known, &stored);
                    carried.waiting.push(Waiting {
                        write: write.clone(),
                        stored,
                        is_moving,
                    });
                    continue;
                }
                Written::Conflicted { .. } => {
                    progress.accepted.count(write);
                    progress.counters.conflicts += 1;
                    self.note(part, write.when_conflicted.clone(), progress, |_| {
                        Value::Null
                    });
                }
                Written::Failed(failure) if failure.kind == Kind::Undecided => {
                    carried.undecided.push((write.clone(), failure));
                }
                Written::Failed(failure) => self.fail(part, write, &failure, progress),
            }
            carried.settled.insert(write.id.clone());
        }
    }

    /// Another round, with the items that the component asked for.
    async fn plan_again(
        &self,
        logic: &Logic,
        part: &Part,
        reads: &[Key],
        carried: &mut Carried,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<Plan, BatchError> {
        let items = self
            .target
            .read(reads, &progress.effort)
            .await
            .map_err(|failure| {
                if let Kind::Setup(remedy) = failure.kind {
                    progress.faults.note(remedy, &failure);
                }
                BatchError::CutOff(failure.to_string())
            })?;
        show(&mut carried.known, &items);
        self.plan(logic, part, &carried.known, delivery, progress)
            .await
    }

    /// Has what is open delivered again, after the last round or where there is no further plan: the writes that wait, or
    /// `all` records.
    fn give_up(
        &self,
        part: &Part,
        all: Option<u32>,
        carried: &Carried,
        error: Option<&BatchError>,
        progress: &mut Progress,
    ) {
        for Waiting {
            write, is_moving, ..
        } in &carried.waiting
        {
            let mut failure = Failure::contended(*is_moving, ROUNDS);
            if let Some(error) = error {
                failure.message = error.to_string();
            }
            self.fail(part, write, &failure, progress);
        }
        let records = all.unwrap_or_default();
        progress.failing.extend(part.offset..part.offset + records);
    }

    /// Tells the item's fault from the set-up's where the service did not.
    fn decide(&self, part: &Part, carried: &mut Carried, progress: &mut Progress) {
        for (write, failure) in std::mem::take(&mut carried.undecided) {
            let kind = progress.accepted.kind(&write);
            self.fail(part, &write, &failure.with_kind(kind), progress);
        }
    }

    fn count_applied(&self, write: &Write, progress: &mut Progress) {
        let counters = &mut progress.counters;
        let updates = u64::from(write.updates);
        match write.purpose {
            Purpose::Usage => {
                counters.snapshot_writes += 1;
                counters.snapshot_updates += updates;
            }
            Purpose::Refill => counters.refills += 1,
            Purpose::ShardBump => counters.shard_bumps += 1,
            Purpose::ShardPropagation => counters.shards_propagated += 1,
            Purpose::Archive => {
                counters.archived_objects += 1;
                counters.archived_events += updates;
            }
            Purpose::Quarantine => {}
        }
    }

    /// Notes a failed write: its records are delivered again, or kept apart where that cannot help.
    fn fail(&self, part: &Part, write: &Write, failure: &Failure, progress: &mut Progress) {
        progress.counters.count_failure(write.purpose);
        let records = write.records.iter().map(|record| part.offset + record);
        match failure.kind {
            Kind::Transient | Kind::Undecided => progress.failing.extend(records),
            Kind::Setup(remedy) => {
                progress.failing.extend(records);
                progress.faults.note(remedy, failure);
            }
            Kind::Permanent => {
                let reason: Arc<str> = format!(
                    "the {} write to {} can never be made: {failure}",
                    write.purpose,
                    write.operation.target()
                )
                .into();
                records.for_each(|record| progress.quarantine(record, Arc::clone(&reason)));
            }
        }
        for entry in &write.when_failed {
            progress.lines.push(Line {
                scope: entry.scope,
                order: (part.offset, entry.position),
                level: if failure.kind == Kind::Permanent {
                    Level::Error
                } else {
                    entry.level
                },
                message: format!("{}: {failure}", entry.message),
                fields: Fields::of(entry, |fact| self.fact(fact, None))
                    .with("exception", failure.to_string()),
                is_error: entry.is_error,
            });
        }
    }

    /// Keeps a made write's entries. An object that got another name than the planned one is named as well.
    fn note_applied(
        &self,
        part: &Part,
        write: &Write,
        object: Option<StoredObject>,
        progress: &mut Progress,
    ) {
        let first = progress.lines.len();
        let size = object.as_ref().map(|object| object.size);
        self.note(part, write.when_applied.clone(), progress, |fact| {
            self.fact(fact, size)
        });
        let Some(object) = object.filter(|object| object.key != write.operation.target()) else {
            return;
        };
        for line in progress.lines.iter_mut().skip(first) {
            line.fields = std::mem::take(&mut line.fields).with("stored_as", &object.key);
        }
    }

    /// Keeps entries to be printed.
    fn note(
        &self,
        part: &Part,
        entries: Vec<Entry>,
        progress: &mut Progress,
        facts: impl Fn(Fact) -> Value,
    ) {
        for entry in entries {
            let fields = Fields::of(&entry, &facts);
            let fields = if entry.is_error {
                fields.with("exception", &entry.message)
            } else {
                fields
            };
            let order = (part.offset, entry.position);
            let Entry {
                scope,
                level,
                message,
                is_error,
                ..
            } = entry;
            progress.lines.push(Line {
                scope,
                order,
                level,
                message,
                fields,
                is_error,
            });
        }
    }

    fn fact(&self, fact: Fact, object_size: Option<usize>) -> Value {
        match fact {
            Fact::Bucket => json!(self.target.bucket),
            Fact::ObjectSize => json!(object_size),
            Fact::AppliedWrites => Value::Null,
        }
    }
}

/// Adds items to what the component is shown; of an item shown before, the newer state.
fn show(known: &mut Vec<StoredItem>, items: &[StoredItem]) {
    for item in items {
        known.retain(|shown| shown.key != item.key);
        known.push(item.clone());
    }
}

/// What an entry says, wherever in a plan it stands.
fn text(entry: &Entry) -> String {
    let fields: Vec<_> = entry
        .fields
        .iter()
        .map(|field| json!([field.name, field.value]))
        .collect();
    json!([entry.message, fields]).to_string()
}
