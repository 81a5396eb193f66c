//! The life of one batch: plan → policy → apply → outcome. Everything that has records calls this.
//!
//! **What fails, and what follows** (rules: "Failures"):
//!
//! | failure | consequence |
//! |---|---|
//! | a write, for a passing reason | its records are reported in `batchItemFailures`, to be delivered again |
//! | a write that can never succeed | logged at ERROR, its records go to quarantine |
//! | a record that cannot be understood | goes to quarantine |
//! | the component, also on a probe of ordinary records | the whole batch fails, nothing is done |
//! | the component, on these records only | halves are planned by themselves, down to the record at fault, which goes to quarantine |
//!
//! Whatever is delivered again is safe to do again: watermarks and conditions see to it.

mod journal;
mod outcome;
mod quarantine;
mod shadow;

pub use outcome::{Body, Counters, ItemFailure, Outcome, Response};

use crate::{
    apply::{Failure, Kind, Outcome as Written, Target, policy},
    capture::{Origins, Sampler},
    contract::{
        Batch, Entry, Fact, GroupEntry, Key, Level, OnConflict, Plan, Purpose, Scope, StoredItem,
        Write,
    },
    event::Records,
    logic::{Logic, LogicError, Switch},
    metrics,
    settings::{Metrics, Settings},
    telemetry::{self, Fields, Logger},
};
use journal::Line;
use serde_json::{Value, json};
pub use shadow::SHARE as SHADOW_SHARE;
use shadow::Shadow;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Range,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// Most rounds of planning for one batch: the first, and three for watermarks that others move meanwhile.
const ROUNDS: u32 = 4;

/// What turns batches into outcomes. Share it: all state is that of its clients.
pub struct Processor {
    switch: Switch,
    shadow: Option<Shadow>,
    sampler: Option<Sampler>,
    target: Target,
    settings: Settings,
    totals: Mutex<Counters>,
    /// Planning takes a processor core: no more at once than there are.
    planners: Semaphore,
}

/// One delivery of a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery; a redelivery has another name.
    pub request_id: String,
    /// Who is asked.
    pub function_name: String,
    /// The time, in milliseconds since the epoch.
    pub now: u64,
    /// When the batch must be done with. What is not finished then is reported as failed.
    pub deadline: tokio::time::Instant,
}

/// Time kept of an invocation's for its answer, so that a batch cut short is reported and does not run into the
/// time-out: a tenth, at least 200 ms and at most 2 s.
pub fn margin(remaining: Duration) -> Duration {
    (remaining / 10).clamp(Duration::from_millis(200), Duration::from_secs(2))
}

/// Why nothing of a batch was done, or nothing can be said of it: all of it must be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// There is no plan.
    #[error(transparent)]
    Logic(#[from] LogicError),
    /// There is one that is not allowed.
    #[error(transparent)]
    Breach(#[from] policy::Breach),
    /// Planning ended without a result.
    #[error("planning was cut off: {0}")]
    CutOff(String),
    /// A record failed and cannot be named.
    #[error(
        "record {record} failed but has no SequenceNumber to report it by; the whole batch must be delivered again"
    )]
    Unreportable {
        /// Its position in the batch.
        record: u32,
    },
}

/// Consecutive records of a batch that are planned together.
struct Part {
    event: Vec<u8>,
    /// The position of its first record in the batch.
    offset: u32,
}

/// What has come of a batch so far.
#[derive(Default)]
struct Progress {
    counters: Counters,
    lines: Vec<Line>,
    /// Records to be delivered again.
    failing: BTreeSet<u32>,
    /// Records to be kept in quarantine, with the reasons.
    quarantined: BTreeMap<u32, Vec<String>>,
}

