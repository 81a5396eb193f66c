//! In the place of `wasi.rs` in a host built without the feature `wasi`: no component that imports anything is taken.

use super::{LogicError, sandbox::Sandbox};
use wasmtime::{Engine, PoolingAllocationConfig, component::Component};

/// What this host gives a component, in words.
pub(super) const PROVIDED: &str = "nothing";

/// Whether this host provides an import.
pub(super) fn provides(_import: &str) -> bool {
    false
}

/// Nothing to reserve.
pub(super) fn reserve_stacks(_pool: &mut PoolingAllocationConfig, _instances: u32) {}

/// There is no such component.
pub(super) enum Linked {}

impl Linked {
    /// Refuses.
    pub(super) fn new(_engine: &Engine, _component: &Component) -> wasmtime::Result<Self> {
        Err(wasmtime::Error::msg("this host was built without WASI"))
    }

    /// Is never called.
    pub(super) fn call<P, R>(
        &self,
        _sandbox: &Sandbox<'_>,
        _function: &str,
        _parameters: P,
    ) -> Result<R, LogicError> {
        match *self {}
    }
}
