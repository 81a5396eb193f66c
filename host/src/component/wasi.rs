//! Components that import WASI, as languages that bring a runtime make them. Their imports exist and are empty: no
//! files, no network, no arguments, no environment. Clocks stand still, and random numbers are the same in every
//! instance, so that such a component also plans the same batch to the same plan.
//!
//! Such a component can wait for a clock inside the host, where the engine's own time limit does not reach. So its
//! calls are futures with a time limit, and each runs on a thread of its own.

use super::{CONTRACT, LogicError, memory::MemoryLimiter, sandbox::Sandbox};
use crate::contract::bindings::AggregatorPre;
use std::{panic, thread, time::Duration};
use wasmtime::{
    Engine, PoolingAllocationConfig, Store, Trap,
    component::{Component, ComponentNamedList, InstancePre, Lift, Linker, Lower},
};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView,
};

/// What this host gives a component, in words.
pub(super) const PROVIDED: &str = "nothing but an empty WASI";

/// Whether this host provides an import.
pub(super) fn provides(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Reserves stacks for components that can wait. The engine's default is a thousand, which slows the start.
pub(super) fn reserve_stacks(pool: &mut PoolingAllocationConfig, instances: u32) {
    pool.total_stacks(instances);
}

/// The state of one instance's store: its memory limiter, and the empty WASI behind its imports.
struct State {
    limiter: MemoryLimiter,
    context: WasiCtx,
    table: ResourceTable,
}

impl State {
    fn new(limiter: MemoryLimiter) -> Self {
        // The bytes do not matter, as long as they are not all the same.
        let random = || Deterministic::new((0..=u8::MAX).collect());
        let mut context = WasiCtx::builder();
        context
            .wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .secure_random(random())
            .insecure_random(random())
            .insecure_random_seed(0);
        Self {
            limiter,
            context: context.build(),
            table: ResourceTable::new(),
        }
    }
}

impl AsMut<MemoryLimiter> for State {
    fn as_mut(&mut self) -> &mut MemoryLimiter {
        &mut self.limiter
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.context,
            table: &mut self.table,
        }
    }
}

/// A clock that stands at 1970-01-01T00:00:00Z. The time of a batch is part of the batch.
struct Stopped;

/// The resolution of a clock that does not move; it must not be zero.
const RESOLUTION: Duration = Duration::from_secs(1);

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        u64::try_from(RESOLUTION.as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        0
    }
}

/// A component with an empty WASI behind its imports.
pub(super) struct Linked {
    instances: InstancePre<State>,
}

impl Linked {
    /// Puts WASI behind the imports of a component, and checks that its exports have the contract's types.
    pub(super) fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let typed = linker
            .instantiate_pre(component)
            .and_then(AggregatorPre::new)?;
        Ok(Self {
            instances: typed.instance_pre().clone(),
        })
    }

    /// Calls a function of the contract in a fresh instance.
    pub(super) fn call<P, R>(
        &self,
        sandbox: &Sandbox<'_>,
        function: &str,
        parameters: P,
    ) -> Result<R, LogicError>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let mut store = sandbox.store(State::new(sandbox.limiter()));
        let call = call(&self.instances, &mut store, function, parameters);
        let result = block_on(call, sandbox.budget.time);
        result.map_err(|error| sandbox.failure(&mut store, &error))
    }
}

async fn call<P, R>(
    instances: &InstancePre<State>,
    store: &mut Store<State>,
    function: &str,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let instance = instances.instantiate_async(&mut *store).await?;
    let missing = || wasmtime::Error::msg(format!("it has no {CONTRACT}#{function}"));
    let interface = instance
        .get_export_index(&mut *store, None, CONTRACT)
        .ok_or_else(missing)?;
    let function = instance
        .get_export_index(&mut *store, Some(&interface), function)
        .ok_or_else(missing)?;
    instance
        .get_typed_func::<P, R>(&mut *store, function)?
        .call_async(&mut *store, parameters)
        .await
}

/// Runs a call on a thread of its own. One that waits past its time ends as one that computes past it does.
fn block_on<R: Send>(
    call: impl Future<Output = wasmtime::Result<R>> + Send,
    time: Duration,
) -> wasmtime::Result<R> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime
            .block_on(async { tokio::time::timeout(time, call).await })
            .unwrap_or_else(|_| Err(Trap::Interrupt.into()))
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
