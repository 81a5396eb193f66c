//! Components that import WASI, as languages with a run-time of their own make them. What they import is there, and
//! has nothing in it: no files, no network, no arguments, no environment. Clocks stand still, and random numbers are
//! the same in every instance, so that such a component, too, plans the same batch to the same plan.
//!
//! Such a component can wait for a clock, inside of the host, where the engine's own time limit does not reach; so its
//! calls are futures with a time limit, run to their end by a thread of their own.

use super::sandbox::Sandbox;
use std::{panic, thread, time::Duration};
use wasmtime::{
    Store,
    component::{ComponentNamedList, InstancePre, Lift, Linker, Lower},
};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, ResourceTable, WasiCtx, WasiCtxView, WasiView,
};

/// What a component finds behind its imports: nothing.
pub(super) struct Nothing {
    context: WasiCtx,
    table: ResourceTable,
}

impl Default for Nothing {
    fn default() -> Self {
        // Which bytes they are does not matter, as long as not all are the same.
        let random = || Deterministic::new((0..=u8::MAX).collect());
        let mut context = WasiCtx::builder();
        context
            .wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .secure_random(random())
            .insecure_random(random())
            .insecure_random_seed(0);
        Self {
            context: context.build(),
            table: ResourceTable::new(),
        }
    }
}

/// A clock that stands at 1970-01-01T00:00:00Z. The time of a batch is in the batch.
struct Stopped;

/// The fineness of a clock that does not move; none may say that it has none.
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

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Nothing { context, table } = self.wasi.get_or_insert_default();
        WasiCtxView {
            ctx: context,
            table,
        }
    }
}

/// Puts WASI behind the imports.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// How a call ended that did not return.
pub(super) enum Interrupted {
    /// It waited too long for something.
    TimedOut,
    /// The component, or the engine, stopped it.
    Failed(wasmtime::Error),
}

/// Calls a function of a fresh instance.
pub(super) fn call<P, R>(
    pre: &InstancePre<Sandbox>,
    store: &mut Store<Sandbox>,
    (interface, function): (&str, &str),
    parameters: P,
    timeout: Duration,
) -> Result<R, Interrupted>
where
    P: ComponentNamedList + Lower + Send + Sync,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    let call = async {
        let instance = pre.instantiate_async(&mut *store).await?;
        let missing = || wasmtime::Error::msg(format!("it has no {interface}#{function}"));
        let interface = instance
            .get_export_index(&mut *store, None, interface)
            .ok_or_else(missing)?;
        let function = instance
            .get_export_index(&mut *store, Some(&interface), function)
            .ok_or_else(missing)?;
        instance
            .get_typed_func::<P, R>(&mut *store, function)?
            .call_async(&mut *store, parameters)
            .await
    };
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Interrupted::Failed(error.into()))?;
        match runtime.block_on(async { tokio::time::timeout(timeout, call).await }) {
            Ok(result) => result.map_err(Interrupted::Failed),
            Err(_) => Err(Interrupted::TimedOut),
        }
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
