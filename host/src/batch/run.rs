//! One batch on its way: its phases, and what has come of it so far.

use super::{
    BatchError, Counters, Delivery, Outcome, Processor,
    accepted::Accepted,
    behind::Behind,
    faults::Faults,
    log::Line,
    log_refusal, micros,
    outcome::{Body, Response},
    part::Part,
    planning::is_out_of_time,
    rounds::Rounds,
    shadow::{Comparison, Shadow},
};
use crate::{
    component::{HotSwap, Logic, LogicError},
    contract::Plan,
    event::{BatchIndex, Records},
    metrics,
    notice::Notice,
    settings::Metrics,
    store::Effort,
    telemetry,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Instant,
};

/// A batch that is being processed.
pub(super) struct Run<'p> {
    pub(super) processor: &'p Processor,
    pub(super) delivery: &'p Delivery,
    /// The component that plans. The batch keeps it, unless it fails and another one can plan the batch.
    pub(super) logic: Logic,
    pub(super) started: Instant,
    pub(super) progress: Progress,
}

/// What has come of a batch so far.
pub(super) struct Progress {
    pub(super) effort: Effort,
    pub(super) counters: Counters,
    pub(super) lines: Vec<Line>,
    /// Records to be delivered again.
    pub(super) failing: BTreeSet<BatchIndex>,
    /// Records to be kept in quarantine, with the reasons.
    pub(super) quarantined: BTreeMap<BatchIndex, Vec<Arc<str>>>,
    /// What is wrong with the set-up.
    pub(super) faults: Faults,
    pub(super) accepted: Accepted,
    pub(super) behind: Behind,
}

/// Reasons kept for one record: its windows, refill and doubling have fewer.
const MAX_REASONS: usize = 8;

impl Progress {
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

    /// Counts and logs what happened.
    pub(super) fn note(&mut self, notice: Notice<'_>) {
        notice.count(&mut self.counters);
        notice.emit();
    }

    /// Keeps a record for the quarantine. The reason is shared: a failure costs the same however many records it has.
    pub(super) fn quarantine(&mut self, record: BatchIndex, reason: Arc<str>) {
        let reasons = self.quarantined.entry(record).or_default();
        if reasons.len() < MAX_REASONS {
            reasons.push(reason);
        }
    }
}

impl<'p> Run<'p> {
    /// Begins a batch, with the component that is in use now.
    pub(super) fn new(processor: &'p Processor, delivery: &'p Delivery) -> Self {
        Self {
            processor,
            delivery,
            logic: processor.switch.current(),
            started: Instant::now(),
            progress: Progress::new(delivery),
        }
    }

    /// All phases.
    pub(super) async fn process(mut self, mut whole: Part) -> Result<Outcome, BatchError> {
        let (records, comparison) = match self.plan_or_roll_back(&whole).await {
            Ok(plan) => self.carry_out(&mut whole, plan).await,
            Err(error) => (self.isolate(&whole, error).await?, None),
        };
        let redelivered = self.settle(&whole.batch.event).await?;
        if let Some(comparison) = comparison {
            comparison.end(&mut self).await;
        }
        Ok(self.report(records, redelivered))
    }

    /// Makes the writes of the whole batch's plan, beside a shadow where there is one. Gives the number of records.
    async fn carry_out(&mut self, whole: &mut Part, plan: Plan) -> (u32, Option<Comparison>) {
        let records = plan.tally.records;
        self.log_start(records);
        let processor = self.processor;
        let comparison = processor
            .shadow
            .as_ref()
            .and_then(|shadow| shadow.begin(whole, &plan, self));
        Rounds::new(self, whole).carry_out(plan).await;
        (records, comparison)
    }

    /// Finds out which records cannot be planned, and does what the others ask for. Gives the number of records.
    async fn isolate(&mut self, whole: &Part, error: BatchError) -> Result<u32, BatchError> {
        if let BatchError::Logic(LogicError::Refused(_)) = error {
            log_refusal(self.delivery, &error);
            return Err(error);
        }
        let text = String::from_utf8_lossy(&whole.batch.event);
        let records = Records::of(&text);
        self.log_start(records.count());
        self.progress.note(Notice::BatchUnplannable {
            component: self.logic.name(),
            error: &error,
        });
        if !is_out_of_time(&self.logic, &error) {
            self.probe(error).await?;
        }
        self.plan_apart(&records).await;
        Ok(records.count())
    }

    /// Puts into quarantine what cannot be used, says what is wrong, and names the record to deliver again from.
    async fn settle(&mut self, event: &[u8]) -> Result<Option<String>, BatchError> {
        let progress = &mut self.progress;
        // Where the component says why it counts none of it, nothing is refused as a duplicate.
        let is_behind = progress.behind.is_all() && progress.counters.duplicates > 0;
        let is_clean = progress.quarantined.is_empty() && progress.failing.is_empty() && !is_behind;
        // Cutting the event apart takes a pass over all of it, so only where something went wrong.
        let text = match is_clean {
            true => Cow::Borrowed(""),
            false => String::from_utf8_lossy(event),
        };
        let records = Records::of(&text);
        if !self.progress.quarantined.is_empty() {
            self.quarantine(&records).await;
        }
        if is_behind {
            self.processor.warn_of_stream(&records, self.delivery);
        }
        if let Some(error) = self.processor.table.take() {
            self.progress.faults.note(error.remedy(), &error);
        }
        self.progress.faults.log();
        let Some(first) = self.progress.failing.first() else {
            return Ok(None);
        };
        match records.sequence_number(*first) {
            Some(number) => Ok(Some(number)),
            None => Err(BatchError::Unreportable {
                record: first.get(),
            }),
        }
    }

    /// Sums up, logs, and answers.
    fn report(mut self, records: u32, redelivered: Option<String>) -> Outcome {
        self.count_swaps();
        self.progress.note(Notice::BatchEnded {
            records,
            micros: micros(self.started),
        });
        let totals = &self.processor.totals;
        *totals.lock().unwrap_or_else(PoisonError::into_inner) += &self.progress.counters;
        let errors = self.log_end(records);
        let counters = self.progress.counters;
        if self.processor.settings.metrics == Some(Metrics::Emf) {
            let (function, description) = (&self.delivery.function_name, self.logic.description());
            let line = metrics::line(&counters, function, description, self.delivery.now);
            telemetry::raw(&line);
        }
        let body = Body::new(records, &counters, errors);
        Outcome {
            response: Response::new(body, redelivered),
            counters,
        }
    }

    /// Counts what became of new components since the batch before.
    fn count_swaps(&mut self) {
        let shadow = self.processor.shadow.as_ref().map(Shadow::switch);
        let switches = [Some(&self.processor.switch), shadow];
        for swaps in switches.into_iter().flatten().map(HotSwap::take_swaps) {
            self.progress.note(Notice::ComponentsSwapped {
                exchanged: swaps.swapped,
                refused: swaps.refused,
                rolled_back: swaps.rolled_back,
            });
        }
    }
}
