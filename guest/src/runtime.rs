//! What a component without a standard library has to bring along: an allocator, a panic handler, and the
//! one libc function and canonical-ABI export that a build without wasi-libc lacks.
//!
//! What needs no WebAssembly lies in modules of its own, whose tests run natively.

// Paths, because a component of the tests takes this file as its own module.
#[path = "runtime/bump.rs"]
pub mod bump;
#[path = "runtime/compare.rs"]
pub mod compare;
#[cfg(target_arch = "wasm32")]
#[path = "runtime/exports.rs"]
mod exports;
