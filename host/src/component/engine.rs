//! The engine: one configuration for all that compiles or runs components, and the clock that stops what runs too long.

use super::{Limits, LogicError, one_line};
use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often running components are looked at. A time-out is exact to this.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Memory kept ready between batches; around what a full batch takes, so that it costs no page faults.
const RESIDENT: usize = 16 << 20;

/// Elements of one table; a component with a run-time of its own has some ten thousand functions.
pub(super) const TABLE_ELEMENTS: usize = 100_000;

/// What follows a memory for which addresses are scarce, in bytes: accesses near its end need one check, not many.
const SCARCE_GUARD: u64 = 64 << 10;

/// Core instances and tables of one component: its own code, and the adapters between it and WASI.
const PARTS: u32 = 8;

/// How many addresses are set aside for a component's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reservation {
    /// All that it could ever reach, so that no access has to be checked. Artifacts are compiled for that.
    Whole,
    /// What it may use, in bytes, where the system allows few addresses (`ulimit -v`).
    Scarce(usize),
}

/// Memories of one component: its own, and that of the adapter between it and WASI.
pub(super) const MEMORIES: u32 = 2;

/// Where components run: an engine, and the bounds of every instance. Components that follow one another share it.
/// Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    reservation: Reservation,
    limits: Limits,
    _ticker: std::sync::Arc<Ticker>,
}

impl Runtime {
    /// One whose instances have these bounds.
    ///
    /// # Errors
    /// [`LogicError::Engine`].
    pub fn new(limits: Limits) -> Result<Self, LogicError> {
        let (engine, reservation) = reserved(limits.memory)?;
        let ticker = Ticker::start(&engine);
        Ok(Self {
            engine,
            reservation,
            limits,
            _ticker: ticker.into(),
        })
    }

    /// The bounds of every instance.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn reservation(&self) -> Reservation {
        self.reservation
    }
}

/// Instances alive at once, at the most: two for each processor core, one that plans and one to compare with,
/// and no fewer than eight.
fn instances() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores.saturating_mul(2))
        .unwrap_or(u32::MAX / (8 * PARTS))
        .max(8)
}

/// The configuration. Everything that an artifact's compatibility depends on is set here: defaults depend on which
/// features of the engine a program was built with, and a host would refuse what another one has precompiled.
pub(super) fn engine_config(reservation: Reservation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .gc_support(false)
        .concurrency_support(false);
    if let Reservation::Scarce(memory) = reservation {
        config
            .memory_reservation(memory as u64)
            .memory_reservation_for_growth(0)
            .memory_guard_size(SCARCE_GUARD);
    }
    config
}

/// An engine whose instances have up to `memory` bytes of linear memory, and what it sets aside for each.
fn reserved(memory: usize) -> Result<(Engine, Reservation), LogicError> {
    let unpooled = match pooled(memory) {
        Ok(engine) => return Ok((engine, Reservation::Whole)),
        Err(error) => error,
    };
    // A pool reserves addresses ahead; where the system allows few, instances are made one by one.
    tracing::warn!(
        "the system allows this process too few addresses (ulimit -v) for a pool of instances: each is made anew, with the memory that it may use, and no artifact can be used: {}",
        one_line(&unpooled)
    );
    let reservation = Reservation::Scarce(memory);
    Engine::new(&engine_config(reservation))
        .map(|engine| (engine, reservation))
        .map_err(|error| LogicError::Engine(one_line(&error)))
}

/// An engine with room set aside for its instances.
fn pooled(memory: usize) -> wasmtime::Result<Engine> {
    let (mut pool, instances) = (PoolingAllocationConfig::new(), instances());
    pool.total_component_instances(instances)
        .total_core_instances(instances * PARTS)
        .total_memories(instances * MEMORIES)
        .total_tables(instances * PARTS)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory)
        .linear_memory_keep_resident(RESIDENT.min(memory));
    // Stacks for components that can wait; by default a thousand are reserved, at the cost of the start.
    #[cfg(feature = "wasi")]
    pool.total_stacks(instances);
    let mut config = engine_config(Reservation::Whole);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// How many ticks a time takes, at least one.
pub(super) fn ticks(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis() / TICK.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, u64::MAX / 2)
}

/// The thread that moves an engine's clock on. It ends when this is dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine) -> Self {
        let engine = engine.weak();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.increment_epoch();
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A ticker cannot panic; were it to, there would be nothing left to clean up.
            let _ = thread.join();
        }
    }
}
