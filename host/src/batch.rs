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
mod planning;
mod quarantine;
mod rounds;
mod shadow;

pub use outcome::{Body, Counters, ItemFailure, Outcome, Response};

use crate::{
    apply::{Target, policy},
    capture::{Origins, Sampler},
    contract::Level,
    event::Records,
    logic::{Logic, LogicError, Switch},
    metrics,
    settings::{Metrics, Settings},
    telemetry::{self, Fields, Logger},
};
use journal::Line;
use planning::{batch, is_out_of_time};
pub use shadow::SHARE as SHADOW_SHARE;
use shadow::Shadow;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
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
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
