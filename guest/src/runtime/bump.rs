//! An allocator for an instance that makes one plan and is thrown away.
//!
//! Memory is handed out in a row, and only what was handed out last is taken back at once. When the last allocation
//! is freed, the row starts anew, so that an instance that makes many plans does not grow.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Memory that grows at its end.
///
/// What lies between its start and its end belongs to the one allocator that has it, is writable, and never moves.
pub trait Memory {
    /// The address of the first byte, not 0.
    fn start(&self) -> usize;

    /// The address after the last byte.
    fn end(&self) -> usize;

    /// Moves the end by this many bytes or more, if it can.
    fn grow(&self, bytes: usize) -> bool;
}

/// The memory grows by a quarter at a time, so that it grows seldom, but by no more than this unless it must.
const MAX_AHEAD_BYTES: usize = 1 << 20;

/// The allocator. It is for one thread: the atomics are only what a static may hold.
pub struct Bump<M> {
    memory: M,
    /// Where the next allocation begins; meaningless while there is none.
    top: AtomicUsize,
    /// The memory's end, as far as it is known.
    end: AtomicUsize,
    /// How many allocations are alive.
    alive: AtomicUsize,
}

impl<M: Memory> Bump<M> {
    /// An allocator of this memory.
    pub const fn new(memory: M) -> Self {
        Self {
            memory,
            top: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
        }
    }

    /// Sets the top, growing the memory if it must.
    #[inline(always)]
    fn raise(&self, top: usize) -> bool {
        let fits = top <= self.end.load(Relaxed) || self.make_room(top);
        if fits {
            self.top.store(top, Relaxed);
        }
        fits
    }

    #[cold]
    #[inline(never)]
    fn make_room(&self, top: usize) -> bool {
        let mut end = self.memory.end();
        if top > end {
            let quarter = end.saturating_sub(self.memory.start()) / 4;
            let missing = top.saturating_sub(end);
            if !self.memory.grow(missing.max(quarter.min(MAX_AHEAD_BYTES))) {
                return false;
            }
            end = self.memory.end();
        }
        self.end.store(end, Relaxed);
        top <= end
    }
}

