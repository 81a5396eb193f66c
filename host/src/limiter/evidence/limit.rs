//! A limit as the images of its bucket show it: of each number between what it lies.

use super::{
    image::{Field, Numbers},
    schedule::Effects,
};
use std::collections::BTreeSet;

/// Milliseconds of a second.
pub(super) const SECOND: i128 = 1000;

/// From one number to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub least: i128,
    /// The last.
    pub most: i128,
}

/// A limit in the images of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its tokens.
    pub tokens: Span,
    /// Its capacity, by the image and its schedule.
    pub capacity: Span,
    /// Its burst, by the same; where there is none the capacity counts.
    pub burst: Span,
    /// The most gained in a period.
    pub refill_amount: i128,
    /// The shortest period, in milliseconds; none where none is above 0.
    pub refill_period: Option<i128>,
    /// What is said of it where it is restored in one lump.
    pub lump: Option<Lump>,
}

/// How a limit is restored at resets, or with a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lump {
    /// Shard counts for which a grant was sized.
    pub sized_for: Option<Span>,
    /// Tokens bought on top.
    pub top_up: Option<Span>,
    /// The most consumed since a window was announced.
    pub taken: i128,
    /// When windows began.
    pub starts: BTreeSet<i128>,
    /// When the last of them ends.
    pub end: Option<i128>,
}

impl Span {
    /// One number.
    pub(super) fn of(number: i128) -> Self {
        Self {
            least: number,
            most: number,
        }
    }

    /// From the lesser to the greater of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

impl Limit {
    /// That of an image.
    pub(super) fn of(numbers: &Numbers, effects: &Effects, has_resets: bool) -> Self {
        let number = |field| numbers.get(field).unwrap_or(0);
        let capacity = number(Field::Capacity);
        let burst = numbers.get(Field::Burst).unwrap_or(capacity);
        let is_lump = has_resets || numbers.get(Field::WindowLength).is_some();
        Self {
            tokens: Span::of(number(Field::Tokens)),
            capacity: effects.capacity(capacity),
            burst: effects.capacity(burst),
            refill_amount: effects.amount(number(Field::RefillAmount)),
            refill_period: effects.period(number(Field::RefillPeriod)),
            lump: is_lump.then(|| Lump::of(numbers)),
        }
    }

    /// What both show.
    pub(super) fn widen(&mut self, other: Self) {
        self.tokens = self.tokens.and(other.tokens);
        self.capacity = self.capacity.and(other.capacity);
        self.burst = self.burst.and(other.burst);
        self.refill_amount = self.refill_amount.max(other.refill_amount);
        let periods = [self.refill_period, other.refill_period];
        self.refill_period = periods.into_iter().flatten().min();
        match (&mut self.lump, other.lump) {
            (Some(lump), Some(other)) => lump.widen(other),
            (lump @ None, other) => *lump = other,
            (Some(_), None) => {}
        }
    }
}

impl Lump {
    fn of(numbers: &Numbers) -> Self {
        let consumed = numbers.get(Field::Consumed).unwrap_or(0);
        let taken = numbers.get(Field::WindowMark);
        let taken = taken.map_or(0, |mark| consumed.saturating_sub(mark));
        let start = numbers.get(Field::WindowStart);
        let length = numbers.get(Field::WindowLength).unwrap_or(0);
        let sized_for = numbers.get(Field::GrantCount);
        Self {
            sized_for: sized_for.filter(|count| *count >= 1).map(Span::of),
            top_up: numbers.get(Field::TopUp).map(Span::of),
            taken: taken.max(0),
            starts: start.into_iter().collect(),
            end: start.map(|start| start.saturating_add(length.saturating_mul(SECOND))),
        }
    }

    fn widen(&mut self, other: Self) {
        let both = |one: Option<Span>, other| one.into_iter().chain(other).reduce(Span::and);
        self.sized_for = both(self.sized_for, other.sized_for);
        self.top_up = both(self.top_up, other.top_up);
        self.taken = self.taken.max(other.taken);
        self.starts.extend(other.starts);
        self.end = self.end.max(other.end);
    }
}
