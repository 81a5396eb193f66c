//! Comparing bytes, eight at a time.

/// What `memcmp` returns: below 0, 0 or above 0 as the left bytes are less than the right ones, equal or greater.
///
/// Nothing here is a loop over single bytes, or the compiler would make a call of `memcmp` of it.
///
/// # Safety
/// Both pointers are valid for `len` bytes. They need no alignment.
#[inline(always)]
pub unsafe fn compare(left: *const u8, right: *const u8, len: usize) -> i32 {
    let mut at = 0_usize;
    while len.wrapping_sub(at) >= 8 {
        // SAFETY: eight bytes from `at` on lie below `len`.
        let order = unsafe { compare_word(left.add(at), right.add(at)) };
        if order != 0 {
            return order;
        }
        at = at.wrapping_add(8);
    }
    if at == len {
        return 0;
    }
    if len >= 8 {
        // Those of the last eight that were compared before are equal.
        at = len.wrapping_sub(8);
        // SAFETY: eight bytes from `at` on are the last ones below `len`.
        return unsafe { compare_word(left.add(at), right.add(at)) };
    }
    // SAFETY: fewer than eight, and both are valid for them.
    let (left, right) = unsafe { (short(left, len), short(right, len)) };
    order(left, right)
}

/// Compares eight bytes.
///
/// # Safety
/// Both pointers are valid for eight bytes.
#[inline(always)]
unsafe fn compare_word(left: *const u8, right: *const u8) -> i32 {
    // SAFETY: the caller's promise; the read needs no alignment.
    let words = unsafe {
        (
            left.cast::<u64>().read_unaligned(),
            right.cast::<u64>().read_unaligned(),
        )
    };
    if words.0 == words.1 {
        return 0;
    }
    order(u64::from_be(words.0), u64::from_be(words.1))
}

#[inline(always)]
fn order(left: u64, right: u64) -> i32 {
    i32::from(left > right).wrapping_sub(i32::from(left < right))
}

/// Fewer than eight bytes as a number that orders as they do, among bytes of the same length.
///
/// # Safety
/// The pointer is valid for `len` bytes, `len` is below 8.
#[inline(always)]
unsafe fn short(bytes: *const u8, len: usize) -> u64 {
    let (mut number, mut at) = (0_u64, 0_usize);
    // SAFETY: each part lies below `len`: `at` is the sum of those before it, all of them bits of `len`.
    unsafe {
        if len & 4 != 0 {
            number = u64::from(u32::from_be(bytes.cast::<u32>().read_unaligned()));
            at = 4;
        }
        if len & 2 != 0 {
            let part = bytes.add(at).cast::<u16>().read_unaligned();
            number = number << 16 | u64::from(u16::from_be(part));
            at |= 2;
        }
        if len & 1 != 0 {
            number = number << 8 | u64::from(bytes.add(at).read());
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::cmp::Ordering;
    use proptest::prelude::*;

    fn compared(left: &[u8], right: &[u8]) -> Ordering {
        assert_eq!(left.len(), right.len());
        // SAFETY: both are valid for the length.
        unsafe { compare(left.as_ptr(), right.as_ptr(), left.len()) }.cmp(&0)
    }

    /// No two neighbours are equal.
    fn bytes() -> Vec<u8> {
        (0..96_u8).map(|at| at.wrapping_mul(37)).collect()
    }

    #[test]
    fn one_byte_that_differs_decides_at_every_length_offset_and_place() {
        let original = bytes();
        for len in 0..=40 {
            for offset in 0..16 {
                let left = &original[offset..offset + len];
                for other_offset in 0..16 {
                    let mut copy = bytes();
                    copy[other_offset..other_offset + len].copy_from_slice(left);
                    let range = other_offset..other_offset + len;
                    assert_eq!(compared(left, &copy[range.clone()]), Ordering::Equal);
                    for place in 0..len {
                        for changed in [0, 1, 127, 128, 255] {
                            let mut right = copy[range.clone()].to_vec();
                            right[place] = changed;
                            assert_eq!(compared(left, &right), left.cmp(&right));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_lies_beside_the_bytes_does_not_matter() {
        for len in 0..=40 {
            let (mut left, mut right) = ([0_u8; 64], [255_u8; 64]);
            left[10..10 + len].fill(7);
            right[10..10 + len].fill(7);
            assert_eq!(
                compared(&left[10..10 + len], &right[10..10 + len]),
                Ordering::Equal
            );
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_slices(left in prop::collection::vec(0..3_u8, 0..80), right in prop::collection::vec(0..3_u8, 0..80)) {
            let len = left.len().min(right.len());
            prop_assert_eq!(compared(&left[..len], &right[..len]), left[..len].cmp(&right[..len]));
        }
    }
}
