//! A second component on the same batches: its plan is compared and thrown away.
//!
//! It plans while the batch is written. When the batch is done, the shadow gets a share of the time that the batch took
//! ([`SHARE`]), and is then stopped. Whatever it does, the batch goes on.

use super::{part::Part, run::Run};
use crate::{
    component::{HotSwap, LogicError, TimeBudget},
    contract::Plan,
    diff::{self, Difference, Side, Subject},
    limiter::policy,
    notice::Notice,
    settings::Policy,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// A shadow may delay a batch by at most the time that the batch took, divided by this.
pub const SHARE: u32 = 10;

/// It may delay even the shortest batch by this much.
const MIN_DELAY: Duration = Duration::from_millis(5);

/// The most lines about the differences of one batch.
const MAX_LINES: usize = 20;

/// The second component. One plan of it is made at a time.
pub(super) struct Shadow {
    switch: HotSwap,
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
    pub(super) fn new(switch: HotSwap, policy: Policy) -> Self {
        Self {
            switch,
            policy,
            planner: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) fn switch(&self) -> &HotSwap {
        &self.switch
    }

    /// Begins to plan a batch a second time, unless another one is still being planned.
    ///
    /// The plan that is carried out is copied: its writes move into their requests meanwhile.
    pub(super) fn begin(&self, whole: &Part, plan: &Plan, run: &mut Run<'_>) -> Option<Comparison> {
        self.switch.poll_if_due(|_| Ok(()));
        run.progress.note(Notice::ShadowBegun {});
        let Ok(permit) = Arc::clone(&self.planner).try_acquire_owned() else {
            run.progress.note(Notice::ShadowBusy {});
            return None;
        };
        let logic = self.switch.current();
        let stop = Arc::new(AtomicBool::new(false));
        let budget = TimeBudget {
            time: logic.limits().timeout,
            stop: Some(Arc::clone(&stop)),
        };
        let name = format!("{} ({})", logic.description().version, logic.name());
        let (asked, policy) = (run.processor.settings.logic.clone(), self.policy);
        let (batch, plan) = (Arc::clone(&whole.batch), plan.clone());
        let planned = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let resolved = logic.resolve(&asked)?;
            let context = policy::Context::of(&batch, &resolved).under(policy);
            let other = logic.plan(&batch, &resolved.settings, budget)?;
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
            side: Side::New,
            subject: Subject::Refused(breach),
            details: Vec::new(),
        });
    }
    differences
}

/// How a comparison ended.
enum Ended {
    /// The plan differs in this.
    Compared(Vec<Difference>),
    /// There is no plan.
    Failed(String),
    /// There was no time for one.
    Unfinished,
}

impl Comparison {
    /// Reports what differs, once the batch itself is done.
    pub(super) async fn end(mut self, run: &mut Run<'_>) {
        let budget = (run.started.elapsed() / SHARE).max(MIN_DELAY);
        let ended = match tokio::time::timeout(budget, &mut self.planned).await {
            Ok(Ok(Ok(differences))) => Ended::Compared(differences),
            Ok(Ok(Err(error))) => Ended::Failed(error.to_string()),
            Ok(Err(panicked)) => Ended::Failed(panicked.to_string()),
            Err(_) => Ended::Unfinished,
        };
        let (request_id, shadow) = (run.delivery.request_id.as_str(), self.name.as_str());
        let progress = &mut run.progress;
        let differences = match ended {
            Ended::Compared(differences) => differences,
            Ended::Failed(exception) => {
                let exception = exception.as_str();
                return progress.note(Notice::ShadowFailed {
                    request_id,
                    shadow,
                    exception,
                });
            }
            Ended::Unfinished => {
                return progress.note(Notice::ShadowStopped { request_id, shadow });
            }
        };
        for difference in differences.iter().take(MAX_LINES) {
            progress.note(Notice::ShadowDiffers {
                request_id,
                shadow,
                difference,
            });
        }
        let more = differences.len().saturating_sub(MAX_LINES);
        if more > 0 {
            progress.note(Notice::ShadowDiffersFurther {
                request_id,
                shadow,
                more,
            });
        }
    }
}
