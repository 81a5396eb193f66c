//! The engine: one configuration for everything that compiles or runs components.

use super::{
    LogicError,
    memory::{MAX_MEMORIES, MAX_TABLE_ELEMENTS},
    sandbox::{Limits, one_line},
    ticker::Ticker,
    wasi,
};
use std::{sync::Arc, thread};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Memory kept ready between batches, in bytes: about what a full batch takes, so that it costs no page faults.
const RESIDENT_BYTES: usize = 16 << 20;

/// The same for each table: more than the functions that a component calls by number take.
const RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// What follows a memory for which addresses are scarce, in bytes: accesses near its end need one check, not many.
const SCARCE_GUARD_BYTES: u64 = 64 << 10;

/// Core instances and tables of one component: its own code, and the adapters between it and WASI.
const PARTS_PER_COMPONENT: u32 = 8;

/// The least number of instances that the pool has room for.
const MIN_INSTANCES: u32 = 8;

/// How many addresses are set aside for a component's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reservation {
    /// All that it could ever reach, so that no access has to be checked. Artifacts are compiled for that.
    Whole,
    /// What it may use, in bytes, where the system allows few addresses (`ulimit -v`).
    Scarce(usize),
}

/// Where components run: an engine, and the limits of every instance. Components that follow one another share it.
/// Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    reservation: Reservation,
    limits: Limits,
    _ticker: Arc<Ticker>,
}

impl Runtime {
    /// A runtime whose instances have these limits.
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
            _ticker: Arc::new(ticker),
        })
    }

    /// The limits of every instance.
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

/// How many instances can be alive at once: two for each processor core, one that plans and one to compare with.
fn max_instances() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores.saturating_mul(2))
        .unwrap_or(u32::MAX / (8 * PARTS_PER_COMPONENT))
        .max(MIN_INSTANCES)
}

/// The configuration. Everything that an artifact's compatibility depends on is set here: defaults depend on the
/// features of the engine that a program was built with, and one host would refuse what another has precompiled.
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
            .memory_guard_size(SCARCE_GUARD_BYTES);
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

/// An engine with a pool of instances.
fn pooled(memory: usize) -> wasmtime::Result<Engine> {
    let (mut pool, instances) = (PoolingAllocationConfig::new(), max_instances());
    pool.total_component_instances(instances)
        .total_core_instances(instances * PARTS_PER_COMPONENT)
        .total_memories(instances * MAX_MEMORIES)
        .total_tables(instances * PARTS_PER_COMPONENT)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(memory)
        .linear_memory_keep_resident(RESIDENT_BYTES.min(memory))
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        // Where the kernel can say which pages were written (Linux 6.7), no others are reset.
        .pagemap_scan(Enabled::Auto);
    wasi::reserve_stacks(&mut pool, instances);
    let mut config = engine_config(Reservation::Whole);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
