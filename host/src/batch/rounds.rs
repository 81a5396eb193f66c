//! Carrying out a plan, in rounds: its writes, and where watermarks were lost or items must be seen, a plan anew.

use super::{BatchError, Delivery, Line, Part, Processor, Progress, micros};
use crate::{
    apply::{Failure, Kind, Outcome as Written},
    contract::{Entry, Fact, GroupEntry, Key, Level, OnConflict, Plan, Purpose, StoredItem, Write},
    logic::Logic,
    telemetry::Fields,
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

/// Most rounds of planning for one batch: the first, and three for watermarks that others move meanwhile.
const ROUNDS: u32 = 4;

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
        let mut applied: HashMap<String, Option<usize>> = HashMap::new();
        let mut settled: HashSet<String> = HashSet::new();
        let mut known: Vec<StoredItem> = Vec::new();
        let records = plan.tally.records;
        progress.counters.deltas += u64::from(plan.tally.deltas);
        progress.counters.rejects += plan.rejects.len() as u64;
        for reject in &plan.rejects {
            progress
                .quarantined
                .entry(part.offset + reject.record)
                .or_default()
                .push(reject.reason.clone());
        }
        self.note(part, std::mem::take(&mut plan.log), progress, |_| {
            Value::Null
        });
        let groups: Vec<GroupEntry> = std::mem::take(&mut plan.group_log);
        let mut duplicates;
        let mut waiting: Vec<(Write, Failure)> = Vec::new();
        let mut round = 1;
        loop {
            duplicates = plan.tally.duplicates;
            let writes: Vec<&Write> = plan
                .writes
                .iter()
                .filter(|write| !settled.contains(&write.id))
                .collect();
            let started = Instant::now();
            let outcomes = self.target.apply(&writes, delivery.deadline).await;
            progress.counters.apply_micros += micros(started);
            waiting.clear();
            for (write, outcome) in writes.into_iter().zip(outcomes) {
                match outcome {
                    Written::Applied { object_size } => {
                        self.count_applied(write, progress);
                        applied.insert(write.id.clone(), object_size);
                        self.note(part, write.when_applied.clone(), progress, |fact| {
                            self.fact(fact, object_size)
                        });
                    }
                    Written::Conflicted { stored } if write.on_conflict == OnConflict::RePlan => {
                        progress.counters.conflicts += 1;
                        show(&mut known, stored);
                        waiting.push((write.clone(), contended()));
                        continue;
                    }
                    Written::Conflicted { .. } => {
                        progress.counters.conflicts += 1;
                        self.note(part, write.when_conflicted.clone(), progress, |_| {
                            Value::Null
                        });
                    }
                    Written::Failed(failure) => self.fail(part, write, &failure, progress),
                }
                settled.insert(write.id.clone());
            }
            if waiting.is_empty() && plan.reads.is_empty() {
                break;
            }
            if round == ROUNDS {
                for (write, failure) in &waiting {
                    self.fail(part, write, failure, progress);
                }
                if !plan.reads.is_empty() {
                    progress.failing.extend(part.offset..part.offset + records);
                }
                break;
            }
            round += 1;
            match self
                .plan_again(logic, part, &plan.reads, &mut known, delivery, progress)
                .await
            {
                Ok(next) => plan = next,
                // The batch was planned before and parts of it are written: what is left is delivered again.
                Err(error) => {
                    if matches!(error, BatchError::Logic(_) | BatchError::Breach(_)) {
                        self.switch.roll_back(logic, &error);
                    }
                    let failure = Failure {
                        message: error.to_string(),
                        ..contended()
                    };
                    for (write, _) in &waiting {
                        self.fail(part, write, &failure, progress);
                    }
                    if waiting.is_empty() {
                        progress.failing.extend(part.offset..part.offset + records);
                    }
                    break;
                }
            }
        }
        progress.counters.duplicates += u64::from(duplicates);
        for group in groups {
            let count = group
                .writes
                .iter()
                .filter(|id| applied.contains_key(*id))
                .count();
            if count > 0 {
                self.note(part, vec![group.entry], progress, |_| json!(count));
            }
        }
        Ok(())
    }

    /// Another round, with the items that the component asked for.
    async fn plan_again(
        &self,
        logic: &Logic,
        part: &Part,
        reads: &[Key],
        known: &mut Vec<StoredItem>,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<Plan, BatchError> {
        let items = self
            .target
            .read(reads, delivery.deadline)
            .await
            .map_err(|failure| BatchError::CutOff(failure.to_string()))?;
        show(known, items);
        self.plan(logic, part, known, delivery, progress).await
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
            Kind::Passing => progress.failing.extend(records),
            Kind::Permanent => {
                let reason = format!(
                    "the {} write to {} can never be made: {failure}",
                    write.purpose,
                    write.operation.target()
                );
                for record in records {
                    progress
                        .quarantined
                        .entry(record)
                        .or_default()
                        .push(reason.clone());
                }
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
                    .with("exception", format!("{failure:?}")),
                is_error: entry.is_error,
            });
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
fn show(known: &mut Vec<StoredItem>, items: Vec<StoredItem>) {
    for item in items {
        known.retain(|shown| shown.key != item.key);
        known.push(item);
    }
}

/// What it is when others keep moving a watermark.
fn contended() -> Failure {
    Failure {
        kind: Kind::Passing,
        operation: "UpdateItem",
        code: "Contended".into(),
        message: format!("the item changed in each of {ROUNDS} rounds"),
    }
}
