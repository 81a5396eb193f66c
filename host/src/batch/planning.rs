//! Planning a batch: as a whole, by another component where this one fails, or in halves.

use super::{BatchError, Processor, log::Line, micros, part::Part, rounds::Rounds, run::Run};
use crate::{
    component::{Logic, LogicError},
    contract::{Level, Plan, Scope},
    event::{BatchIndex, Records},
    limiter::{
        policy::{self, Context},
        probe,
    },
    notice::Notice,
    settings::{LogicSettings, Policy},
    telemetry::Fields,
};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

impl Processor {
    /// Passes a new component that plans ordinary records, within policy.
    pub(super) fn vet(&self) -> impl FnOnce(&Logic) -> Result<(), String> + Send + 'static {
        let (settings, policy) = (self.settings.logic.clone(), self.settings.policy);
        move |logic| try_out(logic, &settings, policy, logic.limits().timeout)
    }
}

impl Run<'_> {
    /// Plans the whole batch. Where the component fails and the one before it does not, it is at fault and rolled back.
    pub(super) async fn plan_or_roll_back(&mut self, whole: &Part) -> Result<Plan, BatchError> {
        let error = match self.plan(whole).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let switch = &self.processor.switch;
        let Some(other) = switch.fallback_for(&self.logic) else {
            return Err(error);
        };
        if is_out_of_time(&self.logic, &error) {
            // No time is left to see whether the other one can; the batch comes again, and then it is asked.
            switch.roll_back(&self.logic, &error);
            return Err(error);
        }
        match self.plan_with(&other, whole).await {
            Ok(plan) => {
                switch.roll_back(&self.logic, &error);
                self.logic = other;
                Ok(plan)
            }
            Err(_) => Err(error),
        }
    }

    /// Plans a part with the batch's component, and checks the plan.
    pub(super) async fn plan(&mut self, part: &Part) -> Result<Plan, BatchError> {
        let logic = self.logic.clone();
        self.plan_with(&logic, part).await
    }

    async fn plan_with(&mut self, logic: &Logic, part: &Part) -> Result<Plan, BatchError> {
        let started = Instant::now();
        let (logic, batch) = (logic.clone(), Arc::clone(&part.batch));
        let policy = self.processor.settings.policy;
        let planned = self
            .on_a_core(move |asked, remaining| -> Result<Plan, BatchError> {
                let resolved = logic.resolve(asked)?;
                let context = Context::of(&batch, &resolved).under(policy);
                policy::check_beside(&context, || {
                    Ok(logic.plan(&batch, &resolved.settings, remaining)?)
                })
            })
            .await;
        self.progress.note(Notice::PlanningTook {
            micros: micros(started),
        });
        planned?
    }

    /// Passes if the component plans ordinary records; then the batch's own are at fault.
    pub(super) async fn probe(&self, error: BatchError) -> Result<(), BatchError> {
        let logic = self.logic.clone();
        let policy = self.processor.settings.policy;
        let tried = self
            .on_a_core(move |asked, remaining| try_out(&logic, asked, policy, remaining))
            .await;
        match tried {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(error),
        }
    }

    /// Does work that keeps a processor core busy, when one is free, with the settings and the time that is left.
    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LogicSettings, Duration) -> T + Send + 'static,
    ) -> Result<T, BatchError> {
        let cut_off = |error: &dyn std::error::Error| BatchError::CutOff(error.to_string());
        let planner = self.processor.planners.acquire().await;
        let _planner = planner.map_err(|error| cut_off(&error))?;
        let settings = self.processor.settings.logic.clone();
        let now = tokio::time::Instant::now();
        let remaining = self.delivery.deadline.saturating_duration_since(now);
        let done = tokio::task::spawn_blocking(move || work(&settings, remaining)).await;
        done.map_err(|error| cut_off(&error))
    }

    /// Plans halves of a batch separately, in order, down to the records that cannot be planned.
    pub(super) async fn plan_apart(&mut self, records: &Records<'_>) {
        // The whole could not be planned: what is left of it is a single record, or halves.
        let mut waiting = halves(0..records.count());
        while let Some(range) = waiting.pop() {
            // After a record that must be delivered again nothing may be done: it would move watermarks past it.
            let is_over = tokio::time::Instant::now() >= self.delivery.deadline;
            if is_over || !self.progress.failing.is_empty() {
                self.redeliver(range);
                continue;
            }
            let mut part = Part::of(records, range.clone(), self.delivery);
            match self.plan(&part).await {
                Ok(plan) => Rounds::new(self, &mut part).carry_out(plan).await,
                Err(error) if is_out_of_time(&self.logic, &error) || is_out_of_room(&error) => {
                    self.redeliver(range);
                }
                Err(error) if range.len() <= 1 => self.reject(part.first, &error),
                Err(_) => waiting.extend(halves(range)),
            }
        }
    }

    fn redeliver(&mut self, range: Range<u32>) {
        let records = range.map(BatchIndex::from);
        self.progress.failing.extend(records);
    }

    /// Rejects a record that cannot be planned.
    fn reject(&mut self, record: BatchIndex, error: &BatchError) {
        let reason = error.to_string();
        self.progress.note(Notice::RecordRejected {});
        self.progress.quarantine(record, reason.as_str().into());
        self.progress.lines.push(Line {
            scope: Scope::Processor,
            order: (record, 0),
            level: Level::Error,
            message: format!("Error processing record: {reason}"),
            fields: Fields::new()
                .with("record_index", record.get())
                .with("exception", reason),
            is_error: true,
        });
    }
}

/// Passes if a component plans ordinary records, within policy; else says why not.
fn try_out(
    logic: &Logic,
    asked: &LogicSettings,
    policy: Policy,
    remaining: Duration,
) -> Result<(), String> {
    let resolved = logic.resolve(asked).map_err(|error| error.to_string())?;
    let batch = probe::batch();
    let plan = logic
        .plan(&batch, &resolved.settings, remaining)
        .map_err(|error| format!("it cannot plan ordinary records: {error}"))?;
    policy::check(&plan, &Context::of(&batch, &resolved).under(policy))
        .map_err(|breach| breach.to_string())
}

/// Whether planning was stopped by the batch's deadline, not by the component's own limit.
pub(super) fn is_out_of_time(logic: &Logic, error: &BatchError) -> bool {
    matches!(error, BatchError::Logic(LogicError::TimedOut(after)) if *after < logic.limits().timeout)
}

/// Whether the system had no memory for an instance: neither the component nor the batch is at fault.
fn is_out_of_room(error: &BatchError) -> bool {
    matches!(error, BatchError::Logic(LogicError::NoRoom { .. }))
}

/// The halves of a range, the first one last; of a single record the range itself.
fn halves(range: Range<u32>) -> Vec<Range<u32>> {
    let middle = range.start + (range.end - range.start) / 2;
    match range.len() {
        0 | 1 => Vec::from([range]),
        _ => Vec::from([middle..range.end, range.start..middle]),
    }
}