// SAFETY: an allocation lies between the memory's start and the top when it is made. The top falls below its end only
// when it is freed, or when it shrinks, or when nothing is alive. So no two that are alive share a byte. There is one
// thread.
unsafe impl<M: Memory> GlobalAlloc for Bump<M> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let alive = self.alive.load(Relaxed);
        let top = match alive {
            0 => self.memory.start(),
            _ => self.top.load(Relaxed),
        };
        let mask = layout.align().wrapping_sub(1);
        let Some(padded) = top.checked_add(mask) else {
            return ptr::null_mut();
        };
        let start = padded & !mask;
        match start.checked_add(layout.size()) {
            Some(top) if self.raise(top) => {
                self.alive.store(alive.wrapping_add(1), Relaxed);
                ptr::with_exposed_provenance_mut(start)
            }
            _ => ptr::null_mut(),
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        self.alive
            .store(self.alive.load(Relaxed).wrapping_sub(1), Relaxed);
        if start.addr().wrapping_add(layout.size()) == self.top.load(Relaxed) {
            self.top.store(start.addr(), Relaxed);
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if start.addr().wrapping_add(layout.size()) == self.top.load(Relaxed) {
            return match start.addr().checked_add(size) {
                Some(top) if self.raise(top) => start,
                _ => ptr::null_mut(),
            };
        }
        if size <= layout.size() {
            return start;
        }
        // SAFETY: `size` is not 0 and no overflow by the caller's promise. The old allocation has `layout.size()` bytes,
        // fewer than the new one, and is alive until it is freed here, once.
        unsafe {
            let fresh = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !fresh.is_null() {
                ptr::copy_nonoverlapping(start, fresh, layout.size());
                self.dealloc(start, layout);
            }
            fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};
    use core::cell::Cell;
    use proptest::prelude::*;

    /// Memory of the test's own, of which a part is given at first.
    struct Arena {
        bytes: Vec<u8>,
        given: Cell<usize>,
        grown: Cell<usize>,
    }

    const ROOM: usize = 1 << 16;
    const STEP: usize = 256;

    impl Arena {
        fn new() -> Self {
            Self {
                bytes: vec![0; ROOM],
                given: Cell::new(STEP),
                grown: Cell::new(0),
            }
        }
    }

    impl Memory for Arena {
        fn start(&self) -> usize {
            self.bytes.as_ptr().expose_provenance()
        }

        fn end(&self) -> usize {
            self.start() + self.given.get()
        }

        fn grow(&self, bytes: usize) -> bool {
            let given = self.given.get() + bytes.next_multiple_of(STEP);
            let fits = given <= ROOM;
            if fits {
                self.given.set(given);
                self.grown.set(self.grown.get() + 1);
            }
            fits
        }
    }

    /// What is done with the allocator. A place chooses among those that are alive.
    #[derive(Clone, Debug)]
    enum Step {
        Allocate { size: usize, align: u32 },
        Free { place: usize },
        Resize { place: usize, size: usize },
        FreeAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1..600_usize, 0..5_u32).prop_map(|(size, align)| Step::Allocate { size, align }),
            4 => any::<usize>().prop_map(|place| Step::Free { place }),
            4 => (any::<usize>(), 1..900_usize).prop_map(|(place, size)| Step::Resize { place, size }),
            1 => Just(Step::FreeAll),
        ]
    }

    /// An allocation that is alive, filled with a byte of its own.
    struct Block {
        start: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Block {
        fn fill(&self) {
            // SAFETY: it is alive and has this size.
            unsafe { self.start.write_bytes(self.mark, self.layout.size()) }
        }

        fn assert_kept(&self, size: usize) {
            for at in 0..size {
                // SAFETY: it is alive, and no smaller.
                assert_eq!(unsafe { self.start.add(at).read() }, self.mark);
            }
        }
    }

    /// Takes the steps, and looks after each at all that are alive.
    fn play(allocator: &Bump<Arena>, steps: &[Step]) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let chosen = |place: usize| place.checked_rem(blocks.len());
            match *step {
                Step::Allocate { size, align } => {
                    let layout = Layout::from_size_align(size, 1 << align).unwrap();
                    // SAFETY: the size is not 0.
                    let start = unsafe { allocator.alloc(layout) };
                    if !start.is_null() {
                        assert_eq!(start.addr() % layout.align(), 0);
                        let mark = number as u8;
                        blocks.push(Block {
                            start,
                            layout,
                            mark,
                        });
                        blocks[blocks.len() - 1].fill();
                    }
                }
                Step::Free { place } => {
                    if let Some(at) = chosen(place) {
                        free(allocator, blocks.swap_remove(at));
                    }
                }
                Step::Resize { place, size } => {
                    if let Some(at) = chosen(place) {
                        resize(allocator, &mut blocks[at], size);
                    }
                }
                Step::FreeAll => blocks.drain(..).for_each(|block| free(allocator, block)),
            }
            for block in &blocks {
                block.assert_kept(block.layout.size());
            }
        }
        blocks
    }

    fn free(allocator: &Bump<Arena>, block: Block) {
        // SAFETY: it is alive, and no longer used.
        unsafe { allocator.dealloc(block.start, block.layout) }
    }

    fn resize(allocator: &Bump<Arena>, block: &mut Block, size: usize) {
        // SAFETY: it is alive, the size is not 0.
        let start = unsafe { allocator.realloc(block.start, block.layout, size) };
        if start.is_null() {
            return;
        }
        assert_eq!(start.addr() % block.layout.align(), 0);
        let kept = size.min(block.layout.size());
        block.start = start;
        block.layout = Layout::from_size_align(size, block.layout.align()).unwrap();
        block.assert_kept(kept);
        block.fill();
    }

    fn allocate(allocator: &Bump<Arena>, size: usize) -> *mut u8 {
        // SAFETY: the size is not 0.
        unsafe { allocator.alloc(Layout::array::<u8>(size).unwrap()) }
    }

    proptest! {
        #[test]
        fn what_is_alive_is_kept_aligned_and_shares_no_byte(steps in prop::collection::vec(step(), 0..200)) {
            let allocator = Bump::new(Arena::new());
            play(&allocator, &steps);
        }

        #[test]
        fn the_row_starts_anew_when_nothing_is_alive(steps in prop::collection::vec(step(), 0..40)) {
            let allocator = Bump::new(Arena::new());
            for block in play(&allocator, &steps) {
                free(&allocator, block);
            }
            prop_assert_eq!(allocate(&allocator, 8).addr(), allocator.memory.start());
        }
    }

    #[test]
    fn plan_after_plan_takes_the_same_memory() {
        let allocator = Bump::new(Arena::new());
        let steps: Vec<_> = (1..50)
            .flat_map(|size| {
                [
                    Step::Allocate {
                        size: size * 7,
                        align: 3,
                    },
                    Step::Resize {
                        place: size / 2,
                        size: size * 9,
                    },
                ]
            })
            .chain([Step::FreeAll])
            .collect();
        play(&allocator, &steps);
        let taken = allocator.memory.given.get();
        for _ in 0..100 {
            play(&allocator, &steps);
        }
        assert_eq!(allocator.memory.given.get(), taken);
    }

    #[test]
    fn what_was_handed_out_last_grows_and_is_taken_back_in_place() {
        let allocator = Bump::new(Arena::new());
        let first = allocate(&allocator, 10);
        let last = allocate(&allocator, 10);
        let layout = Layout::array::<u8>(10).unwrap();
        // SAFETY: it is alive.
        let grown = unsafe { allocator.realloc(last, layout, 5_000) };
        assert_eq!(grown, last);
        // SAFETY: it is alive, and has that size.
        unsafe { allocator.dealloc(grown, Layout::array::<u8>(5_000).unwrap()) };
        assert_eq!(allocate(&allocator, 10), last);
        assert_ne!(first, last);
    }

    #[test]
    fn memory_that_cannot_grow_gives_null_and_leaves_all_as_it_was() {
        let allocator = Bump::new(Arena::new());
        let first = allocate(&allocator, 100);
        assert!(allocate(&allocator, ROOM).is_null());
        assert!(allocate(&allocator, isize::MAX as usize - 64).is_null());
        // SAFETY: it is alive.
        let resized =
            unsafe { allocator.realloc(first, Layout::array::<u8>(100).unwrap(), ROOM + 1) };
        assert!(resized.is_null());
        assert_eq!(allocate(&allocator, 4).addr(), first.addr() + 100);
    }

    #[test]
    fn it_grows_seldom() {
        let allocator = Bump::new(Arena::new());
        for _ in 0..ROOM / 2 / 16 {
            assert!(!allocate(&allocator, 16).is_null());
        }
        assert!(allocator.memory.grown.get() < 30);
    }
}
