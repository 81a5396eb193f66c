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

use crate::{
    apply::{Failure, Kind, Outcome as Written, Target, policy},
    contract::{
        Batch, Compression, Entry, Fact, GroupEntry, Key, Level, OnConflict, Operation, Plan,
        Purpose, PutObject, Scope, StoredItem, Write,
    },
    event::Records,
    logic::{Logic, LogicError, hex},
    metrics,
    settings::{Metrics, Settings},
    telemetry::{self, Fields, Logger},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::{AddAssign, Range},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Most rounds of planning for one batch: the first, and three for watermarks that others move meanwhile.
const ROUNDS: u32 = 4;

/// What turns batches into outcomes. Share it: all state is that of its clients.
pub struct Processor {
    logic: Logic,
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

/// What became of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The answer to whoever delivered it.
    #[serde(flatten)]
    pub response: Response,
    /// What was counted on the way.
    pub counters: Counters,
}

/// The answer to Lambda's event source mapping, and to people who call the function by hand.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Always 200: a batch that fails as a whole has no response.
    pub status_code: u16,
    /// What was done.
    pub body: Body,
    /// Where to deliver again from.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Body {
    /// Records in the batch.
    pub processed: u32,
    /// Pairs of delta and window that were added to snapshots.
    pub snapshots_updated: u64,
    /// Buckets refilled.
    pub refills_written: u64,
    /// Audit events stored.
    pub events_archived: u64,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// A record to be delivered again, with all after it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// Its sequence number.
    pub item_identifier: String,
}

/// Counts over one batch, or over many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// Changes of a limit's counter.
    pub deltas: u64,
    /// Pairs of delta and window that were added to snapshots: the writes there would be without merging.
    pub snapshot_updates: u64,
    /// Writes that added them.
    pub snapshot_writes: u64,
    /// Buckets refilled.
    pub refills: u64,
    /// Shard counts doubled.
    pub shard_bumps: u64,
    /// Shards brought to a new count, or created.
    pub shards_propagated: u64,
    /// Writes whose condition did not hold.
    pub conflicts: u64,
    /// Pairs of delta and window refused because they had been added before.
    pub duplicates: u64,
    /// Records, or parts of one, that could not be used.
    pub rejects: u64,
    /// Writes that failed.
    pub failures: u64,
    /// The same by purpose, where any failed.
    pub failures_by_purpose: BTreeMap<String, u64>,
    /// Audit events stored.
    pub archived_events: u64,
    /// Objects they were stored in.
    pub archived_objects: u64,
    /// Time spent planning, in microseconds.
    pub plan_micros: u64,
    /// Time spent writing, in microseconds.
    pub apply_micros: u64,
    /// The longest that a batch took, in microseconds.
    pub slowest_batch_micros: u64,
}

impl Counters {
    fn count_failure(&mut self, purpose: Purpose) {
        self.failures += 1;
        *self
            .failures_by_purpose
            .entry(purpose.to_string())
            .or_default() += 1;
    }
}

