//! The life of one batch: plan → policy → apply → outcome. Everything that has records calls this.
//!
//! **What fails, and what follows** (rules: "Failures"):
//!
//! | failure | consequence |
//! |---|---|
//! | a write, for a transient reason | its records are reported in `batchItemFailures`, to be delivered again |
//! | a write, by a fault of the set-up | the same; logged at ERROR with what to do |
//! | a write that can never succeed | logged at ERROR, its records go to quarantine |
//! | a record that cannot be understood | goes to quarantine |
//! | the component, also on a probe of ordinary records | the whole batch fails, nothing is done |
//! | the component, on these records only | halves are planned by themselves, down to the record at fault, which goes to quarantine |
//!
//! Whatever is delivered again is safe to do again: watermarks and conditions see to it.

mod accepted;
mod behind;
mod faults;
mod journal;
mod outcome;
mod planning;
mod quarantine;
mod rounds;
mod shadow;

pub use outcome::{Body, Counters, ItemFailure, Outcome, Response};

use crate::{
    capture::{Origins, Sampler},
    component::{Logic, LogicError, Switch},
    contract::Level,
    event::{self, Records},
    limiter::policy,
    metrics,
    settings::{Metrics, Settings},
    store::{Effort, Target},
    telemetry::{self, Fields, Logger},
};
use accepted::Accepted;
use behind::Behind;
use faults::{Faults, TableCheck};
use journal::Line;
use planning::{batch, is_out_of_time};
pub use shadow::SHARE as SHADOW_SHARE;
use shadow::{Comparison, Shadow};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// What turns batches into outcomes. Share it: all state is that of its clients.
pub struct Processor {
    switch: Switch,
    shadow: Option<Shadow>,
    sampler: Option<Sampler>,
    target: Target,
    settings: Settings,
    table: TableCheck,
    /// Streams that were warned of as starting anew.
    behind: Mutex<BTreeSet<String>>,
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
    /// There are too many records for one batch.
    #[error(
        "the event has more than {} records, ten times what Lambda delivers at once: deliver it in parts",
        event::MOST_RECORDS
    )]
    TooManyRecords,
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
struct Progress {
    effort: Effort,
    counters: Counters,
    lines: Vec<Line>,
    /// Records to be delivered again.
    failing: BTreeSet<u32>,
    /// Records to be kept in quarantine, with the reasons.
    quarantined: BTreeMap<u32, Vec<Arc<str>>>,
    /// What is wrong with the set-up.
    faults: Faults,
    accepted: Accepted,
    behind: Behind,
}

/// Reasons kept of one record: those of its windows, refill and doubling are fewer.
const MOST_REASONS: usize = 8;

impl Progress {
    /// Keeps a record for the quarantine. What one failure costs is not multiplied by its records.
    fn quarantine(&mut self, record: u32, reason: Arc<str>) {
        let reasons = self.quarantined.entry(record).or_default();
        if reasons.len() < MOST_REASONS {
            reasons.push(reason);
        }
    }

    fn new(delivery: &Delivery) -> Self {
        Self {
            effort: Effort::until(delivery.deadline),
            counters: Counters::default(),
            lines: Vec::new(),
            failing: BTreeSet::new(),
            quarantined: BTreeMap::new(),
            faults: Faults::default(),
            accepted: Accepted::default(),
            behind: Behind::default(),
        }
    }
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
            table: TableCheck::default(),
            behind: Mutex::default(),
            totals: Mutex::default(),
            planners: Semaphore::new(cores),
        }
    }

    /// With a second component, whose plans are compared and thrown away.
    pub fn with_shadow(mut self, shadow: impl Into<Switch>) -> Self {
        self.shadow = Some(Shadow::new(shadow.into(), self.settings.policy));
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
        if event::is_too_long(event) {
            let error = BatchError::TooManyRecords;
            self.log_refusal(delivery, &error);
            return Err(error);
        }
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
        let processed = self.beside_table_check(processed);
        let (outcome, ()) = tokio::join!(processed, self.sample(event, delivery).instrument(span));
        outcome
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
        let mut progress = Progress::new(delivery);
        let whole = Part {
            event: event.to_vec(),
            offset: 0,
        };
        let (records, comparison) = self
            .plan_and_carry_out(&mut logic, &whole, delivery, &mut progress)
            .await?;
        let failures = self.settle(event, delivery, &mut progress).await?;
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
            errors: outcome::listed(errors),
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

    /// Keeps what cannot be used, says what is wrong, and names the record to deliver again from.
    async fn settle(
        &self,
        event: &[u8],
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<Vec<ItemFailure>, BatchError> {
        // Where the component says why it counts none of it, nothing is refused as a duplicate.
        let is_behind = progress.behind.is_all() && progress.counters.duplicates > 0;
        let is_clean = progress.quarantined.is_empty() && progress.failing.is_empty() && !is_behind;
        // Reading the event here takes a pass over all of it, so only where something went wrong.
        let text = match is_clean {
            true => Cow::Borrowed(""),
            false => String::from_utf8_lossy(event),
        };
        let records = Records::of(&text);
        if !progress.quarantined.is_empty() {
            self.quarantine(&records, progress).await;
        }
        if is_behind {
            self.warn_of_stream(&records, delivery);
        }
        if let Some(error) = self.table.take() {
            progress.faults.note(error.remedy(), &error);
        }
        progress.faults.log();
        let Some(record) = progress.failing.first() else {
            return Ok(Vec::new());
        };
        let identifier = records
            .sequence_number(*record)
            .ok_or(BatchError::Unreportable { record: *record })?;
        Ok(vec![ItemFailure {
            item_identifier: identifier,
        }])
    }

    /// Plans the batch and makes the writes. Gives the number of its records, and the shadow's plan that is to be compared.
    async fn plan_and_carry_out(
        &self,
        logic: &mut Logic,
        whole: &Part,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<(u32, Option<Comparison>), BatchError> {
        let planned = self
            .plan_or_roll_back(logic, whole, delivery, progress)
            .await;
        match planned {
            Ok(plan) => {
                let records = plan.tally.records;
                self.log_start(delivery, records);
                let comparison = self.shadow.as_ref().and_then(|shadow| {
                    let batch = batch(whole, &[], delivery);
                    shadow.begin(batch, &self.settings.logic, &plan, progress)
                });
                self.carry_out(logic, whole, plan, delivery, progress)
                    .await?;
                Ok((records, comparison))
            }
            Err(error @ BatchError::Logic(LogicError::Refused(_))) => {
                self.log_refusal(delivery, &error);
                Err(error)
            }
            Err(error) => {
                let text = String::from_utf8_lossy(&whole.event);
                let records = Records::of(&text);
                self.log_start(delivery, records.count() as u32);
                telemetry::line(
                    Level::Error,
                    Logger::Handler,
                    &format!("Batch cannot be planned: {error}"),
                    &Fields::new().with("component", logic.name()),
                );
                if !is_out_of_time(logic, &error) {
                    self.probe(logic, error, delivery).await?;
                }
                self.plan_apart(logic, &records, delivery, progress).await?;
                Ok((records.count() as u32, None))
            }
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
