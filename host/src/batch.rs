//! The life of one batch: plan → check → write in rounds → quarantine → report. Everything that has records calls this.
//!
//! **What fails, and what follows** (rules: "Failures"):
//!
//! | failure | consequence |
//! |---|---|
//! | a write, for a transient reason | its records are reported in `batchItemFailures`, to be delivered again |
//! | a write, because the set-up is wrong | the same; logged at ERROR with what to do |
//! | a write that can never succeed | logged at ERROR, its records go to quarantine |
//! | a record that cannot be understood | it goes to quarantine |
//! | the component, even on a probe of ordinary records | the whole batch fails, nothing is done |
//! | the component, on these records only | halves are planned separately, down to the record at fault, which goes to quarantine |
//!
//! Redelivery is always safe: watermarks and conditions refuse what is done already.

mod accepted;
mod behind;
mod faults;
mod log;
mod open;
mod outcome;
mod part;
mod planning;
mod quarantine;
mod rounds;
mod run;
mod sent;
mod shadow;

pub use crate::counters::Counters;
pub use open::OpenError;
pub use outcome::{Body, Outcome, Response};
pub use shadow::SHARE as SHADOW_SHARE;

use crate::{
    capture::Sampler,
    component::{HotSwap, Logic, LogicError},
    contract::Batch,
    event,
    limiter::policy,
    notice::Notice,
    settings::Settings,
    store::Target,
};
use faults::TableCheck;
use part::Part;
use run::Run;
use shadow::Shadow;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tracing::Instrument;

/// Turns batches into outcomes. Share it: all its state is that of its clients.
pub struct Processor {
    switch: HotSwap,
    shadow: Option<Shadow>,
    sampler: Option<Sampler>,
    target: Target,
    settings: Settings,
    table: TableCheck,
    /// Streams that a warning said start anew.
    behind: Mutex<BTreeSet<String>>,
    totals: Mutex<Counters>,
    /// Planning takes a processor core: no more plans are made at once than there are cores.
    planners: Semaphore,
}

/// One delivery of a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery; a redelivery has another name.
    pub request_id: String,
    /// The function that was invoked.
    pub function_name: String,
    /// The time, in milliseconds since the epoch.
    pub now: u64,
    /// When the batch must be done. What is unfinished then is reported as failed.
    pub deadline: tokio::time::Instant,
}

/// The part of an invocation's time that is kept for its answer, so that a batch cut short is reported before the
/// time-out: a tenth, at least 200 ms and at most 2 s.
pub fn margin(remaining: Duration) -> Duration {
    (remaining / 10).clamp(Duration::from_millis(200), Duration::from_secs(2))
}

/// Why all of a batch must be delivered again: nothing of it was done, or what failed cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The component gave no plan.
    #[error(transparent)]
    Logic(#[from] LogicError),
    /// Its plan is not allowed.
    #[error(transparent)]
    Breach(#[from] policy::Breach),
    /// Planning ended without a result, or the items that it asked for cannot be read.
    #[error("planning was cut off: {0}")]
    CutOff(String),
    /// The event has too many records for one batch.
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

impl Processor {
    /// A processor that plans with a component, which the switch may replace while it works, and writes to `target`.
    pub fn new(logic: impl Into<HotSwap>, target: Target, settings: Settings) -> Self {
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
    pub fn with_shadow(mut self, shadow: impl Into<HotSwap>) -> Self {
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
    /// Takes the event: it is not copied, except into the component's memory.
    ///
    /// # Errors
    /// [`BatchError`]: the whole batch must be delivered again. Failures of single records are in the response.
    pub async fn process(
        &self,
        event: Vec<u8>,
        delivery: &Delivery,
    ) -> Result<Outcome, BatchError> {
        if event::is_too_long(&event) {
            let error = BatchError::TooManyRecords;
            log_refusal(delivery, &error);
            return Err(error);
        }
        self.switch.poll_if_due(self.vet());
        let run = Run::new(self, delivery);
        let span = tracing::info_span!(
            "batch",
            request_id = delivery.request_id,
            component = run.logic.description().version
        );
        let whole = Part::whole(event, delivery);
        let sample = self.sample(Arc::clone(&whole.batch), delivery);
        let sample = sample.instrument(span.clone());
        let processed = self.beside_table_check(run.process(whole).instrument(span));
        let (outcome, ()) = tokio::join!(processed, sample);
        outcome
    }

    /// Keeps the batch, if it is one of those to be kept.
    async fn sample(&self, batch: Arc<Batch>, delivery: &Delivery) {
        let Some(sampler) = self.sampler.as_ref().filter(|sampler| sampler.is_due()) else {
            return;
        };
        // A sample that is not stored in time is one sample less.
        let _ = tokio::time::timeout_at(delivery.deadline, sampler.keep(batch)).await;
    }
}

fn log_refusal(delivery: &Delivery, error: &BatchError) {
    let refused = Notice::EventRefused {
        request_id: &delivery.request_id,
        function_name: &delivery.function_name,
        error,
    };
    refused.emit();
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
