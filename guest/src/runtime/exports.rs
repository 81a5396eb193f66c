//! What the linker and the host look for.

use super::{
    bump::{Bump, Memory},
    compare::compare,
};
use core::{
    alloc::Layout,
    arch::wasm32::{memory_grow, memory_size},
};

#[global_allocator]
static ALLOCATOR: Bump<LinearMemory> = Bump::new(LinearMemory);

unsafe extern "C" {
    /// Placed by the linker after the stack and all static data. Only its address means something.
    safe static __heap_base: u8;
}

/// Bytes of a page of memory.
const PAGE: usize = 65536;

/// The instance's memory from the end of its static data on. Nothing but the allocator grows it.
struct LinearMemory;

impl Memory for LinearMemory {
    fn start(&self) -> usize {
        (&raw const __heap_base).addr()
    }

    fn end(&self) -> usize {
        memory_size::<0>().saturating_mul(PAGE)
    }

    fn grow(&self, bytes: usize) -> bool {
        memory_grow::<0>(bytes.div_ceil(PAGE)) != usize::MAX
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// Called by the host to make room for arguments and results (canonical ABI).
///
/// # Safety
/// `old_ptr` is null, or points to `old_len` bytes that this function returned for the same `align`, a power of two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cabi_realloc(
    old_ptr: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        return align as *mut u8;
    }
    // SAFETY: the caller's promise above; a null result traps instead of being returned.
    let fresh = unsafe {
        if old_len == 0 {
            alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            alloc::alloc::realloc(
                old_ptr,
                Layout::from_size_align_unchecked(old_len, align),
                new_len,
            )
        }
    };
    if fresh.is_null() {
        core::arch::wasm32::unreachable()
    }
    fresh
}

/// Compares `len` bytes. Linked because no libc gives it: neither tool-chain's `compiler_builtins` has it for WASI.
///
/// # Safety
/// Both pointers are valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { compare(left, right, len) }
}
