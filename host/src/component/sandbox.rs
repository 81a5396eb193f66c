//! What one instance may use, and what it asked for beyond it.

use super::engine::{MEMORIES, TABLE_ELEMENTS};
use wasmtime::ResourceLimiter;

/// The state of one instance's store.
pub(super) struct Sandbox {
    memory: usize,
    used: usize,
    wanted: Option<usize>,
    /// Made when a component first asks for WASI.
    #[cfg(feature = "wasi")]
    pub(super) wasi: Option<super::wasi::Nothing>,
}

impl Sandbox {
    /// With a bound on linear memory, in bytes, for all that an instance has of it.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            memory,
            used: 0,
            wanted: None,
            #[cfg(feature = "wasi")]
            wasi: None,
        }
    }

    /// The memory the instance asked for and did not get.
    pub(super) fn wanted(&self) -> Option<usize> {
        self.wanted
    }
}

impl ResourceLimiter for Sandbox {
    /// Refusing with an error, not with `false`: a component that is told "no" would only panic, and hide the reason.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.used.saturating_sub(current).saturating_add(desired);
        if sum <= self.memory {
            self.used = sum;
            return Ok(true);
        }
        self.wanted = Some(sum);
        Err(wasmtime::Error::msg("out of memory"))
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
