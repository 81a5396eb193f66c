//! Sets of numbers from 0 to 63, as the bits of a word.

/// Which way in time a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To later times.
    Forward,
    /// To earlier times.
    Backward,
}

impl Direction {
    /// The next number in this direction.
    pub fn step(self, number: u32) -> Option<u32> {
        match self {
            Self::Forward => number.checked_add(1),
            Self::Backward => number.checked_sub(1),
        }
    }

    /// Whether `minute` lies behind `end`.
    pub fn passes(self, minute: i64, end: i64) -> bool {
        match self {
            Self::Forward => minute > end,
            Self::Backward => minute < end,
        }
    }
}

/// A set of numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitSet(u64);

impl BitSet {
    /// The numbers from `first` to `last`.
    pub fn range(first: u32, last: u32) -> Self {
        let from = u64::MAX.checked_shl(first).unwrap_or(0);
        let above = last
            .checked_add(1)
            .and_then(|above| u64::MAX.checked_shl(above))
            .unwrap_or(0);
        Self(from & !above)
    }

    /// The set whose bit `n` says whether `n` is a member.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit for each number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether `number` is a member.
    pub fn has(self, number: u32) -> bool {
        self.0.checked_shr(number).unwrap_or(0) & 1 == 1
    }

    /// Whether there are no members.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Members of both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Members of either.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members that are none of `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The first member that a search from `from` meets, `from` itself included.
    pub fn seek(self, from: u32, direction: Direction) -> Option<u32> {
        match direction {
            Direction::Forward => {
                let rest = self.and(Self::range(from, 63)).0;
                (rest != 0).then(|| rest.trailing_zeros())
            }
            Direction::Backward => self.and(Self::range(0, from)).0.checked_ilog2(),
        }
    }

    /// The least member.
    pub fn least(self) -> Option<u32> {
        self.seek(0, Direction::Forward)
    }

    /// Each member, rising.
    pub fn members(self) -> impl Iterator<Item = u32> {
        let next = move |number: &u32| self.seek(number.checked_add(1)?, Direction::Forward);
        core::iter::successors(self.least(), next)
    }
}

impl FromIterator<u32> for BitSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let single = |number| Self::range(number, number);
        numbers
            .into_iter()
            .map(single)
            .fold(Self::default(), Self::or)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{collections::BTreeSet, vec::Vec};
    use proptest::prelude::*;

    #[test]
    fn ranges_hold_both_ends() {
        assert_eq!(BitSet::range(0, 63).bits(), u64::MAX);
        assert_eq!(BitSet::range(5, 5).bits(), 1 << 5);
        assert!(BitSet::range(6, 5).is_empty());
        assert!(BitSet::range(64, 70).is_empty());
    }

    proptest! {
        #[test]
        fn a_bit_set_is_a_set(
            left in prop::collection::btree_set(0..64_u32, 0..9),
            right in prop::collection::btree_set(0..64_u32, 0..9),
            from in 0..70_u32,
        ) {
            let set = |numbers: &BTreeSet<u32>| numbers.iter().copied().collect::<BitSet>();
            let (a, b) = (set(&left), set(&right));
            prop_assert_eq!(a.members().collect::<Vec<_>>(), left.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(a.and(b), set(&(&left & &right)));
            prop_assert_eq!(a.or(b), set(&(&left | &right)));
            prop_assert_eq!(a.without(b), set(&(&left - &right)));
            prop_assert_eq!(a.seek(from, Direction::Forward), left.range(from..).next().copied());
            prop_assert_eq!(a.seek(from, Direction::Backward), left.range(..=from).next_back().copied());
            prop_assert_eq!(a.has(from), left.contains(&from));
            prop_assert_eq!(a.is_empty(), left.is_empty());
        }
    }
}
