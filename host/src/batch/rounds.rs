//! Carrying out a plan, in rounds: its writes, and where a condition failed or items must be seen, another plan.

use super::{
    BatchError,
    log::Line,
    micros,
    part::{Part, PartIndex},
    run::Run,
    sent::Sent,
};
use crate::{
    contract::{
        Entry, Fact, GroupEntry, Key, Level, OnConflict, Plan, Purpose, Reject, StoredItem, Write,
    },
    event::BatchIndex,
    limiter::policy::{self, Breach},
    notice::Notice,
    settings::Policy,
    store::{Failure, Kind, StoredObject, Written},
    telemetry::Fields,
};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc, time::Instant};

/// The most rounds of planning for one batch: the first, and three for watermarks that others move meanwhile.
const MAX_ROUNDS: u32 = 4;

/// The plans of one part, and what has come of them so far.
pub(super) struct Rounds<'r, 'p> {
    run: &'r mut Run<'p>,
    part: &'r mut Part,
    /// Rounds begun.
    round: u32,
    /// Ids of the writes that were made.
    applied: HashSet<String>,
    /// Ids of the writes that are not made again.
    settled: HashSet<String>,
    /// Whether a plan had usage.
    has_counted: bool,
    /// Writes that need another plan.
    waiting: Vec<Waiting>,
    /// Writes that failed, and the batch must tell why.
    undecided: Vec<(Sent, Failure)>,
    /// What the plans said.
    said: HashSet<String>,
    /// What they rejected.
    rejected: HashSet<(PartIndex, String)>,
}

/// A write whose condition was false.
struct Waiting {
    sent: Sent,
    stored: Vec<StoredItem>,
    item: Item,
}

/// What happens to a stored item between rounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    /// It is as it was.
    Unchanged,
    /// Others changed it.
    Moving,
}

/// A line about several writes: the ids of these, each with the updates that it stands for.
struct Group {
    writes: Vec<(String, u32)>,
    entry: Entry,
}

impl Group {
    /// Takes from a plan what it says of several writes together. A place where the plan has no write counts for none.
    fn take(plan: &mut Plan) -> Vec<Self> {
        let groups = std::mem::take(&mut plan.group_log);
        let group = |group: GroupEntry| {
            let places = group.writes.iter();
            let writes = places.filter_map(|place| plan.writes.get(*place as usize));
            Self {
                writes: writes.map(|write| (write.id(), write.updates)).collect(),
                entry: group.entry,
            }
        };
        groups.into_iter().map(group).collect()
    }
}

/// Whether another plan can follow, for which what was said must be remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Possible,
    Impossible,
}

impl Next {
    fn after(plan: &Plan) -> Self {
        let is_skipped = |write: &Write| write.on_conflict == OnConflict::Skip;
        if plan.reads.is_empty() && plan.writes.iter().all(is_skipped) {
            Self::Impossible
        } else {
            Self::Possible
        }
    }
}

/// Why a part is left unfinished.
enum Unfinished {
    /// There is no further round.
    LastRound,
    /// There is no further plan.
    NoPlan(BatchError),
}

impl<'r, 'p> Rounds<'r, 'p> {
    /// Begins with a part that is planned.
    pub(super) fn new(run: &'r mut Run<'p>, part: &'r mut Part) -> Self {
        Self {
            run,
            part,
            round: 0,
            applied: HashSet::new(),
            settled: HashSet::new(),
            has_counted: false,
            waiting: Vec::new(),
            undecided: Vec::new(),
            said: HashSet::new(),
            rejected: HashSet::new(),
        }
    }

    /// Makes a plan's writes; where conditions failed or items must be seen, plans again.
    pub(super) async fn carry_out(mut self, mut plan: Plan) {
        let (records, deltas) = (plan.tally.records, plan.tally.deltas);
        let degraded = plan.tally.degraded;
        self.run
            .progress
            .note(Notice::PlanMade { deltas, degraded });
        let groups = Group::take(&mut plan);
        let duplicates = loop {
            self.round += 1;
            let duplicates = plan.tally.duplicates;
            let reads = self.make(plan).await;
            if self.waiting.is_empty() && reads.is_empty() {
                break duplicates;
            }
            match self.plan_again(&reads).await {
                Ok(next) => plan = next,
                Err(unfinished) => {
                    // Parts of the batch are written: only what is left of it is delivered again.
                    let all = if reads.is_empty() { 0 } else { records };
                    self.leave(all, &unfinished);
                    break duplicates;
                }
            }
        };
        self.run
            .progress
            .note(Notice::DuplicatesFound { duplicates });
        self.decide();
        self.note_groups(groups);
    }

    /// Does what a plan says, and gives what it asks for.
    async fn make(&mut self, plan: Plan) -> Vec<Key> {
        let next = Next::after(&plan);
        self.note_rejects(plan.rejects);
        self.note_entries(plan.log, next);
        self.make_writes(plan.writes).await;
        plan.reads
    }

