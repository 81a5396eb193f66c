//! The operator's settings as the rules ask for them.
//!
//! The contract's names of windows, corrections and options are read here and nowhere else, and described here.

use crate::{
    contract::{self, Allowed, Bounds, Level, OptionDescription, OptionValue, PlanError, Term},
    window::{WINDOWS, Window},
};
use alloc::{format, string::String, vec::Vec};

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
    /// No bucket is split into more shards than this.
    pub max_shard_count: u32,
    /// Lines below this level are not built.
    pub level: Level,
    corrections: Vec<Correction>,
}

/// A rule that was found wrong and may be replaced by a corrected one (rules: "Corrections").
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

/// Every correction: its name, and what it does, for an operator.
const CORRECTIONS: [(Correction, &str, &str); 7] = [
    (
        Correction::WindowSuffix,
        "window-suffix",
        "Daily and monthly snapshot keys end in #daily and #monthly, so windows never share an item.",
    ),
    (
        Correction::EventTime,
        "event-time",
        "Usage is booked at the record's ApproximateCreationDateTime, not at the bucket's last refill.",
    ),
    (
        Correction::FirstConsumption,
        "first-consumption",
        "The consumption inside an INSERT, and that of a limit new to its bucket, is counted.",
    ),
    (
        Correction::FullRefill,
        "full-refill",
        "A refill covers every limit that has gained tokens; wcu is not divided by shards.",
    ),
    (
        Correction::IdleBatches,
        "idle-batches",
        "Refill, sharding and propagation run also in a batch in which nothing was consumed.",
    ),
    (
        Correction::ShardPressure,
        "shard-pressure",
        "Write pressure is judged on tokens projected to now, and the maximum shard count holds.",
    ),
    (
        Correction::DailyArchive,
        "daily-archive",
        "One archive object per UTC day, named by its content, each line with its namespace.",
    ),
];

/// The option that says up to where a refill fills a bucket.
const CEILING: &str = "ceiling";
/// The option that bounds the shards of a bucket.
const MAX_SHARD_COUNT: &str = "max-shard-count";
/// What [`MAX_SHARD_COUNT`] may be.
const SHARD_COUNTS: Bounds = Bounds {
    least: 1,
    most: 1024,
};

impl Settings {
    /// Reads the contract's settings. A component that is built on this crate may know `further` windows.
    ///
    /// # Errors
    /// [`PlanError::BadSettings`]: there is a name or a value that nobody knows, or they contradict themselves.
    pub fn read(settings: &contract::Settings, further: &[Window]) -> Result<Self, PlanError> {
        let mut windows: Vec<Window> = Vec::new();
        for name in &settings.windows {
            let mut known = further.iter().chain(&WINDOWS);
            let window = known.find(|window| window.name == name);
            let window = window.ok_or_else(|| bad(format!("there is no window `{name}`")))?;
            if windows.iter().any(|other| other.name == window.name) {
                let problem = "a window is listed twice; its usage would be counted twice";
                return Err(bad(problem.into()));
            }
            windows.push(*window);
        }
        if settings.snapshot_ttl_days == 0 {
            let problem = "snapshots would expire at once: snapshot-ttl-days is 0";
            return Err(bad(problem.into()));
        }
        let mut read = Self {
            windows,
            snapshot_ttl_days: settings.snapshot_ttl_days,
            archive: settings.archive,
            ceiling: RefillCeiling::Capacity,
            max_shard_count: 32,
            level: settings.level,
            corrections: corrections(&settings.corrections)?,
        };
        for option in &settings.options {
            read.take(option)?;
        }
        Ok(read)
    }

    /// Whether the corrected rule is in force.
    pub fn corrects(&self, correction: Correction) -> bool {
        self.corrections.contains(&correction)
    }

    fn take(&mut self, OptionValue { name, value }: &OptionValue) -> Result<(), PlanError> {
        match (name.as_str(), value.as_str()) {
            (CEILING, "capacity") => self.ceiling = RefillCeiling::Capacity,
            (CEILING, "burst") => self.ceiling = RefillCeiling::Burst,
            (MAX_SHARD_COUNT, count) => {
                let is_within = |count: &u32| {
                    (SHARD_COUNTS.least..=SHARD_COUNTS.most).contains(&(*count).into())
                };
                let count = count.parse().ok().filter(is_within);
                self.max_shard_count = count.ok_or_else(|| bad_value(name, value))?;
            }
            (CEILING, _) => return Err(bad_value(name, value)),
            _ => return Err(bad(format!("there is no option `{name}`"))),
        }
        Ok(())
    }
}

