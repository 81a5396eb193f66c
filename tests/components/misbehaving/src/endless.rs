//! Calls that end only if somebody ends them.

use alloc::vec::Vec;

/// Runs for ever.
pub fn run_for_ever() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Takes memory without end.
pub fn take_all_memory() -> ! {
    loop {
        core::mem::forget(core::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}