    /// Notes what a plan rejects and no earlier one did.
    fn note_rejects(&mut self, rejects: Vec<Reject>) {
        for reject in rejects {
            let rejected = (PartIndex::from(reject.record), reject.reason);
            if self.round > 1 && self.rejected.contains(&rejected) {
                continue;
            }
            let (record, reason) = (self.part.index(rejected.0), rejected.1.as_str());
            self.run.progress.note(Notice::RecordRejected {});
            self.run.progress.quarantine(record, reason.into());
            self.rejected.insert(rejected);
        }
    }

    /// Notes what a plan says and no earlier one did.
    fn note_entries(&mut self, mut entries: Vec<Entry>, next: Next) {
        if self.round > 1 {
            entries.retain(|entry| !self.said.contains(&text(entry)));
        }
        if next == Next::Possible {
            self.said.extend(entries.iter().map(text));
        }
        self.note(entries, |_| Value::Null);
    }

    /// Makes the writes that are not settled.
    async fn make_writes(&mut self, writes: Vec<Write>) {
        let open = writes.into_iter().map(Sent::split);
        let open = open.filter(|(sent, _)| !self.settled.contains(&sent.id));
        let (sent, requests): (Vec<_>, Vec<_>) = open.unzip();
        self.has_counted |= sent.iter().any(|sent| sent.purpose == Purpose::Usage);
        let started = Instant::now();
        let (target, effort) = (&self.run.processor.target, &self.run.progress.effort);
        let written = target.apply(requests, effort).await;
        self.run.progress.note(Notice::WritingTook {
            micros: micros(started),
        });
        let before = std::mem::take(&mut self.waiting);
        for (sent, written) in sent.into_iter().zip(written) {
            if self.round == 1 {
                self.run.progress.behind.count(&sent, &written);
            }
            self.note_written(sent, written, &before);
        }
    }

    /// Notes what became of a write. `before` are those whose condition was false in the round before.
    fn note_written(&mut self, sent: Sent, written: Written, before: &[Waiting]) {
        let progress = &mut self.run.progress;
        if !matches!(written, Written::Failed(_)) {
            progress.accepted.count(sent.purpose, &sent.target);
        }
        match written {
            Written::Applied { object } => {
                progress.note(Notice::WriteApplied {
                    purpose: sent.purpose,
                    updates: sent.updates,
                });
                self.applied.insert(sent.id.clone());
                self.settled.insert(sent.id);
                self.note_applied(sent.when_applied, &sent.target, object);
            }
            Written::Conflicted { stored } => {
                progress.note(Notice::WriteConflicted {});
                match sent.on_conflict {
                    OnConflict::RePlan => self.wait(sent, stored, before),
                    OnConflict::Skip => {
                        self.settled.insert(sent.id);
                        self.note(sent.when_conflicted, |_| Value::Null);
                    }
                }
            }
            Written::Failed(failure) => {
                self.settled.insert(sent.id.clone());
                match failure.kind {
                    Kind::Undecided => self.undecided.push((sent, failure)),
                    _ => self.fail(sent, &failure),
                }
            }
        }
    }

    /// Keeps a write whose condition was false until there is another plan.
    fn wait(&mut self, sent: Sent, stored: Vec<StoredItem>, before: &[Waiting]) {
        let last = before.iter().find(|last| last.sent.id == sent.id);
        let item = match last {
            Some(last) if last.item == Item::Moving || last.stored != stored => Item::Moving,
            _ => Item::Unchanged,
        };
        self.part.show(&stored);
        self.waiting.push(Waiting { sent, stored, item });
    }

    /// Another plan, with the items that the component asked for.
    async fn plan_again(&mut self, reads: &[Key]) -> Result<Plan, Unfinished> {
        if self.round == MAX_ROUNDS {
            return Err(Unfinished::LastRound);
        }
        let Run {
            processor,
            progress,
            ..
        } = &mut *self.run;
        let items = processor.target.read(reads, &progress.effort).await;
        let items = items.map_err(|failure| {
            if let Kind::Setup(remedy) = failure.kind {
                progress.faults.note(remedy, &failure);
            }
            Unfinished::NoPlan(BatchError::CutOff(failure.to_string()))
        })?;
        self.part.show(&items);
        let planned = self.run.plan(self.part).await;
        let planned = planned.and_then(|plan| {
            self.check_again(&plan)?;
            Ok(plan)
        });
        planned.map_err(|error| {
            if matches!(error, BatchError::Logic(_) | BatchError::Breach(_)) {
                self.run.processor.switch.roll_back(&self.run.logic, &error);
            }
            Unfinished::NoPlan(error)
        })
    }

    /// Once a plan had usage, those after it have no other: each of its writes is settled by now, or waits.
    fn check_again(&self, plan: &Plan) -> Result<(), Breach> {
        if !self.has_counted || self.run.processor.settings.policy == Policy::Static {
            return Ok(());
        }
        let waiting = self.waiting.iter();
        let waiting: HashSet<&str> = waiting.map(|waiting| waiting.sent.id.as_str()).collect();
        policy::check_again(plan, |id| self.settled.contains(id) || waiting.contains(id))
    }