impl Processor {
    /// A processor that plans with a component, or with one that is exchanged as the switch says, and writes to `target`.
    pub fn new(logic: impl Into<Switch>, target: Target, settings: Settings) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let sampler = settings.capture.clone();
        let sampler = sampler.map(|capture| Sampler::new(capture, target.s3.clone()));
        Self {
            switch: logic.into(),
            shadow: None,
            sampler,
            target,
            settings,
            totals: Mutex::default(),
            planners: Semaphore::new(cores),
        }
    }

    /// With a second component, whose plans are compared and thrown away.
    pub fn with_shadow(mut self, shadow: impl Into<Switch>) -> Self {
        self.shadow = Some(Shadow::new(shadow.into()));
        self
    }

    /// The component for the next batch.
    pub fn logic(&self) -> Logic {
        self.switch.current()
    }

    /// Counts since the start.
    pub fn totals(&self) -> Counters {
        self.totals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Plans a batch and carries the plan out.
    ///
    /// # Errors
    /// [`BatchError`]: the whole batch must be delivered again. Failures of single records are in the response.
    pub async fn process(&self, event: &[u8], delivery: &Delivery) -> Result<Outcome, BatchError> {
        self.switch.refresh(self.vet());
        let logic = self.switch.current();
        let span = tracing::info_span!(
            "batch",
            request_id = delivery.request_id,
            component = logic.description().version
        );
        let processed = self
            .process_with(logic, event, delivery)
            .instrument(span.clone());
        let (outcome, ()) = tokio::join!(processed, self.sample(event, delivery).instrument(span));
        outcome
    }

    /// Passes a new component that plans ordinary records, within policy.
    fn vet(&self) -> impl FnOnce(&Logic) -> Result<(), String> + Send + 'static {
        let settings = self.settings.logic.clone();
        move |logic| {
            let plan = logic
                .probe(&settings, logic.limits().timeout)
                .map_err(|error| format!("it cannot plan ordinary records: {error}"))?;
            policy::check(&plan).map_err(|breach| breach.to_string())
        }
    }

    /// Keeps the batch, if it is one of those to be kept.
    async fn sample(&self, event: &[u8], delivery: &Delivery) {
        let Some(sampler) = self.sampler.as_ref().filter(|sampler| sampler.is_due()) else {
            return;
        };
        let origins = Origins {
            now: delivery.now,
            request_id: delivery.request_id.clone(),
        };
        // A sample that is not stored in time is one sample less.
        let _ = tokio::time::timeout_at(delivery.deadline, sampler.keep(event, &origins)).await;
    }

    async fn process_with(
        &self,
        mut logic: Logic,
        event: &[u8],
        delivery: &Delivery,
    ) -> Result<Outcome, BatchError> {
        let started = Instant::now();
        let mut progress = Progress::default();
        // Reading the event here takes a pass over all of it, so only where something went wrong.
        let text = || String::from_utf8_lossy(event);
        let whole = Part {
            event: event.to_vec(),
            offset: 0,
        };
        let mut comparison = None;
        let planned = self
            .plan_or_roll_back(&mut logic, &whole, delivery, &mut progress)
            .await;
        let records = match planned {
            Ok(plan) => {
                let records = plan.tally.records;
                self.log_start(delivery, records);
                if let Some(shadow) = &self.shadow {
                    let batch = batch(&whole, &[], delivery);
                    comparison = shadow.begin(batch, &self.settings.logic, &plan, &mut progress);
                }
                self.carry_out(&logic, &whole, plan, delivery, &mut progress)
                    .await?;
                records
            }
            Err(error @ BatchError::Logic(LogicError::Refused(_))) => {
                self.log_refusal(delivery, &error);
                return Err(error);
            }
            Err(error) => {
                let text = text();
                let records = Records::of(&text);
                self.log_start(delivery, records.count() as u32);
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    &format!("Batch cannot be planned: {error}"),
                    &Fields::new().with("component", logic.name()),
                );
                if !is_out_of_time(&logic, &error) {
                    self.probe(&logic, error, delivery).await?;
                }
                self.plan_apart(&logic, &records, delivery, &mut progress)
                    .await?;
                records.count() as u32
            }
        };
        if !progress.quarantined.is_empty() {
            self.quarantine(&Records::of(&text()), delivery, &mut progress)
                .await;
        }
        let failures = match progress.failing.first() {
            None => Vec::new(),
            Some(record) => {
                let identifier = Records::of(&text())
                    .sequence_number(*record)
                    .ok_or(BatchError::Unreportable { record: *record })?;
                vec![ItemFailure {
                    item_identifier: identifier,
                }]
            }
        };
        if let Some(comparison) = comparison {
            comparison
                .end(&delivery.request_id, started, &mut progress)
                .await;
        }
        let counters = &mut progress.counters;
        counters.batches = 1;
        counters.records = records.into();
        counters.slowest_batch_micros = micros(started);
        for switch in [Some(&self.switch), self.shadow.as_ref().map(Shadow::switch)] {
            counters.count_exchanges(switch.map(Switch::take_exchanges).unwrap_or_default());
        }
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) += counters;
        let errors = self.log_end(delivery, records, started, &mut progress);
        if self.settings.metrics == Some(Metrics::Emf) {
            let line = metrics::line(
                &progress.counters,
                &delivery.function_name,
                logic.description(),
                delivery.now,
            );
            telemetry::raw(&line);
        }
        let counters = progress.counters;
        let body = Body {
            processed: records,
            snapshots_updated: counters.snapshot_updates,
            refills_written: counters.refills,
            events_archived: counters.archived_events,
            errors,
        };
        Ok(Outcome {
            response: Response {
                status_code: 200,
                body,
                batch_item_failures: failures,
            },
            counters,
        })
    }

    /// Plans the whole batch. Where the component cannot and the one before it can, it is at fault and given up.
    async fn plan_or_roll_back(
        &self,
        logic: &mut Logic,
        whole: &Part,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<Plan, BatchError> {
        let error = match self.plan(logic, whole, &[], delivery, progress).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let Some(other) = self.switch.other_than(logic) else {
            return Err(error);
        };
        if is_out_of_time(logic, &error) {
            // There is no time to see whether the other one can; the batch comes again, and then it is asked.
            self.switch.roll_back(logic, &error);
            return Err(error);
        }
        let plan = match self.plan(&other, whole, &[], delivery, progress).await {
            Ok(plan) => plan,
            Err(_) => return Err(error),
        };
        self.switch.roll_back(logic, &error);
        *logic = other;
        Ok(plan)
    }

    /// Plans a part and checks the plan.
    async fn plan(
        &self,
        logic: &Logic,
        part: &Part,
        known: &[StoredItem],
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<Plan, BatchError> {
        let _planner = self
            .planners
            .acquire()
            .await
            .map_err(|error| BatchError::CutOff(error.to_string()))?;
        let started = Instant::now();
        let (logic, settings) = (logic.clone(), self.settings.logic.clone());
        let batch = batch(part, known, delivery);
        let remaining = delivery
            .deadline
            .saturating_duration_since(tokio::time::Instant::now());
        let planned =
            tokio::task::spawn_blocking(move || logic.plan(&batch, &settings, remaining)).await;
        progress.counters.plan_micros += micros(started);
        let plan = planned.map_err(|error| BatchError::CutOff(error.to_string()))??;
        policy::check(&plan)?;
        policy::check_records(&plan, part.event.len())?;
        Ok(plan)
    }

    /// Passes if the component plans ordinary records; then the batch's own are at fault.
    async fn probe(
        &self,
        logic: &Logic,
        error: BatchError,
        delivery: &Delivery,
    ) -> Result<(), BatchError> {
        let _planner = self
            .planners
            .acquire()
            .await
            .map_err(|error| BatchError::CutOff(error.to_string()))?;
        let (logic, settings) = (logic.clone(), self.settings.logic.clone());
        let remaining = delivery
            .deadline
            .saturating_duration_since(tokio::time::Instant::now());
        match tokio::task::spawn_blocking(move || logic.probe(&settings, remaining)).await {
            Ok(Ok(plan)) if policy::check(&plan).is_ok() => Ok(()),
            _ => Err(error),
        }
    }

    /// Plans halves of a batch by themselves, in order, down to the records that cannot be planned.
    async fn plan_apart(
        &self,
        logic: &Logic,
        records: &Records<'_>,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<(), BatchError> {
        // The whole could not be planned: one record by itself, or halves.
        let mut waiting = halves(0..records.count());
        while let Some(range) = waiting.pop() {
            let part = Part {
                event: records.event(range.clone()).into_bytes(),
                offset: range.start as u32,
            };
            // Behind a record that must be delivered again nothing may be done: it would move watermarks past it.
            if !progress.failing.is_empty() || tokio::time::Instant::now() >= delivery.deadline {
                progress.failing.extend(part.offset..range.end as u32);
                continue;
            }
            match self.plan(logic, &part, &[], delivery, progress).await {
                Ok(plan) => {
                    self.carry_out(logic, &part, plan, delivery, progress)
                        .await?
                }
                Err(error) if is_out_of_time(logic, &error) => {
                    progress.failing.extend(part.offset..range.end as u32)
                }
                Err(error) if range.len() <= 1 => {
                    progress.counters.rejects += 1;
                    progress
                        .quarantined
                        .entry(part.offset)
                        .or_default()
                        .push(error.to_string());
                    progress.lines.push(Line {
                        scope: Scope::Processor,
                        order: (part.offset, 0),
                        level: Level::Error,
                        message: format!("Error processing record: {error}"),
                        fields: Fields::new()
                            .with("record_index", part.offset)
                            .with("exception", error.to_string()),
                        is_error: true,
                    });
                }
                Err(_) => waiting.extend(halves(range)),
            }
        }
        Ok(())
    }

    /// Makes a plan's writes; where watermarks were lost or items must be seen, plans again.
    async fn carry_out(
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

/// What the component is given of a part.
fn batch(part: &Part, known: &[StoredItem], delivery: &Delivery) -> Batch {
    Batch {
        event: part.event.clone(),
        now: delivery.now,
        request_id: delivery.request_id.clone(),
        known: known.to_vec(),
    }
}

/// Whether planning was stopped by the batch's deadline, not by the component's own limit.
fn is_out_of_time(logic: &Logic, error: &BatchError) -> bool {
    matches!(error, BatchError::Logic(LogicError::TimedOut(after)) if *after < logic.limits().timeout)
}

/// The halves of a range, the first one last; of a single record the range itself.
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    let middle = range.start + range.len() / 2;
    match range.len() {
        0 | 1 => Vec::from([range]),
        _ => Vec::from([middle..range.end, range.start..middle]),
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

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
