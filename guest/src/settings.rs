//! The operator's settings as the rules ask for them.
//!
//! The contract's form of them is read here and nowhere else.

use crate::{
    contract::{self, Corrections, Level, PlanError},
    window::Window,
};
use alloc::vec::Vec;

/// What the operator decided.
pub struct Settings {
    /// The windows to keep, each once.
    pub windows: Vec<Window>,
    /// How many days a snapshot lives after its first write.
    pub snapshot_ttl_days: u32,
    /// Whether expired audit events go to the archive.
    pub archive: bool,
    /// Up to where a bucket with both a capacity and a burst is filled.
    pub ceiling: RefillCeiling,
    /// The rules of sharded buckets that carry nothing newer.
    pub generation: Generation,
    /// No bucket is split into more shards than this.
    pub max_shard_count: u32,
    /// Lines below this level are not built.
    pub level: Level,
    corrections: Vec<Correction>,
}

/// A rule that was found wrong and may be replaced by a corrected one (rules: "Defects").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Snapshots of different windows never share an item.
    WindowSuffix,
    /// Usage is booked at the time of the record.
    EventTime,
    /// The consumption in an INSERT, and that of a limit new to its bucket, counts.
    FirstConsumption,
    /// A refill covers every limit that has gained tokens.
    FullRefill,
    /// Buckets are looked after in batches without consumption too.
    IdleBatches,
    /// Write pressure is judged on tokens projected to now.
    ShardPressure,
    /// One archive object a day, named by its content.
    DailyArchive,
}

/// Up to where a refill fills a namespaced bucket that has both a capacity and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefillCeiling {
    /// The capacity.
    Capacity,
    /// The burst.
    Burst,
}

/// Whose rules a sharded bucket follows that carries nothing newer: the attributes that its clients write do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Those of clients up to 0.13.
    C,
    /// Those of clients from 0.14, as of 0.17.0.
    D,
}

impl Settings {
    /// Reads the contract's settings.
    ///
    /// # Errors
    /// [`PlanError::BadSettings`]: they contradict themselves.
    pub fn read(settings: &contract::Settings) -> Result<Self, PlanError> {
        let bad = |problem: &str| Err(PlanError::BadSettings(problem.into()));
        let mut windows = Vec::new();
        for window in &settings.windows {
            let window = read_window(*window);
            if windows.contains(&window) {
                return bad("a window is listed twice; its usage would be counted twice");
            }
            windows.push(window);
        }
        if settings.snapshot_ttl_days == 0 {
            return bad("snapshots would expire at once: snapshot-ttl-days is 0");
        }
        if settings.max_shard_count == 0 {
            return bad("a bucket has at least one shard: max-shard-count is 0");
        }
        Ok(Self {
            windows,
            snapshot_ttl_days: settings.snapshot_ttl_days,
            archive: settings.archive,
            ceiling: match settings.ceiling {
                contract::Ceiling::Capacity => RefillCeiling::Capacity,
                contract::Ceiling::Burst => RefillCeiling::Burst,
            },
            // This contract has no option for it; its recordings are those of generation C.
            generation: Generation::C,
            max_shard_count: settings.max_shard_count,
            level: settings.level,
            corrections: read_corrections(settings.corrections),
        })
    }

    /// Whether the corrected rule is in force.
    pub fn corrects(&self, correction: Correction) -> bool {
        self.corrections.contains(&correction)
    }
}

fn read_window(window: contract::Window) -> Window {
    match window {
        contract::Window::Hourly => Window::Hourly,
        contract::Window::Daily => Window::Daily,
        contract::Window::Monthly => Window::Monthly,
    }
}

fn read_corrections(corrections: Corrections) -> Vec<Correction> {
    let all = [
        (Corrections::WINDOW_SUFFIX, Correction::WindowSuffix),
        (Corrections::EVENT_TIME, Correction::EventTime),
        (Corrections::FIRST_CONSUMPTION, Correction::FirstConsumption),
        (Corrections::FULL_REFILL, Correction::FullRefill),
        (Corrections::IDLE_BATCHES, Correction::IdleBatches),
        (Corrections::SHARD_PRESSURE, Correction::ShardPressure),
        (Corrections::DAILY_ARCHIVE, Correction::DailyArchive),
    ];
    all.into_iter()
        .filter(|(flag, _)| corrections.contains(*flag))
        .map(|(_, correction)| correction)
        .collect()
}
