//! How much memory one instance may have, and how much it was denied.

use wasmtime::ResourceLimiter;

/// Memories of one component: its own, and that of the adapter between it and WASI.
pub(super) const MAX_MEMORIES: u32 = 2;

/// Elements of one table; a component that brings its language's runtime has some ten thousand functions.
pub(super) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Bounds the linear memories of one instance, in sum, and its tables.
pub(super) struct MemoryLimiter {
    allowed_bytes: usize,
    used_bytes: usize,
    denied_bytes: Option<usize>,
}

impl MemoryLimiter {
    /// Allows this many bytes of linear memory in all.
    pub(super) fn new(allowed_bytes: usize) -> Self {
        Self {
            allowed_bytes,
            used_bytes: 0,
            denied_bytes: None,
        }
    }

    /// The memory that the instance asked for in all when it was denied.
    pub(super) fn denied_bytes(&self) -> Option<usize> {
        self.denied_bytes
    }
}

impl AsMut<Self> for MemoryLimiter {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl ResourceLimiter for MemoryLimiter {
    /// Denies with an error, not with `false`: a component that is told "no" only panics, which hides the reason.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self
            .used_bytes
            .saturating_sub(current)
            .saturating_add(desired);
        if sum <= self.allowed_bytes {
            self.used_bytes = sum;
            return Ok(true);
        }
        self.denied_bytes = Some(sum);
        Err(wasmtime::Error::msg("out of memory"))
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}
