//! The bounds of one call of a component: what the instance may use, and what an error of the engine means for it.

use super::{LogicError, memory::MemoryLimiter, ticker::ticks};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

/// What an instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory: usize,
    /// Time for one call.
    pub timeout: Duration,
}

/// How long a call may go on.
#[derive(Clone, Debug)]
pub struct TimeBudget {
    /// The time for it; the component's own limit may be shorter.
    pub time: Duration,
    /// A flag that ends the call early when it is set. `None`: nothing but the time ends it.
    pub stop: Option<Arc<AtomicBool>>,
}

impl From<Duration> for TimeBudget {
    fn from(time: Duration) -> Self {
        Self { time, stop: None }
    }
}

/// The bounds of one call, in an engine.
pub(super) struct Sandbox<'a> {
    /// Where the call is made.
    pub(super) engine: &'a Engine,
    /// Linear memory, in bytes.
    pub(super) memory: usize,
    /// How long it may go on.
    pub(super) budget: TimeBudget,
}

impl Sandbox<'_> {
    /// A memory limiter for the state of one store.
    pub(super) fn limiter(&self) -> MemoryLimiter {
        MemoryLimiter::new(self.memory)
    }

    /// A store with this state, which the bounds are put on.
    pub(super) fn store<T>(&self, state: T) -> Store<T>
    where
        T: AsMut<MemoryLimiter> + 'static,
    {
        let mut store = Store::new(self.engine, state);
        store.limiter(|state| state.as_mut());
        let Some(stop) = self.budget.stop.clone() else {
            store.set_epoch_deadline(ticks(self.budget.time));
            return store;
        };
        let deadline = Instant::now() + self.budget.time;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if stop.load(Ordering::Relaxed) || Instant::now() >= deadline {
                Err(Trap::Interrupt.into())
            } else {
                Ok(UpdateDeadline::Continue(1))
            }
        });
        store
    }

    /// What an error of a call means.
    pub(super) fn failure<T>(&self, store: &mut Store<T>, error: &wasmtime::Error) -> LogicError
    where
        T: AsMut<MemoryLimiter>,
    {
        let denied = store.data_mut().as_mut().denied_bytes();
        match (denied, error.downcast_ref::<Trap>()) {
            (Some(denied), _) => LogicError::OutOfMemory {
                denied,
                limit: self.memory,
            },
            (None, Some(Trap::Interrupt)) => LogicError::TimedOut(self.budget.time),
            (None, Some(trap)) => LogicError::Trapped(trap.to_string()),
            (None, None) if is_from_the_system(error) => LogicError::NoRoom {
                limit: self.memory,
                reason: one_line(error),
            },
            (None, None) => LogicError::Trapped(one_line(error)),
        }
    }
}

/// Whether the operating system has no memory for an instance: no other error of a call comes from the system.
fn is_from_the_system(error: &wasmtime::Error) -> bool {
    // The engine's own type for it, and the standard library's.
    error
        .chain()
        .any(|cause| is_errno(cause) || cause.is::<std::io::Error>())
}

#[cfg(unix)]
fn is_errno(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<rustix::io::Errno>()
}

#[cfg(not(unix))]
fn is_errno(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

/// The engine's words without its line breaks.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
