//! What the component is told.

use super::{
    SETTINGS,
    value::{BadArgument, boolean, given, read, within},
};
use weir::{
    component::is_name,
    contract::Level,
    settings::{CEILING, Corrections, LogicSettings, MAX_SHARD_COUNT, OptionSetting},
};

#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct LogicArguments {
    /// Windows that usage is summed over, separated by commas [default: hourly,daily]
    #[arg(long, env = "SNAPSHOT_WINDOWS", value_name = "LIST", help_heading = SETTINGS)]
    pub(super) snapshot_windows: Option<String>,
    /// Number of days to keep a usage snapshot [default: 90]
    #[arg(long, env = "SNAPSHOT_TTL_DAYS", value_name = "DAYS", help_heading = SETTINGS)]
    pub(super) snapshot_ttl_days: Option<String>,
    /// Whether to archive expired audit events in the bucket: true or false [default: false]
    #[arg(long, env = "ENABLE_ARCHIVAL", value_name = "BOOL", help_heading = SETTINGS)]
    pub(super) enable_archival: Option<String>,
    /// Corrected rules in force: all, none, or a list of names (see the documentation) [default: all]
    #[arg(long, env = "CORRECTIONS", value_name = "LIST", help_heading = SETTINGS)]
    pub(super) corrections: Option<String>,
    /// Whether to refill namespaced buckets that carry a burst up to it: true or false [default: false]
    #[arg(long, env = "BURST_CEILING", value_name = "BOOL", help_heading = SETTINGS)]
    pub(super) burst_ceiling: Option<String>,
    /// Maximum number of shards that a bucket is split into [default: 32]
    #[arg(long, env = "MAX_SHARD_COUNT", value_name = "COUNT", help_heading = SETTINGS)]
    pub(super) max_shard_count: Option<String>,
    /// Further options of the component, which `weir inspect` lists: name=value, separated by commas [default: none]
    #[arg(long, env = "LOGIC_OPTIONS", value_name = "LIST", help_heading = SETTINGS)]
    pub(super) logic_options: Option<String>,
}

impl LogicArguments {
    pub(super) fn read(&self, level: Level) -> Result<LogicSettings, BadArgument> {
        let mut settings = LogicSettings {
            level,
            ..LogicSettings::default()
        };
        let names = "a list of the windows that the component has (`weir inspect` lists them)";
        if let Some(windows) = read(&self.snapshot_windows, "SNAPSHOT_WINDOWS", names, names_of)? {
            settings.windows = windows;
        }
        let ttl = read(
            &self.snapshot_ttl_days,
            "SNAPSHOT_TTL_DAYS",
            "a whole number from 1 to 36500",
            within(1, 36_500),
        )?;
        settings.snapshot_ttl_days = ttl.unwrap_or(settings.snapshot_ttl_days);
        let archive = read(
            &self.enable_archival,
            "ENABLE_ARCHIVAL",
            "true, false",
            boolean,
        )?;
        settings.archive = archive.unwrap_or(settings.archive);
        let corrections = read(
            &self.corrections,
            "CORRECTIONS",
            "all, none, or a list of the corrections that the component has (`weir inspect` lists them)",
            corrections,
        )?;
        settings.corrections = corrections.unwrap_or(settings.corrections);
        self.read_options(&mut settings)?;
        Ok(settings)
    }

    /// The component's options: two have a setting of their own.
    fn read_options(&self, settings: &mut LogicSettings) -> Result<(), BadArgument> {
        let further = read(
            &self.logic_options,
            "LOGIC_OPTIONS",
            "a list of name=value, each name once, without those that have a setting of their own",
            |text| self.further(text),
        )?;
        for (name, value) in further.unwrap_or_default() {
            settings.set_option(option(name, value, "LOGIC_OPTIONS"));
        }
        let is_burst = read(&self.burst_ceiling, "BURST_CEILING", "true, false", boolean)?;
        let ceiling = is_burst.map(|is_burst| if is_burst { "burst" } else { "capacity" });
        let count = read(
            &self.max_shard_count,
            "MAX_SHARD_COUNT",
            "a whole number from 1 to 1024",
            within(1, 1024),
        )?;
        let own = [
            (CEILING, "BURST_CEILING", ceiling.map(Into::into)),
            (
                MAX_SHARD_COUNT,
                "MAX_SHARD_COUNT",
                count.map(|count| count.to_string()),
            ),
        ];
        for (name, variable, value) in own {
            // To ask for the default is to ask nothing of a component that has no such option.
            let is_usual = |value: &String| {
                let mut options = settings.options.iter();
                options.any(|option| option.name == name && option.value == *value)
            };
            if let Some(value) = value.filter(|value| !is_usual(value)) {
                settings.set_option(option(name.into(), value, variable));
            }
        }
        Ok(())
    }

    /// The options of a list; none where one is named twice, here or by a setting of its own.
    fn further(&self, text: &str) -> Option<Vec<(String, String)>> {
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            let own = [
                (CEILING, &self.burst_ceiling),
                (MAX_SHARD_COUNT, &self.max_shard_count),
            ];
            let is_set = own
                .iter()
                .any(|(own, setting)| *own == name && given(setting).is_some());
            let is_twice = options.iter().any(|(other, _)| other == name);
            if !is_name(name) || is_set || is_twice {
                return None;
            }
            options.push((name.into(), value.into()));
        }
        Some(options)
    }
}

fn option(name: String, value: String, variable: &'static str) -> OptionSetting {
    OptionSetting {
        name,
        value,
        variable: Some(variable),
    }
}

/// The names of a list, each once: a window listed twice would count everything twice.
fn names_of(text: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        if !is_name(name) {
            return None;
        }
        if !names.iter().any(|other| other == name) {
            names.push(name.into());
        }
    }
    Some(names)
}

fn corrections(text: &str) -> Option<Corrections> {
    match text {
        "all" => Some(Corrections::All),
        "none" => Some(Corrections::Named(Vec::new())),
        names => names_of(names).map(Corrections::Named),
    }
}
