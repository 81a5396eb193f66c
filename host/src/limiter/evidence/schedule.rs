//! What a schedule can make of a limit's parameters, whenever it is (rules: "Schedules").
//!
//! The host does not evaluate schedules: which entry holds now is the component's to say. So all of them count.

use super::{
    TOKEN,
    limit::{SECOND, Span},
};

/// What starts a part of an entry, and what ends one.
const TAGS: [char; 10] = ['m', 'h', 'D', 'M', 'w', 's', 'c', 'a', 'p', ';'];

/// What the entries of a schedule do. A text that cannot be read does something, and nothing honest rests on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Factors, in thousandths.
    scales: Vec<i128>,
    /// What the capacity becomes.
    capacities: Vec<i128>,
    /// What the amount gained in a period becomes.
    amounts: Vec<i128>,
    /// What the period becomes.
    periods: Vec<i128>,
}

impl Effects {
    /// Those of a text.
    pub(super) fn of(text: &str) -> Self {
        let mut effects = Self::default();
        let mut tag = None;
        for part in text.split_inclusive(TAGS) {
            if let Some(number) = number(part.trim_end_matches(TAGS)) {
                match tag {
                    Some('s') => effects.scales.push(number),
                    Some('c') => effects.capacities.push(number.saturating_mul(TOKEN)),
                    Some('a') => effects.amounts.push(number.saturating_mul(TOKEN)),
                    Some('p') => effects.periods.push(number.saturating_mul(SECOND)),
                    _ => {}
                }
            }
            tag = part.chars().last();
        }
        effects
    }

    /// Between what a capacity lies.
    pub(super) fn capacity(&self, base: i128) -> Span {
        self.among(base, &self.capacities)
    }

    /// The most that is gained in a period.
    pub(super) fn amount(&self, base: i128) -> i128 {
        self.among(base, &self.amounts).most
    }

    /// The shortest period, if one is above 0.
    pub(super) fn period(&self, base: i128) -> Option<i128> {
        let periods = self.periods.iter().copied().chain([base]);
        periods.filter(|period| *period > 0).min()
    }

    fn among(&self, base: i128, replaced: &[i128]) -> Span {
        let scaled = self.scales.iter().map(|scale| scaled(base, *scale));
        let replaced = replaced.iter().copied().map(Span::of);
        scaled.chain(replaced).fold(Span::of(base), Span::and)
    }
}

/// An integer as Python reads it, and a little more.
fn number(text: &str) -> Option<i128> {
    text.trim().replace('_', "").parse().ok()
}

/// A number times a factor in thousandths. Components reckon in floating point, each in its own order.
fn scaled(base: i128, scale: i128) -> Span {
    const SLACK: f64 = 1e-12;
    let exact = base as f64 * (scale as f64 / 1000.0);
    let slack = exact.abs() * SLACK + 1.0;
    Span {
        least: ((exact - slack) as i128).max(1),
        most: ((exact + slack) as i128).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_count() {
        let effects = Effects::of("1h9-17w1-5s500;h0-6c2000a3;p 1_0 ;s+2500");
        let capacity = effects.capacity(10_000_000);
        assert!(
            (1_999_000..=2_000_000).contains(&capacity.least),
            "{capacity:?}"
        );
        assert!(
            (25_000_000..25_000_100).contains(&capacity.most),
            "{capacity:?}"
        );
        assert_eq!(effects.amount(0), 3_000);
        assert_eq!(effects.period(60_000), Some(10_000));
        assert_eq!(effects.period(0), Some(10_000));
    }

    #[test]
    fn without_a_schedule_everything_is_as_stored() {
        for text in ["", "1", "1m0h0", "sched", "1s;c;"] {
            let effects = Effects::of(text);
            assert_eq!(effects.capacity(-7), Span::of(-7), "{text}");
            assert_eq!((effects.amount(3), effects.period(0)), (3, None), "{text}");
        }
    }

    #[test]
    fn a_scaled_number_is_at_least_one_and_may_be_any() {
        for base in [0, 1, -5, 10_i128.pow(38) - 1] {
            let Span { least, most } = scaled(base, 1);
            assert!(least >= 1 && most >= least, "{base}");
        }
        assert!(scaled(10_i128.pow(38) - 1, 1_000_000_000).most > 10_i128.pow(38));
    }
}
