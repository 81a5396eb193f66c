//! Planning a batch: as a whole, by the component before where this one fails, or in halves.

use super::{BatchError, Delivery, Line, Part, Processor, Progress, micros};
use crate::{
    component::{Logic, LogicError},
    contract::{Batch, Level, Plan, Scope, Settings, StoredItem},
    event::Records,
    limiter::{
        policy::{self, Context, Policy},
        probe,
    },
    telemetry::Fields,
};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

impl Processor {
    /// Passes a new component that plans ordinary records, within policy.
    pub(super) fn vet(&self) -> impl FnOnce(&Logic) -> Result<(), String> + Send + 'static {
        let (settings, policy) = (self.settings.logic.clone(), self.settings.policy);
        move |logic| try_out(logic, &settings, policy, logic.limits().timeout)
    }

    /// Plans the whole batch. Where the component cannot and the one before it can, it is at fault and given up.
    pub(super) async fn plan_or_roll_back(
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
    pub(super) async fn plan(
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
        let (batch, policy) = (batch(part, known, delivery), self.settings.policy);
        let remaining = delivery
            .deadline
            .saturating_duration_since(tokio::time::Instant::now());
        let planned = tokio::task::spawn_blocking(move || {
            let context = Context::of(&batch, &settings).under(policy);
            policy::check_beside(&context, || Ok(logic.plan(&batch, &settings, remaining)?))
        });
        let planned = planned.await;
        progress.counters.plan_micros += micros(started);
        planned.map_err(|error| BatchError::CutOff(error.to_string()))?
    }

    /// Passes if the component plans ordinary records; then the batch's own are at fault.
    pub(super) async fn probe(
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
        let policy = self.settings.policy;
        let remaining = delivery
            .deadline
            .saturating_duration_since(tokio::time::Instant::now());
        let tried =
            tokio::task::spawn_blocking(move || try_out(&logic, &settings, policy, remaining));
        match tried.await {
            Ok(Ok(())) => Ok(()),
            _ => Err(error),
        }
    }

    /// Plans halves of a batch by themselves, in order, down to the records that cannot be planned.
    pub(super) async fn plan_apart(
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
                Err(error) if is_out_of_time(logic, &error) || is_out_of_room(&error) => {
                    progress.failing.extend(part.offset..range.end as u32)
                }
                Err(error) if range.len() <= 1 => {
                    progress.counters.rejects += 1;
                    progress.quarantine(part.offset, error.to_string().into());
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
}

/// Passes if a component plans ordinary records, within policy; else says why not.
fn try_out(
    logic: &Logic,
    settings: &Settings,
    policy: Policy,
    remaining: Duration,
) -> Result<(), String> {
    let batch = probe::batch();
    let plan = logic
        .plan(&batch, settings, remaining)
        .map_err(|error| format!("it cannot plan ordinary records: {error}"))?;
    policy::check(&plan, &Context::of(&batch, settings).under(policy))
        .map_err(|breach| breach.to_string())
}

/// What the component is given of a part.
pub(super) fn batch(part: &Part, known: &[StoredItem], delivery: &Delivery) -> Batch {
    Batch {
        event: part.event.clone(),
        now: delivery.now,
        request_id: delivery.request_id.clone(),
        known: known.to_vec(),
    }
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
fn halves(range: Range<usize>) -> Vec<Range<usize>> {
    let middle = range.start + range.len() / 2;
    match range.len() {
        0 | 1 => Vec::from([range]),
        _ => Vec::from([middle..range.end, range.start..middle]),
    }
}