impl AddAssign<&Counters> for Counters {
    fn add_assign(&mut self, other: &Counters) {
        self.batches += other.batches;
        self.records += other.records;
        self.deltas += other.deltas;
        self.snapshot_updates += other.snapshot_updates;
        self.snapshot_writes += other.snapshot_writes;
        self.refills += other.refills;
        self.shard_bumps += other.shard_bumps;
        self.shards_propagated += other.shards_propagated;
        self.conflicts += other.conflicts;
        self.duplicates += other.duplicates;
        self.rejects += other.rejects;
        self.failures += other.failures;
        for (purpose, count) in &other.failures_by_purpose {
            *self.failures_by_purpose.entry(purpose.clone()).or_default() += count;
        }
        self.archived_events += other.archived_events;
        self.archived_objects += other.archived_objects;
        self.plan_micros += other.plan_micros;
        self.apply_micros += other.apply_micros;
        self.slowest_batch_micros = self.slowest_batch_micros.max(other.slowest_batch_micros);
    }
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

/// A log line in waiting: lines are printed in order once everything is done.
struct Line {
    scope: Scope,
    /// The part's offset, then the position within its plan.
    order: (u32, u32),
    level: Level,
    message: String,
    fields: Fields,
    is_error: bool,
}

impl Processor {
    /// A processor of `logic` that writes to `target`.
    pub fn new(logic: Logic, target: Target, settings: Settings) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            logic,
            target,
            settings,
            totals: Mutex::default(),
            planners: Semaphore::new(cores),
        }
    }

    /// The component in use.
    pub fn logic(&self) -> &Logic {
        &self.logic
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
        let started = Instant::now();
        let mut progress = Progress::default();
        let text = String::from_utf8_lossy(event);
        let whole = Part {
            event: event.to_vec(),
            offset: 0,
        };
        let records = match self.plan(&whole, &[], delivery, &mut progress).await {
            Ok(plan) => {
                let records = plan.tally.records;
                self.log_start(delivery, records);
                self.carry_out(&whole, plan, delivery, &mut progress)
                    .await?;
                records
            }
            Err(error @ BatchError::Logic(LogicError::Refused(_))) => {
                self.log_refusal(delivery, &error);
                return Err(error);
            }
            Err(error) => {
                let records = Records::of(&text);
                self.log_start(delivery, records.count() as u32);
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    &format!("Batch cannot be planned: {error}"),
                    &Fields::new().with("component", self.logic.name()),
                );
                if !self.is_out_of_time(&error) {
                    self.probe(error, delivery).await?;
                }
                self.plan_apart(&records, delivery, &mut progress).await?;
                records.count() as u32
            }
        };
        self.quarantine(&Records::of(&text), delivery, &mut progress)
            .await;
        let failures = match progress.failing.first() {
            None => Vec::new(),
            Some(record) => {
                let identifier = Records::of(&text)
                    .sequence_number(*record)
                    .ok_or(BatchError::Unreportable { record: *record })?;
                vec![ItemFailure {
                    item_identifier: identifier,
                }]
            }
        };
        let counters = &mut progress.counters;
        counters.batches = 1;
        counters.records = records.into();
        counters.slowest_batch_micros = micros(started);
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) += counters;
        let errors = self.log_end(delivery, records, started, &mut progress);
        if self.settings.metrics == Some(Metrics::Emf) {
            let line = metrics::line(
                &progress.counters,
                &delivery.function_name,
                self.logic.description(),
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

    /// Plans a part and checks the plan.
    async fn plan(
        &self,
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
        let (logic, settings) = (self.logic.clone(), self.settings.logic.clone());
        let batch = Batch {
            event: part.event.clone(),
            now: delivery.now,
            request_id: delivery.request_id.clone(),
            known: known.to_vec(),
        };
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
    async fn probe(&self, error: BatchError, delivery: &Delivery) -> Result<(), BatchError> {
        let _planner = self
            .planners
            .acquire()
            .await
            .map_err(|error| BatchError::CutOff(error.to_string()))?;
        let (logic, settings) = (self.logic.clone(), self.settings.logic.clone());
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
            match self.plan(&part, &[], delivery, progress).await {
                Ok(plan) => self.carry_out(&part, plan, delivery, progress).await?,
                Err(error) if self.is_out_of_time(&error) => {
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

    /// Whether planning was stopped by the batch's deadline, not by the component's own limit.
    fn is_out_of_time(&self, error: &BatchError) -> bool {
        matches!(error, BatchError::Logic(LogicError::TimedOut(after)) if *after < self.logic.limits().timeout)
    }

    /// Makes a plan's writes; where watermarks were lost or items must be seen, plans again.
    async fn carry_out(
        &self,
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
                .plan_again(part, &plan.reads, &mut known, delivery, progress)
                .await
            {
                Ok(next) => plan = next,
                // The batch was planned before and parts of it are written: what is left is delivered again.
                Err(error) => {
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
        self.plan(part, known, delivery, progress).await
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

    /// Stores what could not be used, with the reasons; where there is no bucket, in the log.
    async fn quarantine(
        &self,
        records: &Records<'_>,
        delivery: &Delivery,
        progress: &mut Progress,
    ) {
        let quarantined = std::mem::take(&mut progress.quarantined);
        if quarantined.is_empty() {
            return;
        }
        let mut body = String::new();
        for (record, reasons) in &quarantined {
            // The record's own text: whatever it is, it is kept as it came, but on one line.
            let json = records
                .json(*record)
                .map_or("null", |record| record.get())
                .replace(['\n', '\r'], " ");
            body.push_str(&format!(
                "{{\"reason\":{},\"record\":{json}}}\n",
                Value::from(reasons.join("; "))
            ));
        }
        let indices: Vec<u32> = quarantined.keys().copied().collect();
        let Some(bucket) = &self.target.bucket else {
            for line in body.lines() {
                let fields = Fields::new().with_json("quarantined", line);
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    "Record quarantined - no bucket, kept here only",
                    &fields,
                );
            }
            return;
        };
        // Named by its content, so that a redelivery overwrites it with itself.
        let first = indices
            .first()
            .and_then(|first| records.sequence_number(*first))
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let digest = hex(&Sha256::digest(&body)[..8]);
        let key = format!(
            "quarantine/{}-{digest}.jsonl.gz",
            first.as_deref().unwrap_or("unnumbered")
        );
        let object = PutObject {
            key: key.clone(),
            content_type: "application/x-ndjson".into(),
            compression: Compression::Gzip,
            metadata: Vec::new(),
            body: body.into_bytes(),
        };
        let write = Write {
            id: key.clone(),
            purpose: Purpose::Quarantine,
            operation: Operation::PutObject(object),
            records: indices.clone(),
            updates: indices.len() as u32,
            on_conflict: OnConflict::Skip,
            when_applied: Vec::new(),
            when_conflicted: Vec::new(),
            when_failed: Vec::new(),
        };
        let fields = Fields::new()
            .with("bucket", bucket)
            .with("key", &key)
            .with("records", indices.len());
        match self.target.apply(&[&write], delivery.deadline).await.pop() {
            Some(Written::Failed(failure)) => {
                progress.counters.count_failure(Purpose::Quarantine);
                progress.failing.extend(indices);
                let message = format!("Error writing to quarantine: {failure}");
                telemetry::line(Level::Error, Logger::Handler, &message, &fields);
            }
            _ => telemetry::line(
                Level::Error,
                Logger::Handler,
                "Records quarantined",
                &fields,
            ),
        }
    }

    fn log_start(&self, delivery: &Delivery, records: u32) {
        let settings = &self.settings;
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("function_name", &delivery.function_name)
            .with("record_count", records)
            .with("table_name", &settings.table)
            .with("snapshot_windows", self.windows())
            .with("enable_archival", settings.logic.archive)
            .with(
                "archive_bucket",
                settings.bucket.as_ref().filter(|_| settings.logic.archive),
            );
        telemetry::line(
            Level::Info,
            Logger::Handler,
            "Lambda invocation started",
            &fields,
        );
        if records > 0 {
            let fields = Fields::new()
                .with("record_count", records)
                .with("windows", self.windows())
                .with("table_name", &settings.table);
            telemetry::line(
                Level::Info,
                Logger::Processor,
                "Batch processing started",
                &fields,
            );
        }
    }

    fn log_refusal(&self, delivery: &Delivery, error: &BatchError) {
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("function_name", &delivery.function_name);
        telemetry::line(
            Level::Error,
            Logger::Handler,
            &format!("Event refused: {error}"),
            &fields,
        );
    }

    fn windows(&self) -> Vec<String> {
        self.settings
            .logic
            .windows
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Prints everything in order, and gives the errors that the response lists.
    fn log_end(
        &self,
        delivery: &Delivery,
        records: u32,
        started: Instant,
        progress: &mut Progress,
    ) -> Vec<String> {
        progress.lines.sort_by_key(|line| line.order);
        let (processor, archiver): (Vec<&Line>, Vec<&Line>) = progress
            .lines
            .iter()
            .partition(|line| line.scope == Scope::Processor);
        let errors = |lines: &[&Line]| {
            lines
                .iter()
                .filter(|line| line.is_error)
                .map(|line| line.message.clone())
                .collect::<Vec<_>>()
        };
        let (processor_errors, archiver_errors) = (errors(&processor), errors(&archiver));
        let counters = &progress.counters;
        let is_empty = records == 0;
        if !is_empty {
            print(&processor, Logger::Processor);
            let fields = Fields::new()
                .with("processed_count", records)
                .with("deltas_extracted", counters.deltas)
                .with("snapshots_updated", counters.snapshot_updates)
                .with("refills_written", counters.refills)
                .with("error_count", processor_errors.len())
                .with("processing_time_ms", milliseconds(started));
            telemetry::line(
                Level::Info,
                Logger::Processor,
                "Batch processing completed",
                &fields,
            );
        }
        if !is_empty && self.settings.logic.archive {
            let fields = Fields::new()
                .with("record_count", records)
                .with("bucket_name", &self.target.bucket);
            telemetry::line(
                Level::Info,
                Logger::Archiver,
                "Archive processing started",
                &fields,
            );
            print(&archiver, Logger::Archiver);
            let fields = Fields::new()
                .with("processed_count", records)
                .with("events_archived", counters.archived_events)
                .with("s3_objects_created", counters.archived_objects)
                .with("error_count", archiver_errors.len())
                .with("processing_time_ms", milliseconds(started));
            telemetry::line(
                Level::Info,
                Logger::Archiver,
                "Archive processing completed",
                &fields,
            );
        }
        let fields = Fields::new()
            .with("request_id", &delivery.request_id)
            .with("processed", records)
            .with("snapshots_updated", counters.snapshot_updates)
            .with("refills_written", counters.refills)
            .with("events_archived", counters.archived_events);
        let fields = if is_empty {
            fields
        } else {
            fields.with("s3_objects_created", counters.archived_objects)
        };
        let fields = fields
            .with(
                "error_count",
                processor_errors.len() + archiver_errors.len(),
            )
            .with("processing_time_ms", milliseconds(started));
        telemetry::line(
            Level::Info,
            Logger::Handler,
            "Lambda invocation completed",
            &fields,
        );
        processor_errors
            .into_iter()
            .chain(archiver_errors)
            .collect()
    }
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

fn print(lines: &[&Line], logger: Logger) {
    for line in lines {
        telemetry::line(line.level, logger, &line.message, &line.fields);
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 100_000.0).round() / 100.0
}