fn corrections(names: &[String]) -> Result<Vec<Correction>, PlanError> {
    let correction = |name: &String| {
        let mut known = CORRECTIONS.iter();
        let found = known.find(|(_, known, _)| known == name);
        found
            .map(|(correction, ..)| *correction)
            .ok_or_else(|| bad(format!("there is no correction `{name}`")))
    };
    names.iter().map(correction).collect()
}

fn bad(problem: String) -> PlanError {
    PlanError::BadSettings(problem)
}

fn bad_value(option: &str, value: &str) -> PlanError {
    bad(format!("the option `{option}` does not take `{value}`"))
}

/// The corrections, described.
pub fn described_corrections() -> Vec<Term> {
    let term = |(_, name, description): (Correction, &str, &str)| Term {
        name: name.into(),
        description: description.into(),
    };
    CORRECTIONS.into_iter().map(term).collect()
}

/// The options, described.
pub fn described_options() -> Vec<OptionDescription> {
    [
        OptionDescription {
            name: CEILING.into(),
            description: "Up to where a refill fills a namespaced bucket that carries both a capacity and a burst.".into(),
            default: "capacity".into(),
            allowed: Allowed::OneOf(["capacity", "burst"].map(Into::into).into()),
        },
        OptionDescription {
            name: MAX_SHARD_COUNT.into(),
            description: "No bucket is split into more shards than this.".into(),
            default: "32".into(),
            allowed: Allowed::WholeNumber(SHARD_COUNTS),
        },
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn settings() -> contract::Settings {
        contract::Settings {
            windows: vec!["daily".into()],
            snapshot_ttl_days: 90,
            archive: false,
            corrections: vec![],
            options: vec![],
            level: Level::Info,
        }
    }

    fn problem(settings: &contract::Settings) -> String {
        match Settings::read(settings, &[]) {
            Err(PlanError::BadSettings(problem)) => problem,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("these settings are read"),
        }
    }

    #[test]
    fn every_name_that_is_described_is_read() {
        let described = settings();
        for Term { name, .. } in described_corrections() {
            let settings = contract::Settings {
                corrections: vec![name],
                ..described.clone()
            };
            assert_eq!(Settings::read(&settings, &[]).unwrap().corrections.len(), 1);
        }
        for option in described_options() {
            let values = match option.allowed {
                Allowed::OneOf(values) => values,
                Allowed::WholeNumber(Bounds { least, most }) => {
                    vec![format!("{least}"), format!("{most}")]
                }
                Allowed::AnyText => panic!("no option is any text"),
            };
            for value in values.into_iter().chain([option.default]) {
                let name = option.name.clone();
                let settings = contract::Settings {
                    options: vec![OptionValue { name, value }],
                    ..described.clone()
                };
                assert!(
                    Settings::read(&settings, &[]).is_ok(),
                    "{:?}",
                    settings.options
                );
            }
        }
        for window in WINDOWS {
            let settings = contract::Settings {
                windows: vec![window.name.into()],
                ..described.clone()
            };
            assert_eq!(
                Settings::read(&settings, &[]).unwrap().windows[0].name,
                window.name
            );
        }
    }

    #[test]
    fn options_that_are_left_out_have_the_described_default() {
        let read = Settings::read(&settings(), &[]).unwrap();
        assert_eq!(
            (read.ceiling, read.max_shard_count),
            (RefillCeiling::Capacity, 32)
        );
        let defaults = described_options().into_iter().map(|option| option.default);
        assert_eq!(defaults.collect::<Vec<_>>(), ["capacity", "32"]);
    }

    #[test]
    fn a_name_that_nobody_knows_is_refused_by_name() {
        let mut window = settings();
        window.windows.push("weekly".into());
        assert_eq!(problem(&window), "there is no window `weekly`");
        let mut correction = settings();
        correction.corrections.push("all".into());
        assert_eq!(problem(&correction), "there is no correction `all`");
        for (name, value, expected) in [
            ("floor", "1", "there is no option `floor`"),
            ("ceiling", "sky", "the option `ceiling` does not take `sky`"),
            (
                "max-shard-count",
                "0",
                "the option `max-shard-count` does not take `0`",
            ),
            (
                "max-shard-count",
                "1025",
                "the option `max-shard-count` does not take `1025`",
            ),
            (
                "max-shard-count",
                "many",
                "the option `max-shard-count` does not take `many`",
            ),
        ] {
            let mut option = settings();
            let (name, value) = (name.into(), value.into());
            option.options.push(OptionValue { name, value });
            assert_eq!(problem(&option), expected);
        }
    }

    #[test]
    fn settings_that_contradict_themselves_are_refused() {
        let mut twice = settings();
        twice.windows.push("daily".into());
        assert!(problem(&twice).contains("listed twice"));
        let mut expired = settings();
        expired.snapshot_ttl_days = 0;
        assert!(problem(&expired).contains("expire at once"));
    }
}
