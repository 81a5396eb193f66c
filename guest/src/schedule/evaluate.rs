//! What a decoded schedule says at an instant.

use super::{
    cron::Cron,
    search::{
        self,
        Sought::{self, Gap, Match},
    },
};
use crate::{
    decimal::{EpochMs, MilliTokens},
    zone::Zone,
};
use alloc::vec::Vec;

/// Milliseconds of a minute.
const MINUTE: i128 = 60_000;
/// Milliseconds of a day.
const DAY: i128 = 86_400_000;

/// What a limit is filled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The most tokens.
    pub capacity: MilliTokens,
    /// Gained in a period.
    pub amount: MilliTokens,
    /// The period in milliseconds.
    pub period: i128,
}

/// What an entry does to the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Multiplies capacity and amount, in thousandths.
    Scale(u32),
    /// Replaces what is given.
    Absolute {
        /// The most tokens.
        capacity: Option<MilliTokens>,
        /// Gained in a period.
        amount: Option<MilliTokens>,
        /// The period in milliseconds.
        period: Option<i128>,
    },
}

/// Parameters by the time of day and year. The default has no entries and changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    pub(super) zone: Zone,
    pub(super) entries: Vec<(Cron, Effect)>,
}

/// When a quota is restored. The default has no entries and restores nothing.
#[derive(Clone, Debug, Default)]
pub struct Resets {
    pub(super) zone: Zone,
    pub(super) entries: Vec<Cron>,
}

impl Effect {
    /// The parameters that it makes of others.
    fn apply(self, base: Parameters) -> Parameters {
        match self {
            Self::Scale(thousandths) => {
                let factor = f64::from(thousandths) / 1000.0;
                let amount = match base.amount.0 {
                    0 => 0,
                    amount => scaled(amount, factor),
                };
                Parameters {
                    capacity: MilliTokens(scaled(base.capacity.0, factor)),
                    amount: MilliTokens(amount),
                    period: base.period,
                }
            }
            Self::Absolute {
                capacity,
                amount,
                period,
            } => Parameters {
                capacity: capacity.unwrap_or(base.capacity),
                amount: amount.unwrap_or(base.amount),
                period: period.unwrap_or(base.period),
            },
        }
    }
}

/// In doubles, as clients compute it: 100000 × 0.29 is 28999. A product beyond 128 bits is their greatest number,
/// which no refill takes.
fn scaled(value: i128, factor: f64) -> i128 {
    ((value as f64 * factor) as i128).max(1)
}

impl Schedule {
    /// Whether it changes nothing, ever.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The parameters in force at `now`: those of the first entry that matches, else the base.
    pub fn at(&self, base: Parameters, now: EpochMs) -> Parameters {
        let entry = self
            .in_force(minute_of(now))
            .and_then(|at| self.entries.get(at));
        entry.map_or(base, |(_, effect)| effect.apply(base))
    }

    /// When another entry comes into force, or none; at most the horizon away. None where there are no entries.
    pub fn next_change(&self, now: EpochMs) -> Option<EpochMs> {
        let crons = self.entries.iter().map(|(cron, _)| cron);
        let granularity = crons.clone().map(Cron::granularity).min()?;
        let horizon = later(now, granularity.horizon_days());
        let minute = minute_of(now);
        let in_force = self.in_force(minute);
        // The entry in force ends, or one before it begins.
        let next = minute.saturating_add(1);
        let mut last = minute_of(horizon);
        let mut change = None;
        for (at, cron) in crons.enumerate() {
            let sought = if Some(at) == in_force { Gap } else { Match };
            if let Some(found) = cron.next(self.zone, sought, next, last) {
                (change, last) = (Some(found), found);
            }
            if sought == Gap {
                break;
            }
        }
        Some(change.map_or(horizon, instant))
    }

    /// The first entry that matches.
    fn in_force(&self, minute: i64) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let local = search::local(self.zone, minute)?;
        self.entries
            .iter()
            .position(|(cron, _)| cron.matches(&local))
    }
}

impl Resets {
    /// Whether it restores nothing, ever.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last reset up to `now`, where one is within the horizon.
    pub fn last_edge(&self, now: EpochMs) -> Option<EpochMs> {
        let edges = self
            .entries
            .iter()
            .filter_map(|cron| last_edge(cron, self.zone, now));
        edges.max().map(instant)
    }

    /// The next reset after `now`, where one is within the horizon.
    pub fn next_edge(&self, now: EpochMs) -> Option<EpochMs> {
        let edges = self
            .entries
            .iter()
            .filter_map(|cron| next_edge(cron, self.zone, now));
        edges.min().map(instant)
    }

    /// The next reset after `now`; an entry that has none within its horizon counts with the horizon. None where
    /// there are no entries.
    pub fn next_boundary(&self, now: EpochMs) -> Option<EpochMs> {
        let boundary = |cron: &Cron| {
            next_edge(cron, self.zone, now).map_or_else(|| later(now, cron.cycle_days()), instant)
        };
        self.entries.iter().map(boundary).min()
    }
}

/// Until when what is known at `now` holds: the next change of parameters or the next reset. None where there is
/// neither a schedule nor resets.
pub fn boundary(
    schedule: Option<&Schedule>,
    resets: Option<&Resets>,
    now: EpochMs,
) -> Option<EpochMs> {
    let change = schedule.and_then(|schedule| schedule.next_change(now));
    let reset = resets.and_then(|resets| resets.next_boundary(now));
    change.into_iter().chain(reset).min()
}

/// The minute in which the run of matching minutes begins that is under way or was the last.
fn last_edge(cron: &Cron, zone: Zone, now: EpochMs) -> Option<i64> {
    // The first whole minute within the horizon.
    let floor = later(now, cron.cycle_days().saturating_neg());
    let floor = minute_of(EpochMs(floor.0.saturating_add(MINUTE).saturating_sub(1)));
    let search = |sought: Sought, from: i64| {
        let found = cron.last(zone, sought, floor, from)?;
        // What is found in an earlier hour or day counts only where all of that is within the horizon.
        let unit = cron.granularity().unit();
        let is_within = found == from || search::start_of_unit(zone, found, unit) >= floor;
        is_within.then_some(found)
    };
    let matching = search(Match, minute_of(now))?;
    let gap = search(Gap, matching.saturating_sub(1))?;
    Some(gap.saturating_add(1))
}

/// The minute in which the next run of matching minutes begins.
fn next_edge(cron: &Cron, zone: Zone, now: EpochMs) -> Option<i64> {
    let minute = minute_of(now);
    let last = minute_of(later(now, cron.cycle_days()));
    let mut from = minute.saturating_add(1);
    if cron.matches_at(zone, minute) {
        from = cron.next(zone, Gap, from, last)?;
    }
    cron.next(zone, Match, from, last)
}

/// The minute that holds an instant.
fn minute_of(at: EpochMs) -> i64 {
    let minute = at.0.div_euclid(MINUTE);
    i64::try_from(minute).unwrap_or(if minute < 0 { i64::MIN } else { i64::MAX })
}

/// The instant at which a minute begins.
fn instant(minute: i64) -> EpochMs {
    EpochMs(i128::from(minute).saturating_mul(MINUTE))
}

fn later(now: EpochMs, days: i64) -> EpochMs {
    EpochMs(now.0.saturating_add(i128::from(days).saturating_mul(DAY)))
}
