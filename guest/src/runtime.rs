//! What a component without a standard library has to bring along: an allocator, a panic handler, and the
//! one libc function and canonical-ABI export that a build without wasi-libc lacks.

use core::alloc::Layout;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

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

/// Compares `len` bytes. Linked where no libc gives it.
///
/// # Safety
/// Both pointers are valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    let mut at = 0;
    while at < len {
        // SAFETY: `at` is below `len`, for which both are valid. Volatile, or this loop would be compiled to a call of memcmp.
        let (a, b) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        at += 1;
    }
    0
}