    /// Has what is open delivered again: the writes that wait, and the first `records` of the part.
    fn leave(&mut self, records: u32, unfinished: &Unfinished) {
        for Waiting { sent, item, .. } in std::mem::take(&mut self.waiting) {
            let mut failure = unsettled(item);
            if let Unfinished::NoPlan(error) = unfinished {
                failure.message = error.to_string();
            }
            self.fail(sent, &failure);
        }
        let failing = &mut self.run.progress.failing;
        failing.extend(self.part.first.range(records));
    }

    /// Tells the item's fault from the set-up's where the service did not.
    fn decide(&mut self) {
        for (sent, failure) in std::mem::take(&mut self.undecided) {
            let accepted = &self.run.progress.accepted;
            let kind = accepted.kind(sent.purpose, &sent.target);
            self.fail(sent, &failure.with_kind(kind));
        }
    }

    /// Notes a failed write: its records are delivered again, or kept apart where that cannot help.
    fn fail(&mut self, sent: Sent, failure: &Failure) {
        let (progress, part) = (&mut self.run.progress, &self.part);
        progress.note(Notice::WriteFailed {
            purpose: sent.purpose,
        });
        let records = sent.records.iter();
        let records = records.map(|record| part.index(PartIndex::from(*record)));
        match failure.kind {
            Kind::Transient | Kind::Undecided => progress.failing.extend(records),
            Kind::Setup(remedy) => {
                progress.failing.extend(records);
                progress.faults.note(remedy, failure);
            }
            Kind::Permanent => {
                let (purpose, target) = (sent.purpose, &sent.target);
                let reason =
                    format!("the {purpose} write to {target} can never be made: {failure}");
                let reason: Arc<str> = reason.into();
                records.for_each(|record| progress.quarantine(record, Arc::clone(&reason)));
            }
        }
        let windows = &self.run.processor.settings.logic.windows;
        if let Some(mut entry) = sent.failed.line(sent.purpose, windows) {
            let fields = Fields::of(&entry, |fact| self.fact(fact, None));
            let fields = fields.with("exception", failure.to_string());
            entry.message = format!("{}: {failure}", entry.message);
            if failure.kind == Kind::Permanent {
                entry.level = Level::Error;
            }
            let line = Line::with(entry, self.part.first, fields);
            self.run.progress.lines.push(line);
        }
    }

    /// Keeps a made write's entries. An object that got another name than the planned one is named as well.
    fn note_applied(&mut self, entries: Vec<Entry>, planned: &str, object: Option<StoredObject>) {
        let size = object.as_ref().map(|object| object.size);
        let renamed = object.filter(|object| object.key != planned);
        for entry in entries {
            let mut line = Line::of(entry, self.part.first, |fact| self.fact(fact, size));
            if let Some(object) = &renamed {
                line.fields = line.fields.with("stored_as", &object.key);
            }
            self.run.progress.lines.push(line);
        }
    }

    /// Keeps the entries about several writes, where any of them was made.
    fn note_groups(&mut self, groups: Vec<Group>) {
        for Group { writes, entry } in groups {
            let applied = writes.iter().filter(|(id, _)| self.applied.contains(id));
            let (count, sum) = applied.fold((0_u64, 0_u64), |(count, sum), (_, updates)| {
                (count + 1, sum + u64::from(*updates))
            });
            if count > 0 {
                self.note(vec![entry], |fact| match fact {
                    Fact::AppliedUpdates => json!(sum),
                    _ => json!(count),
                });
            }
        }
    }

    /// Keeps entries to be printed.
    fn note(&mut self, entries: Vec<Entry>, facts: impl Fn(Fact) -> Value) {
        let first: BatchIndex = self.part.first;
        let lines = entries
            .into_iter()
            .map(|entry| Line::of(entry, first, &facts));
        self.run.progress.lines.extend(lines);
    }

    fn fact(&self, fact: Fact, object_size: Option<usize>) -> Value {
        match fact {
            Fact::Bucket => json!(self.run.processor.target.bucket),
            Fact::ObjectSize => json!(object_size),
            Fact::AppliedWrites | Fact::AppliedUpdates => Value::Null,
        }
    }
}

/// Why a write's condition is still false after the last round: others keep changing the item, or the service refuses a
/// condition that it shows to hold.
fn unsettled(item: Item) -> Failure {
    let (code, message) = match item {
        Item::Moving => (
            "Contended",
            format!("the item changed in each of {MAX_ROUNDS} rounds"),
        ),
        Item::Unchanged => (
            "NoProgress",
            format!(
                "the condition was refused in each of {MAX_ROUNDS} rounds, though the item is as the plan was made for it"
            ),
        ),
    };
    Failure {
        kind: Kind::Transient,
        operation: "UpdateItem",
        code: code.into(),
        message,
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
