//! Linking a component with what it imports, and calling it.
//!
//! A component that imports nothing never meets WASI: its calls are plain function calls, and the state of its store
//! is its memory limiter.

use super::{
    LogicError, imports, memory::MemoryLimiter, sandbox::Sandbox, sandbox::one_line, version, wasi,
};
use crate::contract::{
    Batch, Description, Plan, PlanError, Settings,
    bindings::{Aggregator, AggregatorPre},
};
use wasmtime::{
    Engine, Store,
    component::{Component, Linker, types::ComponentItem},
};

/// A component with what it imports.
pub(super) enum Linked {
    /// It imports nothing.
    Pure(AggregatorPre<MemoryLimiter>),
    /// It imports WASI.
    Wasi(wasi::Linked),
}

impl Linked {
    /// Links a component, if its imports and exports fit; else says what does not.
    pub(super) fn new(
        engine: &Engine,
        component: &Component,
        interfaces: &Interfaces,
    ) -> Result<Self, String> {
        imports::check(&interfaces.imports)?;
        version::check(&interfaces.exports)?;
        let linked = if interfaces.imports.is_empty() {
            let instances = Linker::new(engine).instantiate_pre(component);
            instances.and_then(AggregatorPre::new).map(Self::Pure)
        } else {
            wasi::Linked::new(engine, component).map(Self::Wasi)
        };
        linked.map_err(|error| one_line(&error))
    }

    /// Plans a batch in a fresh instance.
    pub(super) fn plan(
        &self,
        sandbox: &Sandbox<'_>,
        batch: &Batch,
        settings: &Settings,
    ) -> Result<Plan, LogicError> {
        let planned = match self {
            Self::Pure(component) => call(component, sandbox, |store, instance| {
                instance
                    .weir_aggregator_logic()
                    .call_plan(store, batch, settings)
            }),
            Self::Wasi(component) => {
                let answer = component.call(sandbox, "plan", (batch, settings));
                answer.map(|(planned,): (Result<Plan, PlanError>,)| planned)
            }
        };
        planned?.map_err(LogicError::Refused)
    }

    /// Asks a fresh instance what the component is.
    pub(super) fn describe(&self, sandbox: &Sandbox<'_>) -> Result<Description, LogicError> {
        match self {
            Self::Pure(component) => call(component, sandbox, |store, instance| {
                instance.weir_aggregator_logic().call_describe(store)
            }),
            Self::Wasi(component) => {
                let answer = component.call(sandbox, "describe", ());
                answer.map(|(description,)| description)
            }
        }
    }
}

/// Calls a fresh instance of a component that imports nothing.
fn call<T>(
    component: &AggregatorPre<MemoryLimiter>,
    sandbox: &Sandbox<'_>,
    call: impl FnOnce(&mut Store<MemoryLimiter>, &Aggregator) -> wasmtime::Result<T>,
) -> Result<T, LogicError> {
    let mut store = sandbox.store(sandbox.limiter());
    let result = component
        .instantiate(&mut store)
        .and_then(|instance| call(&mut store, &instance));
    result.map_err(|error| sandbox.failure(&mut store, &error))
}

/// What a component imports and exports, by name.
pub(super) struct Interfaces {
    /// Its imports.
    pub(super) imports: Vec<String>,
    /// Its exports, functions as `interface#function`.
    pub(super) exports: Vec<String>,
}

impl Interfaces {
    /// Reads them from a component's type.
    pub(super) fn of(engine: &Engine, component: &Component) -> Self {
        let kind = component.component_type();
        let imports = kind
            .imports(engine)
            .map(|(name, _)| name.to_string())
            .collect();
        let exports = kind
            .exports(engine)
            .flat_map(|(name, item)| match item.ty {
                ComponentItem::ComponentInstance(interface) => interface
                    .exports(engine)
                    .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(function, _)| format!("{name}#{function}"))
                    .collect(),
                _ => vec![name.to_string()],
            })
            .collect();
        Self { imports, exports }
    }
}
