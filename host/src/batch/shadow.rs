//! A second component on the same batches: its plan is compared and thrown away.
//!
//! It plans while the batch is applied, and gets no more of the batch's time than [`SHARE`] of it beyond that; then it
//! is stopped. Whatever it does, the batch goes on.

use super::Progress;
use crate::{
    component::{LogicError, Patience, Switch},
    contract::{Batch, Level, Plan, Settings},
    diff::{self, Difference},
    limiter::policy::{self, Policy},
    telemetry::{self, Fields, Logger},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// A batch is held up by its shadow for at most the time it took by itself, divided by this.
pub const SHARE: u32 = 10;

/// It may hold up even the shortest batch for so long.
const LEAST: Duration = Duration::from_millis(5);

/// Lines about the differences of one batch, at the most.
const MOST_LINES: usize = 20;

/// The second component. One plan of it is made at a time.
pub(super) struct Shadow {
    switch: Switch,
    policy: Policy,
    planner: Arc<Semaphore>,
}

/// A plan that is being compared. Dropping it stops the planning.
pub(super) struct Comparison {
    planned: JoinHandle<Result<Vec<Difference>, LogicError>>,
    stop: Arc<AtomicBool>,
    name: String,
}

impl Drop for Comparison {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Shadow {
    pub(super) fn new(switch: Switch, policy: Policy) -> Self {
        Self {
            switch,
            policy,
            planner: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Begins to plan a batch a second time, unless another one is still being planned.
    pub(super) fn begin(
        &self,
        batch: Batch,
        settings: &Settings,
        plan: &Plan,
        progress: &mut Progress,
    ) -> Option<Comparison> {
        self.switch.refresh(|_| Ok(()));
        progress.counters.shadow_batches += 1;
        let Ok(permit) = Arc::clone(&self.planner).try_acquire_owned() else {
            progress.counters.shadow_unfinished += 1;
            return None;
        };
        let logic = self.switch.current();
        let stop = Arc::new(AtomicBool::new(false));
        let patience = Patience {
            time: logic.limits().timeout,
            stop: Some(Arc::clone(&stop)),
        };
        let name = format!("{} ({})", logic.description().version, logic.name());
        let (settings, policy, plan) = (settings.clone(), self.policy, plan.clone());
        let planned = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let context = policy::Context::of(&batch, &settings).under(policy);
            let other = logic.plan(&batch, &settings, patience)?;
            Ok(differences(&plan, &other, &context))
        });
        Some(Comparison {
            planned,
            stop,
            name,
        })
    }
}

/// How the shadow's plan differs.
fn differences(plan: &Plan, other: &Plan, context: &policy::Context<'_>) -> Vec<Difference> {
    let mut differences = diff::plans(plan, other);
    if let Err(breach) = policy::check(other, context) {
        differences.push(Difference {
            side: diff::Side::New,
            subject: format!("a plan that is refused: {breach}"),
            lines: Vec::new(),
        });
    }
    differences
}

impl Comparison {
    /// Reports what differs, once the batch itself is done. `started` is when the batch was begun.
    pub(super) async fn end(mut self, request_id: &str, started: Instant, progress: &mut Progress) {
        let patience = (started.elapsed() / SHARE).max(LEAST);
        let fields = Fields::new()
            .with("request_id", request_id)
            .with("shadow", &self.name);
        let counters = &mut progress.counters;
        let planned = match tokio::time::timeout(patience, &mut self.planned).await {
            Ok(Ok(planned)) => planned.map_err(|error| error.to_string()),
            Ok(Err(panicked)) => Err(panicked.to_string()),
            Err(_) => {
                counters.shadow_unfinished += 1;
                let message = "Shadow stopped - it took longer than the batch allows";
                telemetry::line(Level::Info, Logger::Handler, message, &fields);
                return;
            }
        };
        let differences = match planned {
            Ok(differences) => differences,
            Err(error) => {
                counters.shadow_failures += 1;
                let fields = fields.with("exception", &error);
                let message = format!("Shadow cannot plan: {error}");
                telemetry::line(Level::Warning, Logger::Handler, &message, &fields);
                return;
            }
        };
        counters.shadow_differences += differences.len() as u64;
        for difference in differences.iter().take(MOST_LINES) {
            let fields = fields.clone().with("difference", difference);
            telemetry::line(Level::Info, Logger::Handler, "Shadow plan differs", &fields);
        }
        if let Some(more) = differences
            .len()
            .checked_sub(MOST_LINES)
            .filter(|more| *more > 0)
        {
            let fields = fields.with("more", more);
            let message = "Shadow plan differs - further differences are counted only";
            telemetry::line(Level::Info, Logger::Handler, message, &fields);
        }
    }
}
